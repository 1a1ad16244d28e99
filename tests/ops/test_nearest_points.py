import numpy as np
import pytest
import tensorflow as tf

from tfrender.ops.nearest_points import nearest_points


def clouds(batch=2, count=17, targets=23, dtype=np.float64):
    rng = np.random.default_rng(0)
    return (
        rng.normal(size=(batch, count, 3)).astype(dtype),
        rng.normal(size=(batch, targets, 3)).astype(dtype),
    )


@pytest.mark.parametrize("max_pairs", [1, 100, 1 << 20])
@pytest.mark.parametrize("sizes", [(17, 23), (1, 5), (8, 1)])
def test_neighbours_equal_all_pairs_for_every_chunk(max_pairs, sizes):
    points, targets = clouds(3, *sizes)
    got = nearest_points(points, targets, max_pairs=max_pairs)
    offset = points[:, :, None] - targets[:, None]
    square = (offset**2).sum(-1)
    np.testing.assert_array_equal(got.index, square.argmin(-1))
    np.testing.assert_allclose(got.square, square.min(-1), rtol=1e-12)
    want = np.take_along_axis(offset, square.argmin(-1)[..., None, None], 2)[:, :, 0]
    np.testing.assert_allclose(got.offset, want, rtol=1e-12)


def test_near_neighbours_far_from_the_origin_are_told_apart():
    # The expanded form |a|^2 + |b|^2 - 2 ab has no digit left here in float32.
    grid = np.stack(np.meshgrid(*[np.arange(4.0)] * 3), -1).reshape(1, -1, 3)
    targets = (1000.0 + grid / 8).astype(np.float32)
    points = targets + np.float32(1 / 64)
    got = nearest_points(points, targets)
    np.testing.assert_array_equal(got.index[0], np.arange(64))
    np.testing.assert_allclose(got.square, 3 / 64**2, rtol=1e-6)


def test_the_smaller_index_wins_a_tie():
    got = nearest_points(np.zeros((1, 1, 3)), [[[1.0, 0, 0], [0, 1, 0], [-1, 0, 0]]])
    assert int(got.index[0, 0]) == 0


def test_gradients_equal_finite_differences():
    exact, numeric = tf.test.compute_gradient(
        lambda a, b: nearest_points(a, b).square, clouds(1, 4, 5), 1e-6
    )
    for a, b in zip(exact, numeric, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-7)
    points = tf.zeros([1, 2, 3])
    with tf.GradientTape() as tape:
        tape.watch(points)
        square = nearest_points(points, tf.zeros([1, 3, 3])).square
    np.testing.assert_array_equal(tape.gradient(square, points), np.zeros((1, 2, 3)))


@pytest.mark.parametrize("jit", [False, True])
def test_graph_forms_equal_eager_for_any_size(jit):
    spec = tf.TensorSpec([None, None, 3], tf.float32)
    graph = tf.function(
        lambda a, b: nearest_points(a, b, max_pairs=50),
        input_signature=[spec, spec],
        jit_compile=jit,
    )
    for sizes in ((1, 7, 5), (2, 9, 30)):
        points, targets = clouds(*sizes, np.float32)
        got, want = graph(points, targets), nearest_points(points, targets)
        np.testing.assert_array_equal(got.index, want.index)
        np.testing.assert_allclose(got.square, want.square, rtol=1e-5)


def test_no_points_and_faults():
    none = nearest_points(np.zeros((2, 0, 3)), np.zeros((2, 4, 3)))
    assert none.square.shape == (2, 0)
    for message, call in (
        ("targets", lambda: nearest_points(np.zeros((1, 2, 3)), np.zeros((1, 0, 3)))),
        ("points", lambda: nearest_points(np.zeros((1, 2, 2)), np.zeros((1, 2, 3)))),
        (
            "max_pairs",
            lambda: nearest_points(*clouds(), max_pairs=0),
        ),
    ):
        with pytest.raises(ValueError, match=f"`{message}` must"):
            call()
