"""trainers.dvr on two devices: what one device does on the batch of both."""

import subprocess
import sys

import numpy as np
import pytest

from tests.datasets.dvr_scenes import write_ball
from tests.tools import dvr_programs

pytestmark = pytest.mark.slow  # four steps to compile

SIZE = (8, 12)
# Devices draw alike, each for its own rows: with all pixels, and no point that is
# drawn at random, the rays are those of one device.
FLAGS = ("--preset=tiny", "--batch_size=2", "--rays=96", "--initial_radius=0.45")
WEIGHTS = ("--lambda_depth=2", "--lambda_normal=0", "--lambda_occupied=0")
PROGRAM = """
import sys
import keras, numpy as np
from absl import flags
from datasets.dvr import pipeline
from trainers import dvr, steps, strategies
from trainers.flags import Settings

path, *given = sys.argv[1:]
clusters = strategies.connect("mirrored", 2), strategies.connect("one")
found = {}
for reduction in ("sum", "mean"):
    flags.FLAGS.unparse_flags()
    flags.FLAGS(["dvr", *given, f"--reduction={reduction}"])
    settings = Settings.from_flags()
    experiment = dvr.experiment(settings, pipeline.metadata(settings.data_dir, "train"))
    for cluster in clusters:
        keras.utils.set_random_seed(0)
        with cluster.strategy.scope():
            model, optimizer = experiment.model(), keras.optimizers.SGD(3e-5)
            optimizer.build(model.trainable_variables)
        stepper = steps.Stepper(experiment.loss, cluster, model, optimizer, 2)
        batches = iter(cluster.feed(experiment.dataset("train", 0, 2), 2))
        means = [stepper(next(batches), step).means for step in range(2)]
        name = f"{reduction}{cluster.replicas}"
        found |= {f"{name}_{k}": [m[k] for m in means] for k in means[0]}
        weights = [v.numpy().ravel() for v in model.trainable_variables]
        found[f"{name}_weights"] = np.concatenate(weights)
np.savez(path, **found)
"""


@pytest.fixture(scope="module")
def steps(tmp_path_factory):
    """Means of two steps and the weights after them, by reduction and devices."""
    root = tmp_path_factory.mktemp("devices")
    write_ball(root / "scene", 4, SIZE, None)
    dvr_programs.make_records(root / "scene", root / "data")
    flags = [f"--data_dir={root / 'data'}", f"--output_dir={root / 'run'}"]
    flags += [*FLAGS, *WEIGHTS, "--lambda_freespace=0"]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(root / "found.npz"), *flags],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    with np.load(root / "found.npz") as file:
        return dict(file)


@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_two_devices_do_what_one_does(steps, reduction):
    one, two = (
        {k.removeprefix(reduction)[2:]: v for k, v in steps.items() if k.startswith(p)}
        for p in (f"{reduction}1", f"{reduction}2")
    )
    assert one.keys() == two.keys() >= {"loss", "rgb", "depth", "hits", "weights"}
    for name, value in one.items():
        np.testing.assert_allclose(two[name], value, rtol=1e-4, atol=1e-5)
    assert one["loss"][1] != one["loss"][0] and one["hits"].min() > 0.1


def test_the_reductions_differ(steps):
    assert np.abs(steps["sum1_weights"] - steps["mean1_weights"]).max() > 1e-4
