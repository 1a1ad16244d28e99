"""One record: an object with its views.

Pictures are PNG, masks PNG of one bit, squared distances PNG of 16 bits, depths PNG of
16 bits as in the published renders (65535 is 10 units or nothing), points on the masks
fixed point numbers of 16 bits. What every record of a split holds stands in its sidecar
(`Form`).
"""

import io as io_bytes
import zlib
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from datasets.drwr import silhouettes
from datasets.records import Schema
from tfrender.io import FormatError

SCHEMA = Schema("drwr", 1)
FARTHEST = 10.0  # depth of the level 65535, which is the background
NO_CONTOUR = 1000.0  # distance where a mask is empty or full
_LEVELS = 65535
_STEPS = 65536.0  # of a coordinate across the frame


class Form(NamedTuple):
    """What every record of a split holds.

    Attributes:
        image_size: (height, width) of the pictures.
        views: views V of an object.
        depth: whether there are depths.
        sample_points: points P on each mask; 0 for none.
    """

    image_size: tuple[int, int]
    views: int
    depth: bool
    sample_points: int


class ObjectViews(NamedTuple):
    """An object as arrays.

    Attributes:
        name: CLASS/OBJECT.
        class_id: id of the class.
        images: uint8 [V, H, W, 3] on white.
        masks: bool [V, H, W].
        squared_distance: uint16 [V, H, W], see `silhouettes.squared_distance`.
        world_to_camera: float32 [V, 4, 4].
        projection: float32 [V, 4, 4].
        numbers: of the V views.
        depth: float32 [V, H, W] planar, 0 where empty, or None.
        samples: float32 [V, P, 2] frame coordinates, or None.
        extrinsic: float32 [V, 4, 4] as the renders had it, or None; nothing reads it.
    """

    name: str
    class_id: str
    images: np.ndarray
    masks: np.ndarray
    squared_distance: np.ndarray
    world_to_camera: np.ndarray
    projection: np.ndarray
    numbers: list[int]
    depth: np.ndarray | None = None
    samples: np.ndarray | None = None
    extrinsic: np.ndarray | None = None


def form_of(item: ObjectViews) -> Form:
    """Form of the record of an object."""
    return Form(
        tuple(item.masks.shape[1:]),
        len(item.masks),
        item.depth is not None,
        0 if item.samples is None else item.samples.shape[1],
    )


def check_form(expected: Form, found: Form, name: str) -> None:
    """Refuses an object that differs from those before it.

    Args:
        expected: of the first object.
        found: of this one.
        name: of this one.

    Raises:
        FormatError: naming what differs.
    """
    for word, first, own in zip(Form._fields, expected, found, strict=True):
        if first != own:
            raise FormatError(
                f"{name}: expected {word.replace('_', ' ')} {first}, as the objects "
                f"before it have; got {own}."
                + " --views=N takes the first N of each."
                * (word == "views")
            )


def with_silhouettes(
    item: ObjectViews, sample_points: int, sample_mode: str, seed
) -> ObjectViews:
    """Adds distance pictures and points to an object.

    Args:
        item: with masks.
        sample_points: points on each mask; 0 for none.
        sample_mode: see `silhouettes.sample_points`.
        seed: list of integers.

    Returns:
        The object; without points where one of its masks is empty.
    """
    squared = np.stack([silhouettes.squared_distance(mask) for mask in item.masks])
    samples = None
    if sample_points and item.masks.any((1, 2)).all():
        samples = np.stack(
            [
                silhouettes.sample_points(mask, sample_points, sample_mode, [*seed, k])
                for k, mask in enumerate(item.masks)
            ]
        )
    return item._replace(squared_distance=squared, samples=samples)


def encode_example(item: ObjectViews) -> bytes:
    """Serialises an object.

    Args:
        item: the object.

    Returns:
        A serialised tf.train.Example.

    Raises:
        FormatError: arrays of different sizes, or an empty name.
    """
    shape = item.masks.shape
    for word, array, wanted in (
        ("images", item.images, (*shape, 3)),
        ("squared distance", item.squared_distance, shape),
        ("world_to_camera", item.world_to_camera, (len(shape) and shape[0], 4, 4)),
        ("projection", item.projection, (shape[0], 4, 4)),
    ):
        if array.shape != wanted:
            raise FormatError(
                f"{item.name}: expected {word} {list(wanted)}; got {list(array.shape)}."
            )
    if not item.class_id or not item.name:
        raise FormatError(
            f"expected a class and a name; got {item.class_id!r}, {item.name!r}."
        )
    features = {
        "object": _bytes([item.name.encode()]),
        "class": _bytes([item.class_id.encode()]),
        "views": tf.train.Feature(int64_list=tf.train.Int64List(value=item.numbers)),
        "images": _bytes(map(_png, item.images)),
        "masks": _bytes(_png_of_bits(mask) for mask in item.masks),
        "squared_distance": _bytes(_png(d) for d in item.squared_distance),
        "world_to_camera": _floats(item.world_to_camera),
        "projection": _floats(item.projection),
    }
    if item.depth is not None:
        features["depth"] = _bytes(_png(depth_levels(d)) for d in item.depth)
    if item.samples is not None:
        packed = ((item.samples + 0.5) * _STEPS).round().clip(0, _LEVELS)
        features["samples"] = _bytes(
            zlib.compress(points.astype("<u2").tobytes()) for points in packed
        )
    if item.extrinsic is not None:
        features["extrinsic"] = _floats(item.extrinsic)
    example = tf.train.Example(features=tf.train.Features(feature=features))
    # Fields in one order, so that the same data give the same bytes.
    return example.SerializeToString(deterministic=True)


def depth_levels(depth: np.ndarray) -> np.ndarray:
    """Depths as 16-bit levels of the published renders.

    Args:
        depth: float [H, W] planar, 0 where empty.

    Returns:
        uint16 [H, W], 65535 where empty.
    """
    levels = np.rint(depth.clip(0.0, FARTHEST) / FARTHEST * _LEVELS)
    return np.where(depth > 0.0, levels, _LEVELS).astype(np.uint16)


def depth_of_levels(levels: np.ndarray) -> np.ndarray:
    """Inverse of `depth_levels`; float32."""
    depth = levels.astype(np.float32) * np.float32(FARTHEST / _LEVELS)
    return np.where(levels == _LEVELS, np.float32(0.0), depth)


def _bytes(values):
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=list(values)))


def _floats(array):
    values = np.ravel(array).tolist()
    return tf.train.Feature(float_list=tf.train.FloatList(value=values))


def _png(picture: np.ndarray) -> bytes:
    """PNG of [H, W] or [H, W, 3]."""
    if picture.ndim == 2:
        picture = picture[..., np.newaxis]
    return tf.io.encode_png(picture, compression=6).numpy()


def _png_of_bits(mask: np.ndarray) -> bytes:
    """PNG of one bit a pixel."""
    from PIL import Image

    stream = io_bytes.BytesIO()
    Image.fromarray(mask).save(stream, format="PNG", bits=1)
    return stream.getvalue()


def parse_packed(record: tf.Tensor, form: Form) -> Mapping[str, tf.Tensor]:
    """Takes a record apart and decodes nothing.

    Args:
        record: serialised example, scalar string.
        form: of the split.

    Returns:
        dict: `object`, `class` scalar strings; `views` int32 [V]; `images`, `masks`,
        `squared_distance` and, where the form has them, `depth`, `samples` strings [V];
        `world_to_camera`, `projection` float32 [V, 4, 4].
    """
    count = form.views
    names = ["images", "masks", "squared_distance"]
    names += ["depth"] * form.depth + ["samples"] * bool(form.sample_points)
    features = {
        "object": tf.io.FixedLenFeature([], tf.string),
        "class": tf.io.FixedLenFeature([], tf.string),
        "views": tf.io.FixedLenFeature([count], tf.int64),
        "world_to_camera": tf.io.FixedLenFeature([count, 4, 4], tf.float32),
        "projection": tf.io.FixedLenFeature([count, 4, 4], tf.float32),
        **{name: tf.io.FixedLenFeature([count], tf.string) for name in names},
    }
    found = tf.io.parse_single_example(record, features)
    return {**found, "views": tf.cast(found["views"], tf.int32)}


def decode_image(png: tf.Tensor, form: Form, size: int = 0) -> tf.Tensor:
    """Decodes a picture.

    Args:
        png: scalar string.
        form: of the split.
        size: pixels I a side that are wanted; 0 for those of the form.

    Returns:
        uint8 [I, I, 3], averaged where it shrinks.
    """
    image = tf.ensure_shape(tf.io.decode_png(png, channels=3), (*form.image_size, 3))
    if not size or (size, size) == tuple(form.image_size):
        return image
    image = tf.image.resize(image, (size, size), antialias=True)
    return tf.cast(tf.round(tf.clip_by_value(image, 0.0, 255.0)), tf.uint8)


def decode_mask(png: tf.Tensor, form: Form) -> tf.Tensor:
    """Decodes a mask: uint8 [H, W, 1] of 0 and 1."""
    mask = tf.io.decode_png(png, channels=1)
    return tf.minimum(tf.ensure_shape(mask, (*form.image_size, 1)), 1)


def decode_squared_distance(png: tf.Tensor, form: Form) -> tf.Tensor:
    """Decodes a picture of squared distances: uint16 [H, W, 1]."""
    found = tf.io.decode_png(png, channels=1, dtype=tf.uint16)
    return tf.ensure_shape(found, (*form.image_size, 1))


def pixel_distance(squared: tf.Tensor) -> tf.Tensor:
    """Distances of squared ones.

    Args:
        squared: uint16 of any shape.

    Returns:
        float32 of that shape, pixels; 1000 where there is no other kind.
    """
    # There is no direct cast of uint16 on every device.
    root = tf.sqrt(tf.cast(tf.cast(squared, tf.int32), tf.float32))
    none = tf.equal(squared, tf.constant(silhouettes.NOTHING, tf.uint16))
    return tf.where(none, NO_CONTOUR, root)


def decode_samples(packed: tf.Tensor, form: Form) -> tf.Tensor:
    """Unpacks the points on a mask: uint16 [P, 2]; see `frame_coordinates`."""
    raw = tf.io.decode_compressed(packed, "ZLIB")
    found = tf.io.decode_raw(raw, tf.uint16, little_endian=True)
    return tf.reshape(found, [form.sample_points, 2])


def frame_coordinates(steps: tf.Tensor) -> tf.Tensor:
    """Frame coordinates, float32, of fixed point numbers."""
    return tf.cast(tf.cast(steps, tf.int32), tf.float32) / _STEPS - 0.5


def decode_arrays(record: bytes, form: Form) -> ObjectViews:
    """Decodes an object outside of a pipeline.

    Args:
        record: serialised example.
        form: of the split.

    Returns:
        `ObjectViews`; `extrinsic` is None where the record has none.
    """
    found = parse_packed(tf.constant(record), form)
    depth = samples = None
    if form.depth:
        levels = [decode_squared_distance(p, form)[..., 0] for p in found["depth"]]
        depth = depth_of_levels(np.stack(levels))
    if form.sample_points:
        unpacked = [decode_samples(p, form) for p in found["samples"]]
        samples = frame_coordinates(tf.stack(unpacked)).numpy()
    extrinsic = tf.train.Example.FromString(record).features.feature["extrinsic"]
    extrinsic = np.array(extrinsic.float_list.value, np.float32).reshape(-1, 4, 4)
    masks = np.stack([decode_mask(p, form)[..., 0] for p in found["masks"]])
    squared = [
        decode_squared_distance(p, form)[..., 0] for p in found["squared_distance"]
    ]
    return ObjectViews(
        found["object"].numpy().decode(),
        found["class"].numpy().decode(),
        np.stack([decode_image(png, form) for png in found["images"]]),
        masks.astype(bool),
        np.stack(squared),
        found["world_to_camera"].numpy(),
        found["projection"].numpy(),
        found["views"].numpy().tolist(),
        depth,
        samples,
        extrinsic if len(extrinsic) else None,
    )
