"""Scale matrices: where in the world the unit cube of the object lies."""

import numpy as np

from datasets.dvr import camera_files, visual_hull
from tfrender import checks

FILL = 0.9  # longest side of the object in the cube
_LEAST_POINTS = 50
_ROUNDS = 3
_RESOLUTION = 64


def scale_matrix(center, radius: float) -> np.ndarray:
    """Object space to world, of a ball around the object.

    Args:
        center: [3] world.
        radius: world units; the ball touches the sides of the unit cube.

    Returns:
        float64 [4, 4].

    Raises:
        ValueError: a radius that is not above 0, or a centre that is not finite.
    """
    center = np.asarray(center, np.float64)
    if center.shape != (3,) or not np.isfinite(center).all():
        raise ValueError(f"`center` must be three finite numbers; got {center}.")
    checks.between("radius", radius, 1e-12, 1e12)
    matrix = np.diag([2.0 * radius] * 3 + [1.0])
    matrix[:3, 3] = center
    return matrix


def scale_from_points(points: np.ndarray) -> np.ndarray | None:
    """Object space to world, of points on the object.

    The outermost hundredth on every side is left out: structure from motion has
    outliers.

    Args:
        points: [N, 3] world.

    Returns:
        float64 [4, 4], or None for too few points.
    """
    if len(points) < _LEAST_POINTS:
        return None
    low, high = np.percentile(points, [1.0, 99.0], axis=0)
    return scale_matrix((low + high) / 2, (high - low).max() / 2 / FILL)


def scale_from_masks(projections: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Object space to world, of the box around the visual hull.

    Args:
        projections: float64 [V, 4, 4] camera_mat world_mat.
        masks: bool [V, H, W]; empty ones do not count.

    Returns:
        float64 [4, 4].

    Raises:
        ValueError: the masks contradict each other or the cameras, or show nothing.
    """
    some = masks.any((1, 2))
    projections, masks = projections[some], masks[some]
    origins, directions = _mask_rays(projections, masks)
    center = _nearest_point(origins, [rays.mean(0) for rays in directions])
    radius = max(
        np.linalg.norm(np.cross(center - origin, rays), axis=-1).max()
        for origin, rays in zip(origins, directions, strict=True)
    )
    side = 2.5 * radius  # of the cube that is looked at; the hull may stick out
    for _ in range(_ROUNDS):
        matrix = scale_matrix(center, side / 2 / visual_hull.SIDE)
        camera = camera_files.to_cameras(projections @ matrix, masks.shape[1:])[:2]
        hull = visual_hull.carve(masks, camera, _RESOLUTION)
        if not hull.any():
            raise ValueError(
                "the masks of all views have nothing in common; expected one object, "
                "and cameras with x right, y down and z forward."
            )
        places = np.argwhere(hull)
        low = places.min(0) / _RESOLUTION - 0.5
        high = (places.max(0) + 1) / _RESOLUTION - 0.5
        center = center + side * (low + high) / 2
        side *= (high - low).max() * 1.1
    return scale_matrix(center, side / 1.1 / 2 / FILL)


def _mask_rays(projections, masks):
    """Eyes [3] of the views and unit directions [M, 3] of the pixels of the object."""
    origins, directions = [], []
    eyes = camera_files.eyes(projections)
    for eye, projection, mask in zip(eyes, projections, masks, strict=True):
        rows, columns = np.nonzero(mask)
        plane = camera_files.unproject(rows, columns, mask.shape)
        rays = np.linalg.solve(projection[:3, :3], plane.T).T
        origins.append(eye)
        directions.append(rays / np.linalg.norm(rays, axis=-1, keepdims=True))
    if len(origins) < 2:
        raise ValueError("expected an object in the masks of two views or more.")
    return origins, directions


def _nearest_point(origins, directions) -> np.ndarray:
    """The point nearest to all lines, [3]."""
    matrix, vector = np.zeros([3, 3]), np.zeros(3)
    for origin, direction in zip(origins, directions, strict=True):
        direction = direction / np.linalg.norm(direction)
        across = np.eye(3) - np.outer(direction, direction)
        matrix += across
        vector += across @ origin
    return np.linalg.lstsq(matrix, vector, rcond=1e-9)[0]
