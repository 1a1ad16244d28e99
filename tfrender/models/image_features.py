"""Networks that describe pictures by features, for style transfer and DeepDream.

`image_features` cuts a classifier at some of its layers. VGG16 (Simonyan and Zisserman,
2015) and InceptionV3 (Szegedy et al., CVPR 2016) are those of `keras.applications`,
each behind its own preprocessing. The "small" network has random weights, always the
same ones: style works with it (Ustyuzhaninov et al., "What does it take to generate
natural textures?", ICLR 2017), recognisable dreams do not.
"""

import os
import socket
import threading
import urllib.error
import urllib.request
import warnings
from collections.abc import Sequence
from typing import NamedTuple

import keras
import numpy as np

from tfrender import checks

SUFFIXES = (".h5", ".keras")  # .weights.h5 among them
_SERVER = "https://storage.googleapis.com"
_PATIENCE = 6.0  # seconds for a server to answer
_SEED = 20180618
# Of the small network: filters, side of their window, and by what features grow.
_SMALL = ((32, 5, 2.5), (48, 3, 1.5), (64, 3, 1.5), (64, 3, 1.5))


class Network(NamedTuple):
    """What is known of a network.

    Attributes:
        application: name in `keras.applications`, or None.
        offset: added to RGB in [0, 255].
        scale: multiplies the sum.
        reversed_channels: True feeds BGR.
        style: names of the layers whose Gram matrices make a style.
        dream: names of the layers that a dream excites.
        file: names of the weights file in the Keras cache.
    """

    application: str | None
    offset: tuple[float, float, float]
    scale: float
    reversed_channels: bool
    style: tuple[str, ...]
    dream: tuple[str, ...]
    file: str | None


_MEAN = (-123.68, -116.779, -103.939)  # of ImageNet, RGB, as Caffe's VGG takes it
_MIXED = ("mixed4", "mixed5", "mixed6")
NETWORKS = {
    "vgg16": Network(
        "VGG16",
        _MEAN,
        1.0,
        True,
        # Their outputs are behind the ReLU.
        ("block1_conv2", "block2_conv2", "block3_conv3", "block4_conv3"),
        ("block4_conv3",),
        "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",
    ),
    "inception_v3": Network(
        "InceptionV3",
        (-127.5,) * 3,
        1.0 / 127.5,
        False,
        ("mixed0", "mixed2", *_MIXED[::2]),
        _MIXED,
        "inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5",
    ),
    "small": Network(
        None,
        _MEAN,
        1.0,
        True,
        ("small1", "small2", "small3", "small4"),
        ("small_edges",),
        None,
    ),
}


def image_features(
    network: str = "vgg16",
    layers: Sequence[str] | None = None,
    weights: str | os.PathLike | None = None,
) -> keras.Model:
    """Builds a frozen network that turns pictures into features.

    Args:
        network: "vgg16", "inception_v3" or "small".
        layers: names of layers; None takes those of style.
        weights: file with the weights, with or without the classifier on top: legacy
            .h5, .weights.h5 or a whole model as .keras. None takes the ImageNet weights
            of `keras.applications`, from its cache or its server. "small" has its own.

    Returns:
        keras.Model, not trainable: [B, H, W, 3] in [0, 1] -> dict, name of a layer ->
        its features [B, h, w, C].

    Raises:
        ConnectionError: no file, nothing cached and no server.
        FileNotFoundError: no such file.
        ValueError: an unknown network or layer, weights for "small", or a file that
            does not hold the weights of this network.
    """
    checks.one_of("network", network, NETWORKS)
    known = NETWORKS[network]
    layers = tuple(known.style if layers is None else layers)
    if not layers:
        raise ValueError("`layers` must name at least one layer; got none.")
    if known.application is None:
        if weights is not None:
            raise ValueError(
                f"`weights` must be None for the network {network!r}, whose weights "
                f"are fixed; got {os.fspath(weights)}."
            )
        whole = _small()
    elif weights is None:
        whole = _published(network)
    else:
        whole = _from_file(network, os.fspath(weights))
    names = [layer.name for layer in whole.layers]
    for name in layers:
        if name not in names:
            raise ValueError(
                f"`layers` must name layers of {network}, such as "
                f"{', '.join(known.style + known.dream)}; got {name!r}."
            )
    cut = keras.Model(whole.input, {n: whole.get_layer(n).output for n in layers})
    pictures = keras.Input([None, None, 3], name="pictures")
    model = keras.Model(pictures, cut(_preprocess(pictures, known)), name=network)
    model.trainable = False
    return model


def _preprocess(pictures, known):
    """RGB in [0, 1] as the network wants it."""
    levels = 255.0 * pictures + np.float32(known.offset)
    levels *= known.scale
    return levels[..., ::-1] if known.reversed_channels else levels


def _small():
    """Four blocks of random filters, each half the size of the one before.

    In a block the second half of the filters sees structure alone: their weights sum to
    0 over the window. Random biases let each filter bend elsewhere, so that Gram
    matrices tell colours and not just their mean. Features grow from block to block
    about as in VGG16: the weights of losses made for it stay balanced. A dream needs
    filters that answer to structure and to nothing else, or it would be plain white:
    "small_edges" has them, on the third block.
    """
    picture = keras.Input([None, None, 3])
    last, rng = picture, np.random.default_rng(_SEED)
    for number, (filters, side, gain) in enumerate(_SMALL, 1):
        value = last if number == 1 else keras.layers.AveragePooling2D(2)(last)
        name = f"small{number}"
        last = _random_filters(rng, value, name, filters, side, gain, filters // 2)
    edges = _random_filters(rng, value, "small_edges", 64, 5, 1.0, 0)
    return keras.Model(picture, [last, edges])


def _random_filters(rng, value, name, filters, side, gain, plain):
    """A convolution with random weights; all but the first filters see structure."""
    shape = (side, side, value.shape[-1], filters)
    kernel = rng.standard_normal(shape).astype(np.float32)
    kernel[..., plain:] -= kernel[..., plain:].mean((0, 1))
    kernel *= gain * np.sqrt(2.0 / np.prod(shape[:3]))
    bias = gain * 60.0 * rng.uniform(-1.0, 1.0, filters).astype(np.float32)
    layer = keras.layers.Conv2D(
        filters, side, padding="same", activation="relu", name=name
    )
    value = layer(value)
    layer.set_weights([kernel, bias if plain else 0.0 * bias])
    return value


def _build(network, weights=None, top=False):
    """A network of `keras.applications`."""
    application = getattr(keras.applications, NETWORKS[network].application)
    return application(include_top=top, weights=weights)


def _published(network):
    """The network with the ImageNet weights of `keras.applications`."""
    name = NETWORKS[network].file
    home = os.environ.get("KERAS_HOME") or os.path.expanduser("~/.keras")
    cached = os.path.join(home, "models", name)
    missing = (
        f"the weights of {network} are neither at {cached} nor to be had from "
        f"{_SERVER}; give a file with --weights=FILE (.h5, .weights.h5 or .keras), or "
        "take --network=small, which needs none."
    )
    if not os.path.exists(cached) and not _answers(_SERVER):
        raise ConnectionError(missing)
    patience = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_PATIENCE)  # Keras sets none: a lost line hangs for ever
    try:
        return _build(network, "imagenet")
    except Exception as error:  # Keras raises a plain Exception for a failed download
        if os.path.exists(cached):
            raise ValueError(
                f"{cached}: expected the weights of {network}; remove the file to "
                f"load it again ({_first_line(error)})"
            ) from error
        raise ConnectionError(missing) from error
    finally:
        socket.setdefaulttimeout(patience)


def _answers(server: str) -> bool:
    """Whether a server can be reached, through a proxy where one is set."""
    reached = threading.Event()

    def knock():
        try:
            urllib.request.urlopen(server, timeout=_PATIENCE).close()
        except urllib.error.HTTPError:
            pass  # the server refuses its front page, and so is there
        except OSError:
            return
        reached.set()

    # A thread: the look-up of a name obeys no timeout.
    thread = threading.Thread(target=knock, daemon=True)
    thread.start()
    thread.join(_PATIENCE)
    return reached.is_set()


def _from_file(network, path):
    """The network with the weights of a file."""
    if not path.endswith(SUFFIXES):
        raise ValueError(
            f"{path}: expected weights as .h5, .weights.h5 or .keras; got another "
            "suffix."
        )
    if not os.path.isfile(path):
        raise FileNotFoundError(f"{path}: no such file of weights.")
    plain = _build(network)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what Keras warns of is an error here
            if path.endswith(".keras"):
                whole = keras.models.load_model(path, compile=False, safe_mode=True)
                return _copy_weights(whole, plain)
            # With the classifier on top a file is a good deal larger; float32 bytes.
            if os.path.getsize(path) > 4.2 * plain.count_params():
                return _copy_weights(_load(_build(network, top=True), path), plain)
            return _load(plain, path)
    except Exception as error:  # zipfile, h5py and Keras raise many kinds
        raise ValueError(
            f"{path}: expected the weights of {network} ({_first_line(error)})"
        ) from error


def _load(model, path):
    """Loads a file of weights, all of them; returns the model."""
    model.set_weights([np.zeros(w.shape, np.float32) for w in model.weights])
    model.load_weights(path)
    for layer in model.layers:  # Keras leaves out what it does not find
        if layer.weights and not any(np.any(w) for w in layer.get_weights()):
            raise ValueError(f"nothing for layer {layer.name}")
    return model


def _copy_weights(source, target):
    """Copies the weights of a network with something on top; returns the target."""
    if len(source.layers) < len(target.layers):
        raise ValueError(
            f"expected {len(target.layers)} layers or more; got {len(source.layers)}"
        )
    for theirs, ours in zip(source.layers, target.layers, strict=False):
        have, want = ([w.shape for w in layer.weights] for layer in (theirs, ours))
        if have != want:
            raise ValueError(
                f"layer {theirs.name}: expected weights of shapes {want}; got {have}"
            )
        ours.set_weights(theirs.get_weights())
    return target


def _first_line(error) -> str:
    """The first line of an exception's text, or its type."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
