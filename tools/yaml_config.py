"""YAML configurations that inherit from one another, read without surprises.

Plain values only. What PyYAML would pass over in silence is refused: keys given twice,
tags, aliases, a second document, anything but keys and values on top.
"""

import difflib
import pathlib
from collections.abc import Iterable
from typing import Any, NamedTuple

import yaml

from tfrender.io import FormatError, LimitError

PARENT = "inherit_from"
LARGEST_FILE = 2**20
_DEEPEST = 8  # levels of keys, of lists and of files


class Entry(NamedTuple):
    """A value and where it comes from.

    Attributes:
        value: text, number, truth value, None or a list of such.
        where: file and key, for messages.
    """

    value: Any
    where: str


def read(
    path: str, sections: Iterable[str], parent_key: str = PARENT
) -> dict[str, Entry]:
    """Reads a file and those that it inherits from.

    Sections are merged; any other value, lists too, replaces the inherited one. The
    inherited file is looked for from the current folder, as the originals do, then from
    the folder of the file and those above it.

    Args:
        path: YAML file.
        sections: dotted names of the keys that hold keys, such as "data".
        parent_key: name of the key that names the inherited file; null or an empty
            text names none.

    Returns:
        dotted name -> entry, ancestors first.

    Raises:
        FileNotFoundError: the file, or one that it inherits from.
        LimitError, FormatError: naming file and key or line.
    """
    return _read(pathlib.Path(path), frozenset(sections), parent_key, ())


def top(path: str) -> dict[str, Any]:
    """The keys of one file alone, by which systems are told apart.

    Args:
        path: YAML file.

    Returns:
        name -> value, sections as dict.

    Raises:
        FileNotFoundError, LimitError, FormatError: see `read`.
    """
    return _content(pathlib.Path(path))


def unknown_key(entry: Entry, known: Iterable[str]) -> FormatError:
    """The error for a key that nobody knows, with a suggestion.

    Args:
        entry: see `read`.
        known: dotted names.

    Returns:
        The error, to be raised.
    """
    known = list(known)
    file, _, name = entry.where.rpartition(": ")
    name = name.strip("'")
    close = difflib.get_close_matches(name, known, n=1)
    if not close:  # the right word in another section
        last = name.rpartition(".")[2]
        close = [other for other in known if other.rpartition(".")[2] == last][:1]
    hint = f"did you mean {close[0]!r}?" if close else "see configs/README.md."
    return FormatError(f"{file}: unknown key {name[:80]!r}; {hint}")


def _read(path: pathlib.Path, sections, parent_key, children) -> dict[str, Entry]:
    if path.resolve() in children:
        raise FormatError(f"{path}: inherits from itself through {parent_key}.")
    if len(children) >= _DEEPEST:
        raise LimitError(f"{path}: expected at most {_DEEPEST} levels of {parent_key}.")
    entries: dict[str, Entry] = {}
    _flatten(_content(path), "", str(path), sections, entries)
    parent = entries.pop(parent_key, None)
    if parent is None or parent.value in (None, ""):
        return entries
    file = _parent_file(path, parent)
    inherited = _read(file, sections, parent_key, (*children, path.resolve()))
    return {**inherited, **entries}


def _parent_file(path: pathlib.Path, entry: Entry) -> pathlib.Path:
    if not isinstance(entry.value, str) or not entry.value:
        raise FormatError(f"{entry.where}: expected a path; got {shown(entry.value)}.")
    folders = [pathlib.Path(), *path.resolve().parents]
    for folder in folders:
        if (folder / entry.value).is_file():
            return folder / entry.value
    raise FileNotFoundError(
        f"{entry.where}: no such file: {entry.value!r}, neither from the current "
        f"folder nor from {path.parent} and those above."
    )


def _content(path: pathlib.Path) -> dict:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file.")
    size = path.stat().st_size
    if size > LARGEST_FILE:
        raise LimitError(f"{path}: expected at most {LARGEST_FILE} bytes; got {size}.")
    try:
        text = path.read_bytes().decode("utf-8-sig")
        _check_events(text, path)
        loader = yaml.SafeLoader(text)
        try:
            node = loader.get_single_node()
            if not isinstance(node, yaml.MappingNode):
                raise FormatError(f"{path}: expected keys and values on top.")
            return _plain(loader, node, str(path))
        finally:
            loader.dispose()
    except (FormatError, LimitError):
        raise
    # Dates and the like may also be no dates.
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise FormatError(f"{path}: expected YAML; {_problem(error)}.") from error


def _check_events(text: str, path: pathlib.Path) -> None:
    """Refuses what the tree of nodes would no longer show."""
    documents = depth = 0
    for event in yaml.parse(text, yaml.SafeLoader):
        line = f"{path}: line {event.start_mark.line + 1}"
        if isinstance(event, yaml.AliasEvent):
            raise FormatError(f"{line}: expected plain values; got an alias.")
        if getattr(event, "tag", None) is not None:
            raise FormatError(f"{line}: expected plain values; got a tag.")
        documents += isinstance(event, yaml.DocumentStartEvent)
        if documents > 1:
            raise FormatError(f"{line}: expected one document; got a second one.")
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            raise LimitError(f"{line}: expected at most {_DEEPEST} levels.")


def _plain(loader, node, where: str):
    """A node as dict, list or value, as `yaml.safe_load` has it; no key twice."""
    if isinstance(node, yaml.SequenceNode):
        return [_plain(loader, item, where) for item in node.value]
    if not isinstance(node, yaml.MappingNode):
        return loader.construct_object(node)
    found = {}
    for key, value in node.value:
        line = f"{where}: line {key.start_mark.line + 1}"
        name = key.value if isinstance(key, yaml.ScalarNode) else None
        if name is None or not name.isprintable():
            raise FormatError(f"{line}: expected a name as key.")
        if name in found:
            raise FormatError(f"{line}: {name[:80]!r} is given twice.")
        found[name] = _plain(loader, value, where)
    return found


def _flatten(content: dict, prefix: str, path: str, sections, entries) -> None:
    for name, value in content.items():
        dotted, where = prefix + name, f"{path}: {prefix + name!r}"
        if dotted in sections:
            if value is None:
                continue
            if not isinstance(value, dict):
                raise FormatError(
                    f"{where}: expected keys and values; got {shown(value)}."
                )
            _flatten(value, f"{dotted}.", path, sections, entries)
        else:
            entries[dotted] = Entry(value, where)


def shown(value) -> str:
    """A value as a message shows it, in one short line.

    Args:
        value: see `Entry`.

    Returns:
        The text.
    """
    return " ".join(repr(value).split())[:60]


def _problem(error: Exception) -> str:
    """One line with the place of an error."""
    mark = getattr(error, "problem_mark", None)
    text = getattr(error, "problem", None) or str(error) or type(error).__name__
    line = f" in line {mark.line + 1}" if mark is not None else ""
    return f"{' '.join(text.split())[:160]}{line}"
