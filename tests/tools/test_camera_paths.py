"""Claims of tools.camera_paths."""

import json

import numpy as np
import pytest

from datasets.dvr import camera_files
from tfrender import cameras
from tfrender.io import FormatError, LimitError
from tools import camera_paths

SIZE = (6, 8)


def matrices(camera):
    return [np.asarray(part) for part in camera]


def write_json(tmp_path, camera, **change):
    path = tmp_path / "path.json"
    view, projection = (part.tolist() for part in matrices(camera))
    content = {"world_to_camera": view, "projection": projection, **change}
    path.write_text(json.dumps({k: v for k, v in content.items() if v is not None}))
    return str(path)


def test_an_orbit_goes_round_at_one_height_and_distance():
    camera = camera_paths.orbit(4, SIZE, 10.0, 20.0, 3.0, 50.0)
    view, projection = matrices(camera)
    eyes = -np.einsum("vji,vj->vi", view[:, :3, :3], view[:, :3, 3])
    np.testing.assert_allclose(np.linalg.norm(eyes, axis=1), 3.0, rtol=1e-6)
    np.testing.assert_allclose(eyes[:, 1], 3.0 * np.sin(np.radians(20.0)), rtol=1e-6)
    around = np.degrees(np.arctan2(eyes[:, 0], -eyes[:, 2])) % 360
    np.testing.assert_allclose(around, [10, 100, 190, 280], atol=1e-4)
    assert projection.shape == (4, 4, 4)
    focal = 1 / np.tan(np.radians(25.0))
    np.testing.assert_allclose(projection[:, 0, 0], focal * 6 / 8, rtol=1e-6)


def test_files_of_both_forms_hold_the_same_cameras(tmp_path):
    camera = camera_paths.orbit(3, SIZE)
    path = str(tmp_path / "cameras.npz")
    camera_files.write_cameras(path, *cameras.to_dvr(camera, SIZE))
    points = np.random.default_rng(0).uniform(-0.5, 0.5, (1, 9, 3)).astype(np.float32)
    pixels = []
    for found in (
        camera,
        camera_paths.read(path, SIZE),
        camera_paths.read(write_json(tmp_path, camera), SIZE),
    ):
        clip = cameras.project_to_clip(found, points)
        pixels.append(cameras.clip_to_pixel(clip, SIZE))
    np.testing.assert_allclose(pixels[1], pixels[0], atol=1e-4)
    np.testing.assert_allclose(pixels[2], pixels[0], atol=1e-6)


def test_one_projection_serves_all_views(tmp_path):
    camera = camera_paths.orbit(3, SIZE)
    one = np.asarray(camera.projection)[0].tolist()
    found = camera_paths.read(write_json(tmp_path, camera, projection=one), SIZE)
    np.testing.assert_array_equal(found.projection, camera.projection)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"count": 0}, "--n_views: expected a value in"),
        ({"elevation_deg": 91.0}, r"--elevation: .*\[-90, 90\]; got 91"),
        ({"distance": 0.0}, "--distance"),
        ({"fov_deg": 180.0}, "--fov"),
        ({"azimuth_deg": float("nan")}, "--azimuth"),
    ],
)
def test_an_orbit_out_of_range_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        camera_paths.orbit(**{"count": 2, "image_size": SIZE, **change})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"projection": None}, "expected one object of world_to_camera and projection"),
        ({"fov": 3}, "expected one object of world_to_camera and projection"),
        ({"projection": [[1.0]]}, "projection must be a list of 4x4 matrices"),
        ({"projection": "wide"}, "projection must be a list of 4x4"),
        ({"projection": []}, "projection must be a list of 4x4"),
        ({"projection": 2 * [np.eye(4).tolist()]}, "one projection or 3; got 2"),
        ({"projection": np.zeros((4, 4)).tolist()}, "of view 0 has no extent"),
        (
            {"world_to_camera": 3 * [(2 * np.eye(4)).tolist()]},
            "world_to_camera of view 0 must be a rotation",
        ),
        (
            {"world_to_camera": 3 * [np.diag([1.0, 1.0, -1.0, 1.0]).tolist()]},
            "of view 0 must be a rotation",
        ),
        ({"projection": [4 * [4 * [float("nan")]]]}, "must hold finite numbers"),
    ],
)
def test_a_bad_camera_file_is_named(tmp_path, change, message):
    path = write_json(tmp_path, camera_paths.orbit(3, SIZE), **change)
    with pytest.raises(FormatError, match=message) as caught:
        camera_paths.read(path, SIZE)
    assert "path.json" in str(caught.value) and "\n" not in str(caught.value)


def test_files_that_are_no_cameras_are_named(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="--camera_path: expected orbit, a .npz"):
        camera_paths.read("spiral", SIZE)
    with pytest.raises(FileNotFoundError, match="--camera_path: no such file"):
        camera_paths.read(str(tmp_path / "none.npz"), SIZE)
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(FormatError, match="expected JSON"):
        camera_paths.read(str(tmp_path / "a.json"), SIZE)
    monkeypatch.setattr(camera_paths, "_LARGEST_FILE", 0)
    with pytest.raises(LimitError, match="at most 0 bytes"):
        camera_paths.read(str(tmp_path / "a.json"), SIZE)
