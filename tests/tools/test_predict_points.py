"""Claims of tools.predict_points."""

import json

import numpy as np
import pytest
import tensorflow as tf
import trimesh

from tests.tools import point_models, programs
from tfrender import cameras, io
from tfrender.export.saved_model import write_saved_model
from tools import make_drwr_records, point_files
from tools import predict_points as predict

SIZE = point_models.SIZE
POSE = np.float32([2.0, 0.0, 2.0, 0.0])
FLAGS = {
    "input": None,
    "data_dir": None,
    "split": "test",
    "classes": None,
    "format": ["npz"],
    "batch_size": 2,
    "png": False,
    "png_views": 4,
    "png_size": 24,
    "radius": 0.03,
}


def run(model, folder, **flags):
    given = {"model": str(model), "output_dir": str(folder), **FLAGS, **flags}
    programs.run_inside(predict, **given)
    return json.loads((folder / point_files.PREDICTIONS).read_text())


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return point_models.write_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def photos(tmp_path):
    colors = {"black": 0, "grey": 128}
    for name, level in colors.items():
        io.write_png(tmp_path / f"photos/{name}.png", np.full([40, 40, 3], level, "u1"))
    return tmp_path / "photos"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Records of two boxes, three views each."""
    folder = tmp_path_factory.mktemp("data")
    for name in ("chair/a", "chair/b", "car/c"):
        box = trimesh.creation.box((1.0, 0.6, 0.3))
        io.save_mesh(folder / f"meshes/{name}.obj", box.vertices, box.faces)
    split = {"test": ["chair__a", "car__c"], "train": ["chair__b"]}
    (folder / "split.json").write_text(json.dumps(split))
    flags = {
        "input": [str(folder / "meshes")],
        "output": str(folder / "records"),
        "views": 3,
        "image_size": 20,
        "sample_points": 0,
        "sample_mode": "lattice",
        "depth": False,
        "elevation_range": None,
        "focal_length": None,
        "distance": None,
        "normalize": None,
        "supersample": 1,
        "points": 0,
        "augment": 0,
        "classes": None,
        "class_file": None,
        "split_file": str(folder / "split.json"),
        "held_out": ["0.1", "0.1"],
        "seed": 0,
        "shard_records": 8,
        "layout": "records",
        "skip_broken": False,
    }
    programs.run_inside(make_drwr_records, **flags)
    return folder / "records"


def test_pictures_of_a_folder_become_clouds(model, photos, tmp_path):
    report = run(model, tmp_path / "out", input=str(photos), format=["npz", "ply"])
    assert [entry["name"] for entry in report["objects"]] == ["black", "grey"]
    assert report["objects"][0]["files"] == ["black.npz", "black_00.ply"]
    for name, level in (("black", 0.0), ("grey", 128 / 255)):
        found = point_files.read_prediction(tmp_path / f"out/{name}.npz")
        want = point_models.ball(40) + 0.01 * level
        np.testing.assert_allclose(found.points, want[np.newaxis], atol=1e-6)
        assert found.views == [0] and found.pose is None and found.true_pose is None
        np.testing.assert_array_equal(
            point_files.read_views(tmp_path / f"out/{name}_00.ply"), found.points
        )


def test_alpha_is_laid_over_white(model, tmp_path):
    picture = np.zeros([8, 8, 4], np.uint8)
    io.write_png(tmp_path / "clear.png", picture)
    run(model, tmp_path / "out", input=str(tmp_path / "clear.png"), format=["mat"])
    found = point_files.read_prediction(tmp_path / "out/clear.mat")
    np.testing.assert_allclose(found.points[0], point_models.ball(40) + 0.01, atol=1e-6)


def test_all_views_of_a_split_become_clouds_and_true_poses(model, data, tmp_path):
    report = run(model, tmp_path / "out", data_dir=str(data), png=True)
    assert [entry["name"] for entry in report["objects"]] == ["car/c", "chair/a"]
    assert report["split"] == "test" and report["data_fingerprint"]
    found = point_files.read_prediction(tmp_path / "out/chair/a.npz")
    assert found.points.shape == (3, 40, 3)
    assert found.views == [0, 1, 2]
    assert found.pose is None
    from datasets.drwr import pipeline

    (batch,) = list(pipeline.evaluation_batches(str(data), "test", 2, input_size=SIZE))
    matrix = cameras.from_quaternion(found.true_pose).world_to_camera
    np.testing.assert_allclose(
        matrix[:, :3, :3], batch["world_to_camera"][1, :, :3, :3], atol=1e-5
    )
    colors = batch["image"][1].numpy().mean((1, 2))
    want = point_models.ball(40) + 0.01 * colors[:, np.newaxis]
    np.testing.assert_allclose(found.points, want, atol=1e-6)
    sheet = io.read_image(tmp_path / "out/chair/a.png")
    assert sheet.shape == (3 * 26 + 2, 4 * 26 + 2, 3)


def test_a_predicted_pose_is_written_and_drawn_from(data, tmp_path):
    model = point_models.write_model(tmp_path / "model", pose=POSE)
    out = tmp_path / "out"
    run(model, out, data_dir=str(data), classes=["car"], png=True, png_views=1)
    found = point_files.read_prediction(out / "car/c.npz")
    np.testing.assert_array_equal(found.pose, [POSE] * 3)
    assert not (out / "chair").exists()
    assert io.read_image(out / "car/c.png").shape == (28, 106, 3)


def test_sides_of_a_picture_go_around_the_object():
    camera = predict.point_pictures.orbit_camera(40.0, 15.0)
    turned = predict._turned(camera, 120.0, upright=True).world_to_camera
    ways = [
        predict.point_pictures.orbit_camera(40.0 + turn, 15.0).world_to_camera
        for turn in (120.0, -120.0)
    ]
    assert min(np.abs(turned - way).max() for way in ways) < 1e-5
    # Without a known upward axis, what is above in the picture stays there.
    turned = predict._turned(camera, 120.0, upright=False).world_to_camera
    np.testing.assert_allclose(turned[0, 1], camera.world_to_camera[0, 1], atol=1e-6)
    np.testing.assert_allclose(turned[0, :, 3], camera.world_to_camera[0, :, 3])
    assert np.linalg.det(turned[0, :3, :3]) == pytest.approx(1.0)


def test_a_run_that_stops_leaves_no_list(model, photos, tmp_path, monkeypatch):
    out = tmp_path / "out"
    run(model, out, input=str(photos))

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(predict, "write_item", stop)
    with pytest.raises(KeyboardInterrupt):
        run(model, out, input=str(photos))
    assert (out / "black.npz").exists()
    assert not (out / point_files.PREDICTIONS).exists()


def test_a_broken_picture_is_named(model, photos, tmp_path):
    (photos / "grey.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"grey.png: expected a PNG or JPEG"):
        run(model, tmp_path / "out", input=str(photos))


def test_a_model_that_answers_nan_is_told(photos, tmp_path, monkeypatch):
    model = point_models.write_model(tmp_path / "model")
    loaded = predict.load_signature(model)

    class Broken:
        inputs, outputs = loaded.inputs, loaded.outputs

        def __call__(self, **inputs):
            return {"points": np.full([len(inputs["image"]), 4, 3], np.nan)}

    monkeypatch.setattr(predict, "load_signature", lambda folder: Broken())
    with pytest.raises(ValueError, match="black: .*answered NaN or infinity"):
        run(model, tmp_path / "out", input=str(photos))
    assert not (tmp_path / "out" / point_files.PREDICTIONS).exists()


def test_flags_that_contradict_each_other_are_told(model, photos, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(ValueError, match="--input and --data_dir; got none"):
        run(model, out)
    with pytest.raises(ValueError, match="--input and --data_dir; got both"):
        run(model, out, input=str(photos), data_dir="x")
    for wrong in (["obj"], [], ["npz", "PLY"]):
        with pytest.raises(ValueError, match="--format: expected some of npz, mat"):
            run(model, out, input=str(photos), format=wrong)
    with pytest.raises(FileNotFoundError, match="no such folder of pictures"):
        run(model, out, input=str(tmp_path / "nothing"))
    assert not out.exists()


def test_another_model_is_told(photos, tmp_path):
    class Other(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32, "code")])
        def serve(self, code):
            return {"points": code}

    module = Other()
    signatures = {"serving_default": module.serve.get_concrete_function()}
    model = write_saved_model(str(tmp_path / "model"), module, signatures)
    with pytest.raises(ValueError, match=r"`image` .* to `points`.*; got code \("):
        run(model, tmp_path / "out", input=str(photos))


@pytest.mark.parametrize("name", ["../a", "/a", "a//b", "a/./b", ""])
def test_a_name_that_leaves_the_folder_is_refused(name):
    with pytest.raises(ValueError, match="expected OBJECT or CLASS/OBJECT"):
        point_files.check_names([name])
    with pytest.raises(ValueError, match="two objects are called b"):
        point_files.check_names(["b", "b"])
