import numpy as np
import pytest
import tensorflow as tf

from tfrender.ops.sample_texture import border_centered_uv, sample_texture
from tfrender.ops.texture_cubes import (
    cubes_from_uv,
    cubes_from_vertex_colors,
    cubes_to_atlas,
    sample_texture_cubes,
)

RNG = None  # a generator, fresh for each test


@pytest.fixture(autouse=True)
def fresh_generator():
    global RNG
    RNG = np.random.default_rng(1)


def pixels(batch=2, faces=4, dtype=np.float64):
    """Face index [B, 3, 5] with empty pixels, barycentrics inside the faces."""
    index = RNG.integers(-1, faces, (batch, 3, 5)).astype(np.int32)
    index[:, 0, 0] = -1
    weights = RNG.dirichlet([1, 1, 1], (batch, 3, 5)).astype(dtype)
    return index, np.where(index[..., None] >= 0, weights, 0)


def read(cube, barycentric, eps):
    """Float64 definition: one trilinear reading of [T, T, T, C]."""
    side = len(cube)
    t = np.clip(np.asarray(barycentric) * (side - 1), 0, max(side - 1 - eps, 0))
    total = np.zeros(cube.shape[-1])
    for corner in np.ndindex(2, 2, 2):
        place = np.floor(t).astype(int) + corner
        weight = np.prod(np.where(corner, t - np.floor(t), 1 - (t - np.floor(t))))
        total += weight * cube[tuple(np.minimum(place, side - 1))]
    return total


@pytest.mark.parametrize("side", [1, 2, 3, 5])
@pytest.mark.parametrize("shared", [False, True])
def test_every_reading_equals_the_loop(side, shared):
    index, barycentric = pixels()
    cubes = RNG.uniform(size=(2, 4, side, side, side, 2))
    given = cubes[0] if shared else cubes
    got = sample_texture_cubes(given, index, barycentric).numpy()
    for b, i, j in np.ndindex(*index.shape):
        want, f = np.zeros(2), index[b, i, j]
        if f >= 0:
            want = read(cubes[0 if shared else b, f], barycentric[b, i, j], 1e-3)
        np.testing.assert_allclose(got[b, i, j], want, atol=1e-12)


def test_corners_of_a_face_lie_at_the_ends_of_the_axes():
    side = 4
    cubes = RNG.uniform(size=(1, side, side, side, 3))
    corner = np.eye(3)[None, None]  # three pixels, one on each corner
    got = sample_texture_cubes(cubes, np.zeros((1, 1, 3), int), corner, eps=0.0)
    last = side - 1
    want = [cubes[0, last, 0, 0], cubes[0, 0, last, 0], cubes[0, 0, 0, last]]
    np.testing.assert_allclose(got[0, 0], want, atol=1e-12)


@pytest.mark.parametrize("size", [2, 3])
def test_vertex_colours_are_interpolated_linearly(size):
    faces = np.array([[0, 1, 2], [3, 2, 1], [-1, -1, -1], [4, 0, 3]])
    colors = RNG.uniform(size=(2, 5, 3))
    index, barycentric = pixels()
    index[index == 2] = -1
    barycentric[index < 0] = 0
    cubes = cubes_from_vertex_colors(colors, faces, size=size)
    assert cubes.shape == (2, 4, size, size, size, 3)
    assert not cubes[:, 2].numpy().any()
    got = sample_texture_cubes(cubes, index, barycentric, eps=0.0)
    corners = np.stack([colors[b][faces[index[b]]] for b in range(2)])
    want = (corners * barycentric[..., None]).sum(-2)
    np.testing.assert_allclose(got, want, atol=1e-12)
    alone = cubes_from_vertex_colors(colors[0], faces, size=size)
    np.testing.assert_allclose(alone, cubes[0], atol=1e-12)


def test_gradients_equal_finite_differences():
    index, barycentric = pixels(2, 2)
    cubes = RNG.uniform(size=(2, 2, 3, 3, 3, 1))

    def loss(c, w):
        return sample_texture_cubes(c, index, w, weights_gradient=True) ** 2

    exact, numeric = tf.test.compute_gradient(loss, [cubes, barycentric], 1e-7)
    inside = np.broadcast_to((index >= 0)[..., None], barycentric.shape).reshape(-1)
    np.testing.assert_allclose(exact[0], numeric[0], atol=1e-6)
    np.testing.assert_allclose(
        exact[1][:, inside], numeric[1][:, inside], atol=1e-5, rtol=1e-5
    )
    assert not exact[1][:, ~inside].any()
    # By the original's rule the weights are constants.
    weights = tf.constant(barycentric)
    with tf.GradientTape() as tape:
        tape.watch(weights)
        value = sample_texture_cubes(cubes, index, weights)
    assert tape.gradient(value, weights) is None


def test_a_cut_out_image_is_the_image_again():
    # A picture linear in x and y is met exactly by trilinear reading.
    row, column = np.mgrid[0:5.0, 0:9.0]
    texture = np.stack([column / 8, row / 4], -1)[None]
    uv = RNG.uniform(size=(1, 4, 3, 2))
    index, barycentric = pixels(1)
    cubes = cubes_from_uv(texture, uv, 4)
    # Only the reading of the plane i + j + k = T - 1 is the face; the texels around it
    # normalise their weights, so compare the texels themselves.
    for i, j, k in np.ndindex(4, 4, 4):
        weight = np.array([i, j, k]) / max(i + j + k, 1)
        u, v = (weight[:, None] * uv[0]).sum(1).T
        if i + j + k:
            want = np.stack([u, 1 - v], -1)
            np.testing.assert_allclose(cubes[0, :, i, j, k], want, atol=1e-12)
    middle = (cubes[0, :, 3, 0, 0] + cubes[0, :, 0, 3, 0] + cubes[0, :, 0, 0, 3]) / 3
    np.testing.assert_allclose(cubes[0, :, 0, 0, 0], middle, atol=1e-12)
    got = sample_texture_cubes(cubes, index, barycentric).numpy()
    assert np.isfinite(got).all() and (got >= 0).all() and (got <= 1 + 1e-9).all()


def test_uv_beyond_one_wraps_corner_by_corner_and_one_stays():
    texture = RNG.uniform(size=(1, 6, 5, 3))
    uv = RNG.uniform(0.1, 0.9, (1, 3, 3, 2))
    shift = RNG.integers(-2, 3, uv.shape)
    np.testing.assert_allclose(
        cubes_from_uv(texture, uv + shift, 3), cubes_from_uv(texture, uv, 3), atol=1e-9
    )
    ones = cubes_from_uv(texture, np.ones((1, 1, 3, 2)), 2)
    np.testing.assert_allclose(ones[0, 0, 1, 1, 1], texture[0, 0, -1], atol=1e-12)


def test_gradients_of_cut_out_cubes_equal_finite_differences():
    texture, uv = RNG.uniform(size=(1, 3, 4, 1)), RNG.uniform(size=(1, 2, 3, 2))

    def cut(t, c):
        return cubes_from_uv(t, c, 2)

    exact, numeric = tf.test.compute_gradient(cut, [texture, uv], 1e-6)
    for a, b in zip(exact, numeric, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-7)


@pytest.mark.parametrize("count", [1, 2, 4, 7])
def test_the_atlas_shows_each_face_like_its_cube(count):
    low = RNG.uniform(size=(count, 3, 1, 3))
    side = 4
    i = np.arange(side) / (side - 1)
    cubes = (
        i[:, None, None, None] * low[:, 0, None, None, :]
        + i[:, None, None] * low[:, 1, None, None, :]
        + i[:, None] * low[:, 2, None, None, :]
    ).astype(np.float32)  # linear, in place of noise that 16 pixels cannot show
    image, corner_uv = cubes_to_atlas(cubes)
    face = np.repeat(np.arange(count), 20)[None, None]
    weights = RNG.dirichlet([1, 1, 1], (1, 1, 20 * count)).astype(np.float32)
    corners = corner_uv.numpy()[face]
    uv = (corners * weights[..., None]).sum(-2)
    uv = border_centered_uv(uv, image.shape[:2])
    got = sample_texture(image[None], uv, wrap="clamp")
    want = sample_texture_cubes(cubes, face, weights)
    # The copied pixel right of the diagonal costs up to 1 / 15 of the contrast there.
    assert np.abs(got - want).mean() < 0.01
    assert np.abs(got - want).max() < 0.1


def test_empty_pixels_and_faces_of_no_image_send_no_gradient():
    cubes = tf.constant(RNG.uniform(size=(3, 2, 2, 2, 1)), tf.float32)
    index = tf.constant([[[-1, 1, -1]]])
    weights = tf.constant([[[[np.nan] * 3, [0.2, 0.3, 0.5], [0.0] * 3]]], tf.float32)
    weights = tf.where(index[..., None] < 0, 0.0, weights)
    with tf.GradientTape() as tape:
        tape.watch(cubes)
        value = sample_texture_cubes(cubes, index, weights)
    gradient = tape.gradient(value, cubes).numpy()
    assert not value[0, 0, ::2].numpy().any()
    assert not gradient[[0, 2]].any()
    np.testing.assert_allclose(gradient[1].sum(), 1.0, atol=1e-6)


@pytest.mark.parametrize("jit", [False, True])
def test_graph_forms_equal_eager_for_any_batch(jit):
    index, barycentric = pixels(3, dtype=np.float32)
    cubes = RNG.uniform(size=(3, 4, 3, 3, 3, 2)).astype(np.float32)
    specs = [
        tf.TensorSpec([None, *value.shape[1:]], value.dtype)
        for value in (cubes, index, barycentric)
    ]
    graph = tf.function(sample_texture_cubes, input_signature=specs, jit_compile=jit)
    for count in (1, 3):
        inputs = [value[:count] for value in (cubes, index, barycentric)]
        want = sample_texture_cubes(*inputs)
        np.testing.assert_allclose(graph(*inputs), want, atol=1e-6)


def test_faults_are_named():
    index, barycentric = pixels()
    cubes = np.zeros((4, 2, 2, 2, 3), np.float32)
    for message, call in (
        ("cubes", lambda: sample_texture_cubes(cubes[0], index, barycentric)),
        ("cubes", lambda: sample_texture_cubes(cubes[:, :1], index, barycentric)),
        ("barycentric", lambda: sample_texture_cubes(cubes, index, index)),
        ("eps", lambda: sample_texture_cubes(cubes, index, barycentric, eps=2.0)),
        ("size", lambda: cubes_from_vertex_colors(cubes[0, 0], [[0, 1, 0]], size=1)),
        ("corner_uv", lambda: cubes_from_uv(cubes[:1, 0], barycentric, 2)),
        ("cubes", lambda: cubes_to_atlas(cubes[:0])),
    ):
        with pytest.raises(ValueError, match=f"`{message}` must"):
            call()
