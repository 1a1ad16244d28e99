"""Files of point clouds: finds, reads and writes them; .npz, .mat and .ply.

A prediction holds `points` [V, N, 3], a cloud for each view, and perhaps `pose` [V, 4],
`true_pose` [V, 4] and `views` [V], as tools.predict_points writes them; or it is of the
published program, NAME_pc.mat with `points` and `camera_pose`, or NAME_pc.npz with
`arr_0`. True clouds, `points` [M, 3], are those of `datasets.drwr.truth`.
"""

import json
import os
import pathlib
from typing import NamedTuple

import numpy as np

from tfrender import io
from tfrender.io import FormatError

ARRAYS = (".npz", ".mat")
SUFFIXES = (*ARRAYS, ".ply")
PREDICTIONS = "predictions.json"  # of tools.predict_points
_PUBLISHED = "_pc"  # ending of names of the published program
_NAMES = {"points": ("points", "arr_0"), "pose": ("pose", "camera_pose")}
_MOST_BYTES = 2**30


class Prediction(NamedTuple):
    """What was predicted of an object.

    Attributes:
        points: float64 [V, N, 3].
        pose: float64 [V, 4] (w, x, y, z), or None.
        true_pose: float64 [V, 4], or None.
        views: numbers of the V views.
    """

    points: np.ndarray
    pose: np.ndarray | None
    true_pose: np.ndarray | None
    views: list[int]


def find_clouds(path: str, suffixes=SUFFIXES) -> dict[str, pathlib.Path]:
    """Files of point clouds.

    Args:
        path: one file, or a folder that is searched with its sub-folders.
        suffixes: those to look for; of one name, the first counts.

    Returns:
        name, the path below the folder without suffix -> file; sorted by name.

    Raises:
        FileNotFoundError: nothing there.
        ValueError: a file of another kind.
    """
    root = pathlib.Path(path)
    if root.is_file():
        if root.suffix.lower() not in suffixes:
            raise ValueError(f"{path}: expected {', '.join(suffixes)}, or a folder.")
        return {root.stem.removesuffix(_PUBLISHED): root}
    if not root.is_dir():
        raise FileNotFoundError(f"{path}: no such file or folder.")
    files = [p for p in root.rglob("*") if p.suffix.lower() in suffixes and p.is_file()]
    files.sort(key=lambda file: (suffixes.index(file.suffix.lower()), file))
    found: dict[str, pathlib.Path] = {}
    for file in files:
        name = file.relative_to(root).with_suffix("").as_posix()
        found.setdefault(name.removesuffix(_PUBLISHED), file)
    if not found:
        raise FileNotFoundError(
            f"{path}: no point cloud; expected {', '.join(suffixes)}."
        )
    return dict(sorted(found.items()))


def find_predictions(path: str) -> dict[str, pathlib.Path | None]:
    """Files of predictions: those that tools.predict_points lists, or all there are.

    Args:
        path: its --output_dir, another folder, or a file.

    Returns:
        name of the object -> file; None where the list names a file that is not there.

    Raises:
        FileNotFoundError: nothing there.
        FormatError: a broken list.
        ValueError: a list of files that can be looked at only.
    """
    listed = pathlib.Path(path) / PREDICTIONS
    if not listed.is_file():
        return dict(find_clouds(path, ARRAYS))
    found: dict[str, pathlib.Path | None] = {}
    try:
        for entry in json.loads(listed.read_text(encoding="utf-8"))["objects"]:
            files = [pathlib.Path(path) / file for file in entry["files"]]
            arrays = [file for file in files if file.suffix in ARRAYS]
            if not arrays:
                raise ValueError(
                    f"{listed}: {entry['name']} was written as "
                    f"{', '.join(sorted({f.suffix for f in files})) or 'nothing'}; "
                    "predict again with --format=npz or mat."
                )
            there = [file for file in arrays if file.is_file()]
            found[entry["name"]] = there[0] if there else None
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise FormatError(
            f"{listed}: expected the list that tools.predict_points writes ({error!r})."
        ) from error
    if not found:
        raise FormatError(f"{listed}: lists no object.")
    return found


def read_prediction(path: str | os.PathLike) -> Prediction:
    """Reads a prediction.

    Args:
        path: .npz or .mat.

    Returns:
        `Prediction`; one cloud [N, 3] is that of one view. Poses may hold NaN.

    Raises:
        FileNotFoundError, FormatError, LimitError: missing, broken, without points,
            with NaN or infinity in them, or with poses of another number.
    """
    arrays = _read_arrays(path)
    points = _views(_chosen(arrays, "points"), path)
    count = len(points)
    found = {"pose": _chosen(arrays, "pose"), "true_pose": arrays.get("true_pose")}
    for name, pose in found.items():
        if pose is None:
            continue
        if pose.size != 4 * count or pose.dtype.kind not in "fiu":
            raise FormatError(
                f"{path}: expected `{name}` [{count}, 4]; got {list(pose.shape)}."
            )
        found[name] = pose.astype(np.float64).reshape(count, 4)
    views = np.asarray(arrays.get("views", np.arange(count))).reshape(-1)
    if len(views) != count:
        raise FormatError(f"{path}: expected `views` [{count}]; got {len(views)}.")
    return Prediction(points, **found, views=[int(view) for view in views])


def read_views(path: str | os.PathLike) -> np.ndarray:
    """Reads the clouds of any file.

    Args:
        path: .npz, .mat or .ply.

    Returns:
        float64 [V, N, 3]; V is 1 where the file holds one.

    Raises:
        FileNotFoundError, FormatError, LimitError: as `read_prediction`.
    """
    if pathlib.Path(path).suffix.lower() == ".ply":
        return _views(_read_ply(path), path)
    return _views(_chosen(_read_arrays(path), "points"), path)


def write_arrays(path: str | os.PathLike, arrays: dict[str, np.ndarray]) -> None:
    """Writes arrays, complete or not at all.

    Args:
        path: .npz (compressed) or .mat.
        arrays: name -> array.
    """
    if pathlib.Path(path).suffix == ".mat":
        io.write_mat(path, arrays)
        return
    with io.write_file(path) as file:
        np.savez_compressed(file, **arrays)


def write_ply(path: str | os.PathLike, points) -> None:
    """Writes a cloud as binary PLY without faces, complete or not at all.

    Args:
        path: the file.
        points: [N, 3].
    """
    points = np.ascontiguousarray(points, "<f4")
    header = (
        "ply\nformat binary_little_endian 1.0\n"
        f"element vertex {len(points)}\n"
        "property float x\nproperty float y\nproperty float z\nend_header\n"
    )
    with io.write_file(path) as file:
        file.write(header.encode("ascii") + points.tobytes())


def check_names(names) -> None:
    """Refuses objects whose names are no paths below a folder, or twice the same.

    Args:
        names: OBJECT or CLASS/OBJECT each.

    Raises:
        ValueError: naming the object.
    """
    seen = set()
    for name in names:
        parts = name.replace("\\", "/").split("/")
        if not all(parts) or {".", ".."} & set(parts) or os.path.isabs(name):
            raise ValueError(f"expected OBJECT or CLASS/OBJECT; got {name!r}.")
        if name in seen:
            raise ValueError(f"two objects are called {name}.")
        seen.add(name)


def _read_arrays(path) -> dict[str, np.ndarray]:
    """Arrays of a file, those that a prediction may hold."""
    if pathlib.Path(path).suffix.lower() != ".mat":
        return io.read_npz(path, _MOST_BYTES)
    import scipy.io

    arrays = {"points": io.read_mat(path, "points")}
    # The file is known to be one.
    there = {name for name, _, _ in scipy.io.whosmat(os.fspath(path))}
    for name in ("pose", "camera_pose", "true_pose", "views"):
        if name in there:
            arrays[name] = io.read_mat(path, name)
    return arrays


def _chosen(arrays, name) -> np.ndarray | None:
    """An array by any of its names."""
    return next((arrays[word] for word in _NAMES[name] if word in arrays), None)


def _views(points, path) -> np.ndarray:
    """Clouds float64 [V, N, 3], checked."""
    if points is None:
        raise FormatError(f"{path}: expected the array `points`; found none.")
    if points.ndim == 2:
        points = points[np.newaxis]
    good = points.ndim == 3 and points.shape[-1] == 3 and points.dtype.kind in "fiu"
    if not (good and points.size):
        raise FormatError(
            f"{path}: expected `points` [V, N, 3], V and N at least 1; got "
            f"{list(points.shape)} {points.dtype}."
        )
    if not np.isfinite(points).all():
        raise FormatError(f"{path}: expected finite `points`; got NaN or infinity.")
    return points.astype(np.float64)


def _read_ply(path) -> np.ndarray:
    """Vertices [N, 3] of a PLY file, faces or not."""
    import trimesh

    with open(path, "rb") as file:
        try:
            found = trimesh.load(file, file_type="ply", process=False)
            return np.asarray(found.vertices)
        except Exception as error:  # trimesh lets anything through on broken bytes
            raise FormatError(f"{path}: expected a PLY file; got {error}.") from error
