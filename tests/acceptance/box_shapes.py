"""Shapes whose inside and surface are known by formulas: boxes and a torus."""

import numpy as np
import tensorflow as tf

from tfrender import cameras
from tools.point_fitting import Silhouettes

FOCAL_LENGTH, DISTANCE, SIZE = 1.875, 2.0, 128
RING, TUBE = 0.3, 0.1  # of the torus, which lies flat
# Middle and half sides of each box; the front is -Z.
BOXES = {
    "chair": [
        ((0.0, 0.0, 0.0), (0.2, 0.03, 0.2)),
        ((0.0, 0.22, 0.18), (0.2, 0.2, 0.025)),
        *(
            ((x, -0.2, z), (0.025, 0.17, 0.025))
            for x in (-0.17, 0.17)
            for z in (-0.17, 0.17)
        ),
    ],
    "plane": [
        ((0.0, 0.0, 0.0), (0.045, 0.045, 0.42)),
        ((0.0, 0.0, 0.02), (0.4, 0.015, 0.08)),
        ((0.0, 0.0, 0.36), (0.14, 0.012, 0.045)),
        ((0.0, 0.09, 0.37), (0.012, 0.08, 0.05)),
    ],
    "torus": None,
}


def inside(name, points):
    """Whether points [..., 3] lie in a shape."""
    if BOXES[name] is None:
        around = np.hypot(points[..., 0], points[..., 2]) - RING
        return around**2 + points[..., 1] ** 2 <= TUBE**2
    found = np.zeros(points.shape[:-1], bool)
    for middle, half in BOXES[name]:
        found |= (np.abs(points - middle) <= half).all(-1)
    return found


def surface(name, count, generator):
    """Points [count, 3] spread evenly over the surface of a shape."""
    if BOXES[name] is None:
        angle, tube, keep = generator.uniform(size=(3, 4 * count))
        angle, tube = 2.0 * np.pi * angle, 2.0 * np.pi * tube
        radius = RING + TUBE * np.cos(tube)
        points = np.stack(
            [radius * np.cos(angle), TUBE * np.sin(tube), radius * np.sin(angle)], -1
        )
        return points[keep < radius / (RING + TUBE)][:count]
    middles, halves = (np.array(part) for part in zip(*BOXES[name], strict=True))
    areas = halves[:, [1, 2, 0]] * halves[:, [2, 0, 1]]  # of the faces across each axis
    chosen = generator.choice(areas.size, 4 * count, p=(areas / areas.sum()).ravel())
    box, axis = np.divmod(chosen, 3)
    places = generator.uniform(-1.0, 1.0, (4 * count, 3))
    row = np.arange(4 * count)
    places[row, axis] = np.sign(places[row, axis])
    points = middles[box] + places * halves[box]
    # What another box hides is no surface of the whole.
    within = (np.abs(points[:, np.newaxis] - middles) < halves - 1e-9).all(-1)
    return points[~within.any(1)][:count]


def silhouettes(name, views, seed):
    """`Silhouettes` from jittered azimuths and elevations of -20 to 40 degrees."""
    generator = np.random.default_rng(seed)
    jitter = generator.uniform(-0.4, 0.4, views)
    azimuth = (np.arange(views) + jitter) * 360.0 / views
    elevation = generator.uniform(-20.0, 40.0, views)
    view = cameras.orbit(
        azimuth.astype(np.float32), elevation.astype(np.float32), DISTANCE
    )
    camera = cameras.from_quaternion(
        cameras.to_quaternion(cameras.Camera(view, None)), focal_length=FOCAL_LENGTH
    )
    middle = (np.arange(SIZE) + 0.5) / SIZE - 0.5
    x, y = np.meshgrid(middle, -middle)
    rays = np.stack([x, y, np.full_like(x, -FOCAL_LENGTH)], -1) / FOCAL_LENGTH
    masks, samples = [], []
    for matrix in view.numpy():
        rotation, eye = matrix[:3, :3], -matrix[:3, :3].T @ matrix[:3, 3]
        mask = np.zeros(x.shape, bool)
        for depth in np.array_split(np.linspace(1.1, 2.9, 400), 20):
            points = (rays @ rotation)[:, :, np.newaxis] * depth[:, np.newaxis] + eye
            mask |= inside(name, points).any(-1)
        row, column = np.nonzero(mask)
        drawn = generator.integers(len(row), size=4000)
        place = np.stack([column[drawn], row[drawn]], -1) + generator.uniform(
            size=(4000, 2)
        )
        samples.append((place / SIZE - 0.5) * [1.0, -1.0])
        masks.append(mask)
    mask = np.stack(masks)[..., np.newaxis].astype(np.float32)
    camera = cameras.Camera(*(tf.constant(m) for m in camera))
    return Silhouettes(mask, camera, np.stack(samples).astype(np.float32))
