"""Tests of tfrender.metrics."""

import numpy as np
import pytest
import tensorflow as tf

from tfrender import metrics


def _wall(*normal):
    """Normal map of a wall, [1, 4, 5, 3]."""
    normal = tf.constant(normal, tf.float32) / float(np.linalg.norm(normal))
    return tf.broadcast_to(0.5 * normal + 0.5, [1, 4, 5, 3])


def test_psnr_is_ten_decibels_for_a_mean_squared_error_of_a_tenth():
    target = tf.zeros([2, 3, 4, 3])
    prediction = tf.stack([tf.fill([3, 4, 3], 0.1**0.5), tf.fill([3, 4, 3], 0.1)])
    np.testing.assert_allclose(metrics.psnr(target, prediction), [10, 20], rtol=1e-5)


def test_psnr_of_equal_pictures_is_finite():
    image = tf.ones([1, 2, 2, 1])
    np.testing.assert_allclose(metrics.psnr(image, image), [100.0], rtol=1e-5)


def test_the_angle_between_walls_is_the_angle_of_their_normals():
    front, side = _wall(0, 0, 1), _wall(1, 0, 1)
    assert float(metrics.normal_angle(front, side)[0]) == pytest.approx(45.0, abs=1e-3)
    assert float(metrics.normal_angle(front, front)[0]) == pytest.approx(0, abs=0.1)


def test_the_background_does_not_count_in_the_angle():
    target = tf.concat([_wall(0, 0, 1), tf.zeros([1, 4, 5, 3])], axis=2)
    prediction = tf.concat([_wall(0, 1, 1), _wall(1, 0, 0)], axis=2)
    angle = metrics.normal_angle(target, prediction)
    assert float(angle[0]) == pytest.approx(45.0, abs=1e-3)


def test_an_empty_target_has_angle_zero_and_two_empty_pictures_agree():
    empty = tf.zeros([1, 4, 5, 3])
    assert float(metrics.normal_angle(empty, _wall(0, 0, 1))[0]) == 0.0
    assert float(metrics.silhouette_iou(empty, empty)[0]) == 1.0
    assert float(metrics.silhouette_iou(empty, _wall(0, 0, 1))[0]) == 0.0


def test_the_darkest_normal_that_faces_the_camera_is_foreground():
    assert metrics.foreground(_wall(-1, -1, 0)).numpy().all()
    assert not metrics.foreground(tf.fill([1, 2, 2, 3], 0.1)).numpy().any()


def test_silhouettes_that_share_a_half_have_iou_a_third():
    wall, empty = _wall(0, 0, 1), tf.zeros([1, 4, 5, 3])
    first = tf.concat([wall, wall, empty], axis=2)
    second = tf.concat([empty, wall, wall], axis=2)
    iou = metrics.silhouette_iou(first, second)
    assert float(iou[0]) == pytest.approx(1 / 3)


def test_measures_of_normals_are_left_out_of_grey_pictures():
    image = tf.random.stateless_uniform([2, 4, 4, 3], [0, 1])
    names = set(metrics.picture_scores(image, image))
    assert names - set(metrics.picture_scores(image[..., :1], image[..., :1])) == {
        "normal_angle_deg",
        "silhouette_iou",
    }
