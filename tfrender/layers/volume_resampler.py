"""The layer that turns a voxel grid towards the camera."""

import keras
import tensorflow as tf

from tfrender import checks
from tfrender.ops.resample_volume import BORDERS, pose_parameters, resample_volume


@keras.saving.register_keras_serializable(package="tfrender")
class VolumeResampler(keras.layers.Layer):
    """Voxel grid and pose to a camera-aligned grid (RenderNet, section 3.1).

    Example:
        >>> layer = VolumeResampler(size=128)
        >>> pose = tf.constant([[250.0, 60.0, 3.3]] * 2)
        >>> layer(tf.zeros([2, 64, 64, 64, 1]), pose).shape
        TensorShape([2, 128, 128, 128, 1])

    Args:
        size: side of the camera grid; the original uses twice the input side.
        border: "legacy" or "zero_pad", see `ops.resample_volume`.
        jit_compile: compile the resampling with XLA (10 times faster on a CPU; leave
            it off for a graph that a stock server must run).

    Call arguments:
        voxels: [B, n, n, n, C] at (X, Y, Z).
        pose: [B, 3] azimuth in degrees, polar angle from +Y in degrees, radius; or
            [B, 2] without the radius (scale 1).
        origin: [B, 2] int32 first (row, column) of the window, or None.
        window: (height, width) of the window in cells, or None for the whole grid.

    Output:
        [B, height, width, size, C] float32, the camera at the high end of the depth.
    """

    def __init__(self, size=128, border="legacy", jit_compile=False, **kwargs):
        kwargs.setdefault("dtype", "float32")  # geometry, under any mixed policy
        super().__init__(**kwargs)
        checks.one_of("border", border, BORDERS)
        if size < 2:
            raise ValueError(f"`size` must be at least 2; got {size}.")
        self.size = size
        self.border = border
        self.jit_compile = jit_compile

    def build(self, voxels_shape, pose_shape=None, origin_shape=None):
        """Nothing to build: the layer has no weights."""
        self.built = True

    def call(self, voxels, pose, origin=None, window=None):
        """See the class."""
        checks.rank("voxels", voxels, 5)
        if pose.shape[-1] not in (2, 3):
            raise ValueError(f"`pose` must end in [2] or [3]; got {list(pose.shape)}.")
        azimuth, elevation, scale = pose_parameters(pose)
        function = _resample_compiled if self.jit_compile else resample_volume
        return function(
            voxels, azimuth, elevation, scale, self.size, self.border, origin, window
        )

    def get_config(self):
        """Settings of the layer."""
        return {
            **super().get_config(),
            "size": self.size,
            "border": self.border,
            "jit_compile": self.jit_compile,
        }


_resample_compiled = tf.function(resample_volume, jit_compile=True)
