"""Claims of tfrender.geometry.extract_surface."""

import numpy as np
import pytest
import trimesh

from tfrender.geometry import extract_surface as surfaces

CENTER = np.array([0.05, -0.03, 0.02])


def ball(points, radius=0.3):
    return radius - np.linalg.norm(points - CENTER, axis=-1)


def solid(surface):
    return trimesh.Trimesh(surface.vertices, surface.faces, process=False)


def extract(field=ball, resolution=8, upsampling_steps=2, **more):
    return surfaces.extract_surface(
        field, resolution=resolution, upsampling_steps=upsampling_steps, **more
    )


@pytest.mark.parametrize(
    ("resolution", "steps", "padding"), [(8, 2, 0.0), (8, 2, 0.4), (33, 0, 0.1)]
)
def test_a_ball_is_found_where_it_is(resolution, steps, padding):
    found = extract(ball, resolution, steps, padding=padding)
    mesh = solid(found)
    assert mesh.is_watertight
    assert mesh.volume == pytest.approx(4 / 3 * np.pi * 0.3**3, rel=0.02)
    np.testing.assert_allclose(ball(found.vertices), 0.0, atol=2e-3)
    assert found.notes == ()
    points = resolution**3 if steps == 0 else (resolution * 2**steps + 1) ** 3
    assert found.evaluations == points if steps == 0 else found.evaluations < points
    assert found.vertices.dtype == np.float32
    assert found.faces.dtype == np.int32


def test_the_threshold_moves_the_surface_and_the_parts_do_not():
    found = extract(threshold=0.1, points_per_call=7)
    np.testing.assert_allclose(ball(found.vertices), 0.1, atol=3e-3)
    whole = extract(threshold=0.1)
    np.testing.assert_array_equal(found.vertices, whole.vertices)
    np.testing.assert_array_equal(found.faces, whole.faces)


def test_an_empty_field_gives_an_empty_mesh_and_says_so():
    found = extract(lambda points: -1.0 - ball(points) ** 2)
    assert found.vertices.shape == found.faces.shape == (0, 3)
    (note,) = found.notes
    assert note.startswith("nothing is inside: the mesh is empty (highest value -1")
    colors = surfaces.vertex_colors(found.vertices, lambda points: points)
    assert colors.shape == (0, 4)


def test_a_full_field_gives_the_cube_and_says_so():
    found = extract(lambda points: np.ones(len(points)), padding=0.5)
    mesh = solid(found)
    np.testing.assert_allclose(mesh.bounds, [[-0.75] * 3, [0.75] * 3], atol=1e-5)
    assert mesh.volume == pytest.approx(1.5**3, rel=1e-3)
    assert "usually means a wrong threshold" in found.notes[0]


def test_what_leaves_the_cube_is_cut_flat_and_closed():
    found = extract(lambda points: 0.2 - np.abs(points[:, 0] - 0.4))
    mesh = solid(found)
    assert mesh.is_watertight
    assert found.vertices[:, 0].max() == pytest.approx(0.5, abs=1e-5)
    assert found.notes == ("the surface is cut flat at 5 side(s) of the cube",)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"field": lambda p: np.full(len(p), np.nan)}, "must answer finite values"),
        ({"field": lambda p: p}, r"must answer \[\d+\] values; got shape"),
        ({"padding": -0.1}, "`padding` must lie in"),
        ({"upsampling_steps": -1}, "`upsampling_steps` must lie in"),
        ({"resolution": 1, "upsampling_steps": 0}, "`resolution` must lie in"),
        ({"points_per_call": 0}, "`points_per_call` must lie in"),
        ({"threshold": np.nan}, "`threshold` must lie in"),
    ],
)
def test_mistakes_are_named(more, message):
    with pytest.raises(ValueError, match=message):
        extract(**more)


def test_simplification_keeps_the_volume():
    found = extract()
    vertices, faces = surfaces.simplify_surface(found.vertices, found.faces, 1000)
    assert 980 <= len(faces) <= 1000
    mesh = trimesh.Trimesh(vertices, faces, process=False)
    assert mesh.volume == pytest.approx(solid(found).volume, rel=0.01)
    same = surfaces.simplify_surface(vertices, faces, 1000)
    np.testing.assert_array_equal(same[1], faces)
    with pytest.raises(ValueError, match="`face_count` must lie in"):
        surfaces.simplify_surface(vertices, faces, 3)


def test_colours_are_cut_to_bytes_as_published():
    vertices = np.float32([[0.0, 0.5, 1.0], [0.999, 2.0, -1.0]])
    colors = surfaces.vertex_colors(vertices, lambda points: points, 1)
    assert colors.tolist() == [[0, 127, 255, 255], [254, 255, 0, 255]]
    with pytest.raises(ValueError, match="`color` must answer finite"):
        surfaces.vertex_colors(vertices, lambda points: points[:, 0])
