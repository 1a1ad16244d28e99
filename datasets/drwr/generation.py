"""Draws the views of a mesh file that DRWR learns from."""

import functools
import math
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from datasets import mesh_pictures
from datasets.drwr import silhouettes
from datasets.drwr.examples import ObjectViews, with_silhouettes
from datasets.mesh_reconstruction.generation import variant_name, variant_transform
from tfrender import cameras, geometry, io

NORMALIZATIONS = ("diagonal", "none")


class ViewSettings(NamedTuple):
    """How an object is drawn.

    Attributes:
        views: pictures V of an object.
        image_size: pixels of a picture a side.
        elevation_range: lowest and highest camera, degrees.
        focal_length: in widths of the picture.
        distance: of the cameras from the origin.
        normalize: "diagonal" centres the bounding box and scales its diagonal to 1;
            "none" takes the mesh as it is.
        supersample: samples of a pixel along each side.
        depth: whether depths are kept.
        sample_points: points on each mask; 0 for none.
        sample_mode: how they lie, see `silhouettes.sample_points`.
        points: of the true surface; 0 for none.
        augment: variants of each training object, besides itself.
        seed: of cameras, variants and points.
    """

    views: int = 8
    image_size: int = 128
    elevation_range: tuple[float, float] = (-20.0, 40.0)
    focal_length: float = 1.875
    distance: float = 2.0
    normalize: str = "diagonal"
    supersample: int = 4
    depth: bool = False
    sample_points: int = 0
    sample_mode: str = "lattice"
    points: int = 0
    augment: int = 0
    seed: int = 0


def draw_object(
    path: str, class_id: str, object_id: str, settings: ViewSettings, number: int = 0
) -> tuple[ObjectViews, np.ndarray | None]:
    """Draws the views of a mesh file.

    Args:
        path: mesh file, +Y up.
        class_id: class of the object.
        object_id: its name within the class; chooses cameras and variants.
        settings: how to draw.
        number: of the variant; 0 is the object itself.

    Returns:
        The views, and float32 [points, 3] on the surface in the same coordinates, or
        None.

    Raises:
        FormatError, LimitError: the file is broken or too large, or what it holds does
            not fit: no extent, outside of the cube, nothing to be seen.
    """
    scale = variant_transform(object_id, number, settings.seed)
    name = f"{class_id}/{variant_name(object_id, number)}"
    try:
        soup = place(_load(path), scale, settings.normalize)
    except ValueError as error:
        raise io.FormatError(f"{path}: {error}") from error
    seed = silhouettes.seed_of(settings.seed, name)
    camera = view_cameras(settings, seed)
    size = (settings.image_size, settings.image_size)
    drawn = mesh_pictures.draw(soup, camera, size, settings.supersample)
    masks = silhouettes.binarize(drawn.alpha)
    silhouettes.check_masks(masks, path, name)
    found = with_silhouettes(
        ObjectViews(
            name,
            class_id,
            drawn.images,
            masks,
            np.zeros(masks.shape, np.uint16),
            camera.world_to_camera.numpy(),
            camera.projection.numpy(),
            list(range(settings.views)),
            drawn.depth if settings.depth else None,
        ),
        settings.sample_points,
        settings.sample_mode,
        seed,
    )
    return found, surface_points(soup, settings.points, seed)


@functools.lru_cache(maxsize=1)  # the variants of an object come one after the other
def _load(path: str) -> io.Mesh:
    return io.load_mesh(path, strict=False)


def place(mesh: io.Mesh, scale=(1.0, 1.0, 1.0), normalize: str = "diagonal"):
    """Puts a mesh where the cameras look.

    Args:
        mesh: as it lies in the file.
        scale: [3] factors of the axes, applied before; below 0 mirrors.
        normalize: see `ViewSettings`.

    Returns:
        `mesh_pictures.Soup`.

    Raises:
        ValueError: all vertices lie in one point, or, where nothing is scaled, not all
            in the cube [-0.5, 0.5]^3.
    """
    used = mesh.vertices[mesh.faces].reshape(-1, 3) * np.asarray(scale, np.float64)
    if normalize == "diagonal":
        extent = used.max(0) - used.min(0)
        # Where the diagonal is 1, the longest side is this.
        fill = float(extent.max() / max(np.linalg.norm(extent), 1e-30))
        return mesh_pictures.place(mesh, scale, fill if fill > 0.0 else 1.0)
    farthest = float(np.abs(used).max())
    if not farthest <= 0.5 + 1e-4:
        raise ValueError(
            "expected a mesh in the cube [-0.5, 0.5]^3, as nothing is scaled; got a "
            f"vertex at {farthest:g}. Use --normalize=diagonal."
        )
    if not np.ptp(used, axis=0).max() > 0.0:
        raise ValueError("expected a mesh of some extent; all vertices coincide.")
    corners = used.reshape(-1, 3, 3).astype(np.float32)
    return mesh_pictures.painted(mesh, corners, np.prod(scale) < 0.0)


def view_cameras(settings: ViewSettings, seed) -> cameras.Camera:
    """Cameras of an object: azimuths even but for a jitter, elevations at random.

    Args:
        settings: their number, elevations, lens and distance.
        seed: list of integers.

    Returns:
        Camera of batch V; square pictures, looking at the origin.
    """
    generator = np.random.default_rng([*seed, 1])
    count = settings.views
    azimuth = (np.arange(count) + generator.uniform(0.0, 1.0, count)) * 360.0 / count
    # View 0 looks from anywhere, not always from the front.
    azimuth = (azimuth + generator.uniform(0.0, 360.0)) % 360.0
    elevation = generator.uniform(*settings.elevation_range, count)
    view = cameras.orbit(
        azimuth.astype(np.float32),
        elevation.astype(np.float32),
        np.float32(settings.distance),
    )
    fov_deg = 2.0 * math.degrees(math.atan(0.5 / settings.focal_length))
    return cameras.Camera(view, tf.repeat(cameras.perspective(fov_deg), count, axis=0))


def surface_points(soup, count: int, seed) -> np.ndarray | None:
    """Draws points evenly over the area of triangles.

    Args:
        soup: `mesh_pictures.Soup`.
        count: number of points; 0 for none.
        seed: list of two integers.

    Returns:
        float32 [count, 3], or None.
    """
    if not count:
        return None
    vertices, faces = mesh_pictures.padded_triangles(soup)
    vertices = tf.constant(vertices)[tf.newaxis]
    seed = [value % 2**31 for value in seed]
    return geometry.sample_surface(vertices, faces, count, seed=seed).points[0].numpy()
