"""Claims of tfrender.geometry.refine_surface."""

import numpy as np
import pytest
import tensorflow as tf

from tfrender.geometry.extract_surface import extract_surface
from tfrender.geometry.refine_surface import refine_surface

RADIUS = 0.3


def ball(points):
    return 15.0 * (RADIUS - tf.sqrt(tf.reduce_sum(points**2, axis=-1) + 1e-12))


@pytest.fixture(scope="module")
def surface():
    """A ball, found on a grid so coarse that it is not round."""
    return extract_surface(
        lambda points: ball(points).numpy(), resolution=5, upsampling_steps=1
    )


def errors(vertices, faces):
    """Mean distance from the ball of faces' centres, and of their normals."""
    corners = vertices[faces]
    centers = corners.mean(1)
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 1])
    area = np.linalg.norm(normals, axis=-1)
    radial = centers / np.linalg.norm(centers, axis=-1, keepdims=True)
    turn = 1.0 - (normals * radial).sum(-1) / np.maximum(area, 1e-12)
    off = np.abs(np.linalg.norm(centers, axis=-1) - RADIUS)
    return off.mean(), (turn * area).sum() / area.sum()


def test_faces_move_onto_the_surface_and_along_it(surface):
    before = errors(surface.vertices, surface.faces)
    refined = refine_surface(
        surface.vertices, surface.faces, ball, steps=60, learning_rate=1e-4
    )
    after = errors(refined, surface.faces)
    assert after[0] < 0.75 * before[0]
    assert after[1] < before[1]


def test_the_level_and_the_size_of_steps_are_kept(surface):
    refine = lambda **more: refine_surface(  # noqa: E731
        surface.vertices, surface.faces, ball, **more
    )
    same = refine(steps=0)
    np.testing.assert_array_equal(same, surface.vertices)
    one = refine(steps=1, learning_rate=1e-4)
    assert np.abs(one - surface.vertices).max() <= 10.01e-4
    # Parts of 7 faces: all are visited, and the seed decides the order.
    parts = refine(steps=200, faces_per_step=7)
    assert (parts != surface.vertices).any(-1).all()
    again = refine(steps=200, faces_per_step=7)
    np.testing.assert_array_equal(parts, again)
    assert (refine(steps=200, faces_per_step=7, seed=1) != parts).any()
    level = 15.0 * 0.02  # the ball of radius 0.28
    inner = refine(steps=100, learning_rate=2e-4, level=level)
    assert np.linalg.norm(inner, axis=-1).mean() < 0.295


def test_faces_without_area_and_empty_meshes_do_no_harm(surface):
    faces = np.concatenate([surface.faces, [[0, 0, 1], [2, 2, 2]]])
    refined = refine_surface(surface.vertices, faces, ball, steps=3)
    assert np.isfinite(refined).all()
    empty = refine_surface(np.zeros([0, 3]), np.zeros([0, 3], int), ball)
    assert empty.shape == (0, 3)


def test_mistakes_are_named(surface):
    with pytest.raises(ValueError, match="`field` must have a gradient"):
        refine_surface(
            surface.vertices, surface.faces, lambda p: tf.ones(tf.shape(p)[:1])
        )
    with pytest.raises(ValueError, match="`learning_rate` must lie in"):
        refine_surface(surface.vertices, surface.faces, ball, learning_rate=0.0)
    with pytest.raises(ValueError, match="`faces` must end in"):
        refine_surface(surface.vertices, surface.faces[:, :2], ball)
