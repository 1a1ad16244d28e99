"""Fits free points to silhouettes of meshes and compares the losses.

    python -m tools.fit_points --input=tfrender/assets/meshes --output_dir=points
    python -m tools.fit_points --input=chair.obj --losses=surface --output_dir=points

Each mesh is drawn from --views sides; from the masks and cameras alone, points are
fitted with every loss of --losses, all with the same number of steps:

- balanced: DRWR (Han et al., ICML 2020) with the weights that reconstruct;
- surface: the same, and drawn to the surface of the visual hull;
- release: DRWR with the released weights;
- chamfer: Chamfer distance to points drawn in the masks (Chen et al., ICCV 2021);
- dpc: silhouettes of blurred voxels (Insafutdinov and Dosovitskiy, NeurIPS 2018).

Chamfer distances are a hundred times those of a bounding box of diagonal 1, precision
plus coverage, to points drawn evenly over the area of the mesh, hidden parts included.
Writes scores.csv, scores.json, table.md, CLASS/NAME_LOSS.ply and clouds.png.
"""

import csv
import json
import pathlib
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from absl import flags

from datasets.drwr import generation
from datasets.drwr.silhouettes import sample_points
from tfrender import cameras, io
from tfrender.metrics.points import precision_coverage
from tools import cli, densify, point_fitting, point_pictures, progress
from tools.point_files import write_ply

FLAGS = flags.FLAGS
_SAMPLES = 5000  # points of a mask, for "chamfer"
_SIDE = 160  # pixels of a picture
_MEASURES = ("precision", "coverage", "cd", "inside", "cover", "seconds")


def define_flags() -> None:
    """Defines the flags; not at import, because names are global to a process."""
    flags.DEFINE_string("input", None, "Mesh, or folder of meshes.", required=True)
    flags.DEFINE_string("output_dir", None, "Folder for the results.", required=True)
    flags.DEFINE_list("losses", ["balanced", "surface", "chamfer", "dpc"], "Compared.")
    flags.DEFINE_list("objects", None, "CLASS/NAME of those to fit; all by default.")
    flags.DEFINE_integer("views", 16, "Silhouettes of an object.", 1, 1000)
    flags.DEFINE_integer("image_size", 128, "Their height and width.", 16, 1024)
    flags.DEFINE_integer("points", 1000, "Points of a cloud.", 1, 100_000)
    flags.DEFINE_integer("steps", 800, "Steps of the optimiser.", 1, 1_000_000)
    flags.DEFINE_integer("views_per_step", 4, "Views that a step sees.", 1)
    flags.DEFINE_float("learning_rate", 1e-2, "At the start.", 1e-6, 1.0)
    flags.DEFINE_integer("grid", 0, "Pixels a side of the losses; 0: their own.", 0)
    flags.DEFINE_integer("truth_points", 20_000, "True points.", 100, 1_000_000)
    flags.DEFINE_integer("seed", 0, "Of cameras, first points and order.", 0, 2**31 - 1)


class Row(NamedTuple):
    """Scores of a fit.

    Attributes:
        name: CLASS/NAME.
        loss: of the fit.
        scores: measure -> value; distances x100.
    """

    name: str
    loss: str
    scores: dict[str, float]


def silhouettes_of(path: str, name: str) -> point_fitting.Silhouettes:
    """Draws the silhouettes of a mesh.

    Args:
        path: mesh file, +Y up.
        name: CLASS/NAME; decides the cameras.

    Returns:
        `point_fitting.Silhouettes`.

    Raises:
        FormatError: a broken mesh, or nothing to be seen.
    """
    group, _, own = name.rpartition("/")
    settings = generation.ViewSettings(
        views=FLAGS.views, image_size=FLAGS.image_size, seed=FLAGS.seed
    )
    drawn, _ = generation.draw_object(path, group or "all", own, settings)
    samples = None
    if "chamfer" in FLAGS.losses:
        samples = np.stack(
            [
                sample_points(mask, _SAMPLES, "lattice", [FLAGS.seed, number])
                for number, mask in enumerate(drawn.masks)
            ]
        )
    camera = cameras.Camera(
        tf.constant(drawn.world_to_camera), tf.constant(drawn.projection)
    )
    mask = drawn.masks[..., np.newaxis].astype(np.float32)
    return point_fitting.Silhouettes(mask, camera, samples)


def fit_object(path: str, name: str) -> tuple[list[Row], dict[str, np.ndarray]]:
    """Fits an object with every loss.

    Args:
        path: mesh file.
        name: CLASS/NAME.

    Returns:
        scores, and loss -> points [N, 3]; "truth" has as many true points.
    """
    seen = silhouettes_of(path, name)
    truth = densify.surface_points(path, FLAGS.truth_points, FLAGS.seed)
    rows, clouds = [], {"truth": truth[: FLAGS.points]}
    for loss in FLAGS.losses:
        settings = point_fitting.FitSettings(
            loss,
            FLAGS.points,
            FLAGS.steps,
            min(FLAGS.views_per_step, FLAGS.views),
            FLAGS.learning_rate,
            FLAGS.grid,
            seed=FLAGS.seed,
        )
        found = point_fitting.fit_points(seen, settings)
        clouds[loss] = found.points
        near = [100.0 * value for value in precision_coverage(truth, found.points)]
        inside, cover = point_fitting.shares(found.points, seen)
        values = (*near, sum(near), inside, cover, found.seconds)
        rows.append(Row(name, loss, dict(zip(_MEASURES, values, strict=True))))
    return rows, clouds


def table(rows: list[Row]) -> str:
    """Markdown: a line an object and loss, then the means.

    Args:
        rows: of all objects.

    Returns:
        the table.
    """
    head = "object | loss | precision | coverage | CD x100 | inside | cover | seconds"
    lines = [f"| {head} |", "|---" * 8 + "|"]
    means = [
        Row("mean", loss, {m: _mean(rows, loss, m) for m in _MEASURES})
        for loss in FLAGS.losses
    ]
    for row in [*rows, *means]:
        s = row.scores
        lines.append(
            f"| {row.name} | {row.loss} | {s['precision']:.2f} | {s['coverage']:.2f} | "
            f"{s['cd']:.2f} | {s['inside']:.3f} | {s['cover']:.3f} | "
            f"{s['seconds']:.0f} |"
        )
    return "\n".join(lines)


def _mean(rows, loss, measure) -> float:
    return float(np.mean([r.scores[measure] for r in rows if r.loss == loss]))


def write(folder: pathlib.Path, rows: list[Row], text: str) -> None:
    """Writes the scores.

    Args:
        folder: for the files.
        rows: of all objects.
        text: the table.
    """
    entries = [{"name": r.name, "loss": r.loss, **r.scores} for r in rows]
    with io.write_file(folder / "scores.csv", "w") as file:
        writer = csv.DictWriter(file, list(entries[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(entries)
    words = ("views", "points", "steps", "views_per_step", "learning_rate", "seed")
    settings = {word: getattr(FLAGS, word) for word in words}
    with io.write_file(folder / "scores.json", "w") as file:
        json.dump({"settings": settings, "rows": entries}, file, indent=1)
    with io.write_file(folder / "table.md", "w") as file:
        file.write(text + "\n")


def main():
    """Fits, scores, draws."""
    unknown = [name for name in FLAGS.losses if name not in point_fitting.LOSSES]
    if unknown or not FLAGS.losses:
        raise ValueError(
            f"--losses: expected some of {', '.join(point_fitting.LOSSES)}; got "
            f"{', '.join(FLAGS.losses) or 'none'}."
        )
    folder = pathlib.Path(FLAGS.output_dir)
    cli.check_output_folder(folder, "--output_dir")
    objects = densify.find_objects(FLAGS.input)
    if FLAGS.objects:
        missing = [name for name in FLAGS.objects if name not in objects]
        if missing:
            raise ValueError(
                f"--objects: no mesh {missing[0]} in {FLAGS.input}; there are "
                f"{', '.join(list(objects)[:5])} ..."
            )
        objects = {name: objects[name] for name in FLAGS.objects}
    rows: list[Row] = []
    pictures = []
    camera = point_pictures.orbit_camera()
    for name, path in progress.bar(objects.items(), "fitting"):
        found, clouds = fit_object(str(path), name)
        rows += found
        for loss, points in clouds.items():
            if loss != "truth":
                write_ply(folder / f"{name}_{loss}.ply", points)
            pictures.append(point_pictures.draw(points, camera, _SIDE))
    text = table(rows)
    print(text)
    write(folder, rows, text)
    sheet = io.tile_images(np.stack(pictures), columns=1 + len(FLAGS.losses))
    io.write_png(folder / "clouds.png", io.to_uint8(sheet))
    print(
        f"wrote {folder}: scores, clouds, clouds.png (truth, {', '.join(FLAGS.losses)})"
    )


if __name__ == "__main__":
    define_flags()
    cli.run(main)
