"""What holds for every layer that draws meshes."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.layers.mesh_scenes import (
    ALL,
    HARD,
    LAMPS,
    LAYERS,
    SIZE,
    assert_same,
    box,
    check_mesh_layer,
    each_layer,
    plain,
    sphere,
    view,
    world_points,
)
from tfrender import cameras
from tfrender.layers.mesh_layer import OUTPUTS
from tfrender.layers.mesh_renderer import MeshRenderer
from tfrender.layers.neural_mesh_renderer import NeuralMeshRenderer
from tfrender.ops import forms


@pytest.mark.parametrize(
    "layer",
    [
        NeuralMeshRenderer((9, 12), near=0.2, far=50.0, eps=1e-2, outputs=ALL),
        NeuralMeshRenderer((8, 8), 1, None, parity=True, double_sided=False),
        MeshRenderer((9, 12), lights=LAMPS, outputs=ALL, normals="smooth"),
        MeshRenderer(
            (8, 8),
            antialias=False,
            supersampling=3,
            background=[0.1, 0.2, 0.3],
            lights=LAMPS[:2],
            shading="blinn_phong",
            material={"shininess": 8.0, "specular": [0.1, 0.2, 0.3]},
        ),
    ],
    ids=lambda layer: layer.name,
)
def test_a_layer_survives_saving_tracing_and_mixed_precision(layer, tmp_path):
    check_mesh_layer(layer, tmp_path)


@pytest.mark.parametrize("projection", ["perspective", "orthographic"])
@each_layer
def test_outputs_agree_with_each_other_and_the_camera(kind, projection):
    vertices, faces = box()
    camera = view(1, SIZE, projection)
    got = plain(kind)(vertices, faces, camera)
    for name, (channels, dtype) in OUTPUTS.items():
        assert got[name].shape == (1, *SIZE, channels or 3)
        assert got[name].dtype == dtype
    mask = got["mask"][0, ..., 0].numpy()
    assert 0.1 < mask.mean() < 0.6
    np.testing.assert_array_equal(mask, got["face_index"][0, ..., 0] >= 0)
    np.testing.assert_array_equal(mask, got["alpha"][0, ..., 0])
    np.testing.assert_array_equal(mask, got["rgb"][0, ..., 0])
    for name in ("depth", "normal", "barycentric"):
        assert not got[name].numpy()[0][~mask].any()

    # The point of the face that a pixel shows lies under the pixel, at its depth.
    points = tf.constant(world_points(got, vertices, faces)[mask][np.newaxis])
    clip = cameras.project_to_clip(camera, points)
    pixel = cameras.clip_to_pixel(clip, SIZE)[0]
    row, column = np.nonzero(mask)
    np.testing.assert_allclose(pixel[:, 0], column + 0.5, atol=2e-4)
    np.testing.assert_allclose(pixel[:, 1], row + 0.5, atol=2e-4)
    depth = cameras.view_depth(camera, points)[0]
    np.testing.assert_allclose(got["depth"][0, ..., 0][mask], depth, rtol=1e-5)

    normal = got["normal"][0].numpy()[mask]
    np.testing.assert_allclose(np.linalg.norm(normal, axis=-1), 1.0, atol=1e-5)
    matrix = camera.world_to_camera[0].numpy()
    eye, backward = -matrix[:3, :3].T @ matrix[:3, 3], matrix[2, :3]
    way = eye - points[0].numpy() if projection == "perspective" else backward
    assert ((normal * way).sum(-1) > 0).all()


@each_layer
def test_the_layers_see_the_same_faces(kind):
    vertices, faces = sphere()
    pictures = [plain(k)(0.7 * vertices, faces, view()) for k in LAYERS]
    assert_same(*pictures, atol=2e-5)


@pytest.mark.parametrize("double_sided", [True, False])
@each_layer
def test_a_mirrored_camera_mirrors_every_picture(kind, double_sided):
    vertices, faces = box()
    layer = plain(kind, double_sided=double_sided, lights=LAMPS)
    got = layer(vertices, faces, view())
    mirrored = layer(vertices, faces, view(mirrored=True))
    assert got["mask"].numpy().any()
    assert_same({k: v[:, :, ::-1] for k, v in mirrored.items()}, got)


@each_layer
def test_single_sided_faces_are_seen_from_the_front_alone(kind):
    vertices, faces = box()
    both, one = (plain(kind, double_sided=flag) for flag in (True, False))
    assert_same(one(vertices, faces, view()), both(vertices, faces, view()))
    inside_out = faces[:, ::-1].copy()
    shown = one(vertices, inside_out, view())
    # Now the far walls are the ones with their front to the camera.
    closed = both(vertices, inside_out, view())
    np.testing.assert_array_equal(shown["mask"], closed["mask"])
    mask = closed["mask"].numpy()
    behind = (shown["depth"] - closed["depth"]).numpy()[mask]
    assert behind.min() > -1e-5 and behind.mean() > 0.3
    np.testing.assert_allclose(
        tf.norm(shown["normal"], axis=-1)[..., None], mask, atol=1e-5
    )


@each_layer
def test_what_is_not_asked_for_is_not_computed(kind):
    vertices, faces = box()
    cubes = tf.random.stateless_uniform([1, 12, 2, 2, 2, 3], [0, 1])
    layer = kind(SIZE)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(cubes)
        alone = layer(vertices, faces, view(), texture_cubes=cubes, outputs=("alpha",))
        whole = layer(vertices, faces, view(), texture_cubes=cubes)
    assert list(alone) == ["alpha"] and list(whole) == ["rgb", "alpha", "depth"]
    assert tape.gradient(alone["alpha"], cubes) is None
    assert tape.gradient(whole["rgb"], cubes) is not None

    def operations(outputs):
        function = tf.function(
            lambda v: layer(v, faces, view(), texture_cubes=cubes, outputs=outputs)
        )
        return len(function.get_concrete_function(vertices).graph.get_operations())

    depth, alpha, both = map(operations, (("depth",), ("alpha",), ("rgb", "alpha")))
    assert max(depth, alpha) < 0.9 * both
    np.testing.assert_allclose(
        layer.silhouettes(vertices, faces, view()), alone["alpha"]
    )
    np.testing.assert_allclose(layer.depth(vertices, faces, view()), whole["depth"])


@each_layer
def test_supersampling_averages_samples(kind):
    vertices, faces = box()
    colors = tf.random.stateless_uniform([8, 3], [0, 1])
    k, (height, width) = 3, SIZE
    settings = {"background": [0.2, 0.4, 0.6]}
    coarse = plain(kind, supersampling=k, **settings)
    fine = plain(kind, (k * height, k * width), **settings)
    got, samples = (
        {
            name: value.numpy()[0]
            for name, value in layer(
                vertices, faces, view(), vertex_colors=colors
            ).items()
        }
        for layer in (coarse, fine)
    )
    partial = 0
    for i, j in np.ndindex(height, width):
        cut = np.s_[k * i : k * i + k, k * j : k * j + k]
        block = {name: v[cut].reshape(k * k, -1) for name, v in samples.items()}
        covered = block["mask"][:, 0]
        partial += 0 < covered.sum() < k * k
        for name in ("rgb", "alpha"):
            np.testing.assert_allclose(got[name][i, j], block[name].mean(0), atol=1e-5)
        assert got["mask"][i, j] == covered.any()
        if not covered.any():
            for name in ("depth", "normal", "barycentric"):
                assert not got[name][i, j].any()
            assert got["face_index"][i, j] == -1
            continue
        depth = block["depth"][covered]
        np.testing.assert_allclose(got["depth"][i, j], depth.mean(0), rtol=1e-5)
        normal = block["normal"][covered].mean(0)
        normal /= np.linalg.norm(normal)
        np.testing.assert_allclose(got["normal"][i, j], normal, atol=1e-5)
        nearest = np.flatnonzero(covered)[depth[:, 0].argmin()]
        assert got["face_index"][i, j] == block["face_index"][nearest]
        np.testing.assert_allclose(
            got["barycentric"][i, j], block["barycentric"][nearest], atol=1e-5
        )
    assert partial > 20


def losses_and_slopes(layer, vertices, faces, camera, colors):
    """Sums of squares of all float outputs, one an item, and its gradients."""
    with tf.GradientTape() as tape:
        tape.watch([vertices, colors])
        got = layer(vertices, faces, camera, vertex_colors=colors)
        loss = sum(
            tf.reduce_sum((got[name] - 0.3) ** 2, [1, 2, 3])
            for name in ("rgb", "alpha", "depth")
        )
    return loss, tape.gradient(loss, [vertices, colors])


@each_layer
def test_a_batch_is_the_same_as_its_items(kind):
    vertices, faces = box(3)
    faces = np.stack([faces, faces[::-1], faces])
    faces[2, :4] = -1  # a mesh of fewer faces
    camera, colors = view(3), tf.random.stateless_uniform([3, 8, 3], [0, 1])
    layer = kind(SIZE, lights=LAMPS)
    loss, slopes = losses_and_slopes(layer, vertices, faces, camera, colors)
    for i in range(3):
        cut = slice(i, i + 1)
        one = cameras.Camera(camera[0][cut], camera[1][cut])
        single, alone = losses_and_slopes(
            layer, vertices[cut], faces[cut], one, colors[cut]
        )
        np.testing.assert_allclose(loss[cut], single, rtol=1e-6)
        for whole, part in zip(slopes, alone, strict=True):
            assert np.abs(part).max() > 1e-3
            np.testing.assert_allclose(whole[cut], part, atol=1e-6 * np.abs(part).max())
    few = layer(
        vertices[2:],
        faces[2:, 4:],
        cameras.Camera(camera[0][2:], camera[1][2:]),
        vertex_colors=colors[2:],
        outputs=("rgb",),
    )
    padded = layer(vertices, faces, camera, vertex_colors=colors, outputs=("rgb",))
    np.testing.assert_allclose(padded["rgb"][2:], few["rgb"], atol=1e-6)


@each_layer
def test_one_mesh_serves_many_cameras_and_one_camera_many_meshes(kind):
    vertices, faces = box(3)
    colors = tf.random.stateless_uniform([1, 8, 3], [0, 1])
    layer = kind(SIZE, outputs=ALL)
    one = vertices[:1]
    got = layer(one, faces[np.newaxis], view(3), vertex_colors=colors)
    want = layer(
        tf.tile(one, [3, 1, 1]),
        faces,
        view(3),
        vertex_colors=tf.tile(colors, [3, 1, 1]),
    )
    assert_same(got, want)
    assert not np.allclose(got["rgb"][0], got["rgb"][1], atol=1e-2)
    camera = view(1)
    got = layer(vertices, faces, camera)
    tiled = cameras.Camera(*(tf.tile(m, [3, 1, 1]) for m in camera))
    assert_same(got, layer(vertices, faces, tiled))


@pytest.mark.parametrize(
    "nasty", ["zeros", "behind", "through", "huge", "tiny", "needle", "none", "padding"]
)
@each_layer
def test_any_finite_mesh_gives_finite_pictures_and_gradients(kind, nasty):
    vertices, faces = box()
    camera = view()
    eye = -tf.linalg.matvec(
        camera.world_to_camera[:, :3, :3], camera.world_to_camera[:, :3, 3], True
    )
    vertices = {
        "zeros": 0 * vertices,
        "behind": vertices + 2 * eye,
        "through": 4 * vertices + eye,
        "huge": 1e18 * vertices,
        "tiny": 1e-18 * vertices,
        "needle": vertices * [1.0, 1e-7, 1e-7],
    }.get(nasty, vertices)
    faces = {"none": faces[:0], "padding": 0 * faces - 1}.get(nasty, faces)
    colors = tf.random.stateless_uniform([1, 8, 3], [0, 1])
    layer = kind(
        SIZE, lights=LAMPS, shading="blinn_phong", outputs=ALL, supersampling=2
    )
    with tf.GradientTape() as tape:
        tape.watch([vertices, colors, *camera])
        got = layer(vertices, faces, camera, vertex_colors=colors)
        loss = sum(
            tf.reduce_sum(tf.cast(value, tf.float32) ** 2) for value in got.values()
        )
    slopes = tape.gradient(loss, [vertices, colors, *camera])
    for value in [*got.values(), *(s for s in slopes if s is not None)]:
        assert np.isfinite(value).all()
    assert slopes[0] is not None


@pytest.mark.slow  # the forms of the ops are compared in tests/ops
@each_layer
def test_the_forms_agree(kind):
    vertices, faces = box(2)
    layer = kind((10, 13))

    def total_and_slope(vertices):
        with tf.GradientTape() as tape:
            tape.watch(vertices)
            alpha = layer.silhouettes(vertices, faces, view(2))
            loss = tf.reduce_sum((alpha - 0.3) ** 2)
        return loss, tape.gradient(loss, vertices)

    want, want_slope = total_and_slope(vertices)
    forms_of = [tf.function(total_and_slope)(vertices)]
    with forms.default_form("xla"):
        forms_of.append(total_and_slope(vertices))
    for loss, slope in forms_of:
        np.testing.assert_allclose(loss, want, rtol=1e-5)
        scale = np.abs(want_slope).max()
        np.testing.assert_allclose(slope, want_slope, atol=1e-3 * scale)
    assert not layer.supports_jit


@pytest.mark.slow
@each_layer
def test_a_layer_compiles(kind):
    vertices, faces = box(2)
    colors = tf.random.stateless_uniform([2, 8, 3], [0, 1])
    layer = kind((10, 13), lights=LAMPS, outputs=ALL, **HARD[kind])

    @tf.function(jit_compile=True)
    def draw(vertices, colors):
        return layer(vertices, faces, view(2), vertex_colors=colors)

    want = layer(vertices, faces, view(2), vertex_colors=colors)
    with forms.default_form("xla"):
        assert_same(draw(vertices, colors), want, atol=1e-4)


@each_layer
def test_fit_moves_a_mesh_towards_a_picture(kind):
    vertices, faces = box()

    class Mover(keras.Model):
        def __init__(self):
            super().__init__()
            self.layer = kind((12, 12), outputs=("alpha",))

        def build(self, shape):
            self.shift = self.add_weight(shape=(3,), initializer="zeros")
            self.built = True

        def call(self, inputs):
            camera = view(1, (12, 12))
            moved = inputs["vertices"] + tf.convert_to_tensor(self.shift)
            return self.layer(moved, faces, camera)["alpha"]

    target = kind((12, 12)).silhouettes(
        vertices + [0.2, 0, 0.1], faces, view(1, (12, 12))
    )
    model = Mover()
    model.compile(keras.optimizers.Adam(0.03), "mse")
    data = {"vertices": vertices}
    history = model.fit(data, target, epochs=15, verbose=0).history["loss"]
    assert history[-1] < 0.3 * history[0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"image_size": (0, 4)}, "image_size"),
        ({"image_size": 64}, "image_size"),
        ({"supersampling": 0}, "supersampling"),
        ({"background": [[0.0]]}, "background"),
        ({"shading": "toon"}, "shading"),
        ({"material": {"gloss": 1.0}}, "material.*gloss"),
        ({"outputs": ("rgb", "colour")}, "outputs"),
        ({"outputs": "rgb"}, "outputs"),
        ({"outputs": ()}, "outputs"),
        ({"texture_filtering": "sharp"}, "texture_filtering"),
        ({"lights": [{"kind": "sun"}]}, "kind of light"),
        ({"lights": ["ambient"]}, "lights"),
        ({"lights": [{"kind": "directional"}]}, "directional light.*direction"),
        ({"lights": [{"kind": "ambient", "power": 1}]}, "ambient light.*power"),
        ({"lights": [{"kind": "ambient", "color": np.nan}]}, "ambient color"),
        ({"lights": [{"kind": "point", "position": [1, 2]}]}, "point position"),
    ],
)
@each_layer
def test_a_bad_setting_is_named(kind, settings, message):
    with pytest.raises(ValueError, match=message):
        kind(**settings)
    with pytest.raises((ValueError, TypeError), match="suprsampling"):
        kind(suprsampling=2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vertices": tf.zeros([8, 3])}, "vertices"),
        ({"vertices": tf.zeros([1, 8, 2])}, "vertices"),
        ({"faces": tf.zeros([12, 3])}, "faces"),
        ({"faces": np.zeros([12, 4], int)}, "faces"),
        ({"camera": tf.eye(4)}, "camera"),
        ({"camera": (tf.eye(4), tf.eye(4))}, "camera world_to_camera"),
        ({"uv": tf.zeros([8, 2])}, "uv.*texture"),
        ({"texture": tf.zeros([1, 2, 2, 3])}, "uv"),
        ({"uv": tf.zeros([8, 3]), "texture": tf.zeros([1, 2, 2, 3])}, "uv"),
        ({"uv": tf.zeros([8, 2]), "texture": tf.zeros([2, 2, 3])}, "texture"),
        (
            {
                "vertex_colors": tf.zeros([8, 3]),
                "texture_cubes": tf.zeros([12] + [2] * 4),
            },
            "vertex_colors.*texture_cubes",
        ),
        ({"texture_cubes": tf.zeros([12, 2, 2, 3, 3])}, "cubes"),
        ({"normals": tf.zeros([1, 8, 2])}, "normals"),
        ({"outputs": ("shadow",)}, "outputs"),
    ],
)
@each_layer
def test_a_bad_input_is_named(kind, changes, message):
    vertices, faces = box()
    inputs = {"vertices": vertices, "faces": faces, "camera": view(), **changes}
    with pytest.raises(ValueError, match=message):
        kind((4, 4))(**inputs)
