"""The camera file of a DVR scene, cameras.npz: read with every matrix checked, written.

For view i it holds camera_mat_i, world_mat_i and, where the world is not object space,
scale_mat_i: 4x4 matrices of the projection that `tfrender.cameras.from_dvr` explains.
"""

import os
import re
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from tfrender import cameras, io
from tfrender.io import FormatError

FILE = "cameras.npz"
MATRICES = ("camera_mat", "world_mat", "scale_mat")
_MOST_BYTES = 64 * 2**20
_SINGULAR = 1e14  # condition of a float64 matrix that cannot be inverted
_CORNERS = np.array(
    [[x, y, z, 1.0] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)]
)


class ViewMatrices(NamedTuple):
    """The projections of a scene.

    Attributes:
        products: float64 [V, 4, 4] camera_mat world_mat scale_mat of each view.
        projections: float64 [V, 4, 4] camera_mat world_mat, from the world.
        scales: float64 [V, 4, 4] object space to world.
        scaled: whether the file holds scale matrices.
    """

    products: np.ndarray
    projections: np.ndarray
    scales: np.ndarray
    scaled: bool


def read_cameras(path: str | os.PathLike, scaled: bool = False) -> ViewMatrices:
    """Reads and checks the camera file of an object.

    Args:
        path: cameras.npz.
        scaled: whether it must hold scale matrices.

    Returns:
        `ViewMatrices` of the views 0, 1, ... of the file.

    Raises:
        FileNotFoundError: no such file.
        FormatError: as `check_cameras`; missing scale matrices; an object behind the
            camera.
    """
    found = check_cameras(read_matrices(path), path)
    if scaled and not found.scaled:
        raise FormatError(
            f"{path}: expected scale_mat_0 and so on, object space to world; they are "
            "missing. `python -m tools.make_dvr_scene --rescale=SCENE` makes them; "
            "--layout=nmr takes the world for object space."
        )
    depths = np.einsum("vj,kj->vk", found.products[:, 2], _CORNERS)
    behind = np.flatnonzero((depths <= 0).all(-1))
    if len(behind):
        raise FormatError(
            f"{path}: view {behind[0]} has the cube [-0.5, 0.5]^3 of the object behind "
            "its camera; expected cameras with x right, y down and z forward."
        )
    return found


def read_matrices(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Reads the arrays of a camera file, unchecked.

    Args:
        path: cameras.npz.

    Returns:
        name -> array.

    Raises:
        FileNotFoundError: no such file.
        FormatError, LimitError: as `tfrender.io.read_npz`.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(f"{path}: no such camera file.")
    return io.read_npz(path, _MOST_BYTES)


def check_cameras(arrays: Mapping[str, np.ndarray], path) -> ViewMatrices:
    """Checks the matrices of a camera file.

    Args:
        arrays: name -> array.
        path: for messages.

    Returns:
        `ViewMatrices`.

    Raises:
        FormatError: a view that is missing in the sequence; a matrix that is missing,
            not 4x4, not finite, not invertible, or has another last row than 0 0 0 1.
            File and view are named.
    """
    count = _views_of(arrays, path)
    found = {name: [] for name in MATRICES}
    scaled = any(name.startswith("scale_mat_") for name in arrays)
    for view in range(count):
        for name in MATRICES if scaled else MATRICES[:2]:
            found[name].append(_matrix(arrays, f"{name}_{view}", path))
    projections = np.stack(found["camera_mat"]) @ np.stack(found["world_mat"])
    scales = np.broadcast_to(np.eye(4), projections.shape)
    if scaled:
        scales = np.stack(found["scale_mat"])
    return ViewMatrices(projections @ scales, projections, scales, scaled)


def _views_of(arrays, path) -> int:
    """Number of views; refuses a gap."""
    pattern = re.compile(r"(?:camera_mat|world_mat|scale_mat)_(\d+)")
    matches = (pattern.fullmatch(name) for name in arrays)
    numbers = sorted({int(match[1]) for match in matches if match})
    if not numbers:
        keys = ", ".join(list(arrays)[:6]) or "nothing"
        raise FormatError(
            f"{path}: expected world_mat_0, camera_mat_0 and so on; found {keys}."
        )
    missing = sorted(set(range(numbers[-1] + 1)) - set(numbers))
    if missing:
        raise FormatError(
            f"{path}: expected the views 0 to {numbers[-1]}; missing "
            f"{', '.join(map(str, missing[:8]))}."
        )
    return len(numbers)


def _matrix(arrays, name: str, path) -> np.ndarray:
    """One checked matrix, float64 [4, 4]."""
    if name not in arrays:
        raise FormatError(f"{path}: expected {name}; it is missing.")
    matrix = arrays[name]
    if matrix.shape != (4, 4) or matrix.dtype.kind not in "fiu":
        raise FormatError(
            f"{path}: expected {name} 4x4; got {matrix.dtype} {list(matrix.shape)}."
        )
    matrix = matrix.astype(np.float64)
    if not np.isfinite(matrix).all():
        raise FormatError(f"{path}: {name} is not finite.")
    if np.abs(matrix[3] - (0, 0, 0, 1)).max() > 1e-6:
        raise FormatError(
            f"{path}: expected the last row 0 0 0 1 in {name}; got "
            f"{' '.join(f'{v:g}' for v in matrix[3])}."
        )
    if not np.linalg.cond(matrix) < _SINGULAR:
        raise FormatError(f"{path}: {name} cannot be inverted.")
    return matrix


def to_cameras(products: np.ndarray, image_size) -> tuple[np.ndarray, ...]:
    """Cameras of this library, in object space.

    The product is made in float64 before: worlds in millimetres far from the origin
    would lose digits.

    Args:
        products: float64 [V, 4, 4] of `ViewMatrices`.
        image_size: (height, width) of the pictures that the file belongs to, before
            any resizing.

    Returns:
        world_to_camera, projection, float32 [V, 4, 4] each, and depth_scale, float32
        [V]: world units in one object unit.
    """
    camera, depth_scale = cameras.from_dvr(products, np.eye(4), None, image_size)
    arrays = (np.asarray(part) for part in (*camera, depth_scale))
    return tuple(part.astype(np.float32) for part in arrays)


def eyes(products: np.ndarray) -> np.ndarray:
    """Places of the cameras in object space, float64 [V, 3]."""
    return -np.linalg.solve(products[:, :3, :3], products[:, :3, 3:])[..., 0]


def unproject(rows: np.ndarray, columns: np.ndarray, size) -> np.ndarray:
    """Points of the image plane: -1 and 1 are the centres of the outer pixels.

    Args:
        rows: [N] of pixels.
        columns: [N] of pixels.
        size: (height, width).

    Returns:
        float64 [N, 3], (u, v, 1).
    """
    height, width = size
    u = 2.0 * columns / max(width - 1, 1) - 1.0
    v = 2.0 * rows / max(height - 1, 1) - 1.0
    return np.stack([u, v, np.ones_like(u)], axis=-1)


def to_pixels(
    points: np.ndarray, projection: np.ndarray, size
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where points appear: the inverse of `unproject`.

    Args:
        points: [N, 3].
        projection: float64 [4, 4], from the space of the points to the image plane.
        size: (height, width).

    Returns:
        rows and columns, float64 [N], whole numbers at the centres of pixels; and
        depth [N]. Of points at depth 0 or less rows and columns mean nothing.
    """
    height, width = size
    plane = points @ projection[:3, :3].T + projection[:3, 3]
    depth = plane[:, 2]
    safe = np.where(depth > 0, depth, 1.0)
    columns = (plane[:, 0] / safe + 1.0) / 2.0 * (width - 1)
    rows = (plane[:, 1] / safe + 1.0) / 2.0 * (height - 1)
    return rows, columns, depth


def write_cameras(
    path: str | os.PathLike,
    camera_mats: np.ndarray,
    world_mats: np.ndarray,
    scale_mat: np.ndarray | None = None,
) -> None:
    """Writes cameras.npz, with the inverse of every matrix, as the published ones.

    Args:
        path: the file; replaced where it exists, complete or not at all.
        camera_mats: [V, 4, 4].
        world_mats: [V, 4, 4].
        scale_mat: [4, 4] object space to world, for all views; None writes none.
    """
    found = {}
    for number in range(len(camera_mats)):
        matrices = [camera_mats[number], world_mats[number], scale_mat]
        for name, matrix in zip(MATRICES, matrices, strict=True):
            if matrix is None:
                continue
            matrix = np.asarray(matrix, np.float64)
            found[f"{name}_{number}"] = matrix
            found[f"{name}_inv_{number}"] = np.linalg.inv(matrix)
    with io.write_file(path) as file:
        np.savez(file, **found)
