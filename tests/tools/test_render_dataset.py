"""Claims of tools.render_dataset, tools.mesh_folder and tools.mesh_splits."""

import hashlib
import json

import numpy as np
import pytest

from datasets import records
from datasets.mesh_reconstruction import examples as view_examples
from datasets.mesh_reconstruction import generation as view_generation
from datasets.mesh_reconstruction import pipeline, published
from datasets.rendernet import examples, generation, legacy
from tests.datasets.shapes import write_hook
from tests.tools import programs
from tfrender.io import FormatError
from tools import mesh_folder, mesh_splits, render_dataset


@pytest.fixture
def meshes(tmp_path):
    for k, name in enumerate(("chair/a", "chair/b", "lamp")):
        write_hook(tmp_path / "in" / f"{name}.obj", 1.0 + k)
    splits = {"train": ["chair__a", "lamp"], "test": ["chair__b"]}
    (tmp_path / "split.json").write_text(json.dumps(splits))
    return tmp_path


def make(folder, **flags):
    given = {"input": [str(folder / "in")], "output": str(folder / "out")}
    given["split_file"] = str(folder / "split.json")
    programs.run_inside(render_dataset, **{**programs.RENDER_DATASET, **given, **flags})
    return folder / flags.get("output", "out")


def rows(folder, split):
    stream = records.record_stream(
        str(folder), split, shuffle=False, cycle=False, schema=examples.SCHEMA
    )
    found = [examples.decode_arrays(record) for record in stream.as_numpy_iterator()]
    return sorted(found, key=lambda row: (row[3], *row[2].tolist()))


def test_records_hold_every_view_of_the_listed_objects(meshes, capsys):
    out = make(meshes)
    found = rows(out, "train")
    assert [row[3] for row in found] == ["chair__a"] * 2 + ["lamp"] * 2
    assert all(image.any() and voxels.any() for image, voxels, *_ in found)
    split = records.read_split(str(out), "train", examples.SCHEMA)
    assert split.metadata["objects"] == ["chair__a", "lamp"]
    assert split.metadata["resolution"] == 8 and split.metadata["style"] == "normal"
    printed = capsys.readouterr().out
    assert "train: 4 pictures of 2 objects" in printed
    assert "test: 2 pictures of 1 objects" in printed


def test_both_layouts_hold_the_same_data(meshes):
    make(meshes)
    make(meshes, layout="legacy", output=str(meshes / "legacy"))
    folder = meshes / "legacy"
    names = sorted(p.name for p in folder.rglob("*.*"))
    assert names == sorted(
        ["test.tar", "train.tar", "chair__a.binvox", "chair__b.binvox", "lamp.binvox"]
    )
    items = legacy.read_legacy(str(folder / "train.tar"), str(folder / "binvox"))
    items = sorted(items, key=lambda item: (item.object_id, *item.pose))
    for item, row in zip(items, rows(meshes / "out", "train"), strict=True):
        np.testing.assert_array_equal(item.image, row[0])
        np.testing.assert_array_equal(item.voxels, row[1])
        np.testing.assert_allclose(item.pose, row[2], atol=1e-4)
        assert item.object_id == row[3]


def test_an_object_looks_the_same_whatever_else_is_drawn(meshes):
    first = rows(make(meshes), "test")
    (meshes / "split.json").write_text('{"test": ["chair__b", "lamp"]}')
    again = rows(make(meshes, output=str(meshes / "again")), "test")[:2]
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a[0], b[0])
        np.testing.assert_array_equal(a[2], b[2])


def test_a_broken_mesh_stops_the_program_or_is_left_out(meshes, capsys):
    (meshes / "in" / "lamp.obj").write_text("v 0 0 0\n")
    with pytest.raises(FormatError, match=r"lamp\.obj"):
        make(meshes)
    assert not (meshes / "out" / "train.json").exists()
    make(meshes, skip_broken=True)
    assert {row[3] for row in rows(meshes / "out", "train")} == {"chair__a"}
    printed = capsys.readouterr()
    assert "1 broken meshes left out" in printed.out and "lamp.obj" in printed.err
    (meshes / "in" / "chair/a.obj").write_text("v 0 0 0\n")
    for layout in ("legacy", "records"):
        with pytest.raises(ValueError, match=r"no record|every mesh .* broken"):
            make(meshes, skip_broken=True, layout=layout, output=str(meshes / layout))
        assert not (meshes / "legacy" / "train.tar").exists()


def test_a_hash_of_the_name_splits_by_object():
    objects = [f"object{k}" for k in range(400)]
    found = mesh_splits.assign_splits(objects, None, (0.2, 0.1))
    assert sorted(sum(found.values(), [])) == sorted(objects)
    assert 50 < len(found["validation"]) < 110 and 20 < len(found["test"]) < 60
    part = mesh_splits.assign_splits(objects[:50], None, (0.2, 0.1))
    assert set(part["train"]) <= set(found["train"])
    assert mesh_splits.assign_splits(["a"], None, (0.0, 0.0)) == {"train": ["a"]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "expected JSON"),
        ('["a"]', "expected a mapping"),
        ('{"training": ["lamp"]}', "expected a mapping with keys"),
        ('{"train": "lamp"}', "a list of names under 'train'"),
        ('{"train": [1]}', "a list of names under 'train'"),
        ('{"train": ["lamp"], "test": ["lamp"]}', "lamp is listed twice"),
        ('{"train": ["sofa"]}', "1 listed objects are not in the input, sofa"),
    ],
)
def test_a_bad_split_file_is_named(tmp_path, text, message):
    (tmp_path / "split.json").write_text(text)
    with pytest.raises(FormatError, match=message) as caught:
        mesh_splits.assign_splits(["lamp"], str(tmp_path / "split.json"), ())
    assert "split.json" in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        {"polar_range": ["10", "190"]},
        {"polar_range": ["170", "10"]},
        {"polar_range": ["10"]},
        {"polar_range": ["nan", "90"]},
        {"radius_range": ["0.1", "4"]},
        {"radius_range": ["a", "4"]},
        {"held_out": ["0.6", "0.5"], "split_file": None},
        {"held_out": ["nan", "0.5"], "split_file": None},
        {"held_out": ["0.5"], "split_file": None},
    ],
)
def test_a_bad_range_is_named_and_nothing_is_written(meshes, change):
    with pytest.raises(ValueError, match=f"--{next(iter(change))}"):
        make(meshes, **change)
    assert not (meshes / "out").exists()


def test_validation_may_be_larger_than_test(meshes):
    make(meshes, split_file=None, held_out=["0.3", "0.1"])


def test_meshes_are_named_by_their_path(meshes):
    found = mesh_folder.find_meshes([str(meshes / "in")])
    assert list(found) == ["chair__a", "chair__b", "lamp"]
    single = mesh_folder.find_meshes([str(meshes / "in/lamp.obj")])
    assert list(single) == ["lamp"]
    again = mesh_folder.find_meshes([str(meshes / "in"), str(meshes / "in/lamp.obj")])
    assert again == found
    (meshes / "in/lamp.ply").write_bytes(b"ply")
    with pytest.raises(ValueError, match="are both called lamp"):
        mesh_folder.find_meshes([str(meshes / "in")])
    (meshes / "in/lamp.ply").unlink()
    with pytest.raises(FileNotFoundError, match="no such file"):
        mesh_folder.find_meshes([str(meshes / "none")])
    (meshes / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="no mesh"):
        mesh_folder.find_meshes([str(meshes / "empty")])


def test_a_wanted_split_is_never_empty_and_no_object_is_in_two():
    for count in (3, 5, 24, 200):
        names = [f"object{i}" for i in range(count)]
        splits = mesh_splits.assign_splits(names, None, (0.1, 0.1))
        assert sorted(sum(splits.values(), [])) == sorted(names)
        assert set(splits) == {"train", "validation", "test"}
        assert len(splits["test"]) == max(1, round(0.1 * count))
    with pytest.raises(ValueError, match="leave none"):
        mesh_splits.assign_splits(["a", "b"], None, (0.1, 0.1))


def test_rendernets_split_of_some_names_stays_what_it_was():
    names = [f"object{k}" for k in range(40)]
    splits = mesh_splits.assign_splits(names, None, (0.2, 0.1))
    assert splits["test"] == ["object23", "object24", "object3", "object5"]
    digest = hashlib.sha256(json.dumps(splits).encode()).hexdigest()
    assert digest.startswith("95113eab5e0946c7")


def test_shares_are_held_out_of_every_class():
    counts = {"chair": 40, "lamp": 10, "sofa": 3, "rifle": 2, "car": 1}
    classes = {f"{c}{k}": c for c, count in counts.items() for k in range(count)}
    splits = mesh_splits.assign_splits(classes, None, (0.2, 0.1), classes)
    assert sorted(sum(splits.values(), [])) == sorted(classes)
    held = {
        split: [sum(classes[n] == c for n in splits[split]) for c in counts]
        for split in mesh_splits.SPLITS
    }
    assert held["test"] == [4, 1, 1, 1, 0]
    assert held["validation"] == [8, 2, 1, 0, 0]
    assert held["train"] == [28, 7, 1, 1, 1]
    # A class is split as if it were alone, in the order of the hash.
    chairs = [name for name in classes if classes[name] == "chair"]
    alone = mesh_splits.assign_splits(chairs, None, (0.2, 0.1))
    for split, listed in alone.items():
        assert [n for n in splits[split] if n in chairs] == listed
    few = {"a": "x", "b": "x", "c": "y"}
    with pytest.raises(ValueError, match="validation would be empty"):
        mesh_splits.assign_splits(few, None, (0.1, 0.1), few)
    found = mesh_splits.assign_splits(few, None, (0.4, 0.0), few)
    assert len(found["validation"]) == 1 and "c" in found["train"]


def test_a_split_of_an_earlier_run_is_not_left_beside_the_new_ones(tmp_path):
    (tmp_path / "validation.json").write_text("{}")
    with pytest.raises(ValueError, match="earlier run"):
        mesh_splits.check_output(str(tmp_path), {"train": [], "test": []})
    mesh_splits.check_output(str(tmp_path), {"train": [], "validation": []})
    (tmp_path / "x_test_images.npz").write_bytes(b"")
    with pytest.raises(ValueError, match="x_test_images.npz: a split of an earlier"):
        mesh_splits.check_output(str(tmp_path), {"train": [], "validation": []})


def test_a_mesh_without_extent_is_named(tmp_path):
    path = tmp_path / "point.obj"
    path.write_text("v 1 1 1\nv 1 1 1\nv 1 1 1\nf 1 2 3\n")
    with pytest.raises(FormatError, match="point.obj"):
        generation.draw_object(
            str(path), "point", generation.ViewSettings(resolution=8)
        )


def test_the_program_draws_with_its_default_flags(meshes):
    done = programs.launch(
        "tools.render_dataset",
        f"--input={meshes}/in/lamp.obj,{meshes}/in/chair",
        f"--output={meshes}/out",
        *("--resolution=8", "--views=1", "--held_out=0,0"),
    )
    assert done.returncode == 0, done.stderr
    assert "train: 3 pictures of 3 objects" in done.stdout
    assert {row[3] for row in rows(meshes / "out", "train")} == {"a", "b", "lamp"}


@pytest.fixture
def classed(tmp_path):
    """Three meshes in the folders of two classes."""
    for k, name in enumerate(("chair/a", "chair/b", "lamp/a")):
        write_hook(tmp_path / "in" / f"{name}.obj", 1.0 + k)
    splits = {"train": ["chair__a", "lamp__a"], "test": ["chair__b"]}
    (tmp_path / "split.json").write_text(json.dumps(splits))
    return tmp_path


def make_views(folder, **flags):
    given = {"split_file": str(folder / "split.json"), **flags}
    return make(folder, **{**programs.RENDER_VIEWS, **given})


def objects_of(folder, split):
    stream = records.record_stream(
        str(folder), split, shuffle=False, cycle=False, schema=view_examples.SCHEMA
    )
    found = map(view_examples.decode_arrays, stream.as_numpy_iterator())
    return {item.object_id: item for item in found}


def test_views_of_every_object_and_of_its_variants_when_it_trains(classed, capsys):
    out = make_views(classed, augment=1)
    found = objects_of(out, "train")
    assert set(found) == {"chair__a", "chair__a~1", "lamp__a", "lamp__a~1"}
    assert {item.class_id for item in found.values()} == {"chair", "lamp"}
    assert (found["lamp__a"].images != found["lamp__a~1"].images).any()
    assert set(objects_of(out, "test")) == {"chair__b"}
    split = pipeline.metadata(str(out), "train")
    assert split.metadata["objects"] == ["chair__a", "lamp__a"]
    assert pipeline.classes_of(str(out), "test") == ["chair"]
    printed = capsys.readouterr().out
    assert "train: 96 pictures of 2 objects (chair 1, lamp 1)\n" in printed
    settings = view_generation.ViewSettings(supersample=1, augment=1)
    alone = view_generation.draw_object(
        str(classed / "in/lamp/a.obj"), "lamp__a", settings, 1
    )
    np.testing.assert_array_equal(alone.images, found["lamp__a~1"].images)


def test_the_published_layout_holds_the_same_views(classed):
    first = objects_of(make_views(classed), "train")
    folder = make_views(classed, layout="legacy", output=str(classed / "npz"))
    assert sorted(path.name for path in folder.iterdir()) == [
        "chair_test_images.npz",
        "chair_test_voxels.npz",
        "chair_train_images.npz",
        "chair_train_voxels.npz",
        "lamp_train_images.npz",
        "lamp_train_voxels.npz",
    ]
    published.convert(str(folder), str(classed / "again"))
    again = objects_of(classed / "again", "train")
    for ours, theirs in (("chair__a", "chair"), ("lamp__a", "lamp")):
        item = again[f"{theirs}/train/00000"]
        np.testing.assert_array_equal(item.images, first[ours].images)
        np.testing.assert_array_equal(item.voxels, first[ours].voxels)


def test_classes_come_from_a_file_or_from_folders(classed):
    text = "chair__a\tthing\nchair__b\tthing\tmore\nlamp__a\tlight\n"
    (classed / "classes.tsv").write_text(text)
    out = make_views(classed, class_file=str(classed / "classes.tsv"))
    assert objects_of(out, "train")["lamp__a"].class_id == "light"
    for broken, message in (
        ("lamp__a\n", "got 'lamp__a'"),
        ("", "chair__a has no class"),
    ):
        (classed / "classes.tsv").write_text(broken)
        with pytest.raises(FormatError, match=message):
            make_views(classed, class_file=str(classed / "classes.tsv"))
    write_hook(classed / "in/loose.obj")
    (classed / "split.json").write_text('{"train": ["chair__a", "loose"]}')
    with pytest.raises(
        FormatError, match="loose has no class; expected it in a folder"
    ):
        make_views(classed, output=str(classed / "none"))
    assert not (classed / "none").exists()


def test_a_flag_of_the_other_system_is_refused(classed):
    with pytest.raises(ValueError, match="--views is for --system=rendernet"):
        make_views(classed, views=3)
    for change in ({"augment": 1}, {"class_file": "x"}):
        with pytest.raises(ValueError, match="is for --system=mesh_reconstruction"):
            make(classed, **change)


def test_held_out_shares_and_counts_are_those_of_each_class(classed, capsys):
    make_views(classed, split_file=None, held_out=["0", "0.5"])
    printed = capsys.readouterr().out
    assert "train: 48 pictures of 2 objects (chair 1, lamp 1)\n" in printed
    assert "test: 24 pictures of 1 objects (chair 1)\n" in printed


def test_variants_and_objects_are_not_confused(classed):
    with pytest.raises(ValueError, match="--augment: expected --layout=records"):
        make_views(classed, augment=1, layout="legacy")
    write_hook(classed / "in/chair/c~1.obj")
    make_views(classed)  # it is not among the objects listed
    with pytest.raises(ValueError, match=r"c~1\.obj: expected a name without ~"):
        make_views(classed, split_file=None, held_out=["0", "0"], output="none")


def test_an_object_too_thin_to_be_seen_stops_or_is_left_out(classed, capsys):
    thread = "v 0 -1 0\nv 0.0001 1 0\nv 0 1 0.0001\nf 1 2 3\n"
    (classed / "in/lamp/a.obj").write_text(thread)
    with pytest.raises(FormatError, match=r"a\.obj: .* lamp__a has an empty mask"):
        make_views(classed)
    out = make_views(classed, skip_broken=True)
    assert set(objects_of(out, "train")) == {"chair__a"}
    assert "(chair 1), 1 broken meshes left out" in capsys.readouterr().out


def test_a_broken_mesh_of_a_class_stops_or_is_left_out(classed, capsys):
    (classed / "in/lamp/a.obj").write_text("v 0 0 0\n")
    for layout in ("records", "legacy"):
        output = str(classed / layout)
        with pytest.raises(FormatError, match=r"lamp/a\.obj"):
            make_views(classed, layout=layout, output=output)
        out = make_views(classed, layout=layout, output=output, skip_broken=True)
        assert "1 broken meshes left out" in capsys.readouterr().out
    assert pipeline.classes_of(str(classed / "records"), "train") == ["chair"]
    assert not list(out.glob("lamp*"))
