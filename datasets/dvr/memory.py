"""A split of DVR's data in memory, decoded once."""

import functools
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from datasets import records
from datasets.dvr import examples, sampling


class Store(NamedTuple):
    """R records with T views and I encoder inputs, sorted by object and view.

    Attributes:
        views: name -> tensor [T, ...]: `image`, `mask` uint8 [T, H, W, 3 or 1],
            `world_to_camera`, `projection`, `view`, and what the form has of `depth`,
            `hull_depth`, `sparse_count`, `sparse_first`.
        first: int64 [R], place of the first view of a record.
        count: int64 [R], its views.
        object_index: int32 [R].
        inputs: uint8 [I, S, S, 3], or None.
        first_input: int64 [R].
        count_input: int64 [R].
        sparse: name -> tensor [K, ...] of all views one after the other.
    """

    views: dict[str, tf.Tensor]
    first: tf.Tensor
    count: tf.Tensor
    object_index: tf.Tensor
    inputs: tf.Tensor | None
    first_input: tf.Tensor
    count_input: tf.Tensor
    sparse: dict[str, tf.Tensor]

    def open(self, row, points: int, size: int) -> "_Row":
        """A record; see `sampling.Opened`."""
        return _Row(self, row, points, size)


class _Row:
    """A record of a store, with what `sampling.Opened` offers."""

    def __init__(self, store: Store, row, points: int, size: int):
        self._store, self._row, self._points, self._size = store, row, points, size
        self._first = store.first[row]
        self.count = store.count[row]
        self.object_index = store.object_index[row]
        self.views = store.views["view"][self._first : self._first + self.count]

    def example(self, view, draws, input_place: int | None = None):
        """See `sampling.Opened.example`."""
        store, place = self._store, self._first + view
        found = {
            "image": tf.cast(store.views["image"][place], tf.float32) / 255.0,
            "mask": tf.cast(store.views["mask"][place], tf.float32),
            "object_id": self.object_index,
        }
        for name in _PLAIN:
            if name in store.views:
                found[name] = store.views[name][place]
        if self._size:
            found["input"] = self._input(draws[0], input_place)
        if store.sparse:
            first = store.views["sparse_first"][place]
            last = first + store.views["sparse_count"][place]
            own = {name: values[first:last] for name, values in store.sparse.items()}
            found.update(sampling.draw_points(own, draws[1], self._points))
        return found

    def _input(self, draw, input_place):
        store, row = self._store, self._row
        if store.inputs is not None:
            place = sampling.pick(draw, store.count_input[row], input_place)
            image = store.inputs[store.first_input[row] + place]
            return tf.cast(image, tf.float32) / 255.0
        place = sampling.pick(draw, self.count, input_place)
        image = store.views["image"][self._first + place]
        return examples.resize_input(image, self._size)


_PLAIN = ("world_to_camera", "projection", "view", "depth", "hull_depth")


@functools.lru_cache(maxsize=2)  # one to train on and one to evaluate
def load_store(
    data_dir: str, split: str, chosen: tuple[str, ...], form, size: int, _stamp
) -> Store:
    """Reads the chosen classes of a split.

    Args:
        data_dir: folder of the records.
        split: name of the split.
        chosen: class folders.
        form: of the split.
        size: side S of the encoder inputs; 0 without.

    Returns:
        `Store`.

    Raises:
        FormatError: a damaged shard.
    """
    stream = records.record_stream(
        data_dir, split, shuffle=False, cycle=False, schema=examples.SCHEMA
    )
    stream = stream.filter(sampling.class_filter(chosen))
    stream = stream.map(_decoder(form, size), num_parallel_calls=tf.data.AUTOTUNE)
    with records.naming_errors(data_dir):
        found = list(stream.prefetch(2))
    # Not in the order of the files, which depends on the number of shards.
    found.sort(key=lambda r: (int(r["object_index"]), int(r["view"][0])))

    def joined(name):
        return tf.concat([record.pop(name) for record in found], 0)

    counts = np.array([len(record["view"]) for record in found], np.int64)
    inputs = np.array([len(r.get("inputs", ())) for r in found], np.int64)
    sparse = {name: joined(name) for name in examples.SPARSE if form.sparse}
    own = joined("inputs") if "inputs" in found[0] else None
    objects = tf.stack([tf.cast(r.pop("object_index"), tf.int32) for r in found])
    views = {name: joined(name) for name in list(found[0])}
    if form.sparse:
        ends = tf.cumsum(views["sparse_count"])
        views["sparse_first"] = ends - views["sparse_count"]
    return Store(
        views,
        tf.constant(np.cumsum(counts) - counts),
        tf.constant(counts),
        objects,
        own,
        tf.constant(np.cumsum(inputs) - inputs),
        tf.constant(inputs),
        sparse,
    )


def _decoder(form, size: int):
    """Maps a record to its decoded fields."""

    def decoded(packed, decode, shape, dtype):
        return tf.map_fn(
            decode, packed, fn_output_signature=tf.TensorSpec(shape, dtype)
        )

    def decode(record):
        packed = examples.parse_packed(record, form)
        shape = form.image_size
        found = {
            "object_index": packed["object_index"],
            "view": tf.cast(packed["views"], tf.int32),
            "image": decoded(
                packed["images"],
                lambda png: examples.decode_picture(png, shape),
                (*shape, 3),
                tf.uint8,
            ),
            "mask": decoded(
                packed["masks"],
                lambda png: tf.minimum(examples.decode_picture(png, shape, 1), 1),
                (*shape, 1),
                tf.uint8,
            ),
            **{name: packed[name] for name in ("world_to_camera", "projection")},
        }
        for name in ("depth", "hull_depth"):
            if name in packed:
                found[name] = decoded(
                    packed[name],
                    lambda raw: examples.decode_depth(raw, shape),
                    (*shape, 1),
                    tf.float32,
                )
        if form.sparse:
            names = ("sparse_count", *examples.SPARSE)
            found.update({name: packed[name] for name in names})
        if size and "inputs" in packed:
            found["inputs"] = decoded(
                packed["inputs"],
                lambda raw: tf.cast(
                    tf.round(255.0 * examples.decode_input(raw, size)), tf.uint8
                ),
                (size, size, 3),
                tf.uint8,
            )
        return found

    return decode
