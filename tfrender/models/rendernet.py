"""RenderNet: a network that renders a voxel grid from any pose.

Nguyen-Phuoc, Li, Balaban, Yang, "RenderNet: A deep convolutional network for
differentiable rendering from 3D shapes", NeurIPS 2018. Layer names follow the paper's
table: e_conv1 ... e_conv11, res1_i (3-D), res2_i and res3_i (2-D).
"""

import keras
import tensorflow as tf

from tfrender import checks
from tfrender.layers import ConvUnit, ProjectionUnit, ResidualBlock, VolumeResampler

# Arguments of `RenderNet`. In `widths`, `filters_3d` are e_conv1..3; `projection` None
# keeps depth * channels; `upsampling` lists (filters, stride) of e_conv7..e_conv10.
PRESETS = {
    "paper": {
        "input_size": 64,
        "widths": {
            "filters_3d": (8, 16, 32),
            "blocks_3d": 10,
            "projection": None,
            "blocks_2d": 10,
            "filters_2d": 512,
            "blocks_2d_late": 5,
            "filters_late": 256,
            "upsampling": ((128, 2), (128, 1), (64, 2), (32, 2), (16, 1)),
        },
    },
    "small": {
        "input_size": 64,
        "widths": {
            "filters_3d": (4, 8, 8),
            "blocks_3d": 2,
            "projection": 160,
            "blocks_2d": 6,
            "filters_2d": 128,
            "blocks_2d_late": 2,
            "filters_late": 64,
            "upsampling": ((32, 2), (32, 1), (16, 2), (8, 2), (8, 1)),
        },
    },
    "tiny": {
        "input_size": 32,
        "widths": {
            "filters_3d": (4, 8, 8),
            "blocks_3d": 1,
            "projection": 96,
            "blocks_2d": 2,
            "filters_2d": 64,
            "blocks_2d_late": 1,
            "filters_late": 32,
            "upsampling": ((16, 2), (16, 1), (8, 2), (8, 2), (8, 1)),
        },
    },
}
_UPSAMPLING_NAMES = ("e_conv7", "e_conv7_1", "e_conv8", "e_conv9", "e_conv10")
# Start value of the biases of 3-D layers in the original.
_BIAS_3D = 0.001
# Start value of the last bias. Most of a picture is black background: from a bias of 0,
# that of the original, the first hundred steps are spent on darkening everything, which
# often kills the rectifiers for good (all black, 15.0 dB on our test data; from -2.5
# the same run reaches 21.7 dB in 400 steps).
_DARK = -2.5


def trunk(grid, filters_3d, blocks_3d, projection, blocks_2d, dropout):
    """First half of the network: 3-D convolutions, projection, 2-D residual stage.

    Args:
        grid: KerasTensor [B, H, W, m, C], H and W even, m a multiple of 4.
        filters_3d: channels of e_conv1, e_conv2, e_conv3.
        blocks_3d: number of 3-D residual blocks.
        projection: channels of the projection unit; None keeps depth * channels.
        blocks_2d: number of 2-D residual blocks.
        dropout: share of the values dropped in training.

    Returns:
        KerasTensor [B, H / 2, W / 2, projection].
    """
    steps = ((5, 2), (3, (1, 1, 2)), (3, 1))
    features = grid
    for i, (filters, (kernel, stride)) in enumerate(
        zip(filters_3d, steps, strict=True), 1
    ):
        features = ConvUnit(
            "conv3d",
            filters,
            kernel,
            stride,
            dropout=dropout,
            bias_value=_BIAS_3D,
            name=f"e_conv{i}",
        )(features)
    features = residual_stage(features, "conv3d", blocks_3d, "res1", _BIAS_3D)
    features = ProjectionUnit(projection, name="projection_unit")(features)
    return residual_stage(features, "conv2d", blocks_2d, "res2")


def residual_stage(features, kind, blocks, name, bias_value=0.0):
    """Residual blocks, a convolution and a long skip around them.

    Args:
        features: KerasTensor [B, ..., C].
        kind: "conv2d" or "conv3d".
        blocks: number of blocks.
        name: prefix of the layer names.
        bias_value: start value of the biases.

    Returns:
        KerasTensor [B, ..., C].
    """
    start, width = features, features.shape[-1]
    for i in range(1, blocks + 1):
        features = ResidualBlock(kind, bias_value, name=f"{name}_{i}")(features)
    features = ConvUnit(
        kind, width, 3, activation=None, bias_value=bias_value, name=f"{name}_skip"
    )(features)
    return keras.layers.Add(name=f"{name}_add")([features, start])


def shader_network(
    grid_size,
    filters_3d,
    blocks_3d,
    projection,
    blocks_2d,
    filters_2d,
    blocks_2d_late,
    filters_late,
    upsampling,
    channels=3,
    dropout=0.0,
    output_bias=_DARK,
):
    """The network behind the resampler: camera grid to picture.

    Args:
        grid_size: depth m of the camera grid.
        filters_3d: channels of e_conv1..3.
        blocks_3d: number of 3-D residual blocks.
        projection: channels of the projection unit; None keeps depth * channels.
        blocks_2d: number of residual blocks of the second stage.
        filters_2d: channels of e_conv5 and the third stage.
        blocks_2d_late: number of residual blocks of the third stage.
        filters_late: channels of e_conv6.
        upsampling: (filters, stride) of e_conv7, 7_1, 8, 9, 10.
        channels: 1 for grey shaders, 3 for colour or normal maps.
        dropout: share of the values dropped in training, 1 - keep_prob.
        output_bias: start value of the last bias; 0 in the original.

    Returns:
        keras.Model [B, H, W, m, 1] -> [B, 4 H, 4 W, channels] in [0, 1]; H and W are
        even and free, so the network trains on crops.
    """
    if grid_size % 4:
        raise ValueError(f"`grid_size` must be a multiple of 4; got {grid_size}.")
    grid = keras.Input((None, None, grid_size, 1), name="grid")
    features = trunk(grid, filters_3d, blocks_3d, projection, blocks_2d, dropout)
    features = ConvUnit("conv2d", filters_2d, 4, dropout=dropout, name="e_conv5")(
        features
    )
    features = residual_stage(features, "conv2d", blocks_2d_late, "res3")
    features = ConvUnit("conv2d", filters_late, 4, dropout=dropout, name="e_conv6")(
        features
    )
    for name, (filters, stride) in zip(_UPSAMPLING_NAMES, upsampling, strict=True):
        features = ConvUnit(
            "conv2d_transpose", filters, 4, stride, dropout=dropout, name=name
        )(features)
    image = picture(features, channels, "e_conv11", output_bias)
    return keras.Model(grid, image, name="shader_network")


def picture(features, channels, name, output_bias=0.0):
    """Last layer of a head: transposed convolution and sigmoid, in float32.

    Args:
        features: KerasTensor [B, H, W, C].
        channels: channels of the picture.
        name: name of the layer.
        output_bias: start value of the bias.

    Returns:
        KerasTensor [B, H, W, channels] in [0, 1].
    """
    logits = ConvUnit(
        "conv2d_transpose",
        channels,
        4,
        activation=None,
        bias_value=output_bias,
        name=name,
    )(features)
    return keras.layers.Activation("sigmoid", dtype="float32", name=f"{name}_sigmoid")(
        logits
    )


@keras.saving.register_keras_serializable(package="tfrender")
class RenderNet(keras.Model):
    """Voxels and pose to a picture.

    Example:
        >>> model = RenderNet.from_preset("tiny")
        >>> pose = tf.constant([[250.0, 60.0, 3.3]])
        >>> model({"voxels": tf.zeros([1, 32, 32, 32, 1]), "pose": pose}).shape
        TensorShape([1, 256, 256, 3])

    Args:
        widths: the arguments of `shader_network` from `filters_3d` to `upsampling`.
        input_size: side n of the voxel grid.
        channels: 3 for colour or normal maps, 1 for grey shaders.
        keep_prob: share of the values that dropout keeps, in (0, 1].
        threshold: voxels above it become 1, the others 0; None passes them through
            (needed where the shape itself is optimised).
        border: border rule of the resampler.
        output_bias: start value of the last bias, see `shader_network`.
        jit_compile_resampling: compile the resampling with XLA.

    Call arguments:
        inputs: dict of `voxels` [B, n, n, n, 1], `pose` [B, 3] (azimuth in degrees,
            polar angle in degrees, radius) and, for a crop, `origin` [B, 2] int32
            first (row, column) in camera cells.
        window: (height, width) of the crop in camera cells; None is the whole grid.

    Output:
        [B, 4 height, 4 width, channels] in [0, 1].
    """

    def __init__(
        self,
        widths,
        input_size=64,
        *,
        channels=3,
        keep_prob=1.0,
        threshold=None,
        border="legacy",
        output_bias=_DARK,
        jit_compile_resampling=False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        checks.keys("widths", widths, PRESETS["paper"]["widths"])
        if channels not in (1, 3):
            raise ValueError(f"`channels` must be 1 or 3; got {channels}.")
        if not 0.0 < keep_prob <= 1.0:
            raise ValueError(f"`keep_prob` must lie in (0, 1]; got {keep_prob}.")
        self.settings = {
            "widths": dict(widths),
            "input_size": input_size,
            "channels": channels,
            "keep_prob": keep_prob,
            "threshold": threshold,
            "border": border,
            "output_bias": output_bias,
            "jit_compile_resampling": jit_compile_resampling,
        }
        self.threshold = threshold
        self.input_size = input_size
        self.resampler = VolumeResampler(
            2 * input_size, border, jit_compile_resampling, name="resampler"
        )
        self.network = shader_network(
            2 * input_size,
            **widths,
            channels=channels,
            dropout=1.0 - keep_prob,
            output_bias=output_bias,
        )
        self.build()

    @classmethod
    def from_preset(cls, preset, **settings):
        """Builds a named preset: "paper", "small" or "tiny".

        Args:
            preset: name.
            **settings: settings that differ from the preset's.

        Returns:
            RenderNet with fresh weights.
        """
        checks.one_of("preset", preset, PRESETS)
        return cls(**{**PRESETS[preset], **settings})

    def build(self, input_shape=None):
        """Nothing to build: the network is built with the model."""
        self.resampler.build(None)
        self.built = True

    def call(self, inputs, training=None, window=None):
        """See the class."""
        n = self.input_size
        checks.dims("voxels", inputs["voxels"], None, n, n, n, 1)
        voxels = tf.cast(inputs["voxels"], tf.float32)
        if self.threshold is not None:
            voxels = tf.cast(voxels > self.threshold, tf.float32)
        pose = tf.cast(inputs["pose"], tf.float32)
        grid = self.resampler(voxels, pose, inputs.get("origin"), window=window)
        return self.network(grid, training=training)

    def get_config(self):
        """Settings of the model."""
        return {**super().get_config(), **self.settings}
