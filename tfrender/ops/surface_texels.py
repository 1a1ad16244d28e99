"""Textures as R * R texels per face (Soft Rasterizer's `surface` textures).

Liu, Li, Chen and Li, "Soft Rasterizer", ICCV 2019. Letters used below: R is the
resolution; w_0, w_1, w_2 are the barycentrics of a point. The square w_0 R, w_1 R is
cut into R * R cells; cells below the diagonal w_0 + w_1 = 1 hold two triangles of
texels, of which the upper ones are kept, flipped, in the cells above it. Texel
(i_0, i_1) is number i_1 R + i_0.
"""

import tensorflow as tf

from tfrender import checks
from tfrender.ops.floating import as_float
from tfrender.ops.rasterize_corners import gather_rows
from tfrender.ops.sample_texture import (
    border_centered_uv,
    sample_texture,
    wrap_to_unit,
)

# On the edge w_2 = 0 a rounding would choose between two texels.
_TIE = 1e-6


def texel_index(weights: tf.Tensor, resolution: int) -> tf.Tensor:
    """Number of the texel at a point of a face.

    Cell indices are held below R; the original runs into the next face at corners 0
    and 1.

    Args:
        weights: [..., 3] barycentrics in [0, 1] that sum to 1.
        resolution: R, at least 1.

    Returns:
        [...] int32 in 0..R*R-1.

    Gradient: none, the index is a constant.

    Raises:
        ValueError: for wrong shapes or R below 1.
    """
    checks.between("resolution", resolution, 1, 1 << 12)
    weights = tf.stop_gradient(as_float(weights))
    checks.dims("weights", weights, 3)
    place = weights[..., :2] * resolution  # [..., 2]
    # The clip before the cast keeps NaN and infinity from the index.
    cell = tf.cast(tf.clip_by_value(place, 0.0, resolution - 1.0), tf.int32)
    cell = tf.clip_by_value(cell, 0, resolution - 1)
    rest = tf.reduce_sum(place - tf.cast(cell, place.dtype), axis=-1)
    cell = tf.where((rest <= 1.0 + _TIE)[..., tf.newaxis], cell, resolution - 1 - cell)
    return cell[..., 1] * resolution + cell[..., 0]


def sample_texels(
    texels: tf.Tensor, face_index: tf.Tensor, weights: tf.Tensor
) -> tf.Tensor:
    """Reads the texels of the visible face at every pixel.

    Args:
        texels: [B, F, R*R, C], or [F, R*R, C] shared by the batch; R and C static.
        face_index: [B, H, W] integers in -1..F-1, -1 where empty.
        weights: [B, H, W, 3] barycentrics in [0, 1] (the original's are those on the
            screen, clipped and normalised).

    Returns:
        [B, H, W, C], 0 where empty.

    Gradient: exact in the texels (the original spreads it over the whole face), none
    in the weights, of which the colour is a step function. Memory: C floats a pixel.

    Raises:
        ValueError: for wrong shapes, or texels that are no square number.
    """
    texels = as_float(texels)
    resolution = checked_resolution(texels)
    checks.rank("face_index", face_index, 3)
    checks.dims("weights", weights, None, None, 3)
    face = tf.cast(face_index, tf.int32)
    if texels.shape.rank == 4:
        batch, count = tf.shape(texels)[0], tf.shape(texels)[1]
        face += tf.range(batch)[:, tf.newaxis, tf.newaxis] * count
    index = face * resolution**2 + texel_index(weights, resolution)
    index = tf.where(tf.convert_to_tensor(face_index) < 0, -1, index)
    return gather_rows(tf.reshape(texels, [-1, texels.shape[-1]]), index)


def texels_from_atlas(
    texture: tf.Tensor, corner_uv: tf.Tensor, resolution: int
) -> tf.Tensor:
    """Cuts a texture image into texels, by the rule of the original's OBJ loader.

    Each texel reads the image bilinearly at the centre of its triangle; uv 0 and 1 are
    the centres of the border texels of the image, and uv outside [0, 1] is wrapped
    corner by corner.

    Args:
        texture: [B, h, w, C], or [1, h, w, C] shared by the batch, row 0 at the top
            (the original's arrays have v = 0 in row 0).
        corner_uv: [B, F, 3, 2], v up.
        resolution: R, at least 1.

    Returns:
        [B, F, R*R, C].

    Gradient: exact in the texture; in uv as `sample_texture`. Memory: 5 * C * R^2
    floats a face.

    Raises:
        ValueError: for wrong shapes or R below 1.
    """
    checks.between("resolution", resolution, 1, 1 << 12)
    texture = as_float(texture)
    corner_uv = tf.cast(corner_uv, texture.dtype)
    checks.rank("corner_uv", corner_uv, 4)
    checks.dims("corner_uv", corner_uv, None, 3, 2)
    weights = tf.cast(texel_centers(resolution), texture.dtype)  # [R*R, 3]
    uv = tf.reduce_sum(
        weights[:, :, tf.newaxis] * wrap_to_unit(corner_uv)[:, :, tf.newaxis], axis=-2
    )  # [B, F, R*R, 2]
    uv = border_centered_uv(uv, tf.unstack(tf.shape(texture)[1:3]))
    return sample_texture(texture, uv, wrap="clamp")


def texel_centers(resolution: int) -> tf.Tensor:
    """Barycentrics of the centroid of every texel.

    Args:
        resolution: R, at least 1.

    Returns:
        [R*R, 3] float64, sums to 1.
    """
    checks.between("resolution", resolution, 1, 1 << 12)
    axis = tf.range(resolution)
    second, first = tf.meshgrid(axis, axis, indexing="ij")  # number i_1 R + i_0
    cell = tf.reshape(tf.stack([first, second], -1), [-1, 2])
    below = tf.reduce_sum(cell, -1, keepdims=True) < resolution
    thirds = tf.where(below, 3 * cell + 1, 3 * (resolution - 1 - cell) + 2)
    weights = tf.cast(thirds, tf.float64) / (3.0 * resolution)
    return tf.concat([weights, 1.0 - tf.reduce_sum(weights, -1, keepdims=True)], -1)


def checked_resolution(texels) -> int:
    """R of texels [.., F, R*R, C], or a ValueError."""
    shape = texels.shape
    count = shape[-2] if shape.rank in (3, 4) else None
    resolution = round((count or 0) ** 0.5)
    if not count or resolution**2 != count:
        raise ValueError(
            f"`texels` must be [F, R*R, C] or [B, F, R*R, C]; got shape {shape}."
        )
    return resolution
