"""Moves the vertices of a template inside a cube, as a network asks for.

Kato, Ushiku and Harada, "Neural 3D Mesh Renderer", CVPR 2018, section 4.1: a vertex
keeps the octant of the template in which it lies, seen from a centre that moves.
"""

import numpy as np
import tensorflow as tf

from tfrender import checks

CENTROID_SCALE = 0.1  # of the published network


def deform_template(
    template,
    bias: tf.Tensor,
    centroid: tf.Tensor,
    *,
    margin: float = 0.0,
) -> tf.Tensor:
    """Moves every coordinate of a template between the centre and the cube's side.

    With t a coordinate of the template, b its bias and c = tanh(0.1 centroid):
    x = sign(t) sigmoid(logit(|t| / 2) + b) in (-1, 1), then
    relu(x) (1 - c) - relu(-x) (1 + c) + c, which stretches both halves so that x stays
    in (-1, 1), and half of that is the vertex. A bias of 0 gives t / 4.

    Args:
        template: [V, 3] constant numbers in [-1, 1].
        bias: [B, V, 3] any numbers.
        centroid: [B, 3] any numbers, before the scale of 0.1.
        margin: coordinates below it, seen from the centre, are moved out to it, in
            [0, 0.5). With 0, as published, a coordinate of exactly 0 stays on the plane
            of the centre and its bias has no gradient; above 0 every vertex can move.

    Returns:
        vertices: [B, V, 3] in (-0.5, 0.5).

    Gradient: exact in bias and centroid. Memory: 8 floats a coordinate.

    Raises:
        ValueError: for wrong shapes or a template that leaves the cube.
    """
    template = np.asarray(template, np.float32)
    if template.ndim != 2 or template.shape[1] != 3:
        raise ValueError(f"`template` must be [V, 3]; got {list(template.shape)}.")
    if not np.abs(template).max() <= 1.0:
        raise ValueError(
            f"`template` must lie in [-1, 1]; got {np.abs(template).max():g}."
        )
    checks.between("margin", margin, 0.0, 0.499)
    checks.dims("bias", bias, None, len(template), 3)
    checks.dims("centroid", centroid, None, 3)
    bias = tf.cast(bias, tf.float32)
    share = np.maximum(0.5 * np.abs(template), margin).astype(np.float32)
    side = np.where(template < 0.0, -1.0, 1.0).astype(np.float32)
    fixed = share == 0.0
    # The logit of 0 is minus infinity: such a coordinate is left out, not computed.
    inner = np.where(fixed, 0.5, share)
    logit = (np.log(inner) - np.log1p(-inner)).astype(np.float32)
    reach = tf.where(fixed, 0.0, tf.sigmoid(logit + bias))
    center = tf.tanh(CENTROID_SCALE * tf.cast(centroid, tf.float32))[:, tf.newaxis]
    # side * reach * (1 - side * center) + center, by the sign of the coordinate.
    return 0.5 * (side * reach * (1.0 - side * center) + center)
