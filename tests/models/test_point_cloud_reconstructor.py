"""The network from a picture to a point cloud."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfrender.models import PointCloudReconstructor
from tfrender.models.point_cloud_reconstructor import PRESETS


def pictures(batch=2, side=16, seed=0):
    values = np.random.default_rng(seed).uniform(size=(batch, side, side, 3))
    return tf.constant(values, tf.float32)


@pytest.fixture(scope="module")
def paper():
    keras.utils.set_random_seed(0)
    return PointCloudReconstructor.from_preset("paper", pose_candidates=4)


def test_parameters_of_the_paper(paper):
    convolutions = [n for n in paper.encoder.layers if n.name.startswith("conv")]
    assert sum(layer.count_params() for layer in convolutions) == 1_177_216
    assert paper.encoder.count_params() == 7_471_744
    count = 3 * PRESETS["paper"]["points"]
    # And the scale: one number of the code.
    assert paper.decoder.count_params() == 1024 * count + count + 1025
    features = 1024 * 1024 + 1024
    branch = (1024 * 32 + 32) + (32 * 32 + 32) + (32 * 4 + 4)
    assert paper.pose_network.count_params() == features + 5 * branch


def test_layers_of_the_paper(paper):
    shapes = [
        n.output.shape[1:] for n in paper.encoder.layers if n.name.startswith("conv")
    ]
    sizes = [(64, 16), (32, 32), (32, 32), (16, 64), (16, 64)]
    sizes += [(8, 128), (8, 128), (4, 256), (4, 256)]
    assert shapes == [(side, side, width) for side, width in sizes]
    assert paper.encoder.output["features"].shape == (None, 4096)


def test_first_weights(paper):
    for network in (paper.encoder, paper.decoder, paper.pose_network):
        for layer in network.layers:
            if not layer.weights:
                continue
            kernel, bias = (weight.numpy() for weight in layer.weights)
            assert not bias.any()
            if kernel.size < 10_000:
                continue
            want = np.sqrt(2.0 / np.prod(kernel.shape[:-1]))
            if network is paper.decoder:
                want = 0.8796 * 0.025  # truncated at 2 sigma, as released
            np.testing.assert_allclose(kernel.std(), want, rtol=0.03)
            assert np.abs(kernel).max() < 2.3 * kernel.std()


def test_points_lie_in_the_cube_and_begin_together():
    keras.utils.set_random_seed(0)
    model = PointCloudReconstructor.from_preset("tiny")
    found = model(pictures())
    assert found["points"].shape == (2, 64, 3) and found["scale"].shape == (2, 1)
    assert np.abs(found["points"]).max() < 0.2
    wild = PointCloudReconstructor.from_preset("tiny", decoder_stddev=3.0)
    points = wild(pictures())["points"].numpy()
    assert 0.3 < np.abs(points).max() <= 0.5
    wild = PointCloudReconstructor.from_preset(
        "tiny", decoder_stddev=3.0, unit_cube=False, scaling_maximum=4.0
    )
    kernel, bias = wild.decoder.get_layer("scale").weights
    kernel.assign(0.0 * kernel)
    bias.assign([2.0])
    found = wild(pictures())
    assert 0.6 < np.abs(found["points"]).max() <= 1.0
    want = 4.0 / (1.0 + np.exp(-2.0))
    np.testing.assert_allclose(found["scale"], want + np.zeros((2, 1)), rtol=1e-5)


@pytest.mark.parametrize("preset", ["small", "tiny"])
def test_presets_run_at_their_size(preset):
    settings = PRESETS[preset]
    model = PointCloudReconstructor.from_preset(preset)
    points = model(pictures(1, settings["input_size"]))["points"]
    assert points.shape == (1, settings["points"], 3)
    assert model.points == settings["points"] and not model.predicts_pose


def test_the_code_is_made_as_published():
    model = PointCloudReconstructor.from_preset("tiny")
    code = model.encode(pictures())
    x = 2.0 * pictures() - 1.0
    for layer in model.encoder.layers:
        if layer.name.startswith("conv"):
            kernel, bias = layer.weights
            x = tf.nn.conv2d(x, kernel, layer.strides, "SAME") + bias
            x = tf.maximum(x, 0.2 * x)
    flat = tf.reshape(x, [2, -1])
    np.testing.assert_allclose(code["features"], flat, atol=1e-5)
    for name, given in (("latent", flat), ("hidden", None), ("code", None)):
        given = x if given is None else given
        kernel, bias = model.encoder.get_layer(name).weights
        x = given @ kernel + bias
        x = tf.maximum(x, 0.2 * x)
        np.testing.assert_allclose(code[name], x, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "heads", "counts"),
    [
        ({"pose_candidates": 1}, {"poses"}, 1),
        ({"pose_candidates": 4}, {"poses", "student"}, 4),
        ({"pose_candidates": 3, "student": False}, {"poses"}, 3),
    ],
)
def test_poses(settings, heads, counts):
    model = PointCloudReconstructor.from_preset("tiny", **settings)
    assert model.predicts_pose and set(model.pose_network.output) == heads
    found = model(pictures())
    assert found["poses"].shape == (2, counts, 4)
    np.testing.assert_allclose(np.linalg.norm(found["pose"], axis=-1), 1.0, rtol=1e-5)
    if "student" not in heads:
        first = found["poses"][:, 0]
        first /= tf.norm(first, axis=-1, keepdims=True)
        np.testing.assert_allclose(found["pose"], first, atol=1e-6)
    shared = PointCloudReconstructor.from_preset("tiny")(pictures())
    assert set(found) == set(shared) | {"poses", "pose"}


@pytest.mark.parametrize("settings", [{}, {"pose_candidates": 2, "unit_cube": False}])
def test_a_saved_model_is_the_same(settings, tmp_path):
    model = PointCloudReconstructor.from_preset("tiny", **settings)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.get_config() == model.get_config()
    for name, value in again(pictures()).items():
        np.testing.assert_array_equal(value, model(pictures())[name])


def test_mixed_precision_gives_float32():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = PointCloudReconstructor.from_preset("tiny", pose_candidates=2)
        found = model(pictures())
    finally:
        keras.config.set_dtype_policy(before)
    assert {value.dtype for value in found.values()} == {tf.float32}
    assert all(np.isfinite(value).all() for value in found.values())


def test_every_weight_learns():
    model = PointCloudReconstructor.from_preset("tiny", pose_candidates=2)
    with tf.GradientTape() as tape:
        found = model(pictures(), training=True)
        total = tf.add_n(
            [tf.reduce_sum((value - 0.3) ** 2) for value in found.values()]
        )
    slopes = tape.gradient(total, model.trainable_variables)
    assert all(slope is not None and np.any(slope) for slope in slopes)


def make(**settings):
    return PointCloudReconstructor.from_preset("tiny", **settings)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: PointCloudReconstructor.from_preset("huge"), "`preset` must be one"),
        (lambda: make(input_size=24), "`input_size` must be a power of two"),
        (lambda: make(input_size=8), "`input_size` must be a power of two"),
        (lambda: make(points=0), "`points` must lie in"),
        (lambda: make(pose_candidates=-1), "`pose_candidates` must lie in"),
        (lambda: make(decoder_stddev=float("nan")), "`decoder_stddev` must lie in"),
        (lambda: make(scaling_maximum=0.0), "`scaling_maximum` must lie in"),
        (lambda: make()(pictures(1, 32)), "`images` must"),
        (lambda: make().encode(pictures()[..., :1]), "`images` must end in"),
    ],
)
def test_faults_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
