"""TFLite / LiteRT files: conversion, a reader that checks inputs, and a comparison.

A converted model keeps no guard of the SavedModel (they vanish without a warning), so
`LiteModel` checks names, shapes, types and finiteness before it runs.
"""

import os
import pathlib
import re
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf

from tfrender import checks, io
from tfrender.io.errors import FormatError

SIGNATURE = "serving_default"
KINDS = ("float32", "float16", "dynamic_int8")


def write_lite(path: str, concrete_function, kind: str = "float32") -> int:
    """Converts a concrete function to a TFLite file of built-in ops.

    Args:
        path: file to write; the whole file appears or none.
        concrete_function: with named inputs; shapes static but for the first axis.
        kind: "float32"; "float16", weights in half the bytes and the same speed; or
            "dynamic_int8", weights in 8 bits, activations in float.

    Returns:
        size in bytes.

    Raises:
        ValueError: an op has no TFLite form (the message names it), or an input has
            an unknown rank.
    """
    checks.one_of("kind", kind, KINDS)
    given = concrete_function.structured_input_signature
    for spec in tf.nest.flatten(given):
        if spec.shape.rank is None:
            raise ValueError(f"`{spec.name}` must have a known rank; got {spec.shape}.")
    with tempfile.TemporaryDirectory() as folder:
        # Through a SavedModel, whose signature keeps the names; the direct route
        # (`from_concrete_functions`) numbers the outputs, and writes uninitialised
        # weights when it is given a Keras model as their owner.
        owner = tf.Module()
        owner.kept = list(concrete_function.graph.variables)
        tf.saved_model.save(owner, folder, signatures={SIGNATURE: concrete_function})
        content = _convert(path, folder, kind)
    with io.write_file(path) as file:
        file.write(content)
    return len(content)


def _convert(path: str, folder: str, kind: str) -> bytes:
    converter = tf.lite.TFLiteConverter.from_saved_model(
        folder, signature_keys=[SIGNATURE]
    )
    if kind != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if kind == "float16":
        converter.target_spec.supported_types = [tf.float16]
    try:
        return converter.convert()
    # The converter raises its own class, which has no public name.
    except Exception as error:
        text = str(error)
        ops = sorted(set(re.findall(r"'tf\.(\w+)' op is neither", text)))
        reason = f"no TFLite form of {', '.join(ops)}" if ops else text.split("\n")[0]
        raise ValueError(f"{path}: cannot be converted ({reason[:300]}).") from error


class LiteModel:
    """A TFLite file as a function of named arrays.

    Attributes:
        inputs: name -> shape, None where any size will do.
        outputs: names of the outputs.
    """

    def __init__(self, path: str, threads: int | None = None):
        """Loads a file.

        Args:
            path: .tflite file.
            threads: CPU threads; None leaves the choice to the interpreter.

        Raises:
            FileNotFoundError, FormatError: no such file, or a broken one.
        """
        if not os.path.exists(path):
            raise FileNotFoundError(f"{path}: no such file.")
        self._path = path
        content = pathlib.Path(path).read_bytes()
        if content[4:8] != b"TFL3":
            raise FormatError(f"{path}: expected a TFLite file, found other bytes.")
        try:
            self._interpreter = _interpreter()(
                model_content=content, num_threads=threads
            )
            signatures = self._interpreter.get_signature_list()
            self._runner = self._interpreter.get_signature_runner(
                next(iter(signatures))
            )
        except (ValueError, RuntimeError, StopIteration) as error:
            text = " ".join(str(error).split())[:160]
            raise FormatError(f"{path}: cannot be loaded ({text}).") from error
        self._details = self._runner.get_input_details()
        self.inputs = {
            name: tuple(
                None if size < 0 else int(size) for size in detail["shape_signature"]
            )
            for name, detail in sorted(self._details.items())
        }
        self.outputs = sorted(self._runner.get_output_details())

    def __call__(self, **inputs) -> dict[str, np.ndarray]:
        """Runs the model.

        Args:
            **inputs: arrays by name, cast to the declared type.

        Returns:
            output name -> array.

        Raises:
            ValueError: an unknown or missing input, another shape, NaN or Inf.
        """
        if set(inputs) != set(self.inputs):
            raise ValueError(
                f"{self._path}: expected inputs {sorted(self.inputs)}; "
                f"got {sorted(inputs)}."
            )
        values = {name: self._checked(name, array) for name, array in inputs.items()}
        try:
            outputs = self._runner(**values)
        except (RuntimeError, ValueError) as error:
            text = " ".join(str(error).split())[:160]
            raise ValueError(f"{self._path}: cannot run ({text}).") from error
        return {name: np.array(value) for name, value in outputs.items()}

    def _checked(self, name: str, array) -> np.ndarray:
        value = np.asarray(array)
        expected = self.inputs[name]
        fits = len(value.shape) == len(expected) and all(
            want is None or want == have
            for want, have in zip(expected, value.shape, strict=True)
        )
        if not fits:
            raise ValueError(
                f"{self._path}: `{name}` must be {list(expected)}; "
                f"got {list(value.shape)}."
            )
        if value.dtype.kind not in "fiub":
            raise ValueError(
                f"{self._path}: `{name}` must hold numbers; got {value.dtype}."
            )
        if not np.isfinite(value).all():
            raise ValueError(f"{self._path}: `{name}` holds NaN or Inf.")
        return np.ascontiguousarray(value, self._details[name]["dtype"])


def compare(
    path: str,
    reference: Callable[..., Mapping[str, np.ndarray]],
    inputs: Mapping[str, np.ndarray],
    runs: int = 5,
) -> dict[str, object]:
    """One row of the table in a model card: size, time and error of a TFLite file.

    Args:
        path: .tflite file.
        reference: the same function in TensorFlow, by named arrays.
        inputs: arrays by name; the batch that is timed.
        runs: timed calls; the median counts, the first call does not.

    Returns:
        "file", "bytes", "milliseconds" of one call, "max error" over all outputs that
        are no integers, and "psnr" in dB for values in a range of 1 (inf when equal).
    """
    model = LiteModel(path)
    expected = {name: np.asarray(value) for name, value in reference(**inputs).items()}
    found = model(**inputs)
    if set(found) != set(expected):
        raise ValueError(
            f"{path}: expected outputs {sorted(expected)}, found {sorted(found)}."
        )
    # Indices of faces, say, would hide the error of the numbers beside them.
    numbers = [name for name in expected if expected[name].dtype.kind == "f"]
    difference = np.concatenate(
        [np.ravel(found[name].astype(np.float64) - expected[name]) for name in numbers]
    )
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        model(**inputs)
        seconds.append(time.perf_counter() - start)
    square = float(np.mean(difference**2))
    return {
        "file": os.path.basename(path),
        "bytes": os.path.getsize(path),
        "milliseconds": 1000.0 * statistics.median(seconds),
        "max error": float(np.max(np.abs(difference))),
        "psnr": float("inf") if square == 0 else -10.0 * float(np.log10(square)),
    }


def _interpreter():
    """LiteRT's interpreter where it is installed, else the one inside TensorFlow."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        return tf.lite.Interpreter
    return Interpreter
