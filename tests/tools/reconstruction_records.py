"""Records and a network of mesh reconstruction whose scores are known."""

import numpy as np
import tensorflow as tf

from datasets import records
from datasets.mesh_reconstruction import examples
from tfrender.export.saved_model import write_saved_model
from tfrender.models.mesh_reconstructor import sphere_template
from tfrender.ops import published_voxels

RADIUS = 0.3  # of the network's answer to everything


def sphere(radius, squeeze=1.0):
    """Vertices [1, 642, 3] of a sphere, or of an ellipsoid flat in x."""
    return sphere_template().vertices[np.newaxis] * np.float32(
        [radius * squeeze, radius, radius]
    )


def grid(radius, squeeze=1.0):
    """Voxels of `sphere`."""
    found = published_voxels(sphere(radius, squeeze), sphere_template().faces)
    return found[0].numpy()


def disks(radius):
    """24 pictures of a disk, `radius` in pixels; it shrinks from view to view."""
    row = np.arange(64) - 31.5
    distance = np.hypot(row[:, None], row)
    shrunk = radius - 0.2 * np.arange(24)[:, None, None]
    alpha = (distance < shrunk).astype(np.uint8) * 255
    return np.repeat(alpha[..., np.newaxis], 4, axis=-1)


def write_split(folder, split, shapes):
    """Writes records; `shapes` are (object, class, radius, squeeze, disk) each."""
    with records.RecordWriter(str(folder), split, 4, examples.SCHEMA) as writer:
        for name, class_id, radius, squeeze, disk in shapes:
            example = disks(disk), grid(radius, squeeze), class_id, name
            writer.write(examples.encode_example(*example))
        writer.metadata["objects"] = [shape[0] for shape in shapes]
        writer.metadata["classes"] = sorted({shape[1] for shape in shapes})
        writer.metadata["fill"] = 0.5
    return str(folder)


def write_network(folder, *, shared_faces=True, side=64, value=RADIUS):
    """Exports a network that answers one sphere; returns the folder."""
    template = sphere_template()

    @tf.function(
        input_signature=[tf.TensorSpec([None, side, side, 4], tf.float32, name="image")]
    )
    def reconstruct(image):
        count = tf.shape(image)[0]
        vertices = tf.tile(tf.constant(template.vertices)[tf.newaxis], [count, 1, 1])
        faces = tf.constant(template.faces)
        if not shared_faces:
            faces = tf.tile(faces[tf.newaxis], [count, 1, 1])
        zero = 0.0 * tf.reduce_mean(image, axis=[1, 2, 3], keepdims=True)[..., 0]
        return {"vertices": vertices * value + zero, "faces": faces}

    module = tf.Module()
    module.weight = tf.Variable(1.0)
    signature = reconstruct.get_concrete_function()
    return write_saved_model(str(folder), module, {"serving_default": signature})
