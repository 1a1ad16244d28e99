"""Claims of models.encoder_weights."""

import numpy as np
import pytest

from tfrender.io import FormatError, LimitError
from tfrender.models import encoder_weights
from tfrender.models.encoder_weights import load_pretrained, state_names
from tfrender.models.image_encoders import image_encoder


@pytest.fixture(scope="module")
def network():
    """A network with a head, and arrays for it in PyTorch's form."""
    model = image_encoder("simple_conv", 4)
    generator = np.random.default_rng(0)
    arrays = {}
    for name, variable in state_names(model).items():
        value = generator.normal(size=variable.shape).astype(np.float32)
        if value.ndim == 4:
            value = value.transpose(3, 2, 0, 1)
        arrays[name] = value.T if value.ndim == 2 else value
    return model, arrays


def write(tmp_path, arrays):
    path = tmp_path / "weights.npz"
    np.savez(path, **arrays)
    return str(path)


def test_torchvision_names_fill_all_but_the_head(tmp_path):
    model = image_encoder("resnet18", 3)
    names = state_names(model)
    for name in ("conv1.weight", "bn1.running_mean", "layer4.0.downsample.1.bias"):
        assert name in names
    head = names["fc.weight"].numpy()
    arrays = {"fc.weight": np.zeros((1000, 512), np.float32)}
    for name, variable in names.items():
        if not name.startswith("fc."):
            shape = variable.shape
            if len(shape) == 4:
                shape = (shape[3], shape[2], shape[0], shape[1])
            arrays[name] = np.full(shape, 0.5, np.float32)
    arrays["bn1.num_batches_tracked"] = np.int64(7)
    assert load_pretrained(model, write(tmp_path, arrays)) is model
    np.testing.assert_array_equal(names["fc.weight"], head)
    for name, variable in names.items():
        assert name.startswith("fc.") or np.all(variable == 0.5)


@pytest.mark.parametrize("prefix", ["", "encoder.", "module.encoder."])
def test_prefixes_of_wrappers_are_dropped(network, tmp_path, prefix):
    model, arrays = network
    path = write(tmp_path, {prefix + name: a for name, a in arrays.items()})
    load_pretrained(model, path)
    kernel = arrays["conv1.weight"].transpose(2, 3, 1, 0)
    np.testing.assert_array_equal(model.get_layer("conv1").kernel, kernel)
    np.testing.assert_array_equal(
        model.get_layer("fc").kernel, arrays["fc_out.weight"].T
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"conv2.bias": None}, "simple_conv; conv2.bias is missing"),
        ({"conv9.bias": np.zeros(3, np.float32)}, "it knows no conv9.bias"),
        ({"conv0.bias": np.zeros(3, np.float32)}, r"conv0.bias .*\[32\].*\[3\]"),
        ({"conv0.bias": np.zeros(32, np.int32)}, "conv0.bias must hold floats"),
        ({"conv0.bias": np.full(32, np.nan, np.float32)}, "conv0.bias holds NaN"),
        ({"conv0.bias": np.array([{}] * 32)}, "expected numbers; got pickled"),
    ],
)
def test_the_first_mismatch_is_named_and_nothing_changes(
    network, tmp_path, change, message
):
    model, arrays = network
    before = model.get_weights()
    changed = {n: a for n, a in {**arrays, **change}.items() if a is not None}
    with pytest.raises(FormatError, match=message) as caught:
        load_pretrained(model, write(tmp_path, changed))
    assert "weights.npz" in str(caught.value) and "\n" not in str(caught.value)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_weights_of_a_deeper_network_are_refused(tmp_path):
    deep, arrays = image_encoder("resnet34", 2), {}
    for name, variable in state_names(deep).items():
        shape = variable.shape
        if len(shape) == 4:
            shape = (shape[3], shape[2], shape[0], shape[1])
        arrays[name] = np.zeros(shape[::-1] if len(shape) == 2 else shape, np.float32)
    with pytest.raises(FormatError, match="resnet18; it knows no layer1.2.conv1"):
        load_pretrained(image_encoder("resnet18", 2), write(tmp_path, arrays))


def test_keras_weights_are_loaded_whole_or_not_at_all(tmp_path):
    model, other = image_encoder("small", 3), image_encoder("small", 3)
    path = str(tmp_path / "small.weights.h5")
    model.save_weights(path)
    load_pretrained(other, path)
    for old, new in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    with pytest.raises(FormatError, match="small.weights.h5: expected the weights"):
        load_pretrained(image_encoder("small", 5), path)
    before = other.get_weights()[0]
    (tmp_path / "cut.weights.h5").write_bytes(b"\x89HDF")
    with pytest.raises(FormatError, match="cut.weights.h5"):
        load_pretrained(other, str(tmp_path / "cut.weights.h5"))
    np.testing.assert_array_equal(other.get_weights()[0], before)


def test_other_files_are_refused(network, tmp_path, monkeypatch):
    model, arrays = network
    with pytest.raises(FileNotFoundError, match="none.npz"):
        load_pretrained(model, str(tmp_path / "none.npz"))
    with pytest.raises(ValueError, match=r"\.npz or \.weights\.h5"):
        load_pretrained(model, "weights.pth")
    (tmp_path / "text.npz").write_text("no archive")
    with pytest.raises(FormatError, match="text.npz"):
        load_pretrained(model, str(tmp_path / "text.npz"))
    with pytest.raises(FormatError, match="the archive is empty"):
        load_pretrained(model, write(tmp_path, {}))
    path = write(tmp_path, arrays)
    with pytest.raises(ValueError, match="published encoder; got 'small'"):
        load_pretrained(image_encoder("small", 3), path)
    monkeypatch.setattr(encoder_weights, "MAX_BYTES", 1000)
    with pytest.raises(LimitError, match="at most 1000 bytes"):
        load_pretrained(model, path)
