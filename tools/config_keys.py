"""Keys of an original's YAML configuration, their values, and the flags they become.

Shared by the importers of DVR and DRWR: a table of keys, the check of a value against
its key, values given on the command line, and the texts of flags and commands.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from tfrender.io import FormatError
from tools.yaml_config import Entry, shown, unknown_key

NOWHERE = ""

_LARGEST = 1e300  # whole numbers beyond it are no floats
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


class Key(NamedTuple):
    """A key of an original's configuration.

    Attributes:
        kind: "path", "text", "flag", "integer", "number", or the last three in the
            plural: "texts", "integers", "numbers".
        default: value where no file gives the key.
        program: module whose flag it becomes; "" has none.
        flag: name of that flag; "" has none.
        about: comment for the flag file, or why there is no flag.
        optional: null is a value too.
        low: smallest number.
        high: largest number.
        length: of a list; None is any.
        values: accepted value -> text of the flag; None accepts all of the kind.
        read: False where the original holds the key and never reads it.
    """

    kind: str
    default: Any
    program: str
    flag: str
    about: str
    optional: bool = False
    low: float = -math.inf
    high: float = math.inf
    length: int | None = None
    values: Mapping[Any, str] | None = None
    read: bool = True


def count(default, program, flag, about, **more) -> Key:
    """A whole number, 1 or more unless `low` says otherwise; see `Key`."""
    bounds = {"low": 1, "high": 10**9}
    return Key("integer", default, program, flag, about, **{**bounds, **more})


def number(default, program, flag, about, low=0.0, high=1e6) -> Key:
    """A number, 0 or more unless `low` says otherwise; see `Key`."""
    return Key("number", default, program, flag, about, low=low, high=high)


def switch(default, program, flag, about, **more) -> Key:
    """True or false; see `Key`."""
    return Key("flag", default, program, flag, about, **more)


def path(default, program, flag, about, **more) -> Key:
    """A name or path; see `Key`."""
    return Key("path", default, program, flag, about, **more)


def word(default, program, flag, about, values) -> Key:
    """One of several texts; see `Key`."""
    optional = None in values
    return Key("text", default, program, flag, about, optional, values=values)


def unused(kind, default, why, **more) -> Key:
    """A key without a flag of ours; see `Key`."""
    return Key(kind, default, NOWHERE, "", why, **more)


def checked(entry: Entry, key: Key):
    """The value of a key, converted.

    Args:
        entry: value and place.
        key: what it must be.

    Returns:
        text, number, truth value, None or a list of such.

    Raises:
        FormatError: another type, or out of range; naming place, expected and found.
    """
    value = entry.value
    if value is False and key.values is not None and "off" in key.values:
        value = "off"  # which YAML takes for a truth value
    if value is None and key.optional:
        return None
    if type(value) is type(key.default) and value == key.default:
        return value  # the original's own, such as a path that is not given
    found = _list(value, key.kind) if key.kind[-1] == "s" else _one(value, key.kind)
    if found is None:
        digits = isinstance(value, int | float) and not isinstance(value, bool)
        quoted = " (a name of digits needs quotes)" * (
            digits and key.kind in ("path", "text")
        )
        raise FormatError(
            f"{entry.where}: expected {_KINDS[key.kind]}; got {shown(value)}{quoted}."
        )
    many = found if isinstance(found, list) else [found]
    if key.length is not None and len(many) != key.length:
        raise FormatError(
            f"{entry.where}: expected {key.length} values; got {len(many)}."
        )
    if key.values is not None and found not in key.values:
        known = ", ".join(str(v) if v is not None else "null" for v in key.values)
        raise FormatError(f"{entry.where}: expected {known}; got {shown(value)}.")
    for item in many:
        in_range = isinstance(item, str) or key.low <= item <= key.high
        if not in_range:
            raise FormatError(
                f"{entry.where}: expected a value in [{key.low:g}, {key.high:g}]; got "
                f"{item:g}."
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
    if abs(value) > _LARGEST or not math.isfinite(value):
        return None
    if kind == "number":
        return float(value)
    return int(value) if value == int(value) else None


def changes(texts: Iterable[str], keys: Mapping[str, Key]) -> dict[str, Entry]:
    """Values given on the command line as NAME=VALUE; NAME alone is NAME=true.

    Args:
        texts: of the flag --set.
        keys: name -> key.

    Returns:
        name -> entry, to be checked as those of a file.

    Raises:
        FormatError: unknown names, names given twice, texts without a name.
    """
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        entry = Entry(
            _typed(value, keys.get(name)) if equals else True, f"--set: {name!r}"
        )
        if not name:
            raise FormatError(f"--set: expected NAME=VALUE; got {shown(text)}.")
        if name not in keys:
            raise unknown_key(entry, keys)
        if name in found:
            raise FormatError(f"{entry.where} is given twice.")
        found[name] = entry
    return found


def _typed(text: str, key: Key | None):
    """A text of the command line as YAML would have had it for this key."""
    if key is None:
        return text
    if key.optional and text == "null":
        return None
    if key.kind == "flag":
        return {"true": True, "false": False}.get(text.lower(), text)
    if key.kind[-1] == "s":
        return [part.strip() for part in text.split(",") if part.strip()]
    return text


def flag_text(value, key: Key) -> str:
    """A value as its flag takes it; "" for null and empty lists."""
    if key.values is not None:
        return key.values[value]
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ",".join(flag_text(item, key) for item in value)
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def command_lines(words: list[str]) -> list[str]:
    """Comment lines of one command, broken behind 84 characters."""
    lines, line = [], "#     " + words[0]
    for word in words[1:]:
        if len(line) + len(word) > 84:
            lines.append(f"{line} \\")
            line = "#        "
        line += f" {word}"
    return [*lines, line]
