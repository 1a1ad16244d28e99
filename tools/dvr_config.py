"""Reads YAML configurations of the original DVR and checks every key.

`tools.dvr_config_keys` lists the keys, `tools.dvr_flag_file` writes what becomes of
them.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from tfrender.io import FormatError
from tools import config_keys, yaml_config
from tools.dvr_config_keys import KEYS, SECTIONS


def read_config(
    path: str, changes: Iterable[str] = ()
) -> tuple[dict[str, Any], frozenset[str]]:
    """Reads a configuration with those that it inherits from, and checks all of it.

    Args:
        path: YAML file of the original.
        changes: texts NAME=VALUE that replace what the files say.

    Returns:
        dotted name -> value for every key of `KEYS`, and the names that are given.

    Raises:
        FileNotFoundError, LimitError, FormatError: naming file and key.
    """
    entries = yaml_config.read(path, SECTIONS)
    entries |= config_keys.changes(changes, KEYS)
    config = {}
    for name, entry in entries.items():
        if name not in KEYS:
            raise yaml_config.unknown_key(entry, [*KEYS, yaml_config.PARENT])
        config[name] = config_keys.checked(entry, KEYS[name])
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
