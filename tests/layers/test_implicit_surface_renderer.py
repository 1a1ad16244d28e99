"""Claims of the renderer of implicit surfaces."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfrender import cameras, layers, models

SIZE = (18, 24)
RADIUS = 0.3


@keras.saving.register_keras_serializable(package="tests")
class Ball(keras.Model):
    """A field with a sphere as its surface and one colour; its radius is trainable."""

    def __init__(self, radius=RADIUS, **kwargs):
        super().__init__(**kwargs)
        self.start = radius
        self.radius = self.add_weight(
            shape=(), initializer=keras.initializers.Constant(radius)
        )
        self.built = True

    def call(self, points, code=None):
        shift = 0.0 if code is None else code[:, tf.newaxis]
        away = tf.norm(points - shift, axis=-1, keepdims=True)
        color = tf.zeros_like(points) + tf.constant([-1.0, 0.0, 1.0])
        return tf.concat([10.0 * (self.radius - away), color], axis=-1)

    def get_config(self):
        return {**super().get_config(), "radius": self.start}


def camera(batch=1):
    view = cameras.orbit(np.linspace(0.0, 120.0, batch), 20.0, 2.0)
    lens = cameras.perspective(35.0, SIZE[1] / SIZE[0])
    return cameras.Camera(view, tf.repeat(lens, batch, axis=0))


def renderer(field=None, **settings):
    return layers.ImplicitSurfaceRenderer(
        field or Ball(), **{"image_size": SIZE, "samples": 48, **settings}
    )


def test_a_ball_has_the_depth_normal_and_colour_of_one():
    found = {k: v.numpy() for k, v in renderer()(camera(2)).items()}
    mask = found["mask"][..., 0] > 0
    assert 0.1 < mask.mean() < 0.5
    points = found["points"][mask]
    length = np.linalg.norm(points, axis=1)
    np.testing.assert_allclose(length, RADIUS, atol=1e-4)
    np.testing.assert_allclose(
        found["normal"][mask], points / length[:, np.newaxis], atol=1e-3
    )
    depth = cameras.view_depth(camera(2), found["points"].reshape(2, -1, 3))
    depth = depth.numpy().reshape(mask.shape)
    np.testing.assert_allclose(found["depth"][..., 0][mask], depth[mask], rtol=1e-4)
    color = 1.0 / (1.0 + np.exp([1.0, 0.0, -1.0]))
    np.testing.assert_allclose(found["rgb"][mask], color + 0 * points, rtol=1e-5)
    for name, empty in (("rgb", 1.0), ("depth", 0.0), ("normal", 0.0), ("alpha", 0.0)):
        np.testing.assert_array_equal(found[name][~mask], empty)


@pytest.mark.parametrize(
    "settings", [{"rays_per_chunk": 300}, {"form": "xla"}], ids=["chunks", "xla"]
)
def test_chunks_and_forms_agree(settings):
    expected = renderer()(camera(2))
    found = renderer(**settings)(camera(2))
    for name, value in expected.items():
        assert found[name].shape == value.shape
        np.testing.assert_allclose(found[name], value, atol=2e-5)


@pytest.mark.parametrize("settings", [{}, {"rays_per_chunk": 300}])
def test_a_graph_of_any_batch_gives_the_same_pictures_and_gradients(settings):
    field = Ball()

    def seen(*parts, **settings):
        layer = renderer(field, **settings)
        with tf.GradientTape() as tape:
            found = layer(cameras.Camera(*parts))
            loss = tf.reduce_sum(found["depth"]) + tf.reduce_sum(found["points"] ** 2)
        return tape.gradient(loss, field.radius.value), found

    signature = [tf.TensorSpec([None, 4, 4])] * 2
    graph = tf.function(
        lambda *parts: seen(*parts, **settings), input_signature=signature
    )
    expected, pictures = seen(*camera(2))
    for slope, found in (seen(*camera(2), **settings), graph(*camera(2))):
        np.testing.assert_allclose(slope, expected, rtol=1e-5)
        for name, value in pictures.items():
            np.testing.assert_allclose(found[name], value, atol=1e-5)


def test_a_compiled_program_gives_the_same_pictures_and_gradients():
    field = Ball()

    def seen(layer, parts):
        with tf.GradientTape() as tape:
            found = layer(cameras.Camera(*parts))
            loss = tf.reduce_sum(found["depth"]) + tf.reduce_sum(found["rgb"])
        return tape.gradient(loss, field.radius.value), found["depth"]

    layer = renderer(field, form="xla")
    compiled = tf.function(lambda *parts: seen(layer, parts), jit_compile=True)
    expected, depth = seen(renderer(field), camera())
    slope, found = compiled(*camera())
    np.testing.assert_allclose(slope, expected, rtol=1e-5)
    np.testing.assert_allclose(found, depth, atol=1e-5)


def test_given_pixels_are_those_of_the_picture():
    pixels = tf.constant([[[12.5, 9.5], [0.5, 0.5], [13.5, 9.5]]])
    whole, some = renderer()(camera()), renderer()(camera(), pixels=pixels)
    for name, value in some.items():
        expected = tf.stack([whole[name][0, 9, 12], whole[name][0, 0, 0]])
        np.testing.assert_allclose(value[0, :2], expected, atol=1e-5)


def test_codes_move_each_item():
    shift = tf.constant([[0.0, 0.0, 0.0], [0.0, 0.15, 0.0]])
    found = renderer()(camera(2), shift)
    mask = found["mask"].numpy()[..., 0] > 0
    for i in range(2):
        points = found["points"].numpy()[i][mask[i]]
        away = np.linalg.norm(points - shift[i].numpy(), axis=1)
        np.testing.assert_allclose(away, RADIUS, atol=1e-4)


@pytest.mark.parametrize("network", [False, True])
def test_one_camera_or_one_code_serves_all(network):
    field = Ball()
    if network:
        field = models.OccupancyField(8, 1, code_size=3)
        field.begin_as_sphere(RADIUS)
    code = tf.constant([[0.0, 0.0, 0.0], [0.0, 0.15, 0.0], [0.1, 0.0, 0.0]])
    views = [camera(3)] * 2 + [camera(1)]
    for view, codes in zip(views, (code, code[1:2], code), strict=True):
        found = renderer(field)(view, codes)["depth"]
        assert found.shape[0] == 3
        for i in range(3):
            alone = renderer(field)(
                cameras.Camera(*(part[min(i, len(part) - 1)][None] for part in view)),
                codes[min(i, len(codes) - 1)][None],
            )["depth"]
            np.testing.assert_allclose(found[i], alone[0], atol=1e-5)


def test_depth_follows_the_radius():
    field = Ball()
    with tf.GradientTape() as tape:
        found = renderer(field)(camera())
        inner = found["depth"][:, 8:10, 11:13]  # far from the outline
        total = tf.reduce_sum(inner)
    slope = tape.gradient(total, field.radius.value)
    sums = []
    for radius in (RADIUS + 1e-2, RADIUS - 1e-2):
        field.radius.assign(radius)
        sums.append(
            float(tf.reduce_sum(renderer(field)(camera())["depth"][:, 8:10, 11:13]))
        )
    np.testing.assert_allclose(slope, (sums[0] - sums[1]) / 2e-2, rtol=1e-3)


def test_cameras_have_gradients_where_asked():
    place = tf.Variable([0.1, 0.05, 0.0])

    def depth(layer):
        shift = tf.concat([tf.zeros([3, 3]), place[:, tf.newaxis]], axis=1)
        shift = tf.pad(shift, [[0, 1], [0, 0]])
        view = camera().world_to_camera + shift
        found = layer(cameras.Camera(view, camera().projection))
        return tf.reduce_sum(found["depth"][:, 8:10, 11:13])

    with tf.GradientTape() as tape:
        total = depth(renderer(camera_gradients=True))
    slope = tape.gradient(total, place).numpy()
    with tf.GradientTape() as tape:
        total = depth(renderer())
    assert tape.gradient(total, place) is None
    for axis in range(3):
        sums = []
        for step in (1e-2, -1e-2):
            kept = place.numpy()
            place.assign(kept + step * np.eye(3)[axis])
            sums.append(float(depth(renderer())))
            place.assign(kept)
        expected = (sums[0] - sums[1]) / 2e-2
        np.testing.assert_allclose(slope[axis], expected, rtol=2e-3, atol=2e-3)


def test_a_field_without_surface_is_white_with_finite_gradients():
    field = Ball(0.001)
    with tf.GradientTape() as tape:
        found = renderer(field, background=0.25)(camera())
        total = tf.add_n([tf.reduce_sum(value) for value in found.values()])
    gradient = tape.gradient(total, field.radius.value, unconnected_gradients="zero")
    assert np.isfinite(gradient)
    np.testing.assert_array_equal(found["rgb"], 0.25)
    assert not np.any(found["mask"])


def test_it_survives_a_config_and_a_mixed_policy():
    layer = renderer(models.OccupancyField(8, 1), threshold=0.4, padding=0.2)
    layer.field.begin_as_sphere(RADIUS)
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        again = layers.ImplicitSurfaceRenderer.from_config(layer.get_config())
    finally:
        keras.config.set_dtype_policy("float32")
    again.field.set_weights(layer.field.get_weights())
    for name, value in layer(camera()).items():
        np.testing.assert_allclose(again(camera())[name], value, atol=1e-6)
    assert again.settings == layer.settings


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"image_size": (0, 4)}, "`image_size` must be"),
        ({"samples": 1}, "`samples` must lie in"),
        ({"threshold": 1.0}, "`threshold` must lie in"),
        ({"form": "eager"}, "`form` must be one of"),
        ({"background": float("nan")}, "`background` must lie in"),
    ],
)
def test_settings_are_checked(settings, expected):
    with pytest.raises(ValueError, match=expected):
        renderer(**settings)
