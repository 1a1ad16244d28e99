"""The layer that learns visibility."""

import keras
import tensorflow as tf

from tfrender import checks
from tfrender.layers.convolution import ConvUnit


@keras.saving.register_keras_serializable(package="tfrender")
class ProjectionUnit(keras.layers.Layer):
    """Merges depth and channels and mixes them per pixel (RenderNet, section 3.2).

    A reshape [B, H, W, D, C] -> [B, H, W, D C] (channels fastest), then 1x1
    convolutions with PReLU.

    Args:
        filters: output channels; None keeps D C, as the original does.
        n_layers: number of 1x1 convolutions; the original has one.

    Call arguments:
        inputs: [B, H, W, D, C] with static D and C.

    Output:
        [B, H, W, filters].
    """

    def __init__(self, filters=None, n_layers=1, **kwargs):
        super().__init__(**kwargs)
        if n_layers < 1:
            raise ValueError(f"`n_layers` must be at least 1; got {n_layers}.")
        self.filters = filters
        self.n_layers = n_layers

    def build(self, input_shape):
        """Creates the 1x1 convolutions."""
        batch, height, width, depth, channels = input_shape
        shape = (batch, height, width, depth * channels)
        filters = self.filters or depth * channels
        self.units = []
        for i in range(self.n_layers):
            unit = ConvUnit(
                "conv2d", filters, 1, dtype=self.dtype_policy, name=f"unit_{i}"
            )
            unit.build(shape)
            shape = unit.compute_output_shape(shape)
            self.units.append(unit)
        self.built = True

    def call(self, inputs):
        """See the class."""
        checks.rank("inputs", inputs, 5)
        size = tf.shape(inputs)
        merged = inputs.shape[3] * inputs.shape[4]
        features = tf.reshape(inputs, [size[0], size[1], size[2], merged])
        features = tf.ensure_shape(features, [*inputs.shape[:3], merged])
        for unit in self.units:
            features = unit(features)
        return features

    def compute_output_shape(self, input_shape):
        """[B, H, W, filters]."""
        return (*input_shape[:3], self.filters or input_shape[3] * input_shape[4])

    def get_config(self):
        """Settings of the layer."""
        return {
            **super().get_config(),
            "filters": self.filters,
            "n_layers": self.n_layers,
        }
