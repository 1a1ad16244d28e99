"""Finds the golden cases: arrays made by running the original systems.

TFRENDER_GOLDEN_DIR names the parent of the system folders; other cases of the same form
may be put there, so no test may hard-code a name, a size or a seed. A case is known by
the arrays that it holds, not by the name of its file.
"""

import fnmatch
import functools
import json
import os
import pathlib

import numpy as np

DEFAULT = pathlib.Path(__file__).parent / "data"


def holding(system: str, *patterns: str) -> list[pathlib.Path]:
    """Cases of a system that hold an array (or entry) for each pattern.

    Our own folder must hold one, or the test would be empty; a folder that somebody
    else names may hold what it likes.
    """
    other = os.environ.get("TFRENDER_GOLDEN_DIR")
    folder = pathlib.Path(other or DEFAULT) / system
    found = [
        path
        for path in sorted([*folder.rglob("*.npz"), *folder.rglob("*.json")])
        if all(fnmatch.filter(_names(path), pattern) for pattern in patterns)
    ]
    if not found and not other:
        raise FileNotFoundError(f"no golden case in {folder} holds {patterns}")
    return found


def everything(system: str) -> set[pathlib.Path]:
    """All cases of a system."""
    return set(holding(system, "*"))


def load(path: pathlib.Path) -> dict:
    """Arrays of an npz file, or the content of a json file."""
    if path.suffix == ".json":
        return json.loads(path.read_text())
    with np.load(path) as archive:
        return {name: archive[name] for name in archive.files}


def name_of(path: pathlib.Path) -> str:
    """Test id of a case."""
    return "-".join(path.with_suffix("").parts[-2:])


@functools.cache
def _names(path: pathlib.Path) -> list[str]:
    """Names of the arrays of a case."""
    if path.suffix == ".json":
        return list(json.loads(path.read_text()))
    with np.load(path) as archive:
        return archive.files
