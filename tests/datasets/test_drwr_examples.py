"""Records of DRWR: what goes in comes out."""

import numpy as np
import pytest
import tensorflow as tf

from datasets.drwr import examples
from tests.datasets.drwr_objects import disc_object
from tfrender.io import FormatError


def same(found, expected):
    for name, value in expected._asdict().items():
        own = getattr(found, name)
        if value is None or isinstance(value, (str, list)):
            assert own == value, name
        else:
            np.testing.assert_array_equal(own, value, err_msg=name)


def test_an_object_comes_back_as_it_was():
    item = disc_object(4, points=20, size=16)
    extrinsic = np.random.default_rng(0).random((3, 4, 4)).astype(np.float32)
    item = item._replace(extrinsic=extrinsic)
    form = examples.form_of(item)
    assert form == examples.Form((16, 16), 3, False, 20)
    found = examples.decode_arrays(examples.encode_example(item), form)
    # Points lie on steps of 1/65536 of the frame.
    np.testing.assert_allclose(found.samples, item.samples, atol=2**-17)
    same(found._replace(samples=None), item._replace(samples=None))


def test_depths_are_those_of_the_published_renders():
    depth = np.array([[0.0, 1.75, 2.5, 9.9999, 12.0]], np.float32)
    levels = examples.depth_levels(depth)
    assert levels.dtype == np.uint16 and levels[0, 0] == 65535 and levels[0, 4] == 65535
    np.testing.assert_allclose(
        examples.depth_of_levels(levels)[0], [0, 1.75, 2.5, 9.9999, 0], atol=1e-4
    )
    item = disc_object(1, depth=True)
    form = examples.form_of(item)
    found = examples.decode_arrays(examples.encode_example(item), form)
    np.testing.assert_allclose(found.depth, item.depth, atol=1e-4)
    assert (found.depth[~item.masks] == 0).all()


def test_distances_are_roots_and_1000_without_a_contour():
    squared = tf.constant([1, 2, 32258, 65534, 65535], tf.uint16)
    found = examples.pixel_distance(squared).numpy()
    np.testing.assert_allclose(found[:4], np.sqrt([1, 2, 32258, 65534]), rtol=1e-6)
    assert found[4] == 1000.0


def test_a_picture_that_shrinks_is_averaged():
    picture = np.zeros([8, 8, 3], np.uint8)
    picture[::2, ::2] = 240
    png = tf.io.encode_png(picture)
    form = examples.Form((8, 8), 1, False, 0)
    np.testing.assert_array_equal(examples.decode_image(png, form), picture)
    small = examples.decode_image(png, form, 2).numpy()
    assert small.shape == (2, 2, 3) and small.dtype == np.uint8
    assert abs(small.astype(int) - 60).max() <= 12
    with pytest.raises((ValueError, tf.errors.InvalidArgumentError)):
        examples.decode_image(png, form._replace(image_size=(4, 8)))


def test_objects_that_differ_are_named():
    first = examples.form_of(disc_object(0))
    other = examples.form_of(disc_object(0, views=2))
    examples.check_form(first, first, "a/b")
    with pytest.raises(FormatError, match="a/b: expected views 3, as the objects .* 2"):
        examples.check_form(first, other, "a/b")
    item = disc_object(0)
    for change, words in (
        ({"projection": item.projection[:2]}, r"projection \[3, 4, 4\]; got \[2"),
        ({"images": item.images[..., :1]}, r"images \[3, 16, 16, 3\]"),
        ({"name": ""}, "expected a class and a name"),
    ):
        with pytest.raises(FormatError, match=words):
            examples.encode_example(item._replace(**change))


def test_an_empty_view_leaves_an_object_without_points():
    item = disc_object(0)
    item.masks[1] = False
    found = examples.with_silhouettes(item, 5, "lattice", [0])
    assert found.samples is None and (found.squared_distance[1] == 65535).all()
