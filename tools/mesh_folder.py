"""Finds the meshes that a user names, and gives each object its name."""

import pathlib
from collections.abc import Iterable

from tfrender import io


def find_meshes(inputs: Iterable[str]) -> dict[str, pathlib.Path]:
    """Meshes below some folders.

    Args:
        inputs: mesh files, or folders that are searched with their sub-folders.

    Returns:
        object name -> file, sorted by name. The name is the path below its folder
        without suffix, joined by two underscores: chair/thonet.obj is chair__thonet.

    Raises:
        FileNotFoundError: no such file or folder, or a folder without meshes.
        ValueError: two meshes have one name.
    """
    found: dict[str, pathlib.Path] = {}
    for text in inputs:
        root = pathlib.Path(text)
        if root.is_file():
            paths = {root.stem: root}
        elif root.is_dir():
            paths = {
                "__".join(p.relative_to(root).with_suffix("").parts): p
                for p in sorted(root.rglob("*"))
                if p.suffix.lower() in io.MESH_SUFFIXES
            }
        else:
            raise FileNotFoundError(f"{text}: no such file or folder.")
        if not paths:
            raise FileNotFoundError(
                f"{text}: no mesh; expected {', '.join(io.MESH_SUFFIXES)}."
            )
        twice = sorted(set(paths) & set(found))
        if twice:
            raise ValueError(f"{found[twice[0]]} and {paths[twice[0]]} have one name.")
        found.update(paths)
    return dict(sorted(found.items()))
