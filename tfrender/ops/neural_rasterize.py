"""Hard rasterisation and its pictures by the rules of the Neural 3D Mesh Renderer.

Kato, Ushiku and Harada, "Neural 3D Mesh Renderer", CVPR 2018. Input are projected
faces: corner k is (x_k, y_k) in NDC, x right, y up, and its depth z_k in front of the
camera. What differs from `rasterize`:

- w_k are barycentric weights on the screen, clamped to [0, 1] and normalised again;
- the depth of a pixel is zp = 1 / (w_0 / z_0 + w_1 / z_1 + w_2 / z_2), and a face is
  seen only where near < zp < far;
- faces that run clockwise on screen are always culled;
- corners behind the camera are projected like any other.

The same holds in both: a pixel whose centre lies on an edge belongs to both faces, the
nearest face wins, and the smaller face index wins a tie.
"""

from typing import NamedTuple

import tensorflow as tf

from tfrender import cameras, checks
from tfrender.ops import forms
from tfrender.ops.edge_gradient import edge_gradient
from tfrender.ops.rasterize import rasterize
from tfrender.ops.rasterize_corners import face_corners, gather_rows


class NeuralFragments(NamedTuple):
    """What every pixel sees.

    Attributes:
        face_index: [B, H, W] int32, -1 where the pixel is empty.
        weights: [B, H, W, 3] float32, w_k on the screen, 0 where empty.
        barycentric: [B, H, W, 3] float32, perspective-correct, w_k zp / z_k, 0 where
            empty.
        depth: [B, H, W] float32, zp, `far` where empty.
        mask: [B, H, W] bool, True where a face is seen.
    """

    face_index: tf.Tensor
    weights: tf.Tensor
    barycentric: tf.Tensor
    depth: tf.Tensor
    mask: tf.Tensor


class NeuralImages(NamedTuple):
    """Pictures of one rendering.

    Attributes:
        rgb: [B, H, W, C] float32, or None where no colour was given.
        alpha: [B, H, W] float32, coverage, 0 or 1.
        depth: [B, H, W] float32, `far` where empty.
    """

    rgb: tf.Tensor | None
    alpha: tf.Tensor
    depth: tf.Tensor


def project_faces(
    camera: cameras.Camera, vertices: tf.Tensor, faces: tf.Tensor
) -> tf.Tensor:
    """Projects a mesh to the faces that `neural_rasterize` takes.

    Args:
        camera: Camera of batch B or 1; `cameras.from_neural_renderer` makes the
            original's.
        vertices: [B, V, 3] world coordinates.
        faces: [F, 3] or [B, F, 3] integers, -1 is padding.

    Returns:
        [B, F, 3, 3] x and y in NDC and depth in front of the camera. Corners behind the
        camera are projected through it. Padding, and faces with a corner in the plane
        of the camera, are zeros or have a depth of 0, and are not seen.

    Gradient: exact. Memory: 9 floats a face.
    """
    clip = cameras.project_to_clip(camera, vertices)
    w = clip[..., 3:]
    flat = tf.abs(w) < 1e-8
    depth = tf.where(flat, 0.0, cameras.view_depth(camera, vertices)[..., tf.newaxis])
    points = tf.where(flat, 0.0, clip[..., :2] / tf.where(flat, 1.0, w))
    return face_corners(tf.concat([points, depth], axis=-1), faces)


def neural_rasterize(
    face_vertices: tf.Tensor,
    image_size: tuple[int, int],
    *,
    near: float = 0.1,
    far: float = 100.0,
    max_lanes: int = 1 << 22,
    form: str | None = None,
) -> NeuralFragments:
    """Finds the nearest face at every pixel centre.

    Row 0 is the top row. Left out are clockwise faces, faces without area, faces with
    a corner in the plane of the camera (depth below 1e-9 of `near`) and faces with a
    NaN or infinity.

    Args:
        face_vertices: [B, F, 3, 3] float32, x and y in NDC and the depth of the corners
            of each face. Faces of zeros are padding.
        image_size: (height, width) in pixels, without supersampling.
        near: depth in front of which nothing is seen, above 0.
        far: depth beyond which nothing is seen, and the depth of empty pixels.
        max_lanes: of `rasterize`.
        form: "xla", "graph" or None for the default of `forms`.

    Returns:
        NeuralFragments.

    Gradient: `depth` is differentiable in `face_vertices`, exactly (weights move with
    x and y); weights and barycentrics are constants. Which face is seen is a constant;
    `neural_images` adds the published gradient of colour and coverage. Memory: that of
    `rasterize`, and 160 bytes a pixel.

    Raises:
        ValueError: for wrong shapes or settings out of range.
    """
    checks.rank("face_vertices", face_vertices, 4)
    checks.dims("face_vertices", face_vertices, None, 3, 3)
    checks.between("near", near, 1e-12, 1e12)
    checks.between("far", far, near, 1e30)
    face_vertices = tf.cast(face_vertices, tf.float32)
    index = _nearest_faces(
        tf.stop_gradient(face_vertices), image_size, near, max_lanes, form
    )
    finish = _compiled_fragments if forms.resolve(form) == "xla" else _fragments
    return NeuralFragments(*finish(index, face_vertices, tuple(image_size), near, far))


def neural_images(
    fragments: NeuralFragments,
    face_vertices: tf.Tensor,
    color: tf.Tensor | None = None,
    background=0.0,
    *,
    eps: float = 1e-3,
    max_lanes: int = 1 << 20,
    form: str | None = None,
) -> NeuralImages:
    """Makes colour, coverage and depth pictures with the published gradient.

    Colour and coverage share one sign test: with gradients into both, the result is
    not the sum of two calls. A picture that gets no gradient takes no part, so that
    reading `rgb` alone or `alpha` alone is as rendering that alone.

    Args:
        fragments: of `neural_rasterize`.
        face_vertices: [B, F, 3, 3], as given to `neural_rasterize`.
        color: [B, H, W, C] float32 colour of each pixel's face; not read where empty.
            None renders no colour.
        background: number, [C] or [B, C], seen where empty.
        eps: of `edge_gradient`. The original has 1e-3 for colour pictures and 1e-4 for
            silhouettes and depth.
        max_lanes: of `edge_gradient`.
        form: "xla", "graph" or None for the default of `forms`.

    Returns:
        NeuralImages.

    Gradient: exact in `color` and `background`; in x and y of `face_vertices` that of
    `edge_gradient` for colour and coverage, the exact one for depth, added. Depths of
    corners get a gradient from the depth picture only. Memory: that of `edge_gradient`.

    Raises:
        ValueError: for wrong shapes or settings out of range.
    """
    checks.rank("face_vertices", face_vertices, 4)
    checks.dims("face_vertices", face_vertices, None, 3, 3)
    mask = fragments.mask[..., tf.newaxis]
    image = tf.cast(mask, tf.float32)
    if color is not None:
        checks.rank("color", color, 4)
        background = tf.cast(background, tf.float32)
        if background.shape.rank == 2:
            background = background[:, tf.newaxis, tf.newaxis]
        rgb = tf.where(mask, tf.cast(color, tf.float32), background)
        image = tf.concat([rgb, image], axis=-1)
    image = edge_gradient(
        image,
        fragments.face_index,
        face_vertices[..., :2],
        eps=eps,
        max_lanes=max_lanes,
        form=form,
    )
    rgb = None if color is None else image[..., :-1]
    return NeuralImages(rgb, image[..., -1], fragments.depth)


def _nearest_faces(face_vertices, image_size, near, max_lanes, form):
    """Visible faces without the test for far, [B, H, W] int32.

    1 / depth is linear on the screen, so that the rules are those of an orthographic
    camera which sees 1 - 1 / (C z) as its depth: growing with z for z > 0, and beyond
    everything for z < 0. C is the largest 1 / z of the image item, for the best
    float32 resolution, but at most 1 / near: the plane 1 / z = C is the near plane.
    """
    x, y, z = tf.unstack(face_vertices, axis=-1)  # [B, F, 3]
    usable = (tf.abs(z) > 1e-9 * near) & tf.math.is_finite(z)
    usable &= tf.math.is_finite(x) & tf.math.is_finite(y)
    usable = tf.reduce_all(usable, axis=-1)  # [B, F]
    inverse = 1.0 / tf.where(usable[..., tf.newaxis], z, 1.0)
    largest = tf.reduce_max(
        tf.where(usable[..., tf.newaxis], inverse, 0.0), axis=[1, 2], keepdims=True
    )
    # Margins of a few roundings: the nearest corner must not be cut off, and a face
    # at `near` exactly is not seen and must not hide others.
    bound = tf.where(largest > 0.0, largest * (1.0 + 1e-6), 1.0)
    bound = tf.minimum(bound, (1.0 - 1e-6) / near)
    clip = tf.stack([x, y, -inverse / bound, tf.ones_like(x)], axis=-1)
    batch, count = tf.shape(x)[0], tf.shape(x)[1]
    faces = tf.reshape(tf.range(3 * count), [1, -1, 3])
    return rasterize(
        tf.reshape(clip, [batch, 3 * count, 4]),
        tf.where(usable[..., tf.newaxis], faces, -1),
        image_size,
        cull="back",
        max_lanes=max_lanes,
        form=form,
    ).face_index


def _fragments(index, face_vertices, image_size, near, far):
    """The fields of NeuralFragments for faces without the test for far [B, H, W]."""
    columns, weights, slope = _pixel_weights(index, face_vertices, image_size)
    z = tf.stop_gradient(columns[2])
    depth = _reciprocal(tf.reduce_sum(weights / z, axis=-1))
    # The nearest face is beyond `far` where all are; one rounding step at `near`.
    mask = (index >= 0) & (depth > near) & (depth < far)
    weights = tf.where(mask[..., tf.newaxis], weights, 0.0)
    return (
        tf.where(mask, index, -1),
        weights,
        weights * depth[..., tf.newaxis] / z,
        tf.where(mask, _live_depth(columns, weights, slope, mask), far),
        mask,
    )


_compiled_fragments = forms.compiled(_fragments)


def _pixel_weights(index, face_vertices, image_size):
    """Screen-space weights of the visible faces and their slopes.

    The released program takes the inverse of the corner matrix in absolute pixels,
    which costs small faces some float32 digits. So does this function: textures of
    small faces would differ visibly from the original otherwise.

    Args:
        index: [B, H, W] int32.
        face_vertices: [B, F, 3, 3].
        image_size: (height, width).

    Returns:
        columns: three [B, H, W, 3], live: x, y and z of the corners; z is 1 where
            empty.
        weights: [B, H, W, 3], constants.
        slope: two [B, H, W], constants: how sum_k w_k / z_k changes with the pixel's x
            and y in NDC.
    """
    height, width = image_size
    batch, count = tf.shape(face_vertices)[0], tf.shape(face_vertices)[1]
    shift = tf.range(batch)[:, tf.newaxis, tf.newaxis] * count
    rows = gather_rows(
        tf.reshape(face_vertices, [-1, 9]), tf.where(index < 0, -1, index + shift)
    )
    z = tf.where((index < 0)[..., tf.newaxis], 1.0, rows[..., 2::3])
    columns = (rows[..., 0::3], rows[..., 1::3], z)
    x, y, z = (tf.stop_gradient(value) for value in columns)
    x0, x1, x2 = tf.unstack((width * x + (width - 1.0)) * 0.5, axis=-1)
    y0, y1, y2 = tf.unstack((height * y + (height - 1.0)) * 0.5, axis=-1)
    area = x2 * (y0 - y1) + x0 * (y1 - y2) + x1 * (y2 - y0)
    solid = (area != 0.0)[..., tf.newaxis]
    area = tf.where(solid, area[..., tf.newaxis], 1.0)
    along_x = tf.stack([y1 - y2, y2 - y0, y0 - y1], axis=-1) / area
    along_y = tf.stack([x2 - x1, x0 - x2, x1 - x0], axis=-1) / area
    origin = [x1 * y2 - x2 * y1, x2 * y0 - x0 * y2, x0 * y1 - x1 * y0]
    column = tf.range(width, dtype=tf.float32)[:, tf.newaxis]
    row = tf.range(height - 1, -1, -1, dtype=tf.float32)[:, tf.newaxis, tf.newaxis]
    weights = along_x * column + along_y * row + tf.stack(origin, axis=-1) / area
    weights = tf.clip_by_value(weights, 0.0, 1.0)
    total = tf.reduce_sum(weights, axis=-1, keepdims=True)
    solid &= total > 0.0  # a sliver that rounds to nothing shows its middle
    weights = tf.where(solid, weights / tf.where(solid, total, 1.0), 1.0 / 3.0)
    slope = [
        tf.where(solid[..., 0], tf.reduce_sum(along / z, axis=-1) * (size / 2.0), 0.0)
        for along, size in ((along_x, width), (along_y, height))
    ]
    return columns, weights, slope


def _live_depth(columns, weights, slope, mask):
    """Depth of the seen pixels, [B, H, W], with its exact gradient.

    Corner k carries the pixel's point along by w_k; the pixel stays where it is, so
    that the weights change as if it had moved the other way.
    """
    x, y, z = columns
    # Where nothing is seen z can be anything, and 0 / z^2 in the gradient no number.
    inverse = tf.reduce_sum(weights / tf.where(mask[..., tf.newaxis], z, 1.0), axis=-1)
    for value, steepness in ((x, slope[0]), (y, slope[1])):
        moved = tf.reduce_sum(weights * value, axis=-1)
        inverse -= tf.where(mask, steepness, 0.0) * (moved - tf.stop_gradient(moved))
    return _reciprocal(inverse)


def _reciprocal(value):
    """1 / value, and 1 where that is infinite."""
    return 1.0 / tf.where(value == 0.0, 1.0, value)
