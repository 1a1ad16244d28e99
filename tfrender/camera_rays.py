"""Rays through pixels of a camera; users reach this through `tfrender.cameras`."""

from __future__ import annotations

import tensorflow as tf

from tfrender import cameras, checks


def pixel_rays(
    camera: cameras.Camera, pixels: tf.Tensor, image_size: tuple[int, int]
) -> tuple[tf.Tensor, tf.Tensor]:
    """Rays from the camera through points of its picture.

    A direction is as long as one unit of depth, so that the parameter d of a point
    origin + d * direction is its planar depth, as renderers return it.

    Args:
        camera: Camera of batch B or 1, perspective or orthographic.
        pixels: [B, N, 2] (x, y) in pixels, x right and y down; the pixel in row i and
            column j has its centre at (j + 0.5, i + 0.5).
        image_size: (height, width).

    Returns:
        origins and directions, [B, N, 3] each, world coordinates. Origins lie in the
        plane of depth 0; that is the eye of a perspective camera.

    Gradient: exact in camera and pixels.

    Raises:
        ValueError: for a wrong shape.
    """
    checks.dims("pixels", pixels, None, 2)
    height, width = checks.image_size(image_size)
    pixels = tf.cast(pixels, tf.float32)
    ndc_x = pixels[..., 0] * (2.0 / width) - 1.0
    ndc_y = 1.0 - pixels[..., 1] * (2.0 / height)
    entry = [
        [camera.projection[:, i, j, tf.newaxis] for j in range(4)] for i in range(4)
    ]  # of [B, 1]
    # Camera space at depth d is (x, y, -d). Clip coordinates are linear in d, so the
    # two equations clip = ndc * w give x and y as a constant and a factor of d.
    sides = []
    for ndc, row in ((ndc_x, entry[0]), (ndc_y, entry[1])):
        constant = ndc * entry[3][3] - row[3]
        factor = row[2] - ndc * entry[3][2]
        sides.append((constant, factor))
    determinant = entry[0][0] * entry[1][1] - entry[0][1] * entry[1][0]
    (x_0, x_1), (y_0, y_1) = sides

    def solve(x, y):
        return (
            (entry[1][1] * x - entry[0][1] * y) / determinant,
            (entry[0][0] * y - entry[1][0] * x) / determinant,
        )

    nought = tf.zeros_like(x_0 + x_1)
    start = tf.stack([*(nought + v for v in solve(x_0, y_0)), nought], axis=-1)
    step = tf.stack([*(nought + v for v in solve(x_1, y_1)), nought - 1.0], axis=-1)
    # The inverse of a rigid transform; written as sums for GPUs' float32.
    rotation = camera.world_to_camera[:, tf.newaxis, :3, :3]  # [B, 1, 3, 3]
    start -= camera.world_to_camera[:, tf.newaxis, :3, 3]

    def to_world(vectors):
        return tf.reduce_sum(rotation * vectors[..., tf.newaxis], axis=-2)

    return to_world(start), to_world(step)
