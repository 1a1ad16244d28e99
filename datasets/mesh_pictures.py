"""Draws pictures of meshes: triangles with colours, lit, from any camera.

The surface is lit by a lamp that stays and by light from everywhere, one half each, on
both sides; materials are opaque. What every program draws that makes data of meshes.
"""

import math
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfrender import cameras, geometry, io
from tfrender.ops.rasterize import rasterize_mesh
from tfrender.ops.supersample import average_samples

_LIGHT = (-0.55, 0.8, -0.25)  # towards the lamp, which stays where it is
_AMBIENT = 0.5
_CREASE_DEG = 40.0
_MOST_PAIRS = 1 << 20  # of faces around one vertex, 1 kB each
_LARGEST_TEXTURE = 256  # about one texel a sample
_FACES_A_CALL = 1 << 19  # faces times views that are drawn at once


class Pictures(NamedTuple):
    """Views of an object.

    Attributes:
        images: uint8 [V, H, W, 3] on white.
        alpha: uint8 [V, H, W], covered share of each pixel.
        masks: bool [V, H, W], pixels whose centre sees the object.
        depth: float32 [V, H, W] planar, of the centres, 0 where empty.
    """

    images: np.ndarray
    alpha: np.ndarray
    masks: np.ndarray
    depth: np.ndarray


class Soup(NamedTuple):
    """Triangles with whatever decides about their colour.

    Attributes:
        corners: float32 [F, 3, 3] positions.
        normals: float32 [F, 3, 3] unit normals of the corners.
        colors: float32 [F, 3, 3] colours of the corners, in [0, 1].
        uv: float32 [F, 3, 2] or None.
        texture: int [F], index into `textures`, -1 for none.
        textures: float32 [H, W, 3] each, in [0, 1].
    """

    corners: np.ndarray
    normals: np.ndarray
    colors: np.ndarray
    uv: np.ndarray | None
    texture: np.ndarray
    textures: tuple[np.ndarray, ...]


def place(mesh: io.Mesh, scale=(1.0, 1.0, 1.0), fill: float = 1.0) -> Soup:
    """Centres the bounding box of a mesh and scales its longest side to `fill`.

    Args:
        mesh: as it lies in the file.
        scale: [3] factors of the axes, applied before; below 0 mirrors.
        fill: longest side, in (0, 1].

    Returns:
        The triangles; vertices that no face uses have no say in their place.

    Raises:
        ValueError: all vertices lie in one point.
    """
    corners = mesh.vertices[mesh.faces] * np.asarray(scale, np.float64)
    flat, _ = geometry.normalize_to_unit_cube(corners.reshape(-1, 3), fill)
    return painted(mesh, flat.reshape(corners.shape), np.prod(scale) < 0.0)


def painted(mesh: io.Mesh, corners: np.ndarray, mirrored: bool = False) -> Soup:
    """Triangles with the colours of a mesh.

    Args:
        mesh: as it lies in the file.
        corners: float32 [F, 3, 3], where the corners of its faces have been put,
            within the cube [-1, 1]^3.
        mirrored: whether that was with a mirror.

    Returns:
        The triangles.
    """
    colors = np.array([m.diffuse for m in mesh.materials], np.float32)
    colors = np.repeat(colors[mesh.face_material][:, np.newaxis], 3, axis=1)
    if mesh.vertex_colors is not None:
        colors = mesh.vertex_colors[mesh.faces]
    textures, index = [], np.full(len(mesh.materials), -1)
    for k, material in enumerate(mesh.materials):
        if material.texture is not None and mesh.uv is not None:
            index[k] = len(textures)
            textures.append(_small_texture(material.texture))
    uv = mesh.uv
    if mirrored:  # a mirror turns the winding round; undo it
        corners, colors = corners[:, ::-1], colors[:, ::-1]
        uv = None if uv is None else uv[:, ::-1]
    normals = _normals(corners)
    return Soup(
        corners, normals, colors, uv, index[mesh.face_material], tuple(textures)
    )


def _normals(corners: np.ndarray) -> np.ndarray:
    """Unit normals of the corners, smooth but for creases, [F, 3, 3]."""
    steps = np.rint((corners.reshape(-1, 3) + 0.5) * (1 << 20)).astype(np.int64)
    key = (steps[:, 0] << 42) + (steps[:, 1] << 21) + steps[:, 2]
    _, first, point = np.unique(key, return_index=True, return_inverse=True)
    pairs = np.square(np.bincount(point), dtype=np.int64).sum()
    vertices = tf.constant(corners.reshape(-1, 3)[first])[tf.newaxis]
    faces = tf.constant(point.reshape(-1, 3), tf.int32)
    if pairs > _MOST_PAIRS:  # details of such a mesh are smaller than a pixel
        flat = geometry.face_normals(vertices, faces)[0].numpy()
        return np.repeat(flat[:, np.newaxis], 3, axis=1)
    smooth = geometry.corner_normals(
        vertices, faces, crease_deg=_CREASE_DEG, weld=False
    )
    return smooth[0].numpy()


def _small_texture(texture: np.ndarray) -> np.ndarray:
    """Texture as float32 [H, W, 3], shrunk to about one texel a sample."""
    image = np.broadcast_to(texture[..., :3], (*texture.shape[:2], 3))
    image = image.astype(np.float32) / 255.0
    while max(image.shape[:2]) > _LARGEST_TEXTURE and min(image.shape[:2]) > 1:
        height, width = (side // 2 * 2 for side in image.shape[:2])
        blocks = image[:height, :width].reshape(height // 2, 2, width // 2, 2, 3)
        image = blocks.mean((1, 3))
    return image


def draw(soup: Soup, camera, image_size, supersample: int = 4) -> Pictures:
    """Draws triangles.

    Args:
        soup: the triangles.
        camera: `cameras.Camera` of batch V.
        image_size: (height, width).
        supersample: samples of a pixel along each side.

    Returns:
        `Pictures`.
    """
    vertices, faces = padded_triangles(soup)
    vertices, faces = tf.constant(vertices)[tf.newaxis], tf.constant(faces)
    together, found = max(1, _FACES_A_CALL // len(faces)), []
    fine_size = [supersample * side for side in image_size]
    for first in range(0, len(camera.projection), together):
        part = cameras.Camera(*(m[first : first + together] for m in camera))
        seen = rasterize_mesh(vertices, faces, part, image_size)
        fine = rasterize_mesh(vertices, faces, part, fine_size)
        samples = shade_samples(soup, part, fine)
        samples = average_samples(tf.constant(samples), supersample).numpy()
        alpha = samples[..., 3]
        white = samples[..., :3] + 1.0 - samples[..., 3:]
        images, alpha = (
            np.rint(values.clip(0.0, 1.0) * 255.0).astype(np.uint8)
            for values in (white, alpha)
        )
        found.append((images, alpha, seen.mask.numpy(), seen.depth.numpy()))
    return Pictures(*(np.concatenate(parts) for parts in zip(*found, strict=True)))


def padded_triangles(soup: Soup) -> tuple[np.ndarray, np.ndarray]:
    """Triangles as a mesh whose size is a power of four: few programs are compiled.

    Args:
        soup: F triangles.

    Returns:
        vertices float32 [3 P, 3] and faces int32 [P, 3], P at least F; -1 is padding.
    """
    count = len(soup.corners)
    size = 4 ** max(4, math.ceil(math.log(count, 4) - 1e-9))
    vertices = np.zeros([size * 3, 3], np.float32)
    vertices[: 3 * count] = soup.corners.reshape(-1, 3)
    faces = np.full([size, 3], -1, np.int32)
    faces[:count] = np.arange(3 * count).reshape(-1, 3)
    return vertices, faces


def shade_samples(soup: Soup, camera, seen) -> np.ndarray:
    """Colours every sample; a lamp that stays and light from everywhere, half each.

    Args:
        soup: F triangles.
        camera: `cameras.Camera` of batch B.
        seen: `Fragments` of `padded_triangles`, [B, H, W].

    Returns:
        float32 [B, H, W, 4], colour and coverage, 0 where empty.
    """
    mask = seen.mask.numpy()
    view = np.nonzero(mask)[0]
    face = seen.face_index.numpy()[mask]
    weight = seen.barycentric.numpy()[mask]

    def at_samples(values):  # [F, 3, C] to [N, C]
        return np.einsum("nij,ni->nj", values[face], weight)

    color = at_samples(soup.colors)
    if soup.textures:
        uv = at_samples(soup.uv)
        for k, texture in enumerate(soup.textures):
            own = soup.texture[face] == k
            color[own] = _texels(texture, uv[own])
    normal = at_samples(soup.normals)
    matrix = camera.world_to_camera.numpy()
    eye = -np.einsum("bij,bi->bj", matrix[:, :3, :3], matrix[:, :3, 3])
    to_eye = eye[view] - at_samples(soup.corners)
    light = np.array(_LIGHT, np.float32) / np.float32(np.linalg.norm(_LIGHT))
    length = np.sqrt(np.einsum("ni,ni->n", normal, normal)) + 1e-12
    cosine = normal @ light / length
    cosine = np.where(np.einsum("ni,ni->n", normal, to_eye) < 0.0, -cosine, cosine)
    brightness = _AMBIENT + (1.0 - _AMBIENT) * np.maximum(cosine, 0.0)
    samples = np.zeros([*mask.shape, 4], np.float32)
    samples[mask] = np.concatenate(
        [
            np.clip(color * brightness[:, np.newaxis], 0.0, 1.0),
            np.ones_like(color[:, :1]),
        ],
        axis=-1,
    )
    return samples


def _texels(texture: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """Nearest texels [N, 3]; textures repeat."""
    height, width = texture.shape[:2]
    u, v = np.moveaxis(uv - np.floor(uv), -1, 0)
    column = np.minimum((u * width).astype(int), width - 1)
    row = np.minimum(((1.0 - v) * height).astype(int), height - 1)
    return texture[row, column]
