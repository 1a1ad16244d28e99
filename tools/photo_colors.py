"""Colours for a mesh from the one picture that it was made of.

The mesh lies in the frame of its kind, not in that of the camera: first the azimuth is
found from which its silhouette is the picture's. Vertices that are seen from there take
the colour of their pixel, others that of the mirrored side: most objects are alike on
the left and on the right.
"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf
from scipy import ndimage, spatial

from datasets.mesh_reconstruction import views
from tfrender import cameras
from tfrender.ops.forms import default_form
from tfrender.ops.rasterize import rasterize_mesh
from tools.object_mask import extent

COARSE_DEG, FINE_DEG = 5.0, 1.0  # steps of the search
PHOTO_SIZE = 256  # pixels a side of the picture that colours are read from
_APART_DEG = 30.0  # two views this far from each other are different answers
_BLUR = 2.0  # pixels of 256; about the half of the distance of two vertices
_SOLID = 0.9  # coverage of a pixel without a share of the background
_FEWEST = 3  # pixels of 256 x 256 of a face that counts as seen
_BEHIND = 0.01  # world units behind the first surface that count as on it
_ALIKE = 0.05  # world units between a mirrored vertex and the surface there
_SCALES = (0.8, 1.25)  # by which picture and mesh may differ in size


class View(NamedTuple):
    """From where a mesh looks like a picture.

    Attributes:
        azimuth_deg: in [0, 360), see `views.camera`.
        iou: of the silhouettes, in [0, 1].
        other_deg: the best azimuth at least 30 degrees away.
        other_iou: of the silhouettes there.
    """

    azimuth_deg: float
    iou: float
    other_deg: float
    other_iou: float


def find_view(vertices: np.ndarray, faces: np.ndarray, alpha: np.ndarray) -> View:
    """Finds the azimuth from which a mesh has the silhouette of a picture.

    Every 5 degrees at the elevation and distance of the training data, then every
    degree around the best.

    Args:
        vertices: float32 [V, 3].
        faces: int [F, 3].
        alpha: [S, S] coverage; what is over a half counts.

    Returns:
        View.
    """
    coarse = np.arange(0.0, 360.0, COARSE_DEG)
    ious = silhouette_ious(vertices, faces, alpha, coarse)
    best = coarse[np.argmax(ious)]
    away = np.abs((coarse - best + 180.0) % 360.0 - 180.0) >= _APART_DEG
    other = np.argmax(np.where(away, ious, -1.0))
    fine = best + np.arange(FINE_DEG - COARSE_DEG, COARSE_DEG, FINE_DEG)
    fine_ious = silhouette_ious(vertices, faces, alpha, fine)
    place = np.argmax(fine_ious)
    found = float(fine[place] % 360.0), float(fine_ious[place])
    return View(*found, float(coarse[other]), float(ious[other]))


def silhouette_ious(vertices, faces, alpha, azimuths_deg) -> np.ndarray:
    """IoU of the silhouettes of a mesh with that of a picture.

    Args:
        vertices: float32 [V, 3].
        faces: int [F, 3].
        alpha: [S, S] coverage; what is over a half counts.
        azimuths_deg: [N].

    Returns:
        [N].
    """
    mask = _rasterized(vertices, faces, azimuths_deg, len(alpha)).mask.numpy()
    target = alpha > 0.5
    both = (mask & target).sum((1, 2))
    return both / np.maximum((mask | target).sum((1, 2)), 1)


def read_colors(
    vertices: np.ndarray, faces: np.ndarray, azimuth_deg: float, photo: np.ndarray
) -> tuple[np.ndarray, float]:
    """Colours of the vertices of a mesh, read from a picture of it.

    Args:
        vertices: float32 [V, 3].
        faces: int [F, 3].
        azimuth_deg: from where the picture was taken.
        photo: float32 [S, S, 4] in [0, 1], colour times coverage and coverage.

    Returns:
        colors: float32 [V, 3] in [0, 1].
        seen: share of the vertices that the picture shows.
    """
    size = len(photo)
    fragments = _rasterized(vertices, faces, [azimuth_deg], size)
    mask = fragments.mask[0].numpy()
    depth = np.where(mask, fragments.depth[0], 0.0)
    solid = _solid_colors(photo)

    def colors_at(pixel):
        if mask.any() and (photo[..., 3] > 0.5).any():
            pixel = _aligned(pixel, mask, photo[..., 3])
        return solid[_row_and_column(pixel, size)]

    pixel, own = _projected(vertices, azimuth_deg, size)
    # The farthest of the neighbours: at a slope a pixel's centre may lie nearer.
    reach = ndimage.maximum_filter(depth, 3)[_row_and_column(pixel, size)]
    # Networks may hide most vertices inside: there, normals would tell nothing.
    pixels = np.bincount(fragments.face_index[0].numpy()[mask], minlength=len(faces))
    seen = np.zeros(len(vertices), bool)
    seen[faces[pixels >= _FEWEST]] = True
    seen &= own <= reach + _BEHIND
    colors = colors_at(pixel)
    # The rest has the colour of the same place on the other side, where that is seen.
    pixel, own = _projected(vertices * np.float32([-1, 1, 1]), azimuth_deg, size)
    surface = depth[_row_and_column(pixel, size)]
    alike = ~seen & (surface > 0.0) & (np.abs(own - surface) < _ALIKE)
    colors[alike] = colors_at(pixel)[alike]
    known = seen | alike
    if known.any() and not known.all():
        _, nearest = spatial.cKDTree(vertices[known]).query(vertices[~known])
        colors[~known] = colors[known][nearest]
    return colors, float(seen.mean())


def _rasterized(vertices, faces, azimuths_deg, size):
    """Fragments of the mesh from some sides."""
    camera = views.camera(np.float32(azimuths_deg))
    with default_form("graph"):  # a few calls: nothing to gain from compiling
        return rasterize_mesh(
            tf.constant(vertices)[tf.newaxis], tf.constant(faces), camera, (size, size)
        )


def _projected(vertices, azimuth_deg, size) -> tuple[np.ndarray, np.ndarray]:
    """Pixels [V, 2] (x, y) and depths [V] of points."""
    camera, points = views.camera([azimuth_deg]), tf.constant(vertices)[tf.newaxis]
    clip = cameras.project_to_clip(camera, points)
    depth = cameras.view_depth(camera, points)
    return cameras.clip_to_pixel(clip, (size, size))[0].numpy(), depth[0].numpy()


def _row_and_column(pixel, size) -> tuple[np.ndarray, np.ndarray]:
    """Indices of pixels [V, 2] (x, y) into a picture; the nearest where outside."""
    column, row = np.clip(np.floor(pixel), 0, size - 1).astype(int).T
    return row, column


def _aligned(pixel, mask, alpha) -> np.ndarray:
    """Moves pixels [V, 2] so that the box of the mesh lies on that of the picture."""
    ends = extent(mask.astype(np.float32))[::-1], extent(alpha)[::-1]  # x, y
    (low, high), (to_low, to_high) = (np.float32(end).T for end in ends)
    scale = np.clip((to_high - to_low) / (high - low), *_SCALES)
    return (pixel - (low + high) / 2) * scale + (to_low + to_high) / 2


def _solid_colors(photo: np.ndarray) -> np.ndarray:
    """Colours [S, S, 3] without background: those of the nearest covered pixel."""
    blurred = ndimage.gaussian_filter(photo, (_BLUR, _BLUR, 0.0))
    color = blurred[..., :3] / np.maximum(blurred[..., 3:], 1e-6)
    alpha = photo[..., 3]
    hollow = alpha < min(_SOLID, alpha.max())
    nearest = ndimage.distance_transform_edt(
        hollow, return_distances=False, return_indices=True
    )
    return np.clip(color[tuple(nearest)], 0.0, 1.0).astype(np.float32)
