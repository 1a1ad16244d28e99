import numpy as np
import pytest
import tensorflow as tf

from tfrender import cameras, ops

RNG = np.random.default_rng(0)
POINTS = RNG.uniform(-0.5, 0.5, (2, 5, 3)).astype(np.float32)
EYES = RNG.normal(size=(6, 3))
EYES *= 2.0 / np.linalg.norm(EYES, axis=-1, keepdims=True)


def camera(count=6):
    view = cameras.look_at(EYES[:count])
    lens = tf.repeat(cameras.perspective(40.0), count, axis=0)
    return cameras.Camera(view, lens)


def test_each_object_is_seen_by_its_own_views():
    xy, depth = ops.project_points(POINTS, camera())
    for view in range(6):
        alone = cameras.Camera(*(matrix[view : view + 1] for matrix in camera()))
        points = tf.constant(POINTS[view // 3 : view // 3 + 1])
        clip = cameras.project_to_clip(alone, points)
        want = 0.5 * clip[..., :2] / clip[..., 3:]
        np.testing.assert_allclose(xy[view], want[0], atol=1e-6)
        want = cameras.view_depth(alone, points)
        np.testing.assert_allclose(depth[view], want[0], atol=1e-6)


def test_one_lens_serves_all_views_and_one_view_all_objects():
    view, lens = camera()
    want = ops.project_points(POINTS, camera())
    found = ops.project_points(POINTS, cameras.Camera(view, lens[:1]))
    for a, b in zip(found, want, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    found = ops.project_points(POINTS, camera(1))
    for i in range(2):
        alone = ops.project_points(POINTS[i : i + 1], camera(1))
        for a, b in zip(found, alone, strict=True):
            np.testing.assert_allclose(a[i], b[0], atol=1e-6)


def test_x_is_to_the_right_and_y_up():
    front = cameras.Camera(cameras.orbit(0.0, 0.0, 2.0), cameras.perspective(40.0))
    # In front of the object (camera on -Z) world -X is to the right.
    xy, depth = ops.project_points([[[-0.1, 0.0, 0.0], [0.0, 0.2, -0.5]]], front)
    half = np.tan(np.radians(20.0))
    np.testing.assert_allclose(xy[0, 0], [0.025 / half, 0.0], atol=1e-6)
    np.testing.assert_allclose(xy[0, 1], [0.0, 0.5 * 0.2 / 1.5 / half], rtol=1e-5)
    np.testing.assert_allclose(depth[0], [2.0, 1.5], rtol=1e-6)


def test_points_at_and_behind_the_camera_stay_finite():
    points = tf.constant(np.stack([EYES[:1], 2.0 * EYES[:1], 1e3 * EYES[:1]], 1))
    points = tf.cast(points, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(points)
        xy, depth = ops.project_points(points, camera(1))
        total = tf.reduce_sum(xy) + tf.reduce_sum(depth)
    assert np.isfinite(xy).all() and np.isfinite(tape.gradient(total, points)).all()


@pytest.mark.parametrize("aligned", [True, False])
def test_places_in_a_picture(aligned):
    grid = 8
    centers = (np.arange(grid) + 0.5) / grid - 0.5
    xy = np.stack(np.meshgrid(centers, centers), -1)
    found = ops.frame_coordinates(xy, grid, aligned=aligned).numpy()
    want = np.stack(np.meshgrid(np.arange(grid), np.arange(grid)), -1)
    if not aligned:  # half a pixel wrong at the edges, right in the middle
        want = (want + 0.5) * (grid - 1) / grid
    np.testing.assert_allclose(found, want, atol=2e-4)
    corners = np.array([[-0.5, 0.5], [-9.0, 9.0], [0.0, 0.0]])
    found = ops.frame_coordinates(corners, grid, aligned=aligned)
    last = grid - 1 - (1e-4 if aligned else 0.0)
    middle = (grid - 1) / 2
    np.testing.assert_allclose(found, [[0.0, last], [0.0, last], [middle, middle]])


@pytest.mark.parametrize(("aligned", "slope"), [(True, 8.0), (False, 7.0)])
def test_places_have_gradients_inside_the_frame_alone(aligned, slope):
    xy = tf.constant([[0.1, -0.2], [0.6, 0.3], [-0.7, 0.8]])
    with tf.GradientTape() as tape:
        tape.watch(xy)
        places = ops.frame_coordinates(xy, 8, aligned=aligned)
    want = slope * np.array([[1, 1], [0, 1], [0, 0]])
    np.testing.assert_allclose(tape.gradient(places, xy), want)


def test_gradients_equal_finite_differences():
    exact, numeric = tf.test.compute_gradient(
        lambda points, view: ops.project_points(
            points, cameras.Camera(view, camera(2).projection)
        )[0],
        [tf.constant(POINTS[:1, :2]), camera(2).world_to_camera],
        1e-2,
    )
    for a, b in zip(exact, numeric, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-3)


def test_graphs_of_any_size_give_the_same():
    matrix = tf.TensorSpec([None, 4, 4], tf.float32)
    graph = tf.function(
        lambda points, *parts: ops.project_points(points, cameras.Camera(*parts)),
        input_signature=[tf.TensorSpec([None, None, 3], tf.float32), matrix, matrix],
    )
    for batch, views in ((2, 6), (1, 3), (2, 2)):
        given = tf.constant(POINTS[:batch]), *camera(views)
        want = ops.project_points(given[0], camera(views))
        for a, b in zip(graph(*given), want, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-6)
    found = graph(tf.zeros([0, 4, 3]), *(part[:0] for part in camera()))
    assert found[0].shape == (0, 4, 2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ops.project_points(POINTS[0], camera()), "`points` must have 3 axes"),
        (lambda: ops.project_points(POINTS[..., :2], camera()), "`points` must end"),
        (lambda: ops.project_points(POINTS, camera(3)), "`camera` must have a multip"),
        (lambda: ops.frame_coordinates(POINTS, 8), "`xy` must end in"),
        (lambda: ops.frame_coordinates(POINTS[..., :2], 1), "`grid` must lie in"),
    ],
)
def test_faults_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
