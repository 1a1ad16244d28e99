"""Model cards: what a model is, what it was trained on, how good it is, as Markdown."""

import platform
from collections.abc import Mapping, Sequence

from tfrender import io

Section = str | Mapping[str, object] | Sequence[Mapping[str, object]]


def write_card(path: str, title: str, sections: Mapping[str, Section]) -> None:
    """Writes a model card; either the whole file appears or none.

    Args:
        path: Markdown file.
        title: heading of the card.
        sections: heading -> text, a dict (two columns), or a list of dicts with the
            same keys (a table). Empty sections are left out.
    """
    with io.write_file(path, "w") as file:
        file.write(render_card(title, sections))


def render_card(title: str, sections: Mapping[str, Section]) -> str:
    """Markdown of a model card; see `write_card`."""
    parts = [f"# {title}"]
    for heading, body in sections.items():
        if not body:
            continue
        parts.append(f"## {heading}")
        if isinstance(body, str):
            parts.append(body.strip("\n"))
        elif isinstance(body, Mapping):
            rows = [[f"`{key}`", _cell(value)] for key, value in body.items()]
            parts.append(_table(["", ""], rows))
        else:
            names = list(body[0])
            for row in body:
                if list(row) != names:
                    raise ValueError(
                        f"rows of section {heading!r} must have the columns {names}; "
                        f"got {list(row)}."
                    )
            parts.append(
                _table(names, [[_cell(row[n]) for n in names] for row in body])
            )
    return "\n\n".join(parts) + "\n"


def replace_section(path: str, heading: str, text: str) -> None:
    """Writes a section of an existing card, in place of an older one of that name.

    Args:
        path: Markdown file; rewritten as a whole.
        heading: of the section, without number signs.
        text: Markdown below the heading.
    """
    with open(path, encoding="utf-8") as file:
        title, *sections = file.read().split("\n## ")
    kept = [s.strip("\n") for s in sections if s.split("\n", 1)[0] != heading]
    body = text.strip("\n").rstrip()
    kept.append(f"{heading}\n\n{body}")
    with io.write_file(path, "w") as file:
        file.write("\n\n## ".join([title.strip("\n"), *kept]) + "\n")


def versions() -> dict[str, str]:
    """Versions of what computed a model, for its card."""
    import keras
    import tensorflow as tf

    import tfrender

    return {
        "tfrender": tfrender.__version__,
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "python": platform.python_version(),
    }


def _table(names: list[str], rows: list[list[str]]) -> str:
    lines = [names, ["---"] * len(names), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: object) -> str:
    text = f"{value:.5g}" if isinstance(value, float) else str(value)
    return " ".join(text.split()).replace("|", "\\|")
