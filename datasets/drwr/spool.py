"""Objects of a split that is being made: what a killed run has finished is kept.

Beside the records stands a hidden folder for each split that is not finished. It holds
one file an object, which appears complete or not at all, and the settings, so that a
run with others is refused instead of mixed in.
"""

import json
import os
import pathlib
import shutil
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from datasets import records
from datasets.drwr import examples
from datasets.shards import first_line, sidecar_path
from tfrender import io
from tfrender.io import FormatError

_SETTINGS = "settings.json"


class Entry(NamedTuple):
    """What the spool holds of an object.

    Attributes:
        names: CLASS/OBJECT of its records: itself and its variants.
        classes: their classes.
        form: `examples.Form` of the records, or None where it was left out.
        notes: lines for the user.
    """

    names: list[str]
    classes: list[str]
    form: examples.Form | None
    notes: list[str]


class Spool:
    """The objects of one split, each known by its number."""

    def __init__(self, directory: str, split: str, settings: Mapping[str, Any]):
        """Opens the spool; makes no folder before something is added.

        Args:
            directory: folder of the records.
            split: name of the split.
            settings: JSON values that decide about the records.

        Raises:
            ValueError: it was begun, or the split made, with other settings.
            FormatError: a broken spool.
        """
        self.folder = pathlib.Path(directory) / f".{split}.spool"
        self._directory, self._split = directory, split
        self._settings = json.loads(json.dumps(settings))
        self.finished = sidecar_path(directory, split).exists()
        if self.finished:
            found = records.read_split(directory, split)
            self._check(found.metadata.get("settings"), sidecar_path(directory, split))
        elif (self.folder / _SETTINGS).exists():
            self._check(_json(self.folder / _SETTINGS), self.folder)

    def _check(self, found, path) -> None:
        """Refuses other settings than those found."""
        if found == self._settings:
            return
        names = sorted(set(self._settings) | set(found or {}))
        for name in names if isinstance(found, dict) else []:
            had, given = found.get(name), self._settings.get(name)
            if had != given:
                raise ValueError(
                    f"{path}: was begun with {name}={_text(had)}; got {_text(given)}. "
                    "Give the same flags to go on, choose another --output, or remove "
                    "it."
                )
        raise ValueError(
            f"{path}: was not made by this program; choose another --output."
        )

    def find(self, number: int) -> Entry | None:
        """What is there of an object, or None."""
        path = self._path(number)
        if not path.exists():
            return None
        header = json.loads(next(_records(path)))
        if header["form"] is not None:
            size, *others = header["form"]
            header["form"] = examples.Form(tuple(size), *others)
        return Entry(**header)

    def add(self, number: int, items: Sequence[examples.ObjectViews], notes) -> Entry:
        """Keeps an object.

        Args:
            number: of the object in its split.
            items: the object and its variants; none where it is left out.
            notes: lines for the user.

        Returns:
            What was kept.

        Raises:
            FormatError: variants of different form.
            OSError: the disk is full or the folder cannot be written.
        """
        forms = [examples.form_of(item) for item in items]
        for form, item in zip(forms, items, strict=True):
            examples.check_form(forms[0], form, item.name)
        entry = Entry(
            [item.name for item in items],
            [item.class_id for item in items],
            forms[0] if forms else None,
            list(notes),
        )
        packed = [examples.encode_example(item) for item in items]
        temporary = self.folder / f"adding-{os.getpid()}"
        try:
            self._begin()
            with tf.io.TFRecordWriter(str(temporary)) as writer:
                writer.write(json.dumps(entry._asdict()).encode())
                for record in packed:
                    writer.write(record)
            os.replace(temporary, self._path(number))
        except (tf.errors.OpError, OSError) as error:
            temporary.unlink(missing_ok=True)
            raise OSError(
                f"{self.folder}: cannot write: {first_line(error)}"
            ) from error
        return entry

    def _begin(self) -> None:
        """Makes the folder; files of a run that was killed go."""
        if (self.folder / _SETTINGS).exists():
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        with io.write_file(self.folder / _SETTINGS, "w") as file:
            json.dump(self._settings, file, indent=1)

    def finish(
        self, count: int, shard_records: int, metadata: Mapping[str, Any]
    ) -> records.Split:
        """Writes the split and removes the spool.

        Args:
            count: number of objects; all must be there.
            shard_records: most records in a shard.
            metadata: free JSON values for the sidecar, beside those of the spool.

        Returns:
            The split.

        Raises:
            FormatError: objects of different form, or no object was kept.
            OSError: the disk is full.
        """
        entries = [self.find(number) for number in range(count)]
        first = next((entry for entry in entries if entry.names), None)
        if first is None:
            raise FormatError(
                f"{self._directory}: no object of the split {self._split} is left."
            )
        for entry in entries:
            if entry.names:
                examples.check_form(first.form, entry.form, entry.names[0])
        classes = {name for entry in entries for name in entry.classes}
        with records.RecordWriter(
            self._directory,
            self._split,
            shard_records,
            examples.SCHEMA,
            {
                **metadata,
                **first.form._asdict(),
                "settings": self._settings,
                "objects": [name for entry in entries for name in entry.names],
                "classes": sorted(classes),
            },
            seed=self._settings.get("seed", 0),
        ) as writer:
            for number in range(count):
                for place, record in enumerate(_records(self._path(number))):
                    if place:
                        writer.write(record)
        self.remove()
        self.finished = True
        return records.read_split(self._directory, self._split, examples.SCHEMA)

    def read(self, number: int) -> list[examples.ObjectViews]:
        """Objects of a number, decoded; it must be there."""
        form = self.find(number).form
        stream = _records(self._path(number))
        next(stream)  # the header
        return [examples.decode_arrays(record, form) for record in stream]

    def remove(self) -> None:
        """Removes the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def discard_if_empty(self) -> None:
        """Removes the folder where no object is in it."""
        if self.folder.exists() and not any(self.folder.glob("*.tfrecord")):
            self.remove()

    def _path(self, number: int) -> pathlib.Path:
        return self.folder / f"{number:06d}.tfrecord"


def _records(path: pathlib.Path):
    """Records of a file."""
    try:
        yield from tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
    except tf.errors.DataLossError as error:
        raise FormatError(
            f"{path}: damaged ({first_line(error)}); remove it and run again."
        ) from error


def _json(path: pathlib.Path):
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise FormatError(f"{path}: expected JSON; {first_line(error)}.") from error


def _text(value) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
