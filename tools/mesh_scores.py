"""Scores of one mesh against the truth: distances, normals, F-scores, IoU.

The measures and their names are those of the published programs of Occupancy Networks
and DVR, in the units of the meshes:

- accuracy: mean distance from points of the mesh to the nearest of the truth;
  completeness: the other way; chamferL1: the mean of both. accuracy2, completeness2
  and chamfer (often Chamfer-L2): the same of squared distances.
- normals: mean |cosine| between the normals of nearest points, both ways averaged.
- precision@d, recall@d, F@d: shares of points nearer than d, and their harmonic mean.
- iou: of the volumes, by points drawn evenly in a box around both.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy.spatial

from tfrender import geometry
from tfrender.geometry.contains_points import contains_points

DISTANCES = ("accuracy", "completeness", "chamferL1")  # in length units
# Of a mesh without faces: nothing in the unit cube is farther than its diagonal.
_FARTHEST = 3.0**0.5


class PointSet(NamedTuple):
    """Points of a surface.

    Attributes:
        points: [N, 3].
        normals: [N, 3] unit, or None.
    """

    points: np.ndarray
    normals: np.ndarray | None


def sample_mesh(vertices, faces, count: int, seed: int) -> PointSet:
    """Draws points evenly over the area of a mesh, with normals of faces.

    Args:
        vertices: [V, 3].
        faces: int [F, 3], F at least 1.
        count: number of points.
        seed: of the draw.

    Returns:
        `PointSet`.
    """
    drawn = geometry.sample_surface(
        np.asarray(vertices, np.float32)[np.newaxis], faces, count, seed=seed
    )
    return PointSet(drawn.points[0].numpy(), drawn.normals[0].numpy())


def point_measures(
    target: PointSet, prediction: PointSet, thresholds: Sequence[float] = ()
) -> dict[str, float]:
    """Measures between two surfaces; one search for neighbours serves them all.

    Args:
        target: points of the truth.
        prediction: points of the mesh.
        thresholds: distances of the F-scores.

    Returns:
        measure -> value; without "normals" where either set has none.
    """
    found: dict[str, float] = {}
    shares = {}
    normals = target.normals is not None and prediction.normals is not None
    for name, share, own, other in (
        ("completeness", "recall", target, prediction),
        ("accuracy", "precision", prediction, target),
    ):
        tree = scipy.spatial.cKDTree(other.points)
        distance, index = tree.query(own.points, workers=-1)
        found[name] = float(distance.mean())
        found[f"{name}2"] = float(np.square(distance).mean())
        if normals:
            cosine = (_unit(own.normals) * _unit(other.normals)[index]).sum(-1)
            found[f"normals {name}"] = float(np.abs(cosine).mean())
        shares[share] = [float((distance <= d).mean()) for d in thresholds]
    found["chamferL1"] = (found["completeness"] + found["accuracy"]) / 2
    found["chamfer"] = (found["completeness2"] + found["accuracy2"]) / 2
    if normals:
        both = found["normals completeness"] + found["normals accuracy"]
        found["normals"] = both / 2
    rows = zip(thresholds, shares["precision"], shares["recall"], strict=True)
    for d, precision, recall in rows:
        either = precision + recall
        found[f"precision@{d:.4f}"], found[f"recall@{d:.4f}"] = precision, recall
        found[f"F@{d:.4f}"] = 2 * precision * recall / either if either else 0.0
    return found


def empty_measures(
    thresholds: Sequence[float] = (), normals: bool = True, iou: bool = True
) -> dict[str, float]:
    """What a mesh without faces scores: as bad as it can be, and never left out.

    Args:
        thresholds: see `point_measures`.
        normals: whether the truth has normals.
        iou: whether it has a volume.

    Returns:
        measure -> value; the published ones, and chamferL1, which the published
        programs leave out of the means.
    """
    found = dict.fromkeys(("completeness", "accuracy", "chamferL1"), _FARTHEST)
    found |= {"completeness2": 3.0, "accuracy2": 3.0, "chamfer": 6.0}
    if normals:
        names = ("normals completeness", "normals accuracy", "normals")
        found |= dict.fromkeys(names, -1.0)
    for d in thresholds:
        found |= dict.fromkeys(
            (f"{n}@{d:.4f}" for n in ("precision", "recall", "F")), 0.0
        )
    return found | ({"iou": 0.0} if iou else {})


def volume_iou(target: np.ndarray, prediction: np.ndarray) -> float:
    """Intersection over union of two sets of points.

    Args:
        target: bool [N], which points the truth encloses.
        prediction: bool [N], which the mesh encloses.

    Returns:
        in [0, 1]; 1 where neither encloses any.
    """
    either = int((target | prediction).sum())
    return float((target & prediction).sum() / either) if either else 1.0


def mesh_iou(target, prediction, count: int, seed: int) -> float:
    """IoU of the volumes of two closed meshes, by random points in a box around both.

    Args:
        target: (vertices [V, 3], faces [F, 3]).
        prediction: the same.
        count: number of points.
        seed: of the points.

    Returns:
        in [0, 1].
    """
    low = np.minimum(*(mesh[0].min(0) for mesh in (target, prediction)))
    high = np.maximum(*(mesh[0].max(0) for mesh in (target, prediction)))
    points = np.random.default_rng(seed).uniform(low, high, (count, 3))
    inside = [contains_points(*mesh, points) for mesh in (target, prediction)]
    return volume_iou(*inside)


def _unit(normals: np.ndarray) -> np.ndarray:
    """Normals of length 1; those of length 0 stay."""
    length = np.linalg.norm(normals, axis=-1, keepdims=True)
    return normals / np.where(length > 0, length, 1.0)
