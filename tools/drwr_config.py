"""Reads YAML configurations of the original DRWR, or of DPC, and checks every key.

`tools.drwr_config_keys` lists the keys, `tools.drwr_flag_file` writes what becomes of
them.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from tfrender.io import FormatError
from tools import config_keys, yaml_config
from tools.drwr_config_keys import DPC, KEYS, PARENT, SPELLINGS


def read_config(
    path: str, changes: Iterable[str] = (), dpc: bool = False
) -> tuple[dict[str, Any], frozenset[str]]:
    """Reads a configuration with those that its `config` names, and checks all of it.

    Args:
        path: YAML file of the original: names and values, no sections.
        changes: texts NAME=VALUE that replace what the files say.
        dpc: keys that nobody gives have the values of DPC's published runs.

    Returns:
        name -> value for every key of `KEYS`, and the names that are given.

    Raises:
        FileNotFoundError, LimitError, FormatError: naming file and key.
    """
    entries = {}
    for name, entry in yaml_config.read(path, (), PARENT).items():
        known = SPELLINGS.get(name, name)
        if known in entries:
            raise FormatError(f"{entry.where}: {known!r} is given too; both are one.")
        entries[known] = entry
    replaced = config_keys.changes(changes, KEYS)
    if PARENT in replaced:
        raise FormatError(
            f"{replaced[PARENT].where}: expected a key other than the files; give the "
            "file as --config."
        )
    config = {}
    for name, entry in {**entries, **replaced}.items():
        if name not in KEYS:
            raise yaml_config.unknown_key(entry, KEYS)
        config[name] = config_keys.checked(entry, KEYS[name])
    given = frozenset(config)
    defaults = {name: key.default for name, key in KEYS.items()} | (DPC if dpc else {})
    config = {**defaults, **config}
    start, end = (config[f"pc_point_dropout_{name}_step"] for name in ("start", "end"))
    if start >= end:
        raise FormatError(
            f"{path}: expected 'pc_point_dropout_start_step' below "
            f"'pc_point_dropout_end_step'; got {start:g} and {end:g}."
        )
    return config, given


def notes(config: Mapping[str, Any], given: frozenset[str]) -> list[str]:
    """What of a configuration has no effect here, one line for each key.

    Args:
        config: see `read_config`.
        given: see `read_config`.

    Returns:
        texts, for keys whose value is not the default and that have no flag.
    """
    found = []
    for name, key in KEYS.items():
        if name in given and not key.flag and config[name] != key.default:
            value = yaml_config.shown(config[name])
            found.append(f"{name!r}, {value}, is ignored: {key.about}.")
    return found
