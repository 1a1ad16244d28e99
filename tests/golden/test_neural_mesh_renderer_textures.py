"""Texture cubes and flat lighting against arrays of the original.

The arrays keep their raster order (row 0 at the bottom), which a reading pixel by pixel
does not notice.
"""

import pathlib

import numpy as np
import pytest
import tensorflow as tf

from tests.golden import cases
from tfrender.io import load_mesh
from tfrender.ops.shade import AmbientLight, DirectionalLight, shade
from tfrender.ops.texture_cubes import (
    ATLAS_TILE,
    cubes_from_uv,
    cubes_to_atlas,
    sample_texture_cubes,
)
from tfrender.ops.triangle_normals import triangle_normals

SYSTEM = "neural_mesh_renderer"
# The mesh that the loader's arrays belong to; it is not part of them.
CUBE = pathlib.Path(__file__).parent / "data" / SYSTEM / "textured_cube" / "cube.obj"
DEFAULT_LIGHTS = [AmbientLight(0.5), DirectionalLight([0.0, 1.0, 0.0], 0.5)]


def each(*patterns):
    return pytest.mark.parametrize(
        "path", cases.holding(SYSTEM, *patterns), ids=cases.name_of
    )


def barycentrics(data):
    """Perspective-correct weights w_k z_p / z_k of the original's maps, 0 outside."""
    index = data["out_face_index_map"]
    depth = data["in_faces"][..., 2]  # [B, F, 3]
    rows = np.maximum(index, 0).reshape(len(index), -1, 1)
    corner = np.take_along_axis(depth, rows, axis=1).reshape(*index.shape, 3)
    weight = data["out_weight_map"] * data["out_depth_map"][..., None] / corner
    return np.where(index[..., None] >= 0, weight, 0.0).astype(np.float32)


@each("in_textures", "out_rgb_map")
def test_colours_and_their_gradient_equal_the_original(path):
    data = cases.load(path)
    index = data["out_face_index_map"]
    cubes = tf.constant(data["in_textures"].astype(np.float32))
    with tf.GradientTape() as tape:
        tape.watch(cubes)
        seen = sample_texture_cubes(
            cubes, index, barycentrics(data), eps=float(data["in_eps"])
        )
        empty = (index < 0)[..., None]
        image = seen + tf.where(empty, tf.cast(data["in_background"], tf.float32), 0.0)
        loss = tf.reduce_sum(image * data["in_grad_rgb_map"])
    gradient = tape.gradient(loss, cubes).numpy()
    # Index, weights and depth are the original's own, so only rounding is left.
    np.testing.assert_allclose(image, data["out_rgb_map"], atol=1e-5)
    want = data.get("out_grad_textures_rgb")
    if want is None:
        gradient = gradient.sum((2, 3, 4))
        want = data["out_grad_textures_rgb_texelsum"]
    np.testing.assert_allclose(gradient, want, atol=1e-5 * max(1, np.abs(want).max()))


@each("textures_ts*", "faces")
def test_cubes_cut_from_an_image_equal_the_loader_of_the_original(path):
    data, mesh = cases.load(path), load_mesh(str(CUBE))
    if not np.array_equal(mesh.faces, data["faces"]):
        pytest.skip("made from another mesh than the one in our folder")
    compared = 0
    for name in (name for name in data if name.startswith("textures_ts")):
        want = data[name]
        size = want.shape[1]
        for number, material in enumerate(mesh.materials):
            chosen = mesh.face_material == number
            if material.texture is None:
                # The original's grey stands where the file names no material.
                flat = want[chosen].reshape(chosen.sum(), -1, 3)
                assert (flat == flat[:, :1]).all()
                continue
            image = material.texture[None, ..., :3].astype(np.float32) / 255
            got = cubes_from_uv(image, mesh.uv[None, chosen], size)[0].numpy()
            known = np.isfinite(want[chosen])  # texel [0, 0, 0] is NaN there
            assert known.sum() >= chosen.sum() * 3 * (size**3 - 1)
            assert np.isfinite(got).all()
            np.testing.assert_allclose(got[known], want[chosen][known], atol=1e-5)
            compared += known.sum()
    assert compared


@each("textures", "image", "vt")
def test_the_atlas_equals_the_writer_of_the_original(path):
    data = cases.load(path)
    image, corner_uv = cubes_to_atlas(data["textures"])
    np.testing.assert_allclose(corner_uv, data["vt"], atol=1e-6)
    assert image.shape == data["image"].shape
    wide = image.shape[1] // ATLAS_TILE
    for face in range(len(data["textures"])):
        row, column = divmod(face, wide)
        tile = np.s_[
            row * ATLAS_TILE : (row + 1) * ATLAS_TILE,
            column * ATLAS_TILE : (column + 1) * ATLAS_TILE,
        ]
        np.testing.assert_allclose(
            image[::-1][tile], data["image"][::-1][tile], atol=1e-5
        )
    # Tiles of no face hold whatever was in the original's memory; ours are black.
    used = np.zeros(image.shape[:2], bool)
    for face in range(len(data["textures"])):
        row, column = np.array(divmod(face, wide)) * ATLAS_TILE
        used[row : row + ATLAS_TILE, column : column + ATLAS_TILE] = True
    assert not image[::-1].numpy()[~used].any()


@each("light_faces", "light_default")
def test_default_light_and_its_gradient_equal_the_original(path):
    data = cases.load(path)
    corners = tf.constant(data["light_faces"])
    with tf.GradientTape() as tape:
        tape.watch(corners)
        # The original's normals point into counter-clockwise triangles.
        normal = -triangle_normals(corners, eps=1e-5, rule="added")
        light = shade(tf.ones_like(normal), normal, DEFAULT_LIGHTS)
        textures = data["light_textures"] * light[:, :, None, None, None]
        loss = tf.reduce_sum(textures * data["light_g"])
    np.testing.assert_allclose(textures, data["light_default"], atol=1e-5)
    want = data["light_grad_faces"]
    np.testing.assert_allclose(
        tape.gradient(loss, corners), want, rtol=1e-4, atol=1e-5 * np.abs(want).max()
    )


@each("light_faces", "light_custom")
def test_coloured_light_equals_the_original(path):
    data = cases.load(path)
    normal = -triangle_normals(data["light_faces"], eps=1e-5, rule="added").numpy()
    factor = data["light_custom"] / data["light_textures"]
    factor = factor.reshape(*normal.shape[:2], -1, 3).mean(2)
    # The lamps are not in the file. Dark faces show the ambient light; the product of
    # direction and colour then follows from the lit ones, channel by channel.
    ambient = factor.min((0, 1))
    lit = (factor - ambient)[..., 1] > 1e-4
    assert lit.sum() > 4
    solved, *_ = np.linalg.lstsq(normal[lit], (factor - ambient)[lit], rcond=None)
    direction = solved[:, 1]
    color = np.linalg.norm(solved, axis=0) / np.linalg.norm(direction)
    lights = [AmbientLight(ambient), DirectionalLight(direction, color)]
    light = shade(np.ones_like(normal), normal, lights)
    got = data["light_textures"] * light.numpy()[:, :, None, None, None]
    np.testing.assert_allclose(got, data["light_custom"], atol=1e-5)
