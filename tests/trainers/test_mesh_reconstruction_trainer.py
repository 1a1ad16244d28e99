"""Claims of trainers.mesh_reconstruction, with one process."""

import json
import pathlib

import numpy as np
import pytest

from tests.tools.reconstruction_records import write_split
from tests.trainers import told as told_by
from tfrender.export import saved_model


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """Folder of a run of eight steps, and what each mistake was answered with."""
    root = tmp_path_factory.mktemp("reconstruction")
    shapes = [
        (f"{kind}__{i}", kind, 0.2 + 0.02 * i, squeeze, 14.0 + i)
        for kind, squeeze in (("ball", 1.0), ("plate", 0.4))
        for i in range(2)
    ]
    data = write_split(root / "data", "train", shapes)
    write_split(root / "data", "validation", [("ball__9", "ball", 0.3, 1.0, 15.0)])
    (root / "npz").mkdir()
    (root / "npz" / "04530566_train_images.npz").touch()
    run = [f"--dd={data}", f"--output_dir={root / 'run'}", "--preset=tiny", "--bs=4"]
    run += ["--ni=8", "--lr=1e-3", "--renderer=antialiased", "--log_every=1"]
    run += ["--lambda_color=0.5", "--ls=1e-3", "--lambda_laplacian=0.1", "--mirror"]
    run += ["--color_jitter=0.2", "--margin=0.01", "--eval_views=0,7", "--li=8"]
    write_split(root / "data", "again", [("ball__1", "ball", 0.3, 1.0, 15.0)])
    other = [f"--output_dir={root / 'other'}", "--preset=tiny"]
    lines = [
        run,
        [*other, f"--dd={data}", "--cls=ball,chair"],
        [*other, f"--dd={root / 'npz'}"],
        [*other, f"--dd={root / 'missing'}"],
        [*other, f"--dd={data}", "--eval_views=24"],
        [*other, f"--dd={data}", "--preset=huge"],
        other,
        [*other, f"--dd={data}", "--held_out=again"],
    ]
    return root, told_by.answers("mesh_reconstruction", lines)


def test_the_loss_of_a_run_falls_by_its_parts(told):
    root, answers = told
    assert answers[0] == "nothing"
    lines = (root / "run" / "metrics.jsonl").read_text().splitlines()
    steps = [json.loads(line) for line in lines]
    train = [line for line in steps if "smoothness" in line]
    assert len(train) == 8
    for line in train:
        total = line["silhouette"] + 0.5 * line["color"]
        total += 1e-3 * line["smoothness"] + 0.1 * line["laplacian"]
        np.testing.assert_allclose(line["loss"], total, rtol=1e-4)
    assert train[-1]["silhouette"] < train[0]["silhouette"]
    held_out = next(line for line in steps if "voxel_iou" in line)
    assert 0.0 < held_out["voxel_iou"] < 1.0
    assert 0.2 < held_out["unseen_iou"] <= 1.0
    assert held_out["examples"] == 2


def test_the_export_answers_and_its_card_tells_the_data(told):
    folder = told[0] / "run" / "saved_model"
    serve = saved_model.load_signature(str(folder))
    got = serve(image=np.zeros((1, 64, 64, 4)))
    assert got["vertices"].shape == got["colors"].shape == (1, 642, 3)
    card = (folder / "model_card.md").read_text()
    for text in ("ball, plate", "voxel_iou", "renderer `antialiased`"):
        assert text in card


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (1, "no class 'chair'; there are ball, plate"),
        (2, "python -m tools.convert_legacy --npz_dir="),
        (3, "missing"),
        (4, "--eval_views: expected different numbers from 0 to 23"),
        (5, "--preset: expected one of ['paper', 'small', 'tiny']; got 'huge'"),
        (6, "--data_dir: expected a folder of records"),
        (7, "ball__1"),
    ],
)
def test_mistakes_are_told_in_one_line(told, number, expected):
    root, answers = told
    assert expected in answers[number]
    assert not pathlib.Path(root / "other" / "checkpoints").exists()
