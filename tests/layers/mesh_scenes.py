"""Small scenes for layers that draw meshes, and what such a layer must survive."""

import inspect
import os
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfrender import cameras, io
from tfrender.layers.mesh_layer import OUTPUTS
from tfrender.layers.mesh_renderer import MeshRenderer
from tfrender.layers.neural_mesh_renderer import NeuralMeshRenderer

TEAPOT = pathlib.Path(__file__).parents[1] / "data" / "neural_renderer" / "teapot.obj"
SIZE = (14, 20)

LAYERS = (NeuralMeshRenderer, MeshRenderer)
# "antialias" blends; without it both draw the same hard pictures.
HARD = {NeuralMeshRenderer: {}, MeshRenderer: {"antialias": False}}
ALL = tuple(OUTPUTS)
LAMPS = [
    {"kind": "ambient", "color": [0.1, 0.2, 0.3]},
    {"kind": "directional", "direction": [0.3, 1.0, -0.4], "color": 0.7},
    {"kind": "point", "position": [0.5, 1.0, -2.0], "attenuation": [1.0, 0.0, 0.1]},
    {"kind": "spherical_harmonics", "coefficients": np.full((9, 1), 0.02)},
]
each_layer = pytest.mark.parametrize("kind", LAYERS)

# Corners of the cube [-1, 1]^3, counter-clockwise outside.
BOX_FACES = np.int32(
    [[0, 6, 4], [0, 2, 6], [1, 7, 3], [1, 5, 7], [0, 5, 1], [0, 4, 5]]
    + [[2, 7, 6], [2, 3, 7], [0, 3, 2], [0, 1, 3], [4, 7, 5], [4, 6, 7]]
)


def box(batch=1, seed=0, size=0.45):
    """A box [B, 8, 3] with bent corners, and its faces [12, 3]."""
    corners = np.stack(np.meshgrid(*[[-1, 1]] * 3, indexing="ij"), -1).reshape(8, 3)
    bent = np.random.default_rng(seed).uniform(-0.15, 0.15, (batch, 8, 3))
    return tf.constant(size * (corners + bent), tf.float32), BOX_FACES


def sphere(rings=8, sectors=12):
    """A unit sphere [1, V, 3] and its faces [F, 3], counter-clockwise outside."""
    polar = np.linspace(0, np.pi, rings + 1)[1:-1]
    turn = np.arange(sectors) * 2 * np.pi / sectors
    ring = np.stack([np.cos(turn), 0 * turn, np.sin(turn)], -1)
    points = [[[0, 1, 0]]]
    points += [np.sin(p) * ring + [0, np.cos(p), 0] for p in polar]
    points = np.concatenate([*points, [[0, -1, 0]]])
    last, faces = len(points) - 1, []
    for j in range(sectors):
        k = (j + 1) % sectors
        faces.append([0, 1 + k, 1 + j])
        faces.append([last, last - sectors + j, last - sectors + k])
        for i in range(rings - 2):
            a, b = 1 + i * sectors + j, 1 + i * sectors + k
            faces += [[a, b, a + sectors], [b, b + sectors, a + sectors]]
    return tf.constant(points[np.newaxis], tf.float32), np.int32(faces)


def teapot(kept=None):
    """The published teapot, normalised as the original does: [1, V, 3] and faces."""
    mesh = io.load_mesh(TEAPOT)
    vertices = mesh.vertices - mesh.vertices.min(0)
    vertices = 2 * vertices / vertices.max()
    vertices -= vertices.max(0) / 2
    return tf.constant(vertices[np.newaxis], tf.float32), mesh.faces[:kept]


def view(batch=1, size=SIZE, kind="perspective", mirrored=False):
    """Cameras around the origin, each on its own azimuth."""
    azimuth = 25.0 + 70.0 * np.arange(batch)
    aspect = size[1] / size[0]
    if kind == "perspective":
        projection = cameras.perspective(50.0, aspect, 0.1, 20.0)
    else:
        projection = cameras.orthographic(1.1, aspect, 0.1, 20.0)
    projection = tf.tile(projection, [batch, 1, 1])
    if mirrored:
        projection *= tf.constant([[-1.0], [1.0], [1.0], [1.0]])
    return cameras.Camera(cameras.orbit(azimuth, 30.0, 2.4), projection)


def eye_at(distance, elevation_deg, azimuth_deg):
    """The original's get_points_from_angles."""
    view = cameras.orbit(azimuth_deg, elevation_deg, distance).numpy()[0]
    return -view[:3, :3].T @ view[:3, 3]


def original_camera(eye):
    """The default camera of the original to the last digit.

    It adds 1e-5 to every length it divides by and takes 3.1416 for pi. An edge that is
    as near to a pixel centre as 1e-5 gives gradients that tell the difference.
    """

    def short(vector):
        return vector / (tf.norm(vector, axis=-1, keepdims=True) + 1e-5)

    eye = tf.reshape(eye, [-1, 3])
    forward = short(-eye)
    side = short(tf.linalg.cross(tf.zeros_like(eye) + [0.0, 1.0, 0.0], forward))
    above = short(tf.linalg.cross(forward, side))
    axes = tf.stack([-side, above, -forward], axis=1)
    way = -tf.reduce_sum(axes * eye[:, tf.newaxis], axis=-1)
    view = tf.concat([axes, way[..., tf.newaxis]], axis=-1)
    view = tf.concat([view, tf.constant([[[0.0, 0.0, 0.0, 1.0]]])], axis=1)
    angle = 30.0 * 3.1416 / np.pi
    plain = cameras.from_neural_renderer(eye, viewing_angle_deg=angle)
    return cameras.Camera(view, plain.projection)


def plain(kind, size=SIZE, **settings):
    """A layer without lights, one hard sample a pixel."""
    settings = {"lights": None, "supersampling": 1, "outputs": ALL, **settings}
    return kind(size, **HARD[kind], **settings)


def world_points(pictures, vertices, faces):
    """World positions of the pixels, from face_index and barycentric."""
    index = pictures["face_index"][0, ..., 0].numpy()
    corners = vertices.numpy()[0][faces[np.maximum(index, 0)]]  # [H, W, 3, 3]
    return (corners * pictures["barycentric"][0].numpy()[..., None]).sum(-2)


def check_mesh_layer(layer, folder):
    """`checking.check_layer` for inputs in a tuple and outputs in a dict."""
    vertices, faces = box(2)
    faces = tf.tile(faces[np.newaxis], [2, 1, 1])
    colors = tf.random.stateless_uniform([2, 8, 3], [0, 1])
    camera = view(2, layer.image_size)
    expected = layer(vertices, faces, camera, vertex_colors=colors)

    config = layer.get_config()
    arguments = set(inspect.signature(type(layer).__init__).parameters)
    assert arguments - {"self", "kwargs"} <= set(config)
    assert type(layer).from_config(config).get_config() == config

    symbols = {
        "vertices": keras.Input([8, 3], name="vertices"),
        "faces": keras.Input([12, 3], dtype="int32", name="faces"),
        "view": keras.Input([4, 4], name="view"),
        "projection": keras.Input([4, 4], name="projection"),
        "colors": keras.Input([8, 3], name="colors"),
    }
    output = layer(
        symbols["vertices"],
        symbols["faces"],
        (symbols["view"], symbols["projection"]),
        vertex_colors=symbols["colors"],
    )
    for name, tensor in expected.items():
        assert output[name].shape[1:] == tensor.shape[1:]
        assert output[name].dtype == tensor.dtype.name
    model = keras.Model(symbols, output)
    path = os.path.join(folder, "model.keras")
    model.save(path)
    values = {
        "vertices": vertices,
        "faces": faces,
        "view": camera[0],
        "projection": camera[1],
        "colors": colors,
    }
    assert_same(keras.models.load_model(path)(values), expected)

    specs = [tf.TensorSpec([None, *t.shape[1:]], t.dtype) for t in values.values()]

    @tf.function(input_signature=specs)
    def traced(vertices, faces, view, projection, colors):
        return layer(vertices, faces, (view, projection), vertex_colors=colors)

    assert_same(traced(*values.values()), expected)

    policy = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy("mixed_bfloat16")
    try:
        config = {k: v for k, v in config.items() if k != "dtype"}
        other = type(layer).from_config(config)
        assert_same(other(vertices, faces, camera, vertex_colors=colors), expected)
    finally:
        keras.mixed_precision.set_dtype_policy(policy)


def assert_same(got, want, atol=1e-5):
    """Equal dicts of tensors."""
    assert set(got) == set(want)
    for name in want:
        assert got[name].dtype == want[name].dtype
        np.testing.assert_allclose(got[name], want[name], atol=atol, err_msg=name)
