r"""Scores predicted point clouds against true ones: precision, coverage, Chamfer x100.

    python -m tools.evaluate_points --predictions=OUT --truth=TRUTH
    python -m tools.evaluate_points --predictions=OUT --truth=TRUTH \
        --align=auto --align_predictions=OUT_VALIDATION --poses

--predictions: an --output_dir of tools.predict_points, a folder CLASS/NAME.npz or .mat,
or a file; the published program's NAME_pc.mat too. --truth: TRUTH/CLASS/NAME.npz or
.mat of tools.densify or tools.make_drwr_records.

Precision is the mean distance from a predicted point to the nearest true one, coverage
that from a true point to the nearest predicted one, the Chamfer distance their sum; all
points count, nothing is scaled, and every figure is a hundredth of the unit. Each view
of an object gives a cloud: cd_mean_views is the mean over the views and the figure to
quote; cd_best_view takes the best view of each object, which only the truth can choose.

Models that learn poses without supervision turn all their objects by one unknown
rotation. --align=auto estimates it on the predictions in --align_predictions, those of
the validation split, and stores it in alignment.json; --align=FILE takes it from there.
--poses also scores the predicted poses: share under --pose_threshold degrees, median.
The true poses are those in the predictions, or of the records --data_dir.

Objects without a true cloud or without their prediction are counted and named, and true
clouds that nobody predicted counted. Writes, into --output_dir, result.csv (a row an
object), result.json and result.txt (lines NAME: value). See docs/drwr_evaluation.md.
"""

import csv
import json
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from absl import flags

from datasets.drwr import truth as truths
from tfrender import checks, io, metrics
from tfrender.geometry import align_points
from tools import cli, point_alignment, point_files, progress
from tools.evaluate_meshes import class_means

FLAGS = flags.FLAGS
ALIGNMENT = "alignment.json"
MEASURES = ("cd_mean_views", "cd_best_view", "precision", "coverage")
CLASSES_MEAN, OBJECTS_MEAN = "mean of classes", "mean of objects"
_SHOWN = 5  # names in a line


def define_flags() -> None:
    """Defines the flags; not at import, because names are global to a process."""
    f = flags
    f.DEFINE_string("predictions", None, "Folder or file.", required=True)
    f.DEFINE_string("truth", None, "Folder or file of true clouds.", required=True)
    f.DEFINE_string(
        "output_dir", None, "For the tables; the folder of --predictions by default."
    )
    f.DEFINE_list("classes", None, "Folders of classes; all by default.")
    f.DEFINE_string("align", "none", "none, auto, or a file that auto wrote.")
    f.DEFINE_string(
        "align_predictions",
        None,
        "Of the validation split, for --align=auto; --predictions by default.",
    )
    f.DEFINE_bool("poses", False, "Score the predicted poses.")
    f.DEFINE_float("pose_threshold", 30.0, "Degrees of a right pose.", 0.1, 180.0)
    f.DEFINE_string("data_dir", None, "Records, for true poses.")
    f.DEFINE_list(
        "splits", ["validation", "test"], "Splits of --data_dir to take poses of."
    )
    f.DEFINE_integer("seed", 0, "Of the objects of --align=auto.", 0, 2**31 - 1)


class Row(NamedTuple):
    """Scores of an object.

    Attributes:
        name: CLASS/NAME.
        class_name: "" where the name has none.
        views: how many.
        points: of each cloud.
        scores: measure -> value, x100.
        pose_errors_deg: [V], or None.
    """

    name: str
    class_name: str
    views: int
    points: int
    scores: dict[str, float]
    pose_errors_deg: np.ndarray | None


class Pairs(NamedTuple):
    """Predictions with their true clouds, and what is left.

    Attributes:
        files: name -> files of the prediction and of the truth.
        missing_truth: names of predictions without one.
        missing_prediction: listed names whose file is not there.
        unused_truth: names of true clouds without a prediction.
    """

    files: dict[str, tuple[pathlib.Path, pathlib.Path]]
    missing_truth: list[str]
    missing_prediction: list[str]
    unused_truth: list[str]


def pair(predictions: str, truth: str, classes: Sequence[str] | None = None) -> Pairs:
    """Brings predictions and true clouds together by their names.

    One file of each are a pair, whatever their names. A prediction without class, as
    the published program writes, is that of the one true cloud of its name.

    Args:
        predictions: folder or file.
        truth: folder or file.
        classes: those to score; None is all.

    Returns:
        `Pairs`, at least one.

    Raises:
        FileNotFoundError, FormatError: nothing there, or a broken list.
        ValueError: no name is in both, or a class that has no prediction.
    """
    found = point_files.find_predictions(predictions)
    there = point_files.find_clouds(truth, point_files.ARRAYS)
    if classes:
        found, there = (
            {n: file for n, file in part.items() if n.rpartition("/")[0] in classes}
            for part in (found, there)
        )
        if not found:
            raise ValueError(
                f"--classes: {predictions} holds nothing of {', '.join(classes)}."
            )
    matches = _matches(list(found), there)
    lone = len(found) == len(there) == 1 and not matches
    if lone and pathlib.Path(predictions).is_file() and pathlib.Path(truth).is_file():
        matches = dict(zip(found, there, strict=True))
    both = {
        name: (file, there[matches[name]])
        for name, file in found.items()
        if file is not None and name in matches
    }
    gone = [name for name, file in found.items() if file is None]
    if not both:
        raise ValueError(
            f"no prediction has a true cloud: predictions are called {_some(found)}"
            f"{f' ({len(gone)} of them without file)' if gone else ''}, true clouds "
            f"{_some(there)}."
        )
    used = set(matches.values())
    return Pairs(
        both,
        [name for name in found if name not in matches],
        gone,
        [name for name in there if name not in used],
    )


def _matches(names: list[str], there: Mapping[str, pathlib.Path]) -> dict[str, str]:
    """Name of a prediction -> name of its true cloud."""
    last: dict[str, list[str]] = {}
    for name in there:
        last.setdefault(name.rpartition("/")[2], []).append(name)
    found = {}
    for name in names:
        candidates = [name] if name in there else []
        if not candidates and "/" not in name:
            candidates = last.get(name, [])
        if len(candidates) == 1:
            found[name] = candidates[0]
    return found


def score(
    name: str,
    prediction: point_files.Prediction,
    truth: np.ndarray,
    rotation,
    true_pose: np.ndarray | None,
) -> Row:
    """Scores the clouds of an object.

    Args:
        name: CLASS/NAME.
        prediction: its clouds and poses.
        truth: [M, 3].
        rotation: quaternion [4] by which the clouds are turned, or None.
        true_pose: [V, 4], to score the poses too, or None.

    Returns:
        `Row`.
    """
    clouds, poses = prediction.points, prediction.pose
    if rotation is not None:
        clouds = align_points.turn_points(clouds, rotation)
        poses = None if poses is None else align_points.align_poses(poses, rotation)
    table = [metrics.precision_coverage(truth, cloud) for cloud in clouds]
    scores = {k: float(v) for k, v in metrics.summarize_views(table).items()}
    errors = None
    if true_pose is not None:
        errors = align_points.pose_errors_deg(poses, true_pose)
    group = name.rpartition("/")[0]
    return Row(name, group, len(clouds), clouds.shape[1], scores, errors)


def means(rows: Sequence[Row]) -> dict[str, dict[str, float]]:
    """Means of the classes, their plain mean, and that of all objects.

    Args:
        rows: at least one.

    Returns:
        class, then "mean of classes" and "mean of objects" -> measure -> value.
    """
    found = class_means(rows)
    found[CLASSES_MEAN] = found.pop("mean")
    found[OBJECTS_MEAN] = {
        name: float(np.mean([row.scores[name] for row in rows])) for name in MEASURES
    }
    return found


def pose_scores(rows: Sequence[Row], threshold_deg: float) -> dict[str, float]:
    """Share of right poses and median error, over all views.

    Args:
        rows: with errors.
        threshold_deg: below it a pose is right.

    Returns:
        `pose_accuracy` in [0, 1], `pose_median_deg`; {} where no row has errors.
    """
    errors = [row.pose_errors_deg for row in rows if row.pose_errors_deg is not None]
    if not errors:
        return {}
    every = np.concatenate(errors)
    return {
        "pose_accuracy": float((every < threshold_deg).mean()),
        "pose_median_deg": float(np.median(every)),
    }


def table(found: dict[str, dict[str, float]], counts: Mapping[str, int]) -> str:
    """Markdown table of `means`.

    Args:
        found: of `means`.
        counts: class -> objects.

    Returns:
        a line a class.
    """
    lines = [f"| x100 | objects | {' | '.join(MEASURES)} |"]
    lines.append("|---" * (len(MEASURES) + 2) + "|")
    for group, scores in found.items():
        cells = " | ".join(f"{scores[name]:.3f}" for name in MEASURES)
        lines.append(f"| {group} | {counts.get(group, '')} | {cells} |")
    return "\n".join(lines)


def main():
    """Pairs, aligns, scores, prints, writes."""
    given = pathlib.Path(FLAGS.predictions)
    folder = given if given.is_dir() else given.parent
    folder = pathlib.Path(FLAGS.output_dir) if FLAGS.output_dir else folder
    cli.check_output_folder(folder, "--output_dir")
    checks.between("--pose_threshold", FLAGS.pose_threshold, 0.1, 180.0)  # no NaN
    if FLAGS.align_predictions and FLAGS.align != "auto":
        raise ValueError("--align_predictions is for --align=auto; leave it out.")
    pairs = pair(FLAGS.predictions, FLAGS.truth, FLAGS.classes)
    poses = point_alignment.TruePoses(FLAGS.data_dir, FLAGS.splits)
    rotation, about = _alignment(pairs, poses, folder)
    rows = []
    for name, (own, true) in progress.bar(pairs.files.items(), "scoring"):
        prediction = point_files.read_prediction(own)
        wanted = FLAGS.poses or FLAGS.align == "auto"
        errors_of = poses.of(name, prediction, own) if wanted else None
        if prediction.pose is not None and rotation is None and not rows:
            _warn(
                "the predictions hold poses of their own, whose frame may be turned "
                "against that of the truth; see --align"
            )
        row = score(name, prediction, truths.read(true), rotation, errors_of)
        rows.append(row)
    found = means(rows)
    scores = pose_scores(rows, FLAGS.pose_threshold)
    counts = {group: sum(r.class_name == group for r in rows) for group in found}
    counts[CLASSES_MEAN] = len(rows)
    counts[OBJECTS_MEAN] = len(rows)
    if "" in {row.class_name for row in rows}:
        counts["all"] = sum(not row.class_name for row in rows)
    print(table(found, counts))
    _tell(rows, pairs, scores)
    write(folder, rows, found, pairs, scores, about)


def _alignment(pairs: Pairs, poses, folder) -> tuple[np.ndarray | None, dict | None]:
    """The rotation of --align as quaternion [4], and what the report says of it."""
    if FLAGS.align == "none":
        return None, None
    if FLAGS.align != "auto":
        return point_alignment.read(FLAGS.align)
    other = FLAGS.align_predictions
    if other is None:
        _warn(
            "the alignment is estimated on the predictions that are scored; published "
            "figures take it from the validation split, --align_predictions"
        )
    files = pair(other, FLAGS.truth, FLAGS.classes).files if other else pairs.files
    rotation, about = point_alignment.estimate(files, poses, FLAGS.seed)
    about["predictions"] = other or FLAGS.predictions
    with io.write_file(folder / ALIGNMENT, "w") as file:
        json.dump(about, file, indent=1)
    print(
        f"alignment of {about['views']} views of {len(about['objects'])} objects: "
        f"spread {about['spread_deg']:.1f} degrees; wrote {folder / ALIGNMENT}\n"
    )
    if about["spread_deg"] > point_alignment.WIDE_DEG:
        _warn(
            f"the views differ by {about['spread_deg']:.0f} degrees about the "
            "rotation: the poses do not share a frame, or the objects are symmetric"
        )
    return rotation, about


def _tell(rows, pairs: Pairs, scores) -> None:
    """Prints what the table does not say."""
    views = sum(row.views for row in rows)
    print(f"\n{len(rows)} objects scored, {views} views.")
    if scores:
        print(
            f"poses: {scores['pose_accuracy']:.1%} under {FLAGS.pose_threshold:g} "
            f"degrees, median {scores['pose_median_deg']:.2f} degrees."
        )
    for names, what in (
        (pairs.missing_truth, "without a true cloud, not scored"),
        (pairs.missing_prediction, "listed, but the prediction is missing; not scored"),
    ):
        if names:
            _warn(f"{len(names)} {what}: {_some(names)}")
    if pairs.unused_truth:
        count = len(pairs.unused_truth)
        print(f"{count} true clouds of other objects: {_some(pairs.unused_truth)}.")


def write(folder: pathlib.Path, rows, found, pairs, scores, about) -> None:
    """Writes result.csv, result.json and result.txt.

    Args:
        folder: made where it is missing.
        rows: `Row` of each object.
        found: of `means`.
        pairs: `Pairs`.
        scores: of `pose_scores`.
        about: of the alignment, or None.
    """
    errors = any(row.pose_errors_deg is not None for row in rows)
    entries = []
    for row in rows:
        entry = {"class": row.class_name, "name": row.name, "views": row.views}
        entry |= {"points": row.points, **{name: row.scores[name] for name in MEASURES}}
        if errors:
            entry["pose_error_deg"] = float(np.median(row.pose_errors_deg))
        entries.append(entry)
    with io.write_file(folder / "result.csv", "w") as file:
        writer = csv.DictWriter(file, list(entries[0]), lineterminator="\n")
        writer.writeheader()
        for entry in entries:
            text = {k: f"{v:.8g}" for k, v in entry.items() if isinstance(v, float)}
            writer.writerow({**entry, **text})
    counts = {
        "objects": len(rows),
        "missing_truth": len(pairs.missing_truth),
        "missing_prediction": len(pairs.missing_prediction),
        "truth_without_prediction": len(pairs.unused_truth),
    }
    report = {
        "settings": _settings(),
        "unit": "x100: hundredths of the unit of the clouds",
        "means": found,
        **scores,
        **counts,
        "alignment": about,
        "missing": {
            "truth": pairs.missing_truth,
            "prediction": pairs.missing_prediction,
            "truth_without_prediction": pairs.unused_truth,
        },
        "rows": entries,
    }
    with io.write_file(folder / "result.json", "w") as file:
        json.dump(report, file, indent=1)
    headline = found[OBJECTS_MEAN]
    lines = {name: f"{headline[name]:.4f}" for name in MEASURES}
    for group, values in found.items():
        if group != OBJECTS_MEAN:
            word = "classes" if group == CLASSES_MEAN else group
            lines[f"cd_mean_views/{word}"] = f"{values['cd_mean_views']:.4f}"
    lines |= {name: f"{value:.4f}" for name, value in scores.items()}
    lines |= {name: str(value) for name, value in counts.items()}
    with io.write_file(folder / "result.txt", "w") as file:
        file.writelines(f"{name}: {value}\n" for name, value in lines.items())
    print(f"wrote {folder}/result.csv, result.json and result.txt")


def _settings() -> dict:
    """What the scores depend on."""
    words = ("predictions", "truth", "classes", "align", "align_predictions", "seed")
    return {word: getattr(FLAGS, word) for word in (*words, "pose_threshold")}


def _some(names) -> str:
    """The first few names."""
    names = list(names)
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _warn(text: str) -> None:
    """One line on standard error."""
    print(f"warning: {text}.", file=sys.stderr, flush=True)


if __name__ == "__main__":
    define_flags()
    cli.run(main)
