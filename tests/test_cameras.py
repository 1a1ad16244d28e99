import math

import numpy as np
import pytest
import tensorflow as tf

from tfrender import cameras

ANGLES = [(0.0, 0.0), (30.0, 20.0), (135.0, -40.0), (250.0, 89.0), (10.0, 90.0)]


def pixel_of(camera, point, size):
    clip = cameras.project_to_clip(camera, tf.constant([[point]], tf.float32))
    return cameras.clip_to_pixel(clip, size).numpy()[0, 0]


@pytest.mark.parametrize("azimuth, elevation", ANGLES)
def test_orbit_stands_where_the_convention_says_and_looks_at_the_origin(
    azimuth, elevation
):
    a, e = math.radians(azimuth), math.radians(elevation)
    eye = 2.5 * np.array(
        [math.cos(e) * math.sin(a), math.sin(e), -math.cos(e) * math.cos(a)]
    )
    matrix = cameras.orbit(azimuth, elevation, 2.5)
    points = cameras.transform(tf.constant([[eye, [0, 0, 0]]], tf.float32), matrix)
    np.testing.assert_allclose(points[0], [[0, 0, 0], [0, 0, -2.5]], atol=1e-5)
    rotation = matrix.numpy()[0, :3, :3]
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-6)
    assert np.linalg.det(rotation) > 0.99


@pytest.mark.parametrize("azimuth, elevation", ANGLES[:4])
def test_orbit_is_look_at_from_the_same_eye(azimuth, elevation):
    matrix = cameras.orbit(azimuth, elevation, 1.7)
    rotation = matrix[0, :3, :3].numpy()
    eye = -rotation.T @ matrix[0, :3, 3].numpy()
    np.testing.assert_allclose(cameras.look_at(eye), matrix, atol=2e-5)


def test_orbit_puts_plus_x_on_the_correct_side():
    projection = cameras.perspective(40.0)
    front = cameras.Camera(cameras.orbit(0.0, 0.0, 3.0), projection)
    back = cameras.Camera(cameras.orbit(180.0, 0.0, 3.0), projection)
    side = cameras.Camera(cameras.orbit(90.0, 0.0, 3.0), projection)
    # Facing the front of the object (it looks at us along -Z), its +X is on our left.
    assert pixel_of(front, [0.5, 0, 0], (10, 10))[0] < 4
    assert pixel_of(back, [0.5, 0, 0], (10, 10))[0] > 6
    # From +X the front (-Z) is on the right.
    assert pixel_of(side, [0, 0, -0.5], (10, 10))[0] > 6
    assert pixel_of(side, [0, 0.5, 0], (10, 10))[1] < 4


def test_an_asymmetric_object_lands_on_four_computed_pixels():
    camera = cameras.Camera(
        cameras.orbit(0.0, 0.0, 2.0), cameras.perspective(90.0, 2.0, 0.1, 10.0)
    )
    size = (100, 200)  # focal length 50 pixels: half height over tan 45
    places = {
        (0.0, 0.0, 0.0): (100.0, 50.0),
        (0.5, 0.0, 0.0): (100.0 - 50 * 0.5 / 2.0, 50.0),
        (0.0, 0.5, 0.0): (100.0, 50.0 - 50 * 0.5 / 2.0),
        (0.5, -0.25, -0.5): (100.0 - 50 * 0.5 / 1.5, 50.0 + 50 * 0.25 / 1.5),
    }
    for point, place in places.items():
        np.testing.assert_allclose(pixel_of(camera, point, size), place, atol=1e-4)


def test_projections_map_near_and_far_to_the_ends_of_ndc():
    points = tf.constant([[[0.0, 0.0, -0.5], [0.0, 2.0, -4.0], [3.0, 0.0, -4.0]]])
    for projection in (
        cameras.perspective(2 * math.degrees(math.atan(0.5)), 1.5, 0.5, 4.0),
        cameras.orthographic(2.0, 1.5, 0.5, 4.0),
    ):
        camera = cameras.Camera(tf.eye(4)[tf.newaxis], projection)
        clip = cameras.project_to_clip(camera, points).numpy()[0]
        ndc = clip[:, :3] / clip[:, 3:]
        np.testing.assert_allclose(ndc[:, 2], [-1, 1, 1], atol=1e-6)
        np.testing.assert_allclose(ndc[1, 1], 1.0, atol=1e-6)
        np.testing.assert_allclose(ndc[2, 0], 1.0, atol=1e-6)
        np.testing.assert_allclose(cameras.view_depth(camera, points), [[0.5, 4, 4]])


def test_look_at_along_up_and_from_the_target_is_finite_with_finite_gradient():
    for eye in ([0.0, 3.0, 0.0], [0.0, -2.0, 0.0], [0.0, 0.0, 0.0], [1e-6, 1.0, 0.0]):
        eye = tf.constant(eye)
        with tf.GradientTape() as tape:
            tape.watch(eye)
            matrix = cameras.look_at(eye)
            loss = tf.reduce_sum(matrix * tf.reshape(tf.range(16.0), [4, 4]))
        rotation = matrix.numpy()[0, :3, :3]
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-5)
        assert np.isfinite(tape.gradient(loss, eye)).all()


def test_batches_and_scalars_mix():
    matrix = cameras.orbit([0.0, 20.0, 40.0], 10.0, [1.0, 2.0, 3.0])
    assert matrix.shape == (3, 4, 4)
    np.testing.assert_array_equal(matrix[1:2], cameras.orbit(20.0, 10.0, 2.0))
    assert cameras.perspective([30.0, 40.0], 1.0).shape == (2, 4, 4)


def opencv_case():
    rng = np.random.default_rng(3)
    rotation, _ = np.linalg.qr(rng.normal(size=(2, 3, 3)))
    rotation *= np.linalg.det(rotation)[:, None, None]
    k = np.array([[[210.0, 3.0, 61.0], [0, 190.0, 40.0], [0, 0, 1]]] * 2)
    k[1, :2, 2] += 5.0
    translation = np.array([[0.1, -0.2, 4.0], [0.3, 0.1, 3.0]])
    return k, rotation, translation, rng.uniform(-0.5, 0.5, (2, 6, 3))


def test_from_opencv_projects_to_the_pixels_of_the_pinhole_formula():
    k, rotation, translation, points = opencv_case()
    camera = cameras.from_opencv(k, rotation, translation, (90, 130), 0.1, 9.0)
    seen = np.einsum("bij,bnj->bni", rotation, points) + translation[:, None]
    u = np.einsum("bij,bnj->bni", k, seen)
    clip = cameras.project_to_clip(camera, tf.cast(points, tf.float32))
    pixel = cameras.clip_to_pixel(clip, (90, 130))
    np.testing.assert_allclose(pixel, u[..., :2] / u[..., 2:], atol=1e-3)
    np.testing.assert_allclose(clip[..., 3], seen[..., 2], atol=1e-5)


def test_opencv_round_trip_returns_the_same_camera():
    k, rotation, translation, _ = opencv_case()
    camera = cameras.from_opencv(k, rotation, translation, (90, 130), 0.1, 9.0)
    back = cameras.to_opencv(camera, (90, 130))
    for got, want in zip(back, (k, rotation, translation), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


def test_from_opengl_inverts_the_pose():
    pose = cameras.orbit([15.0, 70.0], 25.0, 2.0)
    projection = cameras.perspective(30.0)
    camera = cameras.from_opengl(np.linalg.inv(pose.numpy()), projection)
    np.testing.assert_allclose(camera.world_to_camera, pose, atol=1e-5)
    assert camera.projection.shape == (1, 4, 4)


def test_transform_and_projection_have_exact_gradients():
    point = tf.constant([[[0.2, -0.1, 0.3]]])
    angle = tf.constant(25.0)

    def x_of(angle, point):
        camera = cameras.Camera(
            cameras.orbit(angle, 30.0, 2.0), cameras.perspective(50.0)
        )
        return cameras.clip_to_pixel(cameras.project_to_clip(camera, point), (64, 64))[
            0, 0, 0
        ]

    with tf.GradientTape() as tape:
        tape.watch([angle, point])
        x = x_of(angle, point)
    by_angle, by_point = tape.gradient(x, [angle, point])
    difference = (x_of(angle + 0.5, point) - x_of(angle - 0.5, point)) / 1.0
    np.testing.assert_allclose(by_angle, difference, rtol=1e-3)
    step = tf.constant([[[0.0, 0.0, 0.01]]])
    difference = (x_of(angle, point + step) - x_of(angle, point - step)) / 0.02
    np.testing.assert_allclose(by_point[0, 0, 2], difference, rtol=1e-3)


def rendernet_cell(voxel_index, azimuth_deg, polar_deg, radius, grid):
    """RenderNet's resampling rule read backwards: voxel index -> (column, row)."""
    a = math.radians(azimuth_deg) - math.pi / 2
    e = math.radians(90.0 - polar_deg)
    ry = [[math.cos(a), 0, -math.sin(a)], [0, 1, 0], [math.sin(a), 0, math.cos(a)]]
    rz = [[math.cos(e), math.sin(e), 0], [-math.sin(e), math.cos(e), 0], [0, 0, 1]]
    zyx = np.asarray(voxel_index, float)[::-1]  # the resampler's x, y, z
    cell = 3.3 / radius * np.array(rz) @ np.array(ry) @ (zyx - grid / 2) + grid
    return np.array([cell[2], 2 * grid - 1 - cell[1]]), cell[0]


@pytest.mark.parametrize("pose", [(90, 90, 3.3), (37, 65, 3.0), (280, 140, 4.2)])
def test_rendernet_orthographic_camera_sends_voxel_centres_to_their_cells(pose):
    grid, size = 16, (128, 128)
    camera = cameras.from_rendernet(*pose, grid=grid)
    depths, cells = [], []
    for index in ([0, 0, 0], [15, 3, 7], [8, 8, 8], [2, 14, 5]):
        world = (np.array(index) + 0.5) / grid - 0.5
        cell, depth = rendernet_cell(index, *pose, grid)
        # Voxel v covers pixels 4v .. 4v + 3: its middle is 4 (v + 1/2).
        np.testing.assert_allclose(
            pixel_of(camera, world, size), 4 * (cell + 0.5), atol=2e-3
        )
        point = tf.constant([[world]], tf.float32)
        depths.append(cameras.view_depth(camera, point).numpy().item())
        cells.append(depth)
    # One cell along the view is radius / 3.3 / grid world units, the nearest is last.
    cell_length = pose[2] / 3.3 / grid
    want = pose[2] - cell_length * (np.array(cells) - grid)
    np.testing.assert_allclose(depths, want, atol=1e-5)


def test_rendernet_perspective_camera_shares_the_centre_of_the_grid():
    pose = (200.0, 70.0, 3.6)
    centre = np.full(3, 0.5 / 64)
    flat = cameras.from_rendernet(*pose)
    deep = cameras.from_rendernet(*pose, "perspective")
    np.testing.assert_allclose(
        pixel_of(flat, centre, (512, 512)),
        pixel_of(deep, centre, (512, 512)),
        atol=1e-3,
    )
    np.testing.assert_array_equal(flat.world_to_camera, deep.world_to_camera)
    # 30 degrees over 512 pixels: 289.5 pixels a unit at distance 3.3.
    near = cameras.from_rendernet(90.0, 90.0, 3.3, "perspective")
    step = pixel_of(near, [0.1 + 0.5 / 64, 0, 0.5 / 64], (512, 512))
    step -= pixel_of(near, [0.5 / 64, 0, 0.5 / 64], (512, 512))
    np.testing.assert_allclose(step[0] * 10, 289.5, atol=0.1)


def test_rendernet_camera_keeps_the_cell_size_when_the_image_is_wider():
    wide = cameras.from_rendernet(30.0, 60.0, 3.3, grid=16, image_size=(128, 192))
    square = cameras.from_rendernet(30.0, 60.0, 3.3, grid=16)
    point = [0.2, -0.3, 0.1]
    shift = pixel_of(wide, point, (128, 192)) - pixel_of(square, point, (128, 128))
    np.testing.assert_allclose(shift, [32.0, 0.0], atol=1e-3)


def test_rendernet_identity_pose_sees_plus_x_on_the_right():
    camera = cameras.from_rendernet(90.0, 90.0, 3.3)
    assert pixel_of(camera, [0.4, 0, 0], (128, 128))[0] > 85
    assert pixel_of(camera, [0, 0.4, 0], (128, 128))[1] < 43
    with pytest.raises(ValueError, match="projection"):
        cameras.from_rendernet(0.0, 90.0, 3.3, "fisheye")


def test_points_on_the_camera_plane_get_a_finite_pixel():
    clip = tf.constant([[[1.0, -1.0, 0.0, 0.0], [1.0, 1.0, 0.0, -2.0]]])
    with tf.GradientTape() as tape:
        tape.watch(clip)
        pixel = cameras.clip_to_pixel(clip, (4, 6))
    assert np.isfinite(pixel).all()
    assert np.isfinite(tape.gradient(pixel, clip)).all()
