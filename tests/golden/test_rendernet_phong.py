"""Phong composition against arrays of the original."""

import numpy as np
import pytest
import tensorflow as tf

from tests.golden import cases
from tfrender.ops import phong

FILES = cases.holding("rendernet", "normal_black")
each_case = pytest.mark.parametrize("path", FILES, ids=cases.name_of)


def _shade(data, background, light=None, dtype=tf.float64, **settings):
    return phong.phong_shading(
        tf.constant(data[f"normal_{background}"], dtype),
        tf.constant(data["light_dir_yup"], dtype) if light is None else light,
        tf.constant(data["light_col"], dtype),
        **settings,
    )


@each_case
def test_light_directions_equal_both_conventions_of_the_original(path):
    data = cases.load(path)
    ours = phong.light_direction(
        tf.constant(data["light_azimuth_deg"]), tf.constant(data["light_elevation_deg"])
    )
    np.testing.assert_allclose(ours, data["light_dir_yup"], atol=1e-6)
    azimuth = np.rad2deg(data["recon_light_azimuth_rad"][:, 0])
    polar = np.full_like(azimuth, np.rad2deg(data["recon_light_polar_rad"]))
    ours = phong.light_direction(azimuth, polar, "z_view")
    np.testing.assert_allclose(ours, data["recon_light_dir"], atol=1e-6)


@each_case
def test_float64_composites_equal_the_numpy_forms(path):
    data = cases.load(path)
    settings = {
        "ambient": float(data["ambient"]),
        "diffuse": float(data["k_diffuse"]),
    }
    black, white = (_shade(data, name, **settings) for name in ("black", "white"))
    mask_black = phong.foreground_mask(tf.constant(data["normal_black"]), offset=150.0)
    mask_white = phong.foreground_mask(
        tf.constant(data["normal_white"]), "white_distance", 80.0
    )
    np.testing.assert_allclose(mask_black, data["np_mask_black"], atol=1e-6)
    np.testing.assert_allclose(mask_white, data["np_mask_white"], atol=1e-6)
    np.testing.assert_allclose(black, data["np_composite_nomask"], atol=1e-6)
    np.testing.assert_allclose(
        phong.composite_on_white(black, mask_black),
        data["np_composite_black"],
        atol=1e-6,
    )
    np.testing.assert_allclose(
        phong.composite_on_white(white, mask_white),
        data["np_composite_white"],
        atol=1e-6,
    )
    diffuse_only = _shade(data, "black", diffuse=settings["diffuse"])
    np.testing.assert_allclose(diffuse_only, data["np_shading_black"], atol=1e-6)


@each_case
def test_float32_composites_equal_the_tensorflow_forms(path):
    data = cases.load(path)
    settings = {
        "ambient": float(data["ambient"]),
        "diffuse": float(data["k_diffuse"]),
        "dtype": tf.float32,
    }
    for name in ("black", "white"):
        image = tf.constant(data[f"normal_{name}"], tf.float32)
        mask = phong.foreground_mask(image, name, 80.0)
        wanted = data[f"tf_mask_{name}"]
        np.testing.assert_allclose(
            np.broadcast_to(mask, wanted.shape), wanted, atol=1e-4
        )
        composite = phong.composite_on_white(_shade(data, name, **settings), mask)
        np.testing.assert_allclose(composite, data[f"tf_composite_{name}"], atol=1e-4)
    shading = _shade(data, "white", diffuse=settings["diffuse"], dtype=tf.float32)
    np.testing.assert_allclose(shading, data["tf_shading_white"], atol=1e-4)


@each_case
def test_gradient_of_the_light_equals_the_original(path):
    data = cases.load(path)
    light = tf.constant(data["light_dir_yup"], tf.float32)
    image = tf.constant(data["normal_white"], tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(light)
        shading = _shade(
            data,
            "white",
            light,
            tf.float32,
            ambient=float(data["ambient"]),
            diffuse=float(data["k_diffuse"]),
        )
        mask = phong.foreground_mask(image, "white", 80.0)
        total = tf.reduce_sum(phong.composite_on_white(shading, mask) * [0.0, 1.0, 2.0])
    np.testing.assert_allclose(
        tape.gradient(total, light), data["tf_grad_light"], atol=1e-2
    )
