"""Records of the original."""

import numpy as np
import pytest

from datasets.drwr import layouts, published
from tests.datasets.drwr_objects import (
    disc_object,
    original_features,
    write_originals,
)
from tfrender.io import FormatError

SETTINGS = layouts.Settings(depth=True)


def decode(folder, features, settings=SETTINGS):
    write_originals(folder / "chair_val.tfrecords", [features])
    (file,) = published.find_files([str(folder)])
    (record,) = published.raw_records(file.path)
    return published.decode(record, file, 0, settings)


@pytest.mark.parametrize("key", ["mask_sdf", "mask_sdfs"])
def test_both_spellings_give_the_object(tmp_path, key):
    item = disc_object(3, depth=True)
    found, notes = decode(tmp_path, original_features(item, key))
    assert not notes and found.name == "chair/03" and found.class_id == "chair"
    for name in ("masks", "squared_distance", "images"):
        np.testing.assert_array_equal(getattr(found, name), getattr(item, name))
    for name in ("world_to_camera", "projection", "depth"):
        np.testing.assert_allclose(getattr(found, name), getattr(item, name), atol=1e-5)
    assert found.extrinsic.shape == (3, 4, 4)


def test_points_are_half_a_pixel_on_where_they_are_whole(tmp_path):
    features = original_features(disc_object(3))
    points = np.array([[8, 16 - 5], [8.25, 7.5]])
    features["inpoints"] = np.tile(points, (3, 1, 1))
    settings = layouts.Settings(sample_points=2)
    found, _ = decode(tmp_path, features, settings)
    expected = [[8.5 / 16 - 0.5, 0.5 - 5.5 / 16], [8.25 / 16 - 0.5, 7.5 / 16 - 0.5]]
    np.testing.assert_allclose(found.samples[1], expected, atol=1e-6)
    with pytest.raises(FormatError, match="expected 5 inpoints a view.*; got 2"):
        decode(tmp_path, features, layouts.Settings(sample_points=5))
    del features["inpoints"]
    assert decode(tmp_path, features, settings)[0].samples.shape == (3, 2, 2)


def test_the_first_views_alone_can_be_taken(tmp_path):
    found, _ = decode(
        tmp_path, original_features(disc_object(3)), layouts.Settings(views=2)
    )
    assert found.images.shape[0] == len(found.numbers) == 2
    with pytest.raises(FormatError, match="expected 4 views; got 3"):
        decode(tmp_path, original_features(disc_object(3)), layouts.Settings(views=4))


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        (
            "mask_sdf",
            None,
            r"the key mask_sdf or mask_sdfs; there are cam_pos, depth, e",
        ),
        ("cam_pos", None, "the key cam_pos"),
        ("name", None, "the key name"),
        ("depth", None, "the key depth"),
        ("cam_pos", np.zeros(9), "cam_pos away from the origin"),
        ("cam_pos", np.full(9, np.nan), "cam_pos finite"),
        ("cam_pos", np.ones(8), "cam_pos of 3 numbers a view; got 8"),
        ("image", np.zeros(100), "image of 3 square pictures"),
        ("image", np.full(3 * 16 * 16 * 3, 7.0), r"image finite in \[0, 1\]"),
        ("mask", np.zeros(7), r"mask of 768 numbers \[3, 16, 16\]; got 7"),
        ("mask", np.zeros(768), "all 3 masks are empty"),
        ("mask_sdf", np.full(768, np.inf), "mask_sdf finite"),
    ],
)
def test_what_is_wrong_is_named_with_file_and_record(tmp_path, key, value, words):
    features = original_features(disc_object(3))
    if value is None:
        del features[key]
    else:
        features[key] = value
    with pytest.raises(FormatError, match=rf"chair_val\.tfrecords: record 0.*{words}"):
        decode(tmp_path, features)


def test_files_are_those_of_classes_and_splits(tmp_path):
    rows = [original_features(disc_object(3))] * 2
    for name in ("a_b_train", "a_b_val", "c_test"):
        write_originals(tmp_path / f"{name}.tfrecords", rows)
    found = published.find_files([str(tmp_path)])
    assert [file[1:] for file in found] == [
        *(("a_b", "train"), ("a_b", "validation"), ("c", "test"))
    ]
    assert published.count_records(found[0].path) == 2
    assert len(published.find_files([str(tmp_path)], ["c"])) == 1
    with pytest.raises(ValueError, match="no class 'd'; there are a_b, c"):
        published.find_files([str(tmp_path)], ["d"])
    with pytest.raises(ValueError, match="are both c, test"):
        published.find_files([str(found[2].path)] * 2)
    with pytest.raises(FileNotFoundError):
        published.find_files([str(tmp_path / "none")])
    (tmp_path / "odd.tfrecords").write_bytes(b"")
    with pytest.raises(FormatError, match=r"odd\.tfrecords: expected a name CLASS_SPL"):
        published.find_files([str(tmp_path)])


def test_damaged_and_empty_files_are_named(tmp_path):
    rows = [original_features(disc_object(3))] * 2
    path = write_originals(tmp_path / "c_test.tfrecords", rows)
    whole = path.read_bytes()
    for data in (whole[: len(whole) // 2], b"junk" * 99):
        path.write_bytes(data)
        with pytest.raises(
            FormatError, match=r"c_test\.tfrecords: record \d is damaged"
        ):
            published.count_records(path)
    path.write_bytes(b"")
    with pytest.raises(FormatError, match="expected records; found none"):
        published.count_records(path)
    plain = write_originals(tmp_path / "d_test.tfrecords", rows, "")
    assert published.count_records(plain) == 2
