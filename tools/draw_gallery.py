"""Draws the picture that opens the README: held-out objects and the shipped network.

    python -m tools.draw_gallery --output=docs/rendernet.png

A column for each held-out bundled mesh. Rows: voxels, the network's normal map, that
map lit, and the rasterised mesh under the same light.
"""

import json
import pathlib

import numpy as np
import tensorflow as tf
from absl import flags

from datasets.rendernet import generation
from tfrender import geometry, io, layers
from tfrender.export import rendernet, saved_model
from tools import cli, mesh_folder, pictures

FLAGS = flags.FLAGS
ROOT = pathlib.Path(__file__).parents[1]
MESHES = ROOT / "tfrender" / "assets" / "meshes"
POLAR_DEG, RADIUS = 65.0, 3.1
LIGHT = (250.0, 60.0)
# Azimuths at which the objects show a good side.
AZIMUTHS = (310.0, 235.0, 300.0, 250.0, 245.0)


def define_flags() -> None:
    """Defines the flags; not at import, because names are global to a process."""
    flags.DEFINE_string("output", "docs/rendernet.png", "PNG file.")
    flags.DEFINE_string("model", "saved_models/rendernet_phong", "SavedModel folder.")


def column(shade, path, azimuth_deg: float) -> list[np.ndarray]:
    """Voxels, normal map, lit picture and truth of one object.

    Args:
        shade: signature `shaded` of a RenderNet.
        path: mesh file.
        azimuth_deg: azimuth of the camera.

    Returns:
        four pictures [H, W, 3] in [0, 1].
    """
    side = shade.inputs["voxels"].shape[1]
    settings = generation.ViewSettings(resolution=side)
    mesh, voxels = geometry.voxelize_file(path, side, fill=settings.fill)
    grid = voxels.occupancy[np.newaxis, ..., np.newaxis].astype(np.float32)
    pose = np.array([[azimuth_deg, POLAR_DEG, RADIUS]], np.float32)
    light = np.array([LIGHT], np.float32)
    drawn = shade(voxels=grid, pose=pose, light=light)
    vertices = generation.in_grid_cube(mesh.vertices, voxels)
    truth = generation.draw_view(vertices, mesh.faces, pose[0], settings)
    phong = layers.PhongShader(mask_offset=rendernet.MASK_OFFSET)
    lit = phong(tf.constant(truth[np.newaxis] / np.float32(255)), tf.constant(light))
    return [
        pictures.front_faces(grid[..., 0], pose)[0],
        drawn["normal"][0],
        drawn["shaded"][0],
        lit[0].numpy(),
    ]


def main():
    """Draws every held-out bundled mesh."""
    shade = saved_model.load_signature(FLAGS.model, "shaded")
    held_out = json.loads((MESHES / "split.json").read_text())["test"]
    found = mesh_folder.find_meshes([str(MESHES)])
    columns = [
        column(shade, found[name], azimuth)
        for name, azimuth in zip(held_out, AZIMUTHS, strict=True)
    ]
    tiles = [columns[j][i] for i in range(4) for j in range(len(columns))]
    margin = tiles[0].shape[0] // 6  # objects fill the middle of a picture
    tiles = [tile[margin:-margin:2, margin:-margin:2] for tile in tiles]
    io.write_png(FLAGS.output, io.tile_images(tiles, columns=len(columns), pad=1))
    print(f"wrote {FLAGS.output}: {', '.join(held_out)}")


if __name__ == "__main__":
    define_flags()
    cli.run(main)
