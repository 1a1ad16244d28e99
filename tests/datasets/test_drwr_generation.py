"""Views of DRWR drawn from meshes."""

import numpy as np
import pytest

from datasets.drwr import generation
from tfrender import io
from tfrender.ops import default_form

SETTINGS = generation.ViewSettings(
    views=5, image_size=48, depth=True, sample_points=50, points=400, supersample=2
)


@pytest.fixture(scope="module")
def drawn(hook):
    with default_form("graph"):  # what a module shares is made before each test's
        return generation.draw_object(hook, "tool", "hook", SETTINGS)


def frame(points, item):
    """Frame coordinates of points, [V, N, 2], and their depths."""
    rows = np.concatenate([points, np.ones_like(points[:, :1])], 1)
    clip = np.einsum("vij,nj->vni", item.projection @ item.world_to_camera, rows)
    return clip[..., :2] / clip[..., 3:] / 2.0, clip[..., 3]


def pixels(xy, side):
    column, row = (xy[..., 0] + 0.5) * side, (0.5 - xy[..., 1]) * side
    return row.astype(int), column.astype(int)


def test_the_diagonal_is_1_and_the_centre_0(hook):
    for scale in ((1.0, 1.0, 1.0), (-0.8, 1.2, 1.0)):
        corners = generation.place(io.load_mesh(hook), scale).corners.reshape(-1, 3)
        low, high = corners.min(0), corners.max(0)
        assert np.linalg.norm(high - low) == pytest.approx(1.0, abs=1e-6)
        np.testing.assert_allclose(low, -high, atol=1e-6)


def test_points_of_the_surface_fall_on_the_masks(drawn):
    item, points = drawn
    assert item.name == "tool/hook" and points.shape == (400, 3)
    xy, depth = frame(points, item)
    assert np.abs(xy).max() < 0.5
    row, column = pixels(xy, 48)
    view = np.arange(5)[:, np.newaxis]
    outside = ~item.masks[view, row, column]
    assert outside.mean() < 0.15  # those on the outline, at 48 pixels a side
    assert (item.squared_distance[view, row, column][outside] <= 2).all()
    # Next to nothing lies in front of what a pixel sees (at edges, beside its centre);
    # some points lie on it.
    seen = item.depth[view, row, column]
    gap = np.where(seen > 0, depth - seen, np.nan)
    assert (
        np.nanquantile(gap, 0.03) > -0.06 and 0.2 < np.nanmean(np.abs(gap) < 0.03) < 0.9
    )


def test_inner_points_land_on_the_masks_of_20_views(tmp_path):
    # 99.5 % of the points, A4 of the reference. The others lie in pixels that the
    # object covers by less than 0.6.
    corners = np.array([[x, y, z] for x in (0, 3) for y in (0, 1) for z in (0, 1)])
    faces = [[0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1]]
    faces += [[2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3]]
    io.save_mesh(tmp_path / "box.obj", corners.astype(np.float32), np.array(faces))
    settings = generation.ViewSettings(views=20, supersample=2)
    item, _ = generation.draw_object(str(tmp_path / "box.obj"), "a", "box", settings)
    inner = np.random.default_rng(0).uniform(-0.5, 0.5, [2000, 3])
    inner *= np.array([3.0, 1.0, 1.0]) / np.sqrt(11.0)
    row, column = pixels(frame(inner, item)[0], 128)
    hits = item.masks[np.arange(20)[:, np.newaxis], row, column].mean(1)
    assert hits.mean() >= 0.995 and hits.min() >= 0.99, hits


def test_pictures_lie_on_white_and_points_on_the_masks(drawn):
    item, _ = drawn
    assert item.images.dtype == np.uint8
    far = item.squared_distance > 4
    assert (item.images[far & ~item.masks] == 255).all()
    assert (item.images[far & item.masks] < 255).any(-1).all()
    assert item.samples.shape == (5, 50, 2)
    row, column = pixels(item.samples, 48)
    assert item.masks[np.arange(5)[:, np.newaxis], row, column].all()
    assert (item.depth[item.squared_distance <= 1] >= 0).all()
    assert 1.5 < item.depth[item.depth > 0].min() < item.depth.max() < 2.5


def test_cameras_look_from_all_around_within_their_range(drawn):
    item, _ = drawn
    view = item.world_to_camera
    eye = -np.einsum("vij,vi->vj", view[:, :3, :3], view[:, :3, 3])
    np.testing.assert_allclose(np.linalg.norm(eye, axis=-1), 2.0, rtol=1e-5)
    elevation = np.degrees(np.arcsin(eye[:, 1] / 2.0))
    assert elevation.min() > -20 and elevation.max() < 40 and np.ptp(elevation) > 5
    azimuth = np.sort(np.degrees(np.arctan2(eye[:, 0], -eye[:, 2])) % 360)
    gaps = np.diff([*azimuth, azimuth[0] + 360])
    assert gaps.max() < 2 * 360 / 5
    np.testing.assert_allclose(item.projection[:, 0, 0], 3.75, rtol=1e-5)
    np.testing.assert_allclose(item.projection[:, 1, 1], 3.75, rtol=1e-5)
    firsts = [
        generation.view_cameras(SETTINGS, [0, k]).world_to_camera[0, 2, 0].numpy()
        for k in range(40)
    ]
    assert np.min(firsts) < -0.7 and np.max(firsts) > 0.7  # view 0 is any view


def test_an_object_is_a_function_of_name_number_and_seed(hook, drawn):
    again, points = generation.draw_object(hook, "tool", "hook", SETTINGS)
    np.testing.assert_array_equal(again.images, drawn[0].images)
    np.testing.assert_array_equal(points, drawn[1])
    others = [
        generation.draw_object(hook, "tool", "other", SETTINGS),
        generation.draw_object(hook, "tool", "hook", SETTINGS, 1),
        generation.draw_object(hook, "tool", "hook", SETTINGS._replace(seed=1)),
    ]
    assert [item.name for item, _ in others] == [
        "tool/other",
        "tool/hook~1",
        "tool/hook",
    ]
    for item, _ in others:
        assert (item.world_to_camera != drawn[0].world_to_camera).any()


def test_what_is_not_normalised_must_lie_in_the_cube(hook, tmp_path):
    with pytest.raises(io.FormatError, match=r"hook\.obj: .* --normalize=diagonal"):
        generation.draw_object(hook, "a", "b", SETTINGS._replace(normalize="none"))
    mesh = io.load_mesh(hook)
    small = (mesh.vertices * 0.2 - [0.2, 0.1, 0.1]).astype(np.float32)
    found = generation.place(mesh._replace(vertices=small), normalize="none")
    np.testing.assert_allclose(found.corners, small[mesh.faces], atol=1e-7)


def test_broken_and_invisible_meshes_are_named(tmp_path):
    (tmp_path / "bad.obj").write_text("v 0 0 0\n")
    (tmp_path / "point.obj").write_text("v 1 1 1\nv 1 1 1\nv 1 1 1\nf 1 2 3\n")
    thread = "v 0 -1 0\nv 0.0001 1 0\nv 0 1 0.0001\nf 1 2 3\n"
    (tmp_path / "thread.obj").write_text(thread)
    for name, words in (
        ("bad.obj", ""),
        ("point.obj", ""),
        ("thread.obj", "expected pictures that show a/b; all 5 masks are empty"),
    ):
        with pytest.raises(io.FormatError, match=f"{name}: .*{words}"):
            generation.draw_object(str(tmp_path / name), "a", "b", SETTINGS)
