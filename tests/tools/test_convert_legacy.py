"""Claims of tools.convert_legacy."""

import pytest

from datasets import records
from datasets.mesh_reconstruction import pipeline, published
from datasets.rendernet import examples
from tests.datasets.objects import noise_object
from tests.datasets.shapes import noise_example
from tests.tools import programs
from tfrender import io
from tfrender.io import FormatError
from tools import convert_legacy


@pytest.fixture
def flags(tmp_path):
    for k in range(3):
        name = f"m{k % 2}_p{k}_t60_r3.3.png"
        io.write_png(tmp_path / "images" / name, noise_example(k)[0])
        io.write_binvox(tmp_path / "binvox" / f"m{k}.binvox", noise_example(k)[1])
    return {
        "image_path": str(tmp_path / "images"),
        "model_path": str(tmp_path / "binvox"),
        "npz_dir": None,
        "classes": None,
        "output": str(tmp_path / "out"),
        "split": "validation",
        "overwrite": False,
    }


def test_pictures_become_a_split_that_tells_its_origin(flags, capsys):
    programs.run_inside(convert_legacy, **flags)
    printed = capsys.readouterr().out
    assert "validation: 3 pictures of 2 objects" in printed
    found = records.read_split(flags["output"], "validation", examples.SCHEMA)
    assert found.records == 3 and found.metadata["models"] == flags["model_path"]


def test_a_finished_split_is_replaced_only_when_asked(flags, tmp_path):
    programs.run_inside(convert_legacy, **flags)
    with pytest.raises(ValueError, match="exists"):
        programs.run_inside(convert_legacy, **flags)
    next((tmp_path / "images").iterdir()).unlink()
    programs.run_inside(convert_legacy, **{**flags, "overwrite": True})
    assert records.verify_shards(flags["output"], "validation") == 2


def test_a_bad_picture_is_named_and_leaves_nothing(flags, tmp_path):
    (tmp_path / "images" / "m1_p4_t60_r3.3.png").write_bytes(b"no picture")
    with pytest.raises(FormatError, match="m1_p4_t60_r3.3.png"):
        programs.run_inside(convert_legacy, **flags)
    assert not list((tmp_path / "out").iterdir())


@pytest.fixture
def npz(flags, tmp_path):
    for number, split in enumerate(("train", "validation", "test")):
        objects = zip(noise_object(number), noise_object(9), strict=True)
        published.write(str(tmp_path / "npz"), "03001627", split, *objects)
    alone = {"image_path": None, "model_path": None, "split": None}
    return {**flags, **alone, "npz_dir": str(tmp_path / "npz")}


def test_npz_files_become_every_split_that_is_there(npz, tmp_path, capsys):
    programs.run_inside(convert_legacy, **npz)
    assert "validation: 2 objects of 1 classes" in capsys.readouterr().out
    assert records.splits(npz["output"]) == ["test", "train", "validation"]
    (batch,) = pipeline.evaluation_batches(npz["output"], "validation", 99, views=[3])
    assert (batch["voxels"][0].numpy() == noise_object(1)[1]).all()
    with pytest.raises(ValueError, match="exists"):
        programs.run_inside(convert_legacy, **npz)
    npz = {**npz, "classes": ["chair"], "output": str(tmp_path / "other")}
    programs.run_inside(convert_legacy, **{**npz, "split": "test"})
    assert records.splits(npz["output"]) == ["test"]
    with pytest.raises(ValueError, match="no class 'car'; there are 03001627"):
        programs.run_inside(convert_legacy, **{**npz, "classes": ["car"]})


@pytest.mark.parametrize(
    "change",
    [
        {"image_path": None},
        {"model_path": None},
        {"image_path": None, "model_path": None},
        {"npz_dir": "folder"},
        {"split": None},
        {"classes": ["chair"]},
    ],
)
def test_flags_that_do_not_fit_are_refused(flags, change):
    with pytest.raises(
        ValueError,
        match="expected --image_path with|--split: expected|--classes is for --npz_dir",
    ):
        programs.run_inside(convert_legacy, **{**flags, **change})
