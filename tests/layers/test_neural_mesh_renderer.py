"""What is particular to the Neural 3D Mesh Renderer."""

import inspect

import numpy as np
import pytest
import tensorflow as tf

from tests.layers.mesh_scenes import SIZE, box, sphere, teapot, view
from tfrender import cameras
from tfrender.layers.lamps import PUBLISHED_LIGHTS
from tfrender.layers.neural_mesh_renderer import NeuralMeshRenderer
from tfrender.ops.neural_rasterize import (
    neural_images,
    neural_rasterize,
    project_faces,
)

EYE = [0.5, 0.8, -2.5]


def slope(vertices, faces, camera, layer, output="alpha", cubes=None):
    """Gradient of a fixed functional of a picture."""
    weight = tf.random.stateless_normal([1, *layer.image_size, 1], [3, 4])
    with tf.GradientTape() as tape:
        tape.watch(vertices)
        got = layer(vertices, faces, camera, texture_cubes=cubes, outputs=(output,))
        loss = tf.reduce_sum(got[output] * weight)
    return tape.gradient(loss, vertices)


def test_the_defaults_are_the_published_ones():
    layer = NeuralMeshRenderer()
    assert layer.image_size == (256, 256) and layer.supersampling == 2
    assert layer.double_sided and layer.background == 0.0
    assert (layer.near, layer.far, layer.eps) == (0.1, 100.0, None)
    ambient, directional = PUBLISHED_LIGHTS
    assert ambient == {"kind": "ambient", "color": 0.5}
    assert directional["direction"] == (0.0, 1.0, 0.0) and directional["color"] == 0.5
    assert layer.get_config()["lights"][1]["color"] == 0.5
    assert "parity" in inspect.signature(NeuralMeshRenderer).parameters


def test_the_gradient_is_that_of_the_ops():
    vertices, faces = box()
    camera = cameras.from_neural_renderer(EYE)
    got = slope(vertices, faces, camera, NeuralMeshRenderer(SIZE, 1))
    weight = tf.random.stateless_normal([1, *SIZE, 1], [3, 4])[..., 0]
    both = np.concatenate([faces, faces[:, ::-1]])  # the original's "fill_back"
    with tf.GradientTape() as tape:
        tape.watch(vertices)
        corners = project_faces(camera, vertices, both)
        seen = neural_rasterize(corners, SIZE)
        images = neural_images(seen, corners, eps=1e-4)
        loss = tf.reduce_sum(images.alpha * weight)
    want = tape.gradient(loss, vertices)
    np.testing.assert_allclose(got, want, atol=1e-5 * np.abs(want).max())


def test_eps_is_published_for_each_kind_of_call():
    vertices, faces = box()
    camera = cameras.from_neural_renderer(EYE)
    default = NeuralMeshRenderer(SIZE)
    for output, eps, other in (("alpha", 1e-4, 1e-3), ("rgb", 1e-3, 1e-4)):
        got = slope(vertices, faces, camera, default, output)
        explicit = slope(
            vertices, faces, camera, NeuralMeshRenderer(SIZE, eps=eps), output
        )
        np.testing.assert_array_equal(got, explicit)
        differs = slope(
            vertices, faces, camera, NeuralMeshRenderer(SIZE, eps=other), output
        )
        assert np.abs(got - differs).max() > 1e-4 * np.abs(got).max()


def test_silhouettes_are_means_of_twice_the_size():
    vertices, faces = teapot()
    camera = cameras.from_neural_renderer(EYE)
    got = NeuralMeshRenderer((32, 32)).silhouettes(vertices, faces, camera)
    fine = NeuralMeshRenderer((64, 64), 1).silhouettes(vertices, faces, camera)
    want = tf.nn.avg_pool2d(fine, 2, 2, "VALID")
    np.testing.assert_allclose(got, want, atol=1e-6)
    assert set(np.unique(got)) == {0.0, 0.25, 0.5, 0.75, 1.0}


def test_a_closed_mesh_looks_the_same_without_its_back_sides():
    vertices, faces = sphere()
    for mirrored in (True, False):
        camera = view(1, SIZE, mirrored=mirrored)
        for parity in (True, False):
            layers = [
                NeuralMeshRenderer(SIZE, double_sided=flag, parity=parity)
                for flag in (True, False)
            ]
            both, one = (
                layer.silhouettes(0.7 * vertices, faces, camera) for layer in layers
            )
            np.testing.assert_array_equal(both, one)
            assert 0.1 < both.numpy().mean() < 0.9


def test_parity_shows_the_faces_that_run_counterclockwise_in_the_picture():
    vertices, faces = sphere()
    camera = cameras.from_neural_renderer(EYE)  # mirrors: the inside runs that way
    shown = {
        parity: NeuralMeshRenderer(SIZE, 1, double_sided=False, parity=parity).depth(
            0.5 * vertices, faces, camera
        )
        for parity in (True, False)
    }
    mask = shown[False].numpy() > 0
    assert (shown[True].numpy()[mask] > shown[False].numpy()[mask]).all()


def test_empty_depth_is_zero_and_far_in_parity():
    vertices, faces = box()
    camera = cameras.from_neural_renderer(EYE)
    settings = {"far": 50.0, "outputs": ("depth", "mask", "alpha")}
    got = NeuralMeshRenderer(SIZE, **settings)(vertices, faces, camera)
    old = NeuralMeshRenderer(SIZE, parity=True, **settings)(vertices, faces, camera)
    np.testing.assert_array_equal(got["mask"], old["mask"])
    mask, alpha = got["mask"].numpy(), got["alpha"].numpy()
    assert not got["depth"].numpy()[~mask].any()
    assert (old["depth"].numpy()[~mask] == 50.0).all()
    mixed = alpha * got["depth"] + (1.0 - alpha) * 50.0
    np.testing.assert_allclose(old["depth"], mixed, rtol=1e-5)
    assert ((alpha > 0) & (alpha < 1)).any()


def test_near_and_far_cut():
    vertices, faces = box()
    for kind in ("perspective", "orthographic"):
        camera = view(1, SIZE, kind)
        full = NeuralMeshRenderer(SIZE, 1).depth(vertices, faces, camera).numpy()
        low, high = np.quantile(full[full > 0], [0.3, 0.7])
        cut = NeuralMeshRenderer(SIZE, 1, near=float(low), far=float(high))
        depth = cut.depth(vertices, faces, camera).numpy()
        between = (full > low) & (full < high)
        np.testing.assert_allclose(depth[between], full[between], rtol=1e-5)
        assert between.sum() > 20
        seen = depth[depth > 0]
        assert seen.min() > low and seen.max() < high


def test_normals_have_the_published_length_in_parity():
    vertices, faces = box(size=0.004)
    camera = cameras.Camera(
        cameras.orbit(20.0, 20.0, 0.02), cameras.perspective(50.0, 20 / 14, 1e-3)
    )
    lights = [{"kind": "directional", "direction": [0.0, 0.0, -1.0]}]
    old, new = (
        NeuralMeshRenderer(SIZE, 1, lights, near=1e-3, parity=parity, outputs=("rgb",))(
            vertices, faces, camera
        )["rgb"].numpy()
        for parity in (True, False)
    )
    corners = vertices.numpy()[0][faces]
    a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    twice_area = np.linalg.norm(np.cross(a, b), axis=-1)
    ratio = old[new > 0.1] / new[new > 0.1]
    want = twice_area / (twice_area + 1e-5)
    assert want.max() < 0.95
    assert want.min() - 1e-3 < ratio.min() and ratio.max() < want.max() + 1e-3


def test_parity_interpolates_orthographic_depth_as_if_it_were_perspective():
    vertices = tf.constant([[[-3.0, -3.0, -1.0], [3.0, -3.0, -1.0], [0.0, 4.0, 3.0]]])
    faces = np.array([[0, 1, 2]])
    camera = cameras.Camera(
        cameras.look_at([0.0, 0.0, 5.0]), cameras.orthographic(1.0, 20 / 14)
    )
    depths = [
        NeuralMeshRenderer(SIZE, 1, parity=parity).depth(vertices, faces, camera)
        for parity in (False, True)
    ]
    straight, bent = (np.diff(d[0, :, 10, 0], 2) for d in depths)
    np.testing.assert_allclose(straight, 0.0, atol=1e-4)
    assert np.abs(bent).max() > 1e-3


def test_depth_gradient_equals_finite_differences():
    vertices = tf.constant([[[-6.0, -5.0, 0.5], [6.0, -5.0, -0.2], [0.0, 7.0, 0.4]]])
    faces = np.array([[0, 1, 2]])
    layer = NeuralMeshRenderer((6, 8), 1)
    for projection in (cameras.perspective(50.0), cameras.orthographic(1.3)):
        camera = cameras.Camera(cameras.look_at([0.3, 0.2, 4.0]), projection)

        def total(vertices, camera=camera):
            return tf.reduce_sum(layer.depth(vertices, faces, camera) ** 2)

        assert (layer.depth(vertices, faces, camera).numpy() > 0).all()
        with tf.GradientTape() as tape:
            tape.watch(vertices)
            loss = total(vertices)
        exact = tape.gradient(loss, vertices).numpy()
        step, numeric = 1e-2, np.zeros_like(exact)
        for place in np.ndindex(exact.shape):
            move = np.zeros_like(exact)
            move[place] = step
            numeric[place] = (total(vertices + move) - total(vertices - move)) / (
                2 * step
            )
        np.testing.assert_allclose(exact, numeric, atol=5e-3 * np.abs(numeric).max())


def test_a_face_that_reaches_behind_the_eye_is_left_out():
    behind = tf.constant([[[-1.0, -1.0, 0.0], [1.0, -1.0, 0.0], [0.3, 1.0, -9.0]]])
    camera = cameras.Camera(
        cameras.look_at([0.0, 0.0, -3.0]), cameras.perspective(60.0)
    )
    faces = np.array([[0, 1, 2]])
    new, old = (
        NeuralMeshRenderer((12, 12), parity=parity).silhouettes(behind, faces, camera)
        for parity in (False, True)
    )
    assert not new.numpy().any() and old.numpy().any()


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"near": 0.0}, "near"), ({"far": 0.01}, "far"), ({"eps": 0.0}, "eps")],
)
def test_a_bad_setting_is_named(settings, message):
    with pytest.raises(ValueError, match=message):
        NeuralMeshRenderer(**settings)
