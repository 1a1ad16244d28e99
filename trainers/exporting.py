"""Export at the end of a run: a plain float32 model, a card, one visible rename."""

import contextlib
import os
import pathlib
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import tensorflow as tf

from datasets import records
from tfrender.export import card


@contextlib.contextmanager
def dtype_policy(name: str) -> Iterator[None]:
    """Sets the Keras dtype policy for the time of the `with` block."""
    old = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(old)


def export(
    experiment,
    settings,
    model: keras.Model,
    target: pathlib.Path,
    outcome: Mapping[str, Any],
) -> pathlib.Path:
    """Writes the SavedModel and its card, then makes both visible at once.

    Args:
        experiment: trainers.loop.Experiment.
        settings: trainers.flags.Settings.
        model: trained model, under any strategy and policy.
        target: folder to write; an older export there is replaced.
        outcome: "step", "devices" and held-out "metrics" of these weights.

    Returns:
        the folder.
    """
    aside = target.with_name(f"{target.name}.tmp-{os.getpid()}")
    shutil.rmtree(aside, ignore_errors=True)
    try:
        experiment.export(_plain(experiment, model), str(aside))
        card.write_card(
            str(aside / "model_card.md"),
            experiment.name,
            _sections(experiment, settings, model, outcome),
        )
        shutil.rmtree(target, ignore_errors=True)
        os.rename(aside, target)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return target


def _sections(experiment, settings, model, outcome) -> dict[str, Any]:
    """Sections of the card: the experiment's own, then figures, flags, versions."""
    return {
        **experiment.card(),
        f"Metrics on the held-out split `{experiment.test_split}`": outcome["metrics"],
        "Training": {
            "steps": outcome["step"],
            "batch size": settings.batch_size,
            "devices": outcome["devices"],
            "data": settings.data_dir,
            "data fingerprint": records.fingerprint(settings.data_dir),
            "parameters": model.count_params(),
        },
        "Command": f"    {command()}",
        "Flags": "\n".join(f"    {line}" for line in settings.lines()),
        "Versions": card.versions(),
    }


def command() -> str:
    """The command line of this process, as a user would type it."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    program = ["-m", spec.name] if spec else [sys.argv[0]]
    return shlex.join(["python", *program, *sys.argv[1:]])


def _plain(experiment, model: keras.Model) -> keras.Model:
    """The same weights without devices of a strategy or halves of a mixed policy."""
    mixed = keras.config.dtype_policy().name != "float32"
    several = any(
        isinstance(variable.value, tf.distribute.DistributedValues)
        for variable in model.variables
    )
    if not (mixed or several):
        return model
    with dtype_policy("float32"):
        plain = experiment.model()
    plain.set_weights(model.get_weights())
    return plain
