"""A ball as an implicit shape: its surface is known by a formula."""

import numpy as np
import tensorflow as tf

from tfrender.ops.field_query import FieldQuery

CENTER = np.array([0.04, -0.03, 0.05])
MIX = np.array([[2.0, -1.0, 0.5], [0.3, 1.5, -2.0], [1.0, 0.7, 1.2]])
STEEP = 4.0  # logit a unit of distance


class Ball(FieldQuery):
    """Logits of a ball with smooth colours; item b lies `apart` * b along x.

    `evaluated` are the numbers of points of all evaluations so far, outside of graphs.
    """

    def __init__(self, radius=0.3, apart=0.0, steep=STEEP):
        self.radius, self.steep = tf.convert_to_tensor(radius), steep
        self.apart = apart
        self.evaluated = []

    def logits(self, points, item):
        self.evaluated.append(points.shape[0])
        shift = self.apart * tf.cast(item, tf.float32)
        center = tf.constant(CENTER, tf.float32) + shift[:, tf.newaxis] * [1.0, 0, 0]
        away = tf.norm(points - center, axis=-1, keepdims=True)
        colors = tf.matmul(points, tf.constant(MIX, tf.float32))
        return tf.concat([self.steep * (self.radius - away), colors], axis=-1)


def rays(count=40, seed=0, spread=0.2, apart=0.0):
    """Origins and directions [N, 3] towards the ball from all around, float64."""
    rng = np.random.default_rng(seed)
    origins = rng.normal(size=[count, 3])
    origins *= 2.0 / np.linalg.norm(origins, axis=-1, keepdims=True)
    target = CENTER + rng.uniform(-spread, spread, [count, 3])
    target[:, 0] += apart
    directions = (target - origins) * rng.uniform(0.3, 1.5, [count, 1])
    return origins, directions


def depths(origins, directions, radius=0.3, center=CENTER):
    """Ray parameters of the first surface, nan where a ray misses; float64."""
    away = origins - center
    a, b = (directions**2).sum(-1), (directions * away).sum(-1)
    root = b * b - a * ((away**2).sum(-1) - radius**2)
    return (-b - np.sqrt(np.where(root > 0, root, np.nan))) / a


def colors(points):
    """Colours [N, 3] in [0, 1], float64."""
    return 1.0 / (1.0 + np.exp(-points @ MIX))


def single(*arrays):
    """The arrays as float32 tensors."""
    return [tf.constant(array, tf.float32) for array in arrays]
