"""A dense grid of a function's values, asked for only where its surface may pass."""

import numpy as np

from tfrender import checks

MOST_CELLS = 2048  # along an axis; 56 GB
OUTSIDE = -1e6  # value beyond the grid: closes the surface there
_UNKNOWN, _WANTED, _KNOWN = 0, 1, 2
_PLANES = 8  # of the grid at a time


class MultiresolutionGrid:
    """Coarse-to-fine values on a cubic grid ("MISE").

    Mescheder et al., "Occupancy Networks", CVPR 2019, section 3.3 and figure 2. All
    corners of the coarse cells are asked for first. A cell through which the surface
    passes (one known point on its closed cube is at least the threshold, one at most)
    is cut in eight, whose new corners are asked for next, down to the finest cells. A
    point that a fine cell asks for on the side of a coarse neighbour counts for the
    neighbour too, so that surfaces are followed out of the cells they were found in.

        grid = MultiresolutionGrid(32, 3)
        while len(points := grid.query()):
            grid.update(field(points / 256 - 0.5))
        values = grid.dense()

    Memory: 6.5 bytes a point of the dense grid, 110 MB for 256 cells, 0.9 GB for 512;
    about 100 bytes a point wanted at once.

    Attributes:
        cells: N = resolution * 2**upsampling_steps, fine cells along an axis.
        evaluations: number of points answered so far.
    """

    def __init__(
        self, resolution: int = 32, upsampling_steps: int = 3, threshold: float = 0.0
    ):
        """Asks for the corners of the coarse cells.

        Args:
            resolution: coarse cells along an axis, at least 1.
            upsampling_steps: how often a cell is cut in eight, at least 0.
            threshold: value at the surface.

        Raises:
            ValueError: a number out of range.
        """
        checks.between("resolution", resolution, 1, MOST_CELLS)
        checks.between("upsampling_steps", upsampling_steps, 0, 10)
        self.cells = resolution << upsampling_steps
        checks.between("resolution * 2**upsampling_steps", self.cells, 1, MOST_CELLS)
        self.threshold = threshold
        self.evaluations = 0
        self._steps = upsampling_steps
        # One layer of points beyond the grid on every side, for `padded`.
        self._side = self.cells + 3
        self._values = np.full([self._side] * 3, OUTSIDE, np.float32)
        self._state = np.full([self._side] * 3, _UNKNOWN, np.uint8)
        coarse = slice(1, -1, 1 << upsampling_steps)
        self._state[coarse, coarse, coarse] = _WANTED
        # Of each level that can be cut: cells that are not, and what touches them.
        sides = [resolution << level for level in range(upsampling_steps)]
        self._whole = [np.full([n] * 3, level == 0) for level, n in enumerate(sides)]
        self._above = [np.zeros([n] * 3, bool) for n in sides]
        self._below = [np.zeros([n] * 3, bool) for n in sides]

    def query(self) -> np.ndarray:
        """Points whose values are wanted.

        Returns:
            int32 [M, 3] in 0..N, sorted; M = 0 when all is known.
        """
        found = np.flatnonzero(self._state == _WANTED)
        places = np.unravel_index(found, self._state.shape)
        return np.stack(places, axis=-1).astype(np.int32) - 1

    def update(self, values: np.ndarray) -> None:
        """Takes the values of all points of `query`, and cuts cells.

        Args:
            values: [M] finite, in the order of `query`.

        Raises:
            ValueError: another number of values, or one that is not finite.
        """
        wanted = np.flatnonzero(self._state == _WANTED)
        values = np.asarray(values, np.float32)
        if values.shape != wanted.shape:
            raise ValueError(
                f"`values` must be [{len(wanted)}]; got {list(values.shape)}."
            )
        if not np.isfinite(values).all():
            bad = values[~np.isfinite(values)][0]
            raise ValueError(f"`values` must be finite; got {bad}.")
        self._values.reshape(-1)[wanted] = values
        self._state.reshape(-1)[wanted] = _KNOWN
        self.evaluations += len(values)
        if self._steps:
            points = np.stack(np.unravel_index(wanted, self._state.shape), -1) - 1
            self._touch(points, values)
            self._cut()

    def dense(self) -> np.ndarray:
        """Values on the whole grid; only those near the surface are those asked for.

        Every other point takes the last known value before it along x, then y, then z.

        Returns:
            float32 [N + 1, N + 1, N + 1], a view.

        Raises:
            ValueError: while points are wanted.
        """
        return self.padded()[1:-1, 1:-1, 1:-1]

    def padded(self) -> np.ndarray:
        """`dense` with a layer of -1e6 around it.

        Returns:
            float32 [N + 3, N + 3, N + 3], a view.

        Raises:
            ValueError: while points are wanted.
        """
        if (self._state == _WANTED).any():
            raise ValueError("`update` must be called until `query` is empty.")
        inner = slice(1, -1)
        values = self._values[inner, inner, inner]
        known = self._state[inner, inner, inner] == _KNOWN
        if not known.all():
            _carry_forward(values, known)
            self._state[inner, inner, inner] = _KNOWN
        return self._values

    def _touch(self, points: np.ndarray, values: np.ndarray) -> None:
        """Notes at every cell that new points lie on whether they are above or below.

        Args:
            points: int [M, 3].
            values: float32 [M].
        """
        finest = np.int64(self.cells // 2)  # cells of the last level that can be cut
        for mark, chosen in (
            (self._above, values >= self.threshold),
            (self._below, values <= self.threshold),
        ):
            # A point lies on up to eight cells: the two beside it along each axis.
            beside = points[chosen]
            low, high = (beside - 1) >> 1, beside >> 1
            new = np.zeros([finest + 2] * 3, bool)  # -1 and N/2 are beyond the grid
            for corner in range(8):
                x, y, z = (
                    (high if corner >> axis & 1 else low)[:, axis] + 1
                    for axis in range(3)
                )
                new[x, y, z] = True
            new = new[1:-1, 1:-1, 1:-1]
            for level in reversed(range(self._steps)):
                mark[level] |= new
                if level:
                    new = _pooled(new)

    def _cut(self) -> None:
        """Cuts the cells that the surface passes, and asks for their new corners."""
        state = self._state.reshape(-1)
        strides = np.array([self._side**2, self._side, 1])
        # From fine to coarse, so that no cell is cut twice at once.
        for level in reversed(range(self._steps)):
            whole = self._whole[level]
            active = np.argwhere(whole & self._above[level] & self._below[level])
            if not len(active):
                continue
            whole[tuple(active.T)] = False
            half = 1 << (self._steps - level - 1)
            origins = (active * (2 * half) + 1) @ strides
            for offset in np.ndindex(3, 3, 3):
                corner = origins + half * (np.array(offset) @ strides)
                state[corner[state[corner] == _UNKNOWN]] = _WANTED
            if level + 1 < self._steps:
                for offset in np.ndindex(2, 2, 2):
                    self._whole[level + 1][tuple((2 * active + offset).T)] = True


def _pooled(cells: np.ndarray) -> np.ndarray:
    """Whether any of the eight parts of each cell is set: [2n] * 3 -> [n] * 3."""
    cells = cells[0::2] | cells[1::2]
    cells = cells[:, 0::2] | cells[:, 1::2]
    return cells[:, :, 0::2] | cells[:, :, 1::2]


def _carry_forward(values: np.ndarray, known: np.ndarray) -> None:
    """Gives unknown points the value before them along x, then y, then z.

    Args:
        values: [n, n, n], filled in place.
        known: bool [n, n, n], all set at the end.
    """
    for i in range(1, len(values)):
        _copy(values[i - 1], known[i - 1], values[i], known[i])
    # A few planes at a time stay in the cache, which the columns of z need.
    for start in range(0, len(values), _PLANES):
        part, there = values[start : start + _PLANES], known[start : start + _PLANES]
        for i in range(1, len(values)):
            _copy(part[:, i - 1], there[:, i - 1], part[:, i], there[:, i])
        for i in range(1, len(values)):
            _copy(part[..., i - 1], there[..., i - 1], part[..., i], there[..., i])


def _copy(before, known_before, values, known) -> None:
    """Copies values that are known to where none are; in place."""
    np.copyto(values, before, where=known_before & ~known)
    known |= known_before
