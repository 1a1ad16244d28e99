"""Claims of tfrender.camera_rays."""

import numpy as np
import pytest
import tensorflow as tf

from tfrender import cameras

SIZE = (30, 52)


def all_cameras():
    """Kind -> Camera of batch 2."""
    view = cameras.orbit([30.0, 200.0], [20.0, -35.0], [2.0, 2.5])
    perspective = cameras.Camera(view, cameras.perspective([40.0, 25.0], 52 / 30))
    matrices = np.stack([np.eye(4)] * 2)
    matrices[:, :3, :3] = [[2.5, 0.4, 0.3], [0.0, 3.1, -0.2], [0.0, 0.0, 1.0]]
    _, world = cameras.to_dvr(perspective, SIZE)
    grow = np.diag([3.0, 3.0, 3.0, 1.0])
    skewed, _ = cameras.from_dvr(matrices, world, grow, SIZE)
    flip = np.diag([-1.0, 1.0, 1.0, 1.0])
    mirrored, _ = cameras.from_dvr(matrices @ flip, world, None, SIZE)
    return {
        "perspective": perspective,
        "orthographic": cameras.Camera(view, cameras.orthographic([0.7, 1.1], 52 / 30)),
        "off-centre": cameras.crop(perspective, (40, 60), (3, 7, *SIZE)),
        "skewed": skewed,
        "mirrored": mirrored,
    }


def pixels(batch=2):
    rng = np.random.default_rng(0)
    drawn = rng.uniform([-3, -3], [SIZE[1] + 3, SIZE[0] + 3], (batch, 9, 2))
    return tf.constant(drawn, tf.float32)


@pytest.mark.parametrize("kind", all_cameras())
def test_a_point_of_a_ray_has_its_pixel_and_its_parameter_is_the_depth(kind):
    camera, wanted = all_cameras()[kind], pixels()
    origins, directions = cameras.pixel_rays(camera, wanted, SIZE)
    for depth in (0.5, 2.0, 7.0):
        points = origins + depth * directions
        np.testing.assert_allclose(cameras.view_depth(camera, points), depth, rtol=1e-5)
        clip = cameras.project_to_clip(camera, points)
        found = cameras.clip_to_pixel(clip, SIZE)
        np.testing.assert_allclose(found, wanted, atol=5e-4)
    np.testing.assert_allclose(cameras.view_depth(camera, origins), 0.0, atol=1e-6)
    spread = np.ptp(origins, axis=1).max()
    assert spread > 0.5 if kind == "orthographic" else spread < 1e-5


@pytest.mark.parametrize("kind", all_cameras())
def test_gradients_keep_the_point_at_its_pixel(kind):
    # Whatever moves the camera moves the ray along: the pixel has no derivative.
    camera, wanted = all_cameras()[kind], pixels()
    parts = list(camera)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([*parts, wanted])
        # A rigid transform stays one: turn and shift, in place of single entries.
        turn = tf.zeros([2, 3])
        tape.watch(turn)
        x, y, z = tf.unstack(turn, axis=1)
        o = tf.zeros_like(x)
        rows = [[o, -z, y, x], [z, o, -x, y], [-y, x, o, z], [o, o, o, o]]
        twist = tf.stack([tf.stack(row, axis=1) for row in rows], axis=1)
        moved = cameras.Camera(parts[0] + twist @ parts[0], parts[1])
        origins, directions = cameras.pixel_rays(moved, wanted, SIZE)
        free = origins + 1.7 * directions
        seen = []
        for points in (free, tf.stop_gradient(free)):
            clip = cameras.project_to_clip(moved, points)
            found = cameras.clip_to_pixel(clip, SIZE)
            seen.append(tf.reduce_sum(tf.sin(found), axis=[1, 2]))
    for source in (turn, parts[1]):
        rest = tape.gradient(seen[1], source).numpy()
        assert np.abs(rest).max() > 1.0
        left = tape.gradient(seen[0], source).numpy()
        if source is parts[1]:
            left[:, 3, :2] = 0.0  # entries that no projection has
        assert np.abs(left).max() < 1e-4 * np.abs(rest).max() + 1e-4
    through = tape.gradient(seen[0], wanted)
    np.testing.assert_allclose(through, tf.cos(wanted), atol=2e-3)


def test_one_camera_serves_many_pictures_and_one_list_of_pixels_many_cameras():
    camera, wanted = all_cameras()["perspective"], pixels(3)
    first = cameras.Camera(*(part[:1] for part in camera))
    origins, directions = cameras.pixel_rays(first, wanted, SIZE)
    assert origins.shape == directions.shape == (3, 9, 3)
    for b in range(3):
        alone = cameras.pixel_rays(first, wanted[b : b + 1], SIZE)[1]
        np.testing.assert_allclose(directions[b : b + 1], alone, atol=1e-6)
    _, directions = cameras.pixel_rays(camera, wanted[:1], SIZE)
    assert directions.shape == (2, 9, 3)
    with pytest.raises(ValueError, match="`pixels`"):
        cameras.pixel_rays(camera, tf.zeros([2, 9, 3]), SIZE)
    with pytest.raises(ValueError, match="`image_size`"):
        cameras.pixel_rays(camera, wanted, (0, 4))
