"""Claims of tools.object_mask."""

import numpy as np
import pytest
from PIL import Image, ImageOps

from tfrender import io
from tools import object_mask

WHITE = (255, 255, 255)


def scene(boxes, size=(120, 160), behind=WHITE):
    """Picture of boxes (top, left, bottom, right, colour) on one colour."""
    picture = np.zeros((*size, 3), np.uint8) + np.uint8(behind)
    for top, left, bottom, right, color in boxes:
        picture[top:bottom, left:right] = color
    return picture


BOX = (30, 40, 80, 110, (200, 60, 30))


def test_an_object_on_a_plain_background_is_cut_out_exactly():
    cutout = object_mask.cut_out(scene([BOX]))
    inside = np.zeros((120, 160), bool)
    inside[30:80, 40:110] = True
    np.testing.assert_array_equal(cutout.image[..., 3], inside)
    np.testing.assert_allclose(
        cutout.image[inside][:, :3] * 255, [BOX[4]] * inside.sum(), atol=1e-3
    )
    assert not cutout.image[~inside].any() and cutout.notes == () and cutout.keyed


def test_edges_are_unmixed_from_an_uneven_background():
    y, x = np.mgrid[0:120, 0:160]
    behind = (140 + 0.3 * x + 0.2 * y)[..., None] + [0.0, 10.0, 20.0]
    alpha = np.clip(35.5 - np.hypot(x - 80, y - 60), 0.0, 1.0)[..., None]
    color = np.array([180.0, 30.0, 20.0])
    noise = np.random.default_rng(0).normal(0.0, 1.5, behind.shape)
    picture = np.rint(alpha * color + (1 - alpha) * behind + noise).astype(np.uint8)
    cutout = object_mask.cut_out(picture)
    assert np.abs(cutout.image[..., 3:] - alpha).mean() < 2e-3
    assert np.abs(cutout.image[..., 3:] - alpha).max() < 0.2
    assert np.abs(cutout.image[..., :3] * 255 - alpha * color).max() < 40
    assert cutout.notes == ()


@pytest.mark.parametrize("straight", [True, False])
def test_an_alpha_channel_is_the_mask_and_colours_lie_on_black(straight):
    alpha = np.zeros((40, 50, 1))
    alpha[10:30, 10:40] = 1.0
    alpha[9, 10:40] = 0.4
    color = np.array([250.0, 100.0, 50.0]) * (1.0 if straight else alpha)
    picture = np.concatenate([color + 0 * alpha, 255 * alpha], axis=-1)
    cutout = object_mask.cut_out(np.rint(picture).astype(np.uint8))
    want = np.concatenate([alpha * [250.0, 100.0, 50.0], 255 * alpha], axis=-1) / 255
    np.testing.assert_allclose(cutout.image, want, atol=2e-3)
    assert not cutout.keyed


def test_a_pane_is_part_of_the_object_and_a_gap_is_not():
    pane = (40, 50, 55, 70, (245, 245, 245))
    gap = (60, 80, 75, 100, WHITE)
    alpha = object_mask.cut_out(scene([BOX, pane, gap])).image[..., 3]
    assert alpha[47, 60] == 1.0 and alpha[67, 90] == 0.0


def test_the_largest_of_two_objects_is_used_unless_all_are_asked_for():
    picture = scene([BOX, (40, 125, 70, 150, (0, 0, 200)), (5, 5, 7, 7, (0, 0, 0))])
    one = object_mask.cut_out(picture)
    assert object_mask.extent(one.image[..., 3]) == ((30, 80), (40, 110))
    assert one.notes[0].startswith("2 objects of 3500, 750 pixels; the largest")
    both = object_mask.cut_out(picture, keep_all=True)
    assert object_mask.extent(both.image[..., 3])[1][1] == 150
    clear = np.dstack([picture, np.where(picture.min(-1) < 255, 255, 0)])
    kept = object_mask.cut_out(clear.astype(np.uint8))
    assert kept.notes == one.notes
    assert object_mask.extent(kept.image[..., 3]) == ((5, 80), (5, 110))  # no speck


def test_a_colour_of_the_background_can_be_named():
    # Too large for its border to show what is behind.
    picture = scene([(0, 30, 120, 160, (200, 60, 30))], behind=(10, 200, 10))
    cutout = object_mask.cut_out(picture, background=(10.0, 200.0, 10.0))
    assert object_mask.extent(cutout.image[..., 3]) == ((0, 120), (30, 160))
    assert "touches the border" in cutout.notes[0]


def test_a_busy_background_is_told():
    rng = np.random.default_rng(0)
    picture = scene([(40, 40, 80, 80, (0, 0, 0))])
    picture[:, :60] = rng.integers(0, 255, (120, 60, 3))
    notes = object_mask.cut_out(picture).notes
    assert "% of the border differ from a plain background" in notes[0]


CLEAR = np.zeros((64, 64, 4), np.uint8)


@pytest.mark.parametrize(
    ("picture", "background", "message"),
    [
        (CLEAR, "auto", "got none: its alpha is at most a half"),
        (scene([]), "auto", "got none: no pixel differs"),
        (CLEAR + np.uint8(255), "alpha", "covers 100.0%"),
        (scene([]), "alpha", "expected an alpha channel"),
        (
            scene([(5, 5, 10, 9, (0, 0, 0))]),
            "auto",
            "at least 8 pixels; got one of 4 x",
        ),
        (scene([]), (0.0, 0.0, 0.0), "covers 100.0%"),
    ],
)
def test_pictures_without_an_object_are_refused(picture, background, message):
    with pytest.raises(ValueError, match=message):
        object_mask.cut_out(picture, background)


def test_large_pictures_are_shrunk_and_thin_ones_survive():
    cutout = object_mask.cut_out(scene([BOX]).repeat(20, 0).repeat(20, 1))
    assert cutout.image.shape == (600, 800, 4)
    assert object_mask.extent(cutout.image[..., 3]) == ((150, 400), (200, 550))
    thin = np.zeros((2, 3000, 4), np.uint8)
    thin[:, 1000:2000] = 255
    assert object_mask.cut_out(thin).image.shape[0] == 1


def test_a_frame_keeps_sums_and_identity():
    rng = np.random.default_rng(0)
    cutout = object_mask.Cutout(rng.uniform(0, 1, (12, 12, 4)).astype(np.float32))
    whole = object_mask.whole_box(cutout)
    np.testing.assert_allclose(
        object_mask.frame(cutout, 12, whole), cutout.image, atol=1e-6
    )
    for box in (whole, object_mask.Box(-3.0, -2.5, 20.0)):
        framed = object_mask.frame(cutout, 7, box)
        total = framed.sum((0, 1)) * (box.side / 7) ** 2
        np.testing.assert_allclose(total, cutout.image.sum((0, 1)), rtol=1e-5)


def test_an_object_is_framed_as_in_the_training_data():
    cutout = object_mask.cut_out(scene([BOX]))
    framed = object_mask.frame(cutout, 64, object_mask.object_box(cutout))
    rows, columns = object_mask.extent(framed[..., 3])
    assert columns == (12, 52)  # 40 pixels around 32
    assert sum(rows) / 2 == pytest.approx(33.5, abs=0.5)
    assert rows[1] - rows[0] == pytest.approx(40 * 50 / 70, abs=1)
    framed = object_mask.frame(cutout, 64, object_mask.object_box(cutout, 48 / 64))
    assert object_mask.extent(framed[..., 3])[1] == (8, 56)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photographs_are_turned_as_their_camera_says(tmp_path, orientation):
    stored = np.random.default_rng(0).integers(0, 255, (3, 5, 3)).astype(np.uint8)
    tags = Image.Exif()
    tags[0x0112] = orientation
    path = str(tmp_path / "photo.jpg")
    Image.fromarray(stored.repeat(8, 0).repeat(8, 1)).save(path, exif=tags)
    with Image.open(path) as image:
        want = np.asarray(ImageOps.exif_transpose(image))
    got = object_mask.upright(io.read_image(path), path)
    np.testing.assert_array_equal(got, want)
