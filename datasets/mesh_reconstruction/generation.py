"""Draws the 24 views and the voxels of a mesh file."""

import functools
import math
import zlib
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from datasets.mesh_reconstruction import examples, views
from tfrender import geometry, io
from tfrender.ops.rasterize import rasterize_mesh
from tfrender.ops.supersample import average_samples

_LIGHT = (-0.55, 0.8, -0.25)  # towards the lamp, which stays where it is
_AMBIENT = 0.5
_CREASE_DEG = 40.0
_MOST_PAIRS = 1 << 20  # of faces around one vertex, 1 kB each
_LARGEST_TEXTURE = 256  # about one texel a sample
_FACES_A_CALL = 1 << 20  # faces times views that are drawn at once, 1 kB each
# The published voxeliser (`ops.voxelize_triangles.published_voxels`) lays the cube of
# side 1 over 31 of the 32 cells.
_VOXEL_SHARE = (views.VOXELS - 1) / views.VOXELS
_SCALE_RANGE = (0.75, 1.3)  # of an axis of a variant
VARIANT = "~"  # stands in names of variants alone


class ViewSettings(NamedTuple):
    """How an object is drawn. Size and number of its pictures are those of `views`.

    Attributes:
        fill: longest side of the bounding box; the voxels fill a cube of side 1.
        supersample: samples of a pixel along each side.
        seed: of the variants.
        augment: variants of each training object, besides itself.
    """

    fill: float = 1.0
    supersample: int = 4
    seed: int = 0
    augment: int = 0


class ObjectViews(NamedTuple):
    """Everything drawn of one object.

    Attributes:
        images: uint8 [24, 64, 64, 4] RGBA on black.
        voxels: bool [32, 32, 32], solid.
    """

    images: np.ndarray
    voxels: np.ndarray


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


def variant_transform(object_id: str, number: int, seed: int) -> np.ndarray:
    """Scale of each axis of a variant, a function of the arguments alone.

    Args:
        object_id: name of the object.
        number: of the variant, from 1; 0 is the object itself.
        seed: of the data set.

    Returns:
        float64 [3]: factors in [0.75, 1.3], that of x below 0 for a mirrored one.
    """
    if number == 0:
        return np.ones(3)
    generator = np.random.default_rng([seed, zlib.crc32(object_id.encode()), number])
    scale = generator.uniform(*_SCALE_RANGE, 3)
    scale[0] *= generator.choice([-1.0, 1.0])
    return scale


def variant_name(object_id: str, number: int) -> str:
    """Name of a variant: NAME~1, NAME~2 ...; number 0 is the object itself."""
    return f"{object_id}{VARIANT}{number}" if number else object_id


def draw_object(
    path: str, object_id: str, settings: ViewSettings, number: int = 0
) -> ObjectViews:
    """Voxelises a mesh file and draws its 24 views.

    Args:
        path: mesh file.
        object_id: name of the object; chooses the shape of a variant.
        settings: how to draw.
        number: of the variant; 0 is the object itself.

    Returns:
        `ObjectViews`.

    Raises:
        FormatError, LimitError: the file is broken or too large, or the object so thin
            that a picture shows nothing.
    """
    mesh = _load(path)
    scale = variant_transform(object_id, number, settings.seed)
    try:
        soup = place(mesh, scale, settings.fill)
        flat = soup.corners.reshape(-1, 3)
        faces = np.arange(len(flat)).reshape(-1, 3)
        fill = settings.fill * _VOXEL_SHARE
        solid = geometry.voxelize(flat, faces, views.VOXELS, "solid", fill)
    except ValueError as error:
        raise io.FormatError(f"{path}: {error}") from error
    images = draw_views(soup, settings.supersample)
    examples.check_pictures(images, path, variant_name(object_id, number))
    return ObjectViews(images, solid.occupancy)


@functools.lru_cache(maxsize=1)  # the variants of an object come one after the other
def _load(path: str) -> io.Mesh:
    return io.load_mesh(path, strict=False)


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
    corners = flat.reshape(corners.shape)
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
    if np.prod(scale) < 0.0:  # a mirror turns the winding round; undo it
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


def draw_views(soup: Soup, supersample: int = 4) -> np.ndarray:
    """Draws the 24 views of triangles.

    The surface is lit by a lamp that stays and by light from everywhere, one half
    each, on both sides; materials are opaque.

    Args:
        soup: the triangles, within the cube [-0.5, 0.5]^3.
        supersample: samples k of a pixel along each side.

    Returns:
        uint8 [24, 64, 64, 4] RGBA, red, green and blue multiplied by alpha.
    """
    side = views.IMAGE_SIZE * supersample
    vertices, faces = padded_triangles(soup)
    size = len(faces)
    # A divisor of the 24, so that one program serves all calls of a size.
    most = max(1, _FACES_A_CALL // size)
    together = views.VIEWS
    if most < views.VIEWS:
        together = math.gcd(views.VIEWS, 1 << (most.bit_length() - 1))
    pictures = []
    for first in range(0, views.VIEWS, together):
        camera = views.camera(views.azimuths_deg()[first : first + together])
        seen = rasterize_mesh(
            tf.constant(vertices)[tf.newaxis], tf.constant(faces), camera, (side, side)
        )
        samples = shade_samples(soup, camera, seen)
        mean = average_samples(tf.constant(samples), supersample).numpy()
        pictures.append(np.rint(mean * 255.0).astype(np.uint8))
    return np.concatenate(pictures)


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
    """Colours every sample; see `draw_views` for the light.

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
