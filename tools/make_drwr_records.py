r"""Makes the records of DRWR: several views of each object, with silhouettes.

    python -m tools.make_drwr_records --input=meshes --output=data/drwr --points=8192
    python -m tools.make_drwr_records --input=renders/03001627 --output=data/chairs
    python -m tools.make_drwr_records --input=tf_records --output=data/chairs

--input is a folder of meshes (the first folder below it is the class), which are drawn;
a folder of renders <root>/<object>/ or <root>/<class>/<object>/ with render_0.png,
camera_0.mat ...; or CLASS_SPLIT.tfrecords of the original, files or their folder. With
--layout=renders meshes become such a folder of renders instead of records.

Splits are by object: those of --split_file (JSON: split -> names CLASS__NAME, as for
tools.render_dataset; or a folder of CLASS_SPLIT.txt or CLASS.file lists), of the lists
that lie beside renders, of the files' names; else the shares --held_out of each class.
A run that was stopped goes on where it stopped when it is started with the same flags.

docs/drwr_data.md has the layouts, the cameras, and how to use pictures of your own.
"""

import contextlib
import hashlib
import json
import pathlib
import sys

from absl import flags

from datasets import records
from datasets.drwr import (
    examples,
    generation,
    layouts,
    renders,
    silhouettes,
    spool,
    truth,
)
from datasets.mesh_reconstruction.generation import VARIANT
from tfrender import io
from tools import cli, drwr_sources, mesh_splits, progress

FLAGS = flags.FLAGS
_MOST_NOTES = 30  # lines
_TRUTH = "truth"
_MESHES_ALONE = (
    *("elevation_range", "distance", "normalize", "supersample", "points", "augment"),
    "class_file",
)


def define_flags() -> None:
    """Defines the flags; not at import, because names are global to a process."""
    f = flags
    f.DEFINE_list("input", None, "Folder of meshes or renders, or .tfrecords.")
    f.DEFINE_string("output", None, "Folder of the records.")
    f.DEFINE_enum("layout", "records", ["records", "renders"], "What to write.")
    f.DEFINE_integer("views", None, "Views of an object; meshes 8, else all.", 1, 999)
    f.DEFINE_integer("image_size", None, "Pixels a side; meshes 128.", 8, 4096)
    f.DEFINE_integer(
        "sample_points", 0, "Points on each mask for the 2D Chamfer loss, say 5000.", 0
    )
    f.DEFINE_enum("sample_mode", "lattice", silhouettes.MODES, "How they lie.")
    f.DEFINE_bool("depth", False, "Keep depths.")
    f.DEFINE_float("focal_length", 1.875, "In widths of the picture.", 0.1, 99)
    f.DEFINE_list("elevation_range", None, "Meshes: degrees of cameras, -20,40.")
    f.DEFINE_float("distance", None, "Meshes: of the cameras; 2.", 0.9, 99)
    f.DEFINE_enum("normalize", None, generation.NORMALIZATIONS, "Meshes: diagonal.")
    f.DEFINE_integer("supersample", None, "Meshes: samples a pixel side; 4.", 1, 8)
    f.DEFINE_integer(
        "points", None, "Meshes: points of the true surface, in OUTPUT/truth; 0.", 0
    )
    f.DEFINE_integer("augment", None, "Meshes: variants of a training object; 0.", 0)
    f.DEFINE_list("classes", None, "Renders, .tfrecords: classes to read; all.")
    f.DEFINE_string("class_file", None, "Meshes: lines of object, tab, class.")
    f.DEFINE_string("split_file", None, "JSON, or a folder of lists.")
    f.DEFINE_list("held_out", ["0.1", "0.1"], "Shares of validation and test.")
    f.DEFINE_integer("seed", 0, "Of cameras, variants, points, shards.", 0, 2**31 - 1)
    f.DEFINE_integer("shard_records", 128, "Most records in a shard.", 1)
    f.DEFINE_bool("skip_broken", False, "Go on after an object that is broken.")
    f.mark_flags_as_required(["input", "output"])


def settings_from_flags(kind: str):
    """How meshes are drawn, or what is read of renders and records.

    Args:
        kind: of `drwr_sources.KINDS`.

    Returns:
        `generation.ViewSettings` or `layouts.Settings`.

    Raises:
        ValueError: a range that is none, or flags of another kind of input.
    """
    if kind == "meshes":
        if FLAGS.classes is not None:
            raise ValueError("--classes is for renders and .tfrecords; leave it out.")
        form = generation.ViewSettings
    else:
        given = [name for name in _MESHES_ALONE if getattr(FLAGS, name) is not None]
        if FLAGS.layout == "renders":
            given.append("layout=renders")
        if kind == "tfrecords" and FLAGS.split_file:
            given = ["split_file"]
        if given:
            other = "renders and meshes" if given == ["split_file"] else "meshes"
            raise ValueError(f"--{given[0]} is for {other}; --input holds {kind}.")
        form = layouts.Settings
    names = [name for name in form._fields if name != "elevation_range"]
    values = {name: getattr(FLAGS, name) for name in names}
    if FLAGS.elevation_range is not None:
        values["elevation_range"] = _elevations(FLAGS.elevation_range)
    return form(**{name: value for name, value in values.items() if value is not None})


def _elevations(texts) -> tuple[float, float]:
    try:
        low, high = map(float, texts)
        if not -90.0 <= low <= high <= 90.0:
            raise ValueError
    except ValueError:
        raise ValueError(
            "--elevation_range: expected two numbers, -90 <= low <= high <= 90; got "
            f"{','.join(texts)}."
        ) from None
    return low, high


def _plan(kind: str, settings):
    """Split -> items, and notes."""
    inputs, classes = FLAGS.input, FLAGS.classes
    if kind == "tfrecords":
        return drwr_sources.plan_records(inputs, classes, settings), []
    shares = mesh_splits.held_out_shares(FLAGS.held_out)
    splitting = drwr_sources.Splitting(FLAGS.split_file, shares, FLAGS.class_file)
    if kind == "renders":
        return drwr_sources.plan_renders(inputs[0], classes, settings, splitting)
    return drwr_sources.plan_meshes(inputs, settings, splitting), []


def _write_split(items, kept: spool.Spool, split: str) -> list[str]:
    """Makes the objects of a split that are not there, and what --layout says."""
    notes, form, forms = [], None, iter(())
    begun = [kept.find(number) for number in range(len(items))]
    there = sum(entry is not None for entry in begun)
    if there:
        print(f"{split}: going on after {there} of {len(items)} objects", flush=True)
    for number, item in progress.bar(list(enumerate(items)), split):
        entry = begun[number]
        if entry is None:
            made = _make(item, form)
            _write_truth(made)
            entry = kept.add(number, made.views, made.notes)
            forms = map(examples.form_of, made.views)
        elif form is None:
            forms = map(examples.form_of, kept.read(number))
        form = form or next(iter(forms), None)
        notes += entry.notes
    if FLAGS.layout == "renders":
        _write_renders(kept, len(items), split)
        return notes
    metadata = {"source": ",".join(FLAGS.input)}
    found = kept.finish(len(items), FLAGS.shard_records, metadata)
    _tell_split(split, found.metadata["objects"], found.metadata)
    return notes


def _write_renders(kept: spool.Spool, count: int, split: str) -> None:
    """Writes the folders of renders of a split, then its lists."""
    root, by_class, about = pathlib.Path(FLAGS.output), {}, {}
    for number in range(count):
        for item in kept.read(number):
            class_id, name = item.name.split("/")
            by_class.setdefault(class_id, []).append(name)
            about = {"image_size": item.masks.shape[1:], "views": len(item.masks)}
            if not (root / item.name).exists():  # of a run that was stopped
                renders.write_object(root / item.name, item)
    if not by_class:
        raise io.FormatError(f"{root}: no object of the split {split} is left.")
    for class_id, names in by_class.items():
        with io.write_file(_list_path(class_id, split), "w") as file:
            file.write("\n".join(names) + "\n")
    kept.remove()
    names = [f"{c}/{name}" for c, own in by_class.items() for name in own]
    _tell_split(split, names, {**about, "classes": sorted(by_class)})


def _check_renders() -> None:
    """Refuses a folder where renders, all of them, were made before."""
    there = sorted(pathlib.Path(FLAGS.output).glob("*_*.txt"))
    if there and not any(pathlib.Path(FLAGS.output).glob(".*.spool")):
        raise ValueError(f"{there[0]}: exists already; choose another --output.")


def _list_path(class_id: str, split: str) -> pathlib.Path:
    """List of a class as the original names it."""
    word = "val" if split == "validation" else split
    return pathlib.Path(FLAGS.output) / f"{class_id}_{word}.txt"


def _write_truth(made: drwr_sources.Made) -> None:
    for name, points in made.truth.items():
        truth.write(truth.path_of(str(_truth_folder()), name), points)


def _truth_folder() -> pathlib.Path:
    return pathlib.Path(FLAGS.output) / _TRUTH


def _make(item: drwr_sources.Item, form) -> drwr_sources.Made:
    """Reads or draws an object; nothing of a broken one with --skip_broken.

    What differs from the first object (its `examples.Form`, or None) is broken.
    """
    try:
        made = item.make()
        for views in made.views:
            own = examples.form_of(views)
            examples.check_form(form or own, own, item.name)
        return made
    except (ValueError, OSError) as error:
        if not FLAGS.skip_broken:
            raise
        note = f"{item.name}: left out: {cli.describe(error)}"
        return drwr_sources.Made([], {}, [note])


def _tell_split(split: str, names, about) -> None:
    objects = [name for name in names if VARIANT not in name]
    counts = [
        f"{c} {sum(name.startswith(f'{c}/') for name in objects)}"
        for c in about["classes"]
    ]
    height, width = about["image_size"]
    variants = len(names) - len(objects)
    print(
        f"{split}: {len(names) * about['views']} pictures {width} x {height} of "
        f"{len(objects)} object{'s' * (len(objects) > 1)} ({', '.join(counts)})"
        + f" and {variants} variants"
        * bool(variants),
        flush=True,
    )


def _tell(notes) -> None:
    for note in notes[:_MOST_NOTES]:
        print(f"note: {note}", file=sys.stderr)
    if len(notes) > _MOST_NOTES:
        print(f"note: and {len(notes) - _MOST_NOTES} more.", file=sys.stderr)


def _fingerprint(plan) -> str:
    """Changes with the objects of the splits."""
    names = {split: [item.name for item in items] for split, items in plan.items()}
    return hashlib.sha256(json.dumps(names).encode()).hexdigest()[:16]


def main():
    """Writes every split and says what was written."""
    cli.check_output_folder(FLAGS.output, "--output")
    kind = drwr_sources.kind_of(FLAGS.input)
    settings = settings_from_flags(kind)
    plan, notes = _plan(kind, settings)
    mesh_splits.check_output(FLAGS.output, plan)
    if FLAGS.layout == "renders":
        _check_renders()
    about = {
        "kind": kind,
        **settings._asdict(),
        "objects_and_splits": _fingerprint(plan),
    }
    spools = {split: spool.Spool(FLAGS.output, split, about) for split in plan}
    with _no_empty_folders(spools.values()):
        for split, items in plan.items():
            if spools[split].finished:
                print(f"{split}: finished already")
            else:
                notes += _write_split(items, spools[split], split)
    for folder in _truth_folder().glob("*/"):
        records.remove_abandoned(folder, "*")  # of runs that were killed
    _tell(notes)
    if list(plan) == ["train"]:
        print("note: no split is held out; an evaluation would show what was learnt.")
    print(f"wrote {FLAGS.output}")


@contextlib.contextmanager
def _no_empty_folders(spools):
    """A run that fails leaves finished objects behind, but no empty folder."""
    try:
        yield
    except BaseException:
        for kept in spools:
            kept.discard_if_empty()
        root = pathlib.Path(FLAGS.output)
        inner = sorted(path for path in root.glob("*/*/") if path.is_dir())
        outer = sorted(path for path in root.glob("*/") if path.is_dir())
        for folder in (*inner, *outer, root):
            with contextlib.suppress(OSError):
                folder.rmdir()  # refused where something is in it
        if any(kept.folder.exists() for kept in spools):
            print(
                "finished objects are kept; the same command goes on", file=sys.stderr
            )
        raise


if __name__ == "__main__":
    define_flags()
    cli.run(main)
