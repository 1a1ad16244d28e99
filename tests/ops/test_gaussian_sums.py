import numpy as np
import pytest
import tensorflow as tf

from tfrender.ops.gaussian_sums import gaussian_sums

WIDTH = 0.7
RNG = np.random.default_rng(0)


def cloud(batch=2, count=17, dims=2):
    points = RNG.normal(size=(batch, count, dims))
    return points, RNG.uniform(size=(batch, count)), RNG.normal(size=(batch, count))


def dense(points, weights, upstream):
    """Sums and gradients from all pairs, in NumPy."""
    apart = points[:, :, None] - points[:, None]
    kernel = np.exp(-(apart**2).sum(-1) / WIDTH)
    pull = upstream[:, :, None] * weights[:, None]
    pull = (pull + pull.swapaxes(1, 2)) * kernel * -2.0 / WIDTH
    slope = (pull[..., None] * apart).sum(2)
    return (
        (kernel * weights[:, None]).sum(-1),
        slope,
        (kernel * upstream[:, None]).sum(-1),
    )


def ours(points, weights, upstream, **settings):
    points, weights = tf.constant(points), tf.constant(weights)
    with tf.GradientTape() as tape:
        tape.watch([points, weights])
        sums = gaussian_sums(points, weights, WIDTH, **settings)
    return sums, *tape.gradient(sums, [points, weights], tf.constant(upstream))


def check(found, want, atol=1e-12):
    for a, b in zip(found, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=atol, atol=atol)


@pytest.mark.parametrize("max_pairs", [1, 100, 34 * 17, 1 << 19])
@pytest.mark.parametrize("shape", [(2, 17, 2), (3, 8, 3), (1, 1, 1)])
def test_sums_and_gradients_are_those_of_all_pairs(max_pairs, shape):
    given = cloud(*shape)
    check(ours(*given, max_pairs=max_pairs), dense(*given))


@pytest.mark.parametrize("form", ["graph", "xla"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_both_forms_keep_the_precision_given(form, dtype):
    given = [value.astype(dtype) for value in cloud()]
    found = ours(*given, max_pairs=100, form=form)
    assert {value.dtype for value in found} == {tf.as_dtype(dtype)}
    check(found, dense(*given), 1e-5 if dtype == np.float32 else 1e-12)


@pytest.mark.parametrize("form", ["graph", "xla"])
def test_graphs_of_any_size_give_the_same(form):
    specs = [
        tf.TensorSpec([None, None, 2], tf.float64),
        tf.TensorSpec([None, None], tf.float64),
        tf.TensorSpec([None, None], tf.float64),
    ]

    @tf.function(input_signature=specs)
    def graph(points, weights, upstream):
        with tf.GradientTape() as tape:
            tape.watch([points, weights])
            sums = gaussian_sums(points, weights, WIDTH, max_pairs=60, form=form)
        return sums, *tape.gradient(sums, [points, weights], upstream)

    for shape in ((2, 17), (1, 5)):
        given = cloud(*shape)
        check(graph(*given), dense(*given))


def test_gradients_equal_finite_differences():
    points, weights, _ = cloud(1, 3)
    exact, numeric = tf.test.compute_gradient(
        lambda a, b: gaussian_sums(a, b, WIDTH, max_pairs=5), [points, weights], 1e-6
    )
    for a, b in zip(exact, numeric, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-7)


def test_a_point_counts_itself_and_equal_points_repel_with_no_force():
    points = np.zeros((1, 5, 2))
    sums, slope, _ = ours(points, np.ones((1, 5)), np.ones((1, 5)))
    np.testing.assert_array_equal(sums, 5.0)
    np.testing.assert_array_equal(slope, points)
    far = ours(1e20 * cloud(1, 5)[0], np.ones((1, 5)), np.ones((1, 5)))
    np.testing.assert_array_equal(far[0], 1.0)
    assert np.isfinite(far[1]).all()


@pytest.mark.parametrize("shape", [(0, 4, 2), (2, 0, 2)])
def test_no_points_have_no_sums(shape):
    found = gaussian_sums(np.zeros(shape), np.zeros(shape[:2]), WIDTH, max_pairs=3)
    assert found.shape == shape[:2]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p, w: gaussian_sums(p[0], w, 1.0), "`points` must have 3 axes"),
        (lambda p, w: gaussian_sums(p, w[:, 1:], 1.0), "`weights` must end in"),
        (lambda p, w: gaussian_sums(p, p, 1.0), "`weights` must have 2 axes"),
        (lambda p, w: gaussian_sums(p, w, 0.0), "`square_width` must lie in"),
        (lambda p, w: gaussian_sums(p, w, 1.0, max_pairs=0), "`max_pairs` must lie"),
        (lambda p, w: gaussian_sums(p, w, 1.0, form="c"), "`form` must be one of"),
    ],
)
def test_faults_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(*cloud()[:2])
