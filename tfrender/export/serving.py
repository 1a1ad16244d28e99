"""Files that TF Serving reads beside a SavedModel: models.config and warm-up requests.

No server binary was available where this was written: the files parse with the server's
own protos, a real server was not run.
"""

import os
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from tfrender.export import inspect

_MAX_WARMUPS = 1000  # the server refuses more
_WARMUP = "tf_serving_warmup_requests"


def models_config(
    name: str,
    base_path: str,
    versions: Sequence[int] = (),
    labels: Mapping[str, int] | None = None,
) -> str:
    """Text of a models.config with one model.

    Args:
        name: of the model, as in /v1/models/NAME.
        base_path: absolute folder of the numbered versions, as the server sees it.
        versions: to serve; empty serves the largest number.
        labels: such as {"stable": 1, "canary": 2}; each must be a served version.

    Raises:
        ValueError: a name or path that cannot be quoted, or a label of no version.
    """
    for what, text in (("name", name), ("base_path", base_path)):
        if not text or set(text) & set('"\\\n'):
            raise ValueError(f"`{what}` must be plain text; got {text!r}.")
    labels = dict(labels or {})
    for label, version in labels.items():
        if version not in versions:
            raise ValueError(
                f"label {label!r} must name one of the versions {list(versions)}; "
                f"got {version}."
            )
    lines = [f'name: "{name}"', f'base_path: "{base_path}"']
    lines.append('model_platform: "tensorflow"')
    if versions:
        numbers = " ".join(f"versions: {version}" for version in versions)
        lines.append(f"model_version_policy {{ specific {{ {numbers} }} }}")
    for label, version in labels.items():
        lines.append(f'version_labels {{ key: "{label}" value: {version} }}')
    body = "\n".join(f"    {line}" for line in lines)
    return f"model_config_list {{\n  config {{\n{body}\n  }}\n}}\n"


def write_warmup(
    directory: str,
    name: str,
    requests: Sequence[Mapping[str, np.ndarray]],
    signature: str = "serving_default",
) -> str:
    """Writes the requests that a server replays before it takes traffic.

    Give one request for each batch size that the server's batcher may form.

    Args:
        directory: one version of a SavedModel.
        name: of the model, as in models.config.
        requests: arrays by input name.
        signature: that the requests call.

    Returns:
        path of the file.

    Raises:
        ImportError: tensorflow-serving-api is not installed.
        ValueError: a request does not fit the signature, or there are too many.
    """
    try:
        from tensorflow_serving.apis import predict_pb2, prediction_log_pb2
    except ImportError as error:
        raise ImportError(
            "warm-up requests need the package tensorflow-serving-api: "
            "pip install tfrender[serving]"
        ) from error
    if not 1 <= len(requests) <= _MAX_WARMUPS:
        raise ValueError(
            f"`requests` must hold 1 to {_MAX_WARMUPS} requests; got {len(requests)}."
        )
    wires = inspect.signatures(directory)
    if signature not in wires:
        raise ValueError(f"{directory}: no signature {signature!r} in {sorted(wires)}.")
    specs = wires[signature].inputs
    folder = pathlib.Path(directory) / "assets.extra"
    folder.mkdir(exist_ok=True)
    target = folder / _WARMUP
    aside = folder / f"{_WARMUP}.tmp-{os.getpid()}"
    try:
        with tf.io.TFRecordWriter(str(aside)) as writer:
            for inputs in requests:
                if set(inputs) != set(specs):
                    raise ValueError(
                        f"{directory}: expected inputs {sorted(specs)}; "
                        f"got {sorted(inputs)}."
                    )
                request = predict_pb2.PredictRequest()
                request.model_spec.name = name
                request.model_spec.signature_name = signature
                for key, array in inputs.items():
                    proto = tf.make_tensor_proto(array, specs[key].dtype)
                    request.inputs[key].CopyFrom(proto)
                log = prediction_log_pb2.PredictLog(request=request)
                record = prediction_log_pb2.PredictionLog(predict_log=log)
                writer.write(record.SerializeToString())
        os.replace(aside, target)
    finally:
        aside.unlink(missing_ok=True)
    return str(target)
