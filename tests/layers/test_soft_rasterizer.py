"""What is particular to the Soft Rasterizer."""

import inspect
import warnings

import numpy as np
import pytest
import tensorflow as tf

from tests.layers.mesh_scenes import (
    ALL,
    LAMPS,
    SIZE,
    assert_same,
    box,
    check_mesh_layer,
    sphere,
    view,
)
from tfrender import cameras
from tfrender.export import lite, saved_model
from tfrender.layers.mesh_renderer import MeshRenderer
from tfrender.layers.neural_mesh_renderer import NeuralMeshRenderer
from tfrender.layers.soft_rasterizer import SoftRasterizer
from tfrender.ops.soft_blend import SoftBlend, SoftModes
from tools.rasterize_scenes import icosphere

EYE = [0.5, 0.8, -2.5]
SOFT = {"sigma": 3e-3, "gamma": 1e-3}
HARD = {"distance": "hard", "color": "hard", "alpha": "hard"}


def soft(size=SIZE, **settings):
    """A layer without lights, soft enough for small pictures."""
    settings = {"blend": SOFT, "lights": None, "near": 0.1, **settings}
    return SoftRasterizer(size, **settings)


def tints(vertices, seed=0):
    """Colours of vertices, [V, 3]."""
    return tf.random.stateless_uniform([vertices.shape[1], 3], [seed, 1])


def test_the_defaults_are_the_published_ones():
    layer = SoftRasterizer()
    assert layer.image_size == (256, 256) and layer.supersampling == 1
    assert layer.double_sided and layer.background == 0.0
    assert (layer.near, layer.far) == (1.0, 100.0)
    assert layer.blend == SoftBlend(1e-5, 1e-4, 1e-3, 1e-4)
    assert layer.modes[:3] == ("euclidean", "softmax", "prod")
    assert [light["color"] for light in layer.lights] == [0.5, 0.5]
    assert layer.lights[1]["direction"] == [0.0, 1.0, 0.0]
    assert inspect.signature(SoftRasterizer).parameters["parity"].default is False


@pytest.mark.parametrize(
    "layer",
    [
        SoftRasterizer((9, 12), {"sigma": 2e-2, "eps": 0.01}, outputs=ALL),
        SoftRasterizer(
            (8, 8),
            SoftBlend(0.01, 0.1),
            SoftModes("barycentric", "hard", "sum", interpolation_gradient=True),
            LAMPS,
            near=0.5,
            parity=True,
            double_sided=False,
            supersampling=2,
            background=[0.1, 0.2, 0.3],
            outputs=("rgb", "alpha", "mask"),
        ),
    ],
    ids=["soft", "parity"],
)
def test_a_layer_survives_saving_tracing_and_mixed_precision(layer, tmp_path):
    check_mesh_layer(layer, tmp_path)


def test_supersampling_is_the_mean_of_2x2():
    vertices, faces = box()
    inputs = {"vertex_colors": tints(vertices), "outputs": ("rgb", "alpha")}
    fine = soft((28, 40))(vertices, faces, view(), **inputs)
    got = soft(supersampling=2)(vertices, faces, view(), **inputs)
    assert_same(got, {k: tf.nn.avg_pool2d(v, 2, 2, "VALID") for k, v in fine.items()})


# Soft pictures with little softness are hard pictures.


def test_the_limit_is_the_hard_picture():
    vertices, faces = icosphere(3)
    assert len(vertices) == 642
    vertices, size = tf.constant(0.7 * vertices[np.newaxis]), (64, 64)
    lights = [LAMPS[1]]  # flat faces: one colour each
    layer = SoftRasterizer(
        size, {"sigma": 1e-7, "gamma": 1e-5}, lights=lights, outputs=("rgb", "alpha")
    )
    settings = {"lights": lights, "outputs": ("rgb", "alpha", "mask")}
    for camera in (view(1, size), view(1, size, mirrored=True)):
        with pytest.warns(UserWarning, match="sigma"):
            layer._told = frozenset()
            got = layer(vertices, faces, camera)
        want = NeuralMeshRenderer(size, 1, **settings)(vertices, faces, camera)
        mask = tf.cast(want.pop("mask"), tf.float32)
        inner = -tf.nn.max_pool2d(-mask, 3, 1, "SAME").numpy()
        outer = tf.nn.max_pool2d(mask, 3, 1, "SAME").numpy()
        away = (inner == outer)[0, ..., 0]  # 1 pixel from the silhouette
        assert away.sum() > 3000 and inner.sum() > 400
        for name, value in want.items():
            near = np.abs(got[name] - value)[0].max(-1) < 1e-2
            assert near[away].mean() > 0.99
            assert near[inner[0, ..., 0] > 0].mean() > 0.97


@pytest.mark.parametrize("projection", ["perspective", "orthographic"])
def test_hard_outputs_are_those_of_the_hard_rasteriser(projection):
    vertices, faces = sphere()
    vertices, camera = 0.6 * vertices, view(1, SIZE, projection)
    names = ("depth", "normal", "mask", "face_index", "barycentric")
    for double_sided in (True, False):
        settings = {"double_sided": double_sided, "outputs": names}
        got = soft(**settings)(vertices, faces, camera)
        exact = MeshRenderer(SIZE, antialias=False, **settings)
        assert_same(got, exact(vertices, faces, camera))
        assert 0.1 < got["mask"].numpy().mean() < 0.9


def test_near_and_far_cut_every_output():
    vertices, faces = box()
    for kind in ("perspective", "orthographic"):
        camera = view(1, SIZE, kind)
        full = soft().depth(vertices, faces, camera).numpy()
        low, high = (float(x) for x in np.quantile(full[full > 0], [0.4, 0.8]))
        layer = soft(near=low, far=high, modes=HARD, outputs=ALL)
        got = {k: v.numpy() for k, v in layer(vertices, faces, camera).items()}
        seen = got["depth"][got["mask"]]
        assert low - 1e-5 < seen.min() and seen.max() <= high
        between = (full > low) & (full < high)
        np.testing.assert_allclose(got["depth"][between], full[between], rtol=1e-5)
        assert between.sum() > 20
        if kind == "perspective":
            assert (got["alpha"] == got["mask"]).mean() > 0.99
            assert not got["rgb"][~(got["alpha"][..., 0] > 0)].any()


# Orientation: pictures of our cameras are not mirrored, those of the original are.


@pytest.mark.parametrize("distance", ["hard", "euclidean"])
@pytest.mark.parametrize("mirrored", [False, True])
def test_a_closed_mesh_shows_its_outside(mirrored, distance):
    vertices, faces = sphere()
    camera = view(1, SIZE, mirrored=mirrored)
    if mirrored:
        camera = cameras.from_neural_renderer(EYE)
    colors = 0.5 + 0.5 * vertices  # tells the normal of every point
    for double_sided in (True, False):
        layer = soft(
            modes={"distance": distance},
            double_sided=double_sided,
            outputs=("rgb", "alpha", "mask", "depth"),
        )
        got = layer(0.9 * vertices, faces, camera, vertex_colors=colors)
        shown = got["mask"].numpy()[0, ..., 0]
        assert shown.sum() > 60
        normal = 2.0 * got["rgb"].numpy()[0][shown] - 1.0
        eye = tf.linalg.inv(camera.world_to_camera)[0, :3, 3].numpy()
        assert (normal @ eye).min() > 0.1
        alpha = got["alpha"].numpy()[0][shown]
        assert alpha.mean() > 0.8
    # Without backs, a mesh turned inside out shows the walls behind.
    layer = soft(modes={"distance": distance}, double_sided=False)
    inward = layer(0.9 * vertices, faces[:, ::-1].copy(), camera, vertex_colors=colors)
    normal = 2.0 * inward["rgb"].numpy()[0][shown] - 1.0
    assert np.median(normal @ eye) < 0.0
    assert (inward["depth"] - got["depth"]).numpy()[0][shown].mean() > 0.3


def test_parity_shows_what_runs_clockwise_in_the_picture():
    vertices, faces = sphere()
    colors = 0.5 + 0.5 * vertices
    layer = soft(parity=True, double_sided=False, outputs=("rgb", "alpha", "depth"))
    both = soft(outputs=("alpha", "depth"))
    for mirrored in (True, False):
        camera = view(1, SIZE, mirrored=mirrored)
        got = layer(0.6 * vertices, faces, camera, vertex_colors=colors)
        whole = both(0.6 * vertices, faces, camera)
        eye = tf.linalg.inv(camera.world_to_camera)[0, :3, 3].numpy()
        inside = whole["depth"].numpy()[0, ..., 0] > 0
        facing = (2.0 * got["rgb"].numpy()[0][inside] - 1.0) @ eye
        assert (np.median(facing) > 0.0) == mirrored
        same = np.abs(got["depth"] - whole["depth"]).max() < 1e-5
        assert same == mirrored
        np.testing.assert_allclose(got["alpha"], whole["alpha"], atol=1e-6)


def test_a_face_that_reaches_behind_the_eye_is_left_out():
    behind = tf.constant([[[-1.0, -1.0, 0.0], [1.0, -1.0, 0.0], [0.3, 1.0, -9.0]]])
    beyond = tf.constant([[[-1.0, -1.0, 9.0], [1.0, -1.0, 9.0], [0.3, 1.0, 9.0]]])
    camera = cameras.Camera(
        cameras.look_at([0.0, 0.0, -3.0]), cameras.perspective(60.0)
    )
    faces = np.array([[0, 1, 2]])
    for vertices in (behind, beyond):
        new, old = (
            soft((12, 12), parity=parity, far=5.0)(vertices, faces, camera)
            for parity in (False, True)
        )
        assert not new["alpha"].numpy().any() and old["alpha"].numpy().any()
        assert not new["depth"].numpy().any()


# Softness per call, and what is not asked for.


def test_softness_may_change_from_call_to_call_without_another_trace():
    vertices, faces = box()
    colors, layer = tints(vertices), soft(outputs=("rgb", "alpha"))

    @tf.function
    def draw(sigma, gamma):
        return layer(
            vertices, faces, view(), vertex_colors=colors, sigma=sigma, gamma=gamma
        )

    pictures = []
    for sigma, gamma in ((3e-2, 0.1), (1e-2, 0.01), (3e-3, 0.1)):
        got = draw(tf.constant(sigma), tf.constant(gamma))
        fixed = soft(blend={"sigma": sigma, "gamma": gamma}, outputs=("rgb", "alpha"))
        want = fixed(vertices, faces, view(), vertex_colors=colors)
        assert_same(got, want)
        numbers = layer(
            vertices, faces, view(), vertex_colors=colors, sigma=sigma, gamma=gamma
        )
        assert_same(numbers, want, atol=1e-6)
        pictures.append(got["rgb"].numpy())
    assert draw.experimental_get_tracing_count() == 1
    assert np.abs(pictures[0] - pictures[2]).max() > 0.05
    assert layer.blend.sigma == SOFT["sigma"]


def test_silhouettes_know_no_colour():
    vertices, faces = box()
    colors, layer = tints(vertices), soft()
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(colors)
        inputs = (vertices, faces, view())
        alone = layer(*inputs, vertex_colors=colors, outputs=("alpha",))
        whole = layer(*inputs, vertex_colors=colors, outputs=("alpha", "rgb"))
    assert tape.gradient(alone["alpha"], colors) is None
    assert np.abs(tape.gradient(whole["rgb"], colors)).max() > 0.1
    np.testing.assert_allclose(alone["alpha"], whole["alpha"], atol=1e-6)

    def operations(outputs):
        draw = tf.function(lambda v: layer(v, faces, view(), outputs=outputs))
        return len(draw.get_concrete_function(vertices).graph.get_operations())

    assert operations(("alpha",)) < 0.8 * operations(("alpha", "depth"))
    assert operations(("depth",)) < 0.8 * operations(("alpha", "depth"))


# Warnings.


def slope(layer, output, texels=None, watched="vertices"):
    """Gradient of a picture in the vertices or the texels."""
    vertices, faces = box()
    texels = tf.random.stateless_uniform([1, 12, 4, 3], [0, 1])
    value = {"vertices": vertices, "texels": texels}[watched]
    with tf.GradientTape() as tape:
        tape.watch(value)
        got = layer(vertices, faces, view(), texels=texels, outputs=("rgb", "alpha"))
        loss = tf.reduce_sum(got[output] ** 2)
    return tape.gradient(loss, value)


def test_too_little_softness_is_told_once_with_its_numbers():
    vertices, faces = box()
    layer = soft((40, 56), blend={"sigma": 1e-5, "dist_eps": 1e-4})
    # sqrt(log(1 / 1e-4 - 1) * 1e-5) * 40 / 2 pixels
    with pytest.warns(UserWarning, match=r"sigma 1e-05.* 0\.19 pixels.* 40 pixels"):
        layer(vertices, faces, view())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        layer(vertices, faces, view())
        fine = soft((40, 56), blend={"sigma": 1e-5}, supersampling=3)
        fine(vertices, faces, view(), sigma=1e-3)
        soft((40, 56), blend={"sigma": 1e-5}, modes=HARD)(vertices, faces, view())
    with pytest.warns(UserWarning, match="0.19"):
        soft((40, 56))(vertices, faces, view(), sigma=tf.constant(1e-5))


@pytest.mark.parametrize(
    ("modes", "silent", "told"),
    [
        ({"alpha": "hard"}, ["rgb"], ["alpha"]),
        ({"color": "hard"}, ["alpha"], ["rgb"]),
        ({"distance": "hard"}, [], ["alpha", "rgb"]),
        ({}, ["alpha", "rgb"], []),
    ],
)
def test_learning_a_shape_from_hard_pictures_is_told_once(modes, silent, told):
    layer = soft(modes=modes)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for output in silent:
            assert np.abs(slope(layer, output)).max() > 0
        # A picture that is only looked at, or of which only the texture is learnt.
        assert np.abs(slope(layer, "rgb", watched="texels")).max() > 0
    for output in told:
        with pytest.warns(UserWarning, match=f'"{output}" has no gradient.*hard'):
            got = slope(layer, output)
        if modes.get("color") == "hard" or output == "alpha":
            assert not got.numpy().any()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            slope(layer, output)


# Export and errors.


def test_an_export_is_drawn_by_stock_tensorflow(tmp_path):
    layer = SoftRasterizer(
        (10, 12), {"sigma": 1e-2}, outputs=("rgb", "alpha", "depth", "face_index")
    )

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None, 3], tf.float32, "vertices"),
            tf.TensorSpec([None, None, 3], tf.int32, "faces"),
            tf.TensorSpec([None], tf.float32, "azimuth_deg"),
            tf.TensorSpec([None, None, 3], tf.float32, "colors"),
        ]
    )
    def draw(vertices, faces, azimuth_deg, colors):
        pose = cameras.orbit(azimuth_deg, 30.0, 2.4)
        camera = cameras.Camera(pose, cameras.perspective(50.0, 1.2))
        return layer(vertices, faces, camera, vertex_colors=colors)

    module = tf.Module()
    module.draw = draw
    signatures = {"serving_default": draw.get_concrete_function()}
    folder = saved_model.write_saved_model(str(tmp_path / "m"), module, signatures)
    served = tf.saved_model.load(folder).signatures["serving_default"]
    for batch in (1, 3):
        vertices, faces = box(batch)
        inputs = {
            "vertices": vertices,
            "faces": tf.tile(faces[np.newaxis], [batch, 1, 1]),
            "azimuth_deg": tf.linspace(0.0, 90.0, batch),
            "colors": tf.random.stateless_uniform([batch, 8, 3], [0, 1]),
        }
        want, got = draw(**inputs), served(**inputs)
        assert want["alpha"].numpy().max() > 0.9
        assert_same(got, want, atol=1e-6)


def test_a_lite_file_draws_the_same_picture(tmp_path):
    layer, (vertices, faces) = soft((10, 12), outputs=("rgb", "alpha")), box()

    @tf.function(
        input_signature=[
            tf.TensorSpec([1, 8, 3], tf.float32, name)
            for name in ("vertices", "colors")
        ]
    )
    def draw(vertices, colors):
        return layer(vertices, faces, view(1, (10, 12)), vertex_colors=colors)

    path = str(tmp_path / "soft.tflite")
    lite.write_lite(path, draw.get_concrete_function())
    inputs = {"vertices": vertices, "colors": tints(vertices)[tf.newaxis]}
    got = lite.LiteModel(path)(**{k: v.numpy() for k, v in inputs.items()})
    for name, want in draw(**inputs).items():
        np.testing.assert_allclose(got[name], want, atol=1e-4)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"blend": {"sigma": -1.0}}, "sigma"),
        ({"blend": {"sharpness": 1.0}}, "blend.*sharpness"),
        ({"blend": (1e-4, 1e-4)}, "blend"),
        ({"modes": {"distance": "far"}}, "distance"),
        ({"modes": {"color": "none"}}, "color"),
        ({"near": 0.0}, "depth_range"),
        ({"far": 0.5}, "depth_range"),
        ({"texel_resolution": 0}, "texel_resolution"),
        ({"texture_filtering": "mipmap"}, "texture_filtering"),
    ],
)
def test_a_bad_setting_is_named(settings, message):
    with pytest.raises(ValueError, match=message):
        SoftRasterizer(**settings)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"texels": tf.zeros([1, 12, 5, 3])}, "texels"),
        ({"texels": tf.zeros([12, 3])}, "texels"),
        ({"texels": tf.zeros([12, 4, 3]), "vertex_colors": tf.zeros([8, 3])}, "texels"),
        ({"sigma": -1.0}, "sigma"),
        ({"outputs": ("shadow",)}, "outputs"),
    ],
)
def test_a_bad_input_is_named(inputs, message):
    vertices, faces = box()
    with pytest.raises(ValueError, match=message):
        soft((8, 8), outputs=("rgb",))(vertices, faces, view(), **inputs)
