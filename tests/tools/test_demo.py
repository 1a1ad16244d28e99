"""Claims of tools.demo and tools.stock_client."""

import subprocess
import sys

import numpy as np
from PIL import Image

from datasets.rendernet import generation
from tests.models.mini import MINI
from tfrender import models
from tfrender.export import rendernet
from tools import demo, render_dataset, stock_client


def test_the_turntable_turns_every_held_out_object_once(tmp_path, monkeypatch):
    class Flags:
        shard_records, skip_broken = 8, False

    monkeypatch.setattr(render_dataset, "FLAGS", Flags)
    meshes = {name: demo.MESHES / f"{name}.obj" for name in ("a", "b")}
    sources = sorted(demo.MESHES.rglob("*.obj"))[:2]
    meshes = dict(zip(meshes, sources, strict=True))
    settings = generation.ViewSettings(resolution=8, views=2, supersample=1)
    render_dataset._write_records(str(tmp_path), "test", meshes, settings)
    request, objects = demo.turntable_request(tmp_path)
    assert objects == 2
    assert request["voxels"].shape == (2 * demo.FRAMES, 8, 8, 8, 1)
    first, second = np.split(request["voxels"], 2)
    assert (first == first[0]).all() and (second == second[0]).all()
    assert (first[0] != second[0]).any()
    step = np.diff(request["pose"][: demo.FRAMES, 0])
    np.testing.assert_allclose(step, 360 / demo.FRAMES)


def test_the_film_shows_the_objects_side_by_side(tmp_path):
    shaded = np.random.default_rng(0).random((3 * demo.FRAMES, 24, 24, 3), np.float32)
    np.savez(tmp_path / "answer.npz", shaded=shaded)
    demo.write_turntable(tmp_path / "answer.npz", 3, tmp_path / "film.gif")
    with Image.open(tmp_path / "film.gif") as film:
        assert film.n_frames == demo.FRAMES
        assert film.size == (3 * 16, 16)


def test_the_picture_of_the_car_is_cut_out(tmp_path):
    demo.write_picture(tmp_path / "car.png")
    with Image.open(tmp_path / "car.png") as file:
        picture = np.asarray(file)
    assert picture.shape == (64, 64, 4)
    inside = picture[picture[..., 3] == 255]
    assert 0.1 < len(inside) / 64**2 < 0.5
    # A red car, its colours not darkened at the border of its outline.
    red, green, blue = inside[:, :3].mean(0)
    assert red > 1.3 * max(green, blue)
    border = picture[(picture[..., 3] > 60) & (picture[..., 3] < 200)]
    assert border[:, :3].mean() > 0.4 * inside[:, :3].mean()


def test_a_process_without_tfrender_draws_what_the_model_draws(tmp_path):
    model = models.RenderNet(**MINI)
    rendernet.write(str(tmp_path / "model"), model, shaded=True)
    voxels = (np.random.default_rng(1).random((3, 8, 8, 8, 1)) > 0.5).astype("f")
    pose = np.tile(np.float32([250.0, 60.0, 3.3]), (3, 1))
    np.savez(tmp_path / "request.npz", voxels=voxels, pose=pose)
    client = tmp_path / "client.py"  # alone: no checkout beside it
    client.write_text(open(stock_client.__file__).read())
    done = subprocess.run(
        [sys.executable, str(client), "model", "request.npz", "answer.npz"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-500:]
    assert "tfrender imported: False" in done.stdout
    with np.load(tmp_path / "answer.npz") as answer:
        expected = model({"voxels": voxels, "pose": pose})
        np.testing.assert_allclose(answer["image"], expected, atol=1e-5)
