"""The fixed views and the classes."""

import numpy as np
import pytest
import tensorflow as tf

from datasets.mesh_reconstruction import views
from tfrender import cameras


def test_the_cameras_stand_on_a_circle_and_see_the_cube():
    azimuths = views.azimuths_deg()
    assert azimuths.dtype == np.float32 and azimuths.tolist() == list(range(0, 360, 15))
    camera = views.camera(azimuths)
    matrix = camera.world_to_camera.numpy()
    eyes = -np.einsum("bij,bi->bj", matrix[:, :3, :3], matrix[:, :3, 3])
    np.testing.assert_allclose(np.linalg.norm(eyes, axis=-1), 2.732, rtol=1e-5)
    np.testing.assert_allclose(eyes[:, 1], 2.732 / 2, rtol=1e-5)
    assert eyes[0, 2] < -2 and eyes[6, 0] > 2  # front, then towards +X
    # The full angle is 30 degrees: a point 15 degrees off the axis is on the border.
    edge = np.tan(np.radians(15.0)) * 2.732
    point = tf.constant([[[0.0, edge * np.cos(np.pi / 6), edge / 2]]], tf.float32)
    clip = cameras.project_to_clip(views.camera([0.0]), point)
    np.testing.assert_allclose(
        cameras.clip_to_pixel(clip, (64, 64)), [[[32, 0]]], atol=0.1
    )


def test_a_single_full_voxel_is_seen_where_its_centre_is_projected():
    for azimuth in (0.0, 75.0, 210.0):
        for cell in ((3, 28, 9), (20, 5, 30)):
            voxels = np.zeros((32, 32, 32), bool)
            voxels[cell] = True
            rows, columns = np.nonzero(views.voxel_silhouette(voxels, azimuth))
            centre = tf.constant([[(np.array(cell) + 0.5) / 32 - 0.5]], tf.float32)
            clip = cameras.project_to_clip(views.camera(azimuth), centre)
            x, y = cameras.clip_to_pixel(clip, (64, 64))[0, 0].numpy() - 0.5
            assert abs(columns.mean() - x) < 0.7 and abs(rows.mean() - y) < 0.7
            assert 1 <= len(rows) <= 12


def test_numbers_of_views_are_read_strictly():
    assert views.view_numbers(None) == list(range(24))
    assert views.view_numbers(["23", "0", "7"]) == [23, 0, 7]
    for wrong in ([], ["24"], ["-1"], ["1.0"], [""], ["x"], ["3", "3"], ["\u0663"]):
        with pytest.raises(ValueError, match="--eval_views: expected different number"):
            views.view_numbers(wrong, "--eval_views")


def test_classes_are_found_by_id_and_by_name():
    there = ["02958343", "03001627", "boat"]
    assert views.find_classes(["chair", "boat"], there) == ["03001627", "boat"]
    assert views.find_classes(["02958343"], there) == ["02958343"]
    # Data of one's own may name a folder as the published class is called.
    assert views.find_classes(["03001627"], ["chair"]) == ["chair"]
    assert views.class_name("04530566") == "vessel" and views.class_name("x") == "x"
    assert len(views.CLASSES) == len(set(views.CLASSES.values())) == 13


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (["sofa"], r"no class 'sofa'; there are 03001627 \(chair\), boat"),
        (["chair", "03001627"], "'03001627' is asked for twice"),
        ([], "at least one class"),
    ],
)
def test_a_class_that_is_not_there_is_named(asked, message):
    with pytest.raises(ValueError, match=message):
        views.find_classes(asked, ["03001627", "boat"])
