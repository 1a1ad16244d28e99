"""Claims of datasets.dvr.pipeline, examples, memory and sampling."""

import numpy as np
import pytest

from datasets import records
from datasets.dvr import examples, layouts, pipeline, views
from tests.datasets.dvr_scenes import write_ball
from tests.tools import dvr_programs
from tfrender.io import FormatError

VIEWS = 4
SMALL = (6, 8)


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """Records of a scene: views 0, 2, 3 for training, view 1 held out."""
    folder = tmp_path_factory.mktemp("scene")
    truth = write_ball(folder / "in", VIEWS, SMALL, sparse=True)
    dvr_programs.make_records(folder / "in", folder / "out", held_out_views=["1"])
    dvr_programs.make_records(
        folder / "in", folder / "listed", held_out_views=["1", "3"]
    )
    return str(folder / "out"), str(folder / "listed"), truth


@pytest.fixture(scope="module")
def objects(tmp_path_factory):
    """Records of six objects of two classes with inputs of their own."""
    folder = tmp_path_factory.mktemp("objects")
    for number in range(6):
        name = f"in/{'chair' if number < 4 else 'lamp'}/{number}"
        write_ball(folder / name, 2 + number % 2, SMALL, None, None, inputs=3)
    dvr_programs.make_records(folder / "in", folder / "out", shard_records=2)
    return str(folder / "out")


def take(stream, count):
    return list(stream.take(count).as_numpy_iterator())


def same(first, second):
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)


@pytest.mark.parametrize("in_memory", [True, False])
def test_batches_of_a_scene_hold_what_was_drawn(scene, in_memory):
    folder, _, (camera, images, masks, depths) = scene
    stream = pipeline.training_batches(folder, 3, in_memory=in_memory)
    (batch,) = take(stream, 1)
    order = batch["view"]
    assert sorted(order.tolist()) == [0, 1, 3]  # view 2 is held out
    np.testing.assert_array_equal(batch["image"], np.float32(images[order]) / 255)
    np.testing.assert_array_equal(batch["mask"][..., 0], masks[order])
    np.testing.assert_allclose(batch["depth"][..., 0], depths[order], atol=1e-5)
    np.testing.assert_allclose(
        batch["world_to_camera"], camera[0].numpy()[order], atol=2e-6
    )
    np.testing.assert_array_equal(batch["object_id"], 0)
    count = batch["sparse_mask"].sum(-1)
    np.testing.assert_array_equal(count, order + 2)
    assert batch["sparse_points"].shape == (3, 5, 3)  # the most of a view
    assert batch["sparse_pixels"].shape == (3, 5, 2)
    empty = batch["sparse_mask"] == 0
    assert not batch["sparse_depth"][empty].any()
    assert (batch["sparse_depth"][~empty] > 1.0).all()
    assert not {"input", "hull_depth"} & set(batch)


@pytest.mark.parametrize("in_memory", [True, False])
def test_a_stream_can_start_anywhere(objects, in_memory):
    settings = {"in_memory": in_memory, "classes": ["chair"], "seed": 5}
    whole = take(pipeline.training_batches(objects, 2, **settings), 8)
    rest = take(pipeline.training_batches(objects, 2, start=10, **settings), 3)
    for first, second in zip(whole[5:], rest, strict=True):
        same(first, second)
    other = take(pipeline.training_batches(objects, 2, **{**settings, "seed": 6}), 8)
    ids = [[b["object_id"].tolist() for b in part] for part in (whole, other)]
    assert ids[0] != ids[1]


@pytest.mark.parametrize("in_memory", [True, False])
@pytest.mark.parametrize("classes, count", [(None, 6), (["lamp"], 2)])
def test_an_epoch_shows_every_object_once(objects, in_memory, classes, count):
    stream = pipeline.training_batches(
        objects, count, in_memory=in_memory, classes=classes
    )
    names = pipeline.metadata(objects, "train").metadata["objects"]
    shown = [[names[i] for i in b["object_id"]] for b in take(stream, 3)]
    assert len(pipeline.objects_of(objects, "train", classes)) == count
    for epoch in shown:
        assert sorted(epoch) == sorted(pipeline.objects_of(objects, "train", classes))


@pytest.mark.parametrize("in_memory", [True, False])
def test_view_and_input_are_drawn_independently(objects, in_memory):
    stream = pipeline.training_batches(objects, 60, in_memory=in_memory)
    (batch,) = take(stream, 1)
    assert batch["input"].shape == (60, 5, 5, 3)
    level = np.rint(batch["input"][:, 0, 0, 0] * 255 / 20).astype(int)
    assert set(level.tolist()) == {0, 1, 2}
    pairs = {*zip(batch["view"].tolist(), level.tolist(), strict=True)}
    assert {(v, i) for v in (0, 1) for i in range(3)} <= pairs
    assert {2} < set(batch["view"].tolist())


def test_memory_and_disk_hold_the_same(objects, scene):
    for folder, split in ((objects, "train"), (scene[0], "held_out")):
        found = []
        for in_memory in (True, False):
            stream = pipeline.evaluation_batches(folder, split, 4, in_memory=in_memory)
            rows = [
                {name: value[i] for name, value in batch.items()}
                for batch in stream.as_numpy_iterator()
                for i in range(len(batch["view"]))
            ]
            found.append(sorted(rows, key=lambda r: (r["object_id"], r["view"])))
        for first, second in zip(*found, strict=True):
            assert first.keys() == second.keys()
            for name, value in first.items():
                np.testing.assert_allclose(value, second[name], atol=2e-3)


@pytest.mark.parametrize("in_memory", [True, False])
@pytest.mark.parametrize(
    "shown, expected", [("all", 15), ("random", 6), ([1], 6), ([0, 2], 9)]
)
def test_an_evaluation_shows_the_views_asked_for(objects, in_memory, shown, expected):
    stream = pipeline.evaluation_batches(
        objects, "train", 4, views=shown, in_memory=in_memory, input_view=2
    )
    batches = list(stream.as_numpy_iterator())
    assert len(stream) == len(batches) == -(-expected // 4)
    view = np.concatenate([b["view"] for b in batches])
    assert len(view) == expected
    assert isinstance(shown, str) or set(view.tolist()) == set(shown)
    level = np.concatenate([b["input"][:, 0, 0, 0] for b in batches])
    np.testing.assert_allclose(level * 255, 40, atol=0.5)
    again = np.concatenate([b["view"] for b in stream.as_numpy_iterator()])
    np.testing.assert_array_equal(view, again)


def test_wrong_settings_are_told(objects, tmp_path):
    with pytest.raises(ValueError, match="no class 'sofa'.*chair, lamp"):
        pipeline.training_batches(objects, 2, classes=["sofa"])
    with pytest.raises(ValueError, match="`views` must be one of"):
        pipeline.evaluation_batches(objects, "train", 2, views="some")
    with pytest.raises(ValueError, match="`views` must be numbers"):
        pipeline.evaluation_batches(objects, "train", 2, views=[7])
    with pytest.raises(ValueError, match="`input_view` must be in 0..2; got 3"):
        pipeline.evaluation_batches(objects, "train", 2, input_view=3)
    with pytest.raises(FileNotFoundError, match="no such split"):
        pipeline.training_batches(objects, 2, split="test")


def test_splits_that_share_views_or_objects_are_refused(scene, objects):
    folder, listed, _ = scene
    pipeline.check_disjoint(folder, "train", "held_out")
    pipeline.check_disjoint(listed, "train", "held_out")
    assert pipeline.metadata(listed, "held_out").metadata["views"] == {"in/in": [1, 3]}
    pipeline.check_disjoint(folder, "train", "train")


def write_split(folder, split, name, views_=(0,), is_scene=False):
    """A record of nothing whose sidecar is looked at alone."""
    about = {
        "image_size": [2, 2],
        "input_size": 0,
        "inputs": "none",
        **dict.fromkeys(("depth", "hull_depth", "sparse"), False),
        "objects": [name],
        "object_classes": ["a"],
        "view_counts": [len(views_)],
        "views": {name: list(views_)},
        "classes": ["a"],
        "scene": is_scene,
    }
    with records.RecordWriter(folder, split, 1, examples.SCHEMA, about) as writer:
        writer.write(b"x")


def test_shared_objects_and_views_are_named(tmp_path):
    folder = str(tmp_path)
    write_split(folder, "one", "a/x")
    write_split(folder, "two", "a/x", (1,))
    with pytest.raises(ValueError, match="different objects.*1 are in both, a/x"):
        pipeline.check_disjoint(folder, "one", "two")
    write_split(folder, "three", "a/x", (0, 4), is_scene=True)
    write_split(folder, "four", "a/x", (3, 4), is_scene=True)
    with pytest.raises(ValueError, match="different views.*view 4 of a/x"):
        pipeline.check_disjoint(folder, "three", "four")


def test_a_large_split_stays_on_the_disk(objects, monkeypatch):
    assert pipeline.decoded_bytes(objects, "train") == 15 * 6 * 8 * 4 + 18 * 3 * 25
    monkeypatch.setattr(pipeline, "MEMORY_BYTES", 100)
    monkeypatch.setattr(pipeline.memory, "load_store", None)  # would fail
    assert take(pipeline.training_batches(objects, 2), 1)


def test_records_of_another_form_are_refused(tmp_path):
    forms = []
    for name, depth in (("a", "exr"), ("b", None)):
        write_ball(tmp_path / name, 2, SMALL, None, depth)
        item = layouts.find_objects(tmp_path / name)[0]
        read = views.read_object(item, views.Settings(layouts.LAYOUTS["nmr"]))
        forms.append(examples.form_of(read, True))
    assert forms[0].inputs == "images" and forms[0].image_size == SMALL
    examples.check_form(forms[0], forms[0], "a")
    with pytest.raises(FormatError, match="b: expected depth True.*got False"):
        examples.check_form(forms[1], forms[0], "b")


def test_images_serve_as_inputs_without_being_stored_twice(tmp_path):
    for name in ("a", "b"):
        write_ball(tmp_path / "in" / "x" / name, 2, SMALL, None, None)
    out = dvr_programs.make_records(tmp_path / "in", tmp_path / "out", input_size=8)
    for in_memory in (True, False):
        stream = pipeline.evaluation_batches(
            str(out), "train", 4, in_memory=in_memory, input_view=1
        )
        (batch,) = stream.as_numpy_iterator()
        expected = examples.resize_input(
            np.uint8(np.rint(batch["image"] * 255))[batch["view"] == 1], 8
        )
        np.testing.assert_allclose(batch["input"][batch["view"] == 1], expected, 1e-6)
        assert batch["input"].shape == (4, 8, 8, 3)
    record = next(
        iter(records.record_stream(str(out), "train", shuffle=False, cycle=False))
    )
    fields = examples.decode_arrays(record.numpy(), pipeline.form_of(str(out), "train"))
    assert fields["name"].startswith("x/") and fields["class"] == "x"
    assert fields["images"].shape == (2, *SMALL, 3) and "inputs" not in fields
