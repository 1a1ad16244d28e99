"""Scenes and helpers of the Soft Rasterizer's tests, and the list of its forms."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from tfrender.ops.soft_blend import SoftBlend
from tfrender.ops.soft_rasterize import soft_rasterize
from tfrender.ops.soft_rasterize_dense import soft_rasterize_dense

IMPLEMENTATIONS = {
    "dense": soft_rasterize_dense,
    "windows": functools.partial(soft_rasterize, form="xla"),
}
each_form = pytest.mark.parametrize(
    "draw",
    [
        pytest.param(draw, id=form, marks=[] if form == "dense" else pytest.mark.slow)
        for form, draw in IMPLEMENTATIONS.items()
    ],
)


def forms_and(name, values, every):
    """Parameters `draw` and another: the dense form with all values, the compiled one
    with a few, spread evenly: it is the same code for all and takes seconds to compile.
    """
    values = list(values)
    dense, windows = IMPLEMENTATIONS.items()
    each = [(*dense, value) for value in values]
    each += [(*windows, value) for value in values[::every]]
    label = (lambda v: "-".join(map(str, v[:3]))) if name == "modes" else str
    return pytest.mark.parametrize(
        f"draw,{name}",
        [(draw, value) for _, draw, value in each],
        ids=[
            f"{form}-{getattr(value, 'stem', label(value))}" for form, _, value in each
        ],
    )


SIZE = (9, 13)  # odd, height is not width
DEPTHS = (1.0, 10.0)
SOFT = SoftBlend(sigma=5e-3, gamma=0.05)
TABLE = {"background": [0.2, 0.9, 0.4], "depth_range": DEPTHS, "double_sided": True}


def soup(seed, batch=1, count=5, dtype=np.float64):
    """Random faces in front of the camera and colours of their corners."""
    rng = np.random.default_rng(seed)
    middle = rng.uniform(-0.7, 0.7, (batch, count, 1, 2))
    xy = middle + rng.uniform(-0.8, 0.8, (batch, count, 3, 2))
    z = rng.uniform(1.5, 6.0, (batch, count, 3, 1))
    colors = rng.uniform(size=(batch, count, 3, 3))
    return np.concatenate([xy, z], -1).astype(dtype), colors.astype(dtype)


def facing(faces):
    """The same faces, clockwise on screen."""
    x, y = (faces[..., 1:, axis] - faces[..., :1, axis] for axis in (0, 1))
    left = x[..., 0] * y[..., 1] > x[..., 1] * y[..., 0]
    return np.where(left[..., None, None], faces[..., ::-1, :], faces)


def image_of(draw, faces, colors, **arguments):
    """Colours and alpha in one picture [B, H, W, 4]."""
    got = draw(faces, colors, SIZE, **{"blend": SOFT, **TABLE, **arguments})
    return tf.concat([got.rgb, got.alpha[..., tf.newaxis]], axis=-1)


def with_slopes(draw, faces, colors, **arguments):
    """A picture and the gradients of a sum of it with fixed random weights."""
    faces, colors = tf.convert_to_tensor(faces), tf.convert_to_tensor(colors)
    with tf.GradientTape() as tape:
        tape.watch([faces, colors])
        image = image_of(draw, faces, colors, **arguments)
        loss = tf.reduce_sum(image * upstream(image.dtype))
    zero = tf.UnconnectedGradients.ZERO
    return image, *tape.gradient(loss, [faces, colors], unconnected_gradients=zero)


def upstream(dtype):
    return tf.constant(np.random.default_rng(5).normal(size=(*SIZE, 4)), dtype)


def same(got, want, share=1e-9):
    for one, other in zip(got, want, strict=True):
        other = np.asarray(other)
        np.testing.assert_allclose(one, other, atol=share * (1 + np.abs(other).max()))
