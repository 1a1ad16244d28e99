"""The network from a picture to a mesh."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfrender.geometry.edges import edge_topology
from tfrender.models.mesh_reconstructor import MeshReconstructor, sphere_template


def pictures(batch=2, side=32, seed=0):
    """Random pictures [B, S, S, 4] in [0, 1]."""
    values = np.random.default_rng(seed).uniform(size=(batch, side, side, 4))
    return tf.constant(values, tf.float32)


def test_parameters_of_the_paper():
    model = MeshReconstructor.from_preset("paper")
    assert model.encoder.count_params() == 19_383_488
    assert model.decoder.count_params() == 6_577_033
    code = model.encoder(pictures(side=64))
    assert code.shape == [2, 512]
    assert tf.reduce_min(code) >= 0.0
    for layer in (*model.encoder.layers, *model.decoder.layers):
        if layer.weights:
            kernel, bias = (weight.numpy() for weight in layer.weights)
            fan_in = np.prod(kernel.shape[:-1])
            if kernel.size > 10_000:
                np.testing.assert_allclose(kernel.std(), fan_in**-0.5, rtol=0.05)
                assert np.abs(kernel).max() > 2.2 * kernel.std()  # not truncated
            assert not bias.any()


def test_the_first_shape_is_about_a_sphere_of_a_quarter():
    keras.utils.set_random_seed(0)
    vertices = MeshReconstructor.from_preset("tiny")(pictures())["vertices"].numpy()
    want = sphere_template().vertices / 4
    assert np.abs(vertices - want).max() < 0.12
    assert np.abs(vertices - want).mean() < 0.03


def test_the_template_is_closed_and_runs_outside():
    template = sphere_template()
    topology = edge_topology(template.faces)
    assert len(topology.wings) == len(topology.edges) == 1920
    corners = template.vertices[template.faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert (np.einsum("fi,fi->f", normals, corners.mean(1)) > 0).all()


def test_the_encoder_lists_channels_first():
    # The dense layer must read a picture as the original does, channel by channel.
    model = MeshReconstructor.from_preset("tiny")
    flat = keras.Model(model.encoder.input, model.encoder.get_layer("flatten").output)
    maps = keras.Model(model.encoder.input, model.encoder.get_layer("relu3").output)
    want = tf.transpose(maps(pictures()), [0, 3, 1, 2])
    np.testing.assert_array_equal(flat(pictures()), tf.reshape(want, [2, -1]))


def test_padding_is_two_on_each_side():
    model = MeshReconstructor.from_preset("tiny")
    first = keras.Model(model.encoder.input, model.encoder.get_layer("conv1").output)
    layer = model.encoder.get_layer("conv1")
    image = pictures(1)
    padded = tf.pad(image, [[0, 0], [2, 2], [2, 2], [0, 0]])
    want = tf.einsum("abc,abcd->d", padded[0, :5, :5], layer.kernel) + layer.bias
    np.testing.assert_allclose(first(image)[0, 0, 0], want, atol=1e-5)


@pytest.mark.parametrize("settings", [{}, {"colors": True, "normalization": True}])
def test_a_saved_model_is_the_same(settings, tmp_path):
    model = MeshReconstructor.from_preset("tiny", **settings)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.get_config() == model.get_config()
    want = model(pictures())
    assert set(want) == ({"vertices", "colors"} if settings else {"vertices"})
    for name, value in again(pictures()).items():
        np.testing.assert_array_equal(value, want[name])


def test_mixed_precision_keeps_the_geometry_in_float32():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = MeshReconstructor.from_preset("tiny")
        vertices = model(pictures())["vertices"]
    finally:
        keras.config.set_dtype_policy(before)
    assert vertices.dtype == tf.float32
    assert np.isfinite(vertices).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"image_size": 30}, "image_size.*30"),
        ({"filters": ()}, "filters"),
        ({"dropout": 1.0}, "dropout"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        MeshReconstructor.from_preset("tiny", **settings)


def test_bad_pictures_and_presets_are_named():
    model = MeshReconstructor.from_preset("tiny")
    with pytest.raises(ValueError, match="images"):
        model(tf.zeros([1, 32, 32, 3]))
    with pytest.raises(ValueError, match="preset.*huge"):
        MeshReconstructor.from_preset("huge")
