"""Round trips through the writers: OBJ, PLY, GLB."""

import json
import logging
import os

import numpy as np
import pytest

from tests.io.test_meshes import ASSETS
from tfrender import io

TEXTURED = ASSETS / "chair" / "scopia_chair3.obj"
RNG = np.random.default_rng(0)


def corner_points(mesh):
    """Corners with uv and colour: what a viewer sees, whatever the vertex order."""
    parts = [mesh.vertices[mesh.faces]]
    if mesh.uv is not None:
        parts.append(mesh.uv)
    if mesh.vertex_colors is not None:
        parts.append(mesh.vertex_colors[mesh.faces])
    return np.concatenate(parts, -1)


def by_material(mesh):
    order = np.argsort(mesh.face_material, kind="stable")
    return corner_points(mesh)[order], mesh.face_material[order]


@pytest.mark.parametrize("suffix", ["obj", "glb"])
def test_a_textured_mesh_survives(tmp_path, suffix):
    mesh = io.load_mesh(TEXTURED)
    path = tmp_path / f"new.{suffix}"
    io.save_mesh(path, *mesh)
    back = io.load_mesh(path)
    expected, materials = by_material(mesh)
    found, found_materials = by_material(back)
    np.testing.assert_allclose(found, expected, atol=2e-6)
    np.testing.assert_array_equal(found_materials, materials)
    assert len(back.materials) == len(mesh.materials)
    for old, new in zip(mesh.materials, back.materials, strict=True):
        assert (old.texture is None) == (new.texture is None)
        if old.texture is not None:
            np.testing.assert_array_equal(new.texture, old.texture)
        else:
            # trimesh reads factors of light as bytes: coarse in the dark.
            np.testing.assert_allclose(new.diffuse, old.diffuse, atol=0.026)
        np.testing.assert_allclose(new.opacity, old.opacity, atol=0.003)
    if suffix == "obj":
        np.testing.assert_array_equal(back.vertices, mesh.vertices)
    assert not [name for name in os.listdir(tmp_path) if "tmp" in name]


@pytest.mark.parametrize("suffix", ["obj", "ply", "glb"])
@pytest.mark.parametrize("colored", [False, True])
@pytest.mark.parametrize("materials", [(), (io.Material("m"),)])
def test_geometry_and_vertex_colours_survive(tmp_path, suffix, colored, materials):
    vertices = RNG.normal(size=[9, 3]).astype(np.float32)
    faces = RNG.integers(0, 9, [7, 3])
    colors = RNG.integers(0, 256, [9, 3], np.uint8) / 255 if colored else None
    path = tmp_path / f"x.{suffix}"
    io.save_mesh(path, vertices, faces, None, None, materials, colors)
    back = io.load_mesh(path)
    np.testing.assert_array_equal(back.vertices[back.faces], vertices[faces])
    assert (back.vertex_colors is not None) == colored
    if colored:
        found = back.vertex_colors[back.faces]
        atol = 0.026 if suffix == "glb" else 1e-5  # bytes of linear light
        np.testing.assert_allclose(found, colors[faces], atol=atol)


def test_a_glb_holds_linear_factors_and_a_white_one_under_textures(tmp_path):
    materials = (
        io.Material("m", (0.5, 0.0, 1.0), 0.25),
        io.Material("t", (0.5, 0.5, 0.5), 1.0, np.zeros([2, 2, 3], np.uint8)),
    )
    faces, uv = [[0, 1, 2], [0, 2, 1]], np.zeros([2, 3, 2])
    io.save_mesh(tmp_path / "x.glb", np.eye(3), faces, uv, [0, 1], materials)
    data = (tmp_path / "x.glb").read_bytes()
    size = int.from_bytes(data[12:16], "little")
    tree = json.loads(data[20 : 20 + size])
    factors = [m["pbrMetallicRoughness"]["baseColorFactor"] for m in tree["materials"]]
    np.testing.assert_allclose(factors[0], [0.214041, 0, 1, 0.25], atol=1e-6)
    np.testing.assert_allclose(factors[1], [1, 1, 1, 1])


def test_numbers_of_an_obj_are_exact(tmp_path):
    vertices = (RNG.normal(size=[50, 3]) * 10.0 ** RNG.integers(-6, 6, [50, 1])).astype(
        np.float32
    )
    faces = RNG.integers(0, 50, [30, 3])
    uv = RNG.normal(size=[30, 3, 2]).astype(np.float32)
    io.save_mesh(tmp_path / "x.obj", vertices, faces, uv)
    back = io.load_mesh(tmp_path / "x.obj")
    np.testing.assert_array_equal(back.vertices, vertices)
    np.testing.assert_array_equal(back.uv, uv)


def test_material_names_become_unique_words(tmp_path, caplog):
    materials = (io.Material("a b"), io.Material("a b", (1, 0, 0)), io.Material("#/ä"))
    vertices, faces = np.eye(3), np.array([[0, 1, 2]] * 3)
    io.save_mesh(tmp_path / "x.obj", vertices, faces, None, [2, 1, 0], materials)
    back = io.load_mesh(tmp_path / "x.obj")
    names = [material.name for material in back.materials]
    assert len(set(names)) == 3 and back.materials[1].diffuse == (1, 0, 0)


def test_ply_warns_that_it_leaves_textures_out(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        io.save_mesh(tmp_path / "x.ply", *io.load_mesh(TEXTURED))
    assert "PLY" in caplog.records[0].getMessage()


@pytest.mark.parametrize(
    "options, words",
    [
        ({"faces": [[0, 1, 3]]}, "indices"),
        ({"uv": np.zeros([1, 3])}, "`uv`"),
        ({"uv": np.full([1, 3, 2], np.nan)}, "`uv`"),
        ({"face_material": [1]}, "`face_material`"),
        ({"face_material": [0, 0]}, "`face_material`"),
        ({"vertex_colors": np.full([3, 3], 2.0)}, "[0, 1]"),
        ({"vertex_colors": np.zeros([2, 3])}, "`vertex_colors`"),
        ({"path": "x.stl"}, ".glb, .obj, .ply"),
    ],
)
def test_bad_arguments_are_named_and_nothing_is_written(tmp_path, options, words):
    arguments = {
        "path": "x.obj",
        "vertices": np.eye(3),
        "faces": [[0, 1, 2]],
        **options,
    }
    arguments["path"] = tmp_path / arguments["path"]
    with pytest.raises(ValueError) as error:
        io.save_mesh(**arguments)
    assert words in str(error.value)
    assert not os.listdir(tmp_path)
