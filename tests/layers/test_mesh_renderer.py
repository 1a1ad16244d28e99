"""What is particular to the renderer with exact gradients."""

import numpy as np
import pytest
import tensorflow as tf

from tests.layers.mesh_scenes import SIZE, box, sphere, view
from tfrender import cameras
from tfrender.export import saved_model
from tfrender.layers.mesh_renderer import MeshRenderer
from tfrender.layers.mesh_scene import Scene
from tfrender.ops.antialias import antialias
from tfrender.ops.mesh_surface import Appearance
from tfrender.ops.opposite_corners import opposite_corners
from tfrender.ops.rasterize import rasterize_mesh

FRONT = cameras.Camera(
    cameras.look_at([0.0, 0.0, 4.0]), cameras.orthographic(1.0, SIZE[1] / SIZE[0])
)


def square(half, x=0.03, y=-0.02):
    """A square of side 2 half that faces +Z, its centre at (x, y)."""
    corners = np.float32([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]])
    return half * tf.constant(corners[None]) + [x, y, 0.0], np.int32(
        [[0, 1, 2], [0, 2, 3]]
    )


def slopes(function, value):
    """Gradient and finite differences of a scalar function at a float32 tensor."""
    with tf.GradientTape() as tape:
        tape.watch(value)
        loss = function(value)
    exact = tape.gradient(loss, value).numpy()
    numeric = np.zeros_like(exact)
    for place in np.ndindex(exact.shape):
        move = np.zeros_like(exact)
        move[place] = 2e-3
        numeric[place] = (function(value + move) - function(value - move)) / 4e-3
    return exact, numeric


def test_alpha_measures_the_area_and_its_growth():
    size = tuple(6 * side for side in SIZE)
    layer, half = MeshRenderer(size), tf.constant(0.61)
    pixel = (2.0 / size[0]) ** 2
    with tf.GradientTape() as tape:
        tape.watch(half)
        vertices, faces = square(half)
        area = tf.reduce_sum(layer.silhouettes(vertices, faces, FRONT)) * pixel
    np.testing.assert_allclose(area, 4 * half**2, rtol=2e-3)
    # Whole rows count: one of some 50 more or less.
    np.testing.assert_allclose(tape.gradient(area, half), 8 * half, rtol=2.1e-2)


def test_color_and_coverage_follow_the_outline():
    vertices, faces = box()
    colors = tf.random.stateless_uniform([8, 3], [0, 1])
    size = tuple(3 * side for side in SIZE)
    row, column = np.indices(size, np.float32)
    weight = tf.constant(np.stack([row, column, row - 2 * column], -1) / 100)
    layer = MeshRenderer(size, background=[0.9, 0.1, 0.4], outputs=("rgb", "alpha"))

    def loss(shift):
        got = layer(vertices + shift, faces, view(1, size), vertex_colors=colors)
        both = got["rgb"] * weight + got["alpha"] * weight[..., :1]
        return tf.reduce_sum(both)

    slope = tf.function(lambda place: slope_at(loss, place))
    # Which pixels blend is a constant of the gradient, so that the value has small
    # steps where corners pass: over a pixel it grows by about the mean slope.
    for axis in np.eye(3, dtype=np.float32):
        places = tf.constant(np.linspace(-0.05, 0.05, 13)[:, None] * axis, tf.float32)
        growth = loss(places[-1]) - loss(places[0])
        exact = [slope(place).numpy() @ axis for place in places]
        mean = np.mean(exact) * 0.1
        np.testing.assert_allclose(mean, growth, atol=0.12 * np.abs(growth) + 0.3)


def slope_at(function, value):
    with tf.GradientTape() as tape:
        tape.watch(value)
        loss = function(value)
    return tape.gradient(loss, value)


def test_without_the_blend_the_outline_has_no_gradient():
    vertices, faces = box()
    hard = MeshRenderer(SIZE, antialias=False, outputs=("alpha", "rgb"))

    def loss(shift):
        got = hard(vertices + shift, faces, view())
        return tf.reduce_sum(got["rgb"] + got["alpha"]) + 0.0 * shift[0]

    assert not slope_at(loss, tf.zeros([3])).numpy().any()


@pytest.mark.parametrize("names", [("rgb", "alpha"), ("rgb",), ("alpha",)])
def test_pictures_are_those_of_the_ops(names):
    vertices, faces = box()
    colors = tf.random.stateless_uniform([1, 8, 3], [0, 1])
    got = MeshRenderer(SIZE, background=0.3, outputs=names)(
        vertices, faces, view(), vertex_colors=colors
    )
    fragments = rasterize_mesh(vertices, faces, view(), SIZE)
    corner = tf.gather(colors, faces, axis=1)[0].numpy()  # [F, 3, C]
    index = fragments.face_index.numpy()
    rgb = np.einsum("bhwk,bhwkc->bhwc", fragments.barycentric, corner[index])
    mask = fragments.mask.numpy()[..., None]
    image = np.concatenate([np.where(mask, rgb, 0.3), mask], -1).astype(np.float32)
    clip = cameras.project_to_clip(view(), vertices)
    want = antialias(image, fragments, clip, faces, opposite=opposite_corners(faces))
    for name, channels in (("rgb", want[..., :3]), ("alpha", want[..., 3:])):
        if name in names:
            np.testing.assert_allclose(got[name], channels, atol=1e-5)


def test_interior_gradients_equal_finite_differences():
    # The plane fills the picture, so that no outline moves.
    corners = [[-4.0, -4.0, 0.3], [4.0, -4.0, -0.4], [3.0, 4.0, 0.2], [-4.0, 3.0, 0.5]]
    vertices, faces = tf.constant([corners]), np.int32([[0, 1, 2], [0, 2, 3]])
    uv = tf.constant([[0.1, 0.2], [0.9, 0.1], [0.8, 0.8], [0.2, 0.9]])
    u, v = np.meshgrid(np.linspace(0, 1, 40), np.linspace(0, 1, 30))
    texture = np.float32(np.stack([np.sin(3 * u), np.cos(2 * v), u * v], -1))[None]
    lights = [
        {"kind": "ambient", "color": 0.2},
        {"kind": "point", "position": [0.5, 1.0, -2.0]},
    ]
    layer = MeshRenderer(
        (5, 7),
        lights=lights,
        shading="blinn_phong",
        normals="smooth",
        texture_filtering="bilinear",
        outputs=("rgb", "depth", "normal"),
    )
    size = (5, 7)

    def loss(vertices):
        got = layer(vertices, faces, view(1, size), uv=uv, texture=texture)
        weights = tf.random.stateless_normal([1, *size, 7], [0, 2])
        both = tf.concat([got["rgb"], got["depth"], got["normal"]], -1)
        return tf.reduce_sum(both * weights)

    got = layer(vertices, faces, view(1, size), uv=uv, texture=texture)
    assert (got["depth"].numpy() > 0).all()
    exact, numeric = slopes(loss, vertices)
    np.testing.assert_allclose(exact, numeric, atol=2e-2 * np.abs(numeric).max())


def test_textures_learn_through_every_filter():
    vertices, faces = box()
    uv = tf.random.stateless_uniform([8, 2], [0, 1])
    weight = tf.random.stateless_normal([1, *SIZE, 1], [0, 2])
    texture, step = tf.random.stateless_uniform([2, 1, 4, 5, 1], [0, 3])
    for filtering in ("mipmap", "bilinear", "nearest"):
        layer = MeshRenderer(SIZE, texture_filtering=filtering, outputs=("rgb",))

        def loss(texture, layer=layer):
            got = layer(vertices, faces, view(), uv=uv, texture=texture)
            return tf.reduce_sum(got["rgb"] * weight)

        # Linear in the texture: the slope holds over any way.
        growth = loss(texture + step) - loss(texture)
        slope = slope_at(loss, texture)
        np.testing.assert_allclose(np.sum(slope * step), growth, rtol=1e-4)
        assert abs(growth) > 0.1


def test_smooth_normals_of_a_sphere_point_away_from_its_centre():
    vertices, faces = sphere(16, 24)
    outputs = ("normal", "mask", "depth")
    layers = {
        kind: MeshRenderer(SIZE, normals=kind, outputs=outputs)
        for kind in ("flat", "smooth")
    }
    camera = view(1, SIZE, "orthographic")
    got = {k: layer(0.8 * vertices, faces, camera) for k, layer in layers.items()}
    mask = got["flat"]["mask"].numpy()[0, ..., 0]
    row, column = np.nonzero(mask)
    aspect = SIZE[1] / SIZE[0]
    x = 1.1 * aspect * ((column + 0.5) * 2 / SIZE[1] - 1)
    y = 1.1 * (1 - (row + 0.5) * 2 / SIZE[0])
    z = got["flat"]["depth"].numpy()[0, ..., 0][mask]
    matrix = camera.world_to_camera[0].numpy()
    local = np.stack([x, y, -z], -1) - matrix[:3, 3]
    world = local @ matrix[:3, :3]
    world /= np.linalg.norm(world, axis=-1, keepdims=True)
    error = {
        k: np.abs(value["normal"].numpy()[0][mask] - world).max()
        for k, value in got.items()
    }
    assert error["smooth"] < 0.03 < error["flat"] < 0.3


def test_the_light_method_lights_anything():
    layer = MeshRenderer(SIZE, lights=[{"kind": "directional", "direction": [0, 2, 0]}])
    color = tf.random.stateless_uniform([2, 5, 3], [0, 1])
    normal = tf.constant([[[0.0, 1.0, 0.0]], [[0.6, 0.8, 0.0]]]) * tf.ones([2, 5, 3])
    got = layer.light(color, normal, view())
    np.testing.assert_allclose(got[0], 2.0 * color[0], rtol=1e-6)
    np.testing.assert_allclose(got[1], 1.6 * color[1], rtol=1e-6)
    assert MeshRenderer(SIZE).light(color, normal, view()) is color


def test_scenes_know_their_corners():
    vertices, faces = box(2)
    scene = Scene(vertices, tf.constant(faces), view(2), Appearance(), None)
    np.testing.assert_array_equal(scene.corners(), tf.gather(vertices, faces, axis=1))


def test_an_export_holds_stock_ops_only(tmp_path):
    layer = MeshRenderer(
        (10, 12),
        lights=[{"kind": "ambient", "color": 0.3}],
        texture_filtering="bilinear",
    )

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None, 3], tf.float32, "vertices"),
            tf.TensorSpec([None, None, 3], tf.int32, "faces"),
            tf.TensorSpec([None], tf.float32, "azimuth_deg"),
            tf.TensorSpec([None, None, 2], tf.float32, "uv"),
            tf.TensorSpec([None, 8, 8, 3], tf.float32, "texture"),
        ]
    )
    def draw(vertices, faces, azimuth_deg, uv, texture):
        pose = cameras.orbit(azimuth_deg, 30.0, 2.4)
        camera = cameras.Camera(pose, cameras.perspective(50.0, 1.2))
        outputs = ("rgb", "alpha", "depth", "normal", "face_index")
        return layer(vertices, faces, camera, uv=uv, texture=texture, outputs=outputs)

    module = tf.Module()
    module.draw = draw
    signatures = {"serving_default": draw.get_concrete_function()}
    folder = saved_model.write_saved_model(str(tmp_path / "m"), module, signatures)
    loaded = tf.saved_model.load(folder)
    served = loaded.signatures["serving_default"]
    for batch in (1, 3):
        vertices, faces = box(batch)
        inputs = {
            "vertices": vertices,
            "faces": tf.tile(faces[None], [batch, 1, 1]),
            "azimuth_deg": tf.linspace(0.0, 90.0, batch),
            "uv": tf.random.stateless_uniform([batch, 8, 2], [0, 1]),
            "texture": tf.random.stateless_uniform([batch, 8, 8, 3], [0, 2]),
        }
        want, got = draw(**inputs), served(**inputs)
        for name, value in want.items():
            np.testing.assert_allclose(got[name], value, atol=1e-6)


def test_a_bad_setting_is_named():
    with pytest.raises(ValueError, match="normals"):
        MeshRenderer(normals="round")
