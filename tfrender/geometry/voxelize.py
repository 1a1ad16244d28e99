"""Occupancy grids of real meshes: open, self-intersecting, inside out.

No ray parity and no winding numbers, because most meshes are not closed: surface
voxels are marked exactly, then holes are filled.
"""

from typing import NamedTuple

import numpy as np

from tfrender import checks
from tfrender.geometry import normalize
from tfrender.io import FormatError, Mesh, load_mesh

_LONGEST_EDGE = 3.0  # voxels; longer triangles are cut before candidates are listed
_CHUNK = 1_000_000  # candidate voxels tested at once, about 250 bytes each
_SLACK = 1e-7  # of a voxel: surfaces on a border between voxels mark both


class Voxels(NamedTuple):
    """A grid and its place, as in a binvox header.

    world = scale * (i + 0.5) / n + translate.

    Attributes:
        occupancy: bool [n, n, n], indexed x, y, z.
        translate: float64 [3], world position of the low corner.
        scale: world length of a side.
    """

    occupancy: np.ndarray
    translate: np.ndarray
    scale: float


def voxelize(
    vertices, faces, resolution: int = 64, mode: str = "solid", fill: float = 0.9
) -> Voxels:
    """Voxelises a triangle mesh into a cubic grid around it.

    "surface" marks every voxel whose closed cube meets a triangle (separating axis
    test of Akenine-Moller, "Fast 3D Triangle-Box Overlap Testing", 2001). "solid"
    adds the enclosed voxels: those that no path through empty voxels joins with the
    outside in any of the three axis-aligned slices through them. That holds for every
    cavity that a flood fill from outside cannot reach; beyond that it forgives a
    tunnel whose mouth does not lie in the slices. A mesh without any enclosed room
    (an open sheet, a cup) stays a surface.

    Args:
        vertices: [V, 3], finite, not all equal.
        faces: int [F, 3], 0 <= index < V; degenerate faces mark points or lines.
        resolution: n, voxels a side.
        mode: "solid" or "surface".
        fill: share of the grid that the longest side of the bounding box takes, in
            (0, 1]; the box is centred.

    Returns:
        `Voxels`.

    Raises:
        ValueError: a bad argument.
    """
    checks.between("resolution", resolution, 1, 2048)
    checks.between("fill", fill, 1e-3, 1.0)
    checks.one_of("mode", mode, ("solid", "surface"))
    vertices, faces = np.asarray(vertices, np.float64), np.asarray(faces)
    low, high = normalize.bounds(vertices)
    if faces.ndim != 2 or faces.shape[-1] != 3 or not len(faces):
        raise ValueError(f"`faces` must be [F, 3], F >= 1; got {list(faces.shape)}.")
    if faces.min() < 0 or faces.max() >= len(vertices):
        raise ValueError(
            f"`faces` must index {len(vertices)} vertices; got {faces.min()} to "
            f"{faces.max()}."
        )
    scale = float((high - low).max() / fill)
    translate = (low + high) / 2 - scale / 2
    triangles = ((vertices - translate) * (resolution / scale))[faces]
    occupancy = mark_surface(triangles, resolution)
    if mode == "solid":
        occupancy = fill_enclosed(occupancy)
    return Voxels(occupancy, translate, scale)


def voxelize_file(
    path,
    resolution: int = 64,
    mode: str = "solid",
    fill: float = 0.9,
    strict: bool = False,
) -> tuple[Mesh, Voxels]:
    """Reads a mesh file and voxelises it.

    Args:
        path: mesh of any suffix in `io.MESH_SUFFIXES`.
        resolution: see `voxelize`.
        mode: see `voxelize`.
        fill: see `voxelize`.
        strict: see `io.load_mesh`; texture coordinates do not matter here.

    Returns:
        the mesh and its `Voxels`.

    Raises:
        FileNotFoundError, FormatError, LimitError: no such mesh, a broken one, or one
            without extent; the file is named.
    """
    mesh = load_mesh(path, strict=strict)
    try:
        return mesh, voxelize(mesh.vertices, mesh.faces, resolution, mode, fill)
    except ValueError as error:
        raise FormatError(f"{path}: {error}") from error


def mark_surface(triangles: np.ndarray, resolution: int) -> np.ndarray:
    """Marks the voxels that triangles meet.

    Args:
        triangles: [F, 3, 3] corners in voxel units; voxel i is the cube [i, i + 1]^3.
            Parts outside the grid are left out.
        resolution: n.

    Returns:
        bool [n, n, n].
    """
    grid = np.zeros([resolution] * 3, bool)
    triangles = _cut_long(np.asarray(triangles, np.float64))
    low = np.floor(triangles.min(1) - _SLACK).astype(np.int64).clip(0, resolution)
    high = np.floor(triangles.max(1) + _SLACK).astype(np.int64).clip(-1, resolution - 1)
    sizes = (high - low + 1).clip(0)
    counts = sizes.prod(-1)
    ends = np.cumsum(counts)
    start = 0
    while start < len(triangles):
        before = ends[start] - counts[start]
        stop = max(start + 1, int(np.searchsorted(ends, before + _CHUNK, "right")))
        part = slice(start, stop)
        owner, cells = _candidates(low[part], sizes[part], counts[part])
        hit = cells[_overlap(triangles[part][owner], cells)]
        grid[hit[:, 0], hit[:, 1], hit[:, 2]] = True
        start = stop
    return grid


def fill_enclosed(surface: np.ndarray) -> np.ndarray:
    """Adds the empty voxels that are enclosed in all three slices through them.

    Args:
        surface: bool [X, Y, Z].

    Returns:
        bool [X, Y, Z].
    """
    from scipy import ndimage

    enclosed = np.ones(surface.shape, bool)
    cross = ndimage.generate_binary_structure(3, 1)
    for axis in range(3):
        # Voxels are neighbours within a slice only; a border of air joins the
        # outside of each slice into one component.
        structure = cross.copy()
        structure[tuple(slice(None) if k != axis else [0, 2] for k in range(3))] = False
        border = [(1, 1) if k != axis else (0, 0) for k in range(3)]
        labels, _ = ndimage.label(~np.pad(surface, border), structure)
        corner = tuple(slice(0, 1) if k != axis else slice(None) for k in range(3))
        inner = tuple(slice(1, -1) if k != axis else slice(None) for k in range(3))
        enclosed &= (labels != labels[corner])[inner]
    return surface | enclosed


def _cut_long(triangles: np.ndarray) -> np.ndarray:
    """Halves triangles at their longest edge until no edge is longer than a few voxels.

    The pieces cover the same points, so marking stays exact; a long slanted triangle
    would otherwise have the whole grid as candidates.
    """
    done = []
    while len(triangles):
        edges = np.roll(triangles, -1, axis=1) - triangles  # edge k: corner k to k + 1
        lengths = np.square(edges).sum(-1)
        longest = lengths.argmax(1)
        small = lengths.max(1) <= _LONGEST_EDGE**2
        done.append(triangles[small])
        triangles, longest = triangles[~small], longest[~small]
        turn = (longest[:, None] + np.arange(3)) % 3
        a, b, c = np.moveaxis(np.take_along_axis(triangles, turn[..., None], 1), 1, 0)
        middle = (a + b) / 2
        triangles = np.concatenate(
            [np.stack([a, middle, c], 1), np.stack([middle, b, c], 1)]
        )
    return np.concatenate(done)


def _candidates(low: np.ndarray, sizes: np.ndarray, counts: np.ndarray):
    """All voxels of the bounding boxes: owner [M], cell [M, 3]."""
    owner = np.repeat(np.arange(len(counts)), counts)
    rank = np.arange(len(owner)) - (np.cumsum(counts) - counts)[owner]
    size = sizes[owner]
    rank, z = np.divmod(rank, size[:, 2])
    x, y = np.divmod(rank, size[:, 1])
    return owner, low[owner] + np.stack([x, y, z], -1)


def _overlap(triangles: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Separating axis test of triangles [M, 3, 3] and unit cubes [M, 3] -> bool [M].

    The three axes of the cube are separated by the choice of candidates already.
    """
    corners = triangles - (cells + 0.5)[:, None]
    edges = np.roll(corners, -1, axis=1) - corners
    normal = np.cross(edges[:, 0], edges[:, 1])
    reach = 0.5 * np.abs(normal).sum(-1) + _SLACK
    hit = np.abs((normal * corners[:, 0]).sum(-1)) <= reach
    for edge in range(3):
        for axis in range(3):
            # axis vector x edge has the two other components (-e_v, e_u).
            u, v = (axis + 1) % 3, (axis + 2) % 3
            eu, ev = edges[:, edge, u], edges[:, edge, v]
            # Both ends of the edge project alike: two corners tell the interval.
            p = eu * corners[:, edge, v] - ev * corners[:, edge, u]
            other = (edge + 2) % 3
            q = eu * corners[:, other, v] - ev * corners[:, other, u]
            reach = 0.5 * (np.abs(eu) + np.abs(ev)) + _SLACK
            hit &= (np.minimum(p, q) <= reach) & (np.maximum(p, q) >= -reach)
    return hit
