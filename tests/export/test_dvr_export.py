"""A served field, its encoder and its pictures."""

import subprocess
import sys
import textwrap

import numpy as np
import pytest
import tensorflow as tf

from tfrender import cameras
from tfrender.export import dvr as export_dvr
from tfrender.export import lite, saved_model
from tfrender.models import DVR

SIZE = (7, 9)
SIDE = 64
NAMES = ("field", "serving_default", "encode")


def shaped(model):
    """The model with an octahedron in it, |x| + |y| + |z| < 0.4, moved by the code."""
    generator = np.random.default_rng(0)
    field = model.field
    for _, second in field.pairs:
        second.set_weights([np.zeros(w.shape) for w in second.get_weights()])
    kernel = generator.normal(size=field.first.kernel.shape)
    kernel[:, :6] = np.concatenate([np.eye(3), -np.eye(3)], axis=1)
    field.first.set_weights([kernel, np.zeros(field.first.bias.shape)])
    kernel = generator.normal(size=field.last.kernel.shape)
    kernel[:, 0] = 0.0
    kernel[:6, 0] = -5.0
    bias = np.zeros(field.last.bias.shape)
    bias[0] = 2.0
    field.last.set_weights([kernel, bias])
    for layer in field.code_layers:
        layer.kernel.assign(0.1 * generator.normal(size=layer.kernel.shape))
    return model


def load(folder, names=NAMES):
    return [saved_model.load_signature(folder, name) for name in names]


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    """A model of one object and its two signatures."""
    model = shaped(DVR.from_preset("tiny"))
    folder = export_dvr.write(
        str(tmp_path_factory.mktemp("one") / "model"), model, SIZE, 16, threshold=0.6
    )
    return model, folder, *load(folder, NAMES[:2])


@pytest.fixture(scope="module")
def guided(tmp_path_factory):
    """A model with an encoder and its three signatures."""
    model = DVR.from_preset("tiny", encoder="small", code_size=5, input_size=SIDE)
    folder = tmp_path_factory.mktemp("guided") / "model"
    return shaped(model), *load(export_dvr.write(str(folder), model, SIZE, 16))


def camera(batch=2):
    azimuth = np.linspace(0.0, 90.0, batch)
    view = cameras.orbit(azimuth, 20.0 + 0 * azimuth, 1.6 + 0 * azimuth)
    projection = cameras.perspective(60.0 + 0 * azimuth, SIZE[1] / SIZE[0])
    return cameras.Camera(view, projection)


def points(batch=2, count=6):
    values = np.random.default_rng(1).uniform(-0.5, 0.5, (batch, count, 3))
    return values.astype(np.float32)


def pictures(batch=2):
    values = np.random.default_rng(2).uniform(size=(batch, SIDE, SIDE, 3))
    return values.astype(np.float32)


def test_the_field_is_served_around_its_threshold(one):
    model, _, field, _ = one
    found = field(points=points())
    logits = model.field(points()).numpy()
    np.testing.assert_allclose(
        found["occupancy"], logits[..., 0] - np.log(0.6 / 0.4), atol=1e-5
    )
    color = 1 / (1 + np.exp(-logits[..., 1:]))
    np.testing.assert_allclose(found["color"], color, atol=1e-5)
    assert np.ptp(found["occupancy"]) > 0.1


def test_pictures_are_those_of_the_model(one):
    model, _, _, serve = one
    found = serve(**camera()._asdict())
    wanted = model.render(camera(), SIZE, samples=16, threshold=0.6)
    assert set(found) == {"rgb", "alpha", "depth", "mask", "normal"}
    assert 0 < found["mask"].mean() < 1
    for name, value in found.items():
        np.testing.assert_allclose(value, wanted[name], atol=1e-5, err_msg=name)


def test_a_picture_gives_the_code_that_the_field_takes(guided):
    model, field, serve, encode = guided
    code = encode(image=pictures())["code"]
    np.testing.assert_allclose(code, model.encode(pictures()), atol=1e-5)
    logits = model.field(points(), code)
    found = field(points=points(), code=code)
    np.testing.assert_allclose(found["occupancy"], logits[..., 0], atol=1e-5)
    found = serve(**camera()._asdict(), image=pictures())
    wanted = model.render(camera(), SIZE, code, samples=16)
    np.testing.assert_allclose(found["depth"], wanted["depth"], atol=1e-5)


def test_codes_of_numbered_objects_are_served(tmp_path):
    model = shaped(DVR.from_preset("tiny", encoder="embedding", code_size=3, objects=4))
    folder = export_dvr.write(str(tmp_path / "model"), model, SIZE, 8)
    field, serve, encode = load(folder)
    code = encode(object_id=[3, 0])["code"]
    np.testing.assert_allclose(code, model.encode(np.array([3, 0])), atol=1e-6)
    assert serve(**camera()._asdict(), object_id=[0, 1])["rgb"].shape == (2, *SIZE, 3)
    assert field(points=points(), code=code)["color"].shape == (2, 6, 3)
    with pytest.raises(ValueError, match="`object_id` must be at most 3"):
        encode(object_id=[4])


def test_a_shape_without_colours_serves_none(tmp_path):
    model = shaped(DVR.from_preset("tiny", colors=False))
    folder = export_dvr.write(str(tmp_path / "model"), model, SIZE, 8)
    field, serve = load(folder, NAMES[:2])
    assert set(field.outputs) == {"occupancy"}
    assert set(serve(**camera()._asdict())) == {"alpha", "depth", "mask", "normal"}


def test_the_graph_of_the_field_has_gradients(one):
    model, _, field, _ = one
    where = tf.constant(points())
    slopes = []
    for logits in (
        lambda: field.graph(points=where)["occupancy"],
        lambda: model.field(where)[..., 0],
    ):
        with tf.GradientTape() as tape:
            tape.watch(where)
            total = tf.reduce_sum(logits())
        slopes.append(tape.gradient(total, where))
    np.testing.assert_allclose(*slopes, atol=1e-5)


def test_nothing_is_answered_for_nothing(one, guided):
    _, _, field, serve = one
    assert field(points=points(0))["occupancy"].shape == (0, 6)
    assert field(points=points(1, 0))["color"].shape == (1, 0, 3)
    empty = cameras.Camera(*(np.asarray(part)[:0] for part in camera()))
    assert serve(**empty._asdict())["rgb"].shape == (0, *SIZE, 3)
    assert guided[3](image=pictures(0))["code"].shape == (0, 5)
    answer = guided[2](**empty._asdict(), image=pictures(0))
    assert answer["normal"].shape == (0, *SIZE, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"projection": np.zeros((2, 4, 4))}, "`projection` must have an extent"),
        ({"projection": np.eye(4)[np.newaxis]}, "must hold as many examples"),
        ({"world_to_camera": 2 * np.stack(2 * [np.eye(4)])}, "must be a rotation and"),
        ({"world_to_camera": np.full((2, 4, 4), np.nan)}, "`world_to_camera` holds"),
        ({"world_to_camera": np.zeros((2, 3, 4))}, "`world_to_camera` must be"),
    ],
)
def test_a_bad_camera_is_named(one, change, message):
    with pytest.raises(ValueError, match=message):
        one[3](**{**camera()._asdict(), **change})


def test_other_bad_requests_are_named(one, guided):
    field, encode, serve = one[2], guided[3], guided[2]
    with pytest.raises(ValueError, match="`points` must be at most 1000"):
        field(points=np.full((1, 2, 3), 2e3))
    with pytest.raises(ValueError, match="`points` holds NaN"):
        field(points=np.full((1, 2, 3), np.nan))
    with pytest.raises(ValueError, match="more than 262144 points"):
        field(points=np.zeros((2, 2**17 + 1, 3)))
    with pytest.raises(ValueError, match="as many examples"):
        guided[1](points=points(2), code=np.zeros((1, 5)))
    with pytest.raises(ValueError, match="`image` must be at most 1"):
        encode(image=2 * pictures() + 1)
    with pytest.raises(ValueError, match="as many examples"):
        serve(**camera()._asdict(), image=pictures(1))
    with pytest.raises(ValueError, match="more than 64 examples"):
        encode(image=np.zeros((65, SIDE, SIDE, 3)))


def test_settings_out_of_range_are_named(one):
    with pytest.raises(ValueError, match="`image_size` must have at most"):
        export_dvr.signatures(one[0], (2048, 2048))
    with pytest.raises(ValueError, match="`threshold` must lie in"):
        export_dvr.signatures(one[0], SIZE, threshold=1.0)
    with pytest.raises(ValueError, match="`points` must lie in"):
        export_dvr.lite_function(one[0], 0)


@pytest.mark.slow  # test_drwr_export.py does the same with another model
def test_a_process_without_the_package_gives_the_same_numbers(one, tmp_path):
    _, folder, field, serve = one
    request = {"points": points(), **camera()._asdict()}
    np.savez(tmp_path / "request.npz", **request)
    code = f"""
        import sys
        import numpy as np, tensorflow as tf
        loaded = tf.saved_model.load({folder!r})
        request = {{k: tf.constant(v) for k, v in np.load("request.npz").items()}}
        found = loaded.signatures["field"](points=request.pop("points"))
        found |= loaded.signatures["serving_default"](**request)
        assert not any(name.startswith("tfrender") for name in sys.modules)
        np.savez("answer.npz", **{{k: v.numpy() for k, v in found.items()}})
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    wanted = field(points=request.pop("points")) | serve(**request)
    with np.load(tmp_path / "answer.npz") as answer:
        assert set(answer.files) == set(wanted)
        for name in wanted:
            np.testing.assert_allclose(answer[name], wanted[name], atol=1e-5)


@pytest.mark.parametrize("kind", ["one", "guided"])
def test_a_lite_file_gives_the_same_field(request, kind, tmp_path):
    model, *rest = request.getfixturevalue(kind)
    field = rest[1] if kind == "one" else rest[0]
    path = str(tmp_path / "field.tflite")
    threshold = 0.6 if kind == "one" else 0.5
    lite.write_lite(path, export_dvr.lite_function(model, 6, threshold))
    inputs = {"points": points(1)}
    if kind == "guided":
        inputs["code"] = np.random.default_rng(3).normal(size=(1, 5))
    got, wanted = lite.LiteModel(path)(**inputs), field(**inputs)
    assert set(got) == set(wanted) == {"occupancy", "color"}
    for name in wanted:
        np.testing.assert_allclose(got[name], wanted[name], atol=1e-3)
