"""Cameras of the mesh renderers that came before, as cameras of this library.

Users reach these functions through `tfrender.cameras`.

The Neural 3D Mesh Renderer and Soft Rasterizer look along +z of their camera space, y
up, and put x on the side where a right-handed viewer has it on the left: their pictures
are mirror images. Here the view is the right-handed OpenGL one and the projection has a
negative x scale, so that the picture is theirs, mirrored as it is. In numbers, their
camera coordinates are (-x, y, -z) of ours. A mirrored picture turns the winding round:
a face that is counter-clockwise seen from outside is clockwise in it.
"""

from __future__ import annotations

import tensorflow as tf

from tfrender import cameras, checks


def from_neural_renderer(
    eye,
    *,
    at=(0.0, 0.0, 0.0),
    direction=None,
    up=(0.0, 1.0, 0.0),
    viewing_angle_deg=30.0,
    viewing_scale=None,
    near=0.1,
    far=100.0,
) -> cameras.Camera:
    """Converts a camera of the Neural 3D Mesh Renderer or of Soft Rasterizer.

    Differs from the originals by parts in 1e5: they add 1e-5 to (or bound by it) every
    length they divide by, so that their rotations are a little short.

    Args:
        eye: [B, 3] or [3] world position of the camera.
        at: [B, 3] or [3] point in the image centre; their camera mode "look_at".
        direction: [B, 3] or [3] that the camera looks along instead, any length above
            0; their camera mode "look". None looks at `at`.
        up: [B, 3] or [3] direction that appears upwards. Where the view runs along it
            an axis across the view takes its place.
        viewing_angle_deg: [B] half of the field of view, degrees in (0, 90).
        viewing_scale: [B] NDC a world unit of an orthographic picture; 1 is their
            perspective=False. None is a perspective picture.
        near: [B] distance of the near plane; above 0 with perspective.
        far: [B] distance of the far plane.

    Returns:
        Camera of a square picture; `cameras.crop` makes it wider or higher.

    Gradient: exact in every argument.
    """
    eye = tf.reshape(tf.cast(eye, tf.float32), [-1, 3])
    target = at
    if direction is not None:
        way = tf.reshape(tf.cast(direction, tf.float32), [-1, 3])
        # Of length 1, so that a direction of any length survives next to a far eye.
        target = eye + tf.math.l2_normalize(way, axis=-1, epsilon=1e-16)
    if viewing_scale is None:
        angle = 2.0 * tf.cast(viewing_angle_deg, tf.float32)
        projection = cameras.perspective(angle, 1.0, near, far)
    else:
        half_height = 1.0 / tf.cast(viewing_scale, tf.float32)
        projection = cameras.orthographic(half_height, 1.0, near, far)
    mirror = tf.constant([[-1.0], [1.0], [1.0], [1.0]])
    return cameras.Camera(cameras.look_at(eye, target, up), mirror * projection)


def from_projection_matrix(
    matrix, image_size: tuple[int, int], near=0.1, far=100.0
) -> cameras.Camera:
    """Converts a 3x4 projection matrix; camera mode "projection" of Soft Rasterizer.

    (u, v, 1) ~ P (X, Y, Z, 1), u in pixels to the right of the left border and v in
    pixels above the lower border of the picture. For a K [R | t] of OpenCV, where v
    grows downwards (mode "projection" of the PyTorch port of the Neural 3D Mesh
    Renderer), use `cameras.from_opencv`. Lens distortion is no matrix: see
    `distort_points`.

    Args:
        matrix: [B, 3, 4] or [3, 4] P. Its scale has no meaning, its sign has: points in
            front of the camera have a third coordinate above 0.
        image_size: (height, width) in pixels.
        near: [B] distance of the near plane, above 0.
        far: [B] distance of the far plane.

    Returns:
        Camera; mirrored pictures keep their mirroring in the projection.

    Gradient: exact in `matrix`; finite also where it has no inverse.

    Raises:
        ValueError: for a wrong shape.
    """
    matrix = tf.cast(matrix, tf.float32)
    checks.dims("matrix", matrix, 3, 4)
    matrix = tf.reshape(matrix, [-1, 3, 4])
    height, width = float(image_size[0]), float(image_size[1])
    # The third row is the depth; at length 1 it is in world units.
    forward, length = _direction(matrix[:, 2, :3], (0.0, 0.0, 1.0))
    u, v, depth = tf.unstack(matrix / length[..., tf.newaxis], axis=1)  # [B, 4]
    # Rows of clip space: x w and y w are linear in the point, w is the depth.
    x = (2.0 / width) * u - depth
    y = (2.0 / height) * v - depth
    y_skew = tf.reduce_sum(y[:, :3] * forward, axis=-1, keepdims=True)
    above, y_scale = _direction(y[:, :3] - y_skew * forward, (0.0, 1.0, 0.0))
    right = tf.linalg.cross(forward, above)
    x_skew, x_shear, x_scale = (
        tf.reduce_sum(x[:, :3] * axis, axis=-1, keepdims=True)
        for axis in (forward, above, right)
    )
    shift_z = depth[:, 3:]
    shift_y = (y[:, 3:] - y_skew * shift_z) / y_scale
    shift_x = x[:, 3:] - x_skew * shift_z - x_shear * shift_y
    shift_x /= tf.where(tf.abs(x_scale) < 1e-12, 1.0, x_scale)
    view = tf.stack(
        [
            tf.concat([right, shift_x], axis=-1),
            tf.concat([above, shift_y], axis=-1),
            -tf.concat([forward, shift_z], axis=-1),
            tf.zeros_like(x) + tf.constant([0.0, 0.0, 0.0, 1.0]),
        ],
        axis=1,
    )
    nought = tf.zeros_like(x_scale)
    x_row = tf.concat([x_scale, x_shear, -x_skew, nought], axis=-1)
    y_row = tf.concat([nought, y_scale, -y_skew, nought], axis=-1)
    depths = cameras.perspective(90.0, 1.0, near, far)  # [B or 1, 4, 4]
    depths += tf.zeros_like(view)  # to the batch of both
    z_row, w_row = depths[:, 2], depths[:, 3]
    x_row, y_row = x_row + tf.zeros_like(z_row), y_row + tf.zeros_like(z_row)
    return cameras.Camera(view, tf.stack([x_row, y_row, z_row, w_row], axis=1))


def from_dvr(
    camera_mat, world_mat, scale_mat, image_size: tuple[int, int], near=0.1, far=100.0
) -> tuple[cameras.Camera, tf.Tensor]:
    """Converts the three matrices of Differentiable Volumetric Rendering.

    With s = camera_mat world_mat scale_mat (q, 1) a point q of object space appears at
    (s0, s1) / s2 in [-1, 1]^2, where -1 is the centre of the first pixel, +1 the centre
    of the last one and y grows downwards; s2 is its depth in world units. The product
    alone counts: DTU keeps the intrinsics in world_mat.

    Args:
        camera_mat: [B, 4, 4] or [4, 4] camera space to the image plane.
        world_mat: [B, 4, 4] or [4, 4] world to camera (x right, y down, z forward).
        scale_mat: [B, 4, 4] or [4, 4] object space to world; None is the identity.
        image_size: (height, width), 2 pixels or more each.
        near: [B] distance of the near plane, object units, above 0.
        far: [B] distance of the far plane, object units.

    Returns:
        Camera of object space, and depth_scale [B]: world units of depth in one object
        unit.

    Gradient: exact in the matrices.

    Raises:
        ValueError: for a wrong shape or a picture of less than 2 x 2 pixels.
    """
    height, width = _dvr_size(image_size)
    product = None
    for name, matrix in (
        ("camera_mat", camera_mat),
        ("world_mat", world_mat),
        ("scale_mat", scale_mat),
    ):
        if matrix is None:
            continue
        matrix = tf.cast(matrix, tf.float32)
        checks.dims(name, matrix, 4, 4)
        matrix = tf.reshape(matrix, [-1, 4, 4])
        if product is None:
            product = matrix
        else:  # sums, because GPUs run float32 `matmul` at reduced precision
            product = tf.reduce_sum(
                product[:, :, :, tf.newaxis] * matrix[:, tf.newaxis], axis=2
            )
    x, y, depth = product[:, 0], product[:, 1], product[:, 2]  # [B, 4] each
    half_width, half_height = (width - 1) / 2.0, (height - 1) / 2.0
    right = half_width * x + (half_width + 0.5) * depth
    down = half_height * y + (half_height + 0.5) * depth
    matrix = tf.stack([right, height * depth - down, depth], axis=1)
    scale = tf.sqrt(tf.reduce_sum(depth[:, :3] ** 2, axis=-1))
    return from_projection_matrix(matrix, (height, width), near, far), scale


def to_dvr(
    camera: cameras.Camera, image_size: tuple[int, int]
) -> tuple[tf.Tensor, tf.Tensor]:
    """Matrices of Differentiable Volumetric Rendering; see `from_dvr`.

    Args:
        camera: Camera with a perspective projection.
        image_size: (height, width), 2 pixels or more each.

    Returns:
        camera_mat and world_mat, [B, 4, 4] each; the scale matrix is the identity.

    Raises:
        ValueError: for a picture of less than 2 x 2 pixels.
    """
    height, width = _dvr_size(image_size)
    intrinsics, rotation, translation = cameras.to_opencv(camera, image_size)
    # One lens may serve many views.
    both = tf.zeros_like(intrinsics + rotation)
    intrinsics, rotation = intrinsics + both, rotation + both
    translation += both[..., 0]
    bottom = both[:, :1]
    zero, one = tf.zeros_like(bottom[..., :1]), tf.ones_like(bottom[..., :1])
    last = tf.concat([bottom, one], axis=-1)  # [B, 1, 4]
    world = tf.concat([rotation, translation[..., tf.newaxis]], axis=-1)
    rows = []
    for i, size in ((0, width), (1, height)):
        row = intrinsics[:, i] * (2.0 / (size - 1))
        # Pixels to [-1, 1]: first and last centre lie at 0.5 and size - 0.5.
        row -= intrinsics[:, 2] * (1.0 / (size - 1) + 1.0)
        rows.append(row)
    plane = tf.stack([*rows, intrinsics[:, 2]], axis=1)
    nought = tf.concat([zero, zero, zero], axis=1)
    camera_mat = tf.concat([tf.concat([plane, nought], axis=-1), last], axis=1)
    return camera_mat, tf.concat([world, last], axis=1)


def distort_points(points: tf.Tensor, coefficients: tf.Tensor) -> tf.Tensor:
    """Bends image points as a lens does: OpenCV's radial and tangential distortion.

    With r^2 = x^2 + y^2 and s = 1 + k1 r^2 + k2 r^4 + k3 r^6

        x' = x s + 2 p1 x y + p2 (r^2 + 2 x^2)
        y' = y s + p1 (r^2 + 2 y^2) + 2 p2 x y

    OpenCV and the PyTorch port of the Neural 3D Mesh Renderer bend x / z and y / z of
    camera space, before the intrinsics; Soft Rasterizer bends (u, v) after P.

    Args:
        points: [B, N, 2].
        coefficients: [B, 5] or [1, 5], k1, k2, p1, p2, k3 in OpenCV's order.

    Returns:
        [B, N, 2].

    Gradient: exact in both.

    Raises:
        ValueError: for wrong shapes.
    """
    checks.dims("points", points, None, 2)
    checks.dims("coefficients", coefficients, 5)
    k1, k2, p1, p2, k3 = tf.split(coefficients[:, tf.newaxis], 5, axis=-1)  # [B, 1, 1]
    square = tf.reduce_sum(points**2, axis=-1, keepdims=True)
    both = tf.reduce_prod(points, axis=-1, keepdims=True)
    radial = 1.0 + square * (k1 + square * (k2 + square * k3))
    bend = square + 2.0 * points**2
    return (
        points * radial
        + 2.0 * tf.concat([p1, p2], axis=-1) * both
        + tf.concat([p2, p1], axis=-1) * bend
    )


def _direction(vector, spare):
    """Unit vector [B, 3] and length [B, 1]; a vector of no length becomes `spare`."""
    square = tf.reduce_sum(vector**2, axis=-1, keepdims=True)
    short = square < 1e-30
    length = tf.sqrt(tf.where(short, 1.0, square))
    return tf.where(short, tf.constant(spare), vector / length), length


def _dvr_size(image_size):
    """Height and width; a picture of one pixel has no span between pixel centres."""
    height, width = checks.image_size(image_size)
    if min(height, width) < 2:
        raise ValueError(f"`image_size` must be 2 or more each; got {image_size}.")
    return height, width
