"""Tests of the layers of RenderNet."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.layers.checking import check_layer
from tfrender import layers
from tfrender.ops import phong
from tfrender.ops.resample_volume import pose_parameters, resample_volume

GRID = tf.random.stateless_uniform([2, 6, 6, 6, 1], [0, 1])
POSE = tf.constant([[30.0, 70.0, 3.3], [200.0, 100.0, 4.0]])
IMAGE = tf.random.stateless_uniform([2, 6, 5, 3], [2, 3])


@pytest.mark.parametrize(
    ("layer", "inputs"),
    [
        (layers.VolumeResampler(12, "zero_pad"), [GRID, POSE]),
        (layers.PhongShader(ambient=0.2, mask_offset=150.0), [IMAGE, POSE[:, :2]]),
        (layers.ProjectionUnit(5, n_layers=2), [tf.tile(GRID, [1, 1, 1, 1, 2])]),
        (layers.ChannelPReLU(), [IMAGE]),
        (layers.ConvUnit("conv2d", 4, 4, dropout=0.3, bias_value=0.1), [IMAGE]),
        (layers.ConvUnit("conv3d", 2, 3, (1, 1, 2)), [GRID]),
        (layers.ConvUnit("conv2d_transpose", 2, 4, 2, activation="elu"), [IMAGE]),
        (layers.ResidualBlock("conv3d", 0.001), [GRID]),
    ],
    ids=lambda value: value.name if isinstance(value, keras.Layer) else "",
)
def test_layer_survives_saving_tracing_and_mixed_precision(layer, inputs, tmp_path):
    check_layer(layer, inputs, tmp_path)


def test_the_resampler_is_its_op():
    layer = layers.VolumeResampler(12)
    expected = resample_volume(GRID, *pose_parameters(POSE), 12)
    np.testing.assert_array_equal(layer(GRID, POSE), expected)
    compiled = layers.VolumeResampler(12, jit_compile=True)
    np.testing.assert_allclose(compiled(GRID, POSE), expected, atol=2e-5)


def test_the_phong_layer_is_its_op():
    light = tf.constant([[250.0, 60.0], [270.0, 90.0]])
    direction = phong.light_direction(light[:, 0], light[:, 1])
    shading = phong.phong_shading(IMAGE, direction, ambient=0.1, diffuse=0.9)
    mask = phong.foreground_mask(IMAGE)
    np.testing.assert_allclose(
        layers.PhongShader()(IMAGE, light),
        phong.composite_on_white(shading, mask),
        atol=1e-6,
    )
    unmasked = layers.PhongShader(background=None)(IMAGE, light)
    np.testing.assert_allclose(unmasked, shading, atol=1e-6)


def test_the_projection_unit_keeps_channels_fastest():
    layer = layers.ProjectionUnit()
    layer.build((1, 2, 3, 4, 5))
    identity = np.eye(20, dtype=np.float32)[None, None]
    layer.units[0].convolution.set_weights([identity, np.zeros(20, np.float32)])
    grid = tf.random.stateless_uniform([1, 2, 3, 4, 5], [4, 5])
    np.testing.assert_allclose(layer(grid), tf.reshape(grid, [1, 2, 3, 20]), atol=1e-6)


def test_the_slope_of_a_rectifier_starts_at_zero_and_learns():
    layer = layers.ChannelPReLU()
    values = tf.constant([[-2.0, 3.0]])
    np.testing.assert_array_equal(layer(values), [[0.0, 3.0]])
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(layer(values))
    (gradient,) = tape.gradient(total, layer.trainable_variables)
    np.testing.assert_array_equal(gradient, [-2.0, 0.0])


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: layers.VolumeResampler(1), "size"),
        (lambda: layers.VolumeResampler(8, "mirror"), "border"),
        (lambda: layers.VolumeResampler(8)(GRID, POSE[:, :1]), "pose"),
        (lambda: layers.PhongShader(ambient=2.0), "ambient"),
        (lambda: layers.PhongShader(background="blue"), "background"),
        (lambda: layers.PhongShader()(IMAGE[..., :2], POSE[:, :2]), "normal_map"),
        (lambda: layers.ConvUnit("conv4d", 1, 1), "kind"),
        (lambda: layers.ConvUnit("conv2d", 1, 1, dropout=1.0), "dropout"),
        (lambda: layers.ResidualBlock("conv1d"), "kind"),
        (lambda: layers.ProjectionUnit(n_layers=0), "n_layers"),
    ],
)
def test_a_bad_setting_is_named(build, message):
    with pytest.raises(ValueError, match=message):
        build()
