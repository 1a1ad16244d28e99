"""Masks, distances and points on masks."""

import time

import numpy as np
import pytest

from datasets.drwr import silhouettes
from tfrender.io import FormatError


@pytest.fixture
def mask():
    """A ring with an island, in a picture of odd sides."""
    row, column = np.mgrid[:33, :47]
    radius = np.hypot(row - 15, column - 20)
    return ((radius > 5) & (radius < 12)) | ((row > 28) & (column > 40))


def test_opaque_is_six_tenths():
    alpha = np.array([[0, 152, 153, 255]], np.uint8)
    assert silhouettes.binarize(alpha).tolist() == [[False, False, True, True]]


def test_distances_are_exact_on_both_sides(mask):
    found = silhouettes.squared_distance(mask)
    assert found.dtype == np.uint16
    places, other = np.argwhere(mask), np.argwhere(~mask)
    squares = ((places[:, None] - other[None]) ** 2).sum(-1)
    np.testing.assert_array_equal(found[mask], squares.min(1))
    np.testing.assert_array_equal(found[~mask], squares.min(0))


def test_empty_full_and_large_masks_have_their_marks():
    for value in (True, False):
        assert (silhouettes.squared_distance(np.full([3, 4], value)) == 65535).all()
    far = np.zeros([2, 300], bool)
    far[0, 0] = True
    found = silhouettes.squared_distance(far)
    assert found[0, -1] == 65534 and found[0, 100] == 100**2


def test_distances_take_less_than_20_ms():
    mask = np.hypot(*np.mgrid[-64:64, -64:64]) < 40
    silhouettes.squared_distance(mask)
    start = time.perf_counter()
    for _ in range(5):
        silhouettes.squared_distance(mask)
    assert (time.perf_counter() - start) / 5 < 0.1  # 2 ms where nothing else runs


def test_the_smooth_silhouette_is_inverted(mask):
    squared = silhouettes.squared_distance(mask)
    slope = 255.0 / (64.0 * np.sqrt(2.0))
    smooth = np.where(mask, 1.0, (220.0 - slope * np.sqrt(squared)) / 255.0)
    found = silhouettes.distance_of_smooth(mask, smooth.astype(np.float32))
    np.testing.assert_array_equal(found, squared)
    empty = np.zeros([4, 5], bool)
    assert (silhouettes.distance_of_smooth(empty, empty.astype(float)) == 65535).all()


@pytest.mark.parametrize("mode", silhouettes.MODES)
@pytest.mark.parametrize("count", [7, 5000])
def test_points_lie_on_the_mask_and_cover_it(mask, mode, count):
    points = silhouettes.sample_points(mask, count, mode, [1, 2])
    assert points.shape == (count, 2) and points.dtype == np.float32
    height, width = mask.shape
    column = ((points[:, 0] + 0.5) * width).astype(int)
    row = ((0.5 - points[:, 1]) * height).astype(int)
    assert mask[row, column].all()
    if count == 5000:
        assert len({*zip(row.tolist(), column.tolist(), strict=True)}) == mask.sum()
        share = (row > 28).mean() / (mask[29:].sum() / mask.sum())
        assert 0.8 < share < 1.2  # evenly
    again = silhouettes.sample_points(mask, count, mode, [1, 2])
    np.testing.assert_array_equal(points, again)
    if mode != "lattice":  # which draws only where it has too many points
        other = silhouettes.sample_points(mask, count, mode, [1, 3])
        assert (points != other).any()


def test_pixels_come_first_and_lie_at_their_centres(mask):
    points = silhouettes.sample_points(mask, 5000, "pixels")
    row, column = np.argwhere(mask).T
    first = points[: len(row)]
    np.testing.assert_allclose(first[:, 0], (column + 0.5) / 47 - 0.5, atol=1e-7)
    np.testing.assert_allclose(first[:, 1], 0.5 - (row + 0.5) / 33, atol=1e-7)
    continuous = silhouettes.sample_points(mask, 5000, "pixels_continuous")
    np.testing.assert_array_equal(continuous[: len(row)], first)
    more = {tuple(point) for point in points.tolist()}
    assert len(more) == len(row)
    assert len({tuple(point) for point in continuous.tolist()}) > 4000


def test_a_lattice_is_square_and_repeats_itself():
    mask = np.zeros([64, 64], bool)
    mask[16:48, 8:40] = True
    points = silhouettes.sample_points(mask, 1000, "lattice")
    distinct = np.unique(points, axis=0)
    assert 850 < len(distinct) <= 1000
    steps = np.diff(np.unique(distinct[:, 0]))
    np.testing.assert_allclose(steps, np.sqrt(1024 / 1000) / 64, rtol=1e-4)
    tiny = np.zeros([64, 64], bool)
    tiny[5, 60] = True
    for mode in silhouettes.MODES:
        found = silhouettes.sample_points(tiny, 3, mode)
        assert np.abs(found - [60.5 / 64 - 0.5, 0.5 - 5.5 / 64]).max() <= 0.51 / 64


def test_bad_settings_are_named(mask):
    for arguments, words in (
        ((~mask & mask, 5), "`mask` must show something"),
        ((mask, 0), "`count`"),
        ((mask, 5, "poisson"), "`mode`"),
    ):
        with pytest.raises(ValueError, match=words):
            silhouettes.sample_points(*arguments)


def test_masks_without_any_outline_are_refused_and_single_ones_noted():
    masks = np.zeros([3, 4, 4], bool)
    for value, word in ((False, "empty"), (True, "full")):
        masks[:] = value
        with pytest.raises(
            FormatError, match=rf"file: .* a/b; all 3 masks are {word}\."
        ):
            silhouettes.check_masks(masks, "file", "a/b")
    masks[0], masks[1:, :2] = True, False
    notes = silhouettes.check_masks(masks, "file", "a/b")
    assert notes == ["a/b: view 0 has a mask that is full."]
