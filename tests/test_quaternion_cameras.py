import numpy as np
import pytest
import tensorflow as tf

from tfrender import cameras, ops, quaternions

RNG = np.random.default_rng(0)
POSES = RNG.normal(size=(5, 4))
POINTS = RNG.uniform(-0.5, 0.5, (5, 6, 3)).astype(np.float32)
LENGTH = 2.0


def directions(count):
    value = RNG.normal(size=(count, 3))
    return value / np.linalg.norm(value, axis=-1, keepdims=True)


def rows_of(camera):
    """Forward, up and right, in object coordinates."""
    return quaternions.quaternion_to_matrix(cameras.to_quaternion(camera)).numpy()


def test_cameras_look_at_the_origin_from_a_thousand_places():
    position = LENGTH * directions(1000)
    camera = cameras.from_blender_position(position)
    eye = position[:, [0, 2, 1]] * [1, 1, -1]  # their z is up
    forward = -eye / LENGTH
    right = np.cross(forward, [0.0, 1.0, 0.0])
    right /= np.linalg.norm(right, axis=-1, keepdims=True)
    up = np.cross(right, forward)
    want = np.stack([forward, up, right], axis=1)
    np.testing.assert_allclose(rows_of(camera), want, atol=1e-6)
    np.testing.assert_allclose(np.linalg.det(rows_of(camera)), 1.0, atol=1e-5)

    def seen(place):
        place = tf.constant(place[:, np.newaxis], tf.float32)
        return [value.numpy()[:, 0] for value in ops.project_points(place, camera)]

    np.testing.assert_allclose(seen(eye)[1], 0.0, atol=1e-6)
    center, depth = seen(0.0 * eye)
    np.testing.assert_allclose(center, 0.0, atol=1e-6)
    np.testing.assert_allclose(depth, LENGTH, rtol=1e-6)
    # f / distance of the frame for one unit; the lens of 60 mm sees 0.53 on each side.
    np.testing.assert_allclose(seen(0.1 * right)[0], [[0.09375, 0.0]] * 1000, atol=1e-6)
    np.testing.assert_allclose(seen(0.1 * up)[0], [[0.0, 0.09375]] * 1000, atol=1e-6)


@pytest.mark.parametrize("height", [2.0, -2.0])
def test_the_poles_are_safe(height):
    position = tf.Variable([[0.0, 0.0, height]])
    with tf.GradientTape() as tape:
        camera = cameras.from_blender_position(position)
        total = tf.reduce_sum(camera.world_to_camera * 0.3)
    assert np.isfinite(tape.gradient(total, position)).all()
    rows = rows_of(camera)[0]
    np.testing.assert_allclose(rows[0], [0.0, -np.sign(height), 0.0], atol=1e-6)
    np.testing.assert_allclose(rows @ rows.T, np.eye(3), atol=1e-6)
    np.testing.assert_allclose(np.linalg.det(rows), 1.0, atol=1e-6)


@pytest.mark.parametrize("move", [None, RNG.uniform(-0.2, 0.2, (5, 3))])
def test_projections_follow_the_equations(move):
    camera = cameras.from_quaternion(POSES, move, focal_length=1.5, distance=2.5)
    matrix = quaternions.quaternion_to_matrix(POSES).numpy()
    r = np.einsum("bij,bnj->bni", matrix, POINTS)
    r = r if move is None else r + move[:, np.newaxis]
    z = r[..., 0] + 2.5
    want = 1.5 * np.stack([r[..., 2], r[..., 1]], -1) / z[..., np.newaxis]
    xy, depth = ops.project_points(POINTS, camera)
    np.testing.assert_allclose(xy, want, atol=1e-6)
    np.testing.assert_allclose(depth, z, atol=1e-6)


def test_a_quaternion_comes_back_up_to_sign_and_length():
    for values in (POSES, -3.0 * POSES, np.eye(4)[1:]):
        found = cameras.to_quaternion(cameras.from_quaternion(values)).numpy()
        unit = values / np.linalg.norm(values, axis=-1, keepdims=True)
        product = np.sum(found * unit, axis=-1)
        np.testing.assert_allclose(np.abs(product), 1.0, atol=1e-6)
    one, two = cameras.from_quaternion(POSES), cameras.from_quaternion(-POSES)
    np.testing.assert_array_equal(one.world_to_camera, two.world_to_camera)


def test_one_of_each_argument_serves_a_batch():
    move, focal, far = RNG.normal(size=(5, 3)) * 0.1, [1.5, 2.0, 1.0, 3.0, 1.8], 3.0
    whole = cameras.from_quaternion(POSES[:1], move, focal_length=focal, distance=far)
    assert [m.shape.as_list() for m in whole] == [[5, 4, 4]] * 2
    for i in range(5):
        alone = cameras.from_quaternion(
            POSES[0], move[i], focal_length=focal[i], distance=far
        )
        for a, b in zip(whole, alone, strict=True):
            np.testing.assert_allclose(a[i], b[0], atol=1e-6)


def test_gradients_equal_finite_differences():
    inputs = [tf.constant(v, tf.float32) for v in (POSES[:2], 0.1 * POSES[:2, 1:])]
    inputs += [tf.constant([1.8, 2.0]), tf.constant([2.0, 2.5])]

    def places(pose, move, focal, far):
        camera = cameras.from_quaternion(pose, move, focal_length=focal, distance=far)
        return ops.project_points(POINTS[:2, :3], camera)[0]

    exact, numeric = tf.test.compute_gradient(places, inputs, 1e-2)
    for a, b in zip(exact, numeric, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-3)


def test_an_extrinsic_that_looks_back_is_the_camera_of_its_place():
    # Page of a camera file: x right, y down, z forward, object imported as (-x, z, y).
    position = LENGTH * directions(20)
    camera = cameras.from_blender_position(position)
    right, up, back = np.moveaxis(camera.world_to_camera.numpy()[:, :3, :3], 1, 0)
    rows = np.stack([right, -up, -back], axis=1)
    shuffle = np.array([[-1, 0, 0], [0, 0, 1], [0, 1, 0]])
    extrinsic = np.tile(np.eye(4), (20, 1, 1))
    extrinsic[:, :3, :3] = rows @ np.linalg.inv(shuffle)
    extrinsic[:, 2, 3] = LENGTH
    found = cameras.from_blender_extrinsic(extrinsic)
    np.testing.assert_allclose(found.world_to_camera, camera.world_to_camera, atol=1e-6)
    np.testing.assert_array_equal(found.projection, camera.projection)
    # Their world is ours turned half around the vertical: the azimuth is off by 180.
    at = np.linalg.inv(extrinsic)[:, :3, 3]
    np.testing.assert_allclose(at, position * [-1, -1, 1], atol=1e-6)


def test_graphs_of_any_batch_give_the_same():
    shape = tf.TensorSpec([None, 4], tf.float32)
    graph = tf.function(cameras.from_quaternion, input_signature=[shape])
    for count in (1, 5):
        want = cameras.from_quaternion(POSES[:count])
        found = graph(tf.constant(POSES[:count], tf.float32))
        for a, b in zip(found, want, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-6)


NAN = float("nan")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: cameras.from_quaternion(np.zeros((2, 4))), "`quaternion` must be fin"),
        (lambda: cameras.from_quaternion([1.0, NAN, 0.0, 0.0]), "`quaternion` must be"),
        (lambda: cameras.from_quaternion(POINTS), "`quaternion` must end in"),
        (lambda: cameras.from_quaternion(POSES, POSES), "`translation` must end in"),
        (lambda: cameras.from_blender_position([0.0, 0.0, 0.0]), "not the origin"),
        (lambda: cameras.from_blender_position([0.0, NAN, 0.0]), "`position` must be"),
        (lambda: cameras.from_blender_position(POSES), "`position` must end in"),
        (lambda: cameras.from_blender_extrinsic(np.eye(3)), "`extrinsic` must end in"),
        (lambda: cameras.from_blender_extrinsic(NAN * np.eye(4)), "`extrinsic` must"),
    ],
)
def test_faults_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
