"""Writes the folder of renders that `datasets.drwr.layouts` reads."""

import pathlib

import numpy as np

from datasets.drwr.examples import ObjectViews, depth_levels
from tfrender import io


def camera_position(world_to_camera: np.ndarray) -> np.ndarray:
    """Place of a camera as the camera files say it.

    Args:
        world_to_camera: float [V, 4, 4].

    Returns:
        float64 [V, 3]: `pos`, in a world with z up: (x, -z, y) of ours.
    """
    matrix = np.asarray(world_to_camera, np.float64)
    x, y, z = -np.einsum("vij,vi->jv", matrix[:, :3, :3], matrix[:, :3, 3])
    return np.stack([x, -z, y], axis=-1)


def camera_extrinsic(world_to_camera: np.ndarray) -> np.ndarray:
    """World to camera as computer vision has it, of the world with z up.

    Args:
        world_to_camera: float [V, 4, 4].

    Returns:
        float64 [V, 4, 4]; x right, y down, z forward.
    """
    # Columns: of (x, y, z) with z up, ours are (x, z, -y).
    to_ours = np.array([[1.0, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]])
    return np.diag([1.0, -1.0, -1.0, 1.0]) @ world_to_camera @ to_ours


def write_object(folder: str, item: ObjectViews) -> None:
    """Writes the folder of an object, wholly or not at all.

    Args:
        folder: must not exist.
        item: its views; alpha is 255 on the masks and 0 beside them.

    Raises:
        FileExistsError: the folder exists.
        OSError: the disk is full or the folder cannot be written.
    """
    from PIL import Image

    places = camera_position(item.world_to_camera)
    extrinsics = camera_extrinsic(item.world_to_camera)
    with io.build_directory(folder) as temporary:
        root = pathlib.Path(temporary)
        for number, (image, mask) in enumerate(
            zip(item.images, item.masks, strict=True)
        ):
            alpha = mask[..., np.newaxis].astype(np.uint8) * np.uint8(255)
            io.write_png(
                root / f"render_{number}.png", np.concatenate([image, alpha], -1)
            )
            io.write_mat(
                root / f"camera_{number}.mat",
                {"pos": places[number], "extrinsic": extrinsics[number]},
            )
            if item.depth is not None:
                levels = Image.fromarray(depth_levels(item.depth[number]))
                with io.write_file(root / f"depth_{number}.png") as file:
                    levels.save(file, format="PNG")
