"""A torus learned from 24 pictures, as with the original: `pytest -m slow -s` shows it.

Protocol and figures of the original: tests/golden/data/dvr/README.md and BENCHMARKS.md.
The weights that are judged are a running average, see `trainers.averaging`.
"""

import statistics

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.golden import cases
from tfrender import cameras, losses, models, ops
from tfrender.ops.implicit_surface import SurfaceSettings
from trainers.averaging import average, averaged

pytestmark = [pytest.mark.timeout(1200), pytest.mark.slow]
SEEDS = (0, 1, 2)
RING, TUBE = 0.28, 0.11  # radii of the torus, axis y
LEAST_COSINE = 0.3


class Scene:
    """The pictures with their cameras."""

    def __init__(self, path):
        arrays = cases.load(path)
        self.size = arrays["image"].shape[1:3]
        camera, _ = cameras.from_dvr(
            arrays["camera_mat"], arrays["world_mat"], None, self.size
        )
        depth = np.where(np.isfinite(arrays["depth"]), arrays["depth"], 0.0)
        self.parts = (
            *camera,
            arrays["image"].astype(np.float32) / 255.0,
            arrays["mask"][..., np.newaxis].astype(np.float32),
            depth[..., np.newaxis].astype(np.float32),
        )

    def views(self, places):
        """Some of the pictures."""
        view, projection, image, mask, depth = (
            tf.gather(part, places) for part in self.parts
        )
        image = tf.ensure_shape(image, [None, *self.size, 3])
        return losses.Views(cameras.Camera(view, projection), image, mask, depth)


def iou(field):
    """Of the shape and the true torus on 100,000 points of the unit cube."""
    points = np.random.default_rng(0).uniform(-0.5, 0.5, (100_000, 3))
    ring = np.hypot(points[:, 0], points[:, 2]) - RING
    true = np.hypot(ring, points[:, 1]) < TUBE
    logits = [field(part[np.newaxis])[0, :, 0] for part in np.split(points, 10)]
    found = np.concatenate(logits) > 0.0
    return np.count_nonzero(true & found) / np.count_nonzero(true | found)


def train(scene, seed, depth, marks):
    """IoU after each of so many steps."""
    keras.utils.set_random_seed(seed)
    model = models.OccupancyField(hidden_size=64)
    optimizer = keras.optimizers.Adam(2e-3 if depth else 1e-3, epsilon=1e-8)
    average(optimizer, 0.95)
    variables = model.trainable_variables
    optimizer.build(variables)
    settings = losses.VolumetricSettings(
        losses.Weights(depth=1.0 if depth else 0.0), occupied_at_depth=False
    )

    @tf.function
    def step(number):
        key = tf.stack([tf.constant(seed, tf.int64), number])
        places = tf.random.stateless_uniform([2], key, 0, 24, tf.int32)
        views = scene.views(places)
        draws = losses.draw(key, views, 512, settings)
        samples = tf.where(number < 1000, 16, 32)
        surface = SurfaceSettings(ops.MarchSettings(samples), least_cosine=LEAST_COSINE)
        with tf.GradientTape() as tape:
            terms, _ = losses.volumetric_losses(
                model.query(), views, draws, settings, surface
            )
            loss = tf.reduce_mean(sum(terms.values()))
        optimizer.apply(tape.gradient(loss, variables), variables)

    found = {}
    for number in range(max(marks)):
        step(tf.constant(number, tf.int64))
        if number + 1 in marks:
            with averaged(model, optimizer):
                found[number + 1] = iou(model)
    return found


@pytest.mark.parametrize(
    ("depth", "bars"),
    [(False, {1000: 0.65, 1500: 0.82}), (True, {400: 0.80, 700: 0.90})],
    ids=["pictures", "depth"],
)
@pytest.mark.parametrize("path", cases.holding("dvr", "world_mat"), ids=cases.name_of)
def test_a_torus_is_learned(path, depth, bars):
    scene = Scene(path)
    runs = [train(scene, seed, depth, bars) for seed in SEEDS]
    print("\nsteps: IoU of", ", ".join(f"seed {seed}" for seed in SEEDS), "-> median")
    for steps, bar in bars.items():
        values = [run[steps] for run in runs]
        middle = statistics.median(values)
        print(f"{steps}: {', '.join(f'{v:.3f}' for v in values)} -> {middle:.3f}")
        assert middle >= bar
