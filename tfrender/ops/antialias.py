"""Analytic edge anti-aliasing: the gradient of hard rasterisation at silhouettes.

Hard visibility is piecewise constant, so it has no gradient at the border of an
object. Here every pair of neighbour pixels that a silhouette edge parts is blended by
the place where the edge crosses the segment between their centres (Laine et al.,
"Modular primitives for high-performance differentiable rendering", 2020, section 3.6).
With t the distance of that place from the centre of the near pixel and s = t - 1/2,

    far pixel  += max(s, 0) (near colour - far colour),
    near pixel += max(-s, 0) (far colour - near colour).

t is a smooth function of the two ends of the edge. An edge steeper than 45 degrees
blends pairs in a row, a flatter one pairs in a column, so that the blended area is the
area under the edge. Where the weights |s| of one pixel sum to W > 1 (a part thinner
than a pixel) they are divided by W: results stay between the blended colours.
"""

import functools

import tensorflow as tf

from tfrender import checks
from tfrender.ops import forms
from tfrender.ops.antialias_edges import (
    along,
    flat_surface,
    parted_pairs,
    visit_edges,
)
from tfrender.ops.antialias_pairs import unlike_pairs
from tfrender.ops.rasterize import Fragments

_XLA_PAIRS = 512  # in one pass of the compiled form


def antialias(
    image: tf.Tensor,
    fragments: Fragments,
    clip_vertices: tf.Tensor,
    faces: tf.Tensor,
    *,
    opposite: tf.Tensor | None = None,
    form: str | None = None,
) -> tf.Tensor:
    """Blends the pixels on both sides of every silhouette edge.

    Args:
        image: [B, H, W, C] float, one value a pixel of the fragments (colour, mask,
            depth, normals). Shade first, blend afterwards: a mask applied later cuts
            the gradient off.
        fragments: Fragments of `rasterize`, of which `face_index` is read.
        clip_vertices: [B, V, 4] as rasterised; float64 stays float64.
        faces: [F, 3] or [B, F, 3] integers, -1 is padding.
        opposite: as faces, the result of `opposite_corners(faces)`. With it the
            surface is followed from the near pixel to the edge where it ends or folds
            back, over any number of faces smaller than a pixel; inner edges never
            blend. Without it the edge by which the near pixel's own face ends is
            taken, unless the far pixel's face shares it. That is exact where faces are
            larger than pixels; elsewhere silhouettes shift by parts of a pixel and
            some inner edges blend two colours of one surface.
        form: "xla", "graph" or None for the default of `forms`.

    Returns:
        [B, H, W, C], of the type of `image`.

    Gradient: exact in `image`; in `clip_vertices` the exact gradient of the blend,
    while which pixels blend, and by which edge, is constant. None flows to clip z, nor
    through the line in which two faces pierce each other or the near plane cuts one.
    Not differentiable twice. Memory: 16 C + 8 bytes a pixel, 24 bytes a face, 16 bytes
    a vertex, about 200 bytes a pair of one pass.

    Raises:
        ValueError: for wrong shapes, an image of integers or a capacity below 1.
    """
    index, *mesh = _checked(fragments, clip_vertices, faces, opposite, form)
    image = tf.convert_to_tensor(image)
    checks.rank("image", image, 4)
    checks.dims("image", image, index.shape[1], index.shape[2], None)
    if not image.dtype.is_floating:
        raise ValueError(f"`image` must be floating point; got {image.dtype.name}.")
    if forms.resolve(form) == "graph":
        return _blended(image, index, *mesh, _blend, _blend_gradients)
    return _traced_blended(image, index, *mesh, _xla_blend, _xla_blend_gradients)


def antialias_silhouette(
    fragments: Fragments,
    clip_vertices: tf.Tensor,
    faces: tf.Tensor,
    *,
    opposite: tf.Tensor | None = None,
    form: str | None = None,
) -> tf.Tensor:
    """Anti-aliased coverage of an object, differentiable in its vertices.

    Equals `antialias` of the mask at a fraction of the cost: only pairs of a covered
    and an empty pixel are visited.

    Args:
        fragments: as in `antialias`.
        clip_vertices: as in `antialias`.
        faces: as in `antialias`.
        opposite: as in `antialias`.
        form: as in `antialias`.

    Returns:
        alpha: [B, H, W] in [0, 1], of the type of `clip_vertices`.

    Gradient: in `clip_vertices`, as `antialias`. Memory: 12 bytes a pixel, 24 bytes a
    face, 16 bytes a vertex, about 200 bytes a pair of one pass.

    Raises:
        ValueError: for wrong shapes or an unknown form.
    """
    index, *mesh = _checked(fragments, clip_vertices, faces, opposite, form)
    if forms.resolve(form) == "graph":
        return _covered(index, *mesh, _cover, _cover_gradient)
    return _traced_covered(index, *mesh, _xla_cover, _xla_cover_gradient)


def _blended(image, index, clip, faces, opposite, forward, backward):
    """`antialias` by the two functions given."""

    @tf.custom_gradient
    def blend(image, clip):
        mesh = (index, clip, faces, opposite)
        blended, change, weight = forward(image, *mesh)
        return blended, lambda up: backward(up, image, change, weight, *mesh)

    return blend(image, clip)


def _covered(index, clip, faces, opposite, forward, backward):
    """`antialias_silhouette` by the two functions given."""

    @tf.custom_gradient
    def blend(clip):
        mesh = (index, clip, faces, opposite)
        alpha, weight = forward(*mesh)
        return alpha, lambda up: backward(up, weight, *mesh)

    return blend(clip)


# In a graph of their own, or an eager tape would record the loops inside.
_traced_blended = tf.function(_blended, autograph=False)
_traced_covered = tf.function(_covered, autograph=False)


def _cover(index, clip, faces, opposite, capacity=None):
    """Anti-aliased coverage [B, H, W] and the sum of the weights of each pixel."""
    covered = index >= 0
    surface = flat_surface(index, clip, faces, opposite)

    def add(edges, weight):
        s, _ = _crossing(surface, edges)
        return (_scatter(weight, _target(s, edges), tf.abs(s)),)

    weight = tf.zeros([tf.size(index)], clip.dtype)
    pairs = unlike_pairs(covered)
    (weight,) = visit_edges(surface, pairs, capacity, False, add, weight)
    weight = tf.reshape(weight, tf.shape(index))
    share = tf.minimum(weight, 1.0)
    return tf.where(covered, 1.0 - share, share), weight


def _cover_gradient(upstream, weight, index, clip, faces, opposite, capacity=None):
    """Gradient of the coverage in the clip coordinates."""
    surface = flat_surface(index, clip, faces, opposite)
    # Where weights are divided by their sum the pixel is constant.
    pull = tf.reshape(tf.where(weight <= 1.0, upstream, 0.0), [-1])

    def add(edges, total):
        s, ends = _crossing(surface, edges)
        slope = tf.gather(pull, _target(s, edges))
        return (_scatter_ends(total, edges, ends, slope),)

    pairs = unlike_pairs(index >= 0)
    total = tf.zeros_like(surface.clip)
    (total,) = visit_edges(surface, pairs, capacity, False, add, total)
    return tf.reshape(total[:-1], tf.shape(clip))


def _blend(image, index, clip, faces, opposite, capacity=None):
    """Blended image, and both results of `_changes`."""
    surface = flat_surface(index, clip, faces, opposite)
    pairs = parted_pairs(surface, unlike_pairs(index), capacity)
    change, weight = _changes(image, surface, pairs, capacity)
    return image + tf.reshape(change, tf.shape(image)), change, weight


def _blend_gradients(
    upstream, image, change, weight, index, clip, faces, opposite, capacity=None
):
    """Gradients of the blended image in the image and the clip coordinates."""
    surface = flat_surface(index, clip, faces, opposite)
    pairs = parted_pairs(surface, unlike_pairs(index), capacity)
    kept = (image, change, weight)
    return _change_gradients(upstream, kept, surface, pairs, capacity)


def _checked(fragments, clip, faces, opposite, form):
    """Checks the common arguments; returns index, clip, faces and opposite corners."""
    index = tf.convert_to_tensor(fragments.face_index)
    clip, faces = tf.convert_to_tensor(clip), tf.convert_to_tensor(faces)
    checks.rank("face_index", index, 3)
    checks.rank("clip_vertices", clip, 3)
    checks.dims("clip_vertices", clip, None, 4)
    checks.dims("faces", faces, None, 3)
    if opposite is not None:
        checks.rank("opposite", opposite, faces.shape.rank)
        checks.dims("opposite", opposite, faces.shape[-2], 3)
    if clip.dtype != tf.float64:
        clip = tf.cast(clip, tf.float32)
    index, faces = tf.cast(index, tf.int32), tf.cast(faces, tf.int32)
    if forms.resolve(form) == "xla":
        rows = faces.shape.rank - 2
        clip, faces = forms.pad_rows(clip, 1, 0.0), forms.pad_rows(faces, rows, -1)
        if opposite is not None:
            opposite = forms.pad_rows(tf.cast(opposite, tf.int32), rows, -1)
    return index, clip, faces, opposite


def _changes(image, surface, pairs, capacity):
    """What the blend adds to an image.

    Args:
        image: [B, H, W, C].
        surface: Surface.
        pairs: Pairs.
        capacity: of `antialias`.

    Returns:
        change: [B * H * W, C].
        weight: [B * H * W, 1], sum W of the weights of each pixel.
    """
    channels = image.shape[-1]
    colours = tf.reshape(image, [-1, channels])

    def add(edges, total):
        s, _ = _crossing(surface, edges)
        target = _target(s, edges)
        s = tf.cast(s, image.dtype)[:, tf.newaxis]
        step = tf.gather(colours, edges.near) - tf.gather(colours, edges.far)
        rows = tf.concat([s * step, tf.abs(s)], axis=-1)
        return (_scatter(total, target, rows),)

    total = tf.zeros([tf.shape(colours)[0], channels + 1], image.dtype)
    (total,) = visit_edges(surface, pairs, capacity, True, add, total)
    weight = total[:, -1:]
    return total[:, :-1] / tf.maximum(weight, 1.0), weight


def _change_gradients(upstream, kept, surface, pairs, capacity):
    """Gradients of the blended image.

    Args:
        upstream: [B, H, W, C].
        kept: image, and both results of `_changes`.
        surface: Surface.
        pairs: Pairs.
        capacity: of `antialias`.

    Returns:
        Gradients in the image and in the clip coordinates.
    """
    image, change, weight = kept
    channels = image.shape[-1]
    colours = tf.reshape(image, [-1, channels])
    upstream = tf.reshape(upstream, [-1, channels])

    def add(edges, to_image, to_clip):
        s, ends = _crossing(surface, edges)
        target = _target(s, edges)
        total = tf.gather(weight, target)  # [K, 1]
        pull = tf.gather(upstream, target) / tf.maximum(total, 1.0)  # [K, C]
        # A weight that grows takes from the others once they are divided by their sum.
        lost = tf.where(total > 1.0, pull * tf.gather(change, target), 0.0)
        step = tf.gather(colours, edges.near) - tf.gather(colours, edges.far)
        s = tf.cast(s, image.dtype)[:, tf.newaxis]
        slope = tf.reduce_sum(pull * step - tf.sign(s) * lost, axis=-1)
        to_image = _scatter(to_image, edges.near, s * pull)
        to_image = _scatter(to_image, edges.far, -s * pull)
        slope = tf.cast(slope, to_clip.dtype)
        return to_image, _scatter_ends(to_clip, edges, ends, slope)

    to_image, to_clip = visit_edges(
        surface,
        pairs,
        capacity,
        True,
        add,
        upstream,
        tf.zeros_like(surface.clip),
    )
    shape = tf.stack([tf.shape(image)[0], surface.strides[0], 4])
    return tf.reshape(to_image, tf.shape(image)), tf.reshape(to_clip[:-1], shape)


def _target(s, edges):
    """The pixel of each pair that changes, [K]."""
    return tf.where(s > 0.0, edges.far, edges.near)


def _scatter(total, index, rows):
    return tf.tensor_scatter_nd_add(total, index[:, tf.newaxis], rows)


def _crossing(surface, edges):
    """Place of the crossing and its derivatives; all zero where nothing blends.

    Args:
        surface: Surface.
        edges: Edges.

    Returns:
        s: [K] in [-1/2, 1/2], how far beyond the middle of the two centres.
        ends: for each end (a, b) the derivatives of s by clip x, y, w, each [K].
    """
    height, width = surface.image_size
    ua, va, wa, near_a = along(surface, edges, edges.a)
    ub, vb, wb, near_b = along(surface, edges, edges.b)
    d = va * wb - vb * wa
    flat = tf.abs(wa * ub - wb * ua)
    # On one side the equality counts too: 45 degrees belong to the rows.
    steep = tf.where(edges.vertical, d > flat, d >= flat)
    in_front = va * near_b - vb * near_a >= 0.0  # of the near plane, at the crossing
    blends = edges.found & steep & in_front & (d > 0.0)
    share = tf.where(blends, 1.0 / tf.where(blends, d, 1.0), 0.0)
    t = (ub * va - ua * vb) * share
    s = tf.where(blends, tf.clip_by_value(t - 0.5, -0.5, 0.5), 0.0)
    right, down = width / 2 - 0.5 - edges.column, height / 2 - 0.5 - edges.row
    ends = []
    for by_u, by_v, by_w in (
        (-vb, ub - t * wb, t * vb),
        (va, t * wa - ua, -t * va),
    ):
        by_u, by_v = by_u * share * edges.toward, by_v * share
        by_column = tf.where(edges.vertical, by_v, by_u)
        by_row = tf.where(edges.vertical, by_u, by_v)
        by_w = by_w * share + by_column * right + by_row * down
        ends.append((by_column * (width / 2), by_row * (-height / 2), by_w))
    return s, ends


def _scatter_ends(total, edges, ends, slope):
    """Adds slope times derivatives to the rows [R, 4] of both ends."""
    for vertex, (x, y, w) in zip((edges.a, edges.b), ends, strict=True):
        rows = tf.stack([x * slope, y * slope, tf.zeros_like(x), w * slope], axis=-1)
        total = _scatter(total, vertex, rows)
    return total


_xla_cover, _xla_cover_gradient, _xla_blend, _xla_blend_gradients = (
    forms.compiled(functools.partial(function, capacity=_XLA_PAIRS))
    for function in (_cover, _cover_gradient, _blend, _blend_gradients)
)
