"""RenderNet itself on two devices, and killed: crops, dropout, compiled resampling."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from tests.datasets.shapes import write_records

# The loop on two devices and after a kill: test_distributed and test_resume, quicker.
pytestmark = pytest.mark.slow
STEPS = 6
# Two steps an epoch: crops of 8 cells for three steps, then of 16.
CURRICULUM = ("--crops=8,16", "--crop_epochs=1.5")
SHARED = ("--preset=mini", "--batch_size=4", "--learning_rate=1e-3", "--log_every=1")


def flags(root, name, *more):
    folders = f"--data_dir={root}/data", f"--output_dir={root}/{name}"
    return [*folders, *SHARED, *CURRICULUM, f"--steps={STEPS}", "--export=none", *more]


def launch(*runs, fault=None):
    environment = dict(os.environ)
    if fault is not None:
        environment["MINI_FAULT"] = str(fault)
    return subprocess.Popen(
        [sys.executable, "-m", "tests.trainers.mini_rendernet", json.dumps(runs)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def finish(process, status=0):
    out, err = process.communicate(timeout=250)
    assert process.returncode == status, err[-3000:]
    return out


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """One device, two devices; dropout whole, dropout killed and continued."""
    root = tmp_path_factory.mktemp("rendernet")
    write_records(root / "data", "train", 8)
    write_records(root / "data", "validation", 3)  # a partial batch
    # Devices draw other masks, so dropout is off where they are compared.
    two = ("--keep_prob=1", "--strategy=mirrored", "--logical_devices=2")
    dropout = ("--keep_prob=0.75", "--strategy=one", "--deterministic")
    killed = flags(root, "killed", *dropout, "--checkpoint_minutes=0")
    first = launch(killed, fault=2)
    devices = launch(flags(root, "two", *two))
    finish(first, -signal.SIGKILL)
    assert not (root / "killed.npz").exists()
    # Three runs in one process, since most of the time goes into starting it.
    others = launch(
        killed,
        flags(root, "whole", *dropout),
        flags(root, "one", "--keep_prob=1", "--strategy=one"),
    )
    finish(devices)
    return root, finish(others)


def weights(root, name):
    with np.load(root / f"{name}.npz") as file:
        return [file[key] for key in file.files]


def assert_close(first, second, tolerance):
    assert len(first) == len(second) > 30
    for a, b in zip(first, second, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance)


def moved(first, second):
    return max(np.abs(a - b).max() for a, b in zip(first, second, strict=True))


def rows(root, name, group):
    lines = (root / name / "metrics.jsonl").read_text().splitlines()
    found = [json.loads(line) for line in lines]
    return [line for line in found if line["group"] == group]


def test_two_devices_end_with_the_weights_of_one(runs):
    root, _ = runs
    assert_close(weights(root, "two"), weights(root, "one"), 1e-4)
    # Dropout gives other weights from the same start: the comparison means something.
    assert moved(weights(root, "one"), weights(root, "whole")) > 1e-3


def test_two_devices_report_the_numbers_of_one(runs):
    root, _ = runs
    for group in ("train", "validation"):
        pairs = zip(rows(root, "two", group), rows(root, "one", group), strict=True)
        for two, one in pairs:
            assert two.keys() == one.keys()
            for name in two.keys() - {"group"}:
                np.testing.assert_allclose(two[name], one[name], rtol=1e-3)
    assert rows(root, "two", "validation")[-1]["examples"] == 3


def test_a_killed_run_with_dropout_ends_with_the_weights_of_a_whole_one(runs):
    root, printed = runs
    assert "continuing at step 2" in printed  # the crops grow after step 3
    assert_close(weights(root, "killed"), weights(root, "whole"), 1e-5)
    steps = [row["step"] for row in rows(root, "killed", "train")]
    assert steps == list(range(1, STEPS + 1))
