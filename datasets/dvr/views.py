"""Reads the views of one object: pictures, masks, depths, cameras, sparse points.

Whatever the folder holds is checked here and brought to the form of this library:
object space, our cameras, depth in object units with 0 where there is none.
"""

import pathlib
from typing import NamedTuple

import numpy as np

from datasets.dvr import camera_files, depths, pictures, sparse_points, visual_hull
from datasets.dvr.layouts import Folders, ObjectFolder
from datasets.dvr.sparse_points import SparsePoints
from tfrender import io
from tfrender.io import FormatError

_RAYS = 2000  # of a mask that are checked against the cube
_MISSED = 0.05  # share of a mask outside the cube that is worth a line


class Settings(NamedTuple):
    """What is read of an object.

    Attributes:
        folders: names of its sub-folders.
        views: number of views for supervision, after `ignore_views`; 0 is all.
        input_views: number of encoder inputs, likewise.
        ignore_views: places in the sorted sequence that are dropped first.
        image_size: shorter side of the pictures in pixels; 0 leaves them.
        input_size: largest shorter side of an encoder input; 0 leaves them.
        scaled: whether cameras.npz must hold scale matrices.
        multi_view: whether the object is a scene, which takes two views.
    """

    folders: Folders
    views: int = 0
    input_views: int = 0
    ignore_views: tuple[int, ...] = ()
    image_size: int = 0
    input_size: int = 224
    scaled: bool = False
    multi_view: bool = False


class ObjectViews(NamedTuple):
    """All that is read of an object.

    Attributes:
        name: CLASS/OBJECT.
        class_id: its class.
        numbers: of the V views in cameras.npz.
        images: uint8 [V, H, W, 3] on white.
        masks: bool [V, H, W].
        depth: float32 [V, H, W] planar, object units, 0 where there is none; or None.
        hull_depth: likewise, of the visual hull; or None.
        world_to_camera: float32 [V, 4, 4].
        projection: float32 [V, 4, 4].
        inputs: encoder inputs as bytes of PNG or JPEG; None where the images serve.
        sparse: `SparsePoints` of each view, or None.
        notes: lines for the user.
    """

    name: str
    class_id: str
    numbers: list[int]
    images: np.ndarray
    masks: np.ndarray
    depth: np.ndarray | None
    hull_depth: np.ndarray | None
    world_to_camera: np.ndarray
    projection: np.ndarray
    inputs: list[bytes] | None
    sparse: list[SparsePoints] | None
    notes: list[str]


def read_object(item: ObjectFolder, settings: Settings) -> ObjectViews:
    """Reads and checks an object.

    Args:
        item: its folder.
        settings: what to read.

    Returns:
        `ObjectViews`.

    Raises:
        FileNotFoundError: a folder or file that is missing.
        FormatError: files that are broken or do not belong together; they are named.
        ValueError: fewer views than asked for.
    """
    camera_path = item.path / camera_files.FILE
    matrices = camera_files.read_cameras(camera_path, settings.scaled)
    notes = []
    if not matrices.scaled:
        notes.append("no scale_mat; the world is taken for object space.")
    count = len(matrices.products)
    folders = settings.folders
    files = _files(item.path, folders.image, folders.image_extension, count)
    masks = _files(item.path, folders.mask, folders.mask_extension, count)
    chosen = _chosen(files, count, settings, item)
    images, stored = _read_images([files[i] for i in chosen], settings.image_size)
    shown = _read_masks([masks[i] for i in chosen], [files[i] for i in chosen], stored)
    products = matrices.products[chosen]
    notes += _look_at_masks(shown, products, chosen, item, matrices.scaled)
    *camera, depth_scale = camera_files.to_cameras(products, stored)
    found = []
    for folder in (folders.depth, folders.hull_depth):
        read = depths.read_depths(
            *(item.path, folder, folders.depth_extension, count, chosen, stored)
        )
        if read is not None:
            notes += depths.look_at_depths(read, shown, products, folder)
            read = read / depth_scale[:, np.newaxis, np.newaxis]
        found.append(read)
    size = images.shape[1:3]
    sparse = sparse_points.read_sparse(
        item.path / sparse_points.FILE, matrices, chosen, stored, size
    )
    inputs = None
    if folders.inputs:
        inputs = _read_inputs(item, settings)
    return ObjectViews(
        item.name,
        item.class_id,
        chosen,
        images,
        np.stack([pictures.nearest(mask, size) for mask in shown]),
        *(None if d is None else _resized(d, size) for d in found),
        *camera,
        inputs,
        sparse,
        [f"{item.name}: {note}" for note in notes],
    )


def _resized(depth: np.ndarray, size) -> np.ndarray:
    return np.stack([pictures.nearest(d, size) for d in depth]).astype(np.float32)


def _files(folder: pathlib.Path, name: str, extension: str, count: int | None):
    """Pictures of a sub-folder, sorted, as many as there are cameras."""
    path = folder / name
    if not path.is_dir():
        raise FileNotFoundError(f"{path}: no such folder of pictures.")
    suffixes = (f".{extension.lower().lstrip('.')}",) if extension else None
    found = pictures.list_pictures(path, suffixes or pictures.SUFFIXES)
    if not found:
        kinds = ", ".join(suffixes or pictures.SUFFIXES)
        raise FileNotFoundError(
            f"{path}: expected files that end in {kinds}; got none."
        )
    if count is not None:
        pictures.check_count(path, found, count)
    return found


def _chosen(files, count: int, settings: Settings, item) -> list[int]:
    """Places of the views that are read."""
    wrong = [place for place in settings.ignore_views if not 0 <= place < count]
    if wrong:
        raise ValueError(
            f"{item.path}: expected views to ignore in 0..{count - 1}; got {wrong[0]}."
        )
    chosen = [i for i in range(count) if i not in settings.ignore_views]
    if settings.views > len(chosen):
        raise ValueError(
            f"{item.path}: expected {settings.views} views; there are {len(chosen)}."
        )
    chosen = chosen[: settings.views or None]
    if len(chosen) < 1 + settings.multi_view:
        raise ValueError(
            f"{item.path}: expected {1 + settings.multi_view} views or more; got "
            f"{len(chosen)}."
        )
    return chosen


def _read_images(paths, image_size: int):
    """Pictures uint8 [V, H, W, 3], and the size they are stored in."""
    images, stored = [], None
    for path in paths:
        image = pictures.read_on_white(path)
        stored = stored or image.shape[:2]
        if image.shape[:2] != stored:
            raise FormatError(
                f"{path}: expected {stored[1]} x {stored[0]} pixels, as in "
                f"{paths[0].name}; got {image.shape[1]} x {image.shape[0]}."
            )
        images.append(pictures.resize(image, pictures.shorter_side(stored, image_size)))
    return np.stack(images), stored


def _read_masks(paths, image_paths, stored) -> np.ndarray:
    """Masks bool [V, H, W], as they are stored."""
    masks = []
    for path, image_path in zip(paths, image_paths, strict=True):
        mask = io.read_image(path)[..., 0] > 0
        if mask.shape != stored:
            raise FormatError(
                f"{path}: expected {stored[1]} x {stored[0]} pixels, as in "
                f"{image_path}; got {mask.shape[1]} x {mask.shape[0]}."
            )
        masks.append(mask)
    return np.stack(masks)


def _look_at_masks(masks, products, chosen, item, scaled: bool) -> list[str]:
    """Refuses masks without an object or outside of the cube; tells of odd views."""
    numbers, notes = np.array(chosen), []
    empty, full = ~masks.any((1, 2)), masks.all((1, 2))
    for odd, word in ((empty, "empty"), (full, "full")):
        if odd.all():
            raise FormatError(f"{item.path}: the mask of every view is {word}.")
        if odd.any():
            notes.append(f"the mask is {word} in view {_list(numbers[odd])}.")
    inside = np.abs(camera_files.eyes(products)).max(-1) < 0.5
    if inside.any():
        notes.append(
            f"the camera stands inside the cube in view {_list(numbers[inside])}."
        )
    mirrored = np.linalg.det(products[:, :3, :3]) < 0
    if mirrored.any():
        notes.append(
            f"the matrices mirror the picture in view {_list(numbers[mirrored])}; "
            "expected x right, y down and z forward."
        )
    missed = np.array(
        [_share_outside(mask, m) for mask, m in zip(masks, products, strict=True)]
    )
    if (missed[~empty] == 1.0).all():
        hint = "check scale_mat" if scaled else "scale matrices are missing"
        raise FormatError(
            f"{item.path}: no mask shows the cube [-0.5, 0.5]^3 in which the object "
            f"must lie; {hint}."
        )
    wide = missed > _MISSED
    if wide.any():
        notes.append(
            f"up to {missed.max():.0%} of the mask lies outside of the unit cube, in "
            f"view {_list(numbers[wide])}; that part cannot be reconstructed."
        )
    return notes


def _list(numbers) -> str:
    """Numbers by comma, the first few."""
    more = " ..." if len(numbers) > 8 else ""
    return ", ".join(map(str, numbers[:8])) + more


def _share_outside(mask: np.ndarray, product: np.ndarray) -> float:
    """Share of the pixels of a mask whose ray misses the padded cube."""
    rows, columns = np.nonzero(mask)
    if not len(rows):
        return 0.0
    step = -(-len(rows) // _RAYS)
    rows, columns = rows[::step], columns[::step]
    inverse = np.linalg.inv(product)
    directions = camera_files.unproject(rows, columns, mask.shape) @ inverse[:3, :3].T
    near, far = visual_hull.cube_span(inverse[:3, 3], directions)
    return float(np.mean((near > far) | (far < 0)))


def _read_inputs(item: ObjectFolder, settings: Settings) -> list[bytes] | None:
    """Encoder inputs; None where they are the images themselves."""
    folders = settings.folders
    same = folders.inputs == folders.image
    same &= folders.input_extension == folders.image_extension
    if same and not settings.image_size and settings.input_views == settings.views:
        return None
    paths = _files(item.path, folders.inputs, folders.input_extension, None)
    if folders.inputs == folders.image:  # numbered as the views are
        paths = [p for i, p in enumerate(paths) if i not in settings.ignore_views]
    if settings.input_views > len(paths):
        raise ValueError(
            f"{item.path / folders.inputs}: expected {settings.input_views} pictures; "
            f"there are {len(paths)}."
        )
    return [
        _input_bytes(path, settings.input_size)
        for path in paths[: settings.input_views or None]
    ]


def _input_bytes(path: pathlib.Path, largest: int) -> bytes:
    """A picture as it lies in the file, or what the records need of it as PNG."""
    import io as streams

    from PIL import Image

    pixels = io.read_image(path)
    size = pixels.shape[:2]
    if pixels.shape[-1] == 3 and not (largest and min(size) > largest):
        return path.read_bytes()
    picture = pictures.read_on_white(path)
    if largest and min(size) > largest:
        picture = pictures.resize(picture, pictures.shorter_side(size, largest))
    stream = streams.BytesIO()
    Image.fromarray(picture).save(stream, format="PNG")
    return stream.getvalue()
