"""Cameras of DPC and DRWR, as cameras of this library.

Users reach these functions through `tfrender.cameras`.

Their camera space has the axes (depth, up, right): with r = R(q) p, a point is seen at
depth r_0 + distance, and at X = f r_2 / depth, Y = f r_1 / depth of a picture that
reaches from -0.5 to 0.5, X to the right, Y up. In numbers that is (r_2, r_1,
-(r_0 + distance)) of our camera space, and half of our NDC. Insafutdinov and
Dosovitskiy, NeurIPS 2018; Han et al., ICML 2020.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tfrender import cameras, checks
from tfrender.quaternions import matrix_to_quaternion, quaternion_to_matrix

FOCAL_LENGTH = 1.875  # a 60 mm lens on a 32 mm sensor
DISTANCE = 2.0
_NEAR, _FAR = 0.1, 100.0


def from_quaternion(
    quaternion,
    translation=None,
    *,
    focal_length=FOCAL_LENGTH,
    distance=DISTANCE,
) -> cameras.Camera:
    """Converts a camera given as a rotation of the object.

    Args:
        quaternion: [B, 4] (w, x, y, z) of any length above 0; the rows of its matrix
            are the directions forward, up and right.
        translation: [B, 3] (depth, up, right), added after the rotation, or None.
        focal_length: [B] in widths of the (square) picture, above 0.
        distance: [B] from the camera to the origin of the object.

    Returns:
        Camera of a square picture.

    Gradient: exact in every argument.

    Raises:
        ValueError: for a wrong shape; outside a graph also for a quaternion of no
            length and for numbers that are not finite.
    """
    quaternion = tf.reshape(_float("quaternion", quaternion, 4), [-1, 4])
    _check_rotation(quaternion)
    move = tf.zeros([1, 3]) if translation is None else translation
    move = tf.reshape(_float("translation", move, 3), [-1, 3])
    depth, up, right = tf.unstack(move, axis=-1)
    distance = tf.reshape(tf.cast(distance, tf.float32), [-1])
    focal = tf.reshape(tf.cast(focal_length, tf.float32), [-1])
    _check_finite("translation", move)
    _check_finite("distance", distance)
    _check_finite("focal_length", focal, above=0.0)
    depth += distance
    rows = quaternion_to_matrix(quaternion)[:, ::-1] * tf.constant([[1.0], [1], [-1]])
    batch = depth + up + right + focal + quaternion[:, 0]  # only for its size
    move = tf.stack([_as(right, batch), _as(up, batch), _as(-depth, batch)], axis=-1)
    rows = tf.broadcast_to(rows, tf.stack([tf.shape(batch)[0], 3, 3]))
    bottom = tf.broadcast_to(
        tf.constant([[[0.0, 0.0, 0.0, 1.0]]]), tf.stack([tf.shape(batch)[0], 1, 4])
    )
    view = tf.concat([tf.concat([rows, move[..., tf.newaxis]], axis=-1), bottom], 1)
    return cameras.Camera(view, _lens(focal_length, view))


def to_quaternion(camera: cameras.Camera) -> tf.Tensor:
    """The rotation of a camera, as `from_quaternion` takes it.

    Args:
        camera: Camera of batch B; its place and lens are not read.

    Returns:
        [B, 4] unit (w, x, y, z), w >= 0.

    Gradient: exact for rotations.
    """
    rows = camera.world_to_camera[:, :3, :3] * tf.constant([[1.0], [1], [-1]])
    return matrix_to_quaternion(rows[:, ::-1])


def from_blender_position(position, *, focal_length=FOCAL_LENGTH) -> cameras.Camera:
    """Builds the camera at a place of the renders of DPC and DRWR.

    Their renders were made in a world with z up, into which objects (y up) are imported
    as (x, -z, y): the camera at (a, b, c) stands at (a, c, -b) of the object's
    coordinates and looks at the origin, up being +Y. Straight above or below, where the
    original divides by 0, an axis across the view takes the place of up.

    Args:
        position: [B, 3] or [3], `pos` of a camera file.
        focal_length: [B] in widths of the picture.

    Returns:
        Camera of a square picture.

    Gradient: exact.

    Raises:
        ValueError: for a wrong shape; outside a graph also for a camera at the origin
            and for numbers that are not finite.
    """
    place = tf.reshape(_float("position", position, 3), [-1, 3])
    if tf.executing_eagerly():
        length = np.linalg.norm(place.numpy(), axis=-1)
        if not (np.isfinite(length) & (length > 1e-6)).all():
            raise ValueError(
                "`position` must be finite and not the origin; got "
                f"{place.numpy()[~(np.isfinite(length) & (length > 1e-6))][0]}."
            )
    a, b, c = tf.unstack(place, axis=-1)
    view = cameras.look_at(tf.stack([a, c, -b], axis=-1))
    return cameras.Camera(view, _lens(focal_length, view))


def from_blender_extrinsic(extrinsic, focal_length=FOCAL_LENGTH) -> cameras.Camera:
    """Reads the matrices of camera files as DPC and DRWR do without quaternions.

    Theirs have the axes of a computer-vision camera (x right, y down, z forward) and an
    object imported as (-x, z, y). Of a matrix made for a camera that stands where `pos`
    says and looks at the origin, this is not the camera of `from_blender_position`: the
    two agree only where the file describes the azimuth turned by 180 degrees. Whether
    the published files do could not be checked, so take `from_blender_position` where
    there is a `pos`. As released, the translation along y keeps its sign while its axis
    is turned; it is 0 for every camera that looks at the origin.

    Args:
        extrinsic: [B, 4, 4] or [4, 4], `extrinsic` of a camera file; of its last row
            the last number is read.
        focal_length: [B] in widths of the picture.

    Returns:
        Camera of a square picture.

    Gradient: exact.

    Raises:
        ValueError: for a wrong shape; outside a graph also for numbers that are not
            finite.
    """
    matrix = tf.cast(extrinsic, tf.float32)
    checks.dims("extrinsic", matrix, 4, 4)
    if tf.executing_eagerly() and not np.isfinite(matrix.numpy()).all():
        raise ValueError("`extrinsic` must be finite; got numbers that are not.")
    matrix = tf.reshape(matrix, [-1, 4, 4])
    # Columns of our x, y and z, and the translation; rows right, up and -depth.
    matrix = tf.gather(matrix, [0, 2, 1, 3], axis=2)
    view = matrix * tf.constant(_EXTRINSIC_SIGNS)
    return cameras.Camera(view, _lens(focal_length, view))


# Of the columns -x, z, y of theirs; 0 where nothing is read.
_EXTRINSIC_SIGNS = np.array(
    [[-1, 1, 1, 1], [1, -1, -1, 1], [1, -1, -1, -1], [0, 0, 0, 1]], np.float32
)


def _lens(focal_length, view):
    """[B, 4, 4] of a focal length in widths of the picture, for these views."""
    focal = tf.reshape(tf.cast(focal_length, tf.float32), [-1])
    focal = tf.broadcast_to(focal, tf.shape(view)[:1])
    scale = tf.stack([focal, focal, tf.ones_like(focal), tf.ones_like(focal)], -1)
    base = cameras.perspective(90.0, 1.0, _NEAR, _FAR)
    return base * (2.0 * scale * _LENS_ROWS + 1.0 - _LENS_ROWS)[..., tf.newaxis]


_LENS_ROWS = np.array([1.0, 1.0, 0.0, 0.0], np.float32)  # of x and y


def _float(name, value, size):
    value = tf.cast(value, tf.float32)
    checks.dims(name, value, size)
    return value


def _as(vector, batch):
    return tf.broadcast_to(vector, tf.shape(batch))


def _check_rotation(quaternion):
    """Refuses what is no rotation, where it can be seen."""
    if not tf.executing_eagerly():
        return
    values = quaternion.numpy()
    length = np.linalg.norm(values, axis=-1)
    wrong = ~(np.isfinite(length) & (length > 1e-12))
    if wrong.any():
        raise ValueError(
            "`quaternion` must be finite and longer than 0; got "
            f"{values[wrong][0].tolist()} at {int(np.flatnonzero(wrong)[0])}."
        )


def _check_finite(name, value, above=None):
    """Refuses numbers that are not finite, or not above a bound, where seen."""
    if not tf.executing_eagerly():
        return
    numbers = value.numpy()
    wrong = ~np.isfinite(numbers)
    if above is not None:
        wrong |= ~(numbers > above)
    if wrong.any():
        bound = "" if above is None else f" and above {above:g}"
        raise ValueError(f"`{name}` must be finite{bound}; got {numbers[wrong][0]}.")
