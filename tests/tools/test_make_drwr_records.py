"""Claims of tools.make_drwr_records."""

import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

from datasets import records
from datasets.drwr import examples, generation, pipeline, truth
from tests.datasets.drwr_objects import (
    disc_object,
    original_features,
    write_originals,
    write_renders,
)
from tests.datasets.shapes import write_hook
from tests.tools import programs
from tfrender import io
from tools import make_drwr_records

# Flags as they are parsed.
FLAGS = {
    **dict.fromkeys(("views", "image_size", "elevation_range", "distance")),
    **dict.fromkeys(("normalize", "supersample", "points", "augment", "classes")),
    **dict.fromkeys(("class_file", "split_file")),
    "layout": "records",
    "sample_points": 0,
    "sample_mode": "lattice",
    "depth": False,
    "focal_length": 1.875,
    "held_out": ["0.1", "0.1"],
    "seed": 0,
    "shard_records": 4,
    "skip_broken": False,
}
SMALL = {"views": 2, "image_size": 16, "supersample": 1}


def make(folder, **flags):
    given = {"input": [str(folder / "in")], "output": str(folder / "out")}
    given = {**FLAGS, **given, **flags}
    programs.run_inside(make_drwr_records, **given)
    return given["output"]


def refuse(folder, words, error=(ValueError, OSError), **flags):
    with pytest.raises(error, match=words) as found:
        make(folder, **flags)
    assert "\n" not in str(found.value)
    return found


def items_of(out, split):
    """Name -> decoded object."""
    form = pipeline.form_of(out, split)
    paths = [shard.path for shard in records.read_split(out, split).shards]
    stream = tf.data.TFRecordDataset(paths).as_numpy_iterator()
    found = [examples.decode_arrays(record, form) for record in stream]
    return {item.name: item for item in found}


@pytest.fixture
def meshes(tmp_path):
    for k, name in enumerate(("chair/a", "chair/b", "chair/c", "lamp/d")):
        write_hook(tmp_path / "in" / f"{name}.obj", 1.0 + k)
    splits = {"train": ["chair__a", "lamp__d"], "validation": ["chair__b"]}
    splits["test"] = ["chair__c"]
    (tmp_path / "split.json").write_text(json.dumps(splits))
    return tmp_path


@pytest.fixture
def drawn(meshes, monkeypatch):
    """Meshes, and the calls that draw them."""
    calls, draw = [], generation.draw_object

    def counted(path, class_id, object_id, settings, number=0):
        calls.append(f"{object_id}~{number}")
        return draw(path, class_id, object_id, settings, number)

    monkeypatch.setattr(generation, "draw_object", counted)
    return meshes, calls


def test_meshes_become_all_splits_with_variants_and_truth(meshes, capsys):
    flags = {**SMALL, "split_file": str(meshes / "split.json"), "points": 30}
    out = make(meshes, **flags, augment=1, sample_points=20, depth=True)
    assert records.splits(out) == ["test", "train", "validation"]
    found = items_of(out, "train")
    assert sorted(found) == ["chair/a", "chair/a~1", "lamp/d", "lamp/d~1"]
    assert sorted(items_of(out, "validation")) == ["chair/b"]
    assert sorted(items_of(out, "test")) == ["chair/c"]
    about = pipeline.metadata(out, "train").metadata
    assert about["classes"] == ["chair", "lamp"] and about["image_size"] == [16, 16]
    assert about["views"] == 2 and about["sample_points"] == 20 and about["depth"]
    assert about["settings"]["augment"] == 1
    for name in [*found, "chair/b", "chair/c"]:
        points = truth.read(truth.path_of(f"{out}/truth", name))
        assert points.shape == (30, 3) and np.abs(points).max() < 0.5
    item = found["chair/a"]
    assert item.samples.shape == (2, 20, 2) and (item.depth[item.masks] >= 0).all()
    (batch,) = pipeline.evaluation_batches(
        out, "test", 2, input_size=16, truth_dir=f"{out}/truth", truth_points=30
    )
    assert batch["truth"].shape == (1, 30, 3)
    printed = capsys.readouterr().out
    assert (
        "train: 8 pictures 16 x 16 of 2 objects (chair 1, lamp 1) and 2 var" in printed
    )
    assert not list((meshes / "out").glob(".*"))


def test_a_stopped_run_goes_on_and_draws_nothing_twice(drawn, capsys):
    folder, calls = drawn
    flags = {**SMALL, "split_file": str(folder / "split.json"), "points": 5}
    broken = folder / "in/lamp/d.obj"
    good = broken.read_text()
    broken.write_text("v 0 0 0\n")
    refuse(folder, r"d\.obj: ", **flags)
    assert "the same command goes on" in capsys.readouterr().err
    assert [p.name for p in (folder / "out").glob(".*")] == [".train.spool"]
    assert not records.splits(str(folder / "out"))
    refuse(
        folder, "was begun with views=2; got 3. Give the same", **{**flags, "views": 3}
    )
    refuse(folder, "was begun with seed=0; got 7", **flags, seed=7)
    broken.write_text(good)
    out = make(folder, **flags)
    assert calls == ["a~0", "d~0", "d~0", "b~0", "c~0"]
    assert "train: going on after 1 of 2 objects" in capsys.readouterr().out
    make(folder, **flags)
    assert len(calls) == 5
    assert capsys.readouterr().out.count("finished already") == 3
    refuse(
        folder,
        r"train\.json: was begun with depth=False; got True",
        **flags,
        depth=True,
    )
    assert not list((folder / "out").glob(".*"))

    whole = make(folder, **flags, output=str(folder / "again"))
    for split in records.splits(out):
        for name, item in items_of(out, split).items():
            np.testing.assert_array_equal(
                item.images, items_of(whole, split)[name].images
            )


def test_a_spool_that_was_damaged_is_named(meshes):
    flags = {**SMALL, "split_file": str(meshes / "split.json")}
    (meshes / "in/lamp/d.obj").write_text("v 0 0 0\n")
    refuse(meshes, "d.obj", **flags)
    (path,) = (meshes / "out/.train.spool").glob("*.tfrecord")
    path.write_bytes(path.read_bytes()[:50])
    refuse(meshes, "damaged .*; remove it and run again", **flags)


def test_a_failed_run_leaves_no_empty_folder(meshes):
    (meshes / "in/chair/a.obj").write_text("v 0 0 0\n")
    refuse(meshes, r"a\.obj", split_file=str(meshes / "split.json"), points=5, **SMALL)
    assert not (meshes / "out").exists()


def test_broken_objects_are_left_out_where_that_is_asked_for(meshes, capsys):
    (meshes / "in/chair/a.obj").write_text("v 0 0 0\n")
    flags = {**SMALL, "split_file": str(meshes / "split.json"), "skip_broken": True}
    out = make(meshes, **flags)
    assert list(items_of(out, "train")) == ["lamp/d"]
    assert "note: " in (err := capsys.readouterr().err) and "a.obj: left out" in err
    for name in ("a", "b", "c"):
        (meshes / f"in/chair/{name}.obj").write_text("v 0 0 0\n")
    output = str(meshes / "other")
    refuse(meshes, "no object of the split validation is left", **flags, output=output)


def test_a_full_disk_is_one_line(meshes, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(truth.np, "savez_compressed", full)
    flags = {**SMALL, "split_file": str(meshes / "split.json")}
    refuse(meshes, "cannot write: No space left on device", points=5, **flags)
    assert not (meshes / "out").exists()


def test_meshes_become_renders_and_these_the_same_records(meshes):
    flags = {**SMALL, "depth": True, "split_file": str(meshes / "split.json")}
    first = items_of(make(meshes, **flags), "train")
    out = make(meshes, **flags, layout="renders", output=str(meshes / "renders"))
    assert (meshes / "renders/chair_val.txt").read_text() == "b\n"
    names = sorted(p.name for p in (meshes / "renders/lamp/d").iterdir())
    assert names == sorted(
        f"{kind}_{k}.{end}"
        for k in (0, 1)
        for kind, end in (("render", "png"), ("camera", "mat"), ("depth", "png"))
    )
    refuse(
        meshes,
        "exists already; choose another --output",
        **flags,
        layout="renders",
        output=out,
    )
    again = make(meshes, input=[out], output=str(meshes / "again"), depth=True)
    assert records.splits(again) == ["test", "train", "validation"]
    second = items_of(again, "train")
    for name, item in first.items():
        np.testing.assert_array_equal(item.masks, second[name].masks)
        np.testing.assert_allclose(
            item.world_to_camera, second[name].world_to_camera, atol=1e-5
        )
        # Depths stand on masks alone: renders know no other object.
        near = np.where(item.masks, item.depth, 0.0)
        np.testing.assert_allclose(near, second[name].depth, atol=2e-4)


@pytest.fixture
def renders(tmp_path):
    write_renders(tmp_path / "in", {"chair": 5, "lamp": 4}, depth=True)
    return tmp_path


def test_renders_become_all_splits_and_every_field_comes_back(renders):
    """A10 of the reference: 3 objects x 5 views and more, all keys, shapes, types."""
    shutil.rmtree(renders / "in")
    write_renders(renders / "in", {"chair": 5}, views=5, depth=True)
    out = make(renders, sample_points=12, sample_mode="uniform", depth=True)
    splits = {split: items_of(out, split) for split in records.splits(out)}
    assert {s: len(items) for s, items in splits.items()} == {
        **{"train": 3, "validation": 1, "test": 1}
    }
    for name, item in (p for items in splits.values() for p in items.items()):
        expected = disc_object(int(name.split("/")[1]), views=5, depth=True)
        np.testing.assert_array_equal(item.masks, expected.masks)
        np.testing.assert_array_equal(item.squared_distance, expected.squared_distance)
        assert item.images.shape == (5, 16, 16, 3) and item.images.dtype == np.uint8
        assert item.samples.shape == (5, 12, 2)
        assert item.extrinsic.shape == item.projection.shape == (5, 4, 4)
        np.testing.assert_allclose(item.depth, expected.depth, atol=1e-4)


def test_lists_beside_renders_decide_and_differences_are_noted(renders, capsys):
    root = renders / "in"
    (root / "chair_train.txt").write_text("00\n01\nmissing\n")
    (root / "chair_val.txt").write_text("02\n")
    (root / "chair_test.txt").write_text("03\n")
    out = make(renders)
    assert sorted(items_of(out, "train")) == ["chair/00", "chair/01"]
    assert list(items_of(out, "validation")) == ["chair/02"]
    err = capsys.readouterr().err
    assert "1 listed objects have no renders, chair__missing the first" in err
    assert "5 objects with renders are in no list; left out, chair__04 the f" in err
    (renders / "lists").mkdir()
    refuse(
        renders,
        "lists: expected chair_train.txt or chair.file",
        split_file=str(renders / "lists"),
    )
    (renders / "lists/lamp_train.txt").write_text("05\n")
    only = make(
        renders,
        classes=["lamp"],
        split_file=str(renders / "lists"),
        output=str(renders / "lamps"),
        views=2,
        image_size=8,
    )
    (item,) = items_of(only, "train").values()
    assert item.images.shape == (2, 8, 8, 3)
    assert "no split is held out" in capsys.readouterr().out


def test_an_empty_view_is_noted_and_with_points_the_object_left_out(renders, capsys):
    path = renders / "in/lamp/05/render_1.png"
    io.write_png(path, np.zeros([16, 16, 4], np.uint8))
    flags = {"held_out": ["0", "0"]}
    assert len(items_of(make(renders, **flags), "train")) == 9
    note = "lamp/05: view 1 has a mask that is empty"
    assert note in capsys.readouterr().err
    out = make(renders, **flags, sample_points=4, output=str(renders / "points"))
    assert len(items_of(out, "train")) == 8
    assert "lamp/05: left out: --sample_points" in capsys.readouterr().err


def test_objects_with_other_views_are_named(renders):
    for name in ("render_2.png", "camera_2.mat", "depth_2.png"):
        (renders / "in/lamp/06" / name).unlink()
    flags = {"held_out": ["0", "0"]}
    refuse(renders, "lamp/06: expected views 3, as the objects .* got 2", **flags)
    out = make(renders, views=2, held_out=["0", "0"], output=str(renders / "two"))
    assert len(items_of(out, "train")) == 9


@pytest.mark.parametrize("key", ["mask_sdf", "mask_sdfs"])
def test_records_of_the_original_give_the_same_masks(tmp_path, key):
    number = 0
    for split, count in (("train", 2), ("val", 1), ("test", 1)):
        rows = []
        for _ in range(count):
            rows.append(original_features(disc_object(number, views=5), key))
            number += 1
        write_originals(tmp_path / f"in/chair_{split}.tfrecords", rows)
    out = make(tmp_path, depth=True)
    assert records.splits(out) == ["test", "train", "validation"]
    found = {n: i for s in records.splits(out) for n, i in items_of(out, s).items()}
    assert sorted(found) == [f"chair/{k:02d}" for k in range(4)]
    for k in range(4):
        item, expected = found[f"chair/{k:02d}"], disc_object(k, views=5)
        np.testing.assert_array_equal(item.masks, expected.masks)
        np.testing.assert_array_equal(item.squared_distance, expected.squared_distance)
    refuse(tmp_path, "split_file is for renders and meshes", split_file="x")


def test_bad_flags_and_inputs_are_named(renders):
    (renders / "empty").mkdir()
    refuse(renders, "no such file or folder", input=[str(renders / "none")])
    refuse(renders, "no mesh; expected", input=[str(renders / "empty")])
    refuse(renders, "--augment is for meshes; --input holds renders", augment=2)
    refuse(renders, "--points is for meshes", points=3)
    refuse(renders, "--layout=renders is for meshes", layout="renders")
    refuse(renders, "no class 'car'", classes=["car"])
    refuse(renders, "--held_out: expected two shares", held_out=["1"])
    two = [str(renders / "in/chair"), str(renders / "in/lamp")]
    refuse(renders, "expected one folder of renders; got 2", input=two)
    write_hook(renders / "m/chair/a.obj")
    mixed = [str(renders / "in"), str(renders / "m")]
    refuse(renders, "expected one kind; got meshes and renders", input=mixed)
    given = {"input": [str(renders / "m")]}
    refuse(renders, "--classes is for renders", classes=["a"], **given)
    for wrong in (["5"], ["9", "1"], ["a", "b"], ["-100", "0"]):
        refuse(renders, "--elevation_range: expected", elevation_range=wrong, **given)
    shutil.move(renders / "m/chair/a.obj", renders / "m/chair/a~1.obj")
    flags = {**given, "held_out": ["0", "0"]}
    refuse(renders, "expected a name without ~", **flags)
    (renders / "out").mkdir()
    (renders / "out/test.json").write_text("{}")
    flags = {"held_out": ["0", "0"]}
    refuse(renders, "a split of an earlier run", **flags)
    (renders / "file").write_text("")
    refuse(renders, "--output: .*file is a file", output=str(renders / "file/x"))


def test_the_program_runs(renders):
    output = renders / "program"
    done = programs.launch(
        *("tools.make_drwr_records", f"--input={renders / 'in'}"),
        *(f"--output={output}", "--held_out=0,0.2"),
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "train: 21 pictures 16 x 16 of 7 objects (chair 4, lamp 3)" in done.stdout
    assert records.splits(str(output)) == ["test", "train"]
