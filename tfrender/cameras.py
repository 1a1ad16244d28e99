"""The one camera convention, its constructors and converters.

World: right-handed, +Y up, front of an object towards -Z. Camera space is OpenGL's:
right-handed, x right, y up, the camera looks along -z. `world_to_camera` and
`projection` act on column vectors; clip space divides to NDC with x right, y up and
z in [-1, 1] from near to far. Pixel (row i, column j) has its centre at
(j + 0.5, i + 0.5), row 0 is at the top.

Scalars are accepted wherever [B] is written; a camera of batch 1 serves any batch of
points. Everything is differentiable in every float argument. Products of matrices
and points are written as sums, because GPUs run float32 `matmul` at reduced precision.
"""

import math
from typing import NamedTuple

import tensorflow as tf

from tfrender import checks
from tfrender.camera_rays import pixel_rays as pixel_rays
from tfrender.legacy_cameras import distort_points as distort_points
from tfrender.legacy_cameras import from_dvr as from_dvr
from tfrender.legacy_cameras import from_neural_renderer as from_neural_renderer
from tfrender.legacy_cameras import from_projection_matrix as from_projection_matrix
from tfrender.legacy_cameras import to_dvr as to_dvr
from tfrender.quaternion_cameras import (
    from_blender_extrinsic as from_blender_extrinsic,
)
from tfrender.quaternion_cameras import from_blender_position as from_blender_position
from tfrender.quaternion_cameras import from_quaternion as from_quaternion
from tfrender.quaternion_cameras import to_quaternion as to_quaternion

_TINY = 1e-8
_RENDERNET_RADIUS = 3.3  # at this distance RenderNet's scale is 1
_RENDERNET_FOV_DEG = 30.0


class Camera(NamedTuple):
    """A batch of cameras.

    Attributes:
        world_to_camera: [B, 4, 4] rigid transform into OpenGL camera space.
        projection: [B, 4, 4] camera space to clip space.
    """

    world_to_camera: tf.Tensor
    projection: tf.Tensor


RING_ELEVATION_DEG, RING_DISTANCE, RING_FOV_DEG = 30.0, 2.732, 30.0  # full angle


def look_at(eye, target=(0.0, 0.0, 0.0), up=(0.0, 1.0, 0.0)) -> tf.Tensor:
    """Places a camera by the point it stands at and the point it looks at.

    Args:
        eye: [B, 3] or [3] world position of the camera.
        target: [B, 3] or [3] point that appears in the image centre.
        up: [B, 3] or [3] direction that appears upwards. Where the view runs along it
            an axis across the view takes its place; where eye and target coincide the
            camera looks along -Z.

    Returns:
        [B, 4, 4] world_to_camera.

    Gradient: exact; finite also in the degenerate places.
    """
    eye, target, up = (_rows(value, 3) for value in (eye, target, up))
    backward = _unit(eye - target, (0.0, 0.0, 1.0))  # [B, 3]
    up = _unit(up, (0.0, 1.0, 0.0))
    # The world axis least along the view, for a view along `up`.
    spare = tf.one_hot(tf.argmin(tf.abs(backward), axis=-1), 3)
    side = _cross(up, backward)
    parallel = tf.reduce_sum(side**2, -1, keepdims=True) < 1e-10
    right = _unit(tf.where(parallel, _cross(spare, backward), side), (1.0, 0.0, 0.0))
    return _rigid(right, _cross(backward, right), backward, eye)


def orbit(azimuth_deg, elevation_deg, distance) -> tf.Tensor:
    """Places a camera on a sphere around the origin, looking at the origin.

    Args:
        azimuth_deg: [B] degrees; 0 in front of the object (camera on -Z), growing
            towards +X.
        elevation_deg: [B] degrees above the horizon; exact at the poles too.
        distance: [B] from the origin, world units.

    Returns:
        [B, 4, 4] world_to_camera with
        eye = distance * (cos el sin az, sin el, -cos el cos az).
    """
    azimuth, elevation = _radians(azimuth_deg), _radians(elevation_deg)
    sin_az, cos_az = tf.sin(azimuth), tf.cos(azimuth)
    sin_el, cos_el = tf.sin(elevation), tf.cos(elevation)
    backward = _stack(cos_el * sin_az, sin_el, -cos_el * cos_az)  # [B, 3]
    # From the angle itself, not from a cross product: defined straight above too.
    right = _stack(-cos_az, tf.zeros_like(azimuth), -sin_az)
    eye = _vector(distance)[:, tf.newaxis] * backward
    return _rigid(right, _cross(backward, right), backward, eye)


def perspective(fov_y_deg, aspect=1.0, near=0.1, far=100.0) -> tf.Tensor:
    """Builds a perspective projection.

    Args:
        fov_y_deg: [B] full vertical field of view, degrees in (0, 180).
        aspect: [B] image width over height.
        near: [B] distance of the near plane, above 0.
        far: [B] distance of the far plane, above near.

    Returns:
        [B, 4, 4]; clip w is the depth in front of the camera.
    """
    focal = 1.0 / tf.tan(_radians(fov_y_deg) / 2.0)
    near, far, aspect = _vector(near), _vector(far), _vector(aspect)
    return _matrix(
        (focal / aspect, 0.0, 0.0, 0.0),
        (0.0, focal, 0.0, 0.0),
        (0.0, 0.0, (far + near) / (near - far), 2.0 * far * near / (near - far)),
        (0.0, 0.0, -1.0, 0.0),
    )


def on_reconstruction_ring(azimuth_deg) -> Camera:
    """Builds a camera of single-image mesh reconstruction.

    Kato et al., "Neural 3D Mesh Renderer", 2018: all pictures are taken from a circle
    around the object (`RING_ELEVATION_DEG`, `RING_DISTANCE`, `RING_FOV_DEG`).

    Args:
        azimuth_deg: [B] or scalar, degrees; 0 in front of the object (camera on -Z),
            growing towards +X.

    Returns:
        Camera of batch B for a square picture.
    """
    return Camera(
        orbit(azimuth_deg, RING_ELEVATION_DEG, RING_DISTANCE),
        perspective(RING_FOV_DEG),
    )


def orthographic(half_height, aspect=1.0, near=0.1, far=100.0) -> tf.Tensor:
    """Builds an orthographic projection.

    Args:
        half_height: [B] world units from the image centre to its top edge.
        aspect: [B] image width over height.
        near: [B] distance of the near plane, may be negative.
        far: [B] distance of the far plane, above near.

    Returns:
        [B, 4, 4]; clip w is 1, depth comes from `view_depth`.
    """
    height, aspect = _vector(half_height), _vector(aspect)
    near, far = _vector(near), _vector(far)
    return _matrix(
        (1.0 / (height * aspect), 0.0, 0.0, 0.0),
        (0.0, 1.0 / height, 0.0, 0.0),
        (0.0, 0.0, 2.0 / (near - far), (far + near) / (near - far)),
        (0.0, 0.0, 0.0, 1.0),
    )


def from_opencv(intrinsics, rotation, translation, image_size, near, far) -> Camera:
    """Converts an OpenCV camera (x right, y down, z forward).

    Args:
        intrinsics: [B, 3, 3] K in pixels, (u, v, 1) ~ K (R p + t), where the pixel in
            column j covers j <= u < j + 1. For a K whose pixel centres lie on whole
            numbers add 0.5 to both entries of the principal point first.
        rotation: [B, 3, 3] world to camera.
        translation: [B, 3] world to camera.
        image_size: (height, width) in pixels.
        near: [B] distance of the near plane, above 0.
        far: [B] distance of the far plane.

    Returns:
        Camera.
    """
    k = _matrices(intrinsics, 3)
    height, width = float(image_size[0]), float(image_size[1])
    near, far = _vector(near), _vector(far)
    projection = _matrix(
        (
            2.0 * k[:, 0, 0] / width,
            -2.0 * k[:, 0, 1] / width,
            1.0 - 2.0 * k[:, 0, 2] / width,
            0.0,
        ),
        (0.0, 2.0 * k[:, 1, 1] / height, 2.0 * k[:, 1, 2] / height - 1.0, 0.0),
        (0.0, 0.0, (far + near) / (near - far), 2.0 * far * near / (near - far)),
        (0.0, 0.0, -1.0, 0.0),
    )
    flip = tf.constant([1.0, -1.0, -1.0])
    rotation = flip[:, tf.newaxis] * _matrices(rotation, 3)
    return Camera(_affine(rotation, flip * _rows(translation, 3)), projection)


def to_opencv(camera: Camera, image_size) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Converts a perspective camera to OpenCV's form; inverse of `from_opencv`.

    Args:
        camera: Camera with a perspective projection.
        image_size: (height, width) in pixels.

    Returns:
        intrinsics [B, 3, 3] (pixel centres at + 0.5), rotation [B, 3, 3] and
        translation [B, 3], world to camera.
    """
    height, width = float(image_size[0]), float(image_size[1])
    p = camera.projection
    intrinsics = _matrix(
        (
            p[:, 0, 0] * width / 2.0,
            -p[:, 0, 1] * width / 2.0,
            (1.0 - p[:, 0, 2]) * width / 2.0,
        ),
        (0.0, p[:, 1, 1] * height / 2.0, (1.0 + p[:, 1, 2]) * height / 2.0),
        (0.0, 0.0, 1.0),
    )
    flip = tf.constant([1.0, -1.0, -1.0])
    rotation = flip[:, tf.newaxis] * camera.world_to_camera[:, :3, :3]
    return intrinsics, rotation, flip * camera.world_to_camera[:, :3, 3]


def from_opengl(camera_to_world, projection) -> Camera:
    """Converts an OpenGL (Blender, NeRF) pose, camera to world.

    Args:
        camera_to_world: [B, 4, 4] rigid; columns are right, up, backward, eye.
        projection: [B, 4, 4] of `perspective` or `orthographic`.

    Returns:
        Camera.
    """
    pose = _matrices(camera_to_world, 4)
    right, up, backward, eye = tf.unstack(pose[:, :3, :], axis=-1)
    return Camera(_rigid(right, up, backward, eye), _matrices(projection, 4))


def from_rendernet(
    azimuth_deg,
    polar_deg,
    radius,
    projection: str = "orthographic",
    *,
    grid: int = 64,
    image_size: tuple[int, int] | None = None,
) -> Camera:
    """Builds the camera that agrees with RenderNet's resampled voxel grid.

    The `grid`^3 voxels fill the unit cube [-0.5, 0.5]^3 of the world, voxel (i, j, k)
    on axes X, Y, Z centred at (i + 0.5) / grid - 0.5 and so on. RenderNet resamples
    them into m = 2 * grid cells along each camera axis: cell (column c, row m - 1 - y,
    depth x, nearest last) takes the value at voxel index v with

        c = m / 2 + s r.(v - grid / 2),   y = m / 2 + s u.(v - grid / 2),

    s = 3.3 / radius, r right and u up. Voxel centres and cell centres both lie on whole
    numbers here while both images of the cube are centred half a step off, so that a
    world point p (v = grid p + grid / 2 - 0.5) appears at

        NDC x = s r.(p - o) + 1 / m,      o = (1, 1, 1) / (2 grid),

    and likewise in y. The camera is centred at o, not at the origin, and its image is
    shifted by half a cell. A cell covers 4x4 pixels of an image of 4 m pixels.

    Args:
        azimuth_deg: [B] degrees; 90 stands on +Z, 0 on +X.
        polar_deg: [B] degrees from +Y: 0 is straight above, 90 the horizon.
        radius: [B] camera distance, above 0.
        projection: "orthographic" as the grid itself, or "perspective": 30 degrees
            vertical field of view at distance `radius` from the same centre, with the
            same shift, as in RenderNet's published training images.
        grid: voxels along a side.
        image_size: (height, width), where the image is not square: the cells then keep
            their size and the image grows or shrinks sideways. None is a square.

    Returns:
        Camera with its near plane at 1% of the radius and its far plane at twice it.
    """
    checks.one_of("projection", projection, ("orthographic", "perspective"))
    azimuth, polar, radius = _radians(azimuth_deg), _radians(polar_deg), _vector(radius)
    sin_az, cos_az = tf.sin(azimuth), tf.cos(azimuth)
    sin_po, cos_po = tf.sin(polar), tf.cos(polar)
    toward = _stack(sin_po * cos_az, cos_po, sin_po * sin_az)  # [B, 3]
    right = _stack(sin_az, tf.zeros_like(azimuth), -cos_az)
    eye = radius[:, tf.newaxis] * toward + 0.5 / grid
    view = _rigid(right, _cross(toward, right), toward, eye)
    near, far = 0.01 * radius, 2.0 * radius
    aspect = 1.0 if image_size is None else image_size[1] / image_size[0]
    shift = 0.5 / grid
    if projection == "orthographic":
        matrix = orthographic(radius / _RENDERNET_RADIUS, aspect, near, far)
        column = 3  # adds the shift to NDC directly
    else:
        matrix = perspective(_RENDERNET_FOV_DEG, aspect, near, far)
        column, shift = 2, -shift  # w = -z: the division brings the shift back
    offset = tf.one_hot(column, 4) * shift
    rows = tf.stack([offset / aspect, offset, tf.zeros(4), tf.zeros(4)])  # [4, 4]
    return Camera(view, matrix + rows)


def transform(points: tf.Tensor, matrix: tf.Tensor) -> tf.Tensor:
    """Applies an affine transform to points.

    Args:
        points: [B, N, 3].
        matrix: [B, 4, 4] or [1, 4, 4]; the last row is not read.

    Returns:
        [B, N, 3].
    """
    matrix = matrix[:, tf.newaxis]  # [B, 1, 4, 4]
    return _product(matrix[..., :3, :3], points) + matrix[..., :3, 3]


def project_to_clip(camera: Camera, vertices: tf.Tensor) -> tf.Tensor:
    """Takes world points to clip space.

    Args:
        camera: Camera of batch B or 1.
        vertices: [B, V, 3] world coordinates.

    Returns:
        [B, V, 4].
    """
    checks.dims("vertices", vertices, None, 3)
    points = transform(vertices, camera.world_to_camera)
    matrix = camera.projection[:, tf.newaxis]
    return _product(matrix[..., :3], points) + matrix[..., 3]


def view_depth(camera: Camera, vertices: tf.Tensor) -> tf.Tensor:
    """Planar depth in front of the camera, for every projection.

    Args:
        camera: Camera of batch B or 1.
        vertices: [B, V, 3] world coordinates.

    Returns:
        [B, V], world units, negative behind the camera.
    """
    return -transform(vertices, camera.world_to_camera)[..., 2]


def clip_to_pixel(clip: tf.Tensor, image_size) -> tf.Tensor:
    """Takes clip coordinates to pixels.

    Args:
        clip: [B, V, 4].
        image_size: (height, width).

    Returns:
        [B, V, 2] (x, y), x to the right and y down from the top left corner of the
        image. Points on or behind the camera plane (w <= 0) have no pixel: they get
        the place of their (x, y) at w = 1e-8, finite and far outside.
    """
    height, width = image_size
    ndc = clip[..., :2] / tf.maximum(clip[..., 3:], _TINY)
    flip = tf.constant([width / 2, -height / 2], tf.float32)
    return ndc * flip + tf.constant([width / 2, height / 2], tf.float32)


def _vector(value) -> tf.Tensor:
    """Makes a [B] float32 vector of a scalar or a vector."""
    return tf.reshape(tf.cast(value, tf.float32), [-1])


def _radians(degrees) -> tf.Tensor:
    return _vector(degrees) * (math.pi / 180.0)


def _rows(value, size: int) -> tf.Tensor:
    """Makes [B, size] float32 of [size] or [B, size]."""
    value = tf.cast(value, tf.float32)
    return tf.reshape(value, [-1, size])


def _matrices(value, size: int) -> tf.Tensor:
    """Makes [B, size, size] float32 of one matrix or a batch."""
    return tf.reshape(tf.cast(value, tf.float32), [-1, size, size])


def _stack(*columns) -> tf.Tensor:
    """Joins [B] and [1] columns to [B, n]."""
    batch = sum(columns[1:], columns[0])
    return tf.stack([tf.broadcast_to(c, tf.shape(batch)) for c in columns], axis=-1)


def _matrix(*rows) -> tf.Tensor:
    """Builds [B, n, m] of rows of numbers and [B] or [1] vectors."""
    entries = [_vector(entry) for row in rows for entry in row]
    return tf.reshape(_stack(*entries), [-1, len(rows), len(rows[0])])


def _product(matrix, points):
    """Sums matrix [B, 1, n, 3] times points [B, N, 3] to [B, N, n]."""
    return tf.reduce_sum(matrix * points[..., tf.newaxis, :], axis=-1)


def _cross(a, b):
    a0, a1, a2 = tf.unstack(a, axis=-1)
    b0, b1, b2 = tf.unstack(b, axis=-1)
    return tf.stack([a1 * b2 - a2 * b1, a2 * b0 - a0 * b2, a0 * b1 - a1 * b0], axis=-1)


def _unit(vector, spare):
    """Normalises [B, 3]; vectors of no length become `spare`, with no gradient."""
    square = tf.reduce_sum(vector**2, axis=-1, keepdims=True)
    short = square < _TINY**2
    length = tf.sqrt(tf.where(short, 1.0, square))
    return tf.where(short, tf.constant(spare), vector / length)


def _affine(rotation, translation):
    """Joins rotation [B, 3, 3] and translation [B, 3] to [B, 4, 4]."""
    batch = tf.maximum(tf.shape(rotation)[0], tf.shape(translation)[0])
    top = tf.concat(
        [
            tf.broadcast_to(rotation, [batch, 3, 3]),
            tf.broadcast_to(translation, [batch, 3])[..., tf.newaxis],
        ],
        axis=-1,
    )
    bottom = tf.broadcast_to(tf.constant([[[0.0, 0.0, 0.0, 1.0]]]), [batch, 1, 4])
    return tf.concat([top, bottom], axis=1)


def _rigid(right, up, backward, eye):
    """World to camera of three unit axes [B, 3] and a position [B, 3]."""
    batch = right + up + backward + eye
    axes = [tf.broadcast_to(axis, tf.shape(batch)) for axis in (right, up, backward)]
    rotation = tf.stack(axes, axis=1)  # [B, 3, 3], rows are the camera's axes
    return _affine(rotation, -tf.reduce_sum(rotation * eye[:, tf.newaxis], axis=-1))


def crop(
    camera: Camera, image_size: tuple[int, int], box: tuple[int, int, int, int]
) -> Camera:
    """Camera that sees a part of another camera's picture, pixel for pixel.

    Args:
        camera: Camera of batch B.
        image_size: (height, width) of the whole picture.
        box: (top, left, height, width) of the part in pixels.

    Returns:
        Camera of batch B for a picture of (box height, box width).
    """
    (height, width), (top, left, box_height, box_width) = image_size, box
    x = (2 * left + box_width) / width - 1.0
    y = 1.0 - (2 * top + box_height) / height
    rows = tf.unstack(camera.projection, axis=1)  # 4 of [B, 4]
    rows[0] = (rows[0] - x * rows[3]) * (width / box_width)
    rows[1] = (rows[1] - y * rows[3]) * (height / box_height)
    return Camera(camera.world_to_camera, tf.stack(rows, axis=1))
