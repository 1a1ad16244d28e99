import numpy as np
import pytest
import tensorflow as tf

from tfrender import quaternions

RNG = np.random.default_rng(0)
ANY = RNG.normal(size=(50, 4))
OTHER = RNG.normal(size=(50, 4))
POINTS = RNG.normal(size=(50, 3, 3))
# Half turns about axes, diagonals and anything: w = 0.
HALF = np.concatenate(
    [np.eye(4)[1:], [[0, 1, 1, 0], [0, 0, -1, 1], [0, 1, 1, 1]], ANY * [0, 1, 1, 1]]
)


def unit(value):
    return value / np.linalg.norm(value, axis=-1, keepdims=True)


def positive(value):
    return value * np.where(value[..., :1] < 0.0, -1.0, 1.0)


def last_w(value):
    """(w, x, y, z) to (x, y, z, w)."""
    return np.roll(value, -1, axis=-1)


def test_they_are_those_of_tensorflow_graphics():
    theirs = pytest.importorskip("tensorflow_graphics.geometry.transformation")
    a, b = last_w(unit(ANY)), last_w(unit(OTHER))
    np.testing.assert_allclose(
        quaternions.quaternion_to_matrix(ANY),
        theirs.rotation_matrix_3d.from_quaternion(a),
        atol=1e-12,
    )
    np.testing.assert_allclose(
        last_w(quaternions.multiply_quaternions(unit(ANY), unit(OTHER)).numpy()),
        theirs.quaternion.multiply(a, b),
        atol=1e-12,
    )
    turned = theirs.quaternion.rotate(POINTS, np.repeat(a[:, np.newaxis], 3, axis=1))
    found = quaternions.rotate_points(POINTS, ANY)
    np.testing.assert_allclose(found, turned, atol=1e-12)


def test_a_product_turns_by_its_second_factor_first():
    product = quaternions.multiply_quaternions(ANY, OTHER)
    two = quaternions.rotate_points(quaternions.rotate_points(POINTS, OTHER), ANY)
    one = quaternions.rotate_points(POINTS, product)
    np.testing.assert_allclose(one, two, atol=1e-12)
    back = quaternions.rotate_points(one, quaternions.conjugate_quaternion(product))
    np.testing.assert_allclose(back, POINTS, atol=1e-12)


@pytest.mark.parametrize("factor", [-1.0, 1e-6, 1e6])
def test_every_multiple_is_one_rotation(factor):
    want = quaternions.quaternion_to_matrix(ANY)
    found = quaternions.quaternion_to_matrix(factor * ANY)
    np.testing.assert_allclose(found, want, atol=1e-12)
    angle = quaternions.rotation_angle(ANY, factor * ANY)
    np.testing.assert_allclose(angle, 0.0, atol=1e-7)


@pytest.mark.parametrize("values", [ANY, HALF, HALF + 1e-4 * ANY[0]])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_matrices_come_back_half_turns_included(values, dtype):
    matrix = quaternions.quaternion_to_matrix(values.astype(dtype))
    found = quaternions.matrix_to_quaternion(matrix)
    assert found.dtype == dtype and (found.numpy()[:, 0] >= 0.0).all()
    atol = 1e-12 if dtype == np.float64 else 1e-6
    np.testing.assert_allclose(np.linalg.norm(found, axis=-1), 1.0, atol=atol)
    again = quaternions.quaternion_to_matrix(found)
    np.testing.assert_allclose(again, matrix, atol=4 * atol)
    if values is ANY:
        np.testing.assert_allclose(found, positive(unit(values)), atol=4 * atol)


def test_angles():
    turns = np.linspace(0.0, np.pi, 9)
    axis = unit(RNG.normal(size=3))
    values = np.concatenate(
        [np.cos(turns / 2)[:, None], np.sin(turns / 2)[:, None] * axis], -1
    )
    found = quaternions.rotation_angle(ANY[:9], quaternion_product(ANY[:9], values))
    np.testing.assert_allclose(found, turns, atol=1e-7)
    small = tf.constant([[1.0, 1e-5, 0.0, 0.0]])  # the arc cosine gives 0 here
    found = quaternions.rotation_angle(small, [[1.0, 0.0, 0.0, 0.0]])
    np.testing.assert_allclose(found, 2e-5, rtol=1e-4)


def quaternion_product(a, b):
    return quaternions.multiply_quaternions(a, b).numpy()


def test_a_mean_is_in_the_middle_whatever_the_signs():
    axis, center = unit(RNG.normal(size=3)), unit(ANY[0])
    around = [
        np.concatenate([[np.cos(t)], np.sin(t) * axis]) for t in (-0.3, -0.1, 0.1, 0.3)
    ]
    around = quaternion_product(center, np.stack(around))
    around *= np.array([[1.0], [-2.0], [0.5], [-1.0]])
    found = quaternions.average_quaternions(np.stack([around, around[::-1]]))
    np.testing.assert_allclose(found, [positive(center)] * 2, atol=1e-12)


@pytest.mark.parametrize("values", [ANY[:2], HALF[[0, 1, 5]]])
def test_gradients_equal_finite_differences(values):
    exact, numeric = tf.test.compute_gradient(
        quaternions.quaternion_to_matrix, [tf.constant(values)], 1e-6
    )
    np.testing.assert_allclose(exact[0], numeric[0], atol=1e-7)

    def round_trip(q):  # through matrices that are rotations
        matrix = quaternions.quaternion_to_matrix(q)
        return quaternions.quaternion_to_matrix(
            quaternions.matrix_to_quaternion(matrix)
        )

    exact, numeric = tf.test.compute_gradient(round_trip, [tf.constant(values)], 1e-6)
    np.testing.assert_allclose(exact[0], numeric[0], atol=1e-6)


def test_degenerate_numbers_stay_finite():
    nothing = tf.zeros([2, 4])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(nothing)
        unit_ = quaternions.normalize_quaternion(nothing)
        matrix = quaternions.quaternion_to_matrix(nothing)
        back = quaternions.matrix_to_quaternion(matrix)
        angle = quaternions.rotation_angle(nothing, nothing)
    np.testing.assert_array_equal(unit_, [[1.0, 0.0, 0.0, 0.0]] * 2)
    np.testing.assert_array_equal(matrix, [np.eye(3)] * 2)
    for value in (unit_, matrix, back, angle):
        assert np.isfinite(tape.gradient(value, nothing)).all()
    broken = tf.zeros([1, 3, 3])  # no rotation
    with tf.GradientTape() as tape:
        tape.watch(broken)
        found = quaternions.matrix_to_quaternion(broken)
    assert np.isfinite(found).all()
    assert np.isfinite(tape.gradient(found, broken)).all()


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: quaternions.normalize_quaternion([1.0, 2.0, 3.0]), "quaternion"),
        (lambda: quaternions.multiply_quaternions(ANY, ANY[:, :3]), "second"),
        (lambda: quaternions.conjugate_quaternion(POINTS), "quaternion"),
        (lambda: quaternions.rotate_points(ANY, ANY), "points"),
        (lambda: quaternions.matrix_to_quaternion(ANY), "matrix"),
        (lambda: quaternions.average_quaternions(ANY[0]), "quaternions"),
    ],
)
def test_faults_are_named(call, name):
    with pytest.raises(ValueError, match=f"`{name}` must end in"):
        call()
