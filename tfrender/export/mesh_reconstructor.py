"""A mesh reconstructor as a served function: names, shapes and ranges.

`serving_default`: `image` [B, S, S, 4] in [0, 1], colour on black and coverage, to
`vertices` [B, 642, 3] in (-0.5, 0.5) and `faces` [B, 1280, 3], counter-clockwise
outside; models with colours add `colors` [B, 642, 3]. `views`: with `azimuth_deg`
[B, N] also pictures of the mesh, `views` [B, N, 64, 64, 4], shaded on black.
"""

from collections.abc import Mapping

import tensorflow as tf

from tfrender import cameras
from tfrender.export.saved_model import (
    guard,
    pad_empty,
    same_count,
    write_saved_model,
)
from tfrender.layers.lamps import PUBLISHED_LIGHTS
from tfrender.layers.mesh_renderer import MeshRenderer
from tfrender.ops.forms import default_form

MAX_BATCH = 64
MAX_VIEWS = 192  # of one request, all examples together: 0.5 GB
VIEW_SIZE = 64


def signatures(model) -> Mapping[str, tf.types.experimental.Callable]:
    """Concrete functions for a SavedModel.

    Args:
        model: `models.MeshReconstructor`.

    Returns:
        signature name -> concrete function with named inputs and a free batch.
    """
    side = model.image_size
    image = tf.TensorSpec([None, side, side, 4], tf.float32, name="image")
    azimuth = tf.TensorSpec([None, None], tf.float32, name="azimuth_deg")
    renderer = MeshRenderer(
        (VIEW_SIZE, VIEW_SIZE), supersampling=2, lights=PUBLISHED_LIGHTS
    )

    def reconstruct(image):
        image = guard(image, [None, side, side, 4], "image", 0.0, 1.0, MAX_BATCH)
        count = tf.shape(image)[0]
        shapes = model(pad_empty(image), training=False)
        faces = tf.constant(model.faces)[tf.newaxis]
        found = {name: value[:count] for name, value in shapes.items()}
        return {**found, "faces": tf.tile(faces, [count, 1, 1])}

    @tf.function(input_signature=[image])
    def serving_default(image):
        return reconstruct(image)

    @tf.function(input_signature=[image, azimuth])
    def views(image, azimuth_deg):
        azimuth_deg = guard(azimuth_deg, [None, None], "azimuth_deg", -1e4, 1e4)
        number = tf.shape(azimuth_deg)[1]
        allowed = tf.debugging.assert_less_equal(
            tf.size(azimuth_deg),
            MAX_VIEWS,
            f"tfrender: `azimuth_deg` holds more than {MAX_VIEWS} angles",
        )
        count = same_count(image=image, azimuth_deg=azimuth_deg)
        shapes = reconstruct(image)
        with tf.control_dependencies([allowed]):
            flat = tf.reshape(azimuth_deg, [-1])
        camera = cameras.on_reconstruction_ring(flat)
        colors = shapes.get("colors")
        drawn = renderer(
            tf.repeat(shapes["vertices"], number, axis=0),
            model.faces,
            camera,
            vertex_colors=None if colors is None else tf.repeat(colors, number, axis=0),
            outputs=("rgb", "alpha"),
        )
        pictures = tf.clip_by_value(
            tf.concat([drawn["rgb"], drawn["alpha"]], axis=-1), 0.0, 1.0
        )
        shape = tf.stack([count, number, VIEW_SIZE, VIEW_SIZE, 4])
        return {**shapes, "views": tf.reshape(pictures, shape)}

    with default_form("graph"):
        return {
            "serving_default": serving_default.get_concrete_function(),
            "views": views.get_concrete_function(),
        }


def write(directory: str, model, numbered: bool = False) -> str:
    """Writes a mesh reconstructor as SavedModel.

    Args:
        directory: see `saved_model.write_saved_model`.
        model: `models.MeshReconstructor`.
        numbered: see `saved_model.write_saved_model`.

    Returns:
        The folder written.
    """
    module = tf.Module()
    module.kept = list(model.variables)
    return write_saved_model(directory, module, signatures(model), numbered)
