"""Records as the original writes them: all arrays as float32, GZIP.

One file CLASS_SPLIT.tfrecords has one record an object, with `image` [V, S, S, 3] in
[0, 1] on white, `mask` [V, S, S, 1], the smooth silhouette `mask_sdf` [V, S, S, 1] (the
program that writes spells it `mask_sdfs`, the one that reads does not), `name`,
`cam_pos` [V, 3], and maybe `extrinsic` [V, 4, 4], `depth` [V, S, S, 1] and `inpoints`
[V, P, 2] in pixels, x = column and y = height - row. Sizes are not written down; they
follow from the lengths.
"""

import math
import pathlib
import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from datasets.drwr import examples, layouts, lists, silhouettes
from datasets.shards import first_line
from tfrender import cameras
from tfrender.io import FormatError

_NAME = re.compile(r"(.+)_(train|val|validation|test)")
_SMOOTH = ("mask_sdf", "mask_sdfs")
SUFFIXES = (".tfrecords", ".tfrecord")
_GZIP = b"\x1f\x8b"


class File(NamedTuple):
    """A file of the original.

    Attributes:
        path: of the file.
        class_id: class, of its name.
        split: ours, of its name.
    """

    path: pathlib.Path
    class_id: str
    split: str


def find_files(inputs, classes=None) -> list[File]:
    """Files CLASS_SPLIT.tfrecords.

    Args:
        inputs: files, or folders that hold them.
        classes: ids of those to take; None is all.

    Returns:
        Files, sorted by name.

    Raises:
        FileNotFoundError: no such file or folder, or none in it.
        FormatError: a name of another form.
        ValueError: a class that is not there, or a split of a class twice.
    """
    paths = []
    for text in inputs:
        root = pathlib.Path(text)
        if not root.exists():
            raise FileNotFoundError(f"{text}: no such file or folder.")
        own = [root]
        if root.is_dir():
            own = [path for path in root.iterdir() if path.suffix in SUFFIXES]
        paths += sorted(own)
    found = []
    for path in paths:
        match = _NAME.fullmatch(path.stem)
        if not match:
            raise FormatError(
                f"{path}: expected a name CLASS_SPLIT.tfrecords, SPLIT being train, "
                "val, validation or test."
            )
        found.append(File(path, match[1], lists.SPLITS[match[2]]))
    if not found:
        raise FileNotFoundError(
            f"{','.join(inputs)}: expected CLASS_SPLIT.tfrecords; found none."
        )
    there = sorted({file.class_id for file in found})
    missing = [name for name in classes or () if name not in there]
    if missing:
        raise ValueError(f"no class {missing[0]!r}; there are {', '.join(there)}.")
    found = [file for file in found if classes is None or file.class_id in classes]
    for place, file in enumerate(found):
        for other in found[:place]:
            if file[1:] == other[1:]:
                raise ValueError(
                    f"{file.path} and {other.path} are both {file.class_id}, "
                    f"{file.split}."
                )
    return found


def raw_records(path: pathlib.Path) -> Iterator[bytes]:
    """Serialised records of a file, GZIP or plain.

    Args:
        path: of the file.

    Yields:
        Bytes.

    Raises:
        FormatError: a damaged file; file and record are named.
    """
    with open(path, "rb") as file:
        packed = file.read(2) == _GZIP
    number = 0
    try:
        stream = tf.data.TFRecordDataset(str(path), "GZIP" if packed else "")
        for record in stream.as_numpy_iterator():
            yield record
            number += 1
    except tf.errors.OpError as error:
        raise FormatError(
            f"{path}: record {number} is damaged ({first_line(error)})."
        ) from error


def count_records(path: pathlib.Path) -> int:
    """Number of records of a file; reads it once.

    Raises:
        FormatError: as `raw_records`, or none in it.
    """
    count = sum(1 for _ in raw_records(path))
    if not count:
        raise FormatError(f"{path}: expected records; found none.")
    return count


def decode(
    record: bytes, file: File, number: int, settings: layouts.Settings
) -> tuple[examples.ObjectViews, list[str]]:
    """Reads an object.

    Args:
        record: serialised.
        file: that it comes from.
        number: of the record, for messages.
        settings: as for renders; `image_size` must be 0 or that of the record.

    Returns:
        The object, and notes on views that are empty or full.

    Raises:
        FormatError: a key that is missing, a wrong length, numbers out of range.
    """
    where = f"{file.path}: record {number}"
    try:
        features = tf.train.Example.FromString(record).features.feature
    except Exception as error:  # of protobuf, which has several
        raise FormatError(f"{where}: expected a tf.train.Example; {error}.") from error
    name = _name(features, where)
    where = f"{where} ({name})"
    views, side = _sizes(features, where, settings)
    plane = (views, side, side)
    read, keep = _Reader(features, where), slice(settings.views or None)
    images = read.floats("image", (*plane, 3), (0.0, 1.0))[keep]
    masks = read.floats("mask", plane, (0.0, 1.0))[keep] >= 0.5
    smooth = read.floats(read.smooth_key(), plane, (-10.0, 1.0))[keep]
    places = read.floats("cam_pos", (views, 3))[keep]
    if (np.linalg.norm(places, axis=-1) < 1e-6).any():
        raise FormatError(f"{where}: expected cam_pos away from the origin.")
    depth = extrinsic = None
    if settings.depth:
        depth = _cleared(read.floats("depth", plane, (0.0, 1e9))[keep], masks)
    if "extrinsic" in features:
        extrinsic = read.floats("extrinsic", (views, 4, 4))[keep]
    camera = cameras.from_blender_position(places, focal_length=settings.focal_length)
    object_name = f"{file.class_id}/{name}"
    notes = silhouettes.check_masks(masks, where, object_name)
    item = examples.ObjectViews(
        object_name,
        file.class_id,
        np.rint(images * 255.0).astype(np.uint8),
        masks,
        np.zeros(masks.shape, np.uint16),
        camera.world_to_camera.numpy(),
        np.broadcast_to(camera.projection.numpy(), camera.world_to_camera.shape),
        list(range(views))[keep],
        depth,
        None,
        extrinsic,
    )
    seed = silhouettes.seed_of(settings.seed, object_name)
    item = examples.with_silhouettes(
        item, settings.sample_points, settings.sample_mode, seed
    )
    pairs = zip(masks, smooth, strict=True)
    squared = np.stack([silhouettes.distance_of_smooth(*pair) for pair in pairs])
    item = item._replace(squared_distance=squared)
    if "inpoints" in features and settings.sample_points:
        points = read.points(views, side, settings.sample_points)[keep]
        item = item._replace(samples=points)
    return item, notes


def _sizes(features, where: str, settings: layouts.Settings) -> tuple[int, int]:
    """Number of views and pixels a side, from the lengths."""
    places = _floats(features, "cam_pos", where)
    if not len(places) or len(places) % 3:
        raise FormatError(
            f"{where}: expected cam_pos of 3 numbers a view; got {len(places)}. "
            "The original stores cameras with --store_camera."
        )
    views = len(places) // 3
    colors = _floats(features, "image", where)
    side = math.isqrt(len(colors) // (3 * views))
    if not side or len(colors) != 3 * views * side * side:
        raise FormatError(
            f"{where}: expected image of {views} square pictures of 3 channels; got "
            f"{len(colors)} numbers."
        )
    if settings.image_size not in (0, side):
        raise FormatError(
            f"{where}: expected pictures of {settings.image_size} pixels, as "
            f"--image_size says; got {side}. Leave the flag out."
        )
    if settings.views > views:
        raise FormatError(f"{where}: expected {settings.views} views; got {views}.")
    return views, side


def _name(features, where: str) -> str:
    values = features["name"].bytes_list.value if "name" in features else []
    name = values[0].decode("utf-8", "replace").strip() if values else ""
    if not name or "/" in name:
        raise FormatError(f"{where}: expected the key name; {_there(features)}.")
    return name


def _there(features) -> str:
    return f"there are {', '.join(sorted(features)) or 'none'}"


def _floats(features, key: str, where: str) -> np.ndarray:
    """Numbers of a key."""
    if key not in features:
        raise FormatError(f"{where}: expected the key {key}; {_there(features)}.")
    return np.array(features[key].float_list.value, np.float32)


def _cleared(depth: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Depths, 0 on the background."""
    there = masks & (depth < examples.FARTHEST * (1.0 - 0.5 / 65535.0))
    return np.where(there, depth, np.float32(0.0))


class _Reader:
    """Arrays of a record, checked."""

    def __init__(self, features, where: str):
        self._features, self._where = features, where

    def smooth_key(self) -> str:
        """The spelling of the smooth silhouette that is there."""
        for key in _SMOOTH:
            if key in self._features:
                return key
        raise FormatError(
            f"{self._where}: expected the key {' or '.join(_SMOOTH)}; "
            f"{_there(self._features)}."
        )

    def floats(self, key: str, shape, limits=(-np.inf, np.inf)) -> np.ndarray:
        """An array of finite numbers in a range."""
        values = _floats(self._features, key, self._where)
        if values.size != math.prod(shape):
            raise FormatError(
                f"{self._where}: expected {key} of {math.prod(shape)} numbers "
                f"{list(shape)}; got {values.size}."
            )
        low, high = limits
        if not np.isfinite(values).all() or (
            values.size
            and not low - 1e-3 <= values.min() <= values.max() <= high + 1e-3
        ):
            raise FormatError(
                f"{self._where}: expected {key} finite in [{low:g}, {high:g}]."
            )
        return values.clip(low, high).reshape(shape)

    def points(self, views: int, side: int, wanted: int) -> np.ndarray:
        """Points on the masks in frame coordinates, float32 [V, P, 2]."""
        values = _floats(self._features, "inpoints", self._where)
        count = values.size // (2 * views)
        if count != wanted:
            raise FormatError(
                f"{self._where}: expected {wanted} inpoints a view, as --sample_points "
                f"says; got {count}."
            )
        found = self.floats("inpoints", (views, count, 2), (-1.0, side + 1.0))
        # Whole numbers mean a pixel (column, height - row); its centre is half a pixel
        # on. Others are places.
        whole = (found == np.rint(found)).all(-1, keepdims=True)
        found = found + np.where(whole, np.float32([0.5, -0.5]), np.float32(0.0))
        return found / np.float32(side) - np.float32(0.5)
