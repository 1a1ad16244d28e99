"""Claims of the layers for point clouds: those that score and those that render."""

import doctest
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.layers.checking import check_layer
from tfrender import cameras, layers, losses, ops, quaternions

VIEWS, COUNT, SIDE, GRID = 2, 6, 16, 8
RNG = np.random.default_rng(0)


def uniform(*shape, reach=0.4):
    return tf.constant(RNG.uniform(-reach, reach, shape), tf.float32)


POINTS, XY = uniform(VIEWS, COUNT, 3), uniform(VIEWS, COUNT, 2, reach=0.55)
POSES, GUESSES = uniform(VIEWS, 4), uniform(VIEWS, 3, 4)
MASK = np.zeros((VIEWS, SIDE, SIDE, 1), np.float32)
MASK[0, 3:12, 4:13] = MASK[1, 2:9, 6:16] = 1.0
MASK = tf.constant(MASK)
SMOOTH = ops.smooth_silhouette(MASK)
ERRORS = tf.constant([[2.0, 1.0, 3.0], [0.5, 0.7, 0.6]])
SEEN = layers.PointProjector()(POINTS, POSES)
VOXELS = layers.VoxelSplat(GRID, sigma=0.7, taps=5)(SEEN)
PROJECTED = layers.PointProjector("quaternion", 1.5, 2.5)
RELEASED = {"aligned": False, "constant_weights": False}

SINGLE = [
    (PROJECTED, [POINTS, POSES]),
    (layers.PointProjector(), [POINTS, POSES, 0.1 * POINTS[:, 0]]),
    (
        layers.PointProjector("matrix"),
        [POINTS, quaternions.quaternion_to_matrix(POSES)],
    ),
    (layers.SmoothSilhouette(), [MASK]),
    (layers.RingSampler(3, GRID), [XY, MASK]),
    (layers.UnaryLoss(GRID, aligned=False), [XY, SMOOTH]),
    (layers.PairLoss(GRID, pair_width=4.0, rings=3, **RELEASED), [XY, MASK]),
    (layers.ProjectedChamfer(squared=True, max_pairs=12), [XY, XY[:, :4] + 0.1]),
    (layers.VoxelSplat(GRID, 4, 0.7, 5, aligned=False), [SEEN, 0.5 * XY[:, :1, 0]]),
]
SEVERAL = [
    (layers.RayProduct(1e-4, 2.5, 8.0, True), [VOXELS]),
    (layers.PoseEnsemble(10.0), [ERRORS, GUESSES, POSES]),
    (layers.PoseEnsemble(align=True), [ERRORS, GUESSES, POSES]),
]


def name_of(value):
    return value.name if isinstance(value, keras.Layer) else ""


@keras.saving.register_keras_serializable(package="tests")
class Only(keras.layers.Layer):
    """One output of a layer that has several, as `check_layer` wants it."""

    def __init__(self, layer, output, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        if isinstance(layer, dict):
            layer = keras.saving.deserialize_keras_object(layer)
        self.layer, self.output_name = layer, output

    def call(self, *inputs):
        return tf.cast(self.layer(*inputs)[self.output_name], tf.float32)

    def get_config(self):
        layer = keras.saving.serialize_keras_object(self.layer)
        return {**super().get_config(), "layer": layer, "output": self.output_name}


@pytest.mark.parametrize(("layer", "inputs"), SINGLE, ids=name_of)
def test_layer_survives_saving_tracing_and_mixed_precision(layer, inputs, tmp_path):
    check_layer(layer, inputs, tmp_path)


@pytest.mark.parametrize(("layer", "inputs"), SEVERAL, ids=name_of)
def test_outputs_survive_saving_tracing_and_mixed_precision(layer, inputs, tmp_path):
    config = layer.get_config()
    assert type(layer).from_config(config).get_config() == config
    check_layer(Only(layer, next(iter(layer(*inputs)))), inputs, tmp_path)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_a_mixed_policy_computes_in_float32(policy):
    keras.config.set_dtype_policy(policy)
    try:
        for layer, inputs in SINGLE + SEVERAL:
            config = {k: v for k, v in layer.get_config().items() if k != "dtype"}
            found = keras.tree.flatten(type(layer).from_config(config)(*inputs))
            for a, b in zip(found, keras.tree.flatten(layer(*inputs)), strict=True):
                np.testing.assert_array_equal(a, b)
    finally:
        keras.config.set_dtype_policy("float32")


def system():
    """Functional model of both ways from points and poses to a loss."""
    points, poses = keras.Input([COUNT, 3]), keras.Input([4])
    mask, guesses = keras.Input([SIDE, SIDE, 1]), keras.Input([3, 4])
    seen = layers.PointProjector()(points, poses)
    xy = seen[..., :2]
    alpha = layers.RayProduct()(layers.VoxelSplat(GRID, taps=5)(seen))["alpha"]
    found = {
        "unary": layers.UnaryLoss(GRID)(xy, layers.SmoothSilhouette()(mask)),
        "pair": layers.PairLoss(GRID)(xy, mask),
        "chamfer": layers.ProjectedChamfer()(xy, xy[:, ::2] + 0.1),
        "alpha": alpha,
    }
    errors = keras.ops.stack([found["unary"], found["pair"], found["chamfer"]], axis=1)
    found["pose"] = layers.PoseEnsemble()(errors, guesses, poses)["pose"]
    return keras.Model([points, poses, mask, guesses], found)


def test_a_system_of_layers_is_exported_for_any_batch(tmp_path):
    model = system()
    inputs = [POINTS, POSES, MASK, GUESSES]
    expected = model(inputs)
    served = tf.Module()
    specs = [tf.TensorSpec([None, *value.shape[1:]]) for value in inputs]
    served.call = tf.function(lambda *values: model(values), input_signature=specs)
    tf.saved_model.save(served, str(tmp_path))
    served = tf.saved_model.load(str(tmp_path))
    for size in (1, 2):
        found = served.call(*(value[:size] for value in inputs))
        for name, value in expected.items():
            np.testing.assert_allclose(found[name], value[:size], atol=1e-5)


def test_layers_are_their_ops():
    camera = cameras.from_quaternion(POSES, focal_length=1.5, distance=2.5)
    xy, depth = ops.project_points(POINTS, camera)
    found = PROJECTED(POINTS, POSES)
    np.testing.assert_array_equal(found[..., :2], xy)
    np.testing.assert_array_equal(found[..., 2], depth)
    grids = losses.silhouette_grids(MASK, grid=GRID)
    settings = losses.PointLossSettings(grid=GRID, frame=0.0)
    terms = losses.point_silhouette_losses(XY, grids, settings)
    unary, pair = layers.UnaryLoss(GRID), layers.PairLoss(GRID)
    np.testing.assert_allclose(unary(XY, SMOOTH), terms["unary"], rtol=1e-6)
    np.testing.assert_allclose(pair(XY, MASK), terms["pair"], rtol=1e-6)
    camera = cameras.from_quaternion(POSES)
    settings = ops.OccupancySettings(grid=GRID, taps=5)
    whole = ops.project_occupancy(POINTS, camera, 0.7, settings)
    np.testing.assert_allclose(VOXELS, whole.voxels, atol=1e-6)
    for name, value in layers.RayProduct()(VOXELS).items():
        np.testing.assert_allclose(value, getattr(whole, name), atol=1e-5)
    narrow = layers.VoxelSplat(GRID, sigma=3.0, taps=5)(SEEN, sigma=0.7)
    np.testing.assert_array_equal(narrow, VOXELS)


def test_matrices_and_quaternions_are_the_same_rotation():
    matrix = quaternions.quaternion_to_matrix(POSES)
    found = layers.PointProjector("matrix")(POINTS, matrix)
    np.testing.assert_allclose(found, SEEN, atol=1e-6)


def test_several_views_share_the_points_of_an_object():
    poses = tf.concat([POSES, -POSES[::-1]], axis=0)
    found = layers.PointProjector()(POINTS, poses)
    repeated = layers.PointProjector()(tf.repeat(POINTS, 2, axis=0), poses)
    np.testing.assert_array_equal(found, repeated)


def test_an_ensemble_adds_what_the_student_has_to_learn():
    found = layers.PoseEnsemble(10.0)(ERRORS, GUESSES, POSES)
    np.testing.assert_array_equal(found["index"], [1, 0])
    learned = losses.student_loss(found["pose"], POSES)
    np.testing.assert_allclose(found["loss"], [1.0, 0.5] + 10.0 * learned, rtol=1e-6)
    alone = layers.PoseEnsemble(10.0)(ERRORS, GUESSES)
    np.testing.assert_array_equal(alone["loss"], alone["best"])
    assert "student" not in alone


@pytest.mark.parametrize("module", ["point_layers", "occupancy_layers"])
def test_examples_run(module):
    found = doctest.testmod(
        sys.modules[f"tfrender.layers.{module}"], extraglobs={"tf": tf}
    )
    assert found.attempted and not found.failed


NOTHING = tf.zeros([VIEWS, 4])
FAULTS = [
    (lambda: layers.PointProjector("euler"), "`rotation` must be one of"),
    (lambda: layers.PointProjector(focal_length=0.0), "`focal_length` must lie"),
    (lambda: layers.PointProjector(distance=float("nan")), "`distance` must lie"),
    (lambda: layers.RingSampler(0), "`rings` must lie in"),
    (lambda: layers.UnaryLoss(1), "`grid` must lie in"),
    (lambda: layers.PairLoss(pair_width=0.0), "`pair_width` must lie"),
    (lambda: layers.PairLoss(pair_bias=1e9), "`pair_bias` must lie"),
    (lambda: layers.ProjectedChamfer(max_pairs=0), "`max_pairs` must lie"),
    (lambda: layers.VoxelSplat(taps=4), "`taps` must be odd"),
    (lambda: layers.VoxelSplat(sigma=0.0), "`sigma` must lie"),
    (lambda: layers.VoxelSplat(8, 1), "`grid_depth` must lie"),
    (lambda: layers.RayProduct(clip=0.5), "`clip` must lie"),
    (lambda: layers.PoseEnsemble(-1.0), "`student_weight` must lie"),
    (lambda: PROJECTED(POINTS, POSES[:, :3]), "`rotation` must end in"),
    (lambda: PROJECTED(POINTS[..., :2], POSES), "`points` must end in"),
    (lambda: PROJECTED(POINTS, NOTHING), "`quaternion` must be finite and longer"),
    (
        lambda: PROJECTED(POINTS, POSES + float("nan")),
        "`quaternion` must be finite and longer",
    ),
    (lambda: PROJECTED(POINTS, POSES, POSES), "`translation` must end in"),
    (
        lambda: layers.PointProjector("matrix")(POINTS, 2.0 * tf.eye(3, 3, [2])),
        "`rotation` must hold rotations",
    ),
    (
        lambda: layers.PointProjector("matrix")(POINTS, tf.fill([2, 3, 3], np.nan)),
        "`rotation` must hold rotations",
    ),
    (lambda: layers.SmoothSilhouette()(MASK[..., 0]), "`mask` must have 4 axes"),
    (lambda: layers.UnaryLoss(GRID)(XY, SMOOTH[:, 1:]), "`smooth` must be square, of"),
    (lambda: layers.UnaryLoss(GRID)(XY[..., :1], SMOOTH), "`xy` must end in"),
    (lambda: layers.PairLoss(5)(XY, MASK), "`mask` must be square, of a size that 5"),
    (lambda: layers.PairLoss(GRID)(XY, MASK[:1]), "`mask` must have 2 pictures"),
    (lambda: layers.RingSampler(1, 3)(XY, MASK), "`images` must be square"),
    (lambda: layers.ProjectedChamfer()(XY, POINTS), "`target` must end in"),
    (lambda: layers.VoxelSplat()(XY), "`seen` must end in"),
    (lambda: layers.RayProduct()(VOXELS[0]), "`voxels` must have 4 axes"),
    (lambda: layers.PoseEnsemble()(ERRORS, GUESSES[:, 1:]), "`poses` must end in"),
    (
        lambda: layers.PoseEnsemble()(ERRORS, GUESSES, NOTHING),
        "`student` must be finite and longer",
    ),
    (lambda: layers.PoseEnsemble()(ERRORS, 0 * GUESSES), "`poses` must be finite"),
]


@pytest.mark.parametrize(("call", "message"), FAULTS, ids=lambda value: str(value)[:40])
def test_faults_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
