"""Keeps the precision that the caller chose."""

import tensorflow as tf


def as_float(value) -> tf.Tensor:
    """Makes a floating tensor.

    Args:
        value: [...] numbers.

    Returns:
        [...]: the tensor itself where it is floating, else float32.
    """
    value = tf.convert_to_tensor(value)
    return value if value.dtype.is_floating else tf.cast(value, tf.float32)
