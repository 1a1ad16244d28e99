"""Losses of meshes, one value per example.

Letters used below: v_i is a vertex, N(i) its neighbours along edges, e = v_i - v_j an
edge. Tables of edges and wings come from `tfrender.geometry.edges.edge_topology`; each
is shared, [R, k], or one per example, [B, R, k], padded with rows of -1. float64
vertices stay float64.
"""

import tensorflow as tf

from tfrender import checks
from tfrender.ops.floating import as_float
from tfrender.ops.rasterize_corners import batched_faces, face_corners
from tfrender.ops.triangle_normals import guarded_unit, triangle_cross

_SLIVER = 1e-7  # sine of an angle below which a face has no cotangents


def uniform_laplacian_loss(vertices: tf.Tensor, edges: tf.Tensor) -> tf.Tensor:
    """Squared distance of each vertex from the mean of its neighbours, summed.

    sum_i |v_i - mean_{j in N(i)} v_j|^2, the Laplacian loss of Soft Rasterizer.

    Args:
        vertices: [B, V, 3].
        edges: [E, 2] or [B, E, 2] integers, every edge once, -1 is padding.

    Returns:
        [B] squared length units; isolated vertices count 0.

    Gradient: exact. Memory: 12 floats an edge, 8 a vertex.

    Raises:
        ValueError: for wrong shapes.
    """
    vertices = _checked(vertices, "edges", edges, 2)
    ends = face_corners(vertices, edges)  # [B, E, 2, 3]
    index = _rows(edges, vertices)
    total = _sums(tf.reverse(ends, [2]), index, vertices)
    degree = _sums(tf.ones_like(ends[..., :1]), index, vertices)  # [B, V, 1]
    mean = total / tf.maximum(degree, 1.0)
    step = tf.where(degree > 0.0, vertices - mean, 0.0)
    return tf.reduce_sum(step * step, axis=[1, 2])


def cotangent_laplacian_loss(
    vertices: tf.Tensor,
    faces: tf.Tensor,
    *,
    normalize: str = "weights",
    weights_gradient: bool = False,
) -> tf.Tensor:
    """Squared cotangent Laplacian of the vertices, summed.

    With w_ij = (cot a + cot b) / 2 over the angles opposite to the edge (Pinkall and
    Polthier 1993), "weights" gives sum_i |v_i - sum_j w_ij v_j / sum_j w_ij|^2, which
    ignores how points lie within a surface; "area" gives
    sum_i |sum_j w_ij (v_j - v_i) / A_i|^2, A_i a third of the area around: the squared
    length of the mean curvature normal 2 H n.

    Args:
        vertices: [B, V, 3].
        faces: [F, 3] or [B, F, 3] integers, -1 is padding.
        normalize: "weights" (squared length units) or "area" (1 / squared length).
        weights_gradient: True also differentiates the weights and areas; False holds
            them constant, as usual.

    Returns:
        [B]; isolated vertices and vertices of vanishing weight or area count 0, faces
        without area have no weights.

    Gradient: exact but for the weights (see above). Memory: 40 floats a face, 12 a
    vertex.

    Raises:
        ValueError: for wrong shapes or an unknown word.
    """
    checks.one_of("normalize", normalize, ("weights", "area"))
    vertices = _checked(vertices, "faces", faces, 3)
    corners = face_corners(vertices, faces)  # [B, F, 3, 3]
    fixed = corners if weights_gradient else tf.stop_gradient(corners)
    cotangent, area = _cotangents(fixed)  # [B, F, 3, 1] at each corner, [B, F, 1, 1]
    after, last = tf.roll(corners, -1, axis=2), tf.roll(corners, -2, axis=2)
    pull = 0.5 * cotangent * (last - after)  # from the edge's start to its end
    index = _rows(faces, vertices)
    # Corner k's edge runs from corner k + 1 to k + 2: roll the pulls to their corners.
    step = _sums(tf.roll(pull, 1, axis=2) - tf.roll(pull, 2, axis=2), index, vertices)
    if normalize == "area":
        share = tf.broadcast_to(area / 3.0, tf.shape(cotangent))
    else:
        share = 0.5 * (tf.roll(cotangent, 1, axis=2) + tf.roll(cotangent, 2, axis=2))
    divisor = _sums(share, index, vertices)  # [B, V, 1]
    known = tf.abs(divisor) > 1e-12
    step = tf.where(known, step / tf.where(known, divisor, 1.0), 0.0)
    return tf.reduce_sum(step * step, axis=[1, 2])


def flatten_loss(
    vertices: tf.Tensor, wings: tf.Tensor, *, eps: float = 1e-6
) -> tf.Tensor:
    """Penalises folds: sum over edges of (cos phi + 1)^2, phi the angle between faces.

    The form of Soft Rasterizer with its guards: 0 for a flat edge, 4 for a fully
    folded one. cos phi is that of the two perpendiculars from v2 and v3 on the edge.

    Args:
        vertices: [B, V, 3].
        wings: [I, 4] or [B, I, 4] integers (v0, v1, v2, v3), v0 and v1 the edge; -1 is
            padding. The original leaves out some interior edges; ours has them all.
        eps: guard, squared length units; 1e-6, in genren 1e-5.

    Returns:
        [B], no unit.

    Gradient: exact. Memory: 40 floats a wing.

    Raises:
        ValueError: for wrong shapes.
    """
    checks.between("eps", eps, 1e-30, 1.0)
    vertices = _checked(vertices, "wings", wings, 4)
    v0, v1, v2, v3 = tf.unstack(face_corners(vertices, wings), axis=2)  # [B, I, 3]
    edge = v1 - v0
    edge_square = _dot(edge, edge)

    def perpendicular(side):
        """Perpendicular on the edge, and its length by the original's guards."""
        along, square = _dot(edge, side), _dot(side, side)
        lengths = tf.sqrt(edge_square + eps), tf.sqrt(square + eps)
        cosine = along / (lengths[0] * lengths[1] + eps)
        # The cosine of a long edge may round above 1.
        sine = tf.sqrt(tf.maximum(1.0 - cosine * cosine, 0.0) + eps)
        return side - edge * (along / (edge_square + eps)), lengths[1] * sine

    (n1, length1), (n2, length2) = perpendicular(v2 - v0), perpendicular(v3 - v0)
    fold = _dot(n1, n2) / (length1 * length2 + eps) + 1.0  # [B, I, 1]
    real = _real(wings, vertices)
    return tf.reduce_sum(tf.where(real, fold[..., 0] ** 2, 0.0), axis=1)


def normal_consistency_loss(vertices: tf.Tensor, wings: tf.Tensor) -> tf.Tensor:
    """Mean over edges of 1 - cos of the angle between the normals of the two faces.

    Args:
        vertices: [B, V, 3].
        wings: [I, 4] or [B, I, 4] integers, as `flatten_loss`.

    Returns:
        [B] in [0, 2]: 0 for a plane, also for a mesh without wings. Edges at a face
        of no area count 0.

    Gradient: exact. Memory: 40 floats a wing.

    Raises:
        ValueError: for wrong shapes.
    """
    vertices = _checked(vertices, "wings", wings, 4)
    v0, v1, v2, v3 = tf.unstack(face_corners(vertices, wings), axis=2)
    normals = [
        guarded_unit(triangle_cross(tf.stack(corners, axis=2)), eps=0.0)
        for corners in ((v0, v1, v2), (v1, v0, v3))
    ]  # each [B, I, 3]
    has_area = [tf.reduce_any(n != 0.0, axis=-1) for n in normals]
    known = tf.logical_and(*has_area)
    angle = tf.where(known, 1.0 - _dot(*normals)[..., 0], 0.0)
    return _mean(angle, _real(wings, vertices))


def edge_length_loss(
    vertices: tf.Tensor,
    edges: tf.Tensor,
    *,
    target: float = 0.0,
    dead_zone: float = 0.0,
) -> tf.Tensor:
    """Mean over the listed edges of (|e| - target)^2.

    Args:
        vertices: [B, V, 3].
        edges: [E, 2] or [B, E, 2] integers, -1 is padding; an edge listed twice counts
            twice.
        target: wished length, at least 0.
        dead_zone: edges with |e|^2 up to this count 0 (genren: 1e-4).

    Returns:
        [B] squared length units; 0 without edges.

    Gradient: exact; none at an edge of length 0 for a target above 0. Memory: 12
    floats an edge.

    Raises:
        ValueError: for wrong shapes or negative settings.
    """
    checks.between("target", target, 0.0, 1e15)
    checks.between("dead_zone", dead_zone, 0.0, 1e30)
    vertices = _checked(vertices, "edges", edges, 2)
    start, end = tf.unstack(face_corners(vertices, edges), axis=2)
    square = _dot(end - start, end - start)[..., 0]  # [B, E]
    error = square
    if target:
        long = square > 0.0
        length = tf.where(long, tf.sqrt(tf.where(long, square, 1.0)), 0.0)
        error = (length - target) ** 2
    if dead_zone:
        error = tf.where(square > dead_zone, error, 0.0)
    return _mean(error, _real(edges, vertices))


def _checked(vertices, name, table, columns):
    """Vertices as a floating tensor, after the checks that all mesh losses share."""
    vertices = as_float(vertices)
    checks.rank("vertices", vertices, 3)
    checks.dims("vertices", vertices, None, 3)
    checks.dims(name, table, None, columns)
    return vertices


def _real(table, vertices):
    """Rows that are not padding, [B, R] bool."""
    table = batched_faces(tf.convert_to_tensor(table), tf.shape(vertices)[0])
    known = tf.logical_and(table >= 0, table < tf.shape(vertices)[1])
    return tf.reduce_all(known, axis=-1)


def _rows(table, vertices):
    """Vertex of every entry, [B * R * k], numbered over the batch; padding is -1."""
    batch, count = tf.shape(vertices)[0], tf.shape(vertices)[1]
    real = _real(table, vertices)[..., tf.newaxis]
    table = batched_faces(tf.convert_to_tensor(table), batch)
    shift = tf.range(batch)[:, tf.newaxis, tf.newaxis] * count
    return tf.reshape(tf.where(real, table + shift, -1), [-1])


def _sums(values, index, vertices):
    """Adds values [B, R, k, C] at the vertices of `_rows`: [B, V, C]."""
    batch, count = tf.shape(vertices)[0], tf.shape(vertices)[1]
    channels = values.shape[-1]
    flat = tf.reshape(values, [-1, channels])
    total = tf.math.unsorted_segment_sum(flat, index, batch * count)
    return tf.reshape(total, tf.stack([batch, count, channels]))


def _cotangents(corners):
    """Cotangents [B, F, 3, 1] of the angles and area [B, F, 1, 1] of faces.

    Both 0 for faces without area.
    """
    first = tf.roll(corners, -1, axis=2) - corners
    second = tf.roll(corners, -2, axis=2) - corners
    cross = triangle_cross(corners)[:, :, tf.newaxis]  # [B, F, 1, 3]
    square = _dot(cross, cross)  # (2 area)^2
    longest = tf.reduce_max(_dot(first, first), axis=2, keepdims=True)
    proper = square > (_SLIVER * tf.stop_gradient(longest)) ** 2
    double = tf.where(proper, tf.sqrt(tf.where(proper, square, 1.0)), 0.0)
    cotangent = _dot(first, second) / tf.where(proper, double, 1.0)
    return tf.where(proper, cotangent, 0.0), 0.5 * double


def _dot(a, b):
    return tf.reduce_sum(a * b, axis=-1, keepdims=True)


def _mean(value, real):
    """Mean of [B, R] over the real rows, 0 where there are none."""
    total = tf.reduce_sum(tf.where(real, value, 0.0), axis=1)
    count = tf.reduce_sum(tf.cast(real, value.dtype), axis=1)
    return total / tf.maximum(count, 1.0)
