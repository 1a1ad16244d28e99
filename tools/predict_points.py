r"""Predicts point clouds from pictures with an exported reconstructor, such as DRWR's.

    python -m tools.predict_points --model=RUN/saved_model --input=photos \
        --output_dir=OUT --format=ply --png
    python -m tools.predict_points --model=RUN/saved_model --data_dir=data/drwr \
        --split=test --output_dir=OUT

--input: a picture, or a folder of pictures: one object each, in a square, on white or
with an alpha channel. --data_dir: all views of every object of a split of the records.
Writes, for each object,

- CLASS/NAME.npz or .mat: `points` [V, N, 3], a cloud for each view; `views` [V]; `pose`
  [V, 4] where the model predicts it; `true_pose` [V, 4] where the records know it;
- with --format=ply, CLASS/NAME_NN.ply for each view (--format=npz,ply writes both);
- with --png, CLASS/NAME.png: for the first --png_views views the picture, the cloud
  from the same side, and from two others;
- predictions.json, last: all objects and their files. tools.evaluate_points reads it.

The guide is docs/drwr_evaluation.md.
"""

import json
import pathlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from absl import flags

from datasets import records
from datasets.dvr import pictures
from tfrender import cameras, io
from tfrender.export.saved_model import Signature, load_signature
from tools import cli, point_files, point_pictures, progress

FLAGS = flags.FLAGS
FORMATS = ("npz", "mat", "ply")
_OTHER_SIDES_DEG = (120.0, 240.0)  # of the pictures


def define_flags() -> None:
    """Defines the flags; not at import, because names are global to a process."""
    f = flags
    f.DEFINE_string("model", None, "SavedModel folder.", required=True)
    f.DEFINE_string("output_dir", None, "Folder for the results.", required=True)
    f.DEFINE_string("input", None, "Picture, or folder of pictures.")
    f.DEFINE_string("data_dir", None, "Folder of records, in place of --input.")
    f.DEFINE_string("split", "test", "Split of --data_dir.")
    f.DEFINE_list("classes", None, "Classes of --data_dir; all by default.")
    f.DEFINE_list("format", ["npz"], f"Kinds of files: {', '.join(FORMATS)}.")
    f.DEFINE_integer("batch_size", 16, "Pictures at a time.", 1, 64)
    f.DEFINE_bool("png", False, "Draw the clouds.")
    f.DEFINE_integer("png_views", 4, "Views of an object that are drawn.", 1, 64)
    f.DEFINE_integer("png_size", point_pictures.SIZE, "Pixels a side.", 16, 2048)
    f.DEFINE_float("radius", point_pictures.RADIUS, "Of a drawn point.", 1e-6, 1e3)


class Item(NamedTuple):
    """An object to predict.

    Attributes:
        name: CLASS/NAME, or NAME.
        images: float32 [V, S, S, 3] in [0, 1] on white.
        views: numbers of the V views.
        camera: Camera of batch V, or None.
    """

    name: str
    images: np.ndarray
    views: list[int]
    camera: cameras.Camera | None


class Items(NamedTuple):
    """What is to be predicted.

    Attributes:
        names: of the objects, in order.
        stream: yields their `Item`s.
        settings: of the report.
    """

    names: list[str]
    stream: Iterator[Item]
    settings: dict


def load_model(folder: str) -> tuple[Signature, int]:
    """Loads a reconstructor.

    Args:
        folder: SavedModel.

    Returns:
        its signature, and S, the pixels a side of its pictures.

    Raises:
        FileNotFoundError, FormatError: as `load_signature`.
        ValueError: a model of another kind.
    """
    model = load_signature(folder)
    shape = model.inputs["image"].shape if set(model.inputs) == {"image"} else None
    fits = shape is not None and shape.rank == 4 and shape[1] and shape[1] == shape[2]
    if not (fits and shape[3] == 3 and "points" in model.outputs):
        raise ValueError(
            f"{folder}: expected a model of `image` [B, S, S, 3] to `points`, as "
            f"trainers.drwr exports; got {_told(model.inputs)} to "
            f"{_told(model.outputs)}."
        )
    return model, int(shape[1])


def _told(specs) -> str:
    return ", ".join(f"{name} {spec.shape}" for name, spec in specs.items())


def find_items(size: int) -> Items:
    """The pictures that the flags name.

    Args:
        size: pixels S a side, as the model takes them.

    Returns:
        `Items`, at least one.

    Raises:
        FileNotFoundError, FormatError, ValueError: no such data, broken, or flags that
            contradict each other.
    """
    if bool(FLAGS.input) == bool(FLAGS.data_dir):
        given = "both" if FLAGS.input else "none"
        raise ValueError(f"expected one of --input and --data_dir; got {given}.")
    if FLAGS.data_dir:
        return _record_items(size)
    names, images = _read_pictures(FLAGS.input, size)
    stream = (
        Item(name, image[np.newaxis], [0], None)
        for name, image in zip(names, images, strict=True)
    )
    return Items(names, stream, {"input": FLAGS.input})


def _read_pictures(path: str, size: int) -> tuple[list[str], np.ndarray]:
    """Names and float32 [N, S, S, 3] of a picture or of a folder of pictures."""
    file = pathlib.Path(path)
    if not file.is_file():
        return pictures.load_pictures(path, size)
    image = pictures.resize(pictures.read_on_white(file), (size, size))
    return [file.stem], image[np.newaxis].astype(np.float32) / 255.0


def _record_items(size: int) -> Items:
    """All views of the objects of a split."""
    from datasets.drwr import pipeline

    place = FLAGS.data_dir, FLAGS.split
    with records.naming_errors(FLAGS.data_dir):
        names = pipeline.objects_of(*place, FLAGS.classes)
        batches = pipeline.evaluation_batches(
            *place, 1, input_size=size, classes=FLAGS.classes
        )

    def stream():
        with records.naming_errors(FLAGS.data_dir):
            for batch in batches:
                found = {name: value[0].numpy() for name, value in batch.items()}
                camera = cameras.Camera(found["world_to_camera"], found["projection"])
                views = [int(view) for view in found["view"]]
                name = names[int(found["object_index"])]
                yield Item(name, found["image"], views, camera)

    settings = {
        "data_dir": FLAGS.data_dir,
        "data_fingerprint": records.fingerprint(FLAGS.data_dir),
        "split": FLAGS.split,
        "classes": FLAGS.classes,
    }
    return Items(list(names), stream(), settings)


def predict(model: Signature, images: np.ndarray, batch_size: int) -> dict:
    """Clouds of pictures.

    Args:
        model: of `load_model`.
        images: float32 [V, S, S, 3].
        batch_size: pictures at a time.

    Returns:
        `points` float32 [V, N, 3], and `pose` [V, 4] where the model predicts it.

    Raises:
        ValueError: the model refuses the pictures, or answers NaN.
    """
    parts = [
        model(image=images[first : first + batch_size])
        for first in range(0, len(images), batch_size)
    ]
    found = {
        name: np.concatenate([part[name] for part in parts])
        for name in ("points", "pose")
        if name in parts[0]
    }
    for name, value in found.items():
        if not np.isfinite(value).all():
            raise ValueError(f"{FLAGS.model}: answered NaN or infinity in `{name}`.")
    return found


def write_item(item: Item, found: dict, formats) -> dict:
    """Writes the files of an object.

    Args:
        item: its pictures.
        found: of `predict`.
        formats: out of `FORMATS`.

    Returns:
        its entry in predictions.json.
    """
    root = pathlib.Path(FLAGS.output_dir)
    arrays = {**found, "views": np.array(item.views, np.int32)}
    if item.camera is not None:
        arrays["true_pose"] = cameras.to_quaternion(item.camera).numpy()
    files = []
    for kind in formats:
        if kind != "ply":
            files.append(root / f"{item.name}.{kind}")
            point_files.write_arrays(files[-1], arrays)
            continue
        for view, cloud in zip(item.views, found["points"], strict=True):
            files.append(root / f"{item.name}_{view:02d}.ply")
            point_files.write_ply(files[-1], cloud)
    if FLAGS.png:
        io.write_png(root / f"{item.name}.png", draw(item, found))
    return {
        "name": item.name,
        "files": [file.relative_to(root).as_posix() for file in files],
        "views": item.views,
        "points": int(found["points"].shape[1]),
    }


def draw(item: Item, found: dict) -> np.ndarray:
    """Pictures and clouds, a row for each of the first --png_views views.

    Args:
        item: its pictures.
        found: of `predict`.

    Returns:
        uint8 [H, W, 3]: the picture, the cloud from the same side where that is known,
        and from two others.
    """
    size, tiles = FLAGS.png_size, []
    for row in range(min(len(item.images), FLAGS.png_views)):
        given = io.to_uint8(item.images[row].clip(0.0, 1.0))
        tiles.append(pictures.resize(given, (size, size)))
        camera = _own_camera(item, found, row)
        for turn in (0.0, *_OTHER_SIDES_DEG):
            seen = point_pictures.draw(
                found["points"][row],
                _turned(camera, turn, upright="pose" not in found),
                size,
                radius=FLAGS.radius,
            )
            tiles.append(io.to_uint8(seen))
    return io.tile_images(tiles, columns=2 + len(_OTHER_SIDES_DEG))


def _own_camera(item: Item, found: dict, row: int) -> cameras.Camera:
    """Camera of a picture, in the frame of the cloud; a usual one if nobody knows."""
    if "pose" in found:  # such a model chooses its own frame
        return cameras.from_quaternion(found["pose"][row : row + 1])
    if item.camera is not None:
        return cameras.Camera(*(matrix[row : row + 1] for matrix in item.camera))
    return point_pictures.orbit_camera()


def _turned(camera: cameras.Camera, angle_deg: float, upright: bool) -> cameras.Camera:
    """The camera moved around the object.

    About +Y, or, where nobody knows what is up, about the vertical of the picture.
    """
    sin, cos = np.sin(np.radians(angle_deg)), np.cos(np.radians(angle_deg))
    turn = np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])
    view = np.array(camera.world_to_camera, np.float64)
    rotation = view[:, :3, :3]
    view[:, :3, :3] = rotation @ turn if upright else turn @ rotation
    return cameras.Camera(view, camera.projection)


def parse_formats(texts) -> list[str]:
    """Kinds of files of --format.

    Args:
        texts: of the flag.

    Returns:
        each once.

    Raises:
        ValueError: none, or another kind.
    """
    wrong = [text for text in texts if text not in FORMATS]
    if wrong or not texts:
        raise ValueError(
            f"--format: expected some of {', '.join(FORMATS)}; got {','.join(texts)!r}."
        )
    return list(dict.fromkeys(texts))


def main():
    """Predicts and writes every object."""
    formats = parse_formats(FLAGS.format)
    cli.check_output_folder(FLAGS.output_dir, "--output_dir")
    model, size = load_model(FLAGS.model)
    items = find_items(size)
    point_files.check_names(items.names)
    root = pathlib.Path(FLAGS.output_dir)
    # Without this file, a run that was stopped is not taken for a complete one.
    (root / point_files.PREDICTIONS).unlink(missing_ok=True)
    entries = []
    for _, item in zip(
        progress.bar(items.names, "predicting"), items.stream, strict=True
    ):
        try:
            found = predict(model, item.images, FLAGS.batch_size)
        except ValueError as error:
            raise ValueError(f"{item.name}: {error}") from error
        entries.append(write_item(item, found, formats))
    report = {"model": FLAGS.model, **items.settings, "objects": entries}
    with io.write_file(root / point_files.PREDICTIONS, "w") as file:
        json.dump(report, file, indent=1)
    clouds = sum(len(entry["views"]) for entry in entries)
    points = sorted({entry["points"] for entry in entries})
    print(
        f"{clouds} cloud(s) of {', '.join(map(str, points))} points of {len(entries)} "
        f"object(s) in {root}"
    )


if __name__ == "__main__":
    define_flags()
    cli.run(main)
