"""The layout of the original: a tar of pictures and a folder of binvox models."""

import datetime
import functools
import os
import pathlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from datasets import records
from datasets.rendernet import examples, names
from tfrender import io
from tfrender.io import FormatError

_SUFFIXES = frozenset({".png", ".jpg", ".jpeg"})


class LegacyExample(NamedTuple):
    """A picture with its voxels, pose and object."""

    name: str
    image: np.ndarray  # uint8 [H, W, 3]
    voxels: np.ndarray  # bool [n, n, n]
    pose: tuple[float, float, float]  # azimuth, polar angle in degrees; radius
    object_id: str


def read_legacy(images: str, models: str) -> Iterator[LegacyExample]:
    """Reads every picture of a tar, once, in the order of the archive.

    Args:
        images: tar of PNG or JPEG files, compressed or not; or a folder of them.
        models: folder of binvox files.

    Yields:
        A `LegacyExample` for each picture.

    Raises:
        FormatError: a name without pose, a picture of another size, a broken file,
            nothing inside; the file is named.
        FileNotFoundError: no such archive or folder, or a picture without a model.
    """
    folder = pathlib.Path(models)
    if not folder.is_dir():
        raise FileNotFoundError(f"{models}: no such folder of binvox models.")

    @functools.lru_cache(maxsize=64)
    def load(path):
        return io.read_binvox(path).occupancy

    count = 0
    for name, data in pictures(images):
        parsed = names.parse_name(name)
        path = names.find_model(folder, parsed.model, name)
        image = io.decode_image(data, name, channels=3)
        voxels = load(path)
        examples.check_sizes(name, image.shape, voxels.shape)
        count += 1
        yield LegacyExample(name, image, voxels, parsed.pose, path.stem)
    if not count:
        raise FormatError(f"{images}: expected PNG or JPEG pictures; found none.")


def pictures(images: str) -> Iterator[tuple[str, bytes]]:
    """(name, bytes) of every picture of a tar or a folder."""
    path = pathlib.Path(images)
    if path.is_dir():
        for file in _picture_files(path):
            yield file.name, file.read_bytes()
        return
    for name, data in io.iter_tar(path):
        if pathlib.PurePosixPath(name).suffix.lower() in _SUFFIXES:
            yield name, data


def _picture_files(folder: pathlib.Path) -> list[pathlib.Path]:
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in _SUFFIXES)


def origin(images: str, models: str) -> dict[str, Any]:
    """What a conversion reads, as metadata by which a later change is noticed.

    Args:
        images: tar or folder of pictures.
        models: folder of binvox files.

    Returns:
        `source` and `models` as given, `source_bytes`, and `source_modified`, the time
        of the last change, as text.

    Raises:
        FileNotFoundError: no such archive or folder.
    """
    path = pathlib.Path(images)
    if not path.exists():
        raise FileNotFoundError(f"{images}: no such archive or folder of pictures.")
    files = _picture_files(path) if path.is_dir() else [path]
    found = [file.stat() for file in files]
    changed = datetime.datetime.fromtimestamp(
        max((stat.st_mtime_ns for stat in found), default=0) / 1e9,
        datetime.timezone.utc,
    )
    return {
        "source": str(images),
        "models": str(models),
        "source_bytes": sum(stat.st_size for stat in found),
        "source_modified": changed.isoformat(),
    }


def check_origin(output: str, split: str, images: str, models: str) -> None:
    """Refuses a converted split that was made from something else.

    Args:
        output: folder of the records.
        split: name of the split.
        images: tar or folder of pictures that it should be made from.
        models: folder of binvox files.

    Raises:
        FormatError: naming what it was made from, and what to do.
        FileNotFoundError: no such split, archive or folder.
    """
    was = records.read_split(output, split, examples.SCHEMA).metadata
    now = origin(images, models)
    for name in ("source", "models"):
        # Splits of an older version tell the pictures alone.
        old = was.get(name, None if name == "source" else now[name])
        if old is None or os.path.realpath(old) != os.path.realpath(now[name]):
            raise FormatError(
                f"{output}: holds {split} data of {old}, not of {now[name]}."
            )
    for name in ("source_bytes", "source_modified"):
        if was.get(name, now[name]) != now[name]:
            raise FormatError(
                f"{images}: changed since {output} was made of it ({name} was "
                f"{was[name]}, now {now[name]}); name another folder, or run python -m "
                f"tools.convert_legacy --image_path={images} --model_path={models} "
                f"--output={output} --split={split} --overwrite"
            )


def convert_legacy(
    images: str,
    models: str,
    output: str,
    split: str,
    shard_records: int = 256,
    *,
    overwrite: bool = False,
    report: Callable[[], Any] | None = None,
) -> records.Split:
    """Writes the pictures of a tar as one split of TFRecords.

    Args:
        images: tar or folder of pictures.
        models: folder of binvox files.
        output: folder of the records.
        split: name of the split.
        shard_records: most records in one shard.
        overwrite: replace a finished split of that name.
        report: called before each picture is written.

    Returns:
        What was written; its metadata hold `origin`, `resolution` and `objects`.

    Raises:
        FormatError, FileNotFoundError: see `read_legacy`; nothing is left behind.
    """
    objects, sides = set(), {}
    metadata = origin(images, models)  # first, so that a change meanwhile is noticed
    with records.RecordWriter(
        output, split, shard_records, examples.SCHEMA, metadata, overwrite=overwrite
    ) as writer:
        for item in read_legacy(images, models):
            objects.add(item.object_id)
            sides.setdefault(int(item.voxels.shape[0]), item.name)
            if len(sides) > 1:
                both = ", ".join(f"{n}^3 for {name}" for n, name in sides.items())
                raise FormatError(f"{images}: expected one size of grid; got {both}.")
            if report:
                report()
            writer.write(
                examples.encode_example(
                    item.image, item.voxels, item.pose, item.object_id, item.name
                )
            )
        writer.metadata["resolution"] = next(iter(sides))
        writer.metadata["objects"] = sorted(objects)
    return records.read_split(output, split, examples.SCHEMA)
