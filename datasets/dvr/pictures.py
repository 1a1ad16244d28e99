"""Pictures of DVR scenes: read onto white, resized, or read from a plain folder."""

import os
import pathlib
import re
from collections.abc import Sequence

import numpy as np

from tfrender import checks, io
from tfrender.io import FormatError, LimitError

SUFFIXES = (".png", ".jpg", ".jpeg")
_MOST_BYTES = 4 * 2**30  # of the pictures of a folder


def read_on_white(path: str | os.PathLike) -> np.ndarray:
    """Reads a picture, its alpha laid over white.

    Args:
        path: PNG or JPEG.

    Returns:
        uint8 [H, W, 3].

    Raises:
        FileNotFoundError, FormatError, LimitError: as `tfrender.io.read_image`.
    """
    pixels = io.read_image(path)
    if pixels.shape[-1] == 4:
        alpha = pixels[..., 3:].astype(np.float32) / 255.0
        color = pixels[..., :3] * alpha + 255.0 * (1.0 - alpha)
        return np.rint(color).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))


def resize(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resizes a picture by a triangle filter, which averages where it shrinks.

    Args:
        image: uint8 [H, W, 3].
        size: (height, width) wanted.

    Returns:
        uint8 [height, width, 3].
    """
    from PIL import Image

    if image.shape[:2] == tuple(size):
        return image
    picture = Image.fromarray(image)
    return np.asarray(picture.resize(size[::-1], Image.Resampling.BILINEAR))


def nearest(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Takes the nearest pixel: masks and depths have no values in between.

    Args:
        values: [H, W] of any type.
        size: (height, width) wanted.

    Returns:
        [height, width].
    """
    rows, columns = (
        (2 * np.arange(want) + 1) * have // (2 * want)
        for want, have in zip(size, values.shape, strict=True)
    )
    return values[rows[:, np.newaxis], columns]


def shorter_side(size: tuple[int, int], wanted: int) -> tuple[int, int]:
    """Size of the same shape whose shorter side is `wanted`; 0 changes nothing.

    Args:
        size: (height, width).
        wanted: pixels.

    Returns:
        (height, width).
    """
    if not wanted:
        return tuple(size)
    scale = wanted / min(size)
    height, width = (max(wanted, round(side * scale)) for side in size)
    return height, width


def list_pictures(
    folder: str | os.PathLike, suffixes: Sequence[str] = SUFFIXES
) -> list[pathlib.Path]:
    """Files of a folder with one of some suffixes, sorted by name.

    Args:
        folder: not searched below.
        suffixes: lower case; files of either case are found.

    Returns:
        Paths.
    """
    found = pathlib.Path(folder).iterdir()
    chosen = (p for p in found if p.suffix.lower() in suffixes and p.is_file())
    return sorted(chosen, key=lambda path: path.name)


def check_count(path: pathlib.Path, found: Sequence[pathlib.Path], count: int) -> None:
    """Refuses another number of files than cameras.

    Files belong to cameras by their order, so that a gap moves all behind it.

    Args:
        path: of the folder.
        found: its files.
        count: number of cameras.

    Raises:
        FormatError: naming the numbers that miss, as far as names tell.
    """
    if len(found) == count:
        return
    numbers = [int(n[-1]) for n in (re.findall(r"\d+", p.stem) for p in found) if n]
    missing = sorted(set(range(min(numbers, default=0), count)) - set(numbers))
    where = f"; missing {', '.join(map(str, missing[:8]))}" if missing else ""
    raise FormatError(
        f"{path}: expected {count} files, one for each camera of "
        f"the camera file; got {len(found)}{where}."
    )


def load_pictures(folder: str | os.PathLike, size: int) -> tuple[list[str], np.ndarray]:
    """Reads a folder of pictures for an encoder.

    As the original does with own pictures, but for alpha: every .png, .jpg and .jpeg
    directly in the folder, laid over white and resized to exactly S x S, whatever its
    shape. Expect sensible results for one object on white, in a square picture.

    Args:
        folder: of the pictures.
        size: pixels S a side.

    Returns:
        names of the files without suffix, sorted, and float32 [N, S, S, 3] in [0, 1].

    Raises:
        FileNotFoundError: no such folder, or no picture in it.
        FormatError: a broken picture, or two of one name.
        LimitError: more than 4 GiB of them.
    """
    checks.between("size", size, 1, 4096)
    if not pathlib.Path(folder).is_dir():
        raise FileNotFoundError(f"{folder}: no such folder of pictures.")
    paths = list_pictures(folder)
    if not paths:
        raise FileNotFoundError(
            f"{folder}: expected {', '.join(SUFFIXES)}; found none."
        )
    names = [path.stem for path in paths]
    twice = [path for path in paths if names.count(path.stem) > 1]
    if twice:
        raise FormatError(
            f"{twice[0]} and {twice[1].name} have one name; rename one of them."
        )
    if 12 * size * size * len(paths) > _MOST_BYTES:
        raise LimitError(
            f"{folder}: expected at most {_MOST_BYTES // 2**30} GiB of pictures of "
            f"{size} x {size}; got {len(paths)} files."
        )
    images = [resize(read_on_white(path), (size, size)) for path in paths]
    return names, np.stack(images).astype(np.float32) / 255.0
