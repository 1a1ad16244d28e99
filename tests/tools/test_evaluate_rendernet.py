"""Claims of tools.evaluate_rendernet."""

import json
import math

import numpy as np
import pytest

from tests.datasets.shapes import write_records
from tests.tools import programs
from tfrender import io
from tools import evaluate_rendernet as evaluate
from tools import pictures


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("evaluate")
    programs.write_model(root / "model")
    write_records(root / "data", "train", 3, image=picture(100))
    write_records(root / "data", "test", 5, image=picture(150))
    return root


def picture(level):
    """A square of one colour on black."""
    image = np.zeros((64, 64, 3), np.uint8)
    image[16:48, 16:48] = level, level, 255
    return image


def run(root, **flags):
    given = {
        "model": str(root / "model"),
        "data_dir": str(root / "data"),
        "split": "test",
        "output_dir": None,
        "batch_size": 2,
        "rows": 8,
    }
    programs.run_inside(evaluate, **{**given, **flags})


def test_the_program_scores_the_network_and_the_baselines(root, tmp_path):
    done = programs.launch(
        "tools.evaluate_rendernet",
        f"--model={root}/model",
        f"--data_dir={root}/data",
        f"--output_dir={tmp_path}/out",
    )
    assert done.returncode == 0, done.stderr
    assert "5 pictures of 2 objects, split test" in done.stdout
    report = json.loads((tmp_path / "out/report.json").read_text())
    scores = report["scores"]
    assert report["pictures"] == 5 and report["objects"] == ["test0", "test1"]
    # A quarter of the picture is wrong by a known amount.
    black = (2 * (150 / 255) ** 2 + 1) / 3 / 4
    mean = 2 * (50 / 255) ** 2 / 3 / 4
    expected = {"all black": black, "mean training picture": mean}
    expected["true silhouette in mean colour"] = mean
    for name, error in expected.items():
        assert scores[name]["psnr"] == pytest.approx(-10 * math.log10(error), abs=1e-3)
    assert scores["true silhouette in mean colour"]["silhouette_iou"] == 1
    assert scores["all black"]["silhouette_iou"] == 0
    assert scores["network"]["absolute_error"] > 0.3  # it draws normals everywhere
    sheet = io.read_image(tmp_path / "out/contact_sheet.png")
    assert sheet.shape == (2 + 66, 2 + 6 * 66, 3)  # two objects side by side
    lines = [line for line in done.stdout.splitlines() if line.startswith("|")]
    assert len(lines) == 6 and lines[0].startswith("| method | psnr | absolute_error |")


def test_scores_are_those_of_the_single_pictures():
    generator = np.random.default_rng(0)
    target, other = generator.random((2, 3, 16, 16, 3), np.float32)
    found = evaluate.scores(target, other)
    for i in range(3):
        error = np.mean((target[i] - other[i]) ** 2)
        assert found["psnr"][i] == pytest.approx(-10 * np.log10(error), rel=1e-5)
        assert found["absolute_error"][i] == pytest.approx(
            np.abs(target[i] - other[i]).mean(), rel=1e-5
        )
    assert set(evaluate.scores(target[..., :1], other[..., :1])) == {
        "psnr",
        "absolute_error",
    }


def test_voxel_pictures_are_bright_where_near():
    voxels = np.zeros((1, 8, 8, 8))
    voxels[0, 2:6, 1:6, 1] = voxels[0, 2:4, 1:6, 6] = 1
    seen = pictures.front_faces(voxels, np.array([[90.0, 90.0, 3.3]]))[0, ..., 0]
    assert seen.shape == (64, 64) and seen[0, 0] == 0
    # At azimuth 90 the camera sits on +Z and +X is to the right.
    row = seen[(seen > 0).any(1)][4]
    first, last = np.flatnonzero(row)[[0, -1]]
    assert row[first] == 1 and row[last] == 0.25


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"split": "validation"}, FileNotFoundError, "no such split"),
        ({"model": "none"}, FileNotFoundError, "none"),
        ({"data_dir": "none"}, FileNotFoundError, "none"),
    ],
)
def test_bad_input_is_named_and_nothing_is_written(
    root, tmp_path, change, error, message
):
    with pytest.raises(error, match=message):
        run(root, output_dir=str(tmp_path / "out"), **change)
    assert not (tmp_path / "out").exists()


def test_a_damaged_shard_is_named(root, tmp_path):
    folder = write_records(tmp_path / "data", "train", 2)
    write_records(tmp_path / "data", "test", 2)
    shard = next((tmp_path / "data").glob("test-*.tfrecord"))
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    with pytest.raises(io.FormatError, match=shard.name):
        run(root, data_dir=folder)


def test_data_of_another_grid_are_refused(root, tmp_path):
    folder = write_records(tmp_path, "test", 1, n=16)
    with pytest.raises(io.FormatError, match=r"8\^3 .* 16\^3"):
        run(root, data_dir=folder)
