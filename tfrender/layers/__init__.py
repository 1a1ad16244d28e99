"""Keras layers, thin over `tfrender.ops`."""

from tfrender.layers.convolution import ChannelPReLU, ConvUnit, ResidualBlock
from tfrender.layers.phong_shader import PhongShader
from tfrender.layers.projection_unit import ProjectionUnit
from tfrender.layers.volume_resampler import VolumeResampler

__all__ = [
    "ChannelPReLU",
    "ConvUnit",
    "PhongShader",
    "ProjectionUnit",
    "ResidualBlock",
    "VolumeResampler",
]
