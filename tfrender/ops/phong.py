"""Shading of a normal map with one directional light (RenderNet's Phong model).

Nguyen-Phuoc et al., NeurIPS 2018, section 3.3. A normal map holds
c = (n + 1) / 2 in camera space: red right, green up, blue towards the camera.
Despite its name the model has an ambient and a diffuse term only.
"""

import math

import tensorflow as tf

from tfrender import checks

CONVENTIONS = ("y_up", "z_view")
BACKGROUNDS = ("black", "white", "white_distance")
# A map of mid-grey has no direction; the floor keeps its value and gradient finite.
_SHORTEST = 1e-8


def light_direction(azimuth_deg, polar_deg, convention="y_up"):
    """Unit vector towards a light, in camera space.

    Args:
        azimuth_deg: [...] degrees.
        polar_deg: [...] degrees.
        convention: "y_up" takes the polar angle from +Y, as the demo of the original
            does: (-sin t cos p, cos t, -sin t sin p), a headlight at polar 90,
            azimuth 270. "z_view" takes it from the view axis, as its inverse renderer
            does: (sin t cos p, sin t sin p, cos t).

    Returns:
        [..., 3] unit vectors (right, up, towards the camera).
    """
    checks.one_of("convention", convention, CONVENTIONS)
    phi = tf.convert_to_tensor(azimuth_deg) * (math.pi / 180.0)
    theta = tf.convert_to_tensor(polar_deg) * (math.pi / 180.0)
    ring_cos, ring_sin = tf.sin(theta) * tf.cos(phi), tf.sin(theta) * tf.sin(phi)
    if convention == "y_up":
        return tf.stack([-ring_cos, tf.cos(theta), -ring_sin], axis=-1)
    return tf.stack([ring_cos, ring_sin, tf.cos(theta)], axis=-1)


def foreground_mask(normal_map, background="black", offset=80.0):
    """Soft mask of the pixels that show the object.

    Args:
        normal_map: [..., 3] in [0, 1].
        background: "black": sigma(255 |c| - offset). "white": sigma(255 (sqrt 3 -
            |c|) - offset). "white_distance": sigma(255 |1 - c| - offset).
        offset: brightness of the half-way point, out of 255. The original uses 150
            for its demo (black) and 80 everywhere else.

    Returns:
        [..., 1] mask in [0, 1].

    Gradient: exact; zero at a pixel equal to the background colour.
    """
    checks.one_of("background", background, BACKGROUNDS)
    if background == "black":
        distance = _length(normal_map)
    elif background == "white":
        distance = math.sqrt(3.0) - _length(normal_map)
    else:
        distance = _length(1.0 - normal_map)
    return tf.sigmoid(255.0 * distance - offset)


def phong_shading(normal_map, light, color=1.0, ambient=0.0, diffuse=1.0):
    """Lambert shading of a normal map, before any mask.

    Args:
        normal_map: [B, H, W, 3] in [0, 1].
        light: [B, 3] direction towards the light; any length but zero.
        color: [B, 3] or a number, colour of the light.
        ambient: ambient term in [0, 1].
        diffuse: factor k_d of the diffuse term, at least 0.

    Returns:
        [B, H, W, 3] clip(ambient + clip(k_d max(0, n.l) color)), in [0, 1].

    Gradient: exact in `normal_map`, `light` and `color`; zero where clipped.
    """
    checks.dims("normal_map", normal_map, None, None, None, 3)
    checks.dims("light", light, None, 3)
    centred = normal_map - 0.5
    normal = centred / _length(centred)
    light = light / _length(light)
    cosine = tf.reduce_sum(
        normal * light[:, tf.newaxis, tf.newaxis], axis=-1, keepdims=True
    )
    color = tf.convert_to_tensor(color, normal_map.dtype)
    if color.shape.rank == 2:
        color = color[:, tf.newaxis, tf.newaxis]
    lit = tf.clip_by_value(diffuse * tf.maximum(cosine, 0.0) * color, 0.0, 1.0)
    lit = tf.broadcast_to(lit, tf.shape(normal_map))
    return tf.clip_by_value(ambient + lit, 0.0, 1.0)


def composite_on_white(shading, mask):
    """Lays a shaded image over white.

    Args:
        shading: [..., C] in [0, 1].
        mask: [..., 1] in [0, 1].

    Returns:
        [..., C] clip(mask shading + 1 - mask).
    """
    return tf.clip_by_value(mask * shading + (1.0 - mask), 0.0, 1.0)


def _length(vector):
    """Length of the last axis [..., 1], floored so that its gradient is finite."""
    square = tf.reduce_sum(vector * vector, axis=-1, keepdims=True)
    return tf.sqrt(tf.maximum(square, _SHORTEST**2))
