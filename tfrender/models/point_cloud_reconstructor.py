"""One picture in, the points of a shape (and the pose of the camera) out.

Insafutdinov and Dosovitskiy, "Unsupervised Learning of Shape and Pose with
Differentiable Point Clouds" (DPC), NeurIPS 2018; Han et al., "DRWR", ICML 2020, trains
the same network with other losses.
"""

import math

import keras
import tensorflow as tf

from tfrender import checks
from tfrender.quaternions import normalize_quaternion

# Arguments of `PointCloudReconstructor`.
PRESETS = {
    "paper": {"points": 2000},
    "dpc": {"points": 8000},
    "small": {"points": 1024, "input_size": 64, "hidden_size": 512, "code_size": 512},
    "tiny": {
        "points": 64,
        "input_size": 16,
        "filters": 4,
        "hidden_size": 16,
        "code_size": 16,
    },
}
_SLOPE = 0.2  # of the leaky ReLUs
_POSE_UNITS = 32
_POSE_LAYERS = 3


@keras.saving.register_keras_serializable(package="tfrender")
class PointCloudReconstructor(keras.Model):
    """Network from a picture to a point cloud, and to poses where asked for.

    Example:
        >>> model = PointCloudReconstructor.from_preset("tiny")
        >>> model(tf.zeros([1, 16, 16, 3]))["points"].shape
        TensorShape([1, 64, 3])

    Args:
        points: number of points N.
        input_size: side of the square picture; a power of two, at least 16.
        filters: channels of the first convolution; each block doubles them.
        hidden_size: width of the dense layers.
        code_size: width of the code that points are made of.
        decoder_stddev: of the first weights of the points; small keeps them together.
        unit_cube: True keeps points in (-0.5, 0.5)^3, False in (-1, 1)^3.
        pose_candidates: 0 predicts no pose, 1 one, more an ensemble to choose from.
        student: with an ensemble, one more head that learns what was chosen.
        scaling_maximum: bound of `scale`.

    Call arguments:
        images: [B, S, S, 3] in [0, 1], on white.
        training: see Keras.

    Output:
        dict of float32: `points` [B, N, 3]; `scale` [B, 1] in (0, scaling_maximum), the
        occupancy of a point for DPC's renderer; with poses also `poses` [B, K, 4] (w,
        x, y, z) of any length, and `pose` [B, 4] unit: the student's, or the only one.
        Poses are those of `cameras.from_quaternion`.

    Raises:
        ValueError: for settings or shapes out of range.
    """

    def __init__(
        self,
        points=2000,
        input_size=128,
        filters=16,
        hidden_size=1024,
        code_size=1024,
        decoder_stddev=0.025,
        unit_cube=True,
        pose_candidates=0,
        student=True,
        scaling_maximum=1.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if input_size < 16 or input_size & (input_size - 1):
            raise ValueError(
                f"`input_size` must be a power of two, at least 16; got {input_size}."
            )
        for name, value in (
            ("points", points),
            ("filters", filters),
            ("hidden_size", hidden_size),
            ("code_size", code_size),
        ):
            checks.between(name, value, 1, 1 << 20)
        checks.between("decoder_stddev", decoder_stddev, 0.0, 100.0)
        checks.between("pose_candidates", pose_candidates, 0, 1024)
        checks.between("scaling_maximum", scaling_maximum, 1e-6, 1e6)
        self.settings = {
            "points": int(points),
            "input_size": int(input_size),
            "filters": int(filters),
            "hidden_size": int(hidden_size),
            "code_size": int(code_size),
            "decoder_stddev": float(decoder_stddev),
            "unit_cube": bool(unit_cube),
            "pose_candidates": int(pose_candidates),
            "student": bool(student),
            "scaling_maximum": float(scaling_maximum),
        }
        self.points, self.input_size = int(points), int(input_size)
        self.pose_candidates = int(pose_candidates)
        self._reach = 0.5 if unit_cube else 1.0
        self._scaling_maximum = float(scaling_maximum)
        self.encoder = _encoder(self.settings)
        self.decoder = _decoder(self.settings)
        self.pose_network = _pose_network(self.settings) if pose_candidates else None
        self.build([None, input_size, input_size, 3])

    @classmethod
    def from_preset(cls, preset: str, **overrides) -> "PointCloudReconstructor":
        """Builds a model of a named size.

        Args:
            preset: one of `PRESETS`: "paper" (2,000 points, 13.6 M parameters), "dpc"
                (8,000 points, 32 M), "small" (1,024 points of a picture of 64 x 64,
                3.4 M) or "tiny" (64 points of 16 x 16).
            **overrides: arguments that differ from the preset.

        Returns:
            The model.

        Raises:
            ValueError: unknown preset.
        """
        checks.one_of("preset", preset, PRESETS)
        return cls(**{**PRESETS[preset], **overrides})

    @property
    def predicts_pose(self) -> bool:
        """Whether there are poses in the output."""
        return self.pose_network is not None

    def build(self, input_shape):
        """Checks the shape; the networks are built already."""
        side = self.input_size
        if tuple(input_shape[1:]) != (side, side, 3):
            raise ValueError(
                f"`images` must be [B, {side}, {side}, 3]; got {list(input_shape)}."
            )
        self.built = True

    def call(self, images, training=False):
        """See the class."""
        code = self.encode(images, training=training)
        outputs = self.decode(code)
        return {**outputs, **self.poses(code)}

    def encode(self, images, training=False) -> dict[str, tf.Tensor]:
        """Codes of pictures.

        Args:
            images: [B, S, S, 3] in [0, 1], on white.
            training: see Keras.

        Returns:
            dict: `features` of the convolutions [B, F], `latent` [B, hidden_size],
            `hidden` [B, hidden_size] and `code` [B, code_size].
        """
        checks.dims("images", images, None, self.input_size, self.input_size, 3)
        return self.encoder(images, training=training)

    def decode(self, code: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """`points` and `scale` of codes, see the class."""
        raw = self.decoder(code["code"])
        points = tf.reshape(tf.cast(raw["points"], tf.float32), [-1, self.points, 3])
        scale = tf.sigmoid(tf.cast(raw["scale"], tf.float32))
        return {
            "points": self._reach * tf.tanh(points),
            "scale": self._scaling_maximum * scale,
        }

    def poses(self, code: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """`poses` and `pose` of codes, see the class; empty without pose heads."""
        if self.pose_network is None:
            return {}
        raw = self.pose_network(code["hidden"])
        poses = tf.cast(raw["poses"], tf.float32)
        poses = tf.reshape(poses, [-1, self.pose_candidates, 4])
        pose = tf.cast(raw["student"], tf.float32) if "student" in raw else poses[:, 0]
        return {"poses": poses, "pose": normalize_quaternion(pose)}

    def get_config(self):
        """Settings of the model."""
        return {**super().get_config(), **self.settings}


def _dense(units, name, activation="leaky", initializer="he_normal"):
    """A layer of the published form: He's truncated normal, biases 0."""
    if activation == "leaky":
        activation = keras.layers.LeakyReLU(negative_slope=_SLOPE)
    return keras.layers.Dense(
        units, activation, kernel_initializer=initializer, name=name
    )


def _encoder(settings):
    """Picture [B, S, S, 3] in [0, 1] to the codes of `encode`."""
    layers, size = keras.layers, settings["input_size"]

    def convolution(x, width, side, stride, name):
        leaky = layers.LeakyReLU(negative_slope=_SLOPE)
        return layers.Conv2D(
            *(width, side, stride, "same"),
            activation=leaky,
            kernel_initializer="he_normal",
            name=name,
        )(x)

    images = keras.Input([size, size, 3], name="images")
    width = settings["filters"]
    x = layers.Rescaling(2.0, -1.0, name="centred")(images)
    x = convolution(x, width, 5, 2, "conv0")
    for block in range(1, int(math.log2(size / 4) - 1) + 1):
        width *= 2
        x = convolution(x, width, 3, 2, f"conv{block}a")
        x = convolution(x, width, 3, 1, f"conv{block}b")
    features = layers.Flatten(name="features")(x)
    latent = _dense(settings["hidden_size"], "latent")(features)
    hidden = _dense(settings["hidden_size"], "hidden")(latent)
    code = _dense(settings["code_size"], "code")(hidden)
    found = {"features": features, "latent": latent, "hidden": hidden, "code": code}
    return keras.Model(images, found, name="encoder")


def _decoder(settings):
    """Code [B, C] to raw points [B, 3 N] and the raw scale [B, 1]."""
    code = keras.Input([settings["code_size"]], name="code")
    spread = keras.initializers.TruncatedNormal(stddev=settings["decoder_stddev"])
    found = {
        name: _dense(units, name, None, spread)(code)
        for name, units in (("points", 3 * settings["points"]), ("scale", 1))
    }
    return keras.Model(code, found, name="decoder")


def _pose_network(settings):
    """The encoder's hidden layer to raw quaternions, [B, 4 K] and the student's [B, 4].

    One candidate is a single layer; each of several, and the student, has three.
    """
    hidden = keras.Input([settings["hidden_size"]], name="hidden")
    features = _dense(settings["code_size"], "pose_features", "relu")(hidden)

    def branch(name):
        x = features
        for layer in range(_POSE_LAYERS - 1):
            x = _dense(_POSE_UNITS, f"{name}_{layer}")(x)
        return _dense(4, name, None)(x)

    count = settings["pose_candidates"]
    if count == 1:
        return keras.Model(
            hidden, {"poses": _dense(4, "pose", None)(features)}, name="pose_network"
        )
    poses = [branch(f"pose{number}") for number in range(count)]
    found = {"poses": keras.layers.Concatenate(name="poses")(poses)}
    if settings["student"]:
        found["student"] = branch("student")
    return keras.Model(hidden, found, name="pose_network")
