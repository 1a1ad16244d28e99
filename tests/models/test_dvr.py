"""Claims of the DVR model."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfrender import cameras, models
from tfrender.models import dvr

SIZE = (10, 14)


def camera():
    view = cameras.orbit(20.0, 10.0, 2.0)
    return cameras.Camera(view, cameras.perspective(35.0, SIZE[1] / SIZE[0]))


@pytest.mark.parametrize("preset", dvr.PRESETS)
def test_presets_say_what_is_built(preset):
    settings = dvr.PRESETS[preset]
    if settings.get("encoder", "none") != "none":
        settings = {**settings, "encoder": "small"}  # quick to build
    model = models.DVR.from_preset(preset, encoder=settings.get("encoder", "none"))
    assert model.field.hidden_size == settings["hidden_size"]
    assert (model.encoder is None) == (model.code_size == 0)


def test_a_sphere_is_rendered_at_its_depth():
    keras.utils.set_random_seed(0)
    model = models.DVR(hidden_size=64, blocks=1)
    model.field.begin_as_sphere(0.3)
    found = model.render(camera(), SIZE, samples=64)
    assert found["rgb"].shape == (1, *SIZE, 3)
    middle = found["depth"][0, SIZE[0] // 2, SIZE[1] // 2, 0]
    np.testing.assert_allclose(middle, 2.0 - 0.3, atol=0.06)
    np.testing.assert_array_equal(found["depth"] > 0, found["mask"] > 0)
    assert found["mask"][0, 0, 0, 0] == 0.0
    np.testing.assert_array_equal(found["rgb"][0, 0, 0], np.ones(3))


def test_codes_come_from_pictures_or_numbers():
    pictures = models.DVR(8, 1, code_size=5, encoder="small", input_size=32)
    image = tf.random.stateless_uniform([2, 32, 32, 3], [0, 1])
    code = pictures.encode(image)
    assert code.shape == (2, 5) and code.dtype == tf.float32
    points = tf.zeros([2, 3, 3])
    np.testing.assert_allclose(pictures(points, image), pictures.field(points, code))
    numbers = models.DVR(8, 1, code_size=5, encoder="embedding", objects=4)
    codes = numbers.encode(tf.constant([3, 3, 0]))
    np.testing.assert_array_equal(codes[0], codes[1])
    assert np.abs(codes[0] - codes[2]).max() > 0
    assert models.DVR(8, 1).encode(None) is None


def test_it_survives_a_file(tmp_path):
    model = models.DVR(8, 1, code_size=5, encoder="embedding", objects=2)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    source, points = tf.constant([1]), tf.ones([1, 3, 3])
    np.testing.assert_array_equal(loaded(points, source), model(points, source))


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"encoder": "vgg"}, "`encoder` must be one of"),
        ({"encoder": "small"}, "`code_size` must be 0 without an encoder"),
        ({"code_size": 4}, "`code_size` must be 0 without an encoder"),
        ({"code_size": 4, "encoder": "embedding"}, "`objects` must lie in"),
    ],
)
def test_settings_are_checked(settings, expected):
    with pytest.raises(ValueError, match=expected):
        models.DVR(8, 1, **settings)


def test_an_unknown_preset_is_named():
    with pytest.raises(ValueError, match="`preset` must be one of"):
        models.DVR.from_preset("huge")
