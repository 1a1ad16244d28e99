"""Kills in mid-training: the weights end as those of an uninterrupted run."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from tests.trainers import toy_experiment as toy

STEPS = 30


def launch(data, folder, weights=None, fault="", **flags):
    arguments = {
        "data_dir": data,
        "output_dir": folder,
        "steps": STEPS,
        "export": "none",
        "checkpoint_minutes": 0,
        **flags,
    }
    command = [sys.executable, "-m", "tests.trainers.toy_experiment", "--deterministic"]
    command += [f"--{name}={value}" for name, value in arguments.items()]
    environment = {**os.environ, "TOY_FAULT": fault}
    if weights:
        environment["TOY_WEIGHTS"] = str(weights)
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def finish(process, status):
    out, err = process.communicate(timeout=120)
    assert process.returncode == status, err[-3000:]
    return out, err


def wait_for(path, process):
    limit = time.monotonic() + 60
    while not path.exists():
        assert process.poll() is None and time.monotonic() < limit
        time.sleep(0.001)


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    """An uninterrupted run, and one that was stopped three times."""
    root = tmp_path_factory.mktemp("resume")
    data = toy.write_data(root / "data")
    whole = launch(data, root / "whole", root / "whole.npz", checkpoint_minutes=9)
    folder = root / "killed"
    told = []

    process = launch(data, folder, fault="5 KILL")  # in the middle of a step
    told.append(finish(process, -signal.SIGKILL))
    process = launch(data, folder)
    wait_for(folder / "checkpoints" / "ckpt-12.index", process)
    process.kill()  # at any moment, most of which are spent saving
    told.append(finish(process, -signal.SIGKILL))
    process = launch(data, folder, fault="20 TERM")
    told.append(finish(process, 143))
    process = launch(data, folder, root / "killed.npz")
    told.append(finish(process, 0))
    finish(whole, 0)
    return root, told


def test_the_last_weights_equal_those_of_an_uninterrupted_run(chain):
    root, _ = chain
    whole, killed = np.load(root / "whole.npz"), np.load(root / "killed.npz")
    assert len(whole.files) == len(killed.files) > 8
    for name in whole.files:
        np.testing.assert_array_equal(whole[name], killed[name])


def test_sigterm_saves_the_step_it_finished_and_says_how_to_go_on(chain):
    _, told = chain
    assert "saved at step 21" in told[2][0]
    assert "continuing at step 21" in told[3][0]


def test_the_curve_of_the_log_continues_without_a_gap(chain):
    root, _ = chain

    def curve(name):
        lines = (root / name / "metrics.jsonl").read_text().splitlines()
        return [line for line in lines if '"group": "train"' in line]

    assert [line.split(",")[0] for line in curve("killed")] == [
        line.split(",")[0] for line in curve("whole")
    ]


def test_a_changed_flag_is_one_line_on_stderr_and_status_one(chain):
    root, _ = chain
    # A process of its own: the loop turns the error into an exit status in the program.
    process = launch(root / "data", root / "killed", dropout=0.5)
    _, err = finish(process, 1)
    assert "--dropout: was 0.3, now 0.5" in err.strip().splitlines()[-1]
    assert "Traceback" not in err
