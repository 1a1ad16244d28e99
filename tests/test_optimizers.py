"""Adam that skips elements without a gradient."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfrender.optimizers import SkipZeroAdam


def run(optimizer, start, gradients):
    """Values of a variable after each gradient."""
    variable = keras.Variable(start)
    values = []
    for gradient in gradients:
        optimizer.apply([tf.constant(gradient, tf.float32)], [variable])
        values.append(variable.numpy())
    return np.stack(values)


def test_without_zeros_it_is_adam():
    random = np.random.default_rng(0)
    start, gradients = random.normal(size=5), random.normal(size=(7, 5))
    got = run(SkipZeroAdam(0.1), start, gradients)
    plain = run(keras.optimizers.Adam(0.1, epsilon=1e-8), start, gradients)
    np.testing.assert_allclose(got, plain, rtol=1e-5)


def test_an_element_without_gradient_stays_and_keeps_its_moments():
    # The second element rests for four steps; then it goes on as if it had not.
    random = np.random.default_rng(1)
    gradients = random.normal(size=(6, 2)).astype(np.float32)
    gradients[1:5, 1] = 0.0
    optimizer = SkipZeroAdam(0.1)
    values = run(optimizer, np.zeros(2), gradients)
    np.testing.assert_array_equal(values[:5, 1], values[0, 1])
    first, last = gradients[0, 1], gradients[5, 1]
    m = 0.9 * 0.1 * first + 0.1 * last
    v = 0.999 * 0.001 * first**2 + 0.001 * last**2
    # All elements share the number of steps.
    step = 0.1 * (m / (1 - 0.9**6)) / np.sqrt(v / (1 - 0.999**6))
    np.testing.assert_allclose(values[5, 1] - values[4, 1], -step, rtol=1e-4)


@pytest.mark.parametrize("compiled", [False, True])
def test_the_rate_of_a_variable_is_chosen_by_its_path(compiled):
    head = keras.layers.Dense(1, use_bias=False, name="centroid")
    other = keras.layers.Dense(1, use_bias=False, name="bias")
    for layer in (head, other):
        layer.build([None, 1])
    variables = [head.kernel, other.kernel]
    before = [variable.numpy() for variable in variables]
    optimizer = SkipZeroAdam(0.5, multipliers={"centroid": 0.1})
    optimizer.build(variables)

    def step():
        optimizer.apply([tf.ones([1, 1])] * 2, variables)

    (tf.function(step) if compiled else step)()
    moved = [
        float(b[0, 0] - v.numpy()[0, 0]) for b, v in zip(before, variables, strict=True)
    ]
    np.testing.assert_allclose(moved, [0.05, 0.5], rtol=1e-5)


def test_settings_survive_a_round_trip():
    optimizer = SkipZeroAdam(0.25, beta_1=0.5, multipliers={"head": 0.3})
    again = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(optimizer)
    )
    assert again.get_config() == optimizer.get_config()
    assert again.multipliers == {"head": 0.3}


def test_a_bad_factor_is_refused():
    with pytest.raises(ValueError, match=r"multipliers\['head'\].*-1"):
        SkipZeroAdam(multipliers={"head": -1.0})
