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
from tfrender.ops import forms, rasterize_attributes, rasterize_front
from tfrender.ops.rasterize_corners import face_corners
from tfrender.ops.rasterize_keys import face_index
from tfrender.ops.rasterize_visibility import careful_keys

_CAREFUL_WINDOWS = 4096  # in one pass of the compiled form


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
    form: str | None = None,
) -> Fragments:
    """Finds the nearest face at every pixel centre.

    NDC is x right, y up, near plane z = -w; row 0 is the top row and pixel (i, j) has
    its centre at (j + 0.5, i + 0.5). A pixel whose centre lies on an edge belongs to
    both faces; equal depth goes to the smaller face index, always so for faces on the
    same vertices. Faces that cross the near plane are cut exactly; the far plane cuts
    nothing. Left out are padding, faces wholly nearer than the near plane or outside
    the image, culled faces, faces with a NaN or infinity, and faces thinner on screen
    than the rounding of float32 pixel coordinates (about 1e-7 of the image size).
    Nothing else is ever left out.

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
        max_lanes: pixels tested in one pass of the graph form; more work is done in
            several exact passes. Bounds memory.
        form: "xla", "graph" or None for the default of `forms`.

    Returns:
        Fragments.

    Gradient: barycentric and depth are differentiable in `clip_vertices` and
    `vertex_depth`, exactly; which face is visible is a constant. Memory: in the XLA
    form 100 bytes a face and 40 bytes a pixel, whatever the number of lanes; in the
    graph form about 50 bytes a lane of one pass, 130 bytes a face, and 180 bytes a
    pixel.

    Raises:
        ValueError: for wrong shapes, sizes below 1 or unknown words.
    """
    return _layers(
        clip_vertices, faces, image_size, 1, vertex_depth, (cull, max_lanes, form)
    )[0]


def rasterize_layers(
    clip_vertices: tf.Tensor,
    faces: tf.Tensor,
    image_size: tuple[int, int],
    layers: int,
    *,
    vertex_depth: tf.Tensor | None = None,
    cull: str = "none",
    max_lanes: int = 1 << 22,
    form: str | None = None,
) -> list[Fragments]:
    """Finds the nearest, second nearest, ... face at every pixel centre.

    Depth peeling (Everitt, "Interactive order-independent transparency", 2001), exact:
    coincident faces come one after the other, by index.

    Args:
        clip_vertices: as `rasterize`; faces, image_size and the options alike.
        faces: as `rasterize`.
        image_size: as `rasterize`.
        layers: number of layers K.
        vertex_depth: as `rasterize`.
        cull: as `rasterize`.
        max_lanes: as `rasterize`.
        form: as `rasterize`.

    Returns:
        K Fragments, front to back; layer k is empty where fewer faces are hit.

    Gradient and memory: as `rasterize`, K times the time.

    Raises:
        ValueError: as `rasterize`, and for `layers` below 1.
    """
    checks.between("layers", layers, 1, 1024)
    return _layers(
        clip_vertices, faces, image_size, layers, vertex_depth, (cull, max_lanes, form)
    )


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
        **settings: `cull`, `max_lanes` and `form` of `rasterize`.

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


def _layers(clip, faces, image_size, layers, depth, settings) -> list[Fragments]:
    """Checks the arguments and rasterises in the form asked for."""
    cull, max_lanes, form = settings
    checks.rank("clip_vertices", clip, 3)
    checks.dims("clip_vertices", clip, None, 4)
    checks.dims("faces", faces, None, 3)
    checks.one_of("cull", cull, ("none", "back", "front"))
    size = checks.image_size(image_size)
    checks.between("max_lanes", max_lanes, 16, 1 << 30)
    clip = tf.cast(clip, tf.float32)
    own_depth = depth is None
    depth = clip[..., 3] if own_depth else tf.cast(depth, tf.float32)
    faces = tf.cast(tf.convert_to_tensor(faces), tf.int32)
    if faces.shape.rank == 2:
        faces = faces[tf.newaxis]
    # XLA scatters nothing into an empty picture.
    compiled = forms.resolve(form) == "xla" and clip.shape[0] != 0
    draw = _xla_layers if compiled else _graph_layers
    found = draw(clip, depth, faces, layers, (size, cull, max_lanes, own_depth))
    return [Fragments(*values, values[0] >= 0) for values in found]


def _graph_layers(clip, depth, faces, layers, settings):
    """The graph form: list of (index, barycentric, depth)."""
    image_size, cull, max_lanes, _ = settings
    faces = tf.broadcast_to(faces, [tf.shape(clip)[0], tf.shape(faces)[1], 3])
    corners = tf.stop_gradient(face_corners(clip, faces))
    real = tf.reduce_all(faces >= 0, axis=-1)
    columns = face_corners(_columns(clip, depth), faces)
    found, keys = [], None
    for _ in range(layers):
        keys = careful_keys(
            corners,
            real,
            image_size,
            cull=cull,
            max_windows=max_lanes // 16,
            static=False,
            below=keys,
        )
        index = face_index(keys)
        found.append((index, *rasterize_attributes.dense(index, columns)))
    return found


def _xla_layers(clip, depth, faces, layers, settings):
    """The compiled form: list of (index, barycentric, depth)."""
    (height, width), cull, _, own_depth = settings
    columns = forms.pad_rows(_columns(clip, depth), 1, 0.0)
    near = forms.pad_rows(tf.stop_gradient(clip[..., 2] + clip[..., 3]), 1, 0.0)
    faces = forms.pad_rows(faces, 1, -1)
    flat = _draw(columns, near, faces, layers, (height, width, cull, own_depth))
    return [tuple(flat[i : i + 3]) for i in range(0, 3 * layers, 3)]


@tf.function(autograph=False)  # or an eager tape would record the loops inside
def _draw(columns, near, faces, layers, settings):
    """Draws all layers; a flat list of index, barycentric and depth of each."""
    *size_and_cull, own_depth = settings
    batch = columns.shape[0]
    found, below = [], ()
    for _ in range(layers):
        given = (tf.stop_gradient(columns), near, faces)
        keys, index, cut = forms.by_parts(
            _visible, size_and_cull, batch, *given, *below
        )
        below = (keys,)
        # A program of its own: where nobody asks for it, it is not run.
        found += [index, *_attributes(columns, index, cut, faces, own_depth)]
    return found


def _attributes(columns, index, cut, faces, own_depth):
    """Barycentric and depth of one layer."""
    batch = columns.shape[0]

    @tf.custom_gradient
    def attributes(columns):
        values = forms.by_parts(_seen, (own_depth,), batch, columns, index, cut, faces)

        def gradient(*upstream):
            given = (index, *values, *upstream, columns, faces)
            return forms.by_parts(_seen_gradient, (), batch, *given)[0]

        return values, gradient

    return attributes(columns)


def _columns(clip, depth):
    """Clip x, y, w and depth of the vertices, [B, V, 4]."""
    return tf.stack([clip[..., 0], clip[..., 1], clip[..., 3], depth], axis=-1)


def _visible(columns, near, faces, *rest):
    """Keys and index of one layer [B, H, W], and [B] bool, are faces cut; compiled."""
    *below, height, width, cull = rest
    size = (height, width)
    keys, index, cut = _front(columns, near, faces, size, cull, *below)

    def careful():
        return _with_cut(columns, near, faces, keys, size, cull, *below)

    # Faces across the near plane are rare: their program is compiled when they come.
    return *tf.cond(tf.reduce_any(cut), careful, lambda: (keys, index)), cut


@forms.compiled
def _front(columns, near, faces, size, cull, below=None):
    """Draws the faces in front of the camera; tells whether others are left."""
    batch = tf.shape(columns)[0]
    clip = _clip(columns, near)
    table = rasterize_front.vertex_table(clip, *size)
    corners = rasterize_front.corner_table(table, faces, batch)
    shape = (batch, tf.shape(faces)[1], *size)
    keys, cut = rasterize_front.front_keys(*corners, shape, cull, below)
    return keys, face_index(keys), tf.fill([batch], tf.reduce_any(cut))


@forms.compiled
def _with_cut(columns, near, faces, keys, size, cull, below=None):
    """Draws the faces that cross the near plane over the others."""
    batch = tf.shape(columns)[0]
    clip = _clip(columns, near)
    table = rasterize_front.vertex_table(clip, *size)
    corners, _, real = rasterize_front.corner_table(table, faces, batch)
    cut = rasterize_front.cut_faces(corners, real)
    whole = tf.broadcast_to(faces, [batch, tf.shape(faces)[1], 3])
    careful = careful_keys(
        face_corners(clip, whole),
        tf.reshape(cut, tf.shape(whole)[:2]),
        size,
        cull=cull,
        max_windows=_CAREFUL_WINDOWS,
        static=True,
        below=below,
    )
    keys = tf.maximum(keys, careful)
    return keys, face_index(keys)


def _seen(columns, index, cut, faces, own_depth):
    """Barycentric and depth of the visible faces; compiled."""
    return tf.cond(
        tf.reduce_any(cut),
        lambda: _compact(index, columns, faces),
        lambda: _compact(index, columns, faces, True, own_depth),
    )


_compact = forms.compiled(rasterize_attributes.compact)


@forms.compiled
def _seen_gradient(index, barycentric, z, up_barycentric, up_z, columns, faces):
    """Gradient of the columns, as a tuple of one."""
    return (
        rasterize_attributes.compact_gradient(
            (index, barycentric, z), (up_barycentric, up_z), columns, faces
        ),
    )


def _clip(columns, near):
    """Clip coordinates from the columns and the distance to the near plane."""
    x, y, w, _ = tf.unstack(columns, axis=-1)
    return tf.stack([x, y, near - w, w], axis=-1)
