"""The anti-aliasing of the published reconstruction code."""

import numpy as np
import pytest
import tensorflow as tf

from tests.layers.mesh_scenes import box, view
from tfrender.layers import CornerAlignedRenderer, NeuralMeshRenderer
from tfrender.layers.training_renderers import RENDERERS, training_renderer

SIZE = (12, 12)


def test_one_sample_is_the_plain_renderer():
    vertices, faces = box()
    got = CornerAlignedRenderer(SIZE, 1).silhouettes(vertices, faces, view())
    want = NeuralMeshRenderer(SIZE, 1).silhouettes(vertices, faces, view())
    np.testing.assert_array_equal(got, want)


def test_samples_of_a_plane_stay_on_it():
    # A linear resize that keeps the corners maps a linear picture to a linear one.
    layer = CornerAlignedRenderer((5, 5), 3)
    row, column = np.meshgrid(np.arange(15.0), np.arange(15.0), indexing="ij")
    samples = tf.constant((2 * row - column)[np.newaxis, ..., np.newaxis], tf.float32)
    row, column = np.meshgrid(
        np.linspace(0, 14, 5), np.linspace(0, 14, 5), indexing="ij"
    )
    got = layer.filter_samples(samples)[0, ..., 0]
    np.testing.assert_allclose(got, 2 * row - column, atol=1e-5)


def test_every_name_gives_silhouettes_with_a_gradient():
    vertices, faces = box()
    for name in RENDERERS:
        layer = training_renderer(name, 16)
        with tf.GradientTape() as tape:
            tape.watch(vertices)
            picture = layer.silhouettes(vertices, faces, view())
            total = tf.reduce_sum(picture * np.linspace(0, 1, 16))
        assert picture.shape == [1, 16, 16, 1]
        assert 0.0 < tf.reduce_mean(picture) < 1.0
        assert np.abs(tape.gradient(total, vertices)).max() > 0.0


def test_pictures_are_square():
    with pytest.raises(ValueError, match=r"square; got \[12, 14\]"):
        CornerAlignedRenderer((12, 14))
