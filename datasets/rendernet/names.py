"""File names that carry a pose: `{model}_p{azimuth}_t{polar}_r{radius}.png`.

Azimuth and polar angle (from +Y) in degrees, radius in the units of the original: at
3.3 one voxel is one camera cell.
"""

import math
import pathlib
import re
from typing import NamedTuple

from tfrender.io import FormatError
from tfrender.ops.resample_volume import RADIUS_RANGE

MIN_RADIUS, MAX_RADIUS = RADIUS_RANGE
_NUMBER = r"(-?\d+(?:\.\d+)?)"
# Anchored at the end: `_t` inside a model name (model_table_7) is part of the name.
_PATTERN = re.compile(rf"(?P<model>.+)_p{_NUMBER}_t{_NUMBER}_r{_NUMBER}")


class ImageName(NamedTuple):
    """A model and the pose from which it was seen."""

    model: str
    azimuth_deg: float
    polar_deg: float
    radius: float

    @property
    def pose(self) -> tuple[float, float, float]:
        """(azimuth in degrees, polar angle in degrees, radius)."""
        return self.azimuth_deg, self.polar_deg, self.radius


def parse_name(name: str) -> ImageName:
    """Reads model and pose from the name of a picture.

    Args:
        name: file name with or without suffix and folder.

    Returns:
        An `ImageName`.

    Raises:
        FormatError: the name carries no pose, or one out of range (polar angle in
            [0, 180], radius in [0.5, 100]).
    """
    stem = re.sub(r"\.(png|jpe?g)$", "", pathlib.PurePosixPath(name).name, flags=re.I)
    match = _PATTERN.fullmatch(stem)
    if not match:
        raise FormatError(
            f"{name}: expected a name like model_p250_t60_r3.3.png; found no pose."
        )
    pose = [float(number) for number in match.groups()[1:]]
    check_pose(name, *pose)
    return ImageName(match["model"], *pose)


def check_pose(name: str, azimuth_deg: float, polar_deg: float, radius: float) -> None:
    """Checks that a pose is finite and in range.

    Args:
        name: file or argument for the message.
        azimuth_deg: any finite angle.
        polar_deg: in [0, 180].
        radius: in [0.5, 100].

    Raises:
        FormatError: naming the value that is out of range.
    """
    if not math.isfinite(azimuth_deg):
        raise FormatError(f"{name}: azimuth must be finite; got {azimuth_deg}.")
    if not 0.0 <= polar_deg <= 180.0:
        raise FormatError(
            f"{name}: polar angle must lie in [0, 180] degrees; got {polar_deg}."
        )
    if not MIN_RADIUS <= radius <= MAX_RADIUS:
        raise FormatError(
            f"{name}: radius must lie in [{MIN_RADIUS}, {MAX_RADIUS}]; got {radius}."
        )


def format_name(model: str, azimuth_deg: float, polar_deg: float, radius: float) -> str:
    """Name of a picture, without suffix; `parse_name` reads it back.

    Args:
        model: name of the model.
        azimuth_deg: degrees.
        polar_deg: degrees from +Y.
        radius: camera distance.

    Returns:
        The name.
    """

    def number(value: float) -> str:
        text = f"{value:.4f}".rstrip("0").rstrip(".")
        return "0" if text == "-0" else text

    pose = zip("ptr", (azimuth_deg, polar_deg, radius), strict=True)
    return model + "".join(f"_{key}{number(value)}" for key, value in pose)


def find_model(folder: pathlib.Path, model: str, image: str) -> pathlib.Path:
    """Finds the binvox file of a picture.

    Accepts the model's own name and the spellings of the original: digits of
    `ply00012`, `model_chair_7_clean`, `model_normalized_7_clean`.

    Args:
        folder: folder of the models.
        model: model part of the picture's name.
        image: name of the picture, for the message.

    Returns:
        Path of the model.

    Raises:
        FileNotFoundError: naming the picture and the files looked for.
    """
    tokens = model.split("_")
    candidates = [model, model.removeprefix("ply")]
    # Of these two kinds alone: another kind's number 7 is another object.
    if len(tokens) > 2 and tokens[1] in _KINDS:
        candidates += [f"model_{kind}_{tokens[2]}_clean" for kind in _KINDS]
    for candidate in dict.fromkeys(candidates):
        path = folder / f"{candidate}.binvox"
        if path.is_file():
            return path
    raise FileNotFoundError(
        f"{image}: no model in {folder}; looked for "
        + ", ".join(f"{c}.binvox" for c in dict.fromkeys(candidates))
    )


_KINDS = ("chair", "normalized")
