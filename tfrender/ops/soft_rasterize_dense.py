"""The Soft Rasterizer, every face against every pixel: slow, exact, the definition.

Liu, Li, Chen and Li, "Soft Rasterizer", ICCV 2019, with the released program's rules
and without its defects. Letters: D_j is the probability that face j covers a pixel,
z_j its depth there, c_j its colour; see `soft_pairs` for the rest.

    alpha = 1 - prod_j (1 - D_j)
    rgb   = (sum_j s_j c_j + s_b background) / (sum_j s_j + s_b)
    s_j   = D_j exp(-z_j / ((far - near) gamma))

and the background's s_b is that of a face with D = 1 at depth far - 2 eps (far - near).
"""

from typing import NamedTuple

import tensorflow as tf

from tfrender import checks
from tfrender.ops.floating import as_float
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
from tfrender.ops.soft_pairs import (
    coverage_logit,
    face_columns,
    pixel_centers,
    soft_pairs,
)
from tfrender.ops.surface_texels import sample_texels


class SoftImages(NamedTuple):
    """Pictures of one rendering.

    Attributes:
        rgb: [B, H, W, C], or None where no colour was wanted. Beside a silhouette, as
            far as the softness reaches, it is the colour of the face at full strength:
            blend with `alpha` for soft edges.
        alpha: [B, H, W] in [0, 1].
    """

    rgb: tf.Tensor | None
    alpha: tf.Tensor


def soft_rasterize_dense(
    face_vertices: tf.Tensor,
    face_colors: tf.Tensor | None,
    image_size: tuple[int, int],
    *,
    blend: SoftBlend = DEFAULT_BLEND,
    modes: SoftModes = DEFAULT_MODES,
    depth_range=(1.0, 100.0),
    background=0.0,
    double_sided: bool = False,
    pixels_per_pass: int = 1024,
) -> SoftImages:
    """Draws triangles whose edges and depth order are soft.

    Row 0 is the top row. Distances, and so sigma, are in NDC units of the image
    height, x scaled by width / height; for square pictures that is the original. Left
    out are faces with a NaN, an infinity or a coordinate beyond 1e15, and padding:
    faces of zeros.

    Args:
        face_vertices: [B, F, 3, 3] float32 or float64: x and y in NDC (y up) and depth
            in front of the camera of the corners of each face.
        face_colors: [B, F, 3, C] colours of the corners, blended linearly on the
            screen, or [B, F, R*R, C] texels (`surface_texels`); None for alpha alone.
        image_size: (height, width) in pixels.
        blend: how soft.
        modes: which variant.
        depth_range: (near, far), two numbers or scalar tensors, 0 < near < far. Faces
            beyond it have no colour; far - near is the unit of `gamma`.
        background: number, [C] or [B, C], the colour behind everything.
        double_sided: False gives no colour to faces that run counter-clockwise on
            screen. (The original's pictures are mirrored, so that its front faces run
            clockwise.) Alpha always counts both sides.
        pixels_per_pass: bounds memory. More pixels take several passes, which are
            computed again for the gradient.

    Returns:
        SoftImages, in the type of `face_vertices`.

    Gradient: exact in colours and background. In `face_vertices` that of the original's
    kernels (section 3.2 of the paper): x and y through D alone, depth through z_j
    alone, cut-offs and clipped barycentrics held constant;
    `SoftModes.interpolation_gradient` holds the cut-offs constant only. Hard alpha and
    hard colour are constants of x, y and depth, and texels are read without
    interpolation. None in the settings. Memory: about 85 floats a pair of pixel and
    face (C = 3, with gradient) in one pass, B * F * pixels_per_pass pairs.

    Raises:
        ValueError: for wrong shapes, unknown modes or settings out of range.
    """
    face_vertices = as_float(face_vertices)
    checks.rank("face_vertices", face_vertices, 4)
    checks.dims("face_vertices", face_vertices, None, 3, 3)
    check_blend(blend)
    check_modes(modes)
    check_depth_range(depth_range)
    checks.between("pixels_per_pass", pixels_per_pass, 1, 1 << 24)
    size = checks.image_size(image_size)
    dtype = face_vertices.dtype
    inputs = [face_vertices]
    if face_colors is not None and modes.color != "none":
        face_colors = tf.cast(face_colors, dtype)
        checks.rank("face_colors", face_colors, 4)
        checks.dims("face_colors", face_colors, None, None, None)
        inputs += [face_colors, as_rows(background, dtype)]

    def draw(pixels, *inputs):
        """[B, P, C + 1] colours and alpha of pixels [P, 2]."""
        corners = face_columns(inputs[0], size[1] / size[0], modes)  # [B, 1, F]
        places = (pixels[:, :1], pixels[:, 1:])  # [P, 1]
        pairs = soft_pairs(
            corners, places, blend=blend, modes=modes, depth_range=depth_range
        )
        alpha = _alpha(pairs, inputs[0], modes)[..., tf.newaxis]
        if len(inputs) == 1:
            return alpha
        seen = pairs.in_range if double_sided else pairs.in_range & corners.front
        compose = _soft_colors if modes.color == "softmax" else _hard_colors
        colors = _pair_colors(pairs, inputs[1])  # [B, P, F, C]
        rgb = compose(pairs, seen, colors, inputs[2], (blend, depth_range))
        return tf.concat([rgb, alpha], axis=-1)

    image = _in_passes(draw, pixel_centers(size, dtype), inputs, pixels_per_pass)
    batch, channels = tf.shape(face_vertices)[0], image.shape[-1]
    image = tf.reshape(image, [batch, *size, channels])
    image = tf.ensure_shape(image, [face_vertices.shape[0], *size, channels])
    return SoftImages(None if channels == 1 else image[..., :-1], image[..., -1])


def as_rows(background, dtype):
    """Brings a background to one shape.

    Args:
        background: number, [C] or [B, C].
        dtype: type wanted.

    Returns:
        [1 or B, 1, 1 or C].

    Raises:
        ValueError: for another rank.
    """
    if not tf.is_tensor(background):
        background = tf.convert_to_tensor(background, dtype)
    background = tf.cast(background, dtype)
    if background.shape.rank not in (0, 1, 2):
        raise ValueError(
            f"`background` must be a number, [C] or [B, C]; got {background.shape}."
        )
    if background.shape.rank < 2:
        background = tf.reshape(background, [1, -1])
    return background[:, tf.newaxis]


def _in_passes(draw, pixels, inputs, pixels_per_pass):
    """Draws some pixels at a time: [B, P, channels]."""
    count = pixels.shape[0]
    if count <= pixels_per_pass:
        return draw(pixels, *inputs)
    passes = -(-count // pixels_per_pass)
    pixels = tf.pad(pixels, [[0, passes * pixels_per_pass - count], [0, 0]])
    pixels = tf.reshape(pixels, [passes, pixels_per_pass, 2])
    again = tf.recompute_grad(draw)
    parts = tf.map_fn(
        lambda some: again(some, *inputs), pixels, fn_output_signature=pixels.dtype
    )  # [passes, B, pixels_per_pass, channels]
    channels = 1 if len(inputs) == 1 else inputs[1].shape[-1] + 1
    image = tf.transpose(parts, [1, 0, 2, 3])
    shape = [tf.shape(inputs[0])[0], passes * pixels_per_pass, channels]
    return tf.reshape(image, shape)[:, :count]


def _alpha(pairs, face_vertices, modes):
    """Coverage of pixels, [B, P]."""
    counts, logit = coverage_logit(pairs, modes)
    if modes.alpha == "prod":
        # log(1 - D) = -softplus(logit): no division by 1 - D in the gradient.
        clear = tf.where(counts, tf.math.softplus(logit), 0.0)
        return -tf.math.expm1(-tf.reduce_sum(clear, axis=-1))
    if modes.alpha == "sum":
        total = tf.reduce_sum(tf.where(counts, tf.sigmoid(logit), 0.0), axis=-1)
        real = tf.reduce_any(face_vertices != 0.0, axis=[-2, -1])  # [B, F]
        faces = tf.reduce_sum(tf.cast(real, logit.dtype), axis=-1, keepdims=True)
        return total / tf.maximum(faces, 1.0)
    return tf.cast(tf.reduce_any(counts & (logit > 0.0), axis=-1), logit.dtype)


def _pair_colors(pairs, face_colors):
    """Colours of faces at pixels, [B, P, F, C]; anything where they do not reach."""
    if face_colors.shape[2] == 3:
        parts = [
            weight[..., tf.newaxis] * face_colors[:, tf.newaxis, :, k]
            for k, weight in enumerate(pairs.weights)
        ]
        return parts[0] + parts[1] + parts[2]
    face = tf.range(tf.shape(face_colors)[1])
    face = tf.where(pairs.covers, face, -1)
    return sample_texels(face_colors, face, tf.stack(pairs.weights, axis=-1))


def _soft_colors(pairs, seen, colors, background, settings):
    """Softmax over depth, [B, P, C]."""
    blend, (near, far) = settings
    dtype = colors.dtype
    near, far = scalar(near, dtype), scalar(far, dtype)
    unit = (far - near) * scalar(blend.gamma, dtype)
    behind = far - 2.0 * scalar(blend.eps, dtype) * (far - near)
    # Depths are subtracted before they are divided by a small number: the order keeps
    # float32's digits and every exponential below 1.
    first = tf.where(seen, tf.stop_gradient(pairs.depth), behind)
    first = tf.minimum(tf.reduce_min(first, axis=-1, keepdims=True), behind)
    depth = tf.where(seen, pairs.depth, first)
    logit = (first - depth) / unit + tf.math.log_sigmoid(pairs.logit)
    share = tf.where(seen, tf.exp(logit), 0.0)  # [B, P, F]
    rest = tf.exp((first - behind) / unit)  # [B, P, 1]
    total = tf.reduce_sum(share, axis=-1, keepdims=True) + rest
    rgb = tf.reduce_sum(share[..., tf.newaxis] * colors, axis=-2)
    return (rgb + rest * background) / total


def _hard_colors(pairs, seen, colors, background, settings):
    """Colour of the nearest face, of equals the first: [B, P, C]."""
    del settings
    seen = seen & pairs.inside
    far = pairs.depth.dtype.max
    depth = tf.stop_gradient(tf.where(seen, pairs.depth, far))
    nearest = tf.reduce_min(depth, axis=-1, keepdims=True)
    count = tf.shape(colors)[-2]
    first = tf.where(seen & (depth == nearest), tf.range(count), count)
    first = tf.reduce_min(first, axis=-1, keepdims=True)  # [B, P, 1]
    winner = (tf.range(count) == first)[..., tf.newaxis]  # [B, P, F, 1]
    rgb = tf.reduce_sum(tf.where(winner, colors, 0.0), axis=-2)
    return tf.where(first < count, rgb, background)
