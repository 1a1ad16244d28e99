"""The folder of a run: one process at a time, one set of flags, nothing foreign."""

import contextlib
import fcntl
import os
import pathlib
import shutil
import socket
from collections.abc import Iterator

from datasets import records
from trainers import exporting
from trainers.checkpoints import holds_any, write_text
from trainers.errors import TrainingError
from trainers.flags import Settings, parse_lines

# What a run writes; --overwrite deletes these and nothing else.
_OWN = ("checkpoints", "log", "images", "saved_model", "flags.cfg", "metrics.jsonl")
# Patterns of what a run makes under another name first; kill -9 leaves those.
_MADE = ("saved_model", "flags.cfg", "metrics.jsonl", "bad-batch-*.npz", "images/*.png")
_LOCK = "lock"
_DATA = "# data "  # comment line of flags.cfg with the fingerprint of the data


@contextlib.contextmanager
def claimed(settings: Settings, chief: bool = True) -> Iterator[pathlib.Path]:
    """Claims OUTPUT_DIR for the time of the `with` block.

    Args:
        settings: of the run that wants it.
        chief: False only names the folder; the chief of the run claims it.

    Yields:
        the folder.

    Raises:
        TrainingError: another process runs there, or the folder holds another run.
    """
    folder = pathlib.Path(settings.output_dir)
    if not chief:
        yield folder
        return
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        for pattern in _MADE:
            records.remove_abandoned(folder, pattern)
        data = f"{_DATA}{records.fingerprint(settings.data_dir)}"
        _settle(folder, settings, data)
        header = [f"# {exporting.command()}".replace("\n", " "), data]
        lines = [*header, *settings.lines()]
        write_text(folder / "flags.cfg", "\n".join(lines) + "\n")
        yield folder


@contextlib.contextmanager
def _locked(folder: pathlib.Path) -> Iterator[None]:
    """Holds an advisory lock, which the system frees when the process dies."""
    path = folder / _LOCK
    with open(path, "a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise TrainingError(
                f"{folder}: another run is at work there ({file.read().strip()})."
            ) from error
        file.truncate(0)
        file.write(f"pid {os.getpid()} on {socket.gethostname()}\n")
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)  # removing it would let two later runs lock two files


def _settle(folder: pathlib.Path, settings: Settings, data: str) -> None:
    """Decides between a fresh start, a continuation and a refusal."""
    flags_path = folder / "flags.cfg"
    held = sorted(path.name for path in folder.iterdir() if path.name != _LOCK)
    if settings.overwrite:
        for name in _OWN:
            path = folder / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        return
    if not held:
        return
    if not flags_path.exists():
        raise TrainingError(
            f"{folder}: holds {held[:5]} but no flags.cfg, so it is no run; name "
            "another folder, or pass --overwrite."
        )
    if not holds_any(folder / "checkpoints"):
        return  # a run that never saved: nothing to continue, nothing to lose
    if not settings.resume:
        raise TrainingError(
            f"{folder}: holds a run; pass --resume to continue it or --overwrite to "
            "delete it."
        )
    lines = flags_path.read_text(encoding="utf-8").splitlines()
    stored = parse_lines(lines)
    found = settings.differences(stored)
    if found:
        raise TrainingError(
            f"{folder}: holds a run with other flags ({'; '.join(found)}); give the "
            "same flags, another folder, or --overwrite."
        )
    if any(line.startswith(_DATA) and line != data for line in lines):
        print(
            f"warning: {settings.data_dir} changed since this run began; weights and "
            "step are kept, the order of the examples is another one",
            flush=True,
        )
    for change in settings.changes(stored):
        print(f"continuing with a changed flag: {change}", flush=True)
