"""All materials of a mesh file in one texture, which is what the mesh layers take."""

import numpy as np

from tfrender import io
from tfrender.io.images import with_channels

_MOST_REPEATS = 4


def texture_atlas(mesh: io.Mesh, side: int = 256) -> tuple[np.ndarray, np.ndarray]:
    """Stacks the textures and plain colours of all materials in one picture.

    Every material gets a square tile. A texture that a face repeats is repeated in its
    tile, at most four times along an axis. Texture coordinates keep half a texel away
    from the border of a tile, so that bilinear filtering reads no other one.

    Args:
        mesh: `io.Mesh`; its vertex colours are left out.
        side: of a tile, in pixels.

    Returns:
        uv: float32 [F, 3, 2] per corner, v up, in [0, 1].
        texture: float32 [1, M side, side, 3] in [0, 1], M the number of materials.
    """
    count = len(mesh.materials)
    uv = np.zeros([len(mesh.faces), 3, 2]) if mesh.uv is None else mesh.uv + 0.0
    uv -= np.floor(uv.min(axis=1, keepdims=True) + 1e-6)
    tiles = []
    for number, material in enumerate(mesh.materials):
        chosen = mesh.face_material == number
        largest = uv[chosen].reshape(-1, 2).max(axis=0, initial=1.0)
        repeats = np.clip(np.ceil(largest - 1e-6).astype(int), 1, _MOST_REPEATS)
        tiles.append(_tile(material, repeats, side))
        inside = np.clip(uv[chosen] / repeats, 0.5 / side, 1.0 - 0.5 / side)
        inside[..., 1] = (inside[..., 1] + count - 1 - number) / count
        uv[chosen] = inside
    texture = np.concatenate(tiles)[np.newaxis]
    return uv.astype(np.float32), texture.astype(np.float32) / 255


def _tile(material: io.Material, repeats, side: int) -> np.ndarray:
    """Picture of one material, uint8 [side, side, 3]."""
    from PIL import Image

    if material.texture is None:
        level = np.rint(255 * np.array(material.diffuse)).astype(np.uint8)
        return np.broadcast_to(level, (side, side, 3))
    picture = np.tile(with_channels(material.texture, 3), (repeats[1], repeats[0], 1))
    resized = Image.fromarray(picture).resize((side, side), Image.Resampling.BILINEAR)
    return np.asarray(resized)
