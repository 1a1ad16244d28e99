"""Resampling against arrays of the original (README of the data: tolerances)."""

import numpy as np
import pytest
import tensorflow as tf

from tests.golden import cases
from tfrender.ops.resample_volume import resample_volume, view_axes

FULL = ["silhouette", "depth_sum"]


def _resample(data, voxels, size):
    params = tf.constant(data["params"], tf.float32)
    voxels = tf.constant(voxels, tf.float32)
    return resample_volume(voxels, params[:, 0], params[:, 1], params[:, 2], size)


def _each_case(*names):
    """Runs a test on every case that holds these arrays."""
    paths = cases.holding("rendernet", *names)
    return pytest.mark.parametrize("path", paths, ids=cases.name_of)


@_each_case("camera", "stable_camera")
def test_camera_grid_equals_the_original_on_stable_cells(path):
    data = cases.load(path)
    size = data["camera"].shape[1]
    ours = _resample(data, data["voxels"], size).numpy()
    stable = data["stable_camera"]
    assert stable.mean() > 0.5
    np.testing.assert_allclose(ours[stable], data["camera"][stable], atol=1e-5)


@_each_case("rotation")
def test_view_axes_are_the_rows_of_the_original_rotation(path):
    data = cases.load(path)
    params = tf.constant(data["params"], tf.float32)
    axes = tf.stack([tf.stack(a, -1) for a in view_axes(params[:, 0], params[:, 1])], 1)
    np.testing.assert_allclose(axes, data["rotation"][:, :3, :3], atol=1e-6)


@_each_case(*FULL)
def test_full_size_grid_equals_the_original(path):
    data = cases.load(path)
    side = round((data["voxels_packed"].size * 8) ** (1 / 3))
    solid = np.unpackbits(data["voxels_packed"])[: side**3].reshape((side,) * 3)
    count, size = data["depth_sum"].shape[:2]
    batch = np.broadcast_to(solid[None, ..., None], (count, *solid.shape, 1))
    ours = _resample(data, batch, size).numpy()[..., 0]
    nearest = np.where(ours > 0.5, np.arange(size), -1).max(-1)
    np.testing.assert_allclose(ours.sum(-1), data["depth_sum"], atol=2e-3)
    assert np.mean((ours.max(-1) > 0.5) == data["silhouette"]) >= 0.999
    assert np.mean(nearest == data["nearest_depth_index"]) >= 0.999
    total = ours.astype(np.float64).sum((1, 2, 3))
    np.testing.assert_allclose(total, data["total"], rtol=1e-5)


@_each_case("d_voxels")
def test_gradients_equal_the_original(path):
    data = cases.load(path)
    voxels = tf.constant(data["voxels"])
    params = tf.constant(data["params"])
    weights = tf.constant(data["weights"])
    with tf.GradientTape() as tape:
        tape.watch([voxels, params])
        grid = resample_volume(
            voxels, params[:, 0], params[:, 1], params[:, 2], weights.shape[1]
        )
        loss = tf.reduce_sum(weights * grid, axis=[1, 2, 3, 4])
    d_voxels, d_params = tape.gradient(loss, [voxels, params])
    np.testing.assert_allclose(loss, data["loss"], atol=1e-4)
    np.testing.assert_allclose(d_voxels, data["d_voxels"], atol=2e-3)
    np.testing.assert_allclose(d_params, data["d_params"], atol=1e-3)
