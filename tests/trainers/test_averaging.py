"""Claims of running averages of weights."""

import keras
import numpy as np
import pytest

from trainers.averaging import average, averaged

MOMENTUM = 0.8


def stepped(values, wrap=lambda optimizer: optimizer):
    """A model of one weight, its optimizer, and that weight after each value of it."""
    model = keras.Sequential([keras.Input([1]), keras.layers.Dense(1, use_bias=False)])
    optimizer = keras.optimizers.SGD(1.0)
    average(optimizer, MOMENTUM)
    optimizer = wrap(optimizer)
    weight = model.trainable_variables[0]
    optimizer.build([weight])
    for value in values:
        # A step of this gradient ends at the value.
        optimizer.apply([keras.ops.convert_to_tensor(weight) - value], [weight])
        np.testing.assert_allclose(weight, [[value]], atol=1e-6)
    return model, optimizer, weight


def test_the_average_is_shown_for_a_while():
    values = [1.0, 3.0, -2.0]
    model, optimizer, weight = stepped(values)
    expected = values[0]
    for value in values[1:]:
        expected = MOMENTUM * expected + (1 - MOMENTUM) * value
    with averaged(model, optimizer):
        np.testing.assert_allclose(weight, [[expected]], rtol=1e-5)
    np.testing.assert_allclose(weight, [[values[-1]]], atol=1e-6)


def test_the_weights_come_back_after_an_error():
    model, optimizer, weight = stepped([1.0, 5.0])
    with pytest.raises(KeyError), averaged(model, optimizer):
        raise KeyError
    np.testing.assert_allclose(weight, [[5.0]], atol=1e-6)


def test_nothing_happens_before_the_first_step_or_without_an_average():
    model, optimizer, weight = stepped([])
    before = weight.numpy()
    with averaged(model, optimizer):
        np.testing.assert_array_equal(weight, before)
    plain = keras.optimizers.SGD(1.0)
    plain.build([weight])
    plain.apply([np.ones([1, 1], np.float32)], [weight])
    after = weight.numpy()
    with averaged(model, plain):
        np.testing.assert_array_equal(weight, after)


def test_an_optimizer_that_wraps_another_is_looked_into():
    wrap = keras.optimizers.LossScaleOptimizer
    model = keras.Sequential([keras.Input([1]), keras.layers.Dense(1, use_bias=False)])
    inner = keras.optimizers.SGD(1.0)
    average(inner, MOMENTUM)
    outer = wrap(inner, initial_scale=1.0)
    weight = model.trainable_variables[0]
    outer.build([weight])
    start = float(weight.numpy()[0, 0])
    for _ in range(2):
        outer.apply([np.ones([1, 1], np.float32)], [weight])
    expected = MOMENTUM * (start - 1.0) + (1 - MOMENTUM) * (start - 2.0)
    with averaged(model, outer):
        np.testing.assert_allclose(weight, [[expected]], rtol=1e-5)
