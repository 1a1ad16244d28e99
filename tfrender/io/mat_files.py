"""Arrays in MATLAB files of version 4 to 7, as scipy reads them."""

import os
from collections.abc import Mapping, Sequence

import numpy as np

from tfrender.io import atomic
from tfrender.io.errors import FormatError, LimitError

MAX_MAT_BYTES = 2**30
_HDF5 = b"\x89HDF\r\n\x1a\n"
_HDF5_PLACES = (0, 512)  # MATLAB writes a header of 512 bytes before it
_NAMES_SHOWN = 8


def read_mat(
    path: str | os.PathLike,
    key: str,
    shape: Sequence[int | None] | None = None,
    max_bytes: int = MAX_MAT_BYTES,
) -> np.ndarray:
    """Reads one array of numbers of a MATLAB file.

    MATLAB knows no array of less than two axes: a vector of n is stored as (1, n) or
    (n, 1), a number as (1, 1). Where a shape is given, axes of 1 that it does not have
    are taken away.

    Args:
        path: .mat file, version 4 to 7.
        key: name of the array.
        shape: expected shape, None for any length of an axis; None accepts all.
        max_bytes: of the file, and of the array unpacked.

    Returns:
        float64, or the integer or float type of the file where it is another.

    Raises:
        FileNotFoundError: no such file.
        FormatError: no MATLAB file, a truncated one, one of version 7.3, no such array,
            another shape, or what is no finite real number.
        LimitError: more than `max_bytes`.
    """
    path = os.fspath(path)
    _check_file(path, max_bytes)
    from scipy.io import loadmat, whosmat

    try:
        found = {name: (size, kind) for name, size, kind in whosmat(path)}
        if key not in found:
            names = sorted(found)
            listed = ", ".join(names[:_NAMES_SHOWN]) + ", ..." * (
                len(names) > _NAMES_SHOWN
            )
            raise FormatError(
                f"{path}: expected the array {key!r}; found {listed or 'none'}."
            )
        size, kind = found[key]
        needed = 8 * int(np.prod([float(side) for side in size]))
        if needed > max_bytes:
            raise LimitError(
                f"{path}: expected at most {max_bytes} bytes in {key!r}; got {needed}."
            )
        value = loadmat(path, variable_names=[key])[key]
    except (FormatError, LimitError):
        raise
    except Exception as error:  # scipy raises a dozen kinds on broken bytes
        text = str(error).splitlines()[:1] or [type(error).__name__]
        raise FormatError(
            f"{path}: expected a whole MATLAB file of version 4 to 7; {text[0]}."
        ) from error
    value = _checked(path, key, value, kind)
    return value if shape is None else _shaped(path, key, value, tuple(shape))


def _check_file(path: str, max_bytes: int) -> None:
    """Refuses by size and first bytes."""
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        head = file.read(_HDF5_PLACES[-1] + len(_HDF5))
    if size > max_bytes:
        raise LimitError(f"{path}: expected at most {max_bytes} bytes; got {size}.")
    if any(head[place:].startswith(_HDF5) for place in _HDF5_PLACES):
        raise FormatError(
            f"{path}: expected a MATLAB file of version 4 to 7; got version 7.3 (HDF5)."
            " Save it with -v7."
        )


def _checked(path: str, key: str, value, kind: str) -> np.ndarray:
    """Refuses what is no array of finite real numbers."""
    if hasattr(value, "toarray") and not isinstance(value, np.ndarray):
        value = value.toarray()  # a sparse matrix
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiub":
        raise FormatError(
            f"{path}: expected real numbers in {key!r}; got MATLAB's {kind}."
        )
    if value.dtype.kind == "f" and not np.isfinite(value).all():
        bad = int((~np.isfinite(value)).sum())
        raise FormatError(
            f"{path}: expected finite numbers in {key!r}; {bad} of {value.size} are "
            "NaN or infinite."
        )
    return np.ascontiguousarray(value)


def _shaped(path: str, key: str, value: np.ndarray, shape) -> np.ndarray:
    """The array with the axes of a shape."""

    def fits(candidate):
        return len(candidate) == len(shape) and all(
            want is None or want == have
            for want, have in zip(shape, candidate, strict=True)
        )

    if fits(value.shape):
        return value
    plain = tuple(side for side in value.shape if side != 1)
    # Vectors of one and numbers lose all their axes.
    padded = (1,) * (len(shape) - len(plain)) + plain
    if len(plain) <= len(shape) and value.ndim >= len(shape) and fits(padded):
        return value.reshape(padded)
    wanted = ", ".join("any" if side is None else str(side) for side in shape)
    raise FormatError(
        f"{path}: expected {key!r} of shape [{wanted}]; got {list(value.shape)}."
    )


def write_mat(path: str | os.PathLike, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes a MATLAB file (version 5 to 7, packed), complete or not at all.

    Args:
        path: the file; replaced where it exists.
        arrays: name -> array of numbers; a vector of n becomes (1, n).

    Raises:
        ValueError: a name that MATLAB does not take, or what is no number.
        OSError: where the disk refuses.
    """
    from scipy.io import savemat

    for name, value in arrays.items():
        if not (name.isascii() and name.isidentifier() and name[0].isalpha()):
            raise ValueError(
                f"`arrays`: expected names of letters, digits, _; got {name!r}."
            )
        if np.asarray(value).dtype.kind not in "fiub":
            raise ValueError(f"`arrays`: expected numbers in {name!r}.")
    with atomic.write_file(path) as file:
        savemat(file, dict(arrays), do_compression=True)
