"""Claims of datasets.dvr.layouts."""

import pytest

from datasets.dvr import layouts
from tests.datasets.dvr_scenes import write_ball
from tfrender import io


@pytest.fixture
def root(tmp_path):
    for class_id in ("03001627", "02958343"):
        for name in ("a", "b", "c"):
            write_ball(tmp_path / class_id / name, 2, (4, 6), None, None)
    return tmp_path


def names(objects):
    return [item.name for item in objects]


def test_objects_are_found_from_every_level(root):
    assert len(layouts.find_objects(root)) == 6
    chairs = ["03001627/a", "03001627/b", "03001627/c"]
    assert names(layouts.find_objects(root, ["03001627"])) == chairs
    assert names(layouts.find_objects(root / "03001627")) == chairs
    assert names(layouts.find_objects(root / "03001627" / "b")) == ["b/b"]


def test_what_is_not_there_is_named(root, tmp_path):
    with pytest.raises(FileNotFoundError, match="lamp: no such class"):
        layouts.find_objects(root, ["lamp"])
    with pytest.raises(FileNotFoundError, match="no object of class lamp"):
        layouts.find_objects(root / "03001627", ["lamp"])
    with pytest.raises(FileNotFoundError, match="no such folder"):
        layouts.find_objects(root / "none")
    (root / "empty" / "x").mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match="expected CLASS/OBJECT/cameras.npz"):
        layouts.find_objects(root / "empty")


def test_layouts_are_told_apart(tmp_path):
    write_ball(tmp_path / "x" / "a", 2, (4, 6), None, None)
    assert layouts.detect_layout(layouts.find_objects(tmp_path)) == "nmr"
    write_ball(tmp_path / "x" / "a", 2, (4, 6), None, None, inputs=1)
    assert layouts.detect_layout(layouts.find_objects(tmp_path)) == "shapenet"
    write_ball(tmp_path / "y", 2, (4, 6), depth=None)
    assert layouts.detect_layout(layouts.find_objects(tmp_path / "y")) == "dtu"


def test_lists_make_splits(root):
    objects = layouts.find_objects(root)
    wanted = layouts.SPLITS["nmr"]
    assert layouts.split_objects(objects, wanted) == {}
    (root / "03001627" / "softras_train.lst").write_text("c\na\n\n")
    (root / "02958343" / "softras_val.lst").write_text("b")
    found = layouts.split_objects(objects, wanted)
    assert names(found["train"]) == ["03001627/c", "03001627/a"]
    assert names(found["validation"]) == ["02958343/b"] and len(found) == 2


def test_lists_that_lie_are_refused(root):
    objects = layouts.find_objects(root)
    (root / "03001627" / "train.lst").write_text("a\nz\n")
    with pytest.raises(io.FormatError, match="train.lst: lists 'z'"):
        layouts.split_objects(objects, layouts.SPLITS["dtu"])
    (root / "03001627" / "train.lst").write_text("a\nb\n")
    (root / "03001627" / "test.lst").write_text("b\n")
    with pytest.raises(io.FormatError, match="test.lst: 'b' is in train.lst already"):
        layouts.split_objects(objects, layouts.SPLITS["dtu"])


def test_names_of_classes_come_from_the_metadata(root):
    ids = ["02958343", "03001627", "scan65"]
    assert layouts.class_names(root, ids) == {name: name for name in ids}
    text = "03001627: {id: '03001627', name: 'chair,seat'}\n'02958343': {name: car}\n"
    (root / "metadata.yaml").write_text(text)
    found = layouts.class_names(root, ids)
    assert found == {"02958343": "car", "03001627": "chair", "scan65": "scan65"}
    for broken in ("- a", "a: !!python/object/apply:os.system [x]", "a: [", ""):
        (root / "metadata.yaml").write_text(broken)
        with pytest.raises(io.FormatError, match="metadata.yaml: expected"):
            layouts.class_names(root, ids)


def test_views_are_held_out_evenly_or_as_listed():
    assert layouts.held_out_views(range(24), 4) == [3, 9, 15, 21]
    assert layouts.held_out_views([0, 2, 4, 7, 8], 1) == [4]
    assert layouts.held_out_views([0, 2, 4, 7, 8], [7, 0]) == [0, 7]
    # Two views or more are left to train on.
    for wanted in ([5], [-1], [], [0, 1, 2, 3], 4, 0):
        with pytest.raises(ValueError, match="held_out_views"):
            layouts.held_out_views(range(5), wanted)
