"""Scores an exported mesh reconstructor by the IoU of voxels, beside baselines.

    python -m tools.evaluate_voxel_iou --model=RUN/saved_model --data_dir=DATA

The published protocol: for every object and each of its 24 views, the mesh that the
network makes of the picture is voxelised to 32^3 by the published rule and compared
with the object's voxels; the mean over the pictures of a class is the class's IoU, the
plain mean over the classes the final one, printed as test/iou_NAME and test/iou.

Beside it, for the network:

- silhouette_iou, unseen_iou: soft IoU of the drawn silhouette in the view given and in
  the view 9 steps (135 degrees) on, which the network has not seen.
- chamfer_cells, f_score_cells: between the centres of the surface cells of both grids
  (filled, with an empty neighbour). Chamfer is mean distance there plus mean distance
  back, not squared, where the cube of all objects has side 1; F-score counts what is at
  most one cell (1/31) away. The data hold no meshes, and both grids thicken a surface
  in the same way; equal grids have distance 0.
- chamfer, f_score, with --mesh_dir, the meshes that the data were drawn from: the same
  between --points random points of both surfaces; F-score at --threshold. And
  true_mesh_iou: the true mesh in place of the network's, voxelised by the published
  rule. It should be near 1; voxels made by another rule would bound every score.

Baselines, which know the training objects alone: the object whose silhouette in any
view is nearest to the picture's; the one object that is the best answer to everything;
and two that are told the class: its mean shape, cut at the best threshold, and the one
object that is its best answer. See tools.reconstruction_baselines.

An object may have a twin among the training objects, the same model in another version:
one whose voxels have an IoU of --twin_iou or more with its own. The twins are named,
and where there are some, every table is printed for the other objects too.

With --output_dir writes scores.csv, a line for each picture, and report.json; with
--sheet=NAME.png a picture of random objects, and their names in NAME.sheet.json.
"""

import csv
import json
import pathlib
import shlex
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from absl import flags
from scipy import ndimage

from datasets import records
from datasets.mesh_reconstruction import generation, pipeline, views
from tfrender import geometry, io, losses, metrics
from tfrender.export import card
from tfrender.layers.mesh_renderer import MeshRenderer
from tfrender.ops import published_voxels
from tools import (
    cli,
    mesh_folder,
    progress,
    reconstruction_baselines,
    reconstructor_loading,
)
from tools.reconstruction_sheet import Row, draw_row, write_sheet
from trainers import exporting

FLAGS = flags.FLAGS
NETWORK = "network"
_CELL = 1.0 / (views.VOXELS - 1)  # the published rule shrinks the cube by 31/32
_FARTHEST = 3.0**0.5  # distance to the cells of an empty grid: the cube's diagonal


def define_flags() -> None:
    """Defines the flags; not at import, because names are global to a process."""
    flags.DEFINE_string("model", None, "SavedModel folder.", required=True)
    flags.DEFINE_string("data_dir", None, "Folder of the records.", required=True)
    flags.DEFINE_string("split", "test", "Split to score.")
    flags.DEFINE_list("classes", None, "Ids or names of classes; all by default.")
    flags.DEFINE_list("views", None, "Numbers of the views, 0 to 23; all by default.")
    flags.DEFINE_integer("batch_size", 24, "Pictures at a time.", 1, 64)
    flags.DEFINE_string("output_dir", None, "Folder for scores.csv and report.json.")
    flags.DEFINE_boolean("baselines", True, "Score the baselines too.")
    flags.DEFINE_boolean(
        "augmented", False, "Baselines also know variants, whose names hold a ~."
    )
    flags.DEFINE_float(
        "twin_iou", 0.9, "Voxel IoU from which two objects count as one.", 0.01, 1.0
    )
    flags.DEFINE_string("mesh_dir", None, "Folder of the meshes of the data.")
    flags.DEFINE_integer("points", 4096, "Points on a surface.", 16, 1_000_000)
    flags.DEFINE_float("threshold", 0.02, "Of f_score, with --mesh_dir.", 1e-6, 1.0)
    flags.DEFINE_string("sheet", None, "PNG of random objects to write.")
    flags.DEFINE_integer("rows", 8, "Objects on the sheet.", 1, 256)
    flags.DEFINE_integer("seed", 0, "Of points and of the sheet.", 0, 2**31 - 1)
    flags.DEFINE_boolean("card", False, "Write the tables into MODEL/model_card.md.")


def cell_scores(target: np.ndarray, prediction: np.ndarray) -> tuple[float, float]:
    """Distance of the surfaces of two grids, see the note of the module.

    Args:
        target: bool [n, n, n].
        prediction: bool [n, n, n].

    Returns:
        chamfer_cells and f_score_cells; the diagonal of the cube twice and 0 where a
        grid is empty.
    """
    surfaces = [grid & ~ndimage.binary_erosion(grid) for grid in (target, prediction)]
    if not (surfaces[0].any() and surfaces[1].any()):
        return 2.0 * _FARTHEST, 0.0
    total, shares = 0.0, []
    for own, other in (surfaces, surfaces[::-1]):
        distance = ndimage.distance_transform_edt(~other)[own]  # in cells
        total += distance.mean() * _CELL
        shares.append((distance <= 1.0).mean())
    both = sum(shares)
    return total, 2.0 * shares[0] * shares[1] / both if both else 0.0


class Scorer:
    """Measures meshes against the records, and against meshes where it has them."""

    def __init__(self, mesh_files: dict[int, pathlib.Path], fill: float):
        """Made once for a split.

        Args:
            mesh_files: object index -> file; empty without --mesh_dir.
            fill: longest side of the objects.
        """
        self._files, self._fill = mesh_files, fill
        self._true: dict[int, tuple] = {}
        size = (views.IMAGE_SIZE, views.IMAGE_SIZE)
        self._layer = MeshRenderer(size, supersampling=2)
        self._grids = tf.function(published_voxels, autograph=False)
        self._silhouettes = tf.function(self._soft_ious, autograph=False)

    def __call__(self, vertices, faces, batch) -> dict[str, np.ndarray]:
        """Measures a batch.

        Args:
            vertices: [B, V, 3].
            faces: [F, 3].
            batch: of `pipeline.evaluation_batches`.

        Returns:
            measure -> [B].
        """
        vertices, faces = tf.constant(vertices), tf.constant(faces)
        grids = self._grids(vertices, faces)
        target = batch["voxels"].numpy() > 0
        found = {"voxel_iou": metrics.voxel_iou(target, grids).numpy()}
        for name, image, azimuth in (
            ("silhouette_iou", "image", "azimuth"),
            ("unseen_iou", "image_other", "azimuth_other"),
        ):
            alpha = batch[image][..., 3:]
            ious = self._silhouettes(vertices, faces, batch[azimuth], alpha)
            found[name] = ious.numpy()
        cells = [cell_scores(*pair) for pair in zip(target, grids.numpy(), strict=True)]
        found["chamfer_cells"], found["f_score_cells"] = np.array(cells).T
        if self._files:
            numbers = batch["object_index"].numpy()
            true, true_grids = zip(*map(self._true_shape, numbers), strict=True)
            made = geometry.sample_surface(
                vertices, faces, FLAGS.points, seed=FLAGS.seed
            )
            scores = metrics.point_scores(np.stack(true), made.points, FLAGS.threshold)
            found["chamfer"] = scores["chamfer_unsquared"].numpy()
            found["f_score"] = scores["f_score"].numpy()
            ious = metrics.voxel_iou(target, np.stack(true_grids))
            found["true_mesh_iou"] = ious.numpy()
        return found

    def _soft_ious(self, vertices, faces, azimuth, alpha):
        """Soft IoU of silhouettes in one view each, [B]."""
        drawn = self._layer.silhouettes(vertices, faces, views.camera(azimuth))
        return 1.0 - losses.silhouette_iou_loss(alpha, drawn)

    def _true_shape(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Points [N, 3] and voxels of the mesh of an object, placed as in the data."""
        if number not in self._true:
            mesh = io.load_mesh(str(self._files[number]), strict=False)
            corners = generation.place(mesh, fill=self._fill).corners
            vertices = corners.reshape(1, -1, 3).astype(np.float32)
            faces = np.arange(vertices.shape[1], dtype=np.int32).reshape(-1, 3)
            drawn = geometry.sample_surface(
                vertices, faces, FLAGS.points, seed=FLAGS.seed + 1
            )
            shape = (
                drawn.points[0].numpy(),
                published_voxels(vertices, faces)[0].numpy(),
            )
            self._true = {number: shape}  # one is enough: views follow each other
        return self._true[number]


class Scores(NamedTuple):
    """Means over some of the objects.

    Attributes:
        title: which, as an ending of "voxel IoU".
        classes: names of the C classes that have some.
        objects: their number.
        voxel_iou: method -> float64 [C + 1], of the classes, then their plain mean.
        network: measure -> the same.
    """

    title: str
    classes: list[str]
    objects: int
    voxel_iou: dict[str, np.ndarray]
    network: dict[str, np.ndarray]

    def tables(self) -> str:
        """Both tables, Markdown."""
        return "\n\n".join(
            table(title + self.title, means, self.classes)
            for title, means in (("voxel IoU", self.voxel_iou), (NETWORK, self.network))
        )

    def report(self) -> dict:
        """The numbers with their names, for JSON."""
        return {
            "voxel_iou": _named(self.voxel_iou, self.classes),
            "network": _named(self.network, self.classes),
        }


def mean_scores(ious, measured, test, kept, title="") -> Scores:
    """Means of the pictures of each class, then their plain mean.

    Args:
        ious: method -> [N V], for V pictures of each object.
        measured: measure -> [N V].
        test: `reconstruction_baselines.Shapes` of the N objects.
        kept: bool [N], the objects that count; at least one.
        title: see `Scores`.

    Returns:
        `Scores`; a class without an object that counts is left out.
    """
    numbers = np.unique(test.class_index[kept])

    def means(values):
        rows = values.reshape(len(kept), -1)
        of_class = [rows[kept & (test.class_index == n)].mean() for n in numbers]
        return np.array([*of_class, np.mean(of_class)])

    names = [views.class_name(test.classes[number]) for number in numbers]
    parts = [{name: means(v) for name, v in part.items()} for part in (ious, measured)]
    return Scores(title, names, int(kept.sum()), *parts)


def main():
    """Reads the flags, scores the split."""
    with records.naming_errors(FLAGS.data_dir):
        evaluate()


def evaluate() -> None:
    """Scores every picture of the split; prints tables, writes files."""
    network = reconstructor_loading.load_signature(FLAGS.model, views.IMAGE_SIZE)
    shown = views.view_numbers(FLAGS.views)
    _check_outputs()
    split = pipeline.metadata(FLAGS.data_dir, FLAGS.split)
    test = reconstruction_baselines.read_shapes(
        FLAGS.data_dir, FLAGS.split, FLAGS.classes
    )
    files = _mesh_files(test.objects) if FLAGS.mesh_dir else {}
    train = _training_shapes(test) if FLAGS.baselines else None
    scorer = Scorer(files, float(split.metadata.get("fill", 1.0)))
    measured, rows = _score(network, scorer, test, shown)
    ious = {NETWORK: measured.pop("voxel_iou")}
    report, columns = _settings(test, shown), {}
    if train is not None:
        found, report["baselines"] = reconstruction_baselines.baseline_ious(
            test, train, shown
        )
        ious |= {name: values.reshape(-1) for name, values in found.items()}
    every = np.ones(len(test.objects), bool)
    scores = [mean_scores(ious, measured, test, every)]
    report |= scores[0].report()
    line = "Twins among the training objects were not looked for."
    if train is not None and FLAGS.split != "train":
        likeness, report["twins"], line = _twins(test, train)
        columns["nearest_training_iou"] = np.repeat(likeness, len(shown))
        single = likeness < FLAGS.twin_iou
        if single.any():
            rest = mean_scores(ious, measured, test, single, ", without twins")
            scores += [] if single.all() else [rest]
            report["without_twins"] = {"objects": rest.objects, **rest.report()}
    count = len(test.objects)
    note = f"{count * len(shown)} pictures of {count} objects, split {FLAGS.split}."
    _print(scores, f"{note}\n\n{line}")
    if FLAGS.output_dir:
        _write(report, {**ious, **measured, **columns}, test, shown)
    if FLAGS.sheet:
        write_sheet(FLAGS.sheet, rows)
        print(f"wrote {FLAGS.sheet} and the JSON beside it")


def _twins(test, train) -> tuple[np.ndarray, dict, str]:
    """Objects that the training objects hold too, in another version perhaps.

    Returns:
        float64 [N], the largest voxel IoU with any training object; what the report
        says of it; and a line that names the twins.
    """
    likeness, index = reconstruction_baselines.nearest_objects(
        test.voxels, train.voxels
    )
    twins = [test.objects[i] for i in np.flatnonzero(likeness >= FLAGS.twin_iou)]
    nearest = {
        name: {"object": train.objects[index[i]], "voxel_iou": float(likeness[i])}
        for i, name in enumerate(test.objects)
    }
    line = (
        f"{len(twins)} of {len(test.objects)} objects have a twin among the training "
        f"objects (voxel IoU >= {FLAGS.twin_iou:g})"
    ) + (f": {', '.join(twins)}." if twins else ".")
    return likeness, {"iou": FLAGS.twin_iou, "objects": twins, "nearest": nearest}, line


def _training_shapes(test) -> reconstruction_baselines.Shapes:
    """What the baselines know."""
    there = pipeline.classes_of(FLAGS.data_dir, "train")
    missing = [class_id for class_id in test.classes if class_id not in there]
    if missing:
        raise ValueError(
            f"{FLAGS.data_dir}: the split train holds no object of class {missing[0]}, "
            "which the baselines need; leave them out with --nobaselines."
        )
    pipeline.check_disjoint(FLAGS.data_dir, "train", FLAGS.split)
    return reconstruction_baselines.read_shapes(
        FLAGS.data_dir, "train", None, FLAGS.augmented
    )


def _print(scores: list[Scores], note: str) -> None:
    """Prints the tables and the published lines; writes the tables into the card."""
    text = "\n\n".join([*(part.tables() for part in scores), note])
    print(text)
    ious = scores[0].voxel_iou[NETWORK]
    for name, value in zip(scores[0].classes, ious, strict=False):
        print(f"{FLAGS.split}/iou_{name} {value:.4f}")
    print(f"{FLAGS.split}/iou {ious[-1]:.4f}")
    if FLAGS.card:
        path = pathlib.Path(FLAGS.model) / "model_card.md"
        title = f"Scores on the split `{FLAGS.split}`"
        card.replace_section(str(path), title, f"    {_public_command()}\n\n{text}")


def _public_command() -> str:
    """This command for others: of paths the last part alone."""
    words = []
    for word in shlex.split(exporting.command()):
        flag, sign, value = word.partition("=") if word[:1] == "-" else ("", "", word)
        if "/" in value:
            value = pathlib.PurePath(value).name
        words.append(flag + sign + value)
    return shlex.join(words)


def _score(network, scorer, test, shown) -> tuple[dict[str, np.ndarray], list[Row]]:
    """Measures every picture: measure -> [objects times views]; and the sheet."""
    batches = pipeline.evaluation_batches(
        FLAGS.data_dir,
        FLAGS.split,
        FLAGS.batch_size,
        classes=FLAGS.classes,
        views=shown,
    )
    generator = np.random.default_rng(FLAGS.seed)
    count = FLAGS.rows if FLAGS.sheet else 0
    wanted = generator.permutation(len(test.objects))[:count]
    wanted = {int(number): int(generator.choice(shown)) for number in sorted(wanted)}
    parts: list[dict[str, np.ndarray]] = []
    rows = []
    for batch in progress.bar(batches, f"scoring {FLAGS.split}"):
        shapes = network(image=batch["image"].numpy())
        broken = ~np.isfinite(shapes["vertices"]).all((1, 2))
        if broken.any():
            name = test.objects[batch["object_index"].numpy()[broken][0]]
            raise ValueError(f"{FLAGS.model}: answered NaN or infinity about {name}.")
        faces = shapes["faces"]
        faces = faces[0] if faces.ndim == 3 else faces
        parts.append(scorer(shapes["vertices"], faces, batch))
        seen = zip(batch["object_index"].numpy(), batch["view"].numpy(), strict=True)
        for i, (number, view) in enumerate(seen):
            if wanted.get(int(number)) != view:
                continue
            item = {name: value[i].numpy() for name, value in batch.items()}
            color = shapes["colors"][i] if "colors" in shapes else None
            drawn = draw_row(item, shapes["vertices"][i], faces, color)
            place = test.objects[number], test.classes[item["class_index"]]
            iou = float(parts[-1]["voxel_iou"][i])
            rows.append(Row(*place, int(view), iou, drawn))
    return {
        name: np.concatenate([part[name] for part in parts]) for name in parts[0]
    }, rows


def table(title: str, means: dict[str, np.ndarray], names: list[str]) -> str:
    """Markdown table of the means of `Scores`: a line for each measure or method."""
    columns = [*names, "mean"]
    lines = [f"| {title} | " + " | ".join(columns) + " |"]
    lines.append("|---" * (len(columns) + 1) + "|")
    for name, values in means.items():
        cells = " | ".join(f"{value:.4f}" for value in values)
        lines.append(f"| {name} | {cells} |")
    return "\n".join(lines)


def _named(means, names) -> dict[str, dict[str, float]]:
    """The means of `Scores` with names, for JSON."""
    return {
        key: dict(zip([*names, "mean"], map(float, values), strict=True))
        for key, values in means.items()
    }


def _mesh_files(objects: list[str]) -> dict[int, pathlib.Path]:
    """Files of --mesh_dir by object index."""
    found = mesh_folder.find_meshes([FLAGS.mesh_dir])
    missing = [name for name in objects if name not in found]
    if missing:
        raise ValueError(
            f"{FLAGS.mesh_dir}: expected a mesh for each object of the split, found "
            f"none for {missing[0]} ({len(missing)} are missing)."
        )
    return {number: found[name] for number, name in enumerate(objects)}


def _check_outputs() -> None:
    """Refuses places where nothing can be written, before the work."""
    if FLAGS.output_dir:
        cli.check_output_folder(FLAGS.output_dir, "--output_dir")
    if FLAGS.sheet:
        folder = pathlib.Path(FLAGS.sheet).absolute().parent
        # That of the scores is made before the sheet.
        made = FLAGS.output_dir and folder == pathlib.Path(FLAGS.output_dir).absolute()
        cli.check_output_file(FLAGS.sheet, (".png",), "--sheet", make_folder=bool(made))
    if FLAGS.card:
        if not (pathlib.Path(FLAGS.model) / "model_card.md").exists():
            raise FileNotFoundError(
                f"{FLAGS.model}: --card needs a model_card.md there."
            )
        cli.check_output_folder(FLAGS.model, "--card")


def _settings(test, shown) -> dict:
    """What the scores depend on."""
    return {
        "model": FLAGS.model,
        "data": FLAGS.data_dir,
        "data_fingerprint": records.fingerprint(FLAGS.data_dir),
        "split": FLAGS.split,
        "classes": test.classes,
        "views": shown,
        "objects": len(test.objects),
        "pictures": len(test.objects) * len(shown),
        "batch_size": FLAGS.batch_size,
        "augmented": FLAGS.augmented,
        "mesh_dir": FLAGS.mesh_dir,
        "points": FLAGS.points,
        "threshold": FLAGS.threshold,
        "seed": FLAGS.seed,
        "voxels": views.VOXELS,
        "tensorflow": tf.__version__,
    }


def _write(report, values, test, shown) -> None:
    """Writes report.json and scores.csv."""
    folder = pathlib.Path(FLAGS.output_dir)
    names = {NETWORK: "voxel_iou"}
    with io.write_file(folder / "scores.csv", "w") as file:
        writer = csv.writer(file, lineterminator="\n")
        header = [names.get(name, name.replace(" ", "_")) for name in values]
        writer.writerow(["class", "object", "view", *header])
        for i, numbers in enumerate(zip(*values.values(), strict=True)):
            row, view = divmod(i, len(shown))
            place = test.classes[test.class_index[row]], test.objects[row], shown[view]
            writer.writerow([*place, *(f"{number:.6g}" for number in numbers)])
    with io.write_file(folder / "report.json", "w") as file:
        json.dump(report, file, indent=1)
    print(f"wrote {folder}/scores.csv and report.json")


if __name__ == "__main__":
    define_flags()
    cli.run(main)
