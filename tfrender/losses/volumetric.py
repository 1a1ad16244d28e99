"""Losses of Differentiable Volumetric Rendering (Niemeyer et al., CVPR 2020).

A step draws pixels and points (`draw`), finds the surface behind the pixels
(`ops.implicit_surface`) and compares (`volumetric_losses`). Sections 3.3 of the paper
and the published code, whose sums run over all rays of a picture: the scale of a loss
grows with their number unless `reduction` is "mean".
"""

import functools
from typing import NamedTuple

import tensorflow as tf

from tfrender import cameras, checks
from tfrender.ops.field_normals import STEP, central_normals, unit_gradient
from tfrender.ops.field_query import FieldQuery
from tfrender.ops.implicit_surface import (
    Surface,
    SurfaceSettings,
    implicit_surface,
    scatter,
    select,
)
from tfrender.ops.ray_cube import ray_cube
from tfrender.ops.sample_rays import (
    look_up_pixels,
    sample_object_pixels,
    sample_on_rays,
    sample_pixels,
)

REDUCTIONS = ("sum", "mean")
DEPTH_LOSSES = ("planar", "points")
_OUTLINE = 4  # pixels
NORMALS = ("analytic", "central")


class Weights(NamedTuple):
    """Weights of the terms. What has weight 0 is not computed, nor shown."""

    rgb: float = 1.0
    depth: float = 0.0
    normal: float = 0.05
    freespace: float = 1.0
    occupied: float = 1.0
    image_gradients: float = 0.0
    sparse_depth: float = 0.0


class VolumetricSettings(NamedTuple):
    """Everything about the losses but the shape and the data.

    Attributes:
        weights: of the terms.
        reduction: "sum" over the rays of a picture, or "mean" over the selected rays
            of the whole batch, of all replicas.
        patch_size: side of the square patches that pixels are drawn in.
        continuous: patches begin anywhere, not at pixel centres.
        object_share: share of the rays that are drawn within 4 pixels of the object
            in place of anywhere; 0 is the published sampling. Single rays only.
        depth_loss: "planar" |depth - target|, or "points", distance of the points.
        always_freespace: False takes background rays only where the shape is in the
            way.
        use_cube: points are drawn inside the cube, where rays meet it.
        outside_far: depth up to which they are drawn elsewhere.
        occupancy_normal: points behind the silhouette are drawn around the middle.
        occupied_at_depth: where a depth has a weight, points behind the silhouette lie
            there, as published; False draws them like the others, which finds thin
            shapes more surely.
        normals: by "central" differences, as published, or "analytic": a fifth of the
            work, but a network of ReLUs has piecewise constant normals, whose analytic
            gradient says how far they jump and not where: the term is then a much
            weaker one.
        occupied_half_size: of the cube in which points behind the silhouette are drawn.
    """

    weights: Weights = Weights()
    reduction: str = "sum"
    patch_size: int = 1
    continuous: bool = False
    object_share: float = 0.0
    depth_loss: str = "planar"
    always_freespace: bool = True
    use_cube: bool = True
    outside_far: float = 2.4
    occupancy_normal: bool = False
    occupied_at_depth: bool = True
    normals: str = "central"
    occupied_half_size: float = 0.5

    def check(self) -> None:
        """Raises ValueError for a setting that is not known."""
        checks.between("object_share", self.object_share, 0.0, 1.0)
        if self.object_share and self.patch_size > 1:
            raise ValueError(
                "`object_share` must be 0 with patches; got "
                f"{self.object_share} and `patch_size` {self.patch_size}."
            )
        checks.one_of("reduction", self.reduction, REDUCTIONS)
        checks.one_of("depth_loss", self.depth_loss, DEPTH_LOSSES)
        checks.one_of("normals", self.normals, NORMALS)


class Views(NamedTuple):
    """Pictures with cameras, and what is known of each pixel.

    Attributes:
        camera: of batch B.
        image: [B, H, W, 3].
        mask: [B, H, W, 1], above one half on the object.
        depth: [B, H, W, 1] planar depth, 0 where it is not known; None without.
        hull_depth: the same, of the visual hull: a place where the object may well be.
        sparse: dict of points with known depth, "pixels" [B, M, 2], "points" [B, M, 3],
            "depth" [B, M] and "mask" [B, M]; None without.
    """

    camera: cameras.Camera
    image: tf.Tensor
    mask: tf.Tensor
    depth: tf.Tensor | None = None
    hull_depth: tf.Tensor | None = None
    sparse: dict | None = None

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width)."""
        return tuple(self.image.shape[1:3])


class Draws(NamedTuple):
    """The random part of a step.

    Attributes:
        pixels: [B, N, 2] (x, y) in pixels.
        free_points: [B, N, 3] on the rays; used behind background pixels.
        occupied_points: [B, N, 3]; used behind pixels of the object.
        offsets: [B, N, 3] to a neighbour of each surface point.
    """

    pixels: tf.Tensor
    free_points: tf.Tensor
    occupied_points: tf.Tensor
    offsets: tf.Tensor


def draw(
    seed: tf.Tensor,
    views: Views,
    rays: int,
    settings: VolumetricSettings,
    half_size: float = 0.55,
) -> Draws:
    """Draws the pixels and points of a step.

    Args:
        seed: [2] integers.
        views: the pictures.
        rays: N, pixels a picture; see `ops.sample_pixels`.
        settings: of the losses.
        half_size: of the cube that rays are marched in.

    Returns:
        Draws. Where a hull depth is known (or a depth, and it has a weight), points
        behind the silhouette lie exactly there.
    """
    settings.check()
    # Every draw has a seed of its own.
    keys = [tf.random.experimental.stateless_fold_in(seed, i) for i in range(5)]
    near = round(settings.object_share * rays)
    parts = []
    if near < rays:
        parts.append(
            sample_pixels(
                keys[0],
                tf.shape(views.image)[0],
                rays - near,
                views.image_size,
                patch_size=settings.patch_size,
                continuous=settings.continuous,
            )
        )
    if near:
        parts.append(sample_object_pixels(keys[4], views.mask, near, _OUTLINE))
    pixels = tf.concat(parts, axis=1)
    origins, directions = cameras.pixel_rays(views.camera, pixels, views.image_size)
    common = {"outside_far": settings.outside_far, "use_cube": settings.use_cube}
    free = sample_on_rays(keys[1], origins, directions, half_size, **common)
    occupied = sample_on_rays(
        keys[2],
        origins,
        directions,
        settings.occupied_half_size,
        normal=settings.occupancy_normal,
        **common,
    )
    # Rays that only touch the padding have no span in the smaller cube.
    wide = sample_on_rays(keys[2], origins, directions, half_size, **common)
    small = ray_cube(origins, directions, settings.occupied_half_size)
    occupied = tf.where(small.hit[..., tf.newaxis], occupied, wide)
    known = views.hull_depth
    if known is None and settings.weights.depth and settings.occupied_at_depth:
        known = views.depth
    if known is not None:
        depth = look_up_pixels(known, pixels)  # [B, N, 1]
        occupied = tf.where(depth > 0.0, origins + depth * directions, occupied)
    offsets = tf.random.stateless_uniform(tf.shape(free), keys[3], -0.5, 0.5)
    return Draws(pixels, free, tf.stop_gradient(occupied), STEP * offsets)


def volumetric_losses(
    query: FieldQuery,
    views: Views,
    draws: Draws,
    settings: VolumetricSettings | None = None,
    surface_settings: SurfaceSettings | None = None,
    form: str = "graph",
) -> tuple[dict[str, tf.Tensor], Surface]:
    """Compares a shape with pictures at drawn pixels.

    Args:
        query: the shape; see `ops.field_query.query`.
        views: the pictures.
        draws: see `draw`.
        settings: VolumetricSettings; None takes its defaults.
        surface_settings: SurfaceSettings; None takes its defaults.
        form: see `ops.march_rays`.

    Returns:
        the weighted terms, name -> [B]; their sum is the loss. "rgb" |colour - image|
        on rays that meet the shape inside the mask; "depth" and "normal" on the same
        rays and on all that meet the shape; "freespace" and "occupied" cross
        entropies on background rays and on rays inside the mask that meet nothing;
        "image_gradients" on whole patches; "sparse_depth". And the surface.

    Gradient: exact to the field but for masks and drawn points. Finite for a shape
    that no ray meets. Memory: a few evaluations of the field for every ray.
    """
    settings = settings or VolumetricSettings()
    settings.check()
    surface_settings = surface_settings or SurfaceSettings()
    weights = settings.weights
    pixels = draws.pixels
    origins, directions = cameras.pixel_rays(views.camera, pixels, views.image_size)
    colored = bool(weights.rgb or weights.image_gradients)
    surface = implicit_surface(
        query, origins, directions, surface_settings, colors=colored, form=form
    )
    read = functools.partial(look_up_pixels, legacy=surface_settings.legacy)
    inside = read(views.mask, pixels)[..., 0] > 0.5  # [B, N]
    sums = _Sums(surface.mask, settings.reduction)
    terms = {}
    on_object = tf.logical_and(
        surface.valid, tf.gather(tf.reshape(inside, [-1]), surface.ray)
    )
    if colored:
        target = read(views.image, pixels)
        terms |= _color_terms(surface, target, inside, on_object, settings)
    if weights.depth:
        _need("depth", views.depth)
        depth = tf.reshape(read(views.depth, pixels), [-1])
        error, known = _depth_error(surface, (origins, directions), depth, settings)
        terms["depth"] = weights.depth * sums.of(
            error, surface.item, tf.logical_and(on_object, known)
        )
    if weights.normal:
        terms["normal"] = weights.normal * _normal_smoothness(
            query, surface, draws.offsets, sums, settings.normals
        )
    if weights.freespace or weights.occupied:
        terms |= _occupancy_terms(
            query,
            surface,
            inside,
            draws,
            (origins, directions),
            (settings, surface_settings, form),
        )
    if weights.sparse_depth:
        terms["sparse_depth"] = weights.sparse_depth * _sparse_depth(
            query, views, settings, surface_settings, form
        )
    return terms, surface


class _Sums:
    """Adds values of selected rays up, one number for each item of the batch."""

    def __init__(self, like, reduction):
        self._batch, self._mean = tf.shape(like)[0], reduction == "mean"

    def of(self, values, item, selected, mean=None):
        """[B] of values [n], their items and which count; `mean` False: always sums."""
        values = tf.where(selected, values, 0.0)
        total = tf.math.unsorted_segment_sum(values, item, self._batch)
        if self._mean if mean is None else mean:
            count = tf.math.count_nonzero(selected, dtype=tf.float32)
            replica = tf.distribute.get_replica_context()
            if replica is not None and replica.num_replicas_in_sync > 1:
                count = replica.all_reduce("SUM", count)
            total /= tf.maximum(count, 1.0)
        return total


def _need(name, value):
    if value is None:
        raise ValueError(
            f"`views.{name}` must be given where its loss has a weight; got None."
        )


def _color_terms(surface, target, inside, on_object, settings):
    """Colours [B, N, 3] of the picture against those of the surface."""
    weights, terms = settings.weights, {}
    colors = tf.sigmoid(surface.logits)
    if weights.rgb:
        near = tf.gather(tf.reshape(target, [-1, 3]), surface.ray)
        error = tf.reduce_sum(tf.abs(colors - near), axis=-1)
        sums = _Sums(surface.mask, settings.reduction)
        terms["rgb"] = weights.rgb * sums.of(error, surface.item, on_object)
    if weights.image_gradients:
        terms["image_gradients"] = weights.image_gradients * _image_gradients(
            surface, colors, target, inside, settings.patch_size
        )
    return terms


def _length(vectors):
    """Length of vectors, with no gradient at 0."""
    square = tf.reduce_sum(vectors**2, axis=-1)
    none = square <= 0.0
    return tf.where(none, 0.0, tf.sqrt(tf.where(none, 1.0, square)))


def _depth_error(surface, rays, depth, settings):
    """Errors [n] of the surface's depth, and where the depth is known."""
    target = tf.gather(depth, surface.ray)
    if settings.depth_loss == "planar":
        return tf.abs(surface.depth - target), target > 0.0
    origin, direction = (
        tf.gather(tf.reshape(array, [-1, 3]), surface.ray) for array in rays
    )
    there = origin + target[:, tf.newaxis] * direction
    return _length(surface.points - tf.stop_gradient(there)), target > 0.0


def _normal_smoothness(query, surface, offsets, sums, normals):
    """|n(p) - n(p + offset)| on all rays that meet the surface; always a sum."""
    offset = tf.gather(tf.reshape(offsets, [-1, 3]), surface.ray)
    points = tf.stop_gradient(surface.points)
    beside = points + offset
    if normals == "central":
        first = central_normals(query, points, surface.item)
        second = central_normals(query, beside, surface.item)
    else:
        first = unit_gradient(surface.gradient)
        second = unit_gradient(query.occupancy_and_gradient(beside, surface.item)[1])
    return sums.of(_length(first - second), surface.item, surface.valid, mean=False)


def _image_gradients(surface, colors, target, inside, size):
    """Differences of neighbours in the picture, in patches that lie on the object."""
    if size < 2:
        raise ValueError(
            f"`patch_size` must be 2 or more for image gradients; got {size}."
        )
    batch = tf.shape(inside)[0]
    drawn = scatter(surface.ray, surface.valid, colors, tf.unstack(tf.shape(inside)))
    whole = tf.logical_and(inside, surface.mask)
    patches = [batch, -1, size, size]
    whole = tf.reduce_all(tf.reshape(whole, patches), axis=[2, 3])  # [B, P]
    differences = []
    for picture in (target, drawn):
        patch = tf.reshape(picture, [*patches, 3])  # x before y
        corner = patch[:, :, 0, 0]
        pair = patch[:, :, 1, 0] - corner, patch[:, :, 0, 1] - corner
        differences.append(tf.stack(pair, axis=-1))  # [B, P, 3, 2]
    error = tf.reduce_sum(_length(differences[0] - differences[1]), axis=-1)
    return tf.reduce_sum(tf.where(whole, error, 0.0), axis=1)


def _occupancy_terms(query, surface, inside, draws, rays, modes):
    """Cross entropies where the shape should be empty, and where it should be full."""
    settings, surface_settings, form = modes
    weights = settings.weights
    shape = tf.unstack(tf.shape(inside))
    seen = scatter(surface.ray, surface.valid, tf.stop_gradient(surface.points), shape)
    free_points = tf.where(surface.mask[..., tf.newaxis], seen, draws.free_points)
    background = tf.logical_not(inside)
    if not settings.always_freespace:
        background = tf.logical_and(background, surface.mask)
    missing = tf.logical_and(inside, tf.logical_not(surface.mask))
    if surface_settings.outside_range is None:
        # Beyond the cube nothing is ever drawn.
        background = tf.logical_and(background, surface.marched)
        missing = tf.logical_and(missing, surface.marched)
    groups = [
        ("freespace", background, free_points, 0.0),
        ("occupied", missing, draws.occupied_points, 1.0),
    ]
    if not surface_settings.legacy:
        # A shape that reaches the border of the cube hides everything behind it.
        first = rays[0] + surface.near[..., tf.newaxis] * rays[1]
        groups.append(("border", surface.starts_inside, first, 0.0))
    points, items, labels, parts = [], [], [], []
    item = tf.repeat(tf.range(shape[0]), shape[1])
    for name, mask, where, label in groups:
        index, valid = select(mask, form)
        points.append(tf.gather(tf.reshape(where, [-1, 3]), index))
        items.append(tf.gather(item, index))
        labels.append(tf.fill(tf.shape(index), label))
        parts.append((name, valid))
    logits = query.occupancy(tf.concat(points, axis=0), tf.concat(items, axis=0))
    errors = tf.nn.sigmoid_cross_entropy_with_logits(tf.concat(labels, axis=0), logits)
    errors = tf.split(errors, [tf.size(valid) for _, valid in parts])
    sums = _Sums(inside, settings.reduction)
    found = {
        name: sums.of(error, item, valid)
        for (name, valid), error, item in zip(parts, errors, items, strict=True)
    }
    found["freespace"] += found.pop("border", 0.0)
    return {
        name: getattr(weights, name) * value
        for name, value in found.items()
        if getattr(weights, name)
    }


def _sparse_depth(query, views, settings, surface_settings, form):
    """Errors at points whose depth is known, one ray each."""
    sparse = views.sparse
    _need("sparse", sparse)
    origins, directions = cameras.pixel_rays(
        views.camera, sparse["pixels"], views.image_size
    )
    surface = implicit_surface(
        query, origins, directions, surface_settings, colors=False, form=form
    )
    if settings.depth_loss == "planar":
        target = tf.gather(tf.reshape(sparse["depth"], [-1]), surface.ray)
        error = tf.abs(surface.depth - target)
    else:
        target = tf.gather(tf.reshape(sparse["points"], [-1, 3]), surface.ray)
        error = _length(surface.points - target)
    real = tf.gather(tf.reshape(sparse["mask"], [-1]), surface.ray) > 0.5
    sums = _Sums(surface.mask, settings.reduction)
    return sums.of(error, surface.item, tf.logical_and(surface.valid, real))
