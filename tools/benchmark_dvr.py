"""Workloads of `tools.benchmark dvr`: one training step at published settings.

A step is all losses (colours, normals 0.05, freespace, occupancy), both passes and the
update by Adam, on pictures of a sphere of 65 x 65 pixels. A: two pictures of 512 rays,
width 128, code 128 of a dense layer, 64 samples. B: the published widths with a
ResNet-18 at 224 x 224, 1024 rays, 16 samples, every ray hits. C: the same with 128.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from tfrender import cameras, losses, models
from tfrender.ops.implicit_surface import SurfaceSettings
from tfrender.ops.march_rays import MarchSettings
from tools.benchmark_rendernet import Workload

SIZE = 65
BATCH = 2


class Setting(NamedTuple):
    """Settings of a step.

    Attributes:
        rays: of a picture.
        hidden_size: width of the field.
        code_size: width of the code; 0 has none.
        resnet: whether a ResNet-18 makes the code, or a dense layer.
        samples: of a ray.
        fov_deg: of the pictures; smaller ones show more of the sphere.
        original: seconds of the original, one thread of an idle machine of this kind.
    """

    rays: int
    hidden_size: int
    code_size: int
    resnet: bool
    samples: int
    fov_deg: float
    original: float | None


SETTINGS = {
    "A": Setting(512, 128, 128, False, 64, 40.0, 0.754),
    "B": Setting(1024, 512, 256, True, 16, 12.0, 7.17),
    "C": Setting(1024, 512, 256, True, 128, 12.0, None),
    "fit": Setting(512, 64, 0, False, 16, 40.0, None),
}
_RADIUS, _DISTANCE = 0.35, 2.0


def workloads(peers: bool) -> Iterator[Workload]:
    """All workloads of the suite, each made when its turn comes.

    Args:
        peers: the original needs PyTorch 1.4 and is not compared here; its seconds are
            those of the reference measurement.

    Yields:
        `Workload`s.
    """
    del peers
    for name, setting in SETTINGS.items():
        variants, facts = {}, {}
        for normals in ("analytic", "central"):
            variants[f"{normals} normals"] = _step(setting, normals, facts)
        yield Workload(f"training step {name}", variants, _facts(name, setting, facts))


def _facts(name: str, setting: Setting, hits: dict) -> Callable:
    """Microseconds a ray, and the ratio to the original."""

    def facts(timings):
        found = {}
        for variant, timing in timings.items():
            ray = 1e6 * timing.median / (BATCH * setting.rays)
            text = f"{ray:.0f} us a ray, {100 * hits['hits']:.0f}% of them hit"
            if setting.original:
                text += f", {timing.median / setting.original:.2f} of the original"
            found[f"{name}, {variant}"] = text
        return found

    return facts


def _sphere_field(setting: Setting) -> models.OccupancyField:
    """A field whose surface is about a sphere."""
    field = models.OccupancyField(setting.hidden_size, code_size=setting.code_size)
    field.begin_as_sphere(_RADIUS)
    return field


def _views(setting: Setting) -> losses.Views:
    view = cameras.orbit([30.0, 200.0], [20.0, -35.0], _DISTANCE)
    projection = cameras.perspective(setting.fov_deg)
    camera = cameras.Camera(view, tf.repeat(projection, BATCH, axis=0))
    y, x = np.mgrid[:SIZE, :SIZE] / (SIZE - 1.0) * 2.0 - 1.0
    focal = 1.0 / np.tan(np.radians(setting.fov_deg) / 2.0)
    outline = focal * _RADIUS / np.sqrt(_DISTANCE**2 - _RADIUS**2)
    mask = (np.hypot(x, y) < outline).astype(np.float32)[..., np.newaxis]
    image = np.where(mask > 0, np.stack([x, y, -x], axis=-1) * 0.3 + 0.5, 1.0)
    return losses.Views(
        camera,
        tf.constant(np.stack([image] * BATCH), tf.float32),
        tf.constant(np.stack([mask] * BATCH), tf.float32),
    )


def _step(setting: Setting, normals: str, facts: dict) -> Callable:
    field, views = _sphere_field(setting), _views(setting)
    settings = losses.VolumetricSettings(normals=normals)
    surface_settings = SurfaceSettings(MarchSettings(setting.samples))
    encoder, source = None, None
    if setting.resnet:
        encoder = models.image_encoder("resnet18", setting.code_size, 224)
        source = tf.random.stateless_uniform([BATCH, 224, 224, 3], [0, 1])
    elif setting.code_size:
        encoder = keras.Sequential(
            [keras.layers.Dense(setting.code_size, kernel_initializer="zeros")]
        )
        source = tf.ones([BATCH, setting.code_size])
        encoder.build(source.shape)
    if setting.resnet:  # begin at the code that the sphere was fitted for
        head = encoder.get_layer("fc")
        head.set_weights([np.zeros_like(weight) for weight in head.get_weights()])
    variables = field.trainable_variables + (
        encoder.trainable_variables if encoder else []
    )
    optimizer = keras.optimizers.Adam(1e-7)  # the field stays a sphere
    optimizer.build(variables)

    @tf.function
    def step(number):
        seed = tf.stack([tf.constant(0, tf.int64), number])
        draws = losses.draw(seed, views, setting.rays, settings)
        with tf.GradientTape() as tape:
            code = encoder(source, training=True) if encoder else None
            terms, surface = losses.volumetric_losses(
                field.query(code), views, draws, settings, surface_settings
            )
            loss = tf.reduce_mean(sum(terms.values()))
        optimizer.apply(tape.gradient(loss, variables), variables)
        return loss, tf.reduce_mean(tf.cast(surface.mask, tf.float32))

    def call():
        facts["hits"] = float(step(tf.constant(1, tf.int64))[1])

    return call
