"""Cameras of the Neural 3D Mesh Renderer against arrays of the original."""

import numpy as np
import pytest
import tensorflow as tf

from tests.golden import cases
from tfrender import cameras

FILES = cases.holding("neural_mesh_renderer", "look_at_full", "perspective*")
each_case = pytest.mark.parametrize("path", FILES, ids=cases.name_of)
# Their camera space is mirrored and looks along +z.
THEIRS = np.float32([-1.0, 1.0, -1.0])
CLOSE = {"atol": 1e-5, "rtol": 1e-4}


def camera_space(vertices, eye, **arguments):
    """Camera coordinates of the original."""
    camera = cameras.from_neural_renderer(eye, **arguments)
    return THEIRS * cameras.transform(vertices, camera.world_to_camera)


@each_case
def test_look_at_and_look_equal_the_original(path):
    data = cases.load(path)
    v, eye = data["v"], data["eye"]
    at, up = data["at"], data["up"]
    np.testing.assert_allclose(camera_space(v, eye), data["look_at_default"], **CLOSE)
    np.testing.assert_allclose(
        camera_space(v, eye, at=at, up=up), data["look_at_full"], **CLOSE
    )
    np.testing.assert_allclose(
        camera_space(v, eye, direction=data["direction"], up=up),
        data["look_full"],
        **CLOSE,
    )


@each_case
def test_one_eye_serves_a_batch(path):
    data = cases.load(path)
    # The file does not hold the eye: it is the point that goes to the origin.
    points = np.c_[data["v"].reshape(-1, 3), np.ones(data["v"].size // 3)]
    affine = np.linalg.lstsq(points, data["look_at_single_eye"].reshape(-1, 3))[0]
    eye = -np.linalg.solve(affine[:3].T, affine[3])
    for shape in ((3,), (1, 3)):
        got = camera_space(data["v"], eye.reshape(shape))
        np.testing.assert_allclose(got, data["look_at_single_eye"], **CLOSE)


@each_case
def test_gradients_of_look_at_equal_the_original(path):
    data = cases.load(path)
    v, eye = tf.constant(data["v"]), tf.constant(data["eye"])
    with tf.GradientTape() as tape:
        tape.watch([v, eye])
        seen = camera_space(v, eye)
    slope_v, slope_eye = tape.gradient(seen, [v, eye], data["g"])
    np.testing.assert_allclose(slope_v, data["look_at_grad_v"], **CLOSE)
    np.testing.assert_allclose(slope_eye, data["look_at_grad_eye"], **CLOSE)


@each_case
def test_perspective_equals_the_original(path):
    data = cases.load(path)
    for name in [key for key in data if key.startswith("perspective")]:
        angle = float(name.removeprefix("perspective"))
        camera = cameras.from_neural_renderer([0, 0, -1.0], viewing_angle_deg=angle)
        # In camera space already: undo the mirror, leave the view out.
        clip = cameras.project_to_clip(
            cameras.Camera(tf.eye(4)[tf.newaxis], camera.projection),
            THEIRS * data["v_pos"],
        )
        got = tf.concat([clip[..., :2] / clip[..., 3:], clip[..., 3:]], axis=-1)
        np.testing.assert_allclose(got, data[name], **CLOSE)


@each_case
def test_orbit_stands_where_points_from_angles_are(path):
    data = cases.load(path)
    view = cameras.orbit(data["az"], data["el"], data["dist"])
    eye = -np.einsum("bji,bj->bi", view[:, :3, :3], view[:, :3, 3])
    np.testing.assert_allclose(eye, data["points"], **CLOSE)
    # And the original's camera there sees the mirror image of orbit's picture.
    camera = cameras.from_neural_renderer(data["points"])
    np.testing.assert_allclose(camera.world_to_camera, view, atol=1e-5)
    plain = cameras.perspective(60.0).numpy()
    np.testing.assert_allclose(camera.projection[:, 1:], plain[:, 1:], atol=1e-6)
    np.testing.assert_allclose(camera.projection[:, 0], -plain[:, 0], atol=1e-6)
