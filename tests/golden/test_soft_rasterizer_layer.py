"""The Soft Rasterizer as a layer, against pictures and gradients of the original.

Tolerances are those of the README beside the arrays.
"""

import json

import numpy as np
import pytest
import tensorflow as tf

from tests.golden import cases
from tfrender import cameras
from tfrender.layers.soft_rasterizer import SoftRasterizer
from tfrender.ops.neural_rasterize import project_faces
from tfrender.ops.rasterize_corners import face_corners
from tfrender.ops.soft_blend import SoftModes

# Some of the arrays are less soft than what a shape can learn from.
pytestmark = pytest.mark.filterwarnings("ignore:SoftRasterizer. at sigma")


def golden(*patterns):
    names = ("options", "vertices", "faces", "vertex_colors", "eye", *patterns)
    return pytest.mark.parametrize(
        "path", cases.holding("soft_rasterizer", *names), ids=cases.name_of
    )


def golden_scene(path, parity, supersampling=1):
    """Arrays, layer, inputs and camera of a case."""
    data = cases.load(path)
    options = json.loads(str(data["options"]))
    names = {"sigma", "gamma", "eps", "dist_eps"}
    blend = {name: float(np.float32(options[name])) for name in names}
    side = options["image_size"] // supersampling
    layer = SoftRasterizer(
        (side, side),
        blend,
        SoftModes(options["dist_func"], options["rgb"], options["alpha"]),
        None,
        float(np.float32(options["near"])),
        float(np.float32(options["far"])),
        parity=parity,
        supersampling=supersampling,
        double_sided=options["fill_back"],
        background=options["background"],
        outputs=("rgb", "alpha"),
    )
    shape = data["projected_vertices"].shape
    vertices = tf.constant(np.broadcast_to(data["vertices"], shape))
    colors = tf.constant(np.broadcast_to(data["vertex_colors"], shape))
    # Half angle 30 degrees, at the origin, up is y: the README's.
    camera = cameras.from_neural_renderer(data["eye"])
    return data, layer, (vertices, colors), camera


def rgba_of(got):
    """[B, 4, H, W], as the original lays pictures out."""
    return tf.transpose(tf.concat([got["rgb"], got["alpha"]], -1), [0, 3, 1, 2])


@pytest.mark.parametrize("parity", [False, True])
@golden("image", "valid", "grad_image", "grad_face_*")
def test_pictures_and_gradients_equal_the_original(path, parity):
    data, layer, inputs, camera = golden_scene(path, parity)
    vertices, colors = inputs
    faces = data["faces"]
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(inputs)
        image = rgba_of(layer(vertices, faces, camera, vertex_colors=colors))
        loss = tf.reduce_sum(image * data["grad_image"])
        # The same chain of cameras takes the original's gradients to the vertices.
        corners = project_faces(camera, vertices, faces)
        tinted = face_corners(colors, faces)
    assert image.shape == data["image"].shape
    valid = np.broadcast_to(data["valid"][:, np.newaxis], image.shape)
    np.testing.assert_allclose(image.numpy()[valid], data["image"][valid], atol=1e-3)
    for value, middle, name in (
        (vertices, corners, "grad_face_vertices"),
        (colors, tinted, "grad_face_textures"),
    ):
        want = tape.gradient(middle, value, tf.cast(data[name], tf.float32)).numpy()
        got = tape.gradient(loss, value)
        np.testing.assert_allclose(got, want, atol=2e-2 * np.abs(want).max())
        assert np.abs(want).max() > 0


@golden("image_antialiased")
def test_supersampling_is_the_smoothed_picture_of_the_original(path):
    k = json.loads(str(cases.load(path)["options"]))["image_size"]
    k //= cases.load(path)["image_antialiased"].shape[-1]
    data, layer, inputs, camera = golden_scene(path, True, supersampling=k)
    got = layer(inputs[0], data["faces"], camera, vertex_colors=inputs[1])
    np.testing.assert_allclose(rgba_of(got), data["image_antialiased"], atol=1e-3)
