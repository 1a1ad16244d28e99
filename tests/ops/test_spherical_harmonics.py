import numpy as np
import pytest
import tensorflow as tf

from tfrender.ops.spherical_harmonics import (
    diffuse_coefficients,
    spherical_harmonic_basis,
    spherical_harmonic_light,
)

RNG = None  # a generator, fresh for each test


@pytest.fixture(autouse=True)
def fresh_generator():
    global RNG
    RNG = np.random.default_rng(4)


def directions(*shape):
    vector = RNG.normal(size=(*shape, 3))
    return vector / np.linalg.norm(vector, axis=-1, keepdims=True)


def quadrature():
    """Directions and weights that integrate polynomials over the sphere exactly."""
    z, weight = np.polynomial.legendre.leggauss(40)
    phi = 2 * np.pi * (np.arange(80) + 0.5) / 80
    ring = np.sqrt(1 - z**2)[:, None]
    x, y = ring * np.cos(phi), ring * np.sin(phi)
    points = np.stack([x, y, np.broadcast_to(z[:, None], x.shape)], -1)
    return points.reshape(-1, 3), np.repeat(weight * 2 * np.pi / 80, 80)


def test_the_basis_is_orthonormal():
    points, weight = quadrature()
    basis = spherical_harmonic_basis(points).numpy()
    np.testing.assert_allclose(
        basis.T @ (basis * weight[:, None]), np.eye(9), atol=1e-12
    )


def test_the_basis_equals_tensorflow_graphics_up_to_its_phase():
    module = pytest.importorskip("tensorflow_graphics.math.spherical_harmonics")
    points = directions(6)
    theta = np.arccos(points[:, 2:])
    phi = np.arctan2(points[:, 1:2], points[:, :1]) % (2 * np.pi)
    degree = np.array([0, 1, 1, 1, 2, 2, 2, 2, 2])
    order = np.array([0, -1, 0, 1, -2, -1, 0, 1, 2])
    want = module.evaluate_spherical_harmonics(
        np.tile(degree, (6, 1)), np.tile(order, (6, 1)), theta, phi
    ).numpy()
    phase = np.where(order % 2, -1.0, 1.0)  # theirs is Condon and Shortley's
    got = spherical_harmonic_basis(points)
    np.testing.assert_allclose(got, want * phase, atol=1e-6)


def test_diffuse_light_is_the_integral_over_the_half_sphere():
    points, weight = quadrature()
    radiance = RNG.normal(size=(9, 3))
    incoming = spherical_harmonic_basis(points).numpy() @ radiance
    normals = directions(5)
    cosine = np.maximum(normals @ points.T, 0.0)
    want = (cosine * weight) @ incoming / np.pi
    got = spherical_harmonic_light(diffuse_coefficients(radiance), normals)
    # The clamped cosine has a kink, so the quadrature is good to 1e-3.
    np.testing.assert_allclose(got, want, atol=2e-3)


def test_constant_radiance_one_shades_white():
    radiance = np.zeros((9, 1))
    radiance[0] = np.sqrt(4 * np.pi)
    got = spherical_harmonic_light(diffuse_coefficients(radiance), directions(4, 2))
    np.testing.assert_allclose(got, np.ones((4, 2, 1)))


def test_batched_coefficients_light_their_own_items():
    coefficients, normals = RNG.normal(size=(3, 9, 3)), directions(3, 2, 4)
    got = spherical_harmonic_light(coefficients, normals)
    for b in range(3):
        np.testing.assert_allclose(
            got[b], spherical_harmonic_light(coefficients[b], normals[b])
        )


def test_gradients_equal_finite_differences_and_it_compiles():
    inputs = [RNG.normal(size=(2, 9, 2)), directions(2, 3)]
    exact, numeric = tf.test.compute_gradient(spherical_harmonic_light, inputs)
    for a, b in zip(exact, numeric, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    compiled = tf.function(spherical_harmonic_light, jit_compile=True)
    np.testing.assert_allclose(compiled(*inputs), spherical_harmonic_light(*inputs))


def test_faults_are_named():
    for message, call in (
        ("direction", lambda: spherical_harmonic_basis(np.ones((2, 2)))),
        (
            "coefficients",
            lambda: spherical_harmonic_light(np.ones((4, 3)), directions(2)),
        ),
        (
            "coefficients",
            lambda: spherical_harmonic_light(np.ones((1, 1, 9, 3)), directions(2)),
        ),
        ("radiance", lambda: diffuse_coefficients(np.ones((4, 3)))),
    ):
        with pytest.raises(ValueError, match=f"`{message}` must"):
            call()
