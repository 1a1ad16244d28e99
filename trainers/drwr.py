"""Trains a network that makes a point cloud from one picture, with silhouettes alone.

    python -m trainers.drwr --flagfile=configs/drwr/small.cfg

Data: records of `tools.make_drwr_records` in --data_dir. An example is an object with
--views_per_step of its views; the network sees the first and must fit the silhouettes
of all. With --predict_pose the cameras are learned as well. DRWR scores projected
points; --lambda_projection=1 is DPC's rendering of them, --lambda_chamfer=1 compares
them with points drawn in the masks. configs/README.md lists the originals' names.

OUTPUT_DIR/result.csv has a row for every evaluation, result.txt a line "STEP: Chamfer
distance x100", as the original; the loss where there are no true points, or poses are
learned.
"""

import csv
import pathlib

import keras
import numpy as np
import tensorflow as tf

from datasets import records
from datasets.drwr import pipeline
from datasets.mesh_reconstruction.generation import VARIANT
from tfrender import cameras, models
from tfrender.export import drwr as export_drwr
from tfrender.io import write_file
from tfrender.models import point_cloud_reconstructor
from tfrender.models.published_points import load_published
from tfrender.ops.nearest_points import nearest_points
from tfrender.ops.project_points import frame_coordinates, project_points
from tfrender.ops.sample_rings import sample_rings
from tools import cli, point_pictures
from trainers import drwr_flags, flags, loop
from trainers.point_losses import StepLoss, StepSettings, object_means
from trainers.schedules import Warmup

drwr_flags.define()

_SHOWN = 128  # pixels of a side of the pictures in the log
_BEST = "cd_mean_views"
FLAGS = drwr_flags.FLAGS


def main():
    """Reads the flags and trains."""
    settings = flags.Settings.from_flags()
    settings.check_preset_and_data(point_cloud_reconstructor.PRESETS)
    train = pipeline.metadata(settings.data_dir, FLAGS.train_split)
    pipeline.metadata(settings.data_dir, FLAGS.held_out)
    pipeline.check_disjoint(settings.data_dir, FLAGS.train_split, FLAGS.held_out)
    _check_data(step_settings(), train)
    loop.train(experiment(settings, train), settings)


def step_settings() -> StepSettings:
    """Settings of a training step, from the flags.

    Raises:
        ValueError: no loss at all, or values that do not go together.
    """
    loss = drwr_flags.loss_settings()
    if FLAGS.surface_from >= FLAGS.surface_full:
        raise ValueError(
            "--surface_full: expected more than --surface_from; got "
            f"{FLAGS.surface_full:g} and {FLAGS.surface_from:g}."
        )
    if FLAGS.keep_from >= FLAGS.keep_to:
        raise ValueError(
            f"--keep_to: expected more than --keep_from; got {FLAGS.keep_to:g} and "
            f"{FLAGS.keep_from:g}."
        )
    found = StepSettings(
        points=loss,
        occupancy=drwr_flags.occupancy_settings(),
        chamfer=FLAGS.lambda_chamfer,
        projection=FLAGS.lambda_projection,
        student=FLAGS.lambda_student,
        weight_decay=FLAGS.weight_decay,
        chamfer_squared=FLAGS.chamfer_squared,
        sample_share=FLAGS.sample_share,
        learn_scaling=FLAGS.learn_scaling,
        align_student=FLAGS.align_student,
        focal_length=FLAGS.focal_length,
        distance=FLAGS.camera_distance,
        blur=(FLAGS.sigma_start, FLAGS.sigma_end),
        keep=(
            (FLAGS.keep_start, FLAGS.keep_from, FLAGS.keep_to)
            if FLAGS.keep_start < 1.0
            else None
        ),
        keep_exponential=FLAGS.keep_exponential,
        keep_scheduled=FLAGS.keep_scheduled,
        surface_ramp=(FLAGS.surface_from, FLAGS.surface_full),
        seed=FLAGS.seed,
    )
    weights = (loss.unary, loss.pair, loss.sum, loss.entropy, loss.frame)
    if not any((*weights, found.chamfer, found.projection)):
        raise ValueError(
            "expected a loss of silhouettes; the weights unary, pair, sum, entropy, "
            "frame, chamfer and projection (--lambda_...) are all 0."
        )
    return found


def _check_data(settings: StepSettings, train: records.Split) -> None:
    """Refuses what would fail in the first step.

    Raises:
        ValueError: a grid that does not divide the pictures.
        FileNotFoundError: no weights to begin with.
    """
    height, width = train.metadata["image_size"]
    grid, views = settings.points.grid, train.metadata["views"]
    for name, low in (("views_per_step", 1), ("views_to_use", 0), ("eval_views", 0)):
        if not low <= FLAGS[name].value <= views:
            raise ValueError(
                f"--{name}: expected {low} to {views}, the views of an object; got "
                f"{FLAGS[name].value}."
            )
    if FLAGS.grid_depth == 1:
        raise ValueError("--grid_depth: expected 0, or at least 2; got 1.")
    if height != width or height % grid:
        raise ValueError(
            f"--grid: expected a size that divides square silhouettes; got {grid} for "
            f"{height} x {width}."
        )
    path = FLAGS.pretrained_path
    if path and not any(
        pathlib.Path(f"{path}{end}").exists() for end in ("", ".index")
    ):
        raise FileNotFoundError(f"--pretrained_path: no checkpoint {path}.")


def truth_dir(data_dir: str) -> str | None:
    """Folder of true points: the flag's, or the data's own where it has one."""
    own = pathlib.Path(data_dir) / "truth"
    return FLAGS.truth_dir or (str(own) if own.is_dir() else None)


def experiment(settings, train: records.Split) -> loop.Experiment:
    """The record that the loop trains.

    Args:
        settings: shared flags.
        train: sidecar of the training split.

    Returns:
        `loop.Experiment`.
    """
    found = step_settings()
    overrides = drwr_flags.model_settings()
    system = System(found, settings.steps)
    preset = point_cloud_reconstructor.PRESETS[settings.preset]
    size = {"input_size": 128, **preset, **overrides}["input_size"]
    # The loop tells the splits apart by their names.
    evaluated = "seen" if FLAGS.held_out == FLAGS.train_split else FLAGS.held_out
    truth = truth_dir(settings.data_dir)
    samples = FLAGS.sample_points if FLAGS.lambda_chamfer else 0

    def dataset(split, start, batch_size):
        if split == evaluated:
            return pipeline.evaluation_batches(
                settings.data_dir,
                FLAGS.held_out,
                batch_size,
                input_size=size,
                classes=FLAGS.classes,
                truth_dir=truth,
                truth_points=FLAGS.truth_points,
                views_to_use=FLAGS.eval_views,
                samples=samples,
            )
        return pipeline.training_batches(
            settings.data_dir,
            batch_size,
            views=FLAGS.views_per_step,
            input_size=size,
            classes=FLAGS.classes,
            start=start,
            seed=settings.seed,
            split=FLAGS.train_split,
            random_views=FLAGS.random_views,
            views_to_use=FLAGS.views_to_use,
            samples=samples,
        )

    def model():
        built = models.PointCloudReconstructor.from_preset(settings.preset, **overrides)
        if FLAGS.pretrained_path:
            load_published(built, FLAGS.pretrained_path)
        return built

    known = truth is not None and not FLAGS.predict_pose
    return loop.Experiment(
        name="PointCloudReconstructor",
        model=model,
        optimizer=lambda: keras.optimizers.Adam(
            learning_schedule(settings), epsilon=1e-8
        ),
        dataset=dataset,
        loss=system.loss,
        export=lambda model, folder: export_drwr.write(folder, model),
        metrics=system.metrics,
        images=system.images,
        card=lambda: _card(settings, train),
        best=(_BEST if known else "loss", "min"),
        train_split=FLAGS.train_split,
        test_split=evaluated,
        report=write_results,
    )


class System:
    """Loss, metrics and pictures of the settings in the flags."""

    def __init__(self, settings: StepSettings, steps: int):
        """Makes the loss.

        Args:
            settings: of a step.
            steps: in all, for the schedules.
        """
        self.settings, self.steps = settings, steps
        self.step_loss = StepLoss(settings)

    def loss(self, model, batch, training, step):
        """See `loop.Experiment.loss`."""
        del training
        progress = tf.cast(step, tf.float32) / self.steps
        return self.step_loss(model, batch, progress, step)

    def metrics(self, model, batch):
        """Held-out measures of each object, all views given one after the other.

        With true points: precision, coverage and Chamfer distance x100, their mean over
        the views and the Chamfer distance of the best view; `inside`, the share of
        projections on the foreground. With poses: the loss at the end of training.
        """
        if model.predicts_pose:
            last = tf.constant(self.steps, tf.int64)
            loss, terms = self.step_loss(model, batch, tf.constant(1.0), last)
            return {"loss": loss, **terms}
        images, views = batch["image"], batch["image"].shape[1]
        flat = tf.reshape(images, [-1, *images.shape[2:]])
        points = model(flat, training=False)["points"]
        found = {"inside": object_means(_inside(points, batch, views), views)}
        if "truth" not in batch:
            last = tf.constant(self.steps, tf.int64)
            loss, _ = self.step_loss(model, batch, tf.constant(1.0), last)
            return {"loss": loss, **found}
        truth = tf.repeat(batch["truth"], views, axis=0)
        precision, coverage = (
            100.0 * tf.reduce_mean(tf.sqrt(nearest_points(a, b).square), axis=1)
            for a, b in ((points, truth), (truth, points))
        )
        both = tf.reshape(precision + coverage, [-1, views])
        return {
            _BEST: tf.reduce_mean(both, axis=1),
            "cd_best_view": tf.reduce_min(both, axis=1),
            "precision": object_means(precision, views),
            "coverage": object_means(coverage, views),
            **found,
        }

    def images(self, model, batch):
        """The picture given, and the cloud from there and from the side."""
        images = batch["image"][:, 0]
        found = model(images, training=False)
        points = found["points"].numpy()
        if model.predicts_pose:
            camera = cameras.from_quaternion(
                found["pose"],
                focal_length=self.settings.focal_length,
                distance=self.settings.distance,
            )
        else:
            camera = cameras.Camera(
                batch["world_to_camera"][:, 0], batch["projection"][:, 0]
            )
        turn = cameras.orbit(90.0, 0.0, 0.0)[0]
        side = cameras.Camera(camera.world_to_camera @ turn, camera.projection)
        drawn = [
            np.stack(
                [
                    point_pictures.draw(
                        cloud, cameras.Camera(*(m[i : i + 1] for m in view)), _SHOWN
                    )
                    for i, cloud in enumerate(points)
                ]
            )
            for view in (camera, side)
        ]
        target = tf.image.resize(images, (_SHOWN, _SHOWN))
        return {
            "prediction": tf.concat(drawn, axis=2),
            "target": tf.clip_by_value(target, 0.0, 1.0),
        }


def learning_schedule(settings) -> keras.optimizers.schedules.LearningRateSchedule:
    """Learning rate by update number, as published or a cosine.

    Args:
        settings: shared flags.

    Returns:
        the schedule: constant until --lr_share of the steps and --lr_second from there
        on; or multiplied by --lr_decay every --lr_decay_steps.
    """
    schedules, rate = keras.optimizers.schedules, settings.learning_rate
    if FLAGS.schedule == "cosine":
        found = schedules.CosineDecay(rate, settings.steps)
    elif FLAGS.lr_decay < 1.0:
        found = schedules.ExponentialDecay(
            rate, FLAGS.lr_decay_steps, FLAGS.lr_decay, staircase=True
        )
    else:
        change = int(FLAGS.lr_share * settings.steps)
        found = schedules.PiecewiseConstantDecay([change], [rate, FLAGS.lr_second])
    return Warmup(found, FLAGS.warmup_steps)


def write_results(folder: pathlib.Path, step: int, metrics) -> None:
    """Adds an evaluation to result.csv and result.txt; one of the same step goes.

    Args:
        folder: of the run.
        step: steps done.
        metrics: name -> mean over the held-out objects.
    """
    path = folder / "result.csv"
    rows = []
    if path.exists():
        with path.open(newline="", encoding="utf-8") as file:
            rows = [r for r in csv.DictReader(file) if int(r["step"]) < step]
    rows.append({"step": step, **{k: f"{v:.6g}" for k, v in metrics.items()}})
    with write_file(path, "w") as file:
        writer = csv.DictWriter(file, list(rows[-1]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({k: r.get(k, "") for k in rows[-1]} for r in rows)
    name = _BEST if _BEST in metrics else "loss"
    with write_file(folder / "result.txt", "w") as file:
        file.write("".join(f"{r['step']}: {r.get(name, '')}\n" for r in rows))


def _inside(points, batch, views):
    """Share of the projections on the foreground, [B V].

    Points of picture v are looked at from view v and from the one V // 2 further.
    """
    count = points.shape[1]
    mask = batch["mask"][:, :, ::-1]  # [B, V, H, W, 1], row 0 at the bottom
    side = mask.shape[2]
    shares = []
    for shift in (0, views // 2):
        other = [(v + shift) % views for v in range(views)]
        camera = cameras.Camera(
            *(
                tf.reshape(tf.gather(batch[name], other, axis=1), [-1, 4, 4])
                for name in ("world_to_camera", "projection")
            )
        )
        xy, _ = project_points(points, camera)
        seen = tf.reshape(tf.gather(mask, other, axis=1), [-1, side, side, 1])
        hit = sample_rings(seen, frame_coordinates(xy, side))[..., 0] > 0.5
        framed = tf.reduce_all(tf.abs(xy) <= 0.5, axis=-1)
        both = tf.cast(tf.logical_and(hit, framed), tf.float32)
        shares.append(tf.reduce_sum(both, axis=1) / count)
    return 0.5 * tf.add_n(shares)


def _card(settings, train: records.Split):
    """First sections of the model card."""
    held_out = pipeline.metadata(settings.data_dir, FLAGS.held_out)
    poses = "learned" if FLAGS.predict_pose else "known"
    system = "DPC" if FLAGS.lambda_projection else "DRWR"
    return {
        "What it is": (
            "A picture of an object on white to a cloud of points, learned from "
            "silhouettes: DPC (Insafutdinov and Dosovitskiy, NeurIPS 2018) and DRWR "
            f"(Han et al., ICML 2020). Preset `{settings.preset}`, loss of {system} "
            f"(`{FLAGS.loss_preset}`), poses {poses}."
        ),
        "Data": {
            "training objects": _count(train),
            f"{FLAGS.held_out} objects": _count(held_out),
            "split": "by object" if FLAGS.held_out != FLAGS.train_split else "none",
            "classes": ", ".join(train.metadata["classes"]),
            "views of an object": train.metadata["views"],
        },
    }


def _count(split) -> str:
    """Number of objects, and of all with their variants."""
    names = split.metadata["objects"]
    own = {name.partition(VARIANT)[0] for name in names}
    return str(len(own)) if len(own) == len(names) else f"{len(own)} ({len(names)})"


if __name__ == "__main__":
    cli.run(main)
