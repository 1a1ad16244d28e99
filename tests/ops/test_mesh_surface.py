"""Sides, normals and depths of surfaces. Colours are tested with the layers."""

import numpy as np
import pytest
import tensorflow as tf

from tests.layers.mesh_scenes import sphere, view
from tfrender import cameras
from tfrender.ops.mesh_surface import (
    counterclockwise,
    eye_position,
    face_values,
    from_inverse_linear,
    inverse_linear,
    is_orthographic,
    shows_front,
)
from tfrender.ops.rasterize_corners import face_corners


def test_the_eye_is_where_the_camera_was_put():
    eye = np.float32([[1.0, 2.0, 3.0], [-2.0, 0.5, 1.0]])
    matrix = cameras.look_at(eye)
    camera = cameras.Camera(matrix, cameras.perspective([40.0, 50.0]))
    np.testing.assert_allclose(eye_position(camera), eye, atol=1e-5)
    assert not is_orthographic(camera).numpy().any()
    parallel = cameras.Camera(matrix, cameras.orthographic([1.0, 2.0]))
    assert is_orthographic(parallel).numpy().all()
    far = eye_position(parallel)
    way = far / tf.norm(far, axis=-1, keepdims=True)
    want = eye / np.linalg.norm(eye, axis=-1, keepdims=True)
    np.testing.assert_allclose(way, want, atol=1e-5)
    assert np.linalg.norm(far, axis=-1).min() > 1e5


@pytest.mark.parametrize("kind", ["perspective", "orthographic"])
@pytest.mark.parametrize("mirrored", [True, False])
def test_the_front_is_seen_where_the_picture_runs_counterclockwise(kind, mirrored):
    vertices, faces = sphere()
    camera = view(1, (8, 8), kind, mirrored)
    front = shows_front(camera, face_corners(0.6 * vertices, faces))[0].numpy()
    assert 0.2 < front.mean() < 0.6
    clip = cameras.project_to_clip(camera, 0.6 * vertices)
    picture = face_corners(clip[..., :2] / clip[..., 3:], faces)
    turned, reverse = counterclockwise(picture)
    np.testing.assert_array_equal(reverse[0], front if mirrored else ~front)
    a, b = turned[:, :, 1] - turned[:, :, 0], turned[:, :, 2] - turned[:, :, 0]
    area = a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
    assert (area.numpy() >= 0).all()
    same = np.where(reverse[..., None, None], picture[:, :, ::-1], picture)
    np.testing.assert_array_equal(turned, same)


def test_values_of_faces_are_read_item_by_item():
    values = tf.random.stateless_uniform([2, 5, 3], [0, 1])
    index = np.random.default_rng(0).integers(-1, 5, (2, 4, 6))
    got = face_values(values, tf.constant(index, tf.int32))
    for place in np.ndindex(index.shape):
        want = values[place[0], index[place]] if index[place] >= 0 else np.zeros(3)
        np.testing.assert_array_equal(got[place], want)


def test_bent_depths_have_a_linear_inverse_and_keep_near_and_far():
    near, far = 0.3, 7.0
    z = tf.constant(np.linspace(-2.0, 9.0, 500))
    bent = inverse_linear(z, near, far)
    np.testing.assert_allclose(np.diff(1 / bent, 2), 0.0, atol=1e-9)
    for limit in (near, far):
        place = tf.constant(limit, tf.float64)
        np.testing.assert_allclose(inverse_linear(place, near, far), limit)
    between = (z > near) & (z < far)
    np.testing.assert_array_equal(between, (bent > near) & (bent < far))
    np.testing.assert_allclose(from_inverse_linear(bent, near, far), z, atol=1e-9)


def test_the_bend_is_finite_everywhere():
    near, far = 0.5, 2.0
    z = tf.constant(
        [near + (1 / near) / ((1 / near - 1 / far) / (far - near)), -1e30, 1e30]
    )
    with tf.GradientTape() as tape:
        tape.watch(z)
        bent = inverse_linear(z, near, far)
    assert np.isfinite(bent).all() and np.isfinite(tape.gradient(bent, z)).all()
