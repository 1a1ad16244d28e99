"""Tests of tfrender.ops.resample_volume."""

import math

import numpy as np
import pytest
import tensorflow as tf

from tfrender.ops.resample_volume import (
    pose_parameters,
    resample_volume,
    view_axes,
)

POSES = [[100.0, 70.0, 3.3], [250.0, 20.0, 4.0], [-30.0, 120.0, 2.9]]


def _random(n=6, channels=2, batch=3, seed=0):
    generator = np.random.default_rng(seed)
    return generator.random((batch, n, n, n, channels), np.float32)


def _resample(voxels, poses, size, **settings):
    return resample_volume(
        tf.constant(voxels),
        *pose_parameters(tf.constant(poses, tf.float32)),
        size,
        **settings,
    ).numpy()


def _loop(voxels, pose, size, pad=0):
    """The definition, cell by cell, in float64."""
    azimuth, elevation = math.radians(pose[0]), math.radians(90 - pose[1])
    scale = 3.3 / pose[2]
    a = azimuth - math.pi / 2
    ry = [[math.cos(a), 0, -math.sin(a)], [0, 1, 0], [math.sin(a), 0, math.cos(a)]]
    ce, se = math.cos(elevation), math.sin(elevation)
    rotation = np.array([[ce, se, 0], [-se, ce, 0], [0, 0, 1]]) @ np.array(ry)
    n = voxels.shape[0]
    voxels = np.pad(voxels.astype(np.float64), [(pad, pad)] * 3 + [(0, 0)])
    side = n + 2 * pad
    out = np.zeros((size, size, size, voxels.shape[-1]))
    for row, col, depth in np.ndindex(size, size, size):
        cell = np.array([depth, size - 1 - row, col]) - size / 2
        z, y, x = rotation.T @ cell / scale + n / 2 + pad
        i, j, k = (math.floor(c) for c in (x, y, z))
        if not all(0 <= c <= side - 2 for c in (i, j, k)):
            continue
        for di, dj, dk in np.ndindex(2, 2, 2):
            weight = (
                abs(1 - di - (x - i)) * abs(1 - dj - (y - j)) * abs(1 - dk - (z - k))
            )
            out[row, col, depth] += weight * voxels[i + di, j + dj, k + dk]
    return out


@pytest.mark.parametrize("border", ["legacy", "zero_pad"])
def test_equals_the_loop_form(border):
    voxels = _random()
    ours = _resample(voxels, POSES, 10, border=border)
    for i, pose in enumerate(POSES):
        expected = _loop(voxels[i], pose, 10, pad=border == "zero_pad")
        np.testing.assert_allclose(ours[i], expected, atol=2e-5)


def test_identity_pose_copies_the_grid_and_loses_the_last_plane():
    n = 8
    voxels = _random(n, 1, 1)
    camera = _resample(voxels, [[90.0, 90.0, 3.3]], 2 * n)[0, ..., 0]
    # Undo the camera order: object-order[z', y', x'] = camera[m - 1 - y', z', x'].
    objects = camera[::-1].transpose(1, 0, 2)  # [z' = X, y' = Y, x' = Z]
    half = n // 2
    inside = slice(half, half + n - 1)
    np.testing.assert_allclose(
        objects[inside, inside, inside],
        voxels[0, : n - 1, : n - 1, : n - 1, 0],
        atol=1e-6,
    )
    assert np.count_nonzero(objects) == (n - 1) ** 3


def test_zero_pad_keeps_every_plane_of_a_full_grid():
    n = 8
    ones = np.ones((1, n, n, n, 1), np.float32)
    pose = [[90.0, 90.0, 3.3]]
    assert _resample(ones, pose, 2 * n).sum() == pytest.approx((n - 1) ** 3, rel=1e-4)
    kept = _resample(ones, pose, 2 * n, border="zero_pad").sum()
    assert kept == pytest.approx(n**3, rel=1e-3)


def test_a_turn_of_360_degrees_changes_nothing():
    voxels = _random()
    turned = [[a + 360.0, e, r] for a, e, r in POSES]
    np.testing.assert_allclose(
        _resample(voxels, POSES, 8), _resample(voxels, turned, 8), atol=1e-4
    )


def test_view_axes_are_the_look_at_vectors_of_the_page():
    azimuth, elevation = np.radians([20.0, 200.0]), np.radians([35.0, -60.0])
    axes = view_axes(tf.constant(azimuth), tf.constant(elevation))
    toward, up, right = (np.stack(axis, -1)[:, ::-1] for axis in axes)  # (X, Y, Z)
    ce, se = np.cos(elevation), np.sin(elevation)
    ca, sa = np.cos(azimuth), np.sin(azimuth)
    np.testing.assert_allclose(toward, np.stack([ce * ca, se, ce * sa], -1), atol=1e-12)
    np.testing.assert_allclose(right, np.stack([sa, 0 * sa, -ca], -1), atol=1e-12)
    np.testing.assert_allclose(up, np.cross(toward, right), atol=1e-12)


def test_the_camera_sits_at_the_high_end_of_the_depth():
    # A voxel on the +X side, seen from +X (azimuth 0), is nearer than the centre.
    voxels = np.zeros((1, 8, 8, 8, 1), np.float32)
    voxels[0, 6, 4, 4] = 1.0
    camera = _resample(voxels, [[0.0, 90.0, 3.3]], 16)[0, ..., 0]
    _, _, depth = np.unravel_index(camera.argmax(), camera.shape)
    assert depth > 8


def test_a_window_equals_the_same_part_of_the_whole_grid():
    voxels = _random()
    whole = _resample(voxels, POSES, 12)
    origin = np.array([[0, 5], [3, 1], [7, 6]], np.int32)
    part = _resample(voxels, POSES, 12, origin=tf.constant(origin), window=(5, 4))
    for i, (row, col) in enumerate(origin):
        expected = whole[i, row : row + 5, col : col + 4]
        np.testing.assert_allclose(part[i], expected, atol=1e-6)


def test_xla_form_equals_the_graph_form():
    voxels = tf.constant(_random())
    parameters = pose_parameters(tf.constant(POSES))
    compiled = tf.function(resample_volume, jit_compile=True)
    np.testing.assert_allclose(
        compiled(voxels, *parameters, 8),
        resample_volume(voxels, *parameters, 8),
        atol=2e-5,
    )


def test_gradients_equal_finite_differences():
    # float64 path: the tape through the same formulas, on a smooth grid, at a pose
    # whose samples keep away from cell borders.
    grid = np.linspace(-1, 1, 6)
    x, y, z = np.meshgrid(grid, grid, grid, indexing="ij")
    voxels = np.exp(-2 * (x**2 + 2 * y**2 + 0.5 * z**2) + x)[None, ..., None]
    voxels = tf.constant(voxels, tf.float32)
    pose = tf.constant([[101.0, 73.0, 3.45]])
    weight = tf.constant(np.random.default_rng(1).random((1, 5, 5, 10, 1)), tf.float32)

    def value(pose):
        parameters = pose_parameters(pose)
        grid = resample_volume(
            voxels, *parameters, 10, "zero_pad", tf.constant([2, 3]), (5, 5)
        )
        return tf.reduce_sum(weight * grid)

    with tf.GradientTape() as tape:
        tape.watch(pose)
        loss = value(pose)
    exact = tape.gradient(loss, pose).numpy()[0]
    for axis, step in enumerate((0.02, 0.02, 1e-3)):
        shift = tf.one_hot([axis], 3) * step
        numeric = (value(pose + shift) - value(pose - shift)) / (2 * step)
        assert exact[axis] == pytest.approx(float(numeric), rel=0.05, abs=2e-3)


def test_gradient_of_the_voxels_is_the_adjoint():
    # The resampling is linear in the voxels: <A v, w> = <v, A^T w>.
    voxels = tf.constant(_random())
    parameters = pose_parameters(tf.constant(POSES))
    with tf.GradientTape() as tape:
        tape.watch(voxels)
        grid = resample_volume(voxels, *parameters, 9)
        weight = tf.random.stateless_uniform(grid.shape, [1, 2])
        product = tf.reduce_sum(grid * weight)
    back = tape.gradient(product, voxels)
    other = tf.reduce_sum(back * voxels)
    assert float(product) == pytest.approx(float(other), rel=1e-4)


@pytest.mark.parametrize(
    "pose", [[0.0, 0.0, 3.3], [90.0, 90.0, 3.3], [1e6, 180.0, 3.3], [0, 90, 1e-3]]
)
def test_extreme_poses_give_finite_values_and_gradients(pose):
    pose = tf.constant([pose], tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(pose)
        grid = resample_volume(tf.constant(_random(batch=1)), *pose_parameters(pose), 8)
        total = tf.reduce_sum(grid)
    gradient = tape.gradient(total, pose).numpy()
    assert np.isfinite(grid).all() and np.isfinite(gradient).all()


def test_a_pose_without_radius_has_scale_one():
    with_radius = pose_parameters(tf.constant([[10.0, 20.0, 3.3]]))
    without = pose_parameters(tf.constant([[10.0, 20.0]]))
    np.testing.assert_allclose(np.stack(with_radius), np.stack(without), rtol=1e-6)


@pytest.mark.parametrize(
    ("shape", "settings", "message"),
    [
        ((1, 4, 4, 5, 1), {}, "voxels"),
        ((4, 4, 4, 1), {}, "5 axes"),
        ((1, 4, 4, 4, 1), {"border": "wrap"}, "border"),
        ((1, 4, 4, 4, 1), {"window": (0, 4)}, "window"),
    ],
)
def test_bad_arguments_are_named(shape, settings, message):
    with pytest.raises(ValueError, match=message):
        resample_volume(
            tf.zeros(shape), *pose_parameters(tf.ones([1, 3])), 8, **settings
        )
