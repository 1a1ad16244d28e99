import keras
import numpy as np
import pytest
import tensorflow as tf

from tfrender.losses.points import ChamferDistance, chamfer_loss


def clouds(batch=2, targets=9, count=6):
    rng = np.random.default_rng(0)
    return rng.normal(size=(batch, targets, 3)), rng.normal(size=(batch, count, 3))


@pytest.mark.parametrize("squared", [True, False])
def test_the_chamfer_distance_equals_all_pairs(squared):
    target, prediction = clouds(3)
    pairs = np.linalg.norm(prediction[:, :, None] - target[:, None], axis=-1)
    pairs = pairs**2 if squared else pairs
    want = pairs.min(2).mean(1) + pairs.min(1).mean(1)
    got = chamfer_loss(target, prediction, squared=squared)
    np.testing.assert_allclose(got, want, rtol=1e-12)
    np.testing.assert_allclose(
        chamfer_loss(prediction, target, squared=squared, max_pairs=7), want, rtol=1e-12
    )


def test_it_equals_tensorflow_graphics():
    module = pytest.importorskip("tensorflow_graphics.nn.loss.chamfer_distance")
    target, prediction = clouds()
    np.testing.assert_allclose(
        chamfer_loss(target, prediction), module.evaluate(target, prediction)
    )


@pytest.mark.parametrize("squared", [True, False])
def test_gradients_equal_finite_differences(squared):
    exact, numeric = tf.test.compute_gradient(
        lambda a, b: chamfer_loss(a, b, squared=squared), clouds(1, 5, 4), 1e-6
    )
    for a, b in zip(exact, numeric, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-7)


@pytest.mark.parametrize("squared", [True, False])
def test_equal_clouds_cost_nothing_and_send_no_gradient(squared):
    points = tf.constant(clouds()[0])
    with tf.GradientTape() as tape:
        tape.watch(points)
        loss = chamfer_loss(points, tf.reverse(points, [1]), squared=squared)
    np.testing.assert_array_equal(loss, [0.0, 0.0])
    np.testing.assert_array_equal(tape.gradient(loss, points), np.zeros((2, 9, 3)))


def test_the_keras_form_is_the_mean_and_survives_saving():
    target, prediction = clouds()
    loss = ChamferDistance(squared=False)
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    want = np.mean(chamfer_loss(target, prediction, squared=False))
    for form in (loss, again):
        np.testing.assert_allclose(form(target, prediction), want, rtol=1e-5)
    assert again.squared is False
