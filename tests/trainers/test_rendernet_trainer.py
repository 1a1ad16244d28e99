"""Claims of trainers.rendernet, with two processes in all."""

import json
import subprocess
import sys

import numpy as np
import pytest

from datasets import records
from datasets.rendernet import examples
from tests.datasets.shapes import write_hook, write_records
from tests.tools import programs
from tfrender import io
from tfrender.export import saved_model
from tools import import_config, render_dataset

# Parses each list of flags in a process of its own registry and prints what is told.
# A first entry in braces is the TF_CONFIG of a worker.
MISTAKES = """
import json, os, sys, types
from absl import flags
from trainers import rendernet
from tools import cli
def split(*names):
    return types.SimpleNamespace(metadata={"objects": names})
for pair in ("ab", "c"), ("ab", "bc"), ("ab", ""):
    print("SPLIT", rendernet._kind_of_split(*(split(*names) for names in pair)))
rendernet._WAIT_SECONDS = 0.0
for line in sys.stdin:
    flags.FLAGS.unparse_flags()
    for name in flags.FLAGS:
        flags.FLAGS[name].unparse()
    given = json.loads(line)
    os.environ["TF_CONFIG"] = given.pop(0) if given[0][0] == "{" else ""
    try:
        flags.FLAGS(["rendernet", *given])
        rendernet.main()
        print("TOLD nothing")
    except (ValueError, OSError, flags.Error) as error:
        print("TOLD", cli.describe(error), flush=True)
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The layout of the original, for the tiny preset."""
    root = tmp_path_factory.mktemp("trainer")
    for k, name in enumerate(("a", "b", "c")):
        write_hook(root / "in" / f"{name}.obj", 1.0 + k)
    splits = {"train": ["a", "b"], "test": ["c"]}
    (root / "split.json").write_text(json.dumps(splits))
    programs.run_inside(
        render_dataset,
        **{
            **programs.RENDER_DATASET,
            "input": [str(root / "in")],
            "output": str(root / "data"),
            "layout": "legacy",
            "resolution": 32,
            "split_file": str(root / "split.json"),
        },
    )
    return root


@pytest.fixture(scope="module")
def trained(data):
    """Six steps from an imported configuration of the original."""
    config = {
        "image_path": str(data / "data/train.tar"),
        "image_path_valid": str(data / "data/test.tar"),
        "model_path": str(data / "data/binvox"),
        "is_greyscale": "False",
        "gpu": 0,
        "batch_size": 2,
        "batches_chunk": 1,
        "max_epochs": 3,
        "threshold": 0.1,
        "e_eta": 0.0003,
        "keep_prob": 0.9,
        "decay_steps": 4,
        "trained_model_name": "hooks",
        "sample_save": str(data / "run"),
        "check_point_secs": 3600,
    }
    (data / "config.json").write_text(json.dumps(config))
    programs.run_inside(
        import_config,
        config=str(data / "config.json"),
        output=str(data / "run.cfg"),
        preset="tiny",
        system="auto",
        set=[],
    )
    done = programs.launch(
        "trainers.rendernet",
        f"--flagfile={data}/run.cfg",
        *("--crops=8,16", "--crop_epochs=1", "--nocompile_resampling"),
        # Devices can be made only if the conversion left TensorFlow asleep.
        *("--log_every=1", "--strategy=one", "--logical_devices=2"),
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return data / "run", done.stdout


def rows(folder):
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_an_imported_configuration_trains_for_its_epochs(trained):
    folder, printed = trained
    found = rows(folder)
    steps = [row["step"] for row in found if "loss" in str(row)]
    assert max(steps) == 6  # three epochs of four pictures in batches of two
    flags = (folder / "flags.cfg").read_text().splitlines()
    assert "--learning_rate=0.0003" in flags and "--steps=6" in flags
    assert "--checkpoint_minutes=60.0" in flags
    names = {line.split("=")[0] for line in flags}
    # An alias or a name that another flag resolves would bar a continuation.
    assert not names & {"--e_eta", "--sample_save", "--check_point_secs", "--gpu"}
    assert "hooks" in printed and "exported" in printed


def test_the_tars_are_converted_once_beside_the_run(trained):
    folder, printed = trained
    data_dir = folder.with_name("run_data")
    train = records.read_split(str(data_dir), "train", examples.SCHEMA)
    held_out = records.read_split(str(data_dir), "validation", examples.SCHEMA)
    assert (train.records, held_out.records) == (4, 2)
    assert train.metadata["objects"] == ["a", "b"]
    assert held_out.metadata["objects"] == ["c"]
    assert printed.count("converting") == 2
    assert "note:" not in printed  # no object is in both


def test_the_export_draws_and_its_card_tells_the_data(trained):
    folder, _ = trained
    signature = saved_model.load_signature(str(folder / "saved_model"), "shaded")
    found = signature(
        voxels=np.ones((1, 32, 32, 32, 1)), pose=[[250, 60, 3.3]], light=[[250, 60]]
    )
    assert found["shaded"].shape == (1, 256, 256, 3)
    assert np.isfinite(found["shaded"]).all()
    card = (folder / "saved_model/model_card.md").read_text()
    for text in ("hooks", "psnr", "silhouette_iou", "by object", "Preset `tiny`"):
        assert text in card


def test_mistakes_are_told_in_one_line(trained, data, tmp_path):
    records_dir = str(data / "run_data")
    small = write_records(tmp_path / "small", "train", 2)
    base = [f"--output_dir={tmp_path}/out", f"--data_dir={records_dir}"]
    tars = [
        f"--image_path={data}/data/train.tar",
        f"--model_path={data}/data/binvox",
    ]
    held_out = f"--image_path_valid={data}/data/test.tar"
    io.write_tar(tmp_path / "bad.tar", {"holiday.png": b""})
    cluster = {"worker": ["a:1", "b:2"]}
    second = json.dumps({"cluster": cluster, "task": {"type": "worker", "index": 1}})
    cases = [
        ([*base, "--preset=huge"], "--preset: expected one of"),
        (base[:1], "--data_dir: expected a folder of records, or --image_path"),
        ([*base, f"--data_dir={tmp_path}/none"], f"{tmp_path}/none: no such folder"),
        ([*base, f"--data_dir={small}"], "expected 32^3 voxels for this preset"),
        ([*base, "--preset=small"], "expected 64^3 voxels for this preset"),
        ([*base, "--held_out=test"], "test.json: no such split"),
        ([*base, "--crops=32,66"], "--crops: expected at most 64 cells"),
        ([*base, "--crops=a"], "--crops: expected numbers by comma"),
        ([*base, "--crops=15,32"], "even and positive"),
        ([*base, "--crops=8"], "one crop size more"),
        ([*base, "--threshold=nan"], "finite"),
        ([*base, "--keep_prob=0"], "keep_prob"),
        ([*base, "--learning_rat=1"], "learning_rat"),
        ([*base, "--e_eta=-1"], "learning_rate"),
        ([*base[:1], *tars], "--image_path_valid: needed beside --image_path"),
        (
            [f"--output_dir={tmp_path}/out", f"--data_dir={records_dir}", *tars]
            + [f"--image_path_valid={data}/data/train.tar"],
            "holds validation data of",
        ),
        (
            [*base[:1], *tars, f"--image_path_valid={tmp_path}/none.tar"],
            "none.tar: no such archive",
        ),
        (
            [*base, *tars, held_out, f"--model_path={data}/in"],
            f"holds train data of {data}/data/binvox, not of {data}/in",
        ),
        (
            [*base[:1], *tars, held_out, f"--image_path={tmp_path}/bad.tar"],
            f"cannot convert {tmp_path}/bad.tar: holiday.png",
        ),
        (
            [second, *base[:1], *tars, held_out],
            f"{tmp_path}/out_data/train.json: the chief did not make it",
        ),
        ([*base, "--max_epochs=2", "--steps=5"], "--max_epochs and --steps: expected"),
        (
            [*base, "--check_point_secs=2", "--checkpoint_minutes=5"],
            "--checkpoint_secs and --checkpoint_minutes: expected one",
        ),
        (
            # The rate may change in a continued run, the crops may not.
            [f"--flagfile={data}/run.cfg", "--e_eta=1e-5", "--nocompile_resampling"]
            + ["--strategy=one", "--log_every=1", "--max_epochs=4"],
            "(--crop_epochs: was 1, now 5; --crops: was 8,16, now 32,64); give",
        ),
    ]
    lines = "\n".join(json.dumps(flags) for flags, _ in cases)
    done = subprocess.run(
        [sys.executable, "-c", MISTAKES],
        input=lines,
        capture_output=True,
        text=True,
        timeout=200,
    )
    told = [line for line in done.stdout.splitlines() if line.startswith("TOLD")]
    assert len(told) == len(cases), (done.stdout, done.stderr[-3000:])
    splits = [line[6:] for line in done.stdout.splitlines() if line[:5] == "SPLIT"]
    assert splits[:2] == ["by object", "not by object: 1 objects are in both"]
    assert splits[2].startswith("unknown")
    for line, (flags, message) in zip(told, cases, strict=True):
        assert message in line, (flags, line)
    assert not (tmp_path / "out").exists()
