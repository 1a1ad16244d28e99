"""Arrays in npy and npz files: sizes are checked before anything is unpacked."""

import contextlib
import math
import os
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO

import numpy as np

from tfrender.io.errors import FormatError, LimitError

MAX_ARRAY_BYTES = 4 * 2**30
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
# What zipfile, zlib and numpy raise on broken bytes.
_DAMAGE = (
    *(ValueError, EOFError, KeyError, SyntaxError, TypeError, OverflowError),
    *(zlib.error, zipfile.BadZipFile, NotImplementedError, RuntimeError),
    *(tokenize.TokenError, MemoryError, OSError),
)


def read_npy(path: str | os.PathLike, max_bytes: int = MAX_ARRAY_BYTES) -> np.ndarray:
    """Reads a npy file of numbers.

    Args:
        path: the file.
        max_bytes: what its header may announce.

    Returns:
        The array.

    Raises:
        FileNotFoundError: no such file.
        FormatError: no npy file, a broken one, or pickled Python objects.
        LimitError: more than `max_bytes`.
    """
    path = os.fspath(path)
    with open(path, "rb") as file, _told(path, "a npy file"):
        return _read(file, path, max_bytes)


def read_npz(
    path: str | os.PathLike, max_bytes: int = MAX_ARRAY_BYTES
) -> dict[str, np.ndarray]:
    """Reads all arrays of an npz file of numbers.

    Args:
        path: the file.
        max_bytes: of all arrays together.

    Returns:
        name -> array, in the order of the file.

    Raises:
        FileNotFoundError: no such file.
        FormatError: no npz file, a broken one, or pickled Python objects.
        LimitError: more than `max_bytes`.
    """
    path, found = os.fspath(path), {}
    with open(path, "rb") as file, _told(path, "an npz file"):
        with zipfile.ZipFile(file) as archive:
            for member in archive.infolist():
                with archive.open(member) as stream:
                    array = _read(stream, f"{path}: {member.filename}", max_bytes)
                max_bytes -= array.nbytes
                found[member.filename.removesuffix(".npy")] = array
    return found


def _read(stream: IO[bytes], name: str, max_bytes: int) -> np.ndarray:
    """One array, its header read before its numbers."""
    version = np.lib.format.read_magic(stream)
    if version not in _HEADERS:
        raise FormatError(f"{name}: expected npy version 1 or 2; got {version}.")
    shape, by_column, dtype = _HEADERS[version](stream)
    if dtype.hasobject:
        raise FormatError(f"{name}: expected numbers; got pickled Python objects.")
    if min(shape, default=0) < 0:
        raise FormatError(f"{name}: expected an array; got the shape {shape}.")
    size = math.prod(shape) * dtype.itemsize
    if size > max_bytes:
        raise LimitError(f"{name}: expected at most {max_bytes} bytes; got {size}.")
    data = stream.read(size)
    if len(data) != size:
        raise FormatError(f"{name}: expected {size} bytes; it ends after {len(data)}.")
    if stream.read(1):  # also makes zipfile compare the check sum
        raise FormatError(f"{name}: expected {size} bytes; it has more.")
    order = "F" if by_column else "C"
    return np.frombuffer(bytearray(data), dtype).reshape(shape, order=order)


@contextlib.contextmanager
def _told(path: str, kind: str) -> Iterator[None]:
    """Turns what numpy and zipfile raise on broken bytes into FormatError."""
    try:
        yield
    except (FormatError, LimitError):
        raise
    except _DAMAGE as error:
        raise FormatError(f"{path}: expected {kind}; got {error}.") from error
