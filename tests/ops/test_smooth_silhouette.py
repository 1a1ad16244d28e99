import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage

from tfrender import ops
from tfrender.ops.smooth_silhouette import FAR, RAMP_SLOPE, RAMP_START


def masks(height, width, count=3):
    noise = np.random.default_rng(0).normal(size=(count, height, width))
    smooth = ndimage.gaussian_filter(noise, (0, 1.5, 1.5))
    return (smooth > np.quantile(smooth, 0.7)).astype(np.float32)[..., np.newaxis]


def transform(mask):
    """Distances by SciPy, of each picture [H, W]."""
    inside = mask[..., 0] > 0.5
    found = [
        np.where(
            m, ndimage.distance_transform_edt(m), ndimage.distance_transform_edt(~m)
        )
        for m in inside
    ]
    return np.stack(found)[..., np.newaxis]


@pytest.mark.parametrize("size", [(16, 16), (13, 29), (40, 7)])
def test_distances_are_those_of_scipy(size):
    mask = masks(*size)
    found = ops.distance_to_contour(mask)
    np.testing.assert_allclose(found, transform(mask), rtol=1e-6)
    assert tf.reduce_min(found) == 1.0
    np.testing.assert_array_equal(ops.distance_to_contour(1.0 - mask), found)


def test_the_ramp_falls_from_the_object():
    mask = masks(30, 40, 1)
    mask[0, :, 20:] = 0.0
    found = ops.smooth_silhouette(mask).numpy()
    distance = transform(mask)
    outside = mask == 0.0
    np.testing.assert_array_equal(found[~outside], 1.0)
    want = RAMP_START - RAMP_SLOPE * distance[outside]
    np.testing.assert_allclose(found[outside], want, atol=1e-6)
    np.testing.assert_allclose(255 * RAMP_SLOPE, 2.81739, rtol=1e-5)
    given = ops.smooth_silhouette(mask, distance)
    np.testing.assert_allclose(given, found, atol=1e-6)


@pytest.mark.parametrize("value", [0.0, 1.0])
@pytest.mark.parametrize("size", [(5, 8), (1, 1)])
def test_empty_and_full_masks_are_themselves(value, size):
    mask = np.full((2, *size, 1), value, np.float32)
    np.testing.assert_array_equal(ops.distance_to_contour(mask), FAR)
    np.testing.assert_array_equal(ops.smooth_silhouette(mask), mask)


def test_one_pixel_is_seen_from_everywhere():
    mask = np.zeros((1, 9, 12, 1), np.float32)
    mask[0, 2, 3] = 1.0
    y, x = np.mgrid[:9, :12]
    want = np.hypot(y - 2, x - 3)
    want[2, 3] = 1.0
    np.testing.assert_allclose(
        ops.distance_to_contour(mask)[0, ..., 0], want, rtol=1e-6
    )


def test_the_sign_tells_inside_from_outside_half_a_pixel_off_centers():
    mask = masks(12, 17)
    distance = ops.distance_to_contour(mask)
    found = ops.signed_distance(mask, distance).numpy()
    np.testing.assert_array_equal(found > 0.0, mask > 0.5)
    np.testing.assert_allclose(np.abs(found), distance - 0.5)


def test_a_graph_takes_pictures_of_any_size():
    spec = tf.TensorSpec([None, None, None, 1], tf.float32)
    graph = tf.function(ops.smooth_silhouette, input_signature=[spec])
    for size in ((8, 8), (5, 13)):
        mask = tf.constant(masks(*size))
        np.testing.assert_allclose(graph(mask), ops.smooth_silhouette(mask), atol=1e-6)
    compiled = tf.function(ops.smooth_silhouette, jit_compile=True)
    np.testing.assert_allclose(compiled(mask), ops.smooth_silhouette(mask), atol=1e-6)


def test_no_pictures_and_faults():
    assert ops.distance_to_contour(np.zeros((0, 4, 5, 1))).shape == (0, 4, 5, 1)
    for message, call in (
        ("`mask` must have 4", lambda: ops.distance_to_contour(np.zeros((4, 4, 1)))),
        ("`mask` must end", lambda: ops.distance_to_contour(np.zeros((1, 4, 4, 3)))),
        (
            "`distance` must end",
            lambda: ops.smooth_silhouette(np.ones((1, 4, 4, 1)), np.ones((1, 4, 5, 1))),
        ),
    ):
        with pytest.raises(ValueError, match=message):
            call()
