"""True surfaces as point clouds: TRUTH/CLASS/NAME.npz or .mat with the key `points`."""

import pathlib
from collections.abc import Sequence

import numpy as np

from tfrender import io
from tfrender.io import FormatError

KEY = "points"
SUFFIXES = (".npz", ".mat")


def path_of(folder: str, name: str, suffix: str = ".npz") -> pathlib.Path:
    """File of an object CLASS/NAME."""
    return pathlib.Path(folder) / f"{name}{suffix}"


def find(folder: str, names: Sequence[str]) -> list[pathlib.Path]:
    """Files of some objects.

    Args:
        folder: TRUTH.
        names: CLASS/NAME of each.

    Returns:
        Paths, in the order of the names.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: objects without a file; how many, and the first of them.
    """
    if not pathlib.Path(folder).is_dir():
        raise FileNotFoundError(f"{folder}: no such folder of point clouds.")
    found, missing = [], []
    for name in names:
        paths = [path_of(folder, name, suffix) for suffix in SUFFIXES]
        there = [path for path in paths if path.is_file()]
        found += there[:1]
        missing += [] if there else [name]
    if missing:
        more = ", ..." if len(missing) > 3 else ""
        raise ValueError(
            f"{folder}: expected CLASS/NAME.npz or .mat of {len(names)} objects; "
            f"missing {len(missing)}: {', '.join(missing[:3])}{more}."
        )
    return found


def read(path) -> np.ndarray:
    """Reads a point cloud.

    Args:
        path: npz or mat file with the key `points`.

    Returns:
        float32 [M, 3], M at least 1.

    Raises:
        FileNotFoundError, FormatError, LimitError: missing, broken, too large, without
            the key, of another shape, empty, or not finite.
    """
    path = pathlib.Path(path)
    if path.suffix.lower() == ".mat":
        points = io.read_mat(path, KEY)
    else:
        arrays = io.read_npz(path)
        if KEY not in arrays:
            raise FormatError(
                f"{path}: expected the array {KEY}; got {', '.join(arrays) or 'none'}."
            )
        points = arrays[KEY]
    if points.ndim != 2 or points.shape[-1] != 3 or not len(points):
        raise FormatError(
            f"{path}: expected {KEY} [M, 3], M at least 1; got {list(points.shape)}."
        )
    if points.dtype.kind not in "fiu" or not np.isfinite(points).all():
        raise FormatError(f"{path}: expected finite numbers in {KEY}.")
    return points.astype(np.float32)


def write(path, points: np.ndarray) -> None:
    """Writes a point cloud as npz, complete or not at all.

    Args:
        path: final name.
        points: float [M, 3].

    Raises:
        OSError: the disk is full or the folder cannot be written.
    """
    try:
        with io.write_file(path) as file:
            np.savez_compressed(file, **{KEY: points.astype(np.float32)})
    except OSError as error:
        raise OSError(f"{path}: cannot write: {error.strerror or error}") from error
