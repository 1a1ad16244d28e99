"""How well a shape explains pictures: masks, colours and depth."""

import functools
import math

import tensorflow as tf

from tfrender.losses.volumetric import Views
from tfrender.ops.implicit_surface import Surface, scatter
from tfrender.ops.sample_rays import look_up_pixels


def compare_views(
    views: Views, pixels: tf.Tensor, surface: Surface
) -> dict[str, tf.Tensor]:
    """Measures of masks, colours and depth at some pixels, the background white.

    Args:
        views: the pictures, on white.
        pixels: [B, N, 2] (x, y) that the surface was found at.
        surface: see `ops.implicit_surface`.

    Returns:
        dict of [B]: "mask_iou" (1 where both are empty); "mask_intersection", share of
        equal pixels; with colours "psnr" in dB over all N pixels and "rgb_error", mean
        |difference| over the three channels where both masks agree; with a depth
        "depth_error", mean |difference| there where it is known. A shape that has no
        such pixel gets the worst error, 1 and sqrt(3), the diagonal of the cube; a
        view without object 0.

    Gradient: none.
    """
    inside = look_up_pixels(views.mask, pixels)[..., 0] > 0.5
    drawn = surface.mask
    count = functools.partial(tf.math.count_nonzero, axis=1, dtype=tf.float32)
    both, either = tf.logical_and(inside, drawn), tf.logical_or(inside, drawn)
    share = count(both) / tf.maximum(count(either), 1.0)
    equal = tf.cast(tf.equal(inside, drawn), tf.float32)
    found = {
        "mask_iou": tf.where(count(either) > 0.0, share, 1.0),
        "mask_intersection": tf.reduce_mean(equal, axis=1),
    }
    shape = tf.unstack(tf.shape(inside))

    def mean(values, selected, expected, worst):
        total = tf.reduce_sum(tf.where(selected, values, 0.0), axis=1)
        missed = tf.where(count(expected) > 0.0, worst, 0.0)
        number = count(selected)
        return tf.where(number > 0.0, total / tf.maximum(number, 1.0), missed)

    if surface.logits is not None:
        colors = scatter(surface.ray, surface.valid, tf.sigmoid(surface.logits), shape)
        colors = tf.where(drawn[..., tf.newaxis], colors, 1.0)
        error = colors - look_up_pixels(views.image, pixels)
        square = tf.reduce_mean(error**2, axis=[1, 2])
        found["psnr"] = -10.0 / math.log(10.0) * tf.math.log(square + 1e-10)
        found["rgb_error"] = mean(
            tf.reduce_mean(tf.abs(error), axis=-1), both, inside, 1.0
        )
    if views.depth is not None:
        known = look_up_pixels(views.depth, pixels)[..., 0]
        depth = scatter(surface.ray, surface.valid, surface.depth, shape)
        expected = tf.logical_and(inside, known > 0.0)
        found["depth_error"] = mean(
            tf.abs(depth - known),
            tf.logical_and(expected, drawn),
            expected,
            math.sqrt(3.0),
        )
    return {name: tf.stop_gradient(value) for name, value in found.items()}
