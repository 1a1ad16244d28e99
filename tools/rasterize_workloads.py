"""What `tools.benchmark rasterize` times, on one scene in one process.

    python -m tools.rasterize_workloads '{"scene": "torus2k_b1_256", "threads": 1}'

prints one line of JSON for each workload. Every workload has the forms

- xla and graph: the two forms of `tfrender.ops.forms` inside a `tf.function`;
- static: the whole thing inside one `jit_compile=True` function;

the peers, and the baseline, deodr's depth buffer. They run in turn, warm. Seconds are
those of the process on its cores with one thread, wall seconds with more. Gradients are
taken to the vertices.
"""

import ctypes
import gc
import json
import pathlib
import re
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import tensorflow as tf

from tfrender.ops import forms
from tfrender.ops.antialias import antialias_silhouette
from tfrender.ops.neural_rasterize import neural_rasterize
from tfrender.ops.opposite_corners import opposite_corners
from tfrender.ops.rasterize import rasterize
from tfrender.ops.rasterize_corners import face_corners
from tfrender.ops.soft_blend import SoftBlend
from tfrender.ops.soft_rasterize import soft_rasterize
from tools import rasterize_peers as peers
from tools.rasterize_scenes import Scene, make_scene

BASELINE = "deodr hard"
FORMS = ("xla", "static", "graph")
_SECONDS = 1.0  # that every variant runs at least, where calls are short
_PATIENCE = 5.0  # seconds after which the next call is the last
_MOST_CALLS = 50
_DENSE_PAIRS = 2e8  # of face and pixel; beyond, the dense graph form is left out


class Workload(NamedTuple):
    """One line of comparison.

    Attributes:
        make: (scene, form) -> function of clip coordinates, traced later.
        peers: (scene, threads) -> name -> function or text.
        dense: does the graph form meet every face with every pixel?
    """

    make: Callable
    peers: Callable = lambda scene, threads: {}
    dense: bool = False


def _hard(cull="none", backward=False):
    def make(scene, form):
        def call(clip):
            found = rasterize(
                clip, scene.faces, scene.image_size, cull=cull, form=_plain(form)
            )
            loss = tf.reduce_sum(found.barycentric[..., 0]) + tf.reduce_sum(found.depth)
            return loss, (found.face_index, found.barycentric, found.depth)

        return _with_gradient(call) if backward else lambda clip: call(clip)[1]

    def others(scene, threads):
        found = {"pytorch3d": peers.pytorch3d(scene, None, backward, threads)}
        if cull == "back":
            found = {"deodr hard culled": peers.deodr_depth(scene, True)}
        return found

    return Workload(make, others)


def _edges(cull):
    """Face ids, then coverage blended along silhouette edges."""

    def make(scene, form):
        opposite = opposite_corners(tf.constant(scene.faces))

        def call(clip):
            found = rasterize(
                clip, scene.faces, scene.image_size, cull=cull, form=_plain(form)
            )
            alpha = antialias_silhouette(
                found,
                clip,
                scene.faces,
                opposite=opposite,
                form=_plain(form),
            )
            return tf.reduce_sum(alpha**2), (alpha,)

        return _with_gradient(call)

    def others(scene, threads):
        return {"deodr silhouette": peers.deodr_silhouette(scene)}

    return Workload(make, others)


def _soft(sigma, backward, colors=False):
    def make(scene, form):
        shape = [scene.clip_vertices.shape[0], len(scene.faces), 3, 3]
        paint = tf.random.stateless_uniform(shape, [0, 1]) if colors else None

        def call(clip):
            corners = face_corners(_points(clip), scene.faces)
            found = soft_rasterize(
                corners,
                paint,
                scene.image_size,
                blend=SoftBlend(sigma=sigma),
                double_sided=True,
                form=_plain(form),
            )
            loss = tf.reduce_sum(found.alpha**2)
            if not colors:
                return loss, (found.alpha,)
            return loss + tf.reduce_sum(found.rgb**2), (found.alpha, found.rgb)

        return _with_gradient(call) if backward else lambda clip: call(clip)[1]

    def others(scene, threads):
        if colors:
            return {}
        return {"pytorch3d": peers.pytorch3d(scene, sigma, backward, threads)}

    return Workload(make, others, dense=True)


def _neural():
    def make(scene, form):
        def call(clip):
            corners = face_corners(_points(clip), scene.faces)
            with forms.default_form(_plain(form)):
                found = neural_rasterize(corners, scene.image_size)
            return found.face_index, found.weights, found.depth

        return call

    return Workload(make)


WORKLOADS = {
    "hard": _hard(),
    "hard culled": _hard(cull="back"),
    "hard + backward": _hard(backward=True),
    "neural, hard": _neural(),
    "silhouette, edges, f+b": _edges("none"),
    "silhouette, edges, culled, f+b": _edges("back"),
    "soft 1e-4": _soft(1e-4, False),
    "soft 1e-4, f+b": _soft(1e-4, True),
    "soft 1e-5": _soft(1e-5, False),
    "soft 1e-5, f+b": _soft(1e-5, True),
    "soft rgb 1e-4, f+b": _soft(1e-4, True, colors=True),
    "soft rgb 1e-5, f+b": _soft(1e-5, True, colors=True),
}


def run(scene: Scene, settings: dict) -> Iterator[dict]:
    """Times the workloads of one scene.

    Args:
        scene: Scene.
        settings: `workloads` (names), `forms` (names), `threads`, `repeats`, `peers`
            (time other libraries too) and `quick` (no more calls than `repeats`).

    Yields:
        For each workload, a dictionary of its name and its variants: figures of
        `timed`, or {"note": why there are none}.
    """
    base = peers.deodr_depth(scene, False) if settings["peers"] else None
    for name in settings["workloads"]:
        work = WORKLOADS[name]
        variants = {
            form: _variant(work, scene, form)
            for form in FORMS
            if form in settings["forms"]
        }
        if settings["peers"]:
            variants.update(work.peers(scene, settings["threads"]))
            variants[BASELINE] = base
        yield {"workload": name, "variants": timed(variants, settings)}


def _variant(work: Workload, scene: Scene, form: str):
    """Function without arguments, or why there is none."""
    pairs = len(scene.faces) * scene.clip_vertices.shape[0]
    pairs *= scene.image_size[0] * scene.image_size[1]
    if work.dense and form == "graph" and pairs > _DENSE_PAIRS:
        return f"left out: {pairs:.1e} pairs of face and pixel"
    call = tf.function(
        work.make(scene, form), jit_compile=form == "static" or None, autograph=False
    )
    return lambda: call(scene.clip_vertices)


def timed(variants: dict[str, Callable | str], settings: dict) -> dict[str, dict]:
    """Times the variants of one workload in turn.

    Args:
        variants: name -> function without arguments, or why it cannot run.
        settings: as `run`.

    Returns:
        name -> `smallest`, `median` and `largest` seconds of `calls` calls, `first`
        (seconds of the first call: tracing and compiling, except what an earlier
        workload has compiled) and `extra_mib` (peak memory of a warm call beyond what
        was held before, results included; TensorFlow counts whole blocks of its pool,
        which are up to twice what was asked for).
    """
    clock = time.process_time if settings["threads"] == 1 else time.perf_counter
    figures, seconds = {}, {}
    for name, call in variants.items():
        try:
            figures[name] = (
                _first_calls(call, clock) if callable(call) else {"note": call}
            )
        except tf.errors.OpError as error:
            figures[name] = {"note": f"failed: {str(error).splitlines()[0][:80]}"}
        if "first" in figures[name]:
            second = figures[name].pop("second")
            seconds[name] = [second] if second > _PATIENCE else []
    waiting = True
    while waiting:
        waiting = [n for n, s in seconds.items() if _wants_more(s, settings)]
        for name in waiting:
            start = clock()
            variants[name]()
            seconds[name].append(clock() - start)
    for name, s in seconds.items():
        figures[name] |= {
            "smallest": min(s),
            "median": statistics.median(s),
            "largest": max(s),
            "calls": len(s),
        }
    return figures


def _wants_more(seconds: list[float], settings: dict) -> bool:
    """Is another call needed?"""
    count, total = len(seconds), sum(seconds)
    if total > _PATIENCE:
        return False
    more = not settings["quick"] and total < _SECONDS and count < _MOST_CALLS
    return count < settings["repeats"] or more


def _first_calls(call: Callable, clock: Callable) -> dict:
    """Seconds of the first two calls and extra memory of the second."""
    start = clock()
    call()
    first = clock() - start
    gc.collect()
    # TensorFlow keeps what it frees, and others do not tell TensorFlow.
    tf.config.experimental.reset_memory_stats("CPU:0")
    held = tf.config.experimental.get_memory_info("CPU:0")["current"]
    process = _reset_peak()
    start = clock()
    call()
    second = clock() - start
    extra = tf.config.experimental.get_memory_info("CPU:0")["peak"] - held
    if process is not None:
        extra = max(extra, 1024 * (_status("VmHWM") - process))
    return {"first": first, "second": second, "extra_mib": extra / 2**20}


def _reset_peak() -> int | None:
    """Makes the present memory the peak; KiB held, or None where that cannot be."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
        pathlib.Path("/proc/self/clear_refs").write_text("5")
        return _status("VmRSS")
    except (OSError, AttributeError):
        return None


def _status(key: str) -> int:
    """KiB of an entry of this process."""
    text = pathlib.Path("/proc/self/status").read_text()
    return int(re.search(rf"{key}:\s+(\d+) kB", text)[1])


def _plain(form: str) -> str:
    return "graph" if form == "graph" else "xla"


def _points(clip):
    """X and y in NDC and depth, [B, V, 3]."""
    return tf.concat([clip[..., :2] / clip[..., 3:], clip[..., 3:]], axis=-1)


def _with_gradient(call):
    """call: clip -> (loss, values); values and the gradient of the loss in clip."""

    def both(clip):
        with tf.GradientTape() as tape:
            tape.watch(clip)
            loss, values = call(clip)
        return *values, tape.gradient(loss, clip)

    return both


def main(settings: dict) -> None:
    """Prints a line of JSON for each workload of a scene."""
    tf.config.threading.set_intra_op_parallelism_threads(settings["threads"])
    tf.config.threading.set_inter_op_parallelism_threads(settings["threads"])
    defaults = {
        "workloads": list(WORKLOADS),
        "forms": FORMS,
        "repeats": 7,
        "peers": True,
        "quick": False,
    }
    settings = {**defaults, **settings}
    for line in run(make_scene(settings["scene"]), settings):
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
