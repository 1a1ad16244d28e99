"""Draws pictures with a SavedModel, with TensorFlow and NumPy alone.

    python tools/stock_client.py MODEL REQUEST.npz ANSWER.npz

What a server does: the request holds the named inputs of a signature, the answer its
named outputs. This file imports nothing of tfrender and says so at the end, which is
the point of it: an exported model needs no code of ours.
"""

import sys

import numpy as np
import tensorflow as tf

BATCH = 8


def answer(model: str, request: dict, signature: str) -> dict[str, np.ndarray]:
    """Calls a signature in small batches.

    Args:
        model: SavedModel folder.
        request: input name -> array, first axis the batch.
        signature: name of the signature.

    Returns:
        output name -> array.
    """
    function = tf.saved_model.load(model).signatures[signature]
    total = len(next(iter(request.values())))
    parts = []
    for start in range(0, total, BATCH):
        batch = {
            name: tf.constant(value[start : start + BATCH], tf.float32)
            for name, value in request.items()
        }
        parts.append({k: v.numpy() for k, v in function(**batch).items()})
    return {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}


def main():
    """Reads the request, writes the answer."""
    if len(sys.argv) != 4:
        sys.exit("usage: stock_client.py MODEL REQUEST.npz ANSWER.npz")
    model, request_path, answer_path = sys.argv[1:]
    with np.load(request_path) as file:
        request = {name: file[name] for name in file.files}
    signature = "shaded" if "light" in request else "serving_default"
    outputs = answer(model, request, signature)
    np.savez_compressed(answer_path, **outputs)
    loaded = "tfrender" in sys.modules
    shapes = {name: list(value.shape) for name, value in outputs.items()}
    print(f"signature {signature} answered {shapes}; tfrender imported: {loaded}")
    if loaded:
        sys.exit("error: tfrender was imported; this program must not need it.")


if __name__ == "__main__":
    main()
