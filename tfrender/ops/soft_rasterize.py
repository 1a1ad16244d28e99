"""The Soft Rasterizer: triangles whose edges and depth order are soft.

Liu, Li, Chen and Li, "Soft Rasterizer", ICCV 2019. Two forms (`forms`): the graph form
meets every face with every pixel (`soft_rasterize_dense`), the compiled one only those
that reach each other (`soft_windows`).
"""

import tensorflow as tf

from tfrender import checks
from tfrender.ops import forms, soft_outline, soft_windows
from tfrender.ops.floating import as_float
from tfrender.ops.rasterize_corners import gather_rows
from tfrender.ops.rasterize_keys import face_index
from tfrender.ops.soft_blend import (
    DEFAULT_BLEND,
    DEFAULT_MODES,
    SoftBlend,
    SoftModes,
    check_blend,
    check_depth_range,
    check_modes,
    scalar,
)
from tfrender.ops.soft_pairs import face_columns, pixel_centers, soft_pairs
from tfrender.ops.soft_rasterize_dense import (
    SoftImages,
    as_rows,
    soft_rasterize_dense,
)
from tfrender.ops.surface_texels import checked_resolution, texel_index


def soft_rasterize(
    face_vertices: tf.Tensor,
    face_colors: tf.Tensor | None,
    image_size: tuple[int, int],
    *,
    blend: SoftBlend = DEFAULT_BLEND,
    modes: SoftModes = DEFAULT_MODES,
    depth_range=(1.0, 100.0),
    background=0.0,
    double_sided: bool = False,
    form: str | None = None,
) -> SoftImages:
    """Draws triangles whose edges and depth order are soft.

    Args:
        face_vertices: as `soft_rasterize_dense`, like all arguments but the last.
        face_colors: corner colours, texels or None.
        image_size: (height, width) in pixels.
        blend: how soft.
        modes: which variant.
        depth_range: (near, far).
        background: number, [C] or [B, C].
        double_sided: does the back of faces have a colour?
        form: "xla", "graph" or None for the default of `forms`.

    Returns:
        SoftImages, in the type of `face_vertices`.

    Gradient: as `soft_rasterize_dense`. Memory: in the XLA form 100 bytes a face and
    about 20 (1 + C) bytes a pixel, whatever the number of pairs; the graph form needs
    up to 85 floats for each face and each of 1,024 pixels.

    Raises:
        ValueError: as `soft_rasterize_dense`, or for an unknown form.
    """
    arguments = {
        "blend": blend,
        "modes": modes,
        "depth_range": depth_range,
        "background": background,
        "double_sided": double_sided,
    }
    # XLA scatters nothing into an empty picture.
    if forms.resolve(form) == "graph" or tf.TensorShape(face_vertices.shape)[0] == 0:
        return soft_rasterize_dense(face_vertices, face_colors, image_size, **arguments)
    vertices, size = as_float(face_vertices), checks.image_size(image_size)
    checks.rank("face_vertices", vertices, 4)
    checks.dims("face_vertices", vertices, None, 3, 3)
    check_blend(blend)
    check_modes(modes)
    check_depth_range(depth_range)
    dtype, batch = vertices.dtype, vertices.shape[0]
    numbers = tf.stack([scalar(v, dtype) for v in (*blend, *depth_range)])[tf.newaxis]
    vertices = forms.pad_rows(vertices, 1, 0.0)
    if face_colors is None or modes.color == "none":
        settings = (*size, modes._replace(color="none"), double_sided)
        alpha, rgb = _silhouette(vertices, numbers, settings), None
    else:
        colors = tf.cast(face_colors, dtype)
        checks.rank("face_colors", colors, 4)
        checks.dims("face_colors", colors, None, None, None)
        if colors.shape[2] != 3:
            checked_resolution(colors)
        behind = as_rows(background, dtype)[:, 0]
        behind = tf.broadcast_to(behind, [tf.shape(behind)[0], colors.shape[-1]])
        behind = tf.ensure_shape(behind, [behind.shape[0], colors.shape[-1]])
        colors = forms.pad_rows(colors, 1, 0.0)
        settings = (*size, modes, double_sided)
        alpha, rgb = _colored(vertices, colors, behind, numbers, settings)
        rgb = tf.ensure_shape(rgb, [batch, *size, None])
    return SoftImages(rgb, tf.ensure_shape(alpha, [batch, *size]))


@tf.function(autograph=False)
def _silhouette(vertices, numbers, settings):
    """Alpha alone, [B, H, W]."""
    batch = vertices.shape[0]

    @tf.custom_gradient
    def draw(vertices):
        (alpha,) = forms.by_parts(_alpha, settings, batch, vertices, numbers)

        def gradient(up_alpha):
            given = (vertices, numbers, alpha, up_alpha)
            return forms.by_parts(_alpha_gradient, settings, batch, *given)[0]

        return alpha, gradient

    return draw(vertices)


@tf.function(autograph=False)
def _colored(vertices, colors, background, numbers, settings):
    """Alpha [B, H, W] and colours [B, H, W, C]."""
    batch = vertices.shape[0]
    read, write = (
        (_soft, _soft_gradient)
        if settings[2].color == "softmax"
        else (_hard, _hard_gradient)
    )

    @tf.custom_gradient
    def draw(vertices, colors, background):
        inputs = (vertices, colors, background, numbers)
        alpha, rgb, *kept = forms.by_parts(read, settings, batch, *inputs)

        def gradient(up_alpha, up_rgb):
            given = (*inputs, alpha, rgb, *kept, up_alpha, up_rgb)
            *slopes, behind = forms.by_parts(write, settings, batch, *given)
            if background.shape[0] == 1:
                behind = tf.reduce_sum(behind, 0, keepdims=True)
            return *slopes, behind

        return (alpha, rgb), gradient

    return draw(vertices, colors, background)


def _alpha(vertices, numbers, height, width, modes, double_sided):
    """(alpha [B, H, W],)."""
    given = (vertices, numbers, height, width, modes, double_sided)
    if not _has_outline_form(modes):
        return (_any_alpha(*given),)
    alpha, partly = _outline_alpha(*given)
    # Faces that straddle an end of the depth range are rare.
    return (tf.cond(partly, lambda: _any_alpha(*given), lambda: alpha),)


def _alpha_gradient(vertices, numbers, alpha, up_alpha, height, width, modes, sided):
    """(gradient of the vertices,)."""
    given = (vertices, numbers, alpha, up_alpha, height, width, modes, sided)
    if not _has_outline_form(modes):
        return (_any_alpha_gradient(*given),)
    slopes, partly = _outline_alpha_gradient(*given)
    return (tf.cond(partly, lambda: _any_alpha_gradient(*given), lambda: slopes),)


def _has_outline_form(modes):
    plain = modes.depth_clip_alpha and modes.skip_degenerate
    return plain and modes.distance == "euclidean" and modes.alpha == "prod"


def _outline_drawing(vertices, numbers, settings):
    """Drawing of the faces within the depth range, and whether some straddle it."""
    height, width, modes, sided = settings
    rows = tf.reshape(vertices, [-1, 9])
    wholly, partly = soft_outline.within(rows, (numbers[0, 4], numbers[0, 5]))
    solid = soft_outline.has_area(rows)
    what = soft_windows.drawing(
        vertices, None, (height, width), numbers[0], modes, sided, wholly & solid
    )
    return what, tf.reduce_any(partly & solid)


@forms.compiled
def _outline_alpha(vertices, numbers, *settings):
    """Alpha [B, H, W], and whether some face straddles the depth range."""
    what, partly = _outline_drawing(vertices, numbers, settings)
    pictures = soft_windows.Pictures(soft_outline.add_up(what))
    return _finished_alpha(what, vertices, pictures), partly


@forms.compiled
def _outline_alpha_gradient(vertices, numbers, alpha, up_alpha, *settings):
    """Gradient of the vertices, and whether some face straddles the depth range."""
    what, partly = _outline_drawing(vertices, numbers, settings)
    upstream = _up_alpha(vertices, alpha, up_alpha, settings[2])
    rows = soft_outline.add_gradients(what, upstream)
    return tf.reshape(rows, tf.shape(vertices)), partly


@forms.compiled
def _any_alpha(vertices, numbers, height, width, modes, double_sided):
    """Alpha [B, H, W] of any mode."""
    what = _drawing(vertices, None, numbers, (height, width), modes, double_sided)
    return _finished_alpha(what, vertices, soft_windows.add_up(what))


@forms.compiled
def _any_alpha_gradient(
    vertices, numbers, alpha, up_alpha, height, width, modes, sided
):
    """Gradient of the vertices in any mode."""
    what = _drawing(vertices, None, numbers, (height, width), modes, sided)
    up_alpha = _up_alpha(vertices, alpha, up_alpha, modes)
    if up_alpha is None:
        return tf.zeros_like(vertices)
    rows, _ = soft_windows.add_gradients(what, up_alpha, None, [], None)
    return tf.reshape(rows, tf.shape(vertices))


@forms.compiled
def _soft(vertices, colors, background, numbers, height, width, modes, sided):
    """Alpha, rgb, first depth, share of the background and of all: softmax."""
    what = _drawing(vertices, colors, numbers, (height, width), modes, sided)
    pictures = soft_windows.add_up(what)
    shape = [what.sizes[0], height, width]
    rest = _background_share(what, pictures.first)
    # The two loops may round a face of no size differently, and find and lose it.
    rest = tf.where(pictures.share + rest < 1e-20, tf.ones_like(rest), rest)
    total = pictures.share + rest
    behind = _by_pixel(background, shape)
    rgb = [
        (color + rest * behind[:, c]) / total for c, color in enumerate(pictures.colors)
    ]
    rgb = tf.reshape(tf.stack(rgb, axis=-1), [*shape, len(rgb)])
    kept = [tf.reshape(v, shape) for v in (pictures.first, rest, total)]
    return _finished_alpha(what, vertices, pictures), rgb, *kept


@forms.compiled
def _soft_gradient(vertices, colors, background, numbers, alpha, rgb, *rest):
    """Gradients of vertices, colours and (for each item) background."""
    first, behind, total, up_alpha, up_rgb, height, width, modes, sided = rest
    what = _drawing(vertices, colors, numbers, (height, width), modes, sided)
    flat = tf.reshape(up_rgb / total[..., tf.newaxis], [-1, up_rgb.shape[-1]])
    first = tf.reshape(first, [-1])
    up_share = -tf.reduce_sum(flat * tf.reshape(rgb, tf.shape(flat)), axis=-1)
    rows, slopes = soft_windows.add_gradients(
        what,
        _up_alpha(vertices, alpha, up_alpha, modes),
        up_share,
        tf.unstack(flat, axis=-1),
        first,
    )
    behind = flat * tf.reshape(behind, [-1, 1])
    behind = tf.reshape(behind, [what.sizes[0], height * width, flat.shape[-1]])
    return (
        tf.reshape(rows, tf.shape(vertices)),
        tf.reshape(slopes, tf.shape(colors)),
        tf.reduce_sum(behind, axis=1),
    )


@forms.compiled
def _hard(vertices, colors, background, numbers, height, width, modes, sided):
    """Alpha, rgb and index of the nearest face."""
    what = _drawing(vertices, colors, numbers, (height, width), modes, sided)
    pictures = soft_windows.add_up(what)
    index = tf.reshape(face_index(pictures.keys), [-1, height, width])
    rgb = _face_colors(what, colors, background, index)
    return _finished_alpha(what, vertices, pictures), rgb, index


@forms.compiled
def _hard_gradient(vertices, colors, background, numbers, alpha, rgb, *rest):
    """Gradients of vertices (through alpha alone), colours and background."""
    index, up_alpha, up_rgb, height, width, modes, sided = rest
    del rgb
    what = _drawing(vertices, colors, numbers, (height, width), modes, sided)
    whole = tf.broadcast_to(background, [what.sizes[0], background.shape[1]])
    with tf.GradientTape() as tape:
        tape.watch([what.rows, colors, whole])
        image = _face_colors(what, colors, whole, index)
    total, *slopes = tape.gradient(
        image, [what.rows, colors, whole], up_rgb, unconnected_gradients="zero"
    )
    up_alpha = _up_alpha(vertices, alpha, up_alpha, modes)
    if up_alpha is not None:
        total += soft_windows.add_gradients(what, up_alpha, None, [], None)[0]
    return tf.reshape(total, tf.shape(vertices)), *slopes


def _drawing(vertices, colors, numbers, image_size, modes, double_sided):
    return soft_windows.drawing(
        vertices, colors, image_size, numbers[0], modes, double_sided
    )


def _finished_alpha(what, vertices, pictures):
    """Alpha [B, H, W] from what the pairs add up to."""
    batch, _, height, width = what.sizes
    alpha = tf.reshape(pictures.alpha, [batch, height, width])
    if what.modes.alpha == "prod":
        return -tf.math.expm1(-alpha)
    if what.modes.alpha == "sum":
        return alpha / _real_faces(vertices)
    return alpha


def _up_alpha(vertices, alpha, up_alpha, modes):
    """Upstream gradient of what the pairs add up to, [P]; None for hard alpha."""
    if modes.alpha == "hard":
        return None
    if modes.alpha == "prod":
        up_alpha *= 1.0 - alpha
    else:
        up_alpha /= _real_faces(vertices)
    return tf.reshape(up_alpha, [-1])


def _real_faces(vertices):
    """Number of faces that are no padding, [B, 1, 1]."""
    real = tf.reduce_any(vertices != 0.0, axis=[2, 3])
    count = tf.reduce_sum(tf.cast(real, vertices.dtype), axis=-1)
    return tf.maximum(count, 1.0)[:, tf.newaxis, tf.newaxis]


def _background_share(what, first):
    """Softmax share of the background, [P]."""
    near, far = what.depth_range
    behind = far - 2.0 * what.blend.eps * (far - near)
    return tf.exp((first - behind) / ((far - near) * what.blend.gamma))


def _by_pixel(background, shape):
    """Background of every pixel, [P, C]."""
    channels = background.shape[1]
    image = background[:, tf.newaxis, tf.newaxis]
    return tf.reshape(tf.broadcast_to(image, [*shape, channels]), [-1, channels])


def _face_colors(what, colors, background, index):
    """Colours of the nearest faces [B, H, W, C]."""
    batch, faces, height, width = what.sizes
    dtype, channels = what.rows.dtype, colors.shape[-1]
    flat = tf.where(index < 0, -1, index + tf.range(batch)[:, None, None] * faces)
    flat = tf.reshape(flat, [-1])
    rows = gather_rows(what.rows, flat)
    pixels = tf.tile(pixel_centers((height, width), dtype), [batch, 1])
    met = soft_pairs(
        face_columns(tf.reshape(rows, [-1, 3, 3]), width / height, what.modes),
        (pixels[tf.newaxis, :, 0], pixels[tf.newaxis, :, 1]),
        blend=what.blend,
        modes=what.modes,
        depth_range=what.depth_range,
    )
    weights = tf.stack([tf.reshape(w, [-1]) for w in met.weights], axis=-1)  # [P, 3]
    count = colors.shape[2]
    if count == 3:
        corners = gather_rows(tf.reshape(colors, [-1, 3 * channels]), flat)
        corners = tf.reshape(corners, [-1, 3, channels])
        rgb = tf.reduce_sum(weights[..., tf.newaxis] * corners, axis=1)
    else:
        texel = flat * count + texel_index(weights, round(count**0.5))
        texel = tf.where(flat < 0, -1, texel)
        rgb = gather_rows(tf.reshape(colors, [-1, channels]), texel)
    shape = [batch, height, width]
    behind = _by_pixel(background, shape)
    rgb = tf.where((flat < 0)[:, tf.newaxis], behind, rgb)
    return tf.reshape(rgb, [*shape, channels])
