"""Claims of tfrender.io.atomic."""

import os
import subprocess
import sys

import pytest

from tfrender import io


def test_a_file_appears_only_when_its_block_succeeds(tmp_path):
    path = tmp_path / "deep" / "x.bin"
    with io.write_file(path) as file:
        file.write(b"one")
        assert not path.exists()
    assert path.read_bytes() == b"one"
    with pytest.raises(RuntimeError), io.write_file(path) as file:
        file.write(b"half")
        raise RuntimeError
    assert path.read_bytes() == b"one"
    assert os.listdir(path.parent) == ["x.bin"]


def test_text_has_unix_line_ends(tmp_path):
    with io.write_file(tmp_path / "x", "w") as file:
        file.write("ä\n")
    assert (tmp_path / "x").read_bytes() == b"\xc3\xa4\n"
    with pytest.raises(ValueError, match="mode"), io.write_file(tmp_path / "x", "a"):
        pass


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    path = tmp_path / "d"
    with pytest.raises(RuntimeError), io.build_directory(path) as folder:
        open(os.path.join(folder, "half"), "w").close()
        raise RuntimeError
    assert not list(tmp_path.iterdir())
    with io.build_directory(path) as folder:
        open(os.path.join(folder, "one"), "w").close()
        assert not path.exists()
    assert os.listdir(path) == ["one"]


def test_an_existing_folder_is_replaced_only_on_request(tmp_path):
    path = tmp_path / "d"
    path.mkdir()
    (path / "old").touch()
    with pytest.raises(FileExistsError), io.build_directory(path):
        pass
    with pytest.raises(RuntimeError), io.build_directory(path, overwrite=True):
        raise RuntimeError
    assert os.listdir(path) == ["old"]
    with io.build_directory(path, overwrite=True) as folder:
        open(os.path.join(folder, "new"), "w").close()
    assert os.listdir(path) == ["new"] and os.listdir(tmp_path) == ["d"]


def test_importing_the_readers_loads_no_heavy_library():
    # Keras itself loads some of them where they are installed.
    code = (
        "import sys, tensorflow, keras; before = set(sys.modules); import tfrender.io; "
        "print((set(sys.modules) - before) & set(sys.argv[1:]))"
    )
    heavy = ["trimesh", "scipy", "PIL", "matplotlib", "tensorflow_datasets"]
    command = [sys.executable, "-c", code, *heavy]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
