"""Colours, textures, normals and lights of every layer that draws meshes."""

import numpy as np
import pytest
import tensorflow as tf

from tests.layers.mesh_scenes import (
    LAMPS,
    SIZE,
    box,
    each_layer,
    plain,
    sphere,
    view,
    world_points,
)
from tfrender.ops.shade import DirectionalLight, shade
from tfrender.ops.texture_cubes import cubes_from_vertex_colors


@each_layer
def test_flat_light_is_shade_of_the_normal(kind):
    vertices, faces = box()
    colors = tf.random.stateless_uniform([1, 8, 3], [0, 1])
    base = plain(kind)(vertices, faces, view(), vertex_colors=colors)
    lit = plain(kind, lights=[LAMPS[1]])(vertices, faces, view(), vertex_colors=colors)
    lamp = DirectionalLight(LAMPS[1]["direction"], 0.7)
    want = shade(base["rgb"], base["normal"], [lamp])
    np.testing.assert_allclose(lit["rgb"], want, atol=1e-5)
    assert 0.1 < want.numpy().max()
    ambient = plain(kind, lights=[LAMPS[0]])(
        vertices, faces, view(), vertex_colors=colors
    )
    want = base["rgb"] * LAMPS[0]["color"]
    np.testing.assert_allclose(ambient["rgb"], want, atol=1e-6)


@pytest.mark.parametrize("projection", ["perspective", "orthographic"])
@each_layer
def test_highlights_use_position_and_eye(kind, projection):
    vertices, faces = box()
    settings = {"lights": LAMPS[:3], "material": {"specular": 0.4, "shininess": 5}}
    camera = view(1, SIZE, projection)
    base = plain(kind)(vertices, faces, camera)
    got = plain(kind, shading="phong", **settings)(vertices, faces, camera)["rgb"][0]
    mask = base["mask"].numpy()[0, ..., 0]
    n = base["normal"].numpy()[0][mask]
    p = world_points(base, vertices, faces)[mask]
    matrix = camera.world_to_camera[0].numpy()
    v = matrix[:3, :3].T @ -matrix[:3, 3] - p
    v = v if projection == "perspective" else np.broadcast_to(matrix[2, :3], p.shape)
    v = v / np.linalg.norm(v, axis=-1, keepdims=True)
    want = np.tile(np.float64(LAMPS[0]["color"]), (len(p), 1))
    direction = np.float64(LAMPS[1]["direction"])
    to_lamp = np.float64(LAMPS[2]["position"]) - p
    distance = np.linalg.norm(to_lamp, axis=-1, keepdims=True)
    for way, power in (
        (direction, 0.7 * np.linalg.norm(direction)),
        (to_lamp, 1 / (1 + 0.1 * distance**2)),
    ):
        way = way / np.linalg.norm(way, axis=-1, keepdims=True)
        cosine = (n * way).sum(-1, keepdims=True)
        mirror = ((2 * cosine * n - way) * v).sum(-1, keepdims=True)
        shine = np.where((cosine > 0) & (mirror > 0), np.maximum(mirror, 0) ** 5, 0)
        want = want + power * (np.maximum(cosine, 0) + 0.4 * shine)
    np.testing.assert_allclose(got.numpy()[mask], want, atol=2e-4)


@each_layer
def test_every_source_of_colour_shows_the_same_ramp(kind):
    vertices, faces = box()
    # Colours linear in uv, as a texture large enough to be read linearly.
    uv = tf.random.stateless_uniform([8, 2], [0, 3], 0.1, 0.9)
    slope = tf.constant([[0.7, 0.1, 0.4], [0.2, 0.6, -0.3]])
    colors = uv @ slope + 0.3
    v, u = np.meshgrid(
        1 - (np.arange(64) + 0.5) / 64, (np.arange(48) + 0.5) / 48, indexing="ij"
    )
    ramp = np.stack([u, v], -1) @ slope.numpy() + 0.3
    cubes = cubes_from_vertex_colors(colors, faces)
    corner_colors = tf.gather(colors, faces)[tf.newaxis]
    layer = plain(kind, texture_filtering="bilinear", outputs=("rgb",))

    def draw(**appearance):
        return layer(vertices, faces, view(), **appearance)["rgb"].numpy()

    want = draw(vertex_colors=colors)
    assert want.std() > 0.1
    for appearance in (
        {"vertex_colors": colors[tf.newaxis]},
        {"vertex_colors": corner_colors},
        {"texture_cubes": cubes},
        {"texture_cubes": cubes[tf.newaxis]},
        {"uv": uv, "texture": np.float32(ramp[np.newaxis])},
        {"uv": tf.gather(uv, faces)[np.newaxis], "texture": ramp[np.newaxis]},
    ):
        np.testing.assert_allclose(draw(**appearance), want, atol=2e-4)
    none = layer(vertices, faces, view(), vertex_colors=colors[:, :1])["rgb"]
    np.testing.assert_allclose(none, want[..., :1], atol=1e-6)


@each_layer
def test_mipmaps_show_the_mean_of_what_is_finer_than_a_pixel(kind):
    vertices, faces = box()
    chess = np.indices((128, 128)).sum(0)[np.newaxis, ..., np.newaxis] % 2
    inputs = {"uv": vertices[..., :2], "texture": np.float32(chess)}
    spread = {}
    for filtering in ("mipmap", "bilinear", "nearest"):
        layer = plain(kind, texture_filtering=filtering, background=0.5)
        rgb = layer(vertices, faces, view(), **inputs)["rgb"]
        assert rgb.shape[-1] == 1
        spread[filtering] = np.abs(rgb - 0.5).max()
    assert spread["mipmap"] < 0.02
    assert spread["bilinear"] > 0.2 and spread["nearest"] == 0.5


@each_layer
def test_given_normals_are_interpolated(kind):
    vertices, faces = sphere()
    layer = plain(kind, outputs=("normal", "mask", "face_index", "barycentric"))
    got = layer(vertices, faces, view(), normals=vertices)
    mask = got["mask"].numpy()[0, ..., 0]
    points = world_points(got, vertices, faces)[mask]
    want = points / np.linalg.norm(points, axis=-1, keepdims=True)
    np.testing.assert_allclose(got["normal"].numpy()[0][mask], want, atol=1e-5)
    flipped = layer(vertices, faces[:, ::-1].copy(), view(), normals=-vertices)
    np.testing.assert_allclose(flipped["normal"], got["normal"], atol=1e-5)
