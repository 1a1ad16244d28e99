"""Claims of tools.reconstructor_loading."""

import pathlib
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.tools import reconstruction_records as made
from tfrender import models
from tfrender.export.saved_model import write_saved_model
from tfrender.optimizers import SkipZeroAdam
from tools import reconstructor_loading as loading
from trainers.checkpoints import Checkpoints

FLAGS = "--preset={}\n--lambda_color={}\n--margin=0.01\n--dropout=0.1\n--export={}\n"


def network(**settings):
    return models.MeshReconstructor.from_preset(
        "tiny", image_size=64, margin=0.01, dropout=0.1, **settings
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run as the trainer leaves it before its export, and its model."""
    folder = tmp_path_factory.mktemp("run")
    keras.utils.set_random_seed(3)
    model = network(colors=True)
    checkpoints = Checkpoints(folder / "checkpoints", model, SkipZeroAdam(1e-3))
    first = [np.array(value) for value in model.get_weights()]
    checkpoints.save_best(5, 0.5, {}, "max")
    model.set_weights([0.5 * value for value in first])
    checkpoints.save(12)
    (folder / "flags.cfg").write_text(FLAGS.format("tiny", 0.5, "last"))
    return folder, model, first


def copy(run, tmp_path, text):
    folder = tmp_path / "copy"
    shutil.copytree(run[0], folder)
    (folder / "flags.cfg").write_text(text)
    return folder


IMAGE = np.random.default_rng(0).uniform(0, 1, (64, 64, 4)).astype(np.float32)


@pytest.mark.parametrize("export", ["last", "best"])
def test_the_checkpoint_of_a_run_answers_as_its_model(run, tmp_path, export):
    _, model, first = run
    folder = copy(run, tmp_path, FLAGS.format("tiny", 0.5, export))
    loaded = loading.load(str(folder))
    step = {"last": "ckpt-12", "best": "best/ckpt-5"}[export]
    assert loaded.name.endswith(step) and loaded.image_size == 64
    shape = loaded(IMAGE)
    twin = network(colors=True)
    twin.set_weights(model.get_weights() if export == "last" else first)
    want = twin(IMAGE[None])
    np.testing.assert_allclose(shape.vertices, want["vertices"][0], atol=1e-6)
    np.testing.assert_allclose(shape.colors, want["colors"][0], atol=1e-6)
    np.testing.assert_array_equal(shape.faces, model.faces)


@pytest.mark.parametrize("shared_faces", [True, False])
def test_an_export_is_taken_first_wherever_it_lies(run, tmp_path, shared_faces):
    folder = copy(run, tmp_path, "")
    made.write_network(folder / "saved_model", shared_faces=shared_faces, side=32)
    for place in (folder, folder / "saved_model"):
        loaded = loading.load(str(place))
        assert loaded.image_size == 32
        shape = loaded(np.zeros([32, 32, 4], np.float32))
        np.testing.assert_allclose(np.linalg.norm(shape.vertices, axis=-1), 0.3, 1e-3)
        assert shape.faces.shape == (1280, 3) and shape.colors is None


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (FLAGS.format("small", 0.5, "last"), "not the weights of the preset 'small'"),
        (FLAGS.format("large", 0.5, "last"), "flags.cfg: `preset` must be one of"),
        ("--preset=tiny\n", "expected a run of .*; --lambda_color is missing"),
    ],
)
def test_weights_that_do_not_fit_the_flags_are_refused(run, tmp_path, flags, message):
    with pytest.raises(ValueError, match=message):
        loading.load(str(copy(run, tmp_path, flags)))


def test_damaged_lost_and_missing_weights_are_told(run, tmp_path):
    folder = copy(run, tmp_path, FLAGS.format("tiny", 0.0, "last"))
    for path in (folder / "checkpoints").glob("ckpt-12.data*"):
        path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match="ckpt-12: damaged, or not the weights"):
        loading.load(str(folder))
    for path in (folder / "checkpoints").glob("ckpt-*"):
        path.unlink()
    with pytest.raises(FileNotFoundError, match="expected a checkpoint; got none"):
        loading.load(str(folder))
    (folder / "flags.cfg").unlink()
    with pytest.raises(FileNotFoundError, match="found checkpoints"):
        loading.load(str(folder))
    with pytest.raises(FileNotFoundError, match="no such folder"):
        loading.load(str(tmp_path / "none"))


@pytest.mark.parametrize(
    ("name", "shape", "outputs", "message"),
    [
        ("voxels", [None, 8, 8, 8], "vertices", r"of `image` .* got inputs {'voxels'"),
        ("image", [None, 8, 9, 4], "vertices", r"\[B, S, S, 4\]; got"),
        ("image", [None, 8, 8, 4], "points", "expected outputs vertices .* 'points'"),
    ],
)
def test_a_model_of_another_kind_is_refused(tmp_path, name, shape, outputs, message):
    @tf.function(input_signature=[tf.TensorSpec(shape, tf.float32, name=name)])
    def answer(value):
        return {outputs: value[:, :, :, :3], "faces": value}

    functions = {"serving_default": answer.get_concrete_function()}
    module = tf.Module()
    module.weight = tf.Variable(1.0)
    write_saved_model(str(tmp_path / "model"), module, functions)
    with pytest.raises(ValueError, match=message):
        loading.load(str(tmp_path / "model"))


def test_a_model_for_pictures_of_another_size_is_refused_where_one_is_needed(tmp_path):
    model = made.write_network(tmp_path / "model", side=32)
    assert set(loading.load_signature(model, 32).outputs) == {"vertices", "faces"}
    with pytest.raises(ValueError, match=r"\[B, 64, 64, 4\]; got inputs .*32, 32"):
        loading.load_signature(model, 64)


def test_answers_that_are_not_finite_are_refused(tmp_path):
    made.write_network(tmp_path / "model", value=np.nan)
    loaded = loading.load(str(tmp_path / "model"))
    with pytest.raises(ValueError, match="answered vertices that are not finite"):
        loaded(np.zeros([64, 64, 4], np.float32))


def test_flags_name_one_folder():
    root = pathlib.Path(__file__).parents[2]  # wherever the program is started
    assert pathlib.Path(loading.SHIPPED).parents[1] == root
    assert loading.choose_folder(None, "./data/models", None) == loading.SHIPPED
    assert loading.choose_folder("x", "./data/models", None) == "x"
    assert loading.choose_folder(None, "a", "b") == "a/b"
    with pytest.raises(ValueError, match="expected one of the two"):
        loading.choose_folder("x", "a", "b")
