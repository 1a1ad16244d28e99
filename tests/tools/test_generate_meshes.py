"""Claims of tools.generate_meshes."""

import csv
import json
import types

import numpy as np
import pytest
import tensorflow as tf
import trimesh

from tests.tools import programs, spheres
from tfrender import io
from tfrender.ops.implicit_surface import logit
from tools import generate_meshes as generate
from tools import mesh_views

VOLUME = 4 / 3 * np.pi


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("generate_meshes")
    spheres.write(root / "one")
    spheres.write(root / "many", conditional=True, colors=False)
    write_pictures(root / "photos", {"large": 0.4, "none": 0.0, "small": 0.2})
    return root


def picture(radius):
    """What the encoder takes for a ball: the radius is half the mean level."""
    return np.full([spheres.SIDE, spheres.SIDE, 3], 2.0 * radius, np.float32)


def write_pictures(folder, radii):
    for name, radius in radii.items():
        io.write_png(folder / f"{name}.png", picture(radius))


def run(root, folder, **flags):
    given = {
        "model": str(root / "one"),
        "output_dir": str(folder),
        "input_dir": None,
        "data_dir": None,
        "split": "test",
        "classes": None,
        "input_view": 0,
        "name": "ball",
        "resolution": 8,
        "upsampling_steps": 1,
        "padding": 0.0,
        "threshold": None,
        "simplify_faces": 0,
        "refinement_steps": 0,
        "refine_max_faces": 10_000,
        "colors": True,
        "mesh_extension": "ply",
        "world_scale": None,
        "vis": 0,
        "points_per_call": 1000,
        "seed": 0,
    }
    programs.run_inside(generate, **{**given, **flags})
    return json.loads((folder / "generation.json").read_text())


def volume(path):
    mesh = io.load_mesh(str(path))
    return trimesh.Trimesh(mesh.vertices, mesh.faces, process=False).volume


def test_the_published_flags_make_a_coloured_mesh_of_one_object(root, tmp_path):
    done = programs.launch(
        "tools.generate_meshes",
        f"--model={root / 'one'}",
        f"--output_dir={tmp_path / 'out'}",
        *("--resolution_0=8", "--upsampling-steps=2", "--refinement-step=3"),
        *("--name=toys/ball", "--vis=1", "--nowith_colors", "--colors"),
    )
    assert done.returncode == 0, done.stderr
    assert "1 object(s): 1 mesh(es), 0 empty;" in done.stdout
    out = tmp_path / "out"
    mesh = io.load_mesh(str(out / "meshes/toys/ball.ply"))
    radii = np.linalg.norm(mesh.vertices, axis=-1)
    np.testing.assert_allclose(radii, spheres.RADIUS, atol=2e-3)
    right = mesh.vertices[:, 0] > 0.0  # green there, red on the left
    expected = np.stack([~right, right, 0 * right], axis=-1)
    clear = np.abs(mesh.vertices[:, 0]) > 1e-3
    np.testing.assert_array_equal(mesh.vertex_colors[clear], expected[clear])
    assert volume(out / "vis/toys/00_mesh.ply") > 0.0
    sheet = io.read_image(out / "vis/toys/00_views.png")
    assert sheet.shape == (mesh_views.SIZE, 4 * mesh_views.SIZE, 3)
    assert 0.05 < (sheet < 250).any(-1).mean() < 0.15
    entry = json.loads((out / "generation.json").read_text())["items"][0]
    assert entry["faces"] == len(mesh.faces)
    assert entry["evaluations"] < 33**3
    with open(out / "time_generation_full.csv") as file:
        (row,) = csv.DictReader(file)
    steps = sum(float(row[step]) for step in (*generate.STEPS, "write"))
    assert float(row["total"]) == pytest.approx(steps, abs=0.02)


def test_every_picture_gives_a_mesh_and_empty_ones_are_listed(root, tmp_path, capsys):
    flags = {"model": str(root / "many"), "input_dir": str(root / "photos"), "vis": 1}
    report = run(root, tmp_path, **flags)
    printed = capsys.readouterr()
    assert "3 object(s): 2 mesh(es), 1 empty: none;" in printed.out
    assert "none: nothing is inside: the mesh is empty" in printed.err
    status = {item["name"]: item["status"] for item in report["items"]}
    assert status == {"large": "ok", "none": "empty", "small": "ok"}
    assert report["empty"] == 1
    files = {path.name for path in (tmp_path / "meshes").iterdir()}
    assert files == {"large.ply", "small.ply"}
    for name, radius in (("large", 0.4), ("small", 0.2)):
        found = volume(tmp_path / f"meshes/{name}.ply")
        assert found == pytest.approx(VOLUME * radius**3, rel=0.1)
    assert io.load_mesh(str(tmp_path / "meshes/large.ply")).vertex_colors is None
    shown = {path.name for path in (tmp_path / "vis").iterdir()}
    assert shown == {"00_input.png", "00_mesh.ply", "00_views.png"}
    # A later run that finds nothing leaves no mesh of the earlier one.
    write_pictures(tmp_path, {"large": 0.0})
    run(root, tmp_path, **{**flags, "input_dir": str(tmp_path)})
    assert not (tmp_path / "meshes/large.ply").exists()


def test_threshold_padding_and_simplification_do_what_they_say(root, tmp_path):
    run(root, tmp_path / "a", threshold=0.7, upsampling_steps=2)
    inner = spheres.RADIUS - logit(0.7) / 10.0
    found = volume(tmp_path / "a/meshes/ball.ply")
    assert found == pytest.approx(VOLUME * inner**3, rel=0.05)
    (entry,) = run(root, tmp_path / "b", simplify_faces=100, mesh_extension="obj")[
        "items"
    ]
    assert 80 <= entry["faces"] <= 100
    with pytest.raises(ValueError, match="--simplify_faces: expected 0 or at least 4"):
        run(root, tmp_path / "c", simplify_faces=3)
    assert volume(tmp_path / "b/meshes/ball.obj") == pytest.approx(
        VOLUME * spheres.RADIUS**3, rel=0.1
    )
    run(root, tmp_path / "c", padding=0.5, mesh_extension="glb")
    found = volume(tmp_path / "c/meshes/ball.glb")
    assert found == pytest.approx(VOLUME * spheres.RADIUS**3, rel=0.1)


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_the_copy_in_world_scale_is_moved_and_stays_outside_out(root, tmp_path, side):
    scale = np.diag([2.0 * side, 2.0, 2.0, 1.0])
    scale[:3, 3] = [7.0, 8.0, 9.0]
    world = np.eye(4)
    world[2, 3] = 20.0
    arrays = {"scale_mat_0": scale, "world_mat_0": world, "camera_mat_0": np.eye(4)}
    np.savez(tmp_path / "cameras.npz", **arrays)
    report = run(root, tmp_path, world_scale=str(tmp_path / "cameras.npz"))
    path = tmp_path / report["items"][0]["world_file"]
    assert path.name == "ball_world_scale.ply"
    vertices = io.load_mesh(str(path)).vertices
    np.testing.assert_allclose(vertices.mean(0), [7.0, 8.0, 9.0], atol=1e-4)
    whole = volume(tmp_path / "meshes/ball.ply")
    assert volume(path) == pytest.approx(8.0 * whole, rel=1e-4)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"model": "many"}, "needs pictures; give --input_dir or --data_dir"),
        ({"input_dir": "photos"}, "a model of one object, which no picture changes"),
        ({"input_dir": "x", "data_dir": "y"}, "got both"),
        ({"model": "many", "input_dir": "nowhere"}, "no such folder of pictures"),
        ({"name": "../up"}, "expected OBJECT or CLASS/OBJECT; got '../up'"),
        ({"model": "photos"}, "photos"),
    ],
)
def test_mistakes_are_told_before_anything_is_written(root, tmp_path, flags, message):
    named = ("model", "input_dir", "data_dir")
    given = {k: str(root / v) if k in named else v for k, v in flags.items()}
    with pytest.raises((ValueError, OSError)) as caught:
        run(root, tmp_path / "out", **given)
    assert message in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_field_that_answers_nan_is_named(root, tmp_path):
    spheres.write(tmp_path / "wild", conditional=True)
    wild = generate.FieldModel(str(tmp_path / "wild"))
    wild.occupancy = lambda code: lambda points: np.full(len(points), np.nan)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(generate, "FieldModel", lambda folder: wild)
        flags = {"input_dir": str(root / "photos"), "model": "wild"}
        with pytest.raises(ValueError, match="large: `field` must answer finite"):
            run(root, tmp_path / "out", **flags)


def test_every_object_of_a_split_gives_a_mesh_once(root, tmp_path, monkeypatch):
    found = {
        "input_size": spheres.SIDE,
        "objects": ["chair/a", "car/b"],
    }
    order = [(1, 0.3), (0, 0.2), (1, 0.4)]  # of a scene, every view is a record
    batches = [
        {"object_id": tf.constant([k]), "input": tf.constant(picture(radius)[None])}
        for k, radius in order
    ]
    stand_in = types.SimpleNamespace(
        metadata=lambda *given: types.SimpleNamespace(metadata=found),
        evaluation_batches=lambda *given, **more: batches,
    )
    monkeypatch.setattr(generate, "pipeline", stand_in)
    flags = {"model": str(root / "many"), "data_dir": str(tmp_path)}
    report = run(root, tmp_path, **flags)
    assert [item["name"] for item in report["items"]] == ["chair/a", "car/b"]
    for name, radius in (("chair/a", 0.2), ("car/b", 0.3)):
        made = volume(tmp_path / f"meshes/{name}.ply")
        assert made == pytest.approx(VOLUME * radius**3, rel=0.1)
    with pytest.raises(ValueError, match="expected one object for a model without"):
        run(root, tmp_path, data_dir=str(tmp_path))
    found["objects"] = ["chair/a"]
    report = run(root, tmp_path, data_dir=str(tmp_path))
    assert [item["name"] for item in report["items"]] == ["chair/a"]
    found["input_size"] = 224
    with pytest.raises(ValueError, match="expected inputs of 4 pixels"):
        run(root, tmp_path, **flags)
