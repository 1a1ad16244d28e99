"""Batches for the trainer of single-image mesh reconstruction.

A split is held in memory as it was packed, about 1.5 kB a picture, because a training
example needs two random pictures of one random object. Element k of the training
stream is a function of (seed, k) alone, so a run that was killed continues exactly, on
any number of devices.
"""

import functools
import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from datasets import records, shards
from datasets.mesh_reconstruction import views as fixed_views
from datasets.mesh_reconstruction.examples import (
    SCHEMA,
    decode_view,
    parse_packed,
    unpack_voxels,
)
from datasets.row_order import below
from datasets.shards import sidecar_path
from tfrender import checks
from tfrender.io import FormatError

OTHER_VIEW = 9  # steps from a view to the one that it is checked against
_READ = 256  # records taken apart at once


class Packed(NamedTuple):
    """A split in memory, sorted by class and name.

    Attributes:
        images: [N, 24] strings, PNG.
        voxels: [N] strings, packed bits.
        class_index: int32 [N], index into `classes`.
        objects: names of the N objects.
        classes: ids of the classes, in the order asked for.
    """

    images: tf.Tensor
    voxels: tf.Tensor
    class_index: np.ndarray
    objects: list[str]
    classes: list[str]


def metadata(data_dir: str, split: str) -> records.Split:
    """Sidecar of a split.

    Args:
        data_dir: folder of the records.
        split: "train", "validation" or "test".

    Returns:
        The split.

    Raises:
        FileNotFoundError, FormatError: no such split, or a broken one, or one of
            another system.
    """
    return records.read_split(data_dir, split, SCHEMA)


def classes_of(data_dir: str, split: str) -> list[str]:
    """Ids of the classes in a split, sorted.

    Args:
        data_dir: folder of the records.
        split: name of the split.

    Returns:
        Class ids.

    Raises:
        FileNotFoundError, FormatError: as `metadata`, or a sidecar without classes.
    """
    found = metadata(data_dir, split).metadata.get("classes")
    if not (isinstance(found, list) and found):
        raise FormatError(f"{data_dir}/{split}.json: expected a list of classes.")
    return sorted(found)


def check_disjoint(data_dir: str, first: str, second: str) -> None:
    """Refuses two splits that share objects.

    Sidecars that list no objects are not judged, nor is one split named twice.

    Args:
        data_dir: folder of the records.
        first: name of a split.
        second: name of the other.

    Raises:
        FileNotFoundError, FormatError: as `metadata`.
        ValueError: an object is in both.
    """
    shards.check_disjoint(data_dir, first, second, SCHEMA)


def load(data_dir: str, split: str, classes: Sequence[str] | None = None) -> Packed:
    """Reads a split into memory.

    The last two splits stay there, so that an evaluation every so often reads its own
    once; a split whose sidecar was written anew is read again.

    Args:
        data_dir: folder of the records.
        split: name of the split.
        classes: ids or names of those to read; None reads all.

    Returns:
        `Packed`.

    Raises:
        FileNotFoundError, FormatError: as `metadata`, or a damaged shard.
        ValueError: a class that is not there.
    """
    there = classes_of(data_dir, split)
    chosen = there if classes is None else fixed_views.find_classes(classes, there)
    folder = os.path.abspath(data_dir)
    found = os.stat(sidecar_path(folder, split))
    stamp = found.st_mtime_ns, found.st_ino, found.st_size
    packed = _load(folder, split, tuple(chosen), stamp)
    # Lists of the caller's own: what it does to them stays with it.
    return packed._replace(objects=list(packed.objects), classes=list(packed.classes))


@functools.lru_cache(maxsize=2)  # one to train on and one to evaluate
def _load(data_dir: str, split: str, chosen: tuple[str, ...], _stamp) -> Packed:
    """Reads the chosen classes of a split."""
    stream = records.record_stream(
        data_dir, split, shuffle=False, cycle=False, schema=SCHEMA
    )
    images, voxels, names, ids = [], [], [], []
    with records.naming_errors(data_dir):
        for part in stream.batch(_READ).map(parse_packed).prefetch(1):
            own = [name.decode() for name in part["class"].numpy()]
            kept = np.flatnonzero([name in chosen for name in own])
            images.append(tf.gather(part["images"], kept))
            voxels.append(tf.gather(part["voxels"], kept))
            names += [name.decode() for name in part["object"].numpy()[kept]]
            ids += [chosen.index(own[i]) for i in kept]
    empty = [name for i, name in enumerate(chosen) if i not in ids]
    if empty:
        raise FormatError(f"{data_dir}/{split}.json: no object of class {empty[0]}.")
    # Not in the order of the files, which depends on the number of shards.
    order = sorted(range(len(names)), key=lambda i: (ids[i], names[i]))
    class_index = np.array(ids, np.int32)[order]
    class_index.flags.writeable = False
    return Packed(
        tf.gather(tf.concat(images, 0), order),
        tf.gather(tf.concat(voxels, 0), order),
        class_index,
        [names[i] for i in order],
        list(chosen),
    )


def objects_of(
    data_dir: str, split: str, classes: Sequence[str] | None = None
) -> list[str]:
    """Names of the objects of a split, in the order of `object_index`.

    Args:
        data_dir: folder of the records.
        split: name of the split.
        classes: as `evaluation_batches`.

    Returns:
        Names; variants have one each, NAME~1.
    """
    return load(data_dir, split, classes).objects


def training_batches(
    data_dir: str,
    batch_size: int,
    *,
    classes: Sequence[str] | None = None,
    start: int = 0,
    seed: int = 0,
    split: str = "train",
    mirror: bool = False,
    jitter: float = 0.0,
    ahead: int = 2,
) -> tf.data.Dataset:
    """Endless batches of pairs of views.

    As published: the class is uniform over the classes, the object uniform within its
    class, and the two views are uniform and independent, so they may coincide. A
    variant counts as an object.

    Args:
        data_dir: folder of the records.
        batch_size: examples of a (global) batch.
        classes: ids or names of those to draw from; None is all of the split.
        start: number of the first element; a multiple of `batch_size`.
        seed: of the draws.
        split: name of the split.
        mirror: True shows every other example of a mirrored object: both pictures are
            reversed, and their azimuths negated.
        jitter: share by which each channel of the colour changes, the same in both
            pictures, in [0, 1].
        ahead: batches prepared ahead of the trainer.

    Returns:
        dataset of dicts: `image_a`, `image_b` [B, 64, 64, 4] float32 in [0, 1], RGBA on
        black; `azimuth_a`, `azimuth_b` [B] float32 degrees; `class_index` [B] int32,
        index into `classes` as given, else into `classes_of`. Numbers alone, since a
        GPU holds no strings.

    Raises:
        FileNotFoundError, FormatError, ValueError: as `load`.
    """
    checks.between("batch_size", batch_size, 1, 2**20)
    checks.between("seed", seed, 0, 2**31 - 1)
    checks.between("start", start, 0, 2**62)
    checks.between("jitter", jitter, 0.0, 1.0)
    packed = load(data_dir, split, classes)
    counts = np.bincount(packed.class_index, minlength=len(packed.classes))
    firsts = tf.constant(np.cumsum(counts) - counts)
    counts = tf.constant(counts)
    azimuths = tf.constant(fixed_views.azimuths_deg())

    def pair(number):
        draw = tf.random.stateless_uniform(
            [4], tf.stack([tf.constant(seed, tf.int64), number]), None, None, tf.uint32
        )
        index = below(draw[0], len(packed.classes))
        row = firsts[index] + below(draw[1], counts[index])
        found = {"class_index": tf.cast(index, tf.int32)}
        change = _Change(seed, number, mirror, jitter)
        for name, place in (("a", draw[2]), ("b", draw[3])):
            view = below(place, fixed_views.VIEWS)
            image = change.picture(decode_view(packed.images[row, view]))
            found[f"image_{name}"] = image
            found[f"azimuth_{name}"] = change.azimuth(azimuths[view])
        return found

    numbers = tf.data.Dataset.range(start, np.iinfo(np.int64).max)
    stream = numbers.map(pair, num_parallel_calls=tf.data.AUTOTUNE)
    return stream.batch(batch_size, drop_remainder=True).prefetch(ahead)


class _Change:
    """What happens at random to both pictures of an example."""

    def __init__(self, seed, number, mirror, jitter):
        # Not the draws of the views: another key of the same generator.
        key = tf.stack([tf.constant(seed, tf.int64), -1 - number])
        draw = tf.random.stateless_uniform([4], key)
        self.mirrored = draw[0] < 0.5 if mirror else None
        self.tint = 1.0 + jitter * (2.0 * draw[1:] - 1.0) if jitter else None

    def picture(self, image):
        """The picture [H, W, 4] of the changed object."""
        if self.tint is not None:
            # Colours lie on black: none may exceed the coverage.
            color = tf.minimum(image[..., :3] * self.tint, image[..., 3:])
            image = tf.concat([color, image[..., 3:]], axis=-1)
        if self.mirrored is not None:
            image = tf.where(self.mirrored, image[:, ::-1], image)
        return image

    def azimuth(self, azimuth_deg):
        """The azimuth from which the mirrored object looks like the picture."""
        if self.mirrored is None:
            return azimuth_deg
        return tf.where(self.mirrored, -azimuth_deg, azimuth_deg)


def evaluation_batches(
    data_dir: str,
    split: str,
    batch_size: int,
    *,
    classes: Sequence[str] | None = None,
    views: Sequence[int] | None = None,
) -> tf.data.Dataset:
    """Views of every object of a split, once: all views of the first object, and so on.

    Args:
        data_dir: folder of the records.
        split: name of the split.
        batch_size: examples of a batch; the last may be smaller.
        classes: ids or names of those to read; None is all of the split.
        views: numbers of the views, in 0..23; None is all 24.

    Returns:
        dataset of dicts: `image` and `image_other` [B, 64, 64, 4] float32 in [0, 1],
        RGBA on black; `azimuth` and `azimuth_other` [B] float32 degrees, the other
        view is 9 steps on; `voxels` uint8 [B, 32, 32, 32]; `class_index` [B] int32 as
        in `training_batches`; `object_index` [B] int32, index into `objects_of`;
        `view` [B] int32. Its cardinality is known.

    Raises:
        FileNotFoundError, FormatError, ValueError: as `load`, or a wrong view.
    """
    checks.between("batch_size", batch_size, 1, 2**20)
    shown = list(range(fixed_views.VIEWS) if views is None else views)
    if not shown or any(not 0 <= view < fixed_views.VIEWS for view in shown):
        raise ValueError(
            f"`views` must be numbers in 0..{fixed_views.VIEWS - 1}; got {views}."
        )
    packed = load(data_dir, split, classes)
    azimuths = tf.constant(fixed_views.azimuths_deg())
    class_index = tf.constant(packed.class_index)
    chosen = tf.constant(shown, tf.int64)

    def example(number):
        row, view = number // len(shown), chosen[number % len(shown)]
        other = (view + OTHER_VIEW) % fixed_views.VIEWS
        return {
            "image": decode_view(packed.images[row, view]),
            "image_other": decode_view(packed.images[row, other]),
            "azimuth": azimuths[view],
            "azimuth_other": azimuths[other],
            "voxels": unpack_voxels(packed.voxels[row]),
            "class_index": class_index[row],
            "object_index": tf.cast(row, tf.int32),
            "view": tf.cast(view, tf.int32),
        }

    numbers = tf.data.Dataset.range(len(packed.objects) * len(shown))
    stream = numbers.map(example, num_parallel_calls=tf.data.AUTOTUNE)
    return stream.batch(batch_size).prefetch(1)
