"""One training step and one evaluation, compiled for a cluster of devices."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from trainers.strategies import Cluster


class StepResult(NamedTuple):
    """What a step reports.

    Attributes:
        applied: whether the update was applied (loss and gradients finite).
        flat: whether every gradient was exactly zero.
        means: loss and metrics, means over the global batch.
        bad: names of the variables whose gradient was not finite.
    """

    applied: bool
    flat: bool
    means: dict[str, float]
    bad: list[str]


class Stepper:
    """Applies one global batch; leaves everything as it was when a value is not finite.

    The loss of each device is its sum over the GLOBAL batch size, because Keras
    optimizers add gradients over devices. Skipping is decided for all devices at once,
    between two `run` calls, since an optimizer cannot meet other devices inside a
    condition.
    """

    def __init__(self, loss, cluster: Cluster, model, optimizer, batch_size: int):
        """Compiles on the first call, and again for each new shape of a batch.

        Args:
            loss: see `loop.Experiment.loss`.
            cluster: devices.
            model: built keras.Model.
            optimizer: built Keras optimizer.
            batch_size: of the global batch.
        """
        self._loss, self._cluster = loss, cluster
        self._model, self._optimizer = model, optimizer
        self._batch_size = batch_size
        # What a forward pass changes and a NaN would poison: moving statistics.
        # Seeds stay advanced, which only skips some random numbers.
        self._moving = [
            v for v in model.non_trainable_variables if "float" in str(v.dtype)
        ]
        self._used: list = []
        self._compiled = tf.function(self._step)

    @property
    def traces(self) -> int:
        """How often the step was compiled."""
        return self._compiled.experimental_get_tracing_count()

    def __call__(self, batch: Any, step: int) -> StepResult:
        """Runs step number `step` (0 is the first) on one batch of `Cluster.feed`."""
        bad, size, means = self._compiled(batch, tf.constant(step, tf.int64))
        bad = bad.numpy()
        names = [v.path for v, flag in zip(self._used, bad[1:], strict=True) if flag]
        means = {name: float(value) for name, value in means.items()}
        return StepResult(not bad[0], float(size) == 0.0, means, names)

    def _step(self, batch, step):
        strategy = self._cluster.strategy
        bad, size, means, gradients, before = strategy.run(self._forward, (batch, step))
        add = lambda value: strategy.reduce("SUM", value, axis=None)  # noqa: E731
        bad = add(bad) > 0
        tf.cond(
            bad[0],
            lambda: strategy.run(self._undo, (before,)),
            lambda: strategy.run(self._apply, (gradients,)),
        )
        return bad, add(size), {name: add(value) for name, value in means.items()}

    def _forward(self, batch, step):
        """On each device: flags [1 + variables], gradient size, sums, gradients."""
        model, optimizer = self._model, self._optimizer
        before = [tf.identity(tf.convert_to_tensor(v.value)) for v in self._moving]
        with tf.control_dependencies(before), tf.GradientTape() as tape:
            losses, metrics = self._loss(model, batch, True, step)
            losses = tf.cast(losses, tf.float32)
            mean = lambda x: tf.nn.compute_average_loss(  # noqa: E731
                tf.cast(x, tf.float32), global_batch_size=self._batch_size
            )
            loss = mean(losses)
            if model.losses:
                loss += tf.nn.scale_regularization_loss(tf.add_n(model.losses))
            scaled = optimizer.scale_loss(loss)
        variables = model.trainable_variables
        gradients = tape.gradient(scaled, variables)
        pairs = [
            (tf.convert_to_tensor(gradient), variable)
            for gradient, variable in zip(gradients, variables, strict=True)
            if gradient is not None
        ]
        if not pairs:
            raise ValueError("`loss` has no gradient in any variable of the model.")
        gradients, self._used = [list(x) for x in zip(*pairs, strict=True)]
        flags = [_not_finite(gradient) for gradient in gradients]
        stop = _not_finite(losses) | _not_finite(loss)
        if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
            # An overflow in float16 is normal: the optimizer skips the step itself
            # and halves its scale. Only a scale of one that overflows is a fault.
            least = tf.convert_to_tensor(optimizer.dynamic_scale) <= 1.0
            stop |= tf.reduce_any(flags) & least
        else:
            stop |= tf.reduce_any(flags)
        size = tf.add_n(
            [tf.reduce_sum(tf.abs(tf.cast(g, tf.float32))) for g in gradients]
        )
        means = {"loss": loss, **{name: mean(x) for name, x in metrics.items()}}
        return tf.cast([stop, *flags], tf.int32), size, means, gradients, before

    def _apply(self, gradients):
        self._optimizer.apply(gradients, self._used)
        return 0

    def _undo(self, before):
        for variable, value in zip(self._moving, before, strict=True):
            variable.assign(value)
        return 0


class Evaluator:
    """Exact means of per-example numbers over a finite data set."""

    def __init__(self, function, cluster: Cluster, batch_size: int):
        """Compiles on the first call.

        Args:
            function: batch -> dict of per-example numbers, each [B].
            cluster: devices.
            batch_size: of the global batch; the last one may be smaller.
        """
        self._function, self._cluster = function, cluster
        self._batch_size = batch_size
        self._compiled = tf.function(self._sums)

    def __call__(
        self, dataset: tf.data.Dataset, stop: Callable[[], bool] = bool
    ) -> dict[str, float] | None:
        """Means over the data set, every example with the same weight.

        Args:
            dataset: finite, dict batches [B, ...], the last one may be smaller.
            stop: asked after each batch whether to give up.

        Returns:
            name -> mean; "examples" -> their number. None when it gave up.
        """
        size = self._batch_size
        padded = dataset.map(lambda batch: _pad(batch, size))
        return self._means(self._cluster.feed(padded, size), stop)

    def _means(self, batches: Iterable, stop) -> dict[str, float] | None:
        totals: dict[str, float] = {}
        for batch, weight in batches:
            for name, value in self._compiled(batch, weight).items():
                totals[name] = totals.get(name, 0.0) + float(value)
            if stop():
                return None
        count = totals.pop("examples", 0.0)
        if not count:
            return {"examples": 0}
        means = {name: total / count for name, total in totals.items()}
        return {**means, "examples": int(count)}

    def _sums(self, batch, weight):
        def sums(batch, weight):
            found = self._function(batch)
            if "examples" in found:
                raise ValueError("a metric may not be called `examples`.")
            zero = tf.zeros_like(weight, tf.float64)
            found = {k: tf.cast(v, tf.float64) for k, v in found.items()}
            # `where` and not a product: padding must not bring in a NaN.
            found = {k: tf.where(weight > 0, v, zero) for k, v in found.items()}
            found["examples"] = tf.cast(weight, tf.float64)
            return {k: tf.reduce_sum(v) for k, v in found.items()}

        strategy = self._cluster.strategy
        each = strategy.run(sums, (batch, weight))
        return {k: strategy.reduce("SUM", v, axis=None) for k, v in each.items()}


def mean_of(results: list[dict[str, float]]) -> dict[str, float]:
    """Means of the finite values of several steps, name by name."""
    means = {}
    for name in results[-1] if results else ():
        values = [r[name] for r in results if name in r and np.isfinite(r[name])]
        means[name] = float(np.mean(values)) if values else float("nan")
    return means


def _pad(batch, size: int):
    """Repeats the last example up to `size`; returns batch and weights [size]."""
    count = tf.shape(tf.nest.flatten(batch)[0])[0]
    rows = tf.minimum(tf.range(size), count - 1)
    batch = tf.nest.map_structure(lambda x: tf.gather(x, rows), batch)
    return batch, tf.cast(tf.range(size) < count, tf.float32)


def _not_finite(value) -> tf.Tensor:
    return tf.reduce_any(~tf.math.is_finite(value))
