"""Claims of tfrender.geometry.voxelize."""

import itertools
import sys

import numpy as np
import pytest

import tfrender
from tfrender import geometry, io
from tfrender.geometry.voxelize import fill_enclosed, mark_surface

MODULE = sys.modules["tfrender.geometry.voxelize"]  # its name is the function's too
RNG = np.random.default_rng(0)


def clip(polygon, axis, limit, sign):
    """Part of a convex polygon where sign * (p[axis] - limit) >= 0."""
    kept = []
    for a, b in zip(polygon, polygon[1:] + polygon[:1], strict=True):
        da, db = sign * (a[axis] - limit), sign * (b[axis] - limit)
        if da >= 0:
            kept.append(a)
        if da * db < 0:
            kept.append(a + (b - a) * (da / (da - db)))
    return kept


def slow_surface(triangles, n):
    """The definition as a loop: clip every triangle by every voxel."""
    grid = np.zeros([n, n, n], bool)
    for triangle in triangles:
        for cell in itertools.product(range(n), repeat=3):
            polygon = list(triangle)
            for axis in range(3):
                polygon = polygon and clip(polygon, axis, cell[axis], 1)
                polygon = polygon and clip(polygon, axis, cell[axis] + 1, -1)
            grid[cell] |= bool(polygon)
    return grid


def box(low, high, skip=()):
    """Vertices and faces of a box; sides 0..5 = -x +x -y +y -z +z may be left out."""
    corners = np.array(list(itertools.product(*zip(low, high, strict=True))), float)
    faces = []
    for axis in range(3):
        for end in range(2):
            if 2 * axis + end in skip:
                continue
            side = [i for i in range(8) if (i >> (2 - axis) & 1) == end]
            faces += [[side[0], side[1], side[3]], [side[0], side[3], side[2]]]
    return corners, np.array(faces)


@pytest.mark.parametrize("size", [0.4, 3.0, 12.0])
def test_marking_equals_clipping_every_triangle_by_every_voxel(size):
    n = 6
    centres = RNG.uniform(0, n, [12, 1, 3])
    triangles = centres + RNG.normal(size=[12, 3, 3]) * size
    found = mark_surface(triangles, n)
    np.testing.assert_array_equal(found, slow_surface(triangles, n))


def test_degenerate_triangles_mark_points_and_lines():
    points = np.array([[1.5, 1.5, 1.5]] * 3)
    line = np.array([[0.5, 0.5, 0.5], [3.5, 0.5, 0.5], [2.5, 0.5, 0.5]])
    found = mark_surface(np.stack([points, line]), 4)
    expected = np.zeros([4, 4, 4], bool)
    expected[1, 1, 1] = True
    expected[:, 0, 0] = True
    np.testing.assert_array_equal(found, expected)


def test_a_surface_between_two_voxels_marks_both():
    vertices, faces = box([1, 1, 1], [3, 3, 3])
    found = mark_surface(vertices[faces], 4)
    assert found.sum() == 64  # the shell of thickness two fills 4^3


def test_many_chunks_give_the_same_grid(monkeypatch):
    triangles = RNG.uniform(-2, 12, [40, 3, 3])
    whole = mark_surface(triangles, 10)
    monkeypatch.setattr(MODULE, "_CHUNK", 37)
    np.testing.assert_array_equal(mark_surface(triangles, 10), whole)


@pytest.mark.parametrize("fill", [0.5, 0.9, 1.0])
def test_the_longest_side_fills_its_share_and_the_box_is_centred(fill):
    n = 40
    vertices, faces = box([3, -1, 10], [7, 1, 11])
    voxels = geometry.voxelize(vertices, faces, n, fill=fill)
    assert voxels.scale == pytest.approx(4 / fill)
    middle = voxels.translate + voxels.scale / 2
    np.testing.assert_allclose(middle, [5, 0, 10.5])
    low, high = (f(np.argwhere(voxels.occupancy), 0) for f in (np.min, np.max))
    spans = np.array([4, 2, 1]) / voxels.scale * n
    assert (np.abs((high - low + 1) - spans) <= 2).all()
    np.testing.assert_allclose(low + high, n - 1, atol=1)


def test_axes_are_x_y_z_and_the_place_is_that_of_a_binvox_header(tmp_path):
    """An L: long along y, a foot along +x."""
    upright, faces = box([0, 0, 0], [1, 4, 1])
    foot, more = box([0, 0, 0], [2, 1, 1])
    vertices, faces = np.concatenate([upright, foot]), np.concatenate([faces, more + 8])
    voxels = geometry.voxelize(vertices, faces, 33)
    io.write_binvox(tmp_path / "x.binvox", *voxels)
    back = io.read_binvox(tmp_path / "x.binvox")
    centres = back.scale * (np.argwhere(back.occupancy) + 0.5) / 33 + back.translate
    step = voxels.scale / 33
    in_upright = ((centres > -step) & (centres < np.array([1, 4, 1]) + step)).all(-1)
    in_foot = ((centres > -step) & (centres < np.array([2, 1, 1]) + step)).all(-1)
    assert (in_upright | in_foot).all()
    assert in_upright.sum() > 0.9 * 4 / step**3


def test_a_solid_ball_has_its_volume_and_a_surface_is_hollow():
    n = 48
    import trimesh

    ball = trimesh.creation.icosphere(subdivisions=4)
    solid = geometry.voxelize(ball.vertices, ball.faces, n)
    surface = geometry.voxelize(ball.vertices, ball.faces, n, mode="surface")
    step = solid.scale / n
    volume = solid.occupancy.sum() * step**3
    skin = surface.occupancy.sum() * step**3
    assert volume - skin < ball.volume < volume
    assert not surface.occupancy[n // 2, n // 2, n // 2]
    assert solid.occupancy[n // 2, n // 2, n // 2]


def test_winding_and_inner_walls_do_not_matter():
    vertices, faces = box([0, 0, 0], [2, 2, 2])
    inner, more = box([0.5, 0.5, 0.5], [1.5, 1.5, 1.5])
    expected = geometry.voxelize(vertices, faces, 24).occupancy
    both = np.concatenate([vertices, inner]), np.concatenate([faces, more + 8])
    np.testing.assert_array_equal(geometry.voxelize(*both, 24).occupancy, expected)
    turned = faces.copy()
    turned[::2] = turned[::2, ::-1]
    np.testing.assert_array_equal(geometry.voxelize(vertices, turned, 24)[0], expected)


def test_flood_fill_from_outside_never_fills_less_than_we_do():
    """Every cavity that air cannot reach is filled."""
    from scipy import ndimage

    surface = RNG.random([14, 15, 16]) < 0.6
    cavities = ndimage.binary_fill_holes(surface)
    filled = fill_enclosed(surface)
    assert (filled >= cavities).all()


def test_enclosed_means_enclosed_in_all_three_slices():
    """The definition by scipy, slice after slice."""
    from scipy import ndimage

    surface = RNG.random([14, 15, 16]) < 0.55
    agree = np.ones(surface.shape, bool)
    for axis in range(3):
        slices = [ndimage.binary_fill_holes(s) for s in np.moveaxis(surface, axis, 0)]
        agree &= np.moveaxis(np.stack(slices), 0, axis)
    np.testing.assert_array_equal(fill_enclosed(surface), agree)


def test_a_diagonal_leak_is_closed_by_the_slices():
    """A hidden tunnel that turns a corner: a flood fill gets in, slices do not."""
    from scipy import ndimage

    solid = np.ones([9, 9, 9], bool)
    solid[3:6, 3:6, 3:6] = False  # room
    solid[4, 6, 4] = solid[4, 7, 4] = solid[5, 7, 4] = solid[5, 7, 5] = False
    solid[5, 7:9, 6] = solid[5, 7, 5:7] = False  # tunnel: three turns to the outside
    assert not ndimage.binary_fill_holes(solid)[4, 4, 4]
    assert fill_enclosed(solid)[4, 4, 4]


def test_open_meshes_without_a_room_stay_surfaces():
    """A cup stays open; so does a box without bottom and top."""
    for skip in [(3,), (2, 3)]:
        vertices, faces = box([0, 0, 0], [2, 2, 2], skip)
        surface = geometry.voxelize(vertices, faces, 24, mode="surface").occupancy
        solid = geometry.voxelize(vertices, faces, 24).occupancy
        assert not solid[12, 12, 12]
        np.testing.assert_array_equal(solid, surface)


def test_the_border_of_the_grid_is_no_wall():
    """With fill 1 the open side of a box lies at the border, and is still open."""
    vertices, faces = box([0, 0, 0], [2, 2, 2], skip=(3,))
    assert not geometry.voxelize(vertices, faces, 16, fill=1.0).occupancy[8, 8, 8]


@pytest.mark.parametrize("name", ["car/gazebo_pickup", "chair/scopia_silla_teca"])
def test_real_meshes_are_voxelised_alike_at_any_scale_and_place(name):
    import pathlib

    path = pathlib.Path(tfrender.__file__).parent / "assets" / "meshes" / f"{name}.obj"
    mesh = io.load_mesh(path)
    solid = geometry.voxelize(mesh.vertices, mesh.faces, 32)
    surface = geometry.voxelize(mesh.vertices, mesh.faces, 32, mode="surface")
    assert (solid.occupancy >= surface.occupancy).all()
    assert solid.occupancy.sum() > surface.occupancy.sum() > 500
    moved = mesh.vertices.astype(np.float64) * 1e4 + [5e5, 0, -7]
    again = geometry.voxelize(moved, mesh.faces, 32)
    assert (again.occupancy != solid.occupancy).mean() < 1e-3
    points = mesh.vertices[mesh.faces].mean(1)  # every face centre lies in a voxel
    cells = np.floor((points - surface.translate) / surface.scale * 32).astype(int)
    assert surface.occupancy[tuple(cells.T)].all()


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"resolution": 0}, "resolution"),
        ({"fill": 1.5}, "fill"),
        ({"fill": float("nan")}, "fill"),
        ({"mode": "hollow"}, "mode"),
        ({"vertices": np.zeros([3, 3])}, "differ"),
        ({"vertices": np.full([3, 3], np.nan)}, "finite"),
        ({"vertices": np.zeros([3, 2])}, "vertices"),
        ({"faces": np.zeros([0, 3], int)}, "faces"),
        ({"faces": [[0, 1, 3]]}, "faces"),
        ({"faces": [[0, 1, -1]]}, "faces"),
    ],
)
def test_bad_arguments_are_named(changes, words):
    arguments = {
        "vertices": np.eye(3),
        "faces": [[0, 1, 2]],
        "resolution": 8,
        **changes,
    }
    with pytest.raises(ValueError, match=words):
        geometry.voxelize(**arguments)
