"""Contact sheet of reconstructed meshes: what was seen, what is true, what was made."""

import json
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from datasets.mesh_reconstruction import views
from tfrender import io
from tfrender.layers.mesh_renderer import MeshRenderer
from tfrender.ops import default_form

_SHOWN = 128  # pixels a side
_LIGHTS = (  # oblique: the sides of a box differ
    {"kind": "ambient", "color": 0.35},
    {"kind": "directional", "direction": (-0.45, 0.75, -0.5), "color": 0.6},
)
_TURNS = (135.0, 240.0)  # degrees from the view given to the others
COLUMNS = ("input", "true voxels", "mesh", "unseen view", "mesh there")
COLUMNS += (f"mesh {_TURNS[1]:.0f} degrees on",)


class Row(NamedTuple):
    """What the sheet shows of one picture.

    Attributes:
        name: of the object.
        class_id: of the object.
        view: number of the view given.
        iou: of the voxels.
        pictures: float32 [128, 128, 3] each.
    """

    name: str
    class_id: str
    view: int
    iou: float
    pictures: list[np.ndarray]


def draw_row(item, vertices, faces, color=None) -> list[np.ndarray]:
    """Draws what a row shows.

    Args:
        item: one example of `pipeline.evaluation_batches`, as arrays.
        vertices: [V, 3] of the mesh that was made.
        faces: [F, 3].
        color: [V, 3] colours in [0, 1], or None for white.

    Returns:
        float32 [128, 128, 3] in [0, 1] each, as `COLUMNS`.
    """
    layer = MeshRenderer(
        (_SHOWN, _SHOWN), supersampling=2, lights=_LIGHTS, outputs=("rgb",)
    )

    def drawn(vertices, faces, turn, color=None):
        camera = views.camera(item["azimuth"][np.newaxis] + np.float32(turn))
        with default_form("graph"):  # meshes of many sizes: nothing to compile
            seen = layer(
                vertices[np.newaxis],
                faces,
                camera,
                vertex_colors=None if color is None else color[np.newaxis],
            )
        return np.clip(seen["rgb"][0].numpy(), 0.0, 1.0)

    scale = _SHOWN // views.IMAGE_SIZE
    given = [
        item[name][..., :3].repeat(scale, 0).repeat(scale, 1)
        for name in ("image", "image_other")
    ]
    boxes = voxel_mesh(item["voxels"] > 0)
    shapes = [drawn(vertices, faces, turn, color) for turn in (0.0, *_TURNS)]
    return [given[0], drawn(*boxes, 0.0), shapes[0], given[1], *shapes[1:]]


def voxel_mesh(voxels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The sides of filled cells towards empty ones, where the cells lie in the world.

    Args:
        voxels: bool [n, n, n]; the published rule puts the centre of cell i at
            ((i + 0.5) / n - 0.5) * n / (n - 1).

    Returns:
        float32 [V, 3], at least 3, and int32 [F, 3], counter-clockwise outside.
    """
    size = len(voxels)
    padded = np.pad(voxels, 1)
    corners = []
    for axis in range(3):
        u, v = (axis + 1) % 3, (axis + 2) % 3
        for step in (-1, 1):
            open_side = padded & ~np.roll(padded, -step, axis)
            cells = np.stack(np.nonzero(open_side), -1) - 1
            quad = np.zeros([4, 3])
            quad[:, axis] = (step + 1) // 2
            quad[[1, 2], u] = 1  # counter-clockwise seen from the end of the axis
            quad[[2, 3], v] = 1
            corners.append(cells[:, np.newaxis] + quad[::step])
    corners = np.concatenate(corners).reshape(-1, 3)
    first = 4 * np.arange(len(corners) // 4)[:, np.newaxis, np.newaxis]
    faces = (first + [[0, 1, 2], [0, 2, 3]]).reshape(-1, 3)
    if not len(faces):
        return np.zeros([3, 3], np.float32), np.array([[0, 1, 2]], np.int32)
    place = (corners / size - 0.5) * size / (size - 1)
    return place.astype(np.float32), faces.astype(np.int32)


def write_sheet(path, rows: Sequence[Row]) -> None:
    """Writes the contact sheet, and what it shows as JSON beside it.

    Args:
        path: PNG file, NAME.png; the other is NAME.sheet.json.
        rows: at least one.
    """
    path = pathlib.Path(path)
    tiles = [io.to_uint8(picture) for row in rows for picture in row.pictures]
    io.write_png(path, io.tile_images(tiles, columns=len(COLUMNS), pad=2))
    listed = [
        {
            "object": row.name,
            "class": row.class_id,
            "class_name": views.class_name(row.class_id),
            "view": row.view,
            "voxel_iou": row.iou,
        }
        for row in rows
    ]
    with io.write_file(path.with_suffix(".sheet.json"), "w") as file:
        json.dump({"columns": COLUMNS, "rows": listed}, file, indent=1)
