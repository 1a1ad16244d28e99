"""SavedModels for a stock server: guarded inputs, named outputs, one visible rename."""

import os
import pathlib
import shutil
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import tensorflow as tf

from tfrender.export import inspect
from tfrender.io.errors import FormatError


def guard(
    tensor: tf.Tensor,
    shape: Sequence[int | None],
    name: str,
    low: float | None = None,
    high: float | None = None,
    max_batch: int | None = 64,
) -> tf.Tensor:
    """Checks an input inside an exported function.

    A SavedModel signature checks dtypes alone: another shape, NaN or an angle of 1e9
    would be answered with a plausible picture. These checks are ops of the graph, so a
    server makes them too. TFLite drops them; `lite.LiteModel` checks there.

    Args:
        tensor: input of the signature.
        shape: expected shape, None where any size will do.
        name: of the input, for the message.
        low: smallest value accepted; None accepts all.
        high: largest value accepted; None accepts all.
        max_batch: most examples in one request; None accepts all. A huge batch would
            end the server by exhausting its memory.

    Returns:
        the same values, to be used in place of `tensor`. Gradient: passed through.
        An empty batch passes, but oneDNN's convolutions (TensorFlow 2.21, CPU) answer
        it with an error or the wrong number of channels.
    """
    tensor = tf.ensure_shape(tensor, shape, name=f"{name}_shape")
    debug = tf.debugging
    conditions = []
    if max_batch is not None:
        message = f"tfrender: `{name}` holds more than {max_batch} examples"
        conditions.append(
            debug.assert_less_equal(tf.shape(tensor)[0], max_batch, message=message)
        )
    if tensor.dtype.is_floating:
        tensor = debug.check_numerics(tensor, f"tfrender: `{name}` holds NaN or Inf")
    if low is not None:
        message = f"tfrender: `{name}` must be at least {low}"
        bound = tf.cast(low, tensor.dtype)
        conditions.append(debug.assert_greater_equal(tensor, bound, message=message))
    if high is not None:
        message = f"tfrender: `{name}` must be at most {high}"
        bound = tf.cast(high, tensor.dtype)
        conditions.append(debug.assert_less_equal(tensor, bound, message=message))
    # In eager mode an assertion returns None.
    with tf.control_dependencies([c for c in conditions if c is not None]):
        return tf.identity(tensor)


def same_count(**inputs: tf.Tensor) -> tf.Tensor:
    """Checks inside an exported function that two inputs hold as many examples.

    Args:
        **inputs: two tensors by the names that the message gives.

    Returns:
        scalar int32, the number of examples.
    """
    (first, a), (second, b) = inputs.items()
    count = tf.shape(a)[0]
    check = tf.debugging.assert_equal(
        count,
        tf.shape(b)[0],
        message=f"tfrender: `{first}` and `{second}` must hold as many examples",
    )
    with tf.control_dependencies([check]):
        return tf.identity(count)


def pad_empty(tensor: tf.Tensor, value: float = 0.0) -> tf.Tensor:
    """Gives an empty batch one example, inside an exported function.

    The convolutions of some builds fail on an empty batch: one example is answered for
    it, and left out of the answer by `answer[:count]`.

    Args:
        tensor: [B, ...].
        value: of the example.

    Returns:
        [max(B, 1), ...].
    """
    missing = tf.cast(tf.equal(tf.shape(tensor)[0], 0), tf.int32)
    paddings = [[0, missing]] + (tensor.shape.rank - 1) * [[0, 0]]
    return tf.pad(tensor, paddings, constant_values=value)


def write_saved_model(
    directory: str,
    module: tf.Module,
    signatures: Mapping[str, Callable],
    numbered: bool = False,
    allowed_ops: Sequence[str] = (),
) -> str:
    """Writes a SavedModel that is complete the moment it becomes visible.

    Built in a sibling folder whose name is no number, checked there (names, dynamic
    batch, finite weights, stock ops only), flushed to disk, then renamed.

    Args:
        directory: folder of the model, replaced when it holds an older one; with
            `numbered`, the base folder of TF Serving.
        module: owns every variable that the functions use.
        signatures: name -> concrete function with named inputs [None, ...] and a dict
            of outputs.
        numbered: write directory/N, N one more than the largest there. Older versions
            stay for a roll-back.
        allowed_ops: op names to accept beside the list in `stock_ops`.

    Returns:
        the folder written.

    Raises:
        ValueError: a signature is not fit for serving, or weights are not finite.
        FormatError: an op that stock TensorFlow should not be asked to run.
    """
    for name, function in signatures.items():
        _check_signature(name, function)
    base = pathlib.Path(directory)
    folder = base / str(_next_version(base)) if numbered else base
    if not numbered and folder.exists() and any(folder.iterdir()):
        if not (folder / "saved_model.pb").exists():
            raise ValueError(f"{folder}: exists and is no SavedModel; not replaced.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = folder.parent / f".{folder.name}.tmp-{os.getpid()}"
    shutil.rmtree(aside, ignore_errors=True)
    try:
        tf.saved_model.save(module, str(aside), signatures=dict(signatures))
        inspect.check_stock_ops(str(aside), allowed_ops)
        _check_finite(aside)
        _flush(aside)
        if folder.exists():
            old = folder.with_name(f".{folder.name}.old-{os.getpid()}")
            os.rename(folder, old)
            os.rename(aside, folder)
            shutil.rmtree(old, ignore_errors=True)
        else:
            os.rename(aside, folder)
    except tf.errors.OpError as error:
        text = str(error).splitlines()[0]
        raise OSError(f"{folder}: cannot write the model: {text}") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return str(folder)


class Signature:
    """One signature of a loaded SavedModel, called with NumPy arrays by name.

    Attributes:
        inputs: name -> tf.TensorSpec.
        outputs: name -> tf.TensorSpec.
        graph: the function itself, for use inside another graph or under a tape.
    """

    def __init__(self, directory: str, name: str, wire: inspect.Wire, function):
        """Made by `load_signature`."""
        self.inputs, self.outputs = wire.inputs, wire.outputs
        self._where = f"{directory}, signature {name}"
        self.graph = function

    def __call__(self, **inputs) -> dict[str, np.ndarray]:
        """Runs the signature.

        Args:
            **inputs: arrays by input name, cast to the declared type.

        Returns:
            output name -> array.

        Raises:
            ValueError: an unknown or missing input, or a value that the model's own
                guards refuse.
        """
        if set(inputs) != set(self.inputs):
            raise ValueError(
                f"{self._where}: expected inputs {sorted(self.inputs)}; "
                f"got {sorted(inputs)}."
            )
        values = {
            name: tf.convert_to_tensor(
                np.asarray(inputs[name], spec.dtype.as_numpy_dtype)
            )
            for name, spec in self.inputs.items()
        }
        for name, spec in self.inputs.items():
            if not spec.shape.is_compatible_with(values[name].shape):
                raise ValueError(
                    f"{self._where}: `{name}` must be {spec.shape}; "
                    f"got {values[name].shape}."
                )
        try:
            outputs = self.graph(**values)
        except tf.errors.InvalidArgumentError as error:
            raise ValueError(f"{self._where}: {_reason(error)}") from error
        return {name: value.numpy() for name, value in outputs.items()}


def load_signature(directory: str, name: str = "serving_default") -> Signature:
    """Loads one signature of a SavedModel that holds stock ops only.

    Args:
        directory: folder with saved_model.pb.
        name: of the signature.

    Returns:
        the signature; it keeps the model alive.

    Raises:
        FileNotFoundError, FormatError: no such model, a broken one, or one with ops
            that could do more than compute.
        ValueError: no such signature.
    """
    inspect.check_stock_ops(directory)
    wires = inspect.signatures(directory)
    if name not in wires:
        raise ValueError(
            f"{directory}: expected a signature {name!r}, found {sorted(wires)}."
        )
    try:
        loaded = tf.saved_model.load(directory)
    except (OSError, ValueError, tf.errors.OpError) as error:
        text = " ".join(str(error).split())[:160]
        raise FormatError(f"{directory}: the model is damaged ({text}).") from error
    function = loaded.signatures[name]
    function.model = loaded  # a signature alone does not keep its variables
    return Signature(directory, name, wires[name], function)


def _check_signature(name: str, function) -> None:
    """Named inputs with a free first axis, and a dict of outputs."""
    specs = function.structured_input_signature
    named = {**specs[1]}
    named.update({getattr(spec, "name", None) or "": spec for spec in specs[0]})
    for key, spec in named.items():
        if not key or not isinstance(spec, tf.TensorSpec):
            raise ValueError(
                f"signature {name!r}: every input needs a name; got {spec}."
            )
        if spec.shape.rank == 0 or (spec.shape.rank and spec.shape[0] is not None):
            raise ValueError(
                f"signature {name!r}: `{key}` must have a free first axis; "
                f"got {spec.shape}."
            )
    if not isinstance(function.structured_outputs, Mapping):
        raise ValueError(
            f"signature {name!r}: expected a dict of outputs; "
            f"got {type(function.structured_outputs).__name__}."
        )
    parts = function.graph.as_graph_def().library.function
    if any(part.attr["_XlaMustCompile"].b for part in parts):
        raise ValueError(
            f"signature {name!r}: expected the graph form of renderers, which servers "
            "without XLA can run; got the XLA form. Trace the function inside "
            '`with tfrender.ops.default_form("graph"):`.'
        )


def _next_version(base: pathlib.Path) -> int:
    names = [path.name for path in base.iterdir()] if base.exists() else []
    return 1 + max((int(name) for name in names if name.isdigit()), default=0)


def _check_finite(folder: pathlib.Path) -> None:
    reader = tf.train.load_checkpoint(str(folder / "variables" / "variables"))
    for name, dtype in reader.get_variable_to_dtype_map().items():
        if dtype.is_floating and not np.isfinite(reader.get_tensor(name)).all():
            raise ValueError(f"{name} holds values that are not finite; not exported.")


def _flush(folder: pathlib.Path) -> None:
    """Forces every file to disk, so that the rename cannot overtake the bytes."""
    for path in folder.rglob("*"):
        if path.is_file():
            with open(path, "rb") as file:
                os.fsync(file.fileno())


def _reason(error: Exception) -> str:
    """The line of a graph error that says what was wrong."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if "tfrender:" in line or "Shape of" in line]
    return (told or lines)[0]
