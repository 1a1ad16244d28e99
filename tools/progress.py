"""A progress bar for programs that walk over a list."""

import sys
import time
from collections.abc import Collection, Iterator
from typing import TypeVar

Item = TypeVar("Item")
_LINE_SECONDS = 10.0  # between lines where there is no terminal


def bar(items: Collection[Item], title: str, stream=None) -> Iterator[Item]:
    """Yields the items and shows how far it is: a bar, or lines without a terminal.

    Args:
        items: anything with a length.
        title: what is being done.
        stream: text file; None is standard error.

    Yields:
        The items.
    """
    stream = stream or sys.stderr
    terminal = stream.isatty()
    start = shown = time.monotonic()
    total = len(items)
    for done, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        left = (now - start) / done * (total - done)
        text = f"{title} {done}/{total}, {left:.0f} s left"
        if terminal:
            stream.write(f"\r{text:<60}")
            stream.flush()
        elif now - shown >= _LINE_SECONDS or done == total:
            shown = now
            stream.write(text + "\n")
            stream.flush()
    if terminal:
        stream.write("\n")
