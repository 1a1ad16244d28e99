r"""Lets a network dream on a mesh: 3D DeepDream.

    python -m tools.deep_dream -i bunny.obj -o dream.gif -d results -ib "(0,0.5,0.5)"
    python -m tools.deep_dream --input=bunny.obj --output=dream.gif --network=small

Kato, Ushiku and Harada, CVPR 2018, section 4.3. Every step draws the mesh from random
sides on a random grey; vertices and colours move to where some layers of a network
answer more strongly. Writes a turntable. The guide is docs/style_transfer.md.
"""

import ast
import pathlib

import numpy as np
import tensorflow as tf
from absl import flags

from tfrender import io
from tfrender.losses.style import edge_length_variance
from tfrender.models.image_features import NETWORKS, image_features
from tools import cli, optimize_scene

FLAGS = flags.FLAGS
ELEVATION_DEG = (-10.0, 30.0)  # published
_TURNTABLE_ELEVATION = 30.0


def define_flags() -> None:
    """Defines the flags; not at import, because names are global to a process."""
    flags.DEFINE_string("input", None, "Mesh, +Y up.", short_name="i", required=True)
    flags.DEFINE_string(
        "output_dir", None, "Folder of --output and --output_mesh.", short_name="d"
    )
    flags.DEFINE_float("learning_rate", 0.01, "Of Adam.", 0.0)
    flags.DEFINE_string(
        "init_bias", "(0,0,0)", "Added to the logits of red, green, blue at the start."
    )
    flags.DEFINE_float(
        "lambda_length", 1e-4, "Weight of uneven edges, times the faces.", 0.0
    )
    optimize_scene.define_flags(distance=2.5, network="inception_v3")
    optimize_scene.alias(al="learning_rate", ib="init_bias")


class DeepDream:
    """The loss of a painted mesh that shall excite a network.

    Args:
        mesh: `optimize_scene.PaintedMesh`.
        network: of `image_features`.
        size: height and width of the views.
        lambda_length: weight of uneven edges, times the number of faces.
    """

    def __init__(self, mesh, network, size: int, lambda_length: float = 1e-4):
        self.mesh, self.network = mesh, network
        self.length_weight = lambda_length * len(mesh.faces)
        self.studio = optimize_scene.Studio(mesh, size, lit=False)

    def excitement(self, views) -> tf.Tensor:
        """Mean square of the features, mean over the layers; a scalar."""
        rgb, _ = self.studio.draw(views)
        features = self.network(rgb).values()
        means = [tf.reduce_mean(layer**2) for layer in features]
        return tf.add_n(means) / len(means)

    def loss(self, views) -> tf.Tensor:
        """- excitement + weight * variance of the edge lengths, a scalar."""
        uneven = edge_length_variance(self.mesh.points(), self.mesh.faces)[0]
        return self.length_weight * uneven - self.excitement(views)


def parse_bias(text: str) -> tuple[float, float, float]:
    """Reads three numbers, such as "(0,0.5,0.5)".

    Args:
        text: value of --init_bias.

    Returns:
        The numbers.

    Raises:
        ValueError: anything else.
    """
    try:
        red, green, blue = (float(value) for value in ast.literal_eval(text))
        if not np.isfinite([red, green, blue]).all():
            raise ValueError
    except (ValueError, TypeError, SyntaxError):
        raise ValueError(
            f'--init_bias: expected three numbers such as "(0,0.5,0.5)"; got {text!r}.'
        ) from None
    return red, green, blue


def main():
    """Reads, dreams, turns, writes."""
    folder = pathlib.Path(FLAGS.output_dir or "")
    output = folder / FLAGS.output
    output_mesh = folder / FLAGS.output_mesh if FLAGS.output_mesh else None
    optimize_scene.check_output(output, [".gif"])
    if output_mesh:
        optimize_scene.check_output(output_mesh, optimize_scene.MESH_SUFFIXES)
    bias = parse_bias(FLAGS.init_bias)
    mesh = io.load_mesh(FLAGS.input)
    layers = FLAGS.layers or NETWORKS[FLAGS.network].dream
    network = image_features(FLAGS.network, layers, FLAGS.weights)

    painted = optimize_scene.PaintedMesh(mesh, FLAGS.texture_size, FLAGS.seed, bias)
    dream = DeepDream(painted, network, FLAGS.image_size, FLAGS.lambda_length)
    rng = np.random.default_rng([FLAGS.seed, 1])
    distance = (FLAGS.camera_distance, FLAGS.camera_distance_noise)

    def views():
        grey = np.full(3, rng.uniform())  # one number for all views of a step
        return optimize_scene.random_views(
            rng, FLAGS.batch_size, ELEVATION_DEG, distance, grey
        )

    rates = (FLAGS.lr_vertices, FLAGS.lr_textures)
    optimizer = optimize_scene.adam(FLAGS.learning_rate, FLAGS.adam_beta1, 0.999, rates)
    optimize_scene.descend(
        dream.loss, painted.variables, optimizer, views, FLAGS.number_of_iterations
    )
    frames = dream.studio.turntable(_TURNTABLE_ELEVATION, FLAGS.camera_distance)
    optimize_scene.write_results(painted, frames, output, output_mesh)


if __name__ == "__main__":
    define_flags()
    cli.run(main)
