"""The checked inputs of one call of a mesh layer."""

from typing import NamedTuple

import tensorflow as tf

from tfrender import cameras, checks
from tfrender.ops.mesh_surface import Appearance
from tfrender.ops.rasterize_corners import face_corners


class Scene(NamedTuple):
    """Checked inputs of one call, all of one batch.

    Attributes:
        vertices: [B, V, 3] float32, world.
        faces: [F, 3] or [B, F, 3] int32.
        camera: Camera of batch B or 1.
        appearance: Appearance.
        normals: [B, V, 3] or [B, F, 3, 3], or None.
    """

    vertices: tf.Tensor
    faces: tf.Tensor
    camera: cameras.Camera
    appearance: Appearance
    normals: tf.Tensor | None

    def corners(self) -> tf.Tensor:
        """World positions of the corners of each face, [B, F, 3, 3]."""
        return face_corners(self.vertices, self.faces)


def checked_scene(vertices, faces, camera, appearance, normals) -> Scene:
    """Checks shapes and brings everything to one batch.

    Args:
        vertices: [B or 1, V, 3].
        faces: [F, 3] or [B or 1, F, 3] integers.
        camera: Camera of batch B or 1, or a tuple of its matrices.
        appearance: Appearance, batched entries of batch B or 1.
        normals: [B or 1, V, 3], [B or 1, F, 3, 3] or None.

    Returns:
        Scene of batch B.

    Raises:
        ValueError: for wrong shapes, or faces that are no integers.
    """
    if not isinstance(camera, list | tuple) or len(camera) != 2:
        raise ValueError(
            "`camera` must be a Camera or a pair of matrices [B, 4, 4]; "
            f"got {type(camera).__name__}."
        )
    camera = cameras.Camera(*camera)
    for name, matrix in camera._asdict().items():
        checks.rank(f"camera {name}", matrix, 3)
        checks.dims(f"camera {name}", matrix, 4, 4)
    checks.rank("vertices", vertices, 3)
    checks.dims("vertices", vertices, None, 3)
    faces = tf.convert_to_tensor(faces)
    checks.dims("faces", faces, None, 3)
    if not faces.dtype.is_integer or faces.shape.rank not in (2, 3):
        raise ValueError(
            f"`faces` must be integers [F, 3] or [B, F, 3]; got {faces.dtype.name} "
            f"{faces.shape}."
        )
    colors, uv, texture, cubes = appearance
    for name, value, size in (
        ("vertex_colors", colors, None),
        ("uv", uv, 2),
        ("normals", normals, 3),
    ):
        if value is not None:
            checks.dims(name, value, None, size)
    if texture is not None:
        checks.rank("texture", texture, 4)

    batch = tf.maximum(tf.shape(vertices)[0], tf.shape(camera.world_to_camera)[0])
    single = camera.world_to_camera.shape[0] == 1

    def spread(value, *ranks):
        """Repeats what has a batch of 1, where more cameras look at it."""
        if single or value is None or value.shape[0] != 1:
            return value
        if value.shape.rank not in ranks:
            return value
        return tf.broadcast_to(value, tf.concat([[batch], tf.shape(value)[1:]], 0))

    return Scene(
        spread(tf.cast(vertices, tf.float32), 3),
        spread(tf.cast(faces, tf.int32), 3),
        camera,
        Appearance(spread(colors, 3, 4), spread(uv, 3, 4), texture, spread(cubes, 6)),
        spread(normals, 3, 4),
    )
