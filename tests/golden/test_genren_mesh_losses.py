"""Mesh losses, Chamfer distance and surface points against arrays of the original."""

import numpy as np
import pytest
import tensorflow as tf

from tests.golden import cases
from tfrender.geometry.edges import edge_topology
from tfrender.geometry.sample_surface import points_on_faces, square_to_barycentric
from tfrender.losses.meshes import (
    edge_length_loss,
    flatten_loss,
    uniform_laplacian_loss,
)
from tfrender.losses.points import chamfer_loss
from tfrender.ops.nearest_points import nearest_points
from tfrender.ops.triangle_normals import triangle_normals

SYSTEM = "genren"
DEAD_ZONE = 1e-4  # genren's, squared length of edges that count 0
# The original keeps the weights 1 / degree of its Laplacian in float32.
ROUNDED_WEIGHTS = 1e-6


def each(*patterns):
    return pytest.mark.parametrize(
        "path", cases.holding(SYSTEM, *patterns), ids=cases.name_of
    )


each_mesh = each("vertices", "faces", "flatten_edges", "laplacian")
each_cloud = each("template", "face_choice", "true_points", "chamfer_total_w*")


def check(loss, vertices, value, gradient, exact=1e-9):
    """Compares value and gradient of the sum, in float64 and in float32."""
    for dtype, rtol in ((tf.float64, exact), (tf.float32, 1e-4)):
        inputs = tf.constant(vertices, dtype)
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            got = loss(inputs)
        assert got.dtype == dtype
        np.testing.assert_allclose(got, value, rtol=rtol)
        scale = np.abs(gradient).max()
        np.testing.assert_allclose(
            tape.gradient(got, inputs), gradient, rtol=10 * rtol, atol=10 * rtol * scale
        )


@each_mesh
def test_the_laplacian_loss_equals_the_original(path):
    data = cases.load(path)
    edges = edge_topology(data["faces"]).edges
    check(
        lambda v: uniform_laplacian_loss(v, edges),
        data["vertices"],
        data["laplacian"],
        data["laplacian_grad"],
        exact=ROUNDED_WEIGHTS,
    )
    # With weights that are not rounded the matrix of the original is ours to the digit.
    matrix = data["laplacian_matrix"]
    weights = np.where(matrix < 0, -1.0 / (matrix < 0).sum(1, keepdims=True), matrix)
    np.testing.assert_allclose(weights, matrix, atol=6e-8)
    want = np.sum((weights @ data["vertices"]) ** 2, axis=(1, 2))
    got = uniform_laplacian_loss(data["vertices"], edges)
    np.testing.assert_allclose(got, want, rtol=1e-12)


@each_mesh
def test_the_flatten_loss_equals_the_original_on_its_edges(path):
    data = cases.load(path)
    names = [n for n in data if n.startswith("flatten_eps") and "_grad" not in n]
    assert names
    for name in names:
        eps = float(name.removeprefix("flatten_eps"))
        check(
            lambda v, eps=eps: flatten_loss(v, data["flatten_edges"], eps=eps),
            data["vertices"],
            data[name],
            data[name + "_grad"],
        )


@each_mesh
def test_our_wings_hold_every_edge_of_the_original(path):
    data = cases.load(path)
    ours = {
        (frozenset(w[:2]), frozenset(w[2:]))
        for w in edge_topology(data["faces"]).wings.tolist()
    }
    theirs = {
        (frozenset(w[:2]), frozenset(w[2:])) for w in data["flatten_edges"].tolist()
    }
    assert theirs < ours


@each_mesh
def test_the_edge_length_and_the_sum_of_all_equal_the_original(path):
    data = cases.load(path)
    edges, vertices = data["edges"], data["vertices"]
    check(
        lambda v: tf.reduce_mean(edge_length_loss(v, edges, dead_zone=DEAD_ZONE)),
        vertices,
        data["mean_sq_edge_len"],
        data["mean_sq_edge_len_grad"],
    )
    unique = edge_topology(data["faces"]).edges

    def terms(v):
        return [
            1500.0 * edge_length_loss(v, edges, dead_zone=DEAD_ZONE),
            10.0 * uniform_laplacian_loss(v, unique),
            flatten_loss(v, data["flatten_edges"], eps=1e-5),
        ]

    np.testing.assert_allclose(
        [tf.reduce_mean(term) for term in terms(vertices)],
        data["mesh_reg_terms_edge_lap_flat"],
        rtol=ROUNDED_WEIGHTS,
    )
    check(
        lambda v: tf.reduce_mean(tf.add_n(terms(v))),
        vertices,
        data["mesh_reg_total"],
        data["mesh_reg_total_grad"],
        exact=ROUNDED_WEIGHTS,
    )


@each_mesh
def test_face_normals_equal_the_original(path):
    data = cases.load(path)
    got = triangle_normals(data["vertices"][:, data["faces"]])
    np.testing.assert_allclose(got, data["face_normals"], rtol=1e-9, atol=1e-12)


@each_cloud
def test_surface_points_and_nearest_neighbours_equal_the_original(path):
    data = cases.load(path)
    barycentric = square_to_barycentric(data["u_raw"], data["v"])
    points, normals = points_on_faces(
        data["template"], data["faces"], data["face_choice"], barycentric
    )
    np.testing.assert_allclose(points, data["sampled_points"], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(normals, data["sampled_normals"], rtol=1e-9, atol=1e-12)
    for a, b, suffix in (
        (points, data["true_points"], "1"),
        (data["true_points"], points, "2"),
    ):
        nearest = nearest_points(a, b)
        np.testing.assert_array_equal(nearest.index, data["idx" + suffix])
        np.testing.assert_allclose(nearest.square, data["dist" + suffix], rtol=1e-9)


@each_cloud
def test_chamfer_and_normal_terms_and_their_gradient_equal_the_original(path):
    data = cases.load(path)
    template = tf.constant(data["template"])
    true, true_normals = data["true_points"], tf.constant(data["true_normals"])
    barycentric = square_to_barycentric(data["u_raw"], data["v"])
    with tf.GradientTape() as tape:
        tape.watch(template)
        points, normals = points_on_faces(
            template, data["faces"], data["face_choice"], barycentric
        )
        chamfer = chamfer_loss(true, template) + chamfer_loss(true, points)
        chamfer = 2000.0 * tf.reduce_mean(chamfer)
        one, two = (
            nearest_points(points, true).index,
            nearest_points(true, points).index,
        )
        agree = tf.reduce_mean(
            tf.abs(
                tf.reduce_sum(normals * tf.gather(true_normals, one, batch_dims=1), -1)
            )
        ) + tf.reduce_mean(
            tf.abs(
                tf.reduce_sum(true_normals * tf.gather(normals, two, batch_dims=1), -1)
            )
        )
        total = chamfer - 5.0 * agree
    np.testing.assert_allclose(chamfer, data["chamfer_total_w2000"], rtol=1e-9)
    np.testing.assert_allclose(-5.0 * agree, data["normals_total_w5"], rtol=1e-9)
    want = data["grad_template"]
    np.testing.assert_allclose(
        tape.gradient(total, template), want, rtol=1e-8, atol=1e-8 * np.abs(want).max()
    )
