"""Claims of tools.unpack_furniture."""

import zipfile

import numpy as np
import pytest

from tests.tools import programs
from tfrender import io
from tools import unpack_furniture

CATALOGUE = """
id#1=a
name#1=Desk lamp
category#1=Lights
model#1=/things/lamp/lamp.obj
name#2 = Oak chair
model#2=/things/chair/chair.obj
modelRotation#2=0 0 1 0 1 0 -1 0 0
name#3=Broken
model#3=/things/broken/broken.obj
"""
TRIANGLE = "mtllib a.mtl\nv 1 2 3\nv 2 2 3\nv 1 4 3\nf 1 2\nf 1 2 3\n"


@pytest.fixture
def package(tmp_path):
    with zipfile.ZipFile(tmp_path / "Shop.sh3f", "w") as archive:
        archive.writestr("PluginFurnitureCatalog.properties", CATALOGUE)
        for name in ("lamp", "chair"):
            archive.writestr(f"things/{name}/{name}.obj", TRIANGLE)
        archive.writestr("things/broken/broken.obj", "v 0 0 0\n")
    return {
        "package_dir": str(tmp_path),
        "output": str(tmp_path / "out"),
        "list": None,
        "by_class": False,
    }


def unpacked(flags):
    programs.run_inside(unpack_furniture, **flags)
    folder = unpack_furniture.pathlib.Path(flags["output"])
    found = {str(p.relative_to(folder)): p for p in folder.rglob("*.obj")}
    return {name: io.load_mesh(path) for name, path in sorted(found.items())}


def test_models_are_turned_to_our_front_and_lose_lines(package, capsys):
    found = unpacked(package)
    assert list(found) == ["Shop/chair.obj", "Shop/lamp.obj"]
    lamp = found["Shop/lamp.obj"]
    np.testing.assert_array_equal(lamp.faces, [[0, 1, 2]])
    np.testing.assert_array_equal(lamp.vertices[0], [-1, 2, -3])  # half a turn
    np.testing.assert_array_equal(found["Shop/chair.obj"].vertices[0], [-3, 2, 1])
    printed = capsys.readouterr()
    assert "2 meshes" in printed.out and "broken.obj" in printed.err


def test_a_folder_for_each_class(package, capsys):
    found = unpacked({**package, "by_class": True})
    assert list(found) == ["chair/Shop-chair.obj", "lamp/Shop-lamp.obj"]
    assert "chair: 1\nlamp: 1\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("Desk lamp", "lamp"),
        ("Bedside table", "cabinet"),
        ("Glass door cabinet", "cabinet"),
        ("Baby high chair", "chair"),
        ("Armchair", "chair"),
        ("Piano bench", "bench"),
        ("Workbench", "table"),
        ("Seat Leon", "car"),
        ("Card game", "other"),
        ("Wheelchair", "other"),
        ("Futon couch", "sofa"),
        ("Opened convertible sofa BZ", "bed"),
        ("Screen door", "door"),
        ("TV stand", "cabinet"),
        ("TV remote control", "other"),
        ("Little bank", "bench"),
        ("Toilets unit", "sanitary"),
        ("Two chairs", "chair"),
    ],
)
def test_the_name_tells_the_class(name, kind):
    assert unpack_furniture.class_of(name) == kind


def test_a_folder_without_archives_is_named(package, tmp_path):
    (tmp_path / "none").mkdir()
    with pytest.raises(FileNotFoundError, match="none: no .sh3f archive"):
        unpacked({**package, "package_dir": str(tmp_path / "none")})
