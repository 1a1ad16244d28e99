"""One training example: a picture, the voxels it shows and the pose.

Voxels are zlib bytes of one byte a voxel: small, and the quickest form to decode.
"""

import zlib
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from datasets.records import Schema
from datasets.rendernet.names import check_pose
from tfrender import io
from tfrender.io import FormatError

SCHEMA = Schema("rendernet", 1)
# Pixels of the picture along one voxel: grid 2 n, picture 4 times the grid.
PIXELS_PER_VOXEL = 8
_FEATURES = {
    "image": tf.io.FixedLenFeature([], tf.string),
    "voxels": tf.io.FixedLenFeature([], tf.string),
    "pose": tf.io.FixedLenFeature([3], tf.float32),
    "object": tf.io.FixedLenFeature([], tf.string),
}


def check_sizes(name: str, image_shape, voxels_shape) -> None:
    """Checks that a picture and its voxels belong together.

    Args:
        name: file for the message.
        image_shape: (H, W, C) of the picture.
        voxels_shape: shape of the grid.

    Raises:
        FormatError: naming the expected and the found size.
    """
    side = voxels_shape[0]
    if tuple(voxels_shape) != (side,) * 3:
        raise FormatError(
            f"{name}: expected a cubic grid; got {'x'.join(map(str, voxels_shape))}."
        )
    want = PIXELS_PER_VOXEL * side
    if tuple(image_shape[:2]) != (want, want):
        raise FormatError(
            f"{name}: expected a picture of {want}x{want} for {side}^3 voxels; got "
            f"{image_shape[1]}x{image_shape[0]}."
        )


def encode_example(
    image: np.ndarray, voxels: np.ndarray, pose, object_id: str, name: str = "example"
) -> bytes:
    """Serialises one example.

    Args:
        image: uint8 [8 n, 8 n, 1 or 3].
        voxels: bool [n, n, n] at (X, Y, Z).
        pose: azimuth in degrees, polar angle in degrees, radius.
        object_id: name of the object, the unit of every split.
        name: file for error messages.

    Returns:
        A serialised tf.train.Example.

    Raises:
        FormatError: sizes that do not belong together, a pose out of range.
    """
    check_sizes(name, image.shape, voxels.shape)
    check_pose(name, *pose)

    def of_bytes(value):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))

    features = {
        "image": of_bytes(tf.io.encode_png(image, compression=6).numpy()),
        "voxels": of_bytes(zlib.compress(voxels.astype(np.uint8).tobytes(), 6)),
        "pose": tf.train.Feature(float_list=tf.train.FloatList(value=pose)),
        "object": of_bytes(object_id.encode()),
    }
    example = tf.train.Example(features=tf.train.Features(feature=features))
    return example.SerializeToString()


def parse_example(
    record: tf.Tensor, resolution: int, channels: int
) -> Mapping[str, tf.Tensor]:
    """Decodes one example.

    Args:
        record: serialised example, scalar string.
        resolution: side n of the voxel grid.
        channels: 3, or 1 for the mean of red, green and blue.

    Returns:
        `image` uint8 [8 n, 8 n, 3] (float32 [8 n, 8 n, 1] of 0..255 for grey),
        `voxels` uint8 [n, n, n, 1], `pose` float32 [3], `object` string.
    """
    fields = tf.io.parse_single_example(record, _FEATURES)
    side = PIXELS_PER_VOXEL * resolution
    image = tf.io.decode_png(fields["image"], channels=3)
    image = tf.ensure_shape(image, [side, side, 3])
    if channels == 1:
        image = tf.reduce_mean(tf.cast(image, tf.float32), axis=-1, keepdims=True)
    raw = tf.io.decode_raw(tf.io.decode_compressed(fields["voxels"], "ZLIB"), tf.uint8)
    voxels = tf.reshape(raw, [resolution] * 3 + [1])
    return {
        "image": image,
        "voxels": voxels,
        "pose": fields["pose"],
        "object": fields["object"],
    }


def decode_arrays(record: bytes) -> tuple[np.ndarray, np.ndarray, np.ndarray, str]:
    """Decodes one example of unknown size, outside of a pipeline.

    Args:
        record: serialised example.

    Returns:
        image uint8 [H, W, C], voxels bool [n, n, n], pose [3], object id.
    """
    fields = tf.io.parse_single_example(record, _FEATURES)
    image = io.decode_image(fields["image"].numpy(), "record")
    raw = np.frombuffer(zlib.decompress(fields["voxels"].numpy()), np.uint8)
    side = round(raw.size ** (1 / 3))
    voxels = raw.reshape((side,) * 3).astype(bool)
    return image, voxels, fields["pose"].numpy(), fields["object"].numpy().decode()
