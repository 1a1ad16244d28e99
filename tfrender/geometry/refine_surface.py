"""Moves the vertices of an extracted mesh onto the surface of its field."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tfrender import checks
from tfrender.ops.triangle_normals import guarded_unit, triangle_cross

_DECAY, _EPS = 0.99, 1e-8  # of RMSprop, as published
_NORMAL_WEIGHT = 0.01
_TINY = 1e-10  # added to lengths


def refine_surface(
    vertices: np.ndarray,
    faces: np.ndarray,
    field: Callable[[tf.Tensor], tf.Tensor],
    *,
    steps: int = 30,
    level: float = 0.0,
    faces_per_step: int = 10_000,
    learning_rate: float = 1e-5,
    seed: int = 0,
) -> np.ndarray:
    """Refines vertices by gradient descent on the field.

    Mescheder et al., "Occupancy Networks", CVPR 2019, section 3.3 and equation 6:
    at a random point of each of some faces, sigmoid(logit) should equal the level's,
    and the face's normal the direction of its steepest descent, with weight 0.01.
    RMSprop moves the vertices. The mesh stays as finely divided as it is; a step moves
    a vertex by ten times the learning rate at most.

    Args:
        vertices: [V, 3].
        faces: int [F, 3], counter-clockwise outside.
        field: float32 [N, 3] points -> [N] logits, of TensorFlow ops that can be
            differentiated twice.
        steps: of the optimiser, at least 0, each on one part of the shuffled faces.
        level: logit at the surface.
        faces_per_step: most faces in a step.
        learning_rate: length units, above 0.
        seed: of the points and of the order of faces.

    Returns:
        float32 [V, 3].

    Gradient: none outwards. Memory: two gradients of the field at `faces_per_step`
    points, and 40 bytes a vertex.

    Raises:
        ValueError: an argument out of range, or a field without gradient.
    """
    checks.between("steps", steps, 0, 1 << 30)
    checks.between("faces_per_step", faces_per_step, 1, 1 << 30)
    checks.between("learning_rate", learning_rate, 1e-12, 1.0)
    checks.dims("vertices", vertices, None, 3)
    checks.dims("faces", faces, None, 3)
    vertices, faces = np.float32(vertices), np.asarray(faces, np.int32)
    if not steps or not len(faces):
        return vertices
    moved = tf.Variable(vertices)
    square = tf.Variable(tf.zeros_like(moved))
    step = _step(field, moved, square, level, learning_rate)
    generator = np.random.default_rng(seed)
    parts: list[np.ndarray] = []
    for _ in range(steps):
        if not parts:
            order = generator.permutation(len(faces))
            parts = np.split(order, range(faces_per_step, len(faces), faces_per_step))
        part = parts.pop(0)
        weights = generator.dirichlet((0.5, 0.5, 0.5), len(part))
        step(tf.constant(faces[part]), tf.constant(weights, tf.float32))
    return moved.numpy()


def _step(field, moved, square, level, learning_rate):
    """Function of faces [N, 3] and barycentrics [N, 3] that takes one step."""
    target = tf.sigmoid(tf.constant(level, tf.float32))

    def loss(vertices, faces, weights):
        corners = tf.gather(vertices, faces)
        points = tf.reduce_sum(corners * weights[..., tf.newaxis], axis=1)
        with tf.GradientTape() as tape:
            tape.watch(points)
            occupancy = tf.sigmoid(field(points))
        slope = tape.gradient(occupancy, points)
        if slope is None:
            raise ValueError("`field` must have a gradient in its points.")
        wanted = guarded_unit(-slope, eps=_TINY, rule="added")
        normal = guarded_unit(triangle_cross(corners), eps=_TINY, rule="added")
        turn = tf.reduce_sum((normal - wanted) ** 2, axis=-1)
        error = (occupancy - target) ** 2
        return tf.reduce_mean(error) + _NORMAL_WEIGHT * tf.reduce_mean(turn)

    @tf.function(
        autograph=False,
        input_signature=[
            tf.TensorSpec([None, 3], tf.int32),
            tf.TensorSpec([None, 3], tf.float32),
        ],
    )
    def step(faces, weights):
        vertices = tf.identity(moved)
        with tf.GradientTape() as tape:
            tape.watch(vertices)
            value = loss(vertices, faces, weights)
        slope = tf.convert_to_tensor(tape.gradient(value, vertices))
        # Faces of hardly any area can have slopes beyond float32.
        slope = tf.where(tf.math.is_finite(slope), slope, 0.0)
        square.assign(_DECAY * square + (1.0 - _DECAY) * slope**2)
        moved.assign_sub(learning_rate * slope / (tf.sqrt(square) + _EPS))
        return value

    return step
