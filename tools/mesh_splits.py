"""Which split and which class each object belongs to, for programs that make data."""

import hashlib
import json
import pathlib

from datasets.mesh_reconstruction import published
from tfrender.io import FormatError

SPLITS = ("train", "validation", "test")


def held_out_shares(texts) -> tuple[float, float]:
    """Shares of validation and test.

    Args:
        texts: of the list flag --held_out.

    Returns:
        Two shares in [0, 1), together below 1.

    Raises:
        ValueError: anything else.
    """
    try:
        validation, test = (float(text) for text in texts)
    except ValueError:
        validation = test = -1.0
    if not (validation >= 0.0 and test >= 0.0 and validation + test < 1.0):
        raise ValueError(
            "--held_out: expected two shares that add up to less than 1; got "
            f"{','.join(texts)}."
        )
    return validation, test


def assign_splits(
    objects, split_file: str | None, shares, classes: dict[str, str] | None = None
) -> dict[str, list[str]]:
    """Distributes objects over splits.

    Args:
        objects: names of all objects.
        split_file: JSON file of split -> names, or None for a hash of the name.
        shares: shares of validation and test, where there is no file.
        classes: object name -> class, to hold these shares out of each class, or None.

    Returns:
        split -> names, sorted; splits without objects are left out.

    Raises:
        FormatError: the file is broken, names an object twice or one that is missing.
        ValueError: a wanted split would be empty.
    """
    if split_file is not None:
        found = _read_splits(split_file, set(objects))
    elif classes is None:
        found = _shuffled_splits(objects, *shares)
    else:
        found = _splits_by_class({name: classes[name] for name in objects}, *shares)
    return {split: sorted(found[split]) for split in SPLITS if found.get(split)}


def _shuffled_splits(objects, validation: float, test: float) -> dict[str, list[str]]:
    """Splits in the order of a hash of the names; a wanted split is never empty."""
    order = _shuffled(objects)
    tests, validations = (
        max(1, round(share * len(order))) if share else 0
        for share in (test, validation)
    )
    train = order[tests + validations :]
    if not train:
        raise ValueError(
            f"--held_out: {tests} test and {validations} validation objects leave none "
            f"of {len(order)} for training."
        )
    return {
        "test": order[:tests],
        "validation": order[tests : tests + validations],
        "train": train,
    }


def _shuffled(objects) -> list[str]:
    """Names in the order of their hash."""
    return sorted(objects, key=lambda name: hashlib.sha256(name.encode()).digest())


def _splits_by_class(classes, validation: float, test: float) -> dict[str, list[str]]:
    """Splits of each class in the order of a hash of the names.

    Every class trains on one object at least; test is served before validation.
    """
    found: dict[str, list[str]] = {split: [] for split in SPLITS}
    for class_id in sorted(set(classes.values())):
        order = _shuffled(name for name, own in classes.items() if own == class_id)
        first, count = 0, len(order)
        for split, share in (("test", test), ("validation", validation)):
            wanted = max(1, round(share * count)) if share else 0
            last = min(first + wanted, count - 1)
            found[split] += order[first:last]
            first = last
        found["train"] += order[first:]
    for split, share in (("test", test), ("validation", validation)):
        if share and not found[split]:
            raise ValueError(
                f"--held_out: expected a class with objects enough for training, test "
                f"and validation; {split} would be empty. Use a share of 0, or "
                "--split_file."
            )
    return found


def check_output(output: str, splits) -> None:
    """Refuses a folder that holds a split which this run would not replace.

    Args:
        output: folder of the data set.
        splits: names of the splits that this run writes.

    Raises:
        ValueError: naming the file of the other split.
    """
    folder = pathlib.Path(output)
    for split in SPLITS:
        npz = published.images_path(output, "*", split).name
        for path in (
            *folder.glob(f"{split}.json"),
            *folder.glob(f"{split}.tar"),
            *folder.glob(npz),
        ):
            if split not in splits:
                raise ValueError(
                    f"{path}: a split of an earlier run, which this one would leave "
                    "beside its own; objects may be in both. Choose another --output."
                )


def _read_splits(path: str, objects: set[str]) -> dict[str, list[str]]:
    try:
        found = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise FormatError(f"{path}: expected JSON; {error}.") from error
    if not isinstance(found, dict) or not set(found) <= set(SPLITS):
        raise FormatError(f"{path}: expected a mapping with keys out of {SPLITS}.")
    for split, names_ in found.items():
        if not (isinstance(names_, list) and all(isinstance(n, str) for n in names_)):
            raise FormatError(f"{path}: expected a list of names under {split!r}.")
    listed = [name for split in found.values() for name in split]
    twice = sorted({name for name in listed if listed.count(name) > 1})
    missing = sorted(set(listed) - objects)
    if twice:
        raise FormatError(f"{path}: {twice[0]} is listed twice; splits are by object.")
    if missing:
        raise FormatError(
            f"{path}: {len(missing)} listed objects are not in the input, {missing[0]} "
            "the first."
        )
    return found


def object_classes(inputs, found, class_file: str | None) -> dict[str, str]:
    """Class of every object.

    Args:
        inputs: files and folders in which the meshes were found.
        found: object name -> file.
        class_file: text of object, tab, class a line; None takes the first folder
            below the input.

    Returns:
        object name -> class.

    Raises:
        FormatError: an object without a class, or a broken file.
    """
    if class_file:
        lines = pathlib.Path(class_file).read_text(encoding="utf-8").splitlines()
        rows = [line.split("\t") for line in lines if line.strip()]
        broken = [row for row in rows if len(row) < 2 or not row[1].strip()]
        if broken:
            line = "\t".join(broken[0])
            raise FormatError(
                f"{class_file}: expected object, tab, class; got {line!r}."
            )
        classes = {row[0]: row[1].strip() for row in rows}
        where = f"{class_file}: expected a line for it"
    else:
        classes = {}
        for name, path in found.items():
            below = [path.relative_to(i).parts for i in inputs if _is_below(path, i)]
            if below and len(below[0]) > 1:
                classes[name] = below[0][0]
        where = "expected it in a folder named after its class, or a --class_file"
    missing = [name for name in found if name not in classes]
    if missing:
        raise FormatError(f"{missing[0]} has no class; {where}.")
    return {name: classes[name] for name in found}


def _is_below(path: pathlib.Path, folder: str) -> bool:
    return pathlib.Path(folder) in path.parents
