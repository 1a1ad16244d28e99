"""Cameras of a film: around the object, or out of a file."""

import json
import pathlib

import numpy as np
import tensorflow as tf

from datasets.dvr import camera_files
from tfrender import cameras
from tfrender.io import FormatError, LimitError

ORBIT = "orbit"
_LARGEST_FILE = 16 * 2**20
_MATRICES = ("world_to_camera", "projection")
_RIGID = 1e-3


def orbit(
    count: int,
    image_size: tuple[int, int],
    azimuth_deg: float = 0.0,
    elevation_deg: float = 30.0,
    distance: float = 2.0,
    fov_deg: float = 45.0,
) -> cameras.Camera:
    """Cameras on a circle around the origin, evenly spaced.

    Args:
        count: V, number of views.
        image_size: (height, width).
        azimuth_deg: of the first; 0 is in front of the object, growing towards +X.
        elevation_deg: above the horizon, -90 to 90.
        distance: from the origin, object units; above 0.
        fov_deg: full vertical field of view, 1 to 179.

    Returns:
        Camera of batch V.

    Raises:
        ValueError: a value out of range, by the name of its flag.
    """
    for name, value, low, high in (
        ("n_views", count, 1, 10_000),
        ("azimuth", azimuth_deg, -1e6, 1e6),
        ("elevation", elevation_deg, -90.0, 90.0),
        ("distance", distance, 0.01, 1e4),
        ("fov", fov_deg, 1.0, 179.0),
    ):
        if not low <= value <= high:
            raise ValueError(
                f"--{name}: expected a value in [{low:g}, {high:g}]; got {value:g}."
            )
    height, width = image_size
    azimuth = azimuth_deg + 360.0 / count * np.arange(count)
    ones = np.ones(count)
    return cameras.Camera(
        cameras.orbit(azimuth, elevation_deg * ones, distance * ones),
        cameras.perspective(fov_deg * ones, width / height),
    )


def read(path: str, image_size: tuple[int, int]) -> cameras.Camera:
    """Cameras out of a file.

    A .json file holds one object: "world_to_camera", V rigid matrices 4x4, and
    "projection", V of them or one for all; `tfrender.cameras` explains both.

    Args:
        path: cameras.npz in the layout of DVR (its pictures span the whole of ours,
            whatever their shape), or a .json file.
        image_size: (height, width) of the pictures to render.

    Returns:
        Camera of batch V, in object space.

    Raises:
        FileNotFoundError: no such file.
        FormatError, LimitError: naming file and matrix.
        ValueError: another suffix.
    """
    suffix = pathlib.Path(path).suffix.lower()
    if suffix not in (".npz", ".json"):
        raise ValueError(
            f"--camera_path: expected {ORBIT}, a .npz or a .json file; got {path!r}."
        )
    if not pathlib.Path(path).is_file():
        raise FileNotFoundError(f"--camera_path: no such file: {path!r}.")
    if suffix == ".json":
        return _from_json(path)
    products = camera_files.read_cameras(path).products
    view, projection, _ = camera_files.to_cameras(products, image_size)
    return cameras.Camera(tf.constant(view), tf.constant(projection))


def _from_json(path: str) -> cameras.Camera:
    size = pathlib.Path(path).stat().st_size
    if size > _LARGEST_FILE:
        raise LimitError(f"{path}: expected at most {_LARGEST_FILE} bytes; got {size}.")
    try:
        content = json.loads(pathlib.Path(path).read_bytes().decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        text = " ".join(str(error).split())[:160]
        raise FormatError(f"{path}: expected JSON; {text}.") from error
    if not isinstance(content, dict) or set(content) != set(_MATRICES):
        raise FormatError(f"{path}: expected one object of {' and '.join(_MATRICES)}.")
    view, projection = (_matrices(content[name], name, path) for name in _MATRICES)
    if len(projection) == 1:
        projection = np.repeat(projection, len(view), axis=0)
    if len(projection) != len(view):
        raise FormatError(
            f"{path}: expected one projection or {len(view)}; got {len(projection)}."
        )
    rotation = view[:, :3, :3].astype(np.float64)
    error = np.abs(rotation @ rotation.transpose(0, 2, 1) - np.eye(3)).max((1, 2))
    turned = (error < _RIGID) & (np.linalg.det(rotation) > 0)
    turned &= np.abs(view[:, 3] - (0, 0, 0, 1)).max(1) < _RIGID
    if not turned.all():
        raise FormatError(
            f"{path}: world_to_camera of view {np.flatnonzero(~turned)[0]} must be a "
            "rotation and a translation."
        )
    flat = projection[:, 0, 0] * projection[:, 1, 1]
    flat = np.abs(flat - projection[:, 0, 1] * projection[:, 1, 0]) < 1e-9
    if flat.any():
        raise FormatError(
            f"{path}: projection of view {np.flatnonzero(flat)[0]} has no extent."
        )
    return cameras.Camera(tf.constant(view), tf.constant(projection))


def _matrices(value, name: str, path: str) -> np.ndarray:
    """Finite float32 [V, 4, 4], V at least 1."""
    try:
        found = np.array(value, np.float32)
    except (ValueError, TypeError):
        found = np.zeros(0)
    if found.shape == (4, 4):
        found = found[np.newaxis]
    if found.ndim != 3 or found.shape[1:] != (4, 4) or not len(found):
        raise FormatError(f"{path}: {name} must be a list of 4x4 matrices.")
    if not np.isfinite(found).all():
        raise FormatError(f"{path}: {name} must hold finite numbers.")
    return found
