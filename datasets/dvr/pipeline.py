"""Batches for DVR's trainer: one view of an object, and an input for the encoder.

Element k of the training stream is a function of (seed, k) alone, so a run that was
killed continues exactly, on any number of devices. An epoch shows every record once: an
object of single-view data (a random view of it and, independently, a random input), a
view of a multi-view scene.

A split that takes less than 1 GiB decoded is held in memory so; a larger one is read
from the disk again and again.
"""

import os
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from datasets import records, row_order, shards
from datasets.dvr import examples, memory, sampling
from datasets.shards import sidecar_path
from tfrender import checks

MEMORY_BYTES = 2**30
VIEWS = ("all", "random")
_ENTRIES = (
    *("image_size", "input_size", "inputs", "depth", "hull_depth", "sparse"),
    *("objects", "classes", "scene", "object_classes", "view_counts", "views"),
)


def metadata(data_dir: str, split: str) -> records.Split:
    """Sidecar of a split; its `metadata` says what the batches hold.

    `image_size` [H, W]; `input_size` S, or 0; `depth`, `hull_depth`, `sparse` bools;
    `objects` names CLASS/OBJECT, with `object_classes` and `view_counts`; `classes`
    and `class_names`; `scene`, whether a record is a view, with `views` object ->
    numbers in its camera file; `background`; `source`; `layout`.

    Args:
        data_dir: folder of the records.
        split: name of the split.

    Returns:
        The split.

    Raises:
        FileNotFoundError, FormatError: no such split, a broken one, or one of another
            system.
    """
    return shards.read_described(
        data_dir, split, examples.SCHEMA, _ENTRIES, "tools.make_dvr_records"
    )


def form_of(data_dir: str, split: str) -> examples.Form:
    """What the records of a split hold.

    Args:
        data_dir: folder of the records.
        split: name of the split.

    Returns:
        `examples.Form`.
    """
    found = metadata(data_dir, split).metadata
    flags = (bool(found[name]) for name in ("depth", "hull_depth", "sparse"))
    return examples.Form(tuple(found["image_size"]), *flags, found["inputs"])


def check_disjoint(data_dir: str, first: str, second: str) -> None:
    """Refuses two splits that share objects or, of scenes, views.

    One split named twice is not judged.

    Args:
        data_dir: folder of the records.
        first: name of a split.
        second: name of the other.

    Raises:
        FileNotFoundError, FormatError: as `metadata`.
        ValueError: an object, or a view of a scene, is in both.
    """
    if first == second:
        return
    found, other = (metadata(data_dir, split).metadata for split in (first, second))
    shared, what = sorted(set(found["objects"]) & set(other["objects"])), "objects"
    if found["scene"] and other["scene"]:
        what, names, shared = "views", shared, []
        for name in names:
            both = set(found["views"][name]) & set(other["views"][name])
            shared += [f"view {view} of {name}" for view in sorted(both)]
    if shared:
        raise ValueError(
            f"{data_dir}: expected different {what} in the splits {first} and {second};"
            f" {len(shared)} are in both, {shared[0]} the first."
        )


def decoded_bytes(data_dir: str, split: str) -> int:
    """Bytes that a split takes in memory, decoded; without the sparse points.

    Args:
        data_dir: folder of the records.
        split: name of the split.

    Returns:
        Bytes.
    """
    found = metadata(data_dir, split).metadata
    height, width = found["image_size"]
    pixel = 4 + 4 * (bool(found["depth"]) + bool(found["hull_depth"]))
    inputs = int(found.get("input_count", 0)) * 3 * int(found["input_size"]) ** 2
    return sum(found["view_counts"]) * height * width * pixel + inputs


def training_batches(
    data_dir: str,
    batch_size: int,
    *,
    start: int = 0,
    seed: int = 0,
    classes: Sequence[str] | None = None,
    split: str = "train",
    sparse_points: int = 1024,
    in_memory: bool | None = None,
    ahead: int = 2,
) -> tf.data.Dataset:
    """Endless batches of views.

    Args:
        data_dir: folder of the records.
        batch_size: examples of a (global) batch.
        start: number of the first element; a multiple of `batch_size`.
        seed: of order and draws.
        classes: class folders or their names; None is all of the split.
        split: name of the split.
        sparse_points: most points M of a view in a batch, drawn anew each time; fewer
            where no view has so many.
        in_memory: whether the split is held in memory; None decides by its size.
        ahead: batches prepared ahead of the trainer.

    Returns:
        dataset of dicts, float32 where nothing else is said: `image` [B, H, W, 3] in
        [0, 1], on white; `mask` [B, H, W, 1] of 0 and 1; `world_to_camera`,
        `projection` [B, 4, 4]; `object_id` int32 [B], index into the sidecar's
        `objects`; `view` int32 [B], number in the camera file. Where the data have
        them: `depth`, `hull_depth` [B, H, W, 1] planar, object units, 0 where missing;
        `input` [B, S, S, 3] in [0, 1]; `sparse_points` [B, M, 3] in object space,
        `sparse_pixels` [B, M, 2] x right and y down, `sparse_depth` [B, M] and
        `sparse_mask` [B, M], 0 at padding.

    Raises:
        FileNotFoundError, FormatError: as `metadata`, or a damaged shard.
        ValueError: a class that is not there, or a setting outside of its range.
    """
    checks.between("batch_size", batch_size, 1, 2**20)
    checks.between("seed", seed, 0, 2**31 - 1)
    checks.between("start", start, 0, 2**62)
    checks.between("sparse_points", sparse_points, 1, 2**20)
    source = _Source(data_dir, split, classes, sparse_points, in_memory)
    elements = source.endless(start, seed)

    def draws(number):
        key = tf.stack([tf.constant(seed, tf.int64), number])
        return tf.random.stateless_uniform([3], key, None, None, tf.uint32)

    def example(number, record):
        draw = draws(number)
        opened = source.open(record)
        view = row_order.below(draw[0], opened.count)
        return opened.example(view, draw[1:])

    stream = elements.map(example, num_parallel_calls=tf.data.AUTOTUNE)
    return stream.batch(batch_size, drop_remainder=True).prefetch(ahead)


def evaluation_batches(
    data_dir: str,
    split: str,
    batch_size: int,
    *,
    classes: Sequence[str] | None = None,
    views: str | Sequence[int] = "all",
    input_view: int | None = 0,
    seed: int = 0,
    sparse_points: int = 1024,
    in_memory: bool | None = None,
) -> tf.data.Dataset:
    """Views of every record of a split, once; the same ones in every call.

    Args:
        data_dir: folder of the records.
        split: name of the split.
        batch_size: examples of a batch; the last may be smaller.
        classes: class folders or their names; None is all of the split.
        views: "all"; "random", one of each record by `seed`; or numbers in the camera
            file, of which those are shown that a record has.
        input_view: place of the encoder input, or None for one of each object by
            `seed`.
        seed: of the draws.
        sparse_points: see `training_batches`.
        in_memory: see `training_batches`.

    Returns:
        dataset of dicts as `training_batches`; in the order of objects and views where
        the split is in memory, in that of the files where not.

    Raises:
        FileNotFoundError, FormatError, ValueError: as `training_batches`, or views or
            an input that no object has.
    """
    checks.between("batch_size", batch_size, 1, 2**20)
    checks.between("seed", seed, 0, 2**31 - 1)
    source = _Source(data_dir, split, classes, sparse_points, in_memory)
    wanted = _wanted_views(data_dir, split, views)
    least = source.found["least_inputs"] if source.size else None
    if least and input_view is not None and not 0 <= input_view < least:
        raise ValueError(
            f"{data_dir}: `input_view` must be in 0..{least - 1}; got {input_view}."
        )

    def examples_of(record):
        opened = source.open(record)
        key = tf.stack([seed, -1 - opened.object_index])
        draw = tf.random.stateless_uniform([2], key, None, None, tf.uint32)
        places = tf.range(opened.count, dtype=tf.int64)
        if views == "random":
            places = row_order.below(draw[0], opened.count)[tf.newaxis]
        elif wanted is not None:
            kept = tf.reduce_any(opened.views[:, tf.newaxis] == wanted, axis=-1)
            places = tf.boolean_mask(places, kept)
        slices = tf.data.Dataset.from_tensor_slices(places)
        return slices.map(lambda view: opened.example(view, draw, input_view))

    stream = source.once().flat_map(examples_of)
    count = source.evaluated(views)
    stream = stream.apply(tf.data.experimental.assert_cardinality(count))
    return stream.batch(batch_size).prefetch(1)


def _wanted_views(data_dir, split, views):
    """Numbers of the views that are listed, int32 [N], or None."""
    if isinstance(views, str):
        checks.one_of("views", views, VIEWS)
        return None
    numbers = metadata(data_dir, split).metadata["views"]
    there = {number for own in numbers.values() for number in own}
    missing = [view for view in views if view not in there]
    if missing or not len(views):
        raise ValueError(
            f"`views` must be numbers of views in the split {split}; got {list(views)}."
        )
    return tf.constant(list(views), tf.int32)


def objects_of(
    data_dir: str, split: str, classes: Sequence[str] | None = None
) -> list[str]:
    """Names CLASS/OBJECT of the objects of a split.

    Args:
        data_dir: folder of the records.
        split: name of the split.
        classes: as `training_batches`.

    Returns:
        Names, in the order of the sidecar.
    """
    found = metadata(data_dir, split).metadata
    chosen = _chosen_classes(data_dir, split, classes)
    pairs = zip(found["objects"], found["object_classes"], strict=True)
    return [name for name, own in pairs if own in chosen]


def _chosen_classes(data_dir, split, classes) -> tuple[str, ...]:
    """Class folders, of folders or names."""
    found = metadata(data_dir, split).metadata
    there = list(found["classes"])
    if classes is None:
        return tuple(there)
    names = found.get("class_names", {})
    by_name = {names.get(class_id, class_id): class_id for class_id in there}
    by_name.update({class_id: class_id for class_id in there})
    missing = [name for name in classes if name not in by_name]
    if missing or not classes:
        raise ValueError(
            f"{data_dir}: no class {missing[0] if missing else ''!r} in the split "
            f"{split}; there are {', '.join(by_name)}."
        )
    return tuple(dict.fromkeys(by_name[name] for name in classes))


class _Source:
    """The chosen records of a split, in memory or on the disk."""

    def __init__(self, data_dir, split, classes, sparse_points, in_memory):
        self.data_dir, self.split = os.path.abspath(data_dir), split
        sidecar = metadata(data_dir, split)
        self.records, self.found = sidecar.records, sidecar.metadata
        self.chosen = _chosen_classes(data_dir, split, classes)
        self.form = form_of(data_dir, split)
        self.size = int(self.found["input_size"])
        most = max(int(self.found.get("sparse_points", 0)), 1)
        self.points = min(sparse_points, most)
        if in_memory is None:
            in_memory = decoded_bytes(data_dir, split) <= MEMORY_BYTES
        self.store = None
        if in_memory:
            file = os.stat(sidecar_path(self.data_dir, split))
            stamp = file.st_mtime_ns, file.st_ino, file.st_size
            self.store = memory.load_store(
                *(self.data_dir, split, self.chosen, self.form, self.size, stamp)
            )

    def evaluated(self, views) -> int:
        """Number of examples of an evaluation."""
        total = 0
        pairs = zip(self.found["objects"], self.found["object_classes"], strict=True)
        for name, own in pairs:
            numbers = self.found["views"][name] if own in self.chosen else []
            if views == "random" and not self.found["scene"]:
                numbers = numbers[:1]
            elif not isinstance(views, str):
                numbers = [number for number in numbers if number in views]
            total += len(numbers)
        return total

    def open(self, record):
        """Object with `count`, `object_index`, `views` and `example(view, draws)`."""
        if self.store is not None:
            return self.store.open(record, self.points, self.size)
        packed = examples.parse_packed(record, self.form)
        return sampling.Opened(packed, self.form, self.points, self.size)

    def once(self) -> tf.data.Dataset:
        """Every record once, rows of the store or serialised."""
        if self.store is not None:
            return tf.data.Dataset.range(len(self.store.first))
        return self._stream(shuffle=False, cycle=False)

    def endless(self, start: int, seed: int) -> tf.data.Dataset:
        """(number, record) from element `start` on, each record once an epoch."""
        if self.store is not None:
            return row_order.shuffled_rows(len(self.store.first), start, seed)
        # Every epoch holds as many of the classes: whole ones are skipped by
        # arithmetic.
        epoch, rest = divmod(start, _records_of(self.found, self.chosen))
        if len(self.chosen) == len(self.found["classes"]):
            return self._stream(seed, start).enumerate(start)
        stream = self._stream(seed, epoch * self.records)
        return stream.skip(rest).enumerate(start)

    def _stream(self, *arguments, **settings):
        stream = records.record_stream(
            *(self.data_dir, self.split, *arguments),
            schema=examples.SCHEMA,
            **settings,
        )
        if len(self.chosen) < len(self.found["classes"]):
            stream = stream.filter(sampling.class_filter(self.chosen))
        return stream


def _records_of(found: dict[str, Any], chosen) -> int:
    """Number of records of some classes."""
    pairs = zip(found["object_classes"], found["view_counts"], strict=True)
    return sum(
        (views if found["scene"] else 1) for name, views in pairs if name in chosen
    )
