"""Scenes and definitions for the tests of anti-aliasing."""

import numpy as np
import tensorflow as tf

from tfrender import cameras
from tools.rasterize_scenes import icosphere

SIZE = (23, 37)  # odd, height is not width
CAMERA = cameras.Camera(
    cameras.orbit([30.0], [20.0], [3.0]), cameras.perspective(50.0, 37 / 23)
)


def project(vertices, camera=CAMERA):
    """Clip coordinates [1, V, 4] of world vertices [V, 3]."""
    return cameras.project_to_clip(camera, tf.cast(vertices, tf.float32)[tf.newaxis])


def to_clip(pixels, size, depth=2.0):
    """Clip coordinates [1, V, 4] that appear at (column, row), centres on + 0.5."""
    pixels = np.asarray(pixels, np.float64)
    w = np.broadcast_to(depth, pixels.shape[:1])
    x = (2 * pixels[:, 0] / size[1] - 1) * w
    y = (1 - 2 * pixels[:, 1] / size[0]) * w
    return np.stack([x, y, w - 1.0, w], -1)[np.newaxis].astype(np.float32)


def hull(points):
    """Corners of the convex hull, counter-clockwise for y up."""
    points = points[np.lexsort((points[:, 1], points[:, 0]))]

    def half(points):
        kept = []
        for p in points:
            while len(kept) > 1:
                (ax, ay), (bx, by) = kept[-1] - kept[-2], p - kept[-1]
                if ax * by - ay * bx > 0:
                    break
                kept.pop()
            kept.append(p)
        return kept[:-1]

    return np.array(half(points) + half(points[::-1]))


def area(polygon):
    x, y = polygon.T
    return 0.5 * np.sum(x * np.roll(y, -1) - y * np.roll(x, -1))


def pixels_of(clip, size):
    """Pixel coordinates (column, row upwards) of clip vertices [V, 4], float64."""
    clip = np.asarray(clip, np.float64)
    return np.stack(
        [
            (clip[:, 0] / clip[:, 3] + 1) * size[1] / 2,
            (clip[:, 1] / clip[:, 3] + 1) * size[0] / 2,
        ],
        -1,
    )


def blended_hull(mask, polygon):
    """Slow definition for a convex outline: alpha of [H, W] in a loop over pairs."""
    height, width = mask.shape
    alpha = mask.astype(np.float64)
    weight = np.zeros_like(alpha)
    for row, column, down in np.ndindex(height, width, 2):
        other = (row + down, column + 1 - down)
        if other[0] >= height or other[1] >= width or mask[row, column] == mask[other]:
            continue
        near, far = (row, column), other
        if mask[far]:
            near, far = far, near
        start = np.array([near[1] + 0.5, height - near[0] - 0.5])
        way = np.array([far[1] - near[1], near[0] - far[0]])
        for a, b in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
            edge = b - a
            across = way[0] * edge[1] - way[1] * edge[0]
            if across <= 0:  # the hull is left along the way only by such edges
                continue
            gap = a - start
            t = (gap[0] * edge[1] - gap[1] * edge[0]) / across
            place = (gap[0] * way[1] - gap[1] * way[0]) / across
            steep = abs(edge[0]) < abs(edge[1])
            if 0 <= place <= 1 and 0 <= t <= 1 and steep != bool(down):
                weight[far if t > 0.5 else near] += abs(t - 0.5)
    weight = np.minimum(weight, 1)
    return np.where(mask, alpha - weight, alpha + weight)


def box():
    """A closed box of 8 vertices."""
    corners = [(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1)]
    quads += [(2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    faces = [f for a, b, c, d in quads for f in ((a, b, c), (a, c, d))]
    return 0.5 * np.array(corners, np.float32), np.array(faces, np.int32)


def solid(name):
    if name == "box":
        return box()
    vertices, faces = icosphere(int(name[-1]))
    return 0.8 * vertices, faces


def soup(seed, count=14):
    """Random overlapping triangles, some smaller than a pixel, in clip space."""
    rng = np.random.default_rng(seed)
    centre = rng.uniform([-0.9, -0.9], [0.9, 0.9], (count, 1, 2))
    reach = np.where(np.arange(count) % 3 == 0, 0.06, 0.8)[:, None, None]
    xy = centre + reach * rng.uniform(-1, 1, (count, 3, 2))
    w = rng.uniform(1.0, 3.0, (count, 3, 1))
    clip = np.concatenate([xy * w, w - 0.5, w], -1)
    return clip.reshape(1, -1, 4).astype(np.float32), np.arange(3 * count).reshape(
        -1, 3
    )


def compiled(function):
    return tf.function(function, jit_compile=True)


def any_batch(function):
    return tf.function(function, input_signature=[tf.TensorSpec([None, None, 4])])


QUAD = np.array([[0, 1, 2], [0, 2, 3]])
