"""Geometry of real meshes: normalisation, voxelisation, normals."""

from tfrender.geometry.normalize import (
    Normalization,
    normalize_to_diagonal,
    normalize_to_unit_cube,
)
from tfrender.geometry.normals import corner_normals, face_normals, vertex_normals
from tfrender.geometry.voxelize import Voxels, voxelize, voxelize_file

__all__ = [
    "Normalization",
    "Voxels",
    "corner_normals",
    "face_normals",
    "normalize_to_diagonal",
    "normalize_to_unit_cube",
    "vertex_normals",
    "voxelize",
    "voxelize_file",
]
