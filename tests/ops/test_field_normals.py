"""Claims of normals of fields."""

import numpy as np
import pytest
import tensorflow as tf

from tfrender.ops import field_query
from tfrender.ops.field_normals import central_normals, unit_gradient

POINTS = tf.random.stateless_uniform([20, 3], [1, 2], -0.5, 0.5)
ITEM = tf.zeros([20], tf.int32)


def query(slope=1.0):
    """A ball whose occupancy falls by `slope` a unit."""
    return field_query.query(
        lambda points: slope * (0.3 - tf.norm(points, axis=-1, keepdims=True))
    )


@pytest.mark.parametrize("slope", [1.0, 40.0])
def test_normals_of_a_ball_point_to_its_centre(slope):
    expected = -POINTS / tf.norm(POINTS, axis=-1, keepdims=True)
    found = central_normals(query(slope), POINTS, ITEM)
    np.testing.assert_allclose(found, expected, atol=2e-3)
    _, gradient = query(slope).occupancy_and_gradient(POINTS, ITEM)
    np.testing.assert_allclose(gradient, slope * expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(unit_gradient(gradient), expected, atol=1e-5)


def test_a_flat_field_has_short_normals_and_no_gradient():
    weight = tf.Variable(0.0)
    flat = field_query.query(lambda points: weight * points[..., :1])
    with tf.GradientTape() as tape:
        found = central_normals(flat, POINTS, ITEM)
        total = tf.reduce_sum(found)
    np.testing.assert_array_equal(found, np.zeros([20, 3]))
    assert np.isfinite(tape.gradient(total, weight))
    nothing = tf.Variable(tf.zeros([2, 3]))
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(unit_gradient(nothing))
    assert np.isfinite(tape.gradient(total, nothing)).all()


def test_the_gradient_of_a_unit_vector_turns_it():
    vector = tf.constant([[0.3, -0.4, 1.2]])
    with tf.GradientTape() as tape:
        tape.watch(vector)
        first = unit_gradient(vector)[0, 0]
    found = tape.gradient(first, vector).numpy()[0]
    length = 1.3
    expected = (np.array([1.0, 0, 0]) - vector[0] * 0.3 / length**2) / length
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_field_with_codes_is_asked_with_those_of_the_items():
    def field(points, code):
        return code[:, tf.newaxis] * points[..., :1]

    asked = field_query.query(field, tf.constant([[2.0], [-3.0]]))
    item = tf.constant([0, 1, 1])
    points = tf.constant([[1.0, 0, 0], [1.0, 0, 0], [2.0, 0, 0]])
    np.testing.assert_allclose(asked.occupancy(points, item), [2.0, -3.0, -6.0])
    _, gradient = asked.occupancy_and_gradient(points, item)
    np.testing.assert_allclose(gradient[:, 0], [2.0, -3.0, -3.0])
