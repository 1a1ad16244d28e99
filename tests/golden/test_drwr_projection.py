"""DPC's renderer and ensemble of poses, as published."""

import numpy as np
import pytest
import tensorflow as tf

from tests.golden import cases
from tfrender import cameras, losses, ops
from tfrender.ops.splat_points import gaussian_kernel

PATHS = cases.holding("drwr", "proj", "proj_depth", "voxels", "pose_student")
STUDENT_WEIGHT = 20.0  # README: the stored loss is multiplied already
VALUE = {"rtol": 1e-5, "atol": 2e-6}


def check_gradient(found, expected):
    limit = 1e-5 * np.abs(expected).max()
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=limit)


def render(arrays, points, poses):
    kernel = len(arrays["kernel1d"])
    settings = ops.OccupancySettings(
        grid=arrays["proj"].shape[1],
        grid_depth=arrays["voxels"].shape[1],
        taps=kernel,
        as_released=True,
    )
    return ops.project_occupancy(
        points,
        cameras.from_quaternion(poses),
        arrays["sigma_rel"],
        settings,
        scale=arrays["scaling"],
    )


def candidate_errors(arrays, alpha):
    """[V, K] of the loss of each view and candidate, the candidate fastest."""
    target = arrays["gt"]
    alpha = tf.reshape(alpha, [len(target), -1, *target.shape[1:]])
    error = tf.math.squared_difference(alpha, target[:, np.newaxis])
    return 0.5 * tf.reduce_sum(error, axis=(2, 3, 4))


@pytest.mark.parametrize("path", PATHS, ids=cases.name_of)
def test_pictures_and_voxels(path):
    arrays = cases.load(path)
    found = render(arrays, arrays["points"], arrays["poses"])
    voxels = found.voxels[..., tf.newaxis]
    np.testing.assert_allclose(voxels, arrays["voxels"], **VALUE)
    np.testing.assert_allclose(found.alpha, arrays["proj"], **VALUE)
    np.testing.assert_allclose(found.depth, arrays["proj_depth"], **VALUE)
    xy, depth = ops.project_points(
        arrays["points"], cameras.from_quaternion(arrays["poses"])
    )
    place = tf.stack([depth - 2.0, xy[..., 1], xy[..., 0]], axis=-1)
    np.testing.assert_allclose(place, arrays["zyx"], **VALUE)


@pytest.mark.parametrize("path", PATHS, ids=cases.name_of)
def test_the_loss_of_the_best_candidates(path):
    arrays = cases.load(path)
    points, poses = tf.constant(arrays["points"]), tf.constant(arrays["poses"])
    with tf.GradientTape() as tape:
        tape.watch([points, poses])
        errors = candidate_errors(arrays, render(arrays, points, poses).alpha)
        guesses = tf.reshape(poses, [*errors.shape, 4])
        winners = losses.best_candidates(errors, guesses)
        value = tf.reduce_mean(winners.error)
    np.testing.assert_array_equal(winners.index, arrays["best"])
    np.testing.assert_allclose(value, arrays["proj_loss"], **VALUE)
    found = tape.gradient(value, [points, poses])
    check_gradient(found[0], arrays["g_points"])
    check_gradient(found[1], arrays["g_poses"])
    losers = np.ones(errors.shape, bool)
    losers[np.arange(len(losers)), arrays["best"]] = False
    assert not found[1].numpy().reshape(*errors.shape, 4)[losers].any()


@pytest.mark.parametrize("path", PATHS, ids=cases.name_of)
def test_the_loss_of_the_student(path):
    arrays = cases.load(path)
    student = tf.constant(arrays["pose_student"])
    guesses = arrays["poses"].reshape(len(student), -1, 4)
    teacher = np.take_along_axis(guesses, arrays["best"][:, None, None], axis=1)[:, 0]
    with tf.GradientTape() as tape:
        tape.watch(student)
        learned = tf.reduce_mean(losses.student_loss(teacher, student))
        value = STUDENT_WEIGHT * learned
    np.testing.assert_allclose(value, arrays["student_loss"], **VALUE)
    check_gradient(tape.gradient(value, student), arrays["g_student"])


@pytest.mark.parametrize("path", PATHS, ids=cases.name_of)
def test_kernels(path):
    arrays = cases.load(path)
    for name, sigma in (("kernel1d", arrays["sigma_rel"]), ("kernel1d_21_s3", 3.0)):
        found = gaussian_kernel(sigma, len(arrays[name]))
        np.testing.assert_allclose(found, arrays[name], rtol=1e-5, atol=1e-6)
