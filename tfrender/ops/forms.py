"""The two forms in which a renderer's inner loops run.

`"xla"` compiles the loops into one XLA program: several times faster, what GPUs and
TPUs want, and needed inside a `jit_compile=True` function. The first call for a shape
costs 3 to 11 seconds of compilation. `"graph"` uses plain TensorFlow operations with
dynamic shapes: nothing to compile, and it runs in a server that has no XLA, so exports
are made in this form. Both give the same result.
"""

import contextlib
import contextvars
import functools
import os

import tensorflow as tf

from tfrender import checks

FORMS = ("xla", "graph")
_default = contextvars.ContextVar("form", default="xla")


def resolve(form: str | None) -> str:
    """Returns the form to use: the one asked for, or the current default.

    Args:
        form: "xla", "graph" or None.

    Returns:
        "xla" or "graph".

    Raises:
        ValueError: for another word.
    """
    checks.one_of("form", form, (None, *FORMS))
    return form or _default.get()


@contextlib.contextmanager
def default_form(form: str):
    """Makes a form the default of every renderer called (or traced) inside.

    Args:
        form: "xla" or "graph".

    Yields:
        None.

    Raises:
        ValueError: for another word.
    """
    checks.one_of("form", form, FORMS)
    token = _default.set(form)
    try:
        yield
    finally:
        _default.reset(token)


def compiled(function):
    """Decorator: compiles a function of tensors into one XLA program per shape.

    Args:
        function: takes tensors, and Python numbers and strings that select a variant.

    Returns:
        The compiled function.
    """
    return tf.function(function, jit_compile=True, autograph=False)


def bucket(count: int | tf.Tensor):
    """Rounds a count up to one of eight sizes an octave.

    Meshes of many sizes then share a few compiled programs, for at most 12.5% padding.

    Args:
        count: number of rows, an int or a scalar int32 tensor.

    Returns:
        The size, at least 64, of the type of `count`.
    """
    if isinstance(count, int):
        step = 8
        while step * 16 < count:
            step *= 2
        return max(64, -(-count // step) * step)
    steps = 8 * 2 ** tf.range(24)  # count <= 16 * step picks the step
    step = steps[tf.reduce_sum(tf.cast(steps * 16 < count, tf.int32))]
    return tf.maximum(64, (count + step - 1) // step * step)


def pad_rows(rows: tf.Tensor, axis: int, value) -> tf.Tensor:
    """Pads an axis up to its bucket, where one graph may meet many sizes.

    Args:
        rows: tensor of any shape.
        axis: axis to pad.
        value: what to pad with.

    Returns:
        The padded tensor; inside a graph an axis of known size is left alone, because
        another size means another graph anyway.
    """
    if rows.shape[axis] is not None and not tf.executing_eagerly():
        return rows
    count = rows.shape[axis] if tf.executing_eagerly() else tf.shape(rows)[axis]
    more = bucket(count) - count
    widths = [[0, more if i == axis else 0] for i in range(rows.shape.rank)]
    return tf.pad(rows, widths, constant_values=value)


@functools.cache
def cores() -> int:
    """Number of processor cores that independent operations may use.

    Returns:
        A count, at least 1.
    """
    asked = tf.config.threading.get_inter_op_parallelism_threads()
    have = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    return max(1, min(asked or have, have))


def by_parts(function, settings: tuple, batch, *arguments):
    """Runs a function on several parts of a batch at the same time.

    XLA's scatters use one core; two programs of half the batch use two. To be called
    inside a graph: eager calls run one after the other.

    Args:
        function: takes the tensors and the settings, and returns a tuple of tensors,
            all with the batch on the first axis.
        settings: values that select a variant of the function.
        batch: number of items B, or None where it is unknown.
        *arguments: tensors [B, ...], or [1, ...] to be shared by all parts.

    Returns:
        The tuple of the whole batch.
    """
    parts = min(cores(), (batch or 0) // 4)
    if parts < 2:
        return function(*arguments, *settings)
    ends = [batch * i // parts for i in range(parts + 1)]
    results = [
        function(*(a if a.shape[0] == 1 else a[i:j] for a in arguments), *settings)
        for i, j in zip(ends[:-1], ends[1:], strict=True)
    ]
    return tuple(tf.concat(values, 0) for values in zip(*results, strict=True))
