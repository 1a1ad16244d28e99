import numpy as np
import pytest
import tensorflow as tf

from tfrender import cameras


def picture(camera, points):
    """x, y in NDC of points [N, 3]."""
    clip = cameras.project_to_clip(camera, tf.constant(points, tf.float32)[tf.newaxis])
    return (clip[..., :2] / clip[..., 3:]).numpy()


POINTS = np.random.default_rng(0).uniform(-0.5, 0.5, (6, 3))


def test_the_picture_is_the_mirror_image_of_our_own_cameras():
    eye = [0.4, 0.9, -2.5]
    theirs = cameras.from_neural_renderer(eye, viewing_angle_deg=20.0)
    ours = cameras.Camera(cameras.look_at(eye), cameras.perspective(40.0))
    np.testing.assert_allclose(
        picture(theirs, POINTS), picture(ours, POINTS) * [-1, 1], atol=1e-6
    )
    points = tf.constant(POINTS, tf.float32)[tf.newaxis]
    np.testing.assert_array_equal(
        cameras.view_depth(theirs, points), cameras.view_depth(ours, points)
    )
    # Eye on -z: their right is world +x.
    front = cameras.from_neural_renderer([0.0, 0.0, -3.0])
    assert picture(front, [[0.5, 0.0, 0.0]])[0, 0, 0] > 0


def test_a_face_seen_from_outside_runs_clockwise_in_the_picture():
    outside = np.array([[0.0, 0.5, 0.0], [-0.5, -0.5, 0.0], [0.5, -0.5, 0.0]])
    toward = np.cross(outside[1] - outside[0], outside[2] - outside[0])
    eye = 3 * toward / np.linalg.norm(toward)  # the face's normal points here
    a, b, c = picture(cameras.from_neural_renderer(eye), outside)[0]
    (bx, by), (cx, cy) = b - a, c - a
    assert bx * cy - by * cx < 0


def test_look_at_and_look_agree_on_the_same_view():
    eye, at = np.array([1.0, 2.0, -3.0]), np.array([0.2, 0.1, 0.5])
    one = cameras.from_neural_renderer(eye, at=at)
    for length in (1e-3, 1.0, 1e4):
        two = cameras.from_neural_renderer(eye, direction=(at - eye) * length)
        np.testing.assert_allclose(
            picture(one, POINTS), picture(two, POINTS), atol=1e-5
        )


@pytest.mark.parametrize("shape", [(3,), (1, 3), (4, 3)])
def test_eyes_of_every_shape_serve_a_batch(shape):
    eye = np.random.default_rng(1).uniform(1, 2, shape).astype(np.float32)
    camera = cameras.from_neural_renderer(eye, near=[0.1] * 4, far=9.0)
    points = np.random.default_rng(2).normal(size=(4, 5, 3)).astype(np.float32)
    got = cameras.project_to_clip(camera, tf.constant(points))
    assert got.shape == (4, 5, 4)
    for b in range(4):
        alone = cameras.from_neural_renderer(np.broadcast_to(eye, (4, 3))[b], far=9.0)
        want = cameras.project_to_clip(alone, tf.constant(points[b : b + 1]))
        np.testing.assert_allclose(got[b : b + 1], want, atol=1e-5)


def test_an_eye_straight_above_gives_a_finite_camera_and_gradient():
    for arguments in ({}, {"direction": [0.0, -1.0, 0.0]}, {"direction": [0.0] * 3}):
        eye = tf.constant([0.0, 3.0, 0.0])
        with tf.GradientTape() as tape:
            tape.watch(eye)
            camera = cameras.from_neural_renderer(eye, **arguments)
            loss = tf.reduce_sum(
                cameras.project_to_clip(camera, tf.constant([[[0.3, 0.1, 0.2]]])) ** 2
            )
        rotation = camera.world_to_camera[0, :3, :3].numpy()
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-6)
        assert np.linalg.det(rotation) > 0
        assert np.isfinite(tape.gradient(loss, eye)).all()


def test_viewing_scale_is_ndc_a_world_unit():
    camera = cameras.from_neural_renderer([0.0, 0.0, -3.0], viewing_scale=1.5)
    np.testing.assert_allclose(
        picture(camera, POINTS)[0], 1.5 * POINTS[:, :2], atol=1e-6
    )
    wide = cameras.crop(camera, (32, 32), (0, -16, 32, 64))
    np.testing.assert_allclose(
        picture(wide, POINTS)[0], 1.5 * POINTS[:, :2] * [0.5, 1], atol=1e-6
    )


def projection_matrices():
    """P and image size: a pinhole, one mirrored, one scaled, one with no structure."""
    rng = np.random.default_rng(3)
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    rotation *= np.linalg.det(rotation)
    k = np.array([[90.0, 4.0, 50.0], [0, 70.0, 33.0], [0, 0, 1]])
    pinhole = k @ np.c_[rotation, [0.1, -0.2, 4.0]]
    yield pinhole
    yield np.diag([-1.0, 1.0, 1.0]) @ pinhole
    yield 0.01 * pinhole
    loose = rng.normal(size=(3, 4)) * [[50], [50], [0.5]]
    loose[2, 3] = 4.0
    yield loose


@pytest.mark.parametrize("matrix", projection_matrices())
def test_projection_matrices_send_points_to_their_pixels(matrix):
    size = (60, 104)
    camera = cameras.from_projection_matrix(matrix, size)
    u, v, w = matrix @ np.c_[POINTS, np.ones(6)].T
    assert (w > 0).all()
    want = np.stack([2 * u / w / 104 - 1, 2 * v / w / 60 - 1], -1)  # v grows upwards
    np.testing.assert_allclose(picture(camera, POINTS)[0], want, atol=1e-4)
    view = camera.world_to_camera[0, :3, :3].numpy()
    np.testing.assert_allclose(view @ view.T, np.eye(3), atol=1e-5)
    assert np.linalg.det(view) > 0
    points = tf.constant(POINTS, tf.float32)[tf.newaxis]
    np.testing.assert_allclose(
        cameras.view_depth(camera, points)[0],
        w / np.linalg.norm(matrix[2, :3]),
        rtol=1e-5,
    )
    clip = cameras.project_to_clip(camera, points)
    np.testing.assert_allclose(clip[..., 3], cameras.view_depth(camera, points), 1e-5)


def test_projection_matrices_agree_with_opencv_cameras():
    matrix = next(projection_matrices())
    size = (60, 104)
    k, rotation = np.linalg.inv(np.linalg.qr(np.linalg.inv(matrix[:, :3]))[1]), None
    k = k * np.sign(np.diag(k))  # columns, so that the diagonal is positive
    rotation = np.linalg.inv(k) @ matrix[:, :3]
    translation = np.linalg.inv(k) @ matrix[:, 3]
    # OpenCV's v grows downwards.
    turned = np.diag([1.0, -1.0, 1.0]) @ k + np.outer([0, 60.0, 0], [0, 0, 1])
    down = cameras.from_opencv(turned, rotation, translation, size, 0.1, 100.0)
    up = cameras.from_projection_matrix(matrix, size)
    np.testing.assert_allclose(picture(down, POINTS), picture(up, POINTS), atol=1e-4)


def test_projection_matrices_have_exact_and_finite_gradients():
    matrix = tf.constant(next(projection_matrices())[None], tf.float32)
    points = tf.constant(POINTS, tf.float32)[tf.newaxis]

    def value(matrix):
        camera = cameras.from_projection_matrix(matrix, (60, 104))
        clip = cameras.project_to_clip(camera, points)
        return tf.reduce_sum(tf.sin(3.0 * clip[..., :2] / clip[..., 3:]))

    with tf.GradientTape() as tape:
        tape.watch(matrix)
        loss = value(matrix)
    gradient = tape.gradient(loss, matrix).numpy()
    step = 1e-3 * np.random.default_rng(4).normal(size=matrix.shape)
    numeric = value(matrix + step) - value(matrix - step)
    np.testing.assert_allclose(2 * np.sum(gradient * step), numeric, rtol=2e-2)
    for bad in (np.zeros((1, 3, 4)), np.ones((1, 3, 4))):
        bad = tf.constant(bad, tf.float32)
        with tf.GradientTape() as tape:
            tape.watch(bad)
            camera = cameras.from_projection_matrix(bad, (60, 104))
            loss = sum(tf.reduce_sum(part) for part in camera)
        assert all(np.isfinite(part).all() for part in camera)
        assert np.isfinite(tape.gradient(loss, bad)).all()
    with pytest.raises(ValueError, match="`matrix`"):
        cameras.from_projection_matrix(np.eye(4), (4, 4))


def test_distortion_is_opencvs_polynomial_and_nothing_without_coefficients():
    rng = np.random.default_rng(5)
    points = rng.uniform(-1, 1, (2, 7, 2))
    k1, k2, p1, p2, k3 = rng.uniform(-0.1, 0.1, 5)
    got = cameras.distort_points(
        tf.constant(points), tf.constant([[k1, k2, p1, p2, k3]])
    )
    for b, n in np.ndindex(2, 7):
        x, y = points[b, n]
        r = x * x + y * y
        s = 1 + k1 * r + k2 * r**2 + k3 * r**3
        want = [
            x * s + 2 * p1 * x * y + p2 * (r + 2 * x * x),
            y * s + p1 * (r + 2 * y * y) + 2 * p2 * x * y,
        ]
        np.testing.assert_allclose(got[b, n], want, rtol=1e-12)
    same = cameras.distort_points(tf.constant(points), tf.zeros([1, 5], tf.float64))
    np.testing.assert_array_equal(same, points)
    with pytest.raises(ValueError, match="`coefficients`"):
        cameras.distort_points(tf.constant(points), tf.zeros([1, 4], tf.float64))


def dvr_matrices(batch=2, seed=6):
    """Matrices of the original: a camera in front of a world of other units."""
    rng = np.random.default_rng(seed)
    camera_mat, world_mat, scale_mat = np.stack([np.eye(4)] * 3 * batch).reshape(
        3, batch, 4, 4
    )
    for b in range(batch):
        rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
        rotation *= np.linalg.det(rotation)
        scale_mat[b] = np.diag([7.5, 7.5, 7.5, 1.0])
        scale_mat[b, :3, 3] = rng.normal(size=3)
        world_mat[b, :3, :3] = rotation
        # The object's middle lies 20 in front.
        world_mat[b, :3, 3] = [0.3, -0.2, 20.0] - rotation @ scale_mat[b, :3, 3]
        camera_mat[b, 0, :3] = rng.uniform(1.5, 3.0), 0.2, 0.1
        camera_mat[b, 1, 1:3] = rng.uniform(1.5, 3.0), -0.3
    return camera_mat, world_mat, scale_mat


def dvr_projection(matrices, size):
    """Pixels [B, N, 2] and world depths [B, N] by the formula of the docstring."""
    product = np.linalg.multi_dot(matrices) if len(matrices) > 1 else matrices[0]
    s = np.einsum("ij,nj->ni", product, np.c_[POINTS, np.ones(len(POINTS))])
    unit = s[:, :2] / s[:, 2:3]
    span = np.array([size[1] - 1, size[0] - 1])
    return (unit + 1.0) / 2.0 * span + 0.5, s[:, 2]  # -1 and 1 are pixel centres


@pytest.mark.parametrize("size", [(30, 52), (8, 10)])
def test_dvr_cameras_follow_the_published_formula(size):
    matrices = dvr_matrices()
    flip = np.diag([-1.0, 1.0, 1.0, 1.0])
    intrinsics_in_world = (None, matrices[0] @ matrices[1], matrices[2])
    mirrored = (matrices[0] @ flip, *matrices[1:])
    for given in (matrices, intrinsics_in_world, mirrored):
        if given[0] is None:
            given = (np.eye(4), *given[1:])
        camera, scale = cameras.from_dvr(*given, size)
        points = np.repeat(np.float32(POINTS)[np.newaxis], 2, axis=0)
        clip = cameras.project_to_clip(camera, tf.constant(points))
        pixels = cameras.clip_to_pixel(clip, size)
        depth = cameras.view_depth(camera, points)
        for b in range(2):
            alone = [m[b] if np.ndim(m) == 3 else np.asarray(m) for m in given]
            want, world_depth = dvr_projection(alone, size)
            np.testing.assert_allclose(pixels[b], want, atol=1e-3)
            np.testing.assert_allclose(scale[b] * depth[b], world_depth, rtol=1e-5)
        np.testing.assert_allclose(scale, 7.5, rtol=1e-5)


def test_dvr_cameras_come_back():
    size = (30, 52)
    camera, _ = cameras.from_dvr(*dvr_matrices(), size)
    camera_mat, world_mat = cameras.to_dvr(camera, size)
    np.testing.assert_allclose(world_mat[:, 3], [[0, 0, 0, 1]] * 2, atol=0)
    np.testing.assert_array_equal(camera_mat[:, 2], [[0, 0, 1, 0]] * 2)
    again, scale = cameras.from_dvr(camera_mat, world_mat, None, size)
    np.testing.assert_allclose(scale, 1.0, rtol=1e-6)
    for part, other in zip(camera, again, strict=True):
        np.testing.assert_allclose(part, other, atol=1e-5)
    # A camera of our own, and near and far that are kept.
    view = cameras.orbit([10.0, 70.0], 15.0, 2.0)
    ours = cameras.Camera(view, cameras.perspective(35.0, 52 / 30, 0.2, 9.0))
    again, _ = cameras.from_dvr(*cameras.to_dvr(ours, size), None, size, 0.2, 9.0)
    for part, other in zip(ours, again, strict=True):
        np.testing.assert_allclose(part + tf.zeros_like(other), other, atol=1e-5)


def test_a_scale_matrix_changes_units_and_nothing_else():
    size = (30, 52)
    camera_mat, world_mat, scale_mat = dvr_matrices(1)
    plain, one = cameras.from_dvr(camera_mat, world_mat, None, size)
    scaled, unit = cameras.from_dvr(camera_mat, world_mat, scale_mat, size)
    np.testing.assert_allclose([*one, *unit], [1.0, 7.5], rtol=1e-5)
    world = POINTS @ scale_mat[0, :3, :3].T + scale_mat[0, :3, 3]
    np.testing.assert_allclose(
        picture(scaled, POINTS), picture(plain, world), atol=1e-4
    )


def test_mistaken_dvr_matrices_are_told():
    camera_mat, world_mat, scale_mat = dvr_matrices()
    with pytest.raises(ValueError, match="`world_mat` must end in"):
        cameras.from_dvr(camera_mat, world_mat[:, :3], scale_mat, (8, 8))
    with pytest.raises(ValueError, match="`image_size` must be 2 or more"):
        cameras.from_dvr(camera_mat, world_mat, scale_mat, (1, 8))
    camera, _ = cameras.from_dvr(camera_mat, world_mat, scale_mat, (8, 8))
    with pytest.raises(ValueError, match="`image_size` must be 2 or more"):
        cameras.to_dvr(camera, (8, 1))
