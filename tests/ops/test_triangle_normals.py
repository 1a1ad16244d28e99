import numpy as np
import pytest
import tensorflow as tf

from tfrender.ops.triangle_normals import (
    guarded_unit,
    triangle_cross,
    triangle_normals,
)

RNG = None  # a generator, fresh for each test


@pytest.fixture(autouse=True)
def fresh_generator():
    global RNG
    RNG = np.random.default_rng(3)


def test_normals_point_outside_and_the_cross_product_is_twice_the_area():
    corners = RNG.normal(size=(2, 5, 3, 3))
    cross = triangle_cross(corners).numpy()
    want = np.cross(
        corners[..., 1, :] - corners[..., 0, :], corners[..., 2, :] - corners[..., 0, :]
    )
    np.testing.assert_allclose(cross, want, atol=1e-12)
    flat = np.array([[0, 0, 0], [2, 0, 0], [0, 3, 0]], float)  # counter-clockwise
    np.testing.assert_allclose(triangle_cross(flat), [0, 0, 6])
    np.testing.assert_allclose(triangle_normals(flat), [0, 0, 1])
    turned = np.roll(corners, 1, axis=-2)
    np.testing.assert_allclose(triangle_normals(turned), triangle_normals(corners))


def test_the_rules_differ_in_length_only():
    corners = RNG.normal(size=(4, 3, 3))
    for size in (1.0, 1e-4):
        cross = triangle_cross(corners * size).numpy()
        length = np.linalg.norm(cross, axis=-1, keepdims=True)
        for rule, divisor in (
            ("floor", np.maximum(length, 1e-5)),
            ("added", length + 1e-5),
        ):
            got = triangle_normals(corners * size, eps=1e-5, rule=rule)
            np.testing.assert_allclose(got, cross / divisor, rtol=1e-12)


@pytest.mark.parametrize("rule", ["floor", "added"])
def test_gradients_equal_finite_differences(rule):
    def normal(c):
        return triangle_normals(c, eps=1e-3, rule=rule)

    corners = RNG.normal(size=(2, 3, 3))
    exact, numeric = tf.test.compute_gradient(normal, [corners], 1e-6)
    np.testing.assert_allclose(exact[0], numeric[0], atol=1e-7)


@pytest.mark.parametrize("rule", ["floor", "added"])
@pytest.mark.parametrize("eps", [0.0, 1e-5])
def test_triangles_of_no_area_give_zero_and_finite_gradients(rule, eps):
    line = np.array([[0, 0, 0], [1, 1, 1], [2, 2, 2]])
    corners = tf.constant(np.stack([line * 0, line, line * 1e-20]), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(corners)
        normal = triangle_normals(corners, eps=eps, rule=rule)
    np.testing.assert_array_equal(normal, np.zeros((3, 3)))
    assert np.isfinite(tape.gradient(normal, corners)).all()


def test_compiled_and_faulty_calls():
    corners = RNG.normal(size=(4, 3, 3)).astype(np.float32)
    compiled = tf.function(triangle_normals, jit_compile=True)
    np.testing.assert_allclose(compiled(corners), triangle_normals(corners), atol=1e-6)
    np.testing.assert_allclose(
        guarded_unit(tf.constant([3.0, 4.0]), eps=0.0), [0.6, 0.8]
    )
    with pytest.raises(ValueError, match="`rule` must"):
        triangle_normals(corners, rule="none")
    with pytest.raises(ValueError, match="`corners` must"):
        triangle_normals(corners[:, :2])
