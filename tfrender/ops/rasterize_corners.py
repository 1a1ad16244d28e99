"""Gathers per vertex values by face and per face values by pixel.

Padding faces (any index below 0) and empty pixels (face -1) read zeros and send no
gradient, so that no operation on CPU or GPU ever sees an index out of range.
"""

import tensorflow as tf


def batched_faces(faces: tf.Tensor, batch) -> tf.Tensor:
    """Repeats shared faces over the batch.

    Args:
        faces: [F, 3] shared by the batch, or [B, F, 3]; integers, -1 is padding.
        batch: number of items B, an int or a scalar tensor.

    Returns:
        [B, F, 3] int32.
    """
    faces = tf.cast(faces, tf.int32)
    if faces.shape.rank == 2:
        faces = tf.broadcast_to(faces, tf.concat([[batch], tf.shape(faces)], 0))
    return faces


@tf.custom_gradient
def gather_rows(rows: tf.Tensor, index: tf.Tensor):
    """Reads rows by index; an index of -1 reads zeros.

    Args:
        rows: [R, C] float.
        index: [...] int32 in -1..R-1.

    Returns:
        [..., C].

    Gradient: exact in `rows`. The backward pass is one segment sum which drops
    index -1; a shared dummy row would serialise all background pixels on one address.
    """
    count = tf.shape(rows)[0]
    # One zero row more: empty tables stay legal and -1 has something to read.
    padded = tf.pad(rows, [[0, 1], [0, 0]])
    values = tf.gather(padded, tf.where(index < 0, count, index))  # [..., C]

    def gradient(upstream):
        flat = tf.reshape(upstream, [-1, rows.shape[1]])
        return tf.math.unsorted_segment_sum(flat, tf.reshape(index, [-1]), count), None

    return values, gradient


def face_corners(values: tf.Tensor, faces: tf.Tensor) -> tf.Tensor:
    """Reads the values of the three corners of every face.

    Args:
        values: [B, V, C] float, or [V, C] shared by the batch; C static.
        faces: [F, 3] or [B, F, 3] integers; a face with any index below 0 or beyond
            the last vertex is padding (the next mesh of a batch must not show in it).

    Returns:
        [B, F, 3, C], zero in padding faces; [F, 3, C] where neither input is batched.

    Gradient: exact in `values`. Memory: 3 * C floats a face.
    """
    faces = tf.cast(faces, tf.int32)
    known = tf.logical_and(faces >= 0, faces < tf.shape(values)[-2])
    real = tf.reduce_all(known, axis=-1, keepdims=True)  # [.., F, 1]
    if values.shape.rank == 2:
        return gather_rows(values, tf.where(real, faces, -1))
    batch, count, channels = tf.shape(values)[0], tf.shape(values)[1], values.shape[2]
    faces = batched_faces(faces, batch)
    shift = tf.range(batch)[:, tf.newaxis, tf.newaxis] * count  # [B, 1, 1]
    index = tf.where(real, faces + shift, -1)  # [B, F, 3]
    return gather_rows(tf.reshape(values, [-1, channels]), index)
