"""Names that carry a pose."""

import math

import pytest

from datasets.rendernet import names
from tfrender.io import FormatError


@pytest.mark.parametrize(
    ("name", "model", "pose"),
    [
        ("model_normalized_12_clean_p250_t60_r3.3.png", None, (250, 60, 3.3)),
        ("ply80024_p294_t105_r3.3.png", "ply80024", (294, 105, 3.3)),
        ("model_table_7_clean_p120_t60_r3.3", "model_table_7_clean", (120, 60, 3.3)),
        ("chair_p0_t10_r10.25.PNG", "chair", (0, 10, 10.25)),
        ("chair_p0_t10_r4.jpg", "chair", (0, 10, 4)),
        ("folder/a_p1_t2_r3_p4_t5_r6.jpeg", "a_p1_t2_r3", (4, 5, 6)),
        ("v1.2_p-30_t90.5_r3.3.png", "v1.2", (-30, 90.5, 3.3)),
    ],
)
def test_model_and_pose_are_read(name, model, pose):
    found = names.parse_name(name)
    assert found.pose == pose
    assert found.model == (model or "model_normalized_12_clean")


@pytest.mark.parametrize(
    "name",
    [
        *("chair.png", "chair_p250_t60.png", "_p250_t60_r3.3.png", ""),
        *("chair_p250_t60_r3.3.gif", "chair_p1e3_t60_r3.3.png", "chair_pnan_t1_r3.png"),
        "chair_p250_t60_r.png",
    ],
)
def test_a_name_without_pose_is_named(name):
    with pytest.raises(FormatError, match="found no pose") as caught:
        names.parse_name(name)
    assert str(caught.value).startswith(name) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("chair_p0_t180.5_r3.3", "polar"),
        ("chair_p0_t-1_r3.3", "polar"),
        ("chair_p0_t60_r0", "radius"),
        ("chair_p0_t60_r101", "radius"),
        ("chair_p0_t60_r-3.3", "radius"),
    ],
)
def test_a_pose_out_of_range_is_named(name, what):
    with pytest.raises(FormatError, match=f"{name}: {what}"):
        names.parse_name(name)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_poses_must_be_finite(bad):
    for place in range(3):
        pose = [250.0, 60.0, 3.3]
        pose[place] = bad
        with pytest.raises(FormatError, match="x: "):
            names.check_pose("x", *pose)


@pytest.mark.parametrize(
    "pose", [(250, 60, 3.3), (0, 0, 0.5), (359.5, 180, 100), (-30.25, 90, 2.9001)]
)
def test_a_name_made_is_a_name_read(pose):
    name = names.format_name("model_table_7", *pose)
    assert names.parse_name(f"{name}.png") == names.ImageName("model_table_7", *pose)
    assert names.format_name("m", -0.00001, 60.0, 3.30) == "m_p0_t60_r3.3"


@pytest.mark.parametrize(
    ("image", "file"),
    [
        ("ply00012_p1_t2_r3.3.png", "00012.binvox"),
        ("model_normalized_7_clean_p1_t2_r3.3.png", "model_chair_7_clean.binvox"),
        ("model_normalized_7_clean_p1_t2_r3.3.png", "model_normalized_7_clean.binvox"),
        ("my_table_p1_t2_r3.3.png", "my_table.binvox"),
    ],
)
def test_models_are_found_under_the_spellings_of_the_original(tmp_path, image, file):
    (tmp_path / file).write_bytes(b"")
    model = names.parse_name(image).model
    assert names.find_model(tmp_path, model, image) == tmp_path / file


def test_a_missing_model_names_the_picture_and_what_was_looked_for(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"a_b\.png: .*a_b\.binvox"):
        names.find_model(tmp_path, "a_b", "a_b.png")
