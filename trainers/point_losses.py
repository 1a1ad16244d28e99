"""What a training step of `trainers.drwr` computes: one loss an object."""

from typing import NamedTuple

import tensorflow as tf

from tfrender import cameras, losses
from tfrender.losses.point_silhouettes import PointLossSettings
from tfrender.ops.point_schedules import blur_schedule, keep_schedule, keep_weights
from tfrender.ops.project_occupancy import OccupancySettings, project_occupancy
from tfrender.ops.project_points import project_points
from tfrender.ops.smooth_silhouette import smooth_silhouette


class StepSettings(NamedTuple):
    """Settings of a training step.

    Attributes:
        points: DRWR's loss.
        occupancy: DPC's renderer.
        chamfer, projection, student, weight_decay: weights of the other terms.
        chamfer_squared: see `losses.projected_chamfer_loss`.
        sample_share: share of the points that are scored.
        learn_scaling: whether the model's `scale` is used by DPC's renderer.
        align_student: the student is compared by turned points.
        focal_length, distance: of predicted poses.
        blur: DPC's blur at the start and the end, voxels.
        keep: DPC's share of points at the start, and from and to which progress it
            grows; None draws all.
        keep_exponential: see `ops.point_schedules`.
        keep_scheduled: False keeps the share of the start.
        surface_ramp: progress at which `surface` and `spread` begin, and act in full.
        seed: of random choices.
    """

    points: PointLossSettings
    occupancy: OccupancySettings
    chamfer: float = 0.0
    projection: float = 0.0
    student: float = 20.0
    weight_decay: float = 0.0
    chamfer_squared: bool = False
    sample_share: float = 1.0
    learn_scaling: bool = True
    align_student: bool = False
    focal_length: float = 1.875
    distance: float = 2.0
    blur: tuple[float, float] = (3.0, 0.2)
    keep: tuple[float, float, float] | None = (0.07, 0.0, 1.0)
    keep_exponential: bool = False
    keep_scheduled: bool = True
    surface_ramp: tuple[float, float] = (0.3, 0.6)
    seed: int = 0


class StepLoss:
    """The loss of a batch of objects."""

    def __init__(self, settings: StepSettings):
        """Keeps the settings.

        Args:
            settings: `StepSettings`.
        """
        self.settings = settings
        s = settings.points
        terms = (s.unary, s.pair, s.sum, s.entropy, s.frame)
        self.scores = any(terms)  # whether DRWR's terms are used at all
        self.spatial = bool(s.surface or s.spread)

    def __call__(self, model, batch, progress, step) -> tuple[tf.Tensor, dict]:
        """Loss and terms of a batch.

        Args:
            model: `models.PointCloudReconstructor`.
            batch: of `datasets.drwr.pipeline.training_batches`.
            progress: steps done over steps in all, a scalar tensor.
            step: int64 scalar, for random choices.

        Returns:
            loss [B] and dict of terms [B].
        """
        settings = self.settings
        batch = _flat(batch)
        if model.predicts_pose:
            total, terms = self._with_ensemble(model, batch, progress, step)
        else:
            images = batch["image"][:: batch["views"]]
            found = model(images, training=True)
            camera = cameras.Camera(batch["world_to_camera"], batch["projection"])
            total, terms = self._known(found, camera, batch, progress, step)
        if settings.weight_decay:
            kernels = [v for v in model.trainable_variables if len(v.shape) > 1]
            decay = tf.add_n([tf.nn.l2_loss(kernel) for kernel in kernels])
            total += settings.weight_decay * decay
        return total, terms

    def _known(self, found, camera, batch, progress, step):
        """Losses of points seen from known cameras."""
        points = self._sampled(found["points"], step)
        terms: dict[str, tf.Tensor] = {}
        total = 0.0
        if self.scores or self.spatial:
            low, high = self.settings.surface_ramp
            ramp = tf.clip_by_value((progress - low) / max(high - low, 1e-6), 0.0, 1.0)
            shape = [-1, batch["views"], *batch["mask"].shape[1:]]
            terms = losses.point_cloud_losses(
                points,
                camera,
                tf.reshape(batch["mask"], shape),
                tf.reshape(batch["distance"], shape),
                self.settings.points,
                progress=ramp,
            )
            total = terms.pop("total")
        for name, by_view in self._by_view(
            points, found["scale"], camera, batch, progress, step, 1, scores=False
        ).items():
            terms[name] = object_means(by_view[:, 0], batch["views"])
            total += getattr(self.settings, name) * terms[name]
        return total, terms

    def _with_ensemble(self, model, batch, progress, step):
        """Losses of points seen from the best of the predicted poses."""
        settings, views = self.settings, batch["views"]
        code = model.encode(batch["image"], training=True)
        shapes = model.decode({"code": code["code"][::views]})
        guesses = model.poses(code)
        poses = guesses["poses"]  # [B V, K, 4]
        count = poses.shape[1]
        camera = cameras.from_quaternion(
            tf.reshape(poses, [-1, 4]),
            focal_length=settings.focal_length,
            distance=settings.distance,
        )
        points = self._sampled(shapes["points"], step)
        found = self._by_view(
            points, shapes["scale"], camera, batch, progress, step, count
        )
        weights = {"score": 1.0, "chamfer": settings.chamfer}
        weights["projection"] = settings.projection
        errors = tf.add_n([weights[name] * value for name, value in found.items()])
        winners = losses.best_candidates(errors, poses)
        terms = {"best": object_means(winners.error, views)}
        total = terms["best"]
        if "student" in model.pose_network.output:
            compare = losses.student_loss
            if settings.align_student:
                compare = losses.aligned_points_loss
            learned = compare(winners.pose, guesses["pose"])
            terms["student"] = object_means(learned, views)
            total += settings.student * terms["student"]
        return total, terms

    def _by_view(
        self, points, scale, camera, batch, progress, step, count, scores=True
    ):
        """Errors [B V, K] of K cameras a view: score (DRWR), chamfer, projection."""
        settings, found = self.settings, {}

        def repeated(value):
            return tf.repeat(value, count, axis=0) if count > 1 else value

        def by_candidate(value):
            return tf.reshape(value, [-1, count])

        scores = scores and self.scores
        if scores or settings.chamfer:
            xy, _ = project_points(points, camera)
        if scores:
            grids = losses.silhouette_grids(
                batch["mask"],
                smooth_silhouette(batch["mask"], batch["distance"]),
                grid=settings.points.grid,
                aligned=settings.points.aligned,
            )
            grids = type(grids)(*(repeated(picture) for picture in grids))
            value = losses.point_silhouette_losses(xy, grids, settings.points)["total"]
            found["score"] = by_candidate(value)
        if settings.chamfer:
            value = losses.projected_chamfer_loss(
                repeated(batch["samples"]), xy, squared=settings.chamfer_squared
            )
            found["chamfer"] = by_candidate(value)
        if settings.projection:
            value = self._projection(
                points, repeated(batch["mask"]), scale, camera, progress, step
            )
            found["projection"] = by_candidate(value)
        return found

    def _projection(self, points, mask, scale, camera, progress, step):
        """DPC's loss of each view, [V]: half the squared error of its picture."""
        settings = self.settings
        views = tf.shape(mask)[0]
        weights = None
        if settings.keep:
            start, first, last = settings.keep
            share = start
            if settings.keep_scheduled:
                share = keep_schedule(
                    progress,
                    start,
                    first=first,
                    last=last,
                    exponential=settings.keep_exponential,
                )
            weights = keep_weights(
                tf.stack([views, tf.shape(points)[1]]),
                share,
                tf.stack([tf.cast(settings.seed, tf.int64), step]),
            )
        if settings.learn_scaling:
            scale = tf.repeat(scale, views // tf.shape(scale)[0], axis=0)
        pictures = project_occupancy(
            points,
            camera,
            blur_schedule(progress, *settings.blur),
            settings.occupancy,
            scale=scale if settings.learn_scaling else None,
            weights=weights,
        )
        grids = losses.silhouette_grids(
            mask,
            mask,
            grid=settings.occupancy.grid,
            aligned=not settings.occupancy.as_released,
        )
        error = tf.math.squared_difference(pictures.alpha[:, ::-1], grids.mask)
        return 0.5 * tf.reduce_sum(error, axis=(1, 2, 3))

    def _sampled(self, points, step):
        """The points that are scored, in a step's own order where not all are."""
        count = int(points.shape[1] * self.settings.sample_share)
        if count == points.shape[1]:
            return points
        draws = tf.random.stateless_uniform(
            [points.shape[1]], tf.stack([tf.cast(self.settings.seed, tf.int64), step])
        )
        return tf.gather(points, tf.math.top_k(draws, max(count, 1)).indices, axis=1)


def _flat(batch):
    """Arrays [B, S, ...] as [B S, ...], and the number of views S."""
    names = ("image", "mask", "distance", "world_to_camera", "projection", "samples")
    found = {
        name: tf.reshape(value, [-1, *value.shape[2:]])
        for name, value in batch.items()
        if name in names
    }
    return {**found, "views": batch["mask"].shape[1]}


def object_means(by_view, views):
    """Means [B] of the views of each object, [B V]."""
    return tf.reduce_mean(tf.reshape(by_view, [-1, views]), axis=1)
