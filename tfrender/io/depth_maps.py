"""Depth maps in files: OpenEXR, npy and 16-bit PNG; [H, W], row 0 at the top.

In memory a depth is planar, above 0, and 0 where there is none. Files mark what is
missing by 0 or by +inf; every other number that is no depth is an error.
"""

import io
import os
import pathlib
import struct

import numpy as np

from tfrender import checks
from tfrender.io import arrays, atomic
from tfrender.io.errors import FormatError, LimitError
from tfrender.io.images import MAX_PIXELS, MAX_SIDE, decode_image

DEPTH_SUFFIXES = (".exr", ".npy", ".png")
_EXR = b"\x76\x2f\x31\x01"
_PNG = b"\x89PNG\r\n\x1a\n"
_CHANNELS = ("R", "Z", "Y", "V", "depth.Z", "Depth.Z")  # before any other
_GREY_16 = (16, 0)  # bits a sample and colour type, bytes 24 and 25 of a PNG


def read_depth(
    path: str | os.PathLike, scale: float = 1.0, max_pixels: int = MAX_PIXELS
) -> np.ndarray:
    """Reads a depth map.

    Args:
        path: .exr (the first channel: R, else Z, Y, V, else the first by name), .npy
            ([H, W] or [H, W, 1], float or integer) or .png (16-bit grey).
        scale: units of depth in one unit of the file, such as 0.001 for a PNG in
            millimetres that is wanted in metres.
        max_pixels: the size in the header is checked before anything is decoded.

    Returns:
        float32 [H, W], finite; 0 where the file holds 0 or +inf.

    Raises:
        FileNotFoundError: no such file.
        FormatError: another suffix, a broken file, or a depth that is negative, -inf
            or not a number.
        LimitError: larger than `max_pixels`, or a side above 16384.
    """
    path = os.fspath(path)
    checks.between("scale", scale, 1e-30, 1e30)
    suffix = pathlib.Path(path).suffix.lower()
    if suffix not in _READERS:
        raise FormatError(
            f"{path}: expected a depth map that ends in {', '.join(DEPTH_SUFFIXES)}."
        )
    return clean_depth(_READERS[suffix](path, max_pixels), path, scale)


def clean_depth(depth: np.ndarray, name: str, scale: float = 1.0) -> np.ndarray:
    """Brings depths to the form of this library.

    Args:
        depth: numbers of any shape; 0 and +inf mean that there is none.
        name: path for the message.
        scale: see `read_depth`.

    Returns:
        float32 of the same shape, finite, 0 where there is none.

    Raises:
        FormatError: a depth that is negative, -inf or not a number.
    """
    depth = np.asarray(depth)
    wrong = ~(depth >= 0)  # NaN too
    if wrong.any():
        place = np.unravel_index(int(np.argmax(wrong)), depth.shape)
        raise FormatError(
            f"{name}: expected depths above 0, with 0 or inf where there is none; got "
            f"{depth[place]} at {tuple(int(i) for i in place)} and {wrong.sum() - 1} "
            "more."
        )
    with np.errstate(over="ignore"):
        scaled = (np.where(np.isinf(depth), 0, depth) * float(scale)).astype(np.float32)
    return np.where(np.isinf(scaled), np.float32(0), scaled)


def write_depth_exr(path: str | os.PathLike, depth: np.ndarray) -> None:
    """Writes a depth map as OpenEXR, channel R, float32; +inf where there is none.

    Args:
        path: the file; replaced where it exists, complete or not at all.
        depth: [H, W] or [H, W, 1], at least 0; 0 where there is none.

    Raises:
        ValueError: another shape, or a depth that is no number or below 0.
    """
    import OpenEXR

    depth = np.asarray(depth, np.float32)
    if depth.ndim == 3 and depth.shape[-1] == 1:
        depth = depth[..., 0]
    if depth.ndim != 2 or not depth.size:
        raise ValueError(f"`depth` must be [H, W]; got shape {list(depth.shape)}.")
    if not (depth >= 0).all():
        raise ValueError("`depth` must be 0 or more; got less, or no number.")
    pixels = np.where(depth == 0, np.float32(np.inf), depth)
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    # The library writes to a path alone, so this temporary name needs its suffix.
    with atomic.write_file(path) as file:
        part = f"{file.name}.exr"
        try:
            with OpenEXR.File(header, {"R": np.ascontiguousarray(pixels)}) as image:
                image.write(part)
            file.write(pathlib.Path(part).read_bytes())
        finally:
            pathlib.Path(part).unlink(missing_ok=True)


def _check_size(height: int, width: int, name: str, max_pixels: int) -> None:
    if min(height, width) < 1:
        raise FormatError(f"{name}: expected an image; got {width} x {height}.")
    if height * width > max_pixels or max(height, width) > MAX_SIDE:
        raise LimitError(
            f"{name}: expected at most {max_pixels} pixels and {MAX_SIDE} a side; got "
            f"{width} x {height}."
        )


def _read_exr(path: str, max_pixels: int) -> np.ndarray:
    import OpenEXR

    with open(path, "rb") as file:
        head = file.read(4)
    if head != _EXR:
        raise FormatError(
            f"{path}: expected OpenEXR; got a file that starts with {head!r}."
        )
    try:
        header = OpenEXR.File(path, header_only=True).header()
        data, shown = (
            [np.asarray(corner, np.int64) for corner in header[window]]
            for window in ("dataWindow", "displayWindow")
        )
        for low, high in (data, shown):
            width, height = (int(v) for v in high - low + 1)
            _check_size(height, width, path, max_pixels)
        with OpenEXR.File(path, separate_channels=True, num_threads=0) as image:
            channels = image.channels()
            name = _first_channel(channels, path)
            pixels = np.array(channels[name].pixels)
    except (FormatError, LimitError):
        raise
    except Exception as error:  # C++ exceptions and broken names of several kinds
        raise FormatError(f"{path}: expected a whole OpenEXR; got {error}.") from error
    width, height = (int(v) for v in data[1] - data[0] + 1)
    if pixels.shape != (height, width) or pixels.dtype.kind != "f":
        raise FormatError(
            f"{path}: expected float [{height}, {width}] in channel {name}; got "
            f"{pixels.dtype} {list(pixels.shape)}."
        )
    return _in_display(pixels, data, shown)


def _first_channel(channels, path: str) -> str:
    """Name of the channel that holds the depth."""
    names = [name for name in _CHANNELS if name in channels]
    names += sorted(name for name in channels if name != "A")
    if not names:
        raise FormatError(f"{path}: expected a channel; got none.")
    return names[0]


def _in_display(pixels: np.ndarray, data, shown) -> np.ndarray:
    """The picture that is to be shown; renderers store the part they drew."""
    if all((a == b).all() for a, b in zip(data, shown, strict=True)):
        return pixels
    width, height = (int(v) for v in shown[1] - shown[0] + 1)
    whole = np.zeros([height, width], pixels.dtype)
    left, top = (int(v) for v in data[0] - shown[0])
    rows = slice(max(top, 0), max(min(top + pixels.shape[0], height), 0))
    columns = slice(max(left, 0), max(min(left + pixels.shape[1], width), 0))
    part = pixels[
        rows.start - top : max(rows.stop - top, 0),
        columns.start - left : max(columns.stop - left, 0),
    ]
    if part.size:
        whole[rows, columns] = part
    return whole


def _read_npy(path: str, max_pixels: int) -> np.ndarray:
    depth = arrays.read_npy(path, 8 * max_pixels)
    if depth.ndim == 3 and depth.shape[-1] == 1:
        depth = depth[..., 0]
    if depth.ndim != 2 or depth.dtype.kind not in "fiu":
        raise FormatError(
            f"{path}: expected numbers [H, W]; got {depth.dtype} {list(depth.shape)}."
        )
    _check_size(*depth.shape, path, max_pixels)
    return depth


def _read_png(path: str, max_pixels: int) -> np.ndarray:
    with open(path, "rb") as file:
        head = file.read(33)
        if head[:8] != _PNG or head[12:16] != b"IHDR" or len(head) < 33:
            raise FormatError(
                f"{path}: expected a PNG; got a file that starts with {head[:8]!r}."
            )
        width, height = struct.unpack_from(">II", head, 16)
        _check_size(height, width, path, max_pixels)
        if (head[24], head[25]) != _GREY_16:
            raise FormatError(
                f"{path}: expected 16-bit grey; got {head[24]} bits a sample, colour "
                f"type {head[25]}."
            )
        data = head + file.read(2 * max_pixels + 2**20)
    decode_image(data, path, max_pixels=max_pixels)  # check sums, a whole file
    from PIL import Image

    with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
        return np.asarray(image).astype(np.uint16)


_READERS = {".exr": _read_exr, ".npy": _read_npy, ".png": _read_png}
