"""The published unit tests of the Neural 3D Mesh Renderer that need the whole renderer.

As there, the object is item 2 of a batch of 4 whose other meshes are all zeros.
"""

import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from tests.acceptance.published_scenes import (
    EYE,
    INSIDE,
    ITEM,
    OUTSIDE,
    SLOPES,
    among_zeros,
)
from tests.layers.mesh_scenes import original_camera, teapot
from tfrender import cameras, io
from tfrender.export import inspect, saved_model
from tfrender.layers.neural_mesh_renderer import NeuralMeshRenderer

DATA = pathlib.Path(__file__).parents[1] / "data" / "neural_renderer"


@pytest.mark.parametrize(
    ("eye", "picture", "supersampling"),
    [(EYE, "test_rasterize1.png", 1), ([1.0, 1.0, -2.7], "test_rasterize2.png", 2)],
)
@pytest.mark.parametrize("parity", [False, True])
def test_the_shaded_teapot_is_the_published_picture(
    eye, picture, supersampling, parity
):
    vertices, faces = teapot()
    assert vertices.shape[1] == 1292 and len(faces) == 2464
    cubes = tf.ones([len(faces), 2, 2, 2, 3])
    layer = NeuralMeshRenderer(supersampling=supersampling, parity=parity)
    camera = original_camera(tf.constant(eye))
    got = layer(
        tf.constant(among_zeros(vertices[0])),
        faces,
        camera,
        texture_cubes=cubes,
        outputs=("rgb",),
    )["rgb"].numpy()
    assert not got[[0, 1, 3]].any()
    # The published files were stretched to the full contrast when they were saved.
    want = io.read_image(DATA / picture) / 255.0
    got = got[ITEM] / got.max()
    if parity:
        np.testing.assert_allclose(got, want, atol=0.501 / 255)
    else:  # the short normals of the original make small faces darker
        error = np.abs(got - want).max(-1) * 255
        assert np.quantile(error, 0.999) < 4.0 and error.mean() < 0.1


def test_lights_of_many_faces_run():
    rng = np.random.default_rng(0)
    vertices = rng.normal(size=(64, 48, 3)).astype(np.float32)
    faces = np.arange(48).reshape(16, 3)
    cubes = rng.uniform(size=(64, 16, 8, 8, 8, 3)).astype(np.float32)
    layer = NeuralMeshRenderer((16, 16))
    camera = cameras.from_neural_renderer([0.0, 0.0, -8.0])
    got = layer(vertices, faces, camera, texture_cubes=cubes)["rgb"]
    assert got.shape == (64, 16, 16, 3)
    assert 0.2 < got.numpy().max() <= 1.0


@pytest.mark.parametrize("output", ["rgb", "alpha"])
@pytest.mark.parametrize("case", SLOPES)
def test_the_backward_pass_gives_the_published_numbers(case, output):
    corners = OUTSIDE if case == "outside" else INSIDE
    row, column, target = (25, 35, 1.0) if case == "outside" else (40, 50, 0.0)
    vertices = tf.constant(among_zeros(np.float32(corners)))
    layer = NeuralMeshRenderer(
        (64, 64), supersampling=1, lights=[{"kind": "ambient"}], outputs=(output,)
    )
    camera = cameras.from_neural_renderer(EYE, viewing_scale=1.0)
    cubes = tf.ones([1, 4, 4, 4, 3])
    with tf.GradientTape() as tape:
        tape.watch(vertices)
        picture = layer(vertices, np.array([[0, 1, 2]]), camera, texture_cubes=cubes)[
            output
        ]
        loss = tf.abs(tf.reduce_mean(picture[ITEM, row, column]) - target)
    assert loss == 1.0
    slope = tape.gradient(loss, vertices).numpy()
    tolerance = {"rtol": 1e-2 if output == "rgb" else 1e-4, "atol": 1e-5}
    np.testing.assert_allclose(slope[ITEM], SLOPES[case], **tolerance)
    assert not slope[[0, 1, 3]].any()


SERVER = """
import sys
import numpy as np
import tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
with np.load(sys.argv[2]) as inputs:
    found = model.signatures["serving_default"](
        **{name: tf.constant(inputs[name]) for name in inputs.files})
np.savez(sys.argv[3], **{name: value.numpy() for name, value in found.items()})
assert not any(name.split(".")[0] == "tfrender" for name in sys.modules)
"""


@pytest.mark.slow  # as tests/layers/test_soft_rasterizer.py does
def test_an_exported_renderer_runs_without_this_package(tmp_path):
    vertices, faces = teapot(300)
    rng = np.random.default_rng(1)
    inputs = {
        "vertices": tf.tile(vertices, [2, 1, 1]).numpy(),
        "faces": np.tile(faces.astype(np.int32), [2, 1, 1]),
        "textures": rng.uniform(size=(2, 300, 2, 2, 2, 3)).astype(np.float32),
        "eye": np.float32([[0.4, 1.2, -2.4], [2.0, 1.0, 1.5]]),
    }
    layer = NeuralMeshRenderer((40, 48))

    def draw(vertices, faces, textures, eye):
        camera = cameras.from_neural_renderer(eye)
        return layer(vertices, faces, camera, texture_cubes=textures)

    free = {"vertices": 1, "faces": 1, "textures": 1, "eye": 0}  # after the batch
    specs = [
        tf.TensorSpec(
            [None] * (1 + free[name]) + list(a.shape[1 + free[name] :]), a.dtype, name
        )
        for name, a in inputs.items()
    ]
    module = tf.Module()
    module.draw = tf.function(draw, input_signature=specs)
    signatures = {"serving_default": module.draw.get_concrete_function()}
    folder = saved_model.write_saved_model(str(tmp_path / "m"), module, signatures)
    shapes = inspect.signatures(folder)["serving_default"].outputs
    assert set(shapes) == {"rgb", "alpha", "depth"}
    np.savez(tmp_path / "inputs.npz", **inputs)
    done = subprocess.run(
        [sys.executable, "-I", "-c", SERVER, folder]
        + [str(tmp_path / name) for name in ("inputs.npz", "outputs.npz")],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    inputs = {name: tf.constant(value) for name, value in inputs.items()}
    want, eager = module.draw(**inputs), draw(**inputs)
    with np.load(tmp_path / "outputs.npz") as found:
        for name in want:
            assert want[name].numpy().std() > 0
            np.testing.assert_allclose(found[name], want[name], atol=1e-6)
            # Graphs are optimised: reading textures they round differently.
            np.testing.assert_allclose(found[name], eager[name], atol=1e-4)
