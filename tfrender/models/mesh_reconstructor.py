"""One picture in, the vertices of a mesh out.

Kato, Ushiku and Harada, "Neural 3D Mesh Renderer", CVPR 2018, section 4.1 and the
published network: three strided convolutions, five dense layers, and a sphere of 642
vertices that is pulled into shape (`ops.deform_template`).
"""

import importlib.resources
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from tfrender import checks
from tfrender.ops.deform_template import deform_template

# Arguments of `MeshReconstructor`. `small` follows the recipe of Soft Rasterizer with
# its batch normalisation.
PRESETS = {
    "paper": {
        "filters": (64, 128, 256),
        "encoder_units": (1024, 1024, 512),
        "decoder_units": (1024, 2048),
    },
    "small": {
        "filters": (32, 64, 128),
        "encoder_units": (256, 256),
        "decoder_units": (512, 512),
        "normalization": True,
    },
    "tiny": {
        "image_size": 32,
        "filters": (4, 8, 8),
        "encoder_units": (16,),
        "decoder_units": (16,),
    },
}
_COLORS = 3


class Template(NamedTuple):
    """The mesh that is deformed.

    Attributes:
        vertices: float32 [V, 3] in [-1, 1].
        faces: int32 [F, 3], counter-clockwise outside.
    """

    vertices: np.ndarray
    faces: np.ndarray


def sphere_template() -> Template:
    """The published template: a geodesic sphere of 642 vertices and 1,280 faces.

    From hiroharu-kato/mesh_reconstruction (MIT), in its order of vertices.
    """
    path = importlib.resources.files("tfrender") / "assets" / "sphere_642.npz"
    with path.open("rb") as file, np.load(file) as arrays:
        return Template(arrays["vertices"], arrays["faces"].astype(np.int32))


@keras.saving.register_keras_serializable(package="tfrender")
class MeshReconstructor(keras.Model):
    """Network from a picture to a closed mesh of the sphere's faces.

    Example:
        >>> model = MeshReconstructor.from_preset("tiny")
        >>> model(tf.zeros([1, 32, 32, 4]))["vertices"].shape
        TensorShape([1, 642, 3])

    Args:
        image_size: side of the square picture; a multiple of 8.
        filters: channels of the convolutions 5 x 5 with stride 2.
        encoder_units: widths of the dense layers behind them, all with ReLU.
        decoder_units: widths of the decoder's dense layers, all with ReLU.
        normalization: True normalises each convolution over the batch before its ReLU.
        dropout: share of the code's values dropped in training.
        colors: True adds a head for the colours of the vertices.
        margin: see `ops.deform_template`.

    Call arguments:
        images: [B, S, S, 4] in [0, 1], colour on black and coverage.
        training: see Keras.

    Output:
        dict: "vertices" float32 [B, 642, 3] in (-0.5, 0.5), the frame of the training
        data; with `colors` also "colors" float32 [B, 642, 3] in (0, 1). The faces are
        `faces`.

    Raises:
        ValueError: for settings or shapes out of range.
    """

    def __init__(
        self,
        image_size=64,
        filters=(64, 128, 256),
        encoder_units=(1024, 1024, 512),
        decoder_units=(1024, 2048),
        normalization=False,
        dropout=0.0,
        colors=False,
        margin=0.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if image_size < 8 or image_size % 8:
            raise ValueError(
                f"`image_size` must be a positive multiple of 8; got {image_size}."
            )
        for name, widths in (
            ("filters", filters),
            ("encoder_units", encoder_units),
            ("decoder_units", decoder_units),
        ):
            if not widths or min(widths) < 1:
                raise ValueError(f"`{name}` must be positive widths; got {widths}.")
        checks.between("dropout", dropout, 0.0, 0.99)
        self.settings = {
            "image_size": int(image_size),
            "filters": [int(width) for width in filters],
            "encoder_units": [int(width) for width in encoder_units],
            "decoder_units": [int(width) for width in decoder_units],
            "normalization": bool(normalization),
            "dropout": float(dropout),
            "colors": bool(colors),
            "margin": float(margin),
        }
        self.image_size = int(image_size)
        self.template = sphere_template()
        self.margin = float(margin)
        self.encoder = _encoder(
            image_size, filters, encoder_units, normalization, dropout
        )
        self.decoder = _decoder(
            encoder_units[-1],
            decoder_units,
            len(self.template.vertices),
            colors,
        )
        self.build([None, image_size, image_size, 4])

    @classmethod
    def from_preset(cls, preset: str, **overrides) -> "MeshReconstructor":
        """Builds a model of a named size.

        Args:
            preset: one of `PRESETS`: "paper" (26 M parameters), "small" (3.8 M) or
                "tiny" (70 k, pictures of 32 x 32).
            **overrides: arguments that differ from the preset.

        Returns:
            The model.

        Raises:
            ValueError: unknown preset.
        """
        checks.one_of("preset", preset, PRESETS)
        return cls(**{**PRESETS[preset], **overrides})

    @property
    def faces(self) -> np.ndarray:
        """Faces of every mesh, int32 [1280, 3], counter-clockwise outside."""
        return self.template.faces

    def build(self, input_shape):
        """Checks the shape; encoder and decoder are built already."""
        side = self.image_size
        if tuple(input_shape[1:]) != (side, side, 4):
            raise ValueError(
                f"`images` must be [B, {side}, {side}, 4]; got {list(input_shape)}."
            )
        self.built = True

    def call(self, images, training=False):
        """See the class."""
        checks.dims("images", images, None, self.image_size, self.image_size, 4)
        heads = self.decoder(self.encoder(images, training=training), training=training)
        bias = tf.reshape(heads["bias"], [-1, len(self.template.vertices), 3])
        outputs = {
            "vertices": deform_template(
                self.template.vertices, bias, heads["centroid"], margin=self.margin
            )
        }
        if "colors" in heads:
            colors = tf.reshape(heads["colors"], [-1, len(self.template.vertices), 3])
            outputs["colors"] = tf.sigmoid(tf.cast(colors, tf.float32))
        return outputs

    def get_config(self):
        """Settings of the model."""
        return {**super().get_config(), **self.settings}


def _initializer():
    """Normal with variance 1 / fan_in, not truncated, as published."""
    return keras.initializers.VarianceScaling(1.0, "fan_in", "untruncated_normal")


def _dense(units, activation=None, name=None):
    return keras.layers.Dense(
        units, activation, kernel_initializer=_initializer(), name=name
    )


def _encoder(image_size, filters, units, normalization, dropout):
    """Picture [B, S, S, 4] to code [B, units[-1]], at least 0."""
    layers = keras.layers
    features = images = keras.Input([image_size, image_size, 4], name="images")
    for i, width in enumerate(filters, 1):
        # "same" would pad one row before and two behind; the original pads two on
        # both sides.
        features = layers.ZeroPadding2D(2, name=f"pad{i}")(features)
        features = layers.Conv2D(
            width,
            5,
            strides=2,
            use_bias=not normalization,
            kernel_initializer=_initializer(),
            name=f"conv{i}",
        )(features)
        if normalization:
            features = layers.BatchNormalization(name=f"norm{i}")(features)
        features = layers.ReLU(name=f"relu{i}")(features)
    # Channels first, as the original lists them, so that its weights would fit.
    features = layers.Permute([3, 1, 2], name="channels_first")(features)
    features = layers.Flatten(name="flatten")(features)
    for i, width in enumerate(units, 1):
        features = _dense(width, "relu", f"dense{i}")(features)
    if dropout:
        features = layers.Dropout(dropout, name="dropout")(features)
    return keras.Model(images, features, name="encoder")


def _decoder(code_units, units, vertices, colors):
    """Code [B, U] to the raw numbers of the heads."""
    features = code = keras.Input([code_units], name="code")
    for i, width in enumerate(units, 1):
        features = _dense(width, "relu", f"dense{i}")(features)
    heads = {
        "bias": _dense(3 * vertices, name="bias")(features),
        "centroid": _dense(3, name="centroid")(features),
    }
    if colors:
        heads["colors"] = _dense(_COLORS * vertices, name="colors")(features)
    return keras.Model(code, heads, name="decoder")
