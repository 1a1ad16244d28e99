"""RenderNet as a served function: names, shapes and ranges of its signatures.

`serving_default`: `voxels` [B, n, n, n, 1] in [0, 1] and `pose` [B, 3] (azimuth in
degrees, polar angle from +Y in degrees, radius) to `image` [B, 8 n, 8 n, C]. For models
that draw normal maps also `shaded`: with `light` [B, 2] (azimuth and polar angle in
degrees, see `ops.phong.light_direction`) to `shaded` on white and `normal`.
"""

import contextlib
from collections.abc import Mapping

import tensorflow as tf

from tfrender.export.saved_model import (
    guard,
    pad_empty,
    same_count,
    write_saved_model,
)
from tfrender.layers import PhongShader
from tfrender.ops.resample_volume import RADIUS_RANGE

# A request of this many pictures of 512 x 512 stays below 4 GiB.
MAX_BATCH = 16
# Half-way point of the foreground mask of `shaded`, that of the original's demo.
MASK_OFFSET = 150.0


def signatures(model, shaded: bool) -> Mapping[str, tf.types.experimental.Callable]:
    """Concrete functions for a SavedModel.

    Args:
        model: `models.RenderNet`.
        shaded: the pictures are normal maps; add the signature with a light.

    Returns:
        signature name -> concrete function with named inputs and a free batch.
    """
    n = model.input_size
    voxels = tf.TensorSpec([None, n, n, n, 1], tf.float32, name="voxels")
    pose = tf.TensorSpec([None, 3], tf.float32, name="pose")
    light = tf.TensorSpec([None, 2], tf.float32, name="light")
    phong = PhongShader(mask_offset=MASK_OFFSET)

    def draw(voxels, pose):
        voxels = guard(voxels, [None, n, n, n, 1], "voxels", 0.0, 1.0, MAX_BATCH)
        pose = guard_pose(pose)
        count = same_count(voxels=voxels, pose=pose)
        inputs = {"voxels": pad_empty(voxels), "pose": pad_empty(pose, 1.0)}
        image = model(inputs, training=False)
        return image[:count]

    @tf.function(input_signature=[voxels, pose])
    def serving_default(voxels, pose):
        return {"image": draw(voxels, pose)}

    @tf.function(input_signature=[voxels, pose, light])
    def with_light(voxels, pose, light):
        normal = draw(voxels, pose)
        light = guard(light, [None, 2], "light", max_batch=MAX_BATCH)
        same_count(pose=pose, light=light)
        return {"normal": normal, "shaded": phong(normal, light)}

    with _without_xla(model):
        found = {"serving_default": serving_default.get_concrete_function()}
        if shaded:
            found["shaded"] = with_light.get_concrete_function()
    return found


def guard_pose(pose: tf.Tensor) -> tf.Tensor:
    """Checks a pose inside an exported function.

    Args:
        pose: [B, 3] azimuth in degrees, polar angle in degrees, radius.

    Returns:
        [B, 3] the same pose, azimuth in [0, 360).
    """
    pose = guard(pose, [None, 3], "pose", max_batch=MAX_BATCH)
    azimuth = tf.math.floormod(pose[:, 0], 360.0)
    polar = guard(pose[:, 1], [None], "pose_polar", 0.0, 180.0, None)
    radius = guard(pose[:, 2], [None], "pose_radius", *RADIUS_RANGE, None)
    return tf.stack([azimuth, polar, radius], axis=-1)


def write(directory: str, model, shaded: bool, numbered: bool = False) -> str:
    """Writes a RenderNet as SavedModel.

    Args:
        directory: see `saved_model.write_saved_model`.
        model: `models.RenderNet`.
        shaded: see `signatures`.
        numbered: see `saved_model.write_saved_model`.

    Returns:
        The folder written.
    """
    module = tf.Module()
    module.kept = list(model.variables)
    return write_saved_model(directory, module, signatures(model, shaded), numbered)


def lite_function(model):
    """The network for one picture with static shapes, as LiteRT wants it.

    Args:
        model: `models.RenderNet`.

    Returns:
        concrete function: `voxels` [1, n, n, n, 1], `pose` [1, 3] -> `image`.
    """
    n = model.input_size
    voxels = tf.TensorSpec([1, n, n, n, 1], tf.float32, name="voxels")
    pose = tf.TensorSpec([1, 3], tf.float32, name="pose")

    @tf.function(input_signature=[voxels, pose])
    def draw(voxels, pose):
        return {"image": model({"voxels": voxels, "pose": pose}, training=False)}

    with _without_xla(model):
        return draw.get_concrete_function()


@contextlib.contextmanager
def _without_xla(model):
    """Stock servers do not compile with XLA: the export holds plain ops."""
    before = model.resampler.jit_compile
    model.resampler.jit_compile = False
    try:
        yield
    finally:
        model.resampler.jit_compile = before
