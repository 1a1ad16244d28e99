"""Light from all directions as nine real spherical harmonics (bands 0 to 2).

Ramamoorthi and Hanrahan, "An efficient representation for irradiance environment
maps", SIGGRAPH 2001. Letters used below: (x, y, z) is a unit direction in world axes;
Y_lm is number l^2 + l + m; signs are those of graphics, without the Condon-Shortley
phase: Y_1 = sqrt(3 / 4 pi) (y, z, x).
"""

import math

import tensorflow as tf

from tfrender import checks
from tfrender.ops.floating import as_float

_BAND = (0, 1, 1, 1, 2, 2, 2, 2, 2)
# Convolution with the clamped cosine, equation 8 of the paper, divided by pi.
_COSINE = (1.0, 2.0 / 3.0, 1.0 / 4.0)


def spherical_harmonic_basis(direction: tf.Tensor) -> tf.Tensor:
    """Values of the nine basis functions.

    Args:
        direction: [..., 3] unit vectors.

    Returns:
        [..., 9], orthonormal over the unit sphere.

    Gradient: exact (of the polynomials, off the sphere too).
    """
    direction = as_float(direction)
    checks.dims("direction", direction, 3)
    x, y, z = tf.unstack(direction, axis=-1)
    flat = math.sqrt(1.0 / (4.0 * math.pi))
    linear = math.sqrt(3.0 / (4.0 * math.pi))
    square = math.sqrt(15.0 / (4.0 * math.pi))
    polar = math.sqrt(5.0 / (16.0 * math.pi))
    return tf.stack(
        [
            flat * tf.ones_like(x),
            linear * y,
            linear * z,
            linear * x,
            square * x * y,
            square * y * z,
            polar * (3.0 * z * z - 1.0),
            square * x * z,
            0.5 * square * (x * x - y * y),
        ],
        axis=-1,
    )


def spherical_harmonic_light(
    coefficients: tf.Tensor, direction: tf.Tensor
) -> tf.Tensor:
    """Evaluates a light at directions.

    Args:
        coefficients: [9, C], or [B, 9, C] with one light for each first index of
            `direction`.
        direction: [..., 3] unit vectors, [B, ..., 3] for batched coefficients.

    Returns:
        [..., C]; may be negative, as bands 0 to 2 are an approximation.

    Gradient: exact in both. Memory: 9 * C floats a direction.

    Raises:
        ValueError: for wrong shapes.
    """
    basis = spherical_harmonic_basis(direction)
    coefficients = tf.cast(coefficients, basis.dtype)
    checks.dims("coefficients", coefficients, 9, None)
    if coefficients.shape.rank == 3:
        shape = tf.shape(coefficients)
        between = [1] * (basis.shape.rank - 2)
        coefficients = tf.reshape(
            coefficients, tf.concat([shape[:1], between, shape[1:]], 0)
        )
    elif coefficients.shape.rank != 2:
        raise ValueError(
            f"`coefficients` must be [9, C] or [B, 9, C]; got {coefficients.shape}."
        )
    return tf.reduce_sum(basis[..., tf.newaxis] * coefficients, axis=-2)


def diffuse_coefficients(radiance: tf.Tensor) -> tf.Tensor:
    """Turns the light that arrives into the light that a matt white surface reflects.

    Each band l is multiplied by A_l / pi = 1, 2/3, 1/4, with the A_l of the clamped
    cosine; under a constant radiance 1 a white surface then has the colour 1.

    Args:
        radiance: [..., 9, C] coefficients of the incoming radiance.

    Returns:
        [..., 9, C] coefficients for `spherical_harmonic_light` at the normal.

    Gradient: exact.
    """
    radiance = as_float(radiance)
    checks.dims("radiance", radiance, 9, None)
    factor = tf.constant([_COSINE[band] for band in _BAND], radiance.dtype)
    return radiance * factor[:, tf.newaxis]
