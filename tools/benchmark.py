"""Times this library and, where they are installed, its peers.

    python -m tools.benchmark rendernet --peers --output=benchmarks.json
    python -m tools.benchmark rasterize --peers --plot=benchmarks.png

The variants of a workload run in turn (ours, peer, ours, peer ...), warm; the table
gives the median, smallest and largest wall time of a call and the ratio of the medians
to the first variant. A peer that is not installed is listed as missing. The suite
`rasterize` has tables of its own: see `tools.benchmark_rasterize`.
"""

import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf
from absl import flags

from tfrender import checks, io
from tools import (
    benchmark_drwr,
    benchmark_dvr,
    benchmark_mesh_reconstruction,
    benchmark_rasterize,
    benchmark_rendernet,
    cli,
)

FLAGS = flags.FLAGS
SUITES = {
    "drwr": benchmark_drwr.workloads,
    "dvr": benchmark_dvr.workloads,
    "rendernet": benchmark_rendernet.workloads,
    "mesh_reconstruction": benchmark_mesh_reconstruction.workloads,
}


def define_flags() -> None:
    """Defines the flags; not at import, because names are global to a process."""
    flags.DEFINE_bool("peers", False, "Time other libraries too.")
    flags.DEFINE_integer("repeats", 7, "Timed calls of each variant.", 1)
    flags.DEFINE_integer(
        "threads",
        0,
        "Threads of TensorFlow; 0 takes all (rasterize: one, then two).",
        0,
    )
    flags.DEFINE_string("output", None, "JSON file for the figures.")
    flags.DEFINE_list("scenes", [], "rasterize: scenes; none for all.")
    flags.DEFINE_list("forms", [], "rasterize: forms; none for all.")
    flags.DEFINE_multi_string("workload", [], "rasterize: workloads; none for all.")
    flags.DEFINE_bool("quick", False, "rasterize: few workloads and calls.")
    flags.DEFINE_string("plot", None, "rasterize: PNG file of time against size.")


class Timing(NamedTuple):
    """Wall seconds of one variant; `note` says why there are none."""

    median: float | None
    smallest: float | None = None
    largest: float | None = None
    note: str = ""


def measure(variants: dict[str, Callable | str], repeats: int) -> dict[str, Timing]:
    """Times the variants of one workload in turn.

    Args:
        variants: name -> function without arguments, or a text that says why the
            variant cannot run.
        repeats: timed calls of each; one more warms up.

    Returns:
        name -> `Timing`.
    """
    seconds: dict[str, list[float]] = {}
    for name, call in variants.items():
        if callable(call):
            call()
            seconds[name] = []
    for _ in range(repeats):
        for name in seconds:
            start = time.perf_counter()
            variants[name]()
            seconds[name].append(time.perf_counter() - start)
    return {
        name: Timing(statistics.median(s), min(s), max(s))
        if (s := seconds.get(name))
        else Timing(None, note=str(variants[name]))
        for name in variants
    }


def table(results: dict[str, dict[str, Timing]]) -> str:
    """Markdown table of all workloads."""
    lines = [
        "| workload | variant | median ms | min | max | ratio |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for workload, timings in results.items():
        base = next(iter(timings.values())).median
        for name, timing in timings.items():
            if timing.median is None:
                lines.append(f"| {workload} | {name} | {timing.note} | | | |")
                continue
            numbers = [1e3 * t for t in (timing.median, *timing[1:3])]
            cells = " | ".join(f"{n:.3g}" for n in numbers)
            ratio = timing.median / base if base else float("nan")
            lines.append(f"| {workload} | {name} | {cells} | {ratio:.2f} |")
    return "\n".join(lines)


def machine() -> dict[str, str]:
    """What the figures were measured on."""
    return {
        "cores": str(os.cpu_count()),
        "load": " ".join(f"{x:.1f}" for x in os.getloadavg()),
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "processor": platform.machine(),
    }


def main(suite: str):
    """Runs a suite and prints its table."""
    checks.one_of("suite", suite, (*SUITES, "rasterize"))
    content = _rasterize() if suite == "rasterize" else _run(suite)
    for name, value in {**content.get("facts", {}), **machine()}.items():
        print(f"{name}: {value}")
    if FLAGS.output:
        content = {"suite": suite, "machine": machine(), **content}
        with io.write_file(FLAGS.output, "w") as file:
            json.dump(content, file, indent=1)


def _run(suite: str) -> dict:
    """Runs a suite of workloads; returns its facts and results."""
    if FLAGS.threads:
        tf.config.threading.set_intra_op_parallelism_threads(FLAGS.threads)
        tf.config.threading.set_inter_op_parallelism_threads(FLAGS.threads)
    results, facts = {}, {}
    for workload in SUITES[suite](FLAGS.peers):
        print(f"{workload.name} ...", flush=True)
        results[workload.name] = measure(workload.variants, FLAGS.repeats)
        facts.update(workload.facts(results[workload.name]))
    print(table(results))
    return {
        "facts": facts,
        "results": {
            workload: {name: t._asdict() for name, t in timings.items()}
            for workload, timings in results.items()
        },
    }


def _rasterize() -> dict:
    """Runs the suite of the rasterisers; returns its results."""
    options = benchmark_rasterize.Options(
        scenes=FLAGS.scenes,
        workloads=FLAGS.workload,
        forms=FLAGS.forms,
        threads=(FLAGS.threads,) if FLAGS.threads else (1, 2),
        repeats=FLAGS.repeats,
        peers=FLAGS.peers,
        quick=FLAGS.quick,
        plot=FLAGS.plot,
    )
    return {"results": benchmark_rasterize.run(options)}


if __name__ == "__main__":
    define_flags()
    cli.run(main, positional=1)
