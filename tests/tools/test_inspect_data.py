"""Claims of tools.inspect_data."""

import json
import pathlib

import numpy as np
import pytest

from datasets import records
from datasets.mesh_reconstruction import examples as view_examples
from datasets.mesh_reconstruction import generation
from datasets.rendernet import examples, legacy
from tests.datasets.shapes import write_hook
from tests.tools import programs
from tfrender import io
from tfrender.io import FormatError
from tools import inspect_data, pictures

SAMPLE = pathlib.Path(__file__).parents[1] / "data/rendernet_sample"


@pytest.fixture(scope="module")
def sample():
    """The six pictures of the sample, at an eighth of their size."""
    items = legacy.read_legacy(str(SAMPLE / "images.tar"), str(SAMPLE / "binvox"))
    return [
        item._replace(
            image=item.image[::4, ::4],
            voxels=item.voxels.reshape(16, 4, 16, 4, 16, 4).mean((1, 3, 5)) >= 0.5,
        )
        for item in items
    ]


def write(folder, items, split="train"):
    with records.RecordWriter(str(folder), split, 4, examples.SCHEMA) as writer:
        for item in items:
            writer.write(
                examples.encode_example(
                    item.image, item.voxels, item.pose, item.object_id
                )
            )
        writer.metadata["resolution"] = 16
    return folder


def report(folder, split="train", **settings):
    source = inspect_data.sources(str(folder))[split]
    return inspect_data.inspect_split(split, source, **settings)


def test_the_report_counts_and_measures(sample, tmp_path):
    found, tiles = report(write(tmp_path, sample))
    assert (found["pictures"], found["objects"]) == (6, 3)
    assert (found["resolution"], found["image_size"]) == (16, 128)
    assert found["ranges"] == {
        "azimuth_deg": [22, 324],
        "polar_deg": [38, 116],
        "radius": [3, pytest.approx(4.4)],
    }
    shares = [pictures.foreground(item.image).mean() for item in sample]
    np.testing.assert_allclose(
        found["foreground_share"], [min(shares), np.mean(shares), max(shares)]
    )
    assert found["median_iou"] > 0.8 and found["lowest_iou"] > 0.65
    assert found["empty_pictures"] == 0 and found["outliers"] == []
    assert len(tiles) == 6 and len({tile.name for tile in tiles}) == 6
    assert "WARNING" not in inspect_data.text("train", found)


def test_a_wrong_camera_gives_a_low_median_and_a_warning(sample, tmp_path):
    turned = [i._replace(pose=(i.pose[0] + 180.0, *i.pose[1:])) for i in sample]
    found, _ = report(write(tmp_path, turned))
    assert found["median_iou"] < inspect_data.LOWEST_MEDIAN_IOU
    assert "WARNING: the median IoU lies below 0.7" in inspect_data.text("x", found)


def test_a_picture_that_does_not_fit_is_an_outlier_and_an_empty_one_too(
    sample, tmp_path
):
    bad = sample[0]._replace(image=sample[0].image[::-1, ::-1], object_id="upside-down")
    empty = sample[1]._replace(image=np.zeros_like(sample[1].image), object_id="empty")
    found, tiles = report(write(tmp_path, [*sample[2:], *sample[2:], bad, empty]))
    assert found["empty_pictures"] == 1
    assert [name.split("(")[1].split(")")[0] for name in found["outliers"]] == [
        "empty",
        "upside-down",
    ]
    assert "empty" in tiles[0].name and tiles[0].iou == 0  # the worst comes first
    assert "outlier: train record" in inspect_data.text("train", found)


def test_a_sample_measures_fewer_pictures_but_counts_all(sample, tmp_path):
    found, tiles = report(write(tmp_path, sample), sample=2, tiles=2)
    assert found["pictures"] == 6 and found["silhouettes_compared"] == 2
    assert 1 <= len(tiles) <= 2
    everything, _ = report(tmp_path, sample=0)
    assert everything["silhouettes_compared"] == 6


def test_the_outline_is_drawn_around_the_silhouette(sample):
    tile = inspect_data.measure(sample[0])
    pink = (tile.thumbnail == [255, 0, 255]).all(-1)
    outline = pictures.silhouettes(sample[0].voxels[None], np.array([[179, 57, 4.4]]))
    assert pink.any() and not (pink & outline[0]).any()
    rows, cols = np.nonzero(pink)
    inside_rows, inside_cols = np.nonzero(outline[0])
    assert rows.min() == inside_rows.min() - 1 and cols.max() == inside_cols.max() + 1


def test_lines_on_white_paper_count_with_what_they_enclose():
    image = np.full((32, 32, 1), 255, np.uint8)
    image[8:24, 8] = image[8:24, 23] = image[8, 8:24] = image[23, 8:24] = 0
    assert pictures.foreground(image).sum() == 256


def test_both_layouts_and_a_bare_tar_are_found(sample, tmp_path):
    (tmp_path / "binvox").symlink_to(SAMPLE / "binvox")
    (tmp_path / "valid.tar").symlink_to(SAMPLE / "images.tar")
    found = inspect_data.sources(str(tmp_path))
    assert list(found) == ["valid"] and found["valid"].pictures == 6
    tar, models = str(SAMPLE / "images.tar"), str(SAMPLE / "binvox")
    found = inspect_data.sources(None, tar, models)
    assert found["pictures"].pictures == 6
    write(tmp_path / "records", sample, "test")
    assert list(inspect_data.sources(str(tmp_path / "records"))) == ["test"]


@pytest.mark.parametrize(
    "given",
    [(None,), ("a", "b", "c"), (None, "b"), ("a", None, "c"), (None, None, "c")],
)
def test_flags_that_do_not_fit_are_refused(given):
    with pytest.raises(ValueError, match="expected --data_dir, or --image_path with"):
        inspect_data.sources(*given)


def test_nothing_to_read_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="--data_dir: no such folder"):
        inspect_data.sources(str(tmp_path / "none"))
    with pytest.raises(FileNotFoundError, match="found neither"):
        inspect_data.sources(str(tmp_path))
    (tmp_path / "train.json").write_text("{}")
    with pytest.raises(FormatError, match=r"train\.json"):
        inspect_data.sources(str(tmp_path))


def test_a_damaged_shard_is_named(sample, tmp_path):
    write(tmp_path, sample)
    shard = next(tmp_path.glob("*.tfrecord"))
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    with pytest.raises(FormatError, match=shard.name):
        programs.run_inside(
            inspect_data,
            data_dir=str(tmp_path),
            image_path=None,
            model_path=None,
            output_dir=str(tmp_path / "out"),
            pictures=1,
            rows=1,
        )
    assert not (tmp_path / "out").exists()


def test_the_program_writes_a_sheet_and_refuses_an_object_in_two_splits(
    sample, tmp_path
):
    write(tmp_path / "in", sample[:4])
    write(tmp_path / "in", sample[3:], "test")
    done = programs.launch(
        "tools.inspect_data",
        f"--data_dir={tmp_path}/in",
        f"--output_dir={tmp_path}/out",
    )
    last = programs.last_error(done)
    assert (
        "1 objects are in two splits (model_normalized_2_clean is in test and" in last
    )
    assert "train: 4 pictures of 2 objects, 16^3 voxels, 128x128 pixels" in done.stdout
    assert "median" in done.stdout
    saved = json.loads((tmp_path / "out/report.json").read_text())
    assert saved["train"]["pictures"] == 4 and saved["test"]["pictures"] == 3
    assert io.read_image(tmp_path / "out/contact_sheet.png").shape[-1] == 3


def test_views_of_mesh_reconstruction_are_measured_by_their_alpha(tmp_path):
    write_hook(tmp_path / "hook.obj")
    settings = generation.ViewSettings(supersample=1)
    drawn = generation.draw_object(str(tmp_path / "hook.obj"), "hook", settings)
    for folder, images in (("good", drawn.images), ("bad", drawn.images[:, :, ::-1])):
        with records.RecordWriter(
            str(tmp_path / folder), "train", 4, view_examples.SCHEMA
        ) as writer:
            images = np.ascontiguousarray(images)
            record = view_examples.encode_example(images, drawn.voxels, "x", "hook")
            writer.write(record)
    found, tiles = report(tmp_path / "good", sample=8, tiles=8)
    assert (found["pictures"], found["objects"]) == (24, 1)
    assert (found["resolution"], found["image_size"]) == (32, 64)
    assert found["ranges"]["azimuth_deg"] == [0, 345]
    assert found["ranges"]["polar_deg"] == [60, 60]
    share = (drawn.images[..., 3] > 127).mean((1, 2))
    np.testing.assert_allclose(
        found["foreground_share"], [share.min(), share.mean(), share.max()]
    )
    assert found["median_iou"] > 0.78 and found["outliers"] == []
    assert tiles[0].thumbnail.shape == (64, 64, 3)
    found, _ = report(tmp_path / "bad", sample=4)
    assert "WARNING" in inspect_data.text("train", found)
