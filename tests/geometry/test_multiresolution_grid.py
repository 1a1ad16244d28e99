"""Claims of tfrender.geometry.multiresolution_grid."""

import itertools

import numpy as np
import pytest

from tfrender.geometry.multiresolution_grid import OUTSIDE, MultiresolutionGrid

RNG = np.random.default_rng(0)


def ball(points):
    return 0.32 - np.linalg.norm(points - [0.03, -0.02, 0.05], axis=-1)


def slow_rounds(values, resolution, steps, threshold):
    """The definition, as loops over cells: sets of points of each round."""
    last = resolution << steps
    wanted = {
        tuple(c << steps for c in corner)
        for corner in itertools.product(range(resolution + 1), repeat=3)
    }
    leaves = {
        (cell, 1 << steps)
        for cell in itertools.product(range(0, last, 1 << steps), repeat=3)
    }
    known, rounds = {}, []
    while wanted:
        rounds.append(wanted)
        known |= {point: values[point] for point in wanted}
        active = []
        for cell, side in leaves:
            touching = [
                value
                for point, value in known.items()
                if all(a <= p <= a + side for a, p in zip(cell, point, strict=True))
            ]
            if side > 1 and max(touching) >= threshold >= min(touching):
                active.append((cell, side))
        wanted = set()
        for cell, side in active:
            leaves.remove((cell, side))
            half = side // 2
            for offset in itertools.product(range(3), repeat=3):
                point = tuple(a + half * k for a, k in zip(cell, offset, strict=True))
                wanted |= {point} - known.keys()
                if max(offset) < 2:
                    leaves.add((point, half))
    return rounds, known


def slow_dense(known, last):
    """The known values, carried forward along x, then y, then z."""
    dense = np.full([last + 1] * 3, np.nan)
    for point, value in known.items():
        dense[point] = value
    for axis in range(3):
        along = np.moveaxis(dense, axis, 0)
        for k in range(1, last + 1):
            along[k] = np.where(np.isnan(along[k]), along[k - 1], along[k])
    return dense


@pytest.mark.parametrize(("resolution", "steps"), [(2, 2), (3, 1), (1, 3), (4, 0)])
def test_rounds_and_dense_values_are_those_of_the_definition(resolution, steps):
    last = resolution << steps
    # Noise: surfaces enter coarse cells through the sides of fine ones.
    values = RNG.normal(size=[last + 1] * 3).astype(np.float32) + 1.0
    grid = MultiresolutionGrid(resolution, steps, threshold=-0.5)
    rounds, known = slow_rounds(values, resolution, steps, -0.5)
    for expected in rounds:
        points = grid.query()
        assert set(map(tuple, points.tolist())) == expected
        grid.update(values[tuple(points.T)])
    assert len(grid.query()) == 0
    assert grid.evaluations == len(known)
    np.testing.assert_array_equal(grid.dense(), slow_dense(known, last))


def test_few_points_are_asked_for_and_no_sign_is_wrong():
    grid = MultiresolutionGrid(8, 3)
    while len(points := grid.query()):
        grid.update(ball(points / grid.cells - 0.5))
    places = np.stack(np.meshgrid(*[np.arange(65)] * 3, indexing="ij"), -1)
    true = ball(places / 64 - 0.5)
    assert ((grid.dense() > 0) == (true > 0)).all()
    assert grid.evaluations < 0.2 * 65**3
    padded = grid.padded()
    assert padded.shape == (67, 67, 67)
    assert (padded[[0, -1]] == OUTSIDE).all()


def test_mistakes_are_named():
    grid = MultiresolutionGrid(2, 1)
    with pytest.raises(ValueError, match=r"`values` must be \[27\]; got \[26\]"):
        grid.update(np.zeros(26))
    with pytest.raises(ValueError, match="must be finite; got nan"):
        grid.update(np.full(27, np.nan))
    with pytest.raises(ValueError, match="`update` must be called until"):
        grid.dense()
    with pytest.raises(ValueError, match="`resolution` must lie in"):
        MultiresolutionGrid(0)
    with pytest.raises(ValueError, match=r"resolution \* 2\*\*upsampling_steps"):
        MultiresolutionGrid(1024, 4)
