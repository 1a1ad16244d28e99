r"""Extracts meshes from an exported occupancy field, such as DVR's.

    python -m tools.generate_meshes --model=RUN/saved_model --output_dir=OUT
    python -m tools.generate_meshes --model=RUN/saved_model --input_dir=photos \
        --output_dir=OUT --mesh_extension=glb
    python -m tools.generate_meshes --model=RUN/saved_model --data_dir=DATA \
        --split=test --output_dir=OUT

A model of one object gives one mesh. A model with an encoder gives one for each picture
of --input_dir, or for each object of a split of the records. Evaluation of the field
goes from coarse to fine, 32 to 256 cells along an axis by default; the vertices are
refined on the field and coloured by it. Writes

- meshes/CLASS/OBJECT.ply, with --world_scale OBJECT_world_scale.ply too;
- vis/CLASS/NN_mesh.ply, NN_views.png and NN_input.png of the first --vis of a class;
- generation.json: every object, its status ("ok" or "empty"), file and counts. An empty
  mesh has no file; tools.evaluate_meshes counts it as the worst there is;
- time_generation.json, time_generation_full.csv (seconds of each object and step) and
  time_generation.csv (means of the classes).

The guide is docs/dvr_meshes.md.
"""

import csv
import json
import os
import pathlib
import sys
import time
from typing import NamedTuple

import numpy as np
from absl import flags

from datasets import records
from datasets.dvr import camera_files, pictures, pipeline
from tfrender import io
from tfrender.geometry import extract_surface as surfaces
from tfrender.geometry.refine_surface import refine_surface
from tfrender.ops.implicit_surface import logit
from tools import cli, mesh_views, progress
from tools.evaluate_meshes import GENERATION, WORLD
from tools.field_model import FieldModel

FLAGS = flags.FLAGS
EXTENSIONS = ("ply", "obj", "glb")
STEPS = ("encode", "field", "grid", "marching_cubes", "simplify", "refine", "color")
# Second names of the flags: those of the published program and its settings.
_ALIASES = {
    "upsampling-steps": "upsampling_steps",
    "refinement-step": "refinement_steps",
    "refinement_step": "refinement_steps",
    "resolution_0": "resolution",
    "simplify_nfaces": "simplify_faces",
    "with_colors": "colors",
    "vis_n_outputs": "vis",
}


def define_flags() -> None:
    """Defines the flags; not at import, because names are global to a process."""
    f = flags
    f.DEFINE_string("model", None, "SavedModel folder.", required=True)
    f.DEFINE_string("output_dir", None, "Folder for the results.", required=True)
    f.DEFINE_string("input_dir", None, "Folder of pictures, one object each.")
    f.DEFINE_string("data_dir", None, "Folder of records, in place of --input_dir.")
    f.DEFINE_string("split", "test", "Split of --data_dir.")
    f.DEFINE_list("classes", None, "Classes of --data_dir; all by default.")
    f.DEFINE_integer("input_view", 0, "Of each object of --data_dir.", 0)
    f.DEFINE_string("name", "object", "Of the mesh, for a model of one object.")
    f.DEFINE_integer("resolution", 32, "Coarse cells along an axis.", 1, 1024)
    f.DEFINE_integer("upsampling_steps", 3, "Times that cells are halved.", 0, 6)
    f.DEFINE_float("padding", 0.0, "The cube has side 1 + padding.", 0.0, 10.0)
    f.DEFINE_float(
        "threshold",
        None,
        "Occupancy at the surface of a model exported for 0.5, in (0, 1); by default "
        "that of the model.",
        1e-4,
        1.0 - 1e-4,
    )
    f.DEFINE_integer("simplify_faces", 0, "Faces to keep; 0 keeps all.", 0)
    f.DEFINE_integer("refinement_steps", 30, "Of the vertices; 0 leaves it out.", 0)
    f.DEFINE_integer("refine_max_faces", 10_000, "Faces of such a step.", 1, 2**18)
    f.DEFINE_boolean("colors", True, "Colours of vertices, where the model has some.")
    f.DEFINE_enum("mesh_extension", "ply", EXTENSIONS, "Kind of file.")
    f.DEFINE_string(
        "world_scale", None, "cameras.npz: write meshes through its scale_mat_0 too."
    )
    f.DEFINE_integer("vis", 30, "Objects of a class that are drawn.", 0)
    f.DEFINE_integer(
        "points_per_call", surfaces.POINTS_PER_CALL, "Of the field.", 1, 2**18
    )
    f.DEFINE_integer("seed", 0, "Of the refinement.", 0, 2**31 - 1)
    for other, name in _ALIASES.items():
        f.DEFINE_alias(other, name)


class Item(NamedTuple):
    """An object to make.

    Attributes:
        name: CLASS/OBJECT, or OBJECT.
        image: float32 [S, S, 3] in [0, 1], or None.
    """

    name: str
    image: np.ndarray | None

    @property
    def class_name(self) -> str:
        """CLASS; "" without one."""
        return self.name.rpartition("/")[0]


class Made(NamedTuple):
    """A mesh.

    Attributes:
        vertices: float32 [V, 3], object space.
        faces: int32 [F, 3]; F = 0 where nothing is inside.
        colors: uint8 [V, 4], or None.
        evaluations: points at which the field was asked for the grid.
        notes: lines for the user.
        seconds: step -> seconds.
    """

    vertices: np.ndarray
    faces: np.ndarray
    colors: np.ndarray | None
    evaluations: int
    notes: tuple[str, ...]
    seconds: dict[str, float]


def find_items(model: FieldModel) -> list[Item]:
    """The objects that the flags name.

    Args:
        model: decides whether pictures are needed.

    Returns:
        at least one.

    Raises:
        FileNotFoundError, FormatError: no such data, or broken.
        ValueError: flags that do not fit the model.
    """
    if FLAGS.input_dir and FLAGS.data_dir:
        raise ValueError("expected --input_dir or --data_dir; got both.")
    if model.conditional:
        if FLAGS.input_dir:
            found = pictures.load_pictures(FLAGS.input_dir, model.input_size)
            return [Item(*pair) for pair in zip(*found, strict=True)]
        if FLAGS.data_dir:
            return _record_items(model.input_size)
        raise ValueError(
            f"{FLAGS.model}: needs pictures; give --input_dir or --data_dir."
        )
    if FLAGS.input_dir:
        raise ValueError(
            f"{FLAGS.model}: a model of one object, which no picture changes; leave "
            "out --input_dir."
        )
    name = FLAGS.name
    if FLAGS.data_dir:
        objects = pipeline.metadata(FLAGS.data_dir, FLAGS.split).metadata["objects"]
        if len(objects) != 1:
            raise ValueError(
                f"{FLAGS.data_dir}: expected one object for a model without encoder; "
                f"got {len(objects)}."
            )
        name = objects[0]
    return [Item(name, None)]


def _record_items(size: int) -> list[Item]:
    """One picture of each object of a split."""
    with records.naming_errors(FLAGS.data_dir):
        found = pipeline.metadata(FLAGS.data_dir, FLAGS.split).metadata
        if found["input_size"] != size:
            raise ValueError(
                f"{FLAGS.data_dir}: expected inputs of {size} pixels, as {FLAGS.model} "
                f"takes; got {found['input_size'] or 'none'}."
            )
        batches = pipeline.evaluation_batches(
            FLAGS.data_dir,
            FLAGS.split,
            1,
            classes=FLAGS.classes,
            views="random",  # no view is used
            input_view=FLAGS.input_view,
        )
        images = {}
        for batch in batches:  # of a scene, every view is a record
            images.setdefault(int(batch["object_id"][0]), batch["input"][0].numpy())
    return [Item(found["objects"][k], image) for k, image in sorted(images.items())]


def make(model: FieldModel, image: np.ndarray | None) -> Made:
    """Extracts, simplifies, refines and colours a mesh, as the flags say.

    Args:
        model: the field.
        image: [S, S, 3], or None.

    Returns:
        `Made`.

    Raises:
        ValueError: the field answers NaN.
    """
    seconds = dict.fromkeys(STEPS, 0.0)
    clock = _Stopwatch(seconds)
    code = model.code(image)
    clock.note("encode")
    level = 0.0 if FLAGS.threshold is None else logit(FLAGS.threshold)
    surface = surfaces.extract_surface(
        model.occupancy(code),
        resolution=FLAGS.resolution,
        upsampling_steps=FLAGS.upsampling_steps,
        padding=FLAGS.padding,
        threshold=level,
        points_per_call=FLAGS.points_per_call,
    )
    seconds.update(surface.seconds)
    clock.note(None)
    vertices, faces = surface.vertices, surface.faces
    if FLAGS.simplify_faces and len(faces):
        vertices, faces = surfaces.simplify_surface(
            vertices, faces, FLAGS.simplify_faces
        )
    clock.note("simplify")
    vertices = refine_surface(
        vertices,
        faces,
        model.graph(code),
        steps=FLAGS.refinement_steps,
        level=level,
        faces_per_step=FLAGS.refine_max_faces,
        seed=FLAGS.seed,
    )
    clock.note("refine")
    colors = None
    if FLAGS.colors and model.has_colors:
        colors = surfaces.vertex_colors(
            vertices, model.color(code), FLAGS.points_per_call
        )
    clock.note("color")
    return Made(vertices, faces, colors, surface.evaluations, surface.notes, seconds)


class _Stopwatch:
    """Adds the time since the last call to a step."""

    def __init__(self, seconds):
        self._seconds, self._last = seconds, time.perf_counter()

    def note(self, step):
        now = time.perf_counter()
        if step is not None:
            self._seconds[step] += now - self._last
        self._last = now


def to_world(made: Made, scale: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A mesh in the units of the world.

    Args:
        made: the mesh.
        scale: [4, 4] from object space, last row 0 0 0 1.

    Returns:
        vertices [V, 3] and faces [F, 3], which stay counter-clockwise outside.
    """
    vertices = made.vertices @ scale[:3, :3].T + scale[:3, 3]
    mirrored = np.linalg.det(scale[:3, :3]) < 0
    return vertices, made.faces[:, ::-1] if mirrored else made.faces


def write_item(item: Item, made: Made, scale, number: int) -> dict:
    """Writes the files of an object, and removes those of an earlier run.

    Args:
        item: its name and picture.
        made: its mesh.
        scale: of --world_scale, or None.
        number: its place in its class.

    Returns:
        its entry in generation.json.
    """
    root, suffix = pathlib.Path(FLAGS.output_dir), f".{FLAGS.mesh_extension}"
    file = root / "meshes" / f"{item.name}{suffix}"
    world = file.with_name(f"{file.stem}{WORLD}{suffix}")
    shown = root / "vis" / item.class_name / f"{number:02d}"
    some = len(made.faces) > 0
    drawn = number < FLAGS.vis
    colors = None if made.colors is None else made.colors[:, :3]
    for place, wanted in (
        (file, some),
        (world, some and scale is not None),
        (pathlib.Path(f"{shown}_mesh{suffix}"), some and drawn),
    ):
        if wanted:
            mesh = to_world(made, scale) if place is world else made[:2]
            io.save_mesh(place, *mesh, vertex_colors=colors)
        else:
            place.unlink(missing_ok=True)
    if drawn and item.image is not None:
        io.write_png(f"{shown}_input.png", item.image)
    if drawn and some:
        sheet = mesh_views.draw(made.vertices, made.faces, colors)
        io.write_png(f"{shown}_views.png", sheet)
    entry = {
        "name": item.name,
        "class": item.class_name,
        "status": "ok" if some else "empty",
        "file": file.relative_to(root).as_posix() if some else None,
        "vertices": len(made.vertices),
        "faces": len(made.faces),
        "evaluations": made.evaluations,
        "notes": list(made.notes),
    }
    if some and scale is not None:
        entry["world_file"] = world.relative_to(root).as_posix()
    return entry


def check_flags(items: list[Item]) -> None:
    """Refuses names that are no paths or twice the same, and too few faces.

    Args:
        items: at least one.

    Raises:
        ValueError: naming the object or the flag.
    """
    if 0 < FLAGS.simplify_faces < 4:
        raise ValueError(
            "--simplify_faces: expected 0 or at least 4 faces; got "
            f"{FLAGS.simplify_faces}."
        )
    seen = set()
    for item in items:
        parts = item.name.split("/")
        if not all(parts) or {".", ".."} & set(parts) or os.path.isabs(item.name):
            raise ValueError(f"expected OBJECT or CLASS/OBJECT; got {item.name!r}.")
        if item.name in seen:
            raise ValueError(f"two objects are called {item.name}.")
        seen.add(item.name)


def main():
    """Makes and writes all meshes."""
    cli.check_output_folder(FLAGS.output_dir, "--output_dir")
    scale = _read_scale(FLAGS.world_scale) if FLAGS.world_scale else None
    model = FieldModel(FLAGS.model)
    items = find_items(model)
    check_flags(items)
    root = pathlib.Path(FLAGS.output_dir)
    # Without this file, a run that was stopped is not taken for a complete one.
    (root / GENERATION).unlink(missing_ok=True)
    entries, times, counts = [], [], {}
    for item in progress.bar(items, "meshes"):
        start = time.perf_counter()
        try:
            made = make(model, item.image)
        except ValueError as error:
            raise ValueError(f"{item.name}: {error}") from error
        made_by = time.perf_counter()
        number = counts.setdefault(item.class_name, 0)
        counts[item.class_name] += 1
        entries.append(write_item(item, made, scale, number))
        for note in made.notes:
            print(f"warning: {item.name}: {note}.", file=sys.stderr, flush=True)
        seconds = {**made.seconds, "write": time.perf_counter() - made_by}
        seconds["total"] = time.perf_counter() - start
        times.append({"class": item.class_name, "name": item.name, **seconds})
    write_tables(root, entries, times)
    empty = [entry["name"] for entry in entries if entry["status"] == "empty"]
    total = sum(row["total"] for row in times)
    print(
        f"{len(entries)} object(s): {len(entries) - len(empty)} mesh(es), {len(empty)} "
        f"empty{': ' + ', '.join(empty[:5]) if empty else ''}; {total:.1f} s; wrote "
        f"{root}"
    )


def write_tables(root: pathlib.Path, entries: list[dict], times: list[dict]) -> None:
    """Writes what was made, and how long it took.

    Args:
        root: folder of the run.
        entries: of `write_item`.
        times: class, name and seconds of each object.
    """
    steps = list(times[0])[2:]
    groups = []
    for group in dict.fromkeys(row["class"] for row in times):
        rows = [row for row in times if row["class"] == group]
        means = {step: float(np.mean([row[step] for row in rows])) for step in steps}
        groups.append({"class": group, "objects": len(rows), **means})
    for name, rows in (
        ("time_generation_full.csv", times),
        ("time_generation.csv", groups),
    ):
        with io.write_file(root / name, "w") as file:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows({**row, **_rounded(row)} for row in rows)
    with io.write_file(root / "time_generation.json", "w") as file:
        json.dump({"classes": groups, "items": times}, file, indent=1)
    empty = sum(entry["status"] == "empty" for entry in entries)
    report = {"settings": _settings(), "objects": len(entries), "empty": empty}
    with io.write_file(root / GENERATION, "w") as file:
        json.dump({**report, "items": entries}, file, indent=1)


def _rounded(row: dict) -> dict:
    return {k: f"{v:.4f}" for k, v in row.items() if isinstance(v, float)}


def _read_scale(path: str) -> np.ndarray:
    """scale_mat_0 of a camera file, float64 [4, 4]."""
    found = camera_files.read_cameras(path)
    if not found.scaled:
        raise ValueError(f"--world_scale: {path} holds no scale_mat_0.")
    return found.scales[0]


def _settings() -> dict:
    """The flags that decide the result."""
    words = (
        *("model", "input_dir", "data_dir", "split", "classes", "input_view"),
        *("resolution", "upsampling_steps", "padding", "threshold"),
        *("simplify_faces", "refinement_steps", "refine_max_faces", "colors"),
        *("mesh_extension", "world_scale", "seed"),
    )
    return {word: getattr(FLAGS, word) for word in words}


if __name__ == "__main__":
    define_flags()
    cli.run(main)
