"""Learning poses without supervision: an ensemble of guesses and a student.

Insafutdinov and Dosovitskiy, NeurIPS 2018, section 3.3. Each view gets several
candidate poses; the one that explains the silhouette best is trained, and a student
learns to make the same choice at once.
"""

from typing import NamedTuple

import tensorflow as tf

from tfrender import checks
from tfrender.ops.floating import as_float
from tfrender.quaternions import (
    conjugate_quaternion,
    multiply_quaternions,
    normalize_quaternion,
    rotate_points,
)


class Winners(NamedTuple):
    """The best candidate of every view.

    Attributes:
        error: [V] its error.
        index: [V] int32 its number.
        pose: [V, 4] its quaternion; constant.
    """

    error: tf.Tensor
    index: tf.Tensor
    pose: tf.Tensor


def best_candidates(errors: tf.Tensor, poses: tf.Tensor) -> Winners:
    """Chooses the candidate of least error in every view.

    Args:
        errors: [V, K], one a candidate.
        poses: [V, K, 4] quaternions (w, x, y, z).

    Returns:
        `Winners`.

    Gradient: that of the chosen errors; the losers and the choice have none.

    Raises:
        ValueError: for wrong shapes.
    """
    errors, poses = as_float(errors), as_float(poses)
    checks.rank("errors", errors, 2)
    checks.dims("poses", poses, errors.shape[1], 4)
    index = tf.argmin(tf.stop_gradient(errors), axis=1, output_type=tf.int32)
    error = tf.gather(errors, index, axis=1, batch_dims=1)
    pose = tf.gather(poses, index, axis=1, batch_dims=1)
    return Winners(error, index, tf.stop_gradient(pose))


def student_loss(teacher: tf.Tensor, student: tf.Tensor) -> tf.Tensor:
    """1 - w^2 of the rotation between teacher and student: sin^2 of half its angle.

    Args:
        teacher: [V, 4] quaternions of any length; constants.
        student: [V, 4].

    Returns:
        [V] in [0, 1]; 0 for q and for -q.

    Gradient: exact in `student`, none in `teacher`.

    Raises:
        ValueError: for wrong shapes.
    """
    teacher = normalize_quaternion(tf.stop_gradient(teacher))
    turn = multiply_quaternions(
        teacher, conjugate_quaternion(normalize_quaternion(student))
    )
    return 1.0 - turn[..., 0] ** 2


def aligned_points_loss(
    teacher: tf.Tensor, student: tf.Tensor, *, points: int = 2000, seed: int = 0
) -> tf.Tensor:
    """Squared distance of a fixed cloud of points turned by both rotations.

    The original's alternative to `student_loss` (pose_student_align_loss).

    Args:
        teacher: [V, 4] quaternions of any length; constants.
        student: [V, 4].
        points: of the cloud, normal, clipped at 3.
        seed: of the cloud.

    Returns:
        [V], half the sum of squares over the number of points.

    Gradient: exact in `student`, none in `teacher`. Memory: 60 bytes a point and view.

    Raises:
        ValueError: for wrong shapes.
    """
    cloud = tf.random.stateless_normal([points, 3], [seed, 0])
    cloud = tf.clip_by_value(cloud, -3.0, 3.0)
    first = rotate_points(cloud, tf.stop_gradient(teacher))
    apart = first - rotate_points(cloud, student)
    return 0.5 * tf.reduce_sum(apart**2, axis=(1, 2)) / points
