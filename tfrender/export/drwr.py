"""A point cloud reconstructor as a served function: names, shapes and ranges.

`serving_default`: `image` [B, S, S, 3] in [0, 1] on white to `points` [B, N, 3], in the
frame of the training data. Models that predict poses add `pose` [B, 4], the camera of
the picture as unit quaternion (w, x, y, z), see `cameras.from_quaternion`; (1, 0, 0, 0)
where the network gives no direction.
"""

from collections.abc import Mapping

import tensorflow as tf

from tfrender.export.saved_model import guard, pad_empty, write_saved_model
from tfrender.ops.forms import default_form

MAX_BATCH = 64
_WHITE = 1.0


def signatures(model) -> Mapping[str, tf.types.experimental.Callable]:
    """Concrete functions for a SavedModel.

    Args:
        model: `models.PointCloudReconstructor`.

    Returns:
        signature name -> concrete function with named inputs and a free batch.
    """
    side = model.input_size
    spec = tf.TensorSpec([None, side, side, 3], tf.float32, name="image")

    @tf.function(input_signature=[spec])
    def serving_default(image):
        image = guard(image, spec.shape, "image", 0.0, 1.0, MAX_BATCH)
        count = tf.shape(image)[0]
        found = model(pad_empty(image, _WHITE), training=False)
        answer = {"points": found["points"][:count]}
        if model.predicts_pose:
            answer["pose"] = found["pose"][:count]
        return answer

    with default_form("graph"):
        return {"serving_default": serving_default.get_concrete_function()}


def write(directory: str, model, numbered: bool = False) -> str:
    """Writes a point cloud reconstructor as SavedModel.

    Args:
        directory: see `saved_model.write_saved_model`.
        model: `models.PointCloudReconstructor`.
        numbered: see `saved_model.write_saved_model`.

    Returns:
        The folder written.

    Raises:
        ValueError: weights that are not finite, or a folder that holds something else.
    """
    module = tf.Module()
    module.kept = list(model.variables)
    return write_saved_model(directory, module, signatures(model), numbered)
