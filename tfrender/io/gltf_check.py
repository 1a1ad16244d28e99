"""Looks through a glTF file before a library follows its links and counts."""

import base64
import binascii
import json
import os
import urllib.parse

from tfrender.io import images
from tfrender.io.errors import FormatError, LimitError
from tfrender.io.mesh_record import MAX_FACES, MAX_VERTICES, check_counts
from tfrender.io.obj import inside_folder

_COMPONENT_BYTES = {5120: 1, 5121: 1, 5122: 2, 5123: 2, 5125: 4, 5126: 4}
_COMPONENTS = {
    "SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT2": 4, "MAT3": 9, "MAT4": 16,
}  # fmt: skip
_LONGEST_FILE = 4 * 2**30
_MOST_TRANSFORMS = 200_000  # sum of the depths of all nodes


def read(path: str, allow_outside: bool = False) -> tuple[bytes, dict[str, bytes]]:
    """Reads and checks a .glb or .gltf file.

    Checked: the container; that every number indexes something; that accessors lie
    inside their buffers; that nodes form trees (no cycles, no exponential sharing);
    that links stay in the folder; that images are PNG or JPEG of bounded size.

    Args:
        path: the file.
        allow_outside: accept links out of the folder of the file.

    Returns:
        (bytes of the file, bytes of every file that it links to by the link's text).

    Raises:
        FormatError: broken; LimitError: too large.
    """
    with open(path, "rb") as file:
        data = file.read()
    try:
        return data, _check(data, path, allow_outside)
    except (FormatError, LimitError):
        raise
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise FormatError(
            f"{path}: expected a glTF 2.0 file; got {type(error).__name__}: "
            f"{str(error)[:100]}."
        ) from error
    except RecursionError as error:
        raise FormatError(f"{path}: JSON nested too deeply.") from error


def _check(data: bytes, path: str, allow_outside: bool) -> dict[str, bytes]:
    """Raises where something does not fit; returns the linked files."""
    tree, binary = _container(data, path)
    linked, buffers = {}, []
    for buffer in tree.get("buffers", []):
        content = binary
        if "uri" in buffer:
            content = _follow(buffer["uri"], path, allow_outside, linked)
        if content is None or len(content) < _natural(buffer["byteLength"]):
            raise FormatError(f"{path}: a buffer is shorter than its byteLength.")
        buffers.append(content)
    views = [_view(view, buffers, path) for view in tree.get("bufferViews", [])]
    for number, accessor in enumerate(tree.get("accessors", [])):
        _check_accessor(accessor, number, views, path)
    for image in tree.get("images", []):
        if "uri" in image:
            content = _follow(image["uri"], path, allow_outside, linked)
        else:
            content = bytes(views[_natural(image["bufferView"])][0])
        images.check_header(content, path)
    _check_nodes(tree.get("nodes", []), path)
    _check_instances(tree, path)
    return linked


def _container(data: bytes, path: str) -> tuple[dict, bytes | None]:
    """The JSON tree and the binary chunk."""
    binary = None
    if path.lower().endswith(".glb"):
        version, length = _word(data, 4), _word(data, 8)
        if data[:4] != b"glTF" or version != 2 or length != len(data):
            raise FormatError(
                f"{path}: expected a binary glTF 2 of {length} bytes; got "
                f"{data[:4]!r}, version {version}, {len(data)} bytes."
            )
        size = _word(data, 12)
        if data[16:20] != b"JSON" or 20 + size > len(data):
            raise FormatError(f"{path}: expected a whole JSON chunk first.")
        text, rest = data[20 : 20 + size], data[20 + size :]
        if rest:
            size = _word(rest, 0)
            if rest[4:8] != b"BIN\0" or 8 + size > len(rest):
                raise FormatError(f"{path}: expected a whole binary chunk second.")
            binary = rest[8 : 8 + size]
    else:
        text = data
    tree = json.loads(text)
    if not isinstance(tree, dict):
        raise FormatError(f"{path}: expected a JSON object; got {type(tree).__name__}.")
    return tree, binary


def _word(data: bytes, position: int) -> int:
    """Unsigned 32-bit little-endian number."""
    return int.from_bytes(data[position : position + 4], "little")


def _natural(value) -> int:
    """A JSON value that must be a whole number >= 0 (else -1 would index the end)."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"expected a whole number, got {value!r}")
    return value


def _follow(uri: str, path: str, allow_outside: bool, linked: dict) -> bytes:
    """Bytes behind a link: data inside the file, or a file in the same folder."""
    if uri.startswith("data:"):
        head, _, body = uri.partition(",")
        if not head.endswith(";base64"):
            raise FormatError(f"{path}: expected base64 data; got {head[:40]!r}.")
        try:
            return base64.b64decode(body)
        except binascii.Error as error:
            raise FormatError(f"{path}: broken base64 data: {error}.") from error
    name = urllib.parse.unquote(uri)
    file = None
    if ":" not in name:
        file = inside_folder(os.path.dirname(path), name, allow_outside)
    if file is None:
        raise FormatError(f"{path}: refused the link {uri[:80]!r} out of the folder.")
    if not os.path.isfile(file):
        raise FormatError(f"{path}: expected the linked file {uri[:80]!r}; not found.")
    if os.path.getsize(file) > _LONGEST_FILE:
        raise LimitError(f"{file}: expected at most {_LONGEST_FILE} bytes; got more.")
    with open(file, "rb") as opened:
        linked[uri] = linked[name] = opened.read()
    return linked[uri]


def _view(view: dict, buffers: list, path: str) -> tuple[memoryview, int]:
    """Bytes and stride of a buffer view."""
    buffer = buffers[_natural(view["buffer"])]
    start, size = _natural(view.get("byteOffset", 0)), _natural(view["byteLength"])
    if start + size > len(buffer):
        raise FormatError(
            f"{path}: expected a buffer view within {len(buffer)} bytes; got bytes "
            f"{start}..{start + size}."
        )
    return memoryview(buffer)[start : start + size], _natural(view.get("byteStride", 0))


def _check_accessor(accessor: dict, number: int, views: list, path: str) -> None:
    """An accessor must lie inside its view; one without a view is all zeros."""
    count = _natural(accessor["count"])
    if count > max(MAX_VERTICES, 3 * MAX_FACES):
        raise LimitError(f"{path}: accessor {number} holds {count} elements.")
    item = _COMPONENT_BYTES[accessor["componentType"]] * _COMPONENTS[accessor["type"]]
    if "bufferView" not in accessor or not count:
        return
    view, stride = views[_natural(accessor["bufferView"])]
    if stride and stride < item:
        raise FormatError(f"{path}: accessor {number} has stride {stride} < {item}.")
    needed = _natural(accessor.get("byteOffset", 0)) + (count - 1) * (stride or item)
    if needed + item > len(view):
        raise FormatError(
            f"{path}: expected accessor {number} within {len(view)} bytes; got "
            f"{needed + item}."
        )


def _check_nodes(nodes: list, path: str) -> None:
    """Nodes must be trees, not so deep that chains of transforms take forever."""
    parents = {}
    for number, node in enumerate(nodes):
        for child in node.get("children", []):
            if _natural(child) >= len(nodes) or child in parents:
                raise FormatError(
                    f"{path}: expected a tree of nodes; got node {child} out of range "
                    "or with two parents."
                )
            parents[child] = number
    front = [number for number in range(len(nodes)) if number not in parents]
    depth = visited = work = 0
    while front:
        depth += 1
        visited += len(front)
        work += depth * len(front)
        front = [child for k in front for child in nodes[k].get("children", [])]
    if visited < len(nodes):
        raise FormatError(f"{path}: expected a tree of nodes; got a cycle.")
    if work > _MOST_TRANSFORMS:
        raise LimitError(f"{path}: {len(nodes)} nodes in {depth} levels are too many.")


def _check_instances(tree: dict, path: str) -> None:
    """All instances of all meshes together must keep the limits."""
    accessors, meshes = tree.get("accessors", []), tree.get("meshes", [])
    vertices = corners = 0
    for node in tree.get("nodes", []):
        if "mesh" not in node:
            continue
        for primitive in meshes[_natural(node["mesh"])]["primitives"]:
            points = accessors[_natural(primitive["attributes"]["POSITION"])]["count"]
            index = primitive.get("indices")
            vertices += points
            corners += points if index is None else accessors[_natural(index)]["count"]
    check_counts(vertices, corners // 3, path)
