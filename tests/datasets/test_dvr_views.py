"""Claims of datasets.dvr.views, depths and sparse_points."""

import numpy as np
import pytest

from datasets.dvr import camera_files, layouts, pictures, views
from tests.datasets.dvr_scenes import (
    CENTER,
    RADIUS,
    SCALE,
    SIZE,
    surface_points,
    write_ball,
)
from tfrender import cameras, io


def read(folder, **changes):
    settings = {"folders": layouts.LAYOUTS["dtu"], "scaled": True, **changes}
    item = layouts.find_objects(folder)[0]
    return views.read_object(item, views.Settings(**settings))


def edit(folder, **changes):
    arrays = {**io.read_npz(folder / "cameras.npz"), **changes}
    np.savez(
        folder / "cameras.npz", **{k: v for k, v in arrays.items() if v is not None}
    )


def ball_distance(depth, found, size):
    """Distance of back-projected depths from the ball, at pixels that have one."""
    rows, columns = np.mgrid[: size[0], : size[1]] + 0.5
    pixels = np.stack([columns, rows], axis=-1).reshape(1, -1, 2).repeat(len(depth), 0)
    camera = cameras.Camera(found.world_to_camera, found.projection)
    origin, direction = cameras.pixel_rays(camera, pixels.astype(np.float32), size)
    flat = depth.reshape(len(depth), -1, 1)
    points = (origin + direction * flat).numpy()[flat[..., 0] > 0]
    return np.abs(np.linalg.norm(points - CENTER, axis=-1) - RADIUS)


def test_a_scene_comes_back_in_object_space(tmp_path):
    camera, images, masks, depths = write_ball(tmp_path)
    found = read(tmp_path)
    np.testing.assert_array_equal(found.images, images)
    np.testing.assert_array_equal(found.masks, masks)
    np.testing.assert_allclose(found.depth, depths, atol=1e-5)
    np.testing.assert_allclose(found.world_to_camera, camera[0], atol=2e-6)
    assert found.numbers == [0, 1, 2, 3, 4] and found.notes == []
    assert found.hull_depth is None and found.sparse is None and found.inputs is None
    assert ball_distance(found.depth, found, SIZE).max() < 1e-4


def test_depths_may_lie_in_one_file(tmp_path):
    *_, depths = write_ball(tmp_path, depth=None)
    assert read(tmp_path).depth is None
    np.savez(tmp_path / "depth.npz", depth=depths * SCALE[0, 0])
    np.testing.assert_allclose(read(tmp_path).depth, depths, atol=1e-5)
    np.savez(tmp_path / "depth.npz", depth=depths[:, 1:])
    with pytest.raises(io.FormatError, match=r"expected depth \[5, 24, 32\]"):
        read(tmp_path)
    np.savez(tmp_path / "depth.npz", z=depths)
    with pytest.raises(io.FormatError, match="expected an array depth; found z"):
        read(tmp_path)


def test_views_are_dropped_before_they_are_counted(tmp_path):
    _, images, *_ = write_ball(tmp_path)
    found = read(tmp_path, ignore_views=(0, 2), views=2)
    assert found.numbers == [1, 3]
    np.testing.assert_array_equal(found.images, images[[1, 3]])
    with pytest.raises(ValueError, match="expected 4 views; there are 3"):
        read(tmp_path, ignore_views=(0, 2), views=4)
    with pytest.raises(ValueError, match="in 0..4; got 5"):
        read(tmp_path, ignore_views=(5,))
    with pytest.raises(ValueError, match="expected 2 views or more; got 1"):
        read(tmp_path, views=1, multi_view=True)


def test_resizing_keeps_the_camera_on_the_picture(tmp_path):
    write_ball(tmp_path, size=(48, 64))
    whole, half = read(tmp_path), read(tmp_path, image_size=24)
    assert half.images.shape[1:3] == half.depth.shape[1:] == (24, 32)
    np.testing.assert_array_equal(half.projection, whole.projection)
    # A nearest depth is that of a pixel centre half a small pixel away.
    assert ball_distance(whole.depth, whole, (48, 64)).max() < 1e-4
    assert np.median(ball_distance(half.depth, half, (24, 32))) < 0.01
    np.testing.assert_array_equal(half.masks, whole.masks[:, 1::2, 1::2])


def test_transparent_pixels_turn_white(tmp_path):
    _, images, masks, _ = write_ball(tmp_path)
    for number, mask in enumerate(masks):
        alpha = mask[..., np.newaxis] * np.uint8(255)
        pixels = np.concatenate([images[number] * (alpha > 0), alpha], axis=-1)
        io.write_png(tmp_path / f"image/{number:04d}.png", pixels)
    np.testing.assert_array_equal(read(tmp_path).images, images)


def test_files_that_do_not_fit_are_named(tmp_path):
    write_ball(tmp_path)
    small = np.ones([4, 5, 3])
    io.write_png(tmp_path / "mask/0003.png", small)
    with pytest.raises(io.FormatError) as error:
        read(tmp_path)
    message = str(error.value)
    assert "mask/0003.png: expected 32 x 24 pixels" in message
    assert "image/0003.png; got 5 x 4" in message
    io.write_png(tmp_path / "image/0003.png", small)
    with pytest.raises(
        io.FormatError, match="0003.png: expected 32 x 24 pixels, as in"
    ):
        read(tmp_path)
    write_ball(tmp_path)
    (tmp_path / "image/0002.png").unlink()
    with pytest.raises(io.FormatError, match="expected 5 files.*got 4; missing 2"):
        read(tmp_path)
    write_ball(tmp_path)
    io.write_depth_exr(tmp_path / "depth/0001.exr", np.ones([3, 3]))
    with pytest.raises(io.FormatError, match="0001.exr: expected 32 x 24 pixels"):
        read(tmp_path)
    (tmp_path / "depth/0001.exr").unlink()
    with pytest.raises(io.FormatError, match="expected 5 files.*missing 1"):
        read(tmp_path)


def test_folders_that_miss_are_named(tmp_path):
    write_ball(tmp_path)
    folders = layouts.LAYOUTS["dtu"]
    for change, message in (
        ({"mask": "masks"}, "masks: no such folder of pictures"),
        ({"depth": "mvs"}, "mvs: no such folder of depth maps"),
        ({"image_extension": "jpg"}, "expected files that end in .jpg; got none"),
    ):
        with pytest.raises(FileNotFoundError, match=message):
            read(tmp_path, folders=folders._replace(**change))
    assert read(tmp_path, folders=folders._replace(depth="")).depth is None


def test_scale_matrices_must_be_there_or_are_the_identity(tmp_path):
    write_ball(tmp_path, scale=None)
    with pytest.raises(io.FormatError, match="expected scale_mat_0"):
        read(tmp_path)
    found = read(tmp_path, scaled=False)
    assert "no scale_mat" in found.notes[0] and found.name in found.notes[0]


def test_empty_and_full_masks_are_told(tmp_path):
    write_ball(tmp_path)
    io.write_png(tmp_path / "mask/0001.png", np.zeros(SIZE, bool))
    io.write_png(tmp_path / "mask/0004.png", np.ones(SIZE, bool))
    notes = " ".join(read(tmp_path).notes)
    assert "empty in view 1." in notes and "full in view 4." in notes
    assert "outside of the unit cube, in view 4;" in notes
    for number in range(5):
        io.write_png(tmp_path / f"mask/{number:04d}.png", np.zeros(SIZE, bool))
    with pytest.raises(io.FormatError, match="mask of every view is empty"):
        read(tmp_path)


def test_mirrored_cameras_are_told(tmp_path):
    write_ball(tmp_path)
    path = tmp_path / camera_files.FILE
    arrays = io.read_npz(path)
    arrays["world_mat_2"] = np.diag([-1.0, 1.0, 1.0, 1.0]) @ arrays["world_mat_2"]
    np.savez(path, **arrays)
    assert "mirror the picture in view 2;" in read(tmp_path).notes[0]


def test_an_object_beside_the_cube_is_refused(tmp_path):
    write_ball(tmp_path)
    moved = SCALE.copy()
    moved[:3, 3] += 60.0
    edit(tmp_path, **{f"scale_mat_{i}": moved for i in range(5)})
    with pytest.raises(
        io.FormatError, match=r"no mask shows the cube.*check scale_mat"
    ):
        read(tmp_path)


def test_a_camera_inside_the_cube_is_told(tmp_path):
    write_ball(tmp_path)
    wide = SCALE * np.array([[10.0], [10.0], [10.0], [1.0]]) * 1.0
    wide[:3, 3] = SCALE[:3, 3]
    edit(tmp_path, **{f"scale_mat_{i}": wide for i in range(5)})
    notes = " ".join(read(tmp_path).notes)
    assert "inside the cube in view 0, 1, 2, 3, 4." in notes


def test_depths_in_other_units_are_told(tmp_path):
    write_ball(tmp_path, depth=None)
    depths = np.full([5, *SIZE], 2.4)  # object units, where the world's are meant
    np.savez(tmp_path / "depth.npz", depth=depths)
    assert "100% of the depths in depth lie outside" in read(tmp_path).notes[0]


def test_sparse_points_are_those_on_the_hull_that_a_view_sees(tmp_path):
    camera, *_ = write_ball(tmp_path, sparse=True)
    found = read(tmp_path)
    points = surface_points(20)
    for view, own in enumerate(found.sparse):
        np.testing.assert_allclose(own.points, points[1 : view + 3], atol=1e-5)
        rays = cameras.pixel_rays(
            cameras.Camera(*(m[view : view + 1] for m in camera)),
            own.pixels[np.newaxis],
            SIZE,
        )
        origin, direction = (ray[0].numpy() for ray in rays)
        reached = origin + direction * own.depth[:, np.newaxis]
        np.testing.assert_allclose(reached, own.points, atol=2e-5)
    small = read(tmp_path, image_size=12)
    np.testing.assert_allclose(small.sparse[2].pixels * 2, found.sparse[2].pixels)


def test_broken_sparse_points_are_refused(tmp_path):
    write_ball(tmp_path, sparse=True)
    arrays = dict(np.load(tmp_path / "pcl.npz"))
    for change, message in (
        ({"visibility_0003": np.array([20])}, "visibility_0003 holds 20"),
        ({"visibility_0003": np.array([0.5])}, "expected indices in visibility_0003"),
        ({"points": np.zeros([20, 2])}, r"expected points \[N, 3\]"),
        ({"is_in_visual_hull": np.ones(3)}, "expected is_in_visual_hull"),
        ({"points": np.full([20, 3], np.nan)}, "a point is not finite"),
    ):
        np.savez(tmp_path / "pcl.npz", **{**arrays, **change})
        with pytest.raises(io.FormatError, match=message):
            read(tmp_path)
    del arrays["visibility_0001"]
    np.savez(tmp_path / "pcl.npz", **arrays)
    with pytest.raises(io.FormatError, match="expected visibility_0001"):
        read(tmp_path)


def test_inputs_are_the_images_or_pictures_of_their_own(tmp_path):
    write_ball(tmp_path, scale=None, inputs=3)
    nmr, choy = layouts.LAYOUTS["nmr"], layouts.LAYOUTS["shapenet"]
    assert read(tmp_path, folders=nmr, scaled=False).inputs is None
    assert len(read(tmp_path, folders=nmr, scaled=False, input_views=2).inputs) == 2
    found = read(tmp_path, folders=choy, scaled=False, ignore_views=(0,))
    files = pictures.list_pictures(tmp_path / "img_choy2016")
    assert found.inputs == [path.read_bytes() for path in files]
    (data, *_) = read(tmp_path, folders=choy, scaled=False, input_size=4).inputs
    assert io.decode_image(data, "x").shape == (4, 4, 3)
    with pytest.raises(ValueError, match="expected 4 pictures; there are 3"):
        read(tmp_path, folders=choy, scaled=False, input_views=4)
