"""Claims of trainers.dvr, with one process."""

import json

import numpy as np
import pytest

from tests.datasets.dvr_scenes import write_ball
from tests.tools import dvr_programs
from tests.trainers import told as told_by
from tfrender.export import saved_model

STEPS = 6


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """Folder of a run, and what each list of flags was answered with."""
    root = tmp_path_factory.mktemp("dvr")
    write_ball(root / "scene", views=5)
    data = root / "data"
    dvr_programs.make_records(root / "scene", data, layout="dtu", held_out_views=["1"])
    small = [f"--data_dir={data}", "--preset=tiny", "--rays=64", "--eval_rays=0"]
    run = [*small, f"--output_dir={root / 'run'}", f"--steps={STEPS}"]
    run += ["--initial_radius=0.25", "--lambda_depth=1", "--march_start=8", "--ema=0.5"]
    run += ["--march_milestones=2,4", "--march_samples=16", "--log_every=1"]
    run += ["--lr_milestones=1", "--lr_gamma=0.1", "--batch_size=2"]
    other = [*small, f"--output_dir={root / 'other'}"]
    lines = [
        [*run, "--export=none"],
        [*run, f"--steps={STEPS + 2}"],
        [*other, "--preset=huge"],
        [*other, "--depth_from_visual_hull"],
        [*other, "--lambda_sparse_depth=1"],
        [*other, "--lambda_image_gradients=1"],
        [*other, "--outside_range=1"],
        [*other, "--march_milestones=5,2"],
        [*other, "--encoder=small", "--code_size=8"],
        [*other, "--held_out=missing"],
        [*other, "--nocolors"],
        [f"--output_dir={root / 'other'}", "--preset=tiny"],
        [*other, "--best_metric=iou"],
        [*other, "--patch_size=9"],
        [*other, "--patch_size=2", "--object_share=0.5"],
    ]
    return root, told_by.answers("dvr", lines, form="xla")


def journal(root, group):
    lines = (root / "run" / "metrics.jsonl").read_text().splitlines()
    return [line for line in map(json.loads, lines) if line["group"] == group]


def test_the_loss_is_the_sum_of_its_parts(told):
    root, answers = told
    assert answers[:2] == ["nothing", "nothing"]
    train = journal(root, "train")
    assert [line["step"] for line in train] == list(range(1, STEPS + 3))
    terms = ("rgb", "depth", "normal", "freespace", "occupied")
    for line in train:
        total = sum(line[name] for name in terms)
        np.testing.assert_allclose(line["loss"], total, rtol=1e-4)
        assert 0.0 < line["hits"] < 1.0


def test_the_rate_falls_after_an_epoch(told):
    rates = [line["learning_rate"] for line in journal(told[0], "speed")]
    # Four views, two a step.
    np.testing.assert_allclose(rates[0], 1e-3, rtol=1e-5)
    np.testing.assert_allclose(rates[-1], 1e-4, rtol=1e-5)


def test_evaluation_measures_masks_colours_and_depth(told):
    found = journal(told[0], "held_out")[-1]
    assert 0.3 < found["mask_iou"] <= 1.0  # the run began as a sphere
    assert 0.5 < found["mask_intersection"] <= 1.0
    assert 5.0 < found["psnr"] < 60.0
    assert 0.0 < found["depth_error"] < 0.3
    assert found["examples"] == 1


def test_export_card_picture_and_mesh_are_written(told):
    run = told[0] / "run"
    serve = saved_model.load_signature(str(run / "saved_model"), "field")
    logits = serve(points=np.array([[[0.0, 0.0, 0.0], [0.5, 0.5, 0.5]]]))["occupancy"]
    assert logits[0, 0] > 0.0 > logits[0, 1]
    card = (run / "saved_model" / "model_card.md").read_text()
    for text in ("`training views` | 4", "`held-out views` | 1", "by view", "mask_iou"):
        assert text in card
    assert (run / "images" / f"step-{STEPS:08d}.png").stat().st_size > 200
    assert (run / "meshes" / f"mesh-step-{STEPS:08d}.ply").stat().st_size > 1000


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (2, "--preset: expected one of"),
        (3, "--depth_from_visual_hull=1: expected records with `hull_depth` in"),
        (4, "--lambda_sparse_depth=1: expected records with `sparse`"),
        (5, "--lambda_image_gradients: expected --patch_size=2 or more; got 1"),
        (6, "--outside_range: expected two depths, NEAR,FAR; got '1'"),
        (7, "--march_milestones: expected ascending numbers by comma; got '5,2'"),
        (8, "expected records with pictures for the encoder"),
        (9, "missing"),
        (10, "--colors=false: expected --lambda_rgb=0"),
        (11, "--data_dir: expected a folder of records; got none"),
        (12, "--best_metric: expected one of ['depth_error', 'freespace', 'loss'"),
        (13, "--patch_size=9: expected --rays and --eval_rays of at least 81"),
        (14, "--object_share: expected 0 with --patch_size=2; got 0.5"),
    ],
)
def test_mistakes_are_one_line(told, number, expected):
    answer = told[1][number]
    assert expected in answer
    assert "\n" not in answer
    assert not (told[0] / "other" / "checkpoints").exists()
