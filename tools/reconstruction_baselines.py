"""Answers to mesh reconstruction that need no network: how good is knowing the data?

All of them know the training objects alone. Shapes are compared by the IoU of their
voxels, pictures by the IoU of their silhouettes; both are rows of bits, so that all
pairs of two sets are one matrix product, made block by block.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from datasets.mesh_reconstruction import pipeline
from datasets.mesh_reconstruction.examples import decode_view
from tools import progress

VARIANT = "~"  # in the name of an object that was made by stretching another
_BLOCK_BITS = 1 << 24  # of a set that are numbers at a time, 4 bytes each
_DECODED = 1024  # pictures at a time
_ONES = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).sum(1)
_THRESHOLDS = np.arange(0.05, 1.0, 0.05)


class Shapes(NamedTuple):
    """Objects of a split, a bit for each voxel and each pixel.

    Attributes:
        voxels: uint8 [N, 4096], packed grids of our frame.
        masks: uint8 [N, 24, 512], packed silhouettes, alpha above one half.
        class_index: int [N], index into `classes`.
        objects: names of the N objects.
        classes: ids of the classes.
    """

    voxels: np.ndarray
    masks: np.ndarray
    class_index: np.ndarray
    objects: list[str]
    classes: list[str]


def read_shapes(
    data_dir: str,
    split: str,
    classes: Sequence[str] | None = None,
    augmented: bool = True,
) -> Shapes:
    """Reads voxels and silhouettes of a split.

    Memory: 16 kB an object, beside the packed split.

    Args:
        data_dir: folder of the records.
        split: name of the split.
        classes: ids or names of those to read; None reads all.
        augmented: False leaves out variants, named NAME~1.

    Returns:
        `Shapes`.

    Raises:
        FileNotFoundError, FormatError, ValueError: see `pipeline.load`.
    """
    packed = pipeline.load(data_dir, split, classes)
    kept = [
        i for i, name in enumerate(packed.objects) if augmented or VARIANT not in name
    ]
    if not kept:
        raise ValueError(f"{data_dir}: the split {split} holds variants alone.")
    voxels = tf.gather(packed.voxels, kept).numpy()
    pictures = tf.gather(packed.images, kept)
    count, views = pictures.shape
    alphas = (
        tf.data.Dataset.from_tensor_slices(tf.reshape(pictures, [-1]))
        .map(lambda png: decode_view(png)[..., 3] > 0.5, tf.data.AUTOTUNE)
        .batch(_DECODED)
    )
    masks = [
        np.packbits(part.numpy().reshape(len(part), -1), axis=1)
        for part in progress.bar(alphas, f"silhouettes of {split}")
    ]
    return Shapes(
        np.stack([np.frombuffer(bits, np.uint8) for bits in voxels]),
        np.concatenate(masks).reshape(count, views, -1),
        packed.class_index[kept],
        [packed.objects[i] for i in kept],
        packed.classes,
    )


def all_ious(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """IoU of every row of one set with every row of another.

    Args:
        first: uint8 [N, D], packed bits.
        second: uint8 [M, D].

    Returns:
        float32 [N, M], 1 where both rows are empty. Memory: 32 N D + 32 M D + 8 N M
        bytes.
    """
    first, second = (
        np.unpackbits(s, axis=1).astype(np.float32) for s in (first, second)
    )
    both = first @ second.T  # whole numbers below 2^24: exact
    either = first.sum(1)[:, None] + second.sum(1) - both
    return np.where(either > 0, both / np.maximum(either, 1), 1).astype(np.float32)


def paired_ious(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """IoU of packed rows one by one.

    Args:
        first: uint8 [..., D].
        second: uint8, a shape that broadcasts with it.

    Returns:
        float64 [...], 1 where both are empty.
    """
    both, either = (
        _ONES[cells].sum(-1, dtype=np.int64)
        for cells in (first & second, first | second)
    )
    return np.where(either > 0, both / np.maximum(either, 1), 1.0)


def mean_ious(rows: np.ndarray, shapes: Shapes) -> np.ndarray:
    """Mean IoU of grids with the objects of each class.

    Args:
        rows: uint8 [N, 4096], packed grids.
        shapes: M objects of C classes.

    Returns:
        float64 [N, C]. Memory: about 200 MB and 8 N C bytes.
    """
    one_hot = np.eye(len(shapes.classes), dtype=np.float32)[shapes.class_index]
    sums = np.zeros([len(rows), len(shapes.classes)])
    for own in _blocks(rows):
        for other in _blocks(shapes.voxels):
            found = all_ious(rows[own], shapes.voxels[other])
            sums[own] += found @ one_hot[other]
    return sums / one_hot.sum(0)


def mean_shapes(shapes: Shapes) -> tuple[np.ndarray, np.ndarray]:
    """The voxels that most objects of a class fill, cut where it serves them best.

    Args:
        shapes: training objects of C classes.

    Returns:
        uint8 [C, 4096] packed grids, and [C] thresholds: the share of the class's
        objects that fill a voxel, in steps of 0.05, with the highest mean IoU with
        them.
    """
    grids, thresholds = [], []
    for number in range(len(shapes.classes)):
        own = shapes.voxels[shapes.class_index == number]
        total = 0.0
        for part in _blocks(own):
            total = total + np.unpackbits(own[part], axis=1).sum(0, dtype=np.int64)
        share = total / len(own)
        cut = np.packbits(share >= _THRESHOLDS[:, None], axis=1)
        alone = shapes._replace(
            voxels=own, class_index=np.zeros(len(own), int), classes=["own"]
        )
        best = mean_ious(cut, alone)[:, 0].argmax()
        grids.append(cut[best])
        thresholds.append(_THRESHOLDS[best])
    return np.stack(grids), np.array(thresholds)


def best_constants(shapes: Shapes) -> tuple[np.ndarray, int]:
    """The objects that stand best for all others.

    Args:
        shapes: training objects of C classes.

    Returns:
        int [C], of each class the object with the highest mean IoU with its class; and
        the object with the highest mean over the classes of the mean IoU.
    """
    means = mean_ious(shapes.voxels, shapes)  # [N, C]
    member = np.arange(len(shapes.classes)) == shapes.class_index[:, None]
    return np.where(member, means, -1.0).argmax(0), int(means.mean(1).argmax())


def retrieve(queries: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Finds the most similar silhouette, over all objects and views.

    Args:
        queries: uint8 [Q, D], packed silhouettes.
        masks: uint8 [N, V, D], packed silhouettes of the training objects.

    Returns:
        int [Q], index of the object; the smallest on ties. Memory: about 450 MB.
    """
    flat = masks.reshape(-1, masks.shape[-1])
    best = np.full(len(queries), -1.0, np.float32)
    index = np.zeros(len(queries), np.int64)
    for part in progress.bar(_blocks(flat), "nearest silhouettes"):
        for own in _blocks(queries):
            found = all_ious(queries[own], flat[part])
            nearest = found.argmax(1)
            score = found[np.arange(len(found)), nearest]
            better = score > best[own]
            best[own] = np.where(better, score, best[own])
            index[own] = np.where(better, nearest + part.start, index[own])
    return index // masks.shape[1]


def nearest_objects(
    rows: np.ndarray, known: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The grid that is most alike to each of another set.

    Args:
        rows: uint8 [N, 4096], packed grids.
        known: uint8 [M, 4096], those to search, at least one.

    Returns:
        float64 [N] largest IoU, and int [N] index into `known`; the smallest on ties.
        Memory: about 200 MB.
    """
    best = np.full(len(rows), -1.0, np.float32)
    index = np.zeros(len(rows), np.int64)
    for own in _blocks(rows):
        for part in _blocks(known):
            found = all_ious(rows[own], known[part])
            score = found.max(1)
            better = score > best[own]
            best[own] = np.where(better, score, best[own])
            index[own] = np.where(better, found.argmax(1) + part.start, index[own])
    # Once more in float64: 9 of 10 cells are an IoU of 0.9, not a little less.
    return paired_ious(rows, known[index]), index


def baseline_ious(
    test: Shapes, train: Shapes, views: Sequence[int]
) -> tuple[dict[str, np.ndarray], dict]:
    """Voxel IoU of every baseline for every picture.

    Args:
        test: objects to be answered.
        train: all that the baselines know; every class of `test` must be there.
        views: numbers of the views.

    Returns:
        name of the baseline -> float64 [N, len(views)]; and what was chosen: the
        objects and thresholds, fit for JSON.
    """
    number = np.array([train.classes.index(c) for c in test.classes])[test.class_index]
    means, thresholds = mean_shapes(train)
    of_class, overall = best_constants(train)
    masks = test.masks[:, list(views)]
    found = retrieve(masks.reshape(-1, masks.shape[-1]), train.masks)
    nearest = train.voxels[found].reshape(*masks.shape[:2], -1)
    answers = {
        "nearest silhouette": nearest,
        "best training object": train.voxels[overall],
        "mean shape of the class": means[number][:, None],
        "best object of the class": train.voxels[of_class[number]][:, None],
    }
    shape = masks.shape[:2]
    ious = {
        name: np.broadcast_to(paired_ious(test.voxels[:, None], grids), shape)
        for name, grids in answers.items()
    }
    chosen = {
        "training_objects": len(train.objects),
        "best_training_object": train.objects[overall],
        "mean_shape_thresholds": dict(
            zip(train.classes, map(float, thresholds.round(2)), strict=True)
        ),
        "best_objects": {
            c: train.objects[i] for c, i in zip(train.classes, of_class, strict=True)
        },
    }
    return ious, chosen


def _blocks(rows: np.ndarray) -> list[slice]:
    """Slices of packed rows that are small enough to be unpacked."""
    size = max(1, _BLOCK_BITS // (8 * rows.shape[-1]))
    return [slice(i, min(i + size, len(rows))) for i in range(0, len(rows), size)]
