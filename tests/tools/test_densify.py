"""Claims of tools.densify."""

import numpy as np
import pytest
import trimesh

from datasets.drwr import truth
from tests.tools import programs
from tfrender import io
from tools import densify

FLAGS = {
    "points": 500,
    "voxel_size": 0.0,
    "normalize": "diagonal",
    "format": "npz",
    "seed": 0,
    "skip_broken": False,
}


def save(path, mesh):
    path.parent.mkdir(parents=True, exist_ok=True)
    io.save_mesh(path, mesh.vertices, mesh.faces)
    return path


def box(tmp_path, extents=(1.0, 2.0, 3.0), name="box.obj"):
    mesh = trimesh.creation.box(extents)
    mesh.vertices += [5.0, -1.0, 2.0]
    return save(tmp_path / name, mesh)


def test_points_lie_on_the_centred_surface_of_diagonal_one(tmp_path):
    points = densify.surface_points(box(tmp_path), 4000, seed=1)
    half = np.array([1.0, 2.0, 3.0]) / (2 * 14**0.5)
    assert (np.abs(points) <= half + 1e-7).all()
    assert np.isclose(np.abs(points), half, atol=1e-7).any(-1).all()
    np.testing.assert_allclose(points.max(0), half, atol=0.01)


def test_every_side_gets_points_by_its_area(tmp_path):
    points = densify.surface_points(box(tmp_path), 20_000, seed=2)
    half = np.array([1.0, 2.0, 3.0]) / (2 * 14**0.5)
    on = np.isclose(np.abs(points), half, atol=1e-6).mean(0)
    np.testing.assert_allclose(on, np.array([6.0, 3.0, 2.0]) / 11.0, atol=0.01)


def test_one_face_that_is_cut_into_many_gets_no_more_points(tmp_path):
    fine = trimesh.creation.box((1.0, 1.0, 1.0))
    right = np.flatnonzero(fine.face_normals[:, 0] > 0.9)
    for _ in range(3):
        fine = fine.subdivide(right)
        right = np.flatnonzero(fine.face_normals[:, 0] > 0.9)
    assert len(right) > 5 * (len(fine.faces) - len(right))
    points = densify.surface_points(save(tmp_path / "fine.obj", fine), 20_000)
    share = np.isclose(points[:, 0], points[:, 0].max(), atol=1e-6).mean()
    assert share == pytest.approx(1 / 6, abs=0.01)


def test_without_scaling_the_coordinates_are_those_of_the_file(tmp_path):
    points = densify.surface_points(box(tmp_path), 500, 0, "none")
    np.testing.assert_allclose(points.mean(0), [5.0, -1.0, 2.0], atol=0.15)
    assert points[:, 2].min() >= 0.5 - 1e-6


def test_vertices_that_no_face_uses_have_no_say(tmp_path):
    path = box(tmp_path, (1.0, 1.0, 1.0))
    path.write_text(path.read_text() + "v 100 100 100\n")
    points = densify.surface_points(path, 500)
    assert np.ptp(points, axis=0).max() == pytest.approx(1 / 3**0.5, rel=0.02)


def test_the_seed_decides(tmp_path):
    path = box(tmp_path)
    first, again, other = (densify.surface_points(path, 50, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_a_mesh_without_area_is_named(tmp_path):
    path = tmp_path / "line.obj"
    path.write_text("v 0 0 0\nv 1 0 0\nv 2 0 0\nf 1 2 3\n")
    with pytest.raises(io.FormatError, match=r"line.obj: .* no area"):
        densify.surface_points(path, 10)
    path.write_text("v 1 1 1\nv 1 1 1\nv 1 1 1\nf 1 2 3\n")
    with pytest.raises(io.FormatError, match=r"line.obj: .*one point"):
        densify.surface_points(path, 10)


def test_a_cell_keeps_the_mean_of_its_points():
    points = np.random.default_rng(0).uniform(-1.0, 1.0, [200, 3])
    got = densify.downsample(points, 0.5)
    cells = np.floor((points - points.min(0)) / 0.5).astype(int)
    want = [
        points[(cells == cell).all(-1)].mean(0) for cell in np.unique(cells, axis=0)
    ]
    np.testing.assert_allclose(got, want, atol=1e-12)


def test_a_large_cell_leaves_the_mean_and_a_small_one_all():
    points = np.random.default_rng(0).normal(size=[50, 3])
    np.testing.assert_allclose(densify.downsample(points, 1e3), [points.mean(0)])
    assert len(densify.downsample(points, 1e-4)) == 50
    with pytest.raises(ValueError, match="at most .* cells along an axis"):
        densify.downsample(points, 1e-9)


def test_a_folder_becomes_a_folder_of_truth(tmp_path):
    box(tmp_path / "in", name="chair/a.obj")
    box(tmp_path / "in", (3.0, 1.0, 1.0), name="car/b/model.ply")
    flags = {"input": str(tmp_path / "in"), "output": str(tmp_path / "out"), **FLAGS}
    programs.run_inside(densify, **flags)
    points = truth.read(tmp_path / "out/chair/a.npz")
    assert points.shape == (500, 3) and points.dtype == np.float32
    assert truth.read(tmp_path / "out/car/b__model.npz").shape == (500, 3)
    # One mesh alone, as .mat, with cells.
    flags |= {
        "input": str(tmp_path / "in/chair/a.obj"),
        "output": str(tmp_path / "mat"),
    }
    programs.run_inside(densify, **flags | {"format": "mat", "voxel_size": 0.2})
    kept = io.read_mat(tmp_path / "mat/a.mat", "points")
    assert kept.dtype == np.float64 and 10 < len(kept) < 500


def test_a_broken_mesh_stops_the_program_or_is_left_out(tmp_path, capsys):
    box(tmp_path / "in", name="chair/a.obj")
    (tmp_path / "in/chair/b.obj").write_text("v 0 0 0\nv 1 0 0\nv 2 0 0\nf 1 2 3\n")
    flags = {"input": str(tmp_path / "in"), "output": str(tmp_path / "out"), **FLAGS}
    with pytest.raises(ValueError, match="b.obj"):
        programs.run_inside(densify, **flags)
    programs.run_inside(densify, **flags | {"skip_broken": True})
    told = capsys.readouterr()
    assert "left out: " in told.err and "b.obj" in told.err
    assert "1 cloud(s)" in told.out and "1 broken" in told.out
    assert not (tmp_path / "out/chair/b.npz").exists()


def test_no_mesh_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such mesh or folder"):
        densify.find_objects(str(tmp_path / "none"))
    with pytest.raises(FileNotFoundError, match="no mesh; expected"):
        densify.find_objects(str(tmp_path))
    for suffix in (".obj", ".ply"):
        box(tmp_path, name=f"chair/a{suffix}")
    with pytest.raises(ValueError, match="both called chair/a"):
        densify.find_objects(str(tmp_path))
