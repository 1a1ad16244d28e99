"""One record: views of an object that share their encoder inputs.

Of single-view data a record is an object; of a multi-view scene it is a view. Pictures
and masks are PNG, depths zlib-packed float32 in object units with 0 where there is
none, encoder inputs PNG or JPEG of any size. Which fields are there is the same in a
whole split, and stands in its sidecar (`Form`).
"""

import zlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from datasets.dvr.views import ObjectViews
from datasets.records import Schema
from tfrender.io import FormatError

SCHEMA = Schema("dvr", 1)
SPARSE = ("sparse_points", "sparse_pixels", "sparse_depth")


class Form(NamedTuple):
    """What every record of a split holds.

    Attributes:
        image_size: (height, width) of the pictures.
        depth: whether there are depths.
        hull_depth: whether there are depths of the visual hull.
        sparse: whether there are sparse points.
        inputs: "none", "images" (the pictures themselves) or "own".
    """

    image_size: tuple[int, int]
    depth: bool
    hull_depth: bool
    sparse: bool
    inputs: str


def form_of(item: ObjectViews, with_inputs: bool) -> Form:
    """Form of the records of an object.

    Args:
        item: what was read of it.
        with_inputs: whether the layout has encoder inputs.

    Returns:
        `Form`.
    """
    own = "images" if item.inputs is None else "own"
    return Form(
        tuple(item.images.shape[1:3]),
        item.depth is not None,
        item.hull_depth is not None,
        item.sparse is not None,
        own if with_inputs else "none",
    )


def encode_example(
    item: ObjectViews, object_index: int, places: Sequence[int] | None = None
) -> bytes:
    """Serialises views of an object.

    Args:
        item: what was read of it.
        object_index: place of its name in the sidecar's `objects`.
        places: of the views, 0..V - 1; None is all.

    Returns:
        A serialised tf.train.Example.
    """
    places = list(range(len(item.numbers)) if places is None else places)

    def of_bytes(values):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))

    def of_ints(values):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))

    def of_floats(arrays):
        flat = np.concatenate([np.ravel(a) for a in arrays] or [[]])
        return tf.train.Feature(float_list=tf.train.FloatList(value=flat.tolist()))

    def png(image):
        return tf.io.encode_png(image, compression=6).numpy()

    masks = item.masks[places].astype(np.uint8)[..., np.newaxis] * 255
    features = {
        "name": of_bytes([item.name.encode()]),
        "class": of_bytes([item.class_id.encode()]),
        "object_index": of_ints([object_index]),
        "views": of_ints([item.numbers[i] for i in places]),
        "images": of_bytes([png(item.images[i]) for i in places]),
        "masks": of_bytes([png(mask) for mask in masks]),
        "world_to_camera": of_floats([item.world_to_camera[i] for i in places]),
        "projection": of_floats([item.projection[i] for i in places]),
    }
    for name in ("depth", "hull_depth"):
        depth = getattr(item, name)
        if depth is not None:
            packed = [zlib.compress(depth[i].astype("<f4").tobytes()) for i in places]
            features[name] = of_bytes(packed)
    if item.inputs is not None:
        features["inputs"] = of_bytes(item.inputs)
    if item.sparse is not None:
        own = [item.sparse[i] for i in places]
        features["sparse_count"] = of_ints([len(s.depth) for s in own])
        for place, name in enumerate(SPARSE):
            features[name] = of_floats([s[place] for s in own])
    example = tf.train.Example(features=tf.train.Features(feature=features))
    # Fields in one order, so that the same data give the same bytes.
    return example.SerializeToString(deterministic=True)


def parse_packed(record: tf.Tensor, form: Form) -> Mapping[str, tf.Tensor]:
    """Takes a record apart and decodes nothing.

    Args:
        record: serialised example, scalar string.
        form: of the split.

    Returns:
        dict: `name`, `class` scalar strings; `object_index` int64; `views` int64 [V];
        `images`, `masks`, `depth`, `hull_depth` strings [V]; `inputs` strings [I];
        `world_to_camera`, `projection` float32 [V, 4, 4]; `sparse_count` int64 [V],
        `sparse_points` [K, 3], `sparse_pixels` [K, 2], `sparse_depth` [K] of all views
        one after the other. What the form does not have is not there.
    """

    def many(kind):
        return tf.io.FixedLenSequenceFeature([], kind, allow_missing=True)

    features = {
        "name": tf.io.FixedLenFeature([], tf.string),
        "class": tf.io.FixedLenFeature([], tf.string),
        "object_index": tf.io.FixedLenFeature([], tf.int64),
        "views": many(tf.int64),
        **{name: many(tf.string) for name in ("images", "masks")},
        **{name: many(tf.float32) for name in ("world_to_camera", "projection")},
    }
    for name in ("depth", "hull_depth"):
        if getattr(form, name):
            features[name] = many(tf.string)
    if form.inputs == "own":
        features["inputs"] = many(tf.string)
    if form.sparse:
        features["sparse_count"] = many(tf.int64)
        features.update({name: many(tf.float32) for name in SPARSE})
    found = tf.io.parse_single_example(record, features)
    for name in ("world_to_camera", "projection"):
        found[name] = tf.reshape(found[name], [-1, 4, 4])
    if form.sparse:
        found["sparse_points"] = tf.reshape(found["sparse_points"], [-1, 3])
        found["sparse_pixels"] = tf.reshape(found["sparse_pixels"], [-1, 2])
    return found


def decode_picture(packed: tf.Tensor, image_size, channels: int = 3) -> tf.Tensor:
    """Decodes a picture or a mask.

    Args:
        packed: PNG, scalar string.
        image_size: (height, width) that it must have.
        channels: 3, or 1 for a mask.

    Returns:
        uint8 [H, W, channels].
    """
    image = tf.io.decode_png(packed, channels=channels)
    return tf.ensure_shape(image, [*image_size, channels])


def decode_depth(packed: tf.Tensor, image_size) -> tf.Tensor:
    """Decodes a depth map.

    Args:
        packed: zlib bytes, scalar string.
        image_size: (height, width).

    Returns:
        float32 [H, W, 1].
    """
    raw = tf.io.decode_compressed(packed, "ZLIB")
    return tf.reshape(tf.io.decode_raw(raw, tf.float32), [*image_size, 1])


def decode_input(packed: tf.Tensor, size: int) -> tf.Tensor:
    """Decodes and resizes an encoder input.

    Args:
        packed: PNG or JPEG of any size, scalar string.
        size: pixels S a side.

    Returns:
        float32 [S, S, 3] in [0, 1].
    """
    image = tf.io.decode_image(packed, channels=3, expand_animations=False)
    return resize_input(image, size)


def resize_input(image: tf.Tensor, size: int) -> tf.Tensor:
    """Resizes an encoder input, averaging where it shrinks.

    Args:
        image: uint8 [h, w, 3] or [B, h, w, 3].
        size: pixels S a side.

    Returns:
        float32 [..., S, S, 3] in [0, 1].
    """
    image = tf.cast(image, tf.float32) / 255.0
    if image.shape[-3:-1].as_list() == [size, size]:
        return image
    image = tf.image.resize(image, (size, size), "bilinear", antialias=True)
    return tf.clip_by_value(image, 0.0, 1.0)


def check_form(found: Form, expected: Form, name: str) -> None:
    """Refuses an object whose records would have another form than those before.

    Args:
        found: form of the object.
        expected: form of the split so far.
        name: of the object.

    Raises:
        FormatError: naming what differs.
    """
    for field in Form._fields:
        have, want = getattr(found, field), getattr(expected, field)
        if have != want:
            raise FormatError(
                f"{name}: expected {field} {want}, as in the objects before; got "
                f"{have}. Objects of one data set must hold the same."
            )


def decode_arrays(record: bytes, form: Form) -> dict:
    """Decodes a record outside of a pipeline.

    Args:
        record: serialised example.
        form: of the split.

    Returns:
        dict as `parse_packed` with arrays: `images` uint8 [V, H, W, 3], `masks` uint8
        [V, H, W, 1] of 0 and 1, depths float32 [V, H, W, 1], `inputs` a list of bytes,
        names as text.
    """
    found = {key: value.numpy() for key, value in parse_packed(record, form).items()}
    size = form.image_size
    found["images"] = np.stack([decode_picture(p, size) for p in found["images"]])
    masks = np.stack([decode_picture(p, size, 1) for p in found["masks"]])
    found["masks"] = (masks > 0).astype(np.uint8)
    for name in ("depth", "hull_depth"):
        if name in found:
            found[name] = np.stack([decode_depth(p, size) for p in found[name]])
    if "inputs" in found:
        found["inputs"] = list(found["inputs"])
    return {k: v.decode() if isinstance(v, bytes) else v for k, v in found.items()}
