"""What tools.make_drwr_records reads: meshes, renders, records of the original.

A source plans the splits: for each a list of `Item`s, which are read one by one.
"""

import pathlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from datasets.drwr import generation, layouts, lists, published
from datasets.drwr.examples import ObjectViews
from datasets.mesh_reconstruction.generation import VARIANT, variant_name
from tools import mesh_folder, mesh_splits

KINDS = ("meshes", "renders", "tfrecords")


class Made(NamedTuple):
    """What was read or drawn of an object.

    Attributes:
        views: its records, itself and its variants; none where it is left out.
        truth: CLASS/NAME -> float32 [N, 3] on the surface.
        notes: lines for the user.
    """

    views: list[ObjectViews]
    truth: dict[str, np.ndarray]
    notes: list[str]


class Item(NamedTuple):
    """An object that is to be read.

    Attributes:
        name: for messages.
        make: reads it.
    """

    name: str
    make: Callable[[], Made]


class Splitting(NamedTuple):
    """How the user wants objects split.

    Attributes:
        split_file: JSON file or folder of lists, or None.
        shares: of validation and test, where nothing else decides.
        class_file: of meshes, or None.
    """

    split_file: str | None
    shares: tuple[float, float]
    class_file: str | None = None


def kind_of(inputs) -> str:
    """Which of `KINDS` the inputs are.

    Args:
        inputs: files and folders.

    Returns:
        "tfrecords", "renders" or "meshes".

    Raises:
        FileNotFoundError: no such file or folder.
        ValueError: several kinds, or more than one folder of renders.
    """
    found = {text: _kind(pathlib.Path(text)) for text in inputs}
    kinds = sorted(set(found.values()))
    if len(kinds) > 1:
        raise ValueError(f"--input: expected one kind; got {' and '.join(kinds)}.")
    if kinds == ["renders"] and len(found) > 1:
        raise ValueError(f"--input: expected one folder of renders; got {len(found)}.")
    return kinds[0]


def _kind(path: pathlib.Path) -> str:
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file or folder.")
    own = list(path.iterdir()) if path.is_dir() else [path]
    if any(file.suffix in published.SUFFIXES for file in own):
        return "tfrecords"
    if path.is_dir() and layouts.has_renders(path):
        return "renders"
    return "meshes"


def plan_meshes(
    inputs, settings: generation.ViewSettings, splitting: Splitting
) -> dict[str, list[Item]]:
    """Objects drawn of meshes.

    Args:
        inputs: mesh files or folders.
        settings: how to draw.
        splitting: by file, or by shares of each class.

    Returns:
        split -> items.

    Raises:
        FileNotFoundError, FormatError, ValueError: no mesh, names that are not one, an
            object without a class.
    """
    found = mesh_folder.find_meshes(inputs)
    classes = None
    if not splitting.split_file:
        classes = mesh_splits.object_classes(inputs, found, splitting.class_file)
    splits = mesh_splits.assign_splits(
        found, splitting.split_file, splitting.shares, classes
    )
    used = {name: found[name] for names in splits.values() for name in names}
    classes = mesh_splits.object_classes(inputs, used, splitting.class_file)
    marked = [name for name in used if VARIANT in name]
    if marked:
        raise ValueError(
            f"{found[marked[0]]}: expected a name without {VARIANT}, which marks "
            "variants; rename the file or its folder."
        )

    def item(split, name):
        class_id, path = classes[name], str(found[name])
        object_id = name.removeprefix(f"{class_id}__")
        variants = range(1 + (settings.augment if split == "train" else 0))

        def make():
            views, truth = [], {}
            for number in variants:
                drawn, points = generation.draw_object(
                    path, class_id, object_id, settings, number
                )
                views.append(drawn)
                if points is not None:
                    truth[f"{class_id}/{variant_name(object_id, number)}"] = points
            return _with_points(Made(views, truth, []), settings)

        return Item(path, make)

    return {
        split: [item(split, name) for name in names] for split, names in splits.items()
    }


def _with_points(made: Made, settings) -> Made:
    """Leaves out views whose masks, being empty, have no place for points."""
    if not settings.sample_points:
        return made
    kept = [item for item in made.views if item.samples is not None]
    notes = [
        f"{item.name}: left out: --sample_points, and one of its masks is empty."
        for item in made.views
        if item.samples is None
    ]
    return Made(kept, made.truth, [*made.notes, *notes])


def plan_renders(
    root: str, classes, settings: layouts.Settings, splitting: Splitting
) -> tuple[dict[str, list[Item]], list[str]]:
    """Objects of a folder of renders.

    Args:
        root: see `layouts.find_objects`.
        classes: those to take, or None.
        settings: what is read.
        splitting: by a JSON file of CLASS__NAME, by lists (of the folder that is given,
            else of the root or its folder `splits`), or by shares of each class.

    Returns:
        split -> items, and notes on what is in no list or has no renders.

    Raises:
        FileNotFoundError, FormatError, ValueError: no renders, a class that is not
            there, broken lists.
    """
    objects = layouts.find_objects(root, classes)
    notes: list[str] = []
    found = {f"{item.class_id}__{item.name}": item for item in objects}
    folder = pathlib.Path(splitting.split_file or root)
    if folder.is_dir():
        chosen = sorted({item.class_id for item in objects})
        tried = (folder,) if splitting.split_file else (folder, folder / "splits")
        read = next((own for f in tried if (own := lists.read_lists(f, chosen))), None)
        if read is None and splitting.split_file:
            raise FileNotFoundError(
                f"{folder}: expected {chosen[0]}_train.txt or {chosen[0]}.file; found "
                "neither."
            )
        if read is not None:
            splits = _listed(found, read, notes)
            return _render_items(splits, found, settings), notes
    by_class = {name: item.class_id for name, item in found.items()}
    splits = mesh_splits.assign_splits(
        found, splitting.split_file, splitting.shares, by_class
    )
    return _render_items(splits, found, settings), notes


def _listed(found, read, notes) -> dict[str, list[str]]:
    """Splits of lists; what is missing on either side is noted."""
    splits = {
        split: [f"{c}__{name}" for c, names in own.items() for name in names]
        for split, own in read.items()
    }
    listed = {name for names in splits.values() for name in names}
    for word, names in (
        ("listed objects have no renders", sorted(listed - set(found))),
        ("objects with renders are in no list; left out", sorted(set(found) - listed)),
    ):
        if names:
            notes.append(f"{len(names)} {word}, {names[0]} the first.")
    splits = {
        split: sorted(name for name in splits.get(split, ()) if name in found)
        for split in mesh_splits.SPLITS
    }
    if not any(splits.values()):
        raise FileNotFoundError(
            "no listed object has renders; expected lists of the folders' names."
        )
    return {split: names for split, names in splits.items() if names}


def _render_items(splits, found, settings) -> dict[str, list[Item]]:
    def item(name):
        def make():
            views, notes = layouts.read_object(found[name], settings)
            return _with_points(Made([views], {}, notes), settings)

        return Item(str(found[name].path), make)

    return {split: [item(name) for name in names] for split, names in splits.items()}


def plan_records(inputs, classes, settings: layouts.Settings) -> dict[str, list[Item]]:
    """Objects of records of the original.

    Args:
        inputs: files CLASS_SPLIT.tfrecords or their folder.
        classes: those to take, or None.
        settings: what is read.

    Returns:
        split -> items, which must be made in their order.

    Raises:
        FileNotFoundError, FormatError, ValueError: see `published.find_files` and
            `published.count_records`.
    """
    plan: dict[str, list[Item]] = {}
    for file in published.find_files(inputs, classes):
        records = _InOrder(file)
        for number in range(published.count_records(file.path)):
            make = _record_maker(records, number, settings)
            item = Item(f"{file.path.name} record {number}", make)
            plan.setdefault(file.split, []).append(item)
    return {split: plan[split] for split in mesh_splits.SPLITS if split in plan}


class _InOrder:
    """Records of a file, asked for by growing numbers."""

    def __init__(self, file: published.File):
        self.file = file
        self._stream: Iterator[bytes] | None = None
        self._next = 0

    def record(self, number: int) -> bytes:
        """A record; those before it are passed over."""
        if self._stream is None:
            self._stream = published.raw_records(self.file.path)
        while True:
            record = next(self._stream)
            self._next += 1
            if self._next > number:
                return record


def _record_maker(records: _InOrder, number: int, settings):
    def make():
        record = records.record(number)
        views, notes = published.decode(record, records.file, number, settings)
        return _with_points(Made([views], {}, notes), settings)

    return make
