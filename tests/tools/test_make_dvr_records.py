"""Claims of tools.make_dvr_records."""

import numpy as np
import pytest

from datasets.dvr import pipeline
from tests.datasets.dvr_scenes import write_ball
from tests.tools import dvr_programs, programs
from tfrender import io

SMALL = (8, 10)


@pytest.fixture
def scene(tmp_path):
    write_ball(tmp_path / "in", 6, SMALL)
    return tmp_path


def make(folder, **flags):
    dvr_programs.make_records(folder / "in", folder / "out", **flags)
    return str(folder / "out")


def views_of(out, split):
    ((_, numbers),) = pipeline.metadata(out, split).metadata["views"].items()
    return numbers


def test_a_scene_is_split_by_view(scene, capsys):
    out = make(scene, held_out_views=["2"])
    assert views_of(out, "held_out") == [1, 4]
    assert views_of(out, "train") == [0, 2, 3, 5]
    printed = capsys.readouterr().out
    assert "train: 4 views of 1 object, 10 x 8, with depth" in printed
    assert "held_out: 2 views" in printed and "note" not in printed
    about = pipeline.metadata(out, "train").metadata
    assert about["scene"] and about["layout"] == "dtu" and about["input_size"] == 0


def test_views_may_be_listed_dropped_and_resized(scene):
    flags = {"ignore_views": ["1-2"], "image_size": 4}
    out = make(scene, held_out_views=["3", "5"], **flags)
    assert views_of(out, "train") == [0, 4] and views_of(out, "held_out") == [3, 5]
    assert pipeline.form_of(out, "train").image_size == (4, 5)


def test_without_a_held_out_split_a_line_says_so(scene, capsys):
    assert views_of(make(scene), "train") == [0, 1, 2, 3, 4, 5]
    assert "no split is held out" in capsys.readouterr().out


def test_the_hull_is_carved_where_asked_for(scene):
    out = make(scene, visual_hull=True)
    (batch,) = pipeline.evaluation_batches(out, "train", 6).as_numpy_iterator()
    shown = batch["mask"] > 0
    np.testing.assert_array_equal(batch["hull_depth"] > 0, shown)
    assert (batch["depth"] - batch["hull_depth"])[shown].min() > -0.05


def test_an_empty_mask_does_not_carve(scene, capsys):
    io.write_png(scene / "in/mask/0002.png", np.zeros(SMALL, bool))
    out = make(scene, visual_hull=True)
    assert "the mask is empty in view 2." in capsys.readouterr().err
    (batch,) = pipeline.evaluation_batches(out, "train", 6).as_numpy_iterator()
    np.testing.assert_array_equal(batch["hull_depth"] > 0, batch["mask"] > 0)
    for number in range(6):  # the object is nowhere on all of these
        mask = np.zeros(SMALL, bool)
        mask[1 if number % 2 else -2, 1 if number < 3 else -2] = True
        io.write_png(scene / f"in/mask/{number:04d}.png", mask)
    make(scene, visual_hull=True)
    assert "nothing in common; no hull depth" in capsys.readouterr().err


@pytest.fixture
def objects(tmp_path):
    for name in ("chair/a", "chair/b", "lamp/c"):
        write_ball(tmp_path / "in" / name, 2, SMALL, None, None)
    (tmp_path / "in/chair/softras_train.lst").write_text("a\n")
    (tmp_path / "in/chair/softras_val.lst").write_text("b\n")
    (tmp_path / "in/lamp/softras_train.lst").write_text("c\n")
    return tmp_path


def test_objects_are_split_by_lists(objects, capsys):
    out = make(objects)
    assert pipeline.objects_of(out, "train") == ["chair/a", "lamp/c"]
    assert pipeline.objects_of(out, "validation") == ["chair/b"]
    pipeline.check_disjoint(out, "train", "validation")
    about = pipeline.metadata(out, "train").metadata
    assert about["inputs"] == "images" and about["input_size"] == 5
    assert about["classes"] == ["chair", "lamp"] and not about["scene"]
    error = capsys.readouterr().err
    assert "note: chair/a and 2 more objects: no scale_mat" in error


def test_classes_and_lists_are_chosen(objects):
    out = make(objects, classes=["lamp"], split=["softras_train"])
    assert pipeline.objects_of(out, "train") == ["lamp/c"]
    with pytest.raises(FileNotFoundError, match="expected CLASS/mine.lst"):
        make(objects, split=["mine"])
    (objects / "in/lamp/mine.lst").write_text("c")
    assert pipeline.objects_of(make_other(objects), "mine") == ["lamp/c"]


def make_other(folder):
    dvr_programs.make_records(folder / "in", folder / "other", split=["mine"])
    return str(folder / "other")


def test_wrong_flags_are_told_before_anything_is_written(objects, scene):
    for flags, message in (
        ({"held_out_views": ["1"]}, "is for multi-view scenes"),
        ({"ignore_views": ["a"]}, "--ignore_views: expected numbers or ranges"),
        ({"ignore_views": ["5-3"]}, "--ignore_views: expected numbers or ranges"),
        ({"ignore_views": ["1", "0-2"]}, "a view is listed twice"),
        ({"input_folder": "", "input_size": 8}, "this layout has no inputs"),
        ({"visual_hull": True, "hull_depth_folder": "x"}, "--visual_hull makes"),
    ):
        with pytest.raises(ValueError, match=message):
            make(objects, layout="nmr", **flags)
    assert not (objects / "out").exists()


def test_a_split_of_an_earlier_run_is_not_left_beside(scene):
    make(scene, held_out_views=["1"])
    make(scene, held_out_views=["2"])  # replaces both
    with pytest.raises(ValueError, match="holds the split held_out of an earlier run"):
        make(scene)


def test_nothing_is_left_of_a_run_that_failed(scene):
    io.write_png(scene / "in/mask/0003.png", np.ones([2, 2]))
    with pytest.raises(io.FormatError, match="mask/0003.png"):
        make(scene, held_out_views=["1"])
    assert not list((scene / "out").iterdir())


def test_a_mistake_is_one_line(tmp_path):
    done = programs.launch(
        "tools.make_dvr_records", f"--input={tmp_path}/none", f"--output={tmp_path}/out"
    )
    assert "no such folder" in programs.last_error(done)
