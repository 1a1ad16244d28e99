import numpy as np
import pytest
import tensorflow as tf

from tfrender.geometry.sample_surface import (
    points_on_faces,
    sample_surface,
    square_to_barycentric,
)

# A box of sides 1, 2, 3: six areas, outward faces.
BOX = np.array([[x, y, z] for x in (0, 1) for y in (0, 2) for z in (0, 3)], np.float64)
FACES = np.array(
    [
        [0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1],
        [2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3],
    ]
)  # fmt: skip


def areas():
    a, b, c = (BOX[FACES[:, i]] for i in range(3))
    return np.linalg.norm(np.cross(b - a, c - a), axis=-1) / 2


def test_faces_are_drawn_by_their_area():
    got = sample_surface(BOX[None], FACES, 20000, seed=1)
    share = np.bincount(got.face_index[0], minlength=12) / 20000
    np.testing.assert_allclose(share, areas() / areas().sum(), atol=0.01)


def test_points_lie_evenly_on_their_faces_with_outward_normals():
    got = sample_surface(BOX[None], FACES, 5000, seed=2)
    assert got.points.dtype == tf.float64
    corners = BOX[FACES[got.face_index[0]]]
    want = (corners * got.barycentric[0].numpy()[..., None]).sum(1)
    np.testing.assert_allclose(got.points[0], want, atol=1e-12)
    on = np.isclose(want, 0) | np.isclose(want, [1, 2, 3])
    assert on.any(1).all()
    outward = ((want - [0.5, 1, 1.5]) * got.normals[0].numpy()).sum(-1)
    np.testing.assert_allclose(np.sort(np.unique(np.round(outward, 9))), [0.5, 1, 1.5])
    # Evenly: each corner gets a third on average, and the centroid is the middle.
    weights = got.barycentric[0].numpy()
    np.testing.assert_allclose(weights.mean(0), 1 / 3, atol=0.02)
    assert (weights >= 0).all()
    np.testing.assert_allclose(got.points[0].numpy().mean(0), [0.5, 1, 1.5], atol=0.05)


def test_the_square_maps_to_the_triangle_without_changing_areas():
    u, v = np.meshgrid(*[(np.arange(40) + 0.5) / 40] * 2)
    weights = square_to_barycentric(u, v).numpy().reshape(-1, 3)
    np.testing.assert_allclose(weights.sum(-1), 1.0)
    # Second moments of the uniform triangle: E[b_i b_j] = (1 + [i = j]) / 12.
    np.testing.assert_allclose(
        weights.T @ weights / len(weights), (1 + np.eye(3)) / 12, atol=1e-3
    )


def test_padding_and_faces_without_area_are_never_drawn():
    none = [[-1, -1, -1], [0, 0, 1], [0, 7, -1]]
    faces = np.concatenate([none, FACES[:2], none, FACES[2:3], none])
    got = sample_surface(BOX[None], faces, 4000, seed=3)
    assert set(np.unique(got.face_index)) == {3, 4, 8}
    assert np.allclose(np.linalg.norm(got.normals, axis=-1), 1)


@pytest.mark.parametrize("scale", [1e-18, 1.0, 1e15])
def test_the_size_of_a_mesh_does_not_change_the_draw(scale):
    vertices = BOX[None].astype(np.float32)
    want = sample_surface(vertices, FACES, 200, seed=4)
    got = sample_surface(np.float32(scale) * vertices, FACES, 200, seed=4)
    np.testing.assert_array_equal(got.face_index, want.face_index)
    np.testing.assert_allclose(got.normals, want.normals, atol=1e-6)
    assert np.isfinite(got.points).all()


def test_a_mesh_without_any_area_gives_finite_points():
    for vertices, faces in (
        (np.zeros((2, 3, 3)), [[0, 1, 2]]),
        (np.ones((2, 3, 3)), [[-1, -1, -1], [-1, -1, -1]]),
    ):
        vertices = tf.constant(vertices, tf.float32)
        with tf.GradientTape() as tape:
            tape.watch(vertices)
            got = sample_surface(vertices, faces, 5, seed=0)
            total = tf.reduce_sum(got.points) + tf.reduce_sum(got.normals)
        assert np.isfinite(total)
        assert np.isfinite(tape.gradient(total, vertices)).all()


def test_gradients_equal_finite_differences():
    index, weights = (
        [[0, 3, 11, -1]],
        np.random.default_rng(0).dirichlet([1] * 3, (1, 4)),
    )

    def points(v, w):
        return tf.concat(points_on_faces(v, FACES, index, w), axis=-1)

    exact, numeric = tf.test.compute_gradient(points, [BOX[None], weights], 1e-6)
    for a, b in zip(exact, numeric, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-7)
    vertices = tf.constant(BOX[None])
    with tf.GradientTape() as tape:
        tape.watch(vertices)
        total = tf.reduce_sum(sample_surface(vertices, FACES, 30, seed=5).points)
    # Each point is a mean of its corners, so each axis passes on a gradient of 30.
    np.testing.assert_allclose(
        tf.reduce_sum(tape.gradient(total, vertices), axis=1), [[30.0] * 3]
    )


def test_one_seed_gives_one_draw_in_every_form():
    vertices = np.stack([BOX, 2 * BOX[::-1], BOX + 1]).astype(np.float32)
    faces = np.stack([FACES, FACES[::-1], np.roll(FACES, 1, 0)])
    want = sample_surface(vertices, faces, 50, seed=(7, 8))
    specs = [
        tf.TensorSpec([None, 8, 3], tf.float32),
        tf.TensorSpec([None, 12, 3], tf.int64),
        tf.TensorSpec([2], tf.int32),
    ]

    def draw(v, f, s):
        return sample_surface(v, f, 50, seed=s)

    for jit in (False, True):
        graph = tf.function(draw, input_signature=specs, jit_compile=jit)
        got = graph(vertices, faces, [7, 8])
        np.testing.assert_array_equal(got.face_index, want.face_index)
        np.testing.assert_allclose(got.points, want.points, atol=1e-5)
        assert graph(vertices[:1], faces[:1], [7, 8]).points.shape == (1, 50, 3)
    other = sample_surface(vertices, faces, 50, seed=9)
    assert (other.face_index != want.face_index).numpy().any()


def test_faults_are_named():
    for message, call in (
        ("vertices", lambda: sample_surface(BOX, FACES, 5, seed=0)),
        ("faces", lambda: sample_surface(BOX[None], FACES[:, :2], 5, seed=0)),
        ("faces", lambda: sample_surface(BOX[None], FACES[:0], 5, seed=0)),
        ("count", lambda: sample_surface(BOX[None], FACES, 0, seed=0)),
        ("face_index", lambda: points_on_faces(BOX[None], FACES, [0], [[1, 0, 0]])),
    ):
        with pytest.raises(ValueError, match=f"`{message}` must"):
            call()
