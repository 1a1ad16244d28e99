"""Lists of splits as they lie beside the published renders."""

import pathlib
from collections.abc import Sequence

from tfrender.io import FormatError

SPLITS = {
    "train": "train",
    "val": "validation",
    "validation": "validation",
    "test": "test",
}  # words of lists -> ours
# The list CLASS.file: lines at its top, lines that open a split, lines of a model.
_TOP, _HEAD, _ENTRY = 3, 6, 5


def read_lists(folder: str, classes: Sequence[str]) -> dict[str, dict[str, list[str]]]:
    """Lists of splits.

    Args:
        folder: of CLASS_SPLIT.txt (one object a line; train, val or validation, test)
            or CLASS.file.
        classes: ids of the classes.

    Returns:
        split (ours) -> class -> names of objects; no entry where there is no list.

    Raises:
        FormatError: a broken list, or an object in two of them.
    """
    found: dict[str, dict[str, list[str]]] = {}
    for class_id in classes:
        own: dict[str, list[str]] = {}
        compound = pathlib.Path(folder) / f"{class_id}.file"
        if compound.is_file():
            own = _read_compound(compound)
        for word, split in SPLITS.items():
            path = pathlib.Path(folder) / f"{class_id}_{word}.txt"
            if path.is_file():
                own[split] = _lines(path)
        listed = [name for names in own.values() for name in names]
        twice = sorted({name for name in listed if listed.count(name) > 1})
        if twice:
            raise FormatError(
                f"{folder}: {twice[0]} of class {class_id} is listed twice; splits are "
                "by object."
            )
        for split, names in own.items():
            found.setdefault(split, {})[class_id] = names
    return found


def _lines(path: pathlib.Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise FormatError(f"{path}: expected a text of names; {error}.") from error
    # Some lists have CLASS/NAME.
    return [line.strip().split("/")[-1] for line in text.splitlines() if line.strip()]


def _read_compound(path: pathlib.Path) -> dict[str, list[str]]:
    """The list of the original: splits one after the other, each with its count."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise FormatError(f"{path}: expected a text; {error}.") from error
    found, place = {}, _TOP
    while any(line.strip() for line in lines[place:]):
        head = [line.strip() for line in lines[place : place + _HEAD]]
        number = place + _HEAD
        if len(head) < _HEAD or head[2] not in SPLITS or not head[5].isdecimal():
            raise FormatError(
                f"{path}: line {place + 1}: expected six lines of a split, the third "
                "its name, the sixth its count."
            )
        count = int(head[5])
        models = lines[number : number + _ENTRY * count]
        if len(models) < _ENTRY * count:
            raise FormatError(
                f"{path}: expected {count} models of {head[2]}; it ends after "
                f"{len(models) // _ENTRY}."
            )
        found[SPLITS[head[2]]] = [line.strip() for line in models[4::_ENTRY]]
        place = number + _ENTRY * count
    if not found:
        raise FormatError(f"{path}: expected lists of splits; found none.")
    return found
