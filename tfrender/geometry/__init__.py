"""Geometry of real meshes: normalisation, topology, sampling, voxels, batches."""

from tfrender.geometry.batches import (
    JoinedScene,
    MeshBatch,
    MeshPart,
    join_scene,
    repeat_views,
    stack_meshes,
    unstack_meshes,
)
from tfrender.geometry.edges import EdgeTopology, edge_topology
from tfrender.geometry.normalize import (
    Normalization,
    normalize_to_diagonal,
    normalize_to_unit_cube,
)
from tfrender.geometry.normals import corner_normals, face_normals, vertex_normals
from tfrender.geometry.sample_surface import (
    SurfaceSamples,
    points_on_faces,
    sample_surface,
)
from tfrender.geometry.voxelize import Voxels, voxelize, voxelize_file

__all__ = [
    "EdgeTopology",
    "JoinedScene",
    "MeshBatch",
    "MeshPart",
    "Normalization",
    "SurfaceSamples",
    "Voxels",
    "corner_normals",
    "edge_topology",
    "face_normals",
    "join_scene",
    "normalize_to_diagonal",
    "normalize_to_unit_cube",
    "points_on_faces",
    "repeat_views",
    "sample_surface",
    "stack_meshes",
    "unstack_meshes",
    "vertex_normals",
    "voxelize",
    "voxelize_file",
]
