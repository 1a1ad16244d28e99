"""Claims of running averages of weights."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.trainers import toy_experiment as toy
from trainers import loop
from trainers.averaging import average, averaged
from trainers.flags import Settings

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


def test_a_run_that_was_interrupted_exports_the_average(tmp_path):
    """And goes on with the weights themselves."""
    data = toy.write_data(tmp_path / "data", train=8)
    shared = {"batch_size": 4, "learning_rate": 0.05, "ema": MOMENTUM}
    last, expected = None, None
    for steps in (1, 2, 3):  # each continues the one before
        settings = Settings(data, str(tmp_path / "run"), steps=steps, **shared)
        experiment = toy.experiment(settings, dropout=0.0, norm=False)
        model = loop.train(experiment, settings).model
        last = model.get_weights()
        expected = [
            new if expected is None else MOMENTUM * old + (1 - MOMENTUM) * new
            for old, new in zip(expected or last, last, strict=True)
        ]
    x = tf.random.stateless_uniform([3, *toy.SIZE, 1], [0, 1])
    plain = tf.sigmoid(model(x))
    model.set_weights(expected)
    loaded = tf.saved_model.load(str(tmp_path / "run" / "saved_model"))
    found = loaded.signatures["serve"](x=x)["y"]
    np.testing.assert_allclose(found, tf.sigmoid(model(x)), atol=1e-5)
    assert np.abs(found - plain).max() > 1e-3
