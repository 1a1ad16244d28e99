"""Shared start of every program: flags parsed, a user's mistake told in one line.

And the checks that outputs can be written, made before the work.
"""

import os
import pathlib
import sys
import tempfile
from collections.abc import Callable, Sequence

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
    """One line for an exception: its first line, or its type where it has no text.

    An error of a traced function carries the whole trace in its text; the last line of
    that is the error itself, behind the name of its type.
    """
    text = str(error).strip().splitlines()
    if not text:
        return type(error).__name__
    if text[0] == "in user code:":
        return text[-1].strip().split(": ", 1)[-1]
    return text[0]


def check_output_file(
    path: str | os.PathLike,
    suffixes: Sequence[str],
    label: str | None = None,
    *,
    make_folder: bool = False,
) -> None:
    """Refuses, before minutes of work, a file that cannot be written.

    Args:
        path: the file.
        suffixes: accepted ones, lower case.
        label: what messages begin with, such as the flag; None is the path.
        make_folder: True where the program makes the file's folder; otherwise a
            missing one is taken for a mistake.

    Raises:
        ValueError: another suffix.
        OSError: a folder of that name, no such folder, or one where nothing can be
            written.
    """
    path = pathlib.Path(path)
    label = label or str(path)
    if path.suffix.lower() not in suffixes:
        raise ValueError(
            f"{label}: expected a name that ends in {' or '.join(suffixes)}; got "
            f"{str(path)!r}."
        )
    if path.is_dir():
        raise IsADirectoryError(f"{label}: expected a file; {path} is a folder.")
    folder = path.absolute().parent
    if not make_folder and not folder.exists():
        raise FileNotFoundError(f"{label}: there is no folder {folder}.")
    check_output_folder(folder, label)


def check_output_folder(path: str | os.PathLike, label: str | None = None) -> None:
    """Refuses, before minutes of work, a folder that cannot be made or written into.

    Args:
        path: the folder; it and those above it may be missing.
        label: what messages begin with, such as the flag; None is the path.

    Raises:
        OSError: a file of that name or above, or a place where nothing can be written.
    """
    label, folder = label or str(path), pathlib.Path(path).absolute()
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir():
        raise NotADirectoryError(f"{label}: {folder} is a file; expected a folder.")
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise PermissionError(
            f"{label}: cannot write into {folder} ({error.strerror})."
        ) from error
