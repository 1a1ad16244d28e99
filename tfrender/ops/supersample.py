"""Averages of the k x k samples of a pixel.

A picture of k times the size holds k x k samples of every pixel, each at the centre of
its own square; the box filter takes their mean. What is no number where a sample is
empty (depth, normals) is averaged over the covered samples alone.
"""

import tensorflow as tf

from tfrender import checks


def average_samples(samples: tf.Tensor, k: int) -> tf.Tensor:
    """Mean of the k x k samples of every pixel.

    Args:
        samples: [B, k H, k W, C] float.
        k: samples along a side, at least 1.

    Returns:
        [B, H, W, C].

    Gradient: exact. Memory: that of the samples.

    Raises:
        ValueError: for a wrong number of axes or a size that k does not divide.
    """
    if k == 1:
        return samples
    return tf.reduce_mean(_blocks(samples, k), axis=3)


def average_covered(samples: tf.Tensor, mask: tf.Tensor, k: int) -> tf.Tensor:
    """Mean of the covered ones among the k x k samples of every pixel.

    Args:
        samples: [B, k H, k W, C] float, finite; not used where the mask is False.
        mask: [B, k H, k W] bool.
        k: samples along a side, at least 1.

    Returns:
        [B, H, W, C], 0 where no sample is covered.

    Gradient: exact in the covered samples; which ones are covered is a constant.
    Memory: twice that of the samples.

    Raises:
        ValueError: as `average_samples`.
    """
    covered = mask[..., tf.newaxis]
    samples = tf.where(covered, samples, 0.0)
    if k == 1:
        return samples
    count = tf.reduce_sum(tf.cast(_blocks(covered, k), samples.dtype), axis=3)
    return tf.reduce_sum(_blocks(samples, k), axis=3) / tf.maximum(count, 1.0)


def nearest_sample(depth: tf.Tensor, mask: tf.Tensor, k: int, *values) -> tuple:
    """Values of that covered sample of every pixel that is nearest to the camera.

    Args:
        depth: [B, k H, k W] float.
        mask: [B, k H, k W] bool, True where covered.
        k: samples along a side, at least 1.
        *values: tensors [B, k H, k W, C] of any type.

    Returns:
        One [B, H, W, C] for each value; the first sample where none is covered, or
        several are as near.

    Gradient: exact in the values; which sample is taken is a constant. Memory: that of
    the samples.

    Raises:
        ValueError: as `average_samples`.
    """
    if k == 1:
        return values
    distance = tf.where(mask, tf.stop_gradient(depth), depth.dtype.max)
    place = tf.argmin(_blocks(distance[..., tf.newaxis], k), axis=3)  # [B, H, W, 1]
    # A choice by masks: the gradient of a gather is slow on accelerators.
    chosen = tf.one_hot(place[..., 0], k * k, on_value=True, off_value=False)
    chosen = chosen[..., tf.newaxis]  # [B, H, W, k k, 1]
    return tuple(
        tf.reduce_sum(tf.where(chosen, _blocks(value, k), tf.zeros([], value.dtype)), 3)
        for value in values
    )


def _blocks(samples, k):
    """Brings the samples of a pixel together: [B, H, W, k k, C]."""
    checks.rank("samples", samples, 4)
    height, width, channels = samples.shape[1:]
    if height % k or width % k:
        raise ValueError(
            f"`samples` must have sides that {k} divides; got {height} x {width}."
        )
    blocks = tf.reshape(samples, [-1, height // k, k, width // k, k, channels])
    blocks = tf.transpose(blocks, [0, 1, 3, 2, 4, 5])
    return tf.reshape(blocks, [-1, height // k, width // k, k * k, channels])
