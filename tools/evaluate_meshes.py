"""Scores meshes against the truth: Chamfer, normals, F-scores, IoU.

    python -m tools.evaluate_meshes --meshes=OUT --truth=data/ShapeNet
    python -m tools.evaluate_meshes --meshes=chair.ply --truth=chair_true.obj

--meshes: an --output_dir of tools.generate_meshes, any folder of meshes, or a file.
--truth: a folder where CLASS/OBJECT.ply is scored against CLASS/OBJECT/pointcloud.npz
(`points` [N, 3], `normals`) or a mesh, CLASS/OBJECT.obj or CLASS/OBJECT/model.obj; or a
file. The IoU needs a closed true mesh, or CLASS/OBJECT/points.npz (`points`,
`occupancies`).

100,000 points are drawn on each mesh; all points of a pointcloud.npz count. Scores are
in the units of the meshes; the papers of Occupancy Networks and DVR print ten times
these distances (a tenth of the longest side of the box of an object is their unit).
"mean" is the plain mean over the classes. A mesh that is empty scores sqrt(3) for
distances, -1 for normals and 0 else, and counts; objects without mesh or truth are
named. Writes, into --output_dir, eval_meshesfull.{csv,pkl} (a row an object),
eval_meshes.csv (a row a class) and eval_meshes.json. See tools.mesh_scores for names.
"""

import csv
import json
import pathlib
import pickle
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from absl import flags

from tfrender import io
from tools import cli, mesh_scores, progress
from tools.mesh_truth import Truth, find_truths

FLAGS = flags.FLAGS
GENERATION = "generation.json"  # of tools.generate_meshes
WORLD = "_world_scale"  # ending of copies in other units
_SHOWN = 5  # names in a line


def define_flags() -> None:
    """Defines the flags; not at import, because names are global to a process."""
    flags.DEFINE_string("meshes", None, "Folder or mesh file.", required=True)
    flags.DEFINE_string("truth", None, "Folder or file of the truth.", required=True)
    flags.DEFINE_string(
        "output_dir", None, "For the tables; the folder of --meshes by default."
    )
    flags.DEFINE_string("eval_file_name", "eval_meshes", "Beginning of their names.")
    flags.DEFINE_list("classes", None, "Folders of classes; all by default.")
    flags.DEFINE_integer("points", 100_000, "Points on a mesh.", 16, 10_000_000)
    flags.DEFINE_integer("iou_points", 100_000, "Of the IoU; 0 leaves it out.", 0)
    flags.DEFINE_list(
        "thresholds", ["0.005", "0.01", "0.02", "0.05", "0.1"], "Of the F-scores."
    )
    flags.DEFINE_boolean(
        "missing_as_empty", False, "Objects without a mesh score as empty ones do."
    )
    flags.DEFINE_integer("seed", 0, "Of all points.", 0, 2**31 - 1)


class Row(NamedTuple):
    """Scores of an object.

    Attributes:
        name: CLASS/OBJECT.
        class_name: "" where the name has none.
        status: "ok" or "empty".
        scores: measure -> value.
    """

    name: str
    class_name: str
    status: str
    scores: dict[str, float]


def find_meshes(path: str) -> dict[str, pathlib.Path | None]:
    """Meshes to score.

    Args:
        path: a folder that tools.generate_meshes wrote, another one, or a file.

    Returns:
        CLASS/OBJECT -> file; None where the generator found nothing.

    Raises:
        FileNotFoundError: nothing there.
        FormatError: a broken list of the generator.
    """
    root = pathlib.Path(path)
    if root.is_file():
        return {root.stem: root}
    if not root.is_dir():
        raise FileNotFoundError(f"{path}: no such folder or mesh.")
    for folder in (root, root.parent):
        if (folder / GENERATION).exists() and root in (folder, folder / "meshes"):
            return _generated(folder)
    if (root / "meshes").is_dir():  # beside it lie copies to look at
        root = root / "meshes"
    found = {
        file.relative_to(root).with_suffix("").as_posix(): file
        for file in sorted(root.rglob("*"))
        if file.suffix.lower() in io.MESH_SUFFIXES and not file.stem.endswith(WORLD)
    }
    if not found:
        raise FileNotFoundError(
            f"{path}: no mesh; expected {', '.join(io.MESH_SUFFIXES)} or {GENERATION}."
        )
    return found


def _generated(root: pathlib.Path) -> dict[str, pathlib.Path | None]:
    """Meshes that the generator lists."""
    path = root / GENERATION
    try:
        items = json.loads(path.read_text(encoding="utf-8"))["items"]
        return {
            item["name"]: None if item["status"] == "empty" else root / item["file"]
            for item in items
        }
    except (ValueError, KeyError, TypeError) as error:
        raise io.FormatError(
            f"{path}: expected the list that tools.generate_meshes writes ({error!r})."
        ) from error


def pair(
    meshes: dict[str, pathlib.Path | None], truths: dict[str, Truth]
) -> tuple[list[str], list[str], list[str]]:
    """Names that are in both, and in one of them.

    One mesh and one truth are taken for a pair, whatever their names.

    Args:
        meshes: of `find_meshes`.
        truths: of `find_truths`; may get one more name.

    Returns:
        names to score, of truths without a mesh, of meshes without a truth.

    Raises:
        ValueError: no name is in both.
    """
    if len(meshes) == len(truths) == 1 and not meshes.keys() & truths.keys():
        truths[next(iter(meshes))] = truths.pop(next(iter(truths)))
    both = [name for name in meshes if name in truths]
    if not both:
        raise ValueError(
            "no mesh has a truth of its name: meshes are called "
            f"{_some(meshes)}; truths {_some(truths)}."
        )
    alone = [name for name in truths if name not in meshes]
    return both, alone, [name for name in meshes if name not in truths]


def score(
    file: pathlib.Path | None, truth: Truth, thresholds: Sequence[float]
) -> tuple[str, dict[str, float]]:
    """Scores one mesh.

    Args:
        file: the mesh; None is an empty one.
        truth: `Truth`.
        thresholds: of the F-scores.

    Returns:
        "ok" or "empty", and measure -> value.

    Raises:
        FileNotFoundError, FormatError, LimitError: a broken file.
    """
    target = truth.surface(FLAGS.points, FLAGS.seed + 1)
    mesh = None if file is None else truth.load_mesh(file)
    if mesh is None:
        volume = truth.has_volume and FLAGS.iou_points > 0
        normals = target.normals is not None
        return "empty", mesh_scores.empty_measures(thresholds, normals, volume)
    own = mesh_scores.sample_mesh(*mesh, FLAGS.points, FLAGS.seed)
    found = mesh_scores.point_measures(target, own, thresholds)
    if truth.has_volume and FLAGS.iou_points:
        found["iou"] = truth.iou(mesh, FLAGS.iou_points, FLAGS.seed)
    return "ok", found


def class_means(rows: Sequence[Row]) -> dict[str, dict[str, float]]:
    """Means of the classes, then their plain mean.

    Args:
        rows: of all objects, at least one.

    Returns:
        class, at the end "mean" -> measure -> value; over the objects that have it.
    """
    names = list(dict.fromkeys(name for row in rows for name in row.scores))
    tables = {}
    for group in sorted({row.class_name for row in rows}):
        members = [row.scores for row in rows if row.class_name == group]
        tables[group or "all"] = _means(members, names)
    tables["mean"] = _means(list(tables.values()), names)
    return tables


def _means(members, names) -> dict[str, float]:
    """Mean of each measure over those that have it."""
    found = {}
    for name in names:
        values = [member[name] for member in members if name in member]
        if values:
            found[name] = float(np.mean(values))
    return found


def table(means: dict[str, dict[str, float]]) -> str:
    """Markdown: main measures, raw and in the papers' unit.

    Args:
        means: of `class_means`.

    Returns:
        a line a class.
    """
    known = means["mean"]
    names = [n for n in (*mesh_scores.DISTANCES, "normals", "iou") if n in known]
    names += [name for name in known if name.startswith("F@")]
    paper = [name for name in mesh_scores.DISTANCES if name in known]
    head = ["class", *names, *(f"{name} x10 (paper)" for name in paper)]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for group, scores in means.items():
        cells = [_cell(scores, name, 1.0, 5) for name in names]
        cells += [_cell(scores, name, 10.0, 3) for name in paper]
        lines.append("| " + " | ".join([group, *cells]) + " |")
    return "\n".join(lines)


def _cell(scores, name, factor, digits) -> str:
    return f"{factor * scores[name]:.{digits}f}" if name in scores else ""


def parse_thresholds(texts: Sequence[str]) -> list[float]:
    """Distances of --thresholds.

    Args:
        texts: numbers.

    Returns:
        sorted, each once.

    Raises:
        ValueError: no positive number.
    """
    try:
        found = sorted({float(text) for text in texts})
    except ValueError:
        found = [0.0]
    if not all(1e-4 <= value < 1e30 for value in found):
        raise ValueError(
            f"--thresholds: expected distances of at least 0.0001; got {texts}."
        )
    return found


def main():
    """Pairs, scores, prints, writes."""
    thresholds = parse_thresholds(FLAGS.thresholds)
    meshes = find_meshes(FLAGS.meshes)
    given = pathlib.Path(FLAGS.meshes)
    folder = given if given.is_dir() else given.parent
    folder = pathlib.Path(FLAGS.output_dir) if FLAGS.output_dir else folder
    cli.check_output_folder(folder, "--output_dir")
    truths = find_truths(FLAGS.truth)
    if FLAGS.classes:
        meshes, truths = (
            _of_classes(found, FLAGS.classes) for found in (meshes, truths)
        )
    names, without_mesh, without_truth = pair(meshes, truths)
    if FLAGS.missing_as_empty:
        names = sorted([*names, *without_mesh])
    rows = []
    for name in progress.bar(names, "scoring"):
        status, scores = score(meshes.get(name), truths[name], thresholds)
        rows.append(Row(name, name.rpartition("/")[0], status, scores))
    means = class_means(rows)
    empty = [row.name for row in rows if row.status == "empty"]
    print(table(means))
    print(f"\n{len(rows)} scored, {len(empty)} of them empty meshes" + _named(empty))
    if without_mesh:
        counted = "scored as empty" if FLAGS.missing_as_empty else "not scored"
        print(f"{len(without_mesh)} without a mesh, {counted}" + _named(without_mesh))
    if without_truth:
        print(
            f"{len(without_truth)} without a truth, not scored" + _named(without_truth)
        )
    report = {
        "settings": _settings(thresholds),
        "means": means,
        "objects": len(rows),
        "empty": empty,
        "without_mesh": without_mesh,
        "without_truth": without_truth,
    }
    write(folder, FLAGS.eval_file_name, rows, means, report)


def write(folder: pathlib.Path, name: str, rows, means, report) -> None:
    """Writes the tables.

    Args:
        folder: for the files; made where it is missing.
        name: beginning of their names.
        rows: `Row` of each object.
        means: of `class_means`.
        report: for JSON.
    """
    measures = list(means["mean"])
    entries = [
        {"class": row.class_name, "name": row.name, "status": row.status, **row.scores}
        for row in rows
    ]
    _write_csv(
        folder / f"{name}full.csv", ["class", "name", "status"], measures, entries
    )
    groups = [{"class": group, **scores} for group, scores in means.items()]
    _write_csv(folder / f"{name}.csv", ["class"], measures, groups)
    with io.write_file(folder / f"{name}full.pkl") as file:
        pickle.dump(entries, file)
    with io.write_file(folder / f"{name}.json", "w") as file:
        json.dump({**report, "rows": entries}, file, indent=1)
    print(f"wrote {folder}/{name}.csv, {name}.json, {name}full.csv and {name}full.pkl")


def _write_csv(path, words, measures, entries) -> None:
    """Writes dictionaries as rows; a measure that one lacks stays empty."""
    with io.write_file(path, "w") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*words, *measures])
        for entry in entries:
            cells = (f"{entry[m]:.8g}" if m in entry else "" for m in measures)
            writer.writerow([*(entry[word] for word in words), *cells])


def _of_classes(found, classes):
    """The entries of some classes.

    Raises:
        ValueError: a class has none.
    """
    kept = {n: v for n, v in found.items() if n.rpartition("/")[0] in classes}
    missing = [c for c in classes if not any(n.startswith(f"{c}/") for n in kept)]
    if missing:
        raise ValueError(
            f"--classes: nothing of class {missing[0]}; names are {_some(found)}."
        )
    return kept


def _some(names) -> str:
    """The first few names."""
    names = list(names)
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _named(names) -> str:
    return f": {_some(names)}." if names else "."


def _settings(thresholds) -> dict:
    """What the scores depend on."""
    words = ("meshes", "truth", "classes", "points", "iou_points", "seed")
    return {
        **{word: getattr(FLAGS, word) for word in words},
        "missing_as_empty": FLAGS.missing_as_empty,
        "thresholds": thresholds,
        "units": "of the meshes; the papers print ten times the distances",
    }


if __name__ == "__main__":
    define_flags()
    cli.run(main)
