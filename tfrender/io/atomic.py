"""Files and folders that appear under their final name complete, or not at all."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from typing import IO


def _sibling(path: str, word: str) -> str:
    """A name beside `path`: `os.replace` is atomic on one file system only."""
    return f"{os.path.abspath(path)}.{word}-{os.getpid()}"


@contextlib.contextmanager
def write_file(path: str | os.PathLike, mode: str = "wb") -> Iterator[IO]:
    r"""Opens a temporary sibling of `path`; renames it when the block succeeds.

    Missing parent folders are made. The bytes are flushed to the disk before the
    rename, so that neither an error nor a power cut leaves half a file.

    Args:
        path: final name; an existing file is replaced.
        mode: "wb", or "w" for UTF-8 text with "\n" line ends.

    Yields:
        The open file.

    Raises:
        OSError: where the disk refuses; nothing is left under either name.
    """
    path = os.fspath(path)
    if mode not in ("wb", "w"):
        raise ValueError(f"`mode` must be 'wb' or 'w'; got {mode!r}.")
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    temporary = _sibling(path, "tmp")
    text = {"encoding": "utf-8", "newline": "\n"} if mode == "w" else {}
    try:
        with open(temporary, mode, **text) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.remove(temporary)
        raise


@contextlib.contextmanager
def build_directory(path: str | os.PathLike, overwrite: bool = False) -> Iterator[str]:
    """Makes a folder aside; renames it to `path` when the block succeeds.

    Args:
        path: final name.
        overwrite: replace an existing folder (its files are removed only after the
            new folder stands under its name).

    Yields:
        Path of the temporary sibling, an empty folder, to be filled.

    Raises:
        FileExistsError: `path` exists and `overwrite` is False.
    """
    path = os.fspath(path)
    if os.path.lexists(path) and not overwrite:
        raise FileExistsError(f"{path}: exists already; remove it or choose another.")
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    temporary, former = _sibling(path, "tmp"), _sibling(path, "old")
    shutil.rmtree(temporary, ignore_errors=True)
    os.mkdir(temporary)
    try:
        yield temporary
        if os.path.lexists(path):
            os.rename(path, former)
        os.rename(temporary, path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        if os.path.lexists(former) and not os.path.lexists(path):
            os.rename(former, path)
        raise
    shutil.rmtree(former, ignore_errors=True)
