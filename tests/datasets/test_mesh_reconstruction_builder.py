"""The TFDS builder of mesh reconstruction."""

import numpy as np
import pytest

from datasets.mesh_reconstruction import published
from tests.datasets.objects import noise_object, write_objects
from tfrender import io

tfds = pytest.importorskip("tensorflow_datasets")


def build(manual, target):
    from datasets import mesh_reconstruction

    builder = mesh_reconstruction.Builder(data_dir=str(target))
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(manual_dir=str(manual))
    )
    return builder


def assert_object(row, number):
    images, voxels = noise_object(number)
    np.testing.assert_array_equal(row["images"], images)
    np.testing.assert_array_equal(row["voxels"], voxels)
    np.testing.assert_array_equal(row["azimuth_deg"], 15.0 * np.arange(24))


def test_records_become_a_tfds_data_set(tmp_path):
    write_objects(tmp_path / "in", {"chair": 1, "lamp": 2})
    write_objects(tmp_path / "in", {"chair": 1}, "test", first=3)
    builder = build(tmp_path / "in", tmp_path / "out")
    counts = {name: s.num_examples for name, s in builder.info.splits.items()}
    assert counts == {"train": 3, "test": 1}
    for row in builder.as_dataset("train").as_numpy_iterator():
        name, number = row["object"].decode().split("__")
        assert row["class"].decode() == name
        assert_object(row, int(number))


def test_the_published_files_become_a_tfds_data_set(tmp_path):
    images, voxels = zip(noise_object(6), noise_object(7), strict=True)
    published.write(str(tmp_path / "in"), "03001627", "validation", images, voxels)
    builder = build(tmp_path / "in", tmp_path / "out")
    rows = builder.as_dataset("validation").as_numpy_iterator()
    rows = sorted(rows, key=lambda row: row["object"])
    assert [row["object"] for row in rows] == [
        b"03001627/val/00000",
        b"03001627/val/00001",
    ]
    for number, row in zip((6, 7), rows, strict=True):
        assert_object(row, number)


def test_bad_folders_are_named(tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other/readme.txt").write_text("no data")
    with pytest.raises(FileNotFoundError, match="found neither"):
        build(tmp_path / "other", tmp_path / "a")
    write_objects(tmp_path / "twice", {"chair": 1})
    write_objects(tmp_path / "twice", {"chair": 1}, "test")
    with pytest.raises(ValueError, match="chair__00 is in train and in test"):
        build(tmp_path / "twice", tmp_path / "b")
    images, voxels = zip(noise_object(6), strict=True)
    published.write(str(tmp_path / "npz"), "x", "test", images, voxels)
    (tmp_path / "npz/x_test_voxels.npz").write_bytes(b"")
    with pytest.raises(io.FormatError, match=r"x_test_voxels\.npz: expected an npz"):
        build(tmp_path / "npz", tmp_path / "c")
