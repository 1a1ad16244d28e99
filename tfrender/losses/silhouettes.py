"""Losses between silhouettes, one value per example."""

import keras
import tensorflow as tf

from tfrender import checks


def silhouette_iou_loss(
    target: tf.Tensor, prediction: tf.Tensor, *, eps: float = 1e-6
) -> tf.Tensor:
    """1 - soft intersection over union of two silhouettes.

    1 - sum(p t) / (sum(p + t - p t) + eps), the loss of Soft Rasterizer and of Kato et
    al., CVPR 2018, whose mean over the batch is 1 - mean IoU.

    Args:
        target: [B, ...] in [0, 1], such as [B, H, W] or [B, H, W, 1].
        prediction: the same shape, in [0, 1].
        eps: guard of the empty picture, above 0.

    Returns:
        [B] in [0, 1]; 1 where both are empty.

    Gradient: exact in both. Memory: 2 floats a pixel.

    Raises:
        ValueError: where the shapes differ, or for eps out of range.
    """
    checks.between("eps", eps, 1e-30, 1.0)
    # Broadcasting [B, H, W] over [B, H, W, 1] would be a silent mistake.
    if not target.shape.is_compatible_with(prediction.shape):
        raise ValueError(
            f"`target` and `prediction` must have one shape; got {target.shape} and "
            f"{prediction.shape}."
        )
    axes = list(range(1, prediction.shape.rank))
    both = tf.reduce_sum(target * prediction, axes)
    either = tf.reduce_sum(target + prediction - target * prediction, axes)
    return 1.0 - both / (either + eps)


@keras.saving.register_keras_serializable(package="tfrender")
class SilhouetteIoU(keras.losses.Loss):
    """Keras form of `silhouette_iou_loss`, for `compile` and `fit`."""

    def __init__(self, name="silhouette_iou", **kwargs):
        super().__init__(name=name, **kwargs)

    def call(self, y_true, y_pred):
        """[B] loss of silhouettes of one shape."""
        return silhouette_iou_loss(tf.cast(y_true, y_pred.dtype), y_pred)
