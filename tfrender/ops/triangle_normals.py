"""Normals of single triangles, with the ways in which legacy code avoids 0 / 0.

For meshes with faces, welding and creases see `tfrender.geometry.normals`.
"""

import tensorflow as tf

from tfrender import checks
from tfrender.ops.floating import as_float

RULES = ("floor", "added")


def triangle_cross(corners: tf.Tensor) -> tf.Tensor:
    """Cross product of two edges of every triangle.

    Args:
        corners: [..., 3, 3] (corner, then xyz), counter-clockwise outside.

    Returns:
        [..., 3] outwards, of length 2 * area.

    Gradient: exact.
    """
    corners = as_float(corners)
    checks.dims("corners", corners, 3, 3)
    origin = corners[..., 0, :]
    a, b = corners[..., 1, :] - origin, corners[..., 2, :] - origin
    a0, a1, a2 = tf.unstack(a, axis=-1)
    b0, b1, b2 = tf.unstack(b, axis=-1)
    return tf.stack([a1 * b2 - a2 * b1, a2 * b0 - a0 * b2, a0 * b1 - a1 * b0], axis=-1)


def triangle_normals(
    corners: tf.Tensor, *, eps: float = 1e-6, rule: str = "floor"
) -> tf.Tensor:
    """Normal of every triangle.

    Args:
        corners: [..., 3, 3] (corner, then xyz), counter-clockwise outside.
        eps: guard against triangles of no area, at least 0, in squared length units.
        rule: "floor" divides the cross product c by max(|c|, eps), as Soft Rasterizer
            (eps 1e-6); "added" by |c| + eps, as Neural Mesh Renderer (eps 1e-5), which
            makes the normals of small triangles too short. The original of the latter
            points inwards for counter-clockwise triangles: negate for its lights.

    Returns:
        [..., 3], unit but for the guard; zero for no area.

    Gradient: exact; for a triangle of no area that of c / eps ("floor" and "added").

    Raises:
        ValueError: for a wrong shape or an unknown rule.
    """
    checks.one_of("rule", rule, RULES)
    checks.between("eps", eps, 0.0, 1.0)
    return guarded_unit(triangle_cross(corners), eps=eps, rule=rule)


def guarded_unit(vector: tf.Tensor, *, eps: float, rule: str = "floor") -> tf.Tensor:
    """Divides vectors by their guarded length.

    Args:
        vector: [..., C].
        eps: guard, at least 0.
        rule: "floor", max(length, eps); "added", length + eps.

    Returns:
        [..., C]; zero vectors stay zero, also with eps 0.

    Gradient: exact; finite at the zero vector (none with eps 0).
    """
    # Dividing by the largest entry first keeps the squares inside float32.
    size = tf.stop_gradient(tf.reduce_max(tf.abs(vector), axis=-1, keepdims=True))
    some = size > 0.0
    size = tf.where(some, size, 1.0)
    scaled = tf.where(some, vector, 1.0) / size
    length = size * tf.sqrt(tf.reduce_sum(scaled * scaled, axis=-1, keepdims=True))
    length = tf.where(some, length, 0.0)
    length = length + eps if rule == "added" else tf.maximum(length, eps)
    known = length > 0.0
    return tf.where(known, vector / tf.where(known, length, 1.0), 0.0)
