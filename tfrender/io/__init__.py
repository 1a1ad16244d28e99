"""Readers and writers: meshes, voxel grids, images, archives.

A reader returns a valid object or raises `FileNotFoundError`, `FormatError` (wrong
bytes) or `LimitError` (too large), with the path in the message. A writer leaves a
complete file under the final name, or none.
"""

from tfrender.io.archives import extract_tar, iter_tar, write_tar
from tfrender.io.atomic import build_directory, write_file
from tfrender.io.binvox import (
    Binvox,
    decode_binvox,
    encode_binvox,
    read_binvox,
    write_binvox,
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
    "MESH_SUFFIXES",
    "Binvox",
    "FormatError",
    "LimitError",
    "Material",
    "Mesh",
    "build_directory",
    "decode_binvox",
    "decode_image",
    "encode_binvox",
    "extract_tar",
    "iter_tar",
    "load_mesh",
    "read_binvox",
    "read_image",
    "remove_coincident_faces",
    "save_mesh",
    "tile_images",
    "to_uint8",
    "validate_mesh",
    "write_binvox",
    "write_file",
    "write_gif",
    "write_png",
    "write_tar",
]
