"""The fixed views of every object, and the names of the published classes.

Kato et al., "Neural 3D Mesh Renderer", 2018: 24 cameras on a circle around the object,
all at one height and distance. Objects lie in the cube [-0.5, 0.5]^3.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from tfrender import cameras

VIEWS = 24
ELEVATION_DEG = cameras.RING_ELEVATION_DEG
DISTANCE = cameras.RING_DISTANCE
camera = cameras.on_reconstruction_ring
IMAGE_SIZE = 64
VOXELS = 32

# ShapeNet's synset of each published class.
CLASSES = {
    "02691156": "airplane",
    "02828884": "bench",
    "02933112": "dresser",
    "02958343": "car",
    "03001627": "chair",
    "03211117": "display",
    "03636649": "lamp",
    "03691459": "speaker",
    "04090263": "rifle",
    "04256520": "sofa",
    "04379243": "table",
    "04401088": "phone",
    "04530566": "vessel",
}


def azimuths_deg() -> np.ndarray:
    """Azimuths of the views in order.

    Returns:
        float32 [24] degrees: 0, 15 ... 345.
    """
    return np.arange(VIEWS, dtype=np.float32) * (360.0 / VIEWS)


def class_name(class_id: str) -> str:
    """Name of a class: that of a published id, any other id names itself."""
    return CLASSES.get(class_id, class_id)


def find_classes(asked: Iterable[str], there: Sequence[str]) -> list[str]:
    """Ids of the classes that a user asks for.

    Args:
        asked: ids or names, such as 03001627 or chair.
        there: ids of the classes that the data hold.

    Returns:
        ids out of `there`, in the order asked.

    Raises:
        ValueError: a class that is not there, one asked for twice, or none asked for.
    """
    by_name = {class_name(class_id): class_id for class_id in there}
    by_name.update({class_id: class_id for class_id in there})
    found = []
    for text in asked:
        # Both spellings of a published class, whichever of them the data use.
        class_id = by_name.get(text, by_name.get(class_name(text)))
        if class_id is None:
            known = ", ".join(
                c if class_name(c) == c else f"{c} ({class_name(c)})" for c in there
            )
            raise ValueError(f"no class {text!r}; there are {known or 'none'}.")
        if class_id in found:
            raise ValueError(f"class {text!r} is asked for twice.")
        found.append(class_id)
    if not found:
        raise ValueError("expected at least one class; got none.")
    return found


def view_numbers(texts: Sequence[str] | None, name: str = "--views") -> list[int]:
    """Numbers of views that a user lists.

    Args:
        texts: words of the list, or None for all views.
        name: of the flag, for the message.

    Returns:
        Different numbers in 0..23, in the order given.

    Raises:
        ValueError: a word that is no such number, one that comes twice, or no word.
    """
    if texts is None:
        return list(range(VIEWS))
    # Digits of other scripts are decimal too, and int() would read them.
    plain = all(text.isascii() and text.isdecimal() for text in texts)
    found = [int(text) for text in texts] if plain else []
    if not found or max(found) >= VIEWS or len(set(found)) < len(found):
        raise ValueError(
            f"{name}: expected different numbers from 0 to {VIEWS - 1}; got "
            f"{','.join(texts)!r}."
        )
    return found


def voxel_silhouette(voxels: np.ndarray, azimuth_deg: float) -> np.ndarray:
    """Silhouette of voxels in a view: the pixels whose ray meets a full one.

    Args:
        voxels: bool [n, n, n] of the cube [-0.5, 0.5]^3.
        azimuth_deg: of the view.

    Returns:
        bool [64, 64].
    """
    side = voxels.shape[0]
    view, projection = (matrix[0].numpy() for matrix in camera(azimuth_deg))
    edge = (np.arange(IMAGE_SIZE) + 0.5) / IMAGE_SIZE * 2.0 - 1.0
    x, y = np.meshgrid(edge / projection[0, 0], -edge / projection[1, 1])
    ray = np.stack([x, y, -np.ones_like(x)], -1) @ view[:3, :3]  # world, depth 1
    eye = -view[:3, :3].T @ view[:3, 3]
    # The cube lies within 0.87 of the origin; half a voxel a step.
    depth = np.linspace(DISTANCE - 0.87, DISTANCE + 0.87, round(3.5 * side))
    points = eye + ray[:, :, np.newaxis] * depth[:, np.newaxis]  # [64, 64, D, 3]
    cell = np.floor((points + 0.5) * side).astype(int)
    inside = ((cell >= 0) & (cell < side)).all(-1)
    x, y, z = np.moveaxis(cell.clip(0, side - 1), -1, 0)
    return (voxels[x, y, z] & inside).any(-1)
