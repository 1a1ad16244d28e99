"""Points of objects in pictures: every object in each of its views."""

import tensorflow as tf

from tfrender import cameras, checks
from tfrender.ops.floating import as_float

_NEAREST = 1e-3  # depth below which a point is not divided by


def project_points(
    points: tf.Tensor, camera: cameras.Camera
) -> tuple[tf.Tensor, tf.Tensor]:
    """Projects each set of points into its views.

    Args:
        points: [B, N, 3] world coordinates.
        camera: Camera of batch B V, the views of an object one after the other (or of
            batch 1, for one view of each object).

    Returns:
        xy: [B V, N, 2] coordinates in the frame [-0.5, 0.5]^2, X right and Y up (half
            of the NDC); not clipped.
        depth: [B V, N] planar, world units.

    Gradient: exact in points and camera. A point nearer than 0.001 to the plane of the
    camera, or behind it, is projected as from there. Memory: 40 bytes a point and view.

    Raises:
        ValueError: for wrong shapes.
    """
    points = tf.cast(points, camera.projection.dtype)
    checks.rank("points", points, 3)
    checks.dims("points", points, 3)
    # One lens may serve all views, and one view all objects.
    static = [matrix.shape[0] for matrix in camera]
    total, batch = None if None in static else max(static), points.shape[0]
    if total is not None and batch and total % batch and total != 1:
        raise ValueError(
            f"`camera` must have a multiple of {batch} views, one group an object; "
            f"got {total}."
        )
    total = tf.reduce_max([tf.shape(matrix)[0] for matrix in camera])
    views = tf.maximum(total // tf.maximum(tf.shape(points)[0], 1), 1)
    points = tf.repeat(points, views, axis=0)
    clip = cameras.project_to_clip(camera, points)
    depth = cameras.view_depth(camera, points)
    xy = 0.5 * clip[..., :2] / tf.maximum(clip[..., 3:], _NEAREST)
    return xy, depth


def frame_coordinates(xy: tf.Tensor, grid: int, *, aligned: bool = True) -> tf.Tensor:
    """Takes frame coordinates to places in a picture of `grid` pixels a side.

    Args:
        xy: [..., 2] in the frame, X right and Y up.
        grid: pixels a side, at least 2.
        aligned: True puts the centre of pixel i at i, half a pixel from the frame's
            edge when i is 0; False is the released (X + 0.5) (grid - 1) of a clipped
            X, up to half a pixel wrong.

    Returns:
        [..., 2] (x, y): column from the left, row counted from the BOTTOM, inside the
        picture.

    Gradient: exact inside the frame, none outside.

    Raises:
        ValueError: for a wrong shape or range.
    """
    xy = as_float(xy)
    checks.dims("xy", xy, 2)
    checks.between("grid", grid, 2, 1 << 16)
    if not aligned:
        return (tf.clip_by_value(xy, -0.5, 0.5) + 0.5) * (grid - 1)
    # Not quite to the last centre, where `sample_rings` has no weights.
    return tf.clip_by_value((xy + 0.5) * grid - 0.5, 0.0, grid - 1 - 1e-4)
