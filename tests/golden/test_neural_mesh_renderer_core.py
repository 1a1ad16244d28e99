"""The Neural 3D Mesh Renderer's rasteriser: maps and gradients of the original.

Tolerances are those of the README beside the arrays.
"""

import numpy as np
import pytest
import tensorflow as tf

from tests.golden import cases
from tfrender.ops.edge_gradient import edge_gradient
from tfrender.ops.neural_rasterize import neural_images, neural_rasterize

SYSTEM = "neural_mesh_renderer"
FILES = cases.holding(SYSTEM, "out_face_index_map", "out_grad_faces_*")
each_case = pytest.mark.parametrize("path", FILES, ids=cases.name_of)
PICTURES = ("rgb", "alpha", "depth", "all")


def top_first(data, name):
    """A map of the original with row 0 at the top."""
    return np.ascontiguousarray(data[name][:, ::-1])


def settings(data):
    """Arguments of both ops."""
    near, far, eps = (float(data[f"in_{name}"]) for name in ("near", "far", "eps"))
    return {"near": near, "far": far}, {"eps": eps}


def close(got, want, share):
    np.testing.assert_allclose(got, want, rtol=0, atol=share * np.abs(want).max())


@pytest.mark.parametrize("form", ["eager", "function"])
@each_case
def test_maps_equal_the_original(path, form):
    data = cases.load(path)
    size = (int(data["in_image_size"]),) * 2
    limits, _ = settings(data)
    function = tf.function(lambda faces: neural_rasterize(faces, size, **limits))
    function = function.python_function if form == "eager" else function
    got = function(tf.constant(data["in_faces"]))
    stable = top_first(data, "stable_mask")
    index = top_first(data, "out_face_index_map")
    np.testing.assert_array_equal(got.face_index.numpy()[stable], index[stable])
    few = data["in_faces"].shape[1] < 20
    np.testing.assert_allclose(
        got.weights.numpy()[stable],
        top_first(data, "out_weight_map")[stable],
        atol=1e-5 if few else 1e-3,
    )
    np.testing.assert_allclose(
        got.depth.numpy()[stable], top_first(data, "out_depth_map")[stable], rtol=1e-4
    )
    images = neural_images(
        got, data["in_faces"], top_first(data, "out_rgb_map"), data["in_background"]
    )
    np.testing.assert_array_equal(
        images.alpha.numpy()[stable], top_first(data, "out_alpha_map")[stable]
    )
    np.testing.assert_allclose(
        images.rgb.numpy()[stable], top_first(data, "out_rgb_map")[stable], atol=1e-6
    )


@each_case
def test_gradients_of_the_whole_equal_the_original(path):
    data = cases.load(path)
    size = (int(data["in_image_size"]),) * 2
    limits, ramp = settings(data)
    color = top_first(data, "out_rgb_map")

    def run(faces):
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(faces)
            got = neural_rasterize(faces, size, **limits)
            images = neural_images(got, faces, color, data["in_background"], **ramp)
            losses = [
                tf.reduce_sum(image * top_first(data, f"in_grad_{name}_map"))
                for name, image in zip(PICTURES[:3], images, strict=True)
            ]
            losses.append(tf.add_n(losses))
        return [tape.gradient(loss, faces) for loss in losses]

    for name, slope in zip(PICTURES, run(tf.constant(data["in_faces"])), strict=True):
        close(slope, data[f"out_grad_faces_{name}"], 5e-3)


@each_case
def test_edge_gradient_of_the_original_maps_equals_the_original(path):
    data = cases.load(path)
    rgb, alpha = top_first(data, "out_rgb_map"), top_first(data, "out_alpha_map")
    maps = {"rgb": rgb, "alpha": alpha[..., np.newaxis]}
    maps["all"] = np.concatenate([rgb, maps["alpha"]], -1)
    flows = {name: top_first(data, f"in_grad_{name}_map") for name in ("rgb", "alpha")}
    flows["alpha"] = flows["alpha"][..., np.newaxis]
    flows["all"] = np.concatenate([flows["rgb"], flows["alpha"]], -1)
    points = tf.constant(data["in_faces"][..., :2])
    index = top_first(data, "out_face_index_map")
    for name, image in maps.items():
        with tf.GradientTape() as tape:
            tape.watch(points)
            shown = edge_gradient(image, index, points, **settings(data)[1])
        want = data[f"out_grad_faces_{name}"][..., :2]
        if name == "all":  # it also holds the gradient of the depth picture
            want = want - data["out_grad_faces_depth"][..., :2]
        close(tape.gradient(shown, points, flows[name]), want, 1e-4)
