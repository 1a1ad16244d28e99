"""Depths of a scene: a folder of maps, or depth.npz of all views."""

import pathlib

import numpy as np

from datasets.dvr import pictures, visual_hull
from datasets.dvr.camera_files import unproject
from datasets.dvr.layouts import Folders
from tfrender import io
from tfrender.io import FormatError

_REACH = visual_hull.SIDE / 2
FILE = "depth.npz"
_PIXELS = 2000  # of a view that are checked against the cube


def read_depths(
    folder: pathlib.Path, name: str, extension: str, count: int, chosen, stored
) -> np.ndarray | None:
    """Reads the depths of the chosen views.

    Args:
        folder: of the object.
        name: of the sub-folder; "" is none. That of a layout may be missing; in place
            of "depth" there may be depth.npz with `depth` [all views, H, W].
        extension: of its files; "" takes every kind that can be read.
        count: number of cameras.
        chosen: places of the views.
        stored: (height, width) of the pictures in the files.

    Returns:
        float32 [V, H, W] planar, world units, 0 where there is none; or None.

    Raises:
        FileNotFoundError: no folder of a name that is no layout's.
        FormatError: broken files, or of another number or size.
    """
    path = folder / name
    if not name:
        return None
    if not path.is_dir():
        stack = folder / FILE
        if name == Folders().depth and stack.exists():
            return _read_stack(stack, count, chosen, stored)
        if name not in (Folders().depth, Folders().hull_depth):
            raise FileNotFoundError(f"{path}: no such folder of depth maps.")
        return None
    suffixes = (f".{extension.lstrip('.')}",) if extension else io.DEPTH_SUFFIXES
    paths = pictures.list_pictures(path, suffixes)
    pictures.check_count(path, paths, count)
    depths = []
    for file in (paths[i] for i in chosen):
        depth = io.read_depth(file)
        if depth.shape != stored:
            raise FormatError(
                f"{file}: expected {stored[1]} x {stored[0]} pixels, as the image has; "
                f"got {depth.shape[1]} x {depth.shape[0]}."
            )
        depths.append(depth)
    return np.stack(depths)


def _read_stack(path, count, chosen, stored) -> np.ndarray:
    """Depths of all views in one file."""
    arrays = io.read_npz(path)
    if "depth" not in arrays:
        raise FormatError(
            f"{path}: expected an array depth; found {', '.join(arrays) or 'none'}."
        )
    depth = arrays["depth"]
    if depth.shape != (count, *stored) or depth.dtype.kind not in "fiu":
        raise FormatError(
            f"{path}: expected depth {[count, *stored]}; got {depth.dtype} "
            f"{list(depth.shape)}."
        )
    return io.clean_depth(depth[chosen], str(path))


def look_at_depths(depths, masks, products, folder: str) -> list[str]:
    """Tells of depths that lie outside of the cube: wrong units, or ray lengths.

    Args:
        depths: [V, H, W] world units.
        masks: bool [V, H, W].
        products: [V, 4, 4] of `camera_files.ViewMatrices`.
        folder: name for the line.

    Returns:
        Lines for the user.
    """
    inside, total = 0, 0
    for depth, mask, product in zip(depths, masks, products, strict=True):
        rows, columns = np.nonzero((depth > 0) & mask)
        step = max(1, len(rows) // _PIXELS)
        rows, columns = rows[::step], columns[::step]
        d = depth[rows, columns, np.newaxis].astype(np.float64)
        inverse = np.linalg.inv(product)
        points = (unproject(rows, columns, mask.shape) * d) @ inverse[:3, :3].T
        points += inverse[:3, 3]
        inside += int((np.abs(points).max(-1) < _REACH).sum())
        total += len(points)
    if not total:
        return [f"{folder} holds no depth inside of the masks."]
    if inside < 0.5 * total:
        return [
            f"{1 - inside / total:.0%} of the depths in {folder} lie outside of the "
            "unit cube; expected planar depth (not ray length) in world units."
        ]
    return []
