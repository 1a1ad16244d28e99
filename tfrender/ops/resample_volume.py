"""Rigid transform and trilinear resampling of a voxel grid (RenderNet).

Nguyen-Phuoc et al., "RenderNet: A deep convolutional network for differentiable
rendering from 3D shapes", NeurIPS 2018, section 3.1.

Alphabet of this module: the input grid has side n and axes (X, Y, Z); the camera
grid has side m and axes (row, column, depth). a = azimuth - pi/2, e = elevation,
s = scale. The camera grid is orthographic; rows run downwards, columns to the
right, and the camera sits at the high end of the depth axis.
"""

import math

import tensorflow as tf

from tfrender import checks

BORDERS = ("legacy", "zero_pad")
# Camera distance at which one voxel is one camera cell.
REFERENCE_RADIUS = 3.3
# Distances that files, flags and served models accept.
RADIUS_RANGE = (0.5, 100.0)


def pose_parameters(pose):
    """Pose as users and file names write it, in the units of `resample_volume`.

    Args:
        pose: [B, 3] azimuth in degrees, polar angle from +Y in degrees (0 straight
            above, 90 horizon), camera distance; or [B, 2] without the distance.

    Returns:
        azimuth [B] radians, elevation [B] radians, scale [B] = 3.3 / distance (1
        where the pose has no distance).
    """
    degree = math.pi / 180.0
    azimuth, elevation = pose[:, 0] * degree, (90.0 - pose[:, 1]) * degree
    if pose.shape[-1] == 2:
        return azimuth, elevation, tf.ones_like(azimuth)
    return azimuth, elevation, REFERENCE_RADIUS / pose[:, 2]


def view_axes(azimuth, elevation):
    """Rows of the rotation that takes object axes to camera axes.

    Args:
        azimuth: [B] radians, 0 on +X, growing towards +Z.
        elevation: [B] radians above the horizon.

    Returns:
        Three tuples of [B] tensors in (Z, Y, X) order: the directions towards the
        camera, up, and right. With T, u, r the same vectors in (X, Y, Z) order,
        T = (cos e cos az, sin e, cos e sin az), r = (sin az, 0, -cos az), u = T x r.
    """
    a = azimuth - math.pi / 2
    cos_a, sin_a = tf.cos(a), tf.sin(a)
    cos_e, sin_e = tf.cos(elevation), tf.sin(elevation)
    toward = (cos_e * cos_a, sin_e, -cos_e * sin_a)
    up = (-sin_e * cos_a, cos_e, sin_e * sin_a)
    right = (sin_a, tf.zeros_like(sin_a), cos_a)
    return toward, up, right


def resample_volume(
    voxels, azimuth, elevation, scale, size, border="legacy", origin=None, window=None
):
    """Resamples a voxel grid into a camera-aligned grid.

    Camera cell (row, col, depth) reads the object at
    (Z, Y, X) = R^T (depth - m/2, m/2 - 1 - row, col - m/2) / s + n/2, where R has
    the rows of `view_axes`; integer coordinates are cell centres.

    Args:
        voxels: [B, n, n, n, C] values at (X, Y, Z).
        azimuth: [B] radians, 0 on +X, growing towards +Z.
        elevation: [B] radians above the horizon.
        scale: [B] camera cells per voxel, 3.3 / radius; above 0.
        size: m, side of the whole camera grid.
        border: "legacy" loses the last plane of every axis, as the original does;
            "zero_pad" surrounds the grid with zeros, so that no plane is lost and
            the border fades over half a voxel.
        origin: [B, 2] or [2] int32, first (row, column) of the window; None is (0, 0).
        window: (height, width) of the window in cells; None is the whole grid. Only
            the window is computed.

    Returns:
        [B, height, width, m, C] camera grid.

    Raises:
        ValueError: for a grid that is not cubic, an unknown border or an empty window.

    Gradient: exact in `voxels`, `azimuth`, `elevation` and `scale` (trilinear: the
    cell chosen by `floor` is a constant). Memory: about 10 floats per output cell in
    graph mode, 1 under XLA (`jit_compile=True`).
    """
    checks.rank("voxels", voxels, 5)
    checks.one_of("border", border, BORDERS)
    n = voxels.shape[1]
    checks.dims("voxels", voxels, n, n, n, None)
    height, width = window or (size, size)
    if min(size, height, width) < 1:
        raise ValueError(f"`size` and `window` must be positive; got {size}, {window}.")
    z, y, x = _sample_points(azimuth, elevation, scale, size, origin, (height, width))
    if border == "zero_pad":
        voxels = tf.pad(voxels, [[0, 0], [1, 1], [1, 1], [1, 1], [0, 0]])
    shift = 1.0 if border == "zero_pad" else 0.0
    return _trilinear(voxels, [c + (n / 2 + shift) for c in (x, y, z)])


def _sample_points(azimuth, elevation, scale, size, origin, window):
    """Centred object coordinates (Z, Y, X) of the camera cells, each [B, H, W, m]."""
    axes = view_axes(azimuth, elevation)
    half = size / 2
    if origin is None:
        origin = tf.zeros([2], tf.int32)
    origin = tf.cast(tf.broadcast_to(origin, [tf.shape(scale)[0], 2]), tf.float32)
    row = origin[:, :1] + tf.range(window[0], dtype=tf.float32)  # [B, H]
    col = origin[:, 1:] + tf.range(window[1], dtype=tf.float32)  # [B, W]
    up = (half - 1.0 - row)[:, :, tf.newaxis, tf.newaxis]
    right = (col - half)[:, tf.newaxis, :, tf.newaxis]
    toward = (tf.range(size, dtype=tf.float32) - half)[
        tf.newaxis, tf.newaxis, tf.newaxis
    ]
    # Dividing the three axes by the scale, not the cells, saves a pass over the grid.
    toward_axis, up_axis, right_axis = (
        [(c / scale)[:, tf.newaxis, tf.newaxis, tf.newaxis] for c in axis]
        for axis in axes
    )
    return [
        toward * toward_axis[i] + up * up_axis[i] + right * right_axis[i]
        for i in range(3)
    ]


def _trilinear(voxels, points):
    """Samples [B, n, n, n, C] at three coordinates [B, ...]; zero outside [0, n-1)."""
    n, channels = voxels.shape[1], voxels.shape[-1]
    table = tf.reshape(voxels, [-1, n * n * n, channels])
    # A coordinate of 1e30 would overflow the cast to int32.
    cells = [tf.floor(tf.clip_by_value(p, -1.0, float(n))) for p in points]
    inside = tf.reduce_all(
        tf.stack([tf.logical_and(c >= 0.0, c <= n - 2.0) for c in cells]), axis=0
    )
    low = [tf.cast(tf.clip_by_value(c, 0.0, n - 2.0), tf.int32) for c in cells]
    part = [p - c for p, c in zip(points, cells, strict=True)]
    base = (low[0] * n + low[1]) * n + low[2]
    total = 0.0
    for dx in (0, 1):
        for dy in (0, 1):
            for dz in (0, 1):
                weight = (
                    (part[0] if dx else 1.0 - part[0])
                    * (part[1] if dy else 1.0 - part[1])
                    * (part[2] if dz else 1.0 - part[2])
                )
                index = base + (dx * n + dy) * n + dz
                value = tf.gather(table, index, batch_dims=1)  # [B, ..., C]
                total += weight[..., tf.newaxis] * value
    return tf.where(inside[..., tf.newaxis], total, 0.0)
