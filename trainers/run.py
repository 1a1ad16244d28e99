"""One process's part in a run: restore, train, evaluate, save, export."""

import signal
import sys
import time

import keras
import numpy as np
import tensorflow as tf

from tfrender.io import write_file
from trainers import averaging, exporting
from trainers.checkpoints import Checkpoints
from trainers.errors import TrainingError
from trainers.journal import EXAMPLES, Journal
from trainers.progress import Clock, Progress
from trainers.steps import Evaluator, Stepper, StepResult, mean_of

_BAD_STEPS = 3  # in a row, not finite: stop
_FLAT_STEPS = 200  # in a row, every gradient zero: warn


class Run:
    """Holds the state of a run; `go` takes it from the first step to the export."""

    def __init__(self, experiment, settings, cluster, folder, signals):
        """Checks the data, builds the model, restores the newest checkpoint.

        Args:
            experiment: loop.Experiment.
            settings: flags.Settings.
            cluster: strategies.Cluster.
            folder: claimed OUTPUT_DIR.
            signals: signals.Signals.
        """
        self.experiment, self.settings, self.cluster = experiment, settings, cluster
        self.folder, self.signals = folder, signals
        self.agree = cluster.agree()
        self.agree(np.zeros(2, np.float32))  # until the chief has settled the folder
        self.eval_batch = settings.eval_batch_size or settings.batch_size
        cluster.check_batch("eval_batch_size", self.eval_batch)
        self._say("\n".join(settings.lines()))
        # Data first: a wrong folder should not cost the building of a model.
        experiment.dataset(experiment.train_split, 0, settings.batch_size)
        self._held_out()
        with cluster.strategy.scope():
            self.model = experiment.model()
            self.optimizer = experiment.optimizer()
            if settings.ema:
                averaging.average(self.optimizer, settings.ema)
            if settings.mixed_precision == "float16":
                self.optimizer = keras.optimizers.LossScaleOptimizer(self.optimizer)
            if not self.model.built:
                raise ValueError("`Experiment.model` must return a built model.")
            self.checkpoints = Checkpoints(
                folder / "checkpoints", self.model, self.optimizer, cluster.chief
            )
            self.step = self.checkpoints.restore()
        self._check_workers()
        self.stepper = Stepper(
            experiment.loss, cluster, self.model, self.optimizer, settings.batch_size
        )
        self.evaluator = Evaluator(self._measure, cluster, self.eval_batch)
        self.journal = Journal(folder, self.step, cluster.chief)
        self.progress = Progress(experiment.name, settings.steps)
        self.clock = Clock(settings.batch_size)
        self.metrics: dict[str, float] = {}
        self.evaluated = -1
        self.saved_at, self.saved_step = time.monotonic(), self.step
        self.bad_steps = self.flat_steps = 0

    def go(self) -> None:
        """Trains to the last step, evaluates, exports."""
        settings = self.settings
        if self.step:
            self._say(f"continuing at step {self.step}")
        try:
            if self.step < settings.steps:
                self._train()
            self._evaluate()
            self._pictures()
            if settings.export != "none" and self.experiment.export:
                self._export()
        finally:
            self.progress.close()
            self.journal.close()

    def _train(self) -> None:
        settings = self.settings
        batches = iter(self._batches())
        recent: list[dict[str, float]] = []
        while self.step < settings.steps:
            start = time.monotonic()
            batch = next(batches)
            ready = time.monotonic()
            traces = self.stepper.traces
            result = self.stepper(batch, self.step)
            self._check(result, batch)
            self.step += 1
            self.clock.add(
                ready - start, time.monotonic() - ready, traces != self.stepper.traces
            )
            recent.append(result.means)
            if self.step % settings.log_every == 0 or self.step == settings.steps:
                self._log(mean_of(recent))
                recent = []
            if self.cluster.chief:
                self.progress.show(self.step, result.means, self.clock)
            if _due(self.step, settings.eval_every):
                self._evaluate()
            if _due(self.step, settings.log_images_every):
                self._pictures()
            due = time.monotonic() - self.saved_at >= 60 * settings.checkpoint_minutes
            save, stop = self._decide(due)
            if stop:
                self._leave()
            if save or self.step == settings.steps:
                self._save()
        if self.saved_step != self.step:
            raise TrainingError(
                f"{self.folder}: the last step could not be saved; make room on the "
                "disk and run the same command again."
            )

    def _averaged(self):
        """The averaged weights for a while; all that others see is theirs."""
        return averaging.averaged(self.model, self.optimizer)

    def _batches(self):
        """Global batches from the current step on, dealt to the devices."""
        settings, experiment = self.settings, self.experiment
        first = self.step * settings.batch_size
        dataset = experiment.dataset(experiment.train_split, first, settings.batch_size)
        return self.cluster.feed(dataset, settings.batch_size)

    def _held_out(self) -> tf.data.Dataset:
        return self.experiment.dataset(self.experiment.test_split, 0, self.eval_batch)

    def _check(self, result: StepResult, batch) -> None:
        """Counts steps that were not applied, and steps without any gradient."""
        self.bad_steps = 0 if result.applied else self.bad_steps + 1
        if not result.applied:
            names = ", ".join(result.bad[:3]) or "none, the loss itself is"
            what = (
                f"step {self.step}: not finite, not applied; loss "
                f"{result.means['loss']:.4g}, gradients: {names}"
                + (f" and {len(result.bad) - 3} more" if len(result.bad) > 3 else "")
            )
            if self.bad_steps < _BAD_STEPS:
                self._say(what)
                return
            raise TrainingError(
                f"{what}; the {_BAD_STEPS}rd in a row. {self._keep(batch)}, last good "
                f"checkpoint {self.checkpoints.newest}; lower --learning_rate or look "
                "at the data."
            )
        self.flat_steps = self.flat_steps + 1 if result.flat else 0
        if self.flat_steps == _FLAT_STEPS:
            self._say(
                f"step {self.step}: every gradient was zero for {_FLAT_STEPS} steps; "
                "a hard mode, a sigma far too small, an empty mask or a saturated "
                "output does that"
            )

    def _keep(self, batch) -> str:
        """Writes the chief's share of a batch to a file; says where it is."""
        path = self.folder / f"bad-batch-{self.step}.npz"
        if self.cluster.chief:
            values = self.cluster.local(batch)
            for name, value in values.items():
                if value.dtype == object:  # strings; NumPy would pickle them
                    values[name] = value.astype("S")
            try:
                with write_file(path) as file:
                    np.savez(file, **values, step=self.step, seed=self.settings.seed)
            except OSError as error:
                return f"Its batch cannot be written to {path} ({error.strerror})"
        return f"Batch in {path}"

    def _decide(self, due: bool) -> tuple[bool, bool]:
        """Whether to save and to stop now; all processes answer alike."""
        mine = [due and self.cluster.chief, self.signals.received is not None]
        save, stop = self.agree(np.array(mine, np.float32)) > 0
        return bool(save), bool(stop)

    def _save(self) -> None:
        if self.saved_step != self.step and self.checkpoints.save(self.step):
            self.saved_step = self.step
        self.saved_at = time.monotonic()

    def _leave(self) -> None:
        """Saves and exits as the shell expects of a process ended by a signal."""
        self._save()
        self.progress.close()
        self._say(
            f"stopped by a signal; saved at step {self.saved_step}, run the same "
            "command again to continue"
        )
        sys.exit(128 + (self.signals.received or signal.SIGTERM))

    def _measure(self, batch) -> dict[str, tf.Tensor]:
        if self.experiment.metrics:
            return self.experiment.metrics(self.model, batch)
        step = tf.constant(0, tf.int64)
        loss, metrics = self.experiment.loss(self.model, batch, False, step)
        return {"loss": loss, **metrics}

    def _evaluate(self) -> None:
        if self.evaluated == self.step:
            return
        with self._averaged():
            metrics = self.evaluator(self._held_out(), lambda: self._decide(False)[1])
        if metrics is None:
            self._leave()
        self.evaluated = self.step
        if not metrics["examples"]:
            raise TrainingError(
                f"{self.settings.data_dir}: split {self.experiment.test_split!r} has "
                "no example to evaluate on."
            )
        name, mode = self.experiment.best
        if name not in metrics:
            raise ValueError(
                f"`best` must name one of the metrics {sorted(metrics)}; got {name!r}."
            )
        self.metrics = metrics
        self.journal.scalars(self.step, self.experiment.test_split, metrics)
        if self.experiment.report and self.cluster.chief:
            self.experiment.report(self.folder, self.step, metrics)
        text = "  ".join(f"{key} {value:.5g}" for key, value in metrics.items())
        self._say(f"step {self.step}, {self.experiment.test_split}: {text}")
        self.checkpoints.save_best(self.step, metrics[name], metrics, mode)

    def _pictures(self) -> None:
        experiment = self.experiment
        if not (experiment.images or experiment.meshes) or not self.cluster.chief:
            return
        for batch in self._held_out().take(1):
            batch = tf.nest.map_structure(lambda x: x[:EXAMPLES], batch)
            with self._averaged():
                images = (
                    experiment.images(self.model, batch) if experiment.images else {}
                )
                meshes = (
                    experiment.meshes(self.model, batch) if experiment.meshes else {}
                )
            self.journal.pictures(
                self.step, {name: np.asarray(image) for name, image in images.items()}
            )
            self.journal.meshes(self.step, meshes)

    def _log(self, means: dict[str, float]) -> None:
        self.journal.scalars(self.step, "train", means)
        rate = self.optimizer.learning_rate
        speed = {
            "examples_per_second": self.clock.rate,
            "data_wait": self.clock.wait,
            "learning_rate": float(tf.convert_to_tensor(rate)),
        }
        self.journal.scalars(self.step, "speed", speed)

    def _export(self) -> None:
        metrics, step = self.metrics, self.step
        if self.settings.export == "best":
            metrics, step = self._restore_best()
        if self.cluster.chief:
            outcome = {
                "step": step,
                "devices": self.cluster.replicas,
                "metrics": metrics,
            }
            with self._averaged():
                target = exporting.export(
                    self.experiment,
                    self.settings,
                    self.model,
                    self.folder / "saved_model",
                    outcome,
                )
            self._say(f"exported {target}")

    def _restore_best(self) -> tuple[dict[str, float], int]:
        """Metrics and step of the best weights, or of the newest where those are lost.

        The chief judges, so that no process goes on alone.
        """
        fault = self.checkpoints.best_fault() if self.cluster.chief else ""
        if not self.agree(np.array([bool(fault)], np.float32))[0] > 0:
            best = self.checkpoints.restore_best()
            return best["metrics"], best["step"]
        self._say(
            f"the best checkpoint cannot be used ({fault}); the newest one is "
            "evaluated and exported"
        )
        self.checkpoints.forget_best()
        self.step = self.checkpoints.restore() or self.step
        self.evaluated = -1
        self._evaluate()
        return self.metrics, self.step

    def _check_workers(self) -> None:
        """All processes must have found the same checkpoint."""
        mean = self.agree(np.array([self.step], np.float32))[0] / self.cluster.workers
        if mean != self.step:
            raise TrainingError(
                f"worker {self.cluster.worker} found step {self.step} in {self.folder} "
                "and others another one; all workers need the same folder."
            )

    def _say(self, text: str) -> None:
        if not self.cluster.chief:
            return
        if hasattr(self, "progress"):
            self.progress.note(text)
        else:
            print(text, flush=True)


def _due(step: int, every: int) -> bool:
    return bool(every) and step % every == 0
