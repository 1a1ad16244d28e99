import numpy as np
import pytest
import tensorflow as tf

from tfrender.ops.shade import (
    AmbientLight,
    DirectionalLight,
    Material,
    PointLight,
    SphericalHarmonicLight,
    shade,
)
from tfrender.ops.spherical_harmonics import spherical_harmonic_light

RNG = None  # a generator, fresh for each test
MODELS = ("lambert", "phong", "blinn_phong")


@pytest.fixture(autouse=True)
def fresh_generator():
    global RNG
    RNG = np.random.default_rng(5)


def unit(vector):
    return vector / np.linalg.norm(vector, axis=-1, keepdims=True)


def surface(*shape):
    """Colour, normal, position of points with a leading batch axis."""
    return (
        RNG.uniform(size=(*shape, 3)),
        unit(RNG.normal(size=(*shape, 3))),
        RNG.normal(size=(*shape, 3)),
    )


def all_lights():
    return [
        AmbientLight(0.2),
        AmbientLight(RNG.uniform(size=(2, 3))),
        DirectionalLight(RNG.normal(size=3), RNG.uniform(size=3)),
        DirectionalLight(RNG.normal(size=(2, 3)), RNG.uniform(size=(2, 3))),
        PointLight(3 * RNG.normal(size=(2, 3)), 0.7, (0.3, 0.2, 0.1)),
        SphericalHarmonicLight(RNG.uniform(0.5, 1.0, size=(2, 9, 3))),
    ]


def of_item(value, b):
    value = np.asarray(value)
    return value[b] if value.ndim > 1 else value


def one_point(color, n, lights, p, eye, model, material, two_sided, b):
    """Definition: the equation of the module's note for a single point."""
    v = unit(eye - p)
    if two_sided and n @ v < 0:
        n = -n
    total = np.zeros(3)
    for light in lights:
        if isinstance(light, AmbientLight):
            total += color * of_item(light.color, b)
            continue
        if isinstance(light, SphericalHarmonicLight):
            value = spherical_harmonic_light(of_item3(light.coefficients, b), n[None])
            total += color * material.diffuse * value.numpy()[0]
            continue
        intensity = of_item(light.color, b) * np.ones(3)
        if isinstance(light, DirectionalLight):
            direction = of_item(light.direction, b)
            intensity = intensity * np.linalg.norm(direction)
            toward = unit(direction)
        else:
            way = of_item(light.position, b) - p
            d = np.linalg.norm(way)
            intensity = intensity / (np.array(light.attenuation) @ [1, d, d * d])
            toward = way / d
        total += color * material.diffuse * intensity * max(0, n @ toward)
        if model != "lambert" and n @ toward > 0 and n @ v > 0:
            mirror = 2 * (n @ toward) * n - toward
            spec = mirror @ v if model == "phong" else n @ unit(toward + v)
            if spec > 0:
                total += material.specular * intensity * spec**material.shininess
    return total


def of_item3(value, b):
    return value[b] if value.ndim > 2 else value


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("two_sided", [False, True])
def test_every_point_equals_the_equation(model, two_sided):
    color, normal, position = surface(2, 3, 4)
    eye, material = RNG.normal(size=(2, 3)), Material(0.8, 0.4, 5.0)
    lights = all_lights()
    got = shade(
        color,
        normal,
        lights,
        position,
        eye,
        model=model,
        material=material,
        two_sided=two_sided,
    ).numpy()
    assert got.dtype == np.float64
    for index in np.ndindex(2, 3, 4):
        want = one_point(
            color[index],
            normal[index],
            lights,
            position[index],
            eye[index[0]],
            model,
            material,
            two_sided,
            index[0],
        )
        np.testing.assert_allclose(got[index], want, atol=1e-10)


def test_vertices_faces_and_pixels_are_lit_alike():
    color, normal, position = surface(2, 12)
    eye, lights = RNG.normal(size=(2, 3)), all_lights()
    settings = {"model": "phong", "two_sided": True}
    want = shade(color, normal, lights, position, eye, **settings)
    image = [np.reshape(value, (2, 3, 4, 3)) for value in (color, normal, position)]
    got = shade(image[0], image[1], lights, image[2], eye, **settings)
    np.testing.assert_allclose(np.reshape(got, (2, 12, 3)), want, atol=1e-12)


def test_light_adds_up_lamp_by_lamp():
    color, normal, position = surface(2, 5)
    eye, lights = RNG.normal(size=(2, 3)), all_lights()
    whole = shade(color, normal, lights, position, eye, model="blinn_phong")
    parts = [
        shade(color, normal, [light], position, eye, model="blinn_phong")
        for light in lights
    ]
    np.testing.assert_allclose(whole, sum(parts), atol=1e-12)
    np.testing.assert_array_equal(shade(color, normal, []), np.zeros((2, 5, 3)))


@pytest.mark.parametrize("model", MODELS)
def test_turning_the_whole_scene_changes_no_colour(model):
    color, normal, position = surface(1, 6)
    eye, lamp, sun = RNG.normal(size=(3, 3))
    turn, _ = np.linalg.qr(RNG.normal(size=(3, 3)))

    def seen(r):
        return shade(
            color,
            normal @ r.T,
            [DirectionalLight(r @ sun), PointLight(r @ lamp)],
            position @ r.T,
            r @ eye,
            model=model,
        )

    np.testing.assert_allclose(seen(turn), seen(np.eye(3)), atol=1e-10)


@pytest.mark.parametrize("model", MODELS)
def test_gradients_equal_finite_differences(model):
    # All in front of light and eye, away from the kinks.
    color, position = RNG.uniform(size=(1, 2, 3)), 0.1 * RNG.normal(size=(1, 2, 3))
    normal = unit(np.array([0.0, 0.0, 1.0]) + 0.1 * RNG.normal(size=(1, 2, 3)))

    def seen(c, n, p, eye, direction, lamp, intensity, shininess):
        lights = [DirectionalLight(direction, intensity), PointLight(lamp)]
        return shade(
            c, n, lights, p, eye, model=model, material=Material(0.9, 0.7, shininess)
        )

    inputs = [
        color,
        normal,
        position,
        np.array([0.5, 0.2, 2.0]),
        np.array([0.3, -0.4, 1.5]),
        np.array([-0.4, 0.6, 1.7]),
        np.array([0.5, 0.7, 0.9]),
        np.array([4.0]),
    ]
    exact, numeric = tf.test.compute_gradient(seen, inputs, 1e-5)
    for a, b in zip(exact, numeric, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-7)


@pytest.mark.parametrize("model", ["phong", "blinn_phong"])
def test_highlights_equal_tensorflow_graphics(model):
    module = pytest.importorskip(f"tensorflow_graphics.rendering.reflectance.{model}")
    _, normal, position = surface(1, 40)
    eye, toward = RNG.normal(size=3) * 3, unit(RNG.normal(size=3))
    shininess, specular = 7.0, np.array([0.3, 0.6, 0.9])
    got = shade(
        np.zeros((1, 40, 3)),
        normal,
        [DirectionalLight(toward)],
        position,
        eye,
        model=model,
        material=Material(1.0, specular, shininess),
    )
    want = module.brdf(
        np.broadcast_to(-toward, (1, 40, 3)),
        unit(eye - position),
        normal,
        np.full((1, 40, 1), shininess),
        np.broadcast_to(specular, (1, 40, 3)),
        brdf_normalization=False,
    )
    assert (np.asarray(want) > 1e-3).sum() > 5
    np.testing.assert_allclose(got, want, atol=1e-9)


def test_lambert_equals_tensorflow_graphics():
    module = pytest.importorskip("tensorflow_graphics.rendering.reflectance.lambertian")
    color, normal, _ = surface(1, 30)
    toward = unit(RNG.normal(size=3))
    incoming = np.broadcast_to(-toward, normal.shape)
    brdf = module.brdf(incoming, normal, normal, color)
    cosine = np.maximum(normal @ toward, 0.0)[..., None]
    got = shade(color, normal, [DirectionalLight(toward)])
    np.testing.assert_allclose(got, np.pi * brdf * cosine, atol=1e-12)


def test_two_sided_surfaces_look_the_same_from_behind():
    color, normal, position = surface(1, 20)
    eye = np.array([3.0, -2.0, 4.0])
    lights = [AmbientLight(0.1), DirectionalLight([0.3, 1.0, 0.2]), PointLight(eye)]
    for model in MODELS:
        front, back = (
            shade(
                color, side * normal, lights, position, eye, model=model, two_sided=True
            )
            for side in (1, -1)
        )
        np.testing.assert_allclose(front, back, atol=1e-12)
    one = shade(color, normal, lights, position, eye)
    two = shade(color, normal, lights, position, eye, two_sided=True)
    away = ((eye - position) * normal).sum(-1) < 0
    assert away.any() and not away.all()
    np.testing.assert_array_equal(one.numpy()[~away], two.numpy()[~away])
    assert (one.numpy()[away] != two.numpy()[away]).any()


def test_the_length_of_a_direction_is_its_brightness():
    color, normal, position = surface(1, 8)
    for model in MODELS:
        long, bright = (
            shade(color, normal, [light], position, np.ones(3), model=model)
            for light in (
                DirectionalLight(np.array([0.0, 0.0, 2.5])),
                DirectionalLight(np.array([0.0, 0.0, 1.0]), 2.5),
            )
        )
        np.testing.assert_allclose(long, bright, atol=1e-12)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("shininess", [0.5, 1.0, 300.0])
def test_degenerate_places_stay_finite_with_finite_gradients(model, shininess):
    zero, axis = [0.0, 0.0, 0.0], [0.0, 0.0, 1.0]
    far = [0.0, 0.0, 1e6]
    normals = tf.constant([[zero, axis, axis, axis, [1.0, 0.0, 0.0]]])
    positions = tf.constant([[zero, zero, axis, far, zero]])  # eye and lamp are there
    color, eye = tf.ones_like(normals), tf.constant(axis)
    lights = [
        DirectionalLight(tf.constant(zero)),
        DirectionalLight(tf.constant([0.0, 0.0, -1.0])),
        DirectionalLight(tf.constant([0.0, 1e-20, 0.0])),
        PointLight(eye, attenuation=(0.0, 0.0, 1.0)),
    ]
    with tf.GradientTape() as tape:
        inputs = [normals, positions, eye, lights[0].direction, lights[2].direction]
        tape.watch(inputs)
        lights[3] = PointLight(eye, attenuation=(0.0, 0.0, 1.0))
        value = shade(
            color,
            normals,
            lights,
            positions,
            eye,
            model=model,
            material=Material(1.0, 1.0, shininess),
            two_sided=True,
        )
    assert np.isfinite(value).all()
    for gradient in tape.gradient(value, inputs):
        assert gradient is None or np.isfinite(gradient).all()


@pytest.mark.parametrize("jit", [False, True])
def test_graph_forms_equal_eager_for_any_batch(jit):
    color, normal, position = (v.astype(np.float32) for v in surface(3, 4, 5))
    eye = RNG.normal(size=(3, 3)).astype(np.float32)
    sun = RNG.normal(size=(3, 3)).astype(np.float32)

    def run(c, n, p, e, s):
        lights = [AmbientLight(0.3), DirectionalLight(s), PointLight([0.0, 2.0, 0.0])]
        return shade(c, n, lights, p, e, model="blinn_phong", two_sided=True)

    inputs = (color, normal, position, eye, sun)
    specs = [tf.TensorSpec([None, *v.shape[1:]], tf.float32) for v in inputs]
    graph = tf.function(run, input_signature=specs, jit_compile=jit)
    for count in (1, 3):
        part = [tf.constant(value[:count]) for value in inputs]
        np.testing.assert_allclose(graph(*part), run(*part), atol=1e-5)


def test_faults_are_named():
    color, normal, position = surface(1, 2)
    eye = np.zeros(3)
    for message, call in (
        ("`model` must", lambda: shade(color, normal, [], model="gouraud")),
        ("`normal` must", lambda: shade(color, normal[..., :2], [])),
        ("`position` must", lambda: shade(color, normal, [PointLight(eye)])),
        ("`position` and `eye`", lambda: shade(color, normal, [], two_sided=True)),
        (
            "`position` and `eye`",
            lambda: shade(color, normal, [], position, model="phong"),
        ),
        ("`lights` must", lambda: shade(color, normal, [Material()])),
    ):
        with pytest.raises(ValueError, match=message):
            call()
