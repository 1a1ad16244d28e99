"""Two shapes against two pictures."""

import numpy as np
import tensorflow as tf

from tests.layers.mesh_scenes import box
from tfrender import cameras, losses
from tfrender.layers import MeshRenderer

SIZE = 16
# Coverage of 0 or 1: a soft silhouette does not have an IoU of 1 with itself.
RENDERER = MeshRenderer((SIZE, SIZE), antialias=False)


def camera(azimuth_deg):
    """A camera around the origin."""
    return cameras.Camera(
        cameras.orbit([azimuth_deg], 20.0, 2.5), cameras.perspective(40.0)
    )


def picture(vertices, faces, azimuth_deg, colors):
    """Colour on black and coverage, [1, S, S, 4]."""
    drawn = RENDERER(
        vertices,
        faces,
        camera(azimuth_deg),
        vertex_colors=colors,
        outputs=("rgb", "alpha"),
    )
    return tf.concat([drawn["rgb"], drawn["alpha"]], axis=-1)


def scene():
    """Two boxes with colours, and pictures of the first from two sides."""
    (first, faces), (second, _) = box(seed=0), box(seed=1, size=0.3)
    colors = tf.constant(np.random.default_rng(2).uniform(size=(1, 8, 3)), tf.float32)
    images = [picture(first, faces, azimuth, colors) for azimuth in (30.0, 120.0)]
    return first, second, faces, colors, images


def test_the_right_shape_has_no_loss():
    first, _, faces, colors, images = scene()
    shape = {"vertices": first, "colors": colors}
    got = losses.two_view_losses(
        RENDERER, [shape, shape], faces, [camera(30.0), camera(120.0)], images
    )
    for name in ("silhouette", "color"):
        np.testing.assert_allclose(got[name], [0.0], atol=1e-5)


def test_the_loss_is_the_mean_of_the_four_pairs():
    first, second, faces, _, images = scene()
    got = losses.two_view_losses(
        RENDERER,
        [{"vertices": first}, {"vertices": second}],
        faces,
        [camera(30.0), camera(120.0)],
        images,
    )
    assert set(got) == {"silhouette"}
    terms = [
        losses.silhouette_iou_loss(
            image[..., 3:], RENDERER.silhouettes(vertices, faces, camera(azimuth))
        )
        for vertices in (first, second)
        for image, azimuth in zip(images, (30.0, 120.0), strict=True)
    ]
    np.testing.assert_allclose(got["silhouette"], np.mean(terms, 0), atol=1e-6)


def test_straight_colours_are_laid_on_black():
    first, _, faces, colors, images = scene()
    shape = {"vertices": first, "colors": colors}
    cams = [camera(30.0), camera(120.0)]
    # On a grey background nothing but the coverage tells where the object ends.
    grey = MeshRenderer((SIZE, SIZE), antialias=False, background=0.5)
    arguments = ([shape, shape], faces, cams, images)
    got = losses.two_view_losses(grey, *arguments, straight=True)
    np.testing.assert_allclose(got["color"], [0.0], atol=1e-5)
    assert losses.two_view_losses(grey, *arguments)["color"] > 0.1


def test_examples_do_not_mix():
    first, second, faces, _, images = scene()
    both = tf.concat([first, second], axis=0)
    cams = [
        cameras.Camera(*(tf.repeat(m, 2, axis=0) for m in camera(azimuth)))
        for azimuth in (30.0, 120.0)
    ]
    pair = [tf.repeat(image, 2, axis=0) for image in images]
    got = losses.two_view_losses(RENDERER, [{"vertices": both}] * 2, faces, cams, pair)
    np.testing.assert_allclose(got["silhouette"][0], 0.0, atol=1e-5)
    assert got["silhouette"][1] > 0.1
