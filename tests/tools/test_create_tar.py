"""Claims of tools.create_tar."""

import os
import subprocess
import sys

import numpy as np
import pytest

from tfrender import io
from tools import create_tar


@pytest.fixture
def folder(tmp_path):
    images = tmp_path / "images"
    (images / "sub").mkdir(parents=True)
    for k in (2, 0, 1):
        io.write_png(images / f"i{k}.png", np.full([2, 2], k / 255))
    io.write_png(images / "sub" / "deep.png", np.zeros([2, 2]))
    (images / "note.txt").write_text("no image")
    return images


def run(*flags):
    return subprocess.run(
        [sys.executable, "-m", "tools.create_tar", *flags],
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("compress", [False, True])
def test_every_image_comes_out_once_in_order(folder, tmp_path, compress):
    path = tmp_path / "x.tar"
    assert create_tar.create_tar(folder, path, compress=compress) == 3
    members = dict(io.iter_tar(path))
    assert list(members) == ["i0.png", "i1.png", "i2.png"]
    for k in range(3):
        assert (io.decode_image(members[f"i{k}.png"], "x") == k).all()
    assert (path.read_bytes()[:2] == b"\x1f\x8b") == compress


def test_the_archive_may_lie_in_its_own_folder(folder):
    for _ in range(2):
        assert create_tar.create_tar(folder, folder / "all.tar", "*") == 4
    names = [name for name, _ in io.iter_tar(folder / "all.tar")]
    assert names == ["i0.png", "i1.png", "i2.png", "note.txt"]


def test_the_program_takes_a_bare_boolean_flag(folder, tmp_path):
    path = tmp_path / "x.tar"
    flags = f"--images_path={folder}", f"--save_path={path}"
    done = run(*flags, "--to_compress")
    assert done.returncode == 0, done.stderr
    assert "3 files" in done.stdout and path.read_bytes()[:2] == b"\x1f\x8b"
    done = run(*flags, "--to_compress=false", "--file_format=*.txt")
    assert "1 files" in done.stdout and path.read_bytes()[:2] != b"\x1f\x8b"


def test_mistakes_give_one_line_and_no_archive(folder, tmp_path):
    path = tmp_path / "x.tar"
    done = run(f"--images_path={folder}", f"--save_path={path}", "--file_format=*.gif")
    assert done.returncode == 1 and "*.gif" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    with pytest.raises(FileNotFoundError, match="folder"):
        create_tar.create_tar(tmp_path / "none", path)
    assert sorted(os.listdir(tmp_path)) == ["images"]
