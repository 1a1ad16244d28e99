"""Mesh files: OBJ with MTL through our own reader, PLY, GLB, STL, OFF by trimesh."""

import io
import logging
import os
from typing import NamedTuple

import numpy as np

from tfrender.io import gltf_check, images
from tfrender.io.errors import FormatError, LimitError
from tfrender.io.mesh_record import (
    Material,
    Mesh,
    check_counts,
    remove_coincident_faces,
    validate_mesh,
)
from tfrender.io.mesh_writers import save_mesh
from tfrender.io.obj import read_obj

__all__ = [
    "MESH_SUFFIXES",
    "Material",
    "Mesh",
    "load_mesh",
    "remove_coincident_faces",
    "save_mesh",
    "validate_mesh",
]

MESH_SUFFIXES = (".glb", ".gltf", ".obj", ".off", ".ply", ".stl")
_LOG = logging.getLogger(__name__)
_LONGEST_FILE = 4 * 2**30


def load_mesh(
    path: str | os.PathLike, strict: bool = True, allow_outside: bool = False
) -> Mesh:
    """Reads a triangle mesh; its format is told by the suffix.

    Scenes of several objects become one mesh, node transforms applied. Vertices stay
    as in the file, except STL, which repeats them in every face: equal points become
    one vertex. Polygons are cut into fans (concave ones may fold); degenerate faces
    are kept. Lines, points, face colours and textures of PLY files are left out.

    Args:
        path: .obj (with its .mtl and textures), .ply, .glb, .gltf, .stl or .off.
        strict: False accepts broken texture coordinates and textures of an OBJ, which
            are dropped with a warning.
        allow_outside: open files that the mesh names outside its own folder.

    Returns:
        A `Mesh`.

    Raises:
        FileNotFoundError: no such file.
        FormatError: the file is broken, holds no faces, or its suffix is unknown.
        LimitError: above 20 M vertices, 40 M faces or 4 GiB.
    """
    path = os.fspath(path)
    suffix = os.path.splitext(path)[1].lower()
    if suffix not in MESH_SUFFIXES:
        raise FormatError(
            f"{path}: expected one of {', '.join(MESH_SUFFIXES)}; got {suffix!r}."
        )
    if not os.path.exists(path):
        raise FileNotFoundError(f"{path}: no such mesh file.")
    if suffix == ".obj":
        return read_obj(path, strict, allow_outside)
    if os.path.getsize(path) > _LONGEST_FILE:
        raise LimitError(f"{path}: expected at most {_LONGEST_FILE} bytes; got more.")
    linked, promised = None, None
    if suffix in (".glb", ".gltf"):
        data, linked = gltf_check.read(path, allow_outside)
    else:
        with open(path, "rb") as file:
            data = file.read()
        promised = _CHECKS[suffix](data, path)
    return _load_with_trimesh(data, path, suffix, linked, promised)


def _load_with_trimesh(data: bytes, path: str, suffix: str, linked, promised) -> Mesh:
    """Loads by trimesh, compares with the counts of the header, joins the parts.

    trimesh gets bytes and the linked files, never a path: it opens nothing itself.
    """
    import trimesh

    try:
        scene = trimesh.load_scene(
            io.BytesIO(data), suffix[1:], resolver=linked, process=False
        )
        parts = _placed_meshes(scene)
        _check_parts(parts, promised, path)
        linear = suffix in (".glb", ".gltf")
        mesh = _join(parts, path, weld=suffix == ".stl", linear=linear)
    except (FormatError, LimitError):
        raise
    except (
        Exception
    ) as error:  # trimesh and Pillow let anything through on broken bytes
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise FormatError(
            f"{path}: expected a {suffix[1:].upper()} mesh; got {reason[0][:120]}."
        ) from error
    if mesh.uv is not None and not np.isfinite(mesh.uv).all():
        raise FormatError(f"{path}: expected finite texture coordinates.")
    return mesh


def _check_parts(parts, promised, path: str) -> None:
    """Compares with the counts of the header; every part must be a valid mesh."""
    found = sum(len(p.vertices) for p in parts), sum(len(p.faces) for p in parts)
    if not found[1]:
        raise FormatError(f"{path}: expected a mesh; got no faces.")
    # Polygons become several faces, texture seams several vertices.
    if promised and (found[0] < promised[0] or found[1] < promised[1]):
        raise FormatError(
            f"{path}: expected {promised[0]} vertices and {promised[1]} faces, as the "
            f"header says; got {found[0]} and {found[1]}."
        )
    for part in parts:
        validate_mesh(part.vertices, part.faces, path)


class _Part(NamedTuple):
    """One object of a scene, in world coordinates."""

    vertices: np.ndarray
    faces: np.ndarray
    visual: object


def _placed_meshes(scene) -> list[_Part]:
    """Triangle meshes of a scene in the order of the file, node transforms applied."""
    import trimesh

    order = {name: number for number, name in enumerate(scene.geometry)}
    placed = []
    for node in scene.graph.nodes_geometry:  # a set in some versions
        transform, name = scene.graph[node]
        if isinstance(scene.geometry[name], trimesh.Trimesh):
            placed.append((order[name], str(node), transform))
    names, parts = list(order), []
    for number, _, transform in sorted(placed, key=lambda item: item[:2]):
        part = scene.geometry[names[number]]
        vertices = part.vertices @ transform[:3, :3].T + transform[:3, 3]
        # A mirror turns the winding round; undo it, so that outside stays outside.
        mirrored = np.linalg.det(transform[:3, :3]) < 0
        faces = part.faces[:, ::-1] if mirrored else part.faces
        parts.append(_Part(vertices, faces, part.visual))
    return parts


def _join(parts, path: str, weld: bool, linear: bool) -> Mesh:
    """One `Mesh` of several trimesh objects, a material for each."""
    counts = [len(part.vertices) for part in parts]
    check_counts(sum(counts), sum(len(part.faces) for part in parts), path)
    offsets = np.cumsum([0, *counts[:-1]])
    vertices = np.concatenate([part.vertices for part in parts])
    faces = np.concatenate(
        [part.faces + offset for part, offset in zip(parts, offsets, strict=True)]
    )
    if weld:
        vertices, index = np.unique(vertices, axis=0, return_inverse=True)
        faces = index.reshape(-1)[faces]
    vertices, faces = validate_mesh(vertices, faces, path)
    sizes = [len(part.faces) for part in parts]
    return Mesh(
        vertices,
        faces,
        _join_uv(parts),
        np.repeat(np.arange(len(parts), dtype=np.int32), sizes),
        tuple(_material(part.visual, i) for i, part in enumerate(parts)),
        None if weld else _join_colors(parts, linear),
    )


def _join_uv(parts) -> np.ndarray | None:
    """Corner uv [F, 3, 2], zeros for parts without; None where no part has any."""
    uvs = [getattr(part.visual, "uv", None) for part in parts]
    if all(uv is None or not len(uv) for uv in uvs):
        return None
    corners = [
        np.zeros([len(part.faces), 3, 2])
        if uv is None or not len(uv)
        else uv[part.faces]
        for part, uv in zip(parts, uvs, strict=True)
    ]
    return np.concatenate(corners).astype(np.float32)


def _join_colors(parts, linear: bool) -> np.ndarray | None:
    """Vertex colours [V, 3]; None where a part has none."""
    colors = []
    for part in parts:
        color = None
        if part.visual.kind == "vertex":
            color = part.visual.vertex_colors
        elif part.visual.kind == "texture":
            color = part.visual.vertex_attributes.get("color")
        if color is None or np.shape(color)[:1] != part.vertices.shape[:1]:
            return None
        color = np.asarray(color)[:, :3]
        colors.append(color / 255 if color.dtype == np.uint8 else color)
    colors = np.nan_to_num(np.concatenate(colors)).clip(0, 1)
    return (images.to_srgb(colors) if linear else colors).astype(np.float32)


def _material(visual, index: int) -> Material:
    """Our `Material` of a trimesh visual; only glTF has them, in linear light."""
    material = getattr(visual, "material", None)
    if material is None or not hasattr(material, "baseColorFactor"):
        return Material(f"m{index}")
    factor = material.baseColorFactor
    factor = np.ones(4) if factor is None else np.asarray(factor) / 255
    image, texture = material.baseColorTexture, None
    if image is not None:
        texture = images.expand(image)
    color = tuple(images.to_srgb(factor[:3]).tolist())
    return Material(material.name or f"m{index}", color, float(factor[3]), texture)


def _check_ply(data: bytes, path: str) -> tuple[int, int]:
    """Counts that a PLY header promises, against the limits and the file size."""
    end = data.find(b"end_header", 0, 65536)
    if not data.startswith(b"ply") or end < 0:
        raise FormatError(
            f"{path}: expected 'ply' ... 'end_header' in the first 64 KiB; got "
            f"{data[:12]!r}."
        )
    counts = {}
    for line in data[:end].decode("latin-1").splitlines():
        words = line.split()
        if words and words[0] == "element":
            number = words[2] if len(words) == 3 else ""
            if not (number.isascii() and number.isdigit()) or words[1] in counts:
                raise FormatError(
                    f"{path}: expected 'element NAME COUNT'; got {line!r}."
                )
            counts[words[1]] = int(number[:20])
    found = counts.get("vertex", 0), counts.get("face", 0)
    if not found[1]:
        raise FormatError(f"{path}: expected a mesh; got no faces.")
    check_counts(*found, path)
    if sum(counts.values()) > len(data):  # every element takes a byte at least
        raise FormatError(
            f"{path}: expected {sum(counts.values())} elements, as the header says; "
            f"got a file of {len(data)} bytes."
        )
    return found


def _check_stl(data: bytes, path: str) -> None:
    """A binary STL says how many triangles it has, 50 bytes each."""
    count = int.from_bytes(data[80:84], "little")
    if len(data) == 84 + 50 * count:
        check_counts(3 * count, count, path)
    elif not data[:84].lstrip().startswith(b"solid"):
        raise FormatError(
            f"{path}: expected {84 + 50 * count} bytes for {count} triangles; got "
            f"{len(data)}."
        )


def _check_off(data: bytes, path: str) -> tuple[int, int]:
    """The first words of an OFF file hold the counts."""
    lines = data[:65536].decode("latin-1").splitlines()[:100]
    words = [word for line in lines for word in line.split("#")[0].split()]
    numbers = [word for word in words[1:3] if word.isascii() and word.isdigit()]
    if not words or not words[0].endswith("OFF") or len(numbers) != 2:
        found = " ".join(words[:4])[:60]
        raise FormatError(f"{path}: expected 'OFF' and three counts; got {found!r}.")
    found = int(numbers[0][:20]), int(numbers[1][:20])
    check_counts(*found, path)
    if sum(found) > len(data):
        raise FormatError(
            f"{path}: expected {sum(found)} elements, as the header says; got a file "
            f"of {len(data)} bytes."
        )
    return found


_CHECKS = {".off": _check_off, ".ply": _check_ply, ".stl": _check_stl}
