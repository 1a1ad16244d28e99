"""JSON configurations of the original RenderNet, as flags of `trainers.rendernet`.

Unknown keys, keys given twice and values of another type are refused. Keys that the
file leaves out take the values that the original documents.
"""

import difflib
import json
import math
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from tfrender.io import FormatError, LimitError
from tools import cli

_LARGEST_FILE = 2**20


class Key(NamedTuple):
    """A key of the original's configuration.

    Attributes:
        flag: flag of `trainers.rendernet`.
        kind: "path", "text", "flag", "integer" or "number".
        about: comment for the flag file.
        low: smallest value of a number.
        high: largest value of a number.
        documented: value where the file leaves the key out; None has none.
        needed: the file must hold it.
    """

    flag: str
    kind: str
    about: str
    low: float = 0.0
    high: float = math.inf
    documented: Any = None
    needed: bool = False


KEYS: Mapping[str, Key] = {
    "image_path": Key(
        "image_path", "path", "Training pictures: tar or folder.", needed=True
    ),
    "image_path_valid": Key(
        "image_path_valid", "path", "Held-out pictures: tar or folder.", needed=True
    ),
    "model_path": Key("model_path", "path", "Folder of binvox models.", needed=True),
    "is_greyscale": Key(
        "is_greyscale",
        "flag",
        "Grey pictures and cross entropy, or normal maps and squared error.",
        needed=True,
    ),
    "gpu": Key("gpu", "integer", "Number of the GPU to use."),
    "batch_size": Key("batch_size", "integer", "Examples a step.", 1, documented=24),
    "batches_chunk": Key(
        "batches_chunk", "integer", "Batches prepared ahead of the trainer.", 1
    ),
    "max_epochs": Key("max_epochs", "number", "Length in epochs.", documented=20),
    "threshold": Key(
        "threshold", "number", "Voxels above it count as full.", 0, 1, documented=0.1
    ),
    "e_eta": Key("e_eta", "number", "First learning rate.", high=1e6, documented=1e-5),
    "keep_prob": Key(
        "keep_prob", "number", "Share that dropout keeps.", 0.01, 1, documented=0.75
    ),
    "decay_steps": Key("decay_steps", "integer", "Updates between decays by 0.96.", 1),
    "trained_model_name": Key(
        "trained_model_name", "text", "Title of the model card.", documented="RenderNet"
    ),
    "sample_save": Key("sample_save", "path", "Folder of the run.", needed=True),
    "checkpoint_secs": Key(
        "checkpoint_secs", "integer", "Seconds between saves.", documented=7200
    ),
}
# The documentation of the original and its file spell this key differently.
_ALIASES = {"check_point_secs": "checkpoint_secs"}
_OTHER_SYSTEMS = {
    "texture": ("normal_path", "texture_path"),
    "reconstruction": (
        *("target_normal", "target_albedo", "weight_dir", "weight_dir_decoder"),
        *("target_azimuth_light", "target_elevation_light", "z_dim", "inner_step"),
        *("shape_eta", "pose_eta", "tex_eta", "light_eta"),
    ),
}
_KINDS = {
    "path": "a path",
    "text": "a text",
    "flag": '"True" or "False"',
    "integer": "a whole number",
    "number": "a number",
}


def read_config(path: str) -> dict[str, Any]:
    """Reads a configuration and checks its keys and values.

    Args:
        path: JSON file.

    Returns:
        key of `KEYS` -> value, of the right type and range.

    Raises:
        FileNotFoundError, LimitError, FormatError: naming file and key.
    """
    file = pathlib.Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"--config: no such file: {path!r}.")
    if file.stat().st_size > _LARGEST_FILE:
        raise LimitError(f"{path}: expected at most {_LARGEST_FILE} bytes.")
    try:
        entries = json.loads(
            file.read_bytes().decode("utf-8-sig"),
            object_pairs_hook=_Pairs,
            parse_constant=_no_constant,
        )
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path}: expected JSON; {cli.describe(error)}.") from error
    if not isinstance(entries, _Pairs):
        raise FormatError(f"{path}: expected one JSON object of keys and values.")
    config: dict[str, Any] = {}
    for name, value in entries:
        key = _known(name, path)
        if key in config:
            raise FormatError(f"{path}: {name!r} is given twice.")
        config[key] = _checked(value, KEYS[key], f"{path}: {name!r}")
    missing = [name for name, key in KEYS.items() if key.needed and name not in config]
    if missing:
        raise FormatError(f"{path}: expected the key {missing[0]!r}; found none.")
    return config


class _Pairs(list):
    """The entries of a JSON object; a dict would hide a key given twice."""


def _no_constant(text: str):
    raise ValueError(f"found {text}, which is no JSON")


def _known(name: str, path: str) -> str:
    """The key's own spelling, or an error that helps."""
    key = _ALIASES.get(name, name)
    if key in KEYS:
        return key
    for system, names in _OTHER_SYSTEMS.items():
        if name in names:
            raise FormatError(
                f"{path}: {name!r} belongs to the {system} system, whose training is "
                "not built yet; only the shader's configuration can be imported."
            )
    close = difflib.get_close_matches(name, [*KEYS, *_ALIASES], n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(KEYS)}."
    raise FormatError(f"{path}: unknown key {name[:60]!r}; {hint}")


def _checked(value: Any, key: Key, where: str) -> Any:
    """The value, converted; or FormatError."""
    found = _converted(value, key.kind)
    if found is None:
        shown = json.dumps(value)[:60] if not isinstance(value, _Pairs) else "{...}"
        raise FormatError(f"{where}: expected {_KINDS[key.kind]}; got {shown}.")
    if key.kind in ("integer", "number") and not key.low <= found <= key.high:
        raise FormatError(
            f"{where}: expected a value in [{key.low:g}, {key.high:g}]; got {found:g}."
        )
    return found


def _converted(value: Any, kind: str) -> Any:
    """The value as this kind, or None where it is of another."""
    if kind == "flag":  # the original compares a text, in lower case
        text = str(value).lower() if isinstance(value, bool | str) else ""
        return {"true": True, "false": False}.get(text)
    if kind in ("path", "text"):
        # A flag file has no quotes: what it cannot hold is no value.
        plain = isinstance(value, str) and value == value.strip() and value != ""
        banned = "#\"'" if kind == "path" else ""
        plain = plain and value.isprintable() and not set(value) & set(banned)
        return value if plain else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not math.isfinite(value):
        return None
    if kind == "number":
        return float(value)
    return int(value) if value == int(value) else None


def flag_lines(config: Mapping[str, Any], source: str, preset: str) -> list[str]:
    """Lines of a flag file.

    Args:
        config: see `read_config`.
        source: name of the JSON file.
        preset: size of the model.

    Returns:
        lines, a comment above each flag.
    """
    lines = [
        "# python -m trainers.rendernet --flagfile=THIS_FILE",
        f"# Made from {source!r} by tools.import_config.",
        "",
        "# Size of the network; the original has one, paper.",
        f"--preset={preset}",
    ]
    for name, key in KEYS.items():
        value = config.get(name, key.documented)
        if value is None:
            continue
        note = "" if name in config else " Not in the file; the documented value."
        text = str(value).lower() if isinstance(value, bool) else f"{value}"
        lines += [f"# {key.about}{note}", f"--{key.flag}={text}"]
    return lines
