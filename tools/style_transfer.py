r"""Paints and bends a mesh until it looks like a picture: 2D-to-3D style transfer.

    python -m tools.style_transfer -im bunny.obj -is picture.png -o bunny.gif
    python -m tools.style_transfer --input_mesh=bunny.obj --input_style=picture.png \
        --output=bunny.gif --output_mesh=bunny.glb --network=small

Kato, Ushiku and Harada, CVPR 2018, section 4.2. Every step draws the mesh from random
sides under a random lamp; a network compares which features occur together with those
of the picture. Writes a turntable. The guide is docs/style_transfer.md.
"""

import numpy as np
import tensorflow as tf
from absl import flags

from tfrender import io
from tfrender.losses.style import covered_total_variation, masked_gram, style_loss
from tfrender.models.image_features import image_features
from tools import cli, optimize_scene

FLAGS = flags.FLAGS
CONE_DEG = 30.0  # of the lamps, published
_TURNTABLE_ELEVATION = 30.0


def define_flags() -> None:
    """Defines the flags; not at import, because names are global to a process."""
    flags.DEFINE_string("input_mesh", None, "Mesh, +Y up.", required=True)
    flags.DEFINE_string("input_style", None, "Picture, PNG or JPEG.", required=True)
    flags.DEFINE_float("lambda_style", 1.0, "Weight of the style.", 0.0)
    flags.DEFINE_float("lambda_content", 2e9, "Weight of the shape at start.", 0.0)
    flags.DEFINE_float("lambda_tv", 1e7, "Weight of the total variation.", 0.0)
    flags.DEFINE_float("elevation_min", 20.0, "Lowest camera, degrees.", -90.0, 90.0)
    flags.DEFINE_float("elevation_max", 40.0, "Highest camera, degrees.", -90.0, 90.0)
    flags.DEFINE_float("learning_rate", 0.05, "Of Adam.", 0.0)
    flags.DEFINE_float("adam_beta2", 0.999, "Of Adam.", 0.0, 0.9999999)
    optimize_scene.define_flags(distance=2.732, network="vgg16")
    names = {"im": "input_mesh", "is": "input_style", "ls": "lambda_style"}
    names |= {"lc": "lambda_content", "ltv": "lambda_tv", "emin": "elevation_min"}
    names |= {"emax": "elevation_max", "lrv": "lr_vertices", "lrt": "lr_textures"}
    names |= {"cdn": "camera_distance_noise", "ts": "texture_size"}
    names |= {"lr": "learning_rate", "ab2": "adam_beta2"}
    optimize_scene.alias(**names)


class StyleTransfer:
    """The loss of a painted mesh towards a style.

    Args:
        mesh: `optimize_scene.PaintedMesh`.
        network: of `image_features`.
        picture: float [S, S, 3] in [0, 1], the style; S is the size of the views.
        weights: of style, content and total variation.
    """

    def __init__(self, mesh, network, picture, weights=(1.0, 2e9, 1e7)):
        self.mesh, self.network, self.weights = mesh, network, weights
        self.studio = optimize_scene.Studio(mesh, len(picture), lit=True)
        picture = tf.convert_to_tensor(picture, tf.float32)
        self.background = tf.reduce_mean(picture, axis=[0, 1]).numpy()
        features = network(picture[tf.newaxis])
        self.targets = {name: masked_gram(f) for name, f in features.items()}

    def losses(self, views) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Style (mean over the views), content and total variation, not weighted."""
        rgb, alpha = self.studio.draw(views)
        style = tf.reduce_mean(style_loss(self.network(rgb), self.targets, alpha))
        content = tf.reduce_sum((self.mesh.points() - self.mesh.start) ** 2)
        roughness = tf.reduce_sum(covered_total_variation(rgb, alpha))
        return style, content, roughness

    def loss(self, views) -> tf.Tensor:
        """The weighted sum, a scalar."""
        parts = zip(self.weights, self.losses(views), strict=True)
        return tf.add_n([weight * part for weight, part in parts])


def load_style(path: str, size: int) -> tf.Tensor:
    """Reads the style picture, stretched to a square.

    Args:
        path: PNG or JPEG.
        size: height and width.

    Returns:
        [size, size, 3] in [0, 1].
    """
    picture = io.read_image(path, channels=3) / np.float32(255)
    small = tf.image.resize(picture, (size, size), "bilinear", antialias=True)
    return tf.clip_by_value(small, 0.0, 1.0)


def main():
    """Reads, descends, turns, writes."""
    optimize_scene.check_output(FLAGS.output, [".gif"])
    if FLAGS.output_mesh:
        optimize_scene.check_output(FLAGS.output_mesh, optimize_scene.MESH_SUFFIXES)
    elevation = (FLAGS.elevation_min, FLAGS.elevation_max)
    if elevation[0] > elevation[1]:
        raise ValueError(
            f"--elevation_min: expected at most --elevation_max={elevation[1]:g}; got "
            f"{elevation[0]:g}."
        )
    mesh = io.load_mesh(FLAGS.input_mesh)
    picture = load_style(FLAGS.input_style, FLAGS.image_size)
    network = image_features(FLAGS.network, FLAGS.layers, FLAGS.weights)

    painted = optimize_scene.PaintedMesh(mesh, FLAGS.texture_size, FLAGS.seed)
    weights = (FLAGS.lambda_style, FLAGS.lambda_content, FLAGS.lambda_tv)
    transfer = StyleTransfer(painted, network, picture, weights)
    rng = np.random.default_rng([FLAGS.seed, 1])
    distance = (FLAGS.camera_distance, FLAGS.camera_distance_noise)

    def views():
        return optimize_scene.random_views(
            rng, FLAGS.batch_size, elevation, distance, transfer.background, CONE_DEG
        )

    rates = (FLAGS.lr_vertices, FLAGS.lr_textures)
    optimizer = optimize_scene.adam(
        FLAGS.learning_rate, FLAGS.adam_beta1, FLAGS.adam_beta2, rates
    )
    optimize_scene.descend(
        transfer.loss, painted.variables, optimizer, views, FLAGS.number_of_iterations
    )
    frames = transfer.studio.turntable(_TURNTABLE_ELEVATION, FLAGS.camera_distance)
    optimize_scene.write_results(painted, frames, FLAGS.output, FLAGS.output_mesh)


if __name__ == "__main__":
    define_flags()
    cli.run(main)
