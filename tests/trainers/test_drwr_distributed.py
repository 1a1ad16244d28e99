"""trainers.drwr on two devices: what one device does on the batch of both."""

import subprocess
import sys

import numpy as np
import pytest

from tests.datasets import drwr_objects

pytestmark = pytest.mark.slow  # four steps to compile

# With all points drawn, nothing of DPC's renderer is random.
POSES = ("--predict_pose", "--lambda_projection=1", "--keep_start=1", "--kernel_size=5")
RUNS = {
    "known": ("--loss_preset=surface", "--surface_from=0", "--surface_full=0.1"),
    "poses": (*POSES, "--lambda_unary=0", "--lambda_pair=0", "--lambda_frame=0"),
}
PROGRAM = """
import sys
import keras, numpy as np
from absl import flags
from datasets.drwr import pipeline
from tfrender.ops import default_form
from trainers import drwr, steps, strategies
from trainers.flags import Settings

path, *given = sys.argv[1:]
clusters = strategies.connect("mirrored", 2), strategies.connect("one")
flags.FLAGS(["drwr", *given])
settings = Settings.from_flags()
experiment = drwr.experiment(settings, pipeline.metadata(settings.data_dir, "train"))
found = {}
for cluster in clusters:
    keras.utils.set_random_seed(0)
    with cluster.strategy.scope():
        model, optimizer = experiment.model(), keras.optimizers.SGD(1e-2)
        optimizer.build(model.trainable_variables)
    stepper = steps.Stepper(experiment.loss, cluster, model, optimizer, 4)
    batches = iter(cluster.feed(experiment.dataset("train", 0, 4), 4))
    with default_form("graph"):
        means = [stepper(next(batches), step).means for step in (2, 3)]
    name = str(cluster.replicas)
    found |= {f"{name}_{k}": [m[k] for m in means] for k in means[0]}
    weights = [v.numpy().ravel() for v in model.trainable_variables]
    found[f"{name}_weights"] = np.concatenate(weights)
np.savez(path, **found)
"""


@pytest.mark.parametrize("run", RUNS)
def test_two_devices_do_what_one_does(tmp_path, run):
    data = drwr_objects.write_objects(tmp_path / "data", {"chair": 4})
    drwr_objects.write_objects(tmp_path / "data", {"chair": 1}, "validation", first=7)
    flags = [f"--data_dir={data}", f"--output_dir={tmp_path / 'run'}", "--preset=tiny"]
    flags += ["--batch_size=4", "--steps=10", "--views_per_step=2", "--grid=16"]
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            PROGRAM,
            str(tmp_path / "found.npz"),
            *flags,
            *RUNS[run],
        ],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    with np.load(tmp_path / "found.npz") as file:
        one, two = (
            {k[2:]: file[k] for k in file.files if k.startswith(p)} for p in ("1", "2")
        )
    assert one.keys() == two.keys() >= {"loss", "weights"}
    for name, value in one.items():
        np.testing.assert_allclose(two[name], value, rtol=1e-4, atol=1e-5)
    assert one["loss"][1] != one["loss"][0]
