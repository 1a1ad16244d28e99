"""Differentiable Volumetric Rendering: a picture, or nothing, to an implicit shape.

Niemeyer, Mescheder, Oechsle and Geiger, CVPR 2020.
"""

import keras
import tensorflow as tf

from tfrender import checks
from tfrender.layers.implicit_surface_renderer import ImplicitSurfaceRenderer
from tfrender.models.image_encoders import KINDS, image_encoder
from tfrender.models.occupancy_field import OccupancyField

EMBEDDING = "embedding"
ENCODERS = ("none", EMBEDDING, *KINDS)
# Arguments of `DVR`. `paper` is the published model of 2.5D supervision, `rgb` that of
# 2D supervision, `multi_view` that of one object.
PRESETS = {
    "paper": {"hidden_size": 512, "code_size": 256, "encoder": "resnet18"},
    "rgb": {"hidden_size": 128, "code_size": 256, "encoder": "resnet18"},
    "multi_view": {"hidden_size": 512},
    "small": {"hidden_size": 128},
    "tiny": {"hidden_size": 32, "blocks": 3},
}


@keras.saving.register_keras_serializable(package="tfrender")
class DVR(keras.Model):
    """A field of occupancy and colour, and what its code is computed from.

    Example:
        >>> model = DVR.from_preset("tiny")
        >>> model(tf.zeros([1, 5, 3])).shape
        TensorShape([1, 5, 4])

    Args:
        hidden_size: width of the field.
        blocks: of the field.
        code_size: width of the code; 0 without an encoder.
        colors: False is a shape without colours.
        leaky: see `OccupancyField`.
        frequencies: see `OccupancyField`.
        encoder: "none" for one object, "embedding" for a learned code of each of
            `objects` objects, or a kind of `models.image_encoders`.
        input_size: side of the encoder's square pictures.
        objects: number of objects of an embedding.

    Call arguments:
        points: [B, N, 3] in object space.
        source: what `encode` takes; None without an encoder.

    Output:
        [B, N, 4] logits of occupancy and colours, or [B, N, 1].

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
        encoder="none",
        input_size=224,
        objects=0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        checks.one_of("encoder", encoder, ENCODERS)
        if (encoder == "none") != (code_size == 0):
            raise ValueError(
                "`code_size` must be 0 without an encoder and above 0 with one; got "
                f"{code_size} with {encoder!r}."
            )
        if encoder == EMBEDDING:
            checks.between("objects", objects, 1, 2**31 - 1)
        self.settings = {
            "hidden_size": int(hidden_size),
            "blocks": int(blocks),
            "code_size": int(code_size),
            "colors": bool(colors),
            "leaky": bool(leaky),
            "frequencies": int(frequencies),
            "encoder": encoder,
            "input_size": int(input_size),
            "objects": int(objects),
        }
        self.code_size, self.input_size = int(code_size), int(input_size)
        self.field = OccupancyField(
            *(hidden_size, blocks, code_size, colors, leaky, frequencies), name="field"
        )
        self.kind, self.encoder = encoder, None
        if encoder == EMBEDDING:
            self.encoder = keras.layers.Embedding(objects, code_size, name="codes")
            self.encoder.build([None])
        elif encoder != "none":
            self.encoder = image_encoder(encoder, code_size, input_size)
        self.built = True

    @classmethod
    def from_preset(cls, preset: str, **overrides) -> "DVR":
        """Builds a model of a named size.

        Args:
            preset: one of `PRESETS`: "paper" (3.3 M parameters and a ResNet-18), "rgb"
                (0.33 M and a ResNet-18), and of one object "multi_view" (2.6 M),
                "small" (0.17 M) and "tiny" (6 k).
            **overrides: arguments that differ from the preset.

        Returns:
            The model.

        Raises:
            ValueError: unknown preset.
        """
        checks.one_of("preset", preset, PRESETS)
        return cls(**{**PRESETS[preset], **overrides})

    def build(self, input_shape=None):
        """Does nothing: the weights do not depend on the input."""
        self.built = True

    def encode(self, source, training=False):
        """Code of pictures or of numbered objects.

        Args:
            source: [B, S, S, 3] in [0, 1]; for an embedding [B] integers.
            training: see Keras.

        Returns:
            float32 [B, C]; None for a model without an encoder.
        """
        if self.encoder is None:
            return None
        if self.kind == EMBEDDING:
            return self.encoder(source)
        checks.dims("source", source, self.input_size, self.input_size, 3)
        return tf.cast(self.encoder(source, training=training), tf.float32)

    def call(self, points, source=None, training=False):
        """See the class."""
        return self.field(points, self.encode(source, training))

    def render(
        self, camera, image_size, code=None, samples=128, threshold=0.5, padding=0.1
    ):
        """Pictures of the shape; see `layers.ImplicitSurfaceRenderer`.

        Args:
            camera: Camera of batch B.
            image_size: (height, width).
            code: [B, C] of `encode`; None without an encoder.
            samples: on each ray.
            threshold: probability of occupancy on the surface.
            padding: of the cube in which rays are marched.

        Returns:
            dict of [B, H, W, .]: "rgb" on white, "alpha", "depth", "mask", "points"
            and "normal".
        """
        renderer = ImplicitSurfaceRenderer(
            self.field,
            image_size,
            samples=samples,
            threshold=threshold,
            padding=padding,
        )
        return renderer(camera, code)

    def get_config(self):
        """Settings of the model."""
        return {**super().get_config(), **self.settings}
