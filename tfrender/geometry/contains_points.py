"""Which points lie inside a mesh."""

import numpy as np

from tfrender import checks

_CHUNK = 2_000_000  # pairs of a face and a point tested at once, 100 bytes each


def contains_points(vertices, faces, points) -> np.ndarray:
    """Tells which points a mesh encloses.

    From each point six rays go along the axes, both ways; it is inside where more than
    half of them leave an odd number of faces behind. For a closed mesh all six agree.
    The vote forgives small holes; orientation does not count. Where two closed parts
    overlap, their common room counts as outside.

    Args:
        vertices: [V, 3] finite.
        faces: int [F, 3], F may be 0.
        points: [N, 3] finite.

    Returns:
        bool [N].

    Memory: 200 MB at most beside the arguments; time grows with the pairs of a point
    and a face whose projections along an axis nearly overlap.

    Raises:
        ValueError: a wrong shape, or a face that names no vertex.
    """
    vertices, points = np.asarray(vertices, float), np.asarray(points, float)
    faces = np.asarray(faces)
    for name, value in (("vertices", vertices), ("faces", faces), ("points", points)):
        checks.rank(name, value, 2)
        checks.dims(name, value, None, 3)
    if len(faces) and (faces.min() < 0 or faces.max() >= len(vertices)):
        raise ValueError(
            f"`faces` must index {len(vertices)} vertices; got {faces.min()} to "
            f"{faces.max()}."
        )
    inside = np.zeros(len(points), bool)
    if not len(faces) or not len(points):
        return inside
    low, high = vertices.min(0), vertices.max(0)
    near = np.flatnonzero(((points >= low) & (points <= high)).all(-1))
    if len(near):
        votes = sum(
            crossings % 2
            for axis in range(3)
            for crossings in _crossings(vertices, faces, points[near], axis)
        )
        inside[near] = votes > 3
    return inside


def _crossings(vertices, faces, points, axis) -> np.ndarray:
    """Faces met from each point along an axis, forwards and backwards: [2, N]."""
    u, v = (axis + 1) % 3, (axis + 2) % 3
    # One cell a point or so: points sorted by row and column lie in runs.
    low = points.min(0)
    cells = max(1, int(np.sqrt(len(points))))
    size = np.maximum(points.max(0) - low, 1e-300) / cells

    def cell(values, k):
        return ((values - low[k]) / size[k]).clip(0, cells - 1).astype(np.int64)

    place = cell(points[:, v], v) * cells + cell(points[:, u], u)
    order = np.argsort(place, kind="stable")
    starts = np.searchsorted(place[order], np.arange(cells * cells + 1))
    corners = vertices[faces]  # [F, 3, 3]
    left, right = (cell(c, u) for c in _extent(corners[..., u]))
    top, bottom = (cell(c, v) for c in _extent(corners[..., v]))
    # A run: the cells of one row that the box of a face covers.
    face, row = _expand(bottom - top + 1)
    row = (row + top[face]) * cells
    first, last = starts[row + left[face]], starts[row + right[face] + 1]
    counts = last - first
    ends = np.cumsum(counts)
    triangles = _Triangles(corners, (u, v, axis))
    found = np.zeros([2, len(points)], np.int64)
    start = 0
    while start < len(counts):
        done = ends[start] - counts[start]
        stop = max(start + 1, int(np.searchsorted(ends, done + _CHUNK, "right")))
        run, rank = _expand(counts[start:stop])
        index = order[first[start:stop][run] + rank]
        met, ahead = triangles.meet(face[start:stop][run], points[index])
        for k, side in enumerate((ahead, ~ahead)):
            found[k] += np.bincount(index[met[side]], minlength=len(points))
        start = stop
    return found


def _extent(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Smallest and largest of three: [F, 3] -> [F], [F]. Faster than `min(1)`."""
    a, b, c = values.T
    return np.minimum(np.minimum(a, b), c), np.maximum(np.maximum(a, b), c)


def _expand(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Owner and rank of each item where owner i has counts[i] of them."""
    owner = np.repeat(np.arange(len(counts)), counts)
    return owner, np.arange(len(owner)) - (np.cumsum(counts) - counts)[owner]


class _Triangles:
    """Triangles, ready to be met by lines along one axis.

    The projection of a point that falls on an edge belongs to one of the two faces of
    the edge, as both compute alike: from its lower end.
    """

    def __init__(self, corners, axes):
        """Takes corners [F, 3, 3], the two axes of projection and that of the lines."""
        self._axes = u, v, axis = axes
        self._origin = corners[:, 0]
        self._edges = []
        for k in range(3):
            a, b = corners[:, k], corners[:, (k + 1) % 3]
            upper = (a[:, v] > b[:, v]) | ((a[:, v] == b[:, v]) & (a[:, u] > b[:, u]))
            a, b = np.where(upper[:, None], b, a), np.where(upper[:, None], a, b)
            rise = b[:, v] - a[:, v]
            lean = (b[:, u] - a[:, u]) / np.where(rise > 0, rise, 1.0)
            self._edges.append((a[:, u], a[:, v], b[:, v], lean))
        sides = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
        self._normals = np.cross(*sides)
        self._normals *= np.sign(self._normals[:, axis : axis + 1])  # along the axis

    def meet(self, face, points) -> tuple[np.ndarray, np.ndarray]:
        """Pairs of a face and a point whose line meets the face.

        Args:
            face: int [M].
            points: [M, 3].

        Returns:
            int [K] of the pairs that meet, and bool [K]: ahead of the point.
        """
        u, v, _ = self._axes
        pu, pv = points[:, u], points[:, v]
        inside = np.zeros(len(face), bool)
        for left, low, high, lean in self._edges:
            below = low[face]
            straddles = (below <= pv) & (high[face] > pv)
            inside ^= straddles & (pu < left[face] + (pv - below) * lean[face])
        met = np.flatnonzero(inside)
        offset = self._origin[face[met]] - points[met]
        return met, (offset * self._normals[face[met]]).sum(-1) > 0.0
