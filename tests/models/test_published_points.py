"""Weights of the originals, from checkpoints and arrays."""

import numpy as np
import pytest
import tensorflow as tf

from tests.golden import cases
from tfrender.io.errors import FormatError
from tfrender.models import PointCloudReconstructor
from tfrender.models.published_points import load_published

SIZES = {"points": 5, "input_size": 16, "filters": 2, "hidden_size": 3, "code_size": 4}


def published(drwr=True, seed=0):
    """Arrays of a small original by the names of its variables."""
    draw = np.random.default_rng(seed).normal
    width, points = SIZES["filters"], SIZES["points"]
    # One convolution, one block of two; 4 x 4 pixels are left.
    kernels = [(5, 5, 3, width), (3, 3, width, 2 * width), (3, 3, 2 * width, 2 * width)]
    dense = [(4 * 4 * 2 * width, 3), (3, 3), (3, 4)]
    heads = [3 * points, *([points, points] if drwr else []), 1]
    shapes = {"encoder/Conv": kernels, "encoder/fully_connected": dense}
    shapes["decoder/fully_connected"] = [(4, units) for units in heads]
    found = {"global_step": np.array(7, np.int64)}
    for start, every in shapes.items():
        for number, shape in enumerate(every):
            scope = start + (f"_{number}" if number else "")
            found[f"{scope}/weights"] = draw(size=shape).astype(np.float32)
            found[f"{scope}/biases"] = draw(size=shape[-1:]).astype(np.float32)
            found[f"{scope}/weights/Adam"] = np.zeros(shape, np.float32)
    return found


def save_checkpoint(prefix, arrays):
    """As a TensorFlow 1 saver does."""
    names, values = zip(*arrays.items(), strict=True)
    tf.raw_ops.SaveV2(
        prefix=str(prefix),
        tensor_names=names,
        shape_and_slices=[""] * len(names),
        tensors=[tf.constant(value) for value in values],
    )
    return prefix


def save_arrays(path, arrays):
    np.savez(path, **{"w__" + n.replace("/", "__"): v for n, v in arrays.items()})
    return path


def check(model, arrays, scale):
    names = {
        "encoder/Conv": "conv0",
        "encoder/Conv_1": "conv1a",
        "encoder/Conv_2": "conv1b",
        "encoder/fully_connected": "latent",
        "encoder/fully_connected_1": "hidden",
        "encoder/fully_connected_2": "code",
        "decoder/fully_connected": "points",
        scale: "scale",
    }
    for scope, layer in names.items():
        network = getattr(model, scope.partition("/")[0])
        kernel, bias = network.get_layer(layer).weights
        np.testing.assert_array_equal(kernel, arrays[f"{scope}/weights"])
        np.testing.assert_array_equal(bias, arrays[f"{scope}/biases"])


@pytest.mark.parametrize("drwr", [True, False])
def test_checkpoints_and_arrays_are_read(drwr, tmp_path):
    arrays = published(drwr)
    scale = "decoder/fully_connected" + ("_3" if drwr else "_1")
    prefix = save_checkpoint(tmp_path / "model-100000", arrays)
    path = save_arrays(tmp_path / "model.npz", arrays)
    for given in (prefix, f"{prefix}.index", path):
        model = PointCloudReconstructor(**SIZES)
        assert load_published(model, given) is model
        check(model, arrays, scale)


def test_a_tenth_layer_comes_after_the_ninth(tmp_path):
    path = cases.holding("drwr", "w__encoder__Conv__weights")[0]
    arrays = cases.load(path)
    numbers = range(1, 5)
    names = {f"w__encoder__Conv_{n}__": f"w__encoder__Conv_{n + 7}__" for n in numbers}
    renamed = {}
    for name, value in arrays.items():
        start = next((old for old in names if name.startswith(old)), None)
        renamed[name.replace(start, names[start]) if start else name] = value
    np.savez(tmp_path / "renamed.npz", **renamed)
    sizes = {
        "points": arrays["out__xyz"].shape[1],
        "input_size": arrays["image"].shape[1],
        "filters": arrays["w__encoder__Conv__weights"].shape[-1],
        "hidden_size": arrays["out__z_latent"].shape[1],
        "code_size": arrays["out__ids"].shape[1],
    }
    model = load_published(PointCloudReconstructor(**sizes), tmp_path / "renamed.npz")
    found = model(arrays["image"])["points"]
    np.testing.assert_allclose(found, arrays["out__xyz"], atol=1e-5)


def test_poses_keep_their_weights(tmp_path):
    path = save_arrays(tmp_path / "model.npz", published())
    model = PointCloudReconstructor(**SIZES, pose_candidates=2)
    before = model.pose_network.get_weights()
    load_published(model, path)
    for a, b in zip(before, model.pose_network.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_is_missing_or_wrong_is_named(tmp_path):
    def refused(change, message, error=FormatError, **sizes):
        arrays = published()
        change(arrays)
        path = save_arrays(tmp_path / "model.npz", arrays)
        model = PointCloudReconstructor(**{**SIZES, **sizes})
        before = model.get_weights()
        with pytest.raises(error, match=message):
            load_published(model, path)
        for a, b in zip(before, model.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)

    def put(name, value):
        return lambda arrays: arrays.update({name: value})

    def drop(name):
        return lambda arrays: arrays.pop(name)

    last = "decoder/fully_connected_3/biases"
    refused(drop(last), f"expected an array {last}")
    refused(drop("encoder/Conv_2/weights"), "expected 3 convolutions .* got 2 and 3")
    refused(drop("encoder/fully_connected_2/weights"), "got 3 and 2")
    refused(put(last, np.zeros(2, np.float32)), rf"{last} of shape \(1,\); got \(2,\)")
    refused(put(last, np.full(1, np.nan, "f")), f"{last} has values that are not")
    refused(lambda arrays: None, r"of shape \(4, 18\); got \(4, 15\)", points=6)
    refused(lambda arrays: None, "expected 5 convolutions", input_size=32)

    def without_decoder(arrays):
        for name in [name for name in arrays if name.startswith("decoder")]:
            del arrays[name]

    refused(
        without_decoder, "expected decoder/fully_connected, points and scale; got 0"
    )


def test_files_that_are_no_checkpoint_are_named(tmp_path):
    model = PointCloudReconstructor(**SIZES)
    for name in ("none.npz", "none", "none.index"):
        with pytest.raises(FileNotFoundError, match="none"):
            load_published(model, tmp_path / name)
    (tmp_path / "broken.index").write_bytes(b"not an index")
    with pytest.raises(FormatError, match="expected a TensorFlow checkpoint"):
        load_published(model, tmp_path / "broken")
    (tmp_path / "broken.npz").write_bytes(b"not an archive")
    with pytest.raises(FormatError, match="broken.npz"):
        load_published(model, tmp_path / "broken.npz")
    for damage in ("cut", "flipped", "gone"):
        prefix = save_checkpoint(tmp_path / damage, published())
        data = next(tmp_path.glob(f"{damage}.data-*"))
        content = data.read_bytes()
        if damage == "gone":
            data.unlink()
        elif damage == "cut":
            data.write_bytes(content[:100])
        else:
            data.write_bytes(content[:100] + bytes([content[100] ^ 1]) + content[101:])
        with pytest.raises(FormatError, match=f"{damage}: expected a TensorFlow check"):
            load_published(model, prefix)
