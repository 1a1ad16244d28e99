"""Pictures of voxel grids, and masks of pictures, for reports."""

import numpy as np
import tensorflow as tf

from tfrender.ops.resample_volume import pose_parameters, resample_volume

_OTHER_COLOR = 16  # levels out of 255 from the background


def camera_cells(voxels: np.ndarray, poses: np.ndarray) -> np.ndarray:
    """Voxel grids in the camera's frame, as the network sees them.

    Args:
        voxels: [B, n, n, n] of 0 and 1.
        poses: [B, 3] azimuth, polar angle in degrees, radius.

    Returns:
        bool [B, 2 n, 2 n, 2 n] row, column, depth; nearest last.
    """
    grid = resample_volume(
        tf.constant(voxels[..., None], tf.float32),
        *pose_parameters(tf.constant(poses, tf.float32)),
        2 * voxels.shape[1],
    )
    return grid[..., 0].numpy() > 0.5


def silhouettes(voxels: np.ndarray, poses: np.ndarray) -> np.ndarray:
    """Silhouettes of voxel grids.

    Args:
        voxels: [B, n, n, n] of 0 and 1.
        poses: [B, 3] azimuth, polar angle in degrees, radius.

    Returns:
        bool [B, 8 n, 8 n].
    """
    cells = camera_cells(voxels, poses).any(-1)
    return cells.repeat(4, axis=1).repeat(4, axis=2)


def front_faces(voxels: np.ndarray, poses: np.ndarray) -> np.ndarray:
    """Front faces of turned voxel grids, bright where near.

    Args:
        voxels: [B, n, n, n] of 0 and 1.
        poses: [B, 3] azimuth, polar angle in degrees, radius.

    Returns:
        float32 [B, 8 n, 8 n, 3] in [0, 1].
    """
    full = camera_cells(voxels, poses)
    depth = full.shape[-1]
    nearest = np.where(full, np.arange(depth), -1).max(-1)
    low = np.where(nearest < 0, depth, nearest).min((1, 2), keepdims=True)
    span = np.maximum(nearest.max((1, 2), keepdims=True) - low, 1)
    shade = np.where(nearest < 0, 0.0, 0.25 + 0.75 * (nearest - low) / span)
    picture = shade.repeat(4, axis=1).repeat(4, axis=2)[..., np.newaxis]
    return np.broadcast_to(picture, (*picture.shape[:3], 3)).astype(np.float32)


def background(image: np.ndarray) -> np.ndarray:
    """Colour of most of a picture's edge.

    Args:
        image: uint8 [H, W, C].

    Returns:
        float64 [C], 0 to 255.
    """
    edge = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    return np.median(edge, axis=0)


def foreground(image: np.ndarray) -> np.ndarray:
    """Pixels that show the object.

    They differ from `background`. On white paper an object may be drawn in lines
    alone; what they enclose counts too.

    Args:
        image: uint8 [H, W, C].

    Returns:
        bool [H, W].
    """
    behind = background(image)
    inside = (np.abs(image - behind) > _OTHER_COLOR).any(-1)
    if behind.mean() > 127:
        from scipy import ndimage

        inside = ndimage.binary_fill_holes(inside)
    return inside
