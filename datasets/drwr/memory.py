"""A split of DRWR's data in memory: decoded where that is small, else as PNG."""

import functools
from typing import NamedTuple

import tensorflow as tf

from datasets import records
from datasets.drwr import examples
from tfrender.io import FormatError

DECODED_BYTES = 2**31
_PICTURES = ("image", "mask", "squared_distance")


class Store(NamedTuple):
    """N objects with V views, sorted by class and name.

    Attributes:
        fields: name -> tensor [N, V, ...]: `image`, `mask`, `squared_distance`, decoded
            (uint8, uint8, uint16) or strings of PNG; `world_to_camera`, `projection`,
            `number` and, where there are any, `samples`.
        objects: their names CLASS/NAME.
        decoded: whether the pictures are.
        form: of the split.
        size: side I of the pictures `image`.
    """

    fields: dict[str, tf.Tensor]
    objects: list[str]
    decoded: bool
    form: examples.Form
    size: int

    def views(self, row, places) -> dict[str, tf.Tensor]:
        """Views of an object.

        Args:
            row: scalar, of the object.
            places: int64 [S], of the views.

        Returns:
            dict of `image` [S, I, I, 3], `mask`, `distance` [S, H, W, 1],
            `world_to_camera`, `projection` [S, 4, 4] float32, `view` int32 [S].
        """

        def chosen(name):
            return tf.gather(self.fields[name][row], places)

        pictures = {name: chosen(name) for name in _PICTURES}
        if not self.decoded:
            decoders = _decoders(self.form, self.size)
            pictures = {
                name: _each(packed, *decoders[name])
                for name, packed in pictures.items()
            }
        return {
            "image": tf.cast(pictures["image"], tf.float32) / 255.0,
            "mask": tf.cast(pictures["mask"], tf.float32),
            "distance": examples.pixel_distance(pictures["squared_distance"]),
            "world_to_camera": chosen("world_to_camera"),
            "projection": chosen("projection"),
            "view": chosen("number"),
        }


def decoded_bytes(count: int, form: examples.Form, size: int) -> int:
    """Bytes that objects take in memory, decoded.

    Args:
        count: number of objects.
        form: of their records.
        size: side I of the pictures.

    Returns:
        Bytes.
    """
    height, width = form.image_size
    own = 3 * size * size + 3 * height * width + 4 * form.sample_points
    return count * form.views * own


def _each(packed, decode, shape, dtype):
    """Decodes a vector of strings."""
    signature = tf.TensorSpec(shape, dtype)
    return tf.map_fn(decode, packed, fn_output_signature=signature)


def _decoders(form: examples.Form, size: int):
    """Field -> function of a string, shape and type of what it gives."""
    plane = (*form.image_size, 1)
    return {
        "image": (
            lambda png: examples.decode_image(png, form, size),
            (size, size, 3),
            tf.uint8,
        ),
        "mask": (lambda png: examples.decode_mask(png, form), plane, tf.uint8),
        "squared_distance": (
            lambda png: examples.decode_squared_distance(png, form),
            plane,
            tf.uint16,
        ),
    }


@functools.lru_cache(maxsize=2)  # one to train on and one to evaluate
def load_store(
    data_dir: str,
    split: str,
    chosen: tuple[str, ...],
    form: examples.Form,
    size: int,
    decoded: bool,
    samples: bool,
    _stamp,
) -> Store:
    """Reads the chosen classes of a split.

    Args:
        data_dir: folder of the records.
        split: name of the split.
        chosen: class ids.
        form: of the split.
        size: side I of the pictures.
        decoded: whether to decode the pictures now.
        samples: whether to read the points on the masks.

    Returns:
        `Store`.

    Raises:
        FormatError: a damaged shard, or no object of a class.
    """
    stream = records.record_stream(
        data_dir, split, shuffle=False, cycle=False, schema=examples.SCHEMA
    )
    decoders = _decoders(form, size)

    def parse(record):
        packed = examples.parse_packed(record, form)
        found = {name: packed[name] for name in ("object", "class", "world_to_camera")}
        found["projection"], found["number"] = packed["projection"], packed["views"]
        for name, key in zip(_PICTURES, ("images", "masks", _PICTURES[2]), strict=True):
            strings = packed[key]
            found[name] = _each(strings, *decoders[name]) if decoded else strings
        if samples:
            shape = (form.sample_points, 2)
            found["samples"] = _each(
                packed["samples"],
                lambda raw: examples.decode_samples(raw, form),
                shape,
                tf.uint16,
            )
        return found

    wanted = tf.constant(chosen)
    stream = stream.map(parse, num_parallel_calls=tf.data.AUTOTUNE)
    stream = stream.filter(lambda found: tf.reduce_any(found["class"] == wanted))
    with records.naming_errors(data_dir):
        found = list(stream.prefetch(2))
    # Not in the order of the files, which depends on the number of shards.
    found.sort(key=lambda item: (item["class"].numpy(), item["object"].numpy()))
    objects = [item.pop("object").numpy().decode() for item in found]
    there = {item.pop("class").numpy().decode() for item in found}
    empty = [name for name in chosen if name not in there]
    if empty:
        raise FormatError(f"{data_dir}/{split}.json: no object of class {empty[0]}.")
    fields = {}
    for name in list(found[0]):  # popped, so that a field is there twice at most
        fields[name] = tf.stack([item.pop(name) for item in found])
    return Store(fields, objects, decoded, form, size)
