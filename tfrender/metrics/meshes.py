"""Measures of reconstructed shapes: point sets, normals, voxels; one value per example.

Letters used below: P are the points of the prediction, T those of the target; d(p, T)
is the distance from p to the nearest point of T. Distances are in the units of the
points: say with a figure how the shapes were scaled and how many points were drawn.
Published numbers also differ by squares, halves and sums, so each function names its
own.
"""

import numpy as np
import scipy.spatial
import tensorflow as tf

from tfrender import checks
from tfrender.ops.floating import as_float
from tfrender.ops.nearest_points import nearest_points

# Above this many pairs a search tree is faster, on the host.
_TREE_PAIRS = 1 << 22


def chamfer_squared(target: tf.Tensor, prediction: tf.Tensor) -> tf.Tensor:
    """mean_P d(p, T)^2 + mean_T d(t, P)^2, the sum of both directions.

    Args:
        target: [B, M, 3].
        prediction: [B, N, 3].

    Returns:
        [B] squared length units.

    Gradient: none; `tfrender.losses.points.chamfer_loss` has one. Memory: as
    `point_scores`.

    Raises:
        ValueError: for wrong shapes or empty sets.
    """
    forth, back = _distances(target, prediction)
    return tf.reduce_mean(forth**2, axis=1) + tf.reduce_mean(back**2, axis=1)


def chamfer_unsquared(target: tf.Tensor, prediction: tf.Tensor) -> tf.Tensor:
    """mean_P d(p, T) + mean_T d(t, P), the sum of both directions.

    Half of it is the "Chamfer-L1" of Occupancy Networks and DVR; its hundredfold is
    the Chamfer distance of Insafutdinov and Dosovitskiy, and of DRWR.

    Args:
        target: [B, M, 3].
        prediction: [B, N, 3].

    Returns:
        [B] length units.

    Gradient: none. Memory: as `point_scores`.

    Raises:
        ValueError: for wrong shapes or empty sets.
    """
    forth, back = _distances(target, prediction)
    return tf.reduce_mean(forth, axis=1) + tf.reduce_mean(back, axis=1)


def f_score(target: tf.Tensor, prediction: tf.Tensor, threshold: float) -> tf.Tensor:
    """2 precision recall / (precision + recall) at a distance.

    Precision is the share of P with d(p, T) <= threshold, recall the share of T with
    d(t, P) <= threshold.

    Args:
        target: [B, M, 3].
        prediction: [B, N, 3].
        threshold: length units, not squared, above 0; often 1 % of the longest side.

    Returns:
        [B] in [0, 1], 0 where both are 0.

    Gradient: none. Memory: as `point_scores`.

    Raises:
        ValueError: for wrong shapes, empty sets or a threshold out of range.
    """
    return point_scores(target, prediction, threshold)["f_score"]


def hausdorff(target: tf.Tensor, prediction: tf.Tensor) -> tf.Tensor:
    """max(max_P d(p, T), max_T d(t, P)), the symmetric Hausdorff distance.

    Args:
        target: [B, M, 3].
        prediction: [B, N, 3].

    Returns:
        [B] length units.

    Gradient: none. Memory: as `point_scores`.

    Raises:
        ValueError: for wrong shapes or empty sets.
    """
    forth, back = _distances(target, prediction)
    return tf.maximum(tf.reduce_max(forth, axis=1), tf.reduce_max(back, axis=1))


def point_scores(
    target: tf.Tensor, prediction: tf.Tensor, threshold: float
) -> dict[str, tf.Tensor]:
    """All measures of two point sets, with one search for neighbours.

    Args:
        target: [B, M, 3].
        prediction: [B, N, 3].
        threshold: distance of precision and recall, length units.

    Returns:
        dict of [B]: `accuracy` mean_P d(p, T); `completeness` mean_T d(t, P);
        `chamfer_unsquared`; `chamfer_squared`; `hausdorff`; `precision`; `recall`;
        `f_score`.

    Gradient: none. Memory: as `nearest_points`; called eagerly, sets of more than 4
    million pairs go through a k-d tree on the host.

    Raises:
        ValueError: for wrong shapes, empty sets or a threshold out of range.
    """
    checks.between("threshold", threshold, 1e-30, 1e30)
    forth, back = _distances(target, prediction)
    accuracy, completeness = tf.reduce_mean(forth, axis=1), tf.reduce_mean(back, axis=1)
    precision, recall = (
        tf.reduce_mean(tf.cast(distance <= threshold, forth.dtype), axis=1)
        for distance in (forth, back)
    )
    return {
        "accuracy": accuracy,
        "completeness": completeness,
        "chamfer_unsquared": accuracy + completeness,
        "chamfer_squared": tf.reduce_mean(forth**2, 1) + tf.reduce_mean(back**2, 1),
        "hausdorff": tf.maximum(tf.reduce_max(forth, 1), tf.reduce_max(back, 1)),
        "precision": precision,
        "recall": recall,
        "f_score": tf.math.divide_no_nan(2.0 * precision * recall, precision + recall),
    }


def normal_consistency(
    target: tf.Tensor,
    target_normals: tf.Tensor,
    prediction: tf.Tensor,
    prediction_normals: tf.Tensor,
) -> tf.Tensor:
    """Half of mean_P |n_p . n_t| + mean_T |n_t . n_p|, each with the nearest other.

    Args:
        target: [B, M, 3].
        target_normals: [B, M, 3] unit.
        prediction: [B, N, 3].
        prediction_normals: [B, N, 3] unit.

    Returns:
        [B] in [0, 1]; orientation does not count.

    Gradient: none. Memory: as `point_scores`.

    Raises:
        ValueError: for wrong shapes or empty sets.
    """
    target_normals, prediction_normals = map(
        as_float, (target_normals, prediction_normals)
    )
    checks.dims("target_normals", target_normals, target.shape[1], 3)
    checks.dims("prediction_normals", prediction_normals, prediction.shape[1], 3)
    _check_points(target=target, prediction=prediction)
    total = 0.0
    for points, normals, others, other_normals in (
        (prediction, prediction_normals, target, target_normals),
        (target, target_normals, prediction, prediction_normals),
    ):
        index, _ = _nearest(points, others)
        near = tf.gather(other_normals, index, batch_dims=1)
        cosine = tf.abs(tf.reduce_sum(normals * near, axis=-1))
        total += 0.5 * tf.reduce_mean(cosine, axis=1)
    return total


def voxel_iou(
    target: tf.Tensor, prediction: tf.Tensor, *, threshold: float = 0.5
) -> tf.Tensor:
    """Intersection over union of two occupancy grids.

    Args:
        target: [B, X, Y, Z] or [B, X, Y, Z, 1] occupancies.
        prediction: the same shape.
        threshold: occupied means greater than this.

    Returns:
        [B] in [0, 1]; 1 where both are empty.

    Gradient: none. Memory: 3 bytes a voxel.

    Raises:
        ValueError: where the shapes differ.
    """
    target, prediction = as_float(target), as_float(prediction)
    if not target.shape.is_compatible_with(prediction.shape):
        raise ValueError(
            f"`target` and `prediction` must have one shape; got {target.shape} and "
            f"{prediction.shape}."
        )
    first, second = target > threshold, prediction > threshold
    axes = list(range(1, target.shape.rank))
    both, either = (
        tf.math.count_nonzero(cells, axes, dtype=tf.int32)
        for cells in (tf.logical_and(first, second), tf.logical_or(first, second))
    )
    share = tf.cast(both, tf.float32) / tf.cast(tf.maximum(either, 1), tf.float32)
    return tf.where(either > 0, share, 1.0)


def _distances(target, prediction):
    """Distances from prediction to target [B, N], and from target to prediction."""
    _check_points(target=target, prediction=prediction)
    return _nearest(prediction, target)[1], _nearest(target, prediction)[1]


def _check_points(**sets):
    """Checks sets of points by the names of their arguments."""
    for name, value in sets.items():
        value = tf.convert_to_tensor(value)
        checks.rank(name, value, 3)
        checks.dims(name, value, None, 3)
        if value.shape[1] == 0:
            raise ValueError(f"`{name}` must hold a point; got shape {value.shape}.")


def _nearest(points, targets):
    """Index of and distance to the nearest target, [B, N] each."""
    points, targets = as_float(points), as_float(targets)
    small = not tf.executing_eagerly() or (
        (points.shape[1] or 0) * (targets.shape[1] or 0) <= _TREE_PAIRS
    )
    if small:
        found = nearest_points(points, targets)
        return found.index, tf.sqrt(tf.stop_gradient(found.square))
    pairs = [
        scipy.spatial.cKDTree(item).query(queries)
        for item, queries in zip(targets.numpy(), points.numpy(), strict=True)
    ]
    index = np.stack([index for _, index in pairs]).astype(np.int32)
    distance = np.stack([distance for distance, _ in pairs])
    return tf.constant(index), tf.constant(distance, points.dtype)
