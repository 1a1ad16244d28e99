"""Claims of datasets.dvr.visual_hull and scaling."""

import numpy as np
import pytest

from datasets.dvr import camera_files, scaling, visual_hull
from tests.datasets.dvr_scenes import (
    CENTER,
    RADIUS,
    SCALE,
    ball_cameras,
    draw_ball,
    surface_points,
    write_ball,
)

RESOLUTION = 24


@pytest.fixture(scope="module")
def ball():
    camera = ball_cameras(12)
    matrices = tuple(matrix.numpy() for matrix in camera)
    _, masks, depths = draw_ball(camera)
    return matrices, masks, depths


def centers():
    axis = ((np.arange(RESOLUTION) + 0.5) / RESOLUTION - 0.5) * 1.1
    return np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1)


def test_the_hull_holds_the_ball_and_little_more(ball):
    matrices, masks, _ = ball
    hull = visual_hull.carve(masks, matrices, RESOLUTION)
    away = np.linalg.norm(centers() - CENTER, axis=-1)
    assert hull[away < RADIUS].all()
    assert not hull[away > RADIUS + 0.25].any()


def test_the_hull_is_in_front_of_the_surface_on_every_pixel_of_a_mask(ball):
    matrices, masks, depths = ball
    found = visual_hull.hull_depth(masks, matrices, RESOLUTION)
    assert (found[masks] > 0).all() and not found[~masks].any()
    before = depths[masks] - found[masks]
    step = 1.1 / RESOLUTION / 2
    assert before.min() > -step and np.median(before) < 0.08


def test_depth_does_not_depend_on_the_voxels(ball):
    matrices, masks, _ = ball
    coarse = visual_hull.hull_depth(masks, matrices, 12)
    fine = visual_hull.hull_depth(masks, matrices, 48)
    assert np.abs(coarse - fine)[masks].mean() < 1.1 / 12 / 2


def test_a_view_that_is_held_out_does_not_carve(ball):
    matrices, masks, _ = ball
    carvers = list(range(1, 12))
    found = visual_hull.hull_depth(masks, matrices, 12, carvers)
    other = masks.copy()
    other[0] ^= True
    again = visual_hull.hull_depth(other, matrices, 12, carvers)
    np.testing.assert_array_equal(found[1:], again[1:])
    assert (found[0] > 0).any()


def test_one_view_carves_its_cone_and_an_empty_mask_all(ball):
    matrices, masks, _ = ball
    one = tuple(matrix[:1] for matrix in matrices)
    cone = visual_hull.carve(masks[:1], one, RESOLUTION)
    assert cone.any() and cone.mean() > visual_hull.carve(*ball[1::-1], 24).mean()
    assert not visual_hull.carve(masks[:1] & False, one, RESOLUTION).any()


def test_a_mask_at_the_border_leaves_what_lies_beyond(ball):
    matrices, masks, _ = ball
    one = tuple(matrix[:1] for matrix in matrices)
    narrow = one[0], one[1] * np.array([[6.0], [6.0], [1.0], [1.0]], np.float32)
    kept = visual_hull.carve(np.ones([1, 8, 8], bool), narrow, RESOLUTION)
    # Shown by no view: empty. But what another view shows is not carved by this one.
    both = tuple(np.concatenate(pair) for pair in zip(narrow, one, strict=True))
    two = visual_hull.carve(np.ones([2, 8, 8], bool), both, RESOLUTION)
    assert kept.mean() < 0.3 and two.mean() > 0.9


def test_the_cube_is_found_from_masks(tmp_path):
    _, _, masks, _ = write_ball(tmp_path, views=12)
    found = camera_files.read_cameras(tmp_path / "cameras.npz")
    matrix = scaling.scale_from_masks(found.projections, masks)
    world = SCALE[:3, :3] @ CENTER + SCALE[:3, 3]
    own = (world - matrix[:3, 3]) / matrix[0, 0]
    radius = RADIUS * SCALE[0, 0] / matrix[0, 0]
    assert np.abs(own).max() < 0.08
    assert 0.3 < radius < 0.5 * scaling.FILL


def test_masks_that_are_empty_or_contradict_each_other(tmp_path):
    _, _, masks, _ = write_ball(tmp_path, views=4)
    found = camera_files.read_cameras(tmp_path / "cameras.npz")
    matrix = scaling.scale_from_masks(found.projections[1:], masks[1:])
    masks[0] = False  # an empty mask does not count
    np.testing.assert_array_equal(
        scaling.scale_from_masks(found.projections, masks), matrix
    )
    apart = np.zeros_like(masks)
    apart[:2, 4:6, 4:6], apart[2:, -6:-4, -6:-4] = True, True
    with pytest.raises(ValueError, match="nothing in common"):
        scaling.scale_from_masks(found.projections, apart)
    apart[1:] = False
    with pytest.raises(ValueError, match="two views or more"):
        scaling.scale_from_masks(found.projections, apart)


def test_the_cube_is_found_from_points_with_outliers():
    points = np.concatenate([surface_points(2000), np.full([3, 3], 50.0)])
    matrix = scaling.scale_from_points(points)
    np.testing.assert_allclose(matrix[:3, 3], CENTER, atol=0.02)
    assert matrix[0, 0] == pytest.approx(2 * RADIUS / scaling.FILL, rel=0.05)
    assert scaling.scale_from_points(points[:49]) is None


def test_a_ball_gives_the_cube_around_it():
    matrix = scaling.scale_matrix([1.0, 2.0, 3.0], 4.0)
    corner = matrix @ [0.5, -0.5, 0.5, 1.0]
    np.testing.assert_array_equal(corner, [5.0, -2.0, 7.0, 1.0])
    for center, radius in (([0, 0], 1.0), ([0, 0, np.inf], 1.0), ([0, 0, 0], 0.0)):
        with pytest.raises(ValueError, match="must"):
            scaling.scale_matrix(center, radius)
