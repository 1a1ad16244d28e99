"""What every layer must survive."""

import inspect
import os

import keras
import numpy as np
import tensorflow as tf


def check_layer(layer, inputs, folder):
    """Config round trip, functional model, save and load, dynamic batch, bfloat16."""
    expected = layer(*inputs)
    config = layer.get_config()
    arguments = set(inspect.signature(type(layer).__init__).parameters)
    assert arguments - {"self", "kwargs"} <= set(config)
    assert type(layer).from_config(config).get_config() == config
    symbols = [keras.Input(x.shape[1:]) for x in inputs]
    output = layer(*symbols)
    assert output.shape[1:] == expected.shape[1:]
    model = keras.Model(symbols, output)
    path = os.path.join(folder, "model.keras")
    model.save(path)
    np.testing.assert_allclose(
        keras.models.load_model(path)(inputs), expected, atol=1e-6
    )
    specs = [tf.TensorSpec([None, *x.shape[1:]]) for x in inputs]
    traced = tf.function(lambda *x: layer(*x), input_signature=specs)
    np.testing.assert_allclose(traced(*inputs), expected, atol=1e-5)
    policy = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy("mixed_bfloat16")
    try:
        config = {k: v for k, v in config.items() if k != "dtype"}
        other = type(layer).from_config(config)
        assert np.isfinite(np.asarray(other(*inputs), np.float32)).all()
    finally:
        keras.mixed_precision.set_dtype_policy(policy)
