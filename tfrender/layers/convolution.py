"""Convolutional blocks of RenderNet: PReLU, convolution units, residual blocks.

Convolutions are SAME with bias. Weights start Glorot uniform.
"""

import keras
import tensorflow as tf

from tfrender import checks

_KINDS = {
    "conv2d": keras.layers.Conv2D,
    "conv3d": keras.layers.Conv3D,
    "conv2d_transpose": keras.layers.Conv2DTranspose,
    "conv3d_transpose": keras.layers.Conv3DTranspose,
}


@keras.saving.register_keras_serializable(package="tfrender")
class ChannelPReLU(keras.layers.Layer):
    """Parametric rectifier with one slope per channel: max(0, x) + a min(0, x).

    Written with maximum and minimum, because the form that Keras uses does not
    convert to LiteRT behind a 3-D convolution. The slope starts at 0.

    Call arguments:
        inputs: [..., C].

    Output:
        [..., C].
    """

    def build(self, input_shape):
        """Creates the slope [C]."""
        self.alpha = self.add_weight(
            name="alpha", shape=(input_shape[-1],), initializer="zeros"
        )
        self.built = True

    def call(self, inputs):
        """See the class."""
        alpha = tf.cast(self.alpha, inputs.dtype)
        return tf.maximum(inputs, 0.0) + alpha * tf.minimum(inputs, 0.0)

    def compute_output_shape(self, input_shape):
        """The shape of the input."""
        return input_shape


@keras.saving.register_keras_serializable(package="tfrender")
class ConvUnit(keras.layers.Layer):
    """Convolution, activation and dropout, in this order.

    Args:
        kind: "conv2d", "conv3d", "conv2d_transpose" or "conv3d_transpose".
        filters: output channels.
        kernel_size: side of the kernel.
        strides: one step, or one per axis.
        activation: "prelu", or any activation that Keras knows; None is linear.
        dropout: share of the values dropped in training, in [0, 1).
        bias_value: start value of the bias.
        kernel_initializer: start values of the kernel.

    Call arguments:
        inputs: [B, ..., C].

    Output:
        [B, ..., filters].
    """

    def __init__(
        self,
        kind,
        filters,
        kernel_size,
        strides=1,
        activation="prelu",
        dropout=0.0,
        bias_value=0.0,
        kernel_initializer="glorot_uniform",
        **kwargs,
    ):
        super().__init__(**kwargs)
        checks.one_of("kind", kind, _KINDS)
        if not 0.0 <= dropout < 1.0:
            raise ValueError(f"`dropout` must lie in [0, 1); got {dropout}.")
        self.kind = kind
        self.filters = filters
        self.kernel_size = kernel_size
        self.strides = strides
        self.activation = activation
        self.dropout = dropout
        self.bias_value = bias_value
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.convolution = _KINDS[kind](
            filters,
            kernel_size,
            strides=strides,
            padding="same",
            kernel_initializer=self.kernel_initializer,
            bias_initializer=keras.initializers.Constant(bias_value),
            dtype=self.dtype_policy,
            name="convolution",
        )
        if activation == "prelu":
            self.rectifier = ChannelPReLU(dtype=self.dtype_policy, name="prelu")
        else:
            self.rectifier = keras.layers.Activation(
                activation, dtype=self.dtype_policy, name="activation"
            )
        self.drop = keras.layers.Dropout(dropout, dtype=self.dtype_policy, name="drop")

    def build(self, input_shape):
        """Creates kernel, bias and slope."""
        self.convolution.build(input_shape)
        self.rectifier.build(self.convolution.compute_output_shape(input_shape))
        self.built = True

    def call(self, inputs, training=None):
        """See the class."""
        return self.drop(self.rectifier(self.convolution(inputs)), training=training)

    def compute_output_shape(self, input_shape):
        """The shape after the convolution."""
        return self.convolution.compute_output_shape(input_shape)

    def get_config(self):
        """Settings of the layer."""
        return {
            **super().get_config(),
            "kind": self.kind,
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "activation": self.activation,
            "dropout": self.dropout,
            "bias_value": self.bias_value,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }


@keras.saving.register_keras_serializable(package="tfrender")
class ResidualBlock(keras.layers.Layer):
    """Residual block y = x + conv(PReLU(conv(x))), both kernels 3.

    Args:
        kind: "conv2d" or "conv3d".
        bias_value: start value of both biases.

    Call arguments:
        inputs: [B, ..., C].

    Output:
        [B, ..., C].
    """

    def __init__(self, kind, bias_value=0.0, **kwargs):
        super().__init__(**kwargs)
        checks.one_of("kind", kind, ("conv2d", "conv3d"))
        self.kind = kind
        self.bias_value = bias_value

    def build(self, input_shape):
        """Creates both convolutions, as wide as the input."""
        width = input_shape[-1]
        self.first = ConvUnit(
            self.kind,
            width,
            3,
            bias_value=self.bias_value,
            dtype=self.dtype_policy,
            name="first",
        )
        self.second = ConvUnit(
            self.kind,
            width,
            3,
            activation=None,
            bias_value=self.bias_value,
            dtype=self.dtype_policy,
            name="second",
        )
        self.first.build(input_shape)
        self.second.build(input_shape)
        self.built = True

    def call(self, inputs):
        """See the class."""
        return inputs + self.second(self.first(inputs))

    def compute_output_shape(self, input_shape):
        """The shape of the input."""
        return input_shape

    def get_config(self):
        """Settings of the layer."""
        return {
            **super().get_config(),
            "kind": self.kind,
            "bias_value": self.bias_value,
        }
