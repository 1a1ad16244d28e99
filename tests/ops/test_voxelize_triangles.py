"""Claims of tfrender.ops.voxelize_triangles."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from tfrender.geometry import voxelize
from tfrender.ops import published_voxels, voxelize_triangles

CUBE = np.array(list(itertools.product((-0.5, 0.5), repeat=3)), np.float32)
QUADS = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4)]
QUADS += [(1, 5, 7, 3)]
FACES = np.array([f for a, b, c, d in QUADS for f in ((a, b, c), (a, c, d))])


def published_rule(corners, size):
    """The three steps as loops over every line and every triangle, [F, 3, 3]."""
    corners = corners.astype(np.float32)
    marked = np.zeros([size] * 3, bool)
    for u, v, w in ((2, 1, 0), (0, 2, 1), (0, 1, 2)):
        for a, b, c in corners:
            e, f = b - a, c - a
            area = e[v] * f[u] - f[v] * e[u]
            if area == 0 or not np.isfinite([a, b, c]).all():
                continue
            for line in itertools.product(range(size), repeat=2):
                du, dv = np.float32(line) - a[[u, v]]
                s, t = (f[u] * dv - f[v] * du) / area, (e[v] * du - e[u] * dv) / area
                height = np.floor(s * e[w] + t * f[w] + a[w])
                if min(s, t) < 0 or s + t > 1 or not 0 <= height < size:
                    continue
                for i, j in itertools.product((0, 1), repeat=2):
                    cell = np.zeros(3, int)
                    cell[[u, v, w]] = line[0] - i, line[1] - j, height
                    if cell.min() >= 0:
                        marked[tuple(cell)] = True
    for point in corners[np.isfinite(corners).all((1, 2))].reshape(-1, 3):
        cell = np.trunc(point).astype(int)
        if cell.min() >= 0 and cell.max() < size:
            marked[tuple(cell)] = True
    return ~reached(~marked)


def reached(empty):
    """Empty cells joined with an empty cell of the border: a walk, cell by cell."""
    inner = np.zeros_like(empty)
    inner[1:-1, 1:-1, 1:-1] = True
    found = empty & ~inner
    waiting = list(zip(*np.nonzero(found), strict=True))
    while waiting:
        cell = waiting.pop()
        for axis, step in itertools.product(range(3), (-1, 1)):
            other = list(cell)
            other[axis] += step
            other = tuple(other)
            if min(other) < 0 or max(other) >= len(empty):
                continue
            if empty[other] and not found[other]:
                found[other] = True
                waiting.append(other)
    return found


def soup(count, size, seed=0):
    """Triangles of all sorts: large, small, edge-on, on lattice points, outside."""
    generator = np.random.default_rng(seed)
    corners = generator.uniform(-1, size + 1, [count, 3, 3])
    corners[::3] = corners[::3, :1] + generator.uniform(-1, 1, corners[::3].shape)
    corners[1::4] = np.rint(corners[1::4])
    corners[2::5, :, 1] = corners[2::5, :1, 1]
    return corners.astype(np.float32)


@pytest.mark.parametrize("size", [1, 2, 7])
def test_every_cell_is_that_of_the_loops(size):
    corners = np.stack([soup(12, size, seed) for seed in (1, 2, 3)])
    got = voxelize_triangles(corners, size).numpy()
    want = np.stack([published_rule(mesh, size) for mesh in corners])
    np.testing.assert_array_equal(got, want)


def test_rows_longer_than_a_word_are_joined():
    size = 40  # two words along z
    corners = soup(6, size, 4)
    np.testing.assert_array_equal(
        voxelize_triangles(corners[None], size)[0], published_rule(corners, size)
    )
    turned = voxelize_triangles(corners[None, ..., ::-1], size)[0].numpy()
    # Steps 1 and 2 know no preferred axis, but the first and the last axis take turns.
    straight = voxelize_triangles(corners[None], size)[0].numpy()
    np.testing.assert_array_equal(turned.transpose(2, 1, 0), straight)


def test_a_closed_box_is_full_and_an_open_one_is_not():
    # 8 x 8 x 8 cells would be [4, 12); lines on a border mark the cells on both sides.
    corners = (CUBE * 8.0 + 8.5)[FACES][None]
    solid = voxelize_triangles(corners, 16)[0].numpy()
    want = np.zeros([16] * 3, bool)
    want[4:13, 4:13, 4:13] = True
    np.testing.assert_array_equal(solid, want)
    opened = voxelize_triangles(corners[:, 2:], 16)[0].numpy()
    assert not opened[8, 8, 8] and opened.sum() < solid.sum()


def test_a_winding_tunnel_is_followed_to_its_end():
    size = 9
    walls = np.ones([size] * 3, bool)
    path = [(4, 4, z) for z in range(4)] + [(4, y, 4) for y in range(4, 8)]
    path += [(4, 4, 3), (5, 7, 4), (6, 7, 4), (6, 6, 4), (6, 5, 4), (6, 5, 5)]
    for cell in path:
        walls[cell] = False
    walls[2, 2, 2] = False  # a room without a door
    # One tiny triangle in the middle of a cell marks this cell alone.
    cells = np.stack(np.nonzero(walls), -1)
    tiny = np.array([[0, 0, 0], [0.1, 0, 0.1], [0, 0.1, 0]])
    corners = (cells + 0.5)[:, None] + tiny
    solid = voxelize_triangles(corners[None], size)[0].numpy()
    walls[2, 2, 2] = True
    np.testing.assert_array_equal(solid, walls)


def test_passes_give_the_same_cells_in_a_graph_of_unknown_sizes():
    corners = np.stack([soup(20, 8, seed) for seed in (5, 6)])
    spec = tf.TensorSpec([None, None, 3, 3])
    function = tf.function(
        lambda corners: voxelize_triangles(corners, 8, max_lines=7),
        input_signature=[spec],
    )
    got = function(corners)
    assert got.shape == (2, 8, 8, 8) and got.dtype == tf.bool
    np.testing.assert_array_equal(got, voxelize_triangles(corners, 8))
    assert function(np.zeros([0, 5, 3, 3])).shape == (0, 8, 8, 8)
    assert not function(np.zeros([2, 0, 3, 3])).numpy().any()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_triangle_that_is_not_finite_is_left_out(bad):
    corners = soup(12, 6, 7)
    broken = np.concatenate([corners, corners + 1.0])
    broken[12:, 1, 2] = bad
    got = voxelize_triangles(broken[None], 6)[0]
    np.testing.assert_array_equal(got, voxelize_triangles(corners[None], 6)[0])
    assert not voxelize_triangles(np.full([1, 4, 3, 3], bad), 6).numpy().any()


def test_huge_coordinates_end_and_are_outside():
    corners = soup(8, 6, 8) * 1e9
    want = published_rule(corners, 6)
    np.testing.assert_array_equal(voxelize_triangles(corners[None], 6)[0], want)
    assert not voxelize_triangles(corners[None] * 1e25, 6).numpy().all()


def test_the_cube_of_predictions_spans_the_grid():
    # (-0.5, 0.5) goes to (0.5, 31.5) on a grid of 32.
    solid = published_voxels(CUBE[None] * 0.998, FACES)[0].numpy()
    assert solid.all()
    half = published_voxels(CUBE[None] * 0.5, FACES, 16)[0].numpy()
    place = CUBE * 0.5 * 16 * 15 / 16 + 8
    want = published_rule(place[FACES], 16)
    np.testing.assert_array_equal(half, want)


def test_true_voxels_agree_when_the_cube_is_drawn_together():
    turn = np.linalg.qr(np.random.default_rng(5).normal(size=(3, 3)))[0]
    vertices = (CUBE * [0.9, 0.6, 0.3]) @ turn * 0.7
    got = published_voxels(vertices[None], FACES)[0].numpy()

    def agreement(shrink):
        # The grid spans 1 / shrink; `voxelize` wants the longest side's share of it.
        longest = np.ptp(vertices, axis=0).max()
        true = voxelize(vertices, FACES, 32, "solid", fill=shrink * longest).occupancy
        return (got & true).sum() / (got | true).sum()

    assert agreement(31 / 32) > 0.995
    assert agreement(1.0) < 0.95


def test_normalizing_forgets_place_and_scale():
    generator = np.random.default_rng(3)
    vertices = generator.random([1, 8, 3]).astype(np.float32)
    first = published_voxels(vertices, FACES, 16, normalize=True).numpy()
    other = vertices * 4.0 - 64.0
    np.testing.assert_array_equal(
        published_voxels(other, FACES, 16, normalize=True), first
    )
    cells = np.stack(np.nonzero(first[0]), -1)
    assert (cells.max(0) - cells.min(0)).max() == 15
    assert not published_voxels(np.full([1, 8, 3], np.nan), FACES, 16).numpy().any()
    point = published_voxels(np.ones([1, 8, 3]), FACES, 16, normalize=True).numpy()
    assert point.sum() == 1 and point[0, 8, 8, 8]


def test_padding_faces_and_faces_of_each_mesh():
    vertices = np.stack([CUBE, CUBE * [1, 0.5, 0.3]]).astype(np.float32) * 0.7
    want = published_voxels(vertices, FACES, 12)
    padded = np.concatenate([FACES, [[-1, -1, -1], [0, 1, 8]]])
    for normalize in (False, True):
        want = published_voxels(vertices, FACES, 12, normalize=normalize)
        both = np.stack([padded, np.roll(padded, 3, axis=0)])
        got = published_voxels(vertices, both, 12, normalize=normalize)
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: voxelize_triangles(np.zeros([3, 3, 3]), 8), "`corners` must have 4"),
        (lambda: voxelize_triangles(np.zeros([1, 2, 3, 2]), 8), "`corners` must end"),
        (lambda: voxelize_triangles(np.zeros([1, 2, 3, 3]), 0), "`size` must lie"),
        (
            lambda: voxelize_triangles(np.zeros([1, 2, 3, 3]), 8, max_lines=0),
            "`max_lines` must lie",
        ),
        (lambda: published_voxels(CUBE, FACES), "`vertices` must have 3 axes"),
        (lambda: published_voxels(CUBE[None], FACES[:, :2]), "`faces` must end in"),
        (lambda: published_voxels(CUBE[None], FACES, 999), "`size` must lie"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
