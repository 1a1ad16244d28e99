"""Converts an exported model to LiteRT (TFLite) files and measures them.

    python -m tools.export_lite --model=saved_models/rendernet_phong --output_dir=lite

One file for each kind: float32; float16, half the bytes; dynamic_int8, a quarter. The
table gives size, time of one example and PSNR against the SavedModel; --card also puts
it into the model's card. Guards of the SavedModel do not survive the conversion:
`tfrender.export.lite.LiteModel` makes the same checks.
"""

import pathlib

import numpy as np
import tensorflow as tf
from absl import flags

from tfrender import checks
from tfrender.export import card, lite, saved_model
from tools import cli

FLAGS = flags.FLAGS
HEADING = "LiteRT"


def define_flags() -> None:
    """Defines the flags; not at import, because names are global to a process."""
    flags.DEFINE_string("model", None, "SavedModel folder.", required=True)
    flags.DEFINE_string("signature", "serving_default", "Signature to convert.")
    flags.DEFINE_string("output_dir", None, "Folder of the files.", required=True)
    flags.DEFINE_list("kinds", list(lite.KINDS), "Files to write.")
    flags.DEFINE_boolean("card", False, "Write the table into MODEL/model_card.md.")


def single_example(signature: saved_model.Signature):
    """A signature with static shapes and a batch of one, as LiteRT wants it.

    Args:
        signature: loaded signature.

    Returns:
        concrete function with the same names.
    """
    specs = [
        tf.TensorSpec([1, *spec.shape[1:]], spec.dtype, name=name)
        for name, spec in signature.inputs.items()
    ]
    names = list(signature.inputs)

    @tf.function(input_signature=specs)
    def call(*values):
        return signature.graph(**dict(zip(names, values, strict=True)))

    return call.get_concrete_function()


def example_inputs(signature: saved_model.Signature) -> dict[str, np.ndarray]:
    """A request that the signatures of our systems accept: a box and the demo's pose.

    A picture is a grey disk, on black with its coverage, or on white without one.

    Args:
        signature: loaded signature.

    Returns:
        input name -> array of batch 1.
    """
    known = {"pose": [[250.0, 60.0, 3.3]], "light": [[250.0, 60.0]]}
    inputs = {}
    for name, spec in signature.inputs.items():
        if name == "voxels":
            n = spec.shape[1]
            value = np.zeros((1, n, n, n, 1), np.float32)
            value[:, n // 4 : 3 * n // 4, n // 4 : n // 2, n // 3 : 2 * n // 3] = 1.0
        elif name == "image":
            side = spec.shape[1]
            row = np.arange(side) - side / 2 + 0.5
            disk = np.hypot(row[:, np.newaxis], row) < 0.3 * side
            disk = disk[np.newaxis, ..., np.newaxis]
            if spec.shape[-1] == 3:
                value = np.where(disk, np.float32(0.5), np.ones(3, np.float32))
            else:
                value = disk * np.float32([0.5] * 3 + [1.0])
        elif name in known:
            value = np.array(known[name], np.float32)
        else:
            raise ValueError(f"no example is known for the input `{name}`.")
        inputs[name] = value
    return inputs


def convert(model: str, signature_name: str, kinds, output_dir: str) -> list[dict]:
    """Writes and measures one file for each kind.

    Args:
        model: SavedModel folder.
        signature_name: name of the signature.
        kinds: out of `lite.KINDS`.
        output_dir: folder of the files, made when it does not exist.

    Returns:
        one row for each kind, see `lite.compare`.
    """
    for kind in kinds:
        checks.one_of("kinds", kind, lite.KINDS)
    signature = saved_model.load_signature(model, signature_name)
    function, inputs = single_example(signature), example_inputs(signature)
    folder = pathlib.Path(output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for kind in kinds:
        path = folder / f"{pathlib.Path(model).resolve().name}.{kind}.tflite"
        lite.write_lite(str(path), function, kind)
        rows.append(lite.compare(str(path), signature, inputs))
    return rows


def table(rows: list[dict]) -> str:
    """Markdown table of the files."""
    lines = [
        "| file | MB | ms a call | largest error | PSNR to the SavedModel |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        lines.append(
            f"| {row['file']} | {row['bytes'] / 1e6:.2f} | {row['milliseconds']:.3g} | "
            f"{row['max error']:.2g} | {row['psnr']:.1f} dB |"
        )
    return "\n".join(lines)


def main():
    """Converts, prints the table, writes it into the card where asked."""
    rows = convert(FLAGS.model, FLAGS.signature, FLAGS.kinds, FLAGS.output_dir)
    print(table(rows))
    if FLAGS.card:
        command = (
            f"    python -m tools.export_lite --model={FLAGS.model} --output_dir=lite"
        )
        text = f"{command}\n\n{table(rows)}"
        path = pathlib.Path(FLAGS.model) / "model_card.md"
        card.replace_section(str(path), HEADING, text)


if __name__ == "__main__":
    define_flags()
    cli.run(main)
