"""One training loop for every system: fill in an `Experiment`, call `train`.

    from trainers import flags, loop

    flags.define(steps=20_000, learning_rate=3e-4)      # this trainer's defaults

    def main():
        settings = flags.Settings.from_flags()
        loop.train(
            loop.Experiment(
                name="rendernet",
                model=lambda: RenderNet.from_preset(settings.preset),
                optimizer=lambda: keras.optimizers.Adam(settings.learning_rate),
                dataset=dataset,        # (split, start_example, batch_size) -> batches
                loss=loss,              # (model, batch, training, step) -> [B], {...}
                export=export,          # (model, directory)
            ),
            settings,
        )

    if __name__ == "__main__":
        cli.run(main)

Exact resume rests on one rule: element k of `dataset("train", ...)` is a function of
(seed, k). Batch n of a run holds batch_size elements from n * batch_size on, whatever
the number of devices, so a window shared by a whole batch is drawn from
(seed, k // batch_size) in the data set, or from `step` in the loss.

OUTPUT_DIR holds flags.cfg, checkpoints/ (three newest, best/), log/ (TensorBoard),
metrics.jsonl, images/, meshes/ and saved_model/ with model_card.md.
"""

import dataclasses
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import keras
import tensorflow as tf
from absl import flags, logging

from datasets import records
from trainers import exporting, strategies
from trainers.errors import TrainingError, disk_full
from trainers.flags import Settings
from trainers.output_dir import claimed
from trainers.run import Run
from trainers.signals import Signals

Batch = Mapping[str, tf.Tensor]


@dataclasses.dataclass(frozen=True)
class Experiment:
    """What a system has to say; the loop does the rest.

    Attributes:
        name: of the system, for messages and the card.
        model: () -> built keras.Model.
        optimizer: () -> Keras optimizer; schedules are Keras schedules.
        dataset: (split, start_example, batch_size) -> tf.data.Dataset of dict batches.
            Split `train_split`: endless, every batch full, beginning with element
            start_example. Split `test_split`: finite, in order, with a partial
            last batch.
        loss: (model, batch, training, step) -> per-example loss [B] and a dict of
            per-example metrics [B]. `step` is an int64 scalar tensor, 0 first. It is
            compiled, and compiled again for every new shape of a batch.
        export: (model, directory) writes a SavedModel there; the model is a plain
            float32 one, whatever the strategy.
        metrics: (model, batch) -> dict of per-example numbers [B], averaged exactly
            over the test split. None uses `loss` and its metrics.
        images: (model, batch) -> dict of [N, H, W, 1 or 3] in [0, 1], shown side by
            side in this order: prediction, target. None shows nothing.
        meshes: (model, batch) -> name -> (vertices [V, 3], faces [F, 3], colours [V, 3]
            uint8), shown in TensorBoard and written to meshes/. None shows none.
        card: () -> heading -> text or table, first sections of the model card.
        best: (metric, "max" or "min") that chooses the best checkpoint.
        train_split, test_split: names of the splits.
        report: (folder of the run, step, held-out metrics) writes files of the system's
            own after an evaluation. None writes none.
    """

    name: str
    model: Callable[[], keras.Model]
    optimizer: Callable[[], keras.optimizers.Optimizer]
    dataset: Callable[[str, int, int], tf.data.Dataset]
    loss: Callable[..., tuple[tf.Tensor, dict[str, tf.Tensor]]]
    export: Callable[[keras.Model, str], Any] | None = None
    metrics: Callable[[keras.Model, Batch], dict[str, tf.Tensor]] | None = None
    images: Callable[[keras.Model, Batch], dict[str, tf.Tensor]] | None = None
    meshes: Callable[[keras.Model, Batch], Mapping[str, tuple]] | None = None
    card: Callable[[], Mapping[str, Any]] = dict
    best: tuple[str, str] = ("loss", "min")
    train_split: str = "train"
    test_split: str = "test"
    report: Callable[[pathlib.Path, int, Mapping[str, float]], None] | None = None


class Result(NamedTuple):
    """End of a run: steps done, held-out metrics, the model with its last weights."""

    step: int
    metrics: dict[str, float]
    model: keras.Model


def train(experiment: Experiment, settings: Settings) -> Result:
    """Trains, or continues the run found in `settings.output_dir`.

    Call it before any other TensorFlow operation of the process: it makes the devices.

    Args:
        experiment: the system.
        settings: the flags.

    Returns:
        the last step, metrics and model.

    Raises:
        TrainingError: a fault that the user can understand, in one line.
        FormatError: a damaged data file, named.
        SystemExit: 143 after SIGTERM, 130 after Ctrl-C; the state was saved.
    """
    if not flags.FLAGS["verbosity"].present:
        logging.set_verbosity(logging.WARNING)  # TensorFlow logs every save
    cluster = strategies.connect(settings.strategy, settings.logical_devices)
    cluster.check_batch("batch_size", settings.batch_size)
    keras.utils.set_random_seed(settings.seed)
    if settings.deterministic:
        tf.config.experimental.enable_op_determinism()
    precision = settings.mixed_precision
    policy = "float32" if precision == "none" else f"mixed_{precision}"
    with (
        claimed(settings, cluster.chief) as folder,
        Signals() as signals,
        records.naming_errors(settings.data_dir),
        exporting.dtype_policy(policy),
    ):
        try:
            run = Run(experiment, settings, cluster, folder, signals)
            run.go()
            return Result(run.step, run.metrics, run.model)
        except tf.errors.ResourceExhaustedError as error:
            reason = str(error).splitlines()[0][:120]
            if disk_full(error):
                raise TrainingError(
                    f"{folder}: the disk is full ({reason}); make room and run the "
                    "same command again to continue."
                ) from error
            raise TrainingError(
                f"out of memory with a batch of {settings.batch_size} on "
                f"{cluster.replicas} device(s); lower --batch_size, take a smaller "
                "--preset or smaller images, or set --mixed_precision=bfloat16 "
                f"({reason})."
            ) from error
