"""Tests of tfrender.losses."""

import numpy as np
import pytest
import tensorflow as tf

from tfrender import losses

TARGET = tf.random.stateless_uniform([3, 4, 5, 1], [0, 1])
PREDICTION = tf.random.stateless_uniform([3, 4, 5, 1], [2, 3])


def test_cross_entropy_is_the_sum_over_a_picture():
    t, p = TARGET.numpy().astype(np.float64), PREDICTION.numpy().astype(np.float64)
    expected = -(t * np.log(1e-6 + p) + (1 - t) * np.log(1e-6 + 1 - p)).sum((1, 2, 3))
    np.testing.assert_allclose(
        losses.cross_entropy_sum(TARGET, PREDICTION), expected, rtol=1e-5
    )
    keras_form = losses.CrossEntropySum()(TARGET, PREDICTION)
    np.testing.assert_allclose(keras_form, expected.mean(), rtol=1e-5)


def test_squared_error_is_the_mean_over_a_picture():
    expected = ((TARGET.numpy() - PREDICTION.numpy()) ** 2).mean((1, 2, 3))
    np.testing.assert_allclose(
        losses.squared_error(TARGET, PREDICTION), expected, rtol=1e-5
    )


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_saturated_predictions_have_finite_loss_and_gradient(value):
    prediction = tf.fill(TARGET.shape, value)
    with tf.GradientTape() as tape:
        tape.watch(prediction)
        loss = losses.cross_entropy_sum(TARGET, prediction)
    assert np.isfinite(loss).all()
    assert np.isfinite(tape.gradient(loss, prediction)).all()


@pytest.mark.parametrize("loss", [losses.cross_entropy_sum, losses.squared_error])
def test_gradient_equals_finite_differences(loss):
    target = tf.cast(TARGET[:1, :2, :2], tf.float64)
    prediction = np.random.default_rng(0).uniform(0.2, 0.8, (1, 2, 2, 1))
    exact, numeric = tf.test.compute_gradient(lambda p: loss(target, p), [prediction])
    np.testing.assert_allclose(exact[0], numeric[0], rtol=1e-4, atol=1e-5)


def test_pictures_of_other_shapes_are_refused_not_broadcast():
    for loss in (losses.cross_entropy_sum, losses.squared_error):
        with pytest.raises(ValueError, match="one shape"):
            loss(TARGET, tf.zeros([3, 4, 5, 3]))
