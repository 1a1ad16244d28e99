"""Claims of tfrender.geometry.contains_points."""

import sys

import numpy as np
import pytest
import trimesh

from tfrender.geometry.contains_points import contains_points

MODULE = sys.modules["tfrender.geometry.contains_points"]
RNG = np.random.default_rng(0)


def winding(vertices, faces, points):
    """Generalised winding number by solid angles (van Oosterom and Strackee, 1983)."""
    a, b, c = (vertices[faces[:, k]][None] - points[:, None] for k in range(3))
    la, lb, lc = (np.linalg.norm(x, axis=-1) for x in (a, b, c))
    top = (a * np.cross(b, c)).sum(-1)
    low = la * lb * lc + (a * b).sum(-1) * lc + (b * c).sum(-1) * la
    low += (c * a).sum(-1) * lb
    return 2.0 * np.arctan2(top, low).sum(-1) / (4.0 * np.pi)


@pytest.mark.parametrize(
    "mesh",
    [
        trimesh.creation.torus(0.3, 0.12, 12, 9),
        trimesh.creation.icosphere(2, 0.4),
        trimesh.creation.annulus(0.1, 0.3, 0.4),
    ],
)
def test_agrees_with_the_winding_number(mesh):
    vertices = (
        mesh.vertices
        @ trimesh.transformations.random_rotation_matrix(np.array([0.3, 0.7, 0.1]))[
            :3, :3
        ]
    )
    points = RNG.uniform(-0.5, 0.5, [3000, 3])
    expected = winding(vertices, mesh.faces, points) > 0.5
    assert 0 < expected.sum() < 3000
    np.testing.assert_array_equal(
        contains_points(vertices, mesh.faces, points), expected
    )
    flipped = mesh.faces[:, ::-1]
    np.testing.assert_array_equal(contains_points(vertices, flipped, points), expected)


def test_rays_through_edges_and_corners_are_counted_once():
    box = trimesh.creation.box(extents=(0.8, 0.8, 0.8)).subdivide().subdivide()
    steps = np.linspace(-0.5, 0.5, 11)  # rays along edges, through corners
    points = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1)
    points = points.reshape(-1, 3)
    found = contains_points(box.vertices, box.faces, points)
    clear = np.abs(np.abs(points) - 0.4).min(-1) > 1e-6
    inside = (np.abs(points) < 0.4).all(-1)
    np.testing.assert_array_equal(found[clear], inside[clear])


def test_a_small_hole_does_not_turn_the_mesh_inside_out():
    ball = trimesh.creation.icosphere(3, 0.4)
    points = RNG.uniform(-0.5, 0.5, [2000, 3])
    expected = contains_points(ball.vertices, ball.faces, points)
    found = contains_points(ball.vertices, ball.faces[5:], points)
    np.testing.assert_array_equal(found, expected)


def test_parts_give_the_same_answer(monkeypatch):
    ball = trimesh.creation.icosphere(2, 0.4)
    points = RNG.uniform(-0.5, 0.5, [500, 3])
    expected = contains_points(ball.vertices, ball.faces, points)
    monkeypatch.setattr(MODULE, "_CHUNK", 50)
    np.testing.assert_array_equal(
        contains_points(ball.vertices, ball.faces, points), expected
    )


def test_empty_arguments_and_mistakes():
    ball = trimesh.creation.icosphere(1, 0.4)
    none = np.zeros([0, 3], int)
    assert not contains_points(ball.vertices, none, np.zeros([4, 3])).any()
    assert contains_points(ball.vertices, ball.faces, np.zeros([0, 3])).shape == (0,)
    assert contains_points(ball.vertices, ball.faces, np.zeros([1, 3])).tolist() == [1]
    with pytest.raises(ValueError, match="`faces` must index 12 vertices; got 0 to 41"):
        contains_points(ball.vertices[:12], ball.faces, np.zeros([1, 3]))
    with pytest.raises(ValueError, match="`points` must have 2 axes"):
        contains_points(ball.vertices, ball.faces, np.zeros(3))
