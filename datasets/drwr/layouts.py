"""The published renders: pictures with alpha, cameras and depths of each object.

    <root>/<object>/ or <root>/<class>/<object>/
        render_0.png   colour and alpha; or colour alone, beside a mask_0.png
        camera_0.mat   `pos` [3], where the camera stands; `extrinsic` [4, 4]
        depth_0.png    optional, 16 bits: 65535 is 10 units, or nothing
        render_1.png ...
    <root>/<class>_<split>.txt    optional; one object a line
    <root>/<class>.file           optional; the list of the original

Files belong together by the number in their names. Cameras are those of `pos`, which
look at the origin. `extrinsic` is read, checked and kept in the records, and nothing
uses it: built from the same `pos` it would be another camera, turned by 180 degrees
(the original too follows `pos` unless it is told otherwise).

A plain folder of pictures, without cameras, is what a trained model is shown:
`load_pictures` of `datasets.dvr.pictures`, which is offered here too.
"""

import pathlib
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from datasets.drwr import examples, silhouettes
from datasets.dvr import pictures
from datasets.dvr.pictures import load_pictures as load_pictures
from tfrender import cameras, io
from tfrender.io import FormatError

_RENDER = re.compile(r"render_?(\d+)\.png", re.IGNORECASE)


class Settings(NamedTuple):
    """What is read of an object.

    Attributes:
        views: the first so many views; 0 is all.
        image_size: pixels a side; 0 is as they are.
        focal_length: in widths of the picture.
        depth: whether depths are read.
        sample_points: points on each mask; 0 for none.
        sample_mode: see `silhouettes.sample_points`.
        seed: of the points.
    """

    views: int = 0
    image_size: int = 0
    focal_length: float = 1.875
    depth: bool = False
    sample_points: int = 0
    sample_mode: str = "lattice"
    seed: int = 0


class Found(NamedTuple):
    """An object's folder.

    Attributes:
        class_id: its class.
        name: of the object within the class.
        path: its folder.
    """

    class_id: str
    name: str
    path: pathlib.Path


def has_renders(folder) -> bool:
    """Whether a folder, or one at most two levels below, holds render_NUMBER.png."""
    root = pathlib.Path(folder)
    for pattern in ("*", "*/*", "*/*/*"):
        if any(_RENDER.fullmatch(path.name) for path in root.glob(pattern)):
            return True
    return False


def find_objects(root: str, classes: Sequence[str] | None = None) -> list[Found]:
    """Folders of objects below a root.

    Args:
        root: <root>/<object>/, whose class is the root's own name, or
            <root>/<class>/<object>/.
        classes: folders of those to take; None is all.

    Returns:
        Sorted by class and name.

    Raises:
        FileNotFoundError: no such folder, or no renders below it.
        ValueError: a class that is not there.
    """
    top = pathlib.Path(root)
    if not top.is_dir():
        raise FileNotFoundError(f"{root}: no such folder of renders.")
    found = []
    for folder in sorted(path for path in top.iterdir() if path.is_dir()):
        if _holds_renders(folder):
            found.append(Found(top.resolve().name, folder.name, folder))
            continue
        inner = sorted(path for path in folder.iterdir() if path.is_dir())
        found += [Found(folder.name, p.name, p) for p in inner if _holds_renders(p)]
    if not found:
        raise FileNotFoundError(
            f"{root}: expected <object>/render_0.png or <class>/<object>/render_0.png; "
            "found none."
        )
    there = sorted({item.class_id for item in found})
    missing = [name for name in classes or () if name not in there]
    if missing:
        raise ValueError(
            f"{root}: no class {missing[0]!r}; there are {', '.join(there)}."
        )
    return [item for item in found if classes is None or item.class_id in classes]


def _holds_renders(folder: pathlib.Path) -> bool:
    return any(_RENDER.fullmatch(path.name) for path in folder.iterdir())


def read_object(
    item: Found, settings: Settings
) -> tuple[examples.ObjectViews, list[str]]:
    """Reads the views of an object.

    Args:
        item: its folder.
        settings: what to read.

    Returns:
        The object, and notes on views that are empty or full.

    Raises:
        FileNotFoundError: a file that is missing beside a render.
        FormatError: a broken file; gaps in the numbers; pictures of different size, not
            square, or without alpha and mask; a camera that is not finite or at the
            origin; masks that show nothing. The message names the file.
    """
    numbers = view_numbers(item.path, settings.views)
    name = f"{item.class_id}/{item.name}"
    colors, alphas, depths, poses, extrinsics = [], [], [], [], []
    for number, path in numbers.items():
        color, alpha = _picture(path, number)
        if colors and alpha.shape != alphas[0].shape:
            raise FormatError(
                f"{path}: expected {_size(alphas[0])}, as in "
                f"{next(iter(numbers.values())).name}; got {_size(alpha)}."
            )
        colors.append(color)
        alphas.append(alpha)
        pose, extrinsic = _camera(item.path / f"camera_{number}.mat", path)
        poses.append(pose)
        extrinsics.append(extrinsic)
        if settings.depth:
            depths.append(_depth(item.path / f"depth_{number}.png", path, alpha))
    camera = cameras.from_blender_position(
        np.stack(poses), focal_length=settings.focal_length
    )
    images, alphas, depths = _resized(colors, alphas, depths, settings.image_size)
    masks = silhouettes.binarize(alphas)
    notes = silhouettes.check_masks(masks, str(item.path), name)
    count = len(numbers)
    whole = all(extrinsic is not None for extrinsic in extrinsics)
    found = examples.ObjectViews(
        name,
        item.class_id,
        images,
        masks,
        np.zeros(masks.shape, np.uint16),
        camera.world_to_camera.numpy(),
        np.repeat(camera.projection.numpy(), count // len(camera.projection), axis=0),
        list(numbers),
        np.where(masks, depths, 0.0).astype(np.float32) if settings.depth else None,
        None,
        np.stack(extrinsics) if whole else None,
    )
    seed = silhouettes.seed_of(settings.seed, name)
    return (
        examples.with_silhouettes(
            found, settings.sample_points, settings.sample_mode, seed
        ),
        notes,
    )


def view_numbers(folder: pathlib.Path, most: int = 0) -> dict[int, pathlib.Path]:
    """Renders of a folder by their numbers, in the order of the numbers.

    Args:
        folder: of an object.
        most: the first so many; 0 is all.

    Returns:
        number -> file.

    Raises:
        FormatError: a gap, two files of one number, or less than `most`.
    """
    found: dict[int, pathlib.Path] = {}
    for path in sorted(folder.iterdir()):
        match = _RENDER.fullmatch(path.name)
        if match and found.setdefault(int(match[1]), path) != path:
            raise FormatError(f"{path}: {found[int(match[1])].name} has its number.")
    found = dict(sorted(found.items()))
    if not found:
        raise FileNotFoundError(f"{folder}: expected render_0.png ...; found none.")
    first, last = min(found), max(found)
    gaps = [number for number in range(first, last) if number not in found]
    if gaps:
        raise FormatError(
            f"{folder}: expected the renders {first} to {last}; missing "
            f"render_{gaps[0]}.png."
        )
    if first > 1:  # numbers start at 0 or 1
        raise FormatError(f"{folder}: expected render_0.png; the first is {first}.")
    if len(found) < most:
        raise FormatError(f"{folder}: expected {most} renders; got {len(found)}.")
    return dict(list(found.items())[: most or None])


def _picture(path: pathlib.Path, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Colours on white, uint8 [H, W, 3], and alpha, uint8 [H, W]."""
    pixels = io.read_image(path)
    height, width = pixels.shape[:2]
    if height != width:
        raise FormatError(f"{path}: expected a square picture; got {width} x {height}.")
    mask_path = path.parent / f"mask_{number}.png"
    if mask_path.exists():
        mask = io.read_image(mask_path, 1)[..., 0]
        if mask.shape != pixels.shape[:2]:
            raise FormatError(
                f"{mask_path}: expected {_size(pixels)}, as {path.name} has; got "
                f"{_size(mask)}."
            )
        # Some write 0 and 1.
        alpha = np.where(mask > 0, 255, 0) if mask.max() <= 1 else mask
        alpha = alpha.astype(np.uint8)
        color = pixels[..., :3] if pixels.shape[-1] >= 3 else pixels[..., :1]
        pixels = np.concatenate(
            [np.broadcast_to(color, (*alpha.shape, 3)), alpha[..., np.newaxis]], -1
        )
    elif pixels.shape[-1] != 4:
        raise FormatError(
            f"{path}: expected a PNG with alpha, or {mask_path.name} beside it; got "
            f"{pixels.shape[-1]} channels."
        )
    alpha = pixels[..., 3]
    share = alpha[..., np.newaxis].astype(np.float32) / 255.0
    color = pixels[..., :3] * share + 255.0 * (1.0 - share)
    return np.rint(color).astype(np.uint8), alpha


def _size(picture: np.ndarray) -> str:
    return f"{picture.shape[1]} x {picture.shape[0]} pixels"


def _camera(path: pathlib.Path, render: pathlib.Path):
    """Place of a camera, float64 [3], and its extrinsic, float32 [4, 4] or None."""
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such camera of {render.name}.")
    place = io.read_mat(path, "pos", (3,)).astype(np.float64)
    if not np.linalg.norm(place) > 1e-6:
        raise FormatError(f"{path}: expected `pos` away from the origin; got {place}.")
    try:
        extrinsic = io.read_mat(path, "extrinsic", (4, 4))
    except FormatError as error:
        if "expected the array" in str(error):  # nothing uses it: it may be missing
            return place, None
        raise
    return place, extrinsic.astype(np.float32)


def _depth(path: pathlib.Path, render: pathlib.Path, alpha) -> np.ndarray:
    """Depths, float32 [H, W], 0 where there is none."""
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such depth of {render.name}.")
    depth = io.read_depth(path, examples.FARTHEST / 65535.0)
    if depth.shape != alpha.shape:
        raise FormatError(
            f"{path}: expected {_size(alpha)}, as {render.name} has; got "
            f"{_size(depth)}."
        )
    background = depth > examples.FARTHEST - 0.5 * examples.FARTHEST / 65535.0
    return np.where(background, np.float32(0.0), depth)


def _resized(colors, alphas, depths, side: int):
    """Arrays [V, ...] of pictures, alphas and depths, of another size."""
    side = side or len(alphas[0])
    size = (side, side)
    images = np.stack([pictures.resize(color, size) for color in colors])
    alphas = np.stack([pictures.resize(alpha, size) for alpha in alphas])
    nearest = [pictures.nearest(depth, size) for depth in depths]
    return images, alphas, np.stack(nearest) if nearest else None
