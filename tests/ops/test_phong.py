"""Tests of tfrender.ops.phong."""

import numpy as np
import pytest
import tensorflow as tf

from tfrender.ops import phong


def test_a_headlight_lights_a_wall_that_faces_the_camera_fully():
    wall = tf.constant([0.5, 0.5, 1.0], shape=[1, 1, 1, 3])
    light = phong.light_direction(tf.constant([270.0]), tf.constant([90.0]))
    np.testing.assert_allclose(light, [[0.0, 0.0, 1.0]], atol=1e-6)
    np.testing.assert_allclose(phong.phong_shading(wall, light), 1.0, atol=1e-6)
    np.testing.assert_allclose(phong.phong_shading(wall, -light), 0.0, atol=1e-6)


def test_the_default_light_of_the_demo_comes_from_above_right_in_front():
    light = phong.light_direction(250.0, 60.0)
    np.testing.assert_allclose(light, [0.296, 0.5, 0.814], atol=1e-3)


def test_the_light_of_the_published_chair_example_comes_from_behind():
    np.testing.assert_allclose(phong.light_direction(90.0, 90.0), [0, 0, -1], atol=1e-6)


@pytest.mark.parametrize("convention", phong.CONVENTIONS)
def test_light_directions_have_length_one(convention):
    azimuth, polar = np.meshgrid(np.arange(0.0, 360, 30), np.arange(0.0, 181, 30))
    light = phong.light_direction(azimuth, polar, convention)
    np.testing.assert_allclose(np.linalg.norm(light, axis=-1), 1.0, atol=1e-6)


@pytest.mark.parametrize("gray", [0.5, 0.0, 1.0])
@pytest.mark.parametrize("background", phong.BACKGROUNDS)
def test_flat_grey_has_a_finite_value_and_gradient(gray, background):
    image = tf.fill([1, 2, 3, 3], gray)
    light = tf.constant([[0.0, 0.0, 1.0]])
    with tf.GradientTape() as tape:
        tape.watch([image, light])
        mask = phong.foreground_mask(image, background)
        shaded = phong.composite_on_white(phong.phong_shading(image, light), mask)
        total = tf.reduce_sum(shaded)
    for value in (shaded, *tape.gradient(total, [image, light])):
        assert np.isfinite(value).all()


def test_the_length_of_the_light_does_not_matter():
    image = tf.random.stateless_uniform([2, 5, 4, 3], [1, 2])
    light = tf.constant([[1.0, 2.0, 3.0], [-1.0, 0.5, 2.0]])
    np.testing.assert_allclose(
        phong.phong_shading(image, light),
        phong.phong_shading(image, 7.0 * light),
        atol=1e-6,
    )


def test_gradient_equals_finite_differences():
    image = np.random.default_rng(0).uniform(0.55, 0.95, (1, 3, 2, 3))
    light = np.array([[0.2, 0.3, 0.9]])

    def shade(image, light):
        return phong.phong_shading(image, light, ambient=0.05, diffuse=0.9)

    exact, numeric = tf.test.compute_gradient(shade, [image, light])
    for left, right in zip(exact, numeric, strict=True):
        np.testing.assert_allclose(left, right, atol=1e-5)


def test_an_unknown_convention_is_named():
    with pytest.raises(ValueError, match="z_up"):
        phong.light_direction(0.0, 0.0, "z_up")
    with pytest.raises(ValueError, match="grey"):
        phong.foreground_mask(tf.zeros([1, 1, 1, 3]), "grey")
