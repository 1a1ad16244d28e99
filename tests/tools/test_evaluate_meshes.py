"""Claims of tools.evaluate_meshes."""

import csv
import json
import math
import pickle

import numpy as np
import pytest
import trimesh

from tests.tools import programs
from tfrender import io
from tools import evaluate_meshes as evaluate
from tools import mesh_scores, mesh_truth


def ball(radius=0.4, detail=3):
    mesh = trimesh.creation.icosphere(detail, radius)
    return mesh.vertices, mesh.faces


def cloud(path, radius, normals=True, count=3000):
    direction = np.random.default_rng(5).normal(size=[count, 3])
    direction /= np.linalg.norm(direction, axis=-1, keepdims=True)
    arrays = {"points": np.float32(radius * direction)}
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **arrays, **({"normals": np.float32(direction)} if normals else {}))


def run(folder, **flags):
    given = {
        "output_dir": str(folder / "scores"),
        "eval_file_name": "eval_meshes",
        "classes": None,
        "points": 3000,
        "iou_points": 2000,
        "thresholds": ["0.02", "0.1"],
        "missing_as_empty": False,
        "seed": 0,
    }
    programs.run_inside(evaluate, **{**given, **flags})
    return json.loads((folder / "scores/eval_meshes.json").read_text())


@pytest.fixture
def generated(tmp_path):
    """What tools.generate_meshes writes: a good mesh, a small one, one empty, one more.

    The truth of "chair/gone" has no mesh, the mesh of "lamp/new" no truth.
    """
    out, truth = tmp_path / "out", tmp_path / "truth"
    radii = {"chair/good": 0.4, "car/small": 0.3, "lamp/new": 0.2}
    items = [{"name": "chair/none", "status": "empty", "file": None}]
    for name, radius in radii.items():
        io.save_mesh(out / f"meshes/{name}.ply", *ball(radius))
        items.append({"name": name, "status": "ok", "file": f"meshes/{name}.ply"})
    (out / "generation.json").write_text(json.dumps({"items": items}))
    for name in ("chair/good", "chair/none", "chair/gone"):
        cloud(truth / name / "pointcloud.npz", 0.4)
    io.save_mesh(truth / "car/small/model.obj", *ball(0.4))
    return {"meshes": str(out), "truth": str(truth)}


def test_the_program_scores_classes_and_counts_empty_meshes(generated, tmp_path):
    done = programs.launch(
        "tools.evaluate_meshes",
        *(f"--{name}={value}" for name, value in generated.items()),
        *("--points=2000", "--iou_points=1000"),
    )
    assert done.returncode == 0, done.stderr
    assert "3 scored, 1 of them empty meshes: chair/none." in done.stdout
    assert "1 without a mesh, not scored: chair/gone." in done.stdout
    assert "1 without a truth, not scored: lamp/new." in done.stdout
    lines = [line for line in done.stdout.splitlines() if line.startswith("|")]
    assert [line.split(" | ")[0] for line in lines[2:]] == [
        "| car",
        "| chair",
        "| mean",
    ]
    head = lines[0].strip("| ").split(" | ")
    assert head[1:5] == ["accuracy", "completeness", "chamferL1", "normals"]
    car = dict(zip(head, lines[2].strip("| ").split(" | "), strict=True))
    assert float(car["chamferL1 x10 (paper)"]) == pytest.approx(1.0, abs=0.03)
    assert float(car["chamferL1"]) == pytest.approx(0.1, abs=0.003)
    names = {path.name for path in (tmp_path / "out").iterdir() if path.is_file()}
    kinds = ("full.csv", "full.pkl", ".csv", ".json")
    assert names == {"generation.json", *(f"eval_meshes{kind}" for kind in kinds)}


def test_the_tables_hold_means_of_classes_with_empty_meshes(generated, tmp_path):
    report = run(tmp_path, **generated)
    rows = {row["name"]: row for row in report["rows"]}
    assert set(rows) == {"chair/good", "chair/none", "car/small"}
    good, none, small = (rows[n] for n in ("chair/good", "chair/none", "car/small"))
    assert good["chamferL1"] < 0.02
    assert good["normals"] > 0.97
    assert good["F@0.1000"] == 1.0
    assert "iou" not in good  # a cloud tells no volume
    for name in ("accuracy", "completeness", "chamferL1"):
        assert none[name] == math.sqrt(3.0)
    assert (none["normals"], none["chamfer"], none["F@0.1000"]) == (-1.0, 6.0, 0.0)
    assert none["status"] == "empty"
    assert small["iou"] == pytest.approx(0.75**3, abs=0.05)
    means = report["means"]
    chairs = (good["chamferL1"] + none["chamferL1"]) / 2
    assert means["chair"]["chamferL1"] == pytest.approx(chairs)
    both = (chairs + small["chamferL1"]) / 2
    assert means["mean"]["chamferL1"] == pytest.approx(both)
    assert means["mean"]["iou"] == small["iou"]
    folder = tmp_path / "scores"
    with open(folder / "eval_meshesfull.csv") as file:
        table = {row["name"]: row for row in csv.DictReader(file)}
    assert table["chair/good"]["iou"] == ""
    assert float(table["car/small"]["iou"]) == pytest.approx(small["iou"], rel=1e-6)
    with open(folder / "eval_meshes.csv") as file:
        assert [row["class"] for row in csv.DictReader(file)] == [
            "car",
            "chair",
            "mean",
        ]
    with open(folder / "eval_meshesfull.pkl", "rb") as file:
        assert pickle.load(file) == report["rows"]


def test_missing_meshes_can_count_and_classes_can_be_chosen(generated, tmp_path):
    generated["meshes"] += "/meshes"  # the list of the generator is found all the same
    report = run(tmp_path, **generated, missing_as_empty=True, classes=["chair"])
    status = {row["name"]: row["status"] for row in report["rows"]}
    assert status == dict.fromkeys(["chair/gone", "chair/none"], "empty") | {
        "chair/good": "ok"
    }
    assert list(report["means"]) == ["chair", "mean"]
    with pytest.raises(ValueError, match="--classes: nothing of class boat"):
        run(tmp_path, **generated, classes=["boat"])


def test_two_files_are_a_pair_whatever_their_names(tmp_path):
    io.save_mesh(tmp_path / "mine.glb", *ball(0.4))
    io.save_mesh(tmp_path / "true.ply", *ball(0.4))
    files = {"meshes": str(tmp_path / "mine.glb"), "truth": str(tmp_path / "true.ply")}
    (row,) = run(tmp_path, **files)["rows"]
    assert row["iou"] == 1.0
    assert row["chamferL1"] < 0.02
    # The same, without normals and without a volume.
    cloud(tmp_path / "true.npz", 0.4, normals=False)
    files["truth"] = str(tmp_path / "true.npz")
    (row,) = run(tmp_path, **files)["rows"]
    assert row["chamferL1"] < 0.02
    assert "normals" not in row
    assert "iou" not in row


def test_copies_beside_the_meshes_of_a_run_are_left_out(generated, tmp_path):
    out = tmp_path / "out"
    (out / "generation.json").unlink()  # as of a run that was stopped
    io.save_mesh(out / "vis/chair/00_mesh.ply", *ball())
    found = evaluate.find_meshes(generated["meshes"])
    assert list(found) == ["car/small", "chair/good", "lamp/new"]


def test_a_folder_of_meshes_and_an_empty_file(tmp_path):
    io.save_mesh(tmp_path / "mine/cup.ply", *ball())
    io.save_mesh(tmp_path / "mine/cup_world_scale.ply", *ball(90.0))
    (tmp_path / "mine/jar.off").write_text("OFF\n0 0 0\n")
    for name in ("cup", "jar"):
        io.save_mesh(tmp_path / f"true/{name}.obj", *ball())
    folders = {"meshes": str(tmp_path / "mine"), "truth": str(tmp_path / "true")}
    report = run(tmp_path, **folders)
    assert report["empty"] == ["jar"]
    (jar,) = (row for row in report["rows"] if row["name"] == "jar")
    assert jar["iou"] == 0.0
    assert report["without_truth"] == []
    assert list(report["means"]) == ["all", "mean"]


@pytest.mark.parametrize("packed", [False, True])
def test_occupancies_of_points_give_the_iou(tmp_path, packed):
    cloud(tmp_path / "true/cup/pointcloud.npz", 0.4)
    points = np.random.default_rng(0).uniform(-0.5, 0.5, [3001, 3])
    inside = np.linalg.norm(points, axis=-1) < 0.3
    bits = np.packbits(inside) if packed else inside
    np.savez(tmp_path / "true/cup/points.npz", points=points, occupancies=bits)
    io.save_mesh(tmp_path / "mine/cup.ply", *ball(0.4, 4))
    folders = {"meshes": str(tmp_path / "mine"), "truth": str(tmp_path / "true")}
    (row,) = run(tmp_path, **folders)["rows"]
    larger = np.linalg.norm(points, axis=-1) < 0.4
    assert row["iou"] == pytest.approx(inside.sum() / larger.sum(), abs=0.02)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"meshes": "nowhere"}, "no such folder or mesh"),
        ({"truth": "nowhere"}, "no such folder or file"),
        ({"meshes": "bare"}, "no mesh; expected"),
        ({"truth": "bare"}, "no truth; expected CLASS/OBJECT/pointcloud.npz"),
        (
            {"truth": "other"},
            "no mesh has a truth of its name: meshes are called a, b;",
        ),
        ({"thresholds": ["0.1", "x"]}, "--thresholds: expected distances"),
        ({"truth": "bad"}, r"expected finite `points` \[N, 3\]"),
        ({"meshes": "listed"}, "expected the list that tools.generate_meshes writes"),
    ],
)
def test_mistakes_are_told_in_one_line(tmp_path, flags, message):
    for name in ("mine/a.ply", "mine/b.ply", "true/a.obj", "true/b.obj", "other/c.ply"):
        io.save_mesh(tmp_path / name, *ball(detail=1))
    for name in ("bare", "listed", "bad/a"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "listed/generation.json").write_text("[]")
    np.savez(tmp_path / "bad/a/pointcloud.npz", points=np.full([3, 3], np.nan))
    given = {"meshes": "mine", "truth": "true"} | flags
    given |= {k: str(tmp_path / given[k]) for k in ("meshes", "truth")}
    with pytest.raises((ValueError, OSError), match=message):
        run(tmp_path, **given)
    assert not (tmp_path / "scores").exists()


def test_equal_clouds_score_perfectly_and_longer_normals_do_no_harm():
    points = np.random.default_rng(0).normal(size=[50, 3])
    same = mesh_scores.PointSet(points, 7.0 * points)
    found = mesh_scores.point_measures(same, same, [0.01])
    assert found["chamferL1"] == found["chamfer"] == 0.0
    assert found["normals"] == pytest.approx(1.0)
    assert found["F@0.0100"] == 1.0
    assert mesh_scores.empty_measures([0.01]).keys() == {*found, "iou"}


def test_pictures_of_an_object_are_not_searched_for_truth(tmp_path):
    cloud(tmp_path / "chair/one/pointcloud.npz", 0.4)
    io.save_mesh(tmp_path / "chair/one/image/odd.ply", *ball())
    assert list(mesh_truth.find_truths(str(tmp_path))) == ["chair/one"]
