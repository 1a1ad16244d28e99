"""Draws a mesh from four sides, for a look at results."""

import numpy as np
import tensorflow as tf

from tfrender import cameras
from tfrender.layers.mesh_renderer import MeshRenderer
from tfrender.ops.forms import default_form

SIZE = 256
_AZIMUTHS_DEG = (30.0, 120.0, 210.0, 300.0)
_ELEVATION_DEG, _DISTANCE, _FOV_DEG = 20.0, 2.4, 38.0  # the unit ball and more
# Colours of a field hold the light of the photographs already: little is added.
_COLORED = (
    {"kind": "ambient", "color": 0.75},
    {"kind": "directional", "direction": (0.3, 0.8, -0.5), "color": 0.25},
)
_BARE = (
    {"kind": "ambient", "color": 0.35},
    {"kind": "directional", "direction": (0.3, 0.8, -0.5), "color": 0.45},
    {"kind": "directional", "direction": (-0.6, 0.1, 0.6), "color": 0.2},
)


def draw(vertices, faces, colors=None) -> np.ndarray:
    """Pictures of a mesh around the origin, side by side, on white.

    Args:
        vertices: float32 [V, 3], in or near the unit cube.
        faces: int [F, 3].
        colors: uint8 [V, 3]; None draws a grey one.

    Returns:
        float32 [256, 1024, 3] in [0, 1].
    """
    layer = MeshRenderer(
        (SIZE, SIZE),
        supersampling=2,
        antialias=False,
        lights=_BARE if colors is None else _COLORED,
        outputs=("rgb", "alpha"),
    )
    gray = colors is None
    tint = np.full_like(vertices, 0.85) if gray else np.float32(colors) / 255.0
    tiles = []
    for azimuth in _AZIMUTHS_DEG:
        camera = cameras.Camera(
            cameras.orbit(azimuth, _ELEVATION_DEG, _DISTANCE),
            cameras.perspective(_FOV_DEG),
        )
        with default_form("graph"):  # a few calls: nothing to gain from compiling
            seen = layer(vertices[None], faces, camera, vertex_colors=tint[None])
        tiles.append((seen["rgb"] + 1.0 - seen["alpha"])[0])
    sheet = tf.concat(tiles, axis=1)
    return tf.clip_by_value(sheet, 0.0, 1.0).numpy()
