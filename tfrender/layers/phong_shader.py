"""The layer that lights a normal map."""

import keras

from tfrender import checks
from tfrender.ops import phong


@keras.saving.register_keras_serializable(package="tfrender")
class PhongShader(keras.layers.Layer):
    """Normal map and light to a shaded picture on white (RenderNet, section 3.3).

    Args:
        ambient: ambient term in [0, 1].
        diffuse: factor of the diffuse term, at least 0.
        background: background of the normal map, see `ops.phong.foreground_mask`;
            None shades every pixel and lays nothing on white.
        mask_offset: brightness of the mask's half-way point, out of 255 (80 in
            training code of the original, 150 in its demo).
        convention: light angles, see `ops.phong.light_direction`.

    Call arguments:
        normal_map: [B, H, W, 3] in [0, 1].
        light: [B, 2] azimuth and polar angle of the light in degrees.

    Output:
        [B, H, W, 3] in [0, 1].
    """

    def __init__(
        self,
        ambient=0.1,
        diffuse=0.9,
        background="black",
        mask_offset=80.0,
        convention="y_up",
        **kwargs,
    ):
        kwargs.setdefault("dtype", "float32")
        super().__init__(**kwargs)
        checks.between("ambient", ambient, 0.0, 1.0)
        checks.between("diffuse", diffuse, 0.0, 1e3)
        if background is not None:
            checks.one_of("background", background, phong.BACKGROUNDS)
        checks.one_of("convention", convention, phong.CONVENTIONS)
        self.ambient = ambient
        self.diffuse = diffuse
        self.background = background
        self.mask_offset = mask_offset
        self.convention = convention

    def build(self, normal_map_shape, light_shape=None):
        """Nothing to build: the layer has no weights."""
        self.built = True

    def call(self, normal_map, light):
        """See the class."""
        checks.dims("normal_map", normal_map, None, None, None, 3)
        checks.dims("light", light, None, 2)
        direction = phong.light_direction(light[:, 0], light[:, 1], self.convention)
        shading = phong.phong_shading(
            normal_map, direction, ambient=self.ambient, diffuse=self.diffuse
        )
        if self.background is None:
            return shading
        mask = phong.foreground_mask(normal_map, self.background, self.mask_offset)
        return phong.composite_on_white(shading, mask)

    def compute_output_shape(self, normal_map_shape, light_shape=None):
        """The shape of the normal map."""
        return normal_map_shape

    def get_config(self):
        """Settings of the layer."""
        return {
            **super().get_config(),
            "ambient": self.ambient,
            "diffuse": self.diffuse,
            "background": self.background,
            "mask_offset": self.mask_offset,
            "convention": self.convention,
        }
