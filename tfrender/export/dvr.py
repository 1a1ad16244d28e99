"""A DVR model as served functions: names, shapes and ranges of its signatures.

`field`: `points` [B, N, 3] in object space to `occupancy` [B, N], logits that are
positive inside the shape (that of the threshold is 0), and for models with colours
`color` [B, N, 3] in [0, 1]. `serving_default`: `world_to_camera` and `projection`
[B, 4, 4] to pictures of one size: `rgb` [B, H, W, 3] on white, `alpha`, `mask` and
`depth` [B, H, W, 1] and `normal` [B, H, W, 3].

A conditional model also has `encode`, `image` [B, S, S, 3] in [0, 1] to `code` [B, C];
its `field` takes `code` too, its `serving_default` `image`. Where the codes are learned
ones of numbered objects, `object_id` [B] int32 stands in the place of `image`.
"""

from collections.abc import Mapping

import tensorflow as tf

from tfrender import checks
from tfrender.cameras import Camera
from tfrender.export.saved_model import (
    guard,
    pad_empty,
    same_count,
    write_saved_model,
)
from tfrender.models.dvr import EMBEDDING
from tfrender.ops.forms import default_form
from tfrender.ops.implicit_surface import logit

MAX_BATCH = 64
MAX_POINTS = 2**18  # of one request: 2 GB with blocks 512 wide
MAX_RAYS = 2**20  # of one request, all pictures together
_FARTHEST = 1e3  # coordinate of a point
_RIGID = 1e-2
_SERVED = ("rgb", "alpha", "depth", "mask", "normal")


def signatures(
    model,
    image_size: tuple[int, int],
    samples: int = 128,
    threshold: float = 0.5,
    padding: float = 0.1,
) -> Mapping[str, tf.types.experimental.Callable]:
    """Concrete functions for a SavedModel.

    Args:
        model: `models.DVR`.
        image_size: (height, width) of the pictures of `serving_default`.
        samples: on each ray.
        threshold: probability of occupancy on the surface.
        padding: of the cube in which rays are marched.

    Returns:
        signature name -> concrete function with named inputs and a free batch.

    Raises:
        ValueError: a size, threshold or number of samples out of range.
    """
    height, width = checks.image_size(image_size)
    if height * width > MAX_RAYS:
        raise ValueError(
            f"`image_size` must have at most {MAX_RAYS} pixels; got {image_size}."
        )
    checks.between("threshold", threshold, 1e-4, 1.0 - 1e-4)
    most = min(MAX_BATCH, MAX_RAYS // (height * width))

    def draw(world_to_camera, projection, source=None):
        camera = guard_camera(world_to_camera, projection, most)
        code = None
        if source is not None:
            code = _encode(model, source, most)
            count = same_count(world_to_camera=camera.world_to_camera, code=code)
            code = code[:count]
        found = model.render(camera, (height, width), code, samples, threshold, padding)
        names = _SERVED if model.field.colors else _SERVED[1:]
        return {name: found[name] for name in names}

    def field(points, code=None):
        return evaluate_field(model, points, code, threshold)

    def encode(source):
        return {"code": _encode(model, source)}

    points = tf.TensorSpec([None, None, 3], tf.float32, name="points")
    matrices = [
        tf.TensorSpec([None, 4, 4], tf.float32, name=name) for name in Camera._fields
    ]
    if model.code_size == 0:
        plan = {"field": (field, [points]), "serving_default": (draw, matrices)}
    else:
        code = tf.TensorSpec([None, model.code_size], tf.float32, name="code")
        source = _source(model)
        plan = {
            "field": (field, [points, code]),
            "encode": (encode, [source]),
            "serving_default": (draw, [*matrices, source]),
        }
    with default_form("graph"):
        return {name: _concrete(*entry) for name, entry in plan.items()}


def _concrete(body, specs):
    """Concrete function whose inputs have the names of the specs."""

    @tf.function(input_signature=specs)
    def call(*inputs):
        return body(*inputs)

    return call.get_concrete_function()


def _source(model) -> tf.TensorSpec:
    """What a code is made of."""
    if model.kind == EMBEDDING:
        return tf.TensorSpec([None], tf.int32, name="object_id")
    side = model.input_size
    return tf.TensorSpec([None, side, side, 3], tf.float32, name="image")


def _encode(model, source, max_batch=MAX_BATCH):
    """Code [B, C] of a guarded source."""
    spec = _source(model)
    high = 1.0 if spec.dtype.is_floating else model.settings["objects"] - 1
    source = guard(source, spec.shape, spec.name, 0, high, max_batch)
    count = tf.shape(source)[0]
    return model.encode(pad_empty(source))[:count]


def evaluate_field(
    model, points: tf.Tensor, code: tf.Tensor | None = None, threshold: float = 0.5
) -> dict[str, tf.Tensor]:
    """The body of the signature `field`.

    Args:
        model: `models.DVR`.
        points: [B, N, 3] in object space.
        code: [B, C]; None for a model of one object.
        threshold: probability of occupancy on the surface.

    Returns:
        dict: "occupancy" [B, N], above 0 inside; with colours "color" [B, N, 3].

    Gradient: exact in points and code.
    """
    points = guard(points, [None, None, 3], "points", -_FARTHEST, _FARTHEST, MAX_BATCH)
    conditions = [
        tf.debugging.assert_less_equal(
            tf.size(points),
            3 * MAX_POINTS,
            f"tfrender: `points` holds more than {MAX_POINTS} points",
        )
    ]
    if code is not None:
        code = guard(code, [None, model.code_size], "code", -1e6, 1e6, MAX_BATCH)
        conditions.append(same_count(points=points, code=code))
    with tf.control_dependencies([c for c in conditions if c is not None]):
        points = tf.identity(points)
    return _field(model, points, code, threshold)


def _field(model, points, code, threshold):
    logits = model.field(points, code)
    level = logit(threshold)
    found = {"occupancy": logits[..., 0] - level}
    if model.field.colors:
        found["color"] = tf.sigmoid(logits[..., 1:])
    return found


def guard_camera(
    world_to_camera: tf.Tensor, projection: tf.Tensor, max_batch: int = MAX_BATCH
) -> Camera:
    """Checks a camera inside an exported function.

    Args:
        world_to_camera: [B, 4, 4].
        projection: [B, 4, 4].
        max_batch: most examples in one request.

    Returns:
        The camera.
    """
    shape = [None, 4, 4]
    view = guard(world_to_camera, shape, "world_to_camera", -1e6, 1e6, max_batch)
    projection = guard(projection, shape, "projection", -1e6, 1e6, max_batch)
    rotation = view[:, :3, :3]
    product = tf.reduce_sum(
        rotation[:, :, tf.newaxis] * rotation[:, tf.newaxis], axis=-1
    )
    bottom = view[:, 3] - tf.constant([0.0, 0.0, 0.0, 1.0])
    extent = projection[:, 0, 0] * projection[:, 1, 1]
    extent -= projection[:, 0, 1] * projection[:, 1, 0]
    rigid = "tfrender: `world_to_camera` must be a rotation and a translation"
    conditions = [
        tf.debugging.assert_less(tf.abs(product - tf.eye(3)), _RIGID, rigid),
        tf.debugging.assert_less(tf.abs(bottom), 1e-4, rigid),
        tf.debugging.assert_greater(
            tf.abs(extent), 1e-9, "tfrender: `projection` must have an extent"
        ),
        same_count(world_to_camera=view, projection=projection),
    ]
    # In eager mode an assertion returns None.
    with tf.control_dependencies([c for c in conditions if c is not None]):
        return Camera(tf.identity(view), tf.identity(projection))


def write(
    directory: str,
    model,
    image_size: tuple[int, int],
    samples: int = 128,
    threshold: float = 0.5,
    padding: float = 0.1,
    numbered: bool = False,
) -> str:
    """Writes a DVR model as SavedModel.

    Args:
        directory: see `saved_model.write_saved_model`.
        model: `models.DVR`.
        image_size: see `signatures`.
        samples: see `signatures`.
        threshold: see `signatures`.
        padding: see `signatures`.
        numbered: see `saved_model.write_saved_model`.

    Returns:
        The folder written.
    """
    module = tf.Module()
    module.kept = list(model.variables)
    functions = signatures(model, image_size, samples, threshold, padding)
    return write_saved_model(directory, module, functions, numbered)


def lite_function(model, points: int, threshold: float = 0.5):
    """The field for a fixed number of points, as LiteRT wants it.

    Args:
        model: `models.DVR`.
        points: N.
        threshold: see `signatures`.

    Returns:
        concrete function: `points` [1, N, 3], for conditional models also `code`
        [1, C], to `occupancy` [1, N] and, for models with colours, `color` [1, N, 3].
    """
    checks.between("points", points, 1, MAX_POINTS)
    checks.between("threshold", threshold, 1e-4, 1.0 - 1e-4)
    specs = [tf.TensorSpec([1, points, 3], tf.float32, name="points")]
    if model.code_size:
        specs.append(tf.TensorSpec([1, model.code_size], tf.float32, name="code"))

    def field(points, code=None):
        return _field(model, points, code, threshold)

    with default_form("graph"):
        return _concrete(field, specs)
