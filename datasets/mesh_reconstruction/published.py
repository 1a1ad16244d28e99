"""The published data set: two npz files for each class and split, read and written.

`CLASS_SPLIT_images.npz` holds uint8 (N, 24, 4, 64, 64), red, green, blue, alpha;
`CLASS_SPLIT_voxels.npz` holds bool (N, 32, 32, 32). Splits are train, val and test.

Frames. The published camera is a mirrored one that runs the other way round: view k
stands at azimuth -15 k degrees. Our cameras are not mirrored, so the same pictures
show the objects mirrored left to right, in x, from azimuth +15 k. Stored voxels have
the axes (y, x, -z) of the published mesh, which the mirrored camera sees; of our object
they are (y, -x, -z). Both are converted here and nowhere else.
"""

import contextlib
import math
import pathlib
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import IO, Any, NamedTuple

import numpy as np

from datasets import records
from datasets.mesh_reconstruction import examples, views
from datasets.shards import first_line, sidecar_path
from tfrender import checks, io
from tfrender.io import FormatError

SPLITS = {"train": "train", "validation": "val", "test": "test"}  # ours -> theirs
_IMAGES = (views.VIEWS, 4, views.IMAGE_SIZE, views.IMAGE_SIZE)
_VOXELS = (views.VOXELS,) * 3
# What zipfile and numpy raise on broken bytes.
_DAMAGE = (ValueError, EOFError, zlib.error, zipfile.BadZipFile, NotImplementedError)


def images_path(folder: str, class_id: str, split: str) -> pathlib.Path:
    """File of the pictures of a class; `split` is one of our names."""
    return pathlib.Path(folder) / f"{class_id}_{SPLITS[split]}_images.npz"


def voxels_path(folder: str, class_id: str, split: str) -> pathlib.Path:
    """File of the voxels of a class; `split` is one of our names."""
    return pathlib.Path(folder) / f"{class_id}_{SPLITS[split]}_voxels.npz"


def voxels_to_ours(stored: np.ndarray) -> np.ndarray:
    """Takes stored voxels to our frame.

    With P[x, y, z] the grid of the published object, the evaluation of the original
    compares P.transpose(1, 0, 2)[:, :, ::-1] with the file, and ours is mirrored:
    P[S - 1 - x, y, z] = stored[y, S - 1 - x, S - 1 - z].

    Args:
        stored: [..., 32, 32, 32] as in the file.

    Returns:
        [..., 32, 32, 32] at (X, Y, Z).
    """
    return np.swapaxes(stored, -3, -2)[..., ::-1, :, ::-1]


def voxels_from_ours(voxels: np.ndarray) -> np.ndarray:
    """Takes voxels of our frame to the stored one; inverse of `voxels_to_ours`."""
    return np.swapaxes(voxels[..., ::-1, :, ::-1], -3, -2)


def classes_in(folder: str, split: str) -> list[str]:
    """Ids of the classes of which a folder holds the pictures of a split, sorted."""
    pattern = images_path(folder, "*", split).name
    ending = pattern.removeprefix("*")
    found = pathlib.Path(folder).glob(pattern)
    return sorted(path.name.removesuffix(ending) for path in found)


def count_objects(folder: str, class_id: str, split: str) -> int:
    """Checks the headers of the two files of a class.

    Args:
        folder: of the npz files.
        class_id: id of the class.
        split: "train", "validation" or "test".

    Returns:
        Number of objects.

    Raises:
        FileNotFoundError: a file is missing.
        FormatError: no npz, a pickled one, several arrays, another shape or type, or
            files of different length; the file is named.
    """
    images = images_path(folder, class_id, split)
    voxels = voxels_path(folder, class_id, split)
    for path, other in ((images, voxels), (voxels, images)):
        if not path.exists():
            raise FileNotFoundError(
                f"{path}: no such file; expected {path.name} beside {other.name}."
            )
    with _opened(images, _IMAGES, np.uint8) as found:
        count = found.count
    with _opened(voxels, _VOXELS, np.bool_) as found:
        if found.count != count:
            raise FormatError(
                f"{voxels}: expected {count} grids, as many as objects in "
                f"{images.name}; got {found.count}."
            )
    return count


def read(folder: str, class_id: str, split: str) -> Iterator[examples.Example]:
    """Reads the objects of a class one by one, in our frame.

    Memory: one object at a time; the arrays stay on the disk.

    Args:
        folder: of the npz files.
        class_id: id of the class.
        split: "train", "validation" or "test".

    Yields:
        `Example`; objects are named CLASS/SPLIT/00017, since the files number them.

    Raises:
        FileNotFoundError, FormatError: as `count_objects`, damaged bytes, or pictures
            without an object or not on black (`examples.check_pictures`).
    """
    count = count_objects(folder, class_id, split)
    path = images_path(folder, class_id, split)
    images = _rows(path, _IMAGES, np.uint8)
    voxels = _rows(voxels_path(folder, class_id, split), _VOXELS, np.bool_)
    for number, image, grid in zip(range(count), images, voxels, strict=True):
        pictures = np.ascontiguousarray(np.moveaxis(image, 1, -1))
        examples.check_pictures(pictures, str(path), f"object {number}")
        yield examples.Example(
            pictures,
            np.ascontiguousarray(voxels_to_ours(grid)),
            class_id,
            f"{class_id}/{SPLITS[split]}/{number:05d}",
        )


class _Rows(NamedTuple):
    """The array of an npz file, opened behind its header."""

    count: int
    stream: IO[bytes]


@contextlib.contextmanager
def _opened(path: pathlib.Path, shape: tuple, dtype) -> Iterator[_Rows]:
    """Opens the single array of a file and checks its header."""
    want = f"{np.dtype(dtype)} (N, {', '.join(map(str, shape))})"
    try:
        archive = zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        raise FormatError(f"{path}: expected an npz file; {error}.") from error
    with archive:
        members = archive.namelist()
        if len(members) != 1:
            raise FormatError(
                f"{path}: expected one array; got {len(members)} "
                f"({', '.join(members[:4])})."
            )
        try:
            stream = archive.open(members[0])
            version = np.lib.format.read_magic(stream)
            known = np.lib.format.read_array_header_1_0
            if version != (1, 0):
                known = np.lib.format.read_array_header_2_0
            found, by_column, kind = known(stream)
        except _DAMAGE as error:
            raise FormatError(
                f"{path}: expected an npz file of one array; {first_line(error)}."
            ) from error
        text = f"{kind} {found}" if kind.kind != "O" else "pickled Python objects"
        if (
            kind != dtype
            or found[1:] != shape
            or not found
            or by_column
            or not found[0]
        ):
            order = " in column order" if by_column else ""
            raise FormatError(f"{path}: expected {want}; got {text}{order}.")
        yield _Rows(found[0], stream)


def _rows(path: pathlib.Path, shape: tuple, dtype) -> Iterator[np.ndarray]:
    """The entries of the array of a file, one by one."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    with _opened(path, shape, dtype) as found:
        for number in range(found.count):
            try:
                data = found.stream.read(size)
            except _DAMAGE as error:
                raise FormatError(
                    f"{path}: entry {number} is damaged; {first_line(error)}."
                ) from error
            if len(data) != size:
                raise FormatError(
                    f"{path}: expected {found.count} entries; it ends in {number}."
                )
            yield np.frombuffer(data, dtype).reshape(shape)


def convert(
    folder: str,
    output: str,
    classes: Sequence[str] | None = None,
    splits: Sequence[str] | None = None,
    shard_records: int = 128,
    *,
    overwrite: bool = False,
    report: Callable[[], Any] | None = None,
) -> list[records.Split]:
    """Writes the published files as our records.

    Args:
        folder: of the npz files.
        output: folder of the records.
        classes: ids or names; None is all that are there.
        splits: ours ("train", "validation", "test"); None is all that are there.
        shard_records: most records in one shard.
        overwrite: replace finished splits.
        report: called before each object is written.

    Returns:
        What was written, a split each.

    Raises:
        FileNotFoundError: no such folder or file.
        FormatError: as `read`.
        ValueError: a class that is not there, or a split that exists; told before
            anything is written.
    """
    plan = conversion_plan(folder, classes, splits)
    for split in plan:
        sidecar = sidecar_path(output, split)
        if sidecar.exists() and not overwrite:
            raise ValueError(f"{sidecar}: the split exists; pass overwrite.")
    written = []
    for split, counts in plan.items():
        with records.RecordWriter(
            output, split, shard_records, examples.SCHEMA, overwrite=overwrite
        ) as writer:
            names = []
            for class_id in counts:
                for item in read(folder, class_id, split):
                    if report:
                        report()
                    writer.write(examples.encode_example(*item))
                    names.append(item.object_id)
            writer.metadata["source"] = str(folder)
            writer.metadata["objects"] = names
            writer.metadata["classes"] = sorted(counts)
        written.append(records.read_split(output, split, examples.SCHEMA))
    return written


def conversion_plan(
    folder: str,
    classes: Sequence[str] | None = None,
    splits: Sequence[str] | None = None,
) -> dict[str, dict[str, int]]:
    """What `convert` would read; every header is checked.

    Args:
        folder: of the npz files.
        classes: as `convert`.
        splits: as `convert`.

    Returns:
        split -> class id -> number of objects.

    Raises:
        FileNotFoundError, FormatError, ValueError: as `convert`.
    """
    if not pathlib.Path(folder).is_dir():
        raise FileNotFoundError(f"{folder}: no such folder of npz files.")
    for split in splits or ():
        checks.one_of("split", split, SPLITS)
    there = {split: classes_in(folder, split) for split in splits or SPLITS}
    if not any(there.values()):
        theirs = ", ".join(SPLITS[split] for split in there)
        raise FileNotFoundError(
            f"{folder}: expected CLASS_SPLIT_images.npz, SPLIT out of {theirs}; found "
            "none."
        )
    plan = {}
    for split, found in there.items():
        if not found and splits is None:
            continue
        try:
            chosen = found if classes is None else views.find_classes(classes, found)
        except ValueError as error:
            raise ValueError(f"{folder}: split {SPLITS[split]}: {error}") from error
        if not chosen:
            raise FileNotFoundError(f"{folder}: no CLASS_{SPLITS[split]}_images.npz.")
        plan[split] = {c: count_objects(folder, c, split) for c in chosen}
    return plan


def write(
    folder: str,
    class_id: str,
    split: str,
    images: Sequence[np.ndarray],
    voxels: Sequence[np.ndarray],
) -> None:
    """Writes the two files of a class; inverse of `read`, but for the names.

    Memory: 0.4 MB an object.

    Args:
        folder: of the npz files; made when it does not exist.
        class_id: id of the class.
        split: "train", "validation" or "test".
        images: uint8 [24, 64, 64, 4] RGBA on black each.
        voxels: bool [32, 32, 32] each, in our frame.
    """
    pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
    stored = np.moveaxis(np.stack(images), -1, 2)
    with io.write_file(images_path(folder, class_id, split)) as file:
        np.savez_compressed(file, stored)
    with io.write_file(voxels_path(folder, class_id, split)) as file:
        np.savez_compressed(file, voxels_from_ours(np.stack(voxels)))
