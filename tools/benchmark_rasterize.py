"""The suite `tools.benchmark rasterize`: runs the scenes, makes tables and a plot.

Each scene and number of threads has a process of its own (`tools.rasterize_workloads`).
With one thread the figures are seconds of the processor, whose minimum says most on a
busy machine; with more they are wall seconds, whose median does.
"""

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from tfrender import checks, io
from tools.rasterize_scenes import SCENES, make_scene
from tools.rasterize_workloads import BASELINE, FORMS, WORKLOADS

_QUICK = ("hard", "soft 1e-5, f+b")
# What the summary compares: title -> (workload, variant) above and below the line.
_RATIOS = {
    "hard / deodr hard": (("hard", "xla"), ("hard", BASELINE)),
    "hard culled / deodr culled": (
        ("hard culled", "xla"),
        ("hard culled", "deodr hard culled"),
    ),
    "hard + backward / hard": (("hard + backward", "xla"), ("hard", "xla")),
    "hard, static / xla": (("hard", "static"), ("hard", "xla")),
    "hard, graph / xla": (("hard", "graph"), ("hard", "xla")),
    "hard / PyTorch3D": (("hard", "xla"), ("hard", "pytorch3d")),
    "silhouette, edges / deodr's": (
        ("silhouette, edges, culled, f+b", "xla"),
        ("silhouette, edges, culled, f+b", "deodr silhouette"),
    ),
    "same, static": (
        ("silhouette, edges, culled, f+b", "static"),
        ("silhouette, edges, culled, f+b", "deodr silhouette"),
    ),
    "soft 1e-5, f+b / deodr's edges": (
        ("soft 1e-5, f+b", "xla"),
        ("silhouette, edges, culled, f+b", "deodr silhouette"),
    ),
    "soft 1e-4, f+b / PyTorch3D": (
        ("soft 1e-4, f+b", "xla"),
        ("soft 1e-4, f+b", "pytorch3d"),
    ),
    "soft rgb / silhouette, 1e-4": (
        ("soft rgb 1e-4, f+b", "xla"),
        ("soft 1e-4, f+b", "xla"),
    ),
    "soft rgb / silhouette, 1e-5": (
        ("soft rgb 1e-5, f+b", "xla"),
        ("soft 1e-5, f+b", "xla"),
    ),
}


class Options(NamedTuple):
    """What to run.

    Attributes:
        scenes: names of scenes; empty for all.
        workloads: names of workloads; empty for all, or for two with `quick`.
        forms: of `rasterize_workloads.FORMS`; empty for all, or for xla with `quick`.
        threads: numbers of threads, each a run of its own.
        repeats: smallest number of timed calls, where calls are not slow.
        peers: time other libraries too.
        quick: few workloads and calls.
        plot: PNG file to write, or None.
    """

    scenes: list[str]
    workloads: list[str]
    forms: list[str]
    threads: tuple[int, ...]
    repeats: int
    peers: bool
    quick: bool
    plot: str | None


def run(options: Options) -> dict[str, dict[str, dict]]:
    """Runs the suite and prints its tables.

    Args:
        options: Options.

    Returns:
        "scene, threads" -> workload -> variant -> figures of
        `rasterize_workloads.timed`.

    Raises:
        ValueError: for names that do not exist.
    """
    options = _with_defaults(options)
    results = {}
    for threads in options.threads:
        for scene in options.scenes:
            key = f"{scene}, {threads} thread{'s' * (threads > 1)}"
            print(f"{key} ...", flush=True)
            results[key] = _run_scene(scene, threads, options)
    for threads in options.threads:
        mine = {
            key: found
            for key, found in results.items()
            if key.split(", ")[1].split()[0] == str(threads)
        }
        print(table(mine, threads))
        print(summary(mine, threads))
    if {1, 2} <= set(options.threads):
        print(gains(results, options.scenes))
    if options.plot:
        print(plot(options.plot, results, options.threads[0]))
    return results


def _with_defaults(options: Options) -> Options:
    """Fills in the names left open and checks the others."""
    quick = options.quick
    full = {
        "scenes": (options.scenes, tuple(SCENES)),
        "workloads": (options.workloads, _QUICK if quick else tuple(WORKLOADS)),
        "forms": (options.forms, ("xla",) if quick else FORMS),
    }
    known = {"scenes": SCENES, "workloads": WORKLOADS, "forms": FORMS}
    for argument, (given, _) in full.items():
        for name in given:
            checks.one_of(argument, name, known[argument])
    return options._replace(
        **{argument: list(given or names) for argument, (given, names) in full.items()}
    )


def _run_scene(scene: str, threads: int, options: Options) -> dict[str, dict]:
    """Workload -> variant -> figures, measured in a process of its own."""
    settings = {
        "scene": scene,
        "threads": threads,
        **{
            name: getattr(options, name)
            for name in ("workloads", "forms", "repeats", "peers", "quick")
        },
    }
    command = [
        sys.executable,
        "-m",
        "tools.rasterize_workloads",
        json.dumps(settings),
    ]
    number = str(threads)
    environment = {**os.environ, "OMP_NUM_THREADS": number, "MKL_NUM_THREADS": number}
    found = {}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        for line in process.stdout:
            if line.startswith("{"):
                content = json.loads(line)
                found[content["workload"]] = content["variants"]
                print(f"  {content['workload']}", flush=True)
    failed = {"all": {"note": f"failed, status {process.returncode}"}}
    return {name: found.get(name, failed) for name in options.workloads}


def table(results: Mapping[str, dict], threads: int) -> str:
    """Markdown table of all figures.

    Args:
        results: of `run`.
        threads: 1 for seconds of the processor, more for wall seconds.

    Returns:
        Text; the ratio is to deodr's depth buffer, or else to the first variant, by
        the minimum with one thread and by the median with more.
    """
    clock = "CPU" if threads == 1 else "wall"
    lines = [
        f"| scene | workload | variant | {clock} ms, min | median | max | ratio "
        "| first call s | extra MiB | B/px |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for key, workloads in results.items():
        scene = key.split(",")[0]
        pixels = SCENES[scene][2] * SCENES[scene][3] ** 2
        for workload, variants in workloads.items():
            base = _base(variants, threads)
            for name, f in variants.items():
                start = f"| {scene} | {workload} | {name} "
                if "note" in f:
                    lines.append(f"{start}| {f['note']} | | | | | | |")
                    continue
                times = [1e3 * f[k] for k in ("smallest", "median", "largest")]
                cells = [_short(t) for t in times]
                cells.append(_ratio(_figure(f, threads), base))
                cells += [_short(f["first"]), _short(f["extra_mib"])]
                cells.append(_short(f["extra_mib"] * 2**20 / pixels))
                lines.append(f"{start}| {' | '.join(cells)} |")
    return "\n".join(lines)


def summary(results: Mapping[str, dict], threads: int) -> str:
    """Markdown table of the ratios that say most, a column for each scene.

    Args:
        results: of `run`.
        threads: as `table`.

    Returns:
        Text.
    """
    return _columns(
        [key.split(",")[0] for key in results],
        f"ratio, {threads} thread{'s' * (threads > 1)}",
        {
            title: [
                _ratio(
                    *(_figure(r.get(w, {}).get(v, {}), threads) for w, v in fraction)
                )
                for r in results.values()
            ]
            for title, fraction in _RATIOS.items()
        },
    )


def gains(results: Mapping[str, dict], scenes: Iterable[str]) -> str:
    """Markdown table of processor ms with one thread over wall ms with two.

    Args:
        results: of `run`, with one and with two threads.
        scenes: names.

    Returns:
        Text.
    """
    rows = {}
    for workload in WORKLOADS:
        for form in FORMS:
            cells = []
            for scene in scenes:
                one, two = (
                    results[f"{scene}, {n}"].get(workload, {}).get(form, {})
                    for n in ("1 thread", "2 threads")
                )
                cells.append(_ratio(one.get("median"), two.get("median")))
            rows[f"{workload}, {form}"] = cells
    return _columns(list(scenes), "gain of a second thread", rows)


def _columns(scenes, title, rows) -> str:
    """A table with a column for each scene; rows without a figure are left out."""
    lines = [
        f"\n| {title} | {' | '.join(scenes)} |",
        f"| --- |{' --- |' * len(scenes)}",
    ]
    for name, cells in rows.items():
        if any(cells):
            lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _base(variants: dict, threads: int) -> float | None:
    """Seconds that the others are compared with."""
    baseline = variants.get(BASELINE, {})
    for figures in (baseline, *variants.values()):
        if "median" in figures:
            return _figure(figures, threads)
    return None


def _figure(figures: dict, threads: int) -> float | None:
    """The seconds that count."""
    return figures.get("smallest" if threads == 1 else "median")


def _ratio(above: float | None, below: float | None) -> str:
    return "" if above is None or not below else _short(above / below)


def _short(number: float) -> str:
    return f"{number:.3g}" if number < 999.5 else f"{number:.0f}"


def plot(path: str, results: Mapping[str, dict], threads: int) -> str:
    """Draws time against faces and against pixels, both of the whole batch.

    Args:
        path: PNG file.
        results: of `run`.
        threads: number of threads of the figures shown.

    Returns:
        What was done, for the user.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return f"{path} not written: matplotlib is not installed."
    figure = Figure(figsize=(13, 5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, 2, sharey=True)
    curves: dict[str, list] = {}
    for key, workloads in results.items():
        scene, number = key.split(", ")
        if number.split()[0] != str(threads):
            continue
        made = make_scene(scene)
        batch = made.clip_vertices.shape[0]
        faces, pixels = batch * len(made.faces), batch * np.prod(made.image_size)
        for workload, variants in workloads.items():
            for name, f in variants.items():
                curve = "deodr hard" if name == BASELINE else f"{workload}, {name}"
                wanted = name == "xla" or (name == BASELINE and workload == "hard")
                if wanted and (seconds := _figure(f, threads)):
                    curves.setdefault(curve, []).append((faces, pixels, 1e3 * seconds))
    styles = itertools.cycle(f"C{i}{mark}" for mark in "os^" for i in range(10))
    for curve, points in curves.items():
        style = "kx" if curve == "deodr hard" else next(styles)
        for axis, column in zip(axes, (0, 1), strict=True):
            xs, ys = [p[column] for p in points], [p[2] for p in points]
            axis.plot(xs, ys, style, markersize=5, label=curve)
    for axis, label in zip(axes, ("faces", "pixels"), strict=True):
        axis.set(xscale="log", yscale="log", xlabel=f"{label} of the batch")
        axis.grid(True, which="both", alpha=0.3)
    axes[0].set_ylabel("ms, " + ("CPU minimum" if threads == 1 else "wall median"))
    if curves:
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right")
    with io.write_file(path, "wb") as file:
        figure.savefig(file, format="png", dpi=120)
    return f"{path} written."
