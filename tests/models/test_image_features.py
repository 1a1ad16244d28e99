"""Claims of tfrender.models.image_features."""

import time

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfrender.models import image_features as module
from tfrender.models.image_features import NETWORKS, image_features

PICTURES = tf.constant(np.random.default_rng(0).uniform(size=(2, 64, 64, 3)), "float32")


@pytest.fixture(scope="module")
def vgg():
    """VGG16 without top, random weights."""
    keras.utils.set_random_seed(0)
    return keras.applications.VGG16(include_top=False, weights=None)


@pytest.fixture(scope="module")
def vgg_file(vgg, tmp_path_factory):
    """Its weights in a file."""
    path = tmp_path_factory.mktemp("vgg") / "vgg.weights.h5"
    vgg.save_weights(path)
    return path


def test_the_small_network_is_always_the_same_and_frozen():
    keras.utils.set_random_seed(1)
    first = image_features("small")
    keras.utils.set_random_seed(2)
    second = image_features("small")
    assert not first.trainable_weights
    features = first(PICTURES)
    assert tuple(features) == NETWORKS["small"].style
    shapes = [tuple(f.shape[1:3]) for f in features.values()]
    assert shapes == [(64, 64), (32, 32), (16, 16), (8, 8)]
    again = second(PICTURES)
    for name, value in features.items():
        np.testing.assert_array_equal(value, again[name])
        assert value.numpy().min() >= 0.0 and np.isfinite(value).all()


def test_the_small_network_sends_finite_gradients_into_pictures_of_any_size():
    network = image_features("small")
    pictures = tf.Variable(PICTURES[:, :33, :21])
    with tf.GradientTape() as tape:
        features = network(pictures.value())
        loss = tf.add_n([tf.reduce_sum(f**2) for f in features.values()])
    slope = tape.gradient(loss, pictures).numpy()
    assert np.isfinite(slope).all() and np.abs(slope).max() > 0.0


def test_structure_filters_do_not_see_a_grey_picture():
    network = image_features("small", ["small1"])
    kernel, bias = network.weights[0].numpy(), network.weights[1].numpy()
    half = kernel.shape[-1] // 2
    np.testing.assert_allclose(kernel[..., half:].sum((0, 1)), 0.0, atol=1e-3)
    grey = network(tf.ones([1, 16, 16, 3]) * 0.3)["small1"].numpy()[0, 8, 8]
    np.testing.assert_allclose(grey[half:], np.maximum(bias[half:], 0.0), atol=0.1)


def test_the_dream_of_the_small_network_is_not_of_plain_colours():
    network = image_features("small", NETWORKS["small"].dream)
    flat, rough = (
        tf.reduce_mean(network(picture)["small_edges"][:, 6:-6, 6:-6] ** 2)
        for picture in (tf.ones([1, 128, 128, 3]), tf.tile(PICTURES, [1, 2, 2, 1]))
    )
    assert float(flat) < 1e-3 * float(rough)


def test_vgg16_gets_caffe_levels_and_gives_the_layers_behind_their_relu(vgg, vgg_file):
    network = image_features("vgg16", weights=vgg_file)
    assert not network.trainable_weights
    levels = keras.applications.vgg16.preprocess_input(255.0 * PICTURES.numpy())
    names = ("block1_conv2", "block2_conv2", "block3_conv3", "block4_conv3")
    assert NETWORKS["vgg16"].style == names
    whole = keras.Model(vgg.input, [vgg.get_layer(name).output for name in names])
    features = network(PICTURES)
    for name, want in zip(names, whole(levels), strict=True):
        got = features[name]
        assert got.numpy().min() >= 0.0
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-3)


def test_the_preprocessing_of_inception_is_that_of_keras():
    inner = keras.Sequential([keras.layers.Identity()])
    picture = keras.Input([None, None, 3])
    ours = keras.Model(
        picture, inner(module._preprocess(picture, NETWORKS["inception_v3"]))
    )
    want = keras.applications.inception_v3.preprocess_input(255.0 * PICTURES.numpy())
    np.testing.assert_allclose(ours(PICTURES), want, atol=1e-5)


@pytest.mark.slow
def test_inception_gives_its_mixed_layers_from_small_pictures(tmp_path):
    keras.utils.set_random_seed(0)
    path = tmp_path / "inception.weights.h5"
    keras.applications.InceptionV3(include_top=False, weights=None).save_weights(path)
    network = image_features("inception_v3", NETWORKS["inception_v3"].dream, path)
    features = network(PICTURES)
    assert len(features) == 3
    for value in features.values():
        assert value.shape[-1] == 768 and min(value.shape[1:3]) >= 1


def test_weights_come_from_a_whole_model_with_other_layers_on_top(
    vgg, vgg_file, tmp_path
):
    top = keras.layers.GlobalAveragePooling2D()(vgg.output)
    keras.Model(vgg.input, keras.layers.Dense(2)(top)).save(tmp_path / "whole.keras")
    name = "block4_conv3"
    got = image_features("vgg16", [name], tmp_path / "whole.keras")(PICTURES)
    want = image_features("vgg16", [name], vgg_file)(PICTURES)
    assert list(got) == [name]
    np.testing.assert_allclose(got[name], want[name], rtol=1e-6)


def bad_files(folder):
    """Files that hold no weights of VGG16."""
    model = keras.Sequential([keras.Input([8]), keras.layers.Dense(3)])
    model.save_weights(folder / "other.weights.h5")
    model.save(folder / "other.keras")
    (folder / "broken.h5").write_bytes(b"no weights")
    (folder / "broken.keras").write_bytes(b"no model")
    return ["other.weights.h5", "other.keras", "broken.h5", "broken.keras"]


def test_weights_of_another_network_are_one_line(tmp_path):
    for name in bad_files(tmp_path):
        with pytest.raises(ValueError, match=f"{name}: expected .*vgg16") as caught:
            image_features("vgg16", weights=tmp_path / name)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"network": "resnet"}, ValueError, "`network` must be one of"),
        ({"layers": ["conv9"]}, ValueError, "layers of small, such as small1"),
        ({"layers": []}, ValueError, "at least one layer"),
        ({"weights": "a.h5"}, ValueError, "`weights` must be None"),
        ({"network": "vgg16", "weights": "no.h5"}, FileNotFoundError, "no.h5"),
        ({"network": "vgg16", "weights": "a.txt"}, ValueError, "expected weights as"),
    ],
)
def test_wrong_arguments_are_named(arguments, error, words):
    with pytest.raises(error, match=words):
        image_features(**{"network": "small", **arguments})


@pytest.mark.parametrize("network", ["vgg16", "inception_v3"])
def test_without_weights_and_server_it_says_so_at_once(network, tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(module, "_SERVER", "http://127.0.0.1:9")
    start = time.monotonic()
    with pytest.raises(ConnectionError, match="--weights=FILE.*--network=small"):
        image_features(network)
    assert time.monotonic() - start < 10.0
    assert not list(tmp_path.iterdir())
