import keras
import numpy as np
import pytest
import tensorflow as tf

from tfrender.losses.silhouettes import SilhouetteIoU, silhouette_iou_loss


def pictures(batch=3):
    rng = np.random.default_rng(0)
    return rng.uniform(size=(batch, 5, 7)), rng.uniform(size=(batch, 5, 7))


def test_the_loss_equals_its_equation():
    target, prediction = pictures()
    want = [
        1 - (p * t).sum() / ((p + t - p * t).sum() + 1e-6)
        for p, t in zip(prediction, target, strict=True)
    ]
    got = silhouette_iou_loss(tf.constant(target), tf.constant(prediction))
    assert got.dtype == tf.float64
    np.testing.assert_allclose(got, want, rtol=1e-12)
    with_channel = silhouette_iou_loss(
        tf.constant(target[..., None]), tf.constant(prediction[..., None])
    )
    np.testing.assert_allclose(with_channel, want, rtol=1e-12)


def test_hard_masks_give_one_minus_the_iou():
    mask = np.zeros((2, 4, 6), np.float32)
    mask[:, :2, :3] = 1
    other = np.roll(mask, 1, axis=2)
    got = silhouette_iou_loss(tf.constant(mask), tf.constant(other))
    np.testing.assert_allclose(got, 1 - 4 / 8, atol=1e-6)
    np.testing.assert_allclose(
        silhouette_iou_loss(tf.constant(mask), tf.constant(mask)), 0.0, atol=1e-6
    )


def test_gradients_equal_finite_differences_and_are_finite_for_nothing():
    exact, numeric = tf.test.compute_gradient(silhouette_iou_loss, pictures(1), 1e-6)
    for a, b in zip(exact, numeric, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-8)
    empty = tf.zeros([2, 3, 4])
    with tf.GradientTape() as tape:
        tape.watch(empty)
        loss = silhouette_iou_loss(tf.zeros([2, 3, 4]), empty)
    np.testing.assert_array_equal(loss, [1.0, 1.0])
    assert np.isfinite(tape.gradient(loss, empty)).all()


def test_the_keras_form_is_the_mean_and_survives_saving():
    target, prediction = (value.astype(np.float32) for value in pictures())
    loss = keras.losses.deserialize(keras.losses.serialize(SilhouetteIoU()))
    want = np.mean(silhouette_iou_loss(tf.constant(target), tf.constant(prediction)))
    np.testing.assert_allclose(loss(target, prediction), want, rtol=1e-6)


def test_compiled_and_faulty_calls():
    target, prediction = (tf.constant(value) for value in pictures())
    compiled = tf.function(silhouette_iou_loss, jit_compile=True)
    np.testing.assert_allclose(
        compiled(target, prediction), silhouette_iou_loss(target, prediction)
    )
    with pytest.raises(ValueError, match="`target` and `prediction` must"):
        silhouette_iou_loss(target[..., None], prediction)
    with pytest.raises(ValueError, match="`eps` must"):
        silhouette_iou_loss(target, prediction, eps=0.0)
