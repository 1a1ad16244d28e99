"""What a mesh file becomes in memory, and the checks that every mesh passes."""

from typing import NamedTuple

import numpy as np

from tfrender.io.errors import FormatError, LimitError

MAX_VERTICES = 20_000_000
MAX_FACES = 40_000_000
LARGEST_COORDINATE = 1e15  # its square still fits float32


class Material(NamedTuple):
    """Colour of a group of faces. A texture replaces the diffuse colour.

    Attributes:
        name: name in the file.
        diffuse: three numbers in [0, 1], sRGB-encoded.
        opacity: in [0, 1], 1 is opaque.
        texture: uint8 [H, W, 1, 3 or 4] sRGB image, row 0 is v = 1; or None.
    """

    name: str = "default"
    diffuse: tuple[float, float, float] = (0.8, 0.8, 0.8)
    opacity: float = 1.0
    texture: np.ndarray | None = None


class Mesh(NamedTuple):
    """A triangle mesh with materials, as it lies in the file.

    `save_mesh(path, *mesh)` writes it again.

    Attributes:
        vertices: float32 [V, 3].
        faces: int32 [F, 3], counter-clockwise outside.
        uv: float32 [F, 3, 2] texture coordinates of the face corners, v upwards, any
            range (textures repeat); zeros at corners without; None where no face has.
        face_material: int32 [F] index into `materials`.
        materials: at least one `Material`.
        vertex_colors: float32 [V, 3] in [0, 1], or None.
    """

    vertices: np.ndarray
    faces: np.ndarray
    uv: np.ndarray | None
    face_material: np.ndarray
    materials: tuple[Material, ...]
    vertex_colors: np.ndarray | None


def validate_mesh(vertices, faces, name: str = "mesh") -> tuple:
    """Checks that vertices and faces make a usable mesh.

    Args:
        vertices: [V, 3] numbers.
        faces: [F, 3] integers, 0 <= index < V. (The padding index -1 belongs to our
            batches; it never comes from a file.)
        name: path or argument name for the message.

    Returns:
        (vertices float32 [V, 3], faces int32 [F, 3]).

    Raises:
        FormatError: naming the first fault.
    """
    vertices, faces = np.asarray(vertices), np.asarray(faces)
    for word, array in (("vertices", vertices), ("faces", faces)):
        if array.ndim != 2 or array.shape[-1] != 3:
            raise FormatError(
                f"{name}: expected {word} [N, 3]; got shape {list(array.shape)}."
            )
    if not len(faces):
        raise FormatError(f"{name}: expected at least one face; got no faces.")
    if faces.dtype.kind not in "iu":
        raise FormatError(f"{name}: expected integer faces; got {faces.dtype}.")
    if vertices.dtype.kind not in "iuf":
        raise FormatError(f"{name}: expected real vertices; got {vertices.dtype}.")
    bad = ~(np.abs(vertices.astype(np.float64)) <= LARGEST_COORDINATE).all(-1)
    if bad.any():
        row = int(bad.argmax())
        raise FormatError(
            f"{name}: expected finite coordinates below {LARGEST_COORDINATE:g}; got "
            f"vertex {row} = {vertices[row].tolist()}."
        )
    bad = ((faces < 0) | (faces >= len(vertices))).any(-1)
    if bad.any():
        row = int(bad.argmax())
        raise FormatError(
            f"{name}: expected vertex indices in 0..{len(vertices) - 1}; got face "
            f"{row} = {faces[row].tolist()}."
        )
    return vertices.astype(np.float32), faces.astype(np.int32)


def check_counts(vertices: int, faces: int, name: str) -> None:
    """Refuses a mesh above the size limits, from its header, before it is read.

    Args:
        vertices: number of vertices.
        faces: number of faces.
        name: path for the message.

    Raises:
        LimitError: above `MAX_VERTICES` or `MAX_FACES`.
    """
    if vertices > MAX_VERTICES or faces > MAX_FACES:
        raise LimitError(
            f"{name}: expected at most {MAX_VERTICES} vertices and {MAX_FACES} faces; "
            f"got {vertices} and {faces}."
        )


def remove_coincident_faces(vertices, faces) -> tuple:
    """Keeps the first of the faces that join the same three points.

    Some sources store every triangle twice, with opposite winding; the copies fight
    for the same depth and make averaged normals vanish. Points are compared by
    coordinates, so copies with vertices of their own are found too.

    Args:
        vertices: [V, 3].
        faces: int [F, 3].

    Returns:
        (faces [F', 3], kept int [F'] indices into the given faces, in order).
    """
    faces = np.asarray(faces)
    _, point = np.unique(np.asarray(vertices), axis=0, return_inverse=True)
    corners = np.sort(point.reshape(-1)[faces], axis=-1)
    _, kept = np.unique(corners, axis=0, return_index=True)
    kept = np.sort(kept)
    return faces[kept], kept
