import numpy as np
import pytest
import tensorflow as tf

from tfrender.geometry.edges import edge_topology
from tfrender.losses.meshes import (
    cotangent_laplacian_loss,
    edge_length_loss,
    flatten_loss,
    normal_consistency_loss,
    uniform_laplacian_loss,
)

OCTAHEDRON = np.array(
    [
        [4, 0, 2],
        [4, 2, 1],
        [4, 1, 3],
        [4, 3, 0],
        [5, 2, 0],
        [5, 1, 2],
        [5, 3, 1],
        [5, 0, 3],
    ]
)
CORNERS = np.array(
    [[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]], float
)
HINGE = np.array([[0, 1, 2], [1, 0, 3]])


def noisy(batch=2, seed=0):
    rng = np.random.default_rng(seed)
    return CORNERS + 0.2 * rng.normal(size=(batch, 6, 3))


def sphere(levels):
    """Unit sphere by halving the edges of the octahedron."""
    vertices, faces = list(map(tuple, CORNERS)), OCTAHEDRON
    for _ in range(levels):
        number = {v: i for i, v in enumerate(vertices)}

        def middle(a, b, number=number, vertices=vertices):
            point = np.add(vertices[a], vertices[b])
            point = tuple(np.round(point / np.linalg.norm(point), 12))
            if point not in number:
                number[point] = len(vertices)
                vertices.append(point)
            return number[point]

        new = []
        for a, b, c in faces:
            ab, bc, ca = middle(a, b), middle(b, c), middle(c, a)
            new += [[a, ab, ca], [ab, b, bc], [ca, bc, c], [ab, bc, ca]]
        faces = np.array(new)
    return np.array(vertices), faces


def hinge(angle):
    """Two unit right triangles on one edge, folded by an angle from flat."""
    tip = [0.3, -np.cos(angle), np.sin(angle)]
    return np.array([[[0, 0, 0], [1, 0, 0], [0.6, 1, 0], tip]])


TOPOLOGY = edge_topology(OCTAHEDRON)
LOSSES = {
    "uniform": lambda v: uniform_laplacian_loss(v, TOPOLOGY.edges),
    "cotangent": lambda v: cotangent_laplacian_loss(
        v, OCTAHEDRON, weights_gradient=True
    ),
    "curvature": lambda v: cotangent_laplacian_loss(
        v, OCTAHEDRON, normalize="area", weights_gradient=True
    ),
    "flatten": lambda v: flatten_loss(v, TOPOLOGY.wings),
    "normals": lambda v: normal_consistency_loss(v, TOPOLOGY.wings),
    "lengths": lambda v: edge_length_loss(v, TOPOLOGY.edges, target=1.1),
}
each_loss = pytest.mark.parametrize("name", LOSSES)


def test_the_uniform_laplacian_equals_the_loop():
    vertices = noisy(3)
    want = np.zeros(3)
    for b in range(3):
        for i in range(6):
            neighbours = [e[e != i][0] for e in TOPOLOGY.edges if i in e]
            step = vertices[b, i] - vertices[b, neighbours].mean(0)
            want[b] += step @ step
    got = uniform_laplacian_loss(vertices, TOPOLOGY.edges)
    np.testing.assert_allclose(got, want, rtol=1e-12)


def cotangent(a, b, c):
    """Cotangent of the angle at a."""
    return (b - a) @ (c - a) / np.linalg.norm(np.cross(b - a, c - a))


@pytest.mark.parametrize("normalize", ["weights", "area"])
def test_the_cotangent_laplacian_equals_the_loop(normalize):
    vertices = noisy()
    want = np.zeros(2)
    for b, v in enumerate(vertices):
        for i in range(6):
            step, total, area = np.zeros(3), 0.0, 0.0
            for face in OCTAHEDRON[(OCTAHEDRON == i).any(1)]:
                _, j, k = np.roll(face, -list(face).index(i))
                for one, other in ((j, k), (k, j)):
                    weight = 0.5 * cotangent(v[other], v[i], v[one])
                    step += weight * (v[one] - v[i])
                    total += weight
                area += np.linalg.norm(np.cross(v[j] - v[i], v[k] - v[i])) / 6
            step = step / (total if normalize == "weights" else area)
            want[b] += step @ step
    got = cotangent_laplacian_loss(vertices, OCTAHEDRON, normalize=normalize)
    np.testing.assert_allclose(got, want, rtol=1e-12)


def test_the_curvature_of_a_sphere_is_two_over_its_radius():
    vertices, faces = sphere(3)
    for radius in (1.0, 0.5):
        got = cotangent_laplacian_loss(radius * vertices[None], faces, normalize="area")
        # Cells of a third of the area are not Voronoi cells: a few per cent are left.
        mean = np.sqrt(got.numpy()[0] / len(vertices))
        np.testing.assert_allclose(mean, 2 / radius, rtol=0.04)


@pytest.mark.parametrize("angle", [0.0, 0.4, np.pi / 2, 2.5, np.pi])
def test_a_hinge_costs_what_its_angle_says(angle):
    wings = edge_topology(HINGE).wings
    fold = (1.0 - np.cos(angle)) ** 2
    np.testing.assert_allclose(
        flatten_loss(hinge(angle), wings, eps=1e-12), [fold], atol=1e-5
    )
    np.testing.assert_allclose(
        normal_consistency_loss(hinge(angle), wings), [1 - np.cos(angle)], atol=1e-12
    )


def test_edge_lengths_are_compared_with_their_target():
    vertices, edges = noisy(2), TOPOLOGY.edges
    length = np.linalg.norm(
        vertices[:, edges[:, 0]] - vertices[:, edges[:, 1]], axis=-1
    )
    np.testing.assert_allclose(edge_length_loss(vertices, edges), (length**2).mean(1))
    np.testing.assert_allclose(
        edge_length_loss(vertices, edges, target=1.2), ((length - 1.2) ** 2).mean(1)
    )
    limit = float(np.median(length**2))
    np.testing.assert_allclose(
        edge_length_loss(vertices, edges, dead_zone=limit),
        (length**2 * (length**2 > limit)).mean(1),
    )
    assert edge_length_loss(CORNERS[None], edges, target=np.sqrt(2)).numpy()[0] < 1e-20


@each_loss
def test_gradients_equal_finite_differences(name):
    exact, numeric = tf.test.compute_gradient(LOSSES[name], [noisy()], 1e-6)
    np.testing.assert_allclose(exact[0], numeric[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("normalize", ["weights", "area"])
def test_constant_weights_give_the_gradient_of_a_quadratic_form(normalize):
    vertices = tf.constant(noisy(1))

    def loss(v, live):
        return cotangent_laplacian_loss(
            v, OCTAHEDRON, normalize=normalize, weights_gradient=live
        )

    with tf.GradientTape(persistent=True) as tape:
        tape.watch(vertices)
        fixed, live = loss(vertices, False), loss(vertices, True)
    np.testing.assert_allclose(fixed, live)
    gradient = tape.gradient(fixed, vertices)
    # With constant weights the loss is homogeneous of degree 2 (Euler's theorem).
    np.testing.assert_allclose(
        tf.reduce_sum(gradient * vertices), 2 * fixed[0], rtol=1e-9
    )
    assert np.abs(gradient - tape.gradient(live, vertices)).max() > 1e-3


@each_loss
def test_moving_and_turning_the_mesh_changes_nothing(name):
    vertices = noisy()
    turn, _ = np.linalg.qr(np.random.default_rng(2).normal(size=(3, 3)))
    moved = vertices @ turn.T * np.sign(np.linalg.det(turn)) + [3.0, -1.0, 2.0]
    np.testing.assert_allclose(LOSSES[name](moved), LOSSES[name](vertices), rtol=1e-6)


def padded(table, rows):
    return np.concatenate([table, np.full((rows - len(table), table.shape[1]), -1)])


def test_padded_batches_equal_each_mesh_alone():
    two = edge_topology(HINGE)
    vertices = np.zeros((2, 7, 3))
    vertices[0, :6], vertices[1, :4] = noisy(1)[0], hinge(0.7)[0]
    edges = np.stack([padded(t.edges, 14) for t in (TOPOLOGY, two)])
    wings = np.stack([padded(t.wings, 13) for t in (TOPOLOGY, two)])
    faces = np.stack([padded(f, 9) for f in (OCTAHEDRON, HINGE)])
    for loss, tables, alone in (
        (uniform_laplacian_loss, edges, (TOPOLOGY.edges, two.edges)),
        (edge_length_loss, edges, (TOPOLOGY.edges, two.edges)),
        (flatten_loss, wings, (TOPOLOGY.wings, two.wings)),
        (normal_consistency_loss, wings, (TOPOLOGY.wings, two.wings)),
        (cotangent_laplacian_loss, faces, (OCTAHEDRON, HINGE)),
    ):
        got = loss(vertices, tables)
        want = [
            loss(vertices[:1, :6], alone[0])[0],
            loss(vertices[1:, :4], alone[1])[0],
        ]
        np.testing.assert_allclose(got, want, rtol=1e-12)


def test_isolated_vertices_count_nothing():
    vertices = np.concatenate([noisy(), np.full((2, 3, 3), 1e3)], axis=1)
    for got, want in (
        (uniform_laplacian_loss(vertices, TOPOLOGY.edges), LOSSES["uniform"](noisy())),
        (
            cotangent_laplacian_loss(vertices, OCTAHEDRON),
            cotangent_laplacian_loss(noisy(), OCTAHEDRON),
        ),
    ):
        np.testing.assert_allclose(got, want, rtol=1e-12)


@pytest.mark.parametrize("scale", [0.0, 1e-6, 1e6])
def test_degenerate_meshes_stay_finite_with_finite_gradients(scale):
    # Coinciding vertices, collinear faces, a face twice, edges of no length.
    faces = np.array([[0, 1, 2], [0, 2, 3], [1, 2, 4], [0, 2, 1], [3, 4, 5]])
    places = np.array(
        [[0, 0, 0], [1, 0, 0], [2, 0, 0], [2, 0, 0], [0, 1, 0], [0, 0, 0]]
    )
    vertices = tf.constant(scale * places[None], tf.float32)
    got = edge_topology(faces)
    wings = np.concatenate([got.wings, [[0, 1, 2, 2], [2, 3, 0, 1], [0, 0, 1, 2]]])
    for loss in (
        lambda v: uniform_laplacian_loss(v, got.edges),
        lambda v: cotangent_laplacian_loss(v, faces, weights_gradient=True),
        lambda v: cotangent_laplacian_loss(
            v, faces, normalize="area", weights_gradient=True
        ),
        lambda v: flatten_loss(v, wings),
        lambda v: normal_consistency_loss(v, wings),
        lambda v: edge_length_loss(v, got.edges, target=1.0),
    ):
        with tf.GradientTape() as tape:
            tape.watch(vertices)
            value = loss(vertices)
        assert np.isfinite(value).all()
        assert np.isfinite(tape.gradient(value, vertices)).all()


def test_empty_tables_cost_nothing():
    none = edge_topology(np.full((2, 3), -1), 6)
    vertices = noisy()
    for value in (
        uniform_laplacian_loss(vertices, none.edges),
        edge_length_loss(vertices, none.edges, target=1.0),
        flatten_loss(vertices, none.wings),
        normal_consistency_loss(vertices, none.wings),
        cotangent_laplacian_loss(vertices, np.full((2, 3), -1)),
    ):
        np.testing.assert_array_equal(value, [0.0, 0.0])


@pytest.mark.parametrize("jit", [False, True])
def test_graph_forms_equal_eager_for_any_batch(jit):
    def run(v):
        return [loss(v) for loss in LOSSES.values()]

    spec = tf.TensorSpec([None, 6, 3], tf.float32)
    graph = tf.function(run, input_signature=[spec], jit_compile=jit)
    for count in (1, 3):
        vertices = noisy(count).astype(np.float32)
        for got, want in zip(graph(vertices), run(vertices), strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-4)


def test_faults_are_named():
    vertices = noisy()
    for message, call in (
        ("vertices", lambda: uniform_laplacian_loss(vertices[0], TOPOLOGY.edges)),
        ("edges", lambda: uniform_laplacian_loss(vertices, OCTAHEDRON)),
        ("wings", lambda: flatten_loss(vertices, TOPOLOGY.edges)),
        ("eps", lambda: flatten_loss(vertices, TOPOLOGY.wings, eps=0.0)),
        ("faces", lambda: cotangent_laplacian_loss(vertices, TOPOLOGY.edges)),
        (
            "normalize",
            lambda: cotangent_laplacian_loss(vertices, OCTAHEDRON, normalize="none"),
        ),
        ("target", lambda: edge_length_loss(vertices, TOPOLOGY.edges, target=-1.0)),
    ):
        with pytest.raises(ValueError, match=f"`{message}` must"):
            call()
