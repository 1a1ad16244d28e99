"""Pictures of a mesh in RenderNet's styles: normal map, contour, toon, occlusion, grey.

They are training targets, drawn from geometry alone: no material, one headlight. Every
picture is drawn `supersample` times larger and box-filtered, so edges are smooth.
"""

import math
from typing import NamedTuple

import tensorflow as tf

from tfrender import cameras, checks
from tfrender.geometry import normals
from tfrender.ops.interpolate import interpolate, interpolate_corners
from tfrender.ops.rasterize import Fragments, rasterize_mesh

STYLES = ("normal", "contour", "toon", "ambient_occlusion", "lambert", "alpha")
_BIAS = 0.1  # sine: rounding and coarse curvature must not shade flat walls
_INKED = ("contour", "toon")  # drawn with black lines
_LIGHT = (-0.35, 0.55, 0.76)  # camera space: left above the viewer's head


class Surface(NamedTuple):
    """The visible surface in camera space.

    Attributes:
        normal: [B, H, W, 3] unit normals turned to the viewer (x right, y up, z
            towards the camera), 0 where empty.
        position: [B, H, W, 3] camera-space points, 0 where empty.
        depth: [B, H, W] planar depth, 0 where empty.
        pixel_size: [B, H, W] world length of one pixel at that depth.
        mask: [B, H, W] bool.
    """

    normal: tf.Tensor
    position: tf.Tensor
    depth: tf.Tensor
    pixel_size: tf.Tensor
    mask: tf.Tensor


def render_styles(
    vertices: tf.Tensor,
    faces: tf.Tensor,
    camera: cameras.Camera,
    image_size: tuple[int, int],
    styles=STYLES,
    *,
    supersample: int = 2,
    crease_deg: float | None = 40.0,
    background: float | None = None,
) -> dict[str, tf.Tensor]:
    """Draws a mesh in several styles.

    Args:
        vertices: [B, V, 3] world coordinates.
        faces: [F, 3] or [B, F, 3] integers, -1 is padding.
        camera: Camera of batch B or 1.
        image_size: (height, width) of the pictures.
        styles: names out of `STYLES`.
        supersample: samples per pixel along each side, >= 1.
        crease_deg: edges sharper than this stay sharp, the rest is shaded smoothly;
            None shades every face flat.
        background: grey value behind the grey pictures; None draws contour and toon on
            white paper and the others on black. The normal map is always on black.

    Returns:
        Dictionary of float32 images in [0, 1]: "normal" [B, H, W, 3], all others
        [B, H, W, 1].

    Gradient: through normals, depth and barycentrics of the visible faces; contour and
    toon are thresholds and have none. Memory: about 400 bytes a sample.

    Raises:
        ValueError: for an unknown style or a wrong shape.
    """
    for style in styles:
        checks.one_of("styles", style, STYLES)
    checks.between("supersample", supersample, 1, 16)
    height, width = image_size
    large = (height * supersample, width * supersample)
    camera = _shared(camera, tf.shape(vertices)[0])
    fragments = rasterize_mesh(vertices, faces, camera, large)
    surface = visible_surface(vertices, faces, camera, fragments, crease_deg)
    alpha = tf.cast(surface.mask, tf.float32)[..., tf.newaxis]
    pictures = {}
    for style in styles:
        if style == "normal":
            picture = encode_normals(surface.normal, surface.mask)
        elif style == "alpha":
            picture = alpha
        else:
            behind = background
            if behind is None:
                behind = 1.0 if style in _INKED else 0.0
            shade = _grey(style, surface)[..., tf.newaxis]
            picture = shade * alpha + behind * (1.0 - alpha)
        if style in _INKED:  # the line runs on both sides of the silhouette
            lines = contour_lines(surface, width=supersample)
            picture *= 1.0 - tf.cast(lines, tf.float32)[..., tf.newaxis]
        pictures[style] = _shrink(picture, supersample)
    return pictures


def visible_surface(
    vertices: tf.Tensor,
    faces: tf.Tensor,
    camera: cameras.Camera,
    fragments: Fragments,
    crease_deg: float | None = 40.0,
) -> Surface:
    """Reads camera-space normals and points of the visible surface.

    Args:
        vertices: [B, V, 3] world coordinates.
        faces: [F, 3] or [B, F, 3] integers, -1 is padding.
        camera: Camera of batch B.
        fragments: of `rasterize_mesh` with the same mesh and camera.
        crease_deg: see `render_styles`; None for flat normals.

    Returns:
        Surface. Faces are two-sided: every normal is turned to the viewer.
    """
    points = cameras.transform(vertices, camera.world_to_camera)  # [B, V, 3]
    position = interpolate(points, faces, fragments)
    flat = normals.face_normals(points, faces)[:, :, tf.newaxis]  # [B, F, 1, 3]
    flat = tf.tile(flat, [1, 1, 3, 1])
    flat_pixel = interpolate_corners(flat, fragments)
    # Direction to the viewer: -point for a perspective projection, +z for an
    # orthographic one; the last row of the projection tells which.
    last = camera.projection[:, tf.newaxis, tf.newaxis, 3]  # [B, 1, 1, 4]
    viewer = position * last[..., 2:3] + last[..., 3:] * tf.constant([0.0, 0.0, 1.0])
    away = tf.reduce_sum(flat_pixel * viewer, axis=-1, keepdims=True) < 0.0
    normal = flat_pixel
    if crease_deg is not None:
        corner = normals.corner_normals(points, faces, crease_deg=crease_deg)
        normal = interpolate_corners(corner, fragments)
    normal = _unit(tf.where(away, -normal, normal))
    height = fragments.face_index.shape[1]
    clip_w = position[..., 2] * last[..., 2] + last[..., 3]
    pixel_size = 2.0 * clip_w / (height * camera.projection[:, 1, 1, None, None])
    return Surface(normal, position, fragments.depth, pixel_size, fragments.mask)


def encode_normals(normal: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Colours of a camera-space normal map: c = 0.5 n + 0.5 on black.

    Args:
        normal: [B, H, W, 3] unit, x right (red), y up (green), z to the viewer (blue).
        mask: [B, H, W] bool.

    Returns:
        [B, H, W, 3] in [0, 1], 0 outside the mask.
    """
    return tf.where(mask[..., tf.newaxis], 0.5 * normal + 0.5, 0.0)


def lambert(normal: tf.Tensor, light=_LIGHT, ambient: float = 0.15) -> tf.Tensor:
    """Diffuse grey shading: ambient + (1 - ambient) * max(0, n . l).

    Args:
        normal: [B, H, W, 3] unit, camera space.
        light: direction towards the light, camera space.
        ambient: grey of unlit surfaces, in [0, 1].

    Returns:
        [B, H, W] in [0, 1].
    """
    checks.between("ambient", ambient, 0.0, 1.0)
    light = _unit(tf.constant(light, tf.float32))
    cosine = tf.maximum(tf.reduce_sum(normal * light, axis=-1), 0.0)
    return tf.minimum(ambient + (1.0 - ambient) * cosine, 1.0)


def toon(normal: tf.Tensor, levels: int = 4, light=_LIGHT) -> tf.Tensor:
    """Lambert shading in a few flat tones.

    Args:
        normal: [B, H, W, 3] unit, camera space.
        levels: number of tones, >= 2.
        light: direction towards the light, camera space.

    Returns:
        [B, H, W] in {1/levels, 2/levels .. 1}.

    Gradient: none (a staircase).
    """
    checks.between("levels", levels, 2, 256)
    step = tf.math.floor(lambert(normal, light, 0.0) * levels)
    return (tf.minimum(step, levels - 1.0) + 1.0) / levels


def contour_lines(
    surface: Surface, width: int = 2, crease_deg: float = 30.0, jump: float = 0.02
) -> tf.Tensor:
    """Finds silhouettes, occlusion edges and creases.

    Two neighbouring pixels are parted by a line where only one is covered, where the
    nearer point lies off the other's tangent plane by more than `jump` of its depth
    (so that a surface seen at a grazing angle draws no line), or where their normals
    differ by more than the crease angle.

    Args:
        surface: Surface.
        width: width of the lines in pixels, >= 1.
        crease_deg: angle between normals that draws a line, degrees.
        jump: step in depth that draws a line, as a part of the depth.

    Returns:
        [B, H, W] bool.
    """
    checks.between("width", width, 1, 64)
    cosine = math.cos(math.radians(crease_deg))
    line = tf.zeros_like(surface.mask)
    for axis in (1, 2):
        here, there = (_slices(surface, axis, end) for end in (0, 1))
        both = here.mask & there.mask
        step = there.position - here.position
        # The smaller of the two distances: at a mere fold it is small from one side.
        off = tf.minimum(
            tf.abs(tf.reduce_sum(step * here.normal, axis=-1)),
            tf.abs(tf.reduce_sum(step * there.normal, axis=-1)),
        )
        far = off > jump * tf.minimum(tf.abs(here.depth), tf.abs(there.depth))
        fold = tf.reduce_sum(here.normal * there.normal, axis=-1) < cosine
        edge = (here.mask != there.mask) | (both & (far | fold))
        pad = [[0, 0], [0, 0], [0, 0]]
        pad[axis] = [0, 1]
        line |= tf.pad(edge, pad)
    if width == 1:
        return line
    thick = tf.nn.max_pool2d(
        tf.cast(line, tf.float32)[..., tf.newaxis], width, 1, "SAME"
    )
    return thick[..., 0] > 0.5


def ambient_occlusion(
    surface: Surface,
    radius: float = 0.2,
    directions: int = 12,
    steps: int = 6,
    strength: float = 1.6,
) -> tf.Tensor:
    """Screen-space ambient occlusion by the horizon above each point.

    In every direction on screen the visible neighbours p_k of a point p are walked;
    the sky is closed up to the largest sine of elevation n . (p_k - p) / |p_k - p|
    above the tangent plane, faded out with distance (after Bavoil, Sainz and
    Dimitrov, "Image-space horizon-based ambient occlusion", 2008). It knows only what
    the camera sees, unlike the ray-traced occlusion of RenderNet's own data.

    Args:
        surface: Surface.
        radius: reach on screen as a part of the image height; the reach in space is
            the same length at the depth of the point.
        directions: number of directions.
        steps: samples in each direction.
        strength: factor on the occlusion.

    Returns:
        [B, H, W] in [0, 1], 1 is open sky; 1 where empty.

    Memory: about 60 bytes a pixel; time grows with directions * steps.
    """
    height, width = surface.mask.shape[1], surface.mask.shape[2]
    reach = max(radius * height, 1.0)
    far = tf.maximum(surface.pixel_size * reach, 1e-12)  # [B, H, W] world units
    total = tf.zeros_like(surface.depth)
    ring = tf.cast(surface.mask, tf.float32)[..., tf.newaxis]
    packed = tf.concat([surface.position, ring], axis=-1)
    margin = int(math.ceil(reach)) + 1
    padded = tf.pad(packed, [[0, 0], [margin, margin], [margin, margin], [0, 0]])
    for direction in range(directions):
        angle = 2.0 * math.pi * (direction + 0.5) / directions
        horizon = tf.zeros_like(surface.depth)
        seen = set()
        for step in range(1, steps + 1):
            length = max(1.0, reach * (step / steps) ** 1.5)
            row = margin + round(length * math.sin(angle))
            column = margin + round(length * math.cos(angle))
            if (row, column) in seen:
                continue
            seen.add((row, column))
            other = padded[:, row : row + height, column : column + width]
            delta = other[..., :3] - surface.position
            square = tf.reduce_sum(delta**2, axis=-1)
            distance = tf.sqrt(square + 1e-20)
            sine = tf.reduce_sum(delta * surface.normal, axis=-1) / distance - _BIAS
            fade = tf.maximum(1.0 - square / far**2, 0.0)
            horizon = tf.maximum(horizon, sine * fade * other[..., 3])
        total += horizon
    open_sky = 1.0 - strength * total / directions
    return tf.where(surface.mask, tf.clip_by_value(open_sky, 0.0, 1.0), 1.0)


def _grey(style, surface):
    """Draws one of the shaded grey styles, [B, H, W]."""
    if style == "contour":
        return tf.ones_like(surface.depth)
    if style == "toon":
        return toon(surface.normal)
    if style == "lambert":
        return lambert(surface.normal)
    return ambient_occlusion(surface)


def _slices(surface, axis, end):
    """All pixels but the last (end 0) or the first (end 1) of an axis."""
    cut = [slice(None)] * 3
    cut[axis] = slice(1, None) if end else slice(None, -1)
    return Surface(*(value[tuple(cut)] for value in surface))


def _shared(camera, batch):
    """Repeats a camera of batch 1 over the batch."""
    shape = tf.stack([batch, 4, 4])
    return cameras.Camera(*(tf.broadcast_to(matrix, shape) for matrix in camera))


def _shrink(picture, factor):
    """Box filter by a whole factor."""
    if factor == 1:
        return picture
    return tf.nn.avg_pool2d(picture, factor, factor, "VALID")


def _unit(vector):
    """Normalises the last axis; zero where the length is."""
    square = tf.reduce_sum(vector**2, axis=-1, keepdims=True)
    long = square > 1e-12
    return tf.where(long, vector / tf.sqrt(tf.where(long, square, 1.0)), 0.0)
