"""Claims of tools.fit_mesh."""

import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from tfrender import io
from tfrender.geometry import edge_topology
from tfrender.ops import default_form
from tools import fit_mesh


def run(*flags):
    return subprocess.run(
        [sys.executable, "-m", "tools.fit_mesh", *flags], capture_output=True, text=True
    )


@pytest.mark.slow  # the guide's blocks run a shorter one in tests/test_docs.py
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


@pytest.mark.parametrize("level", [0, 1, 3])
def test_the_sphere_is_closed_even_and_turned_outwards(level):
    vertices, faces = fit_mesh.icosphere(level, radius=0.5)
    assert len(vertices) == 10 * 4**level + 2 and len(faces) == 20 * 4**level
    np.testing.assert_allclose(np.linalg.norm(vertices, axis=-1), 0.5, rtol=1e-6)
    topology = edge_topology(faces, len(vertices))
    assert not len(topology.boundary) and (topology.face_count == 2).all()
    ends = vertices[topology.edges]
    length = np.linalg.norm(ends[:, 0] - ends[:, 1], axis=-1)
    assert length.max() < 1.3 * length.min()
    assert (np.linalg.det(vertices[faces]) > 0.0).all()


def test_the_cameras_stand_all_around_and_look_at_the_object():
    view = fit_mesh.ring(8, 11.25).world_to_camera.numpy()
    eye = -np.einsum("bji,bj->bi", view[:, :3, :3], view[:, :3, 3])
    distance = np.linalg.norm(eye, axis=-1)
    np.testing.assert_allclose(distance, fit_mesh.DISTANCE, rtol=1e-5)
    np.testing.assert_allclose(view[:, :2, 3], 0.0, atol=1e-5)
    azimuth = np.degrees(np.arctan2(eye[:, 0], -eye[:, 2])) % 360
    np.testing.assert_allclose(azimuth, 11.25 + 45.0 * np.arange(8), atol=1e-3)
    assert (eye[1::2, 1] > eye[::2, 1]).all()


def test_scores_of_a_picture_with_itself_with_half_and_with_nothing():
    alpha = np.zeros([2, 4, 5, 1], np.float32)
    alpha[:, 1:3, 1:4] = 1.0
    rgb = np.random.default_rng(0).uniform(0, 1, (2, 4, 5, 3)).astype(np.float32)
    shots = fit_mesh.Photographs(None, tf.constant(rgb), tf.constant(alpha))
    half = alpha.copy()
    half[0, 1] = 0.0
    for mask, iou, error in ((alpha, 1.0, 0.0), (half, 0.75, 0.0), (0 * alpha, 0, 1.0)):
        got = fit_mesh.judge(shots._replace(alpha=tf.constant(mask)), shots)
        assert got == {"iou": iou, "color_error": error}


@pytest.mark.parametrize("renderer", fit_mesh.RENDERERS)
def test_every_renderer_gives_shape_and_colour_a_gradient(renderer):
    alpha = np.zeros([2, 12, 12, 1], np.float32)
    alpha[:, 2:10, 3:6] = 1.0
    rgb = alpha * np.float32([1.0, 0.5, 0.0])
    shots = fit_mesh.Photographs(fit_mesh.ring(2), tf.constant(rgb), tf.constant(alpha))
    fit = fit_mesh.Fit(fit_mesh.renderer(renderer, 12), level=0, steps=1)
    with default_form("graph"), tf.GradientTape() as tape:
        loss = fit.loss(shots, tf.constant(1e-3))
    for slope in tape.gradient(loss, fit.variables):
        assert np.isfinite(slope).all() and np.abs(slope).max() > 1e-4
