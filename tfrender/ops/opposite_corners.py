"""The corner table of a mesh: which corner lies across each edge.

Corner i of face f has the number 3 f + i and faces the edge between the two other
corners. The corner of the neighbour face that is not on this edge lies opposite to it
(Rossignac, "Edgebreaker: connectivity compression for triangle meshes", 1999).
"""

import tensorflow as tf

from tfrender import checks


def opposite_corners(
    faces: tf.Tensor, *, vertices: tf.Tensor | None = None
) -> tf.Tensor:
    """Finds the corner across every edge. Compute it once for a fixed topology.

    Args:
        faces: [F, 3] or [B, F, 3] integers, any winding; a face with an index below 0
            is padding, and a face that repeats a vertex has no edges.
        vertices: rest positions, [V, 3] for faces [F, 3], else [B, V, 3]: vertices of
            exactly one place then count as one, so that texture seams are no borders.
            None goes by index alone.

    Returns:
        int32, shape of `faces`: number of the opposite corner within the same mesh, -1
        where the edge has no other face, or more than one.

    Gradient: none. Memory: about 100 bytes a corner. Static shapes; with `vertices`
    it is not for XLA.

    Raises:
        ValueError: for wrong shapes.
    """
    faces = tf.cast(tf.convert_to_tensor(faces), tf.int64)
    checks.dims("faces", faces, None, 3)
    if vertices is not None:
        vertices = tf.convert_to_tensor(vertices)
        checks.rank("vertices", vertices, faces.shape.rank)
        checks.dims("vertices", vertices, None, 3)
        faces = _welded(faces, vertices)
    a, b, c = tf.unstack(faces, axis=-1)
    real = (tf.reduce_min(faces, -1) >= 0) & (a != b) & (b != c) & (c != a)
    ends = tf.stack([b, c, a], -1), tf.stack([c, a, b], -1)  # of the edge facing each
    key = tf.minimum(*ends) * (1 << 31) + tf.maximum(*ends)
    key = tf.where(real[..., tf.newaxis], key, -1)
    shape, axis = tf.shape(key), key.shape.rank - 2
    key = tf.reshape(key, tf.concat([shape[:-2], [3 * shape[-2]]], 0))  # [.., 3 F]
    order = tf.argsort(key, axis=-1, stable=True)
    key = tf.gather(key, order, axis=-1, batch_dims=axis)
    # The two faces of an inner edge are a run of exactly two equal keys.
    same = (key[..., 1:] == key[..., :-1]) & (key[..., 1:] >= 0)
    same = tf.pad(same, [[0, 0]] * axis + [[1, 1]])
    before, after = same[..., :-1], same[..., 1:]  # equals its predecessor, successor
    one = after & ~before & ~tf.roll(after, -1, -1)
    two = before & ~after & ~tf.roll(before, 1, -1)
    partner = tf.where(two, tf.roll(order, 1, -1), -1)
    partner = tf.where(one, tf.roll(order, -1, -1), partner)
    found = tf.gather(partner, tf.argsort(order, axis=-1), axis=-1, batch_dims=axis)
    return tf.reshape(tf.cast(found, tf.int32), shape)


def _welded(faces, vertices):
    """Replaces each vertex index by one that vertices at the same place share."""
    places = vertices + 0.0  # -0 is at the place of 0
    if vertices.shape.rank == 3:
        batch, count = tf.shape(vertices)[0], tf.shape(vertices)[1]
        # The item is a fourth coordinate: vertices of two items never meet.
        item = tf.repeat(tf.range(batch), count)[:, tf.newaxis]
        places = tf.reshape(places, [-1, 3])
        places = tf.concat([tf.cast(item, vertices.dtype), places], axis=-1)
        shift = tf.range(batch)[:, tf.newaxis, tf.newaxis] * count
        faces = tf.where(faces < 0, -1, faces + tf.cast(shift, tf.int64))
    _, place = tf.raw_ops.UniqueV2(x=places, axis=[0], out_idx=tf.int64)
    return tf.where(faces < 0, -1, tf.gather(place, tf.maximum(faces, 0)))
