"""Inspection: a model that could do more than compute is found without running it."""

import re

import pytest
import tensorflow as tf
from tensorflow.python.framework import op_def_registry

from tfrender.export import inspect
from tfrender.export.stock_ops import SAVER_OPS, STOCK_OPS
from tfrender.io.errors import FormatError

FORBIDDEN = re.compile(
    "(Read|Write)File|MatchingFiles|PyFunc|LoadLibrary|Print|Summary|Dataset|Iterator|"
    "FromFile|Save|Restore|XlaCallModule|Remote|Send|Recv|Debug|Collective"
)


class Model(tf.Module):
    def __init__(self, function):
        super().__init__()
        self.weight = tf.Variable(2.0)
        spec = tf.TensorSpec([None, 3], tf.float32, name="x")
        self.serve = tf.function(
            lambda x: {"y": self.weight * function(x)}, input_signature=[spec]
        )


def save(folder, function):
    model = Model(function)
    concrete = model.serve.get_concrete_function()
    tf.saved_model.save(model, str(folder), signatures={"serve": concrete})
    return str(folder)


def test_every_allowed_op_is_registered_in_stock_tensorflow():
    names = STOCK_OPS | SAVER_OPS
    assert [name for name in sorted(names) if op_def_registry.get(name) is None] == []


def test_no_allowed_op_touches_files_python_or_the_network():
    assert [name for name in STOCK_OPS if FORBIDDEN.search(name)] == []


def test_plain_computation_passes_with_its_own_saver(tmp_path):
    def compute(x):
        steps = tf.while_loop(lambda i, _: i < 3, lambda i, x: (i + 1, x * 2), (0, x))
        return tf.cond(tf.size(x) > 3, lambda: steps[1], lambda: tf.cumsum(x, axis=1))

    folder = save(tmp_path / "model", compute)
    inspect.check_stock_ops(folder)
    ops = inspect.list_ops(folder)
    assert ops["SaveV2"] == 1 and ops["Mul"] > 0
    assert list(ops) == sorted(ops)


def test_signatures_are_read_without_loading(tmp_path):
    wire = inspect.signatures(save(tmp_path / "model", tf.identity))["serve"]
    assert wire.inputs["x"].shape.as_list() == [None, 3]
    assert wire.inputs["x"].dtype == tf.float32
    assert list(wire.outputs) == ["y"]


def reads_a_file(x):
    return x + tf.strings.to_number(tf.io.read_file("/etc/hostname"))


def writes_a_file(x):
    with tf.control_dependencies([tf.io.write_file("/tmp/never-written", "x")]):
        return tf.identity(x)


def calls_python(x):
    return tf.ensure_shape(tf.py_function(abs, [x], tf.float32), [None, 3])


def prints(x):
    tf.print(x)
    return x


def deep_inside(x):
    return tf.cond(tf.size(x) > 99, lambda: writes_a_file(x), lambda: x)


def restores(x):
    return (
        x
        + tf.raw_ops.RestoreV2(
            prefix="a", tensor_names=["b"], shape_and_slices=[""], dtypes=[tf.float32]
        )[0]
    )


def datasets(x):
    return x + tf.cast(
        tf.data.Dataset.range(3).reduce(tf.int64.min, max_of), tf.float32
    )


def max_of(left, right):
    return tf.maximum(left, right)


@pytest.mark.parametrize(
    ("function", "op"),
    [
        (reads_a_file, "ReadFile"),
        (writes_a_file, "WriteFile"),
        (calls_python, "EagerPyFunc"),
        (prints, "PrintV2"),
        (deep_inside, "WriteFile"),
        (restores, "RestoreV2"),
        (datasets, "Dataset"),
    ],
)
def test_an_op_that_does_more_is_named(tmp_path, function, op):
    folder = save(tmp_path / "model", function)
    with pytest.raises(FormatError, match=op) as error:
        inspect.check_stock_ops(folder)
    assert folder in str(error.value) and "\n" not in str(error.value)


def test_the_list_may_be_widened_on_purpose(tmp_path):
    folder = save(tmp_path / "model", reads_a_file)
    inspect.check_stock_ops(folder, allowed=["ReadFile"])


def test_a_saver_that_something_else_calls_is_no_saver(tmp_path):
    folder = save(tmp_path / "model", tf.identity)
    path = tmp_path / "model" / "saved_model.pb"
    from tensorflow.core.protobuf import saved_model_pb2

    model = saved_model_pb2.SavedModel()
    model.ParseFromString(path.read_bytes())
    graph = model.meta_graphs[0].graph_def
    saver = [f for f in graph.library.function if "traced_save" in f.signature.name][0]
    node = graph.node.add(name="trojan", op="StatefulPartitionedCall")
    node.attr["f"].func.name = saver.signature.name
    path.write_bytes(model.SerializeToString())
    with pytest.raises(FormatError, match="SaveV2 in __inference__traced_save"):
        inspect.check_stock_ops(folder)


def test_a_name_does_not_make_a_saver(tmp_path):
    def _traced_save(x):
        return restores(x)

    folder = save(tmp_path / "model", tf.function(_traced_save))
    with pytest.raises(FormatError, match="RestoreV2"):
        inspect.check_stock_ops(folder)


@pytest.mark.parametrize("content", [b"", b"\xff" * 100])
def test_a_broken_file_is_named(tmp_path, content):
    (tmp_path / "saved_model.pb").write_bytes(content)
    with pytest.raises(FormatError, match="saved_model.pb"):
        inspect.list_ops(str(tmp_path))
    with pytest.raises(FileNotFoundError, match="saved_model.pb"):
        inspect.list_ops(str(tmp_path / "none"))
