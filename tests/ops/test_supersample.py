"""Averages of samples, against loops over blocks."""

import numpy as np
import pytest
import tensorflow as tf

from tfrender.ops.supersample import (
    average_covered,
    average_samples,
    nearest_sample,
)

K, HEIGHT, WIDTH = 3, 2, 4


def samples(channels, seed=0):
    shape = [2, K * HEIGHT, K * WIDTH, channels]
    return tf.random.stateless_normal(shape, [0, seed], dtype=tf.float64)


def mask():
    covered = samples(1, 5)[..., 0] > 0.9
    return tf.concat([covered[:, :, :-K], tf.zeros_like(covered)[:, :, -K:]], 2)


def blocks(values):
    """For each pixel (b, i, j) its samples [K K, ...]."""
    for b, i, j in np.ndindex(2, HEIGHT, WIDTH):
        block = np.asarray(values)[b, K * i : K * i + K, K * j : K * j + K]
        yield (b, i, j), block.reshape(K * K, *block.shape[2:])


def test_the_mean_is_that_of_the_block():
    got = average_samples(samples(3), K)
    assert got.shape == (2, HEIGHT, WIDTH, 3)
    for place, block in blocks(samples(3)):
        np.testing.assert_allclose(got[place], block.mean(0))
    assert average_samples(got, 1) is got


def test_the_covered_mean_leaves_empty_samples_out():
    values = tf.where(mask()[..., None], samples(2), 1e30)
    got, seen = average_covered(values, mask(), K), []
    for (place, block), (_, covered) in zip(
        blocks(values), blocks(mask()), strict=True
    ):
        seen.append(covered.sum())
        want = block[covered].mean(0) if covered.any() else np.zeros(2)
        np.testing.assert_allclose(got[place], want)
    assert min(seen) == 0 and 1 in seen and max(seen) > 2
    single = average_covered(values, mask(), 1)
    np.testing.assert_array_equal(single, tf.where(mask()[..., None], values, 0.0))


def test_the_nearest_covered_sample_is_taken():
    depth, color, number = samples(1, 1)[..., 0], samples(3), samples(1) * 1000
    number = tf.cast(number, tf.int32)
    got, index = nearest_sample(depth, mask(), K, color, number)
    assert index.dtype == tf.int32
    for (place, z), (_, covered), (_, c), (_, n) in zip(
        *map(blocks, (depth, mask(), color, number)), strict=True
    ):
        best = np.where(covered, z, np.inf).argmin()
        np.testing.assert_array_equal(got[place], c[best])
        assert index[place] == n[best]
    assert nearest_sample(depth, mask(), 1, color)[0] is color


@pytest.mark.parametrize("name", ["mean", "covered", "nearest"])
def test_gradients_are_exact(name):
    function = {
        "mean": lambda x: average_samples(x, K),
        "covered": lambda x: average_covered(x, mask(), K),
        "nearest": lambda x: nearest_sample(samples(1)[..., 0], mask(), K, x)[0],
    }[name]
    exact, numeric = tf.test.compute_gradient(function, [samples(1)])
    np.testing.assert_allclose(exact[0], numeric[0], atol=1e-8)
    assert np.abs(exact[0]).max() > 0.1


def test_a_size_that_does_not_divide_is_named():
    with pytest.raises(ValueError, match="samples"):
        average_samples(tf.zeros([1, 6, 7, 3]), 3)
    with pytest.raises(ValueError, match="samples"):
        average_samples(tf.zeros([6, 6, 3]), 3)
