"""The files of a record split: sidecar, shards, and what can be wrong with them.

`datasets.records` writes and reads the records; it offers the names of this module too.
"""

import contextlib
import dataclasses
import hashlib
import itertools
import json
import os
import pathlib
import shutil
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import tensorflow as tf

from tfrender.io.errors import FormatError

FORMAT = "tfrender-records"
FORMAT_VERSION = 1
COMPRESSIONS = ("", "GZIP", "ZLIB")
_FRAME_BYTES = 16  # length, its checksum, the checksum of the data


class Schema(NamedTuple):
    """What the records hold: a reader refuses every other name or version."""

    name: str
    version: int


class Shard(NamedTuple):
    """One file of a split."""

    path: str
    records: int
    bytes: int


@dataclasses.dataclass(frozen=True)
class Split:
    """What the sidecar of a split says."""

    schema: Schema
    compression: str
    shards: tuple[Shard, ...]
    metadata: Mapping[str, Any]

    @property
    def records(self) -> int:
        """Number of records in all shards."""
        return sum(shard.records for shard in self.shards)


def read_split(
    directory: str, split: str, schema: Schema | None = None, *, sizes: bool = True
) -> Split:
    """Reads the sidecar of a split and checks that every shard is there.

    Args:
        directory: folder of the data set.
        split: name of the split.
        schema: what the records must hold; None accepts every schema.
        sizes: also compare the size of each shard with the sidecar.

    Returns:
        the split.

    Raises:
        FileNotFoundError: no such folder, split or shard.
        FormatError: the sidecar is broken, empty or of another schema, or a shard
            has another size than the one that was written.
    """
    path = sidecar_path(directory, split)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path.parent}: no such folder of records.")
    if not path.exists():
        found = sorted(p.stem for p in path.parent.glob("*.json"))
        raise FileNotFoundError(
            f"{path}: no such split; "
            + (f"{path.parent} holds {found}" if found else "the folder holds none")
        )
    found = _parse(path)
    if schema is not None and found.schema != Schema(*schema):
        raise FormatError(
            f"{path}: expected schema {schema[0]} version {schema[1]}, found "
            f"{found.schema.name} version {found.schema.version}; make the data again."
        )
    if not found.records:
        raise FormatError(f"{path}: the split holds no record.")
    for shard in found.shards if sizes else ():
        if not os.path.exists(shard.path):
            raise FileNotFoundError(f"{shard.path}: this shard of {path} is missing.")
        size = os.path.getsize(shard.path)
        if size != shard.bytes:
            raise FormatError(
                f"{shard.path}: expected {shard.bytes} bytes, found {size}; "
                "the shard was cut or changed, make the data again."
            )
    return found


def verify_shards(directory: str, split: str, schema: Schema | None = None) -> int:
    """Reads every record once and checks count and checksums.

    Args:
        directory: folder of the data set.
        split: name of the split.
        schema: what the records must hold; None accepts every schema.

    Returns:
        number of records.

    Raises:
        FileNotFoundError, FormatError: naming the file, and the record where one is
            damaged.
    """
    found = read_split(directory, split, schema)
    for shard in found.shards:
        count = 0
        try:
            for _ in tf.data.TFRecordDataset(shard.path, found.compression):
                count += 1
        except tf.errors.DataLossError as error:
            raise FormatError(
                f"{shard.path}: record {count} is damaged "
                f"({first_line(error)}); make the data again."
            ) from error
        if count != shard.records:
            raise FormatError(
                f"{shard.path}: expected {shard.records} records, found {count}."
            )
    return found.records


def splits(directory: str) -> list[str]:
    """Names of the splits in a folder, in alphabetical order."""
    names = []
    for path in sorted(pathlib.Path(directory).glob("*.json")):
        with contextlib.suppress(FormatError):
            _parse(path)
            names.append(path.stem)
    return names


def disjoint_splits(directory: str, check) -> list[str]:
    """Splits of a folder, once no two of them share objects.

    Args:
        directory: folder of the data set.
        check: (directory, first, second) raises where two splits share something.

    Returns:
        Names, at least one.

    Raises:
        FileNotFoundError: no finished split.
    """
    found = splits(directory)
    if not found:
        raise FileNotFoundError(
            f"{directory}: expected SPLIT.json with its TFRecords; found none."
        )
    for first, second in itertools.combinations(found, 2):
        check(directory, first, second)
    return found


def read_described(
    directory: str, split: str, schema: Schema, entries, program: str
) -> Split:
    """Reads the sidecar of a split whose metadata must have some entries.

    Args:
        directory: folder of the data set.
        split: name of the split.
        schema: what the records must hold.
        entries: names in the metadata.
        program: module that makes such data, for the message.

    Returns:
        the split.

    Raises:
        FileNotFoundError, FormatError: as `read_split`, or an entry is missing.
    """
    found = read_split(directory, split, schema)
    missing = [name for name in entries if name not in found.metadata]
    if missing:
        raise FormatError(
            f"{sidecar_path(directory, split)}: expected the entry {missing[0]}; make "
            f"the data again with {program}."
        )
    return found


def check_disjoint(directory: str, first: str, second: str, schema: Schema) -> None:
    """Refuses two splits whose sidecars list the same objects.

    Sidecars that list none are not judged, nor is one split named twice.

    Args:
        directory: folder of the data set.
        first: name of a split.
        second: name of the other.
        schema: what the records must hold.

    Raises:
        FileNotFoundError, FormatError: as `read_split`.
        ValueError: an object is in both.
    """
    if first == second:
        return
    names, others = (
        set(read_split(directory, split, schema).metadata.get("objects") or ())
        for split in (first, second)
    )
    shared = sorted(names & others)
    if shared:
        raise ValueError(
            f"{directory}: expected different objects in the splits {first} and "
            f"{second}; {len(shared)} are in both, {shared[0]} the first."
        )


def fingerprint(directory: str) -> str:
    """Short hash of every sidecar in a folder; changes when the data do."""
    digest = hashlib.sha256()
    for split in splits(directory):
        digest.update(sidecar_path(directory, split).read_bytes())
    return digest.hexdigest()[:16]


def remove_abandoned(directory: str | os.PathLike, pattern: str) -> None:
    """Removes PATTERN.tmp-PID, file or folder, of processes that do not live any more.

    Writers work under such a name before they rename; kill -9 leaves it behind.

    Args:
        directory: folder to look in.
        pattern: glob pattern of the final name.
    """
    for path in sorted(pathlib.Path(directory).glob(f"{pattern}.tmp-*")):
        number = path.name.rpartition("-")[2]
        if not number.isdecimal() or _lives(int(number)):
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


@contextlib.contextmanager
def naming_errors(directory: str) -> Iterator[None]:
    """Turns TensorFlow's nameless record errors into ones that name the file.

    Args:
        directory: folder whose splits are read inside the `with` block.

    Raises:
        FormatError: in place of `tf.errors.DataLossError`; names the damaged shard.
    """
    try:
        yield
    except tf.errors.DataLossError as error:
        for split in splits(directory):
            verify_shards(directory, split)
        raise FormatError(f"{directory}: {first_line(error)}") from error


def sidecar_path(directory: str, split: str) -> pathlib.Path:
    """Where the sidecar of a split lies."""
    return pathlib.Path(directory) / f"{split}.json"


def _parse(path: pathlib.Path) -> Split:
    """Sidecar as a `Split`; file names are resolved, nothing else is opened."""
    try:
        text = json.loads(path.read_text(encoding="utf-8"))
        if text["format"] != FORMAT or text["format_version"] != FORMAT_VERSION:
            raise ValueError(f"format {text['format']!r} {text['format_version']!r}")
        if text["compression"] not in COMPRESSIONS:
            raise ValueError(f"compression {text['compression']!r}")
        total = len(text["shards"])
        shards = []
        for i, entry in enumerate(text["shards"]):
            name = f"{path.stem}-{i:05d}-of-{total:05d}.tfrecord"
            if entry["file"] != name:  # also keeps the reader inside the folder
                raise ValueError(f"shard {i} is named {entry['file']!r}, not {name!r}")
            count, size = int(entry["records"]), int(entry["bytes"])
            if count < 0 or size < count * _FRAME_BYTES * (not text["compression"]):
                raise ValueError(f"shard {name} has {count} records in {size} bytes")
            shards.append(Shard(str(path.parent / name), count, size))
        if sum(shard.records for shard in shards) != text["records"]:
            raise ValueError("the counts of the shards do not add up")
        schema = Schema(str(text["schema"]["name"]), int(text["schema"]["version"]))
        metadata = dict(text["metadata"])
    except (ValueError, KeyError, TypeError) as error:
        reason = f"no entry {error}" if isinstance(error, KeyError) else error
        raise FormatError(
            f"{path}: expected the sidecar of a record split, found a broken one "
            f"({first_line(reason)})."
        ) from error
    return Split(schema, text["compression"], tuple(shards), metadata)


def first_line(error: Any) -> str:
    """First line of an error's text, or its type where it has none."""
    text = str(error).strip().splitlines()
    return text[0] if text else type(error).__name__
