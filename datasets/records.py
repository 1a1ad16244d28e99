"""Sharded TFRecord files with a sidecar, and a stream that can start anywhere.

A split is `SPLIT-00000-of-000NN.tfrecord` ... beside `SPLIT.json`. The sidecar is
written last, so a split without one is a split that was never finished. It holds
schema, counts, sizes, compression and free metadata (object ids, say).

`record_stream` yields serialised records whose element k depends on (seed, k) alone:
no shuffle buffer, so a run that was killed continues at element k without any saved
iterator, on any number of devices. Random augmentation stays exact in the same way:

    stream = records.record_stream(data_dir, "train", seed, start)
    stream = stream.enumerate(start)      # k, the number of the element
    stream = stream.map(parse)            # draws from tf.random.stateless_*, [seed, k]
"""

import contextlib
import json
import os
import pathlib
import re
import shutil
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from absl import logging

from datasets.shards import (
    COMPRESSIONS,
    FORMAT,
    FORMAT_VERSION,
    Schema,
    Shard,
    Split,
    fingerprint,
    first_line,
    naming_errors,
    read_split,
    remove_abandoned,
    sidecar_path,
    splits,
    verify_shards,
)
from tfrender import checks
from tfrender.io.errors import FormatError, LimitError

__all__ = [
    "RecordWriter",
    "Schema",
    "Shard",
    "Split",
    "fingerprint",
    "naming_errors",
    "read_split",
    "record_stream",
    "remove_abandoned",
    "splits",
    "verify_shards",
]

MAX_RECORD_BYTES = 256 * 2**20
_OPEN_SHARDS = 128  # files open at a time while records are dealt to shards
_NAME = re.compile(r"[A-Za-z0-9_]+")


class RecordWriter:
    """Writes one split; nothing is visible under its name until `close`.

    Records are spooled, then dealt round robin over the shards in a seeded order, so
    that each shard is a mix of the whole split although the number of records was
    unknown at the start. Disk: twice the split while it closes.

    Use as a context manager: an exception inside leaves no file behind.
    """

    def __init__(
        self,
        directory: str,
        split: str,
        shard_records: int,
        schema: Schema,
        metadata: Mapping[str, Any] | None = None,
        *,
        seed: int = 0,
        compression: str = "",
        overwrite: bool = False,
    ):
        """Opens the spool.

        Args:
            directory: folder of the data set, made when it does not exist.
            split: name of the split: letters, digits and underscores.
            shard_records: most records in one shard.
            schema: name and version of the record layout.
            metadata: free JSON values; may be set until `close` as `.metadata`.
            seed: of the order in which records go to shards.
            compression: "", "GZIP" or "ZLIB". A zlib field in a plain file reads
                twice as fast as a GZIP file.
            overwrite: replace a finished split of that name.

        Raises:
            ValueError: bad argument, or the split exists.
        """
        if not _NAME.fullmatch(split):
            raise ValueError(
                f"`split` must be letters, digits and underscores; got {split!r}."
            )
        checks.between("shard_records", shard_records, 1, 2**31)
        checks.one_of("compression", compression, COMPRESSIONS)
        self.metadata = dict(metadata or {})
        self._directory = pathlib.Path(directory)
        self._split = split
        self._shard_records = int(shard_records)
        self._schema = Schema(*schema)
        self._seed = seed
        self._compression = compression
        self._overwrite = overwrite
        if not overwrite and sidecar_path(directory, split).exists():
            raise ValueError(
                f"{sidecar_path(directory, split)}: the split exists; pass overwrite."
            )
        self._directory.mkdir(parents=True, exist_ok=True)
        remove_abandoned(self._directory, f".{split}")
        self._aside = self._directory / f".{split}.tmp-{os.getpid()}"
        shutil.rmtree(self._aside, ignore_errors=True)
        self._aside.mkdir()
        self._count = 0
        self._spool_path = self._aside / "spool"
        with self._disk_errors():
            self._spool = tf.io.TFRecordWriter(str(self._spool_path))

    def write(self, record: bytes) -> None:
        """Adds one serialised record."""
        if len(record) > MAX_RECORD_BYTES:
            raise LimitError(
                f"record {self._count} of {self._directory}/{self._split} has "
                f"{len(record)} bytes; the limit is {MAX_RECORD_BYTES}."
            )
        with self._disk_errors():
            self._spool.write(record)
        self._count += 1

    def close(self) -> Split:
        """Deals the records to shards and makes the split visible.

        Returns:
            what was written.

        Raises:
            ValueError: no record was written.
            OSError: the disk is full or the folder cannot be written.
        """
        if not self._count:
            self.abort()
            raise ValueError(f"{self._directory}/{self._split}: no record was written.")
        try:
            with self._disk_errors():
                self._spool.close()
                names, counts = self._deal()
                sizes = [os.path.getsize(self._aside / name) for name in names]
            sidecar = {
                "format": FORMAT,
                "format_version": FORMAT_VERSION,
                "schema": self._schema._asdict(),
                "compression": self._compression,
                "records": self._count,
                "shards": [
                    {"file": name, "records": count, "bytes": size}
                    for name, count, size in zip(names, counts, sizes, strict=True)
                ],
                "metadata": self.metadata,
            }
            text = json.dumps(sidecar, indent=1)
            (self._aside / "sidecar").write_text(text, encoding="utf-8")
            self._publish(names)
        finally:
            shutil.rmtree(self._aside, ignore_errors=True)
        return read_split(self._directory, self._split)

    def abort(self) -> None:
        """Drops everything written so far."""
        with contextlib.suppress(tf.errors.OpError):
            self._spool.close()
        shutil.rmtree(self._aside, ignore_errors=True)

    def __enter__(self) -> "RecordWriter":
        return self

    def __exit__(self, kind, value, trace) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    def _deal(self) -> tuple[list[str], list[int]]:
        """Copies the spool to shards; returns their names and counts."""
        total = -(-self._count // self._shard_records)
        names = [f"{self._split}-{i:05d}-of-{total:05d}.tfrecord" for i in range(total)]
        home = np.random.default_rng(self._seed).permutation(self._count) % total
        for first in range(0, total, _OPEN_SHARDS):
            last = min(first + _OPEN_SHARDS, total)
            writers = {
                i: tf.io.TFRecordWriter(
                    str(self._aside / names[i]), self._compression or None
                )
                for i in range(first, last)
            }
            spool = tf.data.TFRecordDataset(str(self._spool_path))
            for shard, record in zip(home, spool.as_numpy_iterator(), strict=True):
                if first <= shard < last:
                    writers[shard].write(record)
            for writer in writers.values():
                writer.close()
        return names, np.bincount(home, minlength=total).tolist()

    def _publish(self, names: list[str]) -> None:
        """Renames shards, then the sidecar, which makes the split a split."""
        sidecar = sidecar_path(self._directory, self._split)
        if sidecar.exists():
            if not self._overwrite:
                raise ValueError(f"{sidecar}: the split exists; pass overwrite.")
            old = self._old_shards()
            sidecar.unlink()
            for path in old:
                path.unlink(missing_ok=True)
        for name in names:
            os.replace(self._aside / name, self._directory / name)
        os.replace(self._aside / "sidecar", sidecar)

    def _old_shards(self) -> list[pathlib.Path]:
        """Shards of the split that is replaced; by name where its sidecar is broken."""
        try:
            found = read_split(self._directory, self._split, sizes=False)
            return [pathlib.Path(shard.path) for shard in found.shards]
        except FormatError as error:
            logging.warning("%s It is replaced.", error)
        name = re.compile(rf"{self._split}-\d{{5}}-of-\d{{5}}\.tfrecord")
        return [p for p in self._directory.iterdir() if name.fullmatch(p.name)]

    @contextlib.contextmanager
    def _disk_errors(self):
        try:
            yield
        except (tf.errors.OpError, OSError) as error:
            self.abort()
            raise OSError(
                f"{self._directory}: cannot write split {self._split!r}: "
                f"{first_line(error)}"
            ) from error


def record_stream(
    directory: str,
    split: str,
    seed: int = 0,
    start: int = 0,
    shuffle: bool = True,
    cycle: bool = True,
    schema: Schema | None = None,
    mix: int = 4,
) -> tf.data.Dataset:
    """Serialised records in an order that is a function of (seed, element number).

    Each epoch holds every record once. An epoch permutes the shards, takes `mix` of
    them at a time and permutes their records, all stateless. Going to `start` skips
    whole epochs and groups by arithmetic and at most one group of strings unparsed.

    Args:
        directory: folder of the data set.
        split: name of the split.
        seed: of the order, in [0, 2**31).
        start: number of the first element.
        shuffle: False gives the order of the files.
        cycle: False ends after one epoch (elements `start` to the last).
        schema: what the records must hold; None accepts every schema.
        mix: shards whose records are permuted together. Memory: about three times
            `mix` shards.

    Returns:
        dataset of scalar strings, endless or of known cardinality. Wrap its iteration
        in `naming_errors` to have a damaged file named.

    Raises:
        FileNotFoundError, FormatError: see `read_split`.
        ValueError: `start` lies beyond a stream that does not cycle.
    """
    checks.between("seed", seed, 0, 2**31 - 1)
    checks.between("start", start, 0, 2**62)
    checks.between("mix", mix, 1, 10_000)
    found = read_split(directory, split, schema)
    if not cycle and start > found.records:
        raise ValueError(f"`start` must lie in [0, {found.records}]; got {start}.")
    counts = np.array([shard.records for shard in found.shards], np.int64)
    groups = -(-len(counts) // mix)
    load = _group_loader(found, seed, shuffle, mix)

    # The group that holds `start`, and how far into it `start` lies.
    epoch, rest = divmod(int(start), found.records)
    places = tf.range(len(counts), dtype=tf.int64)
    order = _shard_order(places, seed, epoch, len(counts), shuffle).numpy()
    sizes = np.add.reduceat(counts[order], np.arange(0, len(counts), mix))
    group = int(np.searchsorted(np.cumsum(sizes), rest, side="right"))
    rest -= int(sizes[:group].sum())

    stream = tf.data.Dataset.range(epoch * groups + group, np.iinfo(np.int64).max)
    stream = stream.map(load).prefetch(1)  # one group is read while one is used
    stream = stream.flat_map(tf.data.Dataset.from_tensor_slices).skip(rest)
    if not cycle:
        left = found.records - int(start)
        stream = stream.take(left)
        stream = stream.apply(tf.data.experimental.assert_cardinality(left))
    return stream


def _group_loader(found: Split, seed: int, shuffle: bool, mix: int):
    """Function group number -> vector of its records, in order."""
    total = len(found.shards)
    groups = -(-total // mix)
    paths = tf.constant([shard.path for shard in found.shards])
    counts = tf.constant([shard.records for shard in found.shards], tf.int64)

    def load(number: tf.Tensor) -> tf.Tensor:
        epoch, group = number // groups, number % groups
        places = tf.range(group * mix, tf.minimum((group + 1) * mix, total))
        order = _shard_order(places, seed, epoch, total, shuffle)
        expected = tf.reduce_sum(tf.gather(counts, order))
        files = tf.data.TFRecordDataset(tf.gather(paths, order), found.compression)
        # One more than expected, so that a file that grew is noticed too.
        records = files.batch(expected + 1).get_single_element()
        message = f"a shard beside {found.shards[0].path} changed while it was read"
        same = tf.debugging.assert_equal(
            tf.size(records, tf.int64), expected, message=message
        )
        with tf.control_dependencies([same]):
            records = tf.identity(records)
        if not shuffle:
            return records
        # The number of a group never repeats, so neither does its order; the other
        # half of the seed keeps it apart from the order of the shards.
        return tf.random.experimental.stateless_shuffle(records, [-1 - seed, number])

    return load


def _shard_order(places, seed: int, epoch, total: int, shuffle: bool) -> tf.Tensor:
    """Which shards stand at these places of an epoch: int64 [n]."""
    if not shuffle or total == 1:
        return places
    # `index_shuffle` would permute without the list, but mixes a few shards poorly.
    order = tf.random.experimental.stateless_shuffle(
        tf.range(total, dtype=tf.int64),
        tf.stack([tf.constant(seed, tf.int64), tf.cast(epoch, tf.int64)]),
    )
    return tf.gather(order, places)
