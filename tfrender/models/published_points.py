r"""Weights of the originals for `PointCloudReconstructor`.

DPC and DRWR save TensorFlow 1 checkpoints ("model-100000.index" and its data), which
TensorFlow still reads; an .npz with the same names of variables is read as well:

    encoder/Conv/weights, encoder/Conv_1/weights ... convolutions
    encoder/fully_connected/weights ...              latent, hidden, code, pose features
    decoder/fully_connected/weights ...              points; DRWR: two unused; scale
"""

import os
import re

import numpy as np
import tensorflow as tf

from tfrender.io.arrays import read_npz
from tfrender.io.errors import FormatError
from tfrender.models.point_cloud_reconstructor import PointCloudReconstructor

MAX_BYTES = 2**30
_NUMBER = re.compile(r"_(\d+)$")


def load_published(
    model: PointCloudReconstructor, path: str | os.PathLike
) -> PointCloudReconstructor:
    """Loads encoder, points and scale of an original's checkpoint.

    Pose heads have no known names and keep their weights.

    Args:
        model: of the sizes that were trained.
        path: prefix of a TensorFlow 1 checkpoint ("model-100000"), or an .npz.

    Returns:
        `model`.

    Raises:
        FileNotFoundError: no such file.
        FormatError: no checkpoint, or an array is missing, of another shape or not
            finite; it is named.
    """
    path = os.fspath(path)
    arrays = _read(path)
    pairs = list(_pairs(model, arrays, path))
    for name, variable in pairs:
        array = arrays[name]
        if tuple(array.shape) != tuple(variable.shape):
            raise FormatError(
                f"{path}: expected {name} of shape {tuple(variable.shape)}; got "
                f"{tuple(array.shape)}."
            )
        if not np.isfinite(array).all():
            raise FormatError(f"{path}: {name} has values that are not finite.")
    for name, variable in pairs:
        variable.assign(arrays[name])
    return model


def _read(path) -> dict[str, np.ndarray]:
    """Arrays by name, without the optimiser's."""
    if path.endswith(".npz"):
        if not os.path.isfile(path):
            raise FileNotFoundError(f"{path}: no such file of weights.")
        arrays = read_npz(path, MAX_BYTES)
    else:
        path = path.removesuffix(".index")
        if not os.path.isfile(f"{path}.index"):
            raise FileNotFoundError(f"{path}.index: no such checkpoint.")
        try:
            reader = tf.train.load_checkpoint(path)
            names = [n for n in reader.get_variable_to_shape_map() if "Adam" not in n]
            arrays = {name: reader.get_tensor(name) for name in names}
        except (tf.errors.OpError, ValueError, RuntimeError, IndexError) as error:
            raise FormatError(
                f"{path}: expected a TensorFlow checkpoint, found a broken one "
                f"({str(error).splitlines()[0][:120]})."
            ) from error
    return {
        name.removeprefix("w__").replace("__", "/"): array
        for name, array in arrays.items()
    }


def _pairs(model, arrays, path):
    """(name, variable) of all that is loaded."""
    convolutions = [n.name for n in model.encoder.layers if n.name.startswith("conv")]
    encoder = [*zip(_scopes(arrays, "encoder/Conv"), convolutions, strict=False)]
    dense = _scopes(arrays, "encoder/fully_connected")
    encoder += zip(dense, ("latent", "hidden", "code"), strict=False)
    if len(encoder) != len(convolutions) + 3:
        raise FormatError(
            f"{path}: expected {len(convolutions)} convolutions encoder/Conv and 3 "
            f"layers encoder/fully_connected for pictures of {model.input_size}; got "
            f"{len(_scopes(arrays, 'encoder/Conv'))} and {len(dense)}."
        )
    heads = _scopes(arrays, "decoder/fully_connected")
    if len(heads) < 2:
        raise FormatError(
            f"{path}: expected decoder/fully_connected, points and scale; got "
            f"{len(heads)} such layers."
        )
    decoder = [(heads[0], "points"), (heads[-1], "scale")]
    for network, found in ((model.encoder, encoder), (model.decoder, decoder)):
        for scope, layer in found:
            for part, variable in zip(
                ("weights", "biases"), network.get_layer(layer).weights, strict=True
            ):
                name = f"{scope}/{part}"
                if name not in arrays:
                    raise FormatError(f"{path}: expected an array {name}.")
                yield name, variable


def _scopes(arrays, start):
    """Scopes start, start_1, start_2 ... that there are, in order."""
    found = {}
    for name in arrays:
        scope, _, part = name.rpartition("/")
        rest = scope.removeprefix(start)
        number = _NUMBER.fullmatch(rest)
        if part == "weights" and scope.startswith(start) and (not rest or number):
            found[int(number[1]) if number else 0] = scope
    return [found[number] for number in sorted(found)]
