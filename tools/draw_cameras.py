"""Draws the picture of docs/cameras.md: one car from eight azimuths.

python -m tools.draw_cameras --output=docs/cameras.png
"""

import pathlib

import numpy as np
import tensorflow as tf
from absl import flags

from tfrender import cameras, io, ops
from tools import cli

FLAGS = flags.FLAGS
ROOT = pathlib.Path(__file__).parents[1]
CAR = "tfrender/assets/meshes/car/gazebo_pickup.obj"
SIDE = 220
ELEVATION_DEG, DISTANCE, FOV_DEG = 20.0, 2.732, 25.0


def define_flags() -> None:
    """Defines the flags; not at import, because names are global to a process."""
    flags.DEFINE_string("output", "docs/cameras.png", "PNG file.")
    flags.DEFINE_string("mesh", str(ROOT / CAR), "Mesh, +Y up, front towards -Z.")


def draw(mesh: io.Mesh, azimuths: np.ndarray) -> np.ndarray:
    """Shaded pictures from a ring of cameras.

    Args:
        mesh: mesh of diagonal 1 around the origin.
        azimuths: [N] degrees.

    Returns:
        uint8 [N, H, W, 3] on white.
    """
    count = len(azimuths)
    view = cameras.orbit(azimuths, np.full(count, ELEVATION_DEG), DISTANCE)
    projection = cameras.perspective(np.full(count, FOV_DEG))
    camera = cameras.Camera(view, projection)
    vertices = tf.repeat(tf.constant(mesh.vertices)[tf.newaxis], count, axis=0)
    with ops.default_form("graph"):
        pictures = ops.render_styles(
            vertices,
            tf.constant(mesh.faces),
            camera,
            (SIDE, SIDE),
            ("lambert", "alpha"),
        )
    grey = pictures["lambert"] + 1.0 - pictures["alpha"]
    color = tf.repeat(grey, 3, axis=-1).numpy()
    return np.stack([io.to_uint8(picture) for picture in color])


def label(picture: np.ndarray, text: str) -> np.ndarray:
    """Writes a line of text into the corner of a picture [H, W, 3]."""
    from PIL import Image, ImageDraw

    image = Image.fromarray(picture)
    ImageDraw.Draw(image).text((8, 6), text, fill=(0, 70, 160))
    return np.asarray(image)


def main():
    """Draws eight views and their names."""
    azimuths = np.arange(0.0, 360.0, 45.0)
    sides = {0: "front, camera on -Z", 90: "camera on +X", 180: "back, camera on +Z"}
    sides[270] = "camera on -X"
    pictures = [
        label(picture, f"azimuth {azimuth:.0f}  {sides.get(int(azimuth), '')}")
        for picture, azimuth in zip(
            draw(io.load_mesh(FLAGS.mesh), azimuths), azimuths, strict=True
        )
    ]
    io.write_png(FLAGS.output, io.tile_images(pictures, columns=4, pad=1))
    print(f"wrote {FLAGS.output}")


if __name__ == "__main__":
    define_flags()
    cli.run(main)
