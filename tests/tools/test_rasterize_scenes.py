import numpy as np
import pytest

from tfrender.ops.rasterize import rasterize
from tools import rasterize_scenes

# Faces, views, side and covered share of the pixels of each scene, in per cent.
TABLE = {
    "ico1k_b8_128": (1280, 8, 128, 19.1),
    "ico1k_b64_128": (1280, 64, 128, 19.1),
    "ico1k_b8_256": (1280, 8, 256, 19.1),
    "torus2k_b1_256": (2464, 1, 256, 19.7),
    "torus2k_b8_256": (2464, 8, 256, 19.7),
    "torus20k_b1_512": (20000, 1, 512, 19.8),
    "torus200k_b1_512": (200000, 1, 512, 19.8),
}


@pytest.mark.parametrize("name", list(TABLE))
def test_counts_and_covered_pixels_are_those_of_the_table(name):
    count, batch, side, covered = TABLE[name]
    assert set(TABLE) == set(rasterize_scenes.SCENES)
    scene = rasterize_scenes.make_scene(name)
    assert scene.faces.shape == (count, 3) and scene.image_size == (side, side)
    assert scene.clip_vertices.shape[0] == batch
    views = scene.clip_vertices[:2]  # two views tell
    mask = rasterize(views, scene.faces, scene.image_size).mask.numpy()
    assert abs(100.0 * mask.mean() - covered) < 0.35


@pytest.mark.parametrize("level", [0, 1, 3])
def test_the_icosphere_is_closed_round_and_turned_outwards(level):
    vertices, faces = rasterize_scenes.icosphere(level)
    assert vertices.shape == (10 * 4**level + 2, 3)
    assert faces.shape == (20 * 4**level, 3)
    np.testing.assert_allclose(np.linalg.norm(vertices, axis=1), 1.0, atol=1e-6)
    assert (np.linalg.det(vertices[faces]) > 0.0).all()
    check_closed(faces)


def test_the_torus_is_closed_and_turned_outwards():
    vertices, faces = rasterize_scenes.bumpy_torus(20, 12)
    check_closed(faces)
    assert np.linalg.det(vertices[faces].astype(np.float64)).sum() > 0.0  # volume


def check_closed(faces):
    """Every edge is run through once in each direction."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    there = {tuple(edge) for edge in edges}
    assert len(there) == len(edges)
    assert there == {(b, a) for a, b in there}


def test_an_unknown_scene_is_named():
    with pytest.raises(ValueError, match="`name` must be one of .* got 'teapot'"):
        rasterize_scenes.make_scene("teapot")
