"""Batches of the trainer of mesh reconstruction."""

import numpy as np
import pytest

from datasets import records
from datasets.mesh_reconstruction import pipeline
from tests.datasets.objects import noise_object, write_objects
from tests.datasets.shapes import write_records
from tfrender.io import FormatError

CLASSES = {"chair": 3, "03636649": 1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_objects(tmp_path_factory.mktemp("objects"), CLASSES)


def batches(folder, count, batch_size=2, **settings):
    stream = pipeline.training_batches(folder, batch_size, **settings)
    return list(stream.take(count).as_numpy_iterator())


def told(images):
    """Object and view of each picture, from its first pixel."""
    return np.rint(images[:, 0, 0, :2] * 255).astype(int)


@pytest.fixture(scope="module")
def drawn(folder):
    """400 examples."""
    found = batches(folder, 25, 16, seed=3)
    return {name: np.concatenate([b[name] for b in found]) for name in found[0]}


def test_pictures_and_azimuths_belong_together(drawn):
    assert drawn["image_a"].shape == (400, 64, 64, 4)
    assert drawn["image_a"].dtype == drawn["azimuth_a"].dtype == np.float32
    for side in "ab":
        numbers, views = told(drawn[f"image_{side}"]).T
        np.testing.assert_array_equal(drawn[f"azimuth_{side}"], 15.0 * views)
        # Objects 0 to 2 are chairs, object 3 is a lamp; classes are sorted.
        np.testing.assert_array_equal(drawn["class_index"], numbers < 3)
    first = told(drawn["image_a"])[5]
    expected = noise_object(first[0])[0][first[1]] / np.float32(255)
    np.testing.assert_allclose(drawn["image_a"][5], expected, atol=1e-6)


def test_both_pictures_show_one_object_from_independent_views(drawn):
    a, b = told(drawn["image_a"]), told(drawn["image_b"])
    np.testing.assert_array_equal(a[:, 0], b[:, 0])
    same = (a[:, 1] == b[:, 1]).mean()
    assert 0.005 < same < 0.12  # 1 in 24
    assert set(a[:, 1]) == set(b[:, 1]) == set(range(24))


def test_classes_are_uniform_and_so_are_the_objects_of_a_class(drawn):
    counts = np.bincount(told(drawn["image_a"])[:, 0], minlength=4) / 400
    # Half for the only lamp; four standard deviations.
    np.testing.assert_allclose(counts, [1 / 6, 1 / 6, 1 / 6, 1 / 2], atol=0.1)


@pytest.mark.parametrize("start", [2, 6])
def test_a_stream_started_later_is_the_tail_whatever_the_batch(folder, start):
    whole = batches(folder, 8, 1, seed=5)
    later = batches(folder, 4 - start // 2, 2, seed=5, start=start)
    for k, batch in enumerate(later):
        for name, value in batch.items():
            for i in range(2):
                other = whole[start + 2 * k + i][name][0]
                np.testing.assert_array_equal(value[i], other)
    other = batches(folder, 8, 1, seed=6)
    pairs = zip(whole, other, strict=True)
    assert any(a["azimuth_a"] != b["azimuth_a"] for a, b in pairs)


def test_the_order_of_the_shards_has_no_say(tmp_path, folder, drawn):
    other = write_objects(tmp_path, CLASSES, shard_records=1)
    (batch,) = batches(other, 1, 16, seed=3)
    np.testing.assert_array_equal(batch["image_b"], drawn["image_b"][:16])
    objects = pipeline.objects_of(folder, "train")
    assert objects == ["03636649__03", "chair__00", "chair__01", "chair__02"]


def test_chosen_classes_are_numbered_as_they_are_asked_for(folder):
    (batch,) = batches(folder, 1, 32, classes=["chair"])
    assert not batch["class_index"].any()
    assert set(told(batch["image_a"])[:, 0]) == {0, 1, 2}
    (batch,) = batches(folder, 1, 32, classes=["chair", "lamp"])
    np.testing.assert_array_equal(
        batch["class_index"], told(batch["image_a"])[:, 0] == 3
    )
    assert pipeline.classes_of(folder, "train") == ["03636649", "chair"]
    with pytest.raises(ValueError, match="no class 'sofa'"):
        batches(folder, 1, classes=["sofa"])


def test_evaluation_shows_every_view_of_every_object_once(folder):
    stream = pipeline.evaluation_batches(folder, "train", 40)
    assert stream.cardinality() == 3
    found = list(stream.as_numpy_iterator())
    assert [len(batch["view"]) for batch in found] == [40, 40, 16]
    rows = {k: np.concatenate([batch[k] for batch in found]) for k in found[0]}
    assert all(value.dtype.kind in "uif" for value in rows.values())
    np.testing.assert_array_equal(rows["object_index"], np.repeat(range(4), 24))
    np.testing.assert_array_equal(rows["view"], np.tile(range(24), 4))
    np.testing.assert_array_equal(rows["class_index"], rows["object_index"] > 0)
    numbers = np.array([3, 0, 1, 2])[rows["object_index"]]
    np.testing.assert_array_equal(told(rows["image"]).T, [numbers, rows["view"]])
    other = (rows["view"] + 9) % 24
    np.testing.assert_array_equal(told(rows["image_other"]).T, [numbers, other])
    np.testing.assert_array_equal(rows["azimuth"], 15.0 * rows["view"])
    np.testing.assert_array_equal(rows["azimuth_other"], 15.0 * other)
    assert rows["voxels"].dtype == np.uint8
    for row in (0, 30, 95):
        np.testing.assert_array_equal(
            rows["voxels"][row], noise_object(numbers[row])[1]
        )


def test_evaluation_of_some_views_and_classes(folder):
    (batch,) = pipeline.evaluation_batches(
        folder, "train", 99, classes=["lamp"], views=[18, 0]
    ).as_numpy_iterator()
    assert batch["view"].tolist() == [18, 0] and batch["object_index"].tolist() == [
        0,
        0,
    ]
    assert batch["class_index"].tolist() == [0, 0]
    for wrong in ([], [24], [-1]):
        with pytest.raises(ValueError, match=r"`views` must be numbers in 0\.\.23"):
            pipeline.evaluation_batches(folder, "train", 1, views=wrong)


def test_other_data_and_damaged_ones_are_named(tmp_path):
    write_records(tmp_path / "rendernet", count=1)
    with pytest.raises(FormatError, match="expected schema mesh_reconstruction"):
        pipeline.metadata(str(tmp_path / "rendernet"), "train")
    with pytest.raises(FileNotFoundError, match="no such split"):
        batches(str(tmp_path / "rendernet"), 1, split="test")
    folder = write_objects(tmp_path / "in", {"chair": 1})
    sidecar = tmp_path / "in/train.json"
    text = sidecar.read_text()
    sidecar.write_text(text.replace('"classes"', '"kinds"'))
    with pytest.raises(FormatError, match="expected a list of classes"):
        batches(folder, 1)
    sidecar.write_text(text.replace('"chair"', '"table"'))
    with pytest.raises(FormatError, match="no object of class table"):
        batches(folder, 1)
    sidecar.write_text(text)
    shard = next((tmp_path / "in").glob("*.tfrecord"))
    data = bytearray(shard.read_bytes())
    data[-9] ^= 1
    shard.write_bytes(data)
    with pytest.raises(FormatError, match=shard.name), records.naming_errors(folder):
        batches(folder, 1)
