"""The TFDS builder of DRWR."""

import numpy as np
import pytest

from tests.datasets.drwr_objects import disc_object, write_objects

tfds = pytest.importorskip("tensorflow_datasets")


def build(manual, target):
    from datasets import drwr

    builder = drwr.Builder(data_dir=str(target))
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(manual_dir=str(manual))
    )
    return builder


def test_records_become_a_tfds_data_set(tmp_path):
    write_objects(tmp_path / "in", {"chair": 1, "lamp": 1}, depth=True)
    write_objects(tmp_path / "in", {"chair": 1}, "test", first=3)
    builder = build(tmp_path / "in", tmp_path / "out")
    counts = {name: s.num_examples for name, s in builder.info.splits.items()}
    assert counts == {"train": 6, "test": 3}
    for row in builder.as_dataset("train").as_numpy_iterator():
        class_id, number = row["object"].decode().split("/")
        item, view = disc_object(int(number), class_id, depth=True), row["view"]
        assert row["class"].decode() == class_id
        np.testing.assert_array_equal(row["image"], item.images[view])
        np.testing.assert_array_equal(row["mask"][..., 0] == 255, item.masks[view])
        np.testing.assert_allclose(row["depth"][..., 0], item.depth[view], atol=1e-4)
        square = row["distance"][..., 0] ** 2
        np.testing.assert_allclose(square, item.squared_distance[view], rtol=1e-5)
        np.testing.assert_array_equal(row["projection"], item.projection[view])
    for row in builder.as_dataset("test").as_numpy_iterator():
        assert not row["depth"].any()


def test_folders_without_records_and_shared_objects_are_named(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/readme.txt").write_text("no data")
    with pytest.raises(FileNotFoundError, match="expected SPLIT.json"):
        build(tmp_path / "empty", tmp_path / "a")
    for split in ("train", "test"):
        write_objects(tmp_path / "twice", {"chair": 1}, split)
    with pytest.raises(ValueError, match="1 are in both, chair/00 the first"):
        build(tmp_path / "twice", tmp_path / "b")
