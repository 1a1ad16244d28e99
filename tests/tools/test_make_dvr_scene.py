"""Claims of tools.make_dvr_scene."""

import math

import numpy as np
import pytest

from datasets.dvr import camera_files, layouts, views
from tests.datasets.dvr_scenes import CENTER, RADIUS, SCALE, write_ball
from tests.datasets.shapes import write_hook
from tests.datasets.test_dvr_own_pictures import write_photos
from tests.tools import dvr_programs
from tfrender import io

make = dvr_programs.make_scene


def read(folder, layout="dtu"):
    (item,) = layouts.find_objects(folder)
    settings = views.Settings(layouts.LAYOUTS[layout], scaled=layout == "dtu")
    return views.read_object(item, settings)


def test_one_mesh_is_one_scene(tmp_path, capsys):
    write_hook(tmp_path / "a.obj")
    make(mesh=[str(tmp_path / "a.obj")], output=str(tmp_path / "out"), views=3)
    found = read(tmp_path / "out")
    assert found.images.shape == (3, 12, 16, 3) and found.notes == []
    assert (tmp_path / "out/pointcloud.npz").exists()
    assert "1 object of 3 views" in capsys.readouterr().out
    with pytest.raises(FileExistsError, match="--output"):
        make(mesh=[str(tmp_path / "a.obj")], output=str(tmp_path / "out"))


def test_folders_of_meshes_are_classes_with_lists(tmp_path):
    for number in range(4):
        write_hook(tmp_path / f"in/chair/{number}.obj", 1.0 + number)
    make(
        mesh=[str(tmp_path / "in")],
        output=str(tmp_path / "out"),
        layout="nmr",
        views=2,
        points=0,
        image_size=["8", "8"],
    )
    objects = layouts.find_objects(tmp_path / "out")
    assert [item.name for item in objects] == [f"chair/{i}" for i in range(4)]
    splits = layouts.split_objects(objects, layouts.SPLITS["nmr"])
    assert {split: len(own) for split, own in splits.items()} == {
        "train": 2,
        "validation": 1,
        "test": 1,
    }


def test_several_meshes_become_scenes(tmp_path):
    for name in ("a", "b"):
        write_hook(tmp_path / f"in/{name}.obj")
    make(mesh=[str(tmp_path / "in")], output=str(tmp_path / "out"), views=2, points=0)
    objects = layouts.find_objects(tmp_path / "out")
    assert [item.name for item in objects] == ["scenes/a", "scenes/b"]


def test_photos_with_a_model_become_a_scene(tmp_path, capsys):
    write_photos(tmp_path)
    make(
        images=str(tmp_path / "images"),
        masks=str(tmp_path / "masks"),
        colmap=str(tmp_path / "sparse"),
        output=str(tmp_path / "out"),
    )
    found = read(tmp_path / "out")
    assert found.notes == [] and len(found.sparse) == 4
    printed = capsys.readouterr().out
    assert "unit cube: centre" in printed and "59 points on the masks" in printed
    scale = io.read_npz(tmp_path / "out/cameras.npz")["scale_mat_0"]
    np.testing.assert_allclose(scale[:3, 3], CENTER, atol=0.05)
    assert 0.5 < scale[0, 0] / (2 * RADIUS) < 1.3


def test_photos_with_a_table_become_a_scene(tmp_path, capsys):
    write_ball(tmp_path / "ball", 5, scale=None, depth=None)
    rows = [f"{77 * i},{-20 + 10 * i},2.4" for i in range(5)]
    (tmp_path / "p.csv").write_text("azimuth,elevation,distance\n" + "\n".join(rows))
    flags = {
        "images": str(tmp_path / "ball/image"),
        "masks": str(tmp_path / "ball/mask"),
        "poses": str(tmp_path / "p.csv"),
        "fov": 32.0,
    }
    make(**flags, output=str(tmp_path / "out"))
    assert "(the masks)" in capsys.readouterr().out
    assert read(tmp_path / "out").notes == []
    given = {"center": ["0", "0", "0"], "radius": 0.5}
    make(**flags, **given, output=str(tmp_path / "given"))
    found = camera_files.read_cameras(tmp_path / "given/cameras.npz", scaled=True)
    np.testing.assert_array_equal(found.scales[0], np.eye(4))
    ball = camera_files.read_cameras(tmp_path / "ball/cameras.npz")
    np.testing.assert_allclose(found.products, ball.products, atol=1e-5)


def test_rescale_finds_the_object_of_a_scene_without_matrices(tmp_path):
    write_ball(tmp_path, 8, depth=None)
    before = io.read_npz(tmp_path / "cameras.npz")
    bare = {k: v for k, v in before.items() if not k.startswith("scale")}
    np.savez(tmp_path / "cameras.npz", **bare)
    make(rescale=str(tmp_path))
    after = io.read_npz(tmp_path / "cameras.npz")
    assert after.keys() == before.keys()
    world = SCALE[:3, :3] @ CENTER + SCALE[:3, 3]
    scale = after["scale_mat_3"]
    assert np.linalg.norm(scale[:3, 3] - world) < 0.1 * SCALE[0, 0]
    assert read(tmp_path).notes == []
    make(rescale=str(tmp_path), center=["1", "2", "3"], radius=4.0)
    np.testing.assert_array_equal(
        io.read_npz(tmp_path / "cameras.npz")["scale_mat_0"][:3],
        [[8, 0, 0, 1], [0, 8, 0, 2], [0, 0, 8, 3]],
    )


@pytest.mark.parametrize(
    "flags, message",
    [
        ({}, "expected one of --mesh, --images and --rescale; got none"),
        ({"mesh": ["a"], "images": "b"}, "got --mesh, --images"),
        ({"mesh": ["a"], "output": "x", "fov": math.nan}, "--fov: expected a finite"),
        ({"mesh": ["a"]}, "--output: expected a folder"),
        ({"mesh": ["a"], "output": "x", "poses": "p"}, "--poses is for --images"),
        ({"images": "a", "output": "x", "views": 3}, "--views is for --mesh"),
        ({"mesh": ["a"], "output": "x", "radius": 1.0}, "--center and --radius are"),
        ({"rescale": "a", "output": "x"}, "leave out --output"),
        ({"images": "a", "output": "x"}, "either --colmap or --poses"),
        (
            {"mesh": ["a"], "output": "x", "elevation_range": ["9", "3"]},
            "--elevation_range: expected",
        ),
        ({"mesh": ["a"], "output": "x", "image_size": ["9"]}, "expected 2 numbers"),
        ({"mesh": ["a"], "output": "x", "image_size": ["9", "1"]}, "2 to 4096"),
    ],
)
def test_wrong_flags_are_told(tmp_path, monkeypatch, flags, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=message):
        make(**flags)
    assert not list(tmp_path.iterdir())
