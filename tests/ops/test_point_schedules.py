import numpy as np
import pytest
import tensorflow as tf

from tfrender import ops


def test_the_blur_narrows_on_a_line_and_stays():
    progress = np.array([-1.0, 0.0, 0.25, 1.0, 1.67])
    found = ops.blur_schedule(progress, 3.0, 0.2)
    np.testing.assert_allclose(found, [3.0, 3.0, 2.3, 0.2, 0.2], rtol=1e-6)
    released = ops.blur_schedule(progress, 3.0, 0.2, bounded=False)
    np.testing.assert_allclose(released, 3.0 - 2.8 * progress, rtol=1e-5)
    assert released[-1] < 0.0


@pytest.mark.parametrize("exponential", [False, True])
def test_the_share_grows_between_two_points(exponential):
    progress = np.linspace(0.0, 1.0, 11)
    found = ops.keep_schedule(
        progress, 0.07, first=0.2, last=0.8, exponential=exponential
    ).numpy()
    np.testing.assert_allclose(found[:3], 0.07, rtol=1e-6)
    np.testing.assert_allclose(found[8:], 1.0, rtol=1e-6)
    middle = np.sqrt(0.07) if exponential else (0.07 + 1.0) / 2
    np.testing.assert_allclose(found[5], middle, rtol=1e-5)
    assert (np.diff(found) >= 0.0).all()


def test_exactly_the_share_is_kept_of_every_view():
    for count, share, want in ((8000, 0.07, 560), (100, 0.555, 55), (7, 1.0, 7)):
        kept = ops.keep_weights((3, count), share, [0, 1]).numpy()
        np.testing.assert_array_equal(kept.sum(1), want)
        assert set(np.unique(kept)) <= {0.0, 1.0}


def test_choices_follow_the_seed_and_every_point_is_as_likely():
    one, same = (ops.keep_weights((2, 50), 0.4, [3, 5]) for _ in range(2))
    np.testing.assert_array_equal(one, same)
    assert np.any(one != ops.keep_weights((2, 50), 0.4, [3, 6]))
    assert np.any(one[0] != one[1])
    many = ops.keep_weights((4000, 10), 0.3, [0, 0]).numpy()
    np.testing.assert_allclose(many.mean(0), 0.3, atol=0.03)


def test_they_are_traced():
    @tf.function(input_signature=[tf.TensorSpec([]), tf.TensorSpec([2], tf.int32)])
    def graph(progress, shape):
        share = ops.keep_schedule(progress, 0.1)
        return ops.keep_weights(shape, share, tf.stack([0, 1]))

    for progress, want in ((0.0, 2), (0.5, 11), (1.0, 20)):
        assert tf.reduce_sum(graph(progress, [1, 20])) == want


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ops.keep_schedule(0.5, 0.0), "`start` must lie in"),
        (lambda: ops.keep_schedule(0.5, 1.5), "`start` must lie in"),
        (lambda: ops.keep_schedule(0.5, 0.1, first=0.5, last=0.5), "`last` must be"),
    ],
)
def test_faults_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
