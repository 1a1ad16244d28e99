"""Silhouette and depth pictures of point clouds by DPC's voxels."""

from typing import NamedTuple

import tensorflow as tf

from tfrender import cameras, checks
from tfrender.ops.floating import as_float
from tfrender.ops.project_points import project_points
from tfrender.ops.splat_points import (
    DENSITY_CLIP,
    blur_voxels,
    ray_product,
    splat_points,
)


class OccupancySettings(NamedTuple):
    """Constants of `project_occupancy`.

    Attributes:
        grid: voxels a side along y and x, and pixels of the pictures.
        grid_depth: voxels along the depth; 0 is as many.
        taps: length of the blur.
        distance: depth of the middle of the voxels, world units.
        background_depth: depth where a ray meets nothing, world units.
        max_projection: True takes the largest occupancy along a ray for the silhouette
            and leaves the depth empty.
        clip: of the occupancies, see `ops.ray_product`.
        as_released: True keeps the voxels and the product of the release: centres on
            the faces of the cube, and exp(1e-5) for one.
    """

    grid: int = 64
    grid_depth: int = 0
    taps: int = 21
    distance: float = 2.0
    background_depth: float = 10.0
    max_projection: bool = False
    clip: float = DENSITY_CLIP
    as_released: bool = False


class OccupancyPictures(NamedTuple):
    """Pictures of `project_occupancy`, row 0 at the top.

    Attributes:
        alpha: [V, G, G, 1] in [0, 1].
        depth: [V, G, G, 1] expected depth, world units; None with max_projection.
        voxels: [V, D, G, G] blurred and scaled, y counted from the bottom.
    """

    alpha: tf.Tensor
    depth: tf.Tensor | None
    voxels: tf.Tensor


def project_occupancy(
    points: tf.Tensor,
    camera: cameras.Camera,
    sigma,
    settings: OccupancySettings | None = None,
    *,
    scale: tf.Tensor | None = None,
    weights: tf.Tensor | None = None,
) -> OccupancyPictures:
    """Renders point clouds as DPC does.

    Args:
        points: [B, N, 3] world coordinates, in the cube of side 1 around the origin.
        camera: Camera of batch B V, see `ops.project_points`; voxels fill the cube of
            side 1 around depth `settings.distance` of the projected frame.
        sigma: blur, voxels; a number or a scalar tensor.
        settings: constants; None takes the defaults.
        scale: [B V, 1] factors of the blurred occupancies, or None.
        weights: [B V, N] of the points, 0 to leave some out, or None.

    Returns:
        `OccupancyPictures`.

    Gradient: exact in points, camera and scale; none where an occupancy is clipped.
    Memory: 24 bytes a voxel and view, 240 a point and view.

    Raises:
        ValueError: for wrong shapes or ranges.
    """
    points = as_float(points)
    xy, depth = project_points(points, camera)
    seen = tf.concat([xy, depth[..., tf.newaxis]], axis=-1)
    return occupancy_pictures(
        occupancy_voxels(seen, sigma, settings, scale=scale, weights=weights), settings
    )


def occupancy_voxels(
    seen: tf.Tensor,
    sigma,
    settings: OccupancySettings | None = None,
    *,
    scale: tf.Tensor | None = None,
    weights: tf.Tensor | None = None,
) -> tf.Tensor:
    """First half of `project_occupancy`: voxels along the rays of each view.

    Args:
        seen: [V, N, 3] projected points: X and Y in the frame, depth in world units.
        sigma: blur, voxels; a number or a scalar tensor.
        settings: constants; None takes the defaults.
        scale: [V, 1] factors of the blurred occupancies, or None.
        weights: [V, N] of the points, or None.

    Returns:
        [V, D, G, G] in [0, 1] along depth, y from the bottom and x.

    Gradient: exact in all of them; none where an occupancy is clipped.

    Raises:
        ValueError: for wrong shapes or ranges.
    """
    settings = settings or OccupancySettings()
    seen = as_float(seen)
    checks.rank("seen", seen, 3)
    checks.dims("seen", seen, 3)
    side = settings.grid
    voxels = splat_points(
        seen[..., ::-1] - tf.constant([settings.distance, 0.0, 0.0], seen.dtype),
        (settings.grid_depth or side, side, side),
        weights=weights,
        aligned=not settings.as_released,
    )
    voxels = blur_voxels(tf.minimum(voxels, 1.0), sigma, settings.taps)
    if scale is not None:
        checks.dims("scale", scale, 1)
        voxels *= tf.cast(scale, voxels.dtype)[:, :, tf.newaxis, tf.newaxis]
    return tf.clip_by_value(voxels, 0.0, 1.0)


def occupancy_pictures(
    voxels: tf.Tensor, settings: OccupancySettings | None = None
) -> OccupancyPictures:
    """Second half of `project_occupancy`: what rays along the depth axis meet.

    Args:
        voxels: [V, D, H, W] in [0, 1] along depth, y from the bottom and x.
        settings: constants, those of `occupancy_voxels`; None takes the defaults.

    Returns:
        `OccupancyPictures`.

    Gradient: exact; none where an occupancy is clipped.

    Raises:
        ValueError: for a wrong shape.
    """
    settings = settings or OccupancySettings()
    voxels = as_float(voxels)
    checks.rank("voxels", voxels, 4)
    if settings.max_projection:
        alpha, found = tf.reduce_max(voxels, axis=1), None
    else:
        rays = ray_product(voxels, clip=settings.clip, as_released=settings.as_released)
        alpha = rays.silhouette
        size = tf.cast(tf.shape(voxels)[1], voxels.dtype)
        # Voxel d begins at d / D - 0.5 of the cube, as released; ours has its middle.
        offset = 0.0 if settings.as_released else 0.5 / size
        found = rays.depth / size
        found += alpha * (settings.distance - 0.5 + offset)
        found += rays.background * settings.background_depth
        found = found[:, ::-1, :, tf.newaxis]
    return OccupancyPictures(alpha[:, ::-1, :, tf.newaxis], found, voxels)
