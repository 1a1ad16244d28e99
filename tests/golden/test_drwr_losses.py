"""Silhouettes, samplers and losses of the published DRWR."""

import numpy as np
import pytest
import tensorflow as tf

from tests.golden import cases
from tfrender import cameras, losses, ops
from tfrender.losses import point_silhouettes

SYSTEM = "drwr"
SILHOUETTES = cases.holding(SYSTEM, "alpha", "mask", "smooth")
LOSSES = cases.holding(SYSTEM, "unary", "pair", "pair_rows", "g_*_points")
EDGES = cases.holding(SYSTEM, "coord", "ring_at", "mask_at", "smooth_at")
CHAMFER = cases.holding(SYSTEM, "pred2d", "gt2d", "cd2d_loss")
VALUE = {"rtol": 1e-5, "atol": 1e-6}
OPAQUE = 153
# README: the total is 1 unary + 3 pair, the others have the weight 1.
WEIGHTS = {
    "unary": {"unary": 1.0},
    "pair": {"pair": 1.0},
    "total": {"unary": 1.0, "pair": 3.0},
    "sum": {"sum": 1.0},
    "entropy": {"entropy": 1.0},
}
NAMES = {"sum": "sum_loss", "entropy": "entropy_loss"}


def check_gradient(found, expected):
    limit = 1e-6 * np.abs(expected).max() + 1e-7
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=limit)


def released(arrays, grid, **weights):
    """Grids and settings of the release; all terms off but those given."""
    grids = losses.silhouette_grids(
        arrays["masks"], arrays["smooth"], grid=grid, aligned=False
    )
    settings = losses.POINT_LOSS_PRESETS["release"]
    settings = settings._replace(**{"unary": 0.0, "pair": 0.0, "grid": grid, **weights})
    return grids, settings


@pytest.mark.parametrize("path", SILHOUETTES, ids=cases.name_of)
def test_smooth_silhouettes(path):
    arrays = cases.load(path)
    mask = (arrays["alpha"] >= OPAQUE)[..., np.newaxis]
    np.testing.assert_array_equal(mask, arrays["mask"])
    found = ops.smooth_silhouette(tf.cast(mask, tf.float32))
    np.testing.assert_allclose(found, arrays["smooth"], atol=1e-6)


@pytest.mark.parametrize("path", LOSSES, ids=cases.name_of)
def test_pictures_on_the_grid(path):
    arrays = cases.load(path)
    grids, _ = released(arrays, arrays["mask_small"].shape[1])
    np.testing.assert_array_equal(grids.mask, arrays["mask_small"])
    np.testing.assert_array_equal(grids.smooth, arrays["smooth_small"])


@pytest.mark.parametrize("path", LOSSES, ids=cases.name_of)
def test_samples_at_points(path):
    arrays = cases.load(path)
    grid = arrays["mask_small"].shape[1]
    camera = cameras.from_quaternion(arrays["quat"])
    xy, _ = ops.project_points(arrays["points"], camera)
    places = ops.frame_coordinates(xy, grid, aligned=False)
    # 3 roundings of the frame, see `test_drwr_cameras.check_places`.
    limit = 3.0 * np.finfo(np.float32).eps * (grid - 1)
    np.testing.assert_allclose(places, arrays["coord"], rtol=1e-5, atol=limit)
    # From their places, or those roundings would show again.
    grids, settings = released(arrays, grid)
    places = arrays["coord"]
    rings = ops.sample_rings(grids.mask, places, settings.rings)
    for name, value in (
        ("smooth_at_points", ops.sample_rings(grids.smooth, places)),
        ("mask_at_points", rings[..., :1]),
        ("ring_at_points", rings),
    ):
        np.testing.assert_allclose(value, arrays[name], err_msg=name, **VALUE)
    rows = point_silhouettes.pair_rows(
        tf.constant(places),
        rings[..., 0],
        settings.pair_bias + tf.reduce_mean(rings, axis=-1),
        settings.pair_width * grid / 32.0,
    )
    np.testing.assert_allclose(rows, arrays["pair_rows"], **VALUE)


@pytest.mark.parametrize("path", LOSSES, ids=cases.name_of)
@pytest.mark.parametrize("name", WEIGHTS)
def test_losses_and_gradients(path, name):
    arrays = cases.load(path)
    grid = arrays["mask_small"].shape[1]
    grids, settings = released(arrays, grid, **WEIGHTS[name])
    camera = cameras.from_quaternion(arrays["quat"])
    points = tf.constant(arrays["points"])
    with tf.GradientTape() as tape:
        tape.watch(points)
        xy, _ = ops.project_points(points, camera)
        terms = losses.point_silhouette_losses(xy, grids, settings)
        value = tf.reduce_mean(terms["total"])
    np.testing.assert_allclose(value, arrays[NAMES.get(name, name)], **VALUE)
    check_gradient(tape.gradient(value, points), arrays[f"g_{name}_points"])


@pytest.mark.parametrize("path", LOSSES, ids=cases.name_of)
@pytest.mark.parametrize("name", ["unary", "pair"])
def test_gradients_in_pixels(path, name):
    arrays = cases.load(path)
    grid = arrays["mask_small"].shape[1]
    grids, settings = released(arrays, grid)
    places = tf.constant(arrays["coord"])
    with tf.GradientTape() as tape:
        tape.watch(places)
        if name == "unary":
            value = point_silhouettes.unary_loss(places, grids.smooth)
        else:
            rings = ops.sample_rings(grids.mask, places, settings.rings)
            bias = settings.pair_bias + tf.reduce_mean(rings, axis=-1)
            width = settings.pair_width * grid / 32.0
            value = losses.pair_loss(places, rings[..., 0], bias, width)
        value = tf.reduce_mean(value)
    check_gradient(tape.gradient(value, places), arrays[f"g_{name}_coord"])


@pytest.mark.parametrize("path", EDGES, ids=cases.name_of)
def test_samples_at_corners_and_borders(path):
    arrays = cases.load(path)
    # The last of the places is a corner of the grid.
    grid = round(float(arrays["coord"].max())) + 1
    grids, settings = released(arrays, grid)
    for name, images, rings in (
        ("smooth_at", grids.smooth, 1),
        ("mask_at", grids.mask, 1),
        ("ring_at", grids.mask, settings.rings),
    ):
        found = ops.sample_rings(images, arrays["coord"], rings)
        np.testing.assert_allclose(found, arrays[name], err_msg=name, **VALUE)


@pytest.mark.parametrize("path", CHAMFER, ids=cases.name_of)
def test_the_chamfer_distance_of_pictures(path):
    arrays = cases.load(path)
    found = losses.projected_chamfer_loss(arrays["gt2d"], arrays["pred2d"])
    np.testing.assert_allclose(tf.reduce_mean(found), arrays["cd2d_loss"], **VALUE)
    square = [
        ops.nearest_points(*(np.pad(a, [(0, 0), (0, 0), (0, 1)]) for a in pair)).square
        for pair in (
            (arrays["gt2d"], arrays["pred2d"]),
            (arrays["pred2d"], arrays["gt2d"]),
        )
    ]
    np.testing.assert_allclose(tf.sqrt(square[0]), arrays["d2_gt_to_pred"], **VALUE)
    np.testing.assert_allclose(tf.sqrt(square[1]), arrays["d2_pred_to_gt"], **VALUE)
