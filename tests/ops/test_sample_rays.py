"""Claims of random pixels and points, and of the look-up of pixels."""

import numpy as np
import pytest
import tensorflow as tf

from tfrender.ops import sample_rays
from tfrender.ops.sample_rays import (
    all_pixels,
    look_up_pixels,
    sample_object_pixels,
    sample_on_rays,
    sample_pixels,
)

SEED = tf.constant([5, 6], tf.int64)
SIZE = (9, 13)


def numbered(height, width):
    """A picture whose pixels are 0, 1, 2 ..."""
    return tf.reshape(tf.range(height * width, dtype=tf.float32), [1, height, width, 1])


def test_every_pixel_of_every_size_reads_its_own_value():
    for height in range(2, 21):
        for width in (height, 2 * height + 1, 65 - height):
            found = look_up_pixels(
                numbered(height, width), all_pixels((height, width))[tf.newaxis]
            )
            np.testing.assert_array_equal(found[0, :, 0], np.arange(height * width))


def test_points_belong_to_the_pixel_around_them_and_stay_in_the_picture():
    points = tf.constant([[[2.0, 1.0], [2.999, 1.999], [-4.0, 99.0], [13.0, 9.0]]])
    found = look_up_pixels(numbered(*SIZE), points)[0, :, 0]
    np.testing.assert_array_equal(found, [15.0, 15.0, 8 * 13, 9 * 13 - 1])


def test_patches_are_whole_and_x_is_slower():
    pixels = sample_pixels(SEED, 3, 50, SIZE, patch_size=3).numpy()
    assert pixels.shape == (3, 45, 2)
    patch = pixels.reshape(3, 5, 3, 3, 2)
    np.testing.assert_array_equal(patch[:, :, 1:, :, 0] - patch[:, :, :-1, :, 0], 1.0)
    np.testing.assert_array_equal(patch[..., 1:, 1] - patch[..., :-1, 1], 1.0)
    np.testing.assert_array_equal(pixels % 1.0, 0.5)
    assert (pixels > 0).all() and (pixels < [SIZE[1], SIZE[0]]).all()


def test_every_patch_is_drawn_sometime():
    pixels = sample_pixels(SEED, 1, 4 * 4000, SIZE, patch_size=2)[0, ::4].numpy()
    corners = {tuple(corner) for corner in pixels}
    assert len(corners) == (SIZE[0] - 1) * (SIZE[1] - 1)


def test_continuous_patches_lie_inside():
    pixels = sample_pixels(SEED, 2, 400, SIZE, patch_size=2, continuous=True).numpy()
    assert pixels.min() >= 0 and (pixels <= [SIZE[1], SIZE[0]]).all()
    assert len(np.unique(pixels % 1.0)) > 100


def test_enough_rays_are_all_pixels_once():
    pixels = sample_pixels(SEED, 2, SIZE[0] * SIZE[1] + 5, SIZE)
    np.testing.assert_array_equal(pixels, [all_pixels(SIZE)] * 2)


def test_pixels_of_the_object_are_drawn_alike():
    mask = np.zeros([2, *SIZE, 1], np.float32)
    mask[0, 2:4, 5:9] = 1.0
    pixels = sample_object_pixels(SEED, mask, 4000).numpy()
    places, counts = np.unique(np.floor(pixels[0]), axis=0, return_counts=True)
    assert len(places) == 8 and set(places[:, 1]) == {2, 3}
    assert counts.min() > 400 and counts.max() < 600
    assert len(np.unique(pixels[1], axis=0)) == SIZE[0] * SIZE[1]  # no object: any
    wide = np.floor(sample_object_pixels(SEED, mask, 4000, 2).numpy()[0])
    assert wide[:, 0].min() == 3 and wide[:, 0].max() == 10
    assert wide[:, 1].min() == 0 and wide[:, 1].max() == 5


def rays():
    """Rays towards the cube, and one beside it."""
    way = np.array([[[0.0, 0.0, 1.0], [0.1, 0.05, 1.0], [1.0, 0.0, 0.0]]], np.float32)
    return tf.constant([[[0.0, 0.0, -2.0]] * 3], tf.float32), tf.constant(way)


def depth_of(points):
    origins, ways = rays()
    away = points.numpy() - origins.numpy()
    ways = ways.numpy()
    return (away * ways).sum(-1) / np.square(ways).sum(-1)


def test_points_lie_on_their_rays_and_in_the_cube():
    origins, ways = rays()
    for seed in range(20):
        key = tf.constant([seed, 0], tf.int64)
        points = sample_on_rays(key, origins, ways, 0.4, outside_far=3.0)
        depth = depth_of(points)
        on_ray = origins + depth[..., np.newaxis] * ways
        np.testing.assert_allclose(points, on_ray, atol=1e-5)
        assert np.abs(points[0, :2]).max() <= 0.4 + 1e-5
        assert 0.0 <= depth[0, 2] <= 3.0


def test_points_without_a_cube_or_around_the_middle():
    origins, ways = (tf.repeat(array, 500, axis=0) for array in rays())
    anywhere = sample_on_rays(SEED, origins, ways, outside_far=3.0, use_cube=False)
    depth = (anywhere - origins)[:, 0, 2].numpy()
    assert depth.min() < 0.2 and depth.max() > 2.8
    middle = sample_on_rays(SEED, origins, ways, 0.5, normal=True)
    depth = (middle - origins)[:, 0, 2].numpy()
    np.testing.assert_allclose([depth.mean(), depth.std()], [2.0, 1 / 8], atol=0.02)


def test_draws_depend_on_the_seed_alone():
    first, same = (sample_pixels(SEED, 2, 30, SIZE) for _ in range(2))
    np.testing.assert_array_equal(first, same)
    other = sample_pixels(tf.constant([5, 7], tf.int64), 2, 30, SIZE)
    assert np.abs(first - other).max() > 0


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"patch_size": 10}, "`patch_size` must lie in"),
        ({"count": 3, "patch_size": 2}, "`count` must lie in"),
        ({"image_size": (0, 5)}, "`image_size` must be"),
    ],
)
def test_mistakes_are_named(arguments, expected):
    arguments = {"count": 50, "image_size": SIZE, **arguments}
    with pytest.raises(ValueError, match=expected):
        sample_rays.sample_pixels(SEED, 1, **arguments)
