"""Batches of the trainer of mesh reconstruction."""

import numpy as np
import pytest

from datasets import records
from datasets.mesh_reconstruction import examples, generation, pipeline, views
from tests.datasets.objects import noise_object, write_objects
from tests.datasets.shapes import write_hook, write_records
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


@pytest.fixture(scope="module")
def hook(tmp_path_factory):
    """Records of one object without symmetry, and its voxels."""
    folder = tmp_path_factory.mktemp("hook")
    write_hook(folder / "hook.obj")
    settings = generation.ViewSettings(supersample=2)
    drawn = generation.draw_object(str(folder / "hook.obj"), "hook", settings)
    with records.RecordWriter(str(folder), "train", 1, examples.SCHEMA) as writer:
        writer.write(examples.encode_example(*drawn, "x", "hook"))
        writer.metadata["classes"] = ["x"]
    return str(folder), drawn.voxels


def iou(first, second):
    return (first & second).sum() / (first | second).sum()


def test_a_mirrored_example_shows_the_mirrored_object(hook):
    folder, voxels = hook
    (plain,) = batches(folder, 1, 128, seed=4)
    (found,) = batches(folder, 1, 128, seed=4, mirror=True)
    mirrored = (found["azimuth_a"] != plain["azimuth_a"]) | (
        found["azimuth_b"] != plain["azimuth_b"]
    )
    assert 0.35 < mirrored.mean() < 0.65
    grids = {False: voxels, True: voxels[::-1]}
    for side in "ab":
        image, azimuth = plain[f"image_{side}"], plain[f"azimuth_{side}"]
        want = np.where(mirrored[:, None, None, None], image[:, :, ::-1], image)
        np.testing.assert_array_equal(found[f"image_{side}"], want)
        want = np.where(mirrored, -azimuth, azimuth)
        np.testing.assert_array_equal(found[f"azimuth_{side}"], want)
        right, wrong = [], []
        for k in range(10):
            mask = found[f"image_{side}"][k, ..., 3] > 0.5
            angle = found[f"azimuth_{side}"][k]
            for flag, own in ((mirrored[k], right), (not mirrored[k], wrong)):
                own.append(iou(mask, views.voxel_silhouette(grids[bool(flag)], angle)))
        assert min(right) > 0.78 and np.mean(wrong) < 0.6


def test_jitter_changes_the_colour_alike_in_both_pictures(hook):
    folder, _ = hook
    (plain,) = batches(folder, 1, 16, seed=4)
    (found,) = batches(folder, 1, 16, seed=4, jitter=0.3)
    factors = {}
    for side in "ab":
        before, after = plain[f"image_{side}"], found[f"image_{side}"]
        np.testing.assert_array_equal(after[..., 3], before[..., 3])
        np.testing.assert_array_equal(found["azimuth_a"], plain["azimuth_a"])
        assert (after[..., :3] <= after[..., 3:]).all()
        free = (before[..., :3] > 0) & (after[..., :3] < after[..., 3:])
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(free, after[..., :3] / before[..., :3], np.nan)
        factors[side] = np.nanmedian(ratio, (1, 2))
        spread = ratio - factors[side][:, None, None]
        assert np.nanmax(np.abs(spread)) < 1e-5
    np.testing.assert_allclose(factors["a"], factors["b"], atol=1e-5)
    assert (np.abs(factors["a"] - 1.0) <= 0.3 + 1e-5).all()
    assert np.ptp(factors["a"], 0).min() > 0.2 and np.ptp(factors["a"], 1).min() > 0.001


def test_the_draws_of_a_seed_stay_what_they_were(folder):
    (batch,) = batches(folder, 1, 8, seed=3)
    (same,) = batches(folder, 1, 8, seed=3, mirror=False, jitter=0.0)
    assert told(batch["image_a"]).tolist() == [
        *([1, 16], [3, 13], [0, 0], [3, 18], [2, 16], [0, 0], [3, 12], [3, 1]),
    ]
    assert (batch["azimuth_b"] / 15).tolist() == [17, 21, 13, 17, 5, 13, 14, 11]
    for name, value in batch.items():
        np.testing.assert_array_equal(value, same[name])


def test_a_split_is_read_once_until_it_is_written_anew(tmp_path, monkeypatch):
    folder = write_objects(tmp_path / "in", {"chair": 2})
    first = pipeline.load(folder, "train")
    assert pipeline.load(folder, "train", ["chair"]).images is first.images
    monkeypatch.chdir(tmp_path)
    again = pipeline.load("in", "train")
    assert again.images is first.images
    again.objects.clear()
    assert pipeline.objects_of(folder, "train") == ["chair__00", "chair__01"]
    (tmp_path / "in/train.json").unlink()
    write_objects(folder, {"chair": 1}, first=1)
    assert pipeline.objects_of(folder, "train") == ["chair__01"]


def test_one_object_in_two_splits_is_named(tmp_path):
    folder = write_objects(tmp_path, {"chair": 3})
    write_objects(tmp_path, {"chair": 3}, "test", first=1)
    write_objects(tmp_path, {"chair": 1}, "validation", first=7)
    message = "splits train and test; 2 are in both, chair__01 the first"
    with pytest.raises(ValueError, match=message):
        pipeline.check_disjoint(folder, "train", "test")
    pipeline.check_disjoint(folder, "train", "validation")
    pipeline.check_disjoint(folder, "train", "train")
    sidecar = tmp_path / "test.json"
    sidecar.write_text(sidecar.read_text().replace('"objects"', '"others"'))
    pipeline.check_disjoint(folder, "train", "test")


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
