"""PNG and JPEG in, PNG and GIF out; images are [H, W, C], row 0 at the top."""

import contextlib
import io
import os
import struct
import zlib

import numpy as np

from tfrender.io import atomic
from tfrender.io.errors import FormatError, LimitError

MAX_PIXELS = 64 * 2**20
MAX_SIDE = 16384
_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
_TOLERANCE = 1e-3  # renderers end a rounding error above 1


def read_image(
    path: str | os.PathLike, channels: int | None = None, max_pixels: int = MAX_PIXELS
) -> np.ndarray:
    """Reads a PNG or JPEG file.

    Palettes are expanded, 16-bit channels keep their top byte, EXIF orientation is
    ignored (pixels as stored), the first frame of an animation counts.

    Args:
        path: the file; its kind is read from its first bytes, not from its name.
        channels: 1: grey, the mean of red, green and blue, without alpha. 3: colour,
            an alpha channel is left out (ask for 4 where the mask is in it). 4: alpha
            is 255 where the file has none. None: as in the file.
        max_pixels: the size in the header is checked before anything is decoded.

    Returns:
        uint8 [H, W, C].

    Raises:
        FileNotFoundError: no such file.
        FormatError: not a whole PNG or JPEG, or a CMYK JPEG.
        LimitError: larger than `max_pixels`, or a side above 16384.
    """
    path = os.fspath(path)
    with open(path, "rb") as file:
        head = file.read(len(_PNG))
        _kind(head, path)
        size, most = os.fstat(file.fileno()).st_size, 8 * max_pixels + 2**20
        if size > most:  # 16-bit RGBA, not compressed at all
            raise LimitError(f"{path}: expected at most {most} bytes; got {size}.")
        data = head + file.read()
    return decode_image(data, path, channels, max_pixels)


def decode_image(
    data: bytes, name: str, channels: int | None = None, max_pixels: int = MAX_PIXELS
) -> np.ndarray:
    """Decodes the bytes of a PNG or JPEG file; see `read_image`.

    Args:
        data: the whole file.
        name: path for error messages.
        channels: see `read_image`.
        max_pixels: see `read_image`.

    Returns:
        uint8 [H, W, C].
    """
    if channels not in (None, 1, 3, 4):
        raise ValueError(f"`channels` must be 1, 3, 4 or None; got {channels}.")
    if _kind(data, name) == "PNG":
        _check_png_chunks(data, name)
    with _opened(data, name, max_pixels) as image:
        if image.mode == "CMYK":
            raise FormatError(f"{name}: expected grey or RGB; got a CMYK JPEG.")
        pixels = expand(image)
    return pixels if channels is None else with_channels(pixels, channels)


def check_header(data: bytes, name: str, max_pixels: int = MAX_PIXELS) -> None:
    """Checks kind and size of an image that another library will decode.

    Args:
        data: bytes of the file.
        name: path for error messages.
        max_pixels: see `read_image`.

    Raises:
        FormatError: not a PNG or JPEG; LimitError: too large.
    """
    with _opened(data, name, max_pixels):
        pass


@contextlib.contextmanager
def _opened(data: bytes, name: str, max_pixels: int):
    """Yields the Pillow image, its size checked, its errors translated."""
    from PIL import Image

    kind = _kind(data, name)
    try:
        if kind == "PNG" and data[12:16] == b"IHDR":  # Pillow warns of large ones
            _check_size(struct.unpack_from(">II", data, 16), name, max_pixels)
        with Image.open(io.BytesIO(data), formats=(kind,)) as image:
            _check_size(image.size, name, max_pixels)
            yield image
    except (FormatError, LimitError):
        raise
    except Image.DecompressionBombError as error:
        raise LimitError(f"{name}: {error}") from error
    except Exception as error:  # Pillow raises a dozen kinds on broken bytes
        raise FormatError(f"{name}: expected a whole {kind}; got {error}.") from error


def with_channels(image: np.ndarray, channels: int) -> np.ndarray:
    """Converts between grey, RGB and RGBA; see `read_image`.

    Args:
        image: uint8 [H, W, 1, 3 or 4].
        channels: 1, 3 or 4.

    Returns:
        uint8 [H, W, channels].
    """
    color, alpha = image[..., :3], image[..., 3:]
    if channels == 1:
        mean = color.astype(np.float32).mean(-1, keepdims=True)
        return np.rint(mean).astype(np.uint8)
    color = np.broadcast_to(color, (*color.shape[:2], 3))
    if channels == 3:
        return np.ascontiguousarray(color)
    if not alpha.size:
        alpha = np.full((*color.shape[:2], 1), 255, np.uint8)
    return np.concatenate([color, alpha], axis=-1)


def expand(image) -> np.ndarray:
    """Pixels of a Pillow image: palettes expanded, 16-bit grey cut to the top byte.

    Args:
        image: Pillow image of any mode.

    Returns:
        uint8 [H, W, 1, 3 or 4].
    """
    if image.mode.startswith("I"):  # 16-bit grey
        return (np.asarray(image).astype(np.int64) >> 8).astype(np.uint8)[..., None]
    plain = "transparency" not in image.info
    if plain and image.mode in ("1", "L"):
        return np.array(image.convert("L"))[..., None]
    return np.array(image.convert("RGB" if plain and image.mode == "RGB" else "RGBA"))


def write_png(path: str | os.PathLike, image: np.ndarray) -> None:
    """Writes a PNG file, complete or not at all.

    Args:
        path: the file; replaced where it exists.
        image: [H, W] or [H, W, C] with C = 1, 3 or 4; uint8, bool, or float in [0, 1].

    Raises:
        ValueError: another shape or type, or values outside the range (NaN too).
    """
    pixels = to_uint8(image)
    with atomic.write_file(path) as file:
        _pillow(pixels).save(file, format="PNG")


def write_gif(path: str | os.PathLike, frames, fps: float = 25.0) -> None:
    """Writes an endlessly looping GIF with one palette for all frames.

    One palette and no dither: shaded surfaces neither flicker nor crawl.

    Args:
        path: the file; replaced where it exists.
        frames: images of one size, as for `write_png`; alpha is laid over white.
        fps: frames a second; GIF stores hundredths of a second, at most 50 frames.
    """
    from PIL import Image

    pixels = [to_uint8(frame) for frame in frames]
    if not pixels:
        raise ValueError("`frames` must hold at least one image; got none.")
    if len({frame.shape for frame in pixels}) > 1:
        raise ValueError("`frames` must have one shape; got several.")
    if not 0.1 <= fps <= 50:
        raise ValueError(f"`fps` must lie in [0.1, 50]; got {fps}.")
    pixels = [_over_white(frame) for frame in pixels]
    # The palette is learnt from pixels of the whole film, at most about a million.
    step = max(1, round(len(pixels) * pixels[0][..., 0].size / 1_000_000))
    sample = np.concatenate([frame.reshape(-1, 3)[::step] for frame in pixels])
    palette = _pillow(sample[None]).quantize(256, method=Image.Quantize.MEDIANCUT)
    indexed = [
        _pillow(frame).quantize(palette=palette, dither=Image.Dither.NONE)
        for frame in pixels
    ]
    with atomic.write_file(path) as file:
        indexed[0].save(
            file,
            format="GIF",
            save_all=True,
            append_images=indexed[1:],
            duration=10 * max(2, round(100 / fps)),
            loop=0,
            optimize=False,
        )


def tile_images(
    images, columns: int | None = None, pad: int = 2, background: float = 1.0
) -> np.ndarray:
    """Lays images out as a contact sheet, row by row.

    Args:
        images: [N, H, W, C] or a list of [H, W, C]; uint8, or float in [0, 1].
        columns: images in a row; None makes the sheet about square.
        pad: pixels between images and around them.
        background: value of the padding and of missing images, in [0, 1].

    Returns:
        [rows * (H + pad) + pad, columns * (W + pad) + pad, C] of the given type.
    """
    images = np.asarray(images)
    if images.ndim != 4 or not len(images):
        raise ValueError(f"`images` must be [N, H, W, C]; got {list(images.shape)}.")
    count, height, width, channels = images.shape
    columns = columns or int(np.ceil(np.sqrt(count)))
    if columns < 1 or pad < 0:
        raise ValueError(
            f"`columns`, `pad` must not be negative; got {columns}, {pad}."
        )
    rows = -(-count // columns)
    value = background * (255 if images.dtype == np.uint8 else 1)
    shape = rows * columns, height + pad, width + pad, channels
    cells = np.full(shape, value, images.dtype)
    cells[:count, pad:, pad:] = images
    sheet = cells.reshape(rows, columns, *shape[1:]).swapaxes(1, 2)
    sheet = sheet.reshape(rows * shape[1], columns * shape[2], channels)
    return np.pad(sheet, ((0, pad), (0, pad), (0, 0)), constant_values=value)


def to_uint8(image: np.ndarray) -> np.ndarray:
    """Bytes of an image, rounded to the nearest.

    Args:
        image: [H, W] or [H, W, C] with C = 1, 3 or 4; uint8, bool, or float in [0, 1].

    Returns:
        uint8 [H, W, C].
    """
    image = np.asarray(image)
    if image.ndim == 2:
        image = image[..., None]
    if image.ndim != 3 or image.shape[-1] not in (1, 3, 4) or not image.size:
        raise ValueError(
            "`image` must be [H, W] or [H, W, C] with C = 1, 3 or 4; got shape "
            f"{list(image.shape)}."
        )
    if image.dtype == np.uint8:
        return image
    if image.dtype.kind not in "fb":
        raise ValueError(f"`image` must be uint8, bool or float; got {image.dtype}.")
    image = image.astype(np.float32)
    low, high = float(image.min()), float(image.max())
    if not (low >= -_TOLERANCE and high <= 1 + _TOLERANCE):
        raise ValueError(f"`image` must lie in [0, 1]; got values {low:g} to {high:g}.")
    return np.rint(image.clip(0, 1) * 255).astype(np.uint8)


def to_linear(color) -> np.ndarray:
    """Light of sRGB-encoded levels in [0, 1] (IEC 61966-2-1), any shape."""
    color = np.asarray(color, np.float64)
    return np.where(color <= 0.04045, color / 12.92, ((color + 0.055) / 1.055) ** 2.4)


def to_srgb(light) -> np.ndarray:
    """SRGB-encoded levels of light in [0, 1]; inverse of `to_linear`."""
    light = np.asarray(light, np.float64)
    return np.where(
        light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055
    )


def _kind(data: bytes, name: str) -> str:
    """PNG or JPEG, by the first bytes."""
    if data.startswith(_PNG):
        return "PNG"
    if data.startswith(_JPEG):
        return "JPEG"
    raise FormatError(
        f"{name}: expected a PNG or JPEG; got a file that starts with {data[:8]!r}."
    )


def _check_size(size: tuple[int, int], name: str, max_pixels: int) -> None:
    """Refuses by the header, before pixels are decoded."""
    width, height = size
    if width * height > max_pixels or max(size) > MAX_SIDE:
        raise LimitError(
            f"{name}: expected at most {max_pixels} pixels and {MAX_SIDE} a side; got "
            f"{width} x {height}."
        )


def _check_png_chunks(data: bytes, name: str) -> None:
    """Checks the check sums that Pillow skips for speed, and that the file ends."""
    position, view = len(_PNG), memoryview(data)
    while position + 12 <= len(data):
        length = int.from_bytes(view[position : position + 4], "big")
        body = view[position + 4 : position + 8 + length]
        end = position + 12 + length
        if end > len(data):
            break
        if zlib.crc32(body) != int.from_bytes(view[end - 4 : end], "big"):
            raise FormatError(
                f"{name}: wrong check sum of a PNG chunk, byte {position}."
            )
        if bytes(body[:4]) == b"IEND":
            return
        position = end
    raise FormatError(f"{name}: expected a whole PNG; got one cut at byte {len(data)}.")


def _over_white(pixels: np.ndarray) -> np.ndarray:
    """RGB bytes of grey, RGB or RGBA bytes."""
    color = with_channels(pixels, 3)
    if pixels.shape[-1] < 4:
        return color
    alpha = pixels[..., 3:].astype(np.float32) / 255
    return np.rint(color * alpha + 255 * (1 - alpha)).astype(np.uint8)


def _pillow(pixels: np.ndarray):
    """Pillow image of uint8 [H, W, 1, 3 or 4]."""
    from PIL import Image

    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
