"""Scores of predicted point clouds, as DPC and DRWR print them; NumPy, on the host.

P are the points of a prediction, T those of the truth, d(p, T) the distance from p to
the nearest point of T, not squared:

    precision = mean_P d(p, T),  coverage = mean_T d(t, P),  CD = precision + coverage.

Insafutdinov and Dosovitskiy, NeurIPS 2018, section 4; Han et al., ICML 2020. Each
picture of an object gives a cloud of its own, and so a score of its own.
"""

import numpy as np
import scipy.spatial

PERCENT = 100.0  # of the diagonal of an object, the unit of all published figures


def precision_coverage(target, prediction) -> tuple[float, float]:
    """Mean distance from a prediction to the truth, and from the truth to it.

    In float64, through a k-d tree, on all processors: two clouds of 100,000 points
    take a few tenths of a second.

    Args:
        target: [M, 3], the truth, M at least 1.
        prediction: [N, 3], N at least 1.

    Returns:
        precision, coverage: length units, 0 for equal clouds.

    Raises:
        ValueError: for a wrong shape, an empty cloud, NaN or infinity.
    """
    target = _distinct(check_points("target", target))
    prediction = _distinct(check_points("prediction", prediction))
    return _mean_nearest(prediction, target), _mean_nearest(target, prediction)


def summarize_views(scores) -> dict[str, np.ndarray]:
    """Scores of objects, each seen from several sides, in the published unit.

    `cd_best_view` chooses the best view by the truth: nobody who has one picture of an
    unknown object can do so, and the number looks better than the method is.

    Args:
        scores: [..., V, 2] precision and coverage of each view, V at least 1.

    Returns:
        dict of [...], a hundred times the length unit: `precision`, `coverage`, their
        sum `cd_mean_views`, all of them means over the views; `cd_best_view`, the
        smallest sum of a view.

    Raises:
        ValueError: for a wrong shape, no views, NaN or infinity.
    """
    scores = np.asarray(scores, np.float64)
    if scores.ndim < 2 or scores.shape[-1] != 2 or not scores.shape[-2]:
        raise ValueError(
            f"`scores` must be [..., V, 2], V at least 1; got {list(scores.shape)}."
        )
    if not np.isfinite(scores).all():
        raise ValueError("`scores` must be finite; got NaN or infinity.")
    precision, coverage = np.moveaxis(PERCENT * scores, -1, 0)  # [..., V] each
    distance = precision + coverage
    return {
        "precision": precision.mean(-1),
        "coverage": coverage.mean(-1),
        "cd_mean_views": distance.mean(-1),
        "cd_best_view": distance.min(-1),
    }


def check_points(name: str, points) -> np.ndarray:
    """Takes a cloud as float64.

    Args:
        name: of the cloud, for the message.
        points: [N, 3], N at least 1.

    Returns:
        float64 [N, 3].

    Raises:
        ValueError: for a wrong shape, an empty cloud, NaN or infinity.
    """
    points = np.asarray(points, np.float64)
    if points.ndim != 2 or points.shape[-1] != 3 or not len(points):
        raise ValueError(
            f"`{name}` must be [N, 3] with at least one point; got shape "
            f"{list(points.shape)}."
        )
    if not np.isfinite(points).all():
        raise ValueError(f"`{name}` must be finite; got NaN or infinity.")
    return points


def _mean_nearest(first, second) -> float:
    """Mean distance from the points of a cloud to the nearest of another."""
    (points, counts), (targets, _) = first, second
    distance = scipy.spatial.cKDTree(targets).query(points, workers=-1)[0]
    return float(distance @ counts / counts.sum())


def _distinct(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points of [N, 3] that differ, and how often each is there.

    A tree cannot part equal points: a cloud that fell into one would take minutes.
    """
    points = points[np.lexsort(points.T)]
    new = np.insert((np.diff(points, axis=0) != 0.0).any(-1), 0, True)
    first = np.flatnonzero(new)
    return points[first], np.diff(first, append=len(points))
