"""Mip levels of textures, and how many texels a pixel covers."""

import math

import tensorflow as tf

from tfrender import checks
from tfrender.ops.floating import as_float


def build_mipmaps(texture: tf.Tensor, levels: int | None = None) -> list[tf.Tensor]:
    """Builds the pyramid of a texture with an exact box filter.

    Every level has half the size of the one before, rounded down, at least 1. Odd
    sizes take the three-texel box of Guthe and Heckbert, "Non-power-of-two mipmap
    creation", 2005, so every level has the mean of the texture.

    Args:
        texture: [B, h, w, C] with static h and w.
        levels: number of levels, at least 1; None goes down to one texel.

    Returns:
        list of [B, h_k, w_k, C], the first the texture itself.

    Gradient: exact. Memory: a third of the texture more.

    Raises:
        ValueError: for an unknown size, or fewer than one level.
    """
    texture = as_float(texture)
    checks.rank("texture", texture, 4)
    height, width = texture.shape[1:3]
    if not height or not width:
        raise ValueError(
            f"`texture` must have a static height and width; got {texture.shape}."
        )
    most = int(math.log2(max(height, width))) + 1
    if levels is not None:
        checks.between("levels", levels, 1, 64)
        most = min(most, int(levels))
    pyramid = [texture]
    while len(pyramid) < most:
        pyramid.append(_halve(_halve(pyramid[-1], 1), 2))
    return pyramid


def texture_footprint(
    uv: tf.Tensor, face_index: tf.Tensor, texture_size: tuple[int, int]
) -> tf.Tensor:
    """Measures how many texels a pixel covers, from the uv of its neighbours.

    The greater of |d(x, y) / dcolumn| and |d(x, y) / drow| in texels, as OpenGL
    defines the scale factor. A difference is taken to a neighbour in the same face;
    where there is none in a direction (faces smaller than a pixel), to the covered
    neighbour that is nearer in the texture, because one of two may lie across a seam.

    Args:
        uv: [B, H, W, 2].
        face_index: [B, H, W] integers, -1 where the pixel is empty.
        texture_size: (height, width) in texels.

    Returns:
        [B, H, W] texels a pixel, 0 where empty or without a neighbour.

    Gradient: none; the result is a constant.
    """
    uv = as_float(uv)
    checks.rank("uv", uv, 4)
    checks.dims("uv", uv, None, None, 2)
    checks.rank("face_index", face_index, 3)
    height, width = texture_size
    place = tf.stop_gradient(uv) * tf.constant([width, height], uv.dtype)  # texels
    face_index = tf.convert_to_tensor(face_index)
    steps = [_step(place, face_index, axis) for axis in (1, 2)]
    return tf.stop_gradient(tf.where(face_index >= 0, tf.maximum(*steps), 0.0))


def _halve(texture, axis):
    """Box filter along one axis, of static size n, to max(1, n // 2) texels."""
    size = texture.shape[axis]
    if size == 1:
        return texture
    half = size // 2

    def every_second(start):
        window = [slice(None)] * 4
        window[axis] = slice(start, start + 2 * half - 1, 2)
        return texture[tuple(window)]

    if size % 2 == 0:
        return 0.5 * (every_second(0) + every_second(1))
    # Texel i of the half covers 2 + 1 / half texels: the middle one whole.
    shape = [1, 1, 1, 1]
    shape[axis] = half
    i = tf.reshape(tf.range(half, dtype=texture.dtype), shape)
    first, middle, last = (every_second(start) for start in (0, 1, 2))
    return (first * (half - i) + middle * half + last * (i + 1)) / size


def _step(place, face_index, axis):
    """Texels from a pixel to its neighbours along one image axis, [B, H, W]."""
    far = tf.constant(math.inf, place.dtype)

    def toward(shift):
        """Distances to the neighbour on one side, and those within the same face."""
        length = tf.shape(face_index)[axis]
        other = tf.roll(face_index, -shift, axis)
        distance = tf.norm(tf.roll(place, -shift, axis) - place, axis=-1)
        index = tf.range(length) + shift  # tf.roll brings in the opposite border
        exists = tf.logical_and(index >= 0, index < length)
        exists = exists[:, tf.newaxis] if axis == 1 else exists
        seen = tf.logical_and(exists, tf.logical_and(face_index >= 0, other >= 0))
        same = tf.logical_and(seen, face_index == other)
        return tf.where(seen, distance, far), tf.where(same, distance, far)

    (seen_back, same_back), (seen_on, same_on) = toward(-1), toward(1)
    same = tf.minimum(same_back, same_on)
    found = tf.where(same < far, same, tf.minimum(seen_back, seen_on))
    return tf.where(found < far, found, 0.0)
