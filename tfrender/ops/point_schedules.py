"""How DPC's rendering changes as training goes on.

Insafutdinov and Dosovitskiy, NeurIPS 2018: the blur narrows, and more and more of the
points are drawn.
"""

import tensorflow as tf

from tfrender import checks


def blur_schedule(progress, start: float, end: float, *, bounded: bool = True):
    """Standard deviation of the blur, on a straight line from start to end.

    Args:
        progress: steps done over steps in all; a number or a tensor.
        start: voxels, at progress 0.
        end: voxels, at progress 1.
        bounded: False goes on beyond progress 1, as released, and becomes negative.

    Returns:
        float32 of the shape of `progress`.
    """
    progress = tf.cast(progress, tf.float32)
    if bounded:
        progress = tf.clip_by_value(progress, 0.0, 1.0)
    return start + (end - start) * progress


def keep_schedule(
    progress,
    start: float,
    *,
    first: float = 0.0,
    last: float = 1.0,
    exponential: bool = False,
):
    """Share of the points that are drawn, from `start` to 1.

    Args:
        progress: steps done over steps in all; a number or a tensor.
        start: share until `first`, in (0, 1].
        first: progress at which it begins to grow.
        last: progress at which it is 1, above `first`.
        exponential: start exp(x ln(1 / start)) in place of a straight line.

    Returns:
        float32 in [start, 1] of the shape of `progress`.

    Raises:
        ValueError: for a setting out of range.
    """
    checks.between("start", start, 1e-6, 1.0)
    if not first < last:
        raise ValueError(f"`last` must be above `first`; got {last} and {first}.")
    way = (tf.cast(progress, tf.float32) - first) / (last - first)
    share = start ** (1.0 - way) if exponential else start + (1.0 - start) * way
    return tf.clip_by_value(share, start, 1.0)


def keep_weights(shape, share, seed) -> tf.Tensor:
    """Chooses floor(N share) of N points, at least one, without replacement.

    Args:
        shape: (V, N).
        share: scalar in (0, 1].
        seed: [2] integers of `tf.random.stateless_uniform`.

    Returns:
        float32 [V, N] of 0 and 1.
    """
    draws = tf.random.stateless_uniform(shape, seed)
    rank = tf.argsort(tf.argsort(draws, axis=-1), axis=-1)
    count = tf.floor(tf.cast(tf.shape(draws)[-1], tf.float32) * share)
    count = tf.maximum(count, 1.0)
    return tf.cast(tf.cast(rank, tf.float32) < count, tf.float32)
