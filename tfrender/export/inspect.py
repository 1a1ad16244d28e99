"""Looks into a SavedModel without running it: signatures, ops, and whether to trust it.

A SavedModel is a program. `check_stock_ops` refuses one that could read or write files,
call Python, or needs an op that stock TensorFlow does not have.
"""

import collections
import pathlib
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import tensorflow as tf

from tfrender.export.stock_ops import SAVER_OPS, STOCK_OPS
from tfrender.io.errors import FormatError


class Wire(NamedTuple):
    """Names, shapes and types that a client of one signature sees."""

    inputs: Mapping[str, tf.TensorSpec]
    outputs: Mapping[str, tf.TensorSpec]


def signatures(directory: str) -> dict[str, Wire]:
    """Signatures of a SavedModel, read from its file alone.

    Args:
        directory: folder with saved_model.pb.

    Returns:
        signature name -> names, shapes and types.

    Raises:
        FileNotFoundError, FormatError: no such model, or a broken one.
    """
    return {
        name: Wire(_specs(signature.inputs), _specs(signature.outputs))
        for name, signature in _graph(directory).signature_def.items()
        if not name.startswith("__")  # the initialiser is no signature of ours
    }


def list_ops(directory: str) -> dict[str, int]:
    """Op names of a SavedModel and how often each occurs, functions included.

    Args:
        directory: folder with saved_model.pb.

    Returns:
        op name -> count, in alphabetical order.
    """
    graph = _graph(directory).graph_def
    counts = collections.Counter(node.op for node in graph.node)
    for function in graph.library.function:
        counts.update(node.op for node in function.node_def)
    own = {function.signature.name for function in graph.library.function}
    return {op: counts[op] for op in sorted(counts) if op not in own}


def check_stock_ops(directory: str, allowed: Iterable[str] = ()) -> None:
    """Refuses a SavedModel that holds an op outside the list of `stock_ops`.

    The ops that load and save a model's own variables are accepted in the functions of
    its saver, unless something else reaches those functions too.

    Args:
        directory: folder with saved_model.pb.
        allowed: further op names to accept.

    Raises:
        FormatError: naming the ops and the functions that hold them.
    """
    meta = _graph(directory)
    graph = meta.graph_def
    library = {function.signature.name: function for function in graph.library.function}
    saver = meta.saver_def
    doors = {
        saver.save_tensor_name.split(":")[0],
        saver.restore_op_name.split(":")[0],
    }
    own = [node for node in graph.node if node.name not in doors]
    entries = set(meta.object_graph_def.concrete_functions)
    ordinary = _reach(library, [*_called(own, library), *sorted(entries)])
    of_saver = _reach(
        library, _called([n for n in graph.node if n.name in doors], library)
    )
    stock = STOCK_OPS | frozenset(allowed) | frozenset(library)
    found = collections.defaultdict(set)
    for node in graph.node:
        if node.op not in stock:
            found[node.op].add("the graph")
    for name, function in library.items():
        lenient = name in of_saver and name not in ordinary
        accepted = stock | SAVER_OPS if lenient else stock
        for node in function.node_def:
            if node.op not in accepted:
                found[node.op].add(name)
    if found:
        text = "; ".join(f"{op} in {sorted(found[op])[0]}" for op in sorted(found))
        raise FormatError(
            f"{directory}: expected stock computation only, found {text}. Such a model "
            "may read files or run code, or needs a server with extra ops."
        )


def _graph(directory: str):
    """The only meta graph of a SavedModel."""
    from tensorflow.core.protobuf import saved_model_pb2

    path = pathlib.Path(directory) / "saved_model.pb"
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file; a SavedModel folder holds it.")
    model = saved_model_pb2.SavedModel()
    try:
        model.ParseFromString(path.read_bytes())
    # The protobuf package has no public name for its decoding error.
    except Exception as error:
        raise FormatError(f"{path}: expected a SavedModel, found {error}.") from error
    if len(model.meta_graphs) != 1:
        raise FormatError(
            f"{path}: expected one graph, found {len(model.meta_graphs)}."
        )
    return model.meta_graphs[0]


def _specs(entries) -> dict[str, tf.TensorSpec]:
    specs = {}
    for name in sorted(entries):
        info = entries[name]
        shape = tf.TensorShape(info.tensor_shape)
        specs[name] = tf.TensorSpec(shape, tf.as_dtype(info.dtype), name=name)
    return specs


def _called(nodes, library) -> list[str]:
    """Names of the library functions that these nodes call."""
    names = []
    for node in nodes:
        if node.op in library:
            names.append(node.op)
        for attribute in node.attr.values():
            if attribute.HasField("func"):
                names.append(attribute.func.name)
            names.extend(function.name for function in attribute.list.func)
    return [name for name in names if name in library]


def _reach(library, names: Iterable[str]) -> set[str]:
    """Library functions that can be called from these, themselves included."""
    todo, seen = list(names), set()
    while todo:
        name = todo.pop()
        if name not in seen and name in library:
            seen.add(name)
            todo.extend(_called(library[name].node_def, library))
    return seen
