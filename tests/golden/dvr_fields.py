"""Decoders of the golden cases as fields of ours."""

import numpy as np

from tests.golden import cases
from tfrender import models

SYSTEM = "dvr"


def decoder(name):
    """The field whose weights `decoder_<name>.npz` holds; None where it is missing."""
    for path in cases.holding(SYSTEM, "w.fc_p.weight"):
        if path.stem == f"decoder_{name}":
            return load_field(cases.load(path))
    return None


def load_field(arrays) -> models.OccupancyField:
    """OccupancyField with weights named as in the original, "w.<parameter>"."""
    weights = {
        name.removeprefix("w."): value
        for name, value in arrays.items()
        if name.startswith("w.")
    }
    code = weights.get("fc_c.0.weight")
    field = models.OccupancyField(
        hidden_size=weights["fc_p.weight"].shape[0],
        blocks=sum(name.endswith("fc_0.weight") for name in weights),
        code_size=0 if code is None else code.shape[1],
        colors=weights["fc_out.weight"].shape[0] == 4,
    )
    layers = layers_by_name(field)
    assert {f"{n}.{k}" for n in layers for k in ("weight", "bias")} == set(weights)
    for name, layer in layers.items():
        layer.set_weights([weights[f"{name}.weight"].T, weights[f"{name}.bias"]])
    return field


def layers_by_name(field):
    """The dense layers of a field by the original's names."""
    found = {"fc_p": field.first, "fc_out": field.last}
    for i, layer in enumerate(field.code_layers):
        found[f"fc_c.{i}"] = layer
    for i, (first, second) in enumerate(field.pairs):
        found[f"blocks.{i}.fc_0"], found[f"blocks.{i}.fc_1"] = first, second
    return found


def gradients_by_name(field, tape, target):
    """Gradients of a scalar by the original's names and in its layout."""
    layers = layers_by_name(field)
    names, variables = [], []
    for name, layer in layers.items():
        names += [f"{name}.weight", f"{name}.bias"]
        variables += [layer.kernel.value, layer.bias.value]
    found = tape.gradient(target, variables, unconnected_gradients="zero")
    return {n: np.transpose(g) for n, g in zip(names, found, strict=True)}
