"""Keys of the depth test: nearness in the high word, smaller face index in the low one.

Positive floats order like their bits, so one maximum over int64 keys finds the nearest
face and settles a tie for the smaller index. A key of -1 is an empty pixel.
"""

import tensorflow as tf

_LOW_BITS = 0x7FFFFFFF
_FAR_BITS = 0x7F800000  # of +infinity


def low_word(words: tf.Tensor) -> tf.Tensor:
    """Returns the lower 31 bits of int64 words as int32."""
    return tf.cast(words & tf.constant(_LOW_BITS, tf.int64), tf.int32)


def high_word(words: tf.Tensor) -> tf.Tensor:
    """Returns the upper 32 bits of int64 words as int32."""
    return tf.cast(tf.bitwise.right_shift(words, tf.constant(32, tf.int64)), tf.int32)


def encode(distance: tf.Tensor, face_word: tf.Tensor) -> tf.Tensor:
    """Makes keys.

    Args:
        distance: float32 >= 0, smaller is nearer.
        face_word: int64, of `face_word`; broadcasts to `distance`.

    Returns:
        int64 keys.
    """
    # abs makes -0 into +0, whose bits are the smallest.
    bits = tf.cast(_FAR_BITS - tf.bitcast(tf.abs(distance), tf.int32), tf.int64)
    return tf.bitwise.left_shift(bits, tf.constant(32, tf.int64)) | face_word


def face_word(face: tf.Tensor) -> tf.Tensor:
    """Returns the low word of the keys of a face (int32) as int64."""
    return tf.cast(_LOW_BITS - face, tf.int64)


def face_index(keys: tf.Tensor) -> tf.Tensor:
    """Returns the int32 face index of keys, -1 where empty."""
    return tf.where(keys < 0, -1, _LOW_BITS - low_word(keys))
