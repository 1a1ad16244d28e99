"""Draws a reconstructed mesh from many sides: the published sheet, and a turntable."""

import numpy as np
import tensorflow as tf

from datasets.mesh_reconstruction import views
from tfrender import io
from tfrender.layers.lamps import PUBLISHED_LIGHTS
from tfrender.layers.mesh_renderer import MeshRenderer
from tfrender.layers.neural_mesh_renderer import NeuralMeshRenderer
from tfrender.ops.forms import default_form
from tools import progress
from tools.reconstructor_loading import Shape

# The azimuths of the published program, 0, 22.5 ... 337.5, are those of a mirrored
# world: its pictures are ours from the negative azimuth.
PUBLISHED_AZIMUTHS_DEG = tuple(-22.5 * k % 360.0 for k in range(16))
TURNTABLE_DEG = tuple(7.5 * k for k in range(48))
TURNTABLE_SIZE = 192
FPS = 20.0
_VIEWS_A_CALL = 16  # 20 MB a picture of the turntable
# Colours of a picture hold its light already: little is added.
_COLORED_LIGHTS = (
    {"kind": "ambient", "color": 0.75},
    {"kind": "directional", "direction": (0.0, 1.0, 0.0), "color": 0.25},
)


def published_views(shape: Shape, azimuths_deg=PUBLISHED_AZIMUTHS_DEG) -> np.ndarray:
    """Pictures as the published program makes them, side by side.

    Kato et al., "Neural 3D Mesh Renderer", CVPR 2018: 64 x 64 pixels, elevation 30
    degrees, distance 2.732, white mesh on black under ambient light and light from
    above. A mesh with colours is drawn in these, the lamp from above weaker.

    The original mirrors the picture, and its meshes are mirror images of the objects;
    meshes of this library are not, and neither are the pictures. A mesh of the original
    with x negated looks here as the mesh did there.

    Args:
        shape: Shape.
        azimuths_deg: of the pictures, see `views.camera`.

    Returns:
        uint8 [64 R, 64 C, 3], about as many rows R as columns C.
    """
    lights = PUBLISHED_LIGHTS if shape.colors is None else _COLORED_LIGHTS
    side = views.IMAGE_SIZE
    layer = NeuralMeshRenderer((side, side), lights=lights, parity=True)
    drawn = _draw(layer, shape, azimuths_deg)
    return io.tile_images(drawn[..., :3], pad=0, background=0.0)


def turntable(shape: Shape) -> np.ndarray:
    """Pictures of the mesh turning, on white.

    Args:
        shape: Shape.

    Returns:
        float32 [48, 192, 192, 3] in [0, 1].
    """
    lights = PUBLISHED_LIGHTS if shape.colors is None else _COLORED_LIGHTS
    layer = MeshRenderer(
        (TURNTABLE_SIZE, TURNTABLE_SIZE),
        supersampling=2,
        antialias=False,
        lights=lights,
    )
    drawn = _draw(layer, shape, TURNTABLE_DEG).astype(np.float32) / 255.0
    return np.clip(drawn[..., :3] + 1.0 - drawn[..., 3:], 0.0, 1.0)


def _draw(layer, shape: Shape, azimuths_deg) -> np.ndarray:
    """Pictures on black with coverage, uint8 [N, H, W, 4]."""
    azimuths = np.float32(azimuths_deg)
    starts = range(0, len(azimuths), _VIEWS_A_CALL)
    several = progress.bar(starts, "drawing") if len(starts) > 1 else starts
    colors = shape.colors
    pictures = []
    for start in several:
        camera = views.camera(azimuths[start : start + _VIEWS_A_CALL])
        with default_form("graph"):  # a few calls: nothing to gain from compiling
            seen = layer(
                shape.vertices[np.newaxis],
                shape.faces,
                camera,
                vertex_colors=None if colors is None else colors[np.newaxis],
                outputs=("rgb", "alpha"),
            )
        both = tf.concat([seen["rgb"], seen["alpha"]], axis=-1)
        both = tf.clip_by_value(both, 0.0, 1.0).numpy()
        pictures += [io.to_uint8(picture) for picture in both]
    return np.stack(pictures)
