"""Fits a free cloud of points to silhouettes, with one of several losses.

No network: the points themselves are trained, so that a loss shows what it is worth.
"""

import time
from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from tfrender import cameras, checks, losses
from tfrender.ops.point_schedules import blur_schedule
from tfrender.ops.project_occupancy import OccupancySettings, project_occupancy
from tfrender.ops.project_points import project_points
from tfrender.ops.smooth_silhouette import distance_to_contour, smooth_silhouette

LOSSES = ("balanced", "surface", "release", "chamfer", "dpc")
_BLUR = (3.0, 0.2)  # voxels, DPC
_DPC_GRID = 64
_START = 0.3  # half the side of the cube in which points begin
# The learning rate is constant, then falls to 0 as a cosine, from this share on; the
# terms of the surface grow from there to twice that share.
_FALL = 0.3


class FitSettings(NamedTuple):
    """How points are fitted.

    Attributes:
        loss: one of `LOSSES`.
        points: number of points N.
        steps: of Adam.
        views_per_step: views drawn in a step.
        learning_rate: at the start.
        grid: pixels a side of the loss; 0 is the preset's (DPC: 64 voxels).
        samples: points of a mask that a step of "chamfer" draws.
        seed: of the first points and of the views drawn.
    """

    loss: str = "balanced"
    points: int = 1000
    steps: int = 800
    views_per_step: int = 4
    learning_rate: float = 1e-2
    grid: int = 0
    samples: int = 1000
    seed: int = 0


class Silhouettes(NamedTuple):
    """What points are fitted to.

    Attributes:
        mask: float32 [V, S, S, 1] of 0 and 1.
        camera: Camera of batch V.
        samples: float32 [V, P, 2] points drawn in the masks, frame coordinates; only
            "chamfer" needs them.
    """

    mask: np.ndarray
    camera: cameras.Camera
    samples: np.ndarray | None = None


class Fit(NamedTuple):
    """A fitted cloud.

    Attributes:
        points: float32 [N, 3] in (-0.5, 0.5)^3.
        seconds: that the steps took, without the first (which compiles).
    """

    points: np.ndarray
    seconds: float


def fit_points(seen: Silhouettes, settings: FitSettings) -> Fit:
    """Fits points to silhouettes.

    Args:
        seen: masks and cameras.
        settings: loss, numbers, seed.

    Returns:
        `Fit`; the same for the same seed.

    Raises:
        ValueError: for settings out of range, masks without an outline, or "chamfer"
            without samples.
    """
    checks.one_of("loss", settings.loss, LOSSES)
    views = len(seen.mask)
    checks.between("views_per_step", settings.views_per_step, 1, views)
    if seen.mask.min() == seen.mask.max():
        raise ValueError("expected masks with an outline; all are empty or full.")
    if settings.loss == "chamfer" and seen.samples is None:
        raise ValueError("`samples`: the loss 'chamfer' needs points of the masks.")
    generator = np.random.default_rng(settings.seed)
    start = generator.uniform(-_START, _START, (1, settings.points, 3))
    raw = tf.Variable(np.arctanh(2.0 * start).astype(np.float32))
    fall = int(_FALL * settings.steps)
    optimizer = keras.optimizers.Adam(settings.learning_rate)
    loss = _loss(seen, settings)

    @tf.function
    def step(chosen, progress):
        with tf.GradientTape() as tape:
            value = loss(0.5 * tf.tanh(raw), chosen, progress)
        optimizer.apply([tape.gradient(value, raw)], [raw])

    began = time.monotonic()
    for number in range(settings.steps):
        if number == 1:
            began = time.monotonic()
        way = max(0.0, (number - fall) / max(settings.steps - fall, 1))
        rate = settings.learning_rate * 0.5 * (1.0 + np.cos(np.pi * way))
        optimizer.learning_rate.assign(rate)
        chosen = generator.permutation(views)[: settings.views_per_step]
        step(
            tf.constant(chosen, tf.int32),
            tf.constant(number / settings.steps, tf.float32),
        )
    points = 0.5 * np.tanh(raw.numpy()[0])
    return Fit(points, time.monotonic() - began)


def _loss(seen, settings) -> Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]:
    """(points [1, N, 3], numbers of views, progress) -> scalar."""
    if settings.loss == "chamfer":
        return _chamfer(seen, settings)
    if settings.loss == "dpc":
        return _projection(seen, settings)
    return _scores(seen, settings)


def _view(camera, chosen):
    return cameras.Camera(*(tf.gather(matrix, chosen) for matrix in camera))


def _scores(seen, settings):
    """DRWR's losses, released or ours."""
    preset = losses.POINT_LOSS_PRESETS[settings.loss]
    grid = settings.grid or preset.grid
    preset = preset._replace(grid=grid)
    mask = tf.constant(seen.mask, tf.float32)
    distance = distance_to_contour(mask)
    grids = losses.silhouette_grids(
        mask, smooth_silhouette(mask, distance), grid=grid, aligned=preset.aligned
    )
    inside = losses.inside_distance(mask, distance)[tf.newaxis]

    def loss(points, chosen, progress):
        xy, _ = project_points(points, _view(seen.camera, chosen))
        own = losses.SilhouetteGrids(*(tf.gather(part, chosen) for part in grids))
        found = losses.point_silhouette_losses(xy, own, preset)["total"]
        total = tf.reduce_mean(found)
        if preset.surface:
            # All views: their hull is nearer to the surface than that of a few.
            xy, _ = project_points(points, seen.camera)
            ramp = tf.clip_by_value(progress / _FALL - 1.0, 0.0, 1.0)
            extra = preset.surface * losses.surface_loss(xy[tf.newaxis], inside)
            extra += preset.spread * losses.spread_loss(points)
            total += ramp * tf.reduce_mean(extra)
        return total

    return loss


def _chamfer(seen, settings):
    """Chamfer distance in the picture."""
    samples = tf.constant(seen.samples, tf.float32)

    def loss(points, chosen, progress):
        own = tf.gather(samples, chosen)
        # Other ones in each step; shuffled along the axis of the points.
        order = tf.argsort(
            tf.random.stateless_uniform(
                tf.shape(own)[:2], [settings.seed, tf.cast(progress * 1e6, tf.int32)]
            )
        )[:, : settings.samples]
        xy, _ = project_points(points, _view(seen.camera, chosen))
        target = tf.gather(own, order, batch_dims=1)
        return tf.reduce_mean(losses.projected_chamfer_loss(target, xy))

    return loss


def _projection(seen, settings):
    """DPC's silhouettes of blurred voxels."""
    grid = settings.grid or _DPC_GRID
    occupancy = OccupancySettings(grid=grid)
    mask = tf.constant(seen.mask, tf.float32)
    grids = losses.silhouette_grids(mask, mask, grid=grid)

    def loss(points, chosen, progress):
        pictures = project_occupancy(
            points,
            _view(seen.camera, chosen),
            blur_schedule(progress, *_BLUR),
            occupancy,
        )
        target = tf.gather(grids.mask, chosen)[:, ::-1]
        error = tf.math.squared_difference(pictures.alpha, target)
        return 0.5 * tf.reduce_sum(error) / settings.views_per_step

    return loss


def shares(points: np.ndarray, seen: Silhouettes) -> tuple[float, float]:
    """How well projections lie in the silhouettes, and fill them.

    Args:
        points: [N, 3].
        seen: masks and cameras.

    Returns:
        share of the projections on the foreground, and share of the foreground within
        four pixels (of 128) of a projection.
    """
    from scipy.spatial import cKDTree

    xy, _ = project_points(tf.constant(points, tf.float32)[tf.newaxis], seen.camera)
    side = seen.mask.shape[1]
    places = (xy.numpy() * [1.0, -1.0] + 0.5) * side  # x right, y down
    inside, covered = [], []
    for mask, place in zip(seen.mask[..., 0] > 0.5, places, strict=True):
        pixel = np.floor(place).astype(int)
        framed = ((pixel >= 0) & (pixel < side)).all(-1)
        column, row = pixel[framed].T
        inside.append(mask[row, column].sum() / len(place))
        rows, columns = np.nonzero(mask)
        if len(rows):
            centres = np.stack([columns + 0.5, rows + 0.5], axis=-1)
            near = cKDTree(place).query(centres)[0]
            covered.append((near <= 4.0 * side / 128.0).mean())
    return float(np.mean(inside)), float(np.mean(covered))
