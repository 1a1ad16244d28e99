"""The layout of the original: tars of pictures and binvox models."""

import json
import os
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from datasets import records
from datasets.rendernet import examples, legacy, pipeline
from tests.datasets.shapes import noise_example
from tfrender import io
from tfrender.io import FormatError
from tools import create_tar, inspect_data, pictures

SAMPLE = pathlib.Path(__file__).parents[1] / "data/rendernet_sample"
NAMES = [
    "model_normalized_0_clean_p10_t60_r3.3.png",
    "model_normalized_0_clean_p250_t60_r3.25.png",  # a radius of four characters
    "model_table_1_clean_p10_t60_r3.3.png",  # `_t` inside the model's name
    "model_table_1_clean_p11_t60_r10.5.png",
    "ply00002_p359_t170_r4.0.png",
]


@pytest.fixture(scope="module")
def layout(tmp_path_factory):
    """A folder of five pictures, and the models that they show."""
    root = tmp_path_factory.mktemp("legacy")
    for k, name in enumerate(NAMES):
        io.write_png(root / "images" / name, noise_example(k)[0])
    models = "model_chair_0_clean", "model_table_1_clean", "00002"
    for k, name in enumerate(models):
        io.write_binvox(root / "binvox" / f"{name}.binvox", noise_example(k)[1])
    return root


@pytest.mark.parametrize("compress", [False, True])
def test_tar_loader_and_records_return_every_image_once(layout, tmp_path, compress):
    tar = tmp_path / "images.tar"
    assert create_tar.create_tar(layout / "images", tar, compress=compress) == 5
    split = legacy.convert_legacy(
        str(tar), str(layout / "binvox"), str(tmp_path / "out"), "train", 2
    )
    assert split.records == 5 and len(split.shards) == 3
    assert split.metadata["objects"] == [
        "00002",
        "model_chair_0_clean",
        "model_table_1_clean",
    ]
    found = pipeline.evaluation_batches(str(tmp_path / "out"), "train", 8, 3, 2)
    rows = [row for batch in found for row in zip(*_columns(batch), strict=True)]
    assert sorted(int(image[0, 0, 0]) for image, *_ in rows) == list(range(5))
    for image, voxels, pose, object_id in rows:
        number = int(image[0, 0, 0])
        expected = noise_example(number)[0]
        np.testing.assert_array_equal(image, expected)
        model = {0: 0, 1: 0, 2: 1, 3: 1, 4: 2}[number]
        np.testing.assert_array_equal(voxels[..., 0], noise_example(model)[1])
        assert object_id.decode() == sorted(split.metadata["objects"])[(model + 1) % 3]
        poses = [(10, 60, 3.3), (250, 60, 3.25), (10, 60, 3.3), (11, 60, 10.5)]
        np.testing.assert_allclose(pose, [*poses, (359, 170, 4)][number])


def _columns(batch):
    image = np.rint(255 * batch["image"].numpy()).astype(np.uint8)
    return image, *(batch[name].numpy() for name in ("voxels", "pose", "object"))


def test_a_folder_of_pictures_reads_as_its_tar(layout, tmp_path):
    create_tar.create_tar(layout / "images", tmp_path / "a.tar")
    first = list(legacy.read_legacy(str(tmp_path / "a.tar"), str(layout / "binvox")))
    other = list(legacy.read_legacy(str(layout / "images"), str(layout / "binvox")))
    assert [item.name for item in first] == [item.name for item in other] == NAMES
    assert all((a.image == b.image).all() for a, b in zip(first, other, strict=True))


def test_alpha_and_other_files_are_left_out(layout, tmp_path):
    rgba = np.concatenate([noise_example(0)[0], np.full((64, 64, 1), 7, np.uint8)], -1)
    io.write_png(tmp_path / NAMES[0], rgba)
    (tmp_path / "notes.txt").write_text("no picture")
    (found,) = legacy.read_legacy(str(tmp_path), str(layout / "binvox"))
    np.testing.assert_array_equal(found.image, noise_example(0)[0])


def png(side=64):
    return tf.io.encode_png(np.zeros((side, side, 3), np.uint8)).numpy()


@pytest.mark.parametrize(
    ("name", "side", "error", "message"),
    [
        ("holiday.png", 64, FormatError, "holiday.png: .*no pose"),
        ("model_table_1_clean.png", 64, FormatError, "no pose"),
        (NAMES[0], 32, FormatError, f"{NAMES[0]}: .* 64x64 .* got 32x32"),
        (NAMES[0], None, FormatError, f"{NAMES[0]}: .*cut"),
        ("ply7_p1_t2_r3.3.png", 64, FileNotFoundError, "7.binvox"),
        ("model_table_1_clean_p1_t190_r3.3.png", 64, FormatError, "polar"),
    ],
)
def test_bad_pictures_are_named_and_nothing_is_left(
    layout, tmp_path, name, side, error, message
):
    content = png(side) if side else png(64)[:60]
    io.write_tar(tmp_path / "a.tar", {NAMES[2]: png(), name: content})
    out = tmp_path / "out"
    with pytest.raises(error, match=message):
        legacy.convert_legacy(
            str(tmp_path / "a.tar"), str(layout / "binvox"), str(out), "train"
        )
    assert list(out.iterdir()) == []


@pytest.mark.parametrize("files", [{}, {"readme.txt": b"no picture"}])
def test_a_tar_without_pictures_is_refused(layout, tmp_path, files):
    io.write_tar(tmp_path / "a.tar", files)
    with pytest.raises(FormatError, match=r"a\.tar: .*found none"):
        list(legacy.read_legacy(str(tmp_path / "a.tar"), str(layout / "binvox")))


def test_grids_of_two_sizes_in_one_split_are_refused(layout, tmp_path):
    io.write_binvox(tmp_path / "m/ply7.binvox", np.ones((4, 4, 4), bool))
    source = layout / "binvox/model_table_1_clean.binvox"
    (tmp_path / "m" / source.name).write_bytes(source.read_bytes())
    io.write_tar(
        tmp_path / "a.tar", {"ply7_p1_t2_r3.3.png": png(32), NAMES[2]: png(64)}
    )
    with pytest.raises(FormatError, match=r"one size of grid; got 8\^3 .* 4\^3"):
        legacy.convert_legacy(
            str(tmp_path / "a.tar"), str(tmp_path / "m"), str(tmp_path / "o"), "train"
        )


def test_a_missing_archive_or_folder_is_named(layout, tmp_path):
    with pytest.raises(FileNotFoundError, match="none"):
        list(legacy.read_legacy(str(tmp_path / "none.tar"), str(layout / "binvox")))
    with pytest.raises(FileNotFoundError, match="binvox models"):
        list(legacy.read_legacy(str(layout / "images"), str(tmp_path / "none")))


def test_silhouettes_of_the_sample_lie_over_its_pictures():
    tar, models = str(SAMPLE / "images.tar"), str(SAMPLE / "binvox")
    items = list(legacy.read_legacy(tar, models))
    assert len(items) == 6 and {item.object_id for item in items} == {
        f"model_normalized_{k}_clean" for k in (1, 2, 3)
    }
    voxels = np.stack([item.voxels for item in items])
    poses = np.array([item.pose for item in items])
    found = [
        pictures.silhouettes(voxels[i : i + 1], poses[i : i + 1])[0] for i in range(6)
    ]  # one at a time: a grid of 128^3 needs memory
    images = [pictures.foreground(item.image) for item in items]
    ious = [inspect_data.overlap(*pair) for pair in zip(found, images, strict=True)]
    assert min(ious) >= 0.93
    # A picture seen in a mirror is noticed.
    for outline, image in zip(found, images, strict=True):
        assert inspect_data.overlap(outline[:, ::-1], image) < 0.9


def test_a_converted_split_says_where_it_came_from(layout, tmp_path):
    images = str(layout / "images")
    legacy.convert_legacy(images, str(layout / "binvox"), str(tmp_path), "test")
    found = records.read_split(str(tmp_path), "test", examples.SCHEMA)
    assert found.metadata["source"] == images and found.metadata["resolution"] == 8


def test_a_split_made_from_something_else_is_refused(layout, tmp_path):
    tar, models = tmp_path / "a.tar", str(layout / "binvox")
    create_tar.create_tar(layout / "images", tar)
    out = str(tmp_path / "out")
    legacy.convert_legacy(str(tar), models, out, "train")
    legacy.check_origin(out, "train", str(tar), models)
    (tmp_path / "link").symlink_to(models)
    legacy.check_origin(out, "train", str(tar), str(tmp_path / "link"))
    with pytest.raises(FormatError, match="holds train data of .*a.tar, not of"):
        legacy.check_origin(out, "train", str(layout / "images"), models)
    with pytest.raises(FormatError, match="data of .*binvox, not of .*other"):
        legacy.check_origin(out, "train", str(tar), str(tmp_path / "other"))
    before = tar.stat()
    os.utime(tar, ns=(before.st_atime_ns, before.st_mtime_ns + 10**9))
    with pytest.raises(FormatError, match="a.tar: changed since .* --overwrite"):
        legacy.check_origin(out, "train", str(tar), models)
    legacy.convert_legacy(str(tar), models, out, "train", overwrite=True)
    legacy.check_origin(out, "train", str(tar), models)


def test_a_split_of_an_older_version_is_judged_by_its_pictures(layout, tmp_path):
    images, models = str(layout / "images"), str(layout / "binvox")
    legacy.convert_legacy(images, models, str(tmp_path), "test")
    text = json.loads((tmp_path / "test.json").read_text())
    for name in ("models", "source_bytes", "source_modified"):
        del text["metadata"][name]
    (tmp_path / "test.json").write_text(json.dumps(text))
    legacy.check_origin(str(tmp_path), "test", images, models)
    del text["metadata"]["source"]
    (tmp_path / "test.json").write_text(json.dumps(text))
    with pytest.raises(FormatError, match="data of None"):
        legacy.check_origin(str(tmp_path), "test", images, models)


def test_a_folder_of_pictures_that_changed_is_noticed(layout, tmp_path):
    io.write_png(tmp_path / "images" / NAMES[0], noise_example(0)[0])
    first = legacy.origin(str(tmp_path / "images"), "m")
    (tmp_path / "images" / "notes.txt").write_text("no picture")
    assert legacy.origin(str(tmp_path / "images"), "m") == first
    io.write_png(tmp_path / "images" / NAMES[1], noise_example(1)[0])
    assert legacy.origin(str(tmp_path / "images"), "m") != first
