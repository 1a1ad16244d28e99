"""Quaternions, cameras and projections of the published DRWR and DPC."""

import numpy as np
import pytest
import tensorflow as tf

from tests.golden import cases
from tfrender import cameras, ops, quaternions

SYSTEM = "drwr"
ROTATIONS = cases.holding(SYSTEM, "cam_pos", "cam_quat", "avg_in", "frommat_in")
PROJECTIONS = cases.holding(SYSTEM, "points", "quat_free", "xy_trans", "probe")
VALUE = {"rtol": 1e-5, "atol": 1e-6}
DISTANCE = 2.0


def check_gradient(found, expected):
    limit = 1e-6 * np.abs(expected).max() + 1e-7
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=limit)


def check_places(found, expected, grid):
    # Near the frame's lower edge 0.5 cancels: there the original itself is up to 8e-6
    # of a pixel from what float64 gives, so 3 roundings of the frame are allowed.
    limit = 3.0 * np.finfo(np.float32).eps * (grid - 1)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=limit)


def with_sign_of(quaternion, other):
    """q and -q are one rotation."""
    same = np.sum(np.asarray(quaternion) * other, axis=-1, keepdims=True)
    return quaternion * np.sign(same)


@pytest.mark.parametrize("path", ROTATIONS, ids=cases.name_of)
def test_products_and_rotations(path):
    arrays = cases.load(path)
    a, b, points = arrays["a"], arrays["b"], arrays["pts"]
    inverse = quaternions.conjugate_quaternion(a)
    found = {
        "mul": quaternions.multiply_quaternions(a, b),
        "conj": inverse,
        "normalise": quaternions.normalize_quaternion(a),
        "rotate": quaternions.rotate_points(points, a),
        "rotate_inv": quaternions.rotate_points(points, inverse),
        "matrix": quaternions.quaternion_to_matrix(a),
    }
    for name, value in found.items():
        np.testing.assert_allclose(value, arrays[name], err_msg=name, **VALUE)


@pytest.mark.parametrize("path", ROTATIONS, ids=cases.name_of)
def test_quaternions_of_matrices_and_their_average(path):
    arrays = cases.load(path)
    found = quaternions.matrix_to_quaternion(arrays["frommat_in"])
    np.testing.assert_allclose(found, arrays["frommat_out"], **VALUE)
    mean = quaternions.average_quaternions(arrays["avg_in"])
    expected = arrays["avg_out"]
    np.testing.assert_allclose(with_sign_of(mean, expected), expected, **VALUE)


@pytest.mark.parametrize("path", ROTATIONS, ids=cases.name_of)
def test_the_camera_of_a_position(path):
    arrays = cases.load(path)
    camera = cameras.from_blender_position(arrays["cam_pos"])
    expected = arrays["cam_quat"]
    found = cameras.to_quaternion(camera)
    np.testing.assert_allclose(with_sign_of(found, expected), expected, **VALUE)
    same = cameras.from_quaternion(expected)
    np.testing.assert_allclose(camera.world_to_camera, same.world_to_camera, **VALUE)
    np.testing.assert_array_equal(camera.projection, same.projection)


@pytest.mark.parametrize("path", ROTATIONS, ids=cases.name_of)
def test_the_camera_of_an_extrinsic(path):
    arrays = cases.load(path)
    camera = cameras.from_blender_extrinsic(arrays["blender_extr"])
    # Theirs has the rows depth, up and right, ours right, up and -depth.
    rows = camera.world_to_camera.numpy()[:, [2, 1, 0, 3]]
    rows[:, 0] *= -1.0
    np.testing.assert_array_equal(rows, arrays["our_extr"])


@pytest.mark.parametrize("path", PROJECTIONS, ids=cases.name_of)
@pytest.mark.parametrize("kind", ["", "_free", "_trans"])
def test_projected_points(path, kind):
    arrays = cases.load(path)
    move = arrays["translation"] if kind == "_trans" else None
    camera = cameras.from_quaternion(
        arrays["quat_free" if kind == "_free" else "quat"], move
    )
    xy, depth = ops.project_points(arrays["points"], camera)
    np.testing.assert_allclose(xy, arrays[f"xy{kind}"], **VALUE)
    if move is not None:
        depth -= move[:, :1]
    found = tf.stack([depth - DISTANCE, xy[..., 1], xy[..., 0]], axis=-1)
    np.testing.assert_allclose(found, arrays[f"zyx{kind}"], **VALUE)


@pytest.mark.parametrize("path", PROJECTIONS, ids=cases.name_of)
def test_pixel_coordinates_and_their_gradients(path):
    arrays = cases.load(path)
    points, pose = tf.constant(arrays["points"]), tf.constant(arrays["quat"])
    with tf.GradientTape() as tape:
        tape.watch([points, pose])
        xy, _ = ops.project_points(points, cameras.from_quaternion(pose))
        places = ops.frame_coordinates(xy, 32, aligned=False)
        total = tf.reduce_sum(arrays["probe"] * places)
    check_places(places, arrays["coord32"], 32)
    found = tape.gradient(total, [points, pose])
    for name, value in zip(("points", "quat"), found, strict=True):
        check_gradient(value, arrays[f"grad_{name}_of_sum_probe_coord32"])


@pytest.mark.parametrize("path", PROJECTIONS, ids=cases.name_of)
def test_points_outside_of_the_frame_are_clipped(path):
    arrays = cases.load(path)
    points = tf.constant(arrays["far_points"])
    with tf.GradientTape() as tape:
        tape.watch(points)
        camera = cameras.from_quaternion(arrays["quat"][: len(points)])
        xy, _ = ops.project_points(points, camera)
        places = ops.frame_coordinates(xy, 32, aligned=False)
        total = tf.reduce_sum(places)
    np.testing.assert_allclose(xy, arrays["far_xy"], **VALUE)
    check_places(places, arrays["far_coord32"], 32)
    expected = arrays["far_grad"]
    found = tape.gradient(total, points).numpy()
    check_gradient(found, expected)
    lost = np.all(np.abs(xy) > 0.5, axis=-1)
    assert lost.any() and not expected[lost].any() and not found[lost].any()
