"""What the tests share of programs that paint one mesh."""

import contextlib

import numpy as np
import pytest

from tfrender import io
from tools import optimize_scene
from tools.rasterize_scenes import icosphere

# Flags of fifty steps, parsed; those that style transfer and DeepDream share.
FLAGS = {
    "learning_rate": 0.05,
    "adam_beta1": 0.9,
    "output_mesh": None,
    "network": "small",
    "weights": None,
    "layers": None,
    "image_size": 64,
    "seed": 0,
    "camera_distance": 2.732,
    "camera_distance_noise": 0.1,
    "texture_size": 3,
    "lr_vertices": 0.01,
    "lr_textures": 1.0,
    "batch_size": 2,
    "number_of_iterations": 50,
}


def painted_sphere(level=1):
    """A painted sphere of 20 * 4^level faces."""
    vertices, faces = icosphere(level)
    material = np.zeros(len(faces), np.int32)
    mesh = io.Mesh(vertices, faces, None, material, (io.Material(),), None)
    return optimize_scene.PaintedMesh(mesh, 3, seed=0)


@contextlib.contextmanager
def short_turntable():
    """Turntables of three pictures."""
    with pytest.MonkeyPatch.context() as patch:
        angles = np.float32([0.0, 120.0, 240.0])
        patch.setattr(optimize_scene, "TURNTABLE_DEG", angles)
        yield


@contextlib.contextmanager
def recorded_losses():
    """Yields a list that the losses of a descent are added to."""
    losses, descend = [], optimize_scene.descend
    with pytest.MonkeyPatch.context() as patch:

        def record(*arguments):
            losses.extend(descend(*arguments))

        patch.setattr(optimize_scene, "descend", record)
        yield losses
