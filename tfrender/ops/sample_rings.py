"""Reads pictures at points, and on rings around them, as DRWR does.

Han et al., ICML 2020. Ring k mixes the four diagonal corners of a box of 2 k + 2 pixels
with the bilinear weights of the point; ring 0 is plain bilinear interpolation.
"""

import tensorflow as tf

from tfrender import checks
from tfrender.ops.floating import as_float


def sample_rings(images: tf.Tensor, coords: tf.Tensor, rings: int = 1) -> tf.Tensor:
    """Samples one-channel pictures at points and on rings around them.

    For (x, y), ring k and c() the clamp to the picture: x0 = c(floor(x - k)),
    x1 = c(floor(x + k) + 1), weights x1 - c(x + k) and c(x - k) - x0, the same along y.
    As released, the weights of a ring do not add up to 1 near the border; ring 0 on the
    last column or row (x = W - 1 or y = H - 1) has no weight at all and gives 0.

    Args:
        images: [B, H, W, 1].
        coords: [B, N, 2] (x, y): (j, i) is the centre of column j, row i.
        rings: number of rings K, at least 1.

    Returns:
        [B, N, K].

    Gradient: exact in `images`; in `coords` that of the bilinear weights, none where
    the clamp holds. Memory: 80 bytes a point and ring.

    Raises:
        ValueError: for wrong shapes or ranges.
    """
    images, coords = as_float(images), as_float(coords)
    checks.rank("images", images, 4)
    checks.dims("images", images, 1)
    checks.rank("coords", coords, 3)
    checks.dims("coords", coords, 2)
    checks.between("rings", rings, 1, 1024)
    shape = tf.shape(images)
    ring = tf.range(rings, dtype=tf.int32)
    first_x, last_x, left, right = _ends(coords[..., 0], ring, shape[2])
    first_y, last_y, above, below = _ends(coords[..., 1], ring, shape[1])
    flat = tf.reshape(images, tf.stack([shape[0], -1]))

    def pixel(row, column):
        return tf.gather(flat, row * shape[2] + column, batch_dims=1)

    return (
        left * above * pixel(first_y, first_x)
        + left * below * pixel(last_y, first_x)
        + right * above * pixel(first_y, last_x)
        + right * below * pixel(last_y, last_x)
    )


def _ends(place, ring, size):
    """Pixels on both sides of the boxes, and their weights: four of [B, N, K]."""
    place = place[..., tf.newaxis]
    reach = tf.cast(ring, place.dtype)
    last = tf.cast(size - 1, place.dtype)
    # Finite places far outside must not leave the range of whole numbers.
    floor = tf.cast(tf.floor(tf.clip_by_value(place, -1e6, 1e6)), tf.int32)
    first = tf.clip_by_value(floor - ring, 0, size - 1)
    second = tf.clip_by_value(floor + ring + 1, 0, size - 1)
    high = tf.clip_by_value(place + reach, 0.0, last)
    low = tf.clip_by_value(place - reach, 0.0, last)
    return (
        *(first, second),
        tf.cast(second, place.dtype) - high,
        low - tf.cast(first, place.dtype),
    )
