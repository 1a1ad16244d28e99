"""Losses between pictures, one value per example.

Each function returns [B], so that a training loop divides by the global batch itself.
"""

import keras
import tensorflow as tf

# Keeps log finite at a saturated sigmoid; the value of the original.
_LOG_FLOOR = 1e-6


def cross_entropy_sum(target, prediction):
    """Binary cross entropy summed over a picture (RenderNet's grey loss).

    -sum(t log(1e-6 + p) + (1 - t) log(1e-6 + 1 - p)); the scale grows with the size of
    the picture, as in the original.

    Args:
        target: [B, H, W, C] in [0, 1].
        prediction: [B, H, W, C] in [0, 1].

    Returns:
        [B].

    Raises:
        ValueError: where the shapes differ.
    """
    _check_same(target, prediction)
    on = target * tf.math.log(_LOG_FLOOR + prediction)
    off = (1.0 - target) * tf.math.log(_LOG_FLOOR + 1.0 - prediction)
    return -tf.reduce_sum(on + off, axis=[1, 2, 3])


def squared_error(target, prediction):
    """Mean squared error of a picture (RenderNet's colour and normal loss).

    Args:
        target: [B, H, W, C].
        prediction: [B, H, W, C].

    Returns:
        [B] mean over H, W, C.

    Raises:
        ValueError: where the shapes differ.
    """
    _check_same(target, prediction)
    return tf.reduce_mean(tf.math.squared_difference(target, prediction), [1, 2, 3])


@keras.saving.register_keras_serializable(package="tfrender")
class CrossEntropySum(keras.losses.Loss):
    """Keras form of `cross_entropy_sum`, for `compile` and `fit`."""

    def call(self, y_true, y_pred):
        """[B] loss of [B, H, W, C] pictures."""
        return cross_entropy_sum(tf.cast(y_true, y_pred.dtype), y_pred)


def _check_same(target, prediction):
    # Broadcasting a [B, H, W, 1] target over RGB would be a silent mistake.
    if not target.shape.is_compatible_with(prediction.shape):
        raise ValueError(
            f"`target` and `prediction` must have one shape; got {target.shape} and "
            f"{prediction.shape}."
        )
