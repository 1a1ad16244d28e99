"""Scores an exported RenderNet on held-out objects, beside baselines.

    python -m tools.evaluate_rendernet --model=RUN/saved_model --data_dir=DATA

Prints mean PSNR (the mean of the pictures' values), absolute error, angle between
normals and silhouette IoU; with --output_dir also writes report.json and a contact
sheet of voxels, network and truth. Baselines: a black picture, the mean training
picture, and the true silhouette in the mean foreground colour of the training pictures
(an oracle).
"""

import json
import pathlib
from collections.abc import Callable

import numpy as np
import tensorflow as tf
from absl import flags

from datasets import records
from datasets.rendernet import examples, pipeline
from tfrender import io, metrics
from tfrender.export import card, saved_model
from tools import cli, pictures, progress

# The mean picture is taken over at most this many training pictures.
_MEAN_OF = 512

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Defines the flags; not at import, because names are global to a process."""
    flags.DEFINE_string("model", None, "SavedModel folder.", required=True)
    flags.DEFINE_string("data_dir", None, "Folder of the records.", required=True)
    flags.DEFINE_string("split", "test", "Split to score.")
    flags.DEFINE_string("output_dir", None, "Folder for report and pictures.")
    flags.DEFINE_integer("batch_size", 4, "Pictures at a time.", 1, 16)
    flags.DEFINE_boolean("card", False, "Write the table into MODEL/model_card.md.")
    flags.DEFINE_integer("rows", 8, "Objects on the contact sheet.", 1, 64)


def mean_picture_and_color(data_dir: str, resolution: int, channels: int):
    """Mean training picture, and mean colour of the training foreground.

    Args:
        data_dir: folder of the records.
        resolution: side of the voxel grid.
        channels: 1 or 3.

    Returns:
        float32 [H, W, C] and [C].
    """
    total, color, pixels, count = 0.0, 0.0, 0.0, 0
    batches = pipeline.evaluation_batches(data_dir, "train", resolution, channels, 8)
    for batch in batches.take(_MEAN_OF // 8):
        image = batch["image"].numpy().astype(np.float64)
        inside = np.stack([_foreground(picture) for picture in image])
        total = total + image.sum(0)
        color = color + (image * inside).sum((0, 1, 2))
        pixels += inside.sum()
        count += len(image)
    return (total / count).astype(np.float32), (color / max(pixels, 1)).astype("f")


def scores(target: np.ndarray, prediction: np.ndarray) -> dict[str, np.ndarray]:
    """Measures of a batch of pictures.

    Args:
        target: [B, H, W, C] in [0, 1].
        prediction: [B, H, W, C] in [0, 1].

    Returns:
        measure -> [B]; angle and IoU for normal maps (three channels) only.
    """
    found = metrics.picture_scores(tf.constant(target), tf.constant(prediction))
    return {name: value.numpy() for name, value in found.items()}


def predictors(signature, mean, color) -> dict[str, Callable]:
    """What is compared: the network and the baselines, as batch -> pictures."""

    def network(batch):
        voxels = batch["voxels"].numpy().astype(np.float32)
        return signature(voxels=voxels, pose=batch["pose"].numpy())["image"]

    def silhouette(batch):
        return np.stack([_flat(picture, color) for picture in batch["image"].numpy()])

    return {
        "network": network,
        "all black": lambda batch: np.zeros_like(batch["image"].numpy()),
        "mean training picture": lambda b: np.broadcast_to(mean, b["image"].shape),
        "true silhouette in mean colour": silhouette,
    }


def _foreground(picture: np.ndarray) -> np.ndarray:
    """1 where a picture in [0, 1] shows the object, [H, W, 1]."""
    return pictures.foreground(io.to_uint8(picture))[..., np.newaxis].astype("f")


def _flat(picture: np.ndarray, color: np.ndarray) -> np.ndarray:
    """A picture in [0, 1] with its object in one colour on its own background."""
    inside = _foreground(picture)
    behind = pictures.background(io.to_uint8(picture)).astype("f") / 255.0
    return inside * color + (1.0 - inside) * behind


def main():
    """Reads the flags, scores the split."""
    with records.naming_errors(FLAGS.data_dir):
        evaluate()


def evaluate() -> None:
    """Scores every picture of the split and prints a table."""
    signature = saved_model.load_signature(FLAGS.model)
    if set(signature.inputs) != {"voxels", "pose"}:
        raise ValueError(f"{FLAGS.model}: expected a RenderNet, found another model.")
    resolution = signature.inputs["voxels"].shape[1]
    channels = signature.outputs["image"].shape[-1]
    split = pipeline.metadata(FLAGS.data_dir, FLAGS.split, resolution)
    mean, color = mean_picture_and_color(FLAGS.data_dir, resolution, channels)
    batches = pipeline.evaluation_batches(
        FLAGS.data_dir, FLAGS.split, resolution, channels, FLAGS.batch_size
    )
    methods = predictors(signature, mean, color)
    found: dict[str, list] = {name: [] for name in methods}
    rows, seen = [], set()
    for batch in progress.bar(batches, f"scoring {FLAGS.split}"):
        target = batch["image"].numpy()
        for name, method in methods.items():
            prediction = np.asarray(method(batch), np.float32)
            found[name].append(scores(target, prediction))
            if name == "network":
                rows += _new_rows(batch, prediction, seen)
    report = {
        name: {
            key: float(np.concatenate([part[key] for part in parts]).mean())
            for key in parts[0]
        }
        for name, parts in found.items()
    }
    print(table(report))
    print(
        f"{split.records} pictures of {len(split.metadata.get('objects', ()))} "
        f"objects, split {FLAGS.split}"
    )
    if FLAGS.card:
        _write_card(report, split)
    if FLAGS.output_dir:
        _write(pathlib.Path(FLAGS.output_dir), report, split, rows)


def table(report: dict[str, dict[str, float]]) -> str:
    """Markdown table of the report."""
    keys = list(next(iter(report.values())))
    lines = ["| method | " + " | ".join(keys) + " |", "|---" * (len(keys) + 1) + "|"]
    for name, values in report.items():
        cells = " | ".join(f"{values[key]:.4g}" for key in keys)
        lines.append(f"| {name} | {cells} |")
    return "\n".join(lines)


def _new_rows(batch, prediction, seen) -> list[np.ndarray]:
    """Voxels | network | truth of objects that are not on the sheet yet."""
    rows = []
    names = [name.decode() for name in batch["object"].numpy()]
    for i, name in enumerate(names):
        if name in seen or len(seen) >= FLAGS.rows:
            continue
        seen.add(name)
        voxels = pictures.front_faces(
            batch["voxels"][i : i + 1, ..., 0].numpy(), batch["pose"][i : i + 1].numpy()
        )[0]
        pair = [prediction[i], batch["image"][i].numpy()]
        pair = [np.broadcast_to(p, (*p.shape[:2], 3)) for p in pair]
        rows += [voxels, *pair]
    return rows


def _write_card(report, split: records.Split) -> None:
    """Puts the table and the names of the objects into the model's card."""
    objects = split.metadata.get("objects", [])
    text = (
        f"    python -m tools.evaluate_rendernet --model={FLAGS.model} "
        f"--data_dir={FLAGS.data_dir} --split={FLAGS.split}\n\n{table(report)}\n\n"
        f"{split.records} pictures of {len(objects)} objects: {', '.join(objects)}."
    )
    path = pathlib.Path(FLAGS.model) / "model_card.md"
    card.replace_section(str(path), f"Scores on the split `{FLAGS.split}`", text)


def _write(folder: pathlib.Path, report, split: records.Split, rows) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    io.write_png(folder / "contact_sheet.png", io.tile_images(rows, columns=6, pad=2))
    with io.write_file(folder / "report.json", "w") as file:
        json.dump(
            {
                "model": FLAGS.model,
                "data": FLAGS.data_dir,
                "split": FLAGS.split,
                "pictures": split.records,
                "objects": split.metadata.get("objects", []),
                "schema": examples.SCHEMA._asdict(),
                "scores": report,
            },
            file,
            indent=1,
        )
    print(f"wrote {folder}/contact_sheet.png and report.json")


if __name__ == "__main__":
    define_flags()
    cli.run(main)
