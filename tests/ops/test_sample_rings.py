import math

import numpy as np
import pytest
import tensorflow as tf

from tfrender import ops

HEIGHT, WIDTH, RINGS = 7, 10, 4
RNG = np.random.default_rng(0)
IMAGES = RNG.uniform(size=(2, HEIGHT, WIDTH, 1))
COORDS = RNG.uniform(-1.5, [WIDTH + 0.5, HEIGHT + 0.5], (2, 9, 2))


def clamp(value, size):
    return min(max(value, 0), size - 1)


def slow(images, coords, rings):
    """The definition, place by place."""
    found = np.zeros((*coords.shape[:2], rings))
    for b, n, k in np.ndindex(found.shape):
        ends = []
        for place, size in zip(coords[b, n], (WIDTH, HEIGHT), strict=True):
            first = clamp(math.floor(place - k), size)
            last = clamp(math.floor(place + k) + 1, size)
            weights = last - clamp(place + k, size), clamp(place - k, size) - first
            ends.append(list(zip((first, last), weights, strict=True)))
        for x, a in ends[0]:
            for y, c in ends[1]:
                found[b, n, k] += a * c * images[b, y, x, 0]
    return found


def test_rings_follow_the_definition_also_outside():
    found = ops.sample_rings(IMAGES, COORDS, RINGS)
    np.testing.assert_allclose(found, slow(IMAGES, COORDS, RINGS), atol=1e-12)
    whole = np.stack(np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT)), -1)
    whole = np.tile(whole.reshape(1, -1, 2), (2, 1, 1)).astype(np.float64)
    want = slow(IMAGES, whole, RINGS)
    np.testing.assert_allclose(ops.sample_rings(IMAGES, whole, RINGS), want, atol=1e-12)
    first = want[..., 0].reshape(2, HEIGHT, WIDTH)
    np.testing.assert_array_equal(first[:, :-1, :-1], IMAGES[:, :-1, :-1, 0])
    assert not first[:, -1].any() and not first[:, :, -1].any()  # as released


def test_the_first_ring_is_bilinear():
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    plane = (0.3 + 0.2 * x - 0.1 * y)[np.newaxis, ..., np.newaxis]
    coords = RNG.uniform(0.0, [WIDTH - 1, HEIGHT - 1], (1, 20, 2))
    want = 0.3 + coords @ [0.2, -0.1]
    np.testing.assert_allclose(ops.sample_rings(plane, coords)[..., 0], want)


def test_inside_a_constant_picture_all_rings_are_one():
    coords = RNG.uniform(2.0, [WIDTH - 3.01, HEIGHT - 3.01], (1, 20, 2))
    found = ops.sample_rings(np.ones((1, HEIGHT, WIDTH, 1)), coords, 3)
    np.testing.assert_allclose(found, 1.0)


def test_gradients_equal_finite_differences():
    inside = RNG.uniform(0.2, 3.8, (1, 2, 2))
    exact, numeric = tf.test.compute_gradient(
        lambda a, b: ops.sample_rings(a, b, 3), [IMAGES[:1, :5, :5], inside], 1e-6
    )
    for a, b in zip(exact, numeric, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-7)


def test_far_places_stay_finite():
    coords = tf.constant([[[1e30, -1e30], [3e9, 2.0], [-1e12, 1e12]]])
    with tf.GradientTape() as tape:
        tape.watch(coords)
        found = ops.sample_rings(IMAGES[:1].astype(np.float32), coords, RINGS)
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(tape.gradient(found, coords), np.zeros((1, 3, 2)))


@pytest.mark.parametrize("jit", [False, True])
def test_graphs_of_any_size_give_the_same(jit):
    specs = [
        tf.TensorSpec([None, None, None, 1], tf.float64),
        tf.TensorSpec([None, None, 2], tf.float64),
    ]
    graph = tf.function(
        lambda a, b: ops.sample_rings(a, b, RINGS),
        input_signature=specs,
        jit_compile=jit,
    )
    for count in (1, 2):
        found = graph(IMAGES[:count], COORDS[:count, : 3 * count])
        want = ops.sample_rings(IMAGES[:count], COORDS[:count, : 3 * count], RINGS)
        np.testing.assert_allclose(found, want, atol=1e-12)
    assert ops.sample_rings(IMAGES, COORDS[:, :0]).shape == (2, 0, 1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ops.sample_rings(IMAGES[0], COORDS), "`images` must have 4 axes"),
        (lambda: ops.sample_rings(IMAGES[..., 0, :], COORDS), "`images` must have"),
        (lambda: ops.sample_rings(IMAGES, IMAGES[..., 0]), "`coords` must end in"),
        (lambda: ops.sample_rings(IMAGES, COORDS, 0), "`rings` must lie in"),
    ],
)
def test_faults_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
