"""Reads texture images at uv coordinates: nearest, bilinear, and through mip levels.

Letters used below: a texture is h texels high and w wide, row 0 at its top. uv (0, 0)
is the lower left corner of the picture, (1, 1) the upper right one, so v points up.
The centre of the texel in row i, column j is u = (j + 0.5) / w, v = 1 - (i + 0.5) / h.
"""

import functools
import math

import tensorflow as tf

from tfrender import checks
from tfrender.ops.floating import as_float
from tfrender.ops.mipmaps import build_mipmaps
from tfrender.ops.rasterize_corners import gather_rows

WRAPS = ("repeat", "clamp", "mirror")
FILTERINGS = ("bilinear", "nearest", "mipmap")


def sample_texture(
    texture,
    uv: tf.Tensor,
    *,
    wrap: str = "repeat",
    filtering: str = "bilinear",
    level: tf.Tensor | None = None,
    footprint: tf.Tensor | None = None,
) -> tf.Tensor:
    """Reads a texture at every pixel.

    Args:
        texture: [B, h, w, C] or [1, h, w, C] shared by the batch, of any size down to
            one texel; for "mipmap" also the list of `build_mipmaps`.
        uv: [B, H, W, 2], any values; (0, 0) is the lower left corner, v up.
        wrap: "repeat" tiles the plane, "clamp" goes on with the border texels,
            "mirror" tiles it with every other tile reflected.
        filtering: "bilinear"; "nearest"; or "mipmap", trilinear: bilinear in the two
            levels around the level of the pixel, mixed linearly.
        level: [B, H, W] for "mipmap": 0 is the full texture, each level halves it;
            held inside the levels that exist.
        footprint: [B, H, W] for "mipmap", in place of `level`: texels of the full
            texture that one pixel covers (`texture_footprint`); level = log2 of it.

    Returns:
        [B, H, W, C].

    Gradient: exact in the texture; exact in uv between texel centres (the value is
    piecewise bilinear), none in uv for "nearest"; exact in `level` and `footprint`.
    Memory: 4 * C floats a pixel, 8 * C and a third more texture for "mipmap".

    Raises:
        ValueError: for wrong shapes, unknown words, or a level where none is used.
    """
    checks.one_of("wrap", wrap, WRAPS)
    checks.one_of("filtering", filtering, FILTERINGS)
    given = (level is not None) + (footprint is not None)
    if given != (filtering == "mipmap"):
        raise ValueError(
            "`level` or `footprint` must be given for filtering 'mipmap', and only "
            f"there; got {given} of them with {filtering!r}."
        )
    levels = _checked_levels(texture, filtering)
    uv = tf.convert_to_tensor(uv)
    checks.rank("uv", uv, 4)
    checks.dims("uv", uv, None, None, 2)
    uv = tf.cast(uv, levels[0].dtype)
    if filtering == "mipmap":
        if footprint is not None:
            level = tf.cast(footprint, uv.dtype)
            level = tf.math.log(tf.maximum(level, 1.0)) / math.log(2.0)
        return _sample_between_levels(levels, uv, tf.cast(level, uv.dtype), wrap)
    size = tf.shape(levels[0])[1:3]
    rows = tf.reshape(levels[0], [-1, levels[0].shape[-1]])
    first = _first_row(levels[0], tf.shape(uv)[0], size[0] * size[1])
    read = _nearest if filtering == "nearest" else _bilinear
    return read(rows, first, size[0], size[1], uv, wrap)


def border_centered_uv(uv: tf.Tensor, texture_size) -> tf.Tensor:
    """Converts uv whose 0 and 1 mean the centres of the border texels.

    Neural Mesh Renderer and Soft Rasterizer read textures by this rule, position =
    uv * (size - 1). Sample the result with `wrap="clamp"`.

    Args:
        uv: [..., 2] in [0, 1].
        texture_size: (height, width) in texels.

    Returns:
        [..., 2] uv of this module's convention.

    Gradient: exact.
    """
    uv = as_float(uv)
    height, width = texture_size
    size = tf.cast(tf.stack([width, height]), uv.dtype)
    return (uv * (size - 1.0) + 0.5) / size


def wrap_to_unit(uv: tf.Tensor) -> tf.Tensor:
    """Brings uv into [0, 1] tile by tile, and leaves 0 and 1 where they are.

    Args:
        uv: [...].

    Returns:
        [...]: uv inside [0, 1] unchanged, others uv - floor(uv).

    Gradient: exact; the tile is a constant.
    """
    uv = as_float(uv)
    inside = tf.logical_and(uv >= 0.0, uv <= 1.0)
    return tf.where(inside, uv, uv - tf.floor(uv))


def _checked_levels(texture, filtering) -> list[tf.Tensor]:
    """Levels of a texture or list of levels; one level unless mipmaps are wanted."""
    if isinstance(texture, list | tuple):
        if filtering != "mipmap":
            raise ValueError(
                f"`texture` must be one tensor for filtering {filtering!r}; got a "
                f"list of {len(texture)}."
            )
        levels = [as_float(value) for value in texture]
    else:
        levels = [as_float(texture)]
        checks.rank("texture", levels[0], 4)
        if filtering == "mipmap":
            levels = build_mipmaps(levels[0])
    for value in levels:
        checks.rank("texture", value, 4)
        if value.shape[-1] is None:
            raise ValueError(f"`texture` must have static channels; got {value.shape}.")
    return levels


def _first_row(texture, batch, count):
    """Row at which the texture of each item starts, [B, 1, 1]."""
    # A shared texture starts at row 0 for every item.
    own = tf.cast(tf.shape(texture)[0] > 1, tf.int32)
    return tf.range(batch)[:, tf.newaxis, tf.newaxis] * count * own


def _place(coordinate, size, wrap):
    """Position in texels, brought near the texture before any integer is made of it."""
    if wrap == "repeat":
        coordinate -= tf.floor(coordinate)
    elif wrap == "mirror":
        coordinate -= 2.0 * tf.floor(coordinate * 0.5)
    else:
        coordinate = tf.clip_by_value(coordinate, 0.0, 1.0)
    return coordinate * tf.cast(size, coordinate.dtype)


def _wrapped(index, size, wrap):
    """Texel index in 0..size-1 of any integer index."""
    if wrap == "repeat":
        return tf.math.floormod(index, size)
    if wrap == "mirror":
        index = tf.math.floormod(index, 2 * size)
        return tf.minimum(index, 2 * size - 1 - index)
    return tf.clip_by_value(index, 0, size - 1)


def _nearest(rows, first, height, width, uv, wrap):
    """Texel that holds the point; `first`, `height`, `width` broadcast to [B, H, W]."""
    u, v = uv[..., 0], 1.0 - uv[..., 1]
    column = tf.cast(tf.floor(_place(u, width, wrap)), tf.int32)
    row = tf.cast(tf.floor(_place(v, height, wrap)), tf.int32)
    column, row = _wrapped(column, width, wrap), _wrapped(row, height, wrap)
    return gather_rows(rows, first + row * width + column)


def _bilinear(rows, first, height, width, uv, wrap):
    """Mean of the four texels around the point, as `_nearest`."""
    x = _place(uv[..., 0], width, wrap) - 0.5
    y = _place(1.0 - uv[..., 1], height, wrap) - 0.5
    left, top = tf.floor(x), tf.floor(y)
    x, y = x - left, y - top  # [B, H, W] in [0, 1]
    left, top = tf.cast(left, tf.int32), tf.cast(top, tf.int32)
    columns = [_wrapped(left + k, width, wrap) for k in (0, 1)]
    starts = [first + _wrapped(top + k, height, wrap) * width for k in (0, 1)]
    index = tf.stack([start + column for start in starts for column in columns], -1)
    texels = gather_rows(rows, index)  # [B, H, W, 4, C]
    weight = [(1 - x) * (1 - y), x * (1 - y), (1 - x) * y, x * y]
    return tf.reduce_sum(texels * tf.stack(weight, -1)[..., tf.newaxis], axis=-2)


def _sample_between_levels(levels, uv, level, wrap):
    """Trilinear filtering; every pixel reads its own two levels of one row table."""
    sizes = [(value.shape[1], value.shape[2]) for value in levels]
    flat = [tf.reshape(v, [tf.shape(v)[0], -1, v.shape[-1]]) for v in levels]
    table = tf.concat(flat, axis=1)  # [B or 1, texels of all levels, C]
    first = _first_row(table, tf.shape(uv)[0], tf.shape(table)[1])
    rows = tf.reshape(table, [-1, table.shape[-1]])
    starts = [0]
    for height, width in sizes[:-1]:
        starts.append(starts[-1] + height * width)

    last = len(levels) - 1
    level = tf.clip_by_value(level, 0.0, float(last))
    fine = tf.floor(level)
    share = (level - fine)[..., tf.newaxis]
    fine = tf.clip_by_value(tf.cast(fine, tf.int32), 0, last)  # [B, H, W]
    read = functools.partial(_bilinear, rows, uv=uv, wrap=wrap)
    colors = []
    for chosen in (fine, tf.minimum(fine + 1, last)):
        height, width, start = (
            tf.gather(tf.constant(values, tf.int32), chosen)
            for values in (*zip(*sizes, strict=True), starts)
        )
        colors.append(read(first=first + start, height=height, width=width))
    return colors[0] + (colors[1] - colors[0]) * share
