"""Triangle meshes of the surface of any function of points."""

import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from tfrender import checks
from tfrender.geometry.multiresolution_grid import (
    MOST_CELLS,
    OUTSIDE,
    MultiresolutionGrid,
)

POINTS_PER_CALL = 8192  # fastest for networks of 128 and 512 units on a CPU


class Surface(NamedTuple):
    """A mesh found in a field.

    Attributes:
        vertices: float32 [V, 3] in object space; V = 0 where nothing is inside.
        faces: int32 [F, 3], counter-clockwise outside.
        evaluations: points at which the field was asked.
        notes: what a user should know, a line each: an empty field, one that is
            inside everywhere, a surface cut at the border of the cube.
        seconds: "field", "grid" and "marching_cubes".
    """

    vertices: np.ndarray
    faces: np.ndarray
    evaluations: int
    notes: tuple[str, ...]
    seconds: dict[str, float]


def extract_surface(
    field: Callable[[np.ndarray], np.ndarray],
    *,
    resolution: int = 32,
    upsampling_steps: int = 3,
    padding: float = 0.0,
    threshold: float = 0.0,
    points_per_call: int = POINTS_PER_CALL,
) -> Surface:
    """Finds the surface of a field in a cube, coarse to fine.

    `MultiresolutionGrid` asks for values on resolution * 2**upsampling_steps cells
    along each axis; marching cubes (Lorensen and Cline, 1987) makes the triangles.
    Without steps all of resolution**3 points are asked for, ends included.

    The surface is closed: what is inside at the border of the cube is cut flat there,
    and a field that is inside everywhere gives the cube itself. Features thinner than a
    coarse cell may be missed.

    Args:
        field: float32 [N, 3] points -> [N] finite values, inside > threshold.
        resolution: coarse cells along an axis, at least 1 (2 where steps are 0).
        upsampling_steps: how often a cell is cut in eight, at least 0.
        padding: the cube is [-0.5, 0.5]**3 scaled by 1 + padding; in [0, 10].
        threshold: value at the surface.
        points_per_call: most points in a call of `field`.

    Returns:
        `Surface`.

    Memory: see `MultiresolutionGrid`, and marching cubes on the dense grid.

    Raises:
        ValueError: an argument out of range, or values of the field of another shape
            or not finite.
    """
    checks.between("padding", padding, 0.0, 10.0)
    checks.between("points_per_call", points_per_call, 1, 1 << 30)
    checks.between("threshold", threshold, -abs(OUTSIDE) / 2, abs(OUTSIDE) / 2)
    checks.between("upsampling_steps", upsampling_steps, 0, 10)
    start, clock = time.perf_counter(), _Clock(field, points_per_call)
    if upsampling_steps:
        grid = MultiresolutionGrid(resolution, upsampling_steps, threshold)
        while len(points := grid.query()):
            places = _places(points, grid.cells, padding)
            grid.update(clock(places))
        padded = grid.padded()
    else:
        padded = _all_values(clock, resolution, padding)
    found = time.perf_counter()
    vertices, faces = marching_cubes(padded, threshold, padding)
    seconds = {
        "field": clock.seconds,
        "grid": found - start - clock.seconds,
        "marching_cubes": time.perf_counter() - found,
    }
    notes = _notes(padded, threshold)
    return Surface(vertices, faces, clock.evaluations, notes, seconds)


def marching_cubes(
    padded: np.ndarray, threshold: float = 0.0, padding: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Triangles between the values of a dense grid, in object space.

    Args:
        padded: float32 [n + 2, n + 2, n + 2] values at points x, y, z, n at least 2;
            the outermost layer lies beyond the cube and is below the threshold.
        threshold: value at the surface.
        padding: the n points of an axis span [-0.5, 0.5] times 1 + padding.

    Returns:
        vertices float32 [V, 3] and faces int32 [F, 3], counter-clockwise outside;
        none where no value is above the threshold.
    """
    from skimage import measure

    if not padded.max() > threshold:
        return np.zeros([0, 3], np.float32), np.zeros([0, 3], np.int32)
    # Negated and with axes z, y, x the table of scikit-image cuts polygons into the
    # same triangles as the one published with DVR and Occupancy Networks.
    turned = np.negative(padded.T, out=np.empty(padded.shape, np.float32))
    vertices, faces, _, _ = measure.marching_cubes(
        turned, -threshold, gradient_direction="ascent", method="lorensen"
    )
    vertices = vertices[:, ::-1]
    last = len(padded) - 3
    vertices = (1.0 + padding) * ((vertices.astype(np.float64) - 1.0) / last - 0.5)
    return vertices.astype(np.float32), np.ascontiguousarray(faces, np.int32)


def simplify_surface(
    vertices: np.ndarray, faces: np.ndarray, face_count: int, aggression: int = 5
) -> tuple[np.ndarray, np.ndarray]:
    """Collapses edges until about a number of faces is left.

    Garland and Heckbert, "Surface Simplification Using Quadric Error Metrics", 1997,
    through trimesh and fast-simplification.

    Args:
        vertices: [V, 3].
        faces: int [F, 3].
        face_count: faces to keep, at least 4; a mesh with no more is left as it is.
        aggression: 0 (slow, best) to 10.

    Returns:
        vertices float32 [V', 3] and faces int32 [F', 3], F' near `face_count`.

    Raises:
        ValueError: an argument out of range.
    """
    checks.between("face_count", face_count, 4, 1 << 31)
    checks.between("aggression", aggression, 0, 10)
    if len(faces) <= face_count:
        return np.float32(vertices), np.int32(faces)
    import trimesh

    mesh = trimesh.Trimesh(vertices, faces, process=False, validate=False)
    mesh = mesh.simplify_quadric_decimation(
        face_count=face_count, aggression=aggression
    )
    return np.asarray(mesh.vertices, np.float32), np.asarray(mesh.faces, np.int32)


def vertex_colors(
    vertices: np.ndarray,
    color: Callable[[np.ndarray], np.ndarray],
    points_per_call: int = POINTS_PER_CALL,
) -> np.ndarray:
    """Colours of a field at the vertices.

    Args:
        vertices: float32 [V, 3].
        color: float32 [N, 3] points -> [N, 3] in [0, 1].
        points_per_call: most points in a call of `color`.

    Returns:
        uint8 [V, 4]: red, green, blue (255 times the value, cut, not rounded, as
        published), and 255.

    Raises:
        ValueError: values of another shape or not finite.
    """
    vertices = np.asarray(vertices, np.float32)
    found = np.full([len(vertices), 4], 255, np.uint8)
    for start in range(0, len(vertices), points_per_call):
        part = vertices[start : start + points_per_call]
        values = np.asarray(color(part))
        if values.shape != part.shape or not np.isfinite(values).all():
            raise ValueError(
                f"`color` must answer finite {list(part.shape)}; got "
                f"{list(values.shape)}."
            )
        found[start : start + points_per_call, :3] = 255.0 * values.clip(0.0, 1.0)
    return found


class _Clock:
    """Calls a field in parts, checks its answers, counts points and seconds."""

    def __init__(self, field, points_per_call):
        self._field, self._most = field, points_per_call
        self.evaluations, self.seconds = 0, 0.0

    def __call__(self, places):
        start = time.perf_counter()
        found = np.empty(len(places), np.float32)
        for first in range(0, len(places), self._most):
            part = places[first : first + self._most]
            values = np.asarray(self._field(part))
            if values.shape != (len(part),):
                raise ValueError(
                    f"`field` must answer [{len(part)}] values; got shape "
                    f"{list(values.shape)}."
                )
            found[first : first + self._most] = values
        bad = ~np.isfinite(found)
        if bad.any():
            raise ValueError(
                f"`field` must answer finite values; got {found[bad][0]} at "
                f"{places[bad][0].tolist()}."
            )
        self.evaluations += len(places)
        self.seconds += time.perf_counter() - start
        return found


def _places(points: np.ndarray, last: int, padding: float) -> np.ndarray:
    """Object space of grid points 0..last, float32 [N, 3]."""
    return ((1.0 + padding) * (points / last - 0.5)).astype(np.float32)


def _all_values(clock, resolution: int, padding: float) -> np.ndarray:
    """Padded values at resolution**3 points, a slab of the cube at a time."""
    checks.between("resolution", resolution, 2, MOST_CELLS)
    padded = np.full([resolution + 2] * 3, OUTSIDE, np.float32)
    numbers = np.arange(resolution)
    for x in numbers:
        slab = np.stack(np.meshgrid([x], numbers, numbers, indexing="ij"), -1)
        values = clock(_places(slab.reshape(-1, 3), resolution - 1, padding))
        padded[x + 1, 1:-1, 1:-1] = values.reshape(resolution, resolution)
    return padded


def _notes(padded: np.ndarray, threshold: float) -> tuple[str, ...]:
    """What is odd about the values of a grid."""
    values = padded[1:-1, 1:-1, 1:-1]
    if not values.max() > threshold:
        return (
            "nothing is inside: the mesh is empty (highest value "
            f"{values.max():.4g}, threshold {threshold:.4g})",
        )
    if values.min() > threshold:
        return (
            "everything is inside: the mesh is the cube, which usually means a wrong "
            "threshold, checkpoint or input",
        )
    ends = ((values[i] > threshold).any() for i in (0, -1))
    sides = ((values[:, i] > threshold).any() for i in (0, -1))
    others = ((values[:, :, i] > threshold).any() for i in (0, -1))
    cut = sum(map(bool, (*ends, *sides, *others)))
    return (f"the surface is cut flat at {cut} side(s) of the cube",) if cut else ()
