"""Points of structure from motion beside the pictures of a scene, pcl.npz."""

import pathlib
from typing import NamedTuple

import numpy as np

from datasets.dvr import camera_files
from tfrender import io
from tfrender.io import FormatError

FILE = "pcl.npz"


class SparsePoints(NamedTuple):
    """Points of structure from motion that a view sees.

    Attributes:
        points: float32 [M, 3] in object space.
        pixels: float32 [M, 2] x right, y down, in pixels.
        depth: float32 [M] planar, object units.
    """

    points: np.ndarray
    pixels: np.ndarray
    depth: np.ndarray


def read_sparse(
    path: pathlib.Path, matrices, chosen, stored, size
) -> list[SparsePoints] | None:
    """Reads the points that lie in the visual hull and are seen, for each chosen view.

    Args:
        path: pcl.npz: `points` [N, 3] world, `visibility_0000` and so on indices, and
            maybe `is_in_visual_hull` [N].
        matrices: `camera_files.ViewMatrices`.
        chosen: places of the views.
        stored: (height, width) of the pictures in the files.
        size: (height, width) that they are resized to.

    Returns:
        `SparsePoints` of each view that fall into its picture, or None where there is
        no such file.

    Raises:
        FormatError: a broken file, or one without a view.
    """
    if not path.exists():
        return None
    arrays = io.read_npz(path)
    points = arrays.get("points")
    if points is None or points.ndim != 2 or points.shape[1] != 3:
        found = "none" if points is None else list(points.shape)
        raise FormatError(f"{path}: expected points [N, 3]; got {found}.")
    points = points.astype(np.float64)
    if not np.isfinite(points).all():
        raise FormatError(f"{path}: a point is not finite.")
    kept = arrays.get("is_in_visual_hull", np.ones(len(points), bool))
    if kept.shape != (len(points),):
        raise FormatError(
            f"{path}: expected is_in_visual_hull [{len(points)}]; got "
            f"{list(kept.shape)}."
        )
    found = []
    for view in chosen:
        seen = _visible(arrays, view, len(points), path)
        seen = seen[kept[seen].astype(bool)]
        inverse = np.linalg.inv(matrices.scales[view])
        own = points[seen] @ inverse[:3, :3].T + inverse[:3, 3]
        found.append(_in_picture(own, matrices.products[view], stored, size))
    return found


def _visible(arrays, view: int, count: int, path) -> np.ndarray:
    """Indices of the points that a view sees."""
    name = f"visibility_{view:04d}"
    if name not in arrays:
        raise FormatError(f"{path}: expected {name}, indices of points; it is missing.")
    seen = arrays[name].ravel()
    if seen.size and (seen.dtype.kind not in "iu" or seen.min() < 0):
        raise FormatError(f"{path}: expected indices in {name}; got {seen.dtype}.")
    if seen.size and seen.max() >= count:
        raise FormatError(
            f"{path}: {name} holds {seen.max()}, but there are {count} points."
        )
    return seen.astype(np.int64)


def _in_picture(own, product, stored, size) -> SparsePoints:
    """Points that fall into the picture; pixels are those of the resized one."""
    rows, columns, depth = camera_files.to_pixels(own, product, stored)
    scale = np.linalg.norm(product[2, :3])
    factors = np.array([size[1] / stored[1], size[0] / stored[0]])
    pixels = (np.stack([columns, rows], axis=-1) + 0.5) * factors
    inside = (depth > 0) & (pixels >= 0).all(-1) & (pixels < (size[1], size[0])).all(-1)
    return SparsePoints(
        own[inside].astype(np.float32),
        pixels[inside].astype(np.float32),
        (depth[inside] / scale).astype(np.float32),
    )
