"""Batches of different meshes, scenes of several objects, many views of many meshes.

A batch keeps meshes apart: item b has its own vertices and faces, filled up with zeros
and faces of index -1, which no renderer draws. A scene joins meshes into one, whose
faces remember the object and the material that they came from.

V_i, F_i are the vertices and faces of mesh i, V and F those of the batch or scene.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from tfrender import checks
from tfrender.cameras import Camera
from tfrender.io import Material, Mesh

_NOTHING: Mapping[str, Any] = {}


class MeshPart(NamedTuple):
    """One mesh with whatever belongs to it; tensors or arrays.

    Attributes:
        vertices: [V_i, 3] float.
        faces: [F_i, 3] integers, counter-clockwise outside; -1 is padding.
        vertex_attributes: name -> [V_i, ...], for instance colours.
        face_attributes: name -> [F_i, ...].
        corner_attributes: name -> [F_i, 3, ...], for instance texture coordinates.
        face_material: [F_i] integers, index into `materials`; None is all 0.
        materials: at least one, of any type; `Material` of `tfrender.io` in files.
    """

    vertices: Any
    faces: Any
    vertex_attributes: Mapping[str, Any] = _NOTHING
    face_attributes: Mapping[str, Any] = _NOTHING
    corner_attributes: Mapping[str, Any] = _NOTHING
    face_material: Any = None
    materials: tuple = (Material(),)


class MeshBatch(NamedTuple):
    """Meshes of different size as one batch.

    Attributes:
        vertices: [B, V, 3], zeros beyond `vertex_count`.
        faces: [B, F, 3] int32, -1 beyond `face_count`.
        vertex_count: [B] int32.
        face_count: [B] int32.
        vertex_attributes: name -> [B, V, ...], zeros beyond the count.
        face_attributes: name -> [B, F, ...], zeros beyond the count.
        corner_attributes: name -> [B, F, 3, ...], zeros beyond the count.
        face_material: [B, F] int32, index into `materials`; -1 beyond the count.
        materials: those of all meshes, one mesh after another.
    """

    vertices: tf.Tensor
    faces: tf.Tensor
    vertex_count: tf.Tensor
    face_count: tf.Tensor
    vertex_attributes: dict[str, tf.Tensor]
    face_attributes: dict[str, tf.Tensor]
    corner_attributes: dict[str, tf.Tensor]
    face_material: tf.Tensor
    materials: tuple


class JoinedScene(NamedTuple):
    """Several objects as one mesh.

    Attributes:
        vertices: [V, 3] in world coordinates, object after object.
        faces: [F, 3] int32 indices into these vertices; -1 is padding.
        face_object: [F] int32, which object a face belongs to.
        vertex_object: [V] int32, which object a vertex belongs to.
        vertex_attributes: name -> [V, ...].
        face_attributes: name -> [F, ...].
        corner_attributes: name -> [F, 3, ...].
        face_material: [F] int32, index into `materials`.
        materials: those of all objects, one object after another.
    """

    vertices: tf.Tensor
    faces: tf.Tensor
    face_object: tf.Tensor
    vertex_object: tf.Tensor
    vertex_attributes: dict[str, tf.Tensor]
    face_attributes: dict[str, tf.Tensor]
    corner_attributes: dict[str, tf.Tensor]
    face_material: tf.Tensor
    materials: tuple


def stack_meshes(
    meshes: Sequence, *, pad_to: tuple[int, int] | None = None
) -> MeshBatch:
    """Stacks meshes of different size into one padded batch.

    Args:
        meshes: at least one (vertices, faces) pair, `MeshPart` or `tfrender.io.Mesh`.
            All must have attributes of the same names; of `io.Mesh` records with and
            without texture coordinates or vertex colours, those without get zeros and
            white.
        pad_to: (vertices, faces) to fill up to, at least the largest mesh, so that
            batches of other meshes have the same shape; None is the largest mesh.

    Returns:
        MeshBatch with float tensors of their own type. Padded items render like the
        mesh alone.

    Gradient: exact in vertices and float attributes. Memory: the result.

    Raises:
        ValueError: for an empty list, wrong shapes, attributes that some meshes lack
            or a `pad_to` that is too small.
    """
    parts = _parts(meshes)
    counts = [(_rows(part.vertices), _rows(part.faces)) for part in parts]
    sizes = []
    for axis, word in enumerate(("vertices", "faces")):
        largest = _largest([count[axis] for count in counts])
        if pad_to is not None:
            if isinstance(largest, int) and pad_to[axis] < largest:
                raise ValueError(
                    f"`pad_to` must hold the largest mesh; got {pad_to[axis]} {word} "
                    f"for a mesh of {largest}."
                )
            largest = int(pad_to[axis])
        sizes.append(largest)

    def stack(values, size, fill=0):
        return tf.stack([_filled(value, size, fill) for value in values])

    def stack_all(kind, size):
        named = [getattr(part, kind) for part in parts]
        return {name: stack([n[name] for n in named], size) for name in named[0]}

    first = _material_starts(parts)
    material = [p.face_material + start for p, start in zip(parts, first, strict=True)]
    return MeshBatch(
        stack([part.vertices for part in parts], sizes[0]),
        stack([part.faces for part in parts], sizes[1], -1),
        tf.stack([tf.cast(count[0], tf.int32) for count in counts]),
        tf.stack([tf.cast(count[1], tf.int32) for count in counts]),
        stack_all("vertex_attributes", sizes[0]),
        stack_all("face_attributes", sizes[1]),
        stack_all("corner_attributes", sizes[1]),
        stack(material, sizes[1], -1),
        sum((part.materials for part in parts), ()),
    )


def unstack_meshes(batch: MeshBatch) -> list[MeshPart]:
    """Takes a padded batch apart again; inverse of `stack_meshes`.

    Args:
        batch: MeshBatch of static B.

    Returns:
        B meshes without padding. Each keeps the materials of the whole batch.

    Gradient: exact.
    """
    items = []
    for b in range(batch.vertices.shape[0]):
        vertices, faces = batch.vertex_count[b], batch.face_count[b]
        items.append(
            MeshPart(
                batch.vertices[b, :vertices],
                batch.faces[b, :faces],
                {k: v[b, :vertices] for k, v in batch.vertex_attributes.items()},
                {k: v[b, :faces] for k, v in batch.face_attributes.items()},
                {k: v[b, :faces] for k, v in batch.corner_attributes.items()},
                batch.face_material[b, :faces],
                batch.materials,
            )
        )
    return items


def join_scene(meshes: Sequence, transforms: Sequence | None = None) -> JoinedScene:
    """Joins objects, each placed by its own transform, into one mesh.

    Args:
        meshes: as in `stack_meshes`; one mesh may occur several times.
        transforms: one [4, 4] object to world matrix an object (affine, acting on
            column vectors) or None where it stays in place. A mirroring one reverses
            the corners of the faces, so that they stay counter-clockwise outside.

    Returns:
        JoinedScene.

    Attributes are copied as they are: normals, for one, are best computed afterwards.

    Gradient: exact in vertices, float attributes and transforms. Memory: the result.

    Raises:
        ValueError: as `stack_meshes`, and for another number of transforms.
    """
    parts = _parts(meshes)
    if transforms is None:
        transforms = [None] * len(parts)
    if len(transforms) != len(parts):
        raise ValueError(
            f"`transforms` must have one entry a mesh, {len(parts)}; got "
            f"{len(transforms)}."
        )
    parts = [_placed(*pair) for pair in zip(parts, transforms, strict=True)]
    first, faces, start = _material_starts(parts), [], 0
    for part in parts:
        padding = tf.reduce_any(part.faces < 0, axis=-1, keepdims=True)
        faces.append(tf.where(padding, -1, part.faces + start))
        start += _rows(part.vertices)

    def joined(kind):
        named = [getattr(part, kind) for part in parts]
        return {name: tf.concat([n[name] for n in named], 0) for name in named[0]}

    def numbers(kind):
        rows = [_rows(getattr(part, kind)) for part in parts]
        return tf.concat([tf.fill([n], i) for i, n in enumerate(rows)], 0)

    material = [p.face_material + start for p, start in zip(parts, first, strict=True)]
    return JoinedScene(
        tf.concat([part.vertices for part in parts], 0),
        tf.concat(faces, 0),
        numbers("faces"),
        numbers("vertices"),
        joined("vertex_attributes"),
        joined("face_attributes"),
        joined("corner_attributes"),
        tf.concat(material, 0),
        sum((part.materials for part in parts), ()),
    )


def repeat_views(camera: Camera, values):
    """Pairs every mesh with every camera.

    Item n * M + m of the result is mesh n seen by camera m, so an image batch
    [N * M, ...] reshapes to [N, M, ...].

    Args:
        camera: Camera of batch M.
        values: a tensor [N, ...] or any structure of such tensors (vertices, faces of
            rank 3, attributes). Faces [F, 3] that all items share need no repetition.

    Returns:
        Camera of batch N * M and the values with [N * M, ...].

    Gradient: exact. Memory: the result.

    Raises:
        ValueError: where the values have no items, or not all the same number.
    """
    values = tf.nest.map_structure(tf.convert_to_tensor, values)
    flat = tf.nest.flatten(values)
    if not flat or any(not value.shape.rank for value in flat):
        raise ValueError("`values` must hold tensors [N, ...]; got none or a scalar.")
    sizes = {value.shape[0] for value in flat} - {None}
    if len(sizes) > 1:
        raise ValueError(
            f"`values` must have one number of items; got {sorted(sizes)}."
        )
    views, items = _rows(camera.world_to_camera), _rows(flat[0])

    def repeat(value):
        shape = tf.shape(value)
        copies = tf.concat([shape[:1], [views], shape[1:]], axis=0)
        copies = tf.broadcast_to(value[:, tf.newaxis], copies)
        return _known(tf.reshape(copies, tf.concat([[-1], shape[1:]], 0)), value)

    def tile(matrix):
        copies = tf.broadcast_to(matrix, tf.concat([[items], tf.shape(matrix)], 0))
        return tf.reshape(copies, [-1, 4, 4])

    return Camera(*map(tile, camera)), tf.nest.map_structure(repeat, values)


def _known(repeated, value):
    """Gives a repeated tensor the static shape of an item of the given one."""
    repeated.set_shape([None, *value.shape[1:]])
    return repeated


def _rows(value):
    """Length of the first axis: an int, or a tensor where it is not known."""
    return tf.shape(value)[0] if value.shape[0] is None else int(value.shape[0])


def _largest(counts):
    if all(isinstance(count, int) for count in counts):
        return max(counts)
    return tf.reduce_max(tf.stack(counts))


def _filled(value, size, fill):
    """Fills a tensor [n, ...] up to [size, ...]."""
    padding = [[0, size - _rows(value)]] + [[0, 0]] * (value.shape.rank - 1)
    return tf.pad(value, padding, constant_values=tf.cast(fill, value.dtype))


def _material_starts(parts):
    """Index of the first material of each part among the materials of all."""
    starts = [0]
    for part in parts:
        starts.append(starts[-1] + len(part.materials))
    return starts[:-1]


def _parts(meshes) -> list[MeshPart]:
    """Checks meshes of any accepted form and makes them alike, as tensors."""
    meshes = list(meshes)
    if not meshes:
        raise ValueError("`meshes` must hold at least one mesh; got an empty list.")
    records = [mesh for mesh in meshes if isinstance(mesh, Mesh)]
    has_uv = any(mesh.uv is not None for mesh in records)
    has_colors = any(mesh.vertex_colors is not None for mesh in records)
    parts = []
    for i, mesh in enumerate(meshes):
        if isinstance(mesh, Mesh):
            mesh = _from_record(mesh, has_uv, has_colors)
        elif not isinstance(mesh, MeshPart):
            if len(mesh) != 2:
                raise ValueError(
                    f"`meshes[{i}]` must be (vertices, faces), MeshPart or io.Mesh; "
                    f"got {len(mesh)} values."
                )
            mesh = MeshPart(*mesh)
        parts.append(_checked(mesh, f"meshes[{i}]"))
    for kind in ("vertex_attributes", "face_attributes", "corner_attributes"):
        want = set(getattr(parts[0], kind))
        for i, part in enumerate(parts):
            checks.keys(f"meshes[{i}].{kind}", getattr(part, kind), want)
    return parts


def _from_record(mesh: Mesh, has_uv: bool, has_colors: bool) -> MeshPart:
    """Makes a part of a mesh file's record."""
    corner, vertex = {}, {}
    if has_uv:
        blank = tf.zeros([len(mesh.faces), 3, 2])
        corner["uv"] = blank if mesh.uv is None else mesh.uv
    if has_colors:
        white = tf.ones([len(mesh.vertices), 3])
        colors = mesh.vertex_colors
        vertex["color"] = white if colors is None else colors
    return MeshPart(
        mesh.vertices,
        mesh.faces,
        vertex_attributes=vertex,
        corner_attributes=corner,
        face_material=mesh.face_material,
        materials=tuple(mesh.materials),
    )


def _checked(part: MeshPart, name: str) -> MeshPart:
    """Checks the shapes of a part and turns all of it into tensors."""
    vertices = tf.convert_to_tensor(part.vertices)
    faces = tf.cast(part.faces, tf.int32)
    checks.rank(f"{name}.vertices", vertices, 2)
    checks.dims(f"{name}.vertices", vertices, None, 3)
    checks.rank(f"{name}.faces", faces, 2)
    checks.dims(f"{name}.faces", faces, None, 3)
    if not part.materials:
        raise ValueError(f"`{name}.materials` must hold at least one; got none.")
    material = part.face_material
    material = tf.zeros_like(faces[:, 0]) if material is None else material
    material = tf.cast(material, tf.int32)
    checks.rank(f"{name}.face_material", material, 1)
    checks.dims(f"{name}.face_material", material, faces.shape[0])

    def rows(kind, like, *middle):
        values = {}
        for key, value in getattr(part, kind).items():
            value = tf.convert_to_tensor(value)
            head = tf.TensorShape([like.shape[0], *middle])
            if not value.shape[: 1 + len(middle)].is_compatible_with(head):
                raise ValueError(
                    f"`{name}.{kind}[{key!r}]` must begin with {head.as_list()}; got "
                    f"shape {value.shape.as_list()}."
                )
            values[key] = value
        return values

    return MeshPart(
        vertices,
        faces,
        rows("vertex_attributes", vertices),
        rows("face_attributes", faces),
        rows("corner_attributes", faces, 3),
        material,
        tuple(part.materials),
    )


def _placed(part: MeshPart, transform) -> MeshPart:
    """Applies an object to world transform to a part."""
    if transform is None:
        return part
    matrix = tf.cast(transform, part.vertices.dtype)
    checks.rank("transforms", matrix, 2)
    checks.dims("transforms", matrix, 4, 4)
    turn, shift = matrix[:3, :3], matrix[:3, 3]
    # A sum, because GPUs run float32 matmul at reduced precision.
    vertices = tf.reduce_sum(turn * part.vertices[:, tf.newaxis], axis=-1) + shift
    (a, b, c), (d, e, f), (g, h, i) = (tf.unstack(row) for row in tf.unstack(turn))
    mirrored = a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g) < 0.0

    def turned(value):
        return tf.where(mirrored, tf.reverse(value, [1]), value)

    corner = {name: turned(value) for name, value in part.corner_attributes.items()}
    return part._replace(
        vertices=vertices, faces=turned(part.faces), corner_attributes=corner
    )
