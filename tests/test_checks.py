"""Tests of tfrender.checks."""

import numpy as np
import pytest
import tensorflow as tf

from tfrender import checks


def test_dims_reads_the_last_axes_and_lets_unknown_sizes_pass():
    checks.dims("color", tf.zeros([1, 4, 6, 3]), 6, 3)
    checks.dims("color", np.zeros([6, 3]), None, 3)
    checks.dims("color", tf.TensorSpec([None, None, 3]), 5, 3)
    checks.dims("color", tf.TensorSpec(None), 5, 3)


@pytest.mark.parametrize("shape", [[4, 6, 4], [4, 5, 3], [3]])
def test_dims_names_argument_expected_and_found(shape):
    with pytest.raises(ValueError, match=r"`color` must end in \[6, 3\]; got shape \["):
        checks.dims("color", tf.zeros(shape), 6, 3)


def test_rank_names_the_shape_found():
    checks.rank("voxels", tf.zeros([1, 2, 3]), 3)
    with pytest.raises(ValueError, match=r"`voxels` must have 5 axes; got shape \[2\]"):
        checks.rank("voxels", tf.zeros([2]), 5)


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan"), float("inf")])
def test_between_refuses_what_is_outside_or_not_finite(value):
    checks.between("fill", 0.0, 0.0, 1.0)
    with pytest.raises(ValueError, match="`fill`"):
        checks.between("fill", value, 0.0, 1.0)


def test_one_of_names_the_choices():
    checks.one_of("border", "legacy", ("legacy", "zero_pad"))
    with pytest.raises(ValueError, match=r"\['legacy', 'zero_pad'\]; got 'wrap'"):
        checks.one_of("border", "wrap", ("legacy", "zero_pad"))


def test_keys_names_what_is_missing_and_what_is_unknown():
    checks.keys("widths", {"a": 1, "b": 2}, ("a", "b"))
    with pytest.raises(ValueError, match=r"missing \['b'\], unknown \['c'\]"):
        checks.keys("widths", {"a": 1, "c": 2}, ("a", "b"))
