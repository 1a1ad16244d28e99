"""Losses between sets of points, one value per example."""

import keras
import tensorflow as tf

from tfrender.ops.nearest_points import nearest_points


def chamfer_loss(
    target: tf.Tensor,
    prediction: tf.Tensor,
    *,
    squared: bool = True,
    max_pairs: int = 1 << 20,
) -> tf.Tensor:
    """Chamfer distance: both directed means of nearest distances, added.

    mean_p min_t |p - t|^2 + mean_t min_p |p - t|^2, or without the squares.

    Args:
        target: [B, M, 3].
        prediction: [B, N, 3].
        squared: False takes plain distances.
        max_pairs: pairs compared in one pass; bounds memory.

    Returns:
        [B] squared length units (length units for squared=False).

    Gradient: exact in both through the winning pairs, which are constants; none
    between coinciding points for squared=False. Memory: as `nearest_points`.

    Raises:
        ValueError: for wrong shapes or empty sets.
    """
    total = 0.0
    for points, others in ((prediction, target), (target, prediction)):
        distance = nearest_points(points, others, max_pairs=max_pairs).square
        if not squared:
            apart = distance > 0.0
            distance = tf.where(apart, tf.sqrt(tf.where(apart, distance, 1.0)), 0.0)
        total += tf.reduce_mean(distance, axis=1)
    return total


@keras.saving.register_keras_serializable(package="tfrender")
class ChamferDistance(keras.losses.Loss):
    """Keras form of `chamfer_loss`, for `compile` and `fit`.

    Attributes:
        squared: False takes plain distances.
    """

    def __init__(self, squared=True, name="chamfer_distance", **kwargs):
        super().__init__(name=name, **kwargs)
        self.squared = squared

    def call(self, y_true, y_pred):
        """[B] loss of points [B, M, 3] and [B, N, 3]."""
        return chamfer_loss(tf.cast(y_true, y_pred.dtype), y_pred, squared=self.squared)

    def get_config(self):
        """Settings, for saving."""
        return {**super().get_config(), "squared": self.squared}
