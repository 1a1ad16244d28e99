"""Trains a network that makes a mesh from one picture, with silhouettes alone.

    python -m trainers.mesh_reconstruction \
        --flagfile=configs/mesh_reconstruction/multiclass.cfg

Data: records of `tools.render_dataset --system=mesh_reconstruction` in --data_dir, made
from meshes or from the published npz files. Each example is two of the 24 pictures of
an object; the shape predicted from either must fit both silhouettes. configs/README.md
lists the original's names of the flags.
"""

import pathlib

import keras
import tensorflow as tf
from absl import flags as absl_flags

from datasets import records
from datasets.mesh_reconstruction import pipeline, views
from tfrender import losses, metrics, models
from tfrender.export import mesh_reconstructor as export_reconstructor
from tfrender.geometry.edges import edge_topology, lower_end_first
from tfrender.layers.lamps import PUBLISHED_LIGHTS
from tfrender.layers.mesh_renderer import MeshRenderer
from tfrender.layers.training_renderers import RENDERERS, training_renderer
from tfrender.models import mesh_reconstructor
from tfrender.ops.voxelize_triangles import published_voxels
from tfrender.optimizers import SkipZeroAdam
from tools import cli
from trainers import flags, loop
from trainers.schedules import Warmup

flags.define(learning_rate=1e-4, batch_size=64, steps=1_000_000, preset="paper")

absl_flags.DEFINE_list(
    "class_ids", None, "Classes to train on, ids or names; all where not given."
)
absl_flags.DEFINE_enum("renderer", "published", RENDERERS, "Of the training pictures.")
flags.define_finite("sigma", 1e-4, "Softness of --renderer=soft.", 1e-7, 1e-1)
flags.define_finite(
    "lambda_smoothness", 0.0, "Weight of the folds along edges (flatten loss).", 0.0
)
flags.define_finite("lambda_laplacian", 0.0, "Weight of the Laplacian loss.", 0.0)
flags.define_finite(
    "lambda_color", 0.0, "Weight of the colours; above 0 the vertices have some.", 0.0
)
flags.define_finite(
    "lr_reduce_point", 0.95, "Share of the steps after which the rate is a tenth.", 0, 1
)
absl_flags.DEFINE_enum(
    "schedule", "step", ["step", "cosine"], "A tenth at --lr_reduce_point, or to 0."
)
absl_flags.DEFINE_integer("warmup_steps", 0, "Updates until the full learning rate.", 0)
flags.define_finite("clip_norm", 0.0, "Longest gradient of all weights; 0 is any.", 0)
flags.define_finite("dropout", 0.0, "Share of the code dropped in training.", 0, 0.9)
flags.define_finite("margin", 0.0, "See tfrender.ops.deform_template.", 0.0, 0.4)
absl_flags.DEFINE_bool(
    "mirror", False, "Also train on mirrored objects: pictures and azimuths reversed."
)
flags.define_finite(
    "color_jitter", 0.0, "Share by which colours of the input change at random.", 0, 1
)
absl_flags.DEFINE_string("held_out", "validation", "Split that is evaluated.")
absl_flags.DEFINE_list("eval_views", ["0", "6", "12", "18"], "Views evaluated.")
# Names of the original's flags.
_ALIASES = {
    "dataset_directory": "data_dir",
    "dd": "data_dir",
    "cls": "class_ids",
    "bs": "batch_size",
    "ls": "lambda_smoothness",
    "lr": "learning_rate",
    "lrp": "lr_reduce_point",
    "num_iterations": "steps",
    "ni": "steps",
    "log_interval": "eval_every",
    "li": "eval_every",
    "s": "seed",
}
for _old, _new in _ALIASES.items():
    absl_flags.DEFINE_alias(_old, _new)

_SHOWN = 128  # pixels of a side of the pictures in the log
# Azimuth between the view that a shape was made from and the one it is also shown in.
_OTHER_VIEW = 135.0

FLAGS = absl_flags.FLAGS


def main():
    """Reads the flags and trains."""
    settings = flags.Settings.from_flags()
    settings.check_preset_and_data(mesh_reconstructor.PRESETS)
    folder = pathlib.Path(settings.data_dir)
    if any(folder.glob("*_images.npz")) and not (folder / "train.json").exists():
        raise ValueError(
            f"{folder}: holds the published npz files; make records of them once with "
            f"python -m tools.convert_legacy --npz_dir={folder} --output=FOLDER"
        )
    train = pipeline.metadata(settings.data_dir, "train")
    pipeline.metadata(settings.data_dir, FLAGS.held_out)
    pipeline.check_disjoint(settings.data_dir, "train", FLAGS.held_out)
    loop.train(experiment(settings, train), settings)


def experiment(settings, train: records.Split) -> loop.Experiment:
    """The record that the loop trains.

    Args:
        settings: shared flags.
        train: sidecar of the training split.

    Returns:
        `loop.Experiment`.
    """
    eval_views = views.view_numbers(FLAGS.eval_views, "--eval_views")
    system = System()
    # The loop tells the splits apart by their names.
    evaluated = "seen" if FLAGS.held_out == "train" else FLAGS.held_out

    def dataset(split, start, batch_size):
        if split == evaluated:
            return pipeline.evaluation_batches(
                settings.data_dir,
                FLAGS.held_out,
                batch_size,
                classes=FLAGS.class_ids,
                views=eval_views,
            )
        return pipeline.training_batches(
            settings.data_dir,
            batch_size,
            classes=FLAGS.class_ids,
            start=start,
            seed=settings.seed,
            mirror=FLAGS.mirror,
            jitter=FLAGS.color_jitter,
        )

    overrides = {
        "colors": FLAGS.lambda_color > 0,
        "dropout": FLAGS.dropout,
        "margin": FLAGS.margin,
    }
    return loop.Experiment(
        name="MeshReconstructor",
        model=lambda: models.MeshReconstructor.from_preset(
            settings.preset, image_size=views.IMAGE_SIZE, **overrides
        ),
        optimizer=lambda: SkipZeroAdam(
            _schedule(settings),
            multipliers={"centroid": 0.1},
            global_clipnorm=FLAGS.clip_norm or None,
        ),
        dataset=dataset,
        loss=system.loss,
        export=lambda model, folder: export_reconstructor.write(folder, model),
        metrics=system.metrics,
        images=system.images,
        card=lambda: _card(settings, train),
        best=("voxel_iou", "max"),
        test_split=evaluated,
    )


class System:
    """Loss, metrics and pictures of the settings in the flags."""

    def __init__(self):
        """Makes the renderers and the tables of the template."""
        size = views.IMAGE_SIZE
        self.renderer = training_renderer(FLAGS.renderer, size, sigma=FLAGS.sigma)
        self.measuring = MeshRenderer((size, size), supersampling=2)
        self.showing = MeshRenderer(
            (_SHOWN, _SHOWN), supersampling=2, lights=PUBLISHED_LIGHTS
        )
        topology = edge_topology(mesh_reconstructor.sphere_template().faces)
        self.wings = lower_end_first(topology.wings)
        self.edges = topology.edges

    def loss(self, model, batch, training, step):
        """See `loop.Experiment.loss`."""
        del step
        both = tf.concat([batch["image_a"], batch["image_b"]], axis=0)
        shapes = model(both, training=training)
        pair = [
            {name: tf.split(value, 2)[i] for name, value in shapes.items()}
            for i in range(2)
        ]
        terms = losses.two_view_losses(
            self.renderer,
            pair,
            model.faces,
            [views.camera(batch["azimuth_a"]), views.camera(batch["azimuth_b"])],
            [batch["image_a"], batch["image_b"]],
            straight=FLAGS.renderer == "soft",
        )
        total = terms["silhouette"]
        if FLAGS.lambda_color:
            total += FLAGS.lambda_color * terms["color"]
        for name, weight, penalty in (
            (
                "smoothness",
                FLAGS.lambda_smoothness,
                lambda v: losses.flatten_loss(v, self.wings),
            ),
            (
                "laplacian",
                FLAGS.lambda_laplacian,
                lambda v: losses.uniform_laplacian_loss(v, self.edges),
            ),
        ):
            if weight:
                parts = tf.split(penalty(shapes["vertices"]), 2)
                terms[name] = 0.5 * (parts[0] + parts[1])
                total += weight * terms[name]
        return total, terms

    def metrics(self, model, batch):
        """IoU of the voxels, and of silhouettes in the view given and an unseen one."""
        vertices = model(batch["image"], training=False)["vertices"]
        voxels = published_voxels(vertices, model.faces, views.VOXELS)
        found = {"voxel_iou": metrics.voxel_iou(batch["voxels"] > 0, voxels)}
        for name, image, azimuth in (
            ("silhouette_iou", "image", "azimuth"),
            ("unseen_iou", "image_other", "azimuth_other"),
        ):
            alpha = self.measuring.silhouettes(
                vertices, model.faces, views.camera(batch[azimuth])
            )
            found[name] = 1.0 - losses.silhouette_iou_loss(batch[image][..., 3:], alpha)
        return found

    def images(self, model, batch):
        """Shapes from the view given and from another one, beside the pictures."""
        shapes = model(batch["image"], training=False)
        pictures = [
            self.showing(
                shapes["vertices"],
                model.faces,
                views.camera(batch["azimuth"] + turn),
                vertex_colors=shapes.get("colors"),
                outputs=("rgb",),
            )["rgb"]
            for turn in (0.0, _OTHER_VIEW)
        ]
        targets = [
            tf.image.resize(batch[name][..., :3], (_SHOWN, _SHOWN), "nearest")
            for name in ("image", "image_other")
        ]
        return {
            "prediction": tf.clip_by_value(tf.concat(pictures, axis=2), 0.0, 1.0),
            "target": tf.concat(targets, axis=2),
        }


def _schedule(settings):
    """Learning rate by update number."""
    schedules = keras.optimizers.schedules
    rate, steps = settings.learning_rate, settings.steps
    if FLAGS.schedule == "cosine":
        schedule = schedules.CosineDecay(rate, steps)
    else:
        change = int(FLAGS.lr_reduce_point * steps)
        schedule = schedules.PiecewiseConstantDecay([change], [rate, 0.1 * rate])
    return Warmup(schedule, FLAGS.warmup_steps)


def _card(settings, train: records.Split):
    """First sections of the model card."""
    held_out = records.read_split(settings.data_dir, FLAGS.held_out)
    return {
        "What it is": (
            "Single-image mesh reconstruction (Kato, Ushiku and Harada, Neural 3D Mesh "
            "Renderer, CVPR 2018): a picture of an object on black to a mesh of 642 "
            f"vertices. Preset `{settings.preset}`, renderer `{FLAGS.renderer}`."
        ),
        "Data": {
            "training objects": len(train.metadata.get("objects", ())),
            f"{FLAGS.held_out} objects": len(held_out.metadata.get("objects", ())),
            "split": "by object" if FLAGS.held_out != "train" else "none",
            "classes": ", ".join(pipeline.classes_of(settings.data_dir, "train")),
            **{
                key: value
                for key, value in train.metadata.items()
                if key not in ("objects", "classes")
            },
        },
    }


if __name__ == "__main__":
    cli.run(main)
