import numpy as np
import pytest
import tensorflow as tf

from tfrender.geometry import normals

CUBE = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], np.float32)
CUBE_FACES = np.array(
    [
        [0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1],
        [2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3],
    ],
    np.int32,
)  # fmt: skip


def cylinder(sides):
    angle = 2 * np.pi * np.arange(sides) / sides
    ring = np.stack([np.cos(angle), np.zeros(sides), np.sin(angle)], -1)
    vertices = np.concatenate([ring, ring + [0, 1, 0], [[0, 0, 0], [0, 1, 0]]])
    faces = []
    for i in range(sides):
        j = (i + 1) % sides
        faces += [[i, sides + i, sides + j], [i, sides + j, j]]
        faces += [[2 * sides, i, j], [2 * sides + 1, sides + j, sides + i]]
    return vertices[None].astype(np.float32), np.array(faces, np.int32)


def test_face_normals_of_a_cube_point_outwards():
    normal = normals.face_normals(CUBE[None], CUBE_FACES)[0].numpy()
    centre = CUBE[CUBE_FACES].mean(1) - 0.5
    np.testing.assert_allclose(np.linalg.norm(normal, axis=-1), 1.0, atol=1e-6)
    assert (np.sum(normal * centre, -1) > 0.4).all()


def test_face_normals_equal_the_cross_product_of_each_face():
    rng = np.random.default_rng(0)
    vertices = rng.normal(size=(2, 7, 3)).astype(np.float32)
    faces = rng.permuted(np.tile(np.arange(7), (2, 5, 1)), axis=-1)[..., :3]
    got = normals.face_normals(vertices, faces, normalized=False).numpy()
    for b in range(2):
        for f, (i, j, k) in enumerate(faces[b]):
            v = vertices[b]
            np.testing.assert_allclose(
                got[b, f], np.cross(v[j] - v[i], v[k] - v[i]), atol=1e-5
            )


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_normals_do_not_depend_on_the_size_of_the_object(scale):
    unit = normals.face_normals(CUBE[None], CUBE_FACES)
    np.testing.assert_allclose(
        normals.face_normals(CUBE[None] * np.float32(scale), CUBE_FACES), unit
    )
    np.testing.assert_allclose(
        normals.vertex_normals(CUBE[None] * np.float32(scale), CUBE_FACES),
        normals.vertex_normals(CUBE[None], CUBE_FACES),
        atol=1e-6,
    )


def test_vertex_normals_are_the_area_weighted_mean():
    vertices, faces = cylinder(5)
    got = normals.vertex_normals(vertices, faces)[0].numpy()
    want = np.zeros_like(got)
    for i, j, k in faces:
        v = vertices[0]
        want[[i, j, k]] += np.cross(v[j] - v[i], v[k] - v[i])
    want /= np.linalg.norm(want, axis=-1, keepdims=True)
    np.testing.assert_allclose(got, want, atol=1e-6)


def test_rotating_the_mesh_rotates_its_normals():
    turn, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))
    turn = (turn * np.linalg.det(turn)).astype(np.float32)
    vertices, faces = cylinder(6)
    for function in (
        normals.face_normals,
        normals.vertex_normals,
        normals.corner_normals,
    ):
        np.testing.assert_allclose(
            function(vertices @ turn.T, faces),
            function(vertices, faces).numpy() @ turn.T,
            atol=1e-5,
        )


def test_padding_and_degenerate_faces_are_zero_and_harm_nobody():
    vertices = np.concatenate([CUBE, [[2, 2, 2], [3, 3, 3], [9, 9, 9]]])[None]
    vertices = tf.constant(vertices, tf.float32)
    extra = [[-1, -1, -1], [0, 0, 1], [8, 9, 10], [5, 5, 5], [1, -1, 2]]
    faces = np.concatenate([CUBE_FACES, extra]).astype(np.int32)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(vertices)
        face = normals.face_normals(vertices, faces)
        vertex = normals.vertex_normals(vertices, faces)
        corner = normals.corner_normals(vertices, faces)
    np.testing.assert_array_equal(face[0, 12:], np.zeros((5, 3)))
    np.testing.assert_array_equal(vertex[0, 8:], np.zeros((3, 3)))
    np.testing.assert_allclose(
        vertex[:, :8], normals.vertex_normals(CUBE[None], CUBE_FACES), atol=1e-6
    )
    for value in (face, vertex, corner):
        assert np.isfinite(value).all()
        assert np.isfinite(tape.gradient(value, vertices)).all()


def test_empty_meshes_and_batches_keep_their_shapes():
    none = np.zeros([0, 3], np.int32)
    assert normals.face_normals(CUBE[None], none).shape == (1, 0, 3)
    assert normals.corner_normals(CUBE[None], none).shape == (1, 0, 3, 3)
    assert normals.vertex_normals(np.zeros([0, 8, 3]), CUBE_FACES).shape == (0, 8, 3)


def test_gradient_equals_finite_differences():
    rng = np.random.default_rng(2)
    vertices = tf.constant(rng.normal(size=(1, 4, 3)), tf.float32)
    faces = np.array([[0, 1, 2], [0, 2, 3]])
    weight = rng.normal(size=(4, 3)).astype(np.float32)

    def loss(v):
        return tf.reduce_sum(normals.vertex_normals(v, faces) * weight)

    with tf.GradientTape() as tape:
        tape.watch(vertices)
        value = loss(vertices)
    gradient = tape.gradient(value, vertices).numpy().reshape(-1)
    for i in range(12):
        step = np.zeros(12, np.float32)
        step[i] = 1e-2
        step = step.reshape(1, 4, 3)
        slope = (loss(vertices + step) - loss(vertices - step)) / 2e-2
        np.testing.assert_allclose(gradient[i], slope, atol=5e-3)


def test_corner_normals_keep_the_edges_of_a_cube_flat():
    corner = normals.corner_normals(CUBE[None], CUBE_FACES)
    flat = normals.face_normals(CUBE[None], CUBE_FACES)[:, :, None]
    np.testing.assert_allclose(corner, np.tile(flat, [1, 1, 3, 1]), atol=1e-6)
    # Smoothing over everything is the vertex normal.
    smooth = normals.corner_normals(CUBE[None], CUBE_FACES, crease_deg=180.0)
    vertex = normals.vertex_normals(CUBE[None], CUBE_FACES).numpy()[0]
    np.testing.assert_allclose(smooth[0], vertex[CUBE_FACES], atol=1e-6)


def test_corner_normals_smooth_the_wall_of_a_cylinder_but_not_its_rim():
    vertices, faces = cylinder(16)
    corner = normals.corner_normals(vertices, faces, crease_deg=40.0)[0].numpy()
    wall = np.arange(len(faces)) % 4 < 2
    outward = vertices[0][faces] * [1, 0, 1]
    # Area weights tilt a corner by up to a third of a side's 22.5 degrees.
    assert (np.sum(corner * outward, -1)[wall] > np.cos(np.radians(8))).all()
    np.testing.assert_allclose(np.abs(corner[~wall][..., 1]), 1.0, atol=1e-6)


def test_seams_are_welded_unless_told_otherwise():
    vertices, faces = cylinder(16)
    split = vertices[:, faces.reshape(-1)]
    alone = np.arange(faces.size).reshape(-1, 3)
    joined = normals.corner_normals(vertices, faces)
    np.testing.assert_allclose(normals.corner_normals(split, alone), joined, atol=1e-5)
    flat = normals.corner_normals(split, alone, weld=False)
    np.testing.assert_allclose(
        flat[:, :, 0], normals.face_normals(vertices, faces), atol=1e-6
    )


def test_items_of_a_batch_do_not_share_vertices():
    vertices, faces = cylinder(8)
    both = np.concatenate([vertices, vertices[:, :, [0, 2, 1]]])
    together = normals.corner_normals(both, faces)
    for b in range(2):
        np.testing.assert_allclose(
            together[b : b + 1], normals.corner_normals(both[b : b + 1], faces)
        )


def test_wrong_shapes_are_refused_by_name():
    with pytest.raises(ValueError, match="vertices"):
        normals.face_normals(tf.zeros([1, 4, 2]), CUBE_FACES)
    with pytest.raises(ValueError, match="faces"):
        normals.face_normals(CUBE[None], tf.zeros([4, 4], tf.int32))
