"""Workloads of `tools.benchmark mesh_reconstruction`: one training step."""

from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from datasets.mesh_reconstruction import views
from tfrender import losses, models
from tfrender.layers.training_renderers import RENDERERS, training_renderer
from tfrender.optimizers import SkipZeroAdam
from tools.benchmark_rendernet import Workload

BATCH = 8
_PRESETS = ("paper", "small")


def workloads(peers: bool) -> Iterator[Workload]:
    """All workloads of the suite, each made when its turn comes.

    A step on 8 objects: 16 pictures of 64 x 64 through the network, 32 silhouettes,
    both passes and the update. "network alone" leaves the pictures out, so that the
    rest of a step is the renderer's share.

    Args:
        peers: no other library is compared here.

    Yields:
        `Workload`s.
    """
    del peers
    for preset in _PRESETS:
        variants = {f"{name} renderer": _step(preset, name) for name in RENDERERS}
        variants["network alone"] = _step(preset, None)
        yield Workload(f"training step, {preset}, 8 objects", variants, _facts(preset))


def _facts(preset: str) -> Callable:
    """Examples a second and the share of each renderer."""

    def facts(timings):
        network = timings["network alone"].median
        return {
            f"{preset}, {name}": f"{BATCH / timing.median:.1f} examples/s, "
            f"{100 * (1 - network / timing.median):.0f}% of a step"
            for name, timing in timings.items()
            if name != "network alone"
        }

    return facts


def _step(preset: str, renderer: str | None) -> Callable:
    """A training step; None stands for the network alone."""
    model = models.MeshReconstructor.from_preset(preset)
    optimizer = SkipZeroAdam(1e-4, multipliers={"centroid": 0.1})
    optimizer.build(model.trainable_variables)
    random = np.random.default_rng(0)
    size = views.IMAGE_SIZE
    # Disks, so that outlines have as many pixels as those of objects.
    row = np.arange(size) - size / 2 + 0.5
    disk = np.hypot(row[:, np.newaxis], row) < 0.4 * size
    color = random.uniform(size=(2, BATCH, size, size, 3)) * disk[..., np.newaxis]
    alpha = np.broadcast_to(disk, color.shape[:-1])[..., np.newaxis]
    images = tf.constant(np.concatenate([color, alpha], axis=-1), tf.float32)
    azimuth = tf.constant(15.0 * random.integers(0, 24, (2, BATCH)), tf.float32)
    layer = training_renderer(renderer, size) if renderer else None

    @tf.function
    def step(images, azimuth):
        with tf.GradientTape() as tape:
            both = tf.concat(tf.unstack(images), axis=0)
            vertices = model(both, training=True)["vertices"]
            if layer is None:
                loss = tf.reduce_mean(vertices)
            else:
                terms = losses.two_view_losses(
                    layer,
                    [{"vertices": part} for part in tf.split(vertices, 2)],
                    model.faces,
                    [views.camera(azimuth[i]) for i in range(2)],
                    tf.unstack(images),
                )
                loss = tf.reduce_mean(terms["silhouette"])
        variables = model.trainable_variables
        optimizer.apply(tape.gradient(loss, variables), variables)
        return loss

    return lambda: step(images, azimuth).numpy()
