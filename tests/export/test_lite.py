"""TFLite files: the numbers of the model, and the guards that conversion drops."""

import os

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfrender.export import lite
from tfrender.io.errors import FormatError


class Network(tf.Module):
    """A 3D and a 2D convolution: what the models of this library are made of."""

    def __init__(self):
        super().__init__()
        keras.utils.set_random_seed(0)
        self.model = keras.Sequential(
            [
                keras.Input([4, 6, 5, 1]),
                keras.layers.Conv3D(4, 3, padding="same", activation="relu"),
                keras.layers.Reshape([4, 6, 20]),
                # Smaller weights than 1024 numbers would not be quantised.
                keras.layers.Conv2D(8, 3, padding="same", activation="sigmoid"),
            ]
        )
        self.render = tf.function(
            lambda voxels, gain: {
                "rgb": self.model(voxels) * gain[:, None, None, None],
                "gain_squared": gain**2,
            },
            input_signature=[
                tf.TensorSpec([None, 4, 6, 5, 1], tf.float32, name="voxels"),
                tf.TensorSpec([None], tf.float32, name="gain"),
            ],
        )


def request(batch=2):
    generator = np.random.default_rng(batch)
    return {
        "voxels": generator.random((batch, 4, 6, 5, 1), np.float32),
        "gain": generator.random(batch, np.float32),
    }


@pytest.fixture(scope="module")
def network():
    return Network()


@pytest.fixture(scope="module")
def files(network, tmp_path_factory):
    folder = tmp_path_factory.mktemp("lite")
    paths = {}
    for kind in lite.KINDS:
        paths[kind] = str(folder / f"{kind}.tflite")
        size = lite.write_lite(
            paths[kind], network.render.get_concrete_function(), kind
        )
        assert size == os.path.getsize(paths[kind])
    assert len(os.listdir(folder)) == len(lite.KINDS)
    return paths


def reference(network):
    return lambda **inputs: {
        name: value.numpy()
        for name, value in network.render(
            **{name: tf.constant(array) for name, array in inputs.items()}
        ).items()
    }


@pytest.mark.parametrize(
    ("kind", "error"), [("float32", 2e-6), ("float16", 1e-3), ("dynamic_int8", 0.02)]
)
@pytest.mark.parametrize("batch", [1, 2, 3])
def test_numbers_and_names_survive_at_any_batch(network, files, kind, error, batch):
    model = lite.LiteModel(files[kind])
    assert model.inputs == {"gain": (None,), "voxels": (None, 4, 6, 5, 1)}
    assert model.outputs == ["gain_squared", "rgb"]
    inputs = request(batch)
    found, expected = model(**inputs), reference(network)(**inputs)
    for name in expected:
        assert found[name].shape == expected[name].shape
        np.testing.assert_allclose(found[name], expected[name], atol=error)


def test_one_file_serves_growing_and_shrinking_batches(network, files):
    model = lite.LiteModel(files["float32"])
    for batch in (1, 4, 2):
        inputs = request(batch)
        expected = reference(network)(**inputs)["rgb"]
        np.testing.assert_allclose(model(**inputs)["rgb"], expected, atol=2e-6)


@pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated")
def test_the_interpreter_inside_tensorflow_agrees(network, files, monkeypatch):
    monkeypatch.setattr(lite, "_interpreter", lambda: tf.lite.Interpreter)
    inputs = request()
    found = lite.LiteModel(files["float32"], threads=1)(**inputs)["rgb"]
    np.testing.assert_allclose(found, reference(network)(**inputs)["rgb"], atol=2e-6)


def test_the_table_row_measures_size_time_and_error(network, files):
    rows = [lite.compare(files[k], reference(network), request()) for k in lite.KINDS]
    assert [row["file"] for row in rows] == [f"{kind}.tflite" for kind in lite.KINDS]
    assert rows[0]["bytes"] > rows[1]["bytes"]
    assert all(row["milliseconds"] > 0 for row in rows)
    assert rows[0]["psnr"] > rows[1]["psnr"] > rows[2]["psnr"] > 30
    assert rows[0]["max error"] <= 2e-6


def test_a_comparison_of_other_outputs_is_refused(files):
    with pytest.raises(ValueError, match=r"\['depth'\]"):
        lite.compare(files["float32"], lambda **_: {"depth": np.zeros(2)}, request())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"voxels": np.zeros([2, 4, 6, 4, 1])},
            r"\[None, 4, 6, 5, 1\]; got \[2, 4, 6, 4",
        ),
        ({"voxels": np.zeros([2, 4, 6, 5])}, r"`voxels` must be .*got \[2, 4, 6, 5\]"),
        ({"gain": np.array([1, np.nan])}, "`gain` holds NaN or Inf"),
        ({"gain": np.array(["a", "b"])}, "`gain` must hold numbers"),
        ({"size": np.zeros(2)}, r"expected inputs \['gain', 'voxels'\]"),
    ],
)
def test_a_bad_input_is_named_before_the_interpreter_sees_it(files, change, message):
    with pytest.raises(ValueError, match=message):
        lite.LiteModel(files["float32"])(**{**request(), **change})


def test_an_op_without_a_lite_form_is_named_and_leaves_no_file(tmp_path):
    module = tf.Module()
    module.serve = tf.function(
        lambda x: {"y": tf.linalg.inv(x)},
        input_signature=[tf.TensorSpec([None, 3, 3], tf.float32, name="x")],
    )
    with pytest.raises(ValueError, match="no TFLite form of MatrixInverse"):
        lite.write_lite(
            str(tmp_path / "x.tflite"), module.serve.get_concrete_function()
        )
    assert os.listdir(tmp_path) == []


def test_unknown_kinds_and_ranks_are_refused(network, tmp_path):
    function = network.render.get_concrete_function()
    with pytest.raises(ValueError, match="`kind`.*int4"):
        lite.write_lite(str(tmp_path / "x.tflite"), function, "int4")
    free = tf.function(
        lambda x: {"y": x}, input_signature=[tf.TensorSpec(None, tf.float32, name="x")]
    )
    with pytest.raises(ValueError, match="`x` must have a known rank"):
        lite.write_lite(str(tmp_path / "x.tflite"), free.get_concrete_function())


@pytest.mark.parametrize(
    "content", [b"", b"not a model", b"\x1c\0\0\0TFL3" + b"\xff" * 99]
)
def test_a_broken_file_is_named(tmp_path, content):
    path = tmp_path / "broken.tflite"
    path.write_bytes(content)
    with pytest.raises(FormatError, match="broken.tflite"):
        lite.LiteModel(str(path))
    with pytest.raises(FileNotFoundError, match="none.tflite"):
        lite.LiteModel(str(tmp_path / "none.tflite"))
