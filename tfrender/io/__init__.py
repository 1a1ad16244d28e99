"""Readers and writers: meshes, voxel grids, images, depth maps, arrays, archives.

A reader returns a valid object or raises `FileNotFoundError`, `FormatError` (wrong
bytes) or `LimitError` (too large), with the path in the message. A writer leaves a
complete file under the final name, or none.
"""

from tfrender.io.archives import extract_tar, iter_tar, write_tar
from tfrender.io.arrays import read_npy, read_npz
from tfrender.io.atomic import build_directory, write_file
from tfrender.io.binvox import (
    Binvox,
    decode_binvox,
    encode_binvox,
    read_binvox,
    write_binvox,
)
from tfrender.io.depth_maps import (
    DEPTH_SUFFIXES,
    clean_depth,
    read_depth,
    write_depth_exr,
)
from tfrender.io.errors import FormatError, LimitError
from tfrender.io.images import (
    decode_image,
    read_image,
    tile_images,
    to_uint8,
    write_gif,
    write_png,
)
from tfrender.io.mat_files import read_mat, write_mat
from tfrender.io.meshes import (
    MESH_SUFFIXES,
    Material,
    Mesh,
    load_mesh,
    remove_coincident_faces,
    save_mesh,
    validate_mesh,
)

__all__ = [
    "DEPTH_SUFFIXES",
    "MESH_SUFFIXES",
    "Binvox",
    "FormatError",
    "LimitError",
    "Material",
    "Mesh",
    "build_directory",
    "clean_depth",
    "decode_binvox",
    "decode_image",
    "encode_binvox",
    "extract_tar",
    "iter_tar",
    "load_mesh",
    "read_binvox",
    "read_depth",
    "read_image",
    "read_mat",
    "read_npy",
    "read_npz",
    "remove_coincident_faces",
    "save_mesh",
    "tile_images",
    "to_uint8",
    "validate_mesh",
    "write_binvox",
    "write_depth_exr",
    "write_file",
    "write_gif",
    "write_mat",
    "write_png",
    "write_tar",
]
