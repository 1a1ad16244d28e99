"""Shared start of every program: flags parsed, a user's mistake told in one line."""

import sys
from collections.abc import Callable

from absl import app


def run(main: Callable[..., None], positional: int = 0) -> None:
    """Runs `main` as an absl program.

    Args:
        main: function; reads absl flags.
        positional: how many words without dashes it takes, as its arguments.

    Raises:
        SystemExit: 0 on success, 1 with one line on stderr for bad input.
    """

    def start(argv):
        # absl reads `steps=7` (no dashes) as a positional argument, in flag files
        # too, and would ignore it in silence.
        words = argv[1:]
        if len(words) > positional:
            raise app.UsageError(
                f"unexpected argument {words[positional]!r}; flags start with --"
            )
        if len(words) < positional:
            raise app.UsageError(f"expected {positional} argument(s); see --help")
        try:
            main(*words)
        except (ValueError, OSError) as error:
            sys.exit(f"error: {describe(error)}")

    app.run(start)


def describe(error: Exception) -> str:
    """One line for an exception: its first line, or its type where it has no text."""
    text = str(error).strip().splitlines()
    return text[0] if text else type(error).__name__
