"""Colours, textures and lights of the Soft Rasterizer."""

import numpy as np
import pytest
import tensorflow as tf

from tests.layers.mesh_scenes import LAMPS, SIZE, assert_same, box, sphere, view
from tests.layers.test_soft_rasterizer import HARD, SOFT, soft, tints
from tfrender.geometry.normals import face_normals, vertex_normals
from tfrender.layers.mesh_renderer import MeshRenderer
from tfrender.ops.neural_rasterize import project_faces
from tfrender.ops.rasterize_corners import face_corners
from tfrender.ops.soft_blend import SoftBlend
from tfrender.ops.soft_rasterize import soft_rasterize
from tfrender.ops.surface_texels import texels_from_atlas
from tfrender.ops.texture_cubes import cubes_from_vertex_colors


def test_texels_are_those_of_the_op():
    vertices, faces = box(2)
    texels = tf.random.stateless_uniform([2, 12, 9, 4], [0, 1])
    camera, settings = view(2), {"background": 0.3}
    got = soft(**settings)(vertices, faces, camera, texels=texels)
    want = soft_rasterize(
        project_faces(camera, vertices, faces),
        texels,
        SIZE,
        blend=SoftBlend(**SOFT),
        depth_range=(0.1, 100.0),
        double_sided=True,
        **settings,
    )
    np.testing.assert_allclose(got["rgb"], want.rgb, atol=1e-6)
    np.testing.assert_allclose(got["alpha"][..., 0], want.alpha, atol=1e-6)
    one = soft(**settings)(vertices[:1], faces, camera, texels=texels[0])
    many = soft(**settings)(
        tf.tile(vertices[:1], [2, 1, 1]), faces, camera, texels=texels[:1]
    )
    assert_same(one, many)


def test_textures_and_cubes_show_their_colours_as_finely_as_texels_are():
    vertices, faces = box()
    uv = tf.random.stateless_uniform([8, 2], [0, 3], 0.1, 0.9)
    ramp = tf.constant([[0.7, 0.1, 0.4], [0.2, 0.6, -0.3]])
    colors = uv @ ramp + 0.3
    v, u = np.meshgrid(
        1 - (np.arange(64) + 0.5) / 64, (np.arange(48) + 0.5) / 48, indexing="ij"
    )
    texture = np.float32(np.stack([u, v], -1) @ ramp.numpy() + 0.3)[np.newaxis]
    cubes = cubes_from_vertex_colors(colors, faces)
    want = soft()(vertices, faces, view(), vertex_colors=colors)["rgb"]
    errors = {}
    for resolution in (2, 16):
        layer = soft(texel_resolution=resolution)
        first, *others = (
            layer(vertices, faces, view(), **appearance)["rgb"]
            for appearance in (
                {"uv": uv, "texture": texture},
                {"uv": tf.gather(uv, faces)[np.newaxis], "texture": texture},
                {"texture_cubes": cubes},
                {"texture_cubes": cubes[tf.newaxis]},
            )
        )
        for other in others:
            np.testing.assert_allclose(first, other, atol=1e-4)
        errors[resolution] = np.abs(first - want).max()
    assert errors[16] < 0.03 < errors[2] < 0.3


def test_parity_reads_textures_as_the_loader_of_the_original():
    vertices, faces = box(2)
    texture = tf.random.stateless_uniform([1, 5, 7, 3], [0, 1])
    uv = tf.random.stateless_uniform([2, 8, 2], [0, 2], 0.0, 1.0)
    layer = soft(parity=True, texel_resolution=3)
    texels = texels_from_atlas(texture, face_corners(uv, faces), 3)
    got = layer(vertices, faces, view(2), uv=uv, texture=texture)
    assert_same(got, layer(vertices, faces, view(2), texels=texels))
    new = soft(texel_resolution=3)(vertices, faces, view(2), uv=uv, texture=texture)
    assert np.abs(new["rgb"] - got["rgb"]).max() > 0.05
    shared = layer(vertices, faces, view(2), uv=uv[0], texture=texture)
    np.testing.assert_allclose(shared["rgb"][0], got["rgb"][0], atol=1e-6)


def test_flat_light_is_that_of_the_other_layers():
    vertices, faces = box(2)
    hard = soft(lights=LAMPS[:2], modes=HARD, outputs=("rgb",))
    exact = MeshRenderer(SIZE, False, lights=LAMPS[:2], outputs=("rgb",))
    assert_same(hard(vertices, faces, view(2)), exact(vertices, faces, view(2)))


@pytest.mark.parametrize("parity", [False, True])
def test_light_multiplies_colours_of_corners_and_texels(parity):
    vertices, faces = sphere()
    vertices = 0.6 * vertices
    colors, normals = tints(vertices)[tf.newaxis], vertex_normals(vertices, faces)
    direction = np.float32(LAMPS[1]["direction"])
    light = 0.7 * tf.maximum(tf.linalg.matvec(normals, direction), 0.0) + 0.2
    lights = [{"kind": "ambient", "color": 0.2}, LAMPS[1]]
    # Backs, which are lit from the other side unless in parity, do not shine through.
    modes = {"color": "softmax" if parity else "hard"}
    layer, unlit = (
        soft(lights=lamps, parity=parity, modes=modes) for lamps in (lights, None)
    )
    given = {} if parity else {"normals": normals}
    got = layer(vertices, faces, view(), vertex_colors=colors, **given)
    lit = colors * light[..., tf.newaxis]
    assert_same(got, unlit(vertices, faces, view(), vertex_colors=lit))
    texels = tf.random.stateless_uniform([1, len(faces), 4, 3], [0, 1])
    light = 0.7 * tf.maximum(face_normals(vertices, faces) @ direction[:, None], 0.0)
    got = layer(vertices, faces, view(), texels=texels)
    lit = texels * (0.2 + light[..., tf.newaxis])
    assert_same(got, unlit(vertices, faces, view(), texels=lit))


@pytest.mark.parametrize(
    "nasty", ["zeros", "behind", "through", "huge", "tiny", "needle", "none", "padding"]
)
@pytest.mark.parametrize("parity", [False, True])
def test_any_finite_mesh_gives_finite_pictures_and_gradients(parity, nasty):
    vertices, faces = box()
    camera = view()
    eye = tf.linalg.inv(camera.world_to_camera)[:, tf.newaxis, :3, 3]
    vertices = {
        "zeros": 0 * vertices,
        "behind": vertices + 2 * eye,
        "through": 4 * vertices + eye,
        "huge": 1e18 * vertices,
        "tiny": 1e-18 * vertices,
        "needle": vertices * [1.0, 1e-7, 1e-7],
    }.get(nasty, vertices)
    faces = {"none": faces[:0], "padding": 0 * faces - 1}.get(nasty, faces)
    texture = tf.random.stateless_uniform([1, 4, 5, 3], [0, 1])
    uv = tf.random.stateless_uniform([8, 2], [0, 2])
    layer = soft(lights=LAMPS, shading="phong", parity=parity, supersampling=2)
    with tf.GradientTape() as tape:
        sources = [vertices, uv, texture, *camera]
        tape.watch(sources)
        got = layer(vertices, faces, camera, uv=uv, texture=texture)
        loss = sum(tf.reduce_sum(value**2) for value in got.values())
    slopes = tape.gradient(loss, sources, unconnected_gradients="zero")
    for value in (*got.values(), *slopes):
        assert np.isfinite(value).all()
