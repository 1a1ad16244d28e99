"""The visual hull of masks, and its depth in every view.

Laurentini, "The visual hull concept for silhouette-based image understanding", 1994.
DVR's loss takes the hull's depth for the place of a pixel's object where the true one
is unknown (`depth_from_visual_hull`).

Voxels are carved with some slack, so that none that the hull touches is lost; rays are
marched through what is left, and each of their points is tested against all masks. So
the depth is not bound to the voxels, which only save work.

A mask says whether pixel centres see the object. Points fall between centres, so each
mask is widened by a pixel first: otherwise rays pass through thin parts and at edges.
"""

import math
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tfrender import cameras, checks

SIDE = 1.1  # of the cube that is carved; the march of the original looks as far
_SLAB = 1 << 20  # voxels that are projected at once
_RAYS = 1 << 15  # rays that are marched at once
_STEPS_A_VOXEL = 2.0


def carve(
    masks: np.ndarray, camera: Sequence[np.ndarray], resolution: int = 128
) -> np.ndarray:
    """Carves voxels from masks: those that the visual hull may touch are left.

    A voxel goes where a view shows it whole beside its mask, where no view shows it,
    and where it is beyond the picture of a view whose mask keeps away from the border.

    Args:
        masks: bool [V, H, W].
        camera: world_to_camera and projection, [V, 4, 4] each, of perspective cameras.
        resolution: voxels R a side.

    Returns:
        bool [R, R, R] at (X, Y, Z) of the cube [-0.55, 0.55]^3.
    """
    checks.between("resolution", resolution, 2, 1024)
    matrices = _matrices(camera)
    reach = math.sqrt(3.0) / 2.0 * SIDE / resolution  # of a voxel from its centre
    wide = [_widened(*pair, reach) for pair in zip(masks, matrices, strict=True)]
    centers = (np.arange(resolution) + 0.5) / resolution * SIDE - SIDE / 2
    full = np.zeros([resolution] * 3, bool)
    thick = max(1, _SLAB // resolution**2)
    for first in range(0, resolution, thick):
        axes = centers[first : first + thick], centers, centers
        points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
        inside = _on_masks(points.reshape(-1, 3), wide, matrices)
        full[first : first + thick] = inside.reshape(points.shape[:-1])
    return full


def _matrices(camera) -> np.ndarray:
    """World to clip space, float64 [V, 4, 4]."""
    view, projection = (np.asarray(part, np.float64) for part in camera)
    return projection @ view


def _widened(mask: np.ndarray, matrix: np.ndarray, reach: float) -> np.ndarray:
    """Mask grown by the pixels that `reach` spans where the cube is nearest."""
    height, width = mask.shape
    axis = matrix[3, :3]  # gradient of the depth; a unit vector
    near = matrix[3, 3] - SIDE / 2 * np.abs(axis).sum()
    spans = np.linalg.norm(matrix[:2, :3], axis=-1) * (width, height) / 2
    return grow(mask, math.ceil(reach * spans.max() / max(near, reach)) + 1)


def grow(mask: np.ndarray, pixels: int) -> np.ndarray:
    """Widens a mask.

    Args:
        mask: bool [H, W].
        pixels: reach in x and in y.

    Returns:
        bool [H, W], pixels that have one of the mask within reach.
    """
    pixels, grown = min(pixels, max(mask.shape)), mask
    for _ in range(2):  # columns, then rows
        padded = np.pad(grown, ((0, 0), (pixels + 1, pixels))).cumsum(1)
        grown = (padded[:, 2 * pixels + 1 :] > padded[:, : -2 * pixels - 1]).T
    return grown


def _on_masks(points: np.ndarray, masks, matrices: np.ndarray) -> np.ndarray:
    """Whether points [N, 3] are on the mask of every view that shows them.

    A view whose mask keeps away from the border shows the object whole: what lies
    beyond its picture is empty. Beyond another picture the object may go on.
    """
    shown = np.zeros(len(points), bool)
    alive = np.arange(len(points))
    for mask, matrix in zip(masks, matrices, strict=True):
        height, width = mask.shape
        clip = points[alive] @ matrix[[0, 1, 3], :3].T + matrix[[0, 1, 3], 3]
        front = clip[:, 2] > 0
        w = np.where(front, clip[:, 2], 1.0)
        column = np.floor((clip[:, 0] / w + 1.0) / 2.0 * width)
        row = np.floor((1.0 - clip[:, 1] / w) / 2.0 * height)
        seen = front & (column >= 0) & (column < width) & (row >= 0) & (row < height)
        shown[alive[seen]] = True
        border = mask[[0, -1]].any() or mask[:, [0, -1]].any()
        kept = ~seen & border
        kept[seen] = mask[row[seen].astype(int), column[seen].astype(int)]
        alive = alive[kept]
    found = np.zeros(len(points), bool)
    found[alive] = shown[alive]
    return found


def hull_depth(
    masks: np.ndarray,
    camera: Sequence[np.ndarray],
    resolution: int = 128,
    carvers: Sequence[int] | None = None,
) -> np.ndarray:
    """Depth of the visual hull in every view.

    Args:
        masks: bool [V, H, W].
        camera: world_to_camera and projection, [V, 4, 4] each, object space, of
            perspective cameras.
        resolution: voxels a side; a ray is tested at two points a voxel.
        carvers: places of the views whose masks carve; None is all. Views that are
            held out must not, or training would know their masks.

    Returns:
        float32 [V, H, W] planar, object units: where the ray of a pixel of the mask
        enters the hull; 0 outside of the mask, and where the masks contradict each
        other.
    """
    carvers = list(range(len(masks)) if carvers is None else carvers)
    hull = carve(masks[carvers], [part[carvers] for part in camera], resolution)
    matrices = _matrices(camera)[carvers]
    wide = [grow(mask, 1) for mask in masks[carvers]]
    depths = np.zeros(masks.shape, np.float32)
    for view, mask in enumerate(masks):
        rows, columns = np.nonzero(mask)
        own = cameras.Camera(*(tf.constant(m[view : view + 1]) for m in camera))
        for first in range(0, len(rows), _RAYS):
            part = slice(first, first + _RAYS)
            pixels = np.stack([columns[part] + 0.5, rows[part] + 0.5], axis=-1)
            rays = cameras.pixel_rays(
                own, tf.constant(pixels[np.newaxis], tf.float32), mask.shape
            )
            rays = (ray[0].numpy().astype(np.float64) for ray in rays)
            found = _march(hull, *rays, wide, matrices)
            depths[view, rows[part], columns[part]] = found
    return depths


def cube_span(origin, direction) -> tuple[np.ndarray, np.ndarray]:
    """Cuts rays with the cube that is carved.

    Args:
        origin: [3] or [N, 3].
        direction: [N, 3].

    Returns:
        parameters of entry and exit, [N]; the exit comes first where a ray misses.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        sides = np.stack([(s * SIDE / 2 - origin) / direction for s in (-1.0, 1.0)])
    return np.nanmax(sides.min(0), axis=-1), np.nanmin(sides.max(0), axis=-1)


def _march(hull, origin, direction, masks, matrices) -> np.ndarray:
    """Depth at which rays [N, 3] enter the hull, 0 where they miss it."""
    resolution = hull.shape[0]
    near, far = cube_span(origin, direction)
    near = np.maximum(near, 0.0)
    step = SIDE / resolution / _STEPS_A_VOXEL
    step /= np.linalg.norm(direction, axis=-1)
    alive = np.flatnonzero(far > near)
    found, k = np.zeros(len(origin)), 0
    while len(alive):
        depth = near[alive] + (k + 0.5) * step[alive]
        points = origin[alive] + direction[alive] * depth[:, np.newaxis]
        cell = np.floor((points / SIDE + 0.5) * resolution).astype(int)
        x, y, z = cell.clip(0, resolution - 1).T
        hit = hull[x, y, z]
        hit[hit] = _on_masks(points[hit], masks, matrices)
        found[alive[hit]] = depth[hit]
        alive = alive[~hit & (depth < far[alive])]
        k += 1
    return found
