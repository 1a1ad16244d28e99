"""Makes DVR's folders from meshes: pictures, masks, depths, cameras, points.

What is written has the layout of the published sets, so that own and published data
enter by the same door (`datasets.dvr.views`).
"""

import math
import pathlib
import zlib
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from datasets.dvr import camera_files, visual_hull
from datasets.dvr.layouts import LAYOUTS
from datasets.mesh_pictures import draw, padded_triangles, place
from tfrender import cameras, geometry, io

PLACEMENTS = ("ring", "sphere")
_GOLDEN_ANGLE_DEG = 180.0 * (3.0 - math.sqrt(5.0))
_INPUT_SIZE = 137  # of the pictures of Choy et al.
_INPUT_ELEVATIONS = (25.0, 30.0)
_INPUTS = 24


class SceneSettings(NamedTuple):
    """How a scene is drawn. The defaults are the cameras of Kato et al.

    Attributes:
        layout: of the folder, see `datasets.dvr.layouts.LAYOUTS`.
        image_size: (height, width).
        placement: "ring", azimuths evenly around at one elevation; or "sphere",
            azimuths a golden angle apart, elevations even in area.
        views: number of pictures.
        elevation_deg: of the ring.
        elevation_range: lowest and highest of the sphere, degrees.
        distance: of the cameras from the object's centre, object units.
        fov_deg: full vertical field of view.
        fill: longest side of the object in the cube of side 1.
        supersample: samples of a pixel of the image along each side.
        points: of pointcloud.npz, which evaluations compare with; 0 writes none.
        hull_resolution: voxels of the visual hull a side; 0 writes no hull depth.
        seed: of the points, and of the views of encoder inputs ("shapenet").
    """

    layout: str = "nmr"
    image_size: tuple[int, int] = (64, 64)
    placement: str = "ring"
    views: int = 24
    elevation_deg: float = cameras.RING_ELEVATION_DEG
    elevation_range: tuple[float, float] = (-30.0, 75.0)
    distance: float = cameras.RING_DISTANCE
    fov_deg: float = cameras.RING_FOV_DEG
    fill: float = 0.9
    supersample: int = 4
    points: int = 0
    hull_resolution: int = 0
    seed: int = 0


class Scene(NamedTuple):
    """Everything drawn of an object.

    Attributes:
        images: uint8 [V, H, W, 3] on white.
        masks: bool [V, H, W], pixels whose centre sees the object.
        depth: float32 [V, H, W] planar, object units, 0 where empty.
        hull_depth: likewise, or None.
        camera: Camera of batch V, object space.
        normalization: `geometry.Normalization`, the file's frame to object space.
        points: float32 [N, 3] on the surface, object space, or None.
        normals: float32 [N, 3], or None.
        inputs: uint8 [I, 137, 137, 3] encoder inputs of their own, or None.
    """

    images: np.ndarray
    masks: np.ndarray
    depth: np.ndarray
    hull_depth: np.ndarray | None
    camera: cameras.Camera
    normalization: geometry.Normalization
    points: np.ndarray | None
    normals: np.ndarray | None
    inputs: np.ndarray | None


def scene_cameras(settings: SceneSettings) -> cameras.Camera:
    """Cameras of a scene.

    Args:
        settings: their places.

    Returns:
        Camera of batch V.
    """
    number = np.arange(settings.views)
    if settings.placement == "ring":
        azimuth = 360.0 * number / settings.views
        elevation = np.full(settings.views, settings.elevation_deg)
    else:
        azimuth = number * _GOLDEN_ANGLE_DEG % 360.0
        low, high = np.sin(np.radians(settings.elevation_range))
        share = (number + 0.5) / settings.views
        elevation = np.degrees(np.arcsin(low + (high - low) * share))
    return _orbit(azimuth, elevation, settings)


def _orbit(azimuth, elevation, settings, aspect=None) -> cameras.Camera:
    height, width = settings.image_size
    place_of = [np.asarray(v, np.float32) for v in (azimuth, elevation)]
    view = cameras.orbit(*place_of, np.float32(settings.distance))
    lens = cameras.perspective(settings.fov_deg, aspect or width / height)
    return cameras.Camera(view, tf.repeat(lens, len(view), axis=0))


def draw_scene(path: str, name: str, settings: SceneSettings) -> Scene:
    """Draws a mesh file.

    Args:
        path: mesh file, +Y up.
        name: of the object; chooses the views of its encoder inputs.
        settings: how to draw.

    Returns:
        `Scene`.

    Raises:
        FormatError, LimitError: the file is broken or too large, or no picture shows
            the object.
    """
    mesh = io.load_mesh(path, strict=False)
    try:
        soup = place(mesh, fill=settings.fill)
        corners = mesh.vertices[mesh.faces].reshape(-1, 3)
        _, normalization = geometry.normalize_to_unit_cube(corners, settings.fill)
    except ValueError as error:
        raise io.FormatError(f"{path}: {error}") from error
    camera = scene_cameras(settings)
    images, _, masks, depth = draw(
        soup, camera, settings.image_size, settings.supersample
    )
    if not masks.any():
        raise io.FormatError(f"{path}: too thin; no picture shows the object.")
    hull = None
    if settings.hull_resolution:
        matrices = tuple(matrix.numpy() for matrix in camera)
        hull = visual_hull.hull_depth(masks, matrices, settings.hull_resolution)
    points = normals = inputs = None
    if settings.points:
        vertices, faces = padded_triangles(soup)
        sample = geometry.sample_surface(
            tf.constant(vertices)[tf.newaxis],
            tf.constant(faces),
            settings.points,
            seed=settings.seed,
        )
        points, normals = sample.points[0].numpy(), sample.normals[0].numpy()
    if settings.layout == "shapenet":
        generator = np.random.default_rng([settings.seed, zlib.crc32(name.encode())])
        azimuth = generator.uniform(0.0, 360.0, _INPUTS)
        elevation = generator.uniform(*_INPUT_ELEVATIONS, _INPUTS)
        own = _orbit(azimuth, elevation, settings, aspect=1.0)
        size = (_INPUT_SIZE, _INPUT_SIZE)
        inputs = draw(soup, own, size, settings.supersample).images
    return Scene(
        *(images, masks, depth, hull, camera, normalization, points, normals, inputs)
    )


def write_scene(folder: str, scene: Scene, layout: str) -> None:
    """Writes the folder of an object, wholly or not at all.

    A "dtu" scene has the mesh file's own frame for its world, with scale matrices; the
    world of the others is object space.

    Args:
        folder: must not exist.
        scene: `Scene`.
        layout: key of `LAYOUTS`.

    Raises:
        FileExistsError: the folder exists.
    """
    names = LAYOUTS[layout]
    unit, size = 1.0, scene.images.shape[1:3]
    camera_mats, world_mats = (
        np.asarray(m, np.float64) for m in cameras.to_dvr(scene.camera, size)
    )
    scale_mat = None
    if layout == "dtu":
        unit = scene.normalization.scale
        scale_mat = np.diag([unit, unit, unit, 1.0])
        scale_mat[:3, 3] = scene.normalization.centre
        # Object units of depth become the world's: camera space is scaled as a whole.
        grow = np.diag([unit, unit, unit, 1.0])
        world_mats = grow @ world_mats @ np.linalg.inv(scale_mat)
    with io.build_directory(folder) as temporary:
        root = pathlib.Path(temporary)
        for number, (image, mask) in enumerate(
            zip(scene.images, scene.masks, strict=True)
        ):
            stem = f"{number:04d}"
            io.write_png(root / names.image / f"{stem}.png", image)
            io.write_png(root / names.mask / f"{stem}.png", mask)
            depth = scene.depth[number] * unit
            io.write_depth_exr(root / names.depth / f"{stem}.exr", depth)
            if scene.hull_depth is not None:
                depth = scene.hull_depth[number] * unit
                io.write_depth_exr(root / names.hull_depth / f"{stem}.exr", depth)
        for number, image in enumerate(() if scene.inputs is None else scene.inputs):
            _write_jpeg(root / names.inputs / f"{number:03d}.jpg", image)
        camera_files.write_cameras(
            root / camera_files.FILE, camera_mats, world_mats, scale_mat
        )
        if scene.points is not None:
            with io.write_file(root / "pointcloud.npz") as file:
                np.savez(
                    file,
                    points=scene.points,
                    normals=scene.normals,
                    loc=np.asarray(scene.normalization.centre, np.float64),
                    scale=np.float64(scene.normalization.scale),
                )


def _write_jpeg(path, image: np.ndarray) -> None:
    from PIL import Image

    with io.write_file(path) as file:
        Image.fromarray(image).save(file, format="JPEG", quality=95)
