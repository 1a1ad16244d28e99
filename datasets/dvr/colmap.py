"""Reads a COLMAP model in text form: cameras.txt, images.txt, points3D.txt.

COLMAP's camera space is x right, y down, z forward; its pixel centres lie at + 0.5, as
those of this library.
"""

import math
import pathlib
from typing import NamedTuple

import numpy as np

from tfrender import io
from tfrender.io import FormatError

_MOST_BYTES = 2 * 2**30
# Number of focal lengths of the models without distortion, or with a radial one.
_MODELS = {"PINHOLE": 2, "SIMPLE_PINHOLE": 1, "SIMPLE_RADIAL": 1, "RADIAL": 1}


class Picture(NamedTuple):
    """A posed picture.

    Attributes:
        name: of its file, as COLMAP knows it.
        image_size: (height, width).
        intrinsics: float64 [3, 3] in pixels, centres at + 0.5.
        world_to_camera: float64 [4, 4] rigid.
        points: int64 [M], ids of the points that it sees.
    """

    name: str
    image_size: tuple[int, int]
    intrinsics: np.ndarray
    world_to_camera: np.ndarray
    points: np.ndarray


class Model(NamedTuple):
    """A reconstruction.

    Attributes:
        pictures: sorted by name.
        ids: int64 [N], of the points.
        points: float64 [N, 3].
        colors: uint8 [N, 3].
    """

    pictures: list[Picture]
    ids: np.ndarray
    points: np.ndarray
    colors: np.ndarray


def read_model(folder: str) -> Model:
    """Reads a model.

    Args:
        folder: of cameras.txt, images.txt and, if there, points3D.txt.

    Returns:
        `Model`; without points where there is no points3D.txt.

    Raises:
        FileNotFoundError: a file that is missing.
        FormatError: a broken line, which is named, or a lens with distortion.
    """
    root = pathlib.Path(folder)
    if not (root / "images.txt").exists() and (root / "images.bin").exists():
        raise FormatError(
            f"{root}: expected a model in text form; convert it with colmap "
            "model_converter --output_type TXT."
        )
    lenses = _read_cameras(root / "cameras.txt")
    pictures = _read_images(root / "images.txt", lenses)
    path = root / "points3D.txt"
    ids, points, colors = _read_points(path) if path.exists() else _no_points()
    return Model(sorted(pictures, key=lambda p: p.name), ids, points, colors)


def _lines(path: pathlib.Path):
    """(number, text) of the lines that are no comments; empty ones count."""
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file of a COLMAP model.")
    if path.stat().st_size > _MOST_BYTES:
        raise io.LimitError(f"{path}: expected at most {_MOST_BYTES} bytes.")
    try:
        with open(path, encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if not line.startswith("#"):
                    yield number, line.strip()
    except UnicodeDecodeError as error:
        raise FormatError(f"{path}: expected text; {error}.") from error


def _numbers(words, path, line: int, least: int) -> list[float]:
    """Finite numbers of a line."""
    try:
        found = [float(word) for word in words]
    except ValueError:
        found = []
    if len(found) < least or not all(map(math.isfinite, found)):
        raise FormatError(
            f"{path}: line {line}: expected {least} numbers; got "
            f"{' '.join(words)[:60]!r}."
        )
    return found


def _read_cameras(path) -> dict[str, tuple]:
    """Camera id -> (image size, intrinsics)."""
    found = {}
    for line, text in _lines(path):
        words = text.split()
        if not words:
            continue
        if len(words) < 4 or words[1] not in _MODELS:
            kind = words[1] if len(words) > 1 else text
            raise FormatError(
                f"{path}: line {line}: expected a camera of {', '.join(_MODELS)}; got "
                f"{kind}. Undistort the pictures with colmap image_undistorter."
            )
        focals = _MODELS[words[1]]
        width, height, *rest = _numbers(words[2:], path, line, 4 + focals)
        fx, fy = rest[0], rest[focals - 1]
        cx, cy, *bent = rest[focals:]
        if any(bent):
            raise FormatError(
                f"{path}: line {line}: expected a lens without distortion; got "
                f"{words[1]} with {bent[0]:g}. Undistort the pictures with colmap "
                "image_undistorter."
            )
        if not (width >= 2 and height >= 2 and fx > 0 and fy > 0):
            raise FormatError(f"{path}: line {line}: a camera without size or focal.")
        matrix = np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]])
        found[words[0]] = (int(height), int(width)), matrix
    return found


def _read_images(path, lenses) -> list[Picture]:
    lines, found = list(_lines(path)), []
    # Two lines an image; the second, of its points, may be empty. Leading and closing
    # empty lines are none of them.
    while lines and not lines[0][1]:
        lines.pop(0)
    for place in range(0, len(lines), 2):
        line, text = lines[place]
        if not text:
            break
        words = text.split(maxsplit=9)
        if len(words) < 10:
            raise FormatError(
                f"{path}: line {line}: expected id, quaternion, translation, camera "
                f"and name; got {text[:60]!r}."
            )
        if words[8] not in lenses:
            raise FormatError(f"{path}: line {line}: no camera {words[8]}.")
        pose = _numbers(words[1:8], path, line, 7)
        matrix = np.eye(4)
        matrix[:3, :3] = _rotation(pose[:4], path, line)
        matrix[:3, 3] = pose[4:]
        seen = lines[place + 1][1].split() if place + 1 < len(lines) else []
        ids = _numbers(seen, path, line + 1, len(seen))[2::3]
        ids = np.array(ids, np.int64)
        found.append(Picture(words[9], *lenses[words[8]], matrix, ids[ids >= 0]))
    if not found:
        raise FormatError(f"{path}: expected posed pictures; got none.")
    return found


def _rotation(quaternion, path, line: int) -> np.ndarray:
    """Rotation of a quaternion (w, x, y, z) of any length."""
    length = math.hypot(*quaternion)
    if length < 1e-6:
        raise FormatError(f"{path}: line {line}: a quaternion of length 0.")
    w, x, y, z = (value / length for value in quaternion)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def _read_points(path):
    rows = []
    for line, text in _lines(path):
        if text:
            rows.append(_numbers(text.split()[:7], path, line, 7))
    if not rows:
        return _no_points()
    table = np.array(rows)
    colors = table[:, 4:7].clip(0, 255).astype(np.uint8)
    return table[:, 0].astype(np.int64), table[:, 1:4], colors


def _no_points():
    return np.zeros(0, np.int64), np.zeros([0, 3]), np.zeros([0, 3], np.uint8)
