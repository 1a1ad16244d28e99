"""Batches of DRWR."""

import itertools

import numpy as np
import pytest

from datasets.drwr import memory, pipeline, truth
from tests.datasets.drwr_objects import disc_object, write_objects
from tfrender import io


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("records")
    write_objects(folder, {"lamp": 2, "chair": 3}, views=5, points=40)
    write_objects(folder, {"chair": 1, "lamp": 1}, "test", first=10, views=5)
    return str(folder)


def batches(folder, count, size=2, **settings):
    settings = {"views": 3, "input_size": 16, **settings}
    stream = pipeline.training_batches(folder, size, **settings)
    return list(itertools.islice(stream.as_numpy_iterator(), count))


def number_of(batch, *place):
    """Number of the object that a picture shows."""
    return int(round(batch["image"][place][8, 8, 0] * 255))


def views_of(batch):
    """Numbers of the views that the pictures show."""
    return np.rint(batch["image"][:, :, 0, 0, 0] * 255).astype(int)


@pytest.mark.parametrize("in_memory", [True, False])
def test_every_field_is_that_of_object_and_view(folder, in_memory):
    names = pipeline.objects_of(folder, "train")
    assert names == ["chair/02", "chair/03", "chair/04", "lamp/00", "lamp/01"]
    for batch in batches(folder, 5, samples=7, in_memory=in_memory):
        assert batch["image"].shape == (2, 3, 16, 16, 3)
        np.testing.assert_array_equal(views_of(batch), batch["view"])
        for b in range(2):
            class_id, number = names[batch["object_index"][b]].split("/")
            item = disc_object(int(number), class_id, views=5, points=40)
            assert number_of(batch, b, 0) == int(number)
            for s, view in enumerate(batch["view"][b]):
                np.testing.assert_array_equal(
                    batch["mask"][b, s, ..., 0], item.masks[view]
                )
                np.testing.assert_allclose(
                    batch["distance"][b, s, ..., 0] ** 2,
                    item.squared_distance[view],
                    rtol=1e-5,
                )
                np.testing.assert_array_equal(
                    batch["world_to_camera"][b, s], item.world_to_camera[view]
                )
                stored = item.samples[view]
                near = np.abs(batch["samples"][b, s, :, None] - stored).max(-1)
                assert (near.min(1) < 1e-4).all()
                assert len(set(near.argmin(1).tolist())) == 7  # none twice
        assert {v.dtype.name for v in batch.values()} == {"float32", "int32"}


def test_packed_and_decoded_data_give_the_same_batches(folder):
    settings = {"samples": 4, "input_size": 12}
    pairs = zip(
        batches(folder, 3, in_memory=True, **settings),
        batches(folder, 3, in_memory=False, **settings),
        strict=True,
    )
    for first, second in pairs:
        assert first["image"].shape[2:] == (12, 12, 3)
        for name in first:
            np.testing.assert_array_equal(first[name], second[name], err_msg=name)


def test_element_k_depends_on_seed_and_k_alone(folder):
    straight = batches(folder, 6, seed=3)
    resumed = batches(folder, 3, seed=3, start=6)
    others = batches(folder, 12, size=1, seed=3)
    for k, batch in enumerate(straight):
        if k >= 3:
            np.testing.assert_array_equal(batch["view"], resumed[k - 3]["view"])
            np.testing.assert_array_equal(batch["image"], resumed[k - 3]["image"])
        for b in range(2):
            other = others[2 * k + b]
            np.testing.assert_array_equal(batch["view"][b], other["view"][0])
    assert any(
        (a["view"] != b["view"]).any()
        for a, b in zip(straight, batches(folder, 6, seed=4), strict=True)
    )


def test_an_epoch_shows_every_object_once(folder):
    found = [b["object_index"][0] for b in batches(folder, 15, size=1)]
    epochs = [found[k : k + 5] for k in (0, 5, 10)]
    assert all(sorted(epoch) == [0, 1, 2, 3, 4] for epoch in epochs)
    assert epochs[0] != epochs[1] or epochs[1] != epochs[2]


def test_every_view_becomes_the_input_and_none_comes_twice(folder):
    """A13 of the reference: over 200 batches."""
    views = np.concatenate([b["view"] for b in batches(folder, 200)])
    counts = np.bincount(views[:, 0], minlength=5)
    assert len(counts) == 5 and counts.min() > 40
    assert all(len(set(row)) == 3 for row in views.tolist())
    fixed = batches(folder, 4, random_views=False)
    assert all((b["view"] == [0, 1, 2]).all() for b in fixed)
    few = np.concatenate([b["view"] for b in batches(folder, 20, views_to_use=3)])
    assert set(few.ravel().tolist()) == {0, 1, 2}


def test_evaluation_shows_every_object_once_with_all_views(folder):
    stream = pipeline.evaluation_batches(folder, "train", 2, input_size=16)
    assert int(stream.cardinality()) == 3
    found = list(stream.as_numpy_iterator())
    assert [len(b["image"]) for b in found] == [2, 2, 1]
    index = np.concatenate([b["object_index"] for b in found])
    np.testing.assert_array_equal(index, range(5))
    assert [number_of(found[i // 2], i % 2, 0) for i in range(5)] == [2, 3, 4, 0, 1]
    assert all((b["view"] == range(5)).all() for b in found)
    (two,) = pipeline.evaluation_batches(
        folder, "train", 9, input_size=16, classes=["lamp"], views_to_use=2
    )
    assert two["image"].shape == (2, 2, 16, 16, 3)


def test_truth_comes_with_its_object(folder, tmp_path):
    for number, name in enumerate(pipeline.objects_of(folder, "test")):
        points = np.full([50, 3], float(number)) + np.arange(50.0)[:, None] / 100
        if number:
            io.write_mat(tmp_path / f"{name}.mat", {"points": points})
        else:
            truth.write(tmp_path / f"{name}.npz", points)
    settings = {"input_size": 8, "truth_dir": str(tmp_path), "truth_points": 20}
    (batch,) = pipeline.evaluation_batches(folder, "test", 4, **settings)
    found = batch["truth"].numpy()
    assert found.shape == (2, 20, 3) and found.dtype == np.float32
    assert (np.floor(found) == [[[0]], [[1]]]).all()
    assert len(np.unique(found[0, :, 0])) == 20
    (again,) = pipeline.evaluation_batches(folder, "test", 4, **settings)
    np.testing.assert_array_equal(again["truth"], found)
    with pytest.raises(
        ValueError, match=r"5 objects; missing 5: chair/02, .*04, \.\.\."
    ):
        pipeline.evaluation_batches(folder, "train", 4, **settings)
    with pytest.raises(FileNotFoundError, match="no such folder of point clouds"):
        pipeline.evaluation_batches(
            folder, "test", 4, input_size=8, truth_dir=str(tmp_path / "none")
        )


@pytest.mark.parametrize(
    ("points", "words"),
    [
        (np.zeros([0, 3]), r"points \[M, 3\], M at least 1; got \[0, 3\]"),
        (np.zeros([4, 2]), r"got \[4, 2\]"),
        (np.full([4, 3], np.nan), "finite numbers in points"),
    ],
)
def test_broken_truth_is_named(tmp_path, points, words):
    path = truth.path_of(str(tmp_path), "a/b")
    truth.write(path, points)
    with pytest.raises(io.FormatError, match=rf"b\.npz: expected .*{words}"):
        truth.read(path)
    np.savez(path, cloud=points)
    with pytest.raises(io.FormatError, match="expected the array points; got cloud"):
        truth.read(path)


def test_settings_that_the_records_do_not_allow_are_named(folder):
    for settings, words in (
        ({"views": 6}, "`views`"),
        ({"views": 3, "views_to_use": 2}, "`views`"),
        ({"views_to_use": 9}, "`views_to_use`"),
        ({"samples": 41}, "`samples` must be at most 40"),
        (
            {"split": "test", "samples": 1},
            "`samples` must be at most 0.*--sample_points",
        ),
        ({"classes": ["car"]}, "split train: no class 'car'; there are chair, lamp"),
        ({"split": "none"}, "no such split"),
        ({"input_size": 0}, "`input_size`"),
    ):
        with pytest.raises((ValueError, FileNotFoundError), match=words):
            batches(folder, 1, **settings)


def test_splits_with_the_same_object_are_refused(folder, tmp_path):
    pipeline.check_disjoint(folder, "train", "test")
    pipeline.check_disjoint(folder, "train", "train")
    for split in ("train", "test"):
        write_objects(tmp_path, {"chair": 1}, split)
    with pytest.raises(ValueError, match="1 are in both, chair/00 the first"):
        pipeline.check_disjoint(str(tmp_path), "train", "test")


def test_data_that_were_made_anew_are_read_again(tmp_path):
    write_objects(tmp_path, {"chair": 1})
    assert number_of(batches(str(tmp_path), 1, 1)[0], 0, 0) == 0
    for path in tmp_path.iterdir():
        path.unlink()
    write_objects(tmp_path, {"chair": 1}, first=5)
    assert number_of(batches(str(tmp_path), 1, 1)[0], 0, 0) == 5


def test_what_is_decoded_is_decided_by_the_size(folder, monkeypatch):
    form = pipeline.form_of(folder, "train")
    assert memory.decoded_bytes(5, form, 8) == 25 * (3 * 64 + 3 * 256 + 160)
    kinds = []
    original = memory.load_store
    monkeypatch.setattr(
        *(memory, "load_store"), lambda *a: kinds.append(a[5]) or original(*a)
    )
    batches(folder, 1)
    monkeypatch.setattr(memory, "DECODED_BYTES", 1000)
    batches(folder, 1)
    assert kinds == [True, False]


def test_a_sidecar_without_its_entries_is_named(folder, tmp_path):
    write_objects(tmp_path, {"chair": 1})
    path = tmp_path / "train.json"
    path.write_text(path.read_text().replace('"sample_points"', '"other"'))
    with pytest.raises(io.FormatError, match="expected the entry sample_points"):
        pipeline.metadata(str(tmp_path), "train")
