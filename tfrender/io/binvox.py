"""The binvox format: run-length coded occupancy grids (https://www.patrickmin.com).

A text header (`#binvox 1`, `dim`, `translate`, `scale`, `data`), then pairs of bytes
(value, count). The linear order is x slowest, then z, then y fastest, and `dim` names
the sizes in that order: X Z Y. In memory a grid is always indexed [x, y, z].
"""

import logging
import os
from typing import NamedTuple

import numpy as np

from tfrender.io import atomic
from tfrender.io.errors import FormatError, LimitError

_LOG = logging.getLogger(__name__)
_LONGEST_HEADER = 4096  # bytes; real headers have about 80
_LONGEST_RUN = 255


class Binvox(NamedTuple):
    """A grid and its place: world = scale * (i + 0.5) / D + translate.

    Attributes:
        occupancy: bool [X, Y, Z].
        translate: float64 [3], world position of the low corner of the grid.
        scale: world length of the longest side D of the grid.
    """

    occupancy: np.ndarray
    translate: np.ndarray
    scale: float


def read_binvox(
    path: str | os.PathLike, max_side: int = 1024, strict: bool = True
) -> Binvox:
    """Reads a binvox file.

    Args:
        path: the file.
        max_side: largest accepted side of the grid; the header is checked before any
            memory is allocated.
        strict: False reads values above 1 as occupied, unknown header lines as
            comments and a missing `translate` or `scale` as 0 and 1, with a warning.

    Returns:
        A `Binvox`.

    Raises:
        FileNotFoundError: no such file.
        FormatError: the bytes are not a binvox file.
        LimitError: the grid is larger than `max_side`.
    """
    path = os.fspath(path)
    with open(path, "rb") as file:
        head = file.read(_LONGEST_HEADER)
        dims, _, _, start = _parse_header(head, path, max_side, strict)
        # Useful runs hold at least one voxel: two bytes a voxel bound the file,
        # with room for some runs of length zero.
        bound = start + 2 * int(np.prod(dims)) + _LONGEST_HEADER
        data = head + file.read(max(bound - len(head), 0))
    if len(data) >= bound:
        raise LimitError(
            f"{path}: expected at most {bound - 1} bytes for {_times(dims)} voxels; "
            "got more."
        )
    return decode_binvox(data, path, max_side, strict)


def decode_binvox(
    data: bytes, name: str, max_side: int = 1024, strict: bool = True
) -> Binvox:
    """Decodes the bytes of a binvox file; see `read_binvox`.

    Args:
        data: the whole file.
        name: path for error messages.
        max_side: see `read_binvox`.
        strict: see `read_binvox`.

    Returns:
        A `Binvox`.
    """
    dims, translate, scale, start = _parse_header(data, name, max_side, strict)
    total = int(np.prod(dims))
    runs = np.frombuffer(data, np.uint8, offset=start)
    if runs.size % 2:
        raise FormatError(
            f"{name}: expected pairs of bytes after the header; got an odd number, "
            f"{runs.size}. The file is cut or not binary."
        )
    values, counts = runs[0::2], runs[1::2]
    found = int(counts.sum(dtype=np.int64))
    if found != total:
        raise FormatError(
            f"{name}: expected runs for {total} voxels ({_times(dims)}); got {found}."
        )
    if values.size and values.max() > 1:
        problem = f"{name}: expected voxel values 0 and 1; got {values.max()}"
        if strict:
            raise FormatError(f"{problem}. `strict=False` reads it as occupied.")
        _LOG.warning("%s, read as occupied.", problem)
    occupancy = np.repeat(values > 0, counts).reshape(dims)
    return Binvox(np.ascontiguousarray(occupancy.transpose(0, 2, 1)), translate, scale)


def write_binvox(
    path: str | os.PathLike,
    occupancy: np.ndarray,
    translate=(0.0, 0.0, 0.0),
    scale: float = 1.0,
) -> None:
    """Writes a binvox file, complete or not at all.

    Args:
        path: the file; replaced where it exists.
        occupancy: [X, Y, Z], bool, or numbers that are all 0 or 1.
        translate: three numbers, low corner of the grid.
        scale: world length of the longest side.
    """
    data = encode_binvox(occupancy, translate, scale)
    with atomic.write_file(path) as file:
        file.write(data)


def encode_binvox(
    occupancy: np.ndarray, translate=(0.0, 0.0, 0.0), scale: float = 1.0
) -> bytes:
    """Encodes a grid as the bytes of a binvox file; see `write_binvox`.

    Returns:
        The bytes: runs of at most 255 voxels, values 0 and 1.

    Raises:
        ValueError: the grid is not [X, Y, Z] of 0 and 1, or its place is not finite.
    """
    occupancy = np.asarray(occupancy)
    if occupancy.ndim != 3 or 0 in occupancy.shape:
        raise ValueError(
            f"`occupancy` must be [X, Y, Z], not empty; got {occupancy.shape}."
        )
    filled = occupancy.astype(bool)
    if occupancy.dtype != bool and not np.array_equal(filled, occupancy):
        raise ValueError(
            "`occupancy` must hold only 0 and 1; threshold a grid of probabilities."
        )
    translate = [float(value) for value in translate]
    scale = float(scale)
    if len(translate) != 3 or not np.isfinite([*translate, scale]).all() or scale <= 0:
        raise ValueError(
            "`translate` must be three finite numbers and `scale` one above 0; got "
            f"{translate} and {scale}."
        )
    flat = filled.transpose(0, 2, 1).ravel()
    starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
    lengths = np.diff(np.append(starts, flat.size))
    pieces = -(-lengths // _LONGEST_RUN)
    runs = np.empty([pieces.sum(), 2], np.uint8)
    runs[:, 0] = np.repeat(flat[starts], pieces)
    runs[:, 1] = _LONGEST_RUN
    runs[np.cumsum(pieces) - 1, 1] = lengths - _LONGEST_RUN * (pieces - 1)
    x, y, z = filled.shape
    header = (
        f"#binvox 1\ndim {x} {z} {y}\n"
        f"translate {' '.join(map(repr, translate))}\nscale {scale!r}\ndata\n"
    )
    return header.encode("ascii") + runs.tobytes()


def _parse_header(data: bytes, name: str, max_side: int, strict: bool):
    """Returns the sizes in file order (X, Z, Y), translate, scale, offset of runs."""
    fields, start = _header_fields(data, name, strict)
    if "dim" not in fields:
        raise FormatError(f"{name}: expected a `dim` line in the header; got none.")
    for keyword in ("translate", "scale"):
        if keyword not in fields:
            problem = f"{name}: expected a `{keyword}` line in the header; got none"
            if strict:
                raise FormatError(f"{problem}. `strict=False` takes 0 and 1.")
            _LOG.warning("%s.", problem)
    dims = _numbers(fields["dim"], int, 3, "dim", name)
    if min(dims) < 1:
        raise FormatError(f"{name}: expected sizes of at least 1; got {_times(dims)}.")
    if max(dims) > max_side:
        raise LimitError(
            f"{name}: expected at most {max_side} voxels a side; got {_times(dims)}. "
            "Raise `max_side` if you trust the file."
        )
    place = fields.get("translate", ["0", "0", "0"])
    translate = _numbers(place, float, 3, "translate", name)
    (scale,) = _numbers(fields.get("scale", ["1"]), float, 1, "scale", name)
    if not np.isfinite([*translate, scale]).all() or scale <= 0:
        raise FormatError(
            f"{name}: expected a finite translate and a scale above 0; got "
            f"{translate} and {scale}."
        )
    return dims, np.array(translate), scale, start


def _header_fields(data: bytes, name: str, strict: bool):
    """Returns keyword -> words of the header lines, and where the runs begin."""
    if not data.startswith(b"#binvox"):
        raise FormatError(
            f"{name}: expected a file that starts with '#binvox'; got {data[:8]!r}."
        )
    fields, position = {}, 0
    while True:
        end = data.find(b"\n", position, _LONGEST_HEADER)
        if end < 0:
            raise FormatError(
                f"{name}: expected a `data` line within the first {_LONGEST_HEADER} "
                "bytes; got none."
            )
        words = data[position:end].decode("latin-1").split()
        position = end + 1
        if words == ["data"]:
            return fields, position
        if not words or words[0].startswith("#"):
            continue
        keyword = words[0]
        if keyword in fields:
            raise FormatError(f"{name}: expected one `{keyword}` line; got two.")
        if keyword not in ("dim", "translate", "scale"):
            if strict:
                raise FormatError(
                    f"{name}: expected dim, translate, scale or data; got the header "
                    f"line {keyword[:40]!r}. `strict=False` skips it."
                )
            _LOG.warning("%s: unknown header line %r skipped.", name, keyword[:40])
        fields[keyword] = words[1:]


def _numbers(words, kind, count: int, keyword: str, name: str):
    """Words of a header line as numbers."""
    try:
        values = [kind(word) for word in words]
    except ValueError:
        values = []
    if len(values) != count:
        raise FormatError(
            f"{name}: expected {count} {kind.__name__} after `{keyword}`; got "
            f"{' '.join(words)[:60]!r}."
        )
    return values


def _times(dims) -> str:
    """Sizes in words: 64 x 64 x 64."""
    return " x ".join(str(side) for side in dims)
