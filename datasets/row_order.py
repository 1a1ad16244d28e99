"""Orders of rows that are a function of a seed and a number alone."""

import numpy as np
import tensorflow as tf


def below(draw: tf.Tensor, count) -> tf.Tensor:
    """Maps uniform bits to a range.

    Args:
        draw: uint32 of any shape.
        count: integer.

    Returns:
        0 .. count - 1, int64.
    """
    wide = tf.cast(draw, tf.uint64) * tf.cast(count, tf.uint64)
    shifted = tf.bitwise.right_shift(wide, tf.constant(32, tf.uint64))
    return tf.cast(shifted, tf.int64)


def shuffled_rows(count: int, start: int, seed: int) -> tf.data.Dataset:
    """Numbers elements, and gives each a row; an epoch has every row once.

    Args:
        count: number of rows.
        start: number of the first element.
        seed: of the orders, in [0, 2**31).

    Returns:
        endless dataset of (number of the element, row), int64.
    """
    epoch, rest = divmod(start, count)
    rows = tf.range(count, dtype=tf.int64)

    def shuffled(number):
        key = tf.stack([tf.constant(-1 - seed, tf.int64), number])
        order = tf.random.experimental.stateless_shuffle(rows, key)
        return tf.data.Dataset.from_tensor_slices(order)

    stream = tf.data.Dataset.range(epoch, np.iinfo(np.int64).max)
    return stream.flat_map(shuffled).skip(rest).enumerate(start)
