"""Makes RenderNet's training data from a folder of meshes.

    python -m tools.render_dataset --input=meshes --output=data/mine

Every mesh below --input becomes one object: a solid voxel grid and pictures from random
poses. Splits are by object, from --split_file or by a hash of the object's name. The
result is TFRecords, or (--layout=legacy) a tar of pictures for each split and a folder
of binvox files, as the original RenderNet reads them.
"""

import hashlib
import json
import pathlib
import sys

import tensorflow as tf
from absl import flags

from datasets import records
from datasets.rendernet import examples, generation, names
from tfrender import io
from tfrender.io import FormatError
from tools import cli, mesh_folder, progress

SPLITS = ("train", "validation", "test")

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Defines the flags; not at import, because names are global to a process."""
    flags.DEFINE_list("input", None, "Mesh files or folders of them, by comma.")
    flags.DEFINE_string("output", None, "Folder of the data set.")
    flags.DEFINE_enum("layout", "records", ["records", "legacy"], "What to write.")
    flags.DEFINE_enum("style", "normal", generation.STYLES, "What to draw.")
    flags.DEFINE_integer(
        "resolution", 64, "Voxels a side; pictures are 8 times as large.", 4, 256
    )
    flags.DEFINE_integer("views", 12, "Pictures of an object.", 1)
    flags.DEFINE_list(
        "polar_range", ["10", "170"], "Polar angles from straight above, degrees."
    )
    flags.DEFINE_list("radius_range", ["2.9", "4.5"], "Camera distances.")
    flags.DEFINE_enum(
        "projection", "orthographic", ["orthographic", "perspective"], "Camera."
    )
    flags.DEFINE_integer("supersample", 2, "Samples a pixel side.", 1, 8)
    flags.DEFINE_float("fill", 0.9, "Share of the grid that an object takes.", 0.1, 1)
    flags.DEFINE_integer("seed", 0, "Of poses and shards.", 0)
    flags.DEFINE_string(
        "split_file",
        None,
        "JSON: split -> object names; unlisted objects are left out.",
    )
    flags.DEFINE_list(
        "held_out", ["0.1", "0.1"], "Shares of the objects for validation and test."
    )
    flags.DEFINE_integer("shard_records", 128, "Most records in a shard.", 1)
    flags.DEFINE_bool("skip_broken", False, "Go on after a mesh that is broken.")
    flags.mark_flags_as_required(["input", "output"])


def settings_from_flags() -> generation.ViewSettings:
    """How to draw, from the flags."""
    return generation.ViewSettings(
        resolution=FLAGS.resolution,
        style=FLAGS.style,
        views=FLAGS.views,
        polar_range=_pair("polar_range", FLAGS.polar_range, 0.0, 180.0),
        radius_range=_pair(
            "radius_range", FLAGS.radius_range, names.MIN_RADIUS, names.MAX_RADIUS
        ),
        projection=FLAGS.projection,
        supersample=FLAGS.supersample,
        fill=FLAGS.fill,
        seed=FLAGS.seed,
    )


def _pair(name: str, texts, low: float, high: float) -> tuple[float, float]:
    """Two ordered numbers in [low, high] from a list flag."""
    try:
        first, second = (float(text) for text in texts)
    except ValueError:
        found = ",".join(texts)
        raise ValueError(f"--{name}: expected two numbers; got {found}.") from None
    if not low <= first <= second <= high:
        raise ValueError(
            f"--{name}: expected {low} <= first <= second <= {high}; got "
            f"{first},{second}."
        )
    return first, second


def _shares(texts) -> tuple[float, float]:
    """Shares of validation and test from the list flag."""
    try:
        validation, test = (float(text) for text in texts)
    except ValueError:
        validation = test = -1.0
    if not (validation >= 0.0 and test >= 0.0 and validation + test < 1.0):
        raise ValueError(
            "--held_out: expected two shares that add up to less than 1; got "
            f"{','.join(texts)}."
        )
    return validation, test


def assign_splits(objects, split_file: str | None, shares) -> dict[str, list[str]]:
    """Distributes objects over splits.

    Args:
        objects: names of all objects.
        split_file: JSON file of split -> names, or None for a hash of the name.
        shares: shares of validation and test, where there is no file.

    Returns:
        split -> names, sorted; splits without objects are left out.

    Raises:
        FormatError: the file is broken, names an object twice or one that is missing.
    """
    if split_file is None:
        found = _shuffled_splits(objects, *shares)
    else:
        found = _read_splits(split_file, set(objects))
    return {split: sorted(found[split]) for split in SPLITS if found.get(split)}


def _shuffled_splits(objects, validation: float, test: float) -> dict[str, list[str]]:
    """Splits in the order of a hash of the names; a wanted split is never empty."""
    order = sorted(objects, key=lambda name: hashlib.sha256(name.encode()).digest())
    tests, validations = (
        max(1, round(share * len(order))) if share else 0
        for share in (test, validation)
    )
    train = order[tests + validations :]
    if not train:
        raise ValueError(
            f"--held_out: {tests} test and {validations} validation objects leave none "
            f"of {len(order)} for training."
        )
    return {
        "test": order[:tests],
        "validation": order[tests : tests + validations],
        "train": train,
    }


def _check_output(output: str, splits) -> None:
    """Refuses a folder that holds a split which this run would not replace."""
    for split in SPLITS:
        for kind in ("json", "tar"):
            path = pathlib.Path(output) / f"{split}.{kind}"
            if path.exists() and split not in splits:
                raise ValueError(
                    f"{path}: a split of an earlier run, which this one would leave "
                    "beside its own; objects may be in both. Choose another --output."
                )


def _read_splits(path: str, objects: set[str]) -> dict[str, list[str]]:
    try:
        found = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise FormatError(f"{path}: expected JSON; {error}.") from error
    if not isinstance(found, dict) or not set(found) <= set(SPLITS):
        raise FormatError(f"{path}: expected a mapping with keys out of {SPLITS}.")
    for split, names_ in found.items():
        if not (isinstance(names_, list) and all(isinstance(n, str) for n in names_)):
            raise FormatError(f"{path}: expected a list of names under {split!r}.")
    listed = [name for split in found.values() for name in split]
    twice = sorted({name for name in listed if listed.count(name) > 1})
    missing = sorted(set(listed) - objects)
    if twice:
        raise FormatError(f"{path}: {twice[0]} is listed twice; splits are by object.")
    if missing:
        raise FormatError(
            f"{path}: {len(missing)} listed objects are not in the input, {missing[0]} "
            "the first."
        )
    return found


def _draw(split, objects, settings, sink) -> tuple[int, list[str]]:
    """Draws the objects of a split into a sink; returns pictures and broken meshes."""
    pictures, broken = 0, []
    for name, path in progress.bar(objects.items(), split):
        try:
            views = generation.draw_object(str(path), name, settings)
        except (ValueError, OSError) as error:
            if not FLAGS.skip_broken:
                raise
            print(f"skipped {path}: {cli.describe(error)}", file=sys.stderr)
            broken.append(name)
            continue
        sink(name, views)
        pictures += len(views.poses)
    return pictures, broken


def _write_records(output, split, objects, settings) -> tuple[int, list[str]]:
    with records.RecordWriter(
        output,
        split,
        FLAGS.shard_records,
        examples.SCHEMA,
        seed=settings.seed,
        overwrite=True,
    ) as writer:
        drawn = []

        def sink(name, views):
            drawn.append(name)
            for pose, image in zip(views.poses, views.images, strict=True):
                writer.write(
                    examples.encode_example(
                        image, views.voxels.occupancy, pose.tolist(), name, name
                    )
                )

        result = _draw(split, objects, settings, sink)
        writer.metadata.update({**settings._asdict(), "objects": drawn})
    return result


def _write_legacy(output, split, objects, settings) -> tuple[int, list[str]]:
    folder = pathlib.Path(output)
    models = folder / "binvox"
    models.mkdir(parents=True, exist_ok=True)
    files: dict[str, bytes] = {}

    def sink(name, views):
        io.write_binvox(models / f"{name}.binvox", *views.voxels)
        for pose, image in zip(views.poses, views.images, strict=True):
            stem = names.format_name(name, *pose.tolist())
            files[f"{stem}.png"] = tf.io.encode_png(image).numpy()

    pictures, broken = _draw(split, objects, settings, sink)
    if not files:
        raise FormatError(f"{output}: every mesh of split {split} is broken.")
    io.write_tar(folder / f"{split}.tar", files)
    if len(files) < pictures:  # one name, one picture
        print(f"{split}: {pictures - len(files)} poses were drawn twice; kept once.")
    return len(files), broken


def main():
    """Draws every split and says what was written."""
    settings = settings_from_flags()
    shares = _shares(FLAGS.held_out) if not FLAGS.split_file else ()
    found = mesh_folder.find_meshes(FLAGS.input)
    splits = assign_splits(found, FLAGS.split_file, shares)
    _check_output(FLAGS.output, splits)
    write = _write_records if FLAGS.layout == "records" else _write_legacy
    for split, objects in splits.items():
        pictures, broken = write(
            FLAGS.output, split, {name: found[name] for name in objects}, settings
        )
        note = f", {len(broken)} broken meshes left out" if broken else ""
        count = len(objects) - len(broken)
        print(f"{split}: {pictures} pictures of {count} objects{note}")
    print(f"wrote {FLAGS.output}")


if __name__ == "__main__":
    define_flags()
    cli.run(main)
