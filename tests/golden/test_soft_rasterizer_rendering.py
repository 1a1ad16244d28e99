"""Soft Rasterizer: pictures and gradients of the original.

Tolerances are those of the README beside the arrays. The original lets faces outside
the depth range count in alpha, hence `depth_clip_alpha=False`.
"""

import json
import os

import numpy as np
import pytest
import tensorflow as tf

from tests.golden import cases
from tests.ops.soft_scenes import each_form, forms_and
from tfrender import cameras
from tfrender.ops.rasterize_corners import face_corners
from tfrender.ops.soft_blend import SoftBlend, SoftModes

SYSTEM = "soft_rasterizer"
RENDERINGS = ("options", "face_vertices", "face_textures", "image", "grad_image")


def each(*patterns):
    return pytest.mark.parametrize(
        "path", cases.holding(SYSTEM, *RENDERINGS, *patterns), ids=cases.name_of
    )


def settings(data):
    """Image size and arguments of a case."""
    options = json.loads(str(data["options"]))
    near, far, eps, sigma, gamma = (
        float(np.float32(options[name]))
        for name in ("near", "far", "eps", "sigma", "gamma")
    )
    modes = SoftModes(options["dist_func"], options["rgb"], options["alpha"])
    return (options["image_size"],) * 2, {
        "blend": SoftBlend(sigma, gamma, eps, options["dist_eps"]),
        "modes": modes._replace(depth_clip_alpha=False),
        "depth_range": (near, far),
        "background": options["background"],
        "double_sided": options["fill_back"],
    }


def channels_first(images):
    """[B, C + 1, H, W], as the original lays pictures out."""
    rgba = tf.concat([images.rgb, images.alpha[..., tf.newaxis]], axis=-1)
    return tf.transpose(rgba, [0, 3, 1, 2])


@pytest.mark.parametrize("dtype", [tf.float64, tf.float32], ids=["float64", "float32"])
@forms_and(
    "path",
    cases.holding(SYSTEM, *RENDERINGS, "grad_face_vertices", "valid"),
    every=1 if "TFRENDER_GOLDEN_DIR" in os.environ else 15,
)
def test_pictures_and_gradients_equal_the_original(path, draw, dtype):
    data = cases.load(path)
    size, arguments = settings(data)
    vertices = tf.constant(data["face_vertices"], dtype)
    colors = tf.constant(data["face_textures"], dtype)
    with tf.GradientTape() as tape:
        tape.watch([vertices, colors])
        image = channels_first(draw(vertices, colors, size, **arguments))
        loss = tf.reduce_sum(image * tf.constant(data["grad_image"], dtype))
    assert image.dtype == dtype
    slopes = tape.gradient(loss, [vertices, colors], unconnected_gradients="zero")
    # Hard alpha leaks a gradient in the original.
    corners = data.get("grad_face_vertices_noleak", data["grad_face_vertices"])
    texels = data["grad_face_textures"]
    close = [1e-3, *(2e-2 * np.abs(want).max() for want in (corners, texels))]
    if dtype == tf.float64:
        close = [1e-5, 1e-3 * max(1.0, np.abs(corners).max()), 1e-4]
    valid = np.broadcast_to(data["valid"][:, np.newaxis], image.shape)
    got = [image.numpy()[valid], *slopes]
    want = [data["image"][valid], corners, texels]
    for one, other, atol in zip(got, want, close, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=atol)


@each_form
@each("image_antialiased")
def test_means_of_2x2_pixels_are_the_smoothed_picture(path, draw):
    data = cases.load(path)
    size, arguments = settings(data)
    image = draw(data["face_vertices"], data["face_textures"], size, **arguments)
    image = tf.transpose(channels_first(image), [0, 2, 3, 1])
    small = tf.transpose(tf.nn.avg_pool2d(image, 2, 2, "VALID"), [0, 3, 1, 2])
    np.testing.assert_allclose(small, data["image_antialiased"], atol=1e-3)


@each_form
@each("vertices", "faces", "vertex_colors", "eye", "projected_vertices")
def test_our_cameras_lead_to_the_same_picture(path, draw):
    data = cases.load(path)
    size, arguments = settings(data)
    # Half angle 30 degrees, at the origin, up is y: the README's.
    camera = cameras.from_neural_renderer(data["eye"])
    vertices = np.broadcast_to(data["vertices"], data["projected_vertices"].shape)
    clip = cameras.project_to_clip(camera, tf.constant(vertices))
    depth = cameras.view_depth(camera, tf.constant(vertices))[..., tf.newaxis]
    projected = tf.concat([clip[..., :2] / clip[..., 3:], depth], axis=-1)
    np.testing.assert_allclose(
        projected, data["projected_vertices"], rtol=1e-5, atol=1e-5
    )
    colors = np.broadcast_to(data["vertex_colors"], vertices.shape)
    image = draw(
        face_corners(projected, data["faces"]),
        face_corners(tf.constant(colors), data["faces"]),
        size,
        **arguments,
    )
    np.testing.assert_allclose(channels_first(image), data["image"], atol=1e-3)
