"""Claims of tfrender.losses.style."""

import numpy as np
import pytest
import tensorflow as tf

from tfrender.losses.style import (
    covered_total_variation,
    edge_length_variance,
    masked_gram,
    style_loss,
)

RNG = np.random.default_rng(0)
FEATURES = RNG.normal(size=(2, 4, 3, 5))
MASK = RNG.uniform(size=(2, 8, 9, 1))


def gram_by_loops(features, mask):
    """The published formula: rows times the root of the mask, place by place."""
    count, height, width, channels = features.shape
    high, wide = mask.shape[1] // height, mask.shape[2] // width
    result = np.zeros((count, channels, channels))
    for b in range(count):
        total = 0.0
        for i, j in np.ndindex(height, width):
            block = mask[b, i * high : (i + 1) * high, j * wide : (j + 1) * wide]
            m = block.mean()
            row = features[b, i, j] * np.sqrt(m)
            result[b] += np.outer(row, row)
            total += m
        result[b] /= channels * total
    return result


def slope_of(function, value):
    """Exact and numeric gradient of a scalar function, float64."""
    return (g[0] for g in tf.test.compute_gradient(function, [tf.constant(value)]))


def test_the_gram_matrix_is_the_published_one():
    got = masked_gram(tf.constant(FEATURES), tf.constant(MASK))
    np.testing.assert_allclose(got, gram_by_loops(FEATURES, MASK), rtol=1e-12)
    np.testing.assert_allclose(got, tf.linalg.matrix_transpose(got), rtol=1e-12)


def test_no_mask_is_a_mask_of_ones():
    got = masked_gram(tf.constant(FEATURES))
    ones = np.ones_like(FEATURES[..., :1])
    np.testing.assert_allclose(got, gram_by_loops(FEATURES, ones), rtol=1e-12)


def test_what_lies_outside_the_mask_does_not_count_nor_does_its_place():
    mask = np.zeros((1, 4, 4, 1))
    mask[:, :, :2] = 1.0
    features = RNG.normal(size=(1, 4, 4, 3))
    other = features.copy()
    other[:, :, 2:] = 7.0
    got = masked_gram(tf.constant(other), tf.constant(mask))
    np.testing.assert_allclose(got, masked_gram(features, mask), rtol=1e-12)
    half = masked_gram(tf.constant(features[:, :, :2]))  # cut out: as large a mean
    np.testing.assert_allclose(got, half, rtol=1e-12)
    shuffled = features[:, :, [1, 0, 2, 3]]
    np.testing.assert_allclose(masked_gram(shuffled, mask), got, rtol=1e-12)


def test_a_mask_of_any_larger_size_is_averaged_by_area():
    features = tf.constant(RNG.normal(size=(1, 2, 3, 4)))
    mask = RNG.uniform(size=(1, 5, 7, 1))
    fine = mask.repeat(2, axis=1).repeat(3, axis=2)  # 10 x 21: whole blocks
    got = masked_gram(features, tf.constant(mask))
    np.testing.assert_allclose(got, gram_by_loops(features.numpy(), fine), rtol=1e-6)


def test_style_gradients_equal_finite_differences_also_at_an_empty_place():
    targets = {"a": masked_gram(tf.constant(RNG.normal(size=(1, 4, 3, 5))))}
    mask = MASK.copy()
    mask[0, :2, :3] = 0.0  # the whole of one cell

    def loss(features, mask):
        return tf.reduce_sum(style_loss({"a": features}, targets, mask))

    exact, numeric = slope_of(lambda f: loss(f, tf.constant(mask)), FEATURES)
    np.testing.assert_allclose(exact, numeric, atol=1e-6)
    exact, numeric = slope_of(lambda m: loss(tf.constant(FEATURES), m), mask)
    assert np.isfinite(exact).all() and np.abs(exact[0, :90].max()) > 0.0
    np.testing.assert_allclose(exact, numeric, atol=1e-6)


def test_the_style_loss_is_the_sum_of_squares_of_all_layers():
    layers = {"a": tf.constant(FEATURES), "b": tf.constant(FEATURES[:, :2, :, :4])}
    goals = {"b": RNG.normal(size=(1, 4, 4)), "a": RNG.normal(size=(1, 5, 5))}
    mask = np.ones((2, 4, 3, 1))
    got = style_loss(layers, goals, tf.constant(mask))
    want = 0.0
    for name, features in layers.items():
        ones = np.ones_like(features[..., :1])
        gram = gram_by_loops(features.numpy(), ones)
        want += ((gram - goals[name]) ** 2).sum((1, 2))
    np.testing.assert_allclose(got, want, rtol=1e-10)
    own = {name: masked_gram(features) for name, features in layers.items()}
    same = style_loss(layers, own)
    np.testing.assert_allclose(same, 0.0, atol=1e-20)


def test_an_empty_mask_is_finite():
    mask = tf.Variable(tf.zeros([2, 8, 9, 1], tf.float64))
    with tf.GradientTape() as tape:
        gram = masked_gram(tf.constant(FEATURES), mask)
        loss = tf.reduce_sum(gram**2)
    assert not gram.numpy().any()
    assert np.isfinite(tape.gradient(loss, mask)).all()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: masked_gram(tf.zeros([3, 4, 5])), "`features` must have 4 axes"),
        (
            lambda: masked_gram(tf.zeros([1, 4, 4, 2]), tf.zeros([1, 4, 4])),
            "`mask` must have 4 axes",
        ),
        (
            lambda: masked_gram(tf.zeros([1, 4, 4, 2]), tf.zeros([1, 2, 4, 1])),
            "`mask` must be at least as large",
        ),
        (lambda: style_loss({}, {}), "at least one"),
        (lambda: style_loss({"a": tf.zeros([1, 2, 2, 3])}, {}), r"missing \['a'\]"),
        (
            lambda: style_loss(
                {"a": tf.zeros([1, 2, 2, 3])}, {"a": tf.zeros([1, 4, 4])}
            ),
            r"`targets` must end in \[3, 3\]",
        ),
        (
            lambda: covered_total_variation(tf.zeros([1, 4, 4, 3]), tf.zeros([1, 4])),
            "`alpha` must have 4 axes",
        ),
        (
            lambda: covered_total_variation(
                tf.zeros([1, 4, 4, 3]), tf.zeros([1, 4, 5, 1])
            ),
            r"`alpha` must end in \[4, 4, 1\]",
        ),
        (
            lambda: edge_length_variance(tf.zeros([4, 3]), [[0, 1, 2]]),
            "`vertices` must have 3 axes",
        ),
    ],
)
def test_wrong_arguments_are_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_total_variation_counts_from_fully_covered_pixels_alone():
    image = RNG.normal(size=(2, 5, 6, 3))
    alpha = RNG.choice([0.0, 0.75, 1.0], p=[0.2, 0.2, 0.6], size=(2, 5, 6, 1))
    want = np.zeros(2)
    for b, i, j in np.ndindex(2, 5, 6):
        if alpha[b, i, j] == 1.0:
            for other in ((i + 1, j), (i, j + 1)):
                if other[0] < 5 and other[1] < 6:
                    want[b] += ((image[b, i, j] - image[(b, *other)]) ** 2).sum()
    got = covered_total_variation(tf.constant(image), tf.constant(alpha))
    np.testing.assert_allclose(got, want, rtol=1e-12)
    exact, numeric = slope_of(
        lambda x: tf.reduce_sum(covered_total_variation(x, tf.constant(alpha))), image
    )
    np.testing.assert_allclose(exact, numeric, atol=1e-6)


def test_the_variance_of_edges_is_that_of_all_edges_of_faces():
    vertices = RNG.normal(size=(2, 6, 3))
    faces = np.array([[0, 1, 2], [2, 1, 3], [3, 4, 5], [-1, -1, -1]])
    got = edge_length_variance(tf.constant(vertices), faces)
    for b in range(2):
        lengths = [
            np.linalg.norm(vertices[b, f[k]] - vertices[b, f[k - 1]])
            for f in faces[:3]
            for k in range(3)
        ]
        want = np.mean(np.square(lengths)) - np.mean(lengths) ** 2
        np.testing.assert_allclose(got[b], want, rtol=1e-10)
    exact, numeric = slope_of(
        lambda v: tf.reduce_sum(edge_length_variance(v, faces)), vertices
    )
    np.testing.assert_allclose(exact, numeric, atol=1e-6)


def test_even_edges_have_no_variance_and_points_no_infinite_slope():
    triangle = np.float64([[[0, 0, 0], [1, 0, 0], [0.5, np.sqrt(0.75), 0]]])
    near = edge_length_variance(tf.constant(triangle), [[0, 1, 2]])
    np.testing.assert_allclose(near, 0.0, atol=1e-15)
    point = tf.Variable(tf.zeros([1, 3, 3]))
    with tf.GradientTape() as tape:
        loss = edge_length_variance(tf.convert_to_tensor(point), [[0, 1, 2]])
    assert float(loss[0]) == 0.0
    assert np.isfinite(tape.gradient(loss, point)).all()
    assert float(edge_length_variance(point.value(), [[-1, -1, -1]])[0]) == 0.0
