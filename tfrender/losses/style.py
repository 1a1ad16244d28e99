"""Losses that paint a mesh in the style of a picture, one value per example.

Kato, Ushiku and Harada, "Neural 3D Mesh Renderer", CVPR 2018, sections 4.2 and 4.3,
after the Gram matrices of Gatys, Ecker and Bethge, "Image Style Transfer Using
Convolutional Neural Networks", CVPR 2016, and the dreams of Mordvintsev et al., 2015.
Letters used below: f_pc feature c at place p, m_p how much of p the object covers.
"""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from tfrender import checks
from tfrender.ops.floating import as_float
from tfrender.ops.rasterize_corners import face_corners

_FULL = 1.0 - 1e-6  # averages of samples may end a rounding error below 1


def masked_gram(features: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
    """Which features occur together inside a mask, wherever they are.

    G_cd = sum_p m_p f_pc f_pd / (C sum_p m_p). The mask is averaged over the area of
    each feature (the mean of its block where the sizes divide).

    Args:
        features: [B, h, w, C], sizes and C static.
        mask: [B, H, W, 1] in [0, 1], H >= h and W >= w static; None is 1 everywhere.

    Returns:
        [B, C, C], symmetric; 0 for an empty mask.

    Gradient: exact in both. The published sqrt(m) on both factors is the same matrix,
    but has no gradient where m is 0. Memory: 2 C floats a place, C^2 a picture.

    Raises:
        ValueError: for wrong shapes.
    """
    features = as_float(features)
    checks.rank("features", features, 4)
    height, width, channels = features.shape[1:]
    if mask is None:
        mask = tf.ones_like(features[..., :1])
    mask = tf.cast(mask, features.dtype)
    checks.rank("mask", mask, 4)
    checks.dims("mask", mask, 1)
    mask = _area_average(mask, (height, width))
    rows = tf.reshape(features, [-1, height * width, channels])
    weight = tf.reshape(mask, [-1, height * width, 1])
    gram = tf.matmul(rows, rows * weight, transpose_a=True)
    covered = tf.reduce_sum(weight, axis=1, keepdims=True)  # [B, 1, 1]
    return gram / (channels * tf.maximum(covered, 1e-6))


def style_loss(
    features: Mapping[str, tf.Tensor],
    targets: Mapping[str, tf.Tensor],
    mask: tf.Tensor | None = None,
) -> tf.Tensor:
    """How far pictures are from a style: sum over layers of |G - G_style|_F^2.

    Args:
        features: name of a layer -> [B, h, w, C], as of `models.image_features`.
        targets: the same names -> Gram matrix [1, C, C] or [B, C, C]: `masked_gram` of
            the style picture.
        mask: see `masked_gram`.

    Returns:
        [B]; the published loss is its mean.

    Gradient: exact. Memory: that of `masked_gram`, layer by layer.

    Raises:
        ValueError: for wrong shapes, no layers, or targets of other layers.
    """
    checks.keys("targets", targets, features)
    if not features:
        raise ValueError("`features` must hold at least one layer; got none.")
    total = 0.0
    for name, layer in features.items():
        target = targets[name]
        checks.rank("targets", target, 3)
        checks.dims("targets", target, layer.shape[-1], layer.shape[-1])
        difference = masked_gram(layer, mask) - target
        total += tf.reduce_sum(difference**2, axis=[1, 2])
    return total


def covered_total_variation(image: tf.Tensor, alpha: tf.Tensor) -> tf.Tensor:
    """Squared differences between neighbouring pixels inside an object, summed.

    A fully covered pixel counts with its differences to the right and to the lower
    neighbour, which may lie beyond the outline, as in the published program.

    Args:
        image: [B, H, W, C].
        alpha: [B, H, W, 1] coverage in [0, 1].

    Returns:
        [B].

    Gradient: exact in the image, none in the coverage. Memory: 4 C floats a pixel.

    Raises:
        ValueError: for wrong shapes.
    """
    image = as_float(image)
    checks.rank("image", image, 4)
    checks.rank("alpha", alpha, 4)
    checks.dims("alpha", alpha, image.shape[1], image.shape[2], 1)
    full = tf.cast(alpha >= _FULL, image.dtype)
    down = (image[:, 1:] - image[:, :-1]) ** 2 * full[:, :-1]
    right = (image[:, :, 1:] - image[:, :, :-1]) ** 2 * full[:, :, :-1]
    return tf.reduce_sum(down, [1, 2, 3]) + tf.reduce_sum(right, [1, 2, 3])


def edge_length_variance(vertices: tf.Tensor, faces: tf.Tensor) -> tf.Tensor:
    """Variance of the lengths of the edges of all faces, mean |e|^2 - (mean |e|)^2.

    An edge between two faces counts twice, as in the published program, which weighs
    this with 1e-4 times the number of faces.

    Args:
        vertices: [B, V, 3].
        faces: [F, 3] or [B, F, 3] integers, -1 is padding and does not count.

    Returns:
        [B] squared length units; 0 without faces.

    Gradient: exact; none through the length of an edge without length. Memory: 30
    floats a face.

    Raises:
        ValueError: for wrong shapes.
    """
    vertices = as_float(vertices)
    checks.rank("vertices", vertices, 3)
    checks.dims("vertices", vertices, None, 3)
    checks.dims("faces", faces, None, 3)
    faces = tf.convert_to_tensor(faces)
    corners = face_corners(vertices, faces)  # [B, F, 3, 3]
    edge = tf.roll(corners, -1, axis=2) - corners
    square = tf.reduce_sum(edge * edge, axis=-1)  # [B, F, 3]
    long = square > 0.0
    length = tf.where(long, tf.sqrt(tf.where(long, square, 1.0)), 0.0)
    real = tf.cast(tf.reduce_all(faces >= 0, axis=-1, keepdims=True), length.dtype)
    real = tf.broadcast_to(real, tf.shape(length))
    count = tf.maximum(tf.reduce_sum(real, axis=[1, 2], keepdims=True), 1.0)
    mean = tf.reduce_sum(length * real, axis=[1, 2], keepdims=True) / count
    # Around the mean: the difference of two nearly equal means loses all digits.
    apart = (length - mean) ** 2 * real
    return tf.reduce_sum(apart, axis=[1, 2]) / count[:, 0, 0]


def _area_average(mask, size):
    """Mean of a mask [B, H, W, 1] over the area of each cell of a coarser grid."""
    if mask.shape[1:3] == size:
        return mask
    for axis, cells in enumerate(size, start=1):
        if not mask.shape[axis] or mask.shape[axis] < cells:
            raise ValueError(
                f"`mask` must be at least as large as the features, {size}; got shape "
                f"{mask.shape}."
            )
    # tf.image.resize of method "area" has no gradient.
    down, across = (
        tf.constant(_area_matrix(mask.shape[axis], size[axis - 1]), mask.dtype)
        for axis in (1, 2)
    )
    return tf.einsum("ih,bhwc,jw->bijc", down, mask, across)


def _area_matrix(pixels, cells):
    """Share of each pixel in each cell, [cells, pixels], rows sum to 1."""
    edge = np.linspace(0.0, pixels, cells + 1)
    pixel = np.arange(pixels)
    low = np.maximum(edge[:-1, np.newaxis], pixel)
    high = np.minimum(edge[1:, np.newaxis], pixel + 1)
    return np.maximum(high - low, 0.0) * cells / pixels
