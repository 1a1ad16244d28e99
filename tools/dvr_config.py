"""Reads YAML configurations of the original DVR and checks every key.

`tools.dvr_config_keys` lists the keys, `tools.dvr_flag_file` writes what becomes of
them.
"""

import math
from collections.abc import Mapping
from typing import Any

from tfrender.io import FormatError
from tools import yaml_config
from tools.dvr_config_keys import KEYS, SECTIONS, Key

_KINDS = {
    "path": "a name or path",
    "text": "a text",
    "flag": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "texts": "a list of texts",
    "integers": "a list of whole numbers",
    "numbers": "a list of numbers",
}


def read_config(path: str) -> tuple[dict[str, Any], frozenset[str]]:
    """Reads a configuration with those that it inherits from, and checks all of it.

    Args:
        path: YAML file of the original.

    Returns:
        dotted name -> value for every key of `KEYS`, and the names that a file gives.

    Raises:
        FileNotFoundError, LimitError, FormatError: naming file and key.
    """
    entries = yaml_config.read(path, SECTIONS)
    config = {}
    for name, entry in entries.items():
        if name not in KEYS:
            raise yaml_config.unknown_key(entry, [*KEYS, yaml_config.PARENT])
        config[name] = _checked(entry, KEYS[name])
    given = frozenset(config)
    config = {name: config.get(name, key.default) for name, key in KEYS.items()}
    _check_together(config, path)
    return config, given


def _check_together(config, path: str) -> None:
    """What no key tells alone."""
    kind, size = encoder(config), config["model.c_dim"]
    if (kind == "none") != (size == 0):
        raise FormatError(
            f"{path}: 'model.c_dim' must be 0 without 'model.encoder' and above 0 with "
            f"one; got {size} and {kind!r}."
        )
    hull, weight = config["data.depth_from_visual_hull"], config["model.lambda_depth"]
    if hull and weight:
        raise FormatError(
            f"{path}: expected 'data.depth_from_visual_hull' or 'model.lambda_depth'; "
            "got both, and one would hide the other."
        )


def _checked(entry: yaml_config.Entry, key: Key):
    """The value of a key, converted; or FormatError."""
    value = entry.value
    if value is False and key.values is not None and "off" in key.values:
        value = "off"  # which YAML takes for a truth value
    if value is None and key.optional:
        return None
    found = _list(value, key.kind) if key.kind[-1] == "s" else _one(value, key.kind)
    if found is None:
        raise FormatError(
            f"{entry.where}: expected {_KINDS[key.kind]}; got "
            f"{yaml_config.shown(value)}."
        )
    many = found if isinstance(found, list) else [found]
    if key.length is not None and len(many) != key.length:
        raise FormatError(
            f"{entry.where}: expected {key.length} values; got {len(many)}."
        )
    if key.values is not None and found not in key.values:
        known = ", ".join(str(v) if v is not None else "null" for v in key.values)
        raise FormatError(
            f"{entry.where}: expected {known}; got {yaml_config.shown(value)}."
        )
    for number in many:
        in_range = isinstance(number, str) or key.low <= number <= key.high
        if not in_range:
            raise FormatError(
                f"{entry.where}: expected a value in [{key.low:g}, {key.high:g}]; got "
                f"{number:g}."
            )
    return found


def _list(value, kind: str):
    """A list of the kind, or None."""
    if not isinstance(value, list):
        return None
    found = [_one(item, {"texts": "path"}.get(kind, kind[:-1])) for item in value]
    return None if None in found else found


def _one(value, kind: str):
    """The value as this kind, or None where it is of another."""
    if kind == "flag":
        return value if isinstance(value, bool) else None
    if kind in ("path", "text"):
        # A flag file has no quotes: what it cannot hold is no value.
        plain = isinstance(value, str) and value == value.strip() and value != ""
        plain = plain and value.isprintable() and not set(value) & set("#\"',")
        return value if plain else None
    if isinstance(value, str):  # PyYAML reads 1e-4 as a text
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not math.isfinite(value):
        return None
    if kind == "number":
        return float(value)
    return int(value) if value == int(value) else None


def encoder(config: Mapping[str, Any], legacy: bool = False) -> str:
    """What makes the code, out of data.input_type and model.encoder.

    Args:
        config: see `read_config`.
        legacy: what the original builds, which knows no ResNet-101.

    Returns:
        Value of the flag --encoder.
    """
    source = config["data.input_type"]
    if source != "image":
        return KEYS["data.input_type"].values[source]
    kind = KEYS["model.encoder"].values[config["model.encoder"]]
    return "resnet50" if legacy and kind == "resnet101" else kind
