"""Claims of datasets.dvr.pictures."""

import numpy as np
import pytest

from datasets.dvr import pictures
from tfrender import io


def test_alpha_is_laid_over_white(tmp_path):
    pixels = np.zeros([1, 3, 4], np.uint8)
    pixels[0, :, 3] = 0, 128, 255
    io.write_png(tmp_path / "a.png", pixels)
    found = pictures.read_on_white(tmp_path / "a.png")
    np.testing.assert_array_equal(found[0, :, 0], [255, 127, 0])


def test_a_grey_picture_gets_three_channels(tmp_path):
    io.write_png(tmp_path / "a.png", np.full([2, 3], 0.5))
    assert pictures.read_on_white(tmp_path / "a.png").shape == (2, 3, 3)


def test_the_shorter_side_decides():
    assert pictures.shorter_side((240, 320), 120) == (120, 160)
    assert pictures.shorter_side((320, 240), 120) == (160, 120)
    assert pictures.shorter_side((7, 9), 0) == (7, 9)


def test_nearest_pixels_keep_their_values():
    values = np.arange(24).reshape(4, 6)
    np.testing.assert_array_equal(pictures.nearest(values, (4, 6)), values)
    np.testing.assert_array_equal(pictures.nearest(values, (2, 3)), values[1::2, 1::2])
    np.testing.assert_array_equal(
        pictures.nearest(values, (8, 12)), values.repeat(2, 0).repeat(2, 1)
    )


def test_shrinking_averages():
    checker = np.indices((8, 8)).sum(0) % 2 * 200
    image = np.repeat(checker[..., np.newaxis], 3, -1).astype(np.uint8)
    small = pictures.resize(image, (2, 2))
    assert abs(small.astype(int) - 100).max() <= 2


def test_a_folder_is_read_by_name_and_resized(tmp_path):
    for name, level in (("b", 0.0), ("a", 1.0)):
        io.write_png(tmp_path / f"{name}.PNG", np.full([5, 9, 3], level))
    (tmp_path / "notes.txt").write_text("no picture")
    names, images = pictures.load_pictures(tmp_path, 8)
    assert names == ["a", "b"] and images.shape == (2, 8, 8, 3)
    np.testing.assert_array_equal(images[:, 0, 0, 0], [1.0, 0.0])


def test_a_folder_without_pictures_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such folder"):
        pictures.load_pictures(tmp_path / "none", 8)
    with pytest.raises(FileNotFoundError, match="found none"):
        pictures.load_pictures(tmp_path, 8)
    (tmp_path / "a.png").write_bytes(b"broken")
    with pytest.raises(io.FormatError, match="a.png"):
        pictures.load_pictures(tmp_path, 8)
    for name in ("a.png", "a.b.png", "a.jpg"):
        io.write_png(tmp_path / name, np.ones([2, 2, 3]))
    with pytest.raises(io.FormatError, match="have one name"):
        pictures.load_pictures(tmp_path, 8)


def test_numbers_that_miss_are_named(tmp_path):
    paths = [tmp_path / f"{i:04d}.png" for i in (0, 1, 3, 4)]
    with pytest.raises(io.FormatError, match="expected 5 files.*got 4; missing 2"):
        pictures.check_count(tmp_path, paths, 5)
