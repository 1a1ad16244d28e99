"""File names, losses and start poses against values of the original."""

import numpy as np
import pytest
import tensorflow as tf

from datasets.rendernet.names import parse_name
from tests.golden import cases
from tfrender import losses
from tfrender.models.pose_hypotheses import five_poses
from tfrender.ops.resample_volume import pose_parameters


def each_case(*names):
    """Runs a test on every case that holds these entries."""
    paths = [p for p in cases.holding("rendernet", *names) if p.suffix == ".json"]
    return pytest.mark.parametrize("path", paths, ids=cases.name_of)


@each_case("names", "params")
def test_file_names_carry_the_pose_of_the_original(path):
    data = cases.load(path)
    poses = tf.constant([parse_name(f"{name}.png").pose for name in data["names"]])
    ours = tf.stack(pose_parameters(poses), axis=-1)
    np.testing.assert_allclose(ours, data["params"], rtol=1e-5, atol=1e-6)


@each_case("loss")
def test_losses_equal_the_original(path):
    data = cases.load(path)["loss"]
    target = tf.constant(data["target"], tf.float32)
    prediction = tf.constant(data["pred"], tf.float32)
    grey = tf.reduce_mean(losses.cross_entropy_sum(target, prediction))
    color = tf.reduce_mean(losses.squared_error(target, prediction))
    np.testing.assert_allclose(grey, data["bce"], rtol=1e-5)
    np.testing.assert_allclose(color, data["mse"], rtol=1e-5)


@each_case("pose_grid")
def test_start_poses_equal_the_original(path):
    for case in cases.load(path)["pose_grid"]:
        box = case["args"]
        ours = five_poses(
            box["phi_mid"], box["phi_range"], box["theta_mid"], box["theta_range"]
        )
        np.testing.assert_allclose(ours, case["out"], rtol=1e-5, atol=1e-6)
