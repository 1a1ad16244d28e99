"""Voxels and pictures drawn from meshes."""

import numpy as np
import pytest

from datasets.rendernet import generation
from tests.datasets.shapes import write_hook
from tfrender import geometry, io
from tools import inspect_data, pictures

SETTINGS = generation.ViewSettings(resolution=16, views=4, supersample=1)


@pytest.fixture(scope="module")
def drawn(hook):
    return generation.draw_object(hook, "hook", SETTINGS)


def overlaps(views):
    """IoU of every picture with the silhouette of its transformed voxels."""
    return [
        inspect_data.overlap(
            pictures.foreground(image),
            pictures.silhouettes(views.voxels.occupancy[None], pose[None])[0],
        )
        for image, pose in zip(views.images, views.poses, strict=True)
    ]


def test_pictures_are_eight_times_the_grid(drawn):
    assert drawn.voxels.occupancy.shape == (16, 16, 16)
    assert drawn.images.shape == (4, 128, 128, 3) and drawn.images.dtype == np.uint8
    assert drawn.poses.shape == (4, 3) and drawn.poses.dtype == np.float32


def test_silhouettes_of_the_voxels_lie_over_the_pictures(drawn):
    assert min(overlaps(drawn)) > 0.75
    mirrored = drawn._replace(images=drawn.images[:, :, ::-1])
    assert min(overlaps(mirrored)) < 0.6
    other = drawn._replace(poses=drawn.poses + np.array([40, 0, 0], np.float32))
    assert np.mean(overlaps(other)) < np.mean(overlaps(drawn)) - 0.1


def test_a_cube_fills_nine_tenths_of_the_grid(tmp_path):
    write_hook(tmp_path / "hook.obj")
    mesh = io.load_mesh(tmp_path / "hook.obj")
    voxels = geometry.voxelize(mesh.vertices, mesh.faces, 16)
    placed = generation.in_grid_cube(mesh.vertices, voxels)
    assert np.abs(placed).max() == pytest.approx(0.45, abs=1e-6)


def test_pictures_of_an_object_do_not_depend_on_the_others(hook, drawn):
    again = generation.draw_object(hook, "hook", SETTINGS)
    np.testing.assert_array_equal(again.images, drawn.images)
    np.testing.assert_array_equal(again.poses, drawn.poses)
    poses = [
        generation.random_poses(name, SETTINGS._replace(seed=seed))
        for name, seed in (("hook", 0), ("hook", 1), ("other", 0))
    ]
    assert (poses[0] != poses[1]).any() and (poses[0] != poses[2]).any()


def test_poses_stay_in_their_ranges_and_fit_a_file_name():
    settings = SETTINGS._replace(
        views=500, polar_range=(20.0, 30.0), radius_range=(3.0, 3.1)
    )
    azimuth, polar, radius = generation.random_poses("x", settings).T
    assert 0 <= azimuth.min() < 10 and 350 < azimuth.max() < 360
    assert (azimuth == np.rint(azimuth)).all() and (polar == np.rint(polar)).all()
    assert polar.min() == 20 and polar.max() == 30
    np.testing.assert_allclose(radius, np.round(radius, 2), atol=1e-6)
    assert radius.min() >= 2.9999 and radius.max() <= 3.1001


def test_drawing_the_box_of_the_object_equals_drawing_all(hook, monkeypatch, drawn):
    monkeypatch.setattr(
        generation, "_object_box", lambda vertices, camera, side: (0, 0, side, side)
    )
    whole = generation.draw_object(hook, "hook", SETTINGS._replace(views=4))
    different = np.abs(whole.images.astype(int) - drawn.images).max(-1) > 2
    assert different.mean() < 1e-3  # rounding moves single pixels of an edge


@pytest.mark.parametrize("style", generation.STYLES)
def test_every_style_draws_the_object(hook, style):
    settings = SETTINGS._replace(resolution=8, style=style, views=1)
    views = generation.draw_object(hook, "hook", settings)
    assert views.images.shape == (1, 64, 64, 3 if style == "normal" else 1)
    share = pictures.foreground(views.images[0]).mean()
    assert 0.005 < share < 0.5


def test_perspective_shows_a_little_more_than_the_grid(hook, drawn):
    views = generation.draw_object(
        hook, "hook", SETTINGS._replace(projection="perspective")
    )
    ious = overlaps(views)
    assert 0.4 < np.mean(ious) < np.mean(overlaps(drawn))


def test_a_broken_mesh_is_named(tmp_path):
    (tmp_path / "bad.obj").write_text("v 0 0 0\n")
    with pytest.raises(io.FormatError, match=r"bad\.obj"):
        generation.draw_object(str(tmp_path / "bad.obj"), "bad", SETTINGS)
    with pytest.raises(ValueError, match="style"):
        generation.draw_view(
            np.zeros((3, 3), np.float32),
            np.array([[0, 1, 2]]),
            (0.0, 90.0, 3.3),
            SETTINGS._replace(style="oil"),
        )
