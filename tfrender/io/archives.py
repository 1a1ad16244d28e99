"""Tar archives, plain or gzip, read member by member under limits, written in order.

`tarfile.extractall` is not used: its default writes outside the target folder, and
its "data" filter has been bypassed more than once (CVE-2025-4517 and others).
"""

import contextlib
import gzip
import io
import os
import posixpath
import re
import shutil
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from typing import IO

from tfrender.io import atomic
from tfrender.io.errors import FormatError, LimitError

MAX_MEMBERS = 100_000
MAX_BYTES = 20 * 2**30
MAX_MEMBER_BYTES = 256 * 2**20
MAX_RATIO = 200
_RATIO_GRACE = 2**20  # small archives are mostly padding, which packs a thousandfold


def iter_tar(
    path: str | os.PathLike,
    max_members: int = MAX_MEMBERS,
    max_bytes: int = MAX_BYTES,
    max_member_bytes: int = MAX_MEMBER_BYTES,
    max_ratio: float = MAX_RATIO,
) -> Iterator[tuple[str, bytes]]:
    """Yields the files of a tar archive, in its order.

    A fault is raised when the reader comes to it, after the members before it.

    Args:
        path: .tar or gzip-compressed tar; told apart by the first bytes.
        max_members: most members, folders included.
        max_bytes: most unpacked bytes.
        max_member_bytes: most bytes of one file, which is held in memory.
        max_ratio: most unpacked bytes for one compressed byte (gzip only).

    Yields:
        (normalised name with "/" separators, bytes).

    Raises:
        FileNotFoundError: no such archive.
        FormatError: a truncated or broken archive; a member that is a link, a device,
            absolute, outside, named twice, or named with a backslash or NUL.
        LimitError: above a limit.
    """
    path = os.fspath(path)
    with _told(path):
        for name, size, file in _members(path, max_members, max_bytes, max_ratio):
            if size > max_member_bytes:
                raise LimitError(
                    f"{path}: expected at most {max_member_bytes} bytes in a member; "
                    f"got {size} in {name!r}."
                )
            if file is not None:
                data = file.read(size)
                _check_length(len(data), size, name, path)
                yield name, data


def extract_tar(
    path: str | os.PathLike,
    directory: str | os.PathLike,
    max_members: int = MAX_MEMBERS,
    max_bytes: int = MAX_BYTES,
    max_ratio: float = MAX_RATIO,
) -> int:
    """Unpacks a tar archive into a new folder, wholly or not at all.

    Args:
        path: see `iter_tar`.
        directory: must not exist; appears when everything is unpacked.
        max_members: see `iter_tar`.
        max_bytes: see `iter_tar`.
        max_ratio: see `iter_tar`.

    Returns:
        Number of files.
    """
    path, count = os.fspath(path), 0
    with atomic.build_directory(directory) as temporary, _told(path):
        for name, size, file in _members(path, max_members, max_bytes, max_ratio):
            target = os.path.join(temporary, *name.split("/"))
            folder = target if file is None else os.path.dirname(target)
            try:
                os.makedirs(folder, exist_ok=True)
                if file is None:
                    continue
                with open(target, "xb") as out:
                    shutil.copyfileobj(file, out, 2**20)
                    _check_length(out.tell(), size, name, path)
            except (FileExistsError, NotADirectoryError) as error:
                raise FormatError(
                    f"{path}: member {name!r} is both a file and a folder."
                ) from error
            count += 1
    return count


def write_tar(
    path: str | os.PathLike,
    files: Mapping[str, bytes | str | os.PathLike],
    compress: bool = False,
) -> None:
    """Writes a tar archive; the same files give the same bytes.

    Members are sorted by name, owner 0, mode 0644, time 0.

    Args:
        path: the archive; replaced where it exists.
        files: member name -> its bytes, or the path of the file to pack.
        compress: gzip.

    Raises:
        ValueError: a name that the readers would refuse.
    """
    names = {}
    for name in sorted(files):
        names[_safe_name(name, "write_tar", set(names.values()))] = name
    with contextlib.ExitStack() as stack:
        out = stack.enter_context(atomic.write_file(path))
        if compress:
            zipped = gzip.GzipFile(filename="", mode="wb", fileobj=out, mtime=0)
            out = stack.enter_context(zipped)
        form = tarfile.PAX_FORMAT
        with tarfile.open(mode="w", fileobj=out, format=form) as archive:
            for name, key in names.items():
                _add(archive, name, files[key])


def _add(archive: tarfile.TarFile, name: str, content) -> None:
    """Adds one file, from bytes or from a path."""
    info = tarfile.TarInfo(name)
    info.mode = 0o644
    if isinstance(content, bytes | bytearray | memoryview):
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
        return
    with open(content, "rb") as file:
        info.size = os.fstat(file.fileno()).st_size
        archive.addfile(info, file)


def _members(
    path: str, max_members: int, max_bytes: int, max_ratio: float
) -> Iterator[tuple[str, int, IO | None]]:
    """Yields (name, size, file); file is None for a folder."""
    packed = os.path.getsize(path)
    with contextlib.ExitStack() as stack:
        source = stack.enter_context(open(path, "rb"))
        zipped = source.read(2) == b"\x1f\x8b"
        source.seek(0)
        if zipped:
            source = stack.enter_context(gzip.GzipFile(fileobj=source, mode="rb"))
            max_bytes = min(max_bytes, int(_RATIO_GRACE + max_ratio * packed))
        meter = _Meter(source, max_bytes, path)
        yield from _walk(meter, path, max_members)
        while meter.read(2**20):  # the rest must be intact too (gzip check sum)
            pass


@contextlib.contextmanager
def _told(path: str) -> Iterator[None]:
    """Turns what tarfile and gzip raise on broken bytes into FormatError."""
    try:
        yield
    except (FormatError, LimitError):
        raise
    except (
        tarfile.TarError,
        EOFError,
        IndexError,
        OverflowError,
        ValueError,
        gzip.BadGzipFile,
        zlib.error,
    ) as error:
        raise FormatError(
            f"{path}: expected a whole tar archive; got {error or 'a broken header'}."
        ) from error


def _walk(meter: "_Meter", path: str, max_members: int):
    """Yields the checked members of an opened archive."""
    names, files = set(), set()
    with tarfile.open(mode="r|", fileobj=meter, tarinfo=_StrictInfo) as archive:
        for count, info in enumerate(archive, 1):
            if count > max_members:
                raise LimitError(
                    f"{path}: expected at most {max_members} members; got more."
                )
            # Links need no rule cleverer than this: our data holds none.
            if info.type not in (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE):
                raise FormatError(
                    f"{path}: expected files and folders; got {info.name!r} of type "
                    f"{info.type!r}."
                )
            if info.issparse():
                raise FormatError(f"{path}: refused the sparse file {info.name!r}.")
            if info.isdir() and posixpath.normpath(info.name) == ".":
                continue
            name = _safe_name(info.name, path, names)
            names.add(name)
            if any(parent in files for parent in _parents(name)):
                raise FormatError(f"{path}: member {name!r} lies below a file.")
            if info.isdir():
                yield name, 0, None
            else:
                files.add(name)
                yield name, info.size, archive.extractfile(info)
            archive.members = []  # tarfile would remember every header


def _parents(name: str) -> Iterator[str]:
    """Folders above a name."""
    while name := posixpath.dirname(name):
        yield name


def _safe_name(name: str, path: str, taken: set[str]) -> str:
    """Normalised member name, or FormatError."""
    normal = posixpath.normpath(name)
    if (
        not name
        or normal in (".", "..")
        or name.startswith("/")
        or ".." in name.split("/")
        or re.match(r"[A-Za-z]:", name)
        or "\\" in name
        or "\0" in name
    ):
        raise FormatError(f"{path}: refused the member name {name[:80]!r}.")
    if normal in taken:
        raise FormatError(f"{path}: expected unique names; got {normal!r} twice.")
    return normal


def _check_length(found: int, expected: int, name: str, path: str) -> None:
    if found != expected:
        raise FormatError(
            f"{path}: expected {expected} bytes in {name!r}; the archive ends after "
            f"{found}."
        )


class _Meter:
    """A readable stream that counts bytes and stops at a limit.

    Headers count too: a tar header may announce a name of many gigabytes.
    """

    def __init__(self, source: IO, limit: int, path: str):
        self.source, self.limit, self.path, self.total = source, limit, path, 0

    def read(self, size: int) -> bytes:
        """Reads at most `size` bytes."""
        data = self.source.read(size)
        self.total += len(data)
        if self.total > self.limit:
            raise LimitError(
                f"{self.path}: expected at most {self.limit} unpacked bytes (by "
                "`max_bytes`, or `max_ratio` for gzip); got more."
            )
        return data


class _StrictInfo(tarfile.TarInfo):
    """Headers that tarfile would take for the end of the archive are errors."""

    @classmethod
    def frombuf(cls, buf, encoding, errors):
        """Parses one header block."""
        try:
            info = super().frombuf(buf, encoding, errors)
        except tarfile.EOFHeaderError:
            raise  # two blocks of zeros: the proper end
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"a broken header, {error}") from error
        if info.size < 0:
            raise tarfile.ReadError("a negative size")
        return info
