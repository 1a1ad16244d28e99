"""Folders of renders and lists of splits."""

import shutil

import numpy as np
import pytest
from PIL import Image

from datasets.drwr import layouts, lists, renders
from tests.datasets.drwr_objects import disc_object, write_renders
from tfrender import cameras, io

ALL = layouts.Settings(depth=True, sample_points=9)
FLAT = ALL._replace(depth=False)


@pytest.fixture
def root(tmp_path):
    return write_renders(tmp_path / "in", {"chair": 2, "lamp": 1}, depth=True)


@pytest.fixture
def folder(tmp_path):
    renders.write_object(tmp_path / "car/a", disc_object(2, "car"))
    return tmp_path / "car/a"


def read(folder, settings=FLAT):
    item = layouts.Found(folder.parent.name, folder.name, folder)
    return layouts.read_object(item, settings)


def refuse(folder, words, error=io.FormatError, settings=FLAT):
    with pytest.raises(error, match=words) as found:
        read(folder, settings)
    assert "\n" not in str(found.value)


def test_what_is_written_is_read(root):
    found = layouts.find_objects(str(root))
    assert [(item.class_id, item.name) for item in found] == [
        *(("chair", "00"), ("chair", "01"), ("lamp", "02"))
    ]
    item, notes = layouts.read_object(found[2], ALL)
    expected = disc_object(2, "lamp", points=9, depth=True)
    assert not notes and item.name == "lamp/02" and item.numbers == [0, 1, 2]
    for name in ("masks", "squared_distance"):
        np.testing.assert_array_equal(getattr(item, name), getattr(expected, name))
    # Beside the masks a picture is white.
    inside = item.masks[..., np.newaxis]
    np.testing.assert_array_equal(
        item.images, np.where(inside, expected.images, np.uint8(255))
    )
    for name in ("world_to_camera", "projection", "depth"):
        np.testing.assert_allclose(
            getattr(item, name), getattr(expected, name), atol=1e-4
        )
    assert item.samples.shape == (3, 9, 2)
    np.testing.assert_allclose(
        item.extrinsic, renders.camera_extrinsic(expected.world_to_camera), atol=1e-6
    )


def test_classes_are_folders_or_the_root_itself(root):
    assert [i.class_id for i in layouts.find_objects(root / "chair")] == ["chair"] * 2
    assert len(layouts.find_objects(root, ["lamp"])) == 1
    with pytest.raises(ValueError, match="no class 'car'; there are chair, lamp"):
        layouts.find_objects(root, ["car"])
    assert layouts.has_renders(root) and not layouts.has_renders(root.parent / "no")
    (root / "empty/inner").mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match=r"expected <object>/render_0\.png"):
        layouts.find_objects(root / "empty")
    with pytest.raises(FileNotFoundError, match="no such folder of renders"):
        layouts.find_objects(root / "none")


def test_numbers_sort_as_numbers_and_may_start_at_1(tmp_path):
    item = disc_object(0, "car", views=12)
    renders.write_object(tmp_path / "car/a", item)
    numbers = layouts.view_numbers(tmp_path / "car/a")
    assert list(numbers) == list(range(12))
    assert numbers[10].name == "render_10.png"
    found, _ = read(tmp_path / "car/a", layouts.Settings(views=11))
    np.testing.assert_array_equal(found.masks, item.masks[:11])
    np.testing.assert_allclose(
        found.world_to_camera, item.world_to_camera[:11], atol=1e-5
    )
    for name in ("render_0.png", "camera_0.mat"):
        (tmp_path / "car/a" / name).unlink()
    assert read(tmp_path / "car/a")[0].numbers == list(range(1, 12))
    refuse(
        tmp_path / "car/a",
        "expected 12 renders; got 11",
        settings=ALL._replace(views=12),
    )


def test_the_camera_of_pos_is_where_the_page_says(folder):
    # Blender's z is up: (a, b, c) is (a, c, -b) of the object's coordinates.
    io.write_mat(folder / "camera_0.mat", {"pos": np.array([1.2, -1.6, 0.9])})
    found, _ = read(folder)
    view = found.world_to_camera[0]
    eye = -view[:3, :3].T @ view[:3, 3]
    np.testing.assert_allclose(eye, [1.2, 0.9, 1.6], atol=1e-5)
    np.testing.assert_allclose(view[:3, 3], [0, 0, -np.sqrt(4.81)], atol=1e-5)
    assert found.projection[0, 0, 0] == pytest.approx(3.75)
    assert found.extrinsic is None  # one camera has none


def test_pos_of_a_turntable_is_that_of_orbit():
    azimuth, elevation = np.float32([0, 90, 200]), np.float32([0, 30, -15])
    view = cameras.orbit(azimuth, elevation, np.float32(2.0)).numpy()
    az, el = np.radians(azimuth), np.radians(elevation)
    expected = [np.cos(el) * np.sin(az), np.cos(el) * np.cos(az), np.sin(el)]
    np.testing.assert_allclose(
        renders.camera_position(view), 2.0 * np.transpose(expected), atol=1e-6
    )
    # A point seen by both: x right, y down, z forward.
    point = np.array([0.1, 0.2, -0.3, 1.0])
    z_up = np.array([0.1, 0.3, 0.2, 1.0])
    seen = view @ point * [1, -1, -1, 1]
    np.testing.assert_allclose(renders.camera_extrinsic(view) @ z_up, seen, atol=1e-6)


def test_masks_may_lie_beside_pictures_without_alpha(folder):
    item = disc_object(2, "car")
    for k in range(3):
        io.write_png(folder / f"render_{k}.png", np.full([16, 16, 3], 80, np.uint8))
        scale = 1 if k == 0 else 255  # some write 0 and 1
        mask = item.masks[k][..., np.newaxis].astype(np.uint8) * np.uint8(scale)
        io.write_png(folder / f"mask_{k}.png", mask)
    found, _ = read(folder)
    np.testing.assert_array_equal(found.masks, item.masks)
    assert (found.images[~item.masks] == 255).all()
    assert (found.images[item.masks] == 80).all()
    io.write_png(folder / "mask_1.png", np.zeros([16, 17], np.uint8))
    refuse(
        folder, r"mask_1\.png: expected 16 x 16 pixels, as render_1\.png has; got 17"
    )


def test_another_size_keeps_the_share_of_the_mask(folder):
    whole = read(folder)[0].masks.mean((1, 2))
    found, _ = read(folder, layouts.Settings(image_size=32))
    assert found.images.shape == (3, 32, 32, 3) and found.masks.shape == (3, 32, 32)
    np.testing.assert_allclose(found.masks.mean((1, 2)), whole, rtol=0.25)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("rm camera_1.mat", r"camera_1\.mat: no such camera of render_1\.png"),
        ("rm render_1.png", r"expected the renders 0 to 2; missing render_1\.png"),
        ("rm depth_2.png", r"depth_2\.png: no such depth of render_2\.png"),
        (
            "cp render_1.png render_01.png",
            r"render_1\.png: render_01\.png has its numb",
        ),
        ("pos nan", r"camera_1\.mat: expected finite numbers in 'pos'"),
        ("pos 0", r"camera_1\.mat: expected `pos` away from the origin"),
        ("size 8", r"render_1\.png: expected 16 x 16 pixels, as in render_0"),
        ("size 16x8", r"render_1\.png: expected a square picture; got 8 x 16"),
        ("rgb", r"render_1\.png: expected a PNG with alpha, or mask_1\.png beside it"),
        ("junk render_1.png", r"render_1\.png: expected a PNG or JPEG"),
        ("junk camera_1.mat", r"camera_1\.mat: expected a whole MATLAB file"),
    ],
)
def test_what_is_wrong_is_named(root, change, words):
    folder = root / "lamp/02"
    kind, *rest = change.split()
    if kind == "rm":
        (folder / rest[0]).unlink()
    elif kind == "cp":
        shutil.copy(folder / rest[0], folder / rest[1])
    elif kind == "junk":
        (folder / rest[0]).write_bytes(b"junk" * 99)
    elif kind == "pos":
        io.write_mat(folder / "camera_1.mat", {"pos": np.full(3, float(rest[0]))})
    else:
        height, _, width = (rest or ["16"])[0].partition("x")
        shape = (int(height), int(width or height), 3 if kind == "rgb" else 4)
        io.write_png(folder / "render_1.png", np.full(shape, 255, np.uint8))
    refuse(folder, words, (io.FormatError, FileNotFoundError), ALL)


def test_masks_that_show_nothing_are_refused_but_for_single_ones(folder):
    for k in range(3):
        io.write_png(folder / f"render_{k}.png", np.zeros([16, 16, 4], np.uint8))
        if k < 2:
            _, notes = read(folder)
            assert len(notes) == k + 1
            assert "car/a: view 0 has a mask that is empty" in notes[0]
    refuse(folder, "car/a: expected pictures .* all 3 masks are empty")


def test_16_bits_of_depth_are_kept(folder):
    levels = np.full([16, 16], 65535, np.uint16)
    levels[8, 8] = 13107
    for k in range(3):
        Image.fromarray(levels).save(folder / f"depth_{k}.png")
    found, _ = read(folder, ALL)
    assert found.depth[0, 8, 8] == pytest.approx(2.0)
    assert (np.delete(found.depth[0].ravel(), 8 * 16 + 8) == 0).all()


def compound(splits):
    """Text of a list CLASS.file."""
    lines = ["top"] * 3
    for word, names in splits.items():
        lines += ["-", "-", word, "-", "-", str(len(names))]
        lines += [line for name in names for line in ("-", "-", "-", "-", name)]
    return "\n".join(lines) + "\n"


def test_both_forms_of_lists_are_read(tmp_path):
    (tmp_path / "a_train.txt").write_text("x\nclass/y\n\n")
    (tmp_path / "a_val.txt").write_text("z\n")
    splits = {"test": ["t1", "t2"], "train": ["x"], "val": []}
    (tmp_path / "b.file").write_text(compound(splits))
    assert lists.read_lists(tmp_path, ["a", "b", "c"]) == {
        "train": {"a": ["x", "y"], "b": ["x"]},
        "validation": {"a": ["z"], "b": []},
        "test": {"b": ["t1", "t2"]},
    }
    assert lists.read_lists(tmp_path, ["c"]) == {}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("top\n" * 3, "expected lists of splits; found none"),
        (compound({"half": []}), r"b\.file: line 4: expected six lines of a split"),
        (compound({"test": ["t"]})[:-4], "expected 1 models of test; it ends after 0"),
        (compound({"test": ["t"], "train": ["t"]}), "t of class b is listed twice"),
    ],
)
def test_broken_lists_are_named(tmp_path, text, words):
    (tmp_path / "b.file").write_text(text)
    with pytest.raises(io.FormatError, match=words):
        lists.read_lists(tmp_path, ["b"])
