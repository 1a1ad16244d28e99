"""Decoder, training pictures, losses and optimizer of the published reconstruction."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.golden import cases
from tfrender import cameras, losses
from tfrender.geometry.edges import edge_topology, lower_end_first
from tfrender.layers import CornerAlignedRenderer
from tfrender.models.mesh_reconstructor import sphere_template
from tfrender.ops.deform_template import deform_template
from tfrender.optimizers import SkipZeroAdam

SYSTEM = "mesh_reconstruction"
HALF_ANGLE_DEG = 15.0


def each(*patterns):
    """One test for each case that holds such arrays."""
    return pytest.mark.parametrize(
        "path", cases.holding(SYSTEM, *patterns), ids=cases.name_of
    )


def within(got, want, share):
    """Largest difference, as a share of the largest value."""
    got = tf.convert_to_tensor(got)
    np.testing.assert_allclose(got, want, atol=share * np.abs(want).max(), rtol=0)


def published_wings():
    """Edges with both neighbours, the lower end first, as the original sorts them."""
    return lower_end_first(edge_topology(sphere_template().faces).wings)


@each("bias", "centroid_raw", "g_vertices")
def test_decoder(path):
    case = cases.load(path)
    bias = tf.constant(case["bias"].reshape(len(case["bias"]), -1, 3))
    centroid = tf.constant(case["centroid_raw"])
    with tf.GradientTape() as tape:
        tape.watch([bias, centroid])
        vertices = deform_template(sphere_template().vertices, bias, centroid)
        total = tf.reduce_sum(vertices * case["g_vertices"])
    slopes = tape.gradient(total, [bias, centroid])
    np.testing.assert_allclose(vertices, case["vertices"], atol=1e-6)
    within(tf.reshape(slopes[0], case["grad_bias"].shape), case["grad_bias"], 1e-4)
    within(slopes[1], case["grad_centroid_raw"], 1e-4)


def silhouettes(case, vertices, supersampling):
    """Pictures of the training renderer, [B, H, W]."""
    layer = CornerAlignedRenderer(
        case["silhouettes"].shape[1:], supersampling, lights=None, eps=1e-3
    )
    camera = cameras.from_neural_renderer(
        tf.constant(case["eye"]), viewing_angle_deg=HALF_ANGLE_DEG
    )
    return layer.silhouettes(vertices, sphere_template().faces, camera)[..., 0]


@each("silhouettes", "iou_loss", "grad_vertices_iou")
def test_training_pictures_and_their_loss(path):
    case = cases.load(path)
    vertices = tf.constant(case["vertices2"])
    with tf.GradientTape() as tape:
        tape.watch(vertices)
        pictures = silhouettes(case, vertices, 2)
        loss = losses.silhouette_iou_loss(tf.constant(case["target"]), pictures)
        loss = tf.reduce_mean(loss)
    differs = np.abs(pictures - case["silhouettes"]) > 1e-3
    assert differs.mean() <= 0.005
    np.testing.assert_allclose(loss, case["iou_loss"], atol=1e-4)
    within(tape.gradient(loss, vertices), case["grad_vertices_iou"], 1e-2)
    plain = silhouettes(case, vertices, 1)
    assert (np.abs(plain - case["silhouettes_noaa"]) > 1e-3).mean() <= 0.005


@each("smooth_loss", "grad_vertices_smooth")
def test_smoothness(path):
    case = cases.load(path)
    vertices = tf.constant(case["vertices2"])
    with tf.GradientTape() as tape:
        tape.watch(vertices)
        loss = tf.reduce_mean(losses.flatten_loss(vertices, published_wings()))
    np.testing.assert_allclose(loss, case["smooth_loss"], rtol=1e-4)
    within(tape.gradient(loss, vertices), case["grad_vertices_smooth"], 1e-4)


@each("edges_v0_v1_opp2")
def test_edges_of_the_template(path):
    def plain(table):
        table = np.concatenate([np.sort(table[:, :2], 1), np.sort(table[:, 2:], 1)], 1)
        return table[np.lexsort(table.T)]

    np.testing.assert_array_equal(
        plain(published_wings()), plain(cases.load(path)["edges_v0_v1_opp2"])
    )


@each("grads", "params", "lr")
def test_optimizer(path):
    case = cases.load(path)
    variable = keras.Variable(case["params"][0])
    optimizer = SkipZeroAdam(float(case["lr"]))
    for gradient, want in zip(case["grads"], case["params"][1:], strict=True):
        optimizer.apply([tf.constant(gradient, tf.float32)], [variable])
        np.testing.assert_allclose(variable, want, atol=1e-6)
