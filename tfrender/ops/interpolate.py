"""Reads vertex attributes at the pixels of a rasterised mesh."""

import tensorflow as tf

from tfrender import checks
from tfrender.ops.rasterize import Fragments
from tfrender.ops.rasterize_corners import batched_faces, face_corners, gather_rows


def interpolate(
    attributes: tf.Tensor, faces: tf.Tensor, fragments: Fragments
) -> tf.Tensor:
    """Interpolates attributes of vertices perspective-correctly over the visible faces.

    Args:
        attributes: [B, V, C], or [V, C] shared by the batch; C static.
        faces: [F, 3] or [B, F, 3], as given to `rasterize`.
        fragments: Fragments of `rasterize`.

    Returns:
        [B, H, W, C], 0 where the pixel is empty.

    Gradient: exact in the attributes and, through the barycentrics, in the vertices
    that were rasterised. Memory: 3 * C floats a face and a pixel.
    """
    checks.dims("attributes", attributes, None, None)
    checks.dims("faces", faces, None, 3)
    attributes = tf.cast(attributes, tf.float32)
    faces = tf.convert_to_tensor(faces)
    if attributes.shape.rank == 2 and faces.shape.rank == 3:
        attributes = attributes[tf.newaxis]
        batch = tf.shape(fragments.face_index)[0]
        attributes = tf.broadcast_to(
            attributes, tf.concat([[batch], tf.shape(attributes)[1:]], 0)
        )
    elif attributes.shape.rank == 3:
        faces = batched_faces(faces, tf.shape(attributes)[0])
    return interpolate_corners(face_corners(attributes, faces), fragments)


def interpolate_corners(corners: tf.Tensor, fragments: Fragments) -> tf.Tensor:
    """Interpolates attributes given per corner of each face (UV seams, creases).

    Args:
        corners: [B, F, 3, C], or [F, 3, C] shared by the batch; C static.
        fragments: Fragments of `rasterize`.

    Returns:
        [B, H, W, C], 0 where the pixel is empty.

    Gradient: exact in both. Memory: 3 * C floats a pixel.
    """
    checks.dims("corners", corners, None, 3, None)
    channels = corners.shape[-1]
    index = fragments.face_index  # [B, H, W]
    if corners.shape.rank == 4:
        batch, count = tf.shape(corners)[0], tf.shape(corners)[1]
        shift = tf.range(batch)[:, tf.newaxis, tf.newaxis] * count
        index = tf.where(index < 0, -1, index + shift)
    rows = gather_rows(tf.reshape(corners, [-1, 3 * channels]), index)
    rows = tf.reshape(rows, tf.concat([tf.shape(index), [3, channels]], 0))
    return tf.reduce_sum(rows * fragments.barycentric[..., tf.newaxis], axis=-2)
