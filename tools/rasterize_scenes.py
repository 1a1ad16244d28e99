"""Scenes on which rasterisers are timed: closed meshes seen from a ring of cameras.

Every mesh is projected beforehand, so that each program under test receives the same
clip coordinates: camera at distance 2.732 and 30 degrees elevation, azimuth 360 b / B,
60 degrees field of view, square images.
"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfrender import cameras

_DISTANCE, _ELEVATION_DEG, _FOV_DEG = 2.732, 30.0, 60.0
_SPHERE_RADIUS = 0.75
_RING, _TUBE, _BUMP = 0.648, 0.269, 0.05  # of the torus


class Scene(NamedTuple):
    """One projected mesh in a batch of views.

    Attributes:
        clip_vertices: [B, V, 4] float32 tensor.
        faces: [F, 3] int32 array, counter-clockwise outside.
        image_size: (height, width).
    """

    clip_vertices: tf.Tensor
    faces: np.ndarray
    image_size: tuple[int, int]


# name -> (mesh, arguments of its generator, batch, side of the image)
SCENES = {
    "ico1k_b8_128": ("icosphere", (3,), 8, 128),
    "ico1k_b64_128": ("icosphere", (3,), 64, 128),
    "ico1k_b8_256": ("icosphere", (3,), 8, 256),
    "torus2k_b1_256": ("bumpy_torus", (44, 28), 1, 256),
    "torus2k_b8_256": ("bumpy_torus", (44, 28), 8, 256),
    "torus20k_b1_512": ("bumpy_torus", (100, 100), 1, 512),
    "torus200k_b1_512": ("bumpy_torus", (500, 200), 1, 512),
}


def make_scene(name: str) -> Scene:
    """Builds a scene of the table.

    Args:
        name: key of `SCENES`.

    Returns:
        Scene.

    Raises:
        ValueError: for an unknown name.
    """
    if name not in SCENES:
        raise ValueError(f"`name` must be one of {list(SCENES)}; got {name!r}.")
    mesh, arguments, batch, side = SCENES[name]
    if mesh == "icosphere":
        vertices, faces = icosphere(*arguments)
        vertices = vertices * np.float32(_SPHERE_RADIUS)
    else:
        vertices, faces = bumpy_torus(*arguments)
    return Scene(project(vertices, batch), faces, (side, side))


def project(vertices, batch: int) -> tf.Tensor:
    """Projects one mesh into a ring of views.

    Args:
        vertices: [V, 3] world coordinates.
        batch: number of views B.

    Returns:
        [B, V, 4] clip coordinates.
    """
    azimuth = np.arange(batch, dtype=np.float32) * (360.0 / batch)
    elevation = np.full(batch, _ELEVATION_DEG, np.float32)
    view = cameras.orbit(azimuth, elevation, np.full(batch, _DISTANCE, np.float32))
    camera = cameras.Camera(view, cameras.perspective(_FOV_DEG))
    copies = tf.tile(tf.constant(vertices, tf.float32)[tf.newaxis], [batch, 1, 1])
    return cameras.project_to_clip(camera, copies)


def icosphere(level: int) -> tuple[np.ndarray, np.ndarray]:
    """Unit sphere of 20 * 4^level faces: an icosahedron, each face cut in four.

    Args:
        level: number of subdivisions, from 0.

    Returns:
        vertices float32 [10 * 4^level + 2, 3] and faces int32 [20 * 4^level, 3].
    """
    golden = (1.0 + 5.0**0.5) / 2.0
    flat = np.array([(s, t * golden, 0.0) for s in (-1, 1) for t in (-1, 1)])
    vertices = np.concatenate([np.roll(flat, k, axis=1) for k in range(3)])
    vertices /= np.linalg.norm(vertices, axis=1, keepdims=True)
    gap = np.linalg.norm(vertices[:, np.newaxis] - vertices, axis=-1)
    near = (gap > 0.0) & (gap < 1.2)  # the edge is 1.05, the next distance 1.70
    faces = np.array(
        [
            (a, b, c)
            for a in range(12)
            for b in range(a + 1, 12)
            for c in range(b + 1, 12)
            if near[a, b] and near[b, c] and near[c, a]
        ]
    )
    inward = np.linalg.det(vertices[faces]) < 0.0
    faces[inward] = faces[inward][:, ::-1]
    for _ in range(level):
        vertices, faces = _subdivide(vertices, faces)
    return vertices.astype(np.float32), faces.astype(np.int32)


def bumpy_torus(rings: int, sides: int) -> tuple[np.ndarray, np.ndarray]:
    """Torus around +Y whose tube swells and shrinks.

    Args:
        rings: cuts around the axis.
        sides: cuts around the tube.

    Returns:
        vertices float32 [rings * sides, 3] and faces int32 [2 * rings * sides, 3].
    """
    u = np.arange(rings)[:, np.newaxis] * (2.0 * np.pi / rings)
    v = np.arange(sides)[np.newaxis] * (2.0 * np.pi / sides)
    tube = _TUBE + _BUMP * np.sin(5.0 * u) * np.cos(3.0 * v)
    radius = _RING + tube * np.cos(v)
    points = (radius * np.cos(u), tube * np.sin(v), -radius * np.sin(u))
    vertices = np.stack(points, axis=-1).reshape(-1, 3)
    i, j = np.meshgrid(np.arange(rings), np.arange(sides), indexing="ij")
    right, up = (i + 1) % rings, (j + 1) % sides
    a, b, c, d = (p * sides + q for p, q in ((i, j), (right, j), (right, up), (i, up)))
    faces = np.stack([np.stack([a, b, c], -1), np.stack([a, c, d], -1)], axis=2)
    return vertices.astype(np.float32), faces.reshape(-1, 3).astype(np.int32)


def _subdivide(vertices, faces):
    """Cuts every face in four and moves the new vertices onto the unit sphere."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    unique, index = np.unique(np.sort(edges, axis=1), axis=0, return_inverse=True)
    middle = vertices[unique].sum(axis=1)
    middle /= np.linalg.norm(middle, axis=1, keepdims=True)
    ab, bc, ca = (index.reshape(3, -1) + len(vertices))[:, :, np.newaxis]
    a, b, c = faces[:, :1], faces[:, 1:2], faces[:, 2:]
    parts = [(a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)]
    cut = np.stack([np.concatenate(part, axis=1) for part in parts], axis=1)
    return np.concatenate([vertices, middle]), cut.reshape(-1, 3)
