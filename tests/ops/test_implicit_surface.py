"""Claims of implicit depth and of the visible surface of a field."""

import numpy as np
import pytest
import tensorflow as tf

from tfrender import ops
from tfrender.ops.field_query import query
from tfrender.ops.implicit_surface import (
    SurfaceSettings,
    implicit_surface,
    logit,
    scatter,
    select,
)

FORMS = ("graph", "xla")
MARCH = ops.MarchSettings(48, refinement_steps=12)
EYE = np.array([0.1, -0.05, -2.0])


def rays():
    """Rays [1, N, 3] from one eye, some past the ball."""
    x, y = np.meshgrid(np.linspace(-0.2, 0.2, 5), np.linspace(-0.3, 0.1, 4))
    way = np.stack([x, y, np.ones_like(x)], axis=-1).reshape(1, -1, 3)
    origin = np.broadcast_to(EYE, way.shape)
    return tf.constant(origin, tf.float32), tf.constant(way, tf.float32)


def ball(radius, center=0.0):
    """Occupancy of a ball, its colours the coordinates."""

    def field(points):
        away = tf.norm(points - center, axis=-1, keepdims=True)
        return tf.concat([10.0 * (radius - away), 3.0 * points], axis=-1)

    return query(field)


def losses(surface):
    """Three functions of what is seen."""
    weight = tf.cast(surface.valid, tf.float32)
    bend = 1.0 + tf.cast(surface.ray % 3, tf.float32)  # rays differ
    return {
        "depth": tf.reduce_sum(weight * bend * surface.depth),
        "points": tf.reduce_sum((weight * bend)[:, tf.newaxis] * surface.points**2),
        "colors": tf.reduce_sum(
            (weight * bend)[:, tf.newaxis] * tf.sigmoid(surface.logits)
        ),
    }


def steady(values):
    """Rays well inside the outline, whatever the small step."""
    origins, ways = rays()
    surface = implicit_surface(ball(values), origins, ways, SurfaceSettings(MARCH))
    keep = surface.mask.numpy()[0]
    return (tf.boolean_mask(array, keep, axis=1) for array in (origins, ways))


@pytest.mark.parametrize("form", FORMS)
def test_gradients_to_the_shape_are_those_of_finite_differences(form):
    origins, ways = steady(0.25)
    radius = tf.Variable(0.3)

    def seen():
        settings = SurfaceSettings(MARCH)
        return losses(
            implicit_surface(ball(radius), origins, ways, settings, form=form)
        )

    with tf.GradientTape(persistent=True) as tape:
        found = seen()
    step = 4e-3
    for name in found:
        slope = float(tape.gradient(found[name], radius))
        ends = []
        for sign in (1.0, -1.0):
            radius.assign(0.3 + sign * step)
            ends.append(float(seen()[name]))
        radius.assign(0.3)
        np.testing.assert_allclose(
            slope, (ends[0] - ends[1]) / (2 * step), rtol=1e-3, err_msg=name
        )


def test_cameras_have_exact_gradients_where_asked():
    origins, ways = steady(0.25)
    shift = tf.Variable(tf.zeros(3))

    def seen(asked):
        settings = SurfaceSettings(MARCH, camera_gradients=asked)
        return losses(implicit_surface(ball(0.3), origins + shift, ways, settings))

    with tf.GradientTape(persistent=True) as tape:
        found, still = seen(True), seen(False)
    step = 4e-3
    for name in found:
        assert tape.gradient(still[name], shift) is None
        slope = tape.gradient(found[name], shift).numpy()
        for axis in range(3):
            ends = []
            for sign in (1.0, -1.0):
                shift.assign(sign * step * np.eye(3)[axis])
                ends.append(float(seen(False)[name]))
            shift.assign(np.zeros(3))
            expected = (ends[0] - ends[1]) / (2 * step)
            np.testing.assert_allclose(
                slope[axis], expected, rtol=1e-3, atol=5e-3, err_msg=name
            )


def test_depth_and_gradient_of_a_ball_are_those_of_geometry():
    origins, ways = rays()
    surface = implicit_surface(ball(0.3), origins, ways, SurfaceSettings(MARCH))
    o, w = (array.numpy()[0].astype(float) for array in (origins, ways))
    a, b = (w**2).sum(1), (w * o).sum(1)
    root = b * b - a * ((o**2).sum(1) - 0.3**2)
    hit = root > 0
    np.testing.assert_array_equal(surface.mask[0], hit)
    depth = (-b[hit] - np.sqrt(root[hit])) / a[hit]
    np.testing.assert_allclose(surface.depth, depth, rtol=1e-4)
    points = o[hit] + depth[:, np.newaxis] * w[hit]
    np.testing.assert_allclose(surface.points, points, atol=1e-4)
    np.testing.assert_allclose(
        surface.gradient, -10.0 * points / 0.3, rtol=0, atol=5e-3
    )
    np.testing.assert_array_equal(surface.ray, np.flatnonzero(hit))


def test_rays_that_start_inside_are_hits_in_legacy_alone():
    origins, ways = rays()
    for legacy in (False, True):
        settings = SurfaceSettings(MARCH, legacy=legacy)
        surface = implicit_surface(ball(9.0), origins, ways, settings)
        started = surface.starts_inside.numpy()
        assert started.all()
        np.testing.assert_array_equal(surface.mask, started & legacy)
        np.testing.assert_array_equal(surface.depth, np.zeros(legacy * 20))


def test_rays_beside_the_cube_are_marched_where_asked():
    origins, ways = rays()
    aside = ball(0.3, tf.constant([0.9, 0.0, 0.0]))
    ways += tf.constant([0.4, 0.1, 0.0])
    outside = SurfaceSettings(MARCH)
    assert not implicit_surface(aside, origins, ways, outside).mask.numpy().all()
    everywhere = outside._replace(outside_range=(0.0, 4.0))
    found = implicit_surface(aside, origins, ways, everywhere)
    assert (
        found.mask.numpy().sum()
        > implicit_surface(aside, origins, ways, outside).mask.numpy().sum()
    )
    whole = implicit_surface(aside, origins, ways, everywhere._replace(use_cube=False))
    assert whole.marched.numpy().all()
    np.testing.assert_array_equal(whole.near, 0.0 * whole.near)


def test_slopes_are_bounded_and_keep_their_sign():
    depth, value = tf.constant([1.0, 2.0, 3.0, 4.0]), tf.Variable(tf.zeros(4))
    slope = tf.constant([5.0, -5.0, 1e-6, -1e-6])
    for signless, last in ((False, 1e3), (True, -1e3)):
        with tf.GradientTape() as tape:
            found = ops.implicit_depth(depth, value, slope, signless=signless)
            total = tf.reduce_sum(found)
        np.testing.assert_array_equal(found, depth)
        expected = [-0.2, 0.2, -1e3, last]
        np.testing.assert_allclose(tape.gradient(total, value), expected, rtol=1e-5)
    with pytest.raises(ValueError, match="`slope` must end in"):
        ops.implicit_depth(depth, value, slope[:2])


def test_grazing_rays_can_be_held_back():
    """The gradient of a ray along the outline grows without limit, or to a bound."""
    origins = tf.constant([[[0.0, 0.2999, -2.0]]])
    ways = tf.constant([[[0.0, 0.0, 1.0]]])
    slopes = []
    for least in (0.0, 0.3):
        radius = tf.Variable(0.3)
        settings = SurfaceSettings(
            ops.MarchSettings(400, refinement_steps=30), least_cosine=least
        )
        with tf.GradientTape() as tape:
            surface = implicit_surface(ball(radius), origins, ways, settings)
            total = tf.reduce_sum(surface.depth)
        assert surface.mask.numpy().all()
        slopes.append(float(tape.gradient(total, radius)))
    np.testing.assert_allclose(
        slopes[0], -1.0 / np.sqrt(1 - 0.2999**2 / 0.09), rtol=0.1
    )
    np.testing.assert_allclose(slopes[1], -1.0 / 0.3, rtol=1e-2)


def test_memory_does_not_grow_with_the_samples():
    """What is differentiated is evaluated on rays that hit, not on samples."""
    origins, ways = rays()
    counts = []
    for samples in (16, 128):
        asked = []

        class Counting(type(ball(0.3))):
            def logits(self, points, item, asked=asked):
                asked.append(int(points.shape[0]))
                return super().logits(points, item)

        radius = tf.Variable(0.3)
        counting = Counting(ball(radius)._field)
        settings = SurfaceSettings(ops.MarchSettings(samples))
        with tf.GradientTape() as tape:
            surface = implicit_surface(counting, origins, ways, settings)
            total = tf.reduce_sum(surface.depth)
        assert tape.gradient(total, radius) is not None
        hits = int(surface.mask.numpy().sum())
        assert asked[-2:] == [hits, hits]  # value and gradient, then colours
        counts.append(hits)
    assert counts[0] == counts[1]


@pytest.mark.parametrize("form", FORMS)
def test_selected_values_go_back_to_their_places(form):
    mask = tf.constant([[True, False, True], [False, False, True]])
    values = tf.reshape(tf.range(12.0), [2, 3, 2]) + 1.0
    index, valid = select(mask, form)
    picked = tf.gather(tf.reshape(values, [-1, 2]), index)
    back = scatter(index, valid, picked, [2, 3])
    np.testing.assert_array_equal(back, values * mask.numpy()[..., np.newaxis])


def test_the_logit_of_a_threshold_stays_finite():
    assert logit(0.5) == 0.0
    assert logit(0.8) == pytest.approx(np.log(4.0))
    assert logit(0.0) == pytest.approx(-9.2, abs=0.02)
    assert logit(1.0) == pytest.approx(9.2, abs=0.02)
    with pytest.raises(ValueError, match="`probability` must lie in"):
        logit(1.5)
