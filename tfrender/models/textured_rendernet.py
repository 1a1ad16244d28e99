"""RenderNet's second variant: texture code to texture grid, and a two-headed network.

Nguyen-Phuoc et al., NeurIPS 2018, sections 3.4 and 4 (faces). The heads give albedo
and normals; light is added outside the network.
"""

import keras
import tensorflow as tf

from tfrender import checks
from tfrender.layers import ChannelPReLU, ConvUnit, VolumeResampler
from tfrender.models import rendernet

PRESETS = {
    "paper": {
        "input_size": 64,
        "code_size": 199,
        "texture_filters": (4, 4, 8, 4),
        "widths": {
            "filters_3d": (8, 16, 16),
            "blocks_3d": 10,
            "projection": None,
            "blocks_2d": 10,
            "filters_2d": 256,
            "blocks_2d_late": 5,
            "head_filters": (128, 64, 32, 16),
        },
    },
    "tiny": {
        "input_size": 16,
        "code_size": 8,
        "texture_filters": (2, 2, 4, 2),
        "widths": {
            "filters_3d": (4, 4, 4),
            "blocks_3d": 1,
            "projection": 32,
            "blocks_2d": 1,
            "filters_2d": 32,
            "blocks_2d_late": 1,
            "head_filters": (16, 8, 8, 8),
        },
    },
}
# The original starts every bias of this network at 0.001, those of the 2-D residual
# blocks and of the projection at 0.
_BIAS = 0.001


def texture_decoder(code_size=199, grid_size=64, filters=(4, 4, 8, 4)):
    """Texture code to a texture grid.

    Args:
        code_size: length of the code.
        grid_size: side n of the grid, even.
        filters: channels of the half-size grid, and of the three convolutions.

    Returns:
        keras.Model [B, code_size] -> [B, n, n, n, filters[-1]].
    """
    if grid_size % 2:
        raise ValueError(f"`grid_size` must be even; got {grid_size}.")
    half, first = grid_size // 2, filters[0]
    code = keras.Input((code_size,), name="texture_code")
    features = keras.layers.Dense(
        half**3 * first,
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.02),
        bias_initializer=keras.initializers.Constant(_BIAS),
        name="e_tex_fc1",
    )(code)
    features = ChannelPReLU(name="e_tex_fc1_prelu")(features)
    features = keras.layers.Reshape((half, half, half, first))(features)
    steps = (("conv3d_transpose", 1), ("conv3d_transpose", 2), ("conv3d", 1))
    for i, (width, (kind, stride)) in enumerate(zip(filters[1:], steps, strict=True)):
        features = ConvUnit(
            kind,
            width,
            4,
            stride,
            bias_value=_BIAS,
            kernel_initializer=keras.initializers.RandomNormal(stddev=0.02),
            name=f"e_tex_conv{i}",
        )(features)
    return keras.Model(code, features, name="texture_decoder")


def two_headed_network(
    grid_size,
    grid_channels,
    filters_3d,
    blocks_3d,
    projection,
    blocks_2d,
    filters_2d,
    blocks_2d_late,
    head_filters,
    dropout=0.0,
):
    """Camera grid of shape and texture to albedo and normal map.

    Args:
        grid_size: depth m of the camera grid, a multiple of 4.
        grid_channels: channels of the grid: 1 of shape and those of the texture.
        filters_3d: channels of e_conv1..3.
        blocks_3d: number of 3-D residual blocks.
        projection: channels of the projection unit; None keeps depth * channels.
        blocks_2d: number of residual blocks of the second stage.
        filters_2d: channels of e_conv5 and the third stage.
        blocks_2d_late: number of residual blocks of the third stage.
        head_filters: channels of e_conv6..9 of each head.
        dropout: share of the values dropped in training.

    Returns:
        keras.Model [B, H, W, m, grid_channels] -> dict of `albedo` and `normal`
        [B, 4 H, 4 W, 3] in [0, 1].
    """
    grid = keras.Input((None, None, grid_size, grid_channels), name="grid")
    features = rendernet.trunk(
        grid, filters_3d, blocks_3d, projection, blocks_2d, dropout
    )
    features = ConvUnit(
        "conv2d", filters_2d, 4, dropout=dropout, bias_value=_BIAS, name="e_conv5"
    )(features)
    features = rendernet.residual_stage(features, "conv2d", blocks_2d_late, "res3")
    heads = {
        name: _head(features, head_filters, dropout, number)
        for number, name in enumerate(("albedo", "normal"), 1)
    }
    return keras.Model(grid, heads, name="two_headed_network")


def _head(features, filters, dropout, number):
    """One head: e_conv6 to e_conv10 with the suffix of the original."""
    steps = (
        ("conv2d", 1),
        ("conv2d_transpose", 2),
        ("conv2d_transpose", 2),
        ("conv2d_transpose", 2),
    )
    for i, (width, (kind, stride)) in enumerate(zip(filters, steps, strict=True), 6):
        features = ConvUnit(
            kind,
            width,
            4,
            stride,
            dropout=dropout,
            bias_value=_BIAS,
            name=f"e_conv{i}_{number}",
        )(features)
    return rendernet.picture(features, 3, f"e_conv10_{number}")


@keras.saving.register_keras_serializable(package="tfrender")
class TexturedRenderNet(keras.Model):
    """Voxels, texture code and pose to albedo and normal map.

    Args:
        widths: the arguments of `two_headed_network` from `filters_3d` to
            `head_filters`.
        input_size: side n of the voxel grid.
        code_size: length of the texture code.
        texture_filters: channels of the texture decoder.
        keep_prob: share of the values that dropout keeps, in (0, 1].

    Call arguments:
        inputs: dict of `voxels` [B, n, n, n, 1], `texture_code` [B, code_size],
            `pose` [B, 3] (azimuth and polar angle in degrees, radius) and, for a
            crop, `origin` [B, 2] int32.
        window: (height, width) of the crop in camera cells; None is the whole grid.

    Output:
        dict of `albedo` and `normal` [B, 4 height, 4 width, 3] in [0, 1].
    """

    def __init__(
        self,
        widths,
        input_size=64,
        code_size=199,
        texture_filters=(4, 4, 8, 4),
        keep_prob=1.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        checks.keys("widths", widths, PRESETS["paper"]["widths"])
        if not 0.0 < keep_prob <= 1.0:
            raise ValueError(f"`keep_prob` must lie in (0, 1]; got {keep_prob}.")
        self.settings = {
            "widths": dict(widths),
            "input_size": input_size,
            "code_size": code_size,
            "texture_filters": tuple(texture_filters),
            "keep_prob": keep_prob,
        }
        self.input_size = input_size
        self.code_size = code_size
        self.decoder = texture_decoder(code_size, input_size, tuple(texture_filters))
        self.resampler = VolumeResampler(2 * input_size, name="resampler")
        self.network = two_headed_network(
            2 * input_size, 1 + texture_filters[-1], **widths, dropout=1.0 - keep_prob
        )
        self.build()

    @classmethod
    def from_preset(cls, preset, **settings):
        """Builds a named preset: "paper" or "tiny".

        Args:
            preset: name.
            **settings: settings that differ from the preset's.

        Returns:
            TexturedRenderNet with fresh weights.
        """
        checks.one_of("preset", preset, PRESETS)
        return cls(**{**PRESETS[preset], **settings})

    def build(self, input_shape=None):
        """Nothing to build: decoder and network are built with the model."""
        self.resampler.build(None)
        self.built = True

    def call(self, inputs, training=None, window=None):
        """See the class."""
        n = self.input_size
        checks.dims("voxels", inputs["voxels"], None, n, n, n, 1)
        checks.dims("texture_code", inputs["texture_code"], None, self.code_size)
        texture = self.decoder(inputs["texture_code"], training=training)
        # Shape and texture turn together, so one resampling serves both.
        volume = tf.concat(
            [tf.cast(inputs["voxels"], tf.float32), tf.cast(texture, tf.float32)], -1
        )
        pose = tf.cast(inputs["pose"], tf.float32)
        grid = self.resampler(volume, pose, inputs.get("origin"), window=window)
        return self.network(grid, training=training)

    def get_config(self):
        """Settings of the model."""
        return {**super().get_config(), **self.settings}
