"""Claims of trainers.drwr, with one process."""

import csv
import json
import pathlib

import numpy as np
import pytest

from tests.datasets import drwr_objects
from tests.trainers import told as told_by
from tfrender.export import saved_model

STEPS = 6


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """Folder of short runs, and what each list of flags was answered with."""
    root = tmp_path_factory.mktemp("drwr")
    data = drwr_objects.write_objects(
        root / "data", {"chair": 2, "table": 1}, points=20
    )
    drwr_objects.write_objects(
        root / "data", {"chair": 2}, "validation", first=7, points=20
    )
    drwr_objects.write_objects(root / "data", {"chair": 1}, "again")
    for number in (7, 8):
        truth = root / "data" / "truth" / "chair" / f"{number:02d}.npz"
        truth.parent.mkdir(parents=True, exist_ok=True)
        points = np.random.default_rng(number).uniform(-0.2, 0.2, (50, 3))
        np.savez(truth, points=points)
    common = [f"--data_dir={data}", "--preset=tiny", "--batch_size=2", "--step_size=2"]
    common += [
        f"--steps={STEPS}",
        "--log_every=1",
        "--vox_size=16",
        "--truth_points=30",
    ]
    run = [*common, f"--output_dir={root / 'run'}", "--loss_preset=surface"]
    run += ["--surface_from=0", "--surface_full=0.5", "--cd_weight=0.5"]
    run += ["--sample_points=10", "--weight_decay=1e-3", "--eval_every=3"]
    run += ["--log_images_every=6", "--learning_rate=1e-3"]
    poses = [*common, f"--output_dir={root / 'poses'}", "--predict_pose"]
    poses += ["--coord_weight=0", "--potential_weight=0", "--lambda_frame=0"]
    poses += ["--proj_weight=1", "--pose_candidates=3", "--grid_depth=8"]
    poses += ["--kernel_size=5", "--lr_share=0.5", "--sample_share=0.5"]
    poses += ["--lambda_chamfer=0.1", "--sample_points=5"]
    other = [*common, f"--output_dir={root / 'other'}"]
    none = [f"--lambda_{name}=0" for name in ("unary", "pair", "frame")]
    lines = [
        run,
        poses,
        [*other, "--preset=huge"],
        [f"--output_dir={root / 'other'}"],
        [*other, *none],
        [*other, "--held_out=again"],
        [*other, "--classes=sofa"],
        [*other, "--step_size=4"],
        [*other, "--kernel_size=4", "--proj_weight=1"],
        [*other, f"--truth_dir={root}"],
        [*other, "--vox_size=12"],
        [*other, f"--pretrained_path={root / 'model-1'}"],
        [*other, "--surface_from=0.7"],
        [*other, "--keep_from=1", "--keep_to=0.5"],
        [*other, "--cd_weight=1", "--sample_points=21"],
        [*other, "--predict_pose", "--lambda_surface=1"],
    ]
    return root, told_by.answers("drwr", lines)


def _lines(folder, key):
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [line for line in map(json.loads, lines) if key in line]


def test_the_loss_of_a_run_falls_by_its_parts(told):
    root, answers = told
    assert answers[0] == "nothing"
    train = _lines(root / "run", "unary")
    assert len(train) == STEPS
    for number, line in enumerate(train):
        total = line["unary"] + 0.003 * line["pair"] + 4.0 * line["frame"]
        ramp = min(number / STEPS / 0.5, 1.0)
        total += ramp * (20.0 * line["surface"] + 0.0017 * line["spread"])
        rest = line["loss"] - total - 0.5 * line["chamfer"]
        assert 0.0 < rest < 1.0  # the decay of the weights
    assert train[-1]["chamfer"] < train[0]["chamfer"]


def test_evaluations_are_written_as_the_original_writes_them(told):
    folder = told[0] / "run"
    held_out = _lines(folder, "cd_mean_views")
    with (folder / "result.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == [3, 6]
    for row, line in zip(rows, held_out, strict=True):
        assert float(row["cd_mean_views"]) == pytest.approx(line["cd_mean_views"], 1e-4)
        both = float(row["precision"]) + float(row["coverage"])
        assert float(row["cd_mean_views"]) == pytest.approx(both, 1e-4)
        assert float(row["cd_best_view"]) <= float(row["cd_mean_views"])
        assert 0.0 <= float(row["inside"]) <= 1.0
    assert (folder / "result.txt").read_text().splitlines() == [
        f"{row['step']}: {row['cd_mean_views']}" for row in rows
    ]
    assert len(list((folder / "images").glob("*.png"))) == 1


def test_poses_are_learned_with_an_ensemble_and_a_student(told):
    root, answers = told
    assert answers[1] == "nothing"
    for line in _lines(root / "poses", "best"):
        total = line["best"] + 20.0 * line["student"]
        assert line["loss"] == pytest.approx(total, 1e-4)
    rate = [line["learning_rate"] for line in _lines(root / "poses", "learning_rate")]
    assert rate[0] == pytest.approx(1e-4) and rate[-1] == pytest.approx(1e-5)
    serve = saved_model.load_signature(str(root / "poses" / "saved_model"))
    got = serve(image=np.ones((1, 16, 16, 3), np.float32))
    assert got["points"].shape == (1, 64, 3)
    np.testing.assert_allclose(np.linalg.norm(got["pose"], axis=-1), 1.0, rtol=1e-5)


def test_the_export_answers_and_its_card_tells_the_data(told):
    folder = told[0] / "run" / "saved_model"
    serve = saved_model.load_signature(str(folder))
    got = serve(image=np.ones((2, 16, 16, 3), np.float32))
    assert got["points"].shape == (2, 64, 3)
    card = (folder / "model_card.md").read_text()
    for text in ("chair, table", "cd_mean_views", "`surface`", "by object"):
        assert text in card


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (2, "--preset: expected one of ['paper', 'dpc', 'small', 'tiny']; got 'huge'"),
        (3, "--data_dir: expected a folder of records"),
        (4, "expected a loss of silhouettes"),
        (5, "chair/00"),
        (6, "sofa"),
        (7, "--views_per_step: expected 1 to 3, the views of an object; got 4"),
        (8, "--kernel_size: expected an odd size; got 4"),
        (9, "chair/07"),
        (10, "expected a size that divides square silhouettes; got 12 for 16 x 16"),
        (11, "--pretrained_path: no checkpoint"),
        (12, "--surface_full: expected more than --surface_from"),
        (13, "--keep_to: expected more than --keep_from"),
        (14, "`samples` must be at most 20"),
        (15, "--lambda_surface: expected 0 with --predict_pose; got 1"),
    ],
)
def test_mistakes_are_told_in_one_line(told, number, expected):
    root, answers = told
    assert expected in answers[number]
    assert not pathlib.Path(root / "other" / "checkpoints").exists()
