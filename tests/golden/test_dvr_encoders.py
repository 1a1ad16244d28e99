"""Image encoders of the published DVR, with procedural weights."""

import re

import keras
import numpy as np
import pytest

from tests.golden import cases
from tfrender.models.encoder_weights import load_pretrained
from tfrender.models.image_encoders import HEAD, RESNETS, image_encoder

SYSTEM = "dvr"
FIRST_SEED = 5000  # README of the golden arrays


def procedural_weights(entries):
    """Arrays by name; the rule stands in the README of the golden arrays."""
    arrays = {}
    for k, (name, shape) in enumerate(entries):
        u = np.random.RandomState(FIRST_SEED + k).uniform(-1.0, 1.0, size=shape)
        norm = "bn" in name or "downsample.1" in name
        if norm:
            around_one = name.endswith(("running_var", "weight"))
            u = 0.1 * u + (1.0 if around_one else 0.0)
        elif name.endswith("bias"):
            u = 0.05 * u
        else:
            u = u * np.sqrt(3.0 / np.prod(shape[1:]))
        arrays[name] = u.astype(np.float32)
    return arrays


def networks():
    """(case, kind, its entries) of every published network with procedural weights."""
    for path in cases.holding(SYSTEM, "x", "normalized", "features*"):
        for table in cases.holding(SYSTEM, "resnet*", "simple_conv"):
            for kind, entries in cases.load(table).items():
                yield pytest.param(path, kind, entries, id=f"{path.stem}-{kind}")


def within(got, want):
    """Relative to the largest value."""
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-3 * np.abs(want).max())


@pytest.mark.parametrize(("path", "kind", "entries"), networks())
def test_encoder(path, kind, entries, tmp_path):
    case = cases.load(path)
    np.savez(tmp_path / "weights.npz", **procedural_weights(entries))
    code_size = entries[-1][1][0]
    model = load_pretrained(
        image_encoder(kind, code_size), str(tmp_path / "weights.npz")
    )
    pictures = case["x"].transpose(0, 2, 3, 1)
    if kind not in RESNETS:
        within(model(pictures), case[f"{kind}_out"])
        return
    names = ("normalized", "features", HEAD)
    parts = keras.Model(model.input, [model.get_layer(n).output for n in names])
    normalized, features, code = parts(pictures)
    within(normalized, case["normalized"].transpose(0, 2, 3, 1))
    within(features, case[f"features{features.shape[-1]}"])
    size = pictures.shape[1]
    within(code, case[f"out{size}"])
    for name in case:
        if found := re.fullmatch(r"out(\d+)_nearest_upsampled", name):
            large = int(found[1])
            index = np.arange(large) * size // large
            within(model(pictures[:, index][:, :, index]), case[name])
    # Last: it changes the running averages.
    within(model(pictures, training=True), case[f"out{size}_train_mode"])
