"""Two devices and two processes do what one device does, batch for batch."""

import json
import os
import socket
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from tests.trainers import toy_experiment as toy
from trainers import loop
from trainers.flags import Settings

STEPS = 8
SHARED = {"steps": STEPS, "eval_every": 4, "batch_size": 4, "learning_rate": 0.01}


def launch(data, folder, weights, **options):
    config = options.pop("config", None)
    # Dropout off: devices draw other masks. Batch statistics are synchronised.
    arguments = {"data_dir": data, "output_dir": folder, "dropout": 0.0, **SHARED}
    command = [sys.executable, "-m", "tests.trainers.toy_experiment"]
    command += [f"--{k}={v}" for k, v in {**arguments, **options}.items()]
    environment = {**os.environ, "TOY_WEIGHTS": str(weights)}
    if config:
        environment["TF_CONFIG"] = json.dumps(config)
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for item in sockets:
        item.bind(("127.0.0.1", 0))
    ports = [item.getsockname()[1] for item in sockets]
    for item in sockets:
        item.close()
    return ports


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """One device (here), two devices, two workers: folder, weights, metrics."""
    root = tmp_path_factory.mktemp("distributed")
    data = toy.write_data(root / "data")
    mirrored = launch(
        data, root / "two", root / "two.npz", strategy="mirrored", logical_devices=2
    )
    ports = free_ports(2)
    cluster = {"worker": [f"127.0.0.1:{port}" for port in ports]}
    workers = [
        launch(
            data,
            root / "workers",
            root / f"worker{i}.npz",
            strategy="multiworker",
            config={"cluster": cluster, "task": {"type": "worker", "index": i}},
        )
        for i in range(2)
    ]
    settings = Settings(data, str(root / "one"), **SHARED, own=own())
    result = loop.train(toy.experiment(settings, dropout=0.0), settings)
    try:
        for process in (mirrored, *workers):
            _, err = process.communicate(timeout=200)
            assert process.returncode == 0, err[-3000:]
    finally:
        for process in workers:
            process.kill()
    return root, data, result


def own():
    return {"dropout": "0.0", "norm": "true"}


def curve(folder):
    lines = [json.loads(x) for x in open(folder / "metrics.jsonl")]
    return [line for line in lines if line["group"] == "test"]


@pytest.mark.parametrize("name", ["two", "worker0", "worker1"])
def test_the_last_weights_are_those_of_one_device(runs, name):
    root, _, result = runs
    found = np.load(root / f"{name}.npz")
    assert len(found.files) == len(result.model.variables)
    for key, variable in zip(found.files, result.model.variables, strict=True):
        np.testing.assert_allclose(found[key], variable.numpy(), atol=1e-4)


@pytest.mark.parametrize("name", ["two", "workers"])
def test_held_out_means_are_those_of_one_device(runs, name):
    root, _, _ = runs
    expected, found = curve(root / "one"), curve(root / name)
    assert [line["step"] for line in found] == [4, STEPS]
    for left, right in zip(expected, found, strict=True):
        assert left["examples"] == right["examples"] == 7  # odd, last batch partial
        np.testing.assert_allclose(left["psnr"], right["psnr"], rtol=1e-4)


@pytest.mark.parametrize("name", ["two", "workers"])
def test_the_export_is_a_plain_model(runs, name):
    root, _, result = runs
    loaded = tf.saved_model.load(str(root / name / "saved_model"))
    x = tf.ones([3, *toy.SIZE, 1])
    found = loaded.signatures["serve"](x=x)["y"]
    np.testing.assert_allclose(found, tf.sigmoid(result.model(x)), atol=1e-4)


@pytest.mark.parametrize("name", ["two", "workers"])
def test_one_device_continues_what_several_began(runs, name):
    """The stream of batches does not depend on the devices, nor do checkpoints."""
    root, data, _ = runs
    results = []
    for folder in (name, "one"):
        options = {**SHARED, "steps": STEPS + 4, "export": "none"}
        settings = Settings(data, str(root / folder), **options, own=own())
        results.append(loop.train(toy.experiment(settings, dropout=0.0), settings))
    variables = [result.model.variables for result in results]
    for left, right in zip(*variables, strict=True):
        np.testing.assert_allclose(left.numpy(), right.numpy(), atol=1e-4)
