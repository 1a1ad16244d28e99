"""Claims of tfrender.geometry.normalize."""

import numpy as np
import pytest

from tfrender import geometry

POINTS = np.random.default_rng(0).normal(size=[50, 3]) * [3, 1, 2] + [9, -4, 100]


def box(points):
    return points.min(0).astype(np.float64), points.max(0).astype(np.float64)


def test_diagonal_one_at_the_origin():
    points, place = geometry.normalize_to_diagonal(POINTS)
    low, high = box(points)
    np.testing.assert_allclose(low + high, 0, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(high - low), 1, atol=1e-6)
    assert points.dtype == np.float32
    assert place.scale == pytest.approx(np.linalg.norm(np.ptp(POINTS, axis=0)))


@pytest.mark.parametrize("fill", [1.0, 0.9])
def test_the_longest_side_fills_the_cube(fill):
    points, _ = geometry.normalize_to_unit_cube(POINTS, fill)
    low, high = box(points)
    np.testing.assert_allclose(low + high, 0, atol=1e-6)
    np.testing.assert_allclose((high - low).max(), fill, atol=1e-6)


@pytest.mark.parametrize(
    "normalize", [geometry.normalize_to_diagonal, geometry.normalize_to_unit_cube]
)
def test_the_inverse_restores_and_apply_repeats(normalize):
    points, place = normalize(POINTS)
    np.testing.assert_allclose(place.inverse(points), POINTS, atol=1e-5)
    np.testing.assert_array_equal(place.apply(POINTS), points)
    # One uniform scale: shapes keep their proportions.
    ratio = np.ptp(points, axis=0) * place.scale / np.ptp(POINTS, axis=0)
    np.testing.assert_allclose(ratio, 1, atol=1e-5)


def test_the_box_decides_not_the_density_of_vertices():
    crowded = np.concatenate([POINTS, np.repeat(POINTS[:1], 1000, axis=0)])
    _, place = geometry.normalize_to_diagonal(crowded)
    _, expected = geometry.normalize_to_diagonal(POINTS)
    np.testing.assert_array_equal(place.centre, expected.centre)


def test_a_flat_mesh_is_fine():
    points, _ = geometry.normalize_to_unit_cube(POINTS * [1, 0, 1])
    assert np.isfinite(points).all() and (points[:, 1] == 0).all()


@pytest.mark.parametrize(
    "points",
    [np.zeros([0, 3]), np.zeros([3, 2]), np.ones([3, 3]), [[0, 0, np.inf], [0, 0, 0]]],
)
def test_points_without_a_box_are_refused(points):
    for normalize in (geometry.normalize_to_diagonal, geometry.normalize_to_unit_cube):
        with pytest.raises(ValueError, match="vertices"):
            normalize(points)


def test_fill_is_checked():
    with pytest.raises(ValueError, match="fill"):
        geometry.normalize_to_unit_cube(POINTS, 0.0)
