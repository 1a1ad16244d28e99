"""Random points on the surface of a mesh, with normals and live gradients."""

from typing import NamedTuple

import tensorflow as tf

from tfrender import checks
from tfrender.ops.floating import as_float
from tfrender.ops.rasterize_corners import batched_faces, face_corners, gather_rows
from tfrender.ops.triangle_normals import guarded_unit, triangle_cross


class SurfaceSamples(NamedTuple):
    """Points on a surface.

    Attributes:
        points: [B, N, 3], as the vertices.
        normals: [B, N, 3] of the faces, unit, outwards; 0 for faces of no area.
        face_index: [B, N] int32.
        barycentric: [B, N, 3], sums to 1.
    """

    points: tf.Tensor
    normals: tf.Tensor
    face_index: tf.Tensor
    barycentric: tf.Tensor


def sample_surface(
    vertices: tf.Tensor, faces: tf.Tensor, count: int, *, seed
) -> SurfaceSamples:
    """Draws points evenly over the area of a mesh.

    The same seed draws the same random numbers on every device and in every form of
    call, for one batch size.

    Args:
        vertices: [B, V, 3].
        faces: [F, 3] or [B, F, 3] integers, -1 is padding, F at least 1.
        count: number of points N of each item, at least 1.
        seed: integer, or two of them ([2] tensor).

    Returns:
        SurfaceSamples. Padding and faces of no area are never drawn, unless a mesh has
        no area at all (then all points lie on one face, or at 0).

    Gradient: exact in the vertices, which face and where on it are constants. Memory:
    50 bytes a face, 80 a point.

    Raises:
        ValueError: for wrong shapes or no faces.
    """
    vertices = as_float(vertices)
    checks.rank("vertices", vertices, 3)
    checks.dims("vertices", vertices, None, 3)
    checks.dims("faces", faces, None, 3)
    checks.between("count", count, 1, 1 << 30)
    faces = tf.convert_to_tensor(faces)
    if faces.shape[-2] == 0:
        raise ValueError(f"`faces` must hold a face; got shape {faces.shape}.")
    batch = tf.shape(vertices)[0]
    faces = batched_faces(faces, batch)
    seed = tf.convert_to_tensor(seed)
    seed = tf.stack([seed, tf.zeros_like(seed)]) if seed.shape.rank == 0 else seed
    chance = _uniform(tf.stack([3, batch, count]), seed)
    index = _choose(_relative_areas(vertices, faces), chance[0])
    barycentric = square_to_barycentric(
        tf.cast(chance[1], vertices.dtype), tf.cast(chance[2], vertices.dtype)
    )
    points, normals = points_on_faces(vertices, faces, index, barycentric)
    return SurfaceSamples(points, normals, index, barycentric)


def square_to_barycentric(u: tf.Tensor, v: tf.Tensor) -> tf.Tensor:
    """Maps the unit square to a triangle so that equal areas stay equal.

    (1 - s, s (1 - v), s v) with s = sqrt(u) (Osada et al., "Shape distributions", 2002,
    equation 1).

    Args:
        u: [...] in [0, 1].
        v: [...] in [0, 1].

    Returns:
        [..., 3], sums to 1.

    Gradient: exact, but infinite in u at 0.
    """
    root = tf.sqrt(as_float(u))
    v = tf.cast(v, root.dtype)
    return tf.stack([1.0 - root, root * (1.0 - v), root * v], axis=-1)


def points_on_faces(
    vertices: tf.Tensor, faces: tf.Tensor, face_index: tf.Tensor, barycentric: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Points at given places of given faces, and their normals.

    Args:
        vertices: [B, V, 3].
        faces: [F, 3] or [B, F, 3] integers, -1 is padding.
        face_index: [B, N] integers in -1..F-1; -1 gives zeros.
        barycentric: [B, N, 3].

    Returns:
        points [B, N, 3] and unit normals [B, N, 3], 0 for faces of no area.

    Gradient: exact in vertices and barycentrics. Memory: 9 floats a face, 21 a point.
    """
    vertices = as_float(vertices)
    checks.rank("vertices", vertices, 3)
    corners = face_corners(vertices, faces)  # [B, F, 3, 3]
    batch, count = tf.shape(corners)[0], tf.shape(corners)[1]
    face_index = tf.cast(face_index, tf.int32)
    checks.rank("face_index", face_index, 2)
    flat = face_index + tf.range(batch)[:, tf.newaxis] * count
    rows = gather_rows(
        tf.reshape(corners, [-1, 9]), tf.where(face_index < 0, -1, flat)
    )  # [B, N, 9]
    corners = tf.reshape(rows, tf.concat([tf.shape(face_index), [3, 3]], 0))
    barycentric = tf.cast(barycentric, vertices.dtype)
    points = tf.reduce_sum(corners * barycentric[..., tf.newaxis], axis=-2)
    return points, guarded_unit(triangle_cross(corners), eps=0.0)


def _uniform(shape, seed):
    """Random float32 in [0, 1): 24 bits each.

    The integers are the same in every form; the floats that TensorFlow makes of them
    are others under XLA.
    """
    bits = tf.random.stateless_uniform(
        shape, seed, minval=None, maxval=None, dtype=tf.uint32, alg="philox"
    )
    bits = tf.cast(tf.bitwise.right_shift(bits, tf.constant(8, tf.uint32)), tf.int32)
    return tf.cast(bits, tf.float32) * 2.0**-24


def _relative_areas(vertices, faces):
    """Areas of the faces, [B, F] float32, up to a factor for each mesh; constants."""
    corners = tf.stop_gradient(face_corners(vertices, faces))
    edges = corners - corners[:, :, :1]
    # Products of edges of 1e-18 or 1e15 would leave float32.
    longest = tf.reduce_max(tf.abs(edges), axis=[1, 2, 3], keepdims=True)
    edges = edges / tf.where(longest > 0.0, longest, 1.0)
    return tf.cast(tf.norm(triangle_cross(edges), axis=-1), tf.float32)


def _choose(area, chance):
    """Faces [B, N] int32 drawn by area [B, F], with chances [B, N] in [0, 1)."""
    reached = tf.cumsum(area, axis=1)  # [B, F]
    index = tf.searchsorted(reached, chance * reached[:, -1:], side="right")
    # The product may round up to the whole area: the last face that has any.
    number = tf.range(tf.shape(area)[1])
    last = tf.reduce_max(tf.where(area > 0.0, number, 0), axis=1, keepdims=True)
    return tf.minimum(index, last)
