"""Claims of the field of occupancy and colour."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfrender import models
from tfrender.ops.field_query import FieldQuery

POINTS = tf.random.stateless_uniform([7, 3], [1, 2], -0.5, 0.5)
ITEM = tf.constant([0, 1, 1, 0, 1, 0, 0])
VARIANTS = [
    {},
    {"code_size": 3},
    {"leaky": True},
    {"frequencies": 2},
    {"code_size": 2, "frequencies": 1, "leaky": True, "colors": False},
]


def field(**settings):
    """A small field whose every weight counts."""
    keras.utils.set_random_seed(3)
    made = models.OccupancyField(hidden_size=8, blocks=2, **settings)
    for weight in made.trainable_variables:
        weight.assign(keras.random.normal(weight.shape) * 0.5)
    if not made.code_size:
        return made, made.query()
    return made, made.query(tf.random.stateless_normal([2, made.code_size], [4, 5]))


@pytest.mark.parametrize(
    ("settings", "count"),
    [
        ({"hidden_size": 512, "code_size": 256}, 3_288_580),
        ({"hidden_size": 512}, 2_630_660),
        ({"hidden_size": 128, "code_size": 256}, 330_628),
    ],
)
def test_sizes_are_the_published_ones(settings, count):
    assert models.OccupancyField(**settings).count_params() == count


def test_blocks_begin_as_the_identity_and_weights_within_bounds():
    made = models.OccupancyField(hidden_size=64, code_size=16)
    for layer, inputs in [(made.first, 3), (made.last, 64)] + [
        (layer, 64) for pair in made.pairs for layer in pair
    ]:
        bound = 1.0 / np.sqrt(inputs)
        assert np.abs(layer.bias).max() <= bound
        assert np.abs(layer.kernel).max() <= bound
    for first, second in made.pairs:
        assert not np.any(second.kernel) and np.any(second.bias)
        assert np.abs(first.kernel).max() > 0.9 / 8.0


@pytest.mark.parametrize("settings", VARIANTS)
def test_the_written_out_gradient_is_that_of_a_tape(settings):
    made, query = field(**settings)
    weight = made.first.kernel
    upstream = tf.random.stateless_normal([7, 3], [6, 7])
    found = []
    for way in (query.occupancy_and_gradient, None):
        with tf.GradientTape() as outer:
            if way is None:
                value, gradient = FieldQuery.occupancy_and_gradient(query, POINTS, ITEM)
            else:
                value, gradient = way(POINTS, ITEM)
            total = tf.reduce_sum(gradient * upstream) + tf.reduce_sum(value)
        found.append((value, gradient, outer.gradient(total, weight.value)))
    for ours, tape in zip(*found, strict=True):
        np.testing.assert_allclose(ours, tape, rtol=1e-4, atol=1e-5)


def test_points_of_several_items_are_those_of_each():
    made, query = field(code_size=3)
    code = tf.random.stateless_normal([2, 3], [4, 5])
    mixed = query.logits(POINTS, ITEM)
    each = made(tf.stack([POINTS, POINTS]), code)
    expected = tf.gather(tf.transpose(each, [1, 0, 2]), ITEM, batch_dims=1)
    np.testing.assert_allclose(mixed, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(query.occupancy(POINTS, ITEM), mixed[:, 0], rtol=1e-5)


def test_it_begins_as_a_sphere_of_any_size():
    keras.utils.set_random_seed(0)
    made = models.OccupancyField(hidden_size=64, code_size=4)
    made.begin_as_sphere(0.3)
    way = tf.math.l2_normalize(tf.random.stateless_normal([1, 200, 3], [8, 9]), -1)
    code = tf.zeros([1, 4])
    assert np.mean(made(0.1 * way, code)[..., 0] > 0.0) > 0.97
    assert np.mean(made(0.5 * way, code)[..., 0] < 0.0) > 0.97
    with pytest.raises(ValueError, match="`radius` must lie in"):
        made.begin_as_sphere(0.0)


def test_it_survives_a_file_and_mixed_precision(tmp_path):
    made, _ = field(frequencies=2)
    made.save(tmp_path / "field.keras")
    loaded = keras.saving.load_model(tmp_path / "field.keras")
    np.testing.assert_array_equal(loaded(POINTS[None]), made(POINTS[None]))
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        mixed = models.OccupancyField(hidden_size=8, blocks=2, frequencies=2)
    finally:
        keras.config.set_dtype_policy("float32")
    mixed.set_weights(made.get_weights())
    np.testing.assert_allclose(mixed(POINTS[None]), made(POINTS[None]), rtol=1e-6)


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda: models.OccupancyField(hidden_size=0), "`hidden_size` must lie in"),
        (lambda: models.OccupancyField(8, frequencies=99), "`frequencies` must lie in"),
        (lambda: models.OccupancyField(8).query(tf.zeros([1, 2])), "must be None"),
        (lambda: models.OccupancyField(8, code_size=2).query(), r"must be \[B, 2\]"),
        (lambda: models.OccupancyField(8)(tf.zeros([1, 5, 2])), "`points` must end"),
    ],
)
def test_mistakes_are_named(call, expected):
    with pytest.raises(ValueError, match=expected):
        call()
