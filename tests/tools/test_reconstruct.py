"""Claims of tools.reconstruct."""

import os

import numpy as np
import pytest

from tests.tools import programs
from tests.tools import reconstruction_records as made
from tfrender import io
from tools import reconstruct, shape_views

BALL = 19  # pixels of 64: radius of the network's answer, seen from its distance


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A network that answers a ball, and a picture of one: red, blue on top."""
    root = tmp_path_factory.mktemp("reconstruct")
    made.write_network(root / "models/ball")
    row = np.arange(64) - 31.5
    picture = np.zeros((64, 64, 4), np.uint8)
    picture[np.hypot(row[:, None], row) < BALL] = (200, 20, 20, 255)
    picture[:24][picture[:24, :, 3] > 0] = (20, 20, 200, 255)
    io.write_png(root / "ball.png", picture)
    return root


def run(root, **flags):
    given = {
        "input": str(root / "ball.png"),
        "output_image": None,
        "output_obj": None,
        "output_glb": None,
        "output_gif": None,
        "model": str(root / "models/ball"),
        "model_directory": "./data/models",
        "experiment_id": None,
        "azimuths": None,
        "crop": "auto",
        "object_side": 40.0,
        "background": "auto",
        "keep_all": False,
        "colors": "auto",
        "seed": 0,
        "gpu": 0,
    }
    programs.run_inside(reconstruct, **{**given, **flags})


def test_the_published_command_writes_a_coloured_mesh_and_its_views(root, tmp_path):
    files = tmp_path / "out.png", tmp_path / "out.obj"
    done = programs.launch(
        "tools.reconstruct",
        *("-d", root / "models", "-eid", "ball", "-i", root / "ball.png"),
        *("-oi", files[0], "-oo", files[1], "-s", "0", "-g", "0"),
    )
    assert done.returncode == 0, done.stderr
    assert "642 vertices, 1280 faces, seen from azimuth" in done.stdout
    assert io.read_image(files[0]).shape == (256, 256, 3)
    lines = files[1].read_text().splitlines()
    assert [line[:2] for line in lines] == ["v "] * 642 + ["f "] * 1280
    mesh = io.load_mesh(files[1])
    np.testing.assert_allclose(np.linalg.norm(mesh.vertices, axis=-1), 0.3, rtol=1e-3)
    top, bottom = mesh.vertices[:, 1] > 0.28, mesh.vertices[:, 1] < -0.25
    assert (mesh.vertex_colors[top][:, 2] > 0.7).all()
    assert (mesh.vertex_colors[bottom][:, 0] > 0.7).all()


def test_all_outputs_and_a_white_mesh(root, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(shape_views, "TURNTABLE_SIZE", 24)
    monkeypatch.setattr(shape_views, "TURNTABLE_DEG", (0.0, 90.0))
    names = {"image": "a.png", "obj": "a.ply", "glb": "a.glb", "gif": "a.gif"}
    flags = {f"output_{key}": str(tmp_path / name) for key, name in names.items()}
    run(root, **flags, colors="none", azimuths=["0", "-45.5"])
    assert sorted(os.listdir(tmp_path)) == ["a.gif", "a.glb", "a.ply", "a.png"]
    assert "no colours" in capsys.readouterr().out
    sheet = io.read_image(tmp_path / "a.png")
    assert sheet.shape == (64, 128, 3)
    assert np.ptp(sheet.astype(int), axis=-1).max() == 0  # grey
    for name in ("a.ply", "a.glb"):
        mesh = io.load_mesh(tmp_path / name)
        assert mesh.vertices.shape == (642, 3) and mesh.faces.shape == (1280, 3)


def test_pictures_reach_the_network_as_they_are_or_framed(root, tmp_path):
    path = str(root / "ball.png")
    cutout, box = reconstruct.read_object(path, "auto", False, "auto", 0.625)
    assert box == (0, 0, 64)
    picture = io.read_image(path).astype(np.float32) / 255
    np.testing.assert_allclose(cutout.image, picture, atol=1e-6)
    _, box = reconstruct.read_object(path, "auto", False, "object", 0.625)
    assert box.side == pytest.approx(2 * BALL / 0.625, abs=0.5)
    _, larger = reconstruct.read_object(path, "auto", False, "object", 0.75)
    assert larger.side == pytest.approx(2 * BALL / 0.75, abs=0.5)
    white = np.where(picture[..., 3:] > 0, picture[..., :3], 1.0)
    other = str(tmp_path / "white.png")
    io.write_png(other, white)
    _, found = reconstruct.read_object(other, "auto", False, "auto", 0.625)
    assert found == box


@pytest.mark.parametrize(
    ("colors", "expected"),
    [((0, 0, 0), False), ((255, 255, 255), False), ((200, 20, 20), True)],
)
def test_a_silhouette_has_no_colours(colors, expected):
    photo = np.zeros((16, 16, 4), np.float32)
    photo[4:12, 4:12] = (*np.float32(colors) / 255, 1.0)
    assert reconstruct.has_colors(photo) is expected
    photo[4:6, 4:12, :3] = 0.5
    assert reconstruct.has_colors(photo)


def png(path, picture):
    io.write_png(path, np.asarray(picture, np.uint8))
    return str(path)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"output_obj": None}, "at least one of --output_obj, --output_glb"),
        ({"output_obj": "{out}/m.stl"}, "--output_obj: expected a name that ends"),
        ({"output_obj": "{out}/no/m.obj"}, "--output_obj: there is no folder"),
        ({"output_obj": "/proc/m.obj"}, "--output_obj: cannot write into /proc"),
        (
            {"output_image": "{out}/folder.png"},
            "--output_image: expected a file; .* is a folder",
        ),
        ({"output_glb": "{out}/n.obj"}, "--output_glb: expected"),
        ({"output_obj": "{out}/m.glb", "output_glb": "{out}/m.glb"}, "a file for each"),
        ({"azimuths": ["0", "400"]}, "--azimuths: expected 1 to 360 numbers"),
        ({"azimuths": ["nan"]}, "--azimuths: expected"),
        ({"azimuths": []}, "--azimuths: expected"),
        ({"background": "1,2"}, "--background: expected auto, alpha or three"),
        ({"background": "1,2,256"}, "--background: expected"),
        ({"experiment_id": "x"}, "expected one of the two; got both"),
        ({"model": "{out}"}, "expected saved_model.pb, or a run"),
        ({"input": "{out}/none.png"}, "none.png"),
        ({"input": "{out}/clear.png"}, "clear.png: expected a picture of an object"),
        ({"input": "{out}/cut.png"}, "cut.png: expected a whole PNG"),
        ({"input": "{out}/a.gif"}, "a.gif: expected a PNG or JPEG"),
        ({"colors": "model"}, "--colors=model: expected a model with colours"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(root, tmp_path, flags, message):
    (tmp_path / "folder.png").mkdir()
    png(tmp_path / "clear.png", np.zeros((64, 64, 4)))
    whole = (root / "ball.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "a.gif").write_bytes(b"GIF89a" + bytes(50))
    before = sorted(os.listdir(tmp_path))
    flags = {"output_obj": "{out}/m.obj", **flags}
    given = {
        name: value.format(out=tmp_path) if isinstance(value, str) else value
        for name, value in flags.items()
    }
    with pytest.raises((ValueError, OSError), match=message):
        run(root, **given)
    assert sorted(os.listdir(tmp_path)) == before


def test_outputs_are_checked_before_anything_is_read(root, tmp_path):
    with pytest.raises(FileNotFoundError, match="--output_obj"):
        run(root, output_obj=str(tmp_path / "no/m.obj"), input="none", model="none")


def test_doubts_are_told_and_the_work_goes_on(root, tmp_path, capsys):
    picture = np.full((80, 200, 3), 255)
    picture[20:60, 20:60] = (200, 30, 30)
    picture[30:50, 120:150] = (30, 30, 200)
    path = png(tmp_path / "two.png", picture)
    run(root, input=path, output_obj=str(tmp_path / "m.obj"))
    told = capsys.readouterr().err.splitlines()
    assert told[0].startswith(f"warning: {path}: 2 objects of 1600, 600 pixels")
    # A ball looks alike from everywhere.
    assert "may be on the wrong side" in told[1] or "misplaced" in told[1]
    assert (tmp_path / "m.obj").exists()
