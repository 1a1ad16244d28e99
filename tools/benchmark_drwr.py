"""Workloads of `tools.benchmark drwr`: losses of point clouds, and their scoring.

Points are even in the frame. A call of a loss is its value and its gradient in the
projected points; "training step" is the network of preset `small` with Adam, eight
objects and four views of each, 1,024 points.
"""

from collections.abc import Callable, Iterator

import keras
import numpy as np
import scipy.ndimage
import tensorflow as tf

from tfrender import cameras, losses, models
from tfrender.metrics.points import precision_coverage
from tfrender.ops.forms import FORMS, default_form
from tfrender.ops.nearest_points import nearest_points
from tfrender.ops.project_occupancy import OccupancySettings, project_occupancy
from tfrender.ops.smooth_silhouette import distance_to_contour
from tools.benchmark_rendernet import Workload

VIEWS, SIZE = 4, 128


def workloads(peers: bool) -> Iterator[Workload]:
    """All workloads of the suite, each made when its turn comes.

    Args:
        peers: the originals need TensorFlow 1 and cannot be installed beside this;
            scipy's distance transform and search tree are compared always.

    Yields:
        `Workload`s.
    """
    del peers
    for views, points in ((VIEWS, 2000), (32, 1024)):
        yield Workload(
            f"unary and pair, {views} views, {points} points",
            {form: _losses(views, points, form) for form in FORMS},
        )
    yield Workload(
        "DPC silhouettes, 4 views, 8,000 points",
        {f"{grid} voxels a side": _projection(8000, grid) for grid in (32, 64)},
    )
    mask = _mask(1)
    yield Workload(
        "distances to the contour, 128 x 128",
        {
            "stock operations": _call(distance_to_contour, tf.constant(mask)),
            "scipy, both sides": lambda: [
                scipy.ndimage.distance_transform_edt(part)
                for part in (mask[0, ..., 0], 1.0 - mask[0, ..., 0])
            ],
        },
    )
    yield _chamfer(100_000)
    yield _chamfer(4096)
    yield Workload(
        "training step, 8 objects x 4 views",
        {
            name: _step(name, form)
            for name, form in (("balanced", "xla"), ("surface", "xla"))
        },
    )


def _call(function, *arguments) -> Callable:
    compiled = tf.function(function)

    def call():
        return tf.nest.map_structure(lambda t: t.numpy(), compiled(*arguments))

    return call


def _mask(views):
    y, x = np.mgrid[:SIZE, :SIZE] - SIZE / 2.0
    return np.stack([np.hypot(x, y) < 30.0 + v for v in range(views)])[
        ..., None
    ].astype(np.float32)


def _losses(views, points, form) -> Callable:
    grids = losses.silhouette_grids(tf.constant(_mask(views)))
    xy = tf.random.stateless_uniform([views, points, 2], [0, 0], -0.25, 0.25)

    def step(xy):
        with tf.GradientTape() as tape:
            tape.watch(xy)
            value = losses.point_silhouette_losses(xy, grids)["total"]
        return value, tape.gradient(value, xy)

    call = _call(step, xy)
    with default_form(form):
        call()
    return call


def _camera(count):
    azimuth = np.arange(count, dtype=np.float32) * 360.0 / count
    view = cameras.orbit(azimuth, np.full(count, 20.0, np.float32), 2.0)
    return cameras.from_quaternion(cameras.to_quaternion(cameras.Camera(view, None)))


def _projection(points, grid) -> Callable:
    cloud = tf.random.stateless_uniform([1, points, 3], [0, 0], -0.3, 0.3)
    camera, settings = _camera(VIEWS), OccupancySettings(grid=grid)

    def step(cloud):
        with tf.GradientTape() as tape:
            tape.watch(cloud)
            alpha = project_occupancy(cloud, camera, 1.5, settings).alpha
        return tape.gradient(alpha, cloud)

    return _call(step, cloud)


def _chamfer(count) -> Workload:
    clouds = np.random.default_rng(0).uniform(-0.5, 0.5, (2, 1, count, 3))
    clouds = clouds.astype(np.float32)
    variants = {"search tree": lambda: precision_coverage(clouds[0, 0], clouds[1, 0])}
    if count <= 10_000:
        variants["all pairs, both ways"] = _call(
            lambda a, b: (nearest_points(a, b).square, nearest_points(b, a).square),
            *(tf.constant(cloud) for cloud in clouds),
        )
    return Workload(f"Chamfer distance of 2 x {count:,} points", variants)


def _step(preset, form) -> Callable:
    objects, settings = 8, losses.POINT_LOSS_PRESETS[preset]
    model = models.PointCloudReconstructor.from_preset("small")
    optimizer = keras.optimizers.Adam(1e-6)
    optimizer.build(model.trainable_variables)
    camera = _camera(objects * VIEWS)
    mask = tf.reshape(
        tf.constant(_mask(objects * VIEWS)), [objects, VIEWS, SIZE, SIZE, 1]
    )
    distance = distance_to_contour(tf.reshape(mask, [-1, SIZE, SIZE, 1]))
    distance = tf.reshape(distance, mask.shape)
    image = tf.random.stateless_uniform([objects, 64, 64, 3], [0, 0])

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            points = model(image, training=True)["points"]
            found = losses.point_cloud_losses(points, camera, mask, distance, settings)
            loss = tf.reduce_mean(found["total"])
        variables = model.trainable_variables
        optimizer.apply(tape.gradient(loss, variables), variables)
        return loss

    with default_form(form):
        step()
    return lambda: float(step())
