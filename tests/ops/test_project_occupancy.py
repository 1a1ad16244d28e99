import numpy as np
import pytest
import tensorflow as tf

from tfrender import cameras, ops

RNG = np.random.default_rng(0)
POINTS = tf.constant(RNG.uniform(-0.35, 0.35, (2, 12, 3)), tf.float32)
POSES = RNG.normal(size=(4, 4))
SCALE = np.array([[0.7], [0.9]])
SETTINGS = ops.OccupancySettings(grid=12, taps=5)


def camera(poses=POSES):
    return cameras.from_quaternion(poses)


def front():
    """From in front of the object: (depth, up, right) are (z, y, -x)."""
    return cameras.from_quaternion(
        cameras.to_quaternion(
            cameras.Camera(cameras.orbit(0.0, 0.0, 2.0), cameras.perspective(40.0))
        )
    )


def test_points_appear_where_they_project():
    pixels = [(2, 3), (9, 7)]  # row, column
    frame = np.array([[(c + 0.5) / 12 - 0.5, 0.5 - (r + 0.5) / 12] for r, c in pixels])
    depth = 1.5 + (np.array([2, 9]) + 0.5) / 12  # of the middles of voxels
    x, y = (frame * depth[:, np.newaxis] / 1.875).T
    points = tf.constant(np.stack([-x, y, depth - 2.0], -1)[np.newaxis], tf.float32)
    found = ops.project_occupancy(points, front(), 1e-3, SETTINGS)
    lit = np.argwhere(found.alpha.numpy()[0, ..., 0] > 0.1)
    assert sorted(map(tuple, lit)) == sorted(pixels)
    for (row, column), far in zip(pixels, depth, strict=True):
        np.testing.assert_allclose(found.alpha[0, row, column], 1.0, atol=1e-4)
        np.testing.assert_allclose(found.depth[0, row, column], far, atol=1e-3)
    empty = found.depth.numpy()[found.alpha.numpy() < 0.01]
    np.testing.assert_allclose(empty, 10.0, atol=0.01)


def test_both_halves_are_the_whole():
    whole = ops.project_occupancy(POINTS, camera(), 0.8, SETTINGS)
    xy, depth = ops.project_points(POINTS, camera())
    seen = tf.concat([xy, depth[..., tf.newaxis]], axis=-1)
    voxels = ops.occupancy_voxels(seen, 0.8, SETTINGS)
    found = ops.occupancy_pictures(voxels, SETTINGS)
    for a, b in zip(found, whole, strict=True):
        np.testing.assert_array_equal(a, b)
    assert whole.alpha.shape == whole.depth.shape == (4, 12, 12, 1)


def test_the_axes_may_have_different_sizes():
    settings = SETTINGS._replace(grid_depth=5)
    found = ops.project_occupancy(POINTS, camera(), 0.8, settings)
    assert found.voxels.shape == (4, 5, 12, 12)
    assert tf.reduce_min(found.depth) > 1.4


def test_scale_and_weights_act_on_points():
    keep = np.zeros((4, 12), np.float32)
    keep[:, :5] = 1.0
    some = ops.project_occupancy(POINTS, camera(), 0.8, SETTINGS, weights=keep)
    want = ops.project_occupancy(POINTS[:, :5], camera(), 0.8, SETTINGS)
    np.testing.assert_allclose(some.alpha, want.alpha, atol=1e-6)
    half = ops.project_occupancy(
        POINTS, camera(), 0.8, SETTINGS, scale=tf.fill([4, 1], 0.5)
    )
    whole = ops.project_occupancy(POINTS, camera(), 0.8, SETTINGS)
    np.testing.assert_allclose(half.voxels, 0.5 * whole.voxels, atol=1e-6)
    none = ops.project_occupancy(POINTS, camera(), 0.8, SETTINGS, scale=[[0.0]] * 4)
    np.testing.assert_allclose(none.alpha, 0.0, atol=2e-4)  # 12 times the clip


def test_the_largest_occupancy_may_take_the_place_of_the_product():
    settings = SETTINGS._replace(max_projection=True)
    found = ops.project_occupancy(POINTS, camera(), 0.8, settings)
    want = tf.reduce_max(found.voxels, axis=1)[:, ::-1, :, tf.newaxis]
    np.testing.assert_array_equal(found.alpha, want)
    assert found.depth is None


@pytest.mark.parametrize("released", [False, True])
def test_gradients_equal_finite_differences(released):
    settings = ops.OccupancySettings(grid=6, taps=3, as_released=released)
    seen = RNG.uniform(-0.4, 0.4, (2, 3, 3)) + [0.0, 0.0, 2.0]
    probe = RNG.normal(size=(2, 2, 6, 6, 1))

    def value(seen, scale):
        voxels = ops.occupancy_voxels(seen, 0.8, settings, scale=scale)
        found = ops.occupancy_pictures(voxels, settings)
        return tf.reduce_sum(probe[0] * found.alpha + probe[1] * found.depth)

    exact, numeric = tf.test.compute_gradient(value, [seen, SCALE], 1e-6)
    for a, b in zip(exact, numeric, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)


def test_cameras_have_gradients():
    poses = tf.constant(POSES, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(poses)
        found = ops.project_occupancy(POINTS, camera(poses), 0.8, SETTINGS)
        total = tf.reduce_sum(found.alpha**2)
    slope = tape.gradient(total, poses).numpy()
    assert np.isfinite(slope).all() and (np.abs(slope).max(axis=1) > 1e-3).all()


def test_a_graph_of_any_batch_gives_the_same():
    specs = [
        tf.TensorSpec([None, None, 3]),
        tf.TensorSpec([None, 4]),
        tf.TensorSpec([]),
    ]
    graph = tf.function(
        lambda points, poses, sigma: ops.project_occupancy(
            points, camera(poses), sigma, SETTINGS
        ),
        input_signature=specs,
    )
    for batch, views in ((2, 4), (1, 3)):
        given = POINTS[:batch], tf.constant(POSES[:views], tf.float32)
        want = ops.project_occupancy(given[0], camera(given[1]), 0.8, SETTINGS)
        for a, b in zip(graph(*given, 0.8), want, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ops.occupancy_voxels(POINTS[0], 1.0), "`seen` must have 3 axes"),
        (lambda: ops.occupancy_voxels(POINTS[..., :2], 1.0), "`seen` must end in"),
        (lambda: ops.occupancy_pictures(POINTS), "`voxels` must have 4 axes"),
        (
            lambda: ops.project_occupancy(POINTS, camera(), 1.0, scale=tf.ones([4, 2])),
            "`scale` must end in",
        ),
        (lambda: ops.project_occupancy(POINTS, camera(POSES[:3]), 1.0), "`camera` mus"),
    ],
)
def test_faults_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
