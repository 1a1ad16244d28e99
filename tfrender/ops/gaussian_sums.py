"""Sums of Gaussians between all points of a set, in bounded memory."""

import functools

import tensorflow as tf

from tfrender import checks
from tfrender.ops.floating import as_float
from tfrender.ops.forms import compiled, resolve


def gaussian_sums(
    points: tf.Tensor,
    weights: tf.Tensor,
    square_width: float,
    *,
    max_pairs: int = 1 << 19,
    form: str | None = None,
) -> tf.Tensor:
    """sum_j w_j exp(-|p_i - p_j|^2 / square_width), the point itself among them.

    The repulsion between projected points of DRWR (Han et al., ICML 2020) is made of
    these sums.

    Args:
        points: [B, N, D].
        weights: [B, N].
        square_width: squared length units, above 0.
        max_pairs: pairs of points in one pass; bounds memory.
        form: "xla", "graph" or None, see `ops.forms`.

    Returns:
        [B, N].

    Gradient: exact in points and weights, computed pair by pair once more; it has none
    of its own. Memory: about 8 D max(max_pairs, B N) bytes; N^2 numbers are never held.

    Raises:
        ValueError: for wrong shapes or ranges.
    """
    points = as_float(points)
    weights = tf.cast(weights, points.dtype)
    checks.rank("points", points, 3)
    checks.rank("weights", weights, 2)
    checks.dims("weights", weights, points.shape[1])
    checks.between("square_width", square_width, 1e-30, 1e30)
    checks.between("max_pairs", max_pairs, 1, 1 << 34)
    scale = -1.0 / square_width
    values, slopes = _values, _slopes
    if resolve(form) == "xla":
        values, slopes = _compiled_values, _compiled_slopes

    @tf.custom_gradient
    def sums(points, weights):
        # Constants to the passes: a tape would keep what all of them leave behind.
        fixed = tf.stop_gradient(points), tf.stop_gradient(weights)

        def grad(upstream):
            return slopes(*fixed, tf.stop_gradient(upstream), scale, max_pairs)

        return values(*fixed, scale, max_pairs), grad

    return sums(points, weights)


def _values(points, weights, scale, max_pairs):
    """The sums, [B, N]."""

    def part(near):
        return tf.reduce_sum(_kernel(near, points, scale) * weights[:, tf.newaxis], -1)

    return _by_parts(part, points, (points,), max_pairs)[0]


def _slopes(points, weights, upstream, scale, max_pairs):
    """Gradients of the sums in points [B, N, D] and weights [B, N]."""

    def part(near, near_weights, near_upstream):
        kernel = _kernel(near, points, scale)
        # Each pair counts twice: point j is in the sum of i, and i in that of j.
        pull = near_upstream[..., tf.newaxis] * weights[:, tf.newaxis]
        pull += near_weights[..., tf.newaxis] * upstream[:, tf.newaxis]
        pull *= 2.0 * scale * kernel
        # By differences: sums of coordinates would cancel, all the more in the reduced
        # precision of matrix products on GPUs.
        slope = [
            tf.reduce_sum(pull * _apart(near, points, d), -1)
            for d in range(points.shape[-1])
        ]
        by_weight = tf.reduce_sum(kernel * upstream[:, tf.newaxis], -1)
        return *slope, by_weight

    *slope, by_weight = _by_parts(part, points, (points, weights, upstream), max_pairs)
    return tf.stack(slope, axis=-1), by_weight


_compiled_values, _compiled_slopes = compiled(_values), compiled(_slopes)


def _apart(near, points, d):
    return near[:, :, tf.newaxis, d] - points[:, tf.newaxis, :, d]


def _kernel(near, points, scale):
    """exp(-|near - points|^2 / square_width), [B, n, N]."""
    squares = (_apart(near, points, d) ** 2 for d in range(points.shape[-1]))
    return tf.exp(scale * functools.reduce(tf.add, squares))


def _by_parts(function, points, arrays, max_pairs):
    """Calls a function on a few points of all items after the other.

    Args:
        function: takes parts [B, n, ...] of the arrays, returns one or more [B, n].
        points: [B, N, D].
        arrays: tensors [B, N, ...].
        max_pairs: see `gaussian_sums`.

    Returns:
        list of [B, N].
    """
    shape = tf.shape(points)
    batch, total = points.shape[0] or shape[0], points.shape[1] or shape[1]
    row = tf.cast(batch, tf.int64) * tf.cast(total, tf.int64)
    rows = tf.cast(max_pairs // tf.maximum(row, 1), tf.int32)
    rows = tf.clip_by_value(rows, 1, tf.maximum(total, 1))
    static = tf.get_static_value(rows)
    rows = int(static) if static is not None and isinstance(total, int) else rows
    steps = (total + rows - 1) // rows
    if not isinstance(steps, int):
        steps = tf.maximum(steps, 1)  # no points: a loop of no turn has no shape
    if isinstance(steps, int) and steps == 1:
        found = function(*arrays)
        return list(found) if isinstance(found, tuple) else [found]
    padded = []
    for array in arrays:
        widths = [[0, 0], [0, steps * rows - total]] + [[0, 0]] * (array.shape.rank - 2)
        parts = tf.pad(array, widths)
        tail = array.shape[2:].as_list()
        parts = tf.reshape(parts, [batch, steps, rows, *tail])
        order = [1, 0, *range(2, 2 + 1 + len(tail))]
        padded.append(tf.transpose(parts, order))

    def call(parts):
        found = function(*parts)
        return found if isinstance(found, tuple) else (found,)

    count = points.shape[-1] + 1 if len(arrays) > 1 else 1
    # One pass after the other: side by side they would multiply the memory.
    found = tf.map_fn(
        call,
        tuple(padded),
        fn_output_signature=(points.dtype,) * count,
        parallel_iterations=1,
    )
    return [
        tf.reshape(tf.transpose(value, [1, 0, 2]), [batch, steps * rows])[:, :total]
        for value in found
    ]
