"""Finds the golden cases: arrays made by running the original systems.

TFRENDER_GOLDEN_DIR names the parent of the system folders; other cases of the same
form may be put there, so no test may hard-code a name, a size or a seed.
"""

import json
import os
import pathlib

import numpy as np

DEFAULT = pathlib.Path(__file__).parent / "data"


def files(system: str, pattern: str) -> list[pathlib.Path]:
    """Files of a system that match a pattern; at least one, or the set is broken."""
    folder = pathlib.Path(os.environ.get("TFRENDER_GOLDEN_DIR", DEFAULT)) / system
    found = sorted(folder.glob(pattern))
    if not found:
        raise FileNotFoundError(f"no golden file matches {folder / pattern}")
    return found


def load(path: pathlib.Path) -> dict:
    """Arrays of an npz file, or the content of a json file."""
    if path.suffix == ".json":
        return json.loads(path.read_text())
    with np.load(path) as archive:
        return {name: archive[name] for name in archive.files}


def name_of(path: pathlib.Path) -> str:
    """Test id of a case."""
    return path.stem
