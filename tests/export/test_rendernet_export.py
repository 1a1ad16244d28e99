"""The served RenderNet: signatures, guards, LiteRT."""

import math

import numpy as np
import pytest
import tensorflow as tf

from tests.tools import programs
from tfrender import models
from tfrender.export import inspect, lite, saved_model, stock_ops
from tfrender.export import rendernet as export_rendernet
from tfrender.layers import PhongShader


@pytest.fixture(scope="module")
def model():
    return programs.mini_model()


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    target = tmp_path_factory.mktemp("export") / "model"
    return export_rendernet.write(str(target), model, shaded=True)


@pytest.fixture(scope="module")
def shaded(folder):
    return saved_model.load_signature(folder, "shaded")


@pytest.fixture(scope="module")
def plain(folder):
    return saved_model.load_signature(folder)


def inputs(batch=2, n=8):
    generator = np.random.default_rng(batch)
    voxels = generator.random((batch, n, n, n, 1)) > 0.6
    pose = np.stack(
        [
            generator.uniform(0, 360, batch),
            generator.uniform(10, 170, batch),
            generator.uniform(2.9, 4.5, batch),
        ],
        axis=-1,
    )
    return {"voxels": voxels.astype("f"), "pose": pose.astype("f")}


def test_signatures_have_the_documented_names_and_a_free_batch(folder):
    wires = inspect.signatures(folder)
    assert set(wires) == {"serving_default", "shaded"}
    shapes = {
        name: {
            key: spec.shape.as_list()
            for key, spec in {**wire.inputs, **wire.outputs}.items()
        }
        for name, wire in wires.items()
    }
    common = {"voxels": [None, 8, 8, 8, 1], "pose": [None, 3]}
    picture = [None, 64, 64, 3]
    assert shapes["serving_default"] == {**common, "image": picture}
    light = {"light": [None, 2], "shaded": picture, "normal": picture}
    assert shapes["shaded"] == {**common, **light}


def test_a_grey_model_has_no_light(tmp_path):
    folder = programs.write_model(tmp_path / "grey", channels=1)
    assert set(inspect.signatures(folder)) == {"serving_default"}
    image = saved_model.load_signature(folder)(**inputs(1))["image"]
    assert image.shape == (1, 64, 64, 1)


@pytest.mark.parametrize("batch", [0, 1, 3, 16])
def test_a_reloaded_model_draws_the_same_picture(model, plain, batch):
    given = inputs(batch)
    image = plain(**given)["image"]
    assert image.shape == (batch, 64, 64, 3)
    if batch:
        expected = model({name: tf.constant(v) for name, v in given.items()})
        np.testing.assert_allclose(image, expected, atol=1e-5)


def test_batched_requests_are_answered_as_single_ones(plain):
    given = inputs(3)
    together = plain(**given)["image"]
    for i in range(3):
        single = plain(**{name: v[i : i + 1] for name, v in given.items()})["image"]
        np.testing.assert_allclose(single[0], together[i], atol=1e-5)


def test_the_shaded_picture_is_the_demo_of_the_original(shaded, plain):
    given = inputs(2)
    light = np.array([[250.0, 60.0], [90.0, 90.0]], np.float32)
    found = shaded(**given, light=light)
    np.testing.assert_allclose(found["normal"], plain(**given)["image"], atol=1e-5)
    phong = PhongShader(ambient=0.1, diffuse=0.9, mask_offset=150.0)
    expected = phong(tf.constant(found["normal"]), tf.constant(light))
    np.testing.assert_allclose(found["shaded"], expected, atol=1e-5)


def test_azimuths_are_taken_modulo_a_turn(plain):
    given = inputs(1)
    first = plain(**given)["image"]
    given["pose"] = given["pose"] + np.array([[-720.0, 0, 0]], np.float32)
    np.testing.assert_allclose(plain(**given)["image"], first, atol=2e-3)


def changed(name, value, index=None):
    given = {**inputs(2), "light": np.full((2, 2), 60.0, np.float32)}
    if index is None:
        given[name] = value
    else:
        given[name][index] = value
    return given


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (changed("voxels", math.nan, (0, 0, 0, 0, 0)), "`voxels` holds NaN or Inf"),
        (changed("voxels", 1.5, (1, 0, 0, 0, 0)), "`voxels` must be at most 1"),
        (changed("voxels", -0.5, (1, 0, 0, 0, 0)), "`voxels` must be at least 0"),
        (changed("pose", math.nan, (0, 0)), "`pose` holds NaN or Inf"),
        (changed("pose", 181.0, (0, 1)), "`pose_polar` must be at most 180"),
        (changed("pose", -1.0, (0, 1)), "`pose_polar` must be at least 0"),
        (changed("pose", 0.0, (0, 2)), "`pose_radius` must be at least 0.5"),
        (changed("pose", 1e9, (0, 2)), "`pose_radius` must be at most 100"),
        (changed("light", math.inf, (1, 0)), "`light` holds NaN or Inf"),
        (changed("voxels", np.zeros((2, 8, 8, 8), "f")), "`voxels` must be"),
        (changed("voxels", np.zeros((2, 9, 8, 8, 1), "f")), "`voxels` must be"),
        (changed("pose", np.full((2, 2), 60.0, "f")), "`pose` must be"),
        (changed("pose", np.full((1, 3), 60.0, "f")), "`voxels` and `pose` must hold"),
        (changed("light", np.full((1, 2), 60.0, "f")), "`pose` and `light` must hold"),
        (inputs(2), "expected inputs"),
    ],
)
def test_a_bad_request_is_answered_with_one_line(shaded, given, message):
    with pytest.raises(ValueError, match=message) as caught:
        shaded(**given)
    assert "\n" not in str(caught.value)


def test_a_server_refuses_what_the_client_did_not_check(folder):
    loaded = tf.saved_model.load(folder)  # as a server does it
    function = loaded.signatures["serving_default"]
    good = {name: tf.constant(v) for name, v in inputs(2).items()}
    for bad in (tf.zeros([2, 8, 8, 8]), tf.zeros([2, 9, 8, 8, 1])):
        with pytest.raises(tf.errors.InvalidArgumentError):
            function(voxels=bad, pose=good["pose"])
    assert function(**good)["image"].shape == (2, 64, 64, 3)


def test_a_request_of_too_many_pictures_is_refused(plain):
    with pytest.raises(ValueError, match="holds more than 16 examples"):
        plain(**inputs(17))


def test_the_model_holds_stock_ops_only(folder):
    inspect.check_stock_ops(folder)
    ops = set(inspect.list_ops(folder))
    assert ops <= stock_ops.STOCK_OPS | stock_ops.SAVER_OPS
    assert not any("Xla" in op or "Random" in op for op in ops)


def test_a_compiled_resampler_is_exported_without_xla_and_stays_compiled(tmp_path):
    model = models.RenderNet(**programs.MINI, jit_compile_resampling=True)
    folder = export_rendernet.write(str(tmp_path / "m"), model, shaded=False)
    assert model.resampler.jit_compile
    assert "_XlaMustCompile" not in str(inspect._graph(folder).graph_def)
    image = saved_model.load_signature(folder)(**inputs(1))["image"]
    expected = model({name: tf.constant(v) for name, v in inputs(1).items()})
    np.testing.assert_allclose(image, expected, atol=1e-5)


def test_numbered_models_stand_side_by_side(model, tmp_path):
    for number in ("1", "2"):
        written = export_rendernet.write(str(tmp_path), model, False, numbered=True)
        assert written == str(tmp_path / number)


def test_the_tiny_preset_runs_in_litert_and_agrees(tmp_path):
    model = models.RenderNet.from_preset("tiny")
    path = str(tmp_path / "tiny.tflite")
    lite.write_lite(path, export_rendernet.lite_function(model))
    lite_model = lite.LiteModel(path)
    assert lite_model.inputs == {"pose": (1, 3), "voxels": (1, 32, 32, 32, 1)}
    given = inputs(1, 32)
    expected = model({name: tf.constant(v) for name, v in given.items()})
    found = lite_model(**given)["image"]
    assert found.shape == (1, 256, 256, 3)
    np.testing.assert_allclose(found, expected, atol=1e-3)
    given["pose"][0, 2] = math.nan
    with pytest.raises(ValueError, match="`pose` holds NaN"):
        lite_model(**given)
