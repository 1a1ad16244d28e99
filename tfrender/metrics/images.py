"""Measures of a rendered picture, one value per example."""

import math

import tensorflow as tf

from tfrender.ops import phong


def psnr(target, prediction):
    """Peak signal to noise ratio, 10 log10(1 / mean squared error), per picture.

    Average the values of the pictures, not their errors, for the published figure.

    Args:
        target: [B, H, W, C] in [0, 1].
        prediction: [B, H, W, C] in [0, 1].

    Returns:
        [B] dB, at most 100 (equal pictures).
    """
    error = tf.reduce_mean(tf.math.squared_difference(target, prediction), [1, 2, 3])
    return -10.0 / math.log(10.0) * tf.math.log(tf.maximum(error, 1e-10))


def absolute_error(target, prediction):
    """Mean absolute error over H, W, C.

    Args:
        target: [B, H, W, C].
        prediction: [B, H, W, C].

    Returns:
        [B].
    """
    return tf.reduce_mean(tf.abs(target - prediction), [1, 2, 3])


def normal_angle(target, prediction):
    """Mean angle between two normal maps over the target's foreground, in degrees.

    Args:
        target: [B, H, W, 3] normal map c = (n + 1) / 2 on black.
        prediction: [B, H, W, 3].

    Returns:
        [B] degrees; 0 where the target is empty.
    """
    inside = foreground(target)
    cosine = tf.reduce_sum(_direction(target) * _direction(prediction), axis=-1)
    # atan2 stays finite where the cosine rounds above 1.
    cosine = tf.clip_by_value(cosine, -1.0, 1.0)
    angle = tf.atan2(tf.sqrt(1.0 - cosine * cosine), cosine) * (180.0 / math.pi)
    total = tf.reduce_sum(angle * inside, [1, 2])
    return tf.math.divide_no_nan(total, tf.reduce_sum(inside, [1, 2]))


def silhouette_iou(target, prediction):
    """Intersection over union of the foregrounds of two normal maps on black.

    Args:
        target: [B, H, W, 3].
        prediction: [B, H, W, 3].

    Returns:
        [B] in [0, 1]; 1 where both are empty.
    """
    first, second = foreground(target), foreground(prediction)
    both = tf.reduce_sum(first * second, [1, 2])
    either = tf.reduce_sum(tf.maximum(first, second), [1, 2])
    return tf.where(either > 0.0, tf.math.divide_no_nan(both, either), 1.0)


def picture_scores(target, prediction):
    """All measures that fit a picture; those of normals for three channels only.

    Args:
        target: [B, H, W, C] in [0, 1]; three channels are a normal map on black.
        prediction: [B, H, W, C] in [0, 1].

    Returns:
        dict of [B]: `psnr`, `absolute_error`; for three channels also
        `normal_angle_deg` and `silhouette_iou`.
    """
    found = {
        "psnr": psnr(target, prediction),
        "absolute_error": absolute_error(target, prediction),
    }
    if target.shape[-1] == 3:
        found["normal_angle_deg"] = normal_angle(target, prediction)
        found["silhouette_iou"] = silhouette_iou(target, prediction)
    return found


def foreground(normal_map):
    """1 where a normal map on black shows the object.

    The shortest colour of a unit normal that faces the camera is 0.54 long; the limit
    is 80 / 255 = 0.31.

    Args:
        normal_map: [B, H, W, 3] in [0, 1].

    Returns:
        [B, H, W] of 0 and 1.
    """
    mask = phong.foreground_mask(normal_map, "black", offset=80.0)
    return tf.cast(mask[..., 0] > 0.5, normal_map.dtype)


def _direction(normal_map):
    """Unit normals [B, H, W, 3]; the zero vector stays short and finite."""
    vector = 2.0 * normal_map - 1.0
    square = tf.reduce_sum(vector * vector, axis=-1, keepdims=True)
    return vector / tf.sqrt(tf.maximum(square, 1e-12))
