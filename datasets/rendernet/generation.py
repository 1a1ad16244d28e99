"""Draws RenderNet's data from meshes: voxels, poses and pictures of one object."""

import zlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from datasets.rendernet.examples import PIXELS_PER_VOXEL
from tfrender import cameras, checks, geometry, io, ops
from tfrender.ops import image_shading

STYLES = tuple(style for style in image_shading.STYLES if style != "alpha")


class ViewSettings(NamedTuple):
    """How an object is drawn.

    Attributes:
        resolution: side of the voxel grid; pictures are 8 times as large.
        style: "normal" for camera-space normal maps, or a grey style.
        views: pictures of an object.
        polar_range: smallest and largest polar angle from +Y, degrees.
        radius_range: smallest and largest camera distance.
        projection: "orthographic", as the camera grid itself, or "perspective".
        supersample: samples of a pixel along each side.
        fill: share of the grid that the longest side of the object takes.
        seed: of the poses.
    """

    resolution: int = 64
    style: str = "normal"
    views: int = 12
    polar_range: tuple[float, float] = (10.0, 170.0)
    radius_range: tuple[float, float] = (2.9, 4.5)
    projection: str = "orthographic"
    supersample: int = 2
    fill: float = 0.9
    seed: int = 0


class ObjectViews(NamedTuple):
    """Everything drawn of one object.

    Attributes:
        voxels: `geometry.Voxels`, solid.
        poses: float32 [V, 3] azimuth, polar angle in degrees, radius.
        images: uint8 [V, 8 n, 8 n, 1 or 3].
    """

    voxels: geometry.Voxels
    poses: np.ndarray
    images: np.ndarray


def random_poses(object_id: str, settings: ViewSettings) -> np.ndarray:
    """Poses of an object, a function of its name and the seed.

    Args:
        object_id: name of the object.
        settings: ranges and number of views.

    Returns:
        float32 [V, 3] azimuth in whole degrees [0, 360), polar angle in whole degrees,
        radius in steps of 0.01.
    """
    key = [settings.seed, zlib.crc32(object_id.encode())]
    generator = np.random.default_rng(key)
    azimuth = generator.integers(0, 360, settings.views)
    polar = np.rint(generator.uniform(*settings.polar_range, settings.views))
    radius = np.round(generator.uniform(*settings.radius_range, settings.views), 2)
    return np.stack([azimuth, polar, radius], axis=-1).astype(np.float32)


def draw_object(path: str, object_id: str, settings: ViewSettings) -> ObjectViews:
    """Voxelises a mesh file and draws it from random poses.

    Args:
        path: mesh file.
        object_id: name of the object; chooses its poses.
        settings: how to draw.

    Returns:
        `ObjectViews`.

    Raises:
        FormatError, LimitError: the file is broken or too large.
    """
    mesh, voxels = geometry.voxelize_file(path, settings.resolution, fill=settings.fill)
    vertices = in_grid_cube(mesh.vertices, voxels)
    poses = random_poses(object_id, settings)
    images = [draw_view(vertices, mesh.faces, pose, settings) for pose in poses]
    return ObjectViews(voxels, poses, np.stack(images))


def in_grid_cube(vertices: np.ndarray, voxels) -> np.ndarray:
    """Moves vertices so that the voxel grid is the cube [-0.5, 0.5]^3.

    Args:
        vertices: [V, 3] in the frame of the mesh.
        voxels: anything with `translate` [3] and `scale`, as binvox defines them.

    Returns:
        float32 [V, 3].
    """
    moved = (vertices - voxels.translate) / voxels.scale - 0.5
    return moved.astype(np.float32)


def draw_view(
    vertices: np.ndarray, faces: np.ndarray, pose: Sequence[float], settings
) -> np.ndarray:
    """Draws one picture of a mesh whose voxel grid is the cube [-0.5, 0.5]^3.

    Args:
        vertices: float32 [V, 3].
        faces: int32 [F, 3].
        pose: azimuth, polar angle in degrees, radius.
        settings: `ViewSettings`.

    Returns:
        uint8 [8 n, 8 n, 1 or 3].
    """
    checks.one_of("style", settings.style, STYLES)
    camera = cameras.from_rendernet(
        *(tf.constant([value], tf.float32) for value in pose),
        settings.projection,
        grid=settings.resolution,
    )
    side = PIXELS_PER_VOXEL * settings.resolution
    top, left, height, width = _object_box(vertices, camera, side)
    if settings.style == "ambient_occlusion":  # its reach is a share of the picture
        top, left, height, width = 0, 0, side, side
    # Every picture has another size: compiling for each would take longer than drawing.
    with ops.default_form("graph"):
        pictures: Mapping[str, tf.Tensor] = ops.render_styles(
            tf.constant(vertices)[tf.newaxis],
            tf.constant(faces),
            cameras.crop(camera, (side, side), (top, left, height, width)),
            (height, width),
            (settings.style,),
            supersample=settings.supersample,
        )
    part = io.to_uint8(pictures[settings.style][0].numpy())
    background = part[0, 0]  # the box has an empty margin
    image = np.full((side, side, part.shape[-1]), background, np.uint8)
    image[top : top + height, left : left + width] = part
    return image


def _object_box(vertices, camera, side: int) -> tuple[int, int, int, int]:
    """(top, left, height, width) of an object and a margin, in steps of 32 pixels.

    Most of a picture is background; not drawing it is several times faster.
    """
    clip = cameras.project_to_clip(camera, tf.constant(vertices)[tf.newaxis])
    pixels = cameras.clip_to_pixel(clip, (side, side))[0].numpy()
    step = min(32, side)
    low = np.floor((pixels.min(0) - 4.0) / step) * step
    high = np.ceil((pixels.max(0) + 4.0) / step) * step
    left, top = (int(v) for v in np.clip(low, 0, side - step))
    right, bottom = (int(v) for v in np.clip(high, step, side))
    return top, left, max(bottom - top, step), max(right - left, step)
