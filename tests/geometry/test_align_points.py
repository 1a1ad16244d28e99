"""Claims of the alignment of clouds and poses."""

import numpy as np
import pytest
import tensorflow as tf
from scipy.spatial.transform import Rotation

from tfrender import quaternions
from tfrender.geometry import align_points as align
from tfrender.metrics import precision_coverage


def wxyz(rotation):
    return np.roll(rotation.as_quat(), 1, axis=-1)


def chair(count, rng):
    """Points on a seat, a back and four legs, in the unit diagonal."""
    boxes = np.array(
        [[-0.2, -0.05, -0.2, 0.2, 0.0, 0.2], [-0.2, 0.0, 0.15, 0.2, 0.4, 0.2]]
        + [
            [x, -0.4, z, x + 0.05, -0.05, z + 0.05]
            for x in (-0.2, 0.15)
            for z in (-0.2, 0.15)
        ]
    )
    low, high = (
        boxes[rng.integers(len(boxes), size=count)].reshape(-1, 2, 3).swapaxes(0, 1)
    )
    return rng.uniform(low, high)


def predictions(turn, objects=4, views=3, noise_deg=8.0, seed=0):
    """Objects whose clouds and poses are all turned by the inverse of `turn`."""
    rng = np.random.default_rng(seed)
    truths = [
        chair(3000, rng) * rng.uniform(0.8, 1.1, size=[1, 3]) for _ in range(objects)
    ]
    clouds, poses, true_poses = [], [], []
    for truth in truths:
        true = Rotation.random(views, random_state=rng.integers(1 << 30))
        wobble = Rotation.from_rotvec(
            np.radians(noise_deg) * rng.normal(size=[views, 3]) / 3**0.5
        )
        own = wobble * true * turn
        picked = truth[rng.integers(len(truth), size=[views, 300])]
        clouds.append(turn.inv().apply(picked.reshape(-1, 3)).reshape(picked.shape))
        signs = rng.choice([-1.0, 1.0], size=[views, 1])
        poses.append(signs * wxyz(own) * rng.uniform(0.5, 2.0, size=[views, 1]))
        true_poses.append(wxyz(true))
    return clouds, poses, true_poses, truths


def angle_deg(first, second):
    return np.degrees((first.inv() * second).magnitude())


def test_a_fit_undoes_a_rigid_motion():
    rng = np.random.default_rng(1)
    points, turn, move = rng.normal(size=[9, 3]), Rotation.random(random_state=2), 3.0
    rotation, translation = align.rigid_fit(points, turn.apply(points) + move)
    np.testing.assert_allclose(rotation, turn.as_matrix(), atol=1e-12)
    np.testing.assert_allclose(translation, np.full(3, move), atol=1e-12)


def test_a_fit_of_flat_points_is_no_mirror():
    points = np.random.default_rng(1).normal(size=[9, 3]) * [1.0, 1.0, 0.0]
    for target in (points, points * [-1.0, 1.0, 1.0]):
        rotation, _ = align.rigid_fit(points, target)
        assert np.linalg.det(rotation) == pytest.approx(1.0)


def test_icp_corrects_a_guess_and_tells_how_far_it_is():
    rng = np.random.default_rng(4)
    truth = chair(4000, rng)
    turn = Rotation.from_rotvec([0.1, -0.15, 0.1])
    result = align.icp(turn.inv().apply(truth[:500]), truth)
    assert angle_deg(Rotation.from_matrix(result.rotation), turn) < 1.0
    assert result.inliers == 1.0
    assert result.rmse < 0.01


def test_icp_without_partners_has_no_distance():
    result = align.icp(np.full([5, 3], 9.0), np.zeros([5, 3]))
    assert np.isnan(result.rmse)
    assert result.inliers == 0.0


@pytest.mark.parametrize(
    "turn",
    [
        Rotation.random(random_state=7),
        Rotation.from_rotvec([0.0, np.pi, 0.0]),
        Rotation.from_rotvec([np.pi / 2**0.5, 0.0, np.pi / 2**0.5]),
        Rotation.identity(),
    ],
    ids=["any", "half turn", "tilted half turn", "none"],
)
def test_the_rotation_of_all_predictions_is_recovered(turn):
    clouds, poses, true_poses, truths = predictions(turn)
    found = align.pose_alignment(clouds, poses, true_poses, truths)
    # The clouds were turned back by it: within 2 degrees, A15 of the page.
    got = Rotation.from_quat(np.roll(found.quaternion, -1))
    assert angle_deg(got, turn) < 2.0
    assert found.quaternion[0] >= 0.0
    assert np.linalg.norm(found.quaternion) == pytest.approx(1.0)
    assert found.views == 2 * len(clouds) and found.dropped == 0
    assert found.spread_deg < 5.0
    for cloud, truth in zip(clouds, truths, strict=True):
        best = sum(precision_coverage(truth, turn.apply(cloud[0])))
        back = align.turn_points(cloud[0], found.quaternion)
        assert sum(precision_coverage(truth, back)) < best + 0.0015
    errors = [
        align.pose_errors_deg(align.align_poses(own, found.quaternion), true)
        for own, true in zip(poses, true_poses, strict=True)
    ]
    assert np.median(errors) < 12.0  # the noise of the poses
    raw = np.concatenate(
        [
            align.pose_errors_deg(own, true)
            for own, true in zip(poses, true_poses, strict=True)
        ]
    )
    assert (np.median(raw) > 30.0) == (turn.magnitude() > 0.5)


def test_without_noise_the_distance_comes_back_within_a_hundredth():
    turn = Rotation.random(random_state=11)
    clouds, poses, true_poses, truths = predictions(turn, noise_deg=0.0)
    found = align.pose_alignment(clouds, poses, true_poses, truths)
    for cloud, truth in zip(clouds, truths, strict=True):
        want = sum(precision_coverage(truth, turn.apply(cloud[0])))
        back = align.turn_points(cloud[0], found.quaternion)
        got = sum(precision_coverage(truth, back))
        assert got == pytest.approx(want, rel=0.01)


def test_poses_that_are_none_and_wrong_ones_do_not_move_the_result():
    turn = Rotation.random(random_state=3)
    clouds, poses, true_poses, truths = predictions(turn, views=4)
    poses[0][:] = np.nan  # an object without any pose
    poses[1][0] = 0.0
    poses[2][1] = wxyz(Rotation.random(random_state=1))
    clouds[3][2] += 5.0  # too far from the truth for any pair
    found = align.pose_alignment(clouds, poses, true_poses, truths)
    got = Rotation.from_quat(np.roll(found.quaternion, -1))
    assert angle_deg(got, turn) < 2.0
    assert found.objects == [1, 2, 3]
    assert found.dropped == 6


def test_no_pose_at_all_is_told():
    clouds, poses, true_poses, truths = predictions(Rotation.identity(), 1, 2)
    with pytest.raises(ValueError, match="got none of 2"):
        align.pose_alignment(clouds, [np.full([2, 4], np.nan)], true_poses, truths)


def test_turned_points_and_poses_are_seen_as_before():
    rng = np.random.default_rng(5)
    points, turn = rng.normal(size=[6, 3]), rng.normal(size=4)
    poses = rng.normal(size=[3, 4])
    turned = align.turn_points(points, turn)
    for before, after in zip(poses, align.align_poses(poses, turn), strict=True):
        np.testing.assert_allclose(
            align.turn_points(points, before),
            align.turn_points(turned, after),
            atol=1e-12,
        )


def test_quaternions_mean_what_they_do_elsewhere_in_the_library():
    rng = np.random.default_rng(6)
    points, turn = rng.normal(size=[1, 6, 3]), rng.normal(size=[1, 4])
    want = quaternions.rotate_points(tf.constant(points), tf.constant(turn))
    np.testing.assert_allclose(align.turn_points(points[0], turn[0]), want[0])
    other = rng.normal(size=[1, 4])
    angle = quaternions.rotation_angle(tf.constant(turn), tf.constant(other))
    got = align.pose_errors_deg(turn, other)
    np.testing.assert_allclose(got, np.degrees(angle), rtol=1e-6)


def test_a_pose_and_its_negative_are_one_and_a_broken_one_is_wrong():
    true = np.array([[0.3, 0.4, -0.1, 0.9]] * 4)
    poses = np.array([true[0], -2 * true[0], np.full(4, np.nan), np.zeros(4)])
    np.testing.assert_allclose(
        align.pose_errors_deg(poses, true), [0, 0, 180, 180], atol=1e-5
    )


@pytest.mark.parametrize("broken", [np.zeros(4), [np.nan, 0, 0, 1], [1, 0, 0]])
def test_a_quaternion_that_is_none_is_refused(broken):
    with pytest.raises(ValueError, match="`quaternion` must be"):
        align.turn_points(np.zeros([2, 3]), broken)
