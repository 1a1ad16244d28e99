"""Claims of tools.texture_atlas."""

import numpy as np
import pytest
import tensorflow as tf

from tfrender import io
from tfrender.ops.sample_texture import sample_texture
from tools.texture_atlas import texture_atlas

RED, BLUE = (1.0, 0.0, 0.0), (0.0, 0.0, 1.0)


def mesh_of(uv, materials, face_material=None):
    """Faces without a shape."""
    count = len(uv)
    return io.Mesh(
        np.zeros([3 * count, 3], np.float32),
        np.arange(3 * count, dtype=np.int32).reshape(count, 3),
        np.float32(uv),
        np.int32(face_material or [0] * count),
        tuple(materials),
        None,
    )


def letters(height=6, width=4, seed=0):
    """A picture without any symmetry."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def inside(uv, weights):
    """[F, 1, 2] point of every face."""
    return tf.constant(np.einsum("fkc,k->fc", uv, weights)[:, None], tf.float32)


def read(uv, texture, weights):
    """Colours [F, 3] at one point of every face."""
    place = inside(uv, weights)[np.newaxis]
    return sample_texture(tf.constant(texture), place).numpy()[0, :, 0]


def test_plain_materials_keep_their_colours_to_the_border_of_their_tiles():
    corners = [[0, 0], [1, 0], [0, 1]], [[1, 1], [0, 1], [1, 0]]
    materials = [io.Material("r", RED), io.Material("b", BLUE)]
    mesh = mesh_of(corners * 2, materials, [0, 1, 1, 0])
    uv, texture = texture_atlas(mesh, side=8)
    assert texture.shape == (1, 16, 8, 3)
    for weights in (*np.eye(3), [0.2, 0.3, 0.5]):
        got = read(uv, texture, np.float32(weights))
        np.testing.assert_allclose(got, [RED, BLUE, BLUE, RED], atol=1e-6)


def test_a_mesh_without_texture_coordinates_has_the_colours_of_its_materials():
    mesh = mesh_of(np.zeros([2, 3, 2]), [io.Material("b", BLUE)])._replace(uv=None)
    got = read(*texture_atlas(mesh, side=4), np.float32([0.3, 0.3, 0.4]))
    np.testing.assert_allclose(got, [BLUE, BLUE], atol=1e-6)


@pytest.mark.parametrize("shift", [(0, 0), (2, -3)])
def test_a_texture_reads_as_it_does_alone_wherever_its_tile_lies(shift):
    side = 64
    picture = io.to_uint8(np.linspace(0, 1, side * side * 3).reshape(side, side, 3))
    corners = np.float32([[[0.1, 0.2], [0.9, 0.3], [0.4, 0.8]]])
    materials = [io.Material("r", RED), io.Material("t", texture=picture)]
    mesh = mesh_of(corners + np.float32(shift), materials, [1])
    uv, texture = texture_atlas(mesh, side=side)
    for weights in ([0.2, 0.3, 0.5], [0.6, 0.2, 0.2]):
        want = read(corners, picture[None] / np.float32(255), np.float32(weights))
        got = read(uv, texture, np.float32(weights))
        np.testing.assert_allclose(got, want, atol=2e-3)


def test_a_repeated_texture_repeats():
    picture = letters().repeat(16, axis=0).repeat(16, axis=1)  # 96 x 64, large blocks
    corners = np.float32([[[0.0, 0.0], [2.0, 0.0], [0.0, 3.0]]])
    mesh = mesh_of(corners, [io.Material("t", texture=picture)])
    uv, texture = texture_atlas(mesh, side=384)
    # In the middle of a block: u = 1.375 is column 1 of 4, v = 0.75 is row 1 of 6.
    weights = np.float32([1 - 1.375 / 2 - 0.75 / 3, 1.375 / 2, 0.75 / 3])
    want = picture[16 + 8, 16 + 8] / 255
    np.testing.assert_allclose(read(uv, texture, weights)[0], want, atol=0.02)


def test_texture_coordinates_stay_inside_whatever_they_were():
    uv = np.random.default_rng(0).uniform(-20, 20, (50, 3, 2))
    mesh = mesh_of(uv, [io.Material("t", texture=letters())])
    uv, texture = texture_atlas(mesh, side=16)
    assert uv.dtype == texture.dtype == np.float32
    assert uv.min() >= 0.0 and uv.max() <= 1.0
    assert texture.min() >= 0.0 and texture.max() <= 1.0
