"""Normals of triangle meshes: per face, per vertex, and per corner with creases.

Faces are counter-clockwise seen from outside, so normals point outwards. A face of no
area, padding included, has a zero normal and sends no gradient.
"""

import math

import tensorflow as tf

from tfrender import checks
from tfrender.ops.rasterize_corners import batched_faces, face_corners

_TINY = 1e-30
_WELD_STEPS = 1 << 20  # grid on which positions count as equal, per object size


def face_normals(
    vertices: tf.Tensor, faces: tf.Tensor, *, normalized: bool = True
) -> tf.Tensor:
    """Normal of every face.

    Args:
        vertices: [B, V, 3].
        faces: [F, 3] or [B, F, 3] integers, -1 is padding.
        normalized: False gives the cross product, of length 2 * area.

    Returns:
        [B, F, 3], unit or zero.

    Gradient: exact, zero for faces of no area.
    """
    checks.rank("vertices", vertices, 3)
    checks.dims("vertices", vertices, None, 3)
    checks.dims("faces", faces, None, 3)
    corners = face_corners(tf.cast(vertices, tf.float32), tf.convert_to_tensor(faces))
    origin = corners[:, :, 0]
    a, b = corners[:, :, 1] - origin, corners[:, :, 2] - origin
    if normalized:
        # Unit edges first: the product of tiny edges would leave float32's range.
        a, b = _unit(a), _unit(b)
    normal = _cross(a, b)  # [B, F, 3]
    return _unit(normal, 1e-6) if normalized else normal


def vertex_normals(vertices: tf.Tensor, faces: tf.Tensor) -> tf.Tensor:
    """Mean normal of the faces around every vertex, weighted by area.

    Args:
        vertices: [B, V, 3].
        faces: [F, 3] or [B, F, 3] integers, -1 is padding.

    Returns:
        [B, V, 3], unit, or zero at vertices of no face.

    Gradient: exact, zero where a normal is zero.
    """
    normal = face_normals(vertices, faces, normalized=False)  # [B, F, 3]
    batch, count = tf.shape(vertices)[0], tf.shape(vertices)[1]
    index = _flat_corners(faces, batch, count)
    spread = tf.repeat(tf.reshape(normal, [-1, 3]), 3, axis=0)
    total = tf.math.unsorted_segment_sum(spread, index, batch * count)
    return tf.reshape(_unit(total), [batch, count, 3])


def corner_normals(
    vertices: tf.Tensor,
    faces: tf.Tensor,
    *,
    crease_deg: float = 40.0,
    weld: bool = True,
) -> tf.Tensor:
    """Smooth normals per face corner that keep edges sharper than an angle.

    The normal of a corner is the area-weighted mean of those faces around its vertex
    whose own normals lie within the crease angle of this face's. So the rim of a
    cylinder stays sharp while its wall is smooth, which no vertex normal can give.

    Args:
        vertices: [B, V, 3].
        faces: [F, 3] or [B, F, 3] integers, -1 is padding.
        crease_deg: largest angle, degrees in [0, 180], that is smoothed over.
        weld: treats vertices at one place (texture seams) as one vertex.

    Returns:
        [B, F, 3, 3] unit normals (corner, then xyz); a flat normal where smoothing
        cancels, zero for faces of no area.

    Gradient: exact with the choice of faces held constant. Not for XLA: its shapes
    depend on the data. Memory: about 60 bytes for every pair of faces that share a
    vertex, 18 pairs a face in a usual mesh.
    """
    checks.between("crease_deg", crease_deg, 0.0, 180.0)
    vertices = tf.cast(vertices, tf.float32)
    batch, count = tf.shape(vertices)[0], tf.shape(vertices)[1]
    area = tf.reshape(face_normals(vertices, faces, normalized=False), [-1, 3])
    unit = tf.reshape(face_normals(vertices, faces), [-1, 3])  # [B * F, 3]
    index = _flat_corners(faces, batch, count)  # [N], N = 3 * B * F corners
    if weld:
        merged = _weld(vertices)
        index = tf.where(index < 0, -1, tf.gather(merged, tf.maximum(index, 0)))

    # Corners sorted by vertex: those of one vertex are a run, and every corner pairs
    # with each corner of its run.
    order = tf.argsort(index, stable=True)
    ordered = tf.gather(index, order)
    size = tf.math.unsorted_segment_sum(tf.ones_like(index), index, batch * count)
    start = tf.math.unsorted_segment_min(
        tf.range(tf.shape(index)[0]), ordered, batch * count
    )
    real = tf.where(index >= 0)[:, 0]  # corners of real faces
    vertex = tf.gather(index, real)
    first = tf.gather(start, vertex)
    runs = tf.ragged.range(first, first + tf.gather(size, vertex))
    here = tf.gather(real, runs.value_rowids())  # [pairs] corner
    other = tf.gather(order, runs.values) // 3  # [pairs] face of its partner
    agree = tf.reduce_sum(tf.gather(unit, here // 3) * tf.gather(unit, other), -1)
    smooth = agree >= math.cos(math.radians(crease_deg)) - 1e-6
    weighted = tf.where(smooth[:, tf.newaxis], tf.gather(area, other), 0.0)
    total = tf.math.unsorted_segment_sum(weighted, here, tf.size(index, tf.int64))
    flat = tf.repeat(unit, 3, axis=0)  # [N, 3]
    none = tf.reduce_sum(total**2, -1, keepdims=True) <= _TINY
    normal = tf.where(none, flat, _unit(total))
    return tf.reshape(normal, [batch, -1, 3, 3])


def _flat_corners(faces, batch, count):
    """Vertex of every corner, [3 * B * F], numbered over the batch; padding is -1."""
    faces = batched_faces(tf.convert_to_tensor(faces), batch)
    shift = tf.range(batch)[:, tf.newaxis, tf.newaxis] * count
    real = tf.reduce_all(faces >= 0, axis=-1, keepdims=True)
    return tf.reshape(tf.where(real, faces + shift, -1), [-1])


def _weld(vertices):
    """Gives vertices at one place one number: [B * V] int32 in 0..B*V-1."""
    low = tf.reduce_min(vertices, axis=[1, 2], keepdims=True)
    extent = tf.reduce_max(vertices, axis=[1, 2], keepdims=True) - low
    steps = (vertices - low) / tf.where(extent > 0.0, extent, 1.0) * _WELD_STEPS
    steps = tf.cast(tf.round(steps), tf.int64)  # [B, V, 3]
    side = _WELD_STEPS + 1
    key = (steps[..., 0] * side + steps[..., 1]) * side + steps[..., 2]
    # Items must not share vertices: number places item by item, then jointly.
    batch, count = tf.shape(vertices)[0], tf.shape(vertices)[1]
    _, place = tf.unique(tf.reshape(key, [-1]))
    place = tf.reshape(tf.cast(place, tf.int64), [batch, count])
    item = tf.range(tf.cast(batch, tf.int64))[:, tf.newaxis]
    _, joint = tf.unique(tf.reshape(place + item * tf.size(place, tf.int64), [-1]))
    return joint


def _cross(a, b):
    a0, a1, a2 = tf.unstack(a, axis=-1)
    b0, b1, b2 = tf.unstack(b, axis=-1)
    return tf.stack([a1 * b2 - a2 * b1, a2 * b0 - a0 * b2, a0 * b1 - a1 * b0], axis=-1)


def _unit(vector, smallest=0.0):
    """Normalises the last axis; zero, value and gradient, up to the smallest length."""
    # Dividing by the largest entry first keeps the squares inside float32.
    size = tf.stop_gradient(tf.reduce_max(tf.abs(vector), axis=-1, keepdims=True))
    long = size > smallest
    scaled = tf.where(long, vector, 1.0) / tf.where(long, size, 1.0)
    return tf.where(long, scaled / tf.norm(scaled, axis=-1, keepdims=True), 0.0)
