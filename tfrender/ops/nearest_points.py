"""Nearest neighbours between two sets of points, in bounded memory."""

from typing import NamedTuple

import tensorflow as tf

from tfrender import checks
from tfrender.ops.floating import as_float
from tfrender.ops.rasterize_corners import gather_rows


class Nearest(NamedTuple):
    """Nearest neighbour of every point.

    Attributes:
        index: [B, N] int32 into the targets of the same item; the smallest on ties.
        offset: [B, N, 3] point minus neighbour.
        square: [B, N] squared distance.
    """

    index: tf.Tensor
    offset: tf.Tensor
    square: tf.Tensor


def nearest_points(
    points: tf.Tensor, targets: tf.Tensor, *, max_pairs: int = 1 << 20
) -> Nearest:
    """Finds the nearest target of every point, by comparing all pairs.

    Distances are sums of squared differences (not |a|^2 + |b|^2 - 2 ab, which loses
    small distances to rounding, and all digits beyond three in the reduced precision
    of GPU matrix products), so the neighbour is exact to one rounding.

    Args:
        points: [B, N, 3].
        targets: [B, M, 3], M at least 1.
        max_pairs: pairs compared in one pass; bounds memory.

    Returns:
        Nearest.

    Gradient: exact in points and targets through the winning pair, which is a
    constant. Memory: about 12 * max(max_pairs, B * M) bytes, and 40 bytes a point.

    Raises:
        ValueError: for wrong shapes or no targets.
    """
    points, targets = as_float(points), as_float(targets)
    for name, value in (("points", points), ("targets", targets)):
        checks.rank(name, value, 3)
        checks.dims(name, value, None, 3)
    checks.between("max_pairs", max_pairs, 1, 1 << 34)
    if targets.shape[1] == 0:
        raise ValueError(f"`targets` must hold a point; got shape {targets.shape}.")
    targets = tf.cast(targets, points.dtype)
    index = _search(tf.stop_gradient(points), tf.stop_gradient(targets), max_pairs)
    batch, count = tf.shape(targets)[0], tf.shape(targets)[1]
    flat = index + tf.range(batch)[:, tf.newaxis] * count
    offset = points - gather_rows(tf.reshape(targets, [-1, 3]), flat)
    return Nearest(index, offset, tf.reduce_sum(offset * offset, axis=-1))


def _search(points, targets, max_pairs):
    """Index of the nearest target, [B, N] int32, a few columns of points at a time."""
    batch, total = tf.shape(points)[0], tf.shape(points)[1]
    row = tf.shape(targets, tf.int64)[0] * tf.shape(targets, tf.int64)[1]
    chunk = tf.maximum(tf.cast(max_pairs, tf.int64) // tf.maximum(row, 1), 1)
    chunk = tf.maximum(tf.minimum(tf.cast(chunk, tf.int32), total), 1)
    steps = tf.maximum((total + chunk - 1) // chunk, 1)  # map_fn needs one
    padded = tf.pad(points, [[0, 0], [0, steps * chunk - total], [0, 0]])
    parts = tf.reshape(padded, tf.stack([batch, steps, chunk, 3]))
    parts = tf.transpose(parts, [1, 0, 2, 3])  # [steps, B, chunk, 3]
    axes = [targets[:, tf.newaxis, :, k] for k in range(3)]  # each [B, 1, M]

    def nearest(part):
        square = tf.math.squared_difference(part[..., 0:1], axes[0])
        square += tf.math.squared_difference(part[..., 1:2], axes[1])
        square += tf.math.squared_difference(part[..., 2:3], axes[2])
        return tf.argmin(square, axis=-1, output_type=tf.int32)  # [B, chunk]

    # One pass after the other: side by side they would multiply the memory.
    found = tf.map_fn(
        nearest, parts, fn_output_signature=tf.int32, parallel_iterations=1
    )
    found = tf.reshape(tf.transpose(found, [1, 0, 2]), tf.stack([batch, steps * chunk]))
    return found[:, :total]
