"""The template stays in its octants, its cube, and has finite gradients."""

import numpy as np
import pytest
import tensorflow as tf

from tfrender.ops.deform_template import deform_template

TEMPLATE = np.float32(
    [[1, 0, 0], [-1, 0.5, -0.0], [0.2, -0.6, 0.9], [1e-7, -1e-7, 0.3]]
)


def numbers(seed=0, batch=2, scale=1.0):
    """Bias [B, 4, 3] and centroid [B, 3]."""
    random = np.random.default_rng(seed)
    bias = random.normal(size=(batch, 4, 3)) * scale
    centroid = random.normal(size=(batch, 3)) * scale
    return tf.constant(bias, tf.float32), tf.constant(centroid, tf.float32)


def test_without_bias_it_is_a_quarter_of_the_template():
    got = deform_template(TEMPLATE, tf.zeros([1, 4, 3]), tf.zeros([1, 3]))
    np.testing.assert_allclose(got[0], TEMPLATE / 4, atol=1e-7)


def test_values_are_those_of_the_formula():
    bias, centroid = numbers()
    t = TEMPLATE.astype(np.float64)
    c = np.tanh(0.1 * centroid.numpy().astype(np.float64))[:, np.newaxis]
    with np.errstate(divide="ignore"):
        logit = np.log(np.abs(t) / 2) - np.log(1 - np.abs(t) / 2)
    x = np.sign(t) / (1 + np.exp(-(logit + bias.numpy())))
    x = np.maximum(x, 0) * (1 - c) - np.maximum(-x, 0) * (1 + c) + c
    np.testing.assert_allclose(deform_template(TEMPLATE, bias, centroid), x / 2, 1e-5)


@pytest.mark.parametrize("scale", [1.0, 30.0, 1e4])
def test_vertices_stay_in_the_cube_and_in_their_octants(scale):
    bias, centroid = numbers(scale=scale)
    got = deform_template(TEMPLATE, bias, centroid).numpy()
    center = 0.5 * np.tanh(0.1 * centroid.numpy())[:, np.newaxis]
    assert np.abs(got).max() <= 0.5
    assert (np.sign(TEMPLATE) * (got - center) >= -1e-7).all()
    on_plane = np.broadcast_to(TEMPLATE == 0.0, got.shape)
    np.testing.assert_allclose((got - center)[on_plane], 0.0, atol=1e-7)


@pytest.mark.parametrize("margin", [0.0, 1e-3])
def test_gradients_equal_finite_differences(margin):
    bias, centroid = numbers(3)

    def function(bias, centroid):
        return deform_template(TEMPLATE, bias, centroid, margin=margin)

    exact, numeric = tf.test.compute_gradient(function, [bias, centroid], delta=1e-2)
    for ours, theirs in zip(exact, numeric, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_coordinates_on_a_plane_can_move_only_with_a_margin():
    bias, centroid = numbers(4)
    moved = {}
    for margin in (0.0, 1e-2):
        with tf.GradientTape() as tape:
            tape.watch(bias)
            vertices = deform_template(TEMPLATE, bias, centroid, margin=margin)
        slope = tape.gradient(vertices, bias).numpy()
        assert np.isfinite(slope).all()
        moved[margin] = slope[:, TEMPLATE == 0.0]
    assert not moved[0.0].any()
    assert moved[1e-2].all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((2 * TEMPLATE, tf.zeros([1, 4, 3]), tf.zeros([1, 3])), r"\[-1, 1\]; got 2"),
        ((TEMPLATE[0], tf.zeros([1, 4, 3]), tf.zeros([1, 3])), r"\[V, 3\]; got \[3\]"),
        ((TEMPLATE, tf.zeros([1, 5, 3]), tf.zeros([1, 3])), "bias"),
        ((TEMPLATE, tf.zeros([1, 4, 3]), tf.zeros([1, 2])), "centroid"),
    ],
)
def test_bad_input_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        deform_template(*arguments)
