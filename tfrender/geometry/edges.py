"""Edges of a triangle mesh: who shares them, which are borders, how vertices connect.

Computed once per topology, in NumPy. Letters used below: E unique edges, I interior
edges (shared by exactly two faces), A border edges (of one face only).
"""

from typing import NamedTuple

import numpy as np

from tfrender import checks


class EdgeTopology(NamedTuple):
    """How the faces of a mesh hang together.

    Attributes:
        edges: [E, 2] int32 unique edges, smaller vertex first, in ascending order.
        face_count: [E] int32 number of faces at each edge; above 2 the mesh is
            non-manifold there.
        faces: [E, 2] int32 the two faces of smallest index at each edge, ascending,
            -1 where there is none.
        wings: [I, 4] int32 (v0, v1, v2, v3) of the interior edges in the order of
            `edges`: v0 and v1 as the first face runs through them, v2 the opposite
            vertex in the first face, v3 in the second.
        wing_faces: [I, 2] int32 the two faces of each wing.
        boundary: [A, 2] int32 border edges, as their face runs through them.
        degree: [V] int32 number of vertices that each vertex shares an edge with, 0
            for isolated ones.
    """

    edges: np.ndarray
    face_count: np.ndarray
    faces: np.ndarray
    wings: np.ndarray
    wing_faces: np.ndarray
    boundary: np.ndarray
    degree: np.ndarray


def edge_topology(faces, vertex_count: int | None = None) -> EdgeTopology:
    """Finds the edges of a mesh.

    Padding faces (any index below 0) and faces that name a vertex twice have no part
    in it. Edges of three or more faces are in `edges`, but belong neither to `wings`
    (which two faces to compare would be arbitrary) nor to `boundary`.

    Args:
        faces: [F, 3] integers, -1 is padding; indices into the rows of this array are
            what `faces` and `wing_faces` hold.
        vertex_count: V, at least the largest index + 1; None takes that.

    Returns:
        EdgeTopology. Memory: about 150 bytes a face.

    Raises:
        ValueError: for a wrong shape, numbers that are not integers, or a vertex
            beyond `vertex_count`.
    """
    faces = np.asarray(faces)
    checks.dims("faces", faces, None, 3)
    checks.rank("faces", faces, 2)
    if faces.dtype.kind not in "iu":
        raise ValueError(f"`faces` must be integers; got {faces.dtype}.")
    largest = int(faces.max(initial=-1))
    if vertex_count is None:
        vertex_count = largest + 1
    if vertex_count <= largest:
        raise ValueError(
            f"`vertex_count` must be above the largest vertex {largest}; got "
            f"{vertex_count}."
        )
    number = np.flatnonzero(_is_proper(faces))
    corners = faces[number].astype(np.int64)
    # Three directed edges a face, with the vertex on the other side.
    start = corners.reshape(-1)
    end = np.roll(corners, -1, axis=1).reshape(-1)
    opposite = np.roll(corners, -2, axis=1).reshape(-1)
    face = np.repeat(number, 3)

    key = np.minimum(start, end) * max(vertex_count, 1) + np.maximum(start, end)
    order = np.argsort(key, kind="stable")  # keeps faces ascending within an edge
    unique, first, count = np.unique(key[order], return_index=True, return_counts=True)
    edges = np.stack(np.divmod(unique, max(vertex_count, 1)), axis=-1)
    one, two = order[first], order[np.minimum(first + 1, max(len(order) - 1, 0))]
    pair = np.stack([face[one], np.where(count > 1, face[two], -1)], axis=-1)
    inner, border = count == 2, count == 1
    one_in, two_in = one[inner], two[inner]
    wings = np.stack(
        [start[one_in], end[one_in], opposite[one_in], opposite[two_in]], axis=-1
    )
    return EdgeTopology(
        edges=edges.astype(np.int32),
        face_count=count.astype(np.int32),
        faces=pair.astype(np.int32),
        wings=wings.astype(np.int32),
        wing_faces=pair[inner].astype(np.int32),
        boundary=np.stack([start, end], axis=-1)[one[border]].astype(np.int32),
        degree=np.bincount(edges.reshape(-1), minlength=vertex_count).astype(np.int32),
    )


def _is_proper(faces) -> np.ndarray:
    """Faces of three different vertices, [F] bool."""
    a, b, c = faces.T
    return (faces >= 0).all(axis=1) & (a != b) & (b != c) & (c != a)


def lower_end_first(wings: np.ndarray) -> np.ndarray:
    """Wings whose edges run from the vertex of the smaller index.

    The guards of `losses.flatten_loss` make its value depend, in the third digit, on
    the end that comes first; published systems begin with the lower one. The sides stay
    where they are, so that such wings no longer tell which side an edge runs along.

    Args:
        wings: [I, 4] integers (v0, v1, v2, v3), v0 and v1 the edge.

    Returns:
        [I, 4].
    """
    return np.concatenate([np.sort(wings[:, :2], axis=1), wings[:, 2:]], axis=1)
