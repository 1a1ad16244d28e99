"""Tests of the models of RenderNet."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.models.mini import MINI
from tfrender import models
from tfrender.models import rendernet, shape_autoencoder


def _inputs(batch=2, n=8):
    generator = np.random.default_rng(0)
    voxels = (generator.random((batch, n, n, n, 1)) > 0.6).astype(np.float32)
    pose = np.array([[250.0, 60.0, 3.3], [40.0, 100.0, 4.0]], np.float32)[:batch]
    return {"voxels": tf.constant(voxels), "pose": tf.constant(pose)}


@pytest.mark.parametrize(("channels", "count"), [(3, 237_270_939), (1, 237_270_425)])
def test_paper_preset_has_the_parameters_of_the_original(channels, count):
    model = models.RenderNet.from_preset("paper", channels=channels)
    assert model.count_params() == count
    assert len(model.trainable_variables) == 166


def test_texture_and_shape_networks_have_the_parameters_of_the_original():
    model = models.TexturedRenderNet.from_preset("paper")
    assert model.network.count_params() == 59_970_318
    assert model.decoder.count_params() == 26_350_624
    decoder = models.shape_decoder(**shape_autoencoder.PRESETS["paper"])
    assert decoder.count_params() == 6_079_729


@pytest.mark.parametrize("preset", rendernet.PRESETS)
@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_are_four_times_the_grid(preset, channels):
    model = models.RenderNet.from_preset(preset, channels=channels)
    m = 2 * model.input_size
    shape = model.network.compute_output_shape((None, m, m, m, 1))
    assert tuple(shape) == (None, 4 * m, 4 * m, channels)
    for window in (32, 64):
        crop = model.network.compute_output_shape((None, window, window, m, 1))
        assert tuple(crop)[1:3] == (4 * window, 4 * window)


def test_a_crop_equals_the_whole_picture_away_from_its_border():
    widths = {**MINI["widths"], "blocks_2d": 0, "blocks_2d_late": 0}
    model = models.RenderNet(widths, MINI["input_size"])
    inputs = _inputs(n=8)
    whole = model(inputs)
    origin = tf.constant([[2, 4], [0, 2]])
    part = model({**inputs, "origin": origin}, window=(12, 10))
    assert part.shape == (2, 48, 40, 3)
    margin = 20  # the reach of the kernels in pixels
    for i, (row, col) in enumerate(4 * origin.numpy()):
        inner = part[i, margin : 48 - margin, margin : 40 - margin]
        same = whole[
            i, row + margin : row + 48 - margin, col + margin : col + 40 - margin
        ]
        np.testing.assert_allclose(inner, same, atol=1e-5)


def test_threshold_binarises_the_voxels():
    inputs = _inputs()
    grey = {**inputs, "voxels": inputs["voxels"] * 0.4}
    keras.utils.set_random_seed(0)
    model = models.RenderNet(**MINI, threshold=0.1)
    np.testing.assert_allclose(model(grey), model(inputs), atol=1e-6)
    model.threshold = None
    assert np.abs(model(grey) - model(inputs)).max() > 1e-5


def test_keep_prob_drops_in_training_only():
    model = models.RenderNet(**MINI, keep_prob=0.5)
    inputs = _inputs()
    still = model(inputs)
    np.testing.assert_array_equal(still, model(inputs))
    assert np.abs(model(inputs, training=True) - still).max() > 1e-4


def test_gradients_reach_voxels_and_pose():
    model = models.RenderNet(**MINI)
    inputs = _inputs()
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        total = tf.reduce_sum(model(inputs) ** 2)
    gradient = tape.gradient(total, inputs)
    for name in ("voxels", "pose"):
        assert np.isfinite(gradient[name]).all()
        assert np.abs(gradient[name]).max() > 0


def test_a_saved_model_file_gives_the_same_picture(tmp_path):
    model = models.RenderNet(**MINI, channels=1)
    inputs = _inputs()
    model(inputs)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(inputs), model(inputs), atol=1e-6)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_trains_one_step_with_a_finite_loss(policy):
    before = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy(policy)
    try:
        model = models.RenderNet(**MINI)
        model.compile(keras.optimizers.Adam(1e-4), "mse", jit_compile=False)
        target = np.zeros((2, 64, 64, 3), np.float32)
        loss = model.train_on_batch(_inputs(), target)
        assert np.isfinite(loss)
        assert model(_inputs()).dtype == tf.float32
    finally:
        keras.mixed_precision.set_dtype_policy(before)


def test_plain_fit_lowers_the_loss():
    keras.utils.set_random_seed(1)
    model = models.RenderNet(**MINI)
    model.compile(keras.optimizers.Adam(3e-3), "mse", jit_compile=False)
    target = np.full((2, 64, 64, 3), 0.2, np.float32)
    history = model.fit(_inputs(), target, epochs=25, verbose=0).history["loss"]
    assert history[-1] < 0.5 * history[0]


def test_textured_model_gives_two_pictures_that_depend_on_the_code():
    model = models.TexturedRenderNet.from_preset("tiny")
    inputs = _inputs(n=16)
    first = model({**inputs, "texture_code": tf.ones([2, 8])})
    other = model({**inputs, "texture_code": -50.0 * tf.ones([2, 8])})
    assert first["albedo"].shape == first["normal"].shape == (2, 128, 128, 3)
    assert np.abs(first["albedo"] - other["albedo"]).max() > 0


def test_a_textured_model_survives_saving(tmp_path):
    model = models.TexturedRenderNet.from_preset("tiny")
    inputs = {**_inputs(n=16), "texture_code": tf.ones([2, 8])}
    model(inputs)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(
        loaded(inputs)["albedo"], model(inputs)["albedo"], atol=1e-6
    )


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: models.RenderNet.from_preset("huge"), "preset"),
        (lambda: models.RenderNet(**MINI, channels=2), "channels"),
        (lambda: models.RenderNet({"filters_2d": 8}), "widths"),
        (lambda: models.RenderNet(**MINI, keep_prob=0.0), "keep_prob"),
        (lambda: models.RenderNet(**MINI)(_inputs(n=16)), "voxels"),
        (lambda: models.texture_decoder(grid_size=7), "grid_size"),
    ],
)
def test_a_bad_setting_is_named(build, message):
    with pytest.raises(ValueError, match=message):
        build()
