"""Claims of tools.evaluate_voxel_iou."""

import csv
import json

import numpy as np
import pytest
import tensorflow as tf

from datasets.mesh_reconstruction import pipeline
from tests.tools import programs
from tests.tools import reconstruction_records as made
from tfrender import io, losses
from tfrender.export.saved_model import write_saved_model
from tfrender.models.mesh_reconstructor import sphere_template
from tools import evaluate_voxel_iou as evaluate
from tools.reconstruction_sheet import voxel_mesh

# Name, class, radius, squeeze, disk. The network answers a sphere of radius 0.3.
TRAIN = [
    ("ball", "02958343", 0.3, 1.0, 16),
    ("large", "02958343", 0.45, 1.0, 25),
    ("flat", "03001627", 0.3, 0.3, 14),
    ("flat~1", "03001627", 0.25, 0.3, 9),
]
TEST = [
    ("car0", "02958343", 0.3, 1.0, 16),
    ("car1", "02958343", 0.4, 1.0, 25),
    ("chair0", "03001627", 0.25, 0.3, 9),
]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("evaluate_voxels")
    made.write_network(root / "model")
    (root / "model/model_card.md").write_text("# Sphere\n")
    made.write_split(root / "data", "train", TRAIN)
    made.write_split(root / "data", "test", TEST)
    return root


def run(root, **flags):
    given = {
        "model": str(root / "model"),
        "data_dir": str(root / "data"),
        "split": "test",
        "classes": None,
        "views": ["0", "5"],
        "batch_size": 6,
        "output_dir": None,
        "baselines": True,
        "augmented": False,
        "twin_iou": 0.9,
        "mesh_dir": None,
        "points": 2000,
        "threshold": 0.02,
        "sheet": None,
        "rows": 1,
        "seed": 0,
        "card": False,
    }
    programs.run_inside(evaluate, **{**given, **flags})


def iou(first, second):
    return (first & second).sum() / (first | second).sum()


def test_scores_are_means_of_classes_and_baselines_know_training_alone(
    root, tmp_path, capsys
):
    sheet = tmp_path / "out/report.png"  # its JSON is not the report
    run(root, output_dir=str(tmp_path / "out"), sheet=str(sheet), card=True)
    printed = capsys.readouterr().out
    report = json.loads((tmp_path / "out/report.json").read_text())
    ball, large = made.grid(0.3), made.grid(0.45)
    cars = [made.grid(0.3), made.grid(0.4)]
    chair, flat = made.grid(0.25, 0.3), made.grid(0.3, 0.3)
    car = (1.0 + iou(cars[1], ball)) / 2
    scores = report["voxel_iou"]
    want = {"car": car, "chair": iou(chair, ball)}
    assert scores["network"] == pytest.approx({**want, "mean": sum(want.values()) / 2})
    assert f"test/iou_car {car:.4f}\n" in printed
    assert f"test/iou {scores['network']['mean']:.4f}\n" in printed
    assert "6 pictures of 3 objects, split test." in printed
    nearest = {"car": (1.0 + iou(cars[1], large)) / 2, "chair": iou(chair, flat)}
    assert scores["nearest silhouette"] == pytest.approx(
        {**nearest, "mean": sum(nearest.values()) / 2}
    )
    assert scores["best object of the class"]["chair"] == pytest.approx(
        nearest["chair"]
    )
    assert report["baselines"]["training_objects"] == 3  # flat~1 is a variant
    assert report["views"] == [0, 5] and report["classes"] == ["02958343", "03001627"]
    measured = report["network"]
    assert set(measured) == {
        *("silhouette_iou", "unseen_iou", "chamfer_cells", "f_score_cells"),
    }
    rows = list(csv.DictReader((tmp_path / "out/scores.csv").open()))
    assert [row["object"] for row in rows[::2]] == ["car0", "car1", "chair0"]
    assert rows[1]["view"] == "5" and float(rows[1]["voxel_iou"]) == 1.0
    assert float(rows[1]["chamfer_cells"]) == 0 and float(rows[1]["f_score_cells"]) == 1
    assert io.read_image(sheet).shape == (2 + 130, 2 + 6 * 130, 3)
    listed = json.loads((tmp_path / "out/report.sheet.json").read_text())["rows"]
    assert len(listed) == 1 and listed[0]["view"] in (0, 5)
    card = (root / "model/model_card.md").read_text()
    assert "Scores on the split `test`" in card and "| nearest silhouette |" in card


def test_twins_of_training_objects_are_named_and_left_out(root, tmp_path, capsys):
    # car0 is ball; chair0 is flat~1 only, which counts when it is asked for.
    run(root, output_dir=str(tmp_path), card=True)
    printed = capsys.readouterr().out
    line = (
        "1 of 3 objects have a twin among the training objects (voxel IoU >= 0.9): car0"
    )
    assert f"{line}.\n" in printed
    report = json.loads((tmp_path / "report.json").read_text())
    ball, flat = made.grid(0.3), made.grid(0.3, 0.3)
    likeness = {
        "car0": 1.0,
        "car1": max(iou(made.grid(0.4), made.grid(r)) for r in (0.3, 0.45)),
        "chair0": iou(made.grid(0.25, 0.3), flat),
    }
    assert report["twins"]["objects"] == ["car0"] and report["twins"]["iou"] == 0.9
    nearest = report["twins"]["nearest"]
    assert {k: v["voxel_iou"] for k, v in nearest.items()} == pytest.approx(likeness)
    assert [v["object"] for v in nearest.values()] == ["ball", "large", "flat"]
    rows = csv.DictReader((tmp_path / "scores.csv").open())
    assert {
        row["object"]: float(row["nearest_training_iou"]) for row in rows
    } == pytest.approx(likeness, rel=1e-5)
    rest = report["without_twins"]
    assert rest["objects"] == 2
    assert rest["voxel_iou"].keys() == report["voxel_iou"].keys()
    assert rest["network"].keys() == report["network"].keys()
    car = iou(made.grid(0.4), ball)
    assert rest["voxel_iou"]["network"]["car"] == pytest.approx(car)
    assert rest["voxel_iou"]["network"]["car"] < report["voxel_iou"]["network"]["car"]
    title = "| voxel IoU, without twins | car | chair | mean |"
    assert title in printed and "| network, without twins |" in printed
    card = (root / "model/model_card.md").read_text()
    assert title in card and line in card


def test_a_class_of_twins_alone_is_left_out_and_so_is_a_table_of_none(
    root, tmp_path, capsys
):
    out = {"output_dir": str(tmp_path), "views": ["0"]}
    run(root, **out, augmented=True)
    assert "2 of 3 objects have a twin" in capsys.readouterr().out
    report = json.loads((tmp_path / "report.json").read_text())
    scores = report["without_twins"]["voxel_iou"]["network"]
    assert scores == pytest.approx(dict.fromkeys(["car", "mean"], scores["car"]))
    run(root, **out, augmented=True, twin_iou=0.01)
    assert "without twins" not in capsys.readouterr().out
    assert "without_twins" not in json.loads((tmp_path / "report.json").read_text())


def test_names_that_training_objects_have_too_are_refused(root, tmp_path):
    made.write_split(tmp_path, "train", TRAIN)
    made.write_split(tmp_path, "test", [*TEST, TRAIN[0]])
    with pytest.raises(ValueError, match="ball"):
        run(root, data_dir=str(tmp_path))


def test_the_card_has_the_whole_command_and_no_paths(root, monkeypatch):
    words = [f"--model={root}/model", "--data_dir", f"{root}/data", "--views=5"]
    words += ["--seed=7", "--classes=car,chair", "--nobaselines", "--points=50"]
    monkeypatch.setattr("sys.argv", ["/where/evaluate_voxel_iou.py", *words])
    run(root, card=True, baselines=False, views=["5"])
    card = (root / "model/model_card.md").read_text()
    assert (
        "--model=model --data_dir data --views=5 --seed=7 --classes=car,chair "
        "--nobaselines --points=50\n"
    ) in card
    assert str(root) not in card and "/where" not in card
    assert "Twins among the training objects were not looked for." in card


def test_silhouettes_are_compared_in_the_views_that_they_belong_to(root, tmp_path):
    # A long bar, an upright one at its end, and one to its side: unlike from all sides.
    boxes = [((-0.4, -0.3, -0.1), (0.4, -0.15, 0.1))]
    boxes += [((0.25, -0.15, -0.1), (0.4, 0.4, 0.1))]
    boxes += [((-0.4, -0.3, 0.1), (-0.2, 0.1, 0.45))]
    mesh = made.boxes(boxes)
    made.write_drawn(tmp_path / "data", "test", mesh)
    model = made.write_network(tmp_path / "model", mesh=mesh)
    flags = {"data_dir": str(tmp_path / "data"), "model": model, "baselines": False}
    run(root, output_dir=str(tmp_path), **flags, views=["1", "8", "20"])
    rows = list(csv.DictReader((tmp_path / "scores.csv").open()))
    (batch,) = pipeline.evaluation_batches(
        flags["data_dir"], "test", 3, views=[1, 8, 20]
    )
    swapped = {"azimuth": "azimuth_other", "azimuth_other": "azimuth"}
    wrong = {name: batch[swapped.get(name, name)] for name in batch}
    vertices = np.repeat(mesh[0][np.newaxis], 3, axis=0)
    wrong = evaluate.Scorer({}, 1.0)(vertices, mesh[1], wrong)
    for name, image in (("silhouette_iou", "image"), ("unseen_iou", "image_other")):
        found = [float(row[name]) for row in rows]
        alpha = batch[image][..., 3:]
        # A picture with itself: not 1, as half a pixel meets a quarter of one.
        best = 1.0 - losses.silhouette_iou_loss(alpha, alpha)
        assert min(found) > 0.9
        np.testing.assert_allclose(found, best, atol=0.01)
        assert wrong[name].max() < 0.7


def test_true_meshes_give_exact_distances_and_variants_take_part_when_asked(
    root, tmp_path
):
    faces = sphere_template().faces
    for name, _, radius, squeeze, _ in TEST:
        # Whatever its size in the file: the data say that objects have length 0.5.
        vertices = made.sphere(radius, squeeze)[0] * 7.0 + 1.0
        io.save_mesh(tmp_path / f"meshes/{name}.obj", vertices, faces)
    mesh_dir = str(tmp_path / "meshes")
    flags = {"mesh_dir": mesh_dir, "augmented": True, "views": ["5"]}
    # Faces that are repeated for each picture are fine too.
    flags["model"] = made.write_network(tmp_path / "model", shared_faces=False)
    run(root, output_dir=str(tmp_path), **flags)
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["voxel_iou"]["nearest silhouette"]["chair"] == 1.0  # by flat~1
    assert report["baselines"]["training_objects"] == 4
    # Spheres of radius 0.25 in the data's frame, of 0.3 from the network: mean
    # distance of the surfaces is the difference, up to the spacing of the points.
    assert report["network"]["chamfer"]["car"] == pytest.approx(0.1, rel=0.1)
    assert report["network"]["f_score"]["car"] == 0.0
    true = [iou(made.grid(0.25), made.grid(radius)) for radius in (0.3, 0.4)]
    assert report["network"]["true_mesh_iou"]["car"] == pytest.approx(
        np.mean(true), abs=0.02
    )
    (tmp_path / "meshes/car1.obj").unlink()
    with pytest.raises(ValueError, match="none for car1"):
        run(root, **flags)


def test_distances_of_cells_are_those_of_the_definition():
    generator = np.random.default_rng(1)
    grids = generator.random([2, 6, 6, 6]) < 0.15
    grids[0, 1:4, 1:4, 1:4] = True  # with one cell inside
    points = []
    for grid in grids:
        padded = np.pad(grid, 1)
        inner = np.ones_like(grid)
        for axis in range(3):
            for step in (-1, 1):
                inner &= np.roll(padded, step, axis)[1:-1, 1:-1, 1:-1]
        points.append(np.argwhere(grid & ~inner))
    assert len(points[0]) < grids[0].sum()
    distance = np.linalg.norm(points[0][:, None] - points[1], axis=-1)
    nearest = distance.min(1), distance.min(0)
    found = evaluate.cell_scores(*grids)
    assert found[0] == pytest.approx(sum(d.mean() for d in nearest) / 31)
    shares = [(d <= 1).mean() for d in nearest]
    assert found[1] == pytest.approx(2 * np.prod(shares) / sum(shares))
    assert evaluate.cell_scores(grids[0], grids[0]) == (0.0, 1.0)
    assert evaluate.cell_scores(grids[0], np.zeros_like(grids[0])) == (
        pytest.approx(2 * 3**0.5),
        0.0,
    )


def test_cells_are_drawn_as_a_closed_surface_around_them():
    voxels = np.zeros([4, 4, 4], bool)
    voxels[1:3, 1:4, 2] = True
    vertices, faces = voxel_mesh(voxels)
    a, b, c = np.moveaxis(vertices[faces], 1, 0)
    volume = (a * np.cross(b, c)).sum() / 6  # positive for faces that look outside
    assert volume == pytest.approx(6 / 3**3, rel=1e-5)
    assert vertices.min(0) == pytest.approx([-1 / 3, -1 / 3, 0])
    vertices, faces = voxel_mesh(np.zeros([4, 4, 4], bool))
    assert len(vertices) == 3 and len(faces) == 1  # of no area


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"model": "none"}, FileNotFoundError, "none"),
        ({"data_dir": "none"}, FileNotFoundError, "no such folder of records"),
        ({"split": "validation"}, FileNotFoundError, "no such split"),
        ({"classes": ["boat"]}, ValueError, "no class 'boat'; there are"),
        ({"views": ["0", "24"]}, ValueError, "0 to 23; got '0,24'"),
        ({"views": ["3", "3"]}, ValueError, "different numbers"),
        ({"views": ["x"]}, ValueError, "0 to 23; got 'x'"),
        (
            {"sheet": "sheet.gif"},
            ValueError,
            "--sheet: .* ends in .png; got 'sheet.gif'",
        ),
        ({"mesh_dir": "none"}, FileNotFoundError, "none: no such file or folder"),
    ],
)
def test_bad_input_is_named_and_nothing_is_written(
    root, tmp_path, change, error, message
):
    with pytest.raises(error, match=message):
        run(root, output_dir=str(tmp_path / "out"), **change)
    assert not (tmp_path / "out").exists()


def test_places_that_cannot_be_written_are_refused_before_the_work(root, tmp_path):
    (tmp_path / "file").write_text("")
    for change in (
        {"output_dir": "file/out"},
        {"sheet": "file/sheet.png"},
        {"sheet": "none/sheet.png"},
    ):
        ((name, value),) = change.items()
        with pytest.raises(OSError, match=f"--{name}: .*{value.split('/')[0]}"):
            run(root, **{name: str(tmp_path / value)})
    with pytest.raises(FileNotFoundError, match="model_card.md"):
        run(root, model=made.write_network(tmp_path / "bare"), card=True)


def test_a_class_without_training_objects_is_named(root, tmp_path):
    made.write_split(tmp_path, "train", TRAIN[:2])
    made.write_split(tmp_path, "test", TEST)
    with pytest.raises(ValueError, match="no object of class 03001627.*--nobaselines"):
        run(root, data_dir=str(tmp_path))


def test_other_models_and_broken_answers_are_refused(root, tmp_path):
    with pytest.raises(ValueError, match="expected a mesh reconstructor.*32, 32"):
        run(root, model=made.write_network(tmp_path / "small", side=32))
    signature = tf.function(lambda voxels: {"image": voxels}).get_concrete_function(
        voxels=tf.TensorSpec([None, 8], tf.float32, name="voxels")
    )
    module = tf.Module()
    module.weight = tf.Variable(1.0)
    other = write_saved_model(
        str(tmp_path / "other"), module, {"serving_default": signature}
    )
    with pytest.raises(ValueError, match="got inputs {'voxels': "):
        run(root, model=other)
    model = made.write_network(tmp_path / "broken", value=float("nan"))
    with pytest.raises(ValueError, match="answered NaN or infinity about car0"):
        run(root, model=model, baselines=False)


def test_a_mistake_is_one_line(root, tmp_path):
    done = programs.launch(
        "tools.evaluate_voxel_iou",
        f"--model={tmp_path}/none",
        f"--data_dir={root}/data",
    )
    assert "none" in programs.last_error(done)
