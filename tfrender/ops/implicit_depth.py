"""The gradient of the depth of an implicit surface."""

import tensorflow as tf

from tfrender import checks

STEEPEST = 1e-3


def implicit_depth(
    depth: tf.Tensor,
    value: tf.Tensor,
    slope: tf.Tensor,
    *,
    signless: bool = False,
) -> tf.Tensor:
    """Returns a depth as it is, with the gradient that the implicit function has.

    At a surface point f(origin + d * direction) is constant whatever the parameters of
    f, so that dd/dtheta = -(df/dtheta) / (grad f . direction) (Niemeyer et al., CVPR
    2020, equation 6). Written with stock operations: d - (f - [f]) / [slope], where
    [ ] stops the gradient.

    Args:
        depth: [...] ray parameter of the surface, as `ops.march_rays` returns it.
        value: [...] f at the surface point. The gradient runs through it: to the
            parameters of f always, and to the ray where the point was computed of a
            ray that has a gradient (Yariv et al., "Multiview Neural Surface
            Reconstruction", 2020, section 3.1).
        slope: [...] grad f . direction there. Bounded away from 0, so that grazing
            rays have a finite gradient.
        signless: bounds to +1e-3 where the slope is a small negative number too, as
            the published code does.

    Returns:
        [...] equal to `depth`.

    Gradient: first derivatives as above, exact up to the bound; no second ones.

    Raises:
        ValueError: for shapes that differ.
    """
    checks.dims("value", value, *depth.shape)
    checks.dims("slope", slope, *depth.shape)
    depth, slope = tf.stop_gradient(depth), tf.stop_gradient(slope)
    bound = STEEPEST
    if not signless:
        bound = tf.where(slope < 0.0, -STEEPEST, STEEPEST)
    slope = tf.where(tf.abs(slope) < STEEPEST, bound, slope)
    return depth - (value - tf.stop_gradient(value)) / slope
