"""The network of Differentiable Volumetric Rendering: a point to occupancy and colour.

Niemeyer et al., CVPR 2020, supplement, and the published code: residual blocks of two
dense layers; a code, where there is one, is added in front of each block.
"""

import math

import keras
import numpy as np
import tensorflow as tf

from tfrender import checks
from tfrender.ops.field_query import FieldQuery

_LEAK = 0.2
_FITTED = 4096  # points that a sphere is fitted to
_RIDGE = 1e-3
_STEEP = 10.0  # logit of occupancy a unit of distance from the sphere


@keras.saving.register_keras_serializable(package="tfrender")
class OccupancyField(keras.Model):
    """Logits of occupancy and colour at points of object space.

    Computes in float32 under every dtype policy: depth is found where the occupancy
    changes its sign.

    Example:
        >>> field = OccupancyField(hidden_size=32)
        >>> field(tf.zeros([1, 5, 3])).shape
        TensorShape([1, 5, 4])

    Args:
        hidden_size: H, width of the blocks.
        blocks: number of residual blocks.
        code_size: C, width of the code; 0 is a field of one object.
        colors: False leaves the three colours out.
        leaky: True ends in a leaky ReLU.
        frequencies: L, octaves of sines and cosines of the coordinates that join them
            at the input (Mildenhall et al., "NeRF", ECCV 2020, equation 4), for fine
            texture and thin parts; 0 as published.

    Call arguments:
        points: [B, N, 3].
        code: [B, C]; None without one.

    Output:
        [B, N, 4] logits of occupancy, red, green and blue, or [B, N, 1].

    Raises:
        ValueError: for settings or shapes out of range.
    """

    def __init__(
        self,
        hidden_size=512,
        blocks=5,
        code_size=0,
        colors=True,
        leaky=False,
        frequencies=0,
        **kwargs,
    ):
        kwargs.setdefault("dtype", "float32")
        super().__init__(**kwargs)
        checks.between("frequencies", frequencies, 0, 16)
        checks.between("hidden_size", hidden_size, 1, 65536)
        checks.between("blocks", blocks, 1, 1000)
        checks.between("code_size", code_size, 0, 65536)
        self.hidden_size, self.blocks = int(hidden_size), int(blocks)
        self.code_size = int(code_size)
        self.colors, self.leaky = bool(colors), bool(leaky)
        width = self.hidden_size
        self.frequencies = int(frequencies)
        self.first = _dense(3 + 6 * self.frequencies, width, "first")
        self.code_layers = [
            _dense(self.code_size, width, f"code{i}")
            for i in range(blocks if code_size else 0)
        ]
        self.pairs = [
            (
                _dense(width, width, f"block{i}_0"),
                # A block begins as the identity.
                _dense(width, width, f"block{i}_1", kernel="zeros"),
            )
            for i in range(blocks)
        ]
        self.last = _dense(width, 4 if colors else 1, "last")
        self.built = True

    def build(self, input_shape=None):
        """Does nothing: the weights do not depend on the input."""
        self.built = True

    def call(self, points, code=None):
        """See the class."""
        checks.dims("points", points, None, 3)
        shape = tf.shape(points)
        item = tf.repeat(tf.range(shape[0]), shape[1])
        logits = self.query(code).logits(tf.reshape(points, [-1, 3]), item)
        out = 4 if self.colors else 1
        logits = tf.reshape(logits, tf.concat([shape[:-1], [out]], axis=0))
        return tf.ensure_shape(logits, [points.shape[0], points.shape[1], out])

    def begin_as_sphere(self, radius: float, seed: int = 0) -> None:
        """Changes the last layer so that the surface is about a sphere.

        The first weights leave the sign of the occupancy to luck, and a ray that meets
        nothing has no gradient of depth or colour. Least squares on random points.

        Args:
            radius: of the sphere around the origin, object space.
            seed: of the points.

        Raises:
            ValueError: for a radius out of range.
        """
        checks.between("radius", radius, 1e-3, 10.0)
        points = tf.random.stateless_uniform([_FITTED, 3], [seed, 0], -0.55, 0.55)
        code = tf.zeros([1, self.code_size]) if self.code_size else None
        item = tf.zeros([_FITTED], tf.int32)
        features = self.query(code).features(points, item)
        target = _STEEP * (radius - np.linalg.norm(points, axis=-1))
        # In float64: the features are nearly dependent on each other.
        design = np.hstack([features, np.ones([_FITTED, 1])]).astype(np.float64)
        ridge = design.T @ design + _RIDGE * np.eye(design.shape[1])
        solution = np.linalg.solve(ridge, design.T @ target)
        kernel, bias = self.last.get_weights()
        kernel[:, 0], bias[0] = solution[:-1], solution[-1]
        self.last.set_weights([kernel, bias])

    def query(self, code=None) -> FieldQuery:
        """The field of a batch of codes, ready for points of mixed items.

        What depends on the code alone is computed once.

        Args:
            code: [B, C]; None without one.

        Returns:
            See `ops.field_query.FieldQuery`.

        Raises:
            ValueError: a code where none is expected, or none where one is.
        """
        if (code is not None) != (self.code_size > 0):
            raise ValueError(
                f"`code` must be [B, {self.code_size}]"
                if self.code_size
                else "`code` must be None for a field without a code."
            )
        shifts = None
        if code is not None:
            checks.dims("code", code, self.code_size)
            code = tf.cast(code, tf.float32)
            shifts = [_affine(layer, code) for layer in self.code_layers]
        return _Query(self, shifts)

    def get_config(self):
        """Settings of the model."""
        return {
            **super().get_config(),
            "hidden_size": self.hidden_size,
            "blocks": self.blocks,
            "code_size": self.code_size,
            "colors": self.colors,
            "leaky": self.leaky,
            "frequencies": self.frequencies,
        }


class _Query(FieldQuery):
    """Evaluates the network on flat lists of points."""

    def __init__(self, field: OccupancyField, shifts):
        """Keeps what the code adds in front of each block, [B, H] each."""
        self.field, self.shifts = field, shifts

    def logits(self, points, item):
        """See `FieldQuery`."""
        return _affine(self.field.last, self._last_activation(points, item)[0])

    def features(self, points, item):
        """Input of the last layer, [M, H]."""
        return self._last_activation(points, item)[0]

    def occupancy(self, points, item):
        """See `FieldQuery`."""
        features, _ = self._last_activation(points, item)
        return self._occupancy(features)

    def occupancy_and_gradient(self, points, item):
        """See `FieldQuery`: the chain rule, written out.

        Plain products, so that a tape outside differentiates the gradient at the cost
        of one more such pass; a tape inside a tape would keep and redo the forward
        pass.
        """
        field = self.field
        features, (top, gates) = self._last_activation(points, item)
        leak = _LEAK if field.leaky else 0.0
        cotangent = field.last.kernel[:, 0] * tf.where(top, 1.0, leak)
        for (first, second), (before, between) in zip(
            reversed(field.pairs), reversed(gates), strict=True
        ):
            inner = tf.matmul(cotangent, second.kernel, transpose_b=True)
            inner = tf.where(between, inner, 0.0)
            inner = tf.matmul(inner, first.kernel, transpose_b=True)
            cotangent += tf.where(before, inner, 0.0)
        gradient = tf.matmul(cotangent, field.first.kernel, transpose_b=True)
        return self._occupancy(features), self._to_points(gradient, points)

    def _waves(self, points):
        """Factors [L] of the coordinates, and their products [M, 3 L]."""
        factors = math.pi * 2.0 ** tf.range(self.field.frequencies, dtype=tf.float32)
        phases = tf.cast(points, tf.float32)[:, tf.newaxis] * factors[:, tf.newaxis]
        return factors, tf.reshape(phases, [-1, 3 * self.field.frequencies])

    def _inputs(self, points):
        """What the first layer sees, [M, 3 + 6 L]."""
        points = tf.cast(points, tf.float32)
        if not self.field.frequencies:
            return points
        _, phases = self._waves(points)
        return tf.concat([points, tf.sin(phases), tf.cos(phases)], axis=-1)

    def _to_points(self, gradient, points):
        """Gradient [M, 3] with respect to the points of one to `_inputs`."""
        count = self.field.frequencies
        if not count:
            return gradient
        factors, phases = self._waves(points)
        direct, of_sine, of_cosine = tf.split(gradient, [3, 3 * count, 3 * count], -1)
        waves = of_sine * tf.cos(phases) - of_cosine * tf.sin(phases)
        waves = tf.reshape(waves, [-1, count, 3]) * factors[:, tf.newaxis]
        return direct + tf.reduce_sum(waves, axis=1)

    def _occupancy(self, features):
        last = self.field.last
        value = tf.matmul(features, last.kernel[:, :1]) + last.bias[:1]
        return value[:, 0]

    def _last_activation(self, points, item):
        """Input of the last layer [M, H], and which units are on."""
        field = self.field
        hidden = _affine(field.first, self._inputs(points))
        gates = []
        for i, (first, second) in enumerate(field.pairs):
            if self.shifts is not None:
                hidden += self._shift(i, item)
            # Not `relu`: with it TensorFlow 2.21 tries to join sum and activation
            # although the sum is used twice, fails, and then joins nothing at all.
            between = _affine(first, tf.maximum(hidden, 0.0))
            gates.append((hidden > 0.0, between > 0.0))
            hidden += _affine(second, tf.nn.relu(between))
        if field.leaky:
            features = tf.nn.leaky_relu(hidden, _LEAK)
        else:
            features = tf.maximum(hidden, 0.0)
        return features, (hidden > 0.0, gates)

    def _shift(self, block, item):
        shift = self.shifts[block]
        return shift if shift.shape[0] == 1 else tf.gather(shift, item)


def _affine(layer, x):
    # In this form TensorFlow joins product, bias and ReLU into one operation.
    return tf.nn.bias_add(tf.matmul(x, layer.kernel), layer.bias)


def _dense(inputs, units, name, kernel=None):
    """A built dense layer; weights and biases within 1 / sqrt(inputs), as published."""
    bound = 1.0 / math.sqrt(max(inputs, 1))
    layer = keras.layers.Dense(
        units,
        kernel_initializer=kernel or keras.initializers.RandomUniform(-bound, bound),
        bias_initializer=keras.initializers.RandomUniform(-bound, bound),
        dtype="float32",
        name=name,
    )
    layer.build([None, inputs])
    return layer
