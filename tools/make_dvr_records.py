r"""Makes the records of DVR from posed pictures with masks.

    python -m tools.make_dvr_records --input=data/NMR_Dataset --output=data/dvr_nmr
    python -m tools.make_dvr_records --input=my_scene --layout=dtu \
        --held_out_views=4 --output=data/my_scene

--input is a data set <root>/<class>/<object>/, one class of it, or one object. Three
layouts are read: that of DTU (a multi-view scene with scale matrices, a record is a
view), ShapeNet's with the pictures of Choy et al. as encoder inputs, and that of Kato
et al. (nmr). Splits are those of the lists <root>/<class>/<split>.lst, val becoming
validation; without lists all is one split, train. --held_out_views=K keeps K evenly
spaced views of a scene from training, --held_out_views=3,9 these ones (3-3 is view 3
alone); they become the split held_out.

docs/dvr_data.md says how to make the files for your own pictures.
"""

import contextlib
import sys

from absl import flags

from datasets import records
from datasets.dvr import examples, layouts, views, visual_hull
from tools import cli, progress

_FOLDERS = {
    "img_folder": "image",
    "mask_folder": "mask",
    "depth_folder": "depth",
    "hull_depth_folder": "hull_depth",
    "input_folder": "inputs",
    "img_extension": "image_extension",
    "mask_extension": "mask_extension",
    "depth_extension": "depth_extension",
    "input_extension": "input_extension",
}
_INPUT_SIZE = 224
_HELD_OUT = "held_out"
_MOST_NOTES = 30  # lines

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Defines the flags; not at import, because names are global to a process."""
    flags.DEFINE_string("input", None, "Folder of the data set, a class or an object.")
    flags.DEFINE_string("output", None, "Folder of the records.")
    flags.DEFINE_enum("layout", "auto", ["auto", *layouts.LAYOUTS], "Whose layout.")
    flags.DEFINE_list("classes", None, "Class folders to read; all.")
    flags.DEFINE_list(
        "split", None, "Lists to read, without .lst; train, val and test (softras_...)."
    )
    flags.DEFINE_list("held_out_views", None, "Of scenes: how many, or which views.")
    flags.DEFINE_integer("views", 0, "Views of an object for supervision; 0: all.", 0)
    flags.DEFINE_integer("input_views", 0, "Encoder inputs of an object; 0: all.", 0)
    flags.DEFINE_list(
        "ignore_views", [], "Places of views that are dropped, or ranges: 3-7,16-21."
    )
    flags.DEFINE_integer(
        "image_size", 0, "Shorter side of the pictures in pixels; 0: as they are.", 0
    )
    flags.DEFINE_integer("input_size", None, "Side of encoder inputs; 224.", 1, 4096)
    for name in _FOLDERS:
        kind = "Extension" if name.endswith("extension") else "Sub-folder"
        flags.DEFINE_string(name, None, f"{kind}; that of the layout.")
    flags.DEFINE_bool("visual_hull", False, "Carve a hull from the masks; its depth.")
    flags.DEFINE_integer("hull_resolution", 128, "Voxels of the hull a side.", 8, 512)
    flags.DEFINE_integer("shard_records", 128, "Most records in a shard.", 1)
    flags.DEFINE_integer("seed", 0, "Of the order in the shards.", 0)
    flags.mark_flags_as_required(["input", "output"])


def settings_from_flags(layout: str) -> views.Settings:
    """What is read of every object.

    Args:
        layout: key of `layouts.LAYOUTS`.

    Returns:
        `views.Settings`.

    Raises:
        ValueError: views that are no numbers, or flags that exclude each other.
    """
    given = {
        field: getattr(FLAGS, name)
        for name, field in _FOLDERS.items()
        if getattr(FLAGS, name) is not None
    }
    folders = layouts.LAYOUTS[layout]._replace(**given)
    if FLAGS.visual_hull and given.get("hull_depth"):
        raise ValueError("--visual_hull makes what --hull_depth_folder would read.")
    if FLAGS.input_size and not folders.inputs:
        raise ValueError("--input_size: this layout has no inputs; see --input_folder.")
    return views.Settings(
        folders._replace(hull_depth="") if FLAGS.visual_hull else folders,
        FLAGS.views,
        FLAGS.input_views,
        tuple(_numbers("ignore_views", FLAGS.ignore_views)),
        FLAGS.image_size,
        FLAGS.input_size or _INPUT_SIZE,
        scaled=layout == "dtu",
        multi_view=layout == "dtu",
    )


def _numbers(name: str, texts) -> list[int]:
    """Numbers and ranges of a list flag."""
    found = []
    for text in texts:
        first, dash, last = text.strip().partition("-")
        last = last if dash else first
        numeric = first.isdecimal() and last.isdecimal()
        if not numeric or int(last) < int(first):
            raise ValueError(
                f"--{name}: expected numbers or ranges such as 3-7; got {text!r}."
            )
        found += range(int(first), int(last) + 1)
    if len(set(found)) < len(found):
        raise ValueError(f"--{name}: a view is listed twice in {','.join(texts)}.")
    return found


def _plan(objects, layout: str) -> dict[str, list]:
    """Split -> objects."""
    wanted = dict(layouts.SPLITS[layout])
    if FLAGS.split is not None:
        wanted = {name: wanted.get(name, name) for name in FLAGS.split}
    splits = layouts.split_objects(objects, wanted)
    if splits:
        return splits
    if FLAGS.split is not None:
        raise FileNotFoundError(
            f"{FLAGS.input}: expected CLASS/{FLAGS.split[0]}.lst; found none."
        )
    return {"train": list(objects)}


def _check_output(splits) -> None:
    """Refuses a folder with a split that this run would not replace."""
    cli.check_output_folder(FLAGS.output, "--output")
    for split in records.splits(FLAGS.output):
        if split not in splits:
            raise ValueError(
                f"{FLAGS.output}: holds the split {split} of an earlier run, which "
                "this one would leave beside its own. Choose another --output."
            )


class _Writer:
    """The records of a split and what its sidecar says."""

    def __init__(self, split: str, layout: str, names, scene: bool):
        self.records = records.RecordWriter(
            *(FLAGS.output, split, FLAGS.shard_records, examples.SCHEMA),
            seed=FLAGS.seed,
            overwrite=True,
        )
        self.form, self.scene = None, scene
        self.input_size = 0
        self.about = {
            "objects": [],
            "object_classes": [],
            "view_counts": [],
            "views": {},
            "class_names": names,
            "scene": scene,
            "layout": layout,
            "background": "white",
            "source": FLAGS.input,
            "input_count": 0,
            "least_inputs": 0,
            "sparse_points": 0,
        }

    def add(self, item: views.ObjectViews, form, places, input_size: int) -> None:
        """Adds views of an object."""
        examples.check_form(form, self.form or form, item.name)
        self.form, about = form, self.about
        index = len(about["objects"])
        groups = [[place] for place in places] if self.scene else [places]
        for group in groups:
            self.records.write(examples.encode_example(item, index, group))
        about["objects"].append(item.name)
        about["object_classes"].append(item.class_id)
        about["view_counts"].append(len(places))
        about["views"][item.name] = [item.numbers[place] for place in places]
        if form.inputs != "none":
            self.input_size = input_size
            inputs = len(item.inputs or places)
            least = about["least_inputs"] or inputs
            about["least_inputs"] = min(least, inputs)
            about["input_count"] += len(item.inputs or ())
        if item.sparse is not None:
            most = max(len(item.sparse[place].depth) for place in places)
            about["sparse_points"] = max(about["sparse_points"], most)

    def finish(self) -> None:
        """Completes the metadata; closing the records writes it."""
        self.about["classes"] = sorted(set(self.about["object_classes"]))
        form = self.form._asdict() if self.form else {}
        self.records.metadata.update(
            {**self.about, **form, "input_size": self.input_size}
        )


def _read(item, settings, held_out, notes):
    """Reads an object; returns it and the places of its views, a list each split."""
    found = views.read_object(item, settings)
    notes += found.notes
    places = list(range(len(found.numbers)))
    parts = [places]
    if held_out is not None:
        kept = layouts.held_out_views(found.numbers, held_out)
        is_kept = [number in kept for number in found.numbers]
        parts = [[p for p in places if is_kept[p] == part] for part in (False, True)]
    if FLAGS.visual_hull:
        # An empty mask would carve all away; the reader has told of it.
        carvers = [place for place in parts[0] if found.masks[place].any()]
        depth = visual_hull.hull_depth(
            found.masks,
            (found.world_to_camera, found.projection),
            FLAGS.hull_resolution,
            carvers,
        )
        if not depth.any():
            notes.append(
                f"{found.name}: the masks have nothing in common; no hull depth."
            )
        found = found._replace(hull_depth=depth)
    return found, parts


def _write(splits, held_out, settings, layout, names) -> list[str]:
    """Writes all splits; returns notes."""
    notes: list[str] = []
    scene = layout == "dtu"
    with_inputs = bool(settings.folders.inputs)
    for split, objects in splits.items():
        own = [split, _HELD_OUT] if held_out is not None else [split]
        with contextlib.ExitStack() as stack:
            writers = [_Writer(name, layout, names, scene) for name in own]
            for writer in writers:
                stack.enter_context(writer.records)
            for item in progress.bar(objects, split):
                found, parts = _read(item, settings, held_out, notes)
                form = examples.form_of(found, with_inputs)
                for writer, part in zip(writers, parts, strict=True):
                    writer.add(found, form, part, settings.input_size)
            for writer in writers:
                writer.finish()
        for name, writer in zip(own, writers, strict=True):
            pictures, count = sum(writer.about["view_counts"]), len(objects)
            height, width = writer.form.image_size
            print(
                f"{name}: {pictures} views of {count} object{'s' * (count > 1)}, "
                f"{width} x {height}{_extras(writer.form)}"
            )
    return notes


def _extras(form) -> str:
    """What the records hold beside pictures and masks."""
    words = [
        word
        for word, there in (
            ("depth", form.depth),
            ("hull depth", form.hull_depth),
            ("sparse points", form.sparse),
            ("encoder inputs", form.inputs != "none"),
        )
        if there
    ]
    return f", with {', '.join(words)}" if words else ""


def _tell(notes: list[str]) -> None:
    """Prints notes OBJECT: TEXT, the same text of several objects once."""
    by_text: dict[str, list[str]] = {}
    for note in notes:
        name, _, text = note.partition(": ")
        by_text.setdefault(text, []).append(name)
    for text, names in list(by_text.items())[:_MOST_NOTES]:
        more = f" and {len(names) - 1} more objects" if len(names) > 1 else ""
        print(f"note: {names[0]}{more}: {text}", file=sys.stderr)
    left = len(by_text) - _MOST_NOTES
    if left > 0:
        print(f"note: and {left} notes of other kinds.", file=sys.stderr)


def main():
    """Writes every split and says what was written."""
    objects = layouts.find_objects(FLAGS.input, FLAGS.classes)
    layout = FLAGS.layout
    if layout == "auto":
        layout = layouts.detect_layout(objects)
        print(f"layout: {layout}")
    settings = settings_from_flags(layout)
    splits = _plan(objects, layout)
    held_out = None
    if FLAGS.held_out_views is not None:
        held_out = _numbers("held_out_views", FLAGS.held_out_views)
        if len(FLAGS.held_out_views) == 1 and FLAGS.held_out_views[0].isdecimal():
            held_out = held_out[0]
        if layout != "dtu" or list(splits) != ["train"]:
            raise ValueError(
                "--held_out_views is for multi-view scenes (--layout=dtu) without "
                "lists of splits; objects are held out by lists."
            )
    _check_output([*splits, _HELD_OUT] if held_out is not None else splits)
    root = FLAGS.input
    names = layouts.class_names(root, sorted({item.class_id for item in objects}))
    notes = _write(splits, held_out, settings, layout, names)
    _tell(notes)
    if list(splits) == ["train"] and held_out is None:
        print("note: no split is held out; an evaluation would show what was learnt.")
    print(f"wrote {FLAGS.output}")


if __name__ == "__main__":
    define_flags()
    cli.run(main)
