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
            named = [(root.stem, root)]
        elif root.is_dir():
            named = [
                ("__".join(path.relative_to(root).with_suffix("").parts), path)
                for path in sorted(root.rglob("*"))
                if path.suffix.lower() in io.MESH_SUFFIXES
            ]
        else:
            raise FileNotFoundError(f"{text}: no such file or folder.")
        if not named:
            raise FileNotFoundError(
                f"{text}: no mesh; expected {', '.join(io.MESH_SUFFIXES)}."
            )
        for name, path in named:
            if found.setdefault(name, path) != path:
                raise ValueError(f"{found[name]} and {path} are both called {name}.")
    return dict(sorted(found.items()))
