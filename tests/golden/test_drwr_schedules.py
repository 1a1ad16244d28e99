"""Schedules of the published DRWR and DPC."""

import json
import subprocess
import sys

import numpy as np
import pytest

from tests.golden import cases
from tfrender import ops

PATHS = cases.holding("drwr", "steps", "lr_default", "sigma_rel_*", "keep_prob_*")
DPC_STEPS = 600_000
DRWR_STEPS = 1_000_000
# README: defaults, decay on, and the second rate after a fifth of the steps.
FLAGS = {
    "lr_default": [],
    "lr_decay": ["--lr_decay=0.95", "--lr_decay_steps=10000"],
    "lr_step02": ["--lr_share=0.2", "--lr_second=1e-5"],
}
# In a process of its own: the flags of two trainers do not go into one.
PROGRAM = """
import json, sys
from absl import flags
from trainers import drwr
from trainers.flags import Settings
steps, given = json.loads(sys.stdin.read())
rates = {}
for name, own in given.items():
    flags.FLAGS.unparse_flags()
    for flag in flags.FLAGS:
        flags.FLAGS[flag].unparse()
    flags.FLAGS(["drwr", "--output_dir=none", *own])
    schedule = drwr.learning_schedule(Settings.from_flags())
    rates[name] = [float(schedule(step)) for step in steps]
print(json.dumps(rates))
"""


@pytest.mark.parametrize("path", PATHS, ids=cases.name_of)
def test_blur_and_kept_points(path):
    arrays = cases.load(path)
    progress = arrays["steps"] / DPC_STEPS
    blur = ops.blur_schedule(progress, 3.0, 0.2, bounded=False)
    expected = arrays["sigma_rel_3_to_02_600k"]
    np.testing.assert_allclose(blur, expected, rtol=1e-5, atol=1e-6)
    # Ours stops at the end, where the original becomes negative.
    found = ops.blur_schedule(progress, 3.0, 0.2)
    late = progress > 1.0
    np.testing.assert_allclose(found, np.where(late, 0.2, expected), rtol=1e-5)
    found = ops.keep_schedule(progress, 0.07)
    expected = arrays["keep_prob_007_600k"]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.slow  # a process for its flags
def test_learning_rates():
    every = [cases.load(path) for path in PATHS]
    steps = sorted({int(step) for arrays in every for step in arrays["steps"]})
    shared = [f"--steps={DRWR_STEPS}", "--learning_rate=1e-4"]
    given = {name: [*shared, *own] for name, own in FLAGS.items()}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input=json.dumps([steps, given]),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    rates = json.loads(done.stdout.splitlines()[-1])
    for arrays in every:
        for name, found in rates.items():
            chosen = [found[steps.index(int(step))] for step in arrays["steps"]]
            np.testing.assert_allclose(chosen, arrays[name], rtol=1e-5, err_msg=name)
