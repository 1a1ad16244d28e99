"""One object: its 24 pictures, its voxels, its class and its name.

Pictures are PNG with alpha, in natural colours on black: red, green and blue are
multiplied by alpha. The published ones are kept as they are; their example pictures lie
on black too, but are not multiplied at the edges. Voxels are one bit each.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from datasets.mesh_reconstruction.views import IMAGE_SIZE, VIEWS, VOXELS
from datasets.records import Schema
from tfrender.io import FormatError

SCHEMA = Schema("mesh_reconstruction", 1)
IMAGES_SHAPE = (VIEWS, IMAGE_SIZE, IMAGE_SIZE, 4)
VOXELS_SHAPE = (VOXELS,) * 3
# What a black background may hold: the published example pictures have a few bright
# pixels there, and colours at edges that are not multiplied by alpha.
_DARK = 8
_STRAY_SHARE = 0.01
_FEATURES = {
    "images": tf.io.FixedLenFeature([VIEWS], tf.string),
    "voxels": tf.io.FixedLenFeature([], tf.string),
    "class": tf.io.FixedLenFeature([], tf.string),
    "object": tf.io.FixedLenFeature([], tf.string),
}


class Example(NamedTuple):
    """An object as arrays.

    Attributes:
        images: uint8 [24, 64, 64, 4] RGBA on black, view k at azimuth 15 k degrees.
        voxels: bool [32, 32, 32] at (X, Y, Z) of the cube [-0.5, 0.5]^3.
        class_id: id of the class.
        object_id: name of the object.
    """

    images: np.ndarray
    voxels: np.ndarray
    class_id: str
    object_id: str


def encode_example(
    images: np.ndarray, voxels: np.ndarray, class_id: str, object_id: str
) -> bytes:
    """Serialises one object.

    Args:
        images: uint8 [24, 64, 64, 4] RGBA on black.
        voxels: bool [32, 32, 32] at (X, Y, Z).
        class_id: id of the class.
        object_id: name of the object, the unit of every split.

    Returns:
        A serialised tf.train.Example.

    Raises:
        FormatError: another shape or type, or an empty name.
    """
    for word, array, shape, dtype in (
        ("images", images, IMAGES_SHAPE, np.uint8),
        ("voxels", voxels, VOXELS_SHAPE, np.bool_),
    ):
        if array.shape != shape or array.dtype != dtype:
            raise FormatError(
                f"{object_id}: expected {word} {np.dtype(dtype)} {list(shape)}; got "
                f"{array.dtype} {list(array.shape)}."
            )
    if not class_id or not object_id:
        raise FormatError(
            f"expected a class and a name; got {class_id!r}, {object_id!r}."
        )
    pictures = [tf.io.encode_png(image, compression=6).numpy() for image in images]

    def of_bytes(*values):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))

    features = {
        "images": of_bytes(*pictures),
        "voxels": of_bytes(np.packbits(voxels).tobytes()),
        "class": of_bytes(class_id.encode()),
        "object": of_bytes(object_id.encode()),
    }
    example = tf.train.Example(features=tf.train.Features(feature=features))
    return example.SerializeToString()


def check_pictures(images: np.ndarray, path: str, name: str) -> None:
    """Refuses pictures that show no object, or one that does not lie on black.

    Args:
        images: uint8 [24, 64, 64, 4] RGBA.
        path: of the file that they come from.
        name: of the object.

    Raises:
        FormatError: a mask is empty, or more than 1 % of a picture is coloured where
            alpha is 0; file, object and view are named.
    """
    empty = images[..., 3] == 0
    unseen = np.flatnonzero(empty.all((1, 2)))
    if len(unseen):
        raise FormatError(
            f"{path}: expected an object in each picture; view {unseen[0]} of {name} "
            "has an empty mask."
        )
    lit = (images[..., :3] > _DARK).any(-1) & empty
    bright = np.flatnonzero(lit.mean((1, 2)) > _STRAY_SHARE)
    if len(bright):
        raise FormatError(
            f"{path}: expected colours on black; view {bright[0]} of {name} has "
            f"{lit[bright[0]].sum()} coloured pixels where alpha is 0."
        )


def parse_packed(records: tf.Tensor) -> Mapping[str, tf.Tensor]:
    """Takes records apart and decodes nothing.

    Args:
        records: serialised examples, [N] strings.

    Returns:
        `images` [N, 24] strings of PNG, `voxels` [N] packed bits, `class` and `object`
        [N] strings.
    """
    return tf.io.parse_example(records, _FEATURES)


def decode_view(png: tf.Tensor) -> tf.Tensor:
    """Decodes a picture.

    Args:
        png: scalar string.

    Returns:
        float32 [64, 64, 4] in [0, 1], RGBA on black.
    """
    image = tf.io.decode_png(png, channels=4)
    image = tf.ensure_shape(image, IMAGES_SHAPE[1:])
    return tf.cast(image, tf.float32) / 255.0


def unpack_voxels(packed: tf.Tensor) -> tf.Tensor:
    """Unpacks voxels.

    Args:
        packed: scalar string of bits, the highest of each byte first.

    Returns:
        uint8 [32, 32, 32] of 0 and 1.
    """
    octets = tf.io.decode_raw(packed, tf.uint8)[:, tf.newaxis]
    shifts = tf.range(7, -1, -1)
    bits = tf.bitwise.right_shift(octets, tf.cast(shifts, tf.uint8))
    return tf.reshape(
        tf.bitwise.bitwise_and(bits, tf.constant(1, tf.uint8)), VOXELS_SHAPE
    )


def parse_example(record: tf.Tensor) -> Mapping[str, tf.Tensor]:
    """Decodes one object, all of it.

    Args:
        record: serialised example, scalar string.

    Returns:
        `images` uint8 [24, 64, 64, 4], `voxels` uint8 [32, 32, 32], `class` and
        `object` scalar strings.
    """
    fields = tf.io.parse_single_example(record, _FEATURES)
    images = tf.map_fn(
        lambda png: tf.io.decode_png(png, channels=4),
        fields["images"],
        fn_output_signature=tf.TensorSpec(IMAGES_SHAPE[1:], tf.uint8),
    )
    voxels = unpack_voxels(fields["voxels"])
    return {**fields, "images": images, "voxels": voxels}


def decode_arrays(record: bytes) -> Example:
    """Decodes one object outside of a pipeline.

    Args:
        record: serialised example.

    Returns:
        `Example`.
    """
    fields = parse_example(record)
    return Example(
        fields["images"].numpy(),
        fields["voxels"].numpy().astype(bool),
        fields["class"].numpy().decode(),
        fields["object"].numpy().decode(),
    )
