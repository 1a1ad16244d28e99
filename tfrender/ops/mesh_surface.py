"""What a camera sees of a surface: which side, which normal, which colour.

Every face has two sides. The side of its counter-clockwise corners is the front, and
the plane of a face parts space in two halves: the camera sees the front if it stands in
the half towards which the normal points, whether its picture is mirrored or not.
"""

from typing import NamedTuple

import tensorflow as tf

from tfrender import cameras, checks
from tfrender.ops.interpolate import interpolate, interpolate_corners
from tfrender.ops.mipmaps import texture_footprint
from tfrender.ops.rasterize import Fragments
from tfrender.ops.rasterize_corners import gather_rows
from tfrender.ops.sample_texture import sample_texture
from tfrender.ops.texture_cubes import sample_texture_cubes
from tfrender.ops.triangle_normals import guarded_unit, triangle_cross

FILTERINGS = ("bilinear", "nearest", "mipmap")
# Distance, world units, from which the rays of an orthographic camera are taken to
# come: far enough to be parallel to float32's last digits for objects of unit size.
_FAR_AWAY = 1e6


class Appearance(NamedTuple):
    """Colours of a surface, from one source; all None is white.

    Attributes:
        vertex_colors: [B, V, C], [V, C], or [B, F, 3, C] per corner.
        uv: [B, V, 2], [V, 2], or [B, F, 3, 2] per corner; with `texture`.
        texture: [B, h, w, C] or [1, h, w, C], row 0 at the top.
        texture_cubes: [B, F, T, T, T, C] or [F, T, T, T, C].
    """

    vertex_colors: tf.Tensor | None = None
    uv: tf.Tensor | None = None
    texture: tf.Tensor | None = None
    texture_cubes: tf.Tensor | None = None

    @property
    def channels(self) -> int | None:
        """Number of colour channels, 3 for white."""
        for source in (self.vertex_colors, self.texture, self.texture_cubes):
            if source is not None:
                return source.shape[-1]
        return 3


def eye_position(camera: cameras.Camera) -> tf.Tensor:
    """World position of the camera.

    Args:
        camera: Camera of batch B; an orthographic one is taken to stand 1e6 world
            units behind its place, so that its rays are parallel for what is much
            smaller.

    Returns:
        [B, 3].

    Gradient: exact.
    """
    view = camera.world_to_camera
    way = view[:, :3, 3:]  # [B, 3, 1]
    eye = -tf.reduce_sum(view[:, :3, :3] * way, axis=1)
    # The last row of the projection is (0, 0, -1, 0), or (0, 0, 0, 1) if orthographic.
    return eye + view[:, 2, :3] * camera.projection[:, 3, 3:] * _FAR_AWAY


def shows_front(camera: cameras.Camera, corners: tf.Tensor) -> tf.Tensor:
    """Tells which faces the camera sees from the front.

    Args:
        camera: Camera of batch B or 1.
        corners: [B, F, 3, 3] world positions of the corners of each face.

    Returns:
        [B, F] bool; False for faces seen edge-on or without area.

    Gradient: none.
    """
    way = eye_position(camera)[:, tf.newaxis] - corners[:, :, 0]
    normal = triangle_cross(tf.stop_gradient(corners))
    return tf.reduce_sum(normal * tf.stop_gradient(way), axis=-1) > 0.0


def is_orthographic(camera: cameras.Camera) -> tf.Tensor:
    """Tells which cameras have parallel rays.

    Args:
        camera: Camera of batch B.

    Returns:
        [B] bool.

    Gradient: none.
    """
    return camera.projection[:, 3, 3] > 0.5


def inverse_linear(depth: tf.Tensor, near: float, far: float) -> tf.Tensor:
    """Bends depths so that their inverse is linear on the screen under parallel rays.

    1 / d = a - b z, with d = z at `near` and at `far`. `neural_rasterize` takes inverse
    depths to be linear, which is right for perspective pictures alone.

    Args:
        depth: [...] z.
        near: above 0.
        far: above `near`.

    Returns:
        [...] d, growing with z up to beyond `far` and negative after that.

    Gradient: exact; finite everywhere.
    """
    slope = (1.0 / near - 1.0 / far) / (far - near)
    inverse = 1.0 / near - slope * (depth - near)
    return 1.0 / tf.where(tf.abs(inverse) < 1e-12, -1e-12, inverse)


def from_inverse_linear(bent: tf.Tensor, near: float, far: float) -> tf.Tensor:
    """Undoes `inverse_linear`.

    Args:
        bent: [...] d, not 0.
        near: as there.
        far: as there.

    Returns:
        [...] z.

    Gradient: exact.
    """
    slope = (1.0 / near - 1.0 / far) / (far - near)
    return near + (1.0 / near - 1.0 / bent) / slope


def counterclockwise(face_vertices: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Reverses the faces that run clockwise in the picture.

    Args:
        face_vertices: [B, F, 3, C], x and y first (x right, y up).

    Returns:
        face_vertices: [B, F, 3, C], corners in the order 2, 1, 0 where reversed.
        reversed: [B, F] bool.

    Gradient: exact; the choice is a constant.
    """
    x, y = face_vertices[..., 0], face_vertices[..., 1]
    ahead = (y[..., 1] - y[..., 0]) * (x[..., 2] - x[..., 0])
    clockwise = (y[..., 2] - y[..., 0]) * (x[..., 1] - x[..., 0]) < ahead
    turned = tf.reverse(face_vertices, [2])
    return tf.where(_columns(clockwise, 2), turned, face_vertices), clockwise


def face_values(values: tf.Tensor, face_index: tf.Tensor) -> tf.Tensor:
    """Reads one value of the visible face at every pixel.

    Args:
        values: [B, F, C] float; C static.
        face_index: [B, H, W] int32, -1 where empty.

    Returns:
        [B, H, W, C], 0 where empty.

    Gradient: exact. Memory: C floats a pixel.
    """
    batch, count = tf.shape(values)[0], tf.shape(values)[1]
    shift = tf.range(batch)[:, tf.newaxis, tf.newaxis] * count
    index = tf.where(face_index < 0, -1, face_index + shift)
    return gather_rows(tf.reshape(values, [-1, values.shape[-1]]), index)


def surface_normals(
    face_normals: tf.Tensor,
    front: tf.Tensor,
    faces: tf.Tensor,
    fragments: Fragments,
    normals: tf.Tensor | None = None,
) -> tf.Tensor:
    """Normal of the visible side of the surface at every pixel.

    Args:
        face_normals: [B, F, 3] outward normals.
        front: [B, F] bool, result of `shows_front`.
        faces: [F, 3] or [B, F, 3].
        fragments: Fragments.
        normals: outward normals to interpolate, [B, V, 3], or [B, F, 3, 3] per corner;
            None takes `face_normals` as they are.

    Returns:
        [B, H, W, 3] on the side that the camera sees, 0 where empty; of length 1 where
        `normals` are given, else as long as `face_normals`.

    Gradient: exact in the normals and, with `normals`, in the barycentrics; the side is
    a constant. Memory: 9 floats a pixel.
    """
    side = tf.where(front, 1.0, -1.0)[..., tf.newaxis]
    if normals is None:
        return face_values(face_normals * side, fragments.face_index)
    smooth = _attribute(normals, faces, fragments)
    smooth = guarded_unit(smooth, eps=1e-12)
    return smooth * face_values(side, fragments.face_index)


def surface_color(
    appearance: Appearance,
    faces: tf.Tensor,
    fragments: Fragments,
    *,
    filtering: str = "bilinear",
    cube_eps: float = 0.0,
) -> tf.Tensor:
    """Colour of the surface at every pixel, before any light.

    Args:
        appearance: Appearance.
        faces: [F, 3] or [B, F, 3].
        fragments: Fragments.
        filtering: how a texture is read, "bilinear", "nearest" or "mipmap" (see
            `sample_texture`; "mipmap" needs a texture of static size).
        cube_eps: `eps` of `sample_texture_cubes`.

    Returns:
        [B, H, W, C], not to be read where empty.

    Gradient: exact in the appearance and the barycentrics. Memory: 3 C floats a pixel
    for vertex colours, 4 C for a texture (8 C for "mipmap"), 8 C for cubes.

    Raises:
        ValueError: for several sources of colour, or half of one.
    """
    checks.one_of("filtering", filtering, FILTERINGS)
    colors, uv, texture, cubes = appearance
    if (uv is None) != (texture is None):
        missing = "uv" if uv is None else "texture"
        raise ValueError(
            f"`uv` and `texture` must be given together; got no {missing}."
        )
    given = [
        name
        for name in ("vertex_colors", "texture", "texture_cubes")
        if getattr(appearance, name) is not None
    ]
    if len(given) > 1:
        raise ValueError(
            "one of `vertex_colors`, `texture` and `texture_cubes` may be given; "
            f"got {given}."
        )
    if colors is not None:
        return _attribute(colors, faces, fragments)
    if cubes is not None:
        return sample_texture_cubes(
            cubes,
            fragments.face_index,
            fragments.barycentric,
            eps=cube_eps,
            weights_gradient=True,
        )
    if texture is None:
        return tf.ones_like(fragments.barycentric)
    uv = _attribute(uv, faces, fragments)
    footprint = None
    if filtering == "mipmap":
        size = texture.shape[1:3]
        footprint = texture_footprint(uv, fragments.face_index, size)
    return sample_texture(texture, uv, filtering=filtering, footprint=footprint)


def _attribute(values, faces, fragments):
    """Interpolates values of vertices, or of corners where they have four axes."""
    if values.shape.rank == 4:
        return interpolate_corners(tf.cast(values, tf.float32), fragments)
    return interpolate(values, faces, fragments)


def _columns(values, count):
    """Adds axes at the end."""
    for _ in range(count):
        values = values[..., tf.newaxis]
    return values
