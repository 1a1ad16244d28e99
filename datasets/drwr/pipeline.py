"""Batches for DRWR's trainer: objects, each with some of its views.

Element k of the training stream is a function of (seed, k) alone, so a run that was
killed continues exactly, on any number of devices. An epoch shows every object once.

A split is held in memory: decoded where that takes less than 2 GiB, else as PNG.
"""

import functools
import os
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from datasets import records, row_order, shards
from datasets.drwr import examples, memory, truth
from datasets.mesh_reconstruction.views import find_classes
from datasets.shards import sidecar_path
from tfrender import checks

_ENTRIES = ("image_size", "views", "depth", "sample_points", "objects", "classes")


def metadata(data_dir: str, split: str) -> records.Split:
    """Sidecar of a split; its `metadata` says what the batches hold.

    `objects` names CLASS/NAME; `classes`; `image_size` [H, W]; `views` of an object;
    `depth`, whether there are depths; `sample_points` on each mask, 0 for none;
    `source`; `settings` with which they were made.

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
        data_dir, split, examples.SCHEMA, _ENTRIES, "tools.make_drwr_records"
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
    height, width = found["image_size"]
    return examples.Form(
        (int(height), int(width)),
        int(found["views"]),
        bool(found["depth"]),
        int(found["sample_points"]),
    )


def classes_of(data_dir: str, split: str) -> list[str]:
    """Ids of the classes in a split, sorted."""
    return sorted(metadata(data_dir, split).metadata["classes"])


def objects_of(
    data_dir: str, split: str, classes: Sequence[str] | None = None
) -> list[str]:
    """Names CLASS/NAME of the objects of a split, in the order of `object_index`.

    Args:
        data_dir: folder of the records.
        split: name of the split.
        classes: as `training_batches`.

    Returns:
        Names; variants have one each, CLASS/NAME~1.
    """
    chosen = _chosen(data_dir, split, classes)
    names = metadata(data_dir, split).metadata["objects"]
    pairs = ((name.partition("/")[0], name) for name in names)
    kept = (pair for pair in pairs if pair[0] in chosen)
    return [name for _, name in sorted(kept, key=lambda p: [t.encode() for t in p])]


def check_disjoint(data_dir: str, first: str, second: str) -> None:
    """Refuses two splits that share objects.

    One split named twice is not judged.

    Args:
        data_dir: folder of the records.
        first: name of a split.
        second: name of the other.

    Raises:
        FileNotFoundError, FormatError: as `metadata`.
        ValueError: an object is in both.
    """
    shards.check_disjoint(data_dir, first, second, examples.SCHEMA)


def training_batches(
    data_dir: str,
    batch_size: int,
    *,
    views: int,
    input_size: int,
    classes: Sequence[str] | None = None,
    start: int = 0,
    seed: int = 0,
    split: str = "train",
    random_views: bool = True,
    views_to_use: int = 0,
    samples: int = 0,
    in_memory: bool | None = None,
    ahead: int = 2,
) -> tf.data.Dataset:
    """Endless batches of objects with some of their views.

    Args:
        data_dir: folder of the records.
        batch_size: objects B of a (global) batch.
        views: views S of an object.
        input_size: pixels I a side of `image`.
        classes: ids or names of those to draw from; None is all of the split.
        start: number of the first element; a multiple of `batch_size`.
        seed: of order and draws.
        split: name of the split.
        random_views: draw the views without replacement; False takes the first S, as
            the released program does.
        views_to_use: draw from the first so many views; 0 is all.
        samples: points M of each mask, drawn anew each time without replacement.
        in_memory: True decodes the split once and holds it so, False holds its PNG
            files; None decides by the size.
        ahead: batches prepared ahead of the trainer.

    Returns:
        dataset of dicts, float32 where nothing else is said: `image` [B, S, I, I, 3] in
        [0, 1], on white; `mask` [B, S, H, W, 1] of 0 and 1; `distance` [B, S, H, W, 1],
        pixels to the nearest centre of the other kind, 1000 where there is none;
        `world_to_camera`, `projection` [B, S, 4, 4]; `view` int32 [B, S], in the order
        drawn; `object_index` int32 [B], index into `objects_of`; and, where `samples`
        is above 0, `samples` [B, S, M, 2] in frame coordinates.

    Raises:
        FileNotFoundError, FormatError: as `metadata`, or a damaged shard.
        ValueError: a class that is not there, or a setting outside of its range.
    """
    checks.between("batch_size", batch_size, 1, 2**20)
    checks.between("seed", seed, 0, 2**31 - 1)
    checks.between("start", start, 0, 2**62)
    form = form_of(data_dir, split)
    _check_draws(data_dir, form, views, views_to_use, samples)
    store = _store(
        data_dir, split, classes, input_size, in_memory, samples=bool(samples)
    )
    pool = views_to_use or form.views

    def example(number, row):
        key = tf.stack([tf.constant(seed, tf.int64), number])
        places = tf.range(views, dtype=tf.int64)
        if random_views:
            order = tf.argsort(tf.random.stateless_uniform([pool], key))
            places = tf.cast(order[:views], tf.int64)
        found = store.views(row, places)
        found["object_index"] = tf.cast(row, tf.int32)
        if samples:
            own = tf.gather(store.fields["samples"][row], places)  # [S, P, 2]
            # Other draws than those of the views: another key.
            key = tf.stack([tf.constant(-1 - seed, tf.int64), number])
            draws = tf.random.stateless_uniform([views, form.sample_points], key)
            chosen = tf.math.top_k(draws, samples, sorted=False).indices
            drawn = tf.gather(own, chosen, batch_dims=1)
            found["samples"] = examples.frame_coordinates(drawn)
        return found

    elements = row_order.shuffled_rows(len(store.objects), start, seed)
    stream = elements.map(example, num_parallel_calls=tf.data.AUTOTUNE)
    return stream.batch(batch_size, drop_remainder=True).prefetch(ahead)


def evaluation_batches(
    data_dir: str,
    split: str,
    batch_size: int,
    *,
    input_size: int,
    classes: Sequence[str] | None = None,
    truth_dir: str | None = None,
    truth_points: int = 4096,
    views_to_use: int = 0,
    samples: int = 0,
    in_memory: bool | None = None,
) -> tf.data.Dataset:
    """Every object of a split once, in the order of `objects_of`, with all its views.

    Args:
        data_dir: folder of the records.
        split: name of the split.
        batch_size: objects B of a batch; the last may be smaller.
        input_size: pixels I a side of `image`.
        classes: as `training_batches`.
        truth_dir: folder of CLASS/NAME.npz or .mat with true points, or None.
        truth_points: of each object, the same ones in every call.
        views_to_use: the first so many views alone; 0 is all.
        samples: points M of each mask, the first of those stored.
        in_memory: as `training_batches`.

    Returns:
        dataset of dicts as `training_batches`, S being all views V; with `truth_dir`
        also `truth` float32 [B, truth_points, 3], object coordinates. Its cardinality
        is known.

    Raises:
        FileNotFoundError, FormatError: as `training_batches`, or a broken truth.
        ValueError: as `training_batches`; objects without truth, how many and which.
    """
    checks.between("batch_size", batch_size, 1, 2**20)
    form = form_of(data_dir, split)
    _check_draws(data_dir, form, 1, views_to_use, samples)
    clouds = None
    if truth_dir is not None:
        checks.between("truth_points", truth_points, 1, 2**24)
        paths = truth.find(truth_dir, objects_of(data_dir, split, classes))
        stamps = tuple((str(p), p.stat().st_mtime_ns) for p in paths)
        clouds = _truth(stamps, truth_points)
    store = _store(
        data_dir, split, classes, input_size, in_memory, samples=bool(samples)
    )
    places = tf.range(views_to_use or form.views, dtype=tf.int64)

    def example(row):
        found = store.views(row, places)
        found["object_index"] = tf.cast(row, tf.int32)
        if samples:
            own = tf.gather(store.fields["samples"][row], places)
            found["samples"] = examples.frame_coordinates(own[:, :samples])
        if clouds is not None:
            found["truth"] = clouds[row]
        return found

    rows = tf.data.Dataset.range(len(store.objects))
    stream = rows.map(example, num_parallel_calls=tf.data.AUTOTUNE)
    return stream.batch(batch_size).prefetch(1)


def _check_draws(data_dir, form, views, views_to_use, samples) -> None:
    """Refuses draws that the records of a split do not allow."""
    checks.between("views_to_use", views_to_use, 0, form.views)
    checks.between("views", views, 1, views_to_use or form.views)
    checks.between("samples", samples, 0, 2**20)
    if samples > form.sample_points:
        raise ValueError(
            f"{data_dir}: `samples` must be at most {form.sample_points}, the points "
            f"on each mask in the records; got {samples}. Make them with "
            f"--sample_points of tools.make_drwr_records."
        )


def _chosen(data_dir, split, classes) -> list[str]:
    """Class ids, sorted, of ids or names."""
    there = classes_of(data_dir, split)
    if classes is None:
        return there
    try:
        return sorted(find_classes(classes, there))
    except ValueError as error:
        raise ValueError(f"{data_dir}: split {split}: {error}") from error


def _store(data_dir, split, classes, size, in_memory, samples) -> memory.Store:
    """The chosen classes of a split in memory; read again where the file is new."""
    checks.between("input_size", size, 1, 4096)
    chosen, form = _chosen(data_dir, split, classes), form_of(data_dir, split)
    if in_memory is None:
        count = len(objects_of(data_dir, split, classes))
        needed = memory.decoded_bytes(count, form, size)
        in_memory = needed <= memory.DECODED_BYTES
    folder = os.path.abspath(data_dir)
    file = os.stat(sidecar_path(folder, split))
    stamp = file.st_mtime_ns, file.st_ino, file.st_size
    return memory.load_store(
        folder, split, tuple(chosen), form, size, in_memory, samples, stamp
    )


@functools.lru_cache(maxsize=2)  # an evaluation every so often reads them once
def _truth(stamps, count: int) -> tf.Tensor:
    """Points of each object, float32 [N, count, 3]; stamps are (path, time)."""
    clouds = []
    for number, (path, _) in enumerate(stamps):
        points = truth.read(path)
        generator = np.random.default_rng([number, count])
        chosen = generator.choice(len(points), count, replace=len(points) < count)
        clouds.append(points[chosen])
    return tf.constant(np.stack(clouds))
