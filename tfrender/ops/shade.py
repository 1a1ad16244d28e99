"""Lights and local shading models: Lambert, Phong, Blinn-Phong.

Letters used below: n normal, l direction towards a light, v direction towards the eye,
all unit; c the colour of the surface, I the colour of a light (its brightness
included), k_d, k_s and s the material. The colour seen is

    c (sum of ambient I + k_d sum I max(0, n.l)) + k_s sum I spec^s

with spec = max(0, r.v), r = 2 (n.l) n - l, for Phong (1975), and max(0, n.h), h the
unit vector of l + v, for Blinn (1977). Nothing is clamped above, so light of several
lamps adds up. Shapes: everything that belongs to the surface is [..., C], for pixels
[B, H, W, C], for faces [B, F, C], for vertices [B, V, C]; everything that belongs to a
light, a material or the eye is a number, [C], or [B, C] with one value for each first
index of the surface.
"""

from typing import NamedTuple

import tensorflow as tf

from tfrender import checks
from tfrender.ops.floating import as_float
from tfrender.ops.spherical_harmonics import spherical_harmonic_light
from tfrender.ops.triangle_normals import guarded_unit

MODELS = ("lambert", "phong", "blinn_phong")
# Below this the power of a cosine is taken as 0: its slope is infinite for s < 1.
_DARK = 1e-6


class AmbientLight(NamedTuple):
    """The same light everywhere.

    Attributes:
        color: number, [C] or [B, C].
    """

    color: tf.Tensor | float = 1.0


class DirectionalLight(NamedTuple):
    """Light from infinitely far away.

    Attributes:
        direction: [3] or [B, 3] from the surface towards the light, world axes. Its
            length multiplies the brightness (Soft Rasterizer and Neural Mesh Renderer
            do not normalise it); give a unit vector otherwise.
        color: number, [C] or [B, C].
    """

    direction: tf.Tensor
    color: tf.Tensor | float = 1.0


class PointLight(NamedTuple):
    """Light from one point; needs the `position` of the surface.

    Attributes:
        position: [3] or [B, 3], world units.
        color: number, [C] or [B, C].
        attenuation: (a, b, c), the light is divided by a + b d + c d^2 at distance d,
            world units; (1, 0, 0) never fades, (0, 0, 1) is physical.
    """

    position: tf.Tensor
    color: tf.Tensor | float = 1.0
    attenuation: tuple[float, float, float] = (1.0, 0.0, 0.0)


class SphericalHarmonicLight(NamedTuple):
    """Smooth light from all around, without highlights.

    Attributes:
        coefficients: [9, C] or [B, 9, C], of what a matt white surface reflects
            (`diffuse_coefficients` of the incoming radiance).
    """

    coefficients: tf.Tensor


class Material(NamedTuple):
    """How a surface answers to light.

    Attributes:
        diffuse: k_d, number, [C] or [B, C].
        specular: k_s, number, [C] or [B, C]; unused by "lambert".
        shininess: s > 0, number or [B, 1].
    """

    diffuse: tf.Tensor | float = 1.0
    specular: tf.Tensor | float = 0.5
    shininess: tf.Tensor | float = 32.0


def shade(
    color: tf.Tensor,
    normal: tf.Tensor,
    lights,
    position: tf.Tensor | None = None,
    eye: tf.Tensor | None = None,
    *,
    model: str = "lambert",
    material: Material | None = None,
    two_sided: bool = False,
) -> tf.Tensor:
    """Lights a surface.

    Args:
        color: [..., C] colour of the surface, C = 1 or 3 or as the lights.
        normal: [..., 3] unit normals in world axes, zero where there is no surface
            (lit by ambient light only). Not normalised here.
        lights: list of AmbientLight, DirectionalLight, PointLight and
            SphericalHarmonicLight.
        position: [..., 3] world positions; for point lights, "phong", "blinn_phong"
            and `two_sided`.
        eye: [3] or [B, 3] world position of the camera; as `position`.
        model: "lambert", "phong" or "blinn_phong".
        material: Material, None for the defaults.
        two_sided: True turns normals that look away from the eye around.

    Returns:
        [..., C], at least 0 for lights of positive colour, not clamped above.

    Gradient: exact in all tensors, with the comparisons n.l > 0, n.v > 0 constant;
    finite where light, eye and surface coincide. Memory: about 12 floats a point and
    light.

    Raises:
        ValueError: for wrong shapes, an unknown model or light, or where `position` or
            `eye` is needed and missing.
    """
    checks.one_of("model", model, MODELS)
    color = as_float(color)
    normal = tf.cast(normal, color.dtype)
    checks.dims("normal", normal, 3)
    material = Material() if material is None else material
    glossy = model != "lambert"
    view = None
    if position is not None:
        position = tf.cast(position, color.dtype)
        checks.dims("position", position, 3)
    if glossy or two_sided:
        if position is None or eye is None:
            raise ValueError(
                "`position` and `eye` must be given for highlights and two-sided "
                f"surfaces; got model {model!r}, two_sided {two_sided}."
            )
        view = _unit(_spread(eye, position) - position)
    if two_sided:
        normal = tf.where(_dot(normal, view) < 0.0, -normal, normal)

    ambient, diffuse, specular = 0.0, 0.0, 0.0
    for light in lights:
        if isinstance(light, AmbientLight):
            ambient += _spread(light.color, normal)
        elif isinstance(light, SphericalHarmonicLight):
            diffuse += spherical_harmonic_light(light.coefficients, normal)
        else:
            toward, brightness = _incoming(light, normal, position)
            cosine = _dot(normal, toward)
            diffuse += brightness * tf.maximum(cosine, 0.0)
            if glossy:
                highlight = _highlight(normal, toward, view, material.shininess, model)
                specular += brightness * highlight
    lit = color * (ambient + _spread(material.diffuse, normal) * diffuse)
    return lit + _spread(material.specular, normal) * specular


def _incoming(light, normal, position):
    """Unit direction towards a light, and its colour, at every point."""
    if isinstance(light, DirectionalLight):
        direction = _spread(light.direction, normal)
        color = _spread(light.color, normal)
        length = tf.sqrt(tf.maximum(_dot(direction, direction), 1e-30))
        return direction / length, color * length
    if not isinstance(light, PointLight):
        raise ValueError(
            "`lights` must hold AmbientLight, DirectionalLight, PointLight or "
            f"SphericalHarmonicLight; got {type(light).__name__}."
        )
    if position is None:
        raise ValueError("`position` must be given for point lights; got None.")
    way = _spread(light.position, position) - position
    square = tf.maximum(_dot(way, way), 1e-12)
    constant, linear, quadratic = light.attenuation
    fading = constant + linear * tf.sqrt(square) + quadratic * square
    return _unit(way), _spread(light.color, normal) / fading


def _highlight(normal, toward, view, shininess, model):
    """spec^s of the module's note, [..., 1]; 0 where light or eye are behind."""
    cosine, facing = _dot(normal, toward), _dot(normal, view)
    if model == "phong":
        spec = 2.0 * cosine * facing - _dot(toward, view)  # r.v
    else:
        spec = _dot(normal, _unit(toward + view))
    lit = tf.logical_and(tf.logical_and(cosine > 0.0, facing > 0.0), spec > _DARK)
    power = tf.pow(tf.where(lit, spec, 1.0), _spread(shininess, normal))
    return tf.where(lit, power, 0.0)


def _dot(a, b):
    return tf.reduce_sum(a * b, axis=-1, keepdims=True)


def _unit(vector):
    return guarded_unit(vector, eps=1e-6)


def _spread(value, surface):
    """Lets [B, C] meet [B, ..., C]: new axes go before the last."""
    value = tf.cast(value, surface.dtype)
    if value.shape.rank < 2:
        return value
    missing = surface.shape.rank - value.shape.rank
    shape = tf.shape(value)
    return tf.reshape(value, tf.concat([shape[:-1], [1] * missing, shape[-1:]], 0))
