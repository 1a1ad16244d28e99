"""Claims of tools.fit_mesh."""

import json
import subprocess
import sys

import pytest

from tfrender import io


def run(*flags):
    return subprocess.run(
        [sys.executable, "-m", "tools.fit_mesh", *flags], capture_output=True, text=True
    )


@pytest.mark.timeout(240)
def test_a_short_fit_gets_closer_and_writes_what_it_says(tmp_path):
    target = tmp_path / "fit"
    settings = ("--steps=12", "--image_size=24", "--level=2")
    done = run(f"--output_dir={target}", *settings)
    assert done.returncode == 0, done.stderr
    scores = json.loads((target / "scores.json").read_text())
    assert scores["end"]["iou"] > scores["start"]["iou"] + 0.02
    assert scores["end"]["color_error"] < scores["start"]["color_error"]
    for name in ("mesh.obj", "mesh.glb"):
        mesh = io.load_mesh(target / name)
        assert mesh.vertices.shape == (162, 3) and mesh.faces.shape == (320, 3)
    assert io.read_image(target / "fit.png").ndim == 3


def test_a_missing_mesh_is_one_line(tmp_path):
    done = run(f"--output_dir={tmp_path / 'fit'}", f"--mesh={tmp_path / 'no.obj'}")
    assert done.returncode == 1 and "no.obj" in done.stderr
    assert "Traceback" not in done.stderr and not (tmp_path / "fit").exists()
