"""Claims of tools.voxelize."""

import pathlib
import subprocess
import sys

import pytest

import tfrender
from tfrender import geometry, io
from tools import voxelize

CHAIR = pathlib.Path(tfrender.__file__).parent / "assets/meshes/chair"
CHAIR = CHAIR / "scopia_children_chair.obj"


def run(*flags):
    return subprocess.run(
        [sys.executable, "-m", "tools.voxelize", *flags], capture_output=True, text=True
    )


@pytest.fixture
def folder(tmp_path):
    source = tmp_path / "in"
    (source / "deep").mkdir(parents=True)
    mesh = io.load_mesh(CHAIR)
    io.save_mesh(source / "a.ply", mesh.vertices, mesh.faces)
    io.save_mesh(source / "deep" / "b.obj", mesh.vertices, mesh.faces)
    (source / "readme.txt").write_text("no mesh")
    return source


def test_one_mesh_becomes_the_grid_of_the_library(tmp_path):
    target = tmp_path / "x.binvox"
    count = voxelize.convert(CHAIR, target, 32)
    found = io.read_binvox(target)
    mesh = io.load_mesh(CHAIR)
    expected = geometry.voxelize(mesh.vertices, mesh.faces, 32)
    assert (found.occupancy == expected.occupancy).all()
    assert count == expected.occupancy.sum()
    assert found.scale == expected.scale
    assert (found.translate == expected.translate).all()


def test_the_plan_keeps_the_structure_of_folders(folder, tmp_path):
    out = tmp_path / "out"
    pairs = voxelize.plan(folder, out)
    assert pairs == [
        (folder / "a.ply", out / "a.binvox"),
        (folder / "deep" / "b.obj", out / "deep" / "b.binvox"),
    ]
    single = voxelize.plan(folder / "a.ply", out)
    assert single == [(folder / "a.ply", out / "a.binvox")]
    named = voxelize.plan(folder / "a.ply", tmp_path / "y.binvox")
    assert named == [(folder / "a.ply", tmp_path / "y.binvox")]


def test_two_meshes_of_one_name_are_refused(folder, tmp_path):
    (folder / "a.stl").write_bytes(b"")
    with pytest.raises(ValueError, match="both"):
        voxelize.plan(folder, tmp_path / "out")


def test_nothing_to_do_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file ends in"):
        voxelize.plan(tmp_path, tmp_path / "out")
    with pytest.raises(FileNotFoundError, match="no such file"):
        voxelize.plan(tmp_path / "none", tmp_path / "out")


def test_broken_meshes_are_skipped_on_request_and_counted(folder, tmp_path, capsys):
    out = tmp_path / "out"
    (folder / "bad.obj").write_text("v 0 0 0\n")
    pairs = voxelize.plan(folder, out)
    assert voxelize.convert_all(pairs, True, resolution=16) == (2, 1)
    printed = capsys.readouterr()
    assert "bad.obj" in printed.err and "[3/3]" in printed.out
    assert sorted(p.name for p in out.rglob("*.*")) == ["a.binvox", "b.binvox"]
    assert io.read_binvox(out / "a.binvox").occupancy.shape == (16, 16, 16)
    with pytest.raises(io.FormatError, match=r"bad\.obj"):
        voxelize.convert_all(pairs)


def test_the_program_converts_and_stops_at_a_broken_mesh(folder, tmp_path):
    (folder / "bad.obj").write_text("v 0 0 0\n")
    done = run(f"--input={folder}", f"--output={tmp_path}/out", "--mode=surface")
    last = done.stderr.splitlines()[-1]
    assert done.returncode == 1 and last.startswith("error: ") and "bad.obj" in last
    assert "Traceback" not in done.stderr and "[1/3]" in done.stdout
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["a.binvox"]


def test_a_mesh_without_extent_is_named(tmp_path):
    path = tmp_path / "point.obj"
    path.write_text("v 1 1 1\nf 1 1 1\n")
    with pytest.raises(io.FormatError, match=r"point\.obj"):
        voxelize.convert(path, tmp_path / "x.binvox")
    assert not (tmp_path / "x.binvox").exists()
