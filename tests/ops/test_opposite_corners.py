import collections

import numpy as np
import pytest
import tensorflow as tf

from tfrender.ops.opposite_corners import opposite_corners
from tools.rasterize_scenes import bumpy_torus, icosphere


def by_loop(faces):
    """Slow definition: the corner of the only other face with the same edge."""
    owners = collections.defaultdict(list)
    for f, face in enumerate(faces):
        if min(face) < 0 or len(set(face)) < 3:
            continue
        for i in range(3):
            ends = frozenset((face[(i + 1) % 3], face[(i + 2) % 3]))
            owners[ends].append(3 * f + i)
    opposite = np.full(np.shape(faces), -1)
    for corners in owners.values():
        if len(corners) == 2:
            for here, there in (corners, corners[::-1]):
                opposite[here // 3, here % 3] = there
    return opposite


@pytest.mark.parametrize("seed", range(5))
def test_it_equals_the_loop_on_meshes_with_every_fault(seed):
    # Few vertices: borders, edges of many faces, repeated vertices, duplicates.
    rng = np.random.default_rng(seed)
    faces = rng.integers(0, 7 + 2 * seed, (25, 3))
    faces[rng.random(25) < 0.2] = -1
    want = by_loop(faces.tolist())
    assert (want >= 0).any() and (want < 0).any()
    np.testing.assert_array_equal(opposite_corners(faces), want)
    compiled = tf.function(opposite_corners, jit_compile=True)
    np.testing.assert_array_equal(compiled(tf.constant(faces)), want)


def test_on_closed_surfaces_it_pairs_all_corners():
    for _, faces in (icosphere(2), bumpy_torus(7, 5)):
        opposite = opposite_corners(faces).numpy().reshape(-1)
        number = np.arange(faces.size)
        np.testing.assert_array_equal(opposite[opposite], number)
        assert (opposite // 3 != number // 3).all()


def test_a_batch_equals_its_items():
    faces = np.stack([icosphere(1)[1], np.roll(icosphere(1)[1], 5, 0)])
    faces[1, 70:] = -1
    got = opposite_corners(faces)
    for b in range(2):
        np.testing.assert_array_equal(got[b], opposite_corners(faces[b]))


@pytest.mark.parametrize("batched", [False, True])
def test_welding_makes_split_vertices_one(batched):
    vertices, faces = icosphere(1)
    vertices[np.abs(vertices) < 1e-6] = 0.0
    split = vertices[faces].reshape(-1, 3)
    split[::2] = np.where(split[::2] == 0.0, -0.0, split[::2])
    apart = np.arange(len(split)).reshape(-1, 3)
    assert (opposite_corners(apart).numpy() < 0).all()
    if batched:
        split, apart = np.stack([split, split]), np.stack([apart, apart])
    got = opposite_corners(apart, vertices=split)
    want = opposite_corners(faces)
    np.testing.assert_array_equal(got, np.broadcast_to(want, got.shape))


def test_wrong_shapes_are_named():
    with pytest.raises(ValueError, match="`faces` must end in"):
        opposite_corners(np.zeros([4, 2], int))
    with pytest.raises(ValueError, match="`vertices` must have 2 axes"):
        opposite_corners(np.zeros([4, 3], int), vertices=np.zeros([1, 4, 3]))
