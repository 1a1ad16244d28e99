"""Records and a network of mesh reconstruction whose scores are known."""

import numpy as np
import tensorflow as tf

from datasets import records
from datasets.mesh_reconstruction import examples, generation
from tfrender import io
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


def boxes(corners):
    """Vertices [8 N, 3] and faces [12 N, 3] of boxes, (lowest, highest corner) each."""
    bits = np.array([[i >> k & 1 for k in range(3)] for i in range(8)])
    quads = [(0, 4, 6, 2), (1, 3, 7, 5), (0, 1, 5, 4), (2, 6, 7, 3)]
    quads += [(0, 2, 3, 1), (4, 5, 7, 6)]
    faces = [face for a, b, c, d in quads for face in ((a, b, c), (a, c, d))]
    vertices = [np.where(bits, high, low) for low, high in corners]
    steps = 8 * np.arange(len(corners))[:, None, None]
    return (
        np.concatenate(vertices).astype(np.float32),
        (steps + faces).reshape(-1, 3).astype(np.int32),
    )


def write_drawn(folder, split, mesh):
    """Writes records of one mesh (vertices, faces), drawn where it lies."""
    vertices, faces = mesh
    materials = np.zeros(len(faces), np.int32), (io.Material(),)
    soup = generation.place(io.Mesh(vertices, faces, None, *materials, None))
    soup = soup._replace(corners=vertices[faces])
    grid = published_voxels(vertices[np.newaxis], faces)[0].numpy()
    with records.RecordWriter(str(folder), split, 4, examples.SCHEMA) as writer:
        example = generation.draw_views(soup), grid, "shape", "drawn"
        writer.write(examples.encode_example(*example))
        writer.metadata |= {"objects": ["drawn"], "classes": ["shape"]}


def write_network(folder, *, shared_faces=True, side=64, value=RADIUS, mesh=None):
    """Exports a network that answers one sphere, or one mesh; returns the folder."""
    shape = sphere_template() if mesh is None else None
    points, triangles = mesh or (shape.vertices * np.float32(value), shape.faces)

    @tf.function(
        input_signature=[tf.TensorSpec([None, side, side, 4], tf.float32, name="image")]
    )
    def reconstruct(image):
        count = tf.shape(image)[0]
        vertices = tf.tile(tf.constant(points)[tf.newaxis], [count, 1, 1])
        faces = tf.constant(triangles)
        if not shared_faces:
            faces = tf.tile(faces[tf.newaxis], [count, 1, 1])
        zero = 0.0 * tf.reduce_mean(image, axis=[1, 2, 3], keepdims=True)[..., 0]
        return {"vertices": vertices + zero, "faces": faces}

    module = tf.Module()
    module.weight = tf.Variable(1.0)
    signature = reconstruct.get_concrete_function()
    return write_saved_model(str(folder), module, {"serving_default": signature})
