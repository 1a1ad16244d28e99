"""Examples out of packed records: which view, which input, which sparse points."""

from collections.abc import Sequence

import tensorflow as tf

from datasets.dvr import examples
from datasets.row_order import below


def class_filter(chosen: Sequence[str]):
    """Function that tells whether a serialised record is of one of some classes."""
    wanted = tf.constant(list(chosen))
    feature = {"class": tf.io.FixedLenFeature([], tf.string)}

    def is_wanted(record):
        own = tf.io.parse_single_example(record, feature)["class"]
        return tf.reduce_any(tf.equal(own, wanted))

    return is_wanted


def pick(draw: tf.Tensor, count, place: int | None) -> tf.Tensor:
    """A given place, or a random one of `count`; int64."""
    return below(draw, count) if place is None else tf.constant(place, tf.int64)


class Opened:
    """A record taken apart; pictures are decoded as they are asked for.

    Attributes:
        count: scalar int64, views of the record.
        object_index: scalar int32.
        views: int32 [V], their numbers.
    """

    def __init__(self, packed, form: examples.Form, points: int, size: int):
        """Takes what `examples.parse_packed` returns.

        Args:
            packed: fields of the record.
            form: of the split.
            points: sparse points M of an example.
            size: side S of the encoder input; 0 without.
        """
        self._packed, self._form = packed, form
        self._points, self._size = points, size
        self.count = tf.size(packed["views"], tf.int64)
        self.object_index = tf.cast(packed["object_index"], tf.int32)
        self.views = tf.cast(packed["views"], tf.int32)

    def example(self, view, draws, input_place: int | None = None):
        """One view as an example of the batches.

        Args:
            view: its place in the record, scalar.
            draws: [2] uint32, choose the input and the sparse points.
            input_place: of the input instead.

        Returns:
            dict as in `pipeline.training_batches`, without the batch axis.
        """
        packed, form = self._packed, self._form
        shape = form.image_size
        image = examples.decode_picture(packed["images"][view], shape)
        mask = examples.decode_picture(packed["masks"][view], shape, 1)
        found = {
            "image": tf.cast(image, tf.float32) / 255.0,
            "mask": tf.cast(mask > 0, tf.float32),
            "world_to_camera": packed["world_to_camera"][view],
            "projection": packed["projection"][view],
            "object_id": self.object_index,
            "view": self.views[view],
        }
        for name in ("depth", "hull_depth"):
            if name in packed:
                found[name] = examples.decode_depth(packed[name][view], shape)
        if self._size:
            found["input"] = self._input(draws[0], input_place)
        if form.sparse:
            last = tf.cumsum(packed["sparse_count"])[view]
            first = last - packed["sparse_count"][view]
            own = {name: packed[name][first:last] for name in examples.SPARSE}
            found.update(draw_points(own, draws[1], self._points))
        return found

    def _input(self, draw, input_place):
        packed, size = self._packed, self._size
        if self._form.inputs == "own":
            count = tf.size(packed["inputs"], tf.int64)
            place = pick(draw, count, input_place)
            return examples.decode_input(packed["inputs"][place], size)
        place = pick(draw, self.count, input_place)
        shape = self._form.image_size
        picture = examples.decode_picture(packed["images"][place], shape)
        return examples.resize_input(picture, size)


def draw_points(own, draw, points: int):
    """A random choice of the sparse points of a view, padded.

    Args:
        own: name -> [K, ...] of the view.
        draw: scalar uint32.
        points: M.

    Returns:
        name -> [M, ...], and `sparse_mask` [M].
    """
    count = tf.shape(own["sparse_depth"])[0]
    key = tf.stack([tf.cast(draw, tf.int64), tf.constant(0, tf.int64)])
    order = tf.random.experimental.stateless_shuffle(tf.range(count), key)[:points]
    taken = tf.size(order)
    found = {}
    for name, values in own.items():
        padding = [[0, points - taken], *[[0, 0]] * (values.shape.rank - 1)]
        padded = tf.pad(tf.gather(values, order), padding)
        found[name] = tf.ensure_shape(padded, [points, *values.shape[1:]])
    mask = tf.cast(tf.range(points) < taken, tf.float32)
    return {**found, "sparse_mask": mask}
