"""Trains RenderNet's shader network.

    python -m trainers.rendernet --flagfile=configs/rendernet/shader.cfg

Data: TFRecords of `tools.render_dataset` in --data_dir, or the layout of the original,
--image_path and --image_path_valid (tars of pictures) with --model_path (binvox files),
which is converted into --data_dir once. configs/README.md lists the original's names.
"""

import dataclasses
import os
import pathlib
import subprocess
import sys
import time

import keras
import tensorflow as tf
from absl import flags as absl_flags

from datasets import records
from datasets.rendernet import legacy, pipeline
from tfrender import losses, metrics, models
from tfrender.export import rendernet as export_rendernet
from tfrender.models import rendernet
from tools import cli
from trainers import flags, loop, strategies
from trainers.schedules import Warmup

flags.define(learning_rate=1e-5, batch_size=24, checkpoint_minutes=120.0)

absl_flags.DEFINE_string("image_path", None, "Training pictures: tar or folder.")
absl_flags.DEFINE_string("image_path_valid", None, "Held-out pictures: tar or folder.")
absl_flags.DEFINE_string("model_path", None, "Folder of the binvox models.")
absl_flags.DEFINE_bool("is_greyscale", False, "One channel and cross entropy.")
absl_flags.DEFINE_integer(
    "gpu", None, "Use this GPU alone, where there are several.", 0
)
absl_flags.DEFINE_integer(
    "batches_chunk", 2, "Batches prepared ahead of the trainer.", 1
)
flags.define_finite("max_epochs", None, "Length in epochs, in place of --steps.", 0.0)
flags.define_finite("threshold", 0.1, "Voxels above it count as full.", 0.0, 1.0)
flags.define_finite("keep_prob", 0.75, "Share of values that dropout keeps.", 0.01, 1.0)
absl_flags.DEFINE_integer("decay_steps", 100_000, "Updates between decays.", 1)
absl_flags.DEFINE_enum(
    "schedule", "staircase", ["staircase", "cosine"], "0.96 a --decay_steps; or to 0."
)
absl_flags.DEFINE_integer("warmup_steps", 0, "Updates until the full learning rate.", 0)
flags.define_finite(
    "clip_norm", 0.0, "Longest gradient of all weights together; 0 is any.", 0.0
)
absl_flags.DEFINE_string("trained_model_name", "RenderNet", "Title of the model card.")
absl_flags.DEFINE_integer("checkpoint_secs", None, "Seconds between saves.", 0)
absl_flags.DEFINE_list("crops", ["32", "64"], "Sides of the crops in camera cells.")
absl_flags.DEFINE_list("crop_epochs", ["5"], "Epochs of every crop size but the last.")
flags.define_finite("crop_focus", 0.8, "Share of crops around the object.", 0.0, 1.0)
absl_flags.DEFINE_enum(
    "border", "legacy", ["legacy", "zero_pad"], "Border rule of the resampler."
)
absl_flags.DEFINE_bool("compile_resampling", True, "Compile the resampler with XLA.")
absl_flags.DEFINE_string("held_out", "validation", "Split that is evaluated.")
absl_flags.DEFINE_enum(
    "loss",
    "auto",
    ["auto", "squared_error", "cross_entropy"],
    "auto: cross entropy for grey, squared error for colour, as published.",
)
# Names of the original's configuration files.
_ALIASES = {
    "e_eta": "learning_rate",
    "sample_save": "output_dir",
    "check_point_secs": "checkpoint_secs",
}
for _old, _new in _ALIASES.items():
    absl_flags.DEFINE_alias(_old, _new)
# A continued run may change these; what they come to is in the shared flags.
_STEERING = {*_ALIASES, "max_epochs", "checkpoint_secs", "gpu", "batches_chunk"}

_WAIT_SECONDS = 3600.0  # of a worker for the records that the chief converts

FLAGS = absl_flags.FLAGS


def main():
    """Reads the flags, prepares the data and trains."""
    settings = flags.Settings.from_flags()
    flags.refuse_both(
        ("max_epochs", "steps"), ("checkpoint_secs", "checkpoint_minutes")
    )
    own = {name: text for name, text in settings.own.items() if name not in _STEERING}
    settings = dataclasses.replace(settings, own=own)
    if FLAGS.gpu is not None:
        _show_gpu(FLAGS.gpu)
    if FLAGS.checkpoint_secs is not None:
        minutes = FLAGS.checkpoint_secs / 60.0
        settings = dataclasses.replace(settings, checkpoint_minutes=minutes)
    resolution = rendernet.PRESETS.get(settings.preset, {}).get("input_size")
    if resolution is None:
        raise ValueError(
            f"--preset: expected one of {list(rendernet.PRESETS)}; got "
            f"{settings.preset!r}."
        )
    if FLAGS.image_path:
        settings = dataclasses.replace(settings, data_dir=prepare_legacy(settings))
    if not settings.data_dir:
        raise ValueError("--data_dir: expected a folder of records, or --image_path.")
    train = pipeline.metadata(settings.data_dir, "train", resolution)
    held_out = pipeline.metadata(settings.data_dir, FLAGS.held_out, resolution)
    _note_shared_objects(train, held_out)
    if FLAGS.max_epochs:
        steps = max(1, round(FLAGS.max_epochs * train.records / settings.batch_size))
        settings = dataclasses.replace(settings, steps=steps)
    loop.train(experiment(settings, train, resolution), settings)


def experiment(settings, train: records.Split, resolution: int) -> loop.Experiment:
    """The record that the loop trains.

    Args:
        settings: shared flags.
        train: sidecar of the training split.
        resolution: side of the voxel grid.

    Returns:
        `loop.Experiment`.
    """
    channels = 1 if FLAGS.is_greyscale else 3
    phases = pipeline.curriculum(
        _numbers("crops", int),
        _numbers("crop_epochs", float),
        train.records,
        settings.batch_size,
    )
    if max(phase.window for phase in phases) > 2 * resolution:
        raise ValueError(
            f"--crops: expected at most {2 * resolution} cells for preset "
            f"{settings.preset}; got {','.join(FLAGS.crops)}."
        )

    def dataset(split, start, batch_size):
        if split != "train":
            whole = pipeline.evaluation_batches(
                settings.data_dir, split, resolution, channels, batch_size
            )
            return whole.map(_numbers_alone)
        return pipeline.training_batches(
            settings.data_dir,
            resolution,
            channels,
            phases,
            batch_size,
            start=start,
            seed=settings.seed,
            focus=FLAGS.crop_focus,
            ahead=FLAGS.batches_chunk,
        )

    def export(model, directory):
        # A three-channel shader is trained on normal maps, which light can be put on.
        return export_rendernet.write(directory, model, shaded=channels == 3)

    return loop.Experiment(
        name=FLAGS.trained_model_name,
        model=lambda: models.RenderNet.from_preset(
            settings.preset,
            channels=channels,
            keep_prob=FLAGS.keep_prob,
            threshold=FLAGS.threshold,
            border=FLAGS.border,
            jit_compile_resampling=FLAGS.compile_resampling,
        ),
        optimizer=lambda: keras.optimizers.Adam(
            _schedule(settings),
            beta_1=0.5,
            beta_2=0.999,
            epsilon=1e-8,
            global_clipnorm=FLAGS.clip_norm or None,
        ),
        dataset=dataset,
        loss=_loss,
        export=export,
        metrics=_metrics,
        images=_images,
        card=lambda: _card(settings, train),
        best=("psnr", "max"),
        test_split=FLAGS.held_out,
    )


def prepare_legacy(settings) -> str:
    """Converts the layout of the original to records, unless that was done before.

    The chief converts, in other processes, because TensorFlow must not start in this
    one before the loop has made the devices; the other workers wait for the sidecars.

    Args:
        settings: shared flags; `data_dir` may be empty.

    Returns:
        Folder of the records.

    Raises:
        FormatError: records that were made from something else, or broken input.
    """
    for name in ("image_path_valid", "model_path"):
        if not FLAGS[name].value:
            raise ValueError(f"--{name}: needed beside --image_path; found none.")
    folder = settings.data_dir or f"{settings.output_dir.rstrip('/')}_data"
    sources = {"train": FLAGS.image_path, FLAGS.held_out: FLAGS.image_path_valid}
    for images in sources.values():  # before hours of work on the first of them
        legacy.origin(images, FLAGS.model_path)
    for split, images in sources.items():
        sidecar = pathlib.Path(folder) / f"{split}.json"
        if not sidecar.exists():
            if strategies.is_chief(settings.strategy):
                _convert(images, folder, split)
            else:
                _wait_for(sidecar)
        legacy.check_origin(folder, split, images, FLAGS.model_path)
    return folder


def _convert(images: str, folder: str, split: str) -> None:
    """Runs tools.convert_legacy; its error becomes one of this process."""
    command = [sys.executable, "-m", "tools.convert_legacy", f"--image_path={images}"]
    command += [f"--model_path={FLAGS.model_path}", f"--output={folder}"]
    root = str(pathlib.Path(__file__).resolve().parents[1])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "CUDA_VISIBLE_DEVICES": "-1",  # decoding pictures needs no GPU
    }
    done = subprocess.run(
        [*command, f"--split={split}"],
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
        raise ValueError(f"cannot convert {images}: {last.removeprefix('error: ')}")


def _wait_for(sidecar: pathlib.Path) -> None:
    """Waits until the chief has converted a split."""
    limit = time.monotonic() + _WAIT_SECONDS
    while not sidecar.exists():
        if time.monotonic() > limit:
            raise ValueError(
                f"{sidecar}: the chief did not make it in {_WAIT_SECONDS / 60:g} "
                "minutes; all workers need the same folder."
            )
        time.sleep(1.0)


def _shared_objects(train: records.Split, held_out: records.Split) -> set[str]:
    """Objects that are trained on and evaluated."""
    both = set(train.metadata.get("objects", ()))
    return both & set(held_out.metadata.get("objects", ()))


def _note_shared_objects(train: records.Split, held_out: records.Split) -> None:
    """Says when the held-out figures are of objects that are trained on."""
    both = _shared_objects(train, held_out)
    if both:
        print(
            f"note: {len(both)} objects are in train and in {FLAGS.held_out}, "
            f"{min(both)} the first; the held-out figures are not of new objects.",
            flush=True,
        )


def _loss(model, batch, training, step):
    prediction = _draw(model, batch, training)
    target = batch["image"]
    kind = FLAGS.loss
    if kind == "auto":
        kind = "cross_entropy" if target.shape[-1] == 1 else "squared_error"
    if kind == "cross_entropy":
        loss = losses.cross_entropy_sum(target, prediction)
    else:
        loss = losses.squared_error(target, prediction)
    return loss, {"psnr": metrics.psnr(target, prediction)}


def _metrics(model, batch):
    return metrics.picture_scores(batch["image"], _draw(model, batch, False))


def _images(model, batch):
    return {"prediction": _draw(model, batch, False), "target": batch["image"]}


def _draw(model, batch, training):
    """Prediction for a batch of crops or whole pictures."""
    inputs = {key: batch[key] for key in ("voxels", "pose", "origin") if key in batch}
    height, width = batch["image"].shape[1:3]
    return model(inputs, training=training, window=(height // 4, width // 4))


def _schedule(settings):
    """Learning rate by update number."""
    schedules = keras.optimizers.schedules
    if FLAGS.schedule == "cosine":
        schedule = schedules.CosineDecay(settings.learning_rate, settings.steps)
    else:
        schedule = schedules.ExponentialDecay(
            settings.learning_rate, FLAGS.decay_steps, 0.96, staircase=True
        )
    return Warmup(schedule, FLAGS.warmup_steps)


def _card(settings, train: records.Split):
    """First sections of the model card."""
    held_out = records.read_split(settings.data_dir, FLAGS.held_out)
    count = {
        name: len(split.metadata.get("objects", ()))
        for name, split in (("train", train), (FLAGS.held_out, held_out))
    }
    return {
        "What it is": (
            "RenderNet (Nguyen-Phuoc et al., NeurIPS 2018): a convolutional network "
            f"that renders a voxel grid from any pose. Preset `{settings.preset}`."
        ),
        "Data": {
            "training pictures": train.records,
            "training objects": count["train"],
            f"{FLAGS.held_out} pictures": held_out.records,
            f"{FLAGS.held_out} objects": count[FLAGS.held_out],
            "split": _kind_of_split(train, held_out),
            **{
                key: value
                for key, value in train.metadata.items()
                if key not in ("objects",)
            },
        },
    }


def _kind_of_split(train: records.Split, held_out: records.Split) -> str:
    """What the card says of the objects in two splits."""
    if not (train.metadata.get("objects") and held_out.metadata.get("objects")):
        return "unknown: the data do not list their objects"
    both = len(_shared_objects(train, held_out))
    return f"not by object: {both} objects are in both" if both else "by object"


def _numbers_alone(batch):
    """A batch without the names of its objects: a GPU holds no strings."""
    return {name: value for name, value in batch.items() if name != "object"}


def _numbers(name: str, kind):
    try:
        return [kind(text) for text in FLAGS[name].value if text]
    except ValueError:
        found = ",".join(FLAGS[name].value)
        raise ValueError(f"--{name}: expected numbers by comma; got {found}.") from None


def _show_gpu(number: int) -> None:
    """Hides every GPU but one; a machine without GPUs computes on its CPU."""
    found = tf.config.list_physical_devices("GPU")
    if found and number >= len(found):
        raise ValueError(f"--gpu: expected at most {len(found) - 1}; got {number}.")
    if found:
        tf.config.set_visible_devices(found[number], "GPU")


if __name__ == "__main__":
    cli.run(main)
