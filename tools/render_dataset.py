r"""Makes training data from a folder of meshes.

    python -m tools.render_dataset --input=meshes --output=data/mine
    python -m tools.render_dataset --system=mesh_reconstruction --input=meshes \
        --output=data/views --augment=3

Every mesh below --input becomes one object: a solid voxel grid and pictures, for
RenderNet from random poses, for mesh reconstruction from its 24 views. Splits are by
object, from --split_file or by a hash of the object's name; for mesh reconstruction the
shares of --held_out are those of each class, which keeps one object for training. The
result is TFRecords, or (--layout=legacy) what the original reads: for RenderNet a tar
of pictures for each split and a folder of binvox files, for mesh reconstruction two npz
files for each class and split.

Mesh reconstruction needs the class of each object: the first folder below --input
(meshes/chair/thonet.obj is a chair), or the second column of --class_file.
"""

import collections
import pathlib
import sys

import tensorflow as tf
from absl import flags

from datasets import records
from datasets.mesh_reconstruction import examples as view_examples
from datasets.mesh_reconstruction import generation as view_generation
from datasets.mesh_reconstruction import published
from datasets.mesh_reconstruction.views import class_name
from datasets.rendernet import examples, generation, names
from tfrender import io
from tfrender.io import FormatError
from tools import cli, mesh_folder, mesh_splits, progress

SYSTEMS = ("rendernet", "mesh_reconstruction")
_RENDERNET_ALONE = (
    *("style", "resolution", "views", "polar_range", "radius_range", "projection"),
)

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Defines the flags; not at import, because names are global to a process."""
    flags.DEFINE_list("input", None, "Mesh files or folders of them, by comma.")
    flags.DEFINE_string("output", None, "Folder of the data set.")
    flags.DEFINE_enum("system", "rendernet", SYSTEMS, "Whose data to make.")
    flags.DEFINE_enum("layout", "records", ["records", "legacy"], "What to write.")
    flags.DEFINE_enum("style", None, generation.STYLES, "What RenderNet sees; normal.")
    flags.DEFINE_integer(
        "resolution",
        None,
        "RenderNet: voxels a side, 64; pictures are 8 times.",
        4,
        256,
    )
    flags.DEFINE_integer("views", None, "RenderNet: pictures of an object, 12.", 1)
    flags.DEFINE_list(
        "polar_range", None, "RenderNet: degrees from straight above, 10,170."
    )
    flags.DEFINE_list("radius_range", None, "RenderNet: camera distances, 2.9,4.5.")
    flags.DEFINE_enum(
        "projection", None, ["orthographic", "perspective"], "RenderNet: orthographic."
    )
    flags.DEFINE_integer(
        "supersample", None, "Samples a pixel side; RenderNet 2, else 4.", 1, 8
    )
    flags.DEFINE_float(
        "fill",
        None,
        "Longest side of an object in the grid; RenderNet 0.9, else 1.",
        0.1,
        1,
    )
    flags.DEFINE_integer(
        "augment", 0, "Mesh reconstruction: stretched variants of a training object.", 0
    )
    flags.DEFINE_string(
        "class_file", None, "Mesh reconstruction: lines of object, tab, class."
    )
    flags.DEFINE_integer("seed", 0, "Of poses, variants and shards.", 0)
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


def settings_from_flags():
    """How to draw, from the flags: the `ViewSettings` of the system.

    Raises:
        ValueError: a range that is none, or a flag of the other system.
    """
    given = {"fill": FLAGS.fill, "supersample": FLAGS.supersample, "seed": FLAGS.seed}
    given.update({name: getattr(FLAGS, name) for name in _RENDERNET_ALONE})
    given = {name: value for name, value in given.items() if value is not None}
    if FLAGS.system == "mesh_reconstruction":
        alien = [name for name in _RENDERNET_ALONE if name in given]
        if alien:
            raise ValueError(f"--{alien[0]} is for --system=rendernet; leave it out.")
        if FLAGS.augment and FLAGS.layout == "legacy":
            raise ValueError(
                "--augment: expected --layout=records; the legacy layout has no names "
                "to tell variants by."
            )
        return view_generation.ViewSettings(**given, augment=FLAGS.augment)
    for name in ("augment", "class_file"):
        if getattr(FLAGS, name):
            raise ValueError(f"--{name} is for --system=mesh_reconstruction.")
    limits = {
        "polar_range": (0.0, 180.0),
        "radius_range": (names.MIN_RADIUS, names.MAX_RADIUS),
    }
    for name, (low, high) in limits.items():
        if name in given:
            given[name] = _pair(name, given[name], low, high)
    return generation.ViewSettings(**given)


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


def _draw(split, objects, draw, sink) -> list[str]:
    """Draws the objects of a split into a sink; returns the broken meshes."""
    broken = []
    for name, path in progress.bar(objects.items(), split):
        try:
            drawn = draw(str(path), name)
        except (ValueError, OSError) as error:
            if not FLAGS.skip_broken:
                raise
            print(f"skipped {path}: {cli.describe(error)}", file=sys.stderr)
            broken.append(name)
            continue
        sink(name, drawn)
    return broken


def _write_records(output, split, objects, settings) -> tuple[int, list[str]]:
    """RenderNet's records; returns pictures and broken meshes."""
    with records.RecordWriter(
        output,
        split,
        FLAGS.shard_records,
        examples.SCHEMA,
        seed=settings.seed,
        overwrite=True,
    ) as writer:
        drawn, pictures = [], 0

        def sink(name, views):
            nonlocal pictures
            drawn.append(name)
            pictures += len(views.poses)
            for pose, image in zip(views.poses, views.images, strict=True):
                writer.write(
                    examples.encode_example(
                        image, views.voxels.occupancy, pose.tolist(), name, name
                    )
                )

        broken = _draw(split, objects, _views_of(settings), sink)
        writer.metadata.update({**settings._asdict(), "objects": drawn})
    return pictures, broken


def _write_legacy(output, split, objects, settings) -> tuple[int, list[str]]:
    """RenderNet's tar and binvox files; returns pictures and broken meshes."""
    folder = pathlib.Path(output)
    models = folder / "binvox"
    models.mkdir(parents=True, exist_ok=True)
    files: dict[str, bytes] = {}
    pictures = 0

    def sink(name, views):
        nonlocal pictures
        pictures += len(views.poses)
        io.write_binvox(models / f"{name}.binvox", *views.voxels)
        for pose, image in zip(views.poses, views.images, strict=True):
            stem = names.format_name(name, *pose.tolist())
            files[f"{stem}.png"] = tf.io.encode_png(image).numpy()

    broken = _draw(split, objects, _views_of(settings), sink)
    if not files:
        raise FormatError(f"{output}: every mesh of split {split} is broken.")
    io.write_tar(folder / f"{split}.tar", files)
    if len(files) < pictures:  # one name, one picture
        print(f"{split}: {pictures - len(files)} poses were drawn twice; kept once.")
    return len(files), broken


def _views_of(settings):
    return lambda path, name: generation.draw_object(path, name, settings)


def _variants_of(split, settings):
    """Draws an object and, for training, its variants: list of (name, views)."""
    count = settings.augment if split == "train" else 0

    def draw(path, name):
        return [
            (
                view_generation.variant_name(name, number),
                view_generation.draw_object(path, name, settings, number),
            )
            for number in range(count + 1)
        ]

    return draw


def _write_view_records(output, split, objects, settings) -> tuple[int, list[str]]:
    """Records of mesh reconstruction; returns pictures and broken meshes."""
    classes = mesh_splits.object_classes(FLAGS.input, objects, FLAGS.class_file)
    with records.RecordWriter(
        output,
        split,
        FLAGS.shard_records,
        view_examples.SCHEMA,
        seed=settings.seed,
        overwrite=True,
    ) as writer:
        drawn, pictures = [], 0

        def sink(name, variants):
            nonlocal pictures
            drawn.append(name)
            for variant, (images, voxels) in variants:
                pictures += len(images)
                writer.write(
                    view_examples.encode_example(images, voxels, classes[name], variant)
                )

        broken = _draw(split, objects, _variants_of(split, settings), sink)
        writer.metadata.update(settings._asdict())
        writer.metadata["objects"] = drawn
        writer.metadata["classes"] = sorted({classes[name] for name in drawn})
    return pictures, broken


def _write_view_legacy(output, split, objects, settings) -> tuple[int, list[str]]:
    """The npz files of the original; returns pictures and broken meshes."""
    classes = mesh_splits.object_classes(FLAGS.input, objects, FLAGS.class_file)
    pictures, broken = 0, []
    for class_id in sorted(set(classes.values())):
        own = {
            name: path for name, path in objects.items() if classes[name] == class_id
        }
        drawn = []

        def sink(name, variants, drawn=drawn):
            drawn.extend(views for _, views in variants)

        title = f"{split} {class_id}"
        broken += _draw(title, own, _variants_of(split, settings), sink)
        if drawn:
            published.write(output, class_id, split, *zip(*drawn, strict=True))
        pictures += sum(len(views.images) for views in drawn)
    if not pictures:
        raise FormatError(f"{output}: every mesh of split {split} is broken.")
    return pictures, broken


_WRITERS = {
    ("rendernet", "records"): _write_records,
    ("rendernet", "legacy"): _write_legacy,
    ("mesh_reconstruction", "records"): _write_view_records,
    ("mesh_reconstruction", "legacy"): _write_view_legacy,
}


def _view_splits(found, shares) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Splits of mesh reconstruction, and the class of every object in them."""
    classes = None
    if not FLAGS.split_file:
        classes = mesh_splits.object_classes(FLAGS.input, found, FLAGS.class_file)
    splits = mesh_splits.assign_splits(found, FLAGS.split_file, shares, classes)
    used = {name: found[name] for listed in splits.values() for name in listed}
    marked = [name for name in used if view_generation.VARIANT in name]
    if marked:
        raise ValueError(
            f"{used[marked[0]]}: expected a name without {view_generation.VARIANT}, "
            "which marks variants; rename the file or its folder."
        )
    return splits, mesh_splits.object_classes(FLAGS.input, used, FLAGS.class_file)


def _class_counts(names, classes) -> str:
    """Number of objects of each class: " (chair 3, lamp 1)"."""
    counts = collections.Counter(classes[name] for name in names)
    return f" ({', '.join(f'{class_name(c)} {counts[c]}' for c in sorted(counts))})"


def main():
    """Draws every split and says what was written."""
    settings = settings_from_flags()
    shares = mesh_splits.held_out_shares(FLAGS.held_out) if not FLAGS.split_file else ()
    found = mesh_folder.find_meshes(FLAGS.input)
    classes = {}
    if FLAGS.system == "mesh_reconstruction":
        splits, classes = _view_splits(found, shares)
    else:
        splits = mesh_splits.assign_splits(found, FLAGS.split_file, shares)
    mesh_splits.check_output(FLAGS.output, splits)
    write = _WRITERS[FLAGS.system, FLAGS.layout]
    for split, objects in splits.items():
        pictures, broken = write(
            FLAGS.output, split, {name: found[name] for name in objects}, settings
        )
        note = f", {len(broken)} broken meshes left out" if broken else ""
        drawn = [name for name in objects if name not in broken]
        by_class = _class_counts(drawn, classes) if classes else ""
        print(f"{split}: {pictures} pictures of {len(drawn)} objects{by_class}{note}")
    print(f"wrote {FLAGS.output}")


if __name__ == "__main__":
    define_flags()
    cli.run(main)
