"""First surface of an implicit shape along rays: samples front to back, then a root.

Niemeyer et al., "Differentiable Volumetric Rendering", CVPR 2020, section 3.2 and the
published code. Nothing here has a gradient: `ops.implicit_depth` gives the depth its
own, so that memory does not grow with the number of samples.
"""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from tfrender import checks
from tfrender.ops.forms import FORMS

REFINEMENTS = ("secant", "bisection")
_CHUNK = 4096


class MarchSettings(NamedTuple):
    """How rays are marched.

    Attributes:
        samples: S, on each ray, both ends of its span included; an int or a scalar
            int32 tensor, at least 2.
        refinement: "secant" (false position) or "bisection" between the two samples
            around the surface.
        refinement_steps: evaluations that it takes.
        block: samples of a ray evaluated at once before the rays that have met the
            surface are left out.
        rays_per_chunk: rays marched at once; bounds the memory.
    """

    samples: int | tf.Tensor = 128
    refinement: str = "secant"
    refinement_steps: int = 8
    block: int = 8
    rays_per_chunk: int = _CHUNK


class RayHits(NamedTuple):
    """What rays meet.

    Attributes:
        depth: [N] ray parameter of the surface; 0 where there is none.
        hit: bool [N], whether the ray goes from outside into the shape.
        starts_inside: bool [N], whether its first sample lies in the shape already.
    """

    depth: tf.Tensor
    hit: tf.Tensor
    starts_inside: tf.Tensor


class _Rays(NamedTuple):
    """Rays as the loops need them: origin + depth * direction, span in steps."""

    origins: tf.Tensor
    directions: tf.Tensor
    near: tf.Tensor
    step: tf.Tensor


class _Brackets(NamedTuple):
    """Depths before and behind a surface and the occupancies there, [N] each."""

    low: tf.Tensor
    high: tf.Tensor
    f_low: tf.Tensor
    f_high: tf.Tensor


def march_rays(
    occupancy: Callable,
    origins: tf.Tensor,
    directions: tf.Tensor,
    near: tf.Tensor,
    far: tf.Tensor,
    settings: MarchSettings | None = None,
    form: str = "graph",
) -> RayHits:
    """Finds the first change from outside to inside along each ray.

    Samples lie evenly from near to far. The first j with f_j < 0 <= f_(j+1) brackets
    the surface, and false position finds it inside the bracket. The graph form
    evaluates `occupancy` only on rays whose span is not empty and that have not met
    the surface yet; the XLA form evaluates all rays a block of samples at a time until
    all have met it, with static shapes. Both give the same hits.

    Args:
        occupancy: (points [M, 3], ray [M] int32) -> [M], positive inside the shape;
            `ray` is the number of the ray that a point lies on.
        origins: [N, 3].
        directions: [N, 3] of any length; depths count in this length.
        near: [N] depth of the first sample, for example of `ops.ray_cube`.
        far: [N] depth of the last one; rays with far <= near are not marched and meet
            nothing.
        settings: MarchSettings; None takes its defaults.
        form: "graph", whatever the default of `ops.forms` is, because it evaluates far
            fewer points; or "xla", inside a compiled function.

    Returns:
        RayHits.

    Gradient: none. Memory: that of `occupancy` for rays_per_chunk * block points;
    under a tape outside of any tf.function all evaluations are kept.

    Raises:
        ValueError: for wrong shapes or settings.
    """
    settings = settings or MarchSettings()
    _check(settings)
    checks.one_of("form", form, FORMS)
    for name, value in (("origins", origins), ("directions", directions)):
        checks.rank(name, value, 2)
        checks.dims(name, value, 3)
    origins, directions, near, far = (
        tf.stop_gradient(tf.convert_to_tensor(value))
        for value in (origins, directions, near, far)
    )
    samples = tf.convert_to_tensor(settings.samples, tf.int32)
    step = (far - near) / tf.cast(tf.maximum(samples - 1, 1), tf.float32)
    rays = _Rays(origins, directions, near, step)
    if form == "xla":
        hits = _march_dense(occupancy, rays, samples, settings)
    else:
        hits = _march_in_chunks(occupancy, rays, samples, settings)
    return RayHits(*map(tf.stop_gradient, hits))


def _check(settings: MarchSettings) -> None:
    checks.one_of("refinement", settings.refinement, REFINEMENTS)
    checks.between("refinement_steps", settings.refinement_steps, 0, 1000)
    checks.between("block", settings.block, 1, 4096)
    checks.between("rays_per_chunk", settings.rays_per_chunk, 1, 2**24)
    if isinstance(settings.samples, int):
        checks.between("samples", settings.samples, 2, 2**20)


def _evaluate(occupancy, rays: _Rays, ray, depth):
    """Occupancies at depths [L, K] or [L] of the rays numbered `ray` [L]."""
    shape = tf.shape(depth)
    origins = tf.gather(rays.origins, ray)
    directions = tf.gather(rays.directions, ray)
    if depth.shape.rank == 2:
        origins, directions = origins[:, tf.newaxis], directions[:, tf.newaxis]
        ray = tf.repeat(ray, shape[1])
    points = origins + depth[..., tf.newaxis] * directions
    values = occupancy(tf.reshape(points, [-1, 3]), ray)
    return tf.reshape(values, shape)


def _block(occupancy, rays: _Rays, ray, first, before, samples, size):
    """One block of samples on some rays: where they enter the shape, if they do.

    Args:
        occupancy: see `march_rays`.
        rays: of the chunk.
        ray: [L] their numbers.
        first: number of the first sample of the block, scalar.
        before: [L] occupancy at the sample before the block, negative.
        samples: S.
        size: K, samples of the block.

    Returns:
        entered bool [L]; inside bool [L], at the very first sample; brackets [L];
        the occupancy [L] at the last sample.
    """
    number = first + tf.range(size)  # [K]
    near, step = tf.gather(rays.near, ray), tf.gather(rays.step, ray)
    depth = near[:, tf.newaxis] + step[:, tf.newaxis] * tf.cast(number, tf.float32)
    value = _evaluate(occupancy, rays, ray, depth)
    value = tf.where(number < samples, value, -1.0)  # beyond the last: outside
    inside = tf.logical_and(first == 0, value[:, 0] >= 0.0)
    before = tf.where(first == 0, value[:, 0], before)
    previous = tf.concat([before[:, tf.newaxis], value[:, :-1]], axis=1)
    change = tf.logical_and(previous < 0.0, value >= 0.0)
    place = tf.argmax(change, axis=1, output_type=tf.int32)
    entered = tf.logical_and(tf.reduce_any(change, axis=1), tf.logical_not(inside))
    high, f_low, f_high = (
        tf.gather(array, place, batch_dims=1) for array in (depth, previous, value)
    )
    return entered, inside, _Brackets(high - step, high, f_low, f_high), value[:, -1]


def _march_dense(occupancy, rays, samples, settings) -> RayHits:
    """Every ray, block by block, with static shapes."""
    count = rays.near.shape[0] or tf.shape(rays.near)[0]
    every = tf.range(count)
    spanned = rays.step > 0.0
    nothing = tf.zeros_like(rays.near)
    none = tf.zeros_like(rays.near, tf.bool)

    def more(first, live, *_):
        return tf.logical_and(first < samples, tf.reduce_any(live))

    def march(first, live, before, hit, inside, brackets):
        entered, started, found, last = _block(
            occupancy, rays, every, first, before, samples, settings.block
        )
        new = tf.logical_and(live, entered)
        brackets = _Brackets(
            *(tf.where(new, a, b) for a, b in zip(found, brackets, strict=True))
        )
        inside = tf.logical_or(inside, tf.logical_and(live, started))
        hit = tf.logical_or(hit, new)
        live = tf.logical_and(live, tf.logical_not(tf.logical_or(hit, inside)))
        return first + settings.block, live, last, hit, inside, brackets

    start = (0, spanned, nothing, none, none, _Brackets(*[nothing] * 4))
    *_, hit, inside, brackets = tf.while_loop(more, march, start)
    depth = _refine(occupancy, rays, every, brackets, settings)
    return RayHits(tf.where(hit, depth, 0.0), hit, inside)


def _march_in_chunks(occupancy, rays, samples, settings) -> RayHits:
    """Only rays that can still hit, `rays_per_chunk` of them at a time."""
    count = tf.shape(rays.near)[0]
    candidates = tf.cast(tf.where(rays.step > 0.0)[:, 0], tf.int32)
    total = tf.size(candidates)

    def more(start, *_):
        return start < total

    def march(start, depth, hit, inside):
        end = tf.minimum(start + settings.rays_per_chunk, total)
        ray = candidates[start:end]
        found = _march_live(occupancy, rays, ray, samples, settings)
        depth = tf.tensor_scatter_nd_update(depth, found[0][:, tf.newaxis], found[1])
        hit = _marked(hit, found[0])
        return end, depth, hit, _marked(inside, found[2])

    none = tf.zeros([count], tf.bool)
    state = (0, tf.zeros([count]), none, none)
    if (rays.near.shape[0] or 2**31) <= settings.rays_per_chunk:
        return RayHits(*march(*state)[1:])
    return RayHits(*tf.while_loop(more, march, state)[1:])


def _march_live(occupancy, rays, ray, samples, settings):
    """Rays that hit with their depths, and rays that start inside."""
    integers, numbers = tf.zeros([0], tf.int32), tf.zeros([0])

    def more(first, live, *_):
        return tf.logical_and(first < samples, tf.size(live) > 0)

    def march(first, live, before, inside, hitting, brackets):
        entered, started, found, last = _block(
            occupancy, rays, live, first, before, samples, settings.block
        )
        inside = tf.concat([inside, tf.boolean_mask(live, started)], axis=0)
        hitting = tf.concat([hitting, tf.boolean_mask(live, entered)], axis=0)
        found = [tf.boolean_mask(array, entered) for array in found]
        brackets = _Brackets(
            *(tf.concat(pair, axis=0) for pair in zip(brackets, found, strict=True))
        )
        goes_on = tf.logical_not(tf.logical_or(entered, started))
        live, last = (tf.boolean_mask(array, goes_on) for array in (live, last))
        return first + settings.block, live, last, inside, hitting, brackets

    start = (
        *(0, ray, tf.gather(tf.zeros_like(rays.near), ray), integers, integers),
        _Brackets(*[numbers] * 4),
    )
    free = tf.TensorShape([None])
    shapes = (tf.TensorShape([]), free, free, free, free, _Brackets(*[free] * 4))
    *_, inside, hitting, brackets = tf.while_loop(more, march, start, shapes)
    depth = _refine(occupancy, rays, hitting, brackets, settings)
    return hitting, depth, inside


def _refine(occupancy, rays, ray, brackets: _Brackets, settings):
    """Depths [L] of the surface inside brackets that hold one."""
    secant = settings.refinement == "secant"

    def guess(b: _Brackets):
        if not secant:
            return 0.5 * (b.low + b.high)
        rise = b.f_high - b.f_low
        share = b.f_low / tf.where(rise > 0.0, rise, 1.0)
        return b.low - (b.high - b.low) * share

    def step(b: _Brackets):
        depth = guess(b)
        value = _evaluate(occupancy, rays, ray, depth)
        outside = value < 0.0
        return _Brackets(
            tf.where(outside, depth, b.low),
            tf.where(outside, b.high, depth),
            tf.where(outside, value, b.f_low),
            tf.where(outside, b.f_high, value),
        )

    for _ in range(settings.refinement_steps):
        brackets = step(brackets)
    return guess(brackets)


def _marked(mask, index):
    """The mask with True at some places."""
    ones = tf.ones_like(index, tf.bool)
    return tf.tensor_scatter_nd_update(mask, index[:, tf.newaxis], ones)
