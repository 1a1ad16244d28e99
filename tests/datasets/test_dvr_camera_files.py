"""Claims of datasets.dvr.camera_files."""

import numpy as np
import pytest

from datasets.dvr import camera_files
from tests.datasets.dvr_scenes import CENTER, SCALE, SIZE, ball_cameras, write_ball
from tfrender import cameras, io


@pytest.fixture
def arrays(tmp_path):
    write_ball(tmp_path, depth=None)
    return io.read_npz(tmp_path / "cameras.npz")


def save(folder, arrays):
    np.savez(folder / "cameras.npz", **arrays)
    return folder / "cameras.npz"


def test_cameras_of_object_space_come_back_from_a_scaled_world(tmp_path):
    camera, *_ = write_ball(tmp_path, depth=None)
    found = camera_files.read_cameras(tmp_path / "cameras.npz", scaled=True)
    view, projection, scale = camera_files.to_cameras(found.products, SIZE)
    np.testing.assert_allclose(view, camera.world_to_camera, atol=2e-6)
    np.testing.assert_allclose(
        projection[:, [0, 1, 3]], camera.projection.numpy()[:, [0, 1, 3]], atol=5e-6
    )
    np.testing.assert_allclose(scale, SCALE[0, 0], rtol=1e-6)


def test_a_point_lands_on_its_pixel_by_the_formula_of_the_page(tmp_path):
    camera = ball_cameras(5)
    write_ball(tmp_path, depth=None)
    found = camera_files.read_cameras(tmp_path / "cameras.npz")
    s = found.products @ np.append(CENTER, 1.0)
    u, v = s[:, 0] / s[:, 2], s[:, 1] / s[:, 2]
    clip = cameras.project_to_clip(camera, np.float32(CENTER)[None, None])
    pixels = cameras.clip_to_pixel(clip, SIZE)[:, 0].numpy()
    np.testing.assert_allclose((u + 1) / 2 * (SIZE[1] - 1) + 0.5, pixels[:, 0], 1e-5)
    np.testing.assert_allclose((v + 1) / 2 * (SIZE[0] - 1) + 0.5, pixels[:, 1], 1e-5)


def test_intrinsics_may_be_in_the_world_matrix(tmp_path, arrays):
    plain = camera_files.check_cameras(arrays, "x")
    for view in range(5):
        k = arrays[f"camera_mat_{view}"]
        arrays[f"world_mat_{view}"] = k @ arrays[f"world_mat_{view}"]
        arrays[f"camera_mat_{view}"] = np.eye(4)
    moved = camera_files.check_cameras(arrays, "x")
    np.testing.assert_allclose(moved.products, plain.products, rtol=1e-12)


def test_eyes_stand_where_the_cameras_do(tmp_path):
    camera, *_ = write_ball(tmp_path, depth=None)
    found = camera_files.read_cameras(tmp_path / "cameras.npz")
    eyes = camera_files.eyes(found.products)
    np.testing.assert_allclose(np.linalg.norm(eyes, axis=-1), 2.4, rtol=1e-5)
    matrix = camera.world_to_camera.numpy()
    np.testing.assert_allclose(
        eyes, -np.einsum("bij,bi->bj", matrix[:, :3, :3], matrix[:, :3, 3]), atol=1e-5
    )


def change(arrays, name, value):
    arrays[name] = value(arrays[name]) if callable(value) else value


@pytest.mark.parametrize(
    "name, value, message",
    [
        ("camera_mat_2", np.eye(3), r"expected camera_mat_2 4x4; got float64 \[3, 3\]"),
        ("world_mat_1", np.full([4, 4], np.nan), "world_mat_1 is not finite"),
        ("world_mat_3", lambda m: m * [[1], [1], [0], [1]], "world_mat_3 cannot be"),
        (
            "scale_mat_0",
            lambda m: m * [[1], [1], [1], [2]],
            "last row 0 0 0 1 in scale",
        ),
        ("world_mat_4", lambda m: m * [[1], [1], [-1], [1]], "view 4 has the cube"),
    ],
)
def test_each_matrix_is_checked_and_named(tmp_path, arrays, name, value, message):
    change(arrays, name, value)
    path = save(tmp_path, arrays)
    with pytest.raises(io.FormatError, match=message) as error:
        camera_files.read_cameras(path)
    assert str(path) in str(error.value)


def test_missing_matrices_are_named(tmp_path, arrays):
    kept = {k: v for k, v in arrays.items() if not k.endswith(("mat_2", "mat_3"))}
    with pytest.raises(io.FormatError, match="views 0 to 4; missing 2, 3"):
        camera_files.read_cameras(save(tmp_path, kept))
    kept = {k: v for k, v in arrays.items() if k != "scale_mat_3"}
    with pytest.raises(io.FormatError, match="expected scale_mat_3; it is missing"):
        camera_files.read_cameras(save(tmp_path, kept))
    with pytest.raises(io.FormatError, match="world_mat_0.*; found K"):
        camera_files.read_cameras(save(tmp_path, {"K": np.eye(3)}))
    kept = {k: v for k, v in arrays.items() if "scale" not in k}
    with pytest.raises(io.FormatError, match="make_dvr_scene --rescale"):
        camera_files.read_cameras(save(tmp_path, kept), scaled=True)
