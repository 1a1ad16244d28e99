"""Claims of models.image_encoders."""

import numpy as np
import pytest
import tensorflow as tf

from tfrender.models.image_encoders import FEATURES, HEAD, KINDS, image_encoder

PUBLISHED = {  # without the head, as torchvision counts them
    "resnet18": (11_176_512, 512),
    "resnet34": (21_284_672, 512),
    "resnet50": (23_508_032, 2048),
    "resnet101": (42_500_160, 2048),
    "simple_conv": (1_568_576, 512),
    "small": (831_904, 192),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_parameters_are_as_many_as_told(kind):
    model = image_encoder(kind, 7)
    count, features = PUBLISHED[kind]
    assert model.get_layer(FEATURES).output.shape == (None, features)
    found = sum(int(np.prod(w.shape)) for w in model.trainable_weights)
    assert found == count + (features + 1) * 7


@pytest.mark.parametrize("kind", ["resnet18", "simple_conv", "small"])
def test_the_head_begins_as_in_pytorch(kind):
    head = image_encoder(kind, 64, 64).get_layer(HEAD)
    bound = head.kernel.shape[0] ** -0.5
    for values in (head.kernel.numpy(), head.bias.numpy()):
        assert np.abs(values).max() <= bound
        np.testing.assert_allclose(values.std(), bound / 3**0.5, rtol=0.25)


@pytest.mark.parametrize("kind", ["simple_conv", "small"])
def test_codes_are_finite_differ_and_have_gradients(kind):
    model = image_encoder(kind, 5, 64)
    pictures = np.random.default_rng(0).random((2, 64, 64, 3), np.float32)
    with tf.GradientTape() as tape:
        codes = model(pictures, training=True)
        total = tf.reduce_sum(codes**2)
    assert codes.shape == (2, 5) and np.ptp(codes.numpy(), axis=0).max() > 1e-4
    for slope in tape.gradient(total, model.trainable_weights):
        assert np.isfinite(slope).all() and np.any(slope)


def test_one_network_takes_pictures_of_any_size():
    model = image_encoder("small", 3)
    for size in (33, 48):
        assert model(np.zeros((1, size, size, 3), np.float32)).shape == (1, 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("resnet20", 8), "`kind` must be one of .*'resnet18'.*got 'resnet20'"),
        (("small", 0), "`code_size` must lie in"),
        (("small", 8, 4), r"`input_size` must lie in \[8,"),
        (("simple_conv", 8, 62), r"`input_size` must lie in \[63,"),
    ],
)
def test_settings_out_of_range_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        image_encoder(*arguments)
