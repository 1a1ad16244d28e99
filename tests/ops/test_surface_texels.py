import numpy as np
import pytest
import tensorflow as tf

from tfrender.ops.surface_texels import (
    sample_texels,
    texel_centers,
    texel_index,
    texels_from_atlas,
)

RNG = None  # a generator, fresh for each test


@pytest.fixture(autouse=True)
def fresh_generator():
    global RNG
    RNG = np.random.default_rng(2)


def number(weights, resolution):
    """Definition of the texel of one point, in whole numbers where it can be."""
    i, j = (min(int(w * resolution), resolution - 1) for w in weights[:2])
    rest = (weights[0] + weights[1]) * resolution - i - j
    if rest > 1 + 1e-6:
        i, j = resolution - 1 - i, resolution - 1 - j
    return j * resolution + i


@pytest.mark.parametrize("resolution", [1, 2, 3, 5, 8])
def test_every_index_equals_the_loop(resolution):
    weights = RNG.dirichlet([1, 1, 1], 400)
    got = texel_index(weights, resolution).numpy()
    want = [number(w, resolution) for w in weights]
    np.testing.assert_array_equal(got, want)
    assert set(want) == set(range(resolution**2))  # every texel is in use


def test_corners_and_the_far_edge_stay_inside_their_face():
    for resolution in (1, 3, 4):
        last = resolution - 1
        got = texel_index(np.eye(3, dtype=np.float32), resolution)
        np.testing.assert_array_equal(got, [last, last * resolution, 0])
        # On the edge w_2 = 0 the two nearer weights may round to either side of 1.
        first = np.linspace(0, 1, 41, dtype=np.float32)
        edge = np.stack([first, 1 - first, 0 * first], -1)
        edge = np.concatenate([edge, np.nextafter(edge, 2), np.nextafter(edge, 0)])
        got = texel_index(np.clip(edge, 0, 1), resolution).numpy()
        assert (got >= 0).all() and (got < resolution**2).all()


@pytest.mark.parametrize("resolution", [1, 2, 5])
def test_the_centre_of_a_texel_belongs_to_it_and_texels_are_equally_large(resolution):
    centers = texel_centers(resolution)
    np.testing.assert_allclose(tf.reduce_sum(centers, -1), 1.0)
    np.testing.assert_array_equal(
        texel_index(centers, resolution), np.arange(resolution**2)
    )
    weights = RNG.dirichlet([1, 1, 1], 20000)
    share = np.bincount(texel_index(weights, resolution), minlength=resolution**2)
    np.testing.assert_allclose(share / 20000, 1 / resolution**2, rtol=0.15)


def test_pixels_read_their_face_and_send_it_all_the_gradient():
    texels = tf.constant(RNG.uniform(size=(2, 3, 9, 4)))
    index = RNG.integers(-1, 3, (2, 4, 5))
    weights = RNG.dirichlet([1, 1, 1], index.shape)
    upstream = RNG.normal(size=(*index.shape, 4))
    with tf.GradientTape() as tape:
        tape.watch(texels)
        got = sample_texels(texels, index, weights)
        loss = tf.reduce_sum(got * upstream)
    gradient = tape.gradient(loss, texels).numpy()
    want = np.zeros_like(gradient)
    for b, i, j in np.ndindex(*index.shape):
        value, f = np.zeros(4), index[b, i, j]
        if f >= 0:
            place = number(weights[b, i, j], 3)
            value = texels[b, f, place]
            want[b, f, place] += upstream[b, i, j]
        np.testing.assert_array_equal(got[b, i, j], value)
    np.testing.assert_allclose(gradient, want, atol=1e-12)
    shared = sample_texels(texels[0], index, weights)
    np.testing.assert_array_equal(shared[0], got[0])


def test_an_image_linear_in_uv_gives_texels_at_their_centres():
    row, column = np.mgrid[0:4.0, 0:6.0]
    texture = np.stack([column / 5, 1 - row / 3], -1)[None]  # the colour is the uv
    uv = RNG.uniform(size=(2, 3, 3, 2))
    got = texels_from_atlas(texture, uv, 3)
    centers = texel_centers(3).numpy()
    want = np.einsum("rk,bfkc->bfrc", centers, uv)
    np.testing.assert_allclose(got, want, atol=1e-12)
    np.testing.assert_allclose(texels_from_atlas(texture, uv + 2.0, 3), want, atol=1e-9)


def test_the_gradient_of_the_image_equals_finite_differences():
    texture, uv = RNG.uniform(size=(1, 3, 4, 2)), RNG.uniform(size=(1, 2, 3, 2))

    def cut(t, c):
        return texels_from_atlas(t, c, 2)

    exact, numeric = tf.test.compute_gradient(cut, [texture, uv], 1e-6)
    for a, b in zip(exact, numeric, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-7)


@pytest.mark.parametrize("jit", [False, True])
def test_graph_forms_equal_eager_for_any_batch(jit):
    texels = RNG.uniform(size=(3, 2, 4, 3)).astype(np.float32)
    index = RNG.integers(-1, 2, (3, 3, 5)).astype(np.int32)
    weights = RNG.dirichlet([1, 1, 1], index.shape).astype(np.float32)
    inputs = (texels, index, weights)
    specs = [tf.TensorSpec([None, *v.shape[1:]], v.dtype) for v in inputs]
    graph = tf.function(sample_texels, input_signature=specs, jit_compile=jit)
    for count in (1, 3):
        part = [value[:count] for value in inputs]
        np.testing.assert_array_equal(graph(*part), sample_texels(*part))


def test_broken_weights_stay_inside_the_table():
    weights = tf.constant([[np.nan] * 3, [np.inf, -np.inf, 0], [1e30, -1e30, 1.0]])
    got = texel_index(weights, 4).numpy()
    assert (got >= 0).all() and (got < 16).all()


def test_faults_are_named():
    index, weights = np.zeros((1, 2, 2), int), np.zeros((1, 2, 2, 3))
    for message, call in (
        ("resolution", lambda: texel_index(weights, 0)),
        ("weights", lambda: texel_index(weights[..., :2], 2)),
        ("texels", lambda: sample_texels(np.zeros((2, 5, 3)), index, weights)),
        ("texels", lambda: sample_texels(np.zeros((4, 3)), index, weights)),
        ("corner_uv", lambda: texels_from_atlas(np.zeros((1, 2, 2, 3)), weights, 2)),
    ):
        with pytest.raises(ValueError, match=f"`{message}` must"):
            call()
