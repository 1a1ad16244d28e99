"""The visible surface of an implicit shape, with gradients to the shape."""

import math
from typing import NamedTuple

import tensorflow as tf

from tfrender import checks
from tfrender.ops.field_query import FieldQuery
from tfrender.ops.implicit_depth import implicit_depth
from tfrender.ops.march_rays import MarchSettings, march_rays
from tfrender.ops.ray_cube import ray_cube


class SurfaceSettings(NamedTuple):
    """How the surface is found.

    Attributes:
        march: see `MarchSettings`.
        level: logit of occupancy on the surface; 0 is a probability of one half.
        half_size: of the cube in which rays are marched; the published 0.55 is the
            unit cube with a padding of a tenth.
        outside_range: (near, far) depths between which rays that miss the cube are
            marched; None, the default, leaves them out.
        use_cube: False marches all rays over `outside_range`.
        camera_gradients: gradients to origins and directions too, exact ones (Yariv et
            al. 2020); False gives none.
        least_cosine: bounds the cosine of the angle between ray and normal from below,
            in the gradient of the depth alone. At a grazing ray that gradient grows
            without limit; 0.3 steadies the training, 0 is exact.
        legacy: as the published code: rays that start inside the shape count as hits
            at their origin, and small slopes lose their sign.
    """

    march: MarchSettings = MarchSettings()
    level: float = 0.0
    half_size: float = 0.55
    outside_range: tuple[float, float] | None = None
    use_cube: bool = True
    camera_gradients: bool = False
    least_cosine: float = 0.0
    legacy: bool = False


class Surface(NamedTuple):
    """The surface on the rays that meet it, and which they are.

    In the graph form n is the number of rays that meet it; in the XLA form it is B N
    and `valid` tells them apart.

    Attributes:
        ray: [n] int32, number of the ray in the flat list of B N rays.
        item: [n] int32, number in the batch.
        valid: bool [n].
        depth: [n] ray parameter.
        points: [n, 3].
        gradient: [n, 3] of the logit of occupancy at the points; points inwards.
        logits: [n, K] of the colours; None where they were not asked for.
        mask: bool [B, N], rays that meet the surface.
        starts_inside: bool [B, N].
        near: [B, N] depth of the first sample; 0 where the ray was not marched.
        marched: bool [B, N].
    """

    ray: tf.Tensor
    item: tf.Tensor
    valid: tf.Tensor
    depth: tf.Tensor
    points: tf.Tensor
    gradient: tf.Tensor
    logits: tf.Tensor | None
    mask: tf.Tensor
    starts_inside: tf.Tensor
    near: tf.Tensor
    marched: tf.Tensor


def implicit_surface(
    query: FieldQuery,
    origins: tf.Tensor,
    directions: tf.Tensor,
    settings: SurfaceSettings | None = None,
    *,
    colors: bool = True,
    form: str = "graph",
) -> Surface:
    """Finds the surface along rays and evaluates the field on it.

    Args:
        query: the shape; see `ops.field_query.query`.
        origins: [B, N, 3].
        directions: [B, N, 3] of any length.
        settings: SurfaceSettings; None takes its defaults.
        colors: also evaluate the colours.
        form: see `ops.march_rays`.

    Returns:
        Surface. Depth and points have the implicit gradient (`ops.implicit_depth`),
        and colours are evaluated at those points, so that a loss on any of the three
        moves the surface.

    Gradient: exact first derivatives to the field, its code included, and with
    `camera_gradients` to the rays; none through masks. Memory: two evaluations of the
    field on the n rays, and `march_rays`.
    """
    settings = settings or SurfaceSettings()
    if not settings.camera_gradients:
        origins, directions = map(tf.stop_gradient, (origins, directions))
    batch, count = tf.shape(origins)[0], tf.shape(origins)[1]
    item = tf.repeat(tf.range(batch), count)
    flat_origins = tf.reshape(origins, [-1, 3])
    flat_directions = tf.reshape(directions, [-1, 3])
    span = ray_cube(flat_origins, flat_directions, settings.half_size)
    near, far = span.near, span.far
    if settings.outside_range is not None:
        low, high = settings.outside_range
        inside = tf.logical_and(span.hit, settings.use_cube)
        near, far = tf.where(inside, near, low), tf.where(inside, far, high)
    hits = march_rays(
        lambda points, ray: (
            query.occupancy(points, tf.gather(item, ray)) - settings.level
        ),
        flat_origins,
        flat_directions,
        near,
        far,
        settings.march,
        form,
    )
    mask = hits.hit
    if settings.legacy:
        mask = tf.logical_or(mask, hits.starts_inside)
    ray, valid = select(mask, form)
    depth, found, item, origin, direction = (
        tf.gather(array, ray)
        for array in (hits.depth, hits.hit, item, flat_origins, flat_directions)
    )
    at_rest = origin + depth[:, tf.newaxis] * direction
    value, gradient = query.occupancy_and_gradient(at_rest, item)
    slope = tf.reduce_sum(gradient * direction, axis=-1)
    if settings.least_cosine:
        steep = tf.reduce_sum(gradient**2, -1) * tf.reduce_sum(direction**2, -1)
        slope = tf.maximum(slope, settings.least_cosine * tf.sqrt(steep))
    moving = implicit_depth(depth, value, slope, signless=settings.legacy)
    depth = tf.where(found, moving, depth)
    points = origin + depth[:, tf.newaxis] * direction
    logits = query.logits(points, item)[:, 1:] if colors else None
    shape = [batch, count]
    return Surface(
        *(ray, item, valid, depth, points, gradient, logits),
        tf.reshape(mask, shape),
        tf.reshape(hits.starts_inside, shape),
        tf.reshape(near, shape),
        tf.reshape(far > near, shape),
    )


def select(mask: tf.Tensor, form: str = "graph") -> tuple[tf.Tensor, tf.Tensor]:
    """Numbers of the entries that are True, or all of them where shapes must be static.

    Args:
        mask: bool, of any shape, read as a flat list.
        form: see `ops.march_rays`.

    Returns:
        index [n] int32 and valid bool [n]. Graph form: n entries are True and so is
        `valid`. XLA form: every entry, with `valid` the mask.
    """
    flat = tf.reshape(mask, [-1])
    if form == "xla":
        return tf.range(tf.size(flat)), flat
    index = tf.cast(tf.where(flat)[:, 0], tf.int32)
    return index, tf.ones_like(index, tf.bool)


def scatter(index: tf.Tensor, valid: tf.Tensor, values: tf.Tensor, shape) -> tf.Tensor:
    """Puts values back among all entries; 0 elsewhere.

    Args:
        index: [n] int32, see `select`.
        valid: bool [n].
        values: [n, ...].
        shape: of the mask that was selected from.

    Returns:
        [*shape, ...].
    """
    keep = tf.reshape(valid, [-1] + [1] * (values.shape.rank - 1))
    values = tf.where(keep, values, tf.zeros_like(values))
    size = tf.reduce_prod(shape)
    tail = tf.shape(values)[1:]
    flat = tf.scatter_nd(
        index[:, tf.newaxis], values, tf.concat([[size], tail], axis=0)
    )
    flat = tf.reshape(flat, tf.concat([shape, tail], axis=0))
    return tf.ensure_shape(flat, [None] * len(shape) + values.shape[1:].as_list())


def logit(probability: float) -> float:
    """log(p / (1 - p)), with p kept in [1e-4, 1 - 1e-4] as published.

    Args:
        probability: in [0, 1].

    Returns:
        the logit.
    """
    checks.between("probability", probability, 0.0, 1.0)
    kept = min(max(probability, 1e-4), 1.0 - 1e-4)
    return math.log(kept / (1.0 - kept))
