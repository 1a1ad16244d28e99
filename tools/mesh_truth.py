"""Finds and reads what meshes are scored against: point clouds, meshes, occupancies."""

import os
import pathlib
from typing import NamedTuple

import numpy as np

from tfrender import io
from tfrender.geometry.contains_points import contains_points
from tfrender.io import FormatError
from tools import mesh_scores

CLOUD, OCCUPANCIES = "pointcloud.npz", "points.npz"
_OBJECT_FILES = (CLOUD, OCCUPANCIES, "cameras.npz")  # that make a folder an object
_MESH_STEMS = ("model", "mesh")  # of meshes that are called after their folder
_MOST_BYTES = 2**30


class Truth(NamedTuple):
    """Files of an object.

    Attributes:
        cloud: npz with `points` [N, 3] and perhaps `normals` [N, 3], or None.
        mesh: mesh file, or None. At least one of the two is there.
        occupancies: npz with `points` [N, 3] and `occupancies`, bool [N] or bits, or
            None.
    """

    cloud: pathlib.Path | None = None
    mesh: pathlib.Path | None = None
    occupancies: pathlib.Path | None = None

    @property
    def has_volume(self) -> bool:
        """Whether an IoU can be told."""
        return self.mesh is not None or self.occupancies is not None

    def surface(self, count: int, seed: int) -> mesh_scores.PointSet:
        """Points of the surface: all of the cloud, or `count` random ones of the mesh.

        Args:
            count: points on a mesh.
            seed: of the points.

        Returns:
            `PointSet`.

        Raises:
            FileNotFoundError, FormatError, LimitError: a broken file.
        """
        if self.cloud is not None:
            return _read_cloud(self.cloud)
        mesh = io.load_mesh(str(self.mesh), strict=False)
        return mesh_scores.sample_mesh(mesh.vertices, mesh.faces, count, seed)

    def load_mesh(self, file: pathlib.Path):
        """Reads a mesh to score.

        Args:
            file: of any suffix in `io.MESH_SUFFIXES`.

        Returns:
            vertices [V, 3] and faces [F, 3]; None where the file holds no faces.

        Raises:
            FileNotFoundError, FormatError, LimitError: a broken file.
        """
        try:
            mesh = io.load_mesh(str(file), strict=False)
        except FormatError as error:
            if "got no faces" in str(error):
                return None
            raise
        return mesh.vertices, mesh.faces

    def iou(self, mesh, count: int, seed: int) -> float:
        """IoU of the volumes, see `mesh_scores.mesh_iou`.

        Args:
            mesh: (vertices, faces) to score.
            count: points, where the truth is a mesh.
            seed: of the points.

        Returns:
            in [0, 1].

        Raises:
            FileNotFoundError, FormatError, LimitError: a broken file.
        """
        if self.occupancies is not None:
            points, inside = _read_occupancies(self.occupancies)
            return mesh_scores.volume_iou(inside, contains_points(*mesh, points))
        true = io.load_mesh(str(self.mesh), strict=False)
        return mesh_scores.mesh_iou((true.vertices, true.faces), mesh, count, seed)


def find_truths(path: str) -> dict[str, Truth]:
    """What is known of objects.

    A folder that holds pointcloud.npz, points.npz or cameras.npz is an object, called
    by its path; so is any other mesh, called by its path without suffix (model.obj and
    mesh.obj by their folder's).

    Args:
        path: folder; or a mesh, or an npz file of points.

    Returns:
        name -> `Truth`, sorted.

    Raises:
        FileNotFoundError: nothing there.
        ValueError: a file of another kind.
    """
    root = pathlib.Path(path)
    if root.is_file():
        if root.suffix.lower() in io.MESH_SUFFIXES:
            return {root.stem: Truth(mesh=root)}
        if root.suffix.lower() == ".npz":
            return {root.stem: Truth(cloud=root)}
        raise ValueError(f"{path}: expected a folder, a mesh or a .npz of points.")
    if not root.is_dir():
        raise FileNotFoundError(f"{path}: no such folder or file.")
    found = {}
    for place, folders, files in os.walk(root):
        folder = pathlib.Path(place)
        own = any(name in files for name in _OBJECT_FILES)
        if own:
            folders.clear()  # thousands of pictures
        folders.sort()
        meshes = [
            folder / name
            for name in sorted(files)
            if pathlib.Path(name).suffix.lower() in io.MESH_SUFFIXES
        ]
        named = [mesh for mesh in meshes if mesh.stem in _MESH_STEMS]
        if own or named:
            truth = Truth(
                folder / CLOUD if CLOUD in files else None,
                next(iter([*named, *(meshes if own else [])]), None),
                folder / OCCUPANCIES if OCCUPANCIES in files else None,
            )
            if truth.cloud or truth.mesh:
                found[_name(folder, root)] = truth
        if not own:
            found |= {
                _name(mesh.with_suffix(""), root): Truth(mesh=mesh)
                for mesh in meshes
                if mesh not in named
            }
    if not found:
        raise FileNotFoundError(
            f"{path}: no truth; expected CLASS/OBJECT/{CLOUD} or meshes "
            "CLASS/OBJECT.obj."
        )
    return dict(sorted(found.items()))


def _name(path: pathlib.Path, root: pathlib.Path) -> str:
    """Name of an object: its path below the root, or the root's own name."""
    name = path.relative_to(root).as_posix()
    return root.resolve().name if name == "." else name


def _read_cloud(path: pathlib.Path) -> mesh_scores.PointSet:
    """Points and normals of an archive."""
    arrays = io.read_npz(path, _MOST_BYTES)
    points = _points(arrays, path)
    normals = arrays.get("normals")
    if normals is not None and normals.shape != points.shape:
        raise FormatError(
            f"{path}: expected `normals` {list(points.shape)}; got "
            f"{list(normals.shape)}."
        )
    return mesh_scores.PointSet(points, normals)


def _read_occupancies(path: pathlib.Path) -> tuple[np.ndarray, np.ndarray]:
    """Points [N, 3] and bool [N]; eight occupancies may lie in a byte."""
    arrays = io.read_npz(path, _MOST_BYTES)
    points = _points(arrays, path)
    inside = arrays.get("occupancies")
    if inside is not None and inside.dtype == np.uint8:
        if inside.size == -(-len(points) // 8):
            inside = np.unpackbits(inside)[: len(points)]
    if inside is None or inside.shape != (len(points),):
        raise FormatError(
            f"{path}: expected `occupancies` of {len(points)} points, bool or bits."
        )
    return points, inside.astype(bool)


def _points(arrays, path) -> np.ndarray:
    """`points` of an archive, float64 [N, 3]."""
    points = arrays.get("points")
    if (
        points is None
        or points.dtype.kind != "f"
        or points.ndim != 2
        or points.shape[1] != 3
        or not len(points)
        or not np.isfinite(points).all()
    ):
        raise FormatError(f"{path}: expected finite `points` [N, 3], N at least 1.")
    return points.astype(np.float64)
