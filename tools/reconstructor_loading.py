"""Finds and loads a mesh reconstructor: an exported one, or the state of a run."""

import pathlib
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from datasets.mesh_reconstruction import views
from tfrender import models
from tfrender.export import saved_model
from tfrender.io import FormatError
from trainers.flags import parse_lines

# Wherever the program is started.
SHIPPED = str(pathlib.Path(__file__).parents[1] / "saved_models/mesh_reconstruction")
_TRAINER = "trainers.mesh_reconstruction"
_FLAGS = ("preset", "lambda_color", "margin", "dropout")  # that decide the weights


class Shape(NamedTuple):
    """What a network makes of a picture.

    Attributes:
        vertices: float32 [V, 3] in (-0.5, 0.5).
        faces: int32 [F, 3], counter-clockwise outside.
        colors: float32 [V, 3] in [0, 1], or None.
    """

    vertices: np.ndarray
    faces: np.ndarray
    colors: np.ndarray | None = None


class Reconstructor:
    """A loaded network.

    Attributes:
        name: what was loaded, for messages.
        image_size: pixels S a side of its pictures.
    """

    def __init__(self, name: str, image_size: int, function):
        """Made by `load`.

        Args:
            name: what was loaded.
            image_size: pixels a side of its pictures.
            function: float32 [1, S, S, 4] -> dict of arrays with a first axis of 1.
        """
        self.name, self.image_size, self._function = name, image_size, function

    def __call__(self, image: np.ndarray) -> Shape:
        """Makes a mesh of a picture.

        Args:
            image: float32 [S, S, 4] in [0, 1], colour on black and coverage.

        Returns:
            Shape.

        Raises:
            ValueError: the network answers NaN or infinity.
        """
        found = self._function(image[np.newaxis])
        parts = {key: np.asarray(value) for key, value in found.items()}
        faces = parts["faces"][0] if parts["faces"].ndim == 3 else parts["faces"]
        colors = parts["colors"][0] if "colors" in parts else None
        for key in ("vertices", "colors"):
            if key in parts and not np.isfinite(parts[key]).all():
                raise ValueError(f"{self.name}: answered {key} that are not finite.")
        return Shape(parts["vertices"][0], faces, colors)


def choose_folder(model: str | None, directory: str, experiment: str | None) -> str:
    """The folder that the flags name.

    Args:
        model: --model, or None.
        directory: --model_directory.
        experiment: --experiment_id, or None.

    Returns:
        `model`, or the experiment in the directory, or the shipped model.

    Raises:
        ValueError: both are named.
    """
    if model and experiment:
        raise ValueError(
            "--model and --experiment_id: expected one of the two; got both."
        )
    if experiment:
        return str(pathlib.Path(directory) / experiment)
    return model or SHIPPED


def load(directory: str) -> Reconstructor:
    """Loads a network.

    Args:
        directory: SavedModel folder; or OUTPUT_DIR of `trainers.mesh_reconstruction`:
            of its saved_model/ or, where it has none yet, of its checkpoints/.

    Returns:
        Reconstructor.

    Raises:
        FileNotFoundError: nothing of the kind there.
        FormatError, ValueError: a damaged model, one of another kind, or weights that
            do not fit the flags of the run.
    """
    folder = pathlib.Path(directory)
    for place in (folder, folder / "saved_model"):
        if (place / "saved_model.pb").is_file():
            return _exported(str(place))
    if (folder / "checkpoints").is_dir() and (folder / "flags.cfg").is_file():
        return _from_run(folder)
    if not folder.is_dir():
        found = "no such folder"
    else:
        names = sorted(path.name for path in folder.iterdir())
        found = f"found {', '.join(names[:5]) or 'nothing'}"
    raise FileNotFoundError(
        f"{folder}: expected saved_model.pb, or a run of {_TRAINER} with saved_model/ "
        f"or checkpoints/ and flags.cfg; {found}."
    )


def load_signature(
    directory: str, image_size: int | None = None
) -> saved_model.Signature:
    """Loads an exported mesh reconstructor and checks what it takes and gives.

    Args:
        directory: SavedModel folder.
        image_size: pixels S a side that its pictures must have; None takes any.

    Returns:
        The signature `serving_default`: image [B, S, S, 4] -> vertices [B, V, 3], faces
        [F, 3] or [B, F, 3], and colors [B, V, 3] where the model has some.

    Raises:
        FileNotFoundError, FormatError: no such model, or a damaged one.
        ValueError: a model of another kind, or for pictures of another size.
    """
    signature = saved_model.load_signature(directory)
    inputs = {name: spec.shape for name, spec in signature.inputs.items()}
    outputs = {name: spec.shape for name, spec in signature.outputs.items()}
    shape = inputs.get("image", tf.TensorShape(None))
    side = image_size or (shape.rank == 4 and shape[1])
    fits = shape.rank == 4 and side and shape.is_compatible_with([None, side, side, 4])
    if set(inputs) != {"image"} or not fits:
        found = {name: str(shape) for name, shape in inputs.items()}
        size = image_size or "S"
        raise ValueError(
            f"{directory}: expected a mesh reconstructor of `image` [B, {size}, "
            f"{size}, 4]; got inputs {found}."
        )
    ranks = {"vertices": (3,), "faces": (2, 3), "colors": (3,)}
    wrong = {"vertices", "faces"} - set(outputs) or [
        name
        for name, allowed in ranks.items()
        if name in outputs
        and (outputs[name].rank not in allowed or outputs[name][-1] not in (3, None))
    ]
    if wrong:
        found = {name: str(shape) for name, shape in outputs.items()}
        raise ValueError(
            f"{directory}: expected outputs vertices [B, V, 3] and faces [F, 3] or "
            f"[B, F, 3]; got {found}."
        )
    return signature


def _exported(directory: str) -> Reconstructor:
    """Loads a SavedModel for pictures of whatever size."""
    signature = load_signature(directory)
    side = int(signature.inputs["image"].shape[1])
    return Reconstructor(directory, side, lambda image: signature(image=image))


def _from_run(folder: pathlib.Path) -> Reconstructor:
    """Builds the model that the flags of a run describe, with its weights."""
    lines = (folder / "flags.cfg").read_text(encoding="utf-8").splitlines()
    stored = parse_lines(lines)
    missing = [name for name in _FLAGS if name not in stored]
    if missing:
        raise FormatError(
            f"{folder}/flags.cfg: expected a run of {_TRAINER}; --{missing[0]} is "
            "missing."
        )
    try:
        model = models.MeshReconstructor.from_preset(
            stored["preset"],
            image_size=views.IMAGE_SIZE,
            colors=float(stored["lambda_color"]) > 0,
            margin=float(stored["margin"]),
            dropout=float(stored["dropout"]),
        )
    except ValueError as error:
        raise FormatError(f"{folder}/flags.cfg: {error}") from error
    best = stored.get("export") == "best"
    prefix = _newest(folder / "checkpoints" / "best") if best else None
    prefix = prefix or _newest(folder / "checkpoints")
    if prefix is None:
        raise FileNotFoundError(
            f"{folder}/checkpoints: expected a checkpoint; got none."
        )
    try:
        # Of weights that do not fit, TensorFlow tells each at its end, in a line.
        tf.get_logger().setLevel("ERROR")
        status = tf.train.Checkpoint(model=model).restore(prefix).expect_partial()
        status.assert_existing_objects_matched()
    # A damaged file raises IndexError or OpError, by the fault.
    except (ValueError, IndexError, AssertionError, tf.errors.OpError) as error:
        text = " ".join(str(error).split(". ")[0].split())[:160]
        raise FormatError(
            f"{prefix}: damaged, or not the weights of the preset "
            f"{stored['preset']!r} and the settings in {folder}/flags.cfg ({text})."
        ) from error
    return Reconstructor(
        prefix,
        model.image_size,
        lambda image: {**model(image, training=False), "faces": model.faces},
    )


def _newest(folder: pathlib.Path) -> str | None:
    """Path prefix of the checkpoint of the most steps, or None."""
    numbers = [
        int(index.stem.split("-")[1])
        for index in folder.glob("ckpt-*.index")
        if index.stem.split("-")[1].isdecimal()
        and any(folder.glob(f"{index.stem}.data-*"))
    ]
    return str(folder / f"ckpt-{max(numbers)}") if numbers else None
