import numpy as np
import pytest
import tensorflow as tf

from tfrender import cameras, losses, ops, quaternions

RNG = np.random.default_rng(0)
POSES = RNG.normal(size=(3, 4, 4))
ERRORS = RNG.uniform(size=(3, 4))
GRID = 12


def l_shape():
    """Points of an object that looks different from every side."""
    arm = np.linspace(0.0, 0.35, 12)
    zero = 0.0 * arm
    arms = [(arm, zero, zero), (zero, 0.6 * arm, zero), (zero, zero, 0.3 * arm)]
    return np.concatenate([np.stack(a, -1) for a in arms])[np.newaxis].astype("f")


def test_the_true_pose_wins_and_losers_learn_nothing():
    points = tf.constant(l_shape())
    settings = ops.OccupancySettings(grid=GRID, taps=5)
    right = [2, 0, 3]
    truth = POSES[np.arange(3), right]
    # The true one, of another sign and length.
    poses = tf.constant(
        POSES * np.array([-1.0, 3.0, 0.5, -2.0])[:, np.newaxis], "float32"
    )

    def render(poses):
        camera = cameras.from_quaternion(poses)
        return ops.project_occupancy(points, camera, 0.8, settings).alpha

    target = render(tf.constant(truth, tf.float32))
    with tf.GradientTape() as tape:
        tape.watch(poses)
        alpha = tf.reshape(render(tf.reshape(poses, [-1, 4])), [3, 4, GRID, GRID])
        apart = alpha - target[:, np.newaxis, ..., 0] + 1e-3
        errors = tf.reduce_sum(apart**2, axis=(2, 3))
        winners = losses.best_candidates(errors, poses)
    np.testing.assert_array_equal(winners.index, right)
    angle = quaternions.rotation_angle(winners.pose, tf.constant(truth, tf.float32))
    np.testing.assert_allclose(angle, 0.0, atol=1e-3)
    slope = np.abs(tape.gradient(winners.error, poses)).max(-1)
    assert (slope[np.arange(3), right] > 0.0).all()
    slope[np.arange(3), right] = 0.0
    assert not slope.any()


def test_the_choice_is_a_constant():
    errors, poses = tf.constant(ERRORS), tf.constant(POSES)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([errors, poses])
        winners = losses.best_candidates(errors, poses)
        learned = losses.student_loss(winners.pose, POSES[:, 0])
    np.testing.assert_array_equal(winners.error, ERRORS.min(1))
    want = np.eye(4)[ERRORS.argmin(1)]
    np.testing.assert_array_equal(tape.gradient(winners.error, errors), want)
    assert tape.gradient(winners.pose, poses) is None
    assert tape.gradient(learned, poses) is None
    tie = losses.best_candidates(np.ones((1, 3)), POSES[:1, :3])
    assert tie.index[0] == 0


@pytest.mark.parametrize("compare", [losses.student_loss, losses.aligned_points_loss])
def test_a_student_of_the_same_rotation_has_nothing_to_learn(compare):
    teacher = tf.constant(POSES[:, 0], tf.float32)
    for factor in (1.0, -1.0, 7.0):
        student = factor * teacher
        with tf.GradientTape() as tape:
            tape.watch(student)
            value = compare(teacher, student)
        np.testing.assert_allclose(value, 0.0, atol=1e-5)
        np.testing.assert_allclose(tape.gradient(value, student), 0.0, atol=1e-4)
    assert (compare(teacher, tf.constant(POSES[:, 1], tf.float32)) > 0.01).numpy().all()


def test_losses_grow_with_the_angle():
    turns = np.linspace(0.0, np.pi, 7)
    student = np.stack([np.cos(turns / 2), np.sin(turns / 2), 0 * turns, 0 * turns], -1)
    teacher = np.tile([[1.0, 0.0, 0.0, 0.0]], (7, 1))
    found = losses.student_loss(teacher, student)
    np.testing.assert_allclose(found, np.sin(turns / 2) ** 2, atol=1e-12)
    # Of a normal cloud, half of 4 sin^2 (a / 2) (y^2 + z^2) has the mean 4 sin^2.
    found = losses.aligned_points_loss(
        tf.constant(teacher, tf.float32), tf.constant(student, tf.float32)
    )
    np.testing.assert_allclose(
        found, 4.0 * np.sin(turns / 2) ** 2, rtol=0.05, atol=1e-5
    )


def test_student_losses_have_the_gradient_of_finite_differences():
    exact, numeric = tf.test.compute_gradient(
        lambda student: losses.student_loss(POSES[:, 0], student), [POSES[:, 1]], 1e-6
    )
    np.testing.assert_allclose(exact[0], numeric[0], atol=1e-8)


def test_quaternions_of_no_length_stay_finite():
    nothing = tf.zeros([2, 4])
    for compare in (losses.student_loss, losses.aligned_points_loss):
        with tf.GradientTape() as tape:
            tape.watch(nothing)
            value = compare(nothing, nothing)
        assert np.isfinite(tape.gradient(value, nothing)).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: losses.best_candidates(ERRORS[0], POSES), "`errors` must have 2 axes"),
        (lambda: losses.best_candidates(ERRORS[:, 1:], POSES), "`poses` must end in"),
        (lambda: losses.student_loss(POSES, ERRORS[:, 1:]), "`quaternion` must end in"),
    ],
)
def test_faults_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
