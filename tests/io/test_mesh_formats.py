"""Faults and features of PLY, GLB, glTF, STL and OFF files."""

import base64
import copy
import json
import struct
import time

import numpy as np
import pytest

from tests.io.test_images import png
from tfrender import io

POINTS = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], np.float32)


def ply(vertices=3, faces=1, face="3 0 1 2", points="0 0 0\n1 0 0\n0 1 0\n"):
    return (
        f"ply\nformat ascii 1.0\nelement vertex {vertices}\nproperty float x\n"
        f"property float y\nproperty float z\nelement face {faces}\n"
        f"property list uchar int vertex_indices\nend_header\n{points}{face}\n"
    ).encode()


BINARY = (
    b"ply\nformat binary_little_endian 1.0\nelement vertex 3\nproperty float x\n"
    b"property float y\nproperty float z\nelement face 1\n"
    b"property list uchar int vertex_indices\nend_header\n"
    + POINTS.tobytes()
    + struct.pack("<B3i", 3, 0, 1, 2)
)


def tree():
    """A glTF tree of one triangle; its buffer holds points, then indices."""
    return {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1}]}],
        "buffers": [{"byteLength": 42}],
        "bufferViews": [
            {"buffer": 0, "byteOffset": 0, "byteLength": 36},
            {"buffer": 0, "byteOffset": 36, "byteLength": 6},
        ],
        "accessors": [
            {"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3"},
            {"bufferView": 1, "componentType": 5123, "count": 3, "type": "SCALAR"},
        ],
    }


def payload(indices=(0, 1, 2)):
    return POINTS.tobytes() + struct.pack("<3H", *indices)


def glb(content, binary=None):
    text = json.dumps(content).encode()
    text += b" " * (-len(text) % 4)
    binary = payload() if binary is None else binary
    binary += b"\0" * (-len(binary) % 4)
    body = struct.pack("<I4s", len(text), b"JSON") + text
    body += struct.pack("<I4s", len(binary), b"BIN\0") + binary
    return struct.pack("<4sII", b"glTF", 2, 12 + len(body)) + body


def changed(**changes):
    """The tree with values set by path: nodes__0__mesh=3 sets nodes[0]["mesh"]."""
    content = tree()
    for path, value in changes.items():
        *parents, last = (int(w) if w.isdigit() else w for w in path.split("__"))
        place = content
        for word in parents:
            place = place[word]
        place[last] = value
    return content


def stl(count=1, facets=1):
    facet = np.zeros(3, "<f4").tobytes() + POINTS.tobytes() + b"\0\0"
    return b"\0" * 80 + struct.pack("<I", count) + facet * facets


OFF = b"OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n"


@pytest.fixture
def load(tmp_path):
    def run(name, data, **options):
        (tmp_path / name).write_bytes(data)
        return io.load_mesh(tmp_path / name, **options)

    return run


GLTF = json.dumps(
    changed(
        buffers=[
            {
                "byteLength": 42,
                "uri": "data:application/octet-stream;base64,"
                + base64.b64encode(payload()).decode(),
            }
        ]
    )
).encode()


@pytest.mark.parametrize(
    "name, data",
    [
        ("x.ply", ply()),
        ("x.PLY", BINARY),
        ("x.glb", glb(tree())),
        ("x.gltf", GLTF),
        ("x.stl", stl()),
        ("x.off", OFF),
        ("x.off", b"OFF # by hand\n" + OFF[4:]),
    ],
)
def test_every_format_gives_the_same_triangle(load, name, data):
    mesh = load(name, data)
    np.testing.assert_array_equal(mesh.vertices[mesh.faces[0]], POINTS)
    assert mesh.vertices.dtype == np.float32 and mesh.faces.dtype == np.int32
    assert len(mesh.materials) == 1 and mesh.face_material.tolist() == [0]


@pytest.mark.parametrize(
    "data, words",
    [
        (b"", "'ply'"),
        (b"plx" + BINARY[3:], "'ply'"),
        (BINARY.replace(b"end_header\n", b""), "end_header"),
        (ply(vertices=300), "301 elements|300 vertices"),
        (ply(faces=2), "."),
        (ply(vertices=2_000_000_000), "at most"),
        (BINARY.replace(b"vertex 3", b"vertex 2000000000"), "at most"),
        (BINARY.replace(b"vertex 3", b"vertex -3"), "element"),
        (BINARY.replace(b"vertex 3", b"vertex 400000"), "400001 elements"),
        (BINARY.replace(b"face 1", b"vertex 1"), "element"),
        (BINARY[:-5], "."),
        (BINARY[:-13] + struct.pack("<B3i", 255, 0, 1, 2), "."),
        (ply(face="3 0 1 3"), "0..2"),
        (ply(face="3 0 1 -5"), "."),
        (BINARY[:-4] + struct.pack("<i", 99), "0..2"),
        (BINARY[:-4] + struct.pack("<i", -5), "."),
        (ply(points="0 0 0\n1 0 nan\n0 1 0\n"), "finite"),
        (ply(faces=0, face=""), "no faces"),
    ],
)
def test_broken_ply_is_refused(load, data, words):
    with pytest.raises((io.FormatError, io.LimitError), match=words) as error:
        load("x.ply", data)
    assert "x.ply: " in str(error.value) and "\n" not in str(error.value)


def test_ply_polygons_and_colours_are_read(load):
    text = (
        b"ply\nformat ascii 1.0\nelement vertex 4\nproperty float x\nproperty float y\n"
        b"property float z\nproperty uchar red\nproperty uchar green\n"
        b"property uchar blue\nelement face 1\nproperty list uchar int vertex_indices\n"
        b"end_header\n0 0 0 255 0 0\n1 0 0 0 255 0\n1 1 0 0 0 255\n0 1 0 51 51 51\n"
        b"4 0 1 2 3\n"
    )
    mesh = load("x.ply", text)
    assert len(mesh.faces) == 2
    np.testing.assert_allclose(mesh.vertex_colors[3], 0.2)


@pytest.mark.parametrize(
    "data, words",
    [
        (b"", "binary glTF"),
        (b"junk" + glb(tree())[4:], "binary glTF"),
        (glb(tree())[:-20], "binary glTF"),
        (glb(tree())[:40], "binary glTF"),
        (glb([]), "JSON object"),
        (glb({}), "no faces"),
        (glb(changed(accessors__0__count=10**9)), "accessor 0"),
        (glb(changed(accessors__0__count=4)), "accessor 0"),
        (glb(changed(accessors__0__count=-1)), "whole number"),
        (glb(changed(accessors__1__byteOffset=2)), "accessor 1"),
        (glb(changed(accessors__0__componentType=1)), "."),
        (glb(changed(bufferViews__0__byteLength=99)), "buffer view"),
        (glb(changed(bufferViews__1__byteOffset=10**12)), "buffer view"),
        (glb(changed(bufferViews__1__buffer=1)), "."),
        (glb(changed(bufferViews__1__buffer=-1)), "whole number"),
        (glb(changed(buffers__0__byteLength=10**9)), "shorter"),
        (glb(changed(nodes__0__children=[0])), "cycle"),
        (glb(changed(nodes__0__children=[7])), "tree"),
        (glb(changed(nodes__0__mesh=1)), "."),
        (glb(tree(), payload((0, 1, 99))), "0..2"),
        (glb(tree(), b"\xff" * 36 + payload()[36:]), "finite"),
        (
            glb(changed(buffers=[{"byteLength": 42, "uri": "file:///etc/passwd"}])),
            "link",
        ),
        (glb(changed(buffers=[{"byteLength": 42, "uri": "../up.bin"}])), "link"),
        (glb(changed(buffers=[{"byteLength": 42, "uri": "%2e%2e/up.bin"}])), "link"),
        (glb(changed(buffers=[{"byteLength": 42, "uri": "http://x/y"}])), "link"),
        (glb(changed(buffers=[{"byteLength": 42, "uri": "none.bin"}])), "not found"),
        (glb(changed(buffers=[{"byteLength": 42, "uri": "data:;base64,!"}])), "."),
        (glb(changed(images=[{"uri": "../up.bin"}])), "link"),
        (glb(changed(images=[{"bufferView": 0}])), "PNG or JPEG"),
        (b'{"a":' + b"[" * 100_000, "."),
    ],
)
def test_broken_glb_is_refused(tmp_path, load, data, words):
    (tmp_path.parent / "up.bin").write_bytes(payload())
    with pytest.raises((io.FormatError, io.LimitError), match=words) as error:
        load("x.glb", data)
    assert "x.glb: " in str(error.value) and "\n" not in str(error.value)


def test_deep_json_is_refused(load):
    with pytest.raises(io.FormatError):
        load("x.gltf", b"[" * 100_000)


def test_shared_nodes_cannot_grow_without_bound(load):
    """Thirty nodes that each name the next twice would be a billion instances."""
    content = changed(scenes__0__nodes=[1])
    content["nodes"] += [{"children": [k, k]} for k in [0, *range(1, 30)]]
    start = time.monotonic()
    with pytest.raises(io.FormatError, match="two parents"):
        load("x.glb", glb(content))
    assert time.monotonic() - start < 2


def test_a_long_chain_of_nodes_is_read_and_a_longer_one_refused(load):
    for length, accepted in [(300, True), (5000, False)]:
        content = tree()
        content["nodes"] = [{"children": [k + 1]} for k in range(length)] + [
            {"mesh": 0}
        ]
        start = time.monotonic()
        if accepted:
            assert len(load("x.glb", glb(content)).faces) == 1
        else:
            with pytest.raises(io.LimitError, match="levels"):
                load("x.glb", glb(content))
        assert time.monotonic() - start < 2


def test_a_cycle_beside_a_good_tree_is_refused(load):
    content = tree()
    content["nodes"] += [{"children": [2]}, {"children": [1]}]
    with pytest.raises(io.FormatError, match="cycle"):
        load("x.glb", glb(content))


def test_a_spoilt_texture_is_refused_with_the_path(load):
    """Found by mutation: Pillow decodes late, after trimesh has returned."""
    picture = png(4, 4, 8, 0, b"\0" * 20)
    picture = picture.replace(b"IDATx", b"IDATy")
    content = changed(buffers__0__byteLength=42 + len(picture))
    view = {"buffer": 0, "byteOffset": 42, "byteLength": len(picture)}
    content["bufferViews"].append(view)
    content["images"] = [{"bufferView": 2, "mimeType": "image/png"}]
    content["textures"] = [{"source": 0}]
    surface = {"baseColorTexture": {"index": 0}}
    content["materials"] = [{"pbrMetallicRoughness": surface}]
    content["meshes"][0]["primitives"][0]["material"] = 0
    with pytest.raises(io.FormatError, match=r"x\.glb: "):
        load("x.glb", glb(content, payload() + picture))


def test_a_texture_bomb_is_refused_before_it_is_decoded(load):
    bomb = png(12000, 12000, 1, 0, bytes(1501) * 2)
    content = changed(buffers__0__byteLength=42 + len(bomb))
    view = {"buffer": 0, "byteOffset": 42, "byteLength": len(bomb)}
    content["bufferViews"].append(view)
    content["images"] = [{"bufferView": 2, "mimeType": "image/png"}]
    with pytest.raises(io.LimitError):
        load("x.glb", glb(content, payload() + bomb))


def test_linked_files_of_the_same_folder_are_read(tmp_path, load):
    (tmp_path / "a b.bin").write_bytes(payload())
    content = changed(buffers=[{"byteLength": 42, "uri": "a%20b.bin"}])
    mesh = load("x.gltf", json.dumps(content).encode())
    np.testing.assert_array_equal(mesh.vertices[mesh.faces[0]], POINTS)


def test_a_translated_child_lands_where_it_should(load):
    content = tree()
    turned = [0, 0, 0.7071067811865476, 0.7071067811865476]  # 90 degrees about z
    content["nodes"] = [
        {"children": [1, 2], "translation": [0, 0, 5], "rotation": turned},
        {"mesh": 0, "translation": [10, 0, 0]},
        {"mesh": 0, "scale": [-1, 1, 1]},
    ]
    mesh = load("x.glb", glb(content))
    assert len(mesh.faces) == 2 and len(mesh.vertices) == 6
    found = {
        tuple(np.round(corner, 5) + 0.0 for corner in mesh.vertices[face].ravel())
        for face in mesh.faces
    }
    moved = [(-p[1], p[0] + 10, 5) for p in POINTS]
    mirrored = [(-p[1], -p[0], 5) for p in POINTS][::-1]  # winding follows the mirror
    expected = {tuple(float(x) for p in part for x in p) for part in (moved, mirrored)}
    assert {tuple(map(float, corners)) for corners in found} == expected


def test_several_meshes_keep_their_order_and_materials(load):
    content = copy.deepcopy(tree())
    content["nodes"] = [{"mesh": 0}, {"mesh": 1}]
    content["scenes"] = [{"nodes": [1, 0]}]
    part = content["meshes"][0]["primitives"][0]
    content["meshes"] = [
        {"primitives": [{**part, "material": 1}]},
        {"primitives": [{**part, "material": 0}]},
    ]
    colors = ([1, 0, 0, 1], [0, 0, 1, 0.5])
    content["materials"] = [
        {"name": f"m{k}", "pbrMetallicRoughness": {"baseColorFactor": color}}
        for k, color in enumerate(colors)
    ]
    mesh = load("x.glb", glb(content))
    assert [material.name for material in mesh.materials] == ["m1", "m0"]
    np.testing.assert_allclose(mesh.materials[0].diffuse, [0, 0, 1])
    np.testing.assert_allclose(mesh.materials[0].opacity, 0.5, atol=0.003)
    assert mesh.face_material.tolist() == [0, 1]


@pytest.mark.parametrize(
    "name, data",
    [
        ("x.stl", b""),
        ("x.stl", stl(count=2)),
        ("x.stl", stl(count=2**32 - 1)),
        ("x.stl", stl(count=0, facets=0)),
        ("x.stl", stl()[:-3]),
        ("x.stl", b"solid x\nfacet normal 0 0 1\n"),
        ("x.off", b""),
        ("x.off", b"OFF\n"),
        ("x.off", OFF.replace(b"3 1 0", b"3000000000 1 0")),
        ("x.off", OFF.replace(b"3 1 0", b"4 1 0")),
        ("x.off", OFF.replace(b"3 0 1 2", b"3 0 1 7")),
        ("x.off", OFF.replace(b"1 0 0", b"nan 0 0")),
    ],
)
def test_broken_stl_and_off_are_refused(load, name, data):
    with pytest.raises((io.FormatError, io.LimitError)) as error:
        load(name, data)
    assert f"{name}: " in str(error.value)


def test_stl_corners_are_joined_by_place(load):
    mesh = load("x.stl", stl(count=4, facets=4))
    assert len(mesh.vertices) == 3 and len(mesh.faces) == 4
