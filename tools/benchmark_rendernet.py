"""Workloads of `tools.benchmark rendernet`."""

import json
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from datasets import records
from datasets.rendernet import examples, pipeline
from tfrender import losses, models
from tfrender.ops.resample_volume import pose_parameters, resample_volume, view_axes

BATCH = 8
_POSE = [[250.0, 60.0, 3.3], [40.0, 100.0, 3.0], [130.0, 30.0, 4.0], [10.0, 80.0, 3.6]]
_PIPELINE_RECORDS = 256
_PIPELINE_CALLS = 50


def _no_facts(timings) -> dict[str, str]:
    return {}


class Workload(NamedTuple):
    """One line of comparison.

    Attributes:
        name: what is computed.
        variants: name -> function without arguments, or why it cannot run.
        facts: timings -> further figures, name -> text.
    """

    name: str
    variants: Mapping[str, Callable | str]
    facts: Callable[[Mapping], dict[str, str]] = _no_facts


def workloads(peers: bool) -> Iterator[Workload]:
    """All workloads of the suite, each made when its turn comes.

    Args:
        peers: time other libraries too.

    Yields:
        `Workload`s.
    """
    yield resampling(peers)
    yield training_step()
    yield input_pipeline()
    yield whole_pictures()
    yield paper_picture()


def resampling(peers: bool) -> Workload:
    """64^3 voxels to a 128^3 camera grid, batch 8."""
    voxels = tf.constant(_solid(64)[np.newaxis].repeat(BATCH, 0)[..., np.newaxis])
    parameters = pose_parameters(tf.constant(_POSE * 2))
    forms = {
        "tfrender XLA": tf.function(resample_volume, jit_compile=True),
        "tfrender graph": tf.function(resample_volume),
    }
    variants = {
        name: lambda form=form: _wait(form(voxels, *parameters, 128))
        for name, form in forms.items()
    }
    if peers:
        variants.update(_peer_resampling(voxels, parameters))
    return Workload("resample 64^3 -> 128^3, batch 8", variants)


def _peer_resampling(voxels, parameters) -> dict[str, Callable | str]:
    """The trilinear path of tensorflow-graphics on the same sample points."""
    names = ("tensorflow-graphics graph", "tensorflow-graphics XLA")
    try:
        from tensorflow_graphics.math.interpolation import trilinear
    except ImportError:
        return {name: "not installed" for name in names}

    def interpolate(voxels, azimuth, elevation, scale):
        axes = tf.stack([tf.stack(a, -1) for a in view_axes(azimuth, elevation)], 1)
        cells = tf.range(128.0) - 64.0
        row, col, depth = tf.meshgrid(-1.0 - cells, cells, cells, indexing="ij")
        camera = tf.reshape(tf.stack([depth, row, col], -1), [-1, 3])
        points = tf.einsum("nc,bcz->bnz", camera, axes) / scale[:, None, None] + 32.0
        return trilinear.interpolate(voxels, points[..., ::-1])

    forms = (tf.function(interpolate), tf.function(interpolate, jit_compile=True))
    return {
        name: lambda form=form: _wait(form(voxels, *parameters))
        for name, form in zip(names, forms, strict=True)
    }


def training_step() -> Workload:
    """One step of the `small` preset on 8 crops of 128 x 128 pixels."""
    variants = {
        "float32": _step("float32"),
        "bfloat16": _step("mixed_bfloat16"),
    }

    def facts(timings):
        return {
            f"small, training, {name}, crops/s": f"{BATCH / timing.median:.1f}"
            for name, timing in timings.items()
        }

    return Workload("training step, small, 8 crops of 128^2", variants, facts)


def _step(policy: str) -> Callable:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        model = models.RenderNet.from_preset("small", jit_compile_resampling=True)
    finally:
        keras.config.set_dtype_policy(before)
    optimizer = keras.optimizers.Adam(1e-4)
    optimizer.build(model.trainable_variables)
    inputs = {
        "voxels": tf.constant(_solid(64)[np.newaxis].repeat(BATCH, 0)[..., np.newaxis]),
        "pose": tf.constant(_POSE * 2),
        "origin": tf.fill([BATCH, 2], 48),
    }
    target = tf.random.stateless_uniform([BATCH, 128, 128, 3], [0, 1])

    @tf.function
    def step(inputs, target):
        with tf.GradientTape() as tape:
            prediction = model(inputs, training=True, window=(32, 32))
            loss = tf.reduce_mean(losses.squared_error(target, prediction))
        variables = model.trainable_variables
        optimizer.apply_gradients(
            zip(tape.gradient(loss, variables), variables, strict=True)
        )
        return loss

    return lambda: _wait(step(inputs, target))


def input_pipeline() -> Workload:
    """Batches of 8 crops from records of 64^3 voxels and 512 x 512 pictures."""
    folder = tempfile.TemporaryDirectory()
    solid = _solid(64) > 0.5
    front = np.zeros((512, 512, 3), np.uint8)
    ramp = np.linspace(60, 250, 256).astype(np.uint8)
    front[128:384, 128:384, 0], front[128:384, 128:384, 1] = ramp, ramp[:, np.newaxis]
    with records.RecordWriter(folder.name, "train", 64, examples.SCHEMA) as writer:
        writer.metadata["resolution"] = 64
        for i in range(_PIPELINE_RECORDS):
            pose = (float(i), 60.0, 3.3)
            writer.write(examples.encode_example(front, solid, pose, "solid"))
    phases = pipeline.curriculum([32], [], _PIPELINE_RECORDS, BATCH)
    batches = pipeline.training_batches(folder.name, 64, 3, phases, BATCH)
    iterator = iter(batches)

    def call(keep=folder):  # the folder lives as long as the iterator
        for _ in range(_PIPELINE_CALLS):  # many more than are prefetched
            next(iterator)

    def facts(timings):
        rate = BATCH * _PIPELINE_CALLS / timings["TFRecords"].median
        return {"pipeline alone, examples/s": f"{rate:.0f}"}

    return Workload("50 batches of 8 crops", {"TFRecords": call}, facts)


def whole_pictures() -> Workload:
    """One picture of 512 x 512 of `small` and of 256 x 256 of `tiny`."""

    def draw(preset):
        model = models.RenderNet.from_preset(preset, jit_compile_resampling=True)
        n = model.input_size
        inputs = {
            "voxels": tf.constant(_solid(n)[np.newaxis, ..., np.newaxis]),
            "pose": tf.constant(_POSE[:1]),
        }
        # As an argument: a constant grid would be folded through the network.
        form = tf.function(model)
        return lambda: _wait(form(inputs))

    variants = {"small, 512^2": draw("small"), "tiny, 256^2": draw("tiny")}
    return Workload("one picture", variants)


def paper_picture() -> Workload:
    """One 512 x 512 picture of the `paper` preset in a process of its own."""
    command = [sys.executable, "-m", "tools.benchmark_rendernet"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        why = f"failed, status {done.returncode} (memory?)"
        return Workload("one picture, paper, 512^2", {"tfrender": why})
    figures = json.loads(done.stdout.splitlines()[-1])
    return Workload(
        "one picture, paper, 512^2",
        {"tfrender": "own process, see below"},
        lambda timings: {
            "paper, 512^2, seconds": f"{figures['seconds']:.2f}",
            "paper, 512^2, peak memory of the process, GiB": f"{figures['gib']:.2f}",
        },
    )


def _paper_figures() -> dict[str, float]:
    """Seconds of the second picture, and peak memory of this process."""
    import re
    import time

    model = models.RenderNet.from_preset("paper", jit_compile_resampling=True)
    inputs = {
        "voxels": tf.constant(_solid(64)[np.newaxis, ..., np.newaxis]),
        "pose": tf.constant(_POSE[:1]),
    }
    form = tf.function(model)
    _wait(form(inputs))
    start = time.perf_counter()
    _wait(form(inputs))
    seconds = time.perf_counter() - start
    # Not getrusage: a started process inherits the peak of the one that started it.
    status = pathlib.Path("/proc/self/status").read_text()
    kib = int(re.search(r"VmHWM:\s+(\d+) kB", status)[1])
    return {"seconds": seconds, "gib": kib / 2**20}


def _solid(n: int) -> np.ndarray:
    """A box with a sphere on it, float32 [n, n, n]."""
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, n)] * 3, indexing="ij")
    box = (abs(x) < 0.7) & (abs(y + 0.4) < 0.3) & (abs(z) < 0.5)
    ball = x**2 + (y - 0.2) ** 2 + z**2 < 0.4**2
    return (box | ball).astype(np.float32)


def _wait(tensor) -> None:
    """Returns when the value is there."""
    tensor.numpy()


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_paper_figures()) + "\n")
