"""Textures as one small colour cube per face (Neural 3D Mesh Renderer).

Kato, Ushiku and Harada, "Neural 3D Mesh Renderer", CVPR 2018. Letters used below: a
cube has T texels a side. A point of a face with perspective-correct barycentrics
b_0, b_1, b_2 lies at t_k = b_k (T - 1) and reads the cube trilinearly there, t_0 along
the slowest axis: the colour of corner 0 is texel [T-1, 0, 0], that of corner 1 is
[0, T-1, 0], that of corner 2 is [0, 0, T-1]. As the t_k sum to T - 1, only texels near
that plane are ever read; with T = 2 the texel [0, 0, 0] is part of every reading.

The weights w that the original keeps are barycentrics on the screen; with its depths
z of the corners and z_p of the pixel, b_k = w_k z_p / z_k. `Fragments.barycentric`
holds the b_k themselves.
"""

import math

import tensorflow as tf

from tfrender import checks
from tfrender.ops.floating import as_float
from tfrender.ops.rasterize_corners import face_corners, gather_rows
from tfrender.ops.sample_texture import (
    border_centered_uv,
    sample_texture,
    wrap_to_unit,
)

ATLAS_TILE = 16  # pixels a side, the original's


def sample_texture_cubes(
    cubes: tf.Tensor,
    face_index: tf.Tensor,
    barycentric: tf.Tensor,
    *,
    eps: float = 1e-3,
    weights_gradient: bool = False,
) -> tf.Tensor:
    """Reads the cube of the visible face at every pixel.

    Args:
        cubes: [B, F, T, T, T, C], or [F, T, T, T, C] shared by the batch; T static.
        face_index: [B, H, W] integers in -1..F-1, -1 where empty.
        barycentric: [B, H, W, 3] perspective-correct, as in `Fragments`.
        eps: t_k is held inside [0, T - 1 - eps]; the original renders with 1e-3
            (silhouettes and depth with 1e-4).
        weights_gradient: True differentiates through the barycentrics, exactly. False
            is the rule of the original, in which they are constants.

    Returns:
        [B, H, W, C], 0 where empty.

    Gradient: exact in the cubes; in the barycentrics none, or exact (see above).
    Memory: 8 * C floats a pixel.

    Raises:
        ValueError: for wrong shapes, or eps outside [0, 1].
    """
    cubes = as_float(cubes)
    side = _checked_side(cubes)
    checks.rank("face_index", face_index, 3)
    checks.dims("barycentric", barycentric, None, None, 3)
    checks.between("eps", eps, 0.0, 1.0)
    barycentric = tf.cast(barycentric, cubes.dtype)
    if not weights_gradient:
        barycentric = tf.stop_gradient(barycentric)
    face_index = tf.cast(face_index, tf.int32)
    if cubes.shape.rank == 6:
        batch, count = tf.shape(cubes)[0], tf.shape(cubes)[1]
        shift = tf.range(batch)[:, tf.newaxis, tf.newaxis] * count
        face_index = tf.where(face_index < 0, -1, face_index + shift)

    t = tf.clip_by_value(barycentric * (side - 1), 0.0, max(side - 1 - eps, 0.0))
    low = tf.floor(t)
    share = t - low  # [B, H, W, 3] in [0, 1)
    low = tf.clip_by_value(tf.cast(low, tf.int32), 0, side - 1)
    high = tf.minimum(low + 1, side - 1)
    index, weight = face_index, tf.ones_like(share[..., 0])
    index, weight = index[..., tf.newaxis], weight[..., tf.newaxis]
    for k in range(3):  # doubles the corners: 1, 2, 4, 8
        here, other = low[..., k, tf.newaxis], high[..., k, tf.newaxis]
        part = share[..., k, tf.newaxis]
        index = tf.concat([index * side + here, index * side + other], -1)
        weight = tf.concat([weight * (1.0 - part), weight * part], -1)
    index = tf.where(face_index[..., tf.newaxis] < 0, -1, index)
    texels = gather_rows(tf.reshape(cubes, [-1, cubes.shape[-1]]), index)
    return tf.reduce_sum(texels * weight[..., tf.newaxis], axis=-2)


def cubes_from_vertex_colors(
    colors: tf.Tensor, faces: tf.Tensor, *, size: int = 2
) -> tf.Tensor:
    """Makes cubes that interpolate colours of vertices linearly.

    Texel [i, j, k] is (i c_0 + j c_1 + k c_2) / (T - 1), so a trilinear reading is
    exactly the perspective-correct mean of the corner colours (but for the `eps` that
    `sample_texture_cubes` keeps from the far border).

    Args:
        colors: [B, V, C], or [V, C] shared by the batch; C static.
        faces: [F, 3] or [B, F, 3] integers, -1 is padding.
        size: texels a side T, at least 2; 2 is enough.

    Returns:
        [B, F, T, T, T, C], or [F, T, T, T, C] where neither input is batched. Texels
        off the plane i + j + k = T - 1 may leave the range of the colours.

    Gradient: exact in the colours. Memory: T^3 * C floats a face.
    """
    checks.between("size", size, 2, 64)
    colors = as_float(colors)
    checks.dims("colors", colors, None, None)
    corners = face_corners(colors, tf.convert_to_tensor(faces))  # [.., F, 3, C]
    grid = tf.cast(_grid(size), colors.dtype) / (size - 1)
    flat = tf.reduce_sum(
        grid[:, :, tf.newaxis] * corners[..., tf.newaxis, :, :], axis=-2
    )  # [.., F, T^3, C]
    return _as_cubes(flat, size)


def cubes_from_uv(texture: tf.Tensor, corner_uv: tf.Tensor, size: int) -> tf.Tensor:
    """Cuts a texture image into cubes, by the rule of the original's OBJ loader.

    Texel [i, j, k] reads the image bilinearly at the mean of the corner uv with
    weights i, j, k; uv 0 and 1 are the centres of the border texels, and uv outside
    [0, 1] is wrapped corner by corner. Texel [0, 0, 0], which has no weights (NaN in
    the original), is the mean of the three corner colours.

    Args:
        texture: [B, h, w, C], or [1, h, w, C] shared by the batch, row 0 at the top.
        corner_uv: [B, F, 3, 2], v up.
        size: texels a side T, at least 2.

    Returns:
        [B, F, T, T, T, C].

    Gradient: exact in the texture; in uv as `sample_texture`. Memory: 5 * C * T^3
    floats a face.

    Raises:
        ValueError: for wrong shapes or sizes.
    """
    checks.between("size", size, 2, 64)
    texture = as_float(texture)
    corner_uv = tf.cast(corner_uv, texture.dtype)
    checks.rank("corner_uv", corner_uv, 4)
    checks.dims("corner_uv", corner_uv, None, 3, 2)
    grid = tf.cast(_grid(size), texture.dtype)  # [T^3, 3]
    grid /= tf.maximum(tf.reduce_sum(grid, -1, keepdims=True), 1.0)
    uv = tf.reduce_sum(
        grid[:, :, tf.newaxis] * wrap_to_unit(corner_uv)[:, :, tf.newaxis], axis=-2
    )  # [B, F, T^3, 2]
    uv = border_centered_uv(uv, tf.unstack(tf.shape(texture)[1:3]))
    flat = sample_texture(texture, uv, wrap="clamp")  # [B, F, T^3, C]
    last = size - 1
    corners = [flat[:, :, last * size**k, tf.newaxis] for k in (2, 1, 0)]
    flat = tf.concat([tf.add_n(corners) / 3.0, flat[:, :, 1:]], axis=2)
    return _as_cubes(flat, size)


def cubes_to_atlas(cubes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Lays cubes out as one texture image, by the rule of the original's OBJ writer.

    Every face has a tile of 16x16 pixels, and the triangle (0, 0), (0, 15), (15, 15)
    (column, row from below) of it. The tiles fill a grid row by row from below, as
    wide as the root of the number of faces. The pixel to the right of the diagonal
    repeats its left neighbour, so that bilinear reading does not bleed.

    Args:
        cubes: [F, T, T, T, C], F and T static, F at least 1.

    Returns:
        image: [16 rows, 16 columns, C], row 0 at the top, 0 in unused tiles.
        corner_uv: [F, 3, 2], v up, 0 and 1 at the centres of the border pixels; read
            with `border_centered_uv`.

    Gradient: exact in the cubes, for the image.

    Raises:
        ValueError: for a wrong shape or no faces.
    """
    cubes = as_float(cubes)
    checks.rank("cubes", cubes, 5)
    count = cubes.shape[0]
    if not count:
        raise ValueError(f"`cubes` must hold at least one face; got {cubes.shape}.")
    wide = math.isqrt(count - 1) + 1
    high = (count - 1) // wide + 1
    row = tf.range(high * ATLAS_TILE)[:, tf.newaxis]  # from below
    column = tf.range(wide * ATLAS_TILE)[tf.newaxis]
    face = (row // ATLAS_TILE) * wide + column // ATLAS_TILE
    face = tf.where(face < count, face, -1)
    # Right of the diagonal the left neighbour is read in place of the pixel itself.
    x, y = column % ATLAS_TILE, row % ATLAS_TILE
    x = tf.cast(tf.where(x == y + 1, x - 1, x + 0 * y), cubes.dtype)
    y = tf.cast(y, cubes.dtype) + 0.0 * x
    span = ATLAS_TILE - 1
    # 1e-5 as in the original, which divides by the sum of the weights and that.
    barycentric = tf.stack([span - y, y - x, x], axis=-1) / (span * (1.0 + 1e-5))
    image = sample_texture_cubes(
        cubes, face[tf.newaxis], barycentric[tf.newaxis], eps=1e-5
    )
    start = tf.stack([tf.range(count) % wide, tf.range(count) // wide], -1) * ATLAS_TILE
    corner = start[:, tf.newaxis] + tf.constant([[0, 0], [0, span], [span, span]])
    extent = tf.constant([wide, high], cubes.dtype) * ATLAS_TILE - 1.0
    return image[0, ::-1], tf.cast(corner, cubes.dtype) / extent


def _checked_side(cubes) -> int:
    """Texels a side of cubes [.., F, T, T, T, C], or a ValueError."""
    shape = cubes.shape
    if shape.rank not in (5, 6) or not shape[-2] or len({*shape[-4:-1]}) != 1:
        raise ValueError(
            f"`cubes` must be [F, T, T, T, C] or [B, F, T, T, T, C]; got {shape}."
        )
    return shape[-2]


def _grid(size):
    """Indices of the texels of a cube, [T^3, 3] int32, the slowest axis first."""
    axis = tf.range(size)
    return tf.reshape(
        tf.stack(tf.meshgrid(axis, axis, axis, indexing="ij"), -1), [-1, 3]
    )


def _as_cubes(flat, size):
    """Splits the texel axis: [.., T^3, C] to [.., T, T, T, C]."""
    lead, channels = tf.shape(flat)[:-2], flat.shape[-1]
    cubes = tf.reshape(flat, tf.concat([lead, [size, size, size, channels]], 0))
    return tf.ensure_shape(cubes, [*flat.shape[:-2], size, size, size, channels])
