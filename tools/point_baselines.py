"""Answers to single-picture point clouds that need no network.

    python -m tools.point_baselines --data_dir=DATA --split=test --method=nearest \
        --output_dir=OUT
    python -m tools.evaluate_points --predictions=OUT --truth=DATA/truth

How good is knowing the training data? Written as tools.predict_points writes, so that
both are scored alike:

- nearest: of each picture, the true points of the training object (variants included)
  that has the most similar silhouette in any of its views, by intersection over union;
- mean: points drawn from all training objects at once, the mean shape;
- medoid: the one training object that is nearest to all others, by Chamfer distance.
"""

import json
import pathlib

import numpy as np
from absl import flags

from datasets.drwr import pipeline, truth
from datasets.mesh_reconstruction.generation import VARIANT
from tfrender import io
from tfrender.metrics.points import precision_coverage
from tools import cli, point_files, progress

FLAGS = flags.FLAGS
METHODS = ("nearest", "mean", "medoid")
_SIDE = 32  # pixels of the silhouettes that are compared
_MEDOID_POINTS = 256


def define_flags() -> None:
    """Defines the flags; not at import, because names are global to a process."""
    flags.DEFINE_string("data_dir", None, "Folder of the records.", required=True)
    flags.DEFINE_string("output_dir", None, "Folder of the answers.", required=True)
    flags.DEFINE_string("truth", None, "True points; DATA_DIR/truth by default.")
    flags.DEFINE_string("train_split", "train", "Split that is known.")
    flags.DEFINE_string("split", "test", "Split that is answered.")
    flags.DEFINE_enum("method", "nearest", METHODS, "See above.")
    flags.DEFINE_integer("points", 1024, "Points of an answer.", 1, 1_000_000)
    flags.DEFINE_integer("seed", 0, "Of the points drawn.", 0, 2**31 - 1)


def silhouettes(data_dir: str, split: str) -> np.ndarray:
    """Masks of all views of a split, coarse.

    Args:
        data_dir: folder of the records.
        split: name of the split.

    Returns:
        float32 [objects, V, 1024] shares of foreground, in the order of `objects_of`.

    Raises:
        FileNotFoundError, FormatError: see `pipeline.metadata`.
    """
    found = []
    for batch in pipeline.evaluation_batches(data_dir, split, 16, input_size=16):
        mask = batch["mask"].numpy()[..., 0]  # [B, V, H, W]
        count, views, height, width = mask.shape
        if height % _SIDE or width % _SIDE:
            raise ValueError(
                f"{data_dir}: expected pictures of a multiple of {_SIDE} pixels; got "
                f"{height} x {width}."
            )
        cells = mask.reshape(
            count, views, _SIDE, height // _SIDE, _SIDE, width // _SIDE
        )
        found.append(cells.mean((3, 5)).reshape(count, views, -1))
    return np.concatenate(found).astype(np.float32)


def most_similar(known: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Object with the most similar silhouette.

    Args:
        known: [K, V, P] of `silhouettes`.
        asked: [N, U, P].

    Returns:
        int [N, U], index of the known object.
    """
    rows = known.reshape(-1, known.shape[-1])
    found = []
    for masks in asked:
        # Of shares, too: the smaller one is in both.
        both = np.stack([np.minimum(rows, mask).sum(-1) for mask in masks])
        either = rows.sum(-1) + masks.sum(-1)[:, np.newaxis] - both
        found.append(np.argmax(both / np.maximum(either, 1e-9), axis=1))
    return np.stack(found) // known.shape[1]


def medoid(clouds: list[np.ndarray], seed: int) -> int:
    """The cloud of the least mean Chamfer distance to the others.

    Args:
        clouds: [M, 3] each.
        seed: of the points that are compared.

    Returns:
        its index.
    """
    generator = np.random.default_rng(seed)
    small = [
        cloud[generator.permutation(len(cloud))[:_MEDOID_POINTS]] for cloud in clouds
    ]
    sums = np.zeros(len(small))
    for i in progress.bar(range(len(small)), "comparing"):
        for j in range(i):
            both = sum(precision_coverage(small[i], small[j]))
            sums[i] += both
            sums[j] += both
    return int(np.argmin(sums))


def answers(known: list[np.ndarray], asked: int, views: int) -> np.ndarray:
    """Which known object answers each view, -1 for all of them at once.

    Args:
        known: true points of the training objects.
        asked: number of objects.
        views: of each.

    Returns:
        int [asked, views].
    """
    if FLAGS.method == "nearest":
        return most_similar(
            silhouettes(FLAGS.data_dir, FLAGS.train_split),
            silhouettes(FLAGS.data_dir, FLAGS.split),
        )
    one = -1 if FLAGS.method == "mean" else medoid(known, FLAGS.seed)
    return np.full([asked, views], one)


def main():
    """Answers every view of a split."""
    folder = pathlib.Path(FLAGS.output_dir)
    cli.check_output_folder(folder, "--output_dir")
    clouds_of = FLAGS.truth or str(pathlib.Path(FLAGS.data_dir) / "truth")
    names = pipeline.objects_of(FLAGS.data_dir, FLAGS.train_split)
    if FLAGS.method == "medoid":  # a variant is no more typical than its object
        names = [name for name in names if VARIANT not in name]
    known = [truth.read(path) for path in truth.find(clouds_of, names)]
    objects = pipeline.objects_of(FLAGS.data_dir, FLAGS.split)
    views = pipeline.form_of(FLAGS.data_dir, FLAGS.split).views
    of_views = answers(known, len(objects), views)
    generator = np.random.default_rng(FLAGS.seed)
    everything = np.concatenate(known) if FLAGS.method == "mean" else None
    items = []
    for name, row in zip(progress.bar(objects, "writing"), of_views, strict=True):
        clouds = []
        for index in row:
            cloud = everything if index < 0 else known[index]
            # A point twice would be a worse answer than the data allow.
            few = len(cloud) < FLAGS.points
            chosen = generator.choice(len(cloud), FLAGS.points, replace=few)
            clouds.append(cloud[chosen])
        point_files.write_arrays(
            folder / f"{name}.npz",
            {"points": np.stack(clouds), "views": np.arange(views, dtype=np.int32)},
        )
        items.append({"name": name, "files": [f"{name}.npz"]})
    report = {"method": FLAGS.method, "split": FLAGS.split, "objects": items}
    with io.write_file(folder / point_files.PREDICTIONS, "w") as file:
        json.dump(report, file, indent=1)
    print(f"wrote {folder}: {len(objects)} objects, {views} views each")


if __name__ == "__main__":
    define_flags()
    cli.run(main)
