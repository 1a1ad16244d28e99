"""Layers and reduced networks against arrays of the original.

Widths and depths are read from the weights of each case.
"""

import re

import keras
import numpy as np
import pytest

from tests.golden import cases
from tfrender import layers, models


def _set(layer, data, prefix):
    """Loads kernel, bias and slope of a ConvUnit (or Dense) found below a prefix."""
    kernel, bias, alpha = (
        [k for k in data if re.match(re.escape(prefix) + pattern, k)]
        for pattern in (r"(.*[/_.])?weights$", r"(.*[/_.])?biases$", r"(.*/)?alpha$")
    )
    assert len(kernel) == len(bias) == 1, (prefix, kernel, bias)
    convolution = getattr(layer, "convolution", layer)
    convolution.set_weights([data.pop(kernel[0]), data.pop(bias[0])])
    if alpha and hasattr(layer, "rectifier"):
        layer.rectifier.set_weights([data.pop(alpha[0])])


def _set_block(block, data, prefix):
    """Loads a residual block."""
    for part, name in ((block.first, "con1_3X3"), (block.second, "conv2_3x3")):
        _set(part, data, prefix + name)
    block.first.rectifier.set_weights([data.pop(f"{prefix}alpha")])


def _set_network(network, data, rename=lambda name: f"w:encoder/{name}/"):
    """Loads every layer of a network; the names of the original are ours."""
    for layer in network.layers:
        prefix = rename(layer.name)
        if isinstance(layer, layers.ResidualBlock):
            _set_block(layer, data, prefix)
        elif isinstance(layer, layers.ProjectionUnit):
            _set(layer.units[0], data, prefix)
        elif isinstance(layer, layers.ConvUnit | keras.layers.Dense):
            _set(layer, data, prefix)
        elif isinstance(layer, layers.ChannelPReLU):
            layer.set_weights(
                [data.pop(f"{rename(layer.name[: -len('_prelu')])}alpha")]
            )
    left = [name for name in data if name.startswith(rename("").rstrip("/"))]
    assert not left, f"weights that no layer took: {left}"


def _width(data, name, axis=-1):
    """Channels of a layer, read from its kernel."""
    keys = [k for k in data if k.startswith(f"w:{name}/") and k.endswith("weights")]
    return data[keys[0]].shape[axis]


def _count(data, stage):
    """Number of residual blocks of a stage."""
    pattern = re.compile(rf"w:encoder/{stage}_(\d+)/")
    return max(int(m[1]) for k in data if (m := pattern.match(k)))


def _trunk_settings(data):
    return {
        "filters_3d": [_width(data, f"encoder/e_conv{i}") for i in (1, 2, 3)],
        "blocks_3d": _count(data, "res1"),
        "projection": _width(data, "encoder/projection_unit"),
        "blocks_2d": _count(data, "res2"),
        "filters_2d": _width(data, "encoder/e_conv5"),
        "blocks_2d_late": _count(data, "res3"),
    }


@pytest.mark.parametrize(
    "path", cases.holding("rendernet", "w:encoder/e_conv11/*"), ids=cases.name_of
)
def test_shader_network_equals_the_original(path):
    data = cases.load(path)
    names = ("e_conv7", "e_conv7_1", "e_conv8", "e_conv9", "e_conv10")
    network = models.shader_network(
        grid_size=data["input"].shape[3],
        **_trunk_settings(data),
        filters_late=_width(data, "encoder/e_conv6"),
        upsampling=[
            (_width(data, f"encoder/{name}", -2), stride)
            for name, stride in zip(names, (2, 1, 2, 2, 1), strict=True)
        ],
        channels=data["output"].shape[-1],
    )
    _set_network(network, data)
    np.testing.assert_allclose(network(data["input"]), data["output"], atol=1e-5)
    (projected,) = [v for k, v in data.items() if k.startswith("inter:")]
    inner = keras.Model(network.input, network.get_layer("projection_unit").output)
    np.testing.assert_allclose(inner(data["input"]), projected, atol=1e-5)


@pytest.mark.parametrize(
    "path", cases.holding("rendernet", "texture_grid"), ids=cases.name_of
)
def test_texture_decoder_and_two_headed_network_equal_the_original(path):
    data = cases.load(path)
    grid = data["texture_grid"].shape[1]
    first = data["w:texture_encoder/e_tex_fc1/fully_connected/biases"].size
    decoder = models.texture_decoder(
        data["z"].shape[1],
        grid,
        [
            first // (grid // 2) ** 3,
            _width(data, "texture_encoder/e_tex_conv0", -2),
            _width(data, "texture_encoder/e_tex_conv1", -2),
            _width(data, "texture_encoder/e_tex_conv2"),
        ],
    )
    network = models.two_headed_network(
        grid_size=data["input"].shape[3],
        grid_channels=data["input"].shape[4],
        **_trunk_settings(data),
        head_filters=[
            _width(data, "encoder/Image/e_conv6_1"),
            *(_width(data, f"encoder/Image/e_conv{i}_1", -2) for i in (7, 8, 9)),
        ],
    )
    heads = {"1": "Image/", "2": "Normal/"}

    def rename(name):
        head = re.fullmatch(r"e_conv\d+_([12])", name)
        return f"w:encoder/{heads[head[1]] if head else ''}{name}/"

    _set_network(decoder, data, lambda name: f"w:texture_encoder/{name}/")
    _set_network(network, data, rename)
    np.testing.assert_allclose(decoder(data["z"]), data["texture_grid"], atol=1e-5)
    ours = network(data["input"])
    np.testing.assert_allclose(ours["albedo"], data["albedo"], atol=1e-5)
    np.testing.assert_allclose(ours["normal"], data["normal"], atol=1e-5)


@pytest.mark.parametrize(
    "path", cases.holding("rendernet", "w:g_conv5_*"), ids=cases.name_of
)
def test_shape_decoder_equals_the_original(path):
    data = cases.load(path)
    start = data["output"].shape[1] // 16
    filters = [data["w:g_zP_g_gc1_biases"].size // start**3] + [
        data[f"w:g_conv{i}_g_conv{i}_biases"].size for i in range(1, 5)
    ]
    decoder = models.shape_decoder(data["z"].shape[1], start, filters)
    for layer in decoder.layers:
        if isinstance(layer, keras.layers.Dense):
            _set(layer, data, "w:g_zP_g_gc1")
        elif isinstance(layer, layers.ConvUnit):
            _set(layer, data, f"w:{layer.name}")
    np.testing.assert_allclose(decoder(data["z"]), data["output"], atol=1e-5)


def _layer_cases():
    return [
        (path, name)
        for path in cases.holding("rendernet", "*/in", "*/out")
        for name in sorted({key.split("/")[0] for key in cases.load(path)})
    ]


def _layer_for(name, shape):
    """Our layer for a case name such as conv3d_k5_s2 or conv3d_k3_s112."""
    match = re.fullmatch(r"(conv[23]d(?:_transpose)?)_k(\d)_s(\d+)", name)
    if match:
        digits = [int(d) for d in match[3]]
        stride = digits[0] if len(digits) == 1 else tuple(digits)
        return layers.ConvUnit(match[1], shape, int(match[2]), stride, activation=None)
    match = re.fullmatch(r"res_block_([23]d)", name)
    if match:
        return layers.ResidualBlock(f"conv{match[1]}")
    return {
        "projection_unit": layers.ProjectionUnit,
        "prelu": layers.ChannelPReLU,
    }[name]()


@pytest.mark.parametrize(("path", "name"), _layer_cases())
def test_layer_equals_the_original(path, name):
    data = {k: v for k, v in cases.load(path).items() if k.split("/")[0] == name}
    layer = _layer_for(name, data[f"{name}/out"].shape[-1])
    layer.build(data[f"{name}/in"].shape)
    if isinstance(layer, layers.ResidualBlock):
        _set_block(layer, data, f"{name}/")
    elif isinstance(layer, layers.ProjectionUnit):
        unit = layer.units[0]
        prefix = f"{name}/projection_unit."
        _set(unit.convolution, data, f"{prefix}Conv")
        unit.rectifier.set_weights([data.pop(f"{prefix}alpha")])
    elif isinstance(layer, layers.ChannelPReLU):
        layer.set_weights([data.pop(f"{name}/alpha")])
    else:
        _set(layer, data, f"{name}/")
    assert set(data) == {f"{name}/in", f"{name}/out"}
    np.testing.assert_allclose(
        layer(data[f"{name}/in"]), data[f"{name}/out"], atol=1e-5
    )
