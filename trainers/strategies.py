"""Devices and workers: one interface for one device, several, or several machines."""

import dataclasses
import json
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Cluster:
    """A strategy and this process's place in it.

    Attributes:
        strategy: tf.distribute strategy; its scope creates model and optimizer.
        worker: number of this process, 0 is the chief, which writes all files.
        workers: number of processes.
    """

    strategy: tf.distribute.Strategy
    worker: int = 0
    workers: int = 1

    @property
    def chief(self) -> bool:
        """Whether this process writes the files of the run."""
        return self.worker == 0

    @property
    def replicas(self) -> int:
        """Number of devices that share a batch, over all processes."""
        return self.strategy.num_replicas_in_sync

    def check_batch(self, name: str, batch_size: int) -> None:
        """Raises ValueError when the devices cannot share a batch evenly."""
        if batch_size % self.replicas:
            raise ValueError(
                f"`{name}` must be a multiple of the {self.replicas} devices; "
                f"got {batch_size}."
            )

    def feed(self, dataset: tf.data.Dataset, batch_size: int):
        """Deals each global batch to the devices, in order.

        Every process runs the whole input pipeline and keeps its rows, so the global
        batch does not depend on the number of devices. (TensorFlow's automatic
        sharding would deal files or elements instead and change the order.)

        Args:
            dataset: global batches: nested tensors [B, ...], B = batch_size always.
            batch_size: B.

        Returns:
            iterable of what `run` takes.
        """
        options = tf.data.Options()
        options.deterministic = True
        options.experimental_distribute.auto_shard_policy = (
            tf.data.experimental.AutoShardPolicy.OFF
        )
        dataset = dataset.with_options(options)
        if self.replicas == 1:
            return dataset.prefetch(2)
        local = self.replicas // self.workers
        rows = batch_size // self.replicas

        def shares(*batch):
            batch = batch[0] if len(batch) == 1 else batch

            def share(replica):
                first = (self.worker * local + replica) * rows
                return tf.nest.map_structure(lambda x: x[first : first + rows], batch)

            return tf.data.Dataset.range(local).map(share)

        return self.strategy.distribute_datasets_from_function(
            lambda _: dataset.flat_map(shares).prefetch(2 * local)
        )

    def local(self, values: Any) -> Any:
        """Nested values of this process's devices, joined along the batch, as NumPy."""

        def join(value):
            parts = self.strategy.experimental_local_results(value)
            return np.concatenate([np.atleast_1d(part.numpy()) for part in parts])

        return {key: join(value) for key, value in values.items()}

    def agree(self) -> Callable[[np.ndarray], np.ndarray]:
        """Function that sums a float vector over the processes.

        Decisions that hang on a clock or a signal (save now, stop) must be taken by all
        processes at the same step, or the next collective waits for ever.
        """
        if self.workers == 1:
            return lambda values: values
        local = self.replicas // self.workers

        @tf.function
        def total(values):
            spread = self.strategy.run(tf.identity, (values,))
            return self.strategy.reduce("SUM", spread, axis=None) / local

        return lambda values: total(tf.constant(values, tf.float64)).numpy()


def connect(strategy: str, logical_devices: int = 0) -> Cluster:
    """Makes the strategy; call it before the first TensorFlow operation.

    Args:
        strategy: "one", "mirrored" (all GPUs of this machine, or all logical CPUs),
            "multiworker" (processes named by TF_CONFIG), or "auto": multiworker when
            TF_CONFIG names several workers, mirrored when there are several devices,
            else one.
        logical_devices: split the CPU into so many devices; 0 leaves it whole.

    Raises:
        ValueError: multiworker without TF_CONFIG, or a split after the start.
    """
    cpu = tf.config.list_physical_devices("CPU")[0]
    gpus = tf.config.list_physical_devices("GPU")
    try:
        for gpu in gpus:
            tf.config.experimental.set_memory_growth(gpu, True)
        if logical_devices:
            tf.config.set_logical_device_configuration(
                cpu, [tf.config.LogicalDeviceConfiguration()] * logical_devices
            )
    except RuntimeError as error:
        if logical_devices and logical_devices != len(
            tf.config.list_logical_devices("CPU")
        ):
            raise ValueError(
                "`logical_devices` must be set before TensorFlow starts work."
            ) from error
    names, index = _task()
    if strategy == "auto":
        several = len(gpus) > 1 or (not gpus and logical_devices > 1)
        single = "mirrored" if several else "one"
        strategy = "multiworker" if len(names) > 1 else single
    if strategy == "multiworker":
        if not names:
            raise ValueError("--strategy=multiworker needs TF_CONFIG with its workers.")
        return Cluster(tf.distribute.MultiWorkerMirroredStrategy(), index, len(names))
    if strategy == "mirrored":
        kind = "GPU" if gpus else "CPU"
        devices = [d.name for d in tf.config.list_logical_devices(kind)]
        return Cluster(tf.distribute.MirroredStrategy(devices))
    return Cluster(tf.distribute.get_strategy())


def is_chief(strategy: str) -> bool:
    """Whether this process will be the chief of `connect`; no device is touched."""
    names, index = _task()
    several = strategy == "multiworker" or (strategy == "auto" and len(names) > 1)
    return not several or index == 0


def _task() -> tuple[list[str], int]:
    """Addresses of the workers (the chief first) and this process's number."""
    text = os.environ.get("TF_CONFIG", "")
    if not text:
        return [], 0
    try:
        config = json.loads(text)
        cluster, task = config.get("cluster", {}), config.get("task", {})
        chiefs, workers = cluster.get("chief", []), cluster.get("worker", [])
        index = int(task.get("index", 0))
        if task.get("type") == "worker":
            index += len(chiefs)
    except (ValueError, AttributeError, TypeError) as error:
        raise ValueError(
            f"TF_CONFIG must be JSON with cluster and task; got {text[:80]!r}."
        ) from error
    return [*chiefs, *workers], index
