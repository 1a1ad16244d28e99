"""Claims of tools.evaluate_points."""

import csv
import json

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tests.tools import point_models, programs
from tfrender import metrics
from tools import evaluate_points as evaluate
from tools import point_alignment, point_files

TURN = Rotation.from_rotvec([0.4, 2.2, -0.9])
FLAGS = {
    "output_dir": None,
    "classes": None,
    "align": "none",
    "align_predictions": None,
    "poses": False,
    "pose_threshold": 30.0,
    "data_dir": None,
    "splits": ["validation", "test"],
    "seed": 0,
}


def run(predictions, truth, **flags):
    given = {"predictions": str(predictions), "truth": str(truth), **FLAGS, **flags}
    programs.run_inside(evaluate, **given)
    folder = predictions if predictions.is_dir() else predictions.parent
    folder = flags.get("output_dir", folder)
    return json.loads((folder / "result.json").read_text())


def surface(count, rng):
    """Three boxes of a shape without symmetry."""
    boxes = np.array(
        [
            [-0.3, -0.1, -0.2, 0.3, 0.0, 0.2],
            [-0.3, 0.0, 0.1, 0.2, 0.3, 0.2],
            [0.2, -0.4, -0.2, 0.3, -0.1, -0.1],
        ]
    )
    chosen = boxes[rng.choice(3, p=[0.5, 0.4, 0.1], size=count)]
    return rng.uniform(chosen[:, :3], chosen[:, 3:])


def wxyz(rotation):
    return np.roll(rotation.as_quat(), 1, axis=-1)


@pytest.fixture
def clouds(tmp_path):
    """Predictions of three objects, two views each, all turned by TURN's inverse."""
    rng = np.random.default_rng(0)
    out, truth, turned = tmp_path / "out", tmp_path / "truth", tmp_path / "turned"
    for name in ("chair/a", "chair/b", "car/c"):
        true = surface(800, rng)
        point_models.write_cloud(truth / f"{name}.npz", np.float32(true))
        views = np.stack([true[:150] + 0.01, true[150:300] + 0.03])
        point_models.write_cloud(out / f"{name}.npz", views, views=np.array([4, 7]))
        seen = Rotation.random(2, random_state=rng.integers(1 << 30))
        own = Rotation.from_rotvec(0.05 * rng.normal(size=[2, 3])) * seen * TURN
        point_models.write_cloud(
            turned / f"{name}.npz",
            TURN.inv().apply(views.reshape(-1, 3)).reshape(views.shape),
            pose=wxyz(own),
            true_pose=wxyz(seen),
        )
    return tmp_path


def test_the_scores_are_those_of_the_formulas(clouds):
    report = run(clouds / "out", clouds / "truth")
    rows = {row["name"]: row for row in report["rows"]}
    assert list(rows) == ["car/c", "chair/a", "chair/b"]
    for name, row in rows.items():
        true = point_files.read_views(clouds / f"truth/{name}.npz")[0]
        pairs = [
            metrics.precision_coverage(true, cloud)
            for cloud in point_files.read_views(clouds / f"out/{name}.npz")
        ]
        sums = 100 * np.sum(pairs, axis=1)
        assert row["cd_mean_views"] == pytest.approx(sums.mean())
        assert row["cd_best_view"] == pytest.approx(sums.min())
        assert row["precision"] == pytest.approx(100 * np.mean(pairs, axis=0)[0])
        assert row["coverage"] == pytest.approx(100 * np.mean(pairs, axis=0)[1])
        assert (row["views"], row["points"]) == (2, 150)
    values = {name: row["cd_mean_views"] for name, row in rows.items()}
    means = {name: entry["cd_mean_views"] for name, entry in report["means"].items()}
    chair = (values["chair/a"] + values["chair/b"]) / 2
    assert means["chair"] == pytest.approx(chair)
    assert means["mean of classes"] == pytest.approx((chair + values["car/c"]) / 2)
    assert means["mean of objects"] == pytest.approx(np.mean(list(values.values())))


def test_the_tables_hold_the_headline(clouds, capsys):
    report = run(clouds / "out", clouds / "truth", output_dir=clouds / "scores")
    lines = (clouds / "scores/result.txt").read_text().splitlines()
    named = dict(line.split(": ") for line in lines)
    headline = report["means"]["mean of objects"]["cd_mean_views"]
    assert lines[0] == f"cd_mean_views: {headline:.4f}"
    assert named["objects"] == "3" and named["missing_truth"] == "0"
    assert set(named) >= {"cd_best_view", "cd_mean_views/classes", "precision"}
    with open(clouds / "scores/result.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == ["car/c", "chair/a", "chair/b"]
    assert float(rows[0]["cd_best_view"]) == pytest.approx(
        report["rows"][0]["cd_best_view"], rel=1e-6
    )
    told = capsys.readouterr().out
    assert f"| mean of objects | 3 | {headline:.3f} |" in told
    assert "3 objects scored, 6 views." in told


def test_what_is_missing_is_listed_and_counted(clouds, capsys):
    (clouds / "truth/chair/a.npz").unlink()
    point_models.write_cloud(clouds / "truth/lamp/x.npz", point_models.ball(9))
    names = ("chair/a", "chair/b", "car/c", "car/gone")
    entries = [{"name": name, "files": [f"{name}.npz"]} for name in names]
    listed = clouds / "out" / point_files.PREDICTIONS
    listed.write_text(json.dumps({"objects": entries}))
    point_models.write_cloud(clouds / "truth/car/gone.npz", point_models.ball(9))
    report = run(clouds / "out", clouds / "truth")
    assert [row["name"] for row in report["rows"]] == ["chair/b", "car/c"]
    assert report["missing"]["truth"] == ["chair/a"]
    assert report["missing"]["prediction"] == ["car/gone"]
    assert report["missing"]["truth_without_prediction"] == ["lamp/x"]
    assert (report["missing_truth"], report["missing_prediction"]) == (1, 1)
    text = (clouds / "out/result.txt").read_text()
    assert "missing_truth: 1\nmissing_prediction: 1\n" in text
    told = capsys.readouterr()
    assert "warning: 1 without a true cloud, not scored: chair/a." in told.err
    assert "prediction is missing; not scored: car/gone." in told.err
    assert "1 true clouds of other objects: lamp/x." in told.out


def test_one_rotation_brings_scores_and_poses_back(clouds, capsys):
    want = run(clouds / "out", clouds / "truth")["means"]["mean of objects"]
    raw = run(clouds / "turned", clouds / "truth", poses=True)
    assert "see --align" in capsys.readouterr().err
    assert raw["means"]["mean of objects"]["precision"] > 2 * want["precision"]
    assert raw["pose_accuracy"] == 0.0 and raw["pose_median_deg"] > 60.0
    found = run(clouds / "turned", clouds / "truth", align="auto")
    told = capsys.readouterr()
    assert "estimated on the predictions that are scored" in told.err
    assert "100.0% under 30 degrees" in told.out
    about = found["alignment"]
    assert (
        np.degrees(
            (
                Rotation.from_quat(np.roll(about["quaternion"], -1)).inv() * TURN
            ).magnitude()
        )
        < 2.0
    )
    assert (about["views"], about["dropped_views"]) == (6, 0)
    assert found["pose_accuracy"] == 1.0 and found["pose_median_deg"] < 8.0
    # Two degrees move these points by more than a hundredth of so small a distance.
    for name, value in want.items():
        assert found["means"]["mean of objects"][name] == pytest.approx(value, rel=0.1)
    # The rotation of the file, and one of other predictions, score the same.
    stored = clouds / "turned" / evaluate.ALIGNMENT
    again = run(clouds / "turned", clouds / "truth", align=str(stored), poses=True)
    assert again["means"] == found["means"]
    assert again["pose_median_deg"] == found["pose_median_deg"]
    other = run(
        *(clouds / "turned", clouds / "truth"),
        align="auto",
        align_predictions=str(clouds / "turned"),
        output_dir=clouds / "scores",
    )
    assert other["means"] == found["means"]
    assert "estimated on" not in capsys.readouterr().err


def test_true_poses_come_of_the_records_too(clouds, monkeypatch):
    poses = {}
    for path in sorted((clouds / "turned").rglob("*.npz")):
        arrays = dict(np.load(path))
        name = path.relative_to(clouds / "turned").with_suffix("").as_posix()
        poses[name] = dict(enumerate(arrays.pop("true_pose")))
        np.savez(path, **arrays)
    with pytest.raises(ValueError, match="c.npz: expected `true_pose`, or records"):
        run(clouds / "turned", clouds / "truth", align="auto")
    monkeypatch.setattr(point_alignment, "read_true_poses", lambda *_: poses)
    found = run(clouds / "turned", clouds / "truth", align="auto", data_dir="data")
    assert found["pose_accuracy"] == 1.0
    poses["car/c"].pop(1)
    with pytest.raises(ValueError, match="cameras of car/c, --data_dir; data does not"):
        run(clouds / "turned", clouds / "truth", align="auto", data_dir="data")


def test_poses_are_asked_of_models_that_have_some(clouds):
    for flags in ({"poses": True}, {"align": "auto"}):
        with pytest.raises(ValueError, match="expected `pose`, which models with"):
            run(clouds / "out", clouds / "truth", **flags)


def test_predictions_of_the_published_program_are_read(clouds):
    want = run(clouds / "turned", clouds / "truth", align="auto")
    old = clouds / "pred"
    old.mkdir()
    for path in (clouds / "turned").rglob("*.npz"):
        arrays = np.load(path)
        point_files.write_arrays(
            old / f"{path.stem}_pc.mat",
            {
                "points": arrays["points"],
                "camera_pose": arrays["pose"],
                "true_pose": arrays["true_pose"],
                "z_latent": np.zeros([2, 8]),
            },
        )
    found = run(old, clouds / "truth", align="auto")
    assert [row["name"] for row in found["rows"]] == ["a", "b", "c"]
    assert found["means"]["mean of objects"]["precision"] == pytest.approx(
        want["means"]["mean of objects"]["precision"], rel=1e-3
    )
    # Its other form, and a file for a file.
    np.savez(old / "z_pc.npz", np.load(clouds / "out/chair/a.npz")["points"])
    one = run(old / "z_pc.npz", clouds / "truth/chair/a.npz")
    first = run(clouds / "out", clouds / "truth")["rows"][1]
    assert one["rows"][0]["cd_mean_views"] == first["cd_mean_views"]
    assert one["means"]["all"] == one["means"]["mean of objects"]


def test_a_name_of_two_true_clouds_is_not_guessed(clouds):
    point_models.write_cloud(clouds / "flat/a.npz", point_models.ball(9))
    point_models.write_cloud(clouds / "truth/car/a.npz", point_models.ball(9))
    with pytest.raises(ValueError, match="no prediction has a true cloud"):
        run(clouds / "flat", clouds / "truth")


@pytest.mark.parametrize(
    ("where", "arrays", "said"),
    [
        ("truth", {"points": np.zeros([0, 3])}, r"c.npz: expected points \[M, 3\]"),
        ("truth", {"points": np.full([4, 3], np.nan)}, "c.npz: expected finite"),
        ("truth", {"other": np.zeros([4, 3])}, "c.npz: expected the array points"),
        ("out", {"points": np.zeros([2, 0, 3])}, r"c.npz: expected `points` \[V, N"),
        ("out", {"points": np.full([2, 4, 3], np.inf)}, "c.npz: expected finite"),
        ("out", {"other": np.zeros([4, 3])}, "c.npz: expected the array `points`"),
        (
            "out",
            {"points": np.zeros([2, 4, 3]), "pose": np.zeros([3, 4])},
            r"c.npz: expected `pose` \[2, 4\]; got \[3, 4\]",
        ),
        (
            "out",
            {"points": np.zeros([2, 4, 3]), "views": np.arange(3)},
            r"c.npz: expected `views` \[2\]; got 3",
        ),
    ],
)
def test_a_broken_cloud_is_named(clouds, where, arrays, said):
    np.savez(clouds / where / "car/c.npz", **arrays)
    with pytest.raises(ValueError, match=said):
        run(clouds / "out", clouds / "truth")
    assert not (clouds / "out/result.json").exists()


def test_a_file_that_is_no_archive_is_named(clouds):
    (clouds / "out/car/c.npz").write_bytes(b"PK nothing")
    with pytest.raises(ValueError, match=r"c.npz: expected an npz file"):
        run(clouds / "out", clouds / "truth")
    (clouds / "out/car/c.npz").unlink()
    (clouds / "out/car/c.mat").write_bytes(b"MATLAB")
    with pytest.raises(ValueError, match=r"c.mat: expected a whole MATLAB file"):
        run(clouds / "out", clouds / "truth")


def test_poses_that_are_none_count_as_wrong(clouds):
    path = clouds / "turned/car/c.npz"
    arrays = dict(np.load(path))
    arrays["pose"][0] = np.nan
    np.savez(path, **arrays)
    found = run(clouds / "turned", clouds / "truth", align="auto")
    assert found["pose_accuracy"] == pytest.approx(5 / 6)
    assert found["alignment"]["dropped_views"] == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{}", "expected JSON with `quaternion`"),
        ("no json", "expected JSON with `quaternion`"),
        ('{"quaternion": [0, 0, 0, 0]}', "`quaternion` of four numbers"),
        ('{"quaternion": [1, 0, 0]}', "`quaternion` of four numbers"),
    ],
)
def test_a_file_without_a_rotation_is_told(clouds, text, said):
    (clouds / "alignment.json").write_text(text)
    align = str(clouds / "alignment.json")
    with pytest.raises(ValueError, match=said):
        run(clouds / "turned", clouds / "truth", align=align)


def test_flags_that_do_not_fit_are_told(clouds):
    with pytest.raises(FileNotFoundError, match="--align: expected none, auto or a"):
        run(clouds / "turned", clouds / "truth", align="yes")
    with pytest.raises(ValueError, match="--align_predictions is for --align=auto"):
        run(clouds / "turned", clouds / "truth", align_predictions="x")
    with pytest.raises(ValueError, match="--classes: .* holds nothing of boat"):
        run(clouds / "out", clouds / "truth", classes=["boat"])
    with pytest.raises(FileNotFoundError, match="nowhere: no such file or folder"):
        run(clouds / "nowhere", clouds / "truth")
    with pytest.raises(FileNotFoundError, match="no point cloud; expected .npz"):
        (clouds / "empty").mkdir()
        run(clouds / "out", clouds / "empty")


def test_a_list_that_cannot_be_scored_is_told(clouds):
    listed = clouds / "out" / point_files.PREDICTIONS
    for text, said in (
        ("{}", "expected the list that tools.predict_points writes"),
        ('{"objects": []}', "lists no object"),
        (
            '{"objects": [{"name": "a", "files": ["a_00.ply"]}]}',
            "a was written as .ply; predict again with --format=npz or mat",
        ),
    ):
        listed.write_text(text)
        with pytest.raises(ValueError, match=said):
            run(clouds / "out", clouds / "truth")


def test_one_class_alone_can_be_scored(clouds):
    found = run(clouds / "out", clouds / "truth", classes=["chair"])
    assert found["objects"] == 2 and found["truth_without_prediction"] == 0
