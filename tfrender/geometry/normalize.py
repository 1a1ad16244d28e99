"""Places a mesh at the origin with a known size, and remembers how to go back."""

from typing import NamedTuple

import numpy as np

from tfrender import checks


class Normalization(NamedTuple):
    """One uniform scale and a centre: normalised = (source - centre) / scale.

    Attributes:
        centre: float64 [3], centre of the bounding box in source units.
        scale: length in source units that became 1.
    """

    centre: np.ndarray
    scale: float

    def apply(self, points) -> np.ndarray:
        """Source points [..., 3] in the normalised frame, float32."""
        return _float32((np.asarray(points, np.float64) - self.centre) / self.scale)

    def inverse(self, points) -> np.ndarray:
        """Normalised points [..., 3] in source units, float32."""
        return _float32(np.asarray(points, np.float64) * self.scale + self.centre)


def normalize_to_diagonal(vertices) -> tuple[np.ndarray, Normalization]:
    """Centres the bounding box and scales its diagonal to 1.

    The frame of ShapeNetCore v2 ("model_normalized") and of the bundled meshes. The
    box decides, not the mean of the vertices: their density is very uneven.

    Args:
        vertices: [V, 3], V >= 1, finite, not all equal.

    Returns:
        (vertices float32 [V, 3] within the ball of radius 0.5, `Normalization`).
    """
    low, high = bounds(vertices)
    place = Normalization((low + high) / 2, float(np.linalg.norm(high - low)))
    return place.apply(vertices), place


def normalize_to_unit_cube(
    vertices, fill: float = 1.0
) -> tuple[np.ndarray, Normalization]:
    """Centres the bounding box and scales its longest side to `fill`.

    The frame of occupancy networks (fill 1) and of RenderNet's grids (fill 0.9).

    Args:
        vertices: [V, 3], V >= 1, finite, not all equal.
        fill: longest side of the result, in (0, 1].

    Returns:
        (vertices float32 [V, 3] within [-0.5, 0.5]^3, `Normalization`).
    """
    checks.between("fill", fill, 1e-6, 1.0)
    low, high = bounds(vertices)
    place = Normalization((low + high) / 2, float((high - low).max() / fill))
    return place.apply(vertices), place


def bounds(vertices) -> tuple[np.ndarray, np.ndarray]:
    """Corners of the bounding box.

    Args:
        vertices: [V, 3], V >= 1, finite, not all equal.

    Returns:
        (low [3], high [3]), float64.

    Raises:
        ValueError: wrong shape, no vertices, not finite, or a box without extent.
    """
    vertices = np.asarray(vertices, np.float64)
    if vertices.ndim != 2 or vertices.shape[-1] != 3 or not len(vertices):
        raise ValueError(f"`vertices` must be [V, 3]; got {list(vertices.shape)}.")
    low, high = vertices.min(0), vertices.max(0)
    if not np.isfinite([low, high]).all():
        raise ValueError("`vertices` must be finite; got NaN or infinity.")
    if not (high > low).any():
        raise ValueError("`vertices` must differ; all lie in one point.")
    return low, high


def _float32(points: np.ndarray) -> np.ndarray:
    return points.astype(np.float32)
