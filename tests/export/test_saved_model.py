"""SavedModels: what a client is told, what a server can load, what is never visible."""

import concurrent.futures
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfrender.export import saved_model
from tfrender.io.errors import FormatError


class Shader(tf.Module):
    """A Keras model behind two signatures: a picture, and its gradient."""

    def __init__(self):
        super().__init__()
        keras.utils.set_random_seed(0)
        self.model = keras.Sequential(
            [keras.Input([4, 6, 2]), keras.layers.Conv2D(3, 3, padding="same")]
        )
        self.forward = tf.function(self._forward, input_signature=self.specs())
        self.gradient = tf.function(self._gradient, input_signature=self.specs())

    def specs(self):
        return [
            tf.TensorSpec([None, 4, 6, 2], tf.float32, name="voxels"),
            tf.TensorSpec([None], tf.float32, name="radius"),
        ]

    def _forward(self, voxels, radius):
        voxels = saved_model.guard(voxels, [None, 4, 6, 2], "voxels", 0, 1, max_batch=8)
        radius = saved_model.guard(radius, [None], "radius", low=0.1, max_batch=8)
        return {"rgb": self.model(voxels) * radius[:, None, None, None]}

    def _gradient(self, voxels, radius):
        with tf.GradientTape() as tape:
            tape.watch(voxels)
            total = tf.reduce_sum(self._forward(voxels, radius)["rgb"] ** 2)
        return {"voxels_gradient": tape.gradient(total, voxels)}

    def signatures(self):
        return {
            "serving_default": self.forward.get_concrete_function(),
            "gradient": self.gradient.get_concrete_function(),
        }


@pytest.fixture(scope="module")
def shader():
    return Shader()


@pytest.fixture(scope="module")
def folder(shader, tmp_path_factory):
    target = tmp_path_factory.mktemp("models") / "shader"
    written = saved_model.write_saved_model(str(target), shader, shader.signatures())
    assert written == str(target)
    return written


def request(batch=2, seed=0):
    generator = np.random.default_rng(seed)
    return {
        "voxels": generator.random((batch, 4, 6, 2), np.float32),
        "radius": generator.uniform(1, 2, batch).astype(np.float32),
    }


class TestServed:
    def test_outputs_equal_the_model_at_any_batch(self, shader, folder):
        served = saved_model.load_signature(folder)
        for batch in (1, 2, 8):
            inputs = request(batch)
            found = served(**inputs)["rgb"]
            assert found.shape == (batch, 4, 6, 3)
            expected = shader.forward(**{k: tf.constant(v) for k, v in inputs.items()})
            np.testing.assert_allclose(found, expected["rgb"], atol=1e-6)

    def test_an_empty_batch_passes_the_guards(self, tmp_path):
        # Without a convolution: oneDNN's gives an empty batch the wrong channels.
        spec = tf.TensorSpec([None, 2], tf.float32, name="x")
        module = tf.Module()
        module.serve = tf.function(
            lambda x: {"y": 2 * saved_model.guard(x, [None, 2], "x", 0, 1)},
            input_signature=[spec],
        )
        concrete = module.serve.get_concrete_function()
        target = str(tmp_path / "model")
        saved_model.write_saved_model(target, module, {"serving_default": concrete})
        assert saved_model.load_signature(target)(x=np.zeros([0, 2]))["y"].shape == (
            0,
            2,
        )

    def test_names_shapes_and_types_are_those_of_the_signature(self, folder):
        served = saved_model.load_signature(folder)
        assert served.inputs["voxels"].shape.as_list() == [None, 4, 6, 2]
        assert sorted(served.inputs) == ["radius", "voxels"]
        assert list(served.outputs) == ["rgb"]

    def test_a_gradient_signature_differentiates_through_the_guards(self, folder):
        served = saved_model.load_signature(folder)
        gradient = saved_model.load_signature(folder, "gradient")
        inputs = request(1)
        exact = gradient(**inputs)["voxels_gradient"][0, 1, 2, 0]
        total = []
        for change in (0.01, -0.01):
            voxels = inputs["voxels"].copy()
            voxels[0, 1, 2, 0] += change
            total.append(np.sum(served(**{**inputs, "voxels": voxels})["rgb"] ** 2))
        np.testing.assert_allclose(exact, (total[0] - total[1]) / 0.02, rtol=1e-2)

    def test_two_requests_in_one_batch_are_answered_as_alone(self, folder):
        served = saved_model.load_signature(folder)
        first, second = request(2, seed=1), request(3, seed=2)
        both = {k: np.concatenate([first[k], second[k]]) for k in first}
        alone = [served(**first)["rgb"], served(**second)["rgb"]]
        np.testing.assert_array_equal(served(**both)["rgb"], np.concatenate(alone))

    def test_concurrent_calls_do_not_mix(self, folder):
        served = saved_model.load_signature(folder)
        inputs = [request(2, seed) for seed in range(32)]
        expected = [served(**x)["rgb"] for x in inputs]
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda x: served(**x)["rgb"], inputs))
        for left, right in zip(expected, found, strict=True):
            np.testing.assert_array_equal(left, right)


WITHOUT_TFRENDER = """
import sys
for name in ("tfrender", "trainers", "datasets", "tools"):
    sys.modules[name] = None  # importing any of them fails
import numpy as np, tensorflow as tf
arrays = np.load(sys.argv[2])
loaded = tf.saved_model.load(sys.argv[1])
inputs = {k: tf.constant(arrays[k]) for k in ("voxels", "radius")}
found = loaded.signatures["serving_default"](**inputs)["rgb"]
np.testing.assert_allclose(found, arrays["rgb"], atol=1e-6)
gradient = loaded.signatures["gradient"](**inputs)["voxels_gradient"]
np.testing.assert_allclose(gradient, arrays["gradient"], atol=1e-4)
try:
    loaded.signatures["serving_default"](**{**inputs, "radius": -inputs["radius"]})
except tf.errors.InvalidArgumentError as error:
    assert "`radius` must be at least 0.1" in str(error)
    print("guarded")
"""


def test_stock_tensorflow_alone_gives_the_same_numbers(folder, tmp_path):
    inputs = request()
    arrays = {
        **inputs,
        "rgb": saved_model.load_signature(folder)(**inputs)["rgb"],
        "gradient": saved_model.load_signature(folder, "gradient")(**inputs)[
            "voxels_gradient"
        ],
    }
    np.savez(tmp_path / "golden.npz", **arrays)
    found = subprocess.run(
        [sys.executable, "-c", WITHOUT_TFRENDER, folder, tmp_path / "golden.npz"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert found.stdout.strip() == "guarded", found.stderr[-2000:]


class TestGuards:
    """The raw signature is called, as a server does; it checks no shape itself."""

    @pytest.fixture(scope="class")
    def raw(self, folder):
        model = tf.saved_model.load(folder)
        signature = model.signatures["serving_default"]
        signature.model = model
        return signature

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"voxels": np.zeros([2, 5, 6, 2])}, "Shape of tensor voxels"),
            ({"voxels": np.zeros([2, 4, 6])}, "Shape of tensor voxels"),
            ({"voxels": np.full([2, 4, 6, 2], np.nan)}, "`voxels` holds NaN or Inf"),
            ({"radius": np.array([1, np.inf])}, "`radius` holds NaN or Inf"),
            ({"voxels": np.full([2, 4, 6, 2], 1.01)}, "`voxels` must be at most 1"),
            ({"voxels": np.full([2, 4, 6, 2], -0.01)}, "`voxels` must be at least 0"),
            ({"radius": np.array([1, 0.0])}, "`radius` must be at least 0.1"),
            ({"voxels": np.zeros([9, 4, 6, 2])}, "`voxels` holds more than 8 examples"),
        ],
    )
    def test_a_bad_input_is_named(self, folder, raw, change, message):
        inputs = {
            k: tf.constant(v, tf.float32) for k, v in {**request(), **change}.items()
        }
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            raw(**inputs)
        with pytest.raises(ValueError, match="voxels|radius") as error:
            saved_model.load_signature(folder)(**inputs)
        assert "\n" not in str(error.value)

    def test_integers_and_eager_calls_pass(self):
        found = saved_model.guard(tf.constant([1, 2]), [None], "faces", low=0, high=2)
        assert found.numpy().tolist() == [1, 2]
        with pytest.raises(tf.errors.InvalidArgumentError, match="`faces`"):
            saved_model.guard(tf.constant([3]), [None], "faces", high=2)

    def test_missing_and_unknown_inputs_are_listed(self, folder):
        served = saved_model.load_signature(folder)
        with pytest.raises(ValueError, match=r"\['radius', 'voxels'\].*\['voxel'\]"):
            served(voxel=np.zeros([1, 4, 6, 2]))


def concrete(function, *specs):
    return tf.function(function, input_signature=specs).get_concrete_function()


class TestWriting:
    def test_a_new_version_gets_the_next_number_and_keeps_the_old(
        self, shader, tmp_path
    ):
        (tmp_path / "7").mkdir()
        for expected in ("8", "9"):
            found = saved_model.write_saved_model(
                str(tmp_path), shader, shader.signatures(), numbered=True
            )
            assert os.path.basename(found) == expected
        assert sorted(os.listdir(tmp_path)) == ["7", "8", "9"]

    def test_no_number_is_ever_seen_incomplete(self, shader, tmp_path, monkeypatch):
        check = saved_model.inspect.check_stock_ops

        def look(directory, *arguments):
            assert [n for n in os.listdir(tmp_path) if n.isdigit()] == []
            check(directory, *arguments)

        monkeypatch.setattr(saved_model.inspect, "check_stock_ops", look)
        found = saved_model.write_saved_model(
            str(tmp_path), shader, shader.signatures(), numbered=True
        )
        names = [f for _, _, files in os.walk(found) for f in files]
        assert {"saved_model.pb", "variables.index"} <= set(names)

    def test_a_refused_model_leaves_the_old_one_alone(self, shader, folder):
        before = os.stat(os.path.join(folder, "saved_model.pb")).st_mtime_ns
        spec = tf.TensorSpec([None], tf.float32, name="x")
        bad = concrete(lambda x: {"y": tf.py_function(abs, [x], tf.float32)}, spec)
        with pytest.raises(FormatError, match="EagerPyFunc"):
            saved_model.write_saved_model(folder, shader, {"serving_default": bad})
        assert os.stat(os.path.join(folder, "saved_model.pb")).st_mtime_ns == before
        assert os.listdir(os.path.dirname(folder)) == [os.path.basename(folder)]

    def test_an_older_model_is_replaced_a_foreign_folder_is_not(self, shader, tmp_path):
        target = str(tmp_path / "model")
        for _ in range(2):
            saved_model.write_saved_model(target, shader, shader.signatures())
        assert os.listdir(tmp_path) == ["model"]
        (tmp_path / "photos").mkdir()
        (tmp_path / "photos" / "cat.png").write_text("")
        with pytest.raises(ValueError, match="photos: exists and is no SavedModel"):
            saved_model.write_saved_model(
                str(tmp_path / "photos"), shader, shader.signatures()
            )

    def test_weights_that_are_not_finite_are_not_exported(self, tmp_path):
        module = Shader()
        module.model.layers[0].bias.assign([1.0, np.nan, 0.0])
        with pytest.raises(ValueError, match="not finite"):
            saved_model.write_saved_model(
                str(tmp_path / "model"), module, module.signatures()
            )
        assert os.listdir(tmp_path) == []

    def test_a_signature_needs_names_a_free_batch_and_a_dict(self, shader, tmp_path):
        free = tf.TensorSpec([None, 2], tf.float32, name="x")
        cases = {
            "free first axis": concrete(
                lambda x: {"y": x}, tf.TensorSpec([1, 2], tf.float32, name="x")
            ),
            "dict of outputs": concrete(lambda x: x, free),
            "graph form": concrete(
                lambda x: {"y": tf.function(tf.exp, jit_compile=True)(x)}, free
            ),
        }
        for message, function in cases.items():
            with pytest.raises(ValueError, match=message):
                saved_model.write_saved_model(
                    str(tmp_path / "model"), shader, {"serving_default": function}
                )


class TestLoading:
    def test_what_is_wrong_is_one_line_that_names_the_folder(self, shader, tmp_path):
        with pytest.raises(FileNotFoundError, match="nowhere"):
            saved_model.load_signature(str(tmp_path / "nowhere"))
        target = str(tmp_path / "model")
        saved_model.write_saved_model(target, shader, shader.signatures())
        with pytest.raises(ValueError, match=r"'render'.*\['gradient', 'serving_def"):
            saved_model.load_signature(target, "render")
        index = os.path.join(target, "variables", "variables.index")
        os.rename(index, index + ".away")
        with pytest.raises(FormatError, match="model: the model is damaged"):
            saved_model.load_signature(target)
        path = os.path.join(target, "saved_model.pb")
        os.truncate(path, os.path.getsize(path) // 2)
        with pytest.raises(FormatError, match="saved_model.pb"):
            saved_model.load_signature(target)
