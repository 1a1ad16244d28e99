"""Trains an implicit shape with pictures, masks and cameras, through its depth.

    python -m trainers.dvr --flagfile=configs/dvr/multi_view_rgb.cfg \
        --data_dir=DATA --output_dir=RUN

Data: records of `tools.make_dvr_records` in --data_dir, a scene of one object
(--encoder=none) or many objects with pictures for the encoder. configs/README.md lists
the keys of the original's configuration.
"""

import functools

import keras
import numpy as np
import tensorflow as tf
from absl import flags as absl_flags

from datasets import records
from datasets.dvr import pipeline
from tfrender import cameras, losses, models
from tfrender.export import dvr as export_dvr
from tfrender.geometry.extract_surface import extract_surface, vertex_colors
from tfrender.losses import volumetric
from tfrender.models import dvr, encoder_weights
from tfrender.ops.implicit_surface import SurfaceSettings, logit
from tfrender.ops.march_rays import MarchSettings
from tools import cli
from trainers import dvr_flags, flags, loop

dvr_flags.define()

FLAGS = absl_flags.FLAGS
_CELLS = 24  # of the mesh in the log, before it is refined twice
_EVALUATION_SEED = 2**30  # no step of a training has this number


def main():
    """Reads the flags and trains."""
    settings = flags.Settings.from_flags()
    settings.check_preset_and_data(dvr.PRESETS)
    train = pipeline.metadata(settings.data_dir, FLAGS.train_split)
    held_out = pipeline.metadata(settings.data_dir, FLAGS.held_out)
    pipeline.check_disjoint(settings.data_dir, FLAGS.train_split, FLAGS.held_out)
    dvr_flags.check(train.metadata, held_out.metadata)
    loop.train(experiment(settings, train), settings)


def experiment(settings, train: records.Split) -> loop.Experiment:
    """The record that the loop trains.

    Args:
        settings: shared flags.
        train: sidecar of the training split.

    Returns:
        `loop.Experiment`.
    """
    system = System(settings, train)
    image_size = tuple(train.metadata["image_size"])
    return loop.Experiment(
        name="DVR",
        model=functools.partial(_model, settings, train),
        optimizer=lambda: keras.optimizers.Adam(
            _schedule(settings, train),
            epsilon=1e-8,
            global_clipnorm=FLAGS.clip_norm or None,
        ),
        dataset=functools.partial(_batches, settings),
        loss=system.loss,
        export=lambda model, folder: export_dvr.write(
            folder,
            model,
            image_size,
            FLAGS.march_samples,
            FLAGS.threshold,
            FLAGS.padding,
        ),
        metrics=system.metrics,
        images=system.images,
        meshes=system.meshes,
        card=lambda: _card(settings, train),
        best=(FLAGS.best_metric, FLAGS.best_mode),
        test_split=_evaluated(),
    )


class System:
    """Loss, metrics and pictures of the settings in the flags."""

    def __init__(self, settings, train: records.Split):
        """Reads the flags."""
        self.seed = settings.seed
        self.threshold = FLAGS.threshold
        outside = dvr_flags.numbers("outside_range")
        rays = FLAGS.rays_per_chunk
        march = MarchSettings(
            refinement=FLAGS.refinement, refinement_steps=FLAGS.refinement_steps
        )
        if FLAGS.points_per_chunk:
            rays = max(1, FLAGS.points_per_chunk // march.block)
        self.surface = SurfaceSettings(
            march._replace(rays_per_chunk=rays),
            level=logit(FLAGS.threshold),
            half_size=0.5 + FLAGS.padding / 2.0,
            outside_range=tuple(outside) or None,
            use_cube=FLAGS.cube_intersection,
            least_cosine=0.0 if FLAGS.legacy else FLAGS.least_cosine,
            legacy=FLAGS.legacy,
        )
        self.losses = volumetric.VolumetricSettings(
            volumetric.Weights(
                **{
                    name: FLAGS[f"lambda_{name}"].value
                    for name in volumetric.Weights._fields
                }
            ),
            reduction=FLAGS.reduction,
            patch_size=FLAGS.patch_size,
            continuous=FLAGS.sample_continuous,
            object_share=FLAGS.object_share,
            depth_loss=FLAGS.depth_loss,
            always_freespace=FLAGS.always_freespace,
            use_cube=FLAGS.use_cube_intersection,
            outside_far=outside[1] if outside else 2.4,
            occupancy_normal=FLAGS.occupancy_random_normal,
            occupied_at_depth=FLAGS.occupied_at_depth,
            normals=FLAGS.normals,
        )
        self.milestones = dvr_flags.numbers("march_milestones", int)
        self.image_size = tuple(train.metadata["image_size"])

    def samples(self, step):
        """Samples of a ray at a step of the training."""
        passed = [tf.cast(step >= mark, tf.int32) for mark in self.milestones]
        if not passed:
            return FLAGS.march_samples
        doubled = FLAGS.march_start * 2 ** tf.add_n(passed)
        return tf.minimum(doubled, FLAGS.march_samples)

    def loss(self, model, batch, training, step):
        """See `loop.Experiment.loss`."""
        asked, views = self._read(model, batch, training)
        seed = tf.stack([tf.constant(self.seed, tf.int64), tf.cast(step, tf.int64)])
        draws = losses.draw(
            seed, views, FLAGS.rays, self.losses, self.surface.half_size
        )
        march = self.surface.march._replace(samples=self.samples(step))
        terms, surface = losses.volumetric_losses(
            asked, views, draws, self.losses, self.surface._replace(march=march)
        )
        hits = tf.reduce_mean(tf.cast(surface.mask, tf.float32), axis=1)
        return sum(terms.values()), {**terms, "hits": hits}

    def metrics(self, model, batch):
        """Terms of the loss, masks, colours and depth on --eval_rays of each view."""
        asked, views = self._read(model, batch, False)
        height, width = self.image_size
        count = FLAGS.eval_rays or height * width
        settings = self.losses._replace(object_share=0.0)
        if count >= height * width:
            settings = settings._replace(patch_size=1, continuous=False)
            weights = settings.weights._replace(image_gradients=0.0)
            settings = settings._replace(weights=weights)
        # The same rays in every evaluation and for every view.
        seed = tf.constant([self.seed, _EVALUATION_SEED], tf.int64)
        draws = losses.draw(seed, views, count, settings, self.surface.half_size)
        march = self.surface.march._replace(samples=FLAGS.march_samples)
        terms, surface = losses.volumetric_losses(
            asked, views, draws, settings, self.surface._replace(march=march)
        )
        compared = losses.compare_views(views, draws.pixels, surface)
        return {"loss": sum(terms.values()), **terms, **compared}

    def images(self, model, batch):
        """Colours, depth and normals of the shape, and the picture."""
        code = model.encode(_source(model, batch))
        found = model.render(
            _camera(batch),
            self.image_size,
            code,
            samples=FLAGS.march_samples,
            threshold=self.threshold,
            padding=FLAGS.padding,
        )
        mask = found["mask"]
        depth = found["depth"]
        near = tf.reduce_min(tf.where(mask > 0.0, depth, 1e9), [1, 2, 3], keepdims=True)
        far = tf.reduce_max(depth, axis=[1, 2, 3], keepdims=True)
        # Nearer is darker, as in the original's pictures.
        grey = 0.5 + 0.45 * tf.math.divide_no_nan(depth - near, far - near)
        grey = tf.repeat(tf.where(mask > 0.0, grey, 1.0), 3, axis=-1)
        normal = tf.where(mask > 0.0, 0.5 + 0.5 * found["normal"], 1.0)
        colors = [found["rgb"]] if FLAGS.colors else []
        drawn = tf.concat([*colors, grey, normal], axis=2)
        return {
            "prediction": tf.clip_by_value(drawn, 0.0, 1.0),
            "target": batch["image"],
        }

    def meshes(self, model, batch):
        """The shape, coarse enough to be quick."""
        query = model.field.query(model.encode(_source(model, batch)))
        level = self.surface.level

        def evaluate(points):
            logits = query.logits(points, tf.zeros([len(points)], tf.int32))
            return logits.numpy()

        found = extract_surface(
            lambda points: evaluate(points)[:, 0],
            resolution=_CELLS,
            upsampling_steps=2,
            padding=FLAGS.padding,
            threshold=level,
        )
        if FLAGS.colors:
            colors = vertex_colors(
                found.vertices, lambda p: 1.0 / (1.0 + np.exp(-evaluate(p)[:, 1:]))
            )[:, :3]
        else:
            colors = np.full_like(found.vertices, 200, np.uint8)
        return {"mesh": (found.vertices, found.faces, colors)}

    def _read(self, model, batch, training):
        """The shape, ready for points, and the views of a batch."""
        code = model.encode(_source(model, batch), training=training)
        sparse = None
        if FLAGS.lambda_sparse_depth:
            sparse = {
                name: batch[f"sparse_{name}"]
                for name in ("pixels", "points", "depth", "mask")
            }
        hull = batch["hull_depth"] if FLAGS.depth_from_visual_hull else None
        image = tf.ensure_shape(batch["image"], [None, *self.image_size, 3])
        views = losses.Views(
            _camera(batch), image, batch["mask"], batch.get("depth"), hull, sparse
        )
        return model.field.query(code), views


def _evaluated() -> str:
    """Name of the evaluated split; the loop tells the splits apart by their names."""
    same = FLAGS.held_out in ("train", FLAGS.train_split)
    return "seen" if same else FLAGS.held_out


def _camera(batch):
    return cameras.Camera(batch["world_to_camera"], batch["projection"])


def _source(model, batch):
    """What the encoder takes."""
    if model.encoder is None:
        return None
    return batch["object_id" if model.kind == dvr.EMBEDDING else "input"]


def _model(settings, train: records.Split):
    overrides = {name: FLAGS[name].value for name in ("leaky", "colors", "frequencies")}
    for name in ("encoder", "code_size", "hidden_size", "blocks"):
        if FLAGS[name].value is not None:
            overrides[name] = FLAGS[name].value
    if FLAGS.encoder == "none":
        overrides["code_size"] = 0
    if FLAGS.encoder == dvr.EMBEDDING:
        overrides["objects"] = len(train.metadata["objects"])
    if train.metadata["input_size"]:
        overrides["input_size"] = train.metadata["input_size"]
    model = models.DVR.from_preset(settings.preset, **overrides)
    if FLAGS.initial_radius:
        model.field.begin_as_sphere(FLAGS.initial_radius, settings.seed)
    if model.encoder is not None and model.kind != dvr.EMBEDDING:
        if not train.metadata["input_size"]:
            raise ValueError(
                f"{settings.data_dir}: expected records with pictures for the encoder; "
                "make them with tools.make_dvr_records, or set --encoder=none."
            )
        if FLAGS.pretrained_path:
            encoder_weights.load_pretrained(model.encoder, FLAGS.pretrained_path)
    elif FLAGS.pretrained_path:
        raise ValueError(f"--pretrained_path: --encoder={model.kind} takes no weights.")
    return model


def _batches(settings, split, start, batch_size):
    if split == "train":
        return pipeline.training_batches(
            settings.data_dir,
            batch_size,
            start=start,
            seed=settings.seed,
            classes=FLAGS.classes,
            split=FLAGS.train_split,
        )
    return pipeline.evaluation_batches(
        settings.data_dir,
        FLAGS.held_out,
        batch_size,
        classes=FLAGS.classes,
        views="random",
        seed=settings.seed,
    )


def _schedule(settings, train: records.Split):
    """Learning rate by update number; an epoch shows every record once."""
    epochs = dvr_flags.numbers("lr_milestones")
    rates = [settings.learning_rate * FLAGS.lr_gamma**i for i in range(len(epochs) + 1)]
    if not epochs:
        return settings.learning_rate
    steps = [max(1, round(e * train.records / settings.batch_size)) for e in epochs]
    return keras.optimizers.schedules.PiecewiseConstantDecay(steps, rates)


def _card(settings, train: records.Split):
    """First sections of the model card."""
    held_out = pipeline.metadata(settings.data_dir, FLAGS.held_out)
    scene = train.metadata["scene"]
    what = "views" if scene else "objects"
    counts = [
        sum(split.metadata["view_counts"]) if scene else len(split.metadata["objects"])
        for split in (train, held_out)
    ]
    known = [n for n in ("depth", "hull_depth", "sparse") if train.metadata[n]]
    return {
        "What it is": (
            "Differentiable Volumetric Rendering (Niemeyer et al., CVPR 2020): "
            + ("one object" if scene else "a picture of an object")
            + f" as an occupancy field. Preset `{settings.preset}`."
        ),
        "Data": {
            f"training {what}": counts[0],
            f"held-out {what}": counts[1],
            "split": f"by {what[:-1]}"
            if FLAGS.held_out != FLAGS.train_split
            else "none",
            "image size": "x".join(map(str, train.metadata["image_size"])),
            "beside images and masks": ", ".join(known) or "nothing",
            "source": train.metadata.get("source", ""),
        },
    }


if __name__ == "__main__":
    cli.run(main)
