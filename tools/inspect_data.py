r"""Shows what a data set holds, and whether its cameras are right.

    python -m tools.inspect_data --data_dir=data/mine --output_dir=look
    python -m tools.inspect_data --image_path=images.tar --model_path=binvox

RenderNet's data or those of mesh reconstruction; the schema of the records tells which.
Counts, objects, sizes and ranges of every split; then, for a sample of the pictures,
the overlap (IoU) of the picture's foreground with the silhouette of its voxels seen
from its pose. With --output_dir also report.json and contact_sheet.png: the least
overlapping pictures first, the silhouette's outline drawn over each. A wrong camera
convention shows at once: outlines lie beside the objects and the median IoU falls.
"""

import json
import math
import pathlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from absl import flags

from datasets import records
from datasets.mesh_reconstruction import examples as view_examples
from datasets.mesh_reconstruction import views
from datasets.rendernet import examples, legacy
from tfrender import io
from tfrender.io import FormatError
from tools import cli, pictures, progress

# Voxels are a little larger than the mesh: thin objects reach 0.73, solid ones 0.92.
LOWEST_MEDIAN_IOU = 0.7
# An outlier overlaps less than this share of the median.
_OUTLIER = 0.6
_SPLITS = ("train", "validation", "test")
_SHEET_COLUMNS = 8
_THUMBNAIL = 192  # pixels, about
_OUTLINE = (255, 0, 255)

FLAGS = flags.FLAGS


class Source(NamedTuple):
    """A split: number of its pictures and how to read them.

    Attributes:
        pictures: their number.
        read: yields them; those with a fourth channel have their foreground in it.
        silhouette: of the voxels of a picture, bool [H, W].
    """

    pictures: int
    read: Callable[[], Iterator[legacy.LegacyExample]]
    silhouette: Callable[[legacy.LegacyExample], np.ndarray]


class Measured(NamedTuple):
    """A picture of the sample: name, IoU and what the contact sheet shows."""

    name: str
    iou: float
    thumbnail: np.ndarray


def define_flags() -> None:
    """Defines the flags; not at import, because names are global to a process."""
    flags.DEFINE_string(
        "data_dir", None, "Folder of records, or of SPLIT.tar and binvox/."
    )
    flags.DEFINE_string("image_path", None, "Instead: tar or folder of pictures ...")
    flags.DEFINE_string("model_path", None, "... with this folder of binvox models.")
    flags.DEFINE_string("output_dir", None, "Folder for report and contact sheet.")
    flags.DEFINE_integer(
        "pictures", 64, "Pictures of a split whose silhouettes are compared; 0: all.", 0
    )
    flags.DEFINE_integer("rows", 4, "Rows of the contact sheet for a split.", 1, 64)


def sources(
    data_dir: str | None, image_path: str | None = None, model_path: str | None = None
) -> dict[str, Source]:
    """Finds the splits that the flags name.

    Args:
        data_dir: folder of records, or of SPLIT.tar files and a folder binvox.
        image_path: instead, a tar or folder of pictures.
        model_path: with `image_path`, a folder of binvox models.

    Returns:
        split -> `Source`.

    Raises:
        ValueError, FileNotFoundError: flags that do not fit, or nothing there.
    """
    if bool(data_dir) == bool(image_path) or bool(image_path) != bool(model_path):
        raise ValueError("expected --data_dir, or --image_path with --model_path.")
    if image_path:
        return {"pictures": _of_legacy(image_path, model_path)}
    folder = pathlib.Path(data_dir)
    if not folder.is_dir():
        raise FileNotFoundError(f"--data_dir: no such folder: {data_dir!r}.")
    # The usual names are read even where their sidecar is broken, to have that told.
    sidecars = {path.stem for path in folder.glob("*.json")} & set(_SPLITS)
    splits = sorted(sidecars.union(records.splits(data_dir)))
    found = {split: _of_records(data_dir, split) for split in splits}
    if not found:
        found = {
            path.stem: _of_legacy(str(path), str(folder / "binvox"))
            for path in sorted(folder.glob("*.tar"))
        }
    if not found:
        raise FileNotFoundError(
            f"{data_dir}: expected SPLIT.json with its records, or SPLIT.tar with a "
            "folder binvox; found neither."
        )
    return found


def _of_records(data_dir: str, split: str) -> Source:
    found = records.read_split(data_dir, split)
    if found.schema == view_examples.SCHEMA:
        return _of_views(data_dir, split, found.records)
    found = records.read_split(data_dir, split, examples.SCHEMA)

    def read():
        stream = records.record_stream(
            data_dir, split, shuffle=False, cycle=False, schema=examples.SCHEMA
        )
        for number, record in enumerate(stream.as_numpy_iterator()):
            name = f"{split} record {number}"
            image, voxels, pose, object_id = examples.decode_arrays(record)
            examples.check_sizes(name, image.shape, voxels.shape)
            pose = tuple(float(value) for value in pose)
            yield legacy.LegacyExample(name, image, voxels, pose, object_id)

    return Source(found.records, read, _turned_silhouette)


def _of_views(data_dir: str, split: str, objects: int) -> Source:
    """The records of mesh reconstruction, a picture for each view."""
    polar = 90.0 - views.ELEVATION_DEG

    def read():
        stream = records.record_stream(
            data_dir, split, shuffle=False, cycle=False, schema=view_examples.SCHEMA
        )
        for record in stream.as_numpy_iterator():
            item = view_examples.decode_arrays(record)
            name = f"{split} {views.class_name(item.class_id)}"
            for azimuth, image in zip(
                views.azimuths_deg().tolist(), item.images, strict=True
            ):
                pose = (azimuth, polar, views.DISTANCE)
                yield legacy.LegacyExample(
                    f"{name} view {azimuth:g}", image, item.voxels, pose, item.object_id
                )

    def silhouette(item):
        return views.voxel_silhouette(item.voxels, item.pose[0])

    return Source(objects * views.VIEWS, read, silhouette)


def _turned_silhouette(item: legacy.LegacyExample) -> np.ndarray:
    return pictures.silhouettes(item.voxels[None], np.array([item.pose]))[0]


def _foreground(image: np.ndarray) -> np.ndarray:
    """Pixels of the object, bool [H, W]: at least half covered where alpha is known."""
    if image.shape[-1] == 4:
        return image[..., 3] > 127
    return pictures.foreground(image)


def _of_legacy(images: str, models: str) -> Source:
    count = sum(1 for _ in legacy.pictures(images))
    return Source(count, lambda: legacy.read_legacy(images, models), _turned_silhouette)


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    """Intersection over union of two masks; 1 where both are empty."""
    either = np.count_nonzero(first | second)
    return np.count_nonzero(first & second) / either if either else 1.0


def measure(item: legacy.LegacyExample, silhouette=_turned_silhouette) -> Measured:
    """Compares a picture with the silhouette of its voxels.

    Args:
        item: the picture.
        silhouette: see `Source`.

    Returns:
        `Measured`, with the outline of the silhouette drawn over the picture.
    """
    outline = silhouette(item)
    iou = overlap(_foreground(item.image), outline)
    return Measured(f"{item.name} ({item.object_id})", iou, _outlined(item, outline))


def _outlined(item: legacy.LegacyExample, silhouette: np.ndarray) -> np.ndarray:
    """Small RGB picture with the border of a silhouette on it."""
    step = max(1, item.image.shape[0] // _THUMBNAIL)
    picture = np.broadcast_to(item.image[..., :3], (*item.image.shape[:2], 3))
    picture = picture[::step, ::step].copy()
    mask = np.pad(silhouette[::step, ::step], 1)
    around = mask[2:, 1:-1] | mask[:-2, 1:-1] | mask[1:-1, 2:] | mask[1:-1, :-2]
    picture[around & ~mask[1:-1, 1:-1]] = _OUTLINE
    return picture


def inspect_split(
    name: str, source: Source, sample: int = 64, tiles: int = 32
) -> tuple[dict[str, Any], list[Measured]]:
    """Reads a split once.

    Args:
        name: of the split, for the progress bar.
        source: the split.
        sample: pictures whose silhouettes are compared, evenly spaced; 0 is all.
        tiles: pictures for the contact sheet.

    Returns:
        report of JSON values, and the pictures of the sheet: one half the least
        overlapping, the other evenly spaced.

    Raises:
        FormatError: a broken file, or grids of several sides.
    """
    step = max(1, math.ceil(source.pictures / sample)) if sample else 1
    sampled = math.ceil(source.pictures / step)
    shown_step = max(1, math.ceil(sampled / max(tiles // 2, 1)))
    objects, sides, poses, shares = set(), set(), [], []
    ious, worst, even = [], [], []
    # The bar counts the pictures; its own values are not needed.
    for number, item in zip(
        progress.bar(range(source.pictures), f"reading {name}"),
        source.read(),
        strict=True,
    ):
        objects.add(item.object_id)
        sides.add((item.voxels.shape[0], item.image.shape[0]))
        poses.append(item.pose)
        shares.append(float(_foreground(item.image).mean()))
        if len(sides) > 1:
            both = " and ".join(f"{n}^3 for {size}x{size}" for n, size in sorted(sides))
            raise FormatError(f"{item.name}: expected one size of grid; got {both}.")
        if number % step == 0:
            found = measure(item, source.silhouette)
            ious.append((found.name, found.iou))
            if len(ious) % shown_step == 1 % shown_step:
                even.append(found)
            worst = sorted([*worst, found], key=lambda m: m.iou)[: tiles - tiles // 2]
    report = _report(objects, *sides.pop(), np.array(poses), np.array(shares), ious)
    names = {found.name for found in worst}
    return report, worst + [found for found in even if found.name not in names]


def _report(objects, side, size, poses, shares, ious) -> dict[str, Any]:
    values = np.array([iou for _, iou in ious])
    median = float(np.median(values))
    ranges = zip(poses.min(0).tolist(), poses.max(0).tolist(), strict=True)
    names = ("azimuth_deg", "polar_deg", "radius")
    return {
        "pictures": len(poses),
        "objects": len(objects),
        "resolution": side,
        "image_size": size,
        "ranges": dict(zip(names, map(list, ranges), strict=True)),
        "foreground_share": [float(f(shares)) for f in (np.min, np.mean, np.max)],
        "empty_pictures": int((shares == 0).sum()),
        "silhouettes_compared": len(values),
        "median_iou": median,
        "lowest_iou": float(values.min()),
        "outliers": [
            f"{name}: {iou:.2f}"
            for name, iou in sorted(ious, key=lambda pair: pair[1])
            if iou < _OUTLIER * median
        ],
        "object_names": sorted(objects),
    }


def shared_objects(reports: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Objects that are in two splits, each with the names of both.

    Args:
        reports: split -> report of `inspect_split`.

    Returns:
        one text for each.
    """
    owner: dict[str, str] = {}
    twice = []
    for split, report in reports.items():
        for name in report["object_names"]:
            if owner.setdefault(name, split) != split:
                twice.append(f"{name} is in {owner[name]} and in {split}")
    return twice


def text(split: str, report: Mapping[str, Any]) -> str:
    """The report of a split in a few lines."""
    low, mean, high = report["foreground_share"]
    ranges = ", ".join(
        f"{name} {first:g} to {last:g}"
        for name, (first, last) in report["ranges"].items()
    )
    lines = [
        f"{split}: {report['pictures']} pictures of {report['objects']} objects, "
        f"{report['resolution']}^3 voxels, {report['image_size']}x"
        f"{report['image_size']} pixels",
        f"  {ranges}",
        f"  foreground {low:.1%} to {high:.1%}, mean {mean:.1%}; "
        f"{report['empty_pictures']} empty pictures",
        f"  silhouette IoU of {report['silhouettes_compared']} pictures: median "
        f"{report['median_iou']:.3f}, lowest {report['lowest_iou']:.3f}",
    ]
    outliers = report["outliers"]
    lines += [f"  outlier: {line}" for line in outliers[:8]]
    if len(outliers) > 8:
        lines.append(f"  and {len(outliers) - 8} outliers more")
    if report["median_iou"] < LOWEST_MEDIAN_IOU:
        lines.append(
            f"  WARNING: the median IoU lies below {LOWEST_MEDIAN_IOU}: poses or axes "
            "of this split are probably wrong; look at the contact sheet"
        )
    return "\n".join(lines)


def write_sheet(path: pathlib.Path, tiles: Sequence[Measured]) -> None:
    """Writes the contact sheet, each picture with its IoU.

    Args:
        path: PNG file.
        tiles: the pictures, of one size.
    """
    from PIL import Image, ImageDraw

    labelled = []
    for tile in tiles:
        image = Image.fromarray(tile.thumbnail)
        ImageDraw.Draw(image).text((3, 2), f"{tile.iou:.2f}", fill=_OUTLINE)
        labelled.append(np.asarray(image))
    side = max(len(image) for image in labelled)
    labelled = [np.pad(i, ((0, side - len(i)),) * 2 + ((0, 0),)) for i in labelled]
    io.write_png(path, io.tile_images(labelled, _SHEET_COLUMNS))


def main() -> None:
    """Reads every split, prints the reports, writes the sheet."""
    found = sources(FLAGS.data_dir, FLAGS.image_path, FLAGS.model_path)
    reports, tiles = {}, []
    with records.naming_errors(FLAGS.data_dir or ""):
        for split, source in found.items():
            count = FLAGS.rows * _SHEET_COLUMNS
            reports[split], shown = inspect_split(split, source, FLAGS.pictures, count)
            tiles += shown
            print(text(split, reports[split]), flush=True)
    if FLAGS.output_dir:
        folder = pathlib.Path(FLAGS.output_dir)
        write_sheet(folder / "contact_sheet.png", tiles)
        with io.write_file(folder / "report.json", "w") as file:
            json.dump(reports, file, indent=1)
        print(f"wrote {folder}/contact_sheet.png and report.json")
    else:
        print("--output_dir=FOLDER adds a contact sheet", file=sys.stderr)
    twice = shared_objects(reports)
    if twice:
        raise FormatError(
            f"{len(twice)} objects are in two splits ({twice[0]}); splits must be by "
            "object."
        )


if __name__ == "__main__":
    define_flags()
    cli.run(main)
