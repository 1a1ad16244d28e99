"""The whole Neural 3D Mesh Renderer as a layer, against pictures of the original.

Tolerances are those of the README beside the arrays: 3e-3 on 99.8% of the pixels, 1e-2
of the largest value for gradients.
"""

import numpy as np
import pytest
import tensorflow as tf

from tests.golden import cases
from tests.layers.mesh_scenes import eye_at, original_camera, teapot
from tfrender import cameras
from tfrender.layers.neural_mesh_renderer import NeuralMeshRenderer

SYSTEM = "neural_mesh_renderer"
# What the picture's name says, as the README lists it.
COLORED_LIGHT = [
    {"kind": "ambient", "color": [0.04, 0.18, 0.2]},
    {"kind": "directional", "direction": [0.6, 0, -0.8], "color": [0.8, 0.48, 0.24]},
]
LAYERS = {
    "default": {},
    "noaa": {"supersampling": 1},
    "nofill": {"double_sided": False},
    "noaa_nofill": {"supersampling": 1, "double_sided": False},
    "light_bg": {"lights": COLORED_LIGHT, "background": [0.1, 0.4, 0.7]},
    "angle20_nearfar": {"near": 2.4, "far": 3.0},
}
CAMERAS = {
    "ortho": {"viewing_scale": 1.0},
    "angle20_nearfar": {"viewing_angle_deg": 20.0},
}
NAMES = {"rgb": "rgb", "sil": "alpha", "depth": "depth"}


def each(*patterns):
    return pytest.mark.parametrize(
        "path", cases.holding(SYSTEM, *patterns), ids=cases.name_of
    )


def drawn_mesh(data):
    """The mesh of a case, which is not part of it: the teapot."""
    vertices, faces = teapot()
    if data["textures_f16"].shape[1] != len(faces):
        pytest.skip("drawn from another mesh than the one in our folder")
    return vertices, faces


def draw(data, name, parity=True):
    """The picture `name` (such as rgb_noaa) of a case, channels last."""
    kind, _, variant = name.partition("_")
    side = data[name].shape[-1]
    layer = NeuralMeshRenderer((side, side), parity=parity, **LAYERS.get(variant, {}))
    if variant == "look":
        camera = cameras.from_neural_renderer(
            data["look_eye"], direction=data["look_direction"]
        )
    else:
        camera = cameras.from_neural_renderer(data["eye"], **CAMERAS.get(variant, {}))
    vertices, faces = drawn_mesh(data)
    cubes = data["textures_f16"].astype(np.float32)
    output = NAMES[kind]
    return layer(vertices, faces, camera, texture_cubes=cubes, outputs=(output,))[
        output
    ]


def of_picture(array):
    """[B, C, H, W] or [B, H, W] to [B, H, W, C]."""
    return array[..., None] if array.ndim == 3 else array.transpose(0, 2, 3, 1)


def check_picture(got, want):
    want = of_picture(want)
    assert got.shape == want.shape
    close = np.abs(got - want).max(-1) <= 3e-3
    assert close.mean() >= 0.998
    assert want.std() > 0


@each("textures_f16", "rgb_*", "sil_*", "depth_*")
def test_every_picture_equals_the_original(path):
    data = cases.load(path)
    names = [name for name in data if name.partition("_")[0] in NAMES]
    assert names
    for name in names:
        check_picture(draw(data, name), data[name])


@pytest.mark.parametrize("variant", ["aa", "noaa"])
@pytest.mark.parametrize("kind", NAMES)
@each("textures_f16", "grad_vertices_*")
def test_gradients_equal_the_original(path, kind, variant):
    data = cases.load(path)
    vertices, faces = drawn_mesh(data)
    eye = tf.constant(data["eye"])
    cubes = tf.constant(data["textures_f16"].astype(np.float32))
    side = data[f"g_{kind}"].shape[-1]
    layer = NeuralMeshRenderer(
        (side, side), supersampling=2 if variant == "aa" else 1, parity=True
    )
    with tf.GradientTape() as tape:
        tape.watch([vertices, eye, cubes])
        camera = original_camera(eye)
        output = NAMES[kind]
        picture = layer(
            vertices, faces, camera, texture_cubes=cubes, outputs=(output,)
        )[output]
        loss = tf.reduce_sum(picture * of_picture(data[f"g_{kind}"]))
    slopes = tape.gradient(loss, [vertices, eye, cubes])
    wanted = [f"grad_vertices_{kind}_{variant}", f"grad_eye_{kind}_{variant}"]
    if kind == "rgb":
        slopes[2] = tf.reduce_sum(slopes[2], [2, 3, 4])
        wanted.append(f"grad_textures_rgb_facemean_{variant}")
    for slope, name in zip(slopes, wanted, strict=False):
        want = data[name]
        np.testing.assert_allclose(slope, want, atol=1e-2 * np.abs(want).max())


@each("rgb_ts*")
def test_a_textured_cube_equals_the_original(path):
    data = cases.load(path)
    loaded = cases.holding(SYSTEM, "textures_ts*", "vertices", "faces")
    if not loaded:
        pytest.skip("the loader's arrays, which this picture shows, are not there")
    mesh = cases.load(loaded[0])
    camera = cameras.from_neural_renderer(eye_at(3.2, 25.0, 35.0))
    for name in (name for name in data if name.startswith("rgb_ts")):
        cubes = mesh[name.replace("rgb", "textures")][np.newaxis]
        cubes = np.nan_to_num(cubes)  # texel [0, 0, 0], which nothing reads
        side = data[name].shape[-1]
        layer = NeuralMeshRenderer((side, side), parity=True)
        got = layer(mesh["vertices"][None], mesh["faces"], camera, texture_cubes=cubes)
        check_picture(got["rgb"], data[name])
