"""The folders of DVR's data: which objects there are, and which splits.

<root>/<class>/<object>/ holds cameras.npz and sub-folders of pictures, <root>/<class>/
<split>.lst names the objects of a split, one a line. Three published sets differ in
details (`LAYOUTS`): ShapeNet with the pictures of Choy et al. as encoder inputs,
that of Kato et al. ("nmr"), and the multi-view scenes of DTU.
"""

import pathlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from datasets.dvr import camera_files
from tfrender import checks, io
from tfrender.io import FormatError

_MOST_TEXT = 64 * 2**20  # bytes of a list of objects
_LEAST_VIEWS = 2  # of a scene, to train on


class Folders(NamedTuple):
    """Where the pictures of an object lie.

    Attributes:
        image: supervision.
        mask: non-zero in the first channel is object.
        depth: planar depth in world units; may be missing.
        hull_depth: depth of the visual hull in world units; may be missing.
        inputs: pictures for the encoder; "" is none.
        image_extension: such as "png"; "" takes every kind that can be read.
        mask_extension: likewise.
        depth_extension: likewise, of depth and hull depth.
        input_extension: likewise.
    """

    image: str = "image"
    mask: str = "mask"
    depth: str = "depth"
    hull_depth: str = "visual_hull_depth"
    inputs: str = ""
    image_extension: str = ""
    mask_extension: str = ""
    depth_extension: str = ""
    input_extension: str = ""


LAYOUTS: Mapping[str, Folders] = {
    "dtu": Folders(),
    "shapenet": Folders(inputs="img_choy2016"),
    "nmr": Folders(inputs="image"),
}
# Names of the lists of a published set -> our splits.
_LISTS = {"train": "train", "val": "validation", "test": "test"}
SPLITS: Mapping[str, Mapping[str, str]] = {
    "dtu": _LISTS,
    "shapenet": _LISTS,
    "nmr": {f"softras_{listed}": split for listed, split in _LISTS.items()} | _LISTS,
}


class ObjectFolder(NamedTuple):
    """An object on the disk.

    Attributes:
        class_id: name of its class.
        object_id: name of its folder.
        path: of its folder.
    """

    class_id: str
    object_id: str
    path: pathlib.Path

    @property
    def name(self) -> str:
        """CLASS/OBJECT."""
        return f"{self.class_id}/{self.object_id}"


def find_objects(root: str, classes: Sequence[str] | None = None) -> list[ObjectFolder]:
    """Objects of a data set, sorted by class and name.

    Args:
        root: the data set, the folder of a class, or the folder of one object (one that
            holds cameras.npz).
        classes: names of class folders; None is all.

    Returns:
        Folders that hold a camera file.

    Raises:
        FileNotFoundError: no such folder, class or object.
    """
    folder = pathlib.Path(root)
    if not folder.is_dir():
        raise FileNotFoundError(f"{root}: no such folder.")
    resolved = folder.resolve()
    if (folder / camera_files.FILE).exists():
        found = [ObjectFolder(resolved.name, resolved.name, folder)]
    elif any(folder.glob(f"*/{camera_files.FILE}")):
        found = _objects_in(folder, resolved.name)
    else:
        chosen = classes or sorted(p.name for p in folder.iterdir() if p.is_dir())
        missing = [name for name in chosen if not (folder / name).is_dir()]
        if missing:
            raise FileNotFoundError(f"{folder / missing[0]}: no such class folder.")
        found = [
            item for name in sorted(chosen) for item in _objects_in(folder / name, name)
        ]
    if classes is not None:
        there = sorted({item.class_id for item in found})
        missing = [name for name in classes if name not in there]
        if missing:
            raise FileNotFoundError(
                f"{root}: no object of class {missing[0]}; there are "
                f"{', '.join(there) or 'none'}."
            )
        found = [item for item in found if item.class_id in classes]
    if not found:
        raise FileNotFoundError(
            f"{root}: expected CLASS/OBJECT/{camera_files.FILE}; found none."
        )
    return found


def _objects_in(folder: pathlib.Path, class_id: str) -> list[ObjectFolder]:
    paths = sorted(folder.glob(f"*/{camera_files.FILE}"), key=lambda p: p.parent.name)
    return [ObjectFolder(class_id, p.parent.name, p.parent) for p in paths]


def detect_layout(objects: Sequence[ObjectFolder]) -> str:
    """Tells the layout by what the first object holds.

    Args:
        objects: of `find_objects`.

    Returns:
        A key of `LAYOUTS`.
    """
    first = objects[0]
    if (first.path / LAYOUTS["shapenet"].inputs).is_dir():
        return "shapenet"
    if "scale_mat_0" in io.read_npz(first.path / camera_files.FILE):
        return "dtu"
    return "nmr"


def split_objects(
    objects: Sequence[ObjectFolder], wanted: Mapping[str, str]
) -> dict[str, list[ObjectFolder]]:
    """Distributes objects over splits as the lists beside them say.

    A class without a list of a split has no part in it.

    Args:
        objects: of `find_objects`.
        wanted: name of a list, without ".lst" -> name of our split.

    Returns:
        split -> objects; empty where no class has any of the lists.

    Raises:
        FormatError: a list that names an object that is not there, or twice, or two
            lists that share one.
    """
    by_class: dict[str, list[ObjectFolder]] = {}
    for item in objects:
        by_class.setdefault(item.class_id, []).append(item)
    found: dict[str, list[ObjectFolder]] = {}
    for own in by_class.values():
        folder = own[0].path.parent
        there = {item.object_id: item for item in own}
        owner: dict[str, pathlib.Path] = {}
        for listed, split in wanted.items():
            path = folder / f"{listed}.lst"
            if not path.exists():
                continue
            for name in _read_list(path):
                if name not in there:
                    raise FormatError(
                        f"{path}: lists {name!r}, but {folder / name} has no "
                        f"{camera_files.FILE}."
                    )
                if name in owner:
                    raise FormatError(
                        f"{path}: {name!r} is in {owner[name].name} already; splits "
                        "are by object."
                    )
                owner[name] = path
                found.setdefault(split, []).append(there[name])
    return found


def _read_list(path: pathlib.Path) -> list[str]:
    """Lines of a list of objects; the published ones end in an empty line."""
    if path.stat().st_size > _MOST_TEXT:
        raise io.LimitError(f"{path}: expected a list of at most {_MOST_TEXT} bytes.")
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise FormatError(f"{path}: expected a text of names; {error}.") from error
    return [line.strip() for line in lines if line.strip()]


def class_names(root: str, classes: Iterable[str]) -> dict[str, str]:
    """Names of classes for people, of <root>/metadata.yaml.

    Args:
        root: of the data set.
        classes: names of class folders.

    Returns:
        class folder -> name; the folder where the file is missing or silent.

    Raises:
        FormatError: a file that is no mapping of mappings.
    """
    path = pathlib.Path(root) / "metadata.yaml"
    names = {class_id: class_id for class_id in classes}
    if not path.exists():
        return names
    import yaml

    if path.stat().st_size > _MOST_TEXT:
        raise io.LimitError(f"{path}: expected at most {_MOST_TEXT} bytes.")
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise FormatError(f"{path}: expected YAML; {reason}.") from error
    if not isinstance(found, dict):
        raise FormatError(f"{path}: expected a mapping of classes.")
    for class_id in names:
        entry = found.get(class_id)
        if entry is None and re.fullmatch("[0-7]+|[1-9][0-9]*", class_id):
            # Without quotes YAML reads 03001627 as an octal number.
            entry = found.get(int(class_id, 8 if class_id[0] == "0" else 10))
        if isinstance(entry, dict) and isinstance(entry.get("name"), str):
            names[class_id] = entry["name"].split(",")[0].strip()
    return names


def held_out_views(numbers: Sequence[int], wanted: int | Sequence[int]) -> list[int]:
    """Views of a scene that are kept from training.

    Args:
        numbers: of its views, in order.
        wanted: how many, evenly spaced over the sequence, or their numbers.

    Returns:
        Numbers, in order.

    Raises:
        ValueError: views that are not there, or fewer than two left for training.
    """
    count = len(numbers)
    most = max(count - _LEAST_VIEWS, 1)
    if isinstance(wanted, int):
        checks.between("--held_out_views", wanted, 1, most)
        return [numbers[int((k + 0.5) * count / wanted)] for k in range(wanted)]
    missing = sorted(set(wanted) - set(numbers))
    if missing or not 1 <= len(set(wanted)) <= most:
        raise ValueError(
            "--held_out_views: expected some of the views "
            f"{', '.join(map(str, numbers))}, {most} at most; got "
            f"{', '.join(map(str, wanted)) or 'none'}."
        )
    return sorted(wanted)
