"""Checkpoints that survive kills, full disks, lost state files and damaged bytes."""

import json
import math
import os
import pathlib
import re
import shutil
import tempfile
from typing import Any

import keras
import tensorflow as tf

from tfrender import io
from trainers.errors import TrainingError

KEEP = 3
_FAILURES = 3  # failing saves in a row before the run stops
_PREFIX = "ckpt"
_ASIDE = "damaged-"  # in front of the names of checkpoints that cannot be read


class Checkpoints:
    """The newest three states of a run, and the best by a held-out metric.

    Everything that a step changes is saved: model, optimizer, step, and every
    non-trainable variable by itself, because `tf.train.Checkpoint(model=...)` leaves
    out the seed state of Dropout. Data need no state: element k is a function of
    (seed, k).
    """

    def __init__(
        self,
        directory: str,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        chief: bool = True,
    ):
        """Cleans the folder; call `restore` before the first `save`.

        Args:
            directory: folder of the checkpoints.
            model: built model.
            optimizer: built here, so that its slots exist before a restore.
            chief: False writes to a scratch folder: every process of a strategy has
                to take part in a save, one may leave files.
        """
        optimizer.build(model.trainable_variables)
        self._model = model
        self._step = tf.Variable(0, trainable=False, dtype=tf.int64)
        self._state = tf.train.Checkpoint(
            model=model,
            optimizer=optimizer,
            step=self._step,
            state=[v.value for v in model.non_trainable_variables],
        )
        self._source = pathlib.Path(directory)
        self._scratch = None
        target = self._source
        if not chief:
            self._scratch = tempfile.TemporaryDirectory()
            target = pathlib.Path(self._scratch.name)
        self._target = target
        if chief:
            self._source.mkdir(parents=True, exist_ok=True)
            _remove_leftovers(self._source)
            _remove_leftovers(self._source / "best")
        self._chief = chief
        self._failures = 0
        self._newest, self._best = self._managers()
        # In memory, because processes that shared the file could read it before and
        # after a change and disagree on whether to save.
        self._record = _best_record(self._source / "best")
        if chief and not self._record and _complete(self._source / "best"):
            print(
                f"{self._source}/best/best.json is missing or does not fit its "
                "checkpoint; the best is chosen anew",
                flush=True,
            )
        self._warned = False

    @property
    def newest(self) -> str | None:
        """Path prefix of the newest checkpoint."""
        steps = _complete(self._source)
        return str(self._source / f"{_PREFIX}-{steps[-1]}") if steps else None

    def restore(self) -> int:
        """Restores the newest checkpoint that is whole.

        Returns:
            its step; 0 where there is none.

        Raises:
            TrainingError: every checkpoint is damaged, now or at an earlier start, or
                they belong to another architecture.
        """
        found = _complete(self._source)
        for number, step in enumerate(reversed(found)):
            prefix = self._source / f"{_PREFIX}-{step}"
            damage = _damage(prefix)
            if damage:
                print(f"checkpoint {prefix} is damaged ({damage})", flush=True)
                if self._chief:
                    _set_aside(prefix)
                continue
            self._load(prefix)
            if number:
                lost = found[-1] - step
                print(f"went back to step {step}: {lost} steps lost", flush=True)
            self._newest, self._best = self._managers()
            return int(self._step.numpy())
        if found or holds_any(self._source):
            raise TrainingError(
                f"{self._source}: every checkpoint is damaged; pass --overwrite to "
                "start the run again."
            )
        return 0

    def best_fault(self) -> str:
        """Why `restore_best` cannot be called, or an empty text."""
        steps = _complete(self._source / "best")
        if not steps:
            return "there is none"
        if self._record.get("step") != steps[-1]:
            return "its best.json is missing"
        return _damage(self._source / "best" / f"{_PREFIX}-{steps[-1]}")

    def restore_best(self) -> dict[str, Any]:
        """Restores the best checkpoint; returns its "step", "value" and "metrics"."""
        step = _complete(self._source / "best")[-1]
        self._load(self._source / "best" / f"{_PREFIX}-{step}")
        return dict(self._record)

    def forget_best(self) -> None:
        """Sets the best checkpoint aside; the next one that is offered replaces it."""
        if self._chief:
            for step in _complete(self._source / "best"):
                _set_aside(self._source / "best" / f"{_PREFIX}-{step}")
        self._record = {}
        self._newest, self._best = self._managers()

    def save(self, step: int) -> bool:
        """Saves the state after `step` steps.

        Returns:
            False when the disk refused; training may go on and try again later.

        Raises:
            TrainingError: the third refusal in a row, or weights that are not finite.
        """
        return self._write(self._newest, step)

    def save_best(self, step: int, value: float, metrics: dict, mode: str) -> bool:
        """Saves the state as the best one when `value` beats the best so far.

        Args:
            step: steps done.
            value: held-out metric; NaN never wins.
            metrics: all held-out metrics, stored beside it.
            mode: "max" or "min".

        Returns:
            whether it is the best.
        """
        old = self._record.get("value")
        if not math.isfinite(value):
            return False
        if old is not None and (value <= old if mode == "max" else value >= old):
            return False
        if not self._write(self._best, step):
            return False
        self._record = {"step": step, "value": value, "metrics": metrics}
        path = self._target / "best" / "best.json"
        try:
            write_text(path, json.dumps(self._record, indent=1))
        except OSError as error:
            if not self._warned:
                line = f"{path}: cannot be written ({error.strerror})"
                print(f"{line}; training goes on", flush=True)
            self._warned = True
        return True

    def _managers(self):
        """Managers over what is really in the folders, state files rebuilt."""
        managers = []
        for folder, keep in ((self._target, KEEP), (self._target / "best", 1)):
            steps = _complete(folder)
            if steps:
                # Without its times the manager would never delete these again.
                lines = [f'model_checkpoint_path: "{_PREFIX}-{steps[-1]}"']
                for step in steps:
                    name = f"{_PREFIX}-{step}"
                    time = (folder / f"{name}.index").stat().st_mtime
                    lines.append(f'all_model_checkpoint_paths: "{name}"')
                    lines.append(f"all_model_checkpoint_timestamps: {time}")
                lines.append("last_preserved_timestamp: 0")
                write_text(folder / "checkpoint", "\n".join(lines) + "\n")
            else:
                (folder / "checkpoint").unlink(missing_ok=True)
            managers.append(
                tf.train.CheckpointManager(
                    self._state, str(folder), keep, checkpoint_name=_PREFIX
                )
            )
        return managers

    def _load(self, prefix: pathlib.Path) -> None:
        try:
            self._state.restore(str(prefix)).assert_consumed()
        except (ValueError, AssertionError, tf.errors.OpError) as error:
            text = " ".join(str(error).split())[:200]
            raise TrainingError(
                f"{prefix}: saved by another model or optimizer ({text})."
            ) from error

    def _write(self, manager: tf.train.CheckpointManager, step: int) -> bool:
        self._refuse_nan(step)
        self._step.assign(step)
        try:
            manager.save(checkpoint_number=step)
        except (tf.errors.OpError, OSError) as error:
            self._failures += 1
            folder = pathlib.Path(manager.directory)
            _remove_leftovers(folder)
            free = shutil.disk_usage(folder).free
            line = (
                f"{folder}: step {step} could not be saved, {free} bytes are free "
                f"({str(error).splitlines()[0][:120]})"
            )
            if self._failures >= _FAILURES:
                raise TrainingError(
                    f"{line}; this was failure {self._failures} in a row."
                ) from error
            print(f"{line}; training goes on", flush=True)
            return False
        self._failures = 0
        return True

    def _refuse_nan(self, step: int) -> None:
        """Stops rather than save weights that are not finite."""
        for variable in self._model.variables:
            value = tf.convert_to_tensor(variable.value)
            if value.dtype.is_floating and not tf.reduce_all(tf.math.is_finite(value)):
                raise TrainingError(
                    f"step {step}: {variable.path} holds values that are not finite; "
                    f"the last good checkpoint is {self.newest}."
                )


def write_text(path: pathlib.Path, text: str) -> None:
    """Writes a text file that is either the old one or the new one."""
    with io.write_file(path, "w") as file:
        file.write(text)


def holds_any(directory: pathlib.Path) -> bool:
    """Whether a run saved checkpoints there; those that were set aside count too."""
    patterns = f"{_PREFIX}-*.index", f"{_ASIDE}{_PREFIX}-*"
    return any(path for pattern in patterns for path in directory.glob(pattern))


def _best_record(directory: pathlib.Path) -> dict[str, Any]:
    """What best.json says of the checkpoint beside it; empty where it does not fit."""
    try:
        record = json.loads((directory / "best.json").read_text(encoding="utf-8"))
        whole = isinstance(record["metrics"], dict) and math.isfinite(record["value"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    steps = _complete(directory)
    return record if whole and steps and record.get("step") == steps[-1] else {}


def _complete(directory: pathlib.Path) -> list[int]:
    """Steps of the checkpoints whose index and data files exist, oldest first."""
    steps = []
    for index in directory.glob(f"{_PREFIX}-*.index"):
        match = re.fullmatch(rf"{_PREFIX}-(\d+)", index.stem)
        if match and list(directory.glob(f"{index.stem}.data-*")):
            steps.append(int(match[1]))
    return sorted(steps)


def _damage(prefix: pathlib.Path) -> str:
    """Reads every value of a checkpoint; what is wrong with it, or an empty text."""
    try:
        reader = tf.train.load_checkpoint(str(prefix))
        for name in reader.get_variable_to_shape_map():
            reader.get_tensor(name)
    # The reader raises IndexError, ValueError, RuntimeError or OpError by the fault.
    except Exception as error:
        return " ".join(str(error).split())[:120] or type(error).__name__
    return ""


def _set_aside(prefix: pathlib.Path) -> None:
    """Renames a damaged checkpoint, so that it is neither used nor counted again."""
    for path in prefix.parent.glob(f"{prefix.name}.*"):
        os.replace(path, path.with_name(f"{_ASIDE}{path.name}"))


def _remove_leftovers(directory: pathlib.Path) -> None:
    """Removes what a kill in mid-save leaves: temporary folders, data without index.

    An index without data is none of these, since TensorFlow writes it last: its
    checkpoint was whole once.
    """
    whole = {f"{_PREFIX}-{step}" for step in _complete(directory)}
    for path in sorted(directory.glob(f"{_PREFIX}-*")):
        name = path.name.split(".")[0]
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif name not in whole and path.suffix == ".index":
            step = name.removeprefix(f"{_PREFIX}-")
            print(
                f"checkpoint {directory / name} has lost its data: step {step} is "
                f"lost, the index is kept as {_ASIDE}{path.name}",
                flush=True,
            )
            _set_aside(directory / name)
        elif name not in whole:
            path.unlink(missing_ok=True)
    for path in [*directory.glob("*.tmp-*"), *directory.glob("checkpoint.tmp*")]:
        if path.is_file():
            path.unlink(missing_ok=True)
