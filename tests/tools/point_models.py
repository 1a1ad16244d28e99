"""Stand-ins for an exported point cloud reconstructor, and clouds for its truth."""

import numpy as np
import tensorflow as tf

from tfrender.export.saved_model import guard, write_saved_model

SIZE = 16


class _Shower(tf.Module):
    """Answers one cloud, moved by the mean colour of the picture; perhaps a pose."""

    def __init__(self, points, pose, size):
        super().__init__()
        self.points = tf.constant(points, tf.float32)
        self.pose = None if pose is None else tf.constant(pose, tf.float32)
        self.size = size

    def signature(self):
        spec = tf.TensorSpec([None, self.size, self.size, 3], tf.float32, "image")

        @tf.function(input_signature=[spec])
        def serve(image):
            image = guard(image, spec.shape, "image", 0.0, 1.0)
            color = tf.reduce_mean(image, [1, 2])[:, tf.newaxis]  # [B, 1, 3]
            answer = {"points": self.points + 0.01 * color}
            if self.pose is not None:
                count = tf.shape(image)[0]
                answer["pose"] = tf.repeat(self.pose[tf.newaxis], count, 0)
            return answer

        return serve.get_concrete_function()


def write_model(folder, points=None, pose=None, size=SIZE):
    """Exports a stand-in; returns the folder."""
    points = ball(40) if points is None else points
    module = _Shower(points, pose, size)
    return write_saved_model(
        str(folder), module, {"serving_default": module.signature()}
    )


def ball(count, radius=0.4, seed=0):
    """Points on a sphere, float32 [N, 3]."""
    direction = np.random.default_rng(seed).normal(size=[count, 3])
    length = np.linalg.norm(direction, axis=-1, keepdims=True)
    return np.float32(radius * direction / length)


def write_cloud(path, points, **others):
    """Writes an npz of `points`, and other arrays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, points=points, **others)
