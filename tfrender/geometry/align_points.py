"""Aligns point clouds by rotation: Kabsch, ICP, alignment of unsupervised poses.

A network that learns poses without supervision is free to turn all its objects, and
all its poses with them, by one rotation that nobody can know beforehand. To score its
shapes this rotation is estimated once, on objects that are not those to score
(Insafutdinov and Dosovitskiy, NeurIPS 2018, section 4.3 and their program).

Quaternions are (w, x, y, z) of any length; q turns a point p to R(q) p. A pose is the
rotation into the camera's frame, as `tfrender.cameras.from_quaternion` takes it. So
where R(q) p = R(t) p' shows one point p of the prediction and p' of the truth, the
prediction is turned onto the truth by conj(t) q, and the pose q becomes q conj(a) when
the points are turned by a. NumPy and SciPy, float64, on the host.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy.spatial
from scipy.spatial.transform import Rotation

from tfrender import checks

MAX_DISTANCE = 0.2  # of a pair of nearest points; objects have a diagonal of 1
VIEWS_OF_OBJECT, BEST_OBJECTS = 2, 15
_ICP_STEPS, _ICP_CHANGE = 30, 1e-6
_ICP_POINTS = 2048  # of a prediction: more move the result by less than the poses do
_FEWEST_PAIRS = 3
_SHORT = 1e-12  # length of a quaternion that is none


class IcpResult(NamedTuple):
    """A rigid motion of a cloud onto another: p' = rotation p + translation.

    Attributes:
        rotation: float64 [3, 3].
        translation: float64 [3].
        rmse: root mean square distance of the pairs; NaN where there are too few.
        inliers: share of the points that have a partner, in [0, 1].
    """

    rotation: np.ndarray
    translation: np.ndarray
    rmse: float
    inliers: float


class PoseAlignment(NamedTuple):
    """The rotation from the frame of the predictions into that of the truth.

    Attributes:
        quaternion: float64 [4] (w, x, y, z), unit, w not below 0.
        objects: numbers of the objects that it was estimated on.
        views: how many views of these, at most 2 each.
        rmse: mean of the distances that ICP left.
        spread_deg: mean angle between the rotation of a view and `quaternion`. A large
            one means that the poses do not agree about a common frame.
        dropped: views without a usable pose, or that ICP could not pair.
    """

    quaternion: np.ndarray
    objects: list[int]
    views: int
    rmse: float
    spread_deg: float
    dropped: int


def rigid_fit(source, target) -> tuple[np.ndarray, np.ndarray]:
    """Rotation and translation that bring paired points nearest to each other.

    Kabsch, "A solution for the best rotation to relate two sets of vectors", 1976; a
    proper rotation, never a mirror.

    Args:
        source: [N, 3], N at least 1.
        target: [N, 3], the partners.

    Returns:
        rotation [3, 3] and translation [3], float64.

    Raises:
        ValueError: shapes that differ, or no points.
    """
    source, target = (np.asarray(points, np.float64) for points in (source, target))
    if source.shape != target.shape or source.ndim != 2 or not source.size:
        raise ValueError(
            "`source` and `target` must be [N, 3] of one N; got "
            f"{list(source.shape)} and {list(target.shape)}."
        )
    centres = source.mean(0), target.mean(0)
    u, _, vt = np.linalg.svd((source - centres[0]).T @ (target - centres[1]))
    # Without it, flat or noisy sets may come out mirrored.
    turn = np.diag([1.0, 1.0, np.linalg.det(vt.T @ u.T)])
    rotation = vt.T @ turn @ u.T
    return rotation, centres[1] - rotation @ centres[0]


def icp(
    source,
    target: np.ndarray | scipy.spatial.cKDTree,
    rotation=None,
    *,
    max_distance: float = MAX_DISTANCE,
    steps: int = _ICP_STEPS,
) -> IcpResult:
    """Moves a cloud onto another, point to nearest point, from a first guess.

    Besl and McKay, "A method for registration of 3-D shapes", 1992. Ends where neither
    the share of pairs nor their distance changes by more than a millionth.

    Args:
        source: [N, 3].
        target: [M, 3], or its k-d tree, where several clouds are moved onto it.
        rotation: [3, 3] to begin with; None is the identity.
        max_distance: points farther than this from the target have no partner.
        steps: most steps.

    Returns:
        `IcpResult`; a wrong first guess may end in a wrong place.

    Raises:
        ValueError: no points, or a range that is none.
    """
    checks.between("max_distance", max_distance, 1e-30, 1e30)
    checks.between("steps", steps, 1, 1 << 20)
    source = np.asarray(source, np.float64)
    if source.ndim != 2 or source.shape[-1] != 3 or not len(source):
        raise ValueError(f"`source` must be [N, 3]; got {list(source.shape)}.")
    tree = target
    if not isinstance(tree, scipy.spatial.cKDTree):
        tree = scipy.spatial.cKDTree(np.asarray(target, np.float64))
    rotation = np.eye(3) if rotation is None else np.asarray(rotation, np.float64)
    translation, former = np.zeros(3), (0.0, np.inf)
    for step in range(steps + 1):
        moved = source @ rotation.T + translation
        distance, index = tree.query(moved, distance_upper_bound=max_distance)
        paired = np.isfinite(distance)
        share = float(paired.mean())
        if paired.sum() < _FEWEST_PAIRS:
            return IcpResult(rotation, translation, float("nan"), share)
        rmse = float(np.sqrt(np.square(distance[paired]).mean()))
        still = np.abs(np.subtract(former, (share, rmse))).max() < _ICP_CHANGE
        if still or step == steps:
            break
        former = share, rmse
        rotation, translation = rigid_fit(source[paired], tree.data[index[paired]])
    return IcpResult(rotation, translation, rmse, share)


def pose_alignment(
    clouds: Sequence[np.ndarray],
    poses: Sequence[np.ndarray],
    true_poses: Sequence[np.ndarray],
    truths: Sequence[np.ndarray],
) -> PoseAlignment:
    """The rotation that turns all predictions into the frame of the truth.

    Each view alone gives a guess, conj(true pose) pose, which ICP improves on the true
    points. Of each object the 2 views that ICP brought nearest count, and of the
    objects the 15 nearest ones: views with a wrong pose, and objects that look alike
    from several sides, are far. The mean rotation of these is the alignment.

    Args:
        clouds: of each object [V, N, 3], as predicted.
        poses: of each object [V, 4] (w, x, y, z), as predicted.
        true_poses: of each object [V, 4].
        truths: of each object [M, 3].

    Returns:
        `PoseAlignment`.

    Raises:
        ValueError: no view has a usable pose, or lengths that differ.
    """
    found, dropped = [], 0
    objects = zip(clouds, poses, true_poses, truths, strict=True)
    for number, (views, own, true, truth) in enumerate(objects):
        tree, results = scipy.spatial.cKDTree(np.asarray(truth, np.float64)), []
        for cloud, pose, true_pose in zip(views, own, true, strict=True):
            if not (usable_pose(pose) and usable_pose(true_pose)):
                dropped += 1
                continue
            guess = _rotation(true_pose).inv() * _rotation(pose)
            few = np.asarray(cloud)[:: -(-len(cloud) // _ICP_POINTS)]
            result = icp(few, tree, guess.as_matrix())
            if np.isfinite(result.rmse):
                results.append(result)
            else:
                dropped += 1
        results = sorted(results, key=lambda result: result.rmse)[:VIEWS_OF_OBJECT]
        if results:
            mean = float(np.mean([result.rmse for result in results]))
            found.append((mean, number, results))
    if not found:
        raise ValueError(
            f"expected views with poses that can be aligned; got none of {dropped}."
        )
    found = sorted(found, key=lambda entry: entry[:2])[:BEST_OBJECTS]
    turns = Rotation.from_matrix(
        np.stack([result.rotation for _, _, results in found for result in results])
    )
    # The largest eigenvector of the sum of q q^T: signs do not count.
    mean = turns.mean()
    return PoseAlignment(
        _quaternion(mean),
        sorted(number for _, number, _ in found),
        len(turns),
        float(np.mean([entry[0] for entry in found])),
        float(np.degrees((mean.inv() * turns).magnitude()).mean()),
        dropped,
    )


def turn_points(points, quaternion) -> np.ndarray:
    """Turns points by a quaternion.

    Args:
        points: [..., 3].
        quaternion: [4] (w, x, y, z) of any length above 0.

    Returns:
        float64 [..., 3].

    Raises:
        ValueError: a quaternion of no length, or that is not finite.
    """
    return np.asarray(points, np.float64) @ _checked(quaternion).as_matrix().T


def align_poses(poses, quaternion) -> np.ndarray:
    """Poses of clouds that were turned by a quaternion: q conj(a).

    Args:
        poses: [V, 4] (w, x, y, z).
        quaternion: [4] by which `turn_points` turned the points.

    Returns:
        float64 [V, 4], unit, w not below 0; NaN where a pose is none.

    Raises:
        ValueError: a quaternion of no length, or that is not finite.
    """
    back = _checked(quaternion).inv()
    aligned = np.full([len(poses), 4], np.nan)
    for row, pose in enumerate(poses):
        if usable_pose(pose):
            aligned[row] = _quaternion(_rotation(pose) * back)
    return aligned


def pose_errors_deg(poses, true_poses) -> np.ndarray:
    """Angles between poses and the true ones.

    Args:
        poses: [V, 4] (w, x, y, z).
        true_poses: [V, 4].

    Returns:
        float64 [V] degrees in [0, 180]; q and -q are one pose. 180 where a pose is
        none: NaN, or of no length.

    Raises:
        ValueError: a true pose that is none.
    """
    errors = np.full(len(poses), 180.0)
    for row, (pose, true_pose) in enumerate(zip(poses, true_poses, strict=True)):
        true = _checked(true_pose)
        if usable_pose(pose):
            errors[row] = np.degrees((true.inv() * _rotation(pose)).magnitude())
    return errors


def usable_pose(quaternion) -> bool:
    """Whether a quaternion [4] is finite and has a length."""
    return bool(
        np.isfinite(quaternion).all()
        and np.linalg.norm(np.asarray(quaternion, np.float64)) > _SHORT
    )


def _rotation(quaternion) -> Rotation:
    """Of (w, x, y, z); SciPy's own order is (x, y, z, w)."""
    return Rotation.from_quat(np.roll(np.asarray(quaternion, np.float64), -1))


def _quaternion(rotation: Rotation) -> np.ndarray:
    """(w, x, y, z), unit, w not below 0."""
    return np.roll(rotation.as_quat(canonical=True), 1)


def _checked(quaternion) -> Rotation:
    """Rotation of one quaternion that the caller vouches for."""
    quaternion = np.asarray(quaternion, np.float64)
    if quaternion.shape != (4,) or not usable_pose(quaternion):
        raise ValueError(
            "`quaternion` must be [4], finite and of a length above 0; got "
            f"{quaternion.tolist()}."
        )
    return _rotation(quaternion)
