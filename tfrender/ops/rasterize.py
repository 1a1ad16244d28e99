"""Hard rasterisation: which face every pixel sees, where on it, and how far away.

Letters used below: a vertex in clip space is (x, y, z, w); in homogeneous pixel
coordinates it is (X, Y, w), its pixel is (X / w, Y / w) with centres on the integers.
The edge function E_i of a face is the determinant of the pixel's ray and the two other
corners; E_i / (E_0 + E_1 + E_2) is the perspective-correct barycentric of corner i,
with no division by w anywhere (Olano and Greer, "Triangle scan conversion using 2D
homogeneous coordinates", 1997). So a face that crosses the near plane, or even the
plane of the camera, needs no cutting: a pixel of it is kept where z + w >= 0 there.
"""

from typing import NamedTuple

import tensorflow as tf

from tfrender import cameras, checks
from tfrender.ops.rasterize_corners import batched_faces, face_corners, gather_rows
from tfrender.ops.rasterize_visibility import visible_faces


class Fragments(NamedTuple):
    """What every pixel sees.

    Attributes:
        face_index: [B, H, W] int32, index into the faces of the same batch item, -1
            where the pixel is empty.
        barycentric: [B, H, W, 3] float32, perspective-correct, sums to 1, 0 where
            empty.
        depth: [B, H, W] float32, planar depth in front of the camera, 0 where empty.
        mask: [B, H, W] bool, True where a face is seen.
    """

    face_index: tf.Tensor
    barycentric: tf.Tensor
    depth: tf.Tensor
    mask: tf.Tensor


def rasterize(
    clip_vertices: tf.Tensor,
    faces: tf.Tensor,
    image_size: tuple[int, int],
    *,
    vertex_depth: tf.Tensor | None = None,
    cull: str = "none",
    max_lanes: int = 1 << 22,
    capacity: int | None = None,
) -> Fragments:
    """Finds the nearest face at every pixel centre.

    NDC is x right, y up, near plane z = -w; row 0 is the top row and pixel (i, j) has
    its centre at (j + 0.5, i + 0.5). A pixel whose centre lies on an edge belongs to
    both faces; equal depth goes to the smaller face index. Faces that cross the near
    plane are cut exactly; the far plane cuts nothing. Left out are padding, faces
    wholly nearer than the near plane or outside the image, culled faces, faces with
    a NaN or infinity, and faces thinner on screen than the rounding of float32 pixel
    coordinates (about 1e-7 of the image size). Nothing else is ever left out.

    Args:
        clip_vertices: [B, V, 4] float32 clip coordinates; w must be the view depth for
            a perspective projection and 1 for an orthographic one.
        faces: [F, 3] or [B, F, 3] integers, counter-clockwise outside; a face with any
            index below 0 is padding.
        image_size: (height, width) in pixels.
        vertex_depth: [B, V] planar depth of each vertex (`cameras.view_depth`), which
            is interpolated into `depth`. None takes clip w, right for a perspective
            projection only: under an orthographic one it reads 1 everywhere. Which
            face is seen does not depend on it.
        cull: "none", "back" (drop clockwise faces on screen) or "front".
        max_lanes: pixels tested in one pass; more work is done in several exact
            passes. Bounds memory.
        capacity: None for the dynamic form; a number of 4x4 windows for the static
            form, which compiles under `jit_compile=True` (B, V and F must then be
            static). More windows than `capacity` take further passes: nothing is lost.

    Returns:
        Fragments.

    Gradient: barycentric and depth are recomputed from the visible face and
    differentiable in `clip_vertices` and `vertex_depth`, exactly; which face is
    visible is a constant. Memory: about 50 bytes a lane of one pass (16 * capacity
    lanes in the static form), 130 bytes a face, 24 bytes a pixel and pass, and
    160 bytes a pixel for the recomputation.

    Raises:
        ValueError: for wrong shapes, sizes below 1 or an unknown `cull`.
    """
    checks.rank("clip_vertices", clip_vertices, 3)
    checks.dims("clip_vertices", clip_vertices, None, 4)
    checks.dims("faces", faces, None, 3)
    checks.one_of("cull", cull, ("none", "back", "front"))
    height, width = _checked_size(image_size)
    checks.between("max_lanes", max_lanes, 16, 1 << 30)
    if capacity is not None:
        checks.between("capacity", capacity, 1, 1 << 26)
    clip = tf.cast(clip_vertices, tf.float32)
    depth = clip[..., 3] if vertex_depth is None else tf.cast(vertex_depth, tf.float32)
    faces = batched_faces(tf.convert_to_tensor(faces), tf.shape(clip)[0])

    index = visible_faces(
        tf.stop_gradient(face_corners(clip, faces)),
        tf.reduce_all(faces >= 0, axis=-1),
        (height, width),
        cull=cull,
        max_windows=max_lanes // 16,
        capacity=capacity,
    )  # [B, H, W]
    columns = tf.stack([clip[..., 0], clip[..., 1], clip[..., 3], depth], axis=-1)
    barycentric, pixel_depth = _attributes(index, face_corners(columns, faces))
    return Fragments(index, barycentric, pixel_depth, index >= 0)


def rasterize_mesh(
    vertices: tf.Tensor,
    faces: tf.Tensor,
    camera: cameras.Camera,
    image_size: tuple[int, int],
    **settings,
) -> Fragments:
    """Projects a mesh and rasterises it, with depth right for every projection.

    Args:
        vertices: [B, V, 3] world coordinates.
        faces: [F, 3] or [B, F, 3] integers, -1 is padding.
        camera: Camera of batch B (or 1, shared).
        image_size: (height, width) in pixels.
        **settings: `cull`, `max_lanes` and `capacity` of `rasterize`.

    Returns:
        Fragments.

    Gradient: as `rasterize`, in the vertices and the camera.
    """
    return rasterize(
        cameras.project_to_clip(camera, vertices),
        faces,
        image_size,
        vertex_depth=cameras.view_depth(camera, vertices),
        **settings,
    )


def _checked_size(image_size) -> tuple[int, int]:
    """Returns (height, width) as ints, or raises a ValueError."""
    if len(image_size) != 2 or min(image_size) < 1:
        raise ValueError(
            f"`image_size` must be (height, width), each >= 1; got {image_size}."
        )
    return int(image_size[0]), int(image_size[1])


def _attributes(index, corners):
    """Recomputes barycentric coordinates and depth of the visible faces.

    Args:
        index: [B, H, W] int32 visible faces.
        corners: [B, F, 3, 4] clip x, y, w and depth of the corners of each face.

    Returns:
        barycentric [B, H, W, 3] and depth [B, H, W].
    """
    height, width = index.shape[1], index.shape[2]
    batch, count = tf.shape(corners)[0], tf.shape(corners)[1]
    shift = tf.range(batch)[:, tf.newaxis, tf.newaxis] * count
    rows = gather_rows(
        tf.reshape(corners, [-1, 12]), tf.where(index < 0, -1, index + shift)
    )  # [B, H, W, 12]
    x, y, w, depth = (rows[..., i::4] for i in range(4))  # each [B, H, W, 3]
    # Homogeneous pixel coordinates with the origin in the pixel's own centre: only
    # the constant terms of the edge functions are left.
    column = tf.range(width, dtype=tf.float32)[:, tf.newaxis]
    row = tf.range(height, dtype=tf.float32)[:, tf.newaxis, tf.newaxis]
    x = x * (width / 2) + w * (width / 2 - 0.5 - column)
    y = w * (height / 2 - 0.5 - row) - y * (height / 2)
    # The barycentrics do not change when a face is scaled, so the scale that keeps
    # products inside float32 is a constant.
    size = tf.reduce_max(tf.maximum(tf.abs(x), tf.abs(y)), -1, keepdims=True)
    scale = tf.stop_gradient(1.0 / tf.where(size > 0.0, size, 1.0))
    x, y = x * scale, y * scale
    x0, x1, x2 = tf.unstack(x, axis=-1)
    y0, y1, y2 = tf.unstack(y, axis=-1)
    edge = tf.stack([x1 * y2 - x2 * y1, x2 * y0 - x0 * y2, x0 * y1 - x1 * y0], axis=-1)
    edge = _inside(edge)
    total = tf.reduce_sum(edge, axis=-1, keepdims=True)
    barycentric = edge / tf.where(total == 0.0, 1.0, total)  # [B, H, W, 3]
    return barycentric, tf.reduce_sum(barycentric * depth, axis=-1)


def _inside(edge):
    """Moves a pixel that lies outside its face by rounding onto the edge."""
    orientation = tf.stop_gradient(tf.sign(tf.reduce_sum(edge, -1, keepdims=True)))
    return tf.maximum(edge * orientation, 0.0)
