"""The TFDS builder."""

import pathlib

import numpy as np
import pytest

import datasets
from tests.datasets.shapes import noise_example, write_records
from tfrender import io

tfds = pytest.importorskip("tensorflow_datasets")
ROOT = pathlib.Path(__file__).parents[2]


def build(manual, target):
    from datasets import rendernet

    builder = rendernet.Builder(data_dir=str(target))
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(manual_dir=str(manual))
    )
    return builder


def write_layout(root, splits):
    """Tars of one picture for each model; models are named by their number."""
    for split, numbers in splits.items():
        io.write_tar(
            root / f"{split}.tar", {f"m{k}_p{k}_t60_r3.3.png": _png(k) for k in numbers}
        )
        for k in numbers:
            io.write_binvox(root / "binvox" / f"m{k}.binvox", noise_example(k)[1])


def _png(number):
    import tensorflow as tf

    return tf.io.encode_png(noise_example(number)[0]).numpy()


def test_the_datasets_of_this_checkout_are_the_ones_imported():
    assert pathlib.Path(datasets.__file__).parent == ROOT / "datasets"


def test_records_become_a_tfds_data_set(tmp_path):
    write_records(tmp_path / "in", "train", 3)
    write_records(tmp_path / "in", "test", 2)
    builder = build(tmp_path / "in", tmp_path / "out")
    counts = {name: s.num_examples for name, s in builder.info.splits.items()}
    assert counts == {"train": 3, "test": 2}
    rows = list(builder.as_dataset("train").as_numpy_iterator())
    assert {row["object"] for row in rows} == {b"train0", b"train1"}
    for row in rows:
        image, voxels, pose = noise_example(row["image"][0, 0, 0])
        np.testing.assert_array_equal(row["image"], image)
        np.testing.assert_array_equal(row["voxels"][..., 0], voxels)
        np.testing.assert_allclose(row["pose"], pose)


def test_the_legacy_layout_becomes_a_tfds_data_set(tmp_path):
    write_layout(tmp_path / "in", {"train": [0, 1], "validation": [2]})
    builder = build(tmp_path / "in", tmp_path / "out")
    (row,) = builder.as_dataset("validation").as_numpy_iterator()
    assert row["object"] == b"m2" and row["voxels"].shape == (8, 8, 8, 1)
    np.testing.assert_array_equal(row["image"], noise_example(2)[0])
    assert builder.info.splits["train"].num_examples == 2


def test_an_object_in_two_splits_is_refused(tmp_path):
    write_records(tmp_path / "records", "train", 2, objects=1)
    source = (tmp_path / "records/train.json").read_text()
    for path in list((tmp_path / "records").glob("train*")):
        copy = path.with_name(path.name.replace("train", "test"))
        copy.write_bytes(path.read_bytes())
    copy = tmp_path / "records/test.json"
    copy.write_text(source.replace('"train-', '"test-'))
    with pytest.raises(ValueError, match="train0 is in train and in test"):
        build(tmp_path / "records", tmp_path / "a")
    write_layout(tmp_path / "tars", {"train": [0, 1], "test": [1]})
    with pytest.raises(ValueError, match="m1 is in train and in test"):
        build(tmp_path / "tars", tmp_path / "b")
    assert not list(tmp_path.glob("[ab]/**/*.tfrecord*"))


def test_a_broken_sidecar_and_a_damaged_shard_are_named(tmp_path):
    write_records(tmp_path / "in", "train", 3)
    sidecar = tmp_path / "in/train.json"
    text = sidecar.read_text()
    for broken in ("", "{}", text[:-9]):
        sidecar.write_text(broken)
        with pytest.raises(io.FormatError, match=r"train\.json: .*broken"):
            build(tmp_path / "in", tmp_path / "out")
    sidecar.write_text(text)
    shard = tmp_path / "in/train-00001-of-00002.tfrecord"
    data = bytearray(shard.read_bytes())
    data[-9] ^= 1
    shard.write_bytes(data)
    with pytest.raises(io.FormatError, match=f"{shard.name}: record .* is damaged"):
        build(tmp_path / "in", tmp_path / "out")


def test_a_folder_without_data_is_named(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/readme.txt").write_text("no data")
    with pytest.raises(FileNotFoundError, match="found neither"):
        build(tmp_path / "in", tmp_path / "out")
