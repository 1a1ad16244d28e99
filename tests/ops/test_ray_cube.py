"""Claims of tfrender.ops.ray_cube."""

import numpy as np
import pytest
import tensorflow as tf

from tfrender.ops.ray_cube import ray_cube


def span(origin, direction, half_size=0.5):
    """near, far, hit of one ray."""
    found = ray_cube(
        tf.constant([origin], tf.float32),
        tf.constant([direction], tf.float32),
        half_size,
    )
    assert all(np.isfinite(part).all() for part in found[:2])
    return tuple(part.numpy()[0] for part in found)


@pytest.mark.parametrize("half_size", [0.5, 0.55, 1.3])
def test_spans_are_those_of_many_samples(half_size):
    rng = np.random.default_rng(0)
    origins = rng.uniform(-2, 2, (300, 3))
    directions = rng.uniform(-2, 2, (300, 3)) - origins
    found = ray_cube(
        tf.constant(origins, tf.float32), tf.constant(directions, tf.float32), half_size
    )
    step = 2e-3
    number = np.arange(6000) * step
    inside = np.ones([300, len(number)], bool)
    for axis in range(3):
        place = origins[:, axis : axis + 1] + number * directions[:, axis : axis + 1]
        inside &= np.abs(place) <= half_size
    hit = inside.any(1)
    assert 30 < hit.sum() < 290
    assert (found.hit.numpy() | ~hit).all()
    short = (found.far - found.near).numpy() < 2 * step  # between two samples
    assert ((found.hit.numpy() == hit) | short).all()
    assert (~found.hit.numpy() <= (found.far.numpy() == 0)).all()
    last = len(number) - 1 - inside[:, ::-1].argmax(1)
    ended = hit & (last < len(number) - 1)
    np.testing.assert_allclose(
        found.near[hit], number[inside.argmax(1)][hit], atol=1.01 * step
    )
    np.testing.assert_allclose(found.far[ended], number[last][ended], atol=1.01 * step)


def test_a_ray_from_inside_starts_at_its_origin():
    near, far, hit = span([0.1, 0.2, 0.3], [0.0, 0.0, -2.0])
    assert hit and near == 0.0
    np.testing.assert_allclose(far, 0.4, rtol=1e-6)


def test_a_cube_behind_the_origin_is_not_met():
    assert span([0.0, 0.0, 2.0], [0.1, 0.0, 1.0]) == (0.0, 0.0, False)
    assert not span([0.0, 0.0, 0.5], [0.0, 0.0, 1.0])[2]  # touches it


@pytest.mark.parametrize("sign", [-1.0, 1.0])
@pytest.mark.parametrize("axis", range(3))
def test_rays_parallel_to_faces(axis, sign):
    direction = np.eye(3)[axis] * sign
    beside = np.roll([0.0, 0.2, -0.3], axis)
    near, far, hit = span(beside - 2 * direction, direction)
    np.testing.assert_allclose([near, far, hit], [1.5, 2.5, True], rtol=1e-6)
    outside = np.roll([0.0, 0.2, -0.51], axis)
    assert span(outside - 2 * direction, direction) == (0.0, 0.0, False)


def test_rays_through_edges_and_corners_are_met():
    for target in ([0.5, 0.5, 0.0], [0.5, 0.5, 0.5], [-0.5, 0.5, -0.5]):
        target = np.array(target)
        near, far, hit = span(2 * target, -target)  # through the middle
        np.testing.assert_allclose([near, far, hit], [1.0, 3.0, True], rtol=1e-6)
    # A diagonal within a face's plane meets two opposite edges.
    near, far, hit = span([-1.0, -1.0, 0.5], [1.0, 1.0, 0.0])
    np.testing.assert_allclose([near, far, hit], [0.5, 1.5, True], rtol=1e-6)


def test_a_ray_of_no_direction_meets_nothing_and_batches_of_every_rank_work():
    assert span([0.0, 0.0, 0.0], [0.0, 0.0, 0.0]) == (0.0, 0.0, False)
    assert span([2.0, 0.0, 0.0], [0.0, 0.0, 0.0]) == (0.0, 0.0, False)
    found = ray_cube(tf.zeros([2, 0, 4, 3]), tf.zeros([2, 0, 4, 3]))
    assert all(part.shape == (2, 0, 4) for part in found)


def test_there_is_no_gradient_and_mistakes_are_told():
    origins = tf.ones([1, 3])
    with tf.GradientTape() as tape:
        tape.watch(origins)
        near = ray_cube(origins, -origins).near
    assert tape.gradient(near, origins) is None
    with pytest.raises(ValueError, match="`directions`"):
        ray_cube(origins, tf.ones([1, 2]))
    with pytest.raises(ValueError, match="`half_size`"):
        ray_cube(origins, origins, 0.0)
