"""The layout of the original: a tar of pictures and a folder of binvox models."""

import functools
import pathlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from datasets import records
from datasets.rendernet import examples, names
from tfrender import io
from tfrender.io import FormatError


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
    suffixes = {".png", ".jpg", ".jpeg"}
    if path.is_dir():
        found = sorted(p for p in path.iterdir() if p.suffix.lower() in suffixes)
        for file in found:
            yield file.name, file.read_bytes()
        return
    for name, data in io.iter_tar(path):
        if pathlib.PurePosixPath(name).suffix.lower() in suffixes:
            yield name, data


def convert_legacy(
    images: str, models: str, output: str, split: str, shard_records: int = 256
) -> records.Split:
    """Writes the pictures of a tar as one split of TFRecords.

    Args:
        images: tar or folder of pictures.
        models: folder of binvox files.
        output: folder of the records.
        split: name of the split.
        shard_records: most records in one shard.

    Returns:
        What was written.

    Raises:
        FormatError, FileNotFoundError: see `read_legacy`; nothing is left behind.
    """
    objects, sides = set(), {}
    with records.RecordWriter(output, split, shard_records, examples.SCHEMA) as writer:
        for item in read_legacy(images, models):
            objects.add(item.object_id)
            sides.setdefault(int(item.voxels.shape[0]), item.name)
            if len(sides) > 1:
                both = ", ".join(f"{n}^3 for {name}" for n, name in sides.items())
                raise FormatError(f"{images}: expected one size of grid; got {both}.")
            writer.write(
                examples.encode_example(
                    item.image, item.voxels, item.pose, item.object_id, item.name
                )
            )
        writer.metadata["resolution"] = next(iter(sides))
        writer.metadata["objects"] = sorted(objects)
        writer.metadata["source"] = str(images)
    return records.read_split(output, split, examples.SCHEMA)
