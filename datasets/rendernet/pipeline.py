"""Batches for RenderNet's trainer: crops whose size grows, and whole pictures.

Element k of the training stream is a function of (seed, k) alone, crop included, so a
run that was killed continues exactly, on any number of devices.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from datasets import records
from datasets.rendernet.examples import PIXELS_PER_VOXEL, SCHEMA, parse_example
from tfrender.io import FormatError

_CELL = PIXELS_PER_VOXEL // 2  # pixels of the picture along one camera cell


class Phase(NamedTuple):
    """A stretch of training: crops of one size up to an element number."""

    window: int  # side of the crop in camera cells
    end: int | None  # first element of the next phase; None is the last phase


def curriculum(
    windows: Sequence[int], epochs: Sequence[float], examples: int, batch_size: int
) -> list[Phase]:
    """Crop sizes of the original's curriculum: small crops first.

    Args:
        windows: sides of the crops in camera cells, one a phase.
        epochs: length of every phase but the last, in epochs.
        examples: examples in one epoch.
        batch_size: phases end at whole batches.

    Returns:
        The phases.

    Raises:
        ValueError: where the lengths do not fit.
    """
    if len(windows) != len(epochs) + 1:
        raise ValueError(
            f"expected one crop size more than phase lengths; got {list(windows)} "
            f"and {list(epochs)}."
        )
    if min(windows) < 2 or any(window % 2 for window in windows):
        raise ValueError(f"crop sizes must be even and positive; got {list(windows)}.")
    if not all(math.isfinite(length) and length >= 0.0 for length in epochs):
        raise ValueError(f"phase lengths must not be negative; got {list(epochs)}.")
    ends, end = [], 0
    for length in epochs:
        end += -(-round(length * examples) // batch_size) * batch_size
        ends.append(end)
    return [Phase(w, e) for w, e in zip(windows, [*ends, None], strict=True)]


def metadata(data_dir: str, split: str, resolution: int) -> records.Split:
    """Sidecar of a split, checked against the voxel grid of a model.

    Args:
        data_dir: folder of the records.
        split: "train", "validation" or "test".
        resolution: side of the model's voxel grid.

    Returns:
        The split.

    Raises:
        FormatError: the data were made for another grid.
    """
    found = records.read_split(data_dir, split, SCHEMA)
    have = found.metadata.get("resolution")
    if have != resolution:
        raise FormatError(
            f"{data_dir}: expected {resolution}^3 voxels for this preset; the data "
            f"hold {have}^3. Make them with --resolution={resolution}."
        )
    return found


def training_batches(
    data_dir: str,
    resolution: int,
    channels: int,
    phases: Sequence[Phase],
    batch_size: int,
    *,
    start: int = 0,
    seed: int = 0,
    split: str = "train",
    focus: float = 0.8,
    ahead: int = 2,
) -> tf.data.Dataset:
    """Endless batches of crops.

    Args:
        data_dir: folder of the records.
        resolution: side n of the voxel grid.
        channels: 3, or 1 for grey.
        phases: crop sizes, see `curriculum`.
        batch_size: examples of a (global) batch.
        start: number of the first element; a multiple of `batch_size`.
        seed: of order and crops.
        split: name of the split.
        focus: share of the crops that are drawn around a pixel of the object; the
            others are uniform, as all are in the original. Crops of background alone
            teach a network to answer black.
        ahead: batches prepared ahead of the trainer.

    Returns:
        dataset of dicts: `image` [B, 4 p, 4 p, C] float32 in [0, 1], `voxels` uint8
        [B, n, n, n, 1], `pose` [B, 3], `origin` [B, 2] int32; p is the side of the
        crop, static in each batch. Numbers alone, since a GPU holds no strings.
    """
    result, begin = None, start
    for phase in phases:
        if phase.end is not None and phase.end <= begin:
            continue
        stream = records.record_stream(data_dir, split, seed, begin, schema=SCHEMA)
        stream = stream.enumerate(begin)
        if phase.end is not None:
            stream = stream.take(phase.end - begin)
        stream = stream.map(
            _cropper(resolution, channels, phase.window, seed, focus),
            num_parallel_calls=tf.data.AUTOTUNE,
        ).batch(batch_size, drop_remainder=True)
        result = stream if result is None else result.concatenate(stream)
        begin = phase.end
    return result.prefetch(ahead)


def _cropper(resolution, channels, window, seed, focus):
    """Maps (element number, record) to a cropped example."""

    def crop(number, record):
        example = parse_example(record, resolution, channels)
        origin = _window_origin(
            example["image"], 2 * resolution, window, [seed, number], focus
        )
        pixel = _CELL * origin
        image = example["image"][
            pixel[0] : pixel[0] + _CELL * window, pixel[1] : pixel[1] + _CELL * window
        ]
        image = tf.ensure_shape(image, [_CELL * window, _CELL * window, channels])
        return {
            "image": tf.cast(image, tf.float32) / 255.0,
            "voxels": example["voxels"],
            "pose": example["pose"],
            "origin": origin,
        }

    return crop


def _window_origin(image, size, window, seed, focus):
    """First (row, column) of a window of camera cells [2] int32."""
    last = size - window
    draw = tf.random.stateless_uniform([4], tf.cast(tf.stack(seed), tf.int64))
    uniform = tf.cast(draw[:2] * (last + 1.0), tf.int32)
    # Cells that show the object: one pixel of each is looked at. The background has
    # the colour of the corner, black or the white of paper.
    differs = tf.not_equal(image[::_CELL, ::_CELL], image[:1, :1])
    shown = tf.where(tf.reduce_any(differs, axis=-1))
    count = tf.shape(shown)[0]

    def around_object():
        pick = tf.minimum(
            tf.cast(draw[2] * tf.cast(count, tf.float32), tf.int32), count - 1
        )
        cell = tf.cast(shown[pick], tf.int32)
        # The cell falls anywhere in the window, so that edges are seen from both sides.
        return cell - tf.cast(draw[:2] * float(window), tf.int32)

    near = tf.logical_and(count > 0, draw[3] < focus)
    return tf.clip_by_value(tf.cond(near, around_object, lambda: uniform), 0, last)


def evaluation_batches(
    data_dir: str, split: str, resolution: int, channels: int, batch_size: int
) -> tf.data.Dataset:
    """Whole pictures of a held-out split, once, in the order of the files.

    Args:
        data_dir: folder of the records.
        split: name of the split.
        resolution: side n of the voxel grid.
        channels: 3, or 1 for grey.
        batch_size: examples of a batch; the last may be smaller.

    Returns:
        dataset of dicts as `training_batches`, without `origin`, with `object` [B]
        strings.
    """

    def whole(record):
        example = parse_example(record, resolution, channels)
        return {**example, "image": tf.cast(example["image"], tf.float32) / 255.0}

    stream = records.record_stream(
        data_dir, split, shuffle=False, cycle=False, schema=SCHEMA
    )
    return stream.map(whole, tf.data.AUTOTUNE).batch(batch_size).prefetch(1)
