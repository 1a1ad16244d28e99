r"""Weights of image encoders from files: PyTorch's names in .npz, or Keras' .h5.

An .npz is made once where PyTorch and torchvision are installed:

    import numpy, torchvision
    state = torchvision.models.resnet18(weights="IMAGENET1K_V1").state_dict()
    numpy.savez("resnet18.npz", **{name: v.numpy() for name, v in state.items()})

Checkpoints of the original DVR hold the same arrays as encoder.features.NAME and the
head as encoder.fc.NAME; both forms are read.
"""

import os
import warnings

import keras
import numpy as np

from tfrender.io.arrays import read_npz
from tfrender.io.errors import FormatError
from tfrender.models import image_encoders

SUFFIXES = (".npz", ".weights.h5")
MAX_BYTES = 2**30  # resnet101 takes 180 MB
_BACKBONE = "features."  # of the original DVR, which has its head beside it
_OUTER = ("module.", "encoder.")  # of wrappers around the network
_HEADS = ("fc", "fc_out")


def load_pretrained(model: keras.Model, path: str | os.PathLike) -> keras.Model:
    """Loads weights into an encoder; on an error it keeps those that it has.

    A torchvision classifier's own head ("fc") is left out: the encoder's stays as it
    is. In the original DVR's form ("features.conv1.weight") the head is loaded too.

    Args:
        model: network of `image_encoder`.
        path: .npz with arrays by the names of PyTorch's state dictionary, see the
            module; or .weights.h5 of the same Keras model.

    Returns:
        `model`.

    Raises:
        FileNotFoundError: no such file.
        LimitError: larger than 1 GiB unpacked.
        FormatError: no such archive, or an array is missing, unknown, of another shape
            or not finite; the first such array is named.
        ValueError: another suffix, or a network without PyTorch's names ("small").
    """
    path = os.fspath(path)
    if not path.endswith(SUFFIXES):
        raise ValueError(f"{path}: expected weights as {' or '.join(SUFFIXES)}.")
    if not os.path.isfile(path):
        raise FileNotFoundError(f"{path}: no such file of weights.")
    before = model.get_weights()
    try:
        if path.endswith(".npz"):
            _assign(model, _plain_names(read_npz(path, MAX_BYTES), path), path)
        else:
            _load_h5(model, path)
    except Exception:
        model.set_weights(before)
        raise
    return model


def state_names(model: keras.Model) -> dict[str, keras.Variable]:
    """Names of PyTorch's state dictionary for the variables of an encoder.

    Args:
        model: network of `image_encoder`; not "small".

    Returns:
        name such as "layer1.0.conv1.weight" -> variable; the head is "fc" (ResNets) or
        "fc_out" (simple_conv).
    """
    resnet = model.name in image_encoders.RESNETS
    if not resnet and model.name != "simple_conv":
        raise ValueError(f"`model` must be a published encoder; got {model.name!r}.")
    norm = ("weight", "bias", "running_mean", "running_var")
    found = {}
    for layer in model.layers:
        if not layer.weights:
            continue
        name = layer.name
        if name == image_encoders.HEAD:
            name = _HEADS[0] if resnet else _HEADS[1]
        if name.startswith("layer"):
            # layer1_0_conv1 -> layer1.0.conv1
            name = name.replace("_", ".")
        batch_norm = isinstance(layer, keras.layers.BatchNormalization)
        parts = norm if batch_norm else norm[: len(layer.weights)]
        for part, variable in zip(parts, layer.weights, strict=True):
            found[f"{name}.{part}"] = variable
    return found


def _plain_names(arrays, path):
    """Arrays by torchvision's names; without its classifier and the step counters."""
    if not arrays:
        raise FormatError(f"{path}: expected weights; the archive is empty.")
    plain = {}
    for name, array in arrays.items():
        for prefix in _OUTER:
            name = name.removeprefix(prefix)
        if name.split(".")[-1] != "num_batches_tracked":
            plain[name] = array
    if any(name.startswith(_BACKBONE) for name in plain):
        return {name.removeprefix(_BACKBONE): a for name, a in plain.items()}
    return {name: a for name, a in plain.items() if name.split(".")[0] != _HEADS[0]}


def _assign(model, arrays, path):
    """Assigns arrays by name; the first that does not fit is named."""
    variables = state_names(model)
    with_head = any(name.split(".")[0] in _HEADS for name in arrays)
    for name, variable in variables.items():
        if name.split(".")[0] in _HEADS and not with_head:
            continue
        if name not in arrays:
            raise FormatError(
                f"{path}: expected the weights of {model.name}; {name} is missing."
            )
        value = arrays.pop(name)
        want = list(variable.shape)
        if value.ndim == 4 and len(want) == 4:
            value = value.transpose(2, 3, 1, 0)  # out, in, h, w -> h, w, in, out
        elif value.ndim == 2 and len(want) == 2:
            value = value.T
        if list(value.shape) != want or value.dtype.kind != "f":
            raise FormatError(
                f"{path}: {name} must hold floats of shape {want} (in the order of "
                f"Keras); got {value.dtype} {list(value.shape)}."
            )
        if not np.isfinite(value).all():
            raise FormatError(f"{path}: {name} holds NaN or Inf.")
        variable.assign(value)
    if arrays:
        raise FormatError(
            f"{path}: expected the weights of {model.name}; it knows no "
            f"{next(iter(arrays))}."
        )


def _load_h5(model, path):
    """Loads Keras' own file."""
    # Keras leaves out what it does not find: NaN shows what was not loaded.
    model.set_weights([np.full(w.shape, np.nan, np.float32) for w in model.weights])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what Keras warns of is an error here
            model.load_weights(path)
    except Exception as error:  # h5py and Keras raise many kinds
        text = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise FormatError(
            f"{path}: expected the weights of this {model.name} ({text[:200]})."
        ) from error
    for variable in model.weights:
        if not np.isfinite(variable.numpy()).all():
            raise FormatError(
                f"{path}: {variable.path} is missing, or holds NaN or Inf."
            )
