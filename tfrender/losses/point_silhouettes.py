"""Scores projected points against silhouettes, without rendering: losses of DRWR.

Han, Chen, Liu and Zwicker, "DRWR: A Differentiable Renderer without Rendering for
Unsupervised 3D Structure Learning from Silhouette Images", ICML 2020. A unary term
draws every projected point into the silhouette, a pairwise one keeps the points in it
apart. These terms are one value per picture, so that a choice among poses can be made
of them. Two more, of our own, act on the points of an object in space: they draw them
to the surface.
"""

import math
from typing import NamedTuple

import tensorflow as tf

from tfrender import cameras, checks
from tfrender.ops.floating import as_float
from tfrender.ops.gaussian_sums import gaussian_sums
from tfrender.ops.nearest_points import nearest_points
from tfrender.ops.project_points import frame_coordinates, project_points
from tfrender.ops.sample_rings import sample_rings
from tfrender.ops.smooth_silhouette import FAR, signed_distance, smooth_silhouette

# Pixels a side to which the width of the pair potential refers.
_WIDTH_GRID = 32.0


class PointLossSettings(NamedTuple):
    """Weights and constants of `point_silhouette_losses`.

    Attributes:
        unary, pair, sum, entropy, frame: weights of the terms.
        surface, spread: weights of `surface_loss` and `spread_loss`, which
            `point_cloud_losses` adds.
        grid: pixels a side of the pictures that points are read from; divides the size
            of the silhouettes. The release has 32.
        pair_width: squared pixels at a grid of 32 over which the repulsion falls to
            1 / e; the square grows in proportion to the grid, as released.
        pair_bias: exponent of the repulsion where no pixel is foreground.
        rings: rings whose mean foreground adds up to 1 to that exponent.
        aligned: places and pictures as `ops.frame_coordinates` says; silhouettes are
            averaged down to the grid. False is the release: every s-th pixel.
        constant_weights: True keeps the weights of the pair term (is the point inside,
            how deep) out of the gradient, which else drives points out of the
            silhouette.
    """

    unary: float = 1.0
    pair: float = 0.003
    sum: float = 0.0
    entropy: float = 0.0
    frame: float = 4.0
    surface: float = 0.0
    spread: float = 0.0
    grid: int = 128
    pair_width: float = 5.0
    pair_bias: float = 3.5
    rings: int = 5
    aligned: bool = True
    constant_weights: bool = True


# The released weights let the repulsion win: points leave the silhouette until the
# frame's clip takes their gradient away. They are kept for comparison.
POINT_LOSS_PRESETS = {
    "balanced": PointLossSettings(),
    "surface": PointLossSettings(surface=20.0, spread=0.0017),
    "release": PointLossSettings(
        pair=3.0, frame=0.0, grid=32, aligned=False, constant_weights=False
    ),
}


class SilhouetteGrids(NamedTuple):
    """Silhouettes on the grid of the losses, row 0 at the bottom.

    Attributes:
        mask: [V, G, G, 1] in [0, 1].
        smooth: [V, G, G, 1], see `ops.smooth_silhouette`.
    """

    mask: tf.Tensor
    smooth: tf.Tensor


def silhouette_grids(
    mask: tf.Tensor,
    smooth: tf.Tensor | None = None,
    *,
    grid: int = 128,
    aligned: bool = True,
) -> SilhouetteGrids:
    """Brings silhouettes to the grid of the losses.

    Args:
        mask: [V, S, S, 1], foreground above 0.5, row 0 at the top.
        smooth: [V, S, S, 1] of `ops.smooth_silhouette`; None computes it.
        grid: pixels a side, divides S.
        aligned: True averages the pixels of a cell, False takes its first one (as the
            resize of the release does).

    Returns:
        `SilhouetteGrids`.

    Gradient: none wanted.

    Raises:
        ValueError: for wrong shapes, or a grid that does not divide the size.
    """
    mask = tf.cast(mask, tf.float32)
    checks.rank("mask", mask, 4)
    height, width = mask.shape[1], mask.shape[2]
    if height != width or height is None or height % grid:
        raise ValueError(
            f"`mask` must be square, of a size that {grid} divides; got shape "
            f"{mask.shape.as_list()}."
        )
    checks.dims("mask", mask, 1)
    if smooth is None:
        smooth = smooth_silhouette(mask)
    checks.dims("smooth", smooth, height, width, 1)
    step = height // grid

    def bring(picture):
        if aligned:
            picture = tf.reshape(picture, [-1, grid, step, grid, step, 1])
            picture = tf.reduce_mean(picture, axis=(2, 4))
        else:
            picture = picture[:, ::step, ::step]
        return picture[:, ::-1]

    return SilhouetteGrids(bring(mask), bring(tf.cast(smooth, tf.float32)))


def point_silhouette_losses(
    xy: tf.Tensor,
    grids: SilhouetteGrids,
    settings: PointLossSettings = POINT_LOSS_PRESETS["balanced"],
) -> dict[str, tf.Tensor]:
    """All terms of DRWR's loss whose weight is not 0, picture by picture.

    Args:
        xy: [V, N, 2] projected points in the frame, see `ops.project_points`.
        grids: `SilhouetteGrids` of the V pictures, made with the same settings.
        settings: weights and constants.

    Returns:
        dict of [V]: `total`, and unweighted `unary`, `pair`, `sum`, `entropy`, `frame`.

    Gradient: exact in `xy`, but for what `constant_weights` keeps out of it. Memory:
    100 bytes a point and ring, and that of `ops.gaussian_sums`.

    Raises:
        ValueError: for wrong shapes, or grids of another size.
    """
    xy = as_float(xy)
    checks.rank("xy", xy, 3)
    checks.dims("grids.mask", grids.mask, settings.grid, settings.grid, 1)
    places = frame_coordinates(xy, settings.grid, aligned=settings.aligned)
    terms = {}
    if settings.unary:
        terms["unary"] = unary_loss(places, grids.smooth)
    if settings.pair or settings.sum or settings.entropy:
        rings = sample_rings(grids.mask, places, settings.rings)
        if settings.constant_weights:
            rings = tf.stop_gradient(rings)
        inside = rings[..., 0]
        if settings.pair:
            bias = settings.pair_bias + tf.reduce_mean(rings, axis=-1)
            terms["pair"] = pair_loss(
                places, inside, bias, settings.pair_width * settings.grid / _WIDTH_GRID
            )
        if settings.sum:
            terms["sum"] = sum_loss(places, inside, settings.grid)
        if settings.entropy:
            terms["entropy"] = entropy_loss(places, inside, settings.grid)
    if settings.frame:
        terms["frame"] = frame_loss(xy)
    total = sum(getattr(settings, name) * value for name, value in terms.items())
    return {"total": total, **terms}


def point_cloud_losses(
    points: tf.Tensor,
    camera: cameras.Camera,
    mask: tf.Tensor,
    distance: tf.Tensor,
    settings: PointLossSettings = POINT_LOSS_PRESETS["balanced"],
    *,
    progress=1.0,
) -> dict[str, tf.Tensor]:
    """The whole loss of point clouds seen from known cameras, object by object.

    Args:
        points: [B, N, 3] world coordinates.
        camera: Camera of batch B V, the views of an object one after the other.
        mask: [B, V, S, S, 1], foreground above 0.5, row 0 at the top.
        distance: [B, V, S, S, 1] of `ops.distance_to_contour`.
        settings: weights and constants.
        progress: factor of the terms `surface` and `spread`, in [0, 1]: they help once
            the points have found their silhouettes. A number or a scalar tensor.

    Returns:
        dict of [B]: `total`, and unweighted each term whose weight is not 0.

    Gradient: exact in points and camera, but for what `constant_weights` keeps out.
    Memory: as the terms.

    Raises:
        ValueError: for wrong shapes, or a grid that does not divide the size.
    """
    points, mask = as_float(points), tf.cast(mask, tf.float32)
    checks.rank("mask", mask, 5)
    checks.dims("distance", distance, *mask.shape[1:])
    views, side = tf.shape(mask)[1], mask.shape[2]
    flat_mask = tf.reshape(mask, [-1, *mask.shape[2:]])
    flat_distance = tf.reshape(distance, [-1, *mask.shape[2:]])
    grids = silhouette_grids(
        flat_mask,
        smooth_silhouette(flat_mask, flat_distance),
        grid=settings.grid,
        aligned=settings.aligned,
    )
    xy, _ = project_points(points, camera)
    by_view = point_silhouette_losses(xy, grids, settings)
    terms = {
        name: tf.reduce_mean(tf.reshape(value, [-1, views]), axis=1)
        for name, value in by_view.items()
    }
    if settings.surface:
        inside = inside_distance(flat_mask, flat_distance)
        terms["surface"] = surface_loss(
            tf.reshape(xy, tf.stack([-1, views, points.shape[1], 2])),
            tf.reshape(inside, tf.stack([-1, views, side, side, 1])),
        )
    if settings.spread:
        terms["spread"] = spread_loss(points)
    for name in ("surface", "spread"):
        if name in terms:
            terms["total"] += progress * getattr(settings, name) * terms[name]
    return terms


def unary_loss(places: tf.Tensor, smooth: tf.Tensor) -> tf.Tensor:
    """mean_i |1 - S(x_i)|: how far the points are from the silhouette.

    Args:
        places: [V, N, 2] of `ops.frame_coordinates`.
        smooth: [V, G, G, 1], row 0 at the bottom.

    Returns:
        [V].

    Gradient: exact in `places`.
    """
    return tf.reduce_mean(tf.abs(1.0 - sample_rings(smooth, places)[..., 0]), axis=-1)


def pair_loss(
    places: tf.Tensor, inside: tf.Tensor, bias: tf.Tensor, square_width: float
) -> tf.Tensor:
    """mean_i w_i mean_j w_j exp(-|x_i - x_j|^2 / width^2 + b_i): points repel.

    Args:
        places: [V, N, 2] pixels.
        inside: w [V, N], the mask at the points.
        bias: b [V, N], larger deep inside than near the outline.
        square_width: width^2, squared pixels.

    Returns:
        [V].

    Gradient: exact in all three tensors. Memory: as `ops.gaussian_sums`.
    """
    return tf.reduce_mean(inside * pair_rows(places, inside, bias, square_width), -1)


def pair_rows(places, inside, bias, square_width) -> tf.Tensor:
    """mean_j w_j exp(-|x_i - x_j|^2 / width^2 + b_i); times w_i in `pair_loss`.

    Args:
        places: [V, N, 2] pixels.
        inside: w [V, N].
        bias: b [V, N].
        square_width: width^2, squared pixels.

    Returns:
        [V, N].
    """
    count = tf.cast(tf.shape(places)[1], places.dtype)
    return gaussian_sums(places, inside, square_width) * tf.exp(bias) / count


def sum_loss(places: tf.Tensor, inside: tf.Tensor, grid: int) -> tf.Tensor:
    """-mean_i w_i mean_j w_j |x_i - x_j|^2 / G: points part without bound.

    Args:
        places: [V, N, 2] pixels.
        inside: w [V, N].
        grid: G, pixels a side.

    Returns:
        [V], at most 0.

    Gradient: exact in both tensors. Memory: 20 bytes a point; by moments, no pairs.
    """
    return -tf.reduce_mean(inside * _mean_squares(places, inside, grid), axis=-1)


def entropy_loss(places: tf.Tensor, inside: tf.Tensor, grid: int) -> tf.Tensor:
    """-sum_i p_i (-ln p_i), p the share of a point in the sums of `sum_loss`.

    With t_i = clip(w_i s_i, 1e-5, G) and p_i = t_i / sum t; an even spread is best.

    Args:
        places: [V, N, 2] pixels.
        inside: w [V, N].
        grid: G, pixels a side.

    Returns:
        [V], at most 0.

    Gradient: exact in both tensors, none where the clip holds.
    """
    amount = inside * _mean_squares(places, inside, grid)
    amount = tf.clip_by_value(amount, 1e-5, float(grid))
    share = amount / tf.reduce_sum(amount, axis=-1, keepdims=True)
    return tf.reduce_sum(share * tf.math.log(share), axis=-1)


def _mean_squares(places, inside, grid):
    """s_i = mean_j w_j |x_i - x_j|^2 / G, [V, N]."""
    # Around the middle of the picture, where the moments are small.
    places = places - 0.5 * (grid - 1)
    count = tf.cast(tf.shape(places)[1], places.dtype)
    square = tf.reduce_sum(places**2, axis=-1)
    weighted = inside[..., tf.newaxis] * places
    first = tf.reduce_sum(weighted, axis=1, keepdims=True)
    mass = tf.reduce_sum(inside, axis=-1, keepdims=True)
    second = tf.reduce_sum(inside * square, axis=-1, keepdims=True)
    sums = mass * square - 2.0 * tf.reduce_sum(places * first, axis=-1) + second
    return tf.maximum(sums, 0.0) / (count * grid)


def frame_loss(xy: tf.Tensor) -> tf.Tensor:
    """mean_i relu(|X_i| - 0.5) + relu(|Y_i| - 0.5), halved: brings back lost points.

    Reading a picture has no gradient outside of it; this term has.

    Args:
        xy: [V, N, 2] in the frame.

    Returns:
        [V], frame widths.

    Gradient: exact.
    """
    return tf.reduce_mean(tf.nn.relu(tf.abs(xy) - 0.5), axis=(1, 2))


def projected_chamfer_loss(
    target: tf.Tensor,
    xy: tf.Tensor,
    *,
    squared: bool = False,
    max_pairs: int = 1 << 20,
) -> tf.Tensor:
    """Chamfer distance in the picture: half of both directed means of distances.

    Args:
        target: [V, M, 2] points drawn in the silhouette, in the frame.
        xy: [V, N, 2] projected points, in the frame.
        squared: True takes squares, and the sum of both means: the loss of 2D
            projection matching (Chen et al., ICCV 2021).
        max_pairs: pairs compared in one pass; bounds memory.

    Returns:
        [V] in the unit of the points (its square).

    Gradient: exact through the winning pairs. Memory: as `ops.nearest_points`.

    Raises:
        ValueError: for wrong shapes or empty sets.
    """
    flat = [
        tf.pad(as_float(points), [[0, 0], [0, 0], [0, 1]]) for points in (xy, target)
    ]
    total = 0.0
    for points, others in (flat, flat[::-1]):
        square = nearest_points(points, others, max_pairs=max_pairs).square
        if not squared:
            apart = square > 0.0
            square = tf.where(apart, tf.sqrt(tf.where(apart, square, 1.0)), 0.0)
        total += tf.reduce_mean(square, axis=1)
    return total if squared else 0.5 * total


def surface_loss(xy: tf.Tensor, inside: tf.Tensor) -> tf.Tensor:
    """mean_i max(0, min_v d_v(x_iv))^2: draws points to the surface of the visual hull.

    Not of the paper. A silhouette does not tell the inside of a shape from its surface,
    so that points of DRWR fill volumes. But a point is inside the visual hull by as
    much as it is inside the silhouette where it is nearest to the outline, and every
    point of the hull's surface lies on an outline. The square lets go near the surface,
    where the nearest outline changes from view to view.

    Args:
        xy: [B, V, N, 2] projections of the points of an object into its V views, in the
            frame. The more views, the nearer is their hull to the surface.
        inside: [B, V, G, G, 1] distance to the outline, above 0 inside, in widths of
            the frame, row 0 at the bottom (`inside_distance`).

    Returns:
        [B], squared widths of the frame.

    Gradient: exact in `xy`, through the nearest outline of each point. Memory: 100
    bytes a point and view.

    Raises:
        ValueError: for wrong shapes.
    """
    xy = as_float(xy)
    checks.rank("xy", xy, 4)
    checks.rank("inside", inside, 5)
    shape = tf.shape(xy)
    grid = inside.shape[2]
    pictures = tf.reshape(inside, [-1, grid, grid, 1])
    places = frame_coordinates(tf.reshape(xy, [-1, shape[2], 2]), grid)
    depth = tf.reshape(sample_rings(pictures, places), shape[:3])
    return tf.reduce_mean(tf.nn.relu(tf.reduce_min(depth, axis=1)) ** 2, axis=-1)


def inside_distance(mask: tf.Tensor, distance: tf.Tensor) -> tf.Tensor:
    """Distances that `surface_loss` reads.

    Args:
        mask: [V, S, S, 1], foreground above 0.5, row 0 at the top.
        distance: [V, S, S, 1] of `ops.distance_to_contour`, pixels.

    Returns:
        [V, S, S, 1] widths of the frame, above 0 inside, row 0 at the bottom; 0 where
        the mask is empty or full.
    """
    # A picture without an outline says nothing about depths.
    found = tf.where(distance >= FAR, 0.0, signed_distance(mask, distance))
    return found[:, ::-1] / mask.shape[1]


def spread_loss(points: tf.Tensor, width: float | None = None) -> tf.Tensor:
    """mean_i sum_j exp(-|p_i - p_j|^2 / width^2): points repel each other in space.

    Not of the paper, whose repulsion acts in pictures: there, a surface seen edge-on
    looks crowded. The value is the number of points around each, itself included.

    Args:
        points: [B, N, 3].
        width: world units; None is 0.8 / sqrt(N), about the distance of neighbours on a
            surface of area 0.6.

    Returns:
        [B], at least 1.

    Gradient: exact. Memory: as `ops.gaussian_sums`.

    Raises:
        ValueError: for wrong shapes.
    """
    points = as_float(points)
    checks.rank("points", points, 3)
    width = width or 0.8 / math.sqrt(points.shape[1])
    sums = gaussian_sums(points, tf.ones_like(points[..., 0]), width**2)
    return tf.reduce_mean(sums, axis=-1)
