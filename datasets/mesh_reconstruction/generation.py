"""Draws the 24 views and the voxels of a mesh file."""

import functools
import math
import zlib
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from datasets.mesh_pictures import Soup, padded_triangles, place, shade_samples
from datasets.mesh_reconstruction import examples, views
from tfrender import geometry, io
from tfrender.ops.rasterize import rasterize_mesh
from tfrender.ops.supersample import average_samples

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


def draw_views(soup: Soup, supersample: int = 4) -> np.ndarray:
    """Draws the 24 views of triangles.

    `datasets.mesh_pictures` says how they are lit.

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
