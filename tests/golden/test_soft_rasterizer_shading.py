"""Normals, light and surface texels against arrays of the original."""

import json
import re

import numpy as np
import pytest
import tensorflow as tf

from tests.golden import cases
from tfrender.ops.shade import AmbientLight, DirectionalLight, shade
from tfrender.ops.surface_texels import sample_texels, texels_from_atlas
from tfrender.ops.triangle_normals import guarded_unit, triangle_cross, triangle_normals

SYSTEM = "soft_rasterizer"


def each(*patterns):
    return pytest.mark.parametrize(
        "path", cases.holding(SYSTEM, *patterns), ids=cases.name_of
    )


def options(path):
    return json.loads(str(cases.load(path)["options"]))


HARD_SURFACES = [
    path
    for path in cases.holding(SYSTEM, "options", "face_textures", "aggr")
    if options(path)["ttype"] == "surface" and options(path)["rgb"] == "hard"
]


def screen_weights(face_vertices, index, size):
    """Clipped barycentrics on the screen of each pixel's face, [B, S, S, 3]."""
    place = (2 * np.arange(size) + 1 - size) / size
    x, y = np.meshgrid(place, place[::-1])
    corners = np.stack(
        [one[np.maximum(f, 0)] for one, f in zip(face_vertices, index, strict=True)]
    ).astype(np.float64)  # [B, S, S, 3, 3]
    px, py = corners[..., 0], corners[..., 1]
    area = 0.0
    weight = []
    for a, b in ((1, 2), (2, 0), (0, 1)):
        part = (px[..., a] - x) * (py[..., b] - y) - (px[..., b] - x) * (py[..., a] - y)
        weight.append(part)
        area = area + part
    weight = np.clip(np.stack(weight, -1) / area[..., None], 0, 1)
    return weight / weight.sum(-1, keepdims=True)


@pytest.mark.parametrize("path", HARD_SURFACES, ids=cases.name_of)
def test_texels_and_their_gradient_equal_the_original(path):
    data, settings = cases.load(path), options(path)
    index = data["aggr"][:, 1].astype(np.int32)
    assert (index >= 0).any()
    weights = screen_weights(data["face_vertices"], index, settings["image_size"])
    texels = tf.constant(data["face_textures"], tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(texels)
        color = sample_texels(texels, index, weights)
        upstream = np.moveaxis(data["grad_image"][:, :3], 1, -1)
        loss = tf.reduce_sum(color * upstream)
    seen = (index >= 0) & data["valid"]
    want = np.moveaxis(data["image"][:, :3], 1, -1)
    np.testing.assert_allclose(color.numpy()[seen], want[seen], atol=1e-5)
    gradient = tape.gradient(loss, texels)
    np.testing.assert_allclose(gradient, data["grad_face_textures"], atol=1e-4)


@each("atlas_image", "atlas_face_textures_R*")
def test_texels_cut_from_an_image_equal_the_loader_of_the_original(path):
    data = cases.load(path)
    name = next(name for name in data if name.startswith("atlas_face_textures_R"))
    resolution = int(name.rpartition("_R")[2])
    # Their images have v = 0 in row 0.
    image = data["atlas_image"][np.newaxis, ::-1]
    got = texels_from_atlas(image, data["atlas_uv"][np.newaxis], resolution)[0]
    updated = data["atlas_update"].astype(bool)
    assert updated.any()
    np.testing.assert_allclose(got[updated], data[name][updated], atol=1e-5)


@each("mesh_vertices", "surface_normals", "vertex_normals")
def test_normals_equal_the_original(path):
    data = cases.load(path)
    corners = data["mesh_vertices"][data["mesh_faces"]]
    normal = triangle_normals(corners, eps=1e-6)
    np.testing.assert_allclose(normal, data["surface_normals"][0], atol=1e-5)
    cross = np.repeat(triangle_cross(corners)[:, None], 3, axis=1).reshape(-1, 3)
    count = len(data["mesh_vertices"])
    total = tf.math.unsorted_segment_sum(cross, data["mesh_faces"].reshape(-1), count)
    at_vertices = guarded_unit(total, eps=1e-6)
    np.testing.assert_allclose(at_vertices, data["vertex_normals"][0], atol=1e-5)


@each("light_surface", "light_params")
def test_light_equals_the_original(path):
    data = cases.load(path)
    # "ambient 0.5*(1,.9,.8); directional 0.6*(.9,1,.7) direction (.3,1,-.5) ..."
    number = r"-?\d*\.?\d+"
    found = [
        [float(value) for value in re.findall(number, part)]
        for part in re.split("directional|direction", str(data["light_params"]))
    ]
    ambient, color, direction = found
    lights = [
        AmbientLight(ambient[0] * np.array(ambient[1:4])),
        DirectionalLight(direction[:3], color[0] * np.array(color[1:4])),
    ]
    normal = data["surface_normals"]
    got = shade(np.ones_like(normal), normal, lights)
    np.testing.assert_allclose(got, data["light_surface"], atol=1e-5)
