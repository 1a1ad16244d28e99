import itertools

import numpy as np
import pytest

from tfrender.geometry.edges import edge_topology

TETRAHEDRON = np.array([[0, 2, 1], [0, 1, 3], [1, 2, 3], [2, 0, 3]])


def sheet(height, width):
    """Grid of (height, width) quads, each two triangles."""
    number = np.arange((height + 1) * (width + 1)).reshape(height + 1, width + 1)
    a, b, c, d = (
        v.reshape(-1)
        for v in (number[:-1, :-1], number[1:, :-1], number[1:, 1:], number[:-1, 1:])
    )
    return np.concatenate([np.stack([a, b, c], -1), np.stack([a, c, d], -1)])


def by_hand(faces):
    """Faces at each edge, with dictionaries."""
    found = {}
    for f, face in enumerate(np.asarray(faces).tolist()):
        if min(face) >= 0 and len(set(face)) == 3:
            for a, b in itertools.combinations(sorted(face), 2):
                found.setdefault((a, b), []).append(f)
    return dict(sorted(found.items()))


def messy():
    """Padding, a face with a vertex twice, a fan of three faces, isolated vertices."""
    extra = [[-1, -1, -1], [0, 0, 1], [0, 1, 9], [0, -1, 2], [9, 0, 11]]
    return np.concatenate([TETRAHEDRON[:2], extra, TETRAHEDRON[2:]])


@pytest.mark.parametrize("faces", [TETRAHEDRON, sheet(3, 5), messy()])
def test_edges_and_their_faces_equal_the_loop(faces):
    got, want = edge_topology(faces), by_hand(faces)
    np.testing.assert_array_equal(got.edges, list(want))
    np.testing.assert_array_equal(got.face_count, [len(f) for f in want.values()])
    np.testing.assert_array_equal(got.faces, [(f + [-1])[:2] for f in want.values()])
    neighbours = {}
    for a, b in want:
        neighbours.setdefault(a, set()).add(b)
        neighbours.setdefault(b, set()).add(a)
    count = len(got.degree)
    assert count == np.max(faces) + 1
    np.testing.assert_array_equal(
        got.degree, [len(neighbours.get(v, ())) for v in range(count)]
    )


@pytest.mark.parametrize("faces", [TETRAHEDRON, sheet(3, 5), messy()])
def test_wings_are_the_two_faces_of_an_inner_edge(faces):
    got, want = edge_topology(faces), by_hand(faces)
    inner = [edge for edge, at in want.items() if len(at) == 2]
    assert len(got.wings) == len(got.wing_faces) == len(inner)
    for (v0, v1, v2, v3), (first, second), edge in zip(
        got.wings.tolist(), got.wing_faces.tolist(), inner, strict=True
    ):
        assert (min(v0, v1), max(v0, v1)) == edge and first < second
        assert {v0, v1, v2} == set(faces[first]) and {v0, v1, v3} == set(faces[second])
        turned = np.roll(faces[first], -list(faces[first]).index(v0))
        np.testing.assert_array_equal(turned, [v0, v1, v2])


def test_a_closed_surface_obeys_euler_and_has_no_border():
    got = edge_topology(TETRAHEDRON)
    assert len(got.degree) - len(got.edges) + len(TETRAHEDRON) == 2
    assert len(got.boundary) == 0 and len(got.wings) == 6
    np.testing.assert_array_equal(got.degree, [3, 3, 3, 3])


def test_the_border_of_a_sheet_is_one_loop_in_the_direction_of_its_faces():
    got = edge_topology(sheet(2, 3))
    follow = dict(got.boundary.tolist())
    assert len(follow) == len(got.boundary) == 10
    walk, place = [], int(got.boundary[0, 0])
    for _ in range(10):
        walk.append(place)
        place = follow[place]
    assert place == walk[0] and len(set(walk)) == 10


def test_edges_of_three_faces_are_neither_wings_nor_border():
    fan = np.array([[0, 1, 2], [1, 0, 3], [0, 1, 4]])
    got = edge_topology(fan)
    assert got.face_count[0] == 3 and got.edges[0].tolist() == [0, 1]
    assert len(got.wings) == 0 and len(got.boundary) == 6
    assert [0, 1] not in np.sort(got.boundary, axis=1).tolist()


def test_order_of_faces_changes_the_order_only():
    faces = sheet(3, 4)
    shuffled = faces[np.random.default_rng(0).permutation(len(faces))]
    a, b = edge_topology(faces), edge_topology(shuffled)
    for name in ("edges", "face_count", "degree"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    assert {frozenset(w[:2]) for w in a.wings.tolist()} == {
        frozenset(w[:2]) for w in b.wings.tolist()
    }


@pytest.mark.parametrize("count", [0, 3])
def test_meshes_of_nothing_have_empty_tables(count):
    got = edge_topology(np.full((count, 3), -1), vertex_count=4)
    assert got.edges.shape == got.boundary.shape == got.faces.shape == (0, 2)
    assert got.wings.shape == (0, 4) and got.wing_faces.shape == (0, 2)
    np.testing.assert_array_equal(got.degree, [0, 0, 0, 0])
    assert edge_topology(np.zeros((0, 3), int)).degree.shape == (0,)


def test_faults_are_named():
    for message, call in (
        ("faces", lambda: edge_topology(np.zeros((2, 4), int))),
        ("faces", lambda: edge_topology(np.zeros((1, 2, 3), int))),
        ("faces", lambda: edge_topology(np.zeros((2, 3)))),
        ("vertex_count", lambda: edge_topology(TETRAHEDRON, 3)),
    ):
        with pytest.raises(ValueError, match=f"`{message}` must"):
            call()
