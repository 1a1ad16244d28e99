"""Claims of tfrender.io.arrays."""

import zipfile

import numpy as np
import pytest

from tests.io.test_mutants import mutants
from tfrender import io

ARRAYS = {
    "a": np.arange(12.0).reshape(3, 4),
    "b": np.asfortranarray(np.arange(6, dtype=np.int16).reshape(2, 3)),
    "c": np.array(3.5),
    "d": np.zeros([0, 2], np.uint8),
}


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_come_back(tmp_path, save):
    save(tmp_path / "x.npz", **ARRAYS)
    found = io.read_npz(tmp_path / "x.npz")
    assert list(found) == list(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype


def test_pickles_are_refused(tmp_path):
    np.save(tmp_path / "x.npy", np.array([{}], object))
    np.savez(tmp_path / "x.npz", a=np.array([{}], object))
    with pytest.raises(io.FormatError, match="pickled"):
        io.read_npy(tmp_path / "x.npy")
    with pytest.raises(io.FormatError, match="pickled"):
        io.read_npz(tmp_path / "x.npz")


def test_what_is_announced_is_checked_before_it_is_unpacked(tmp_path):
    np.savez_compressed(tmp_path / "x.npz", a=np.zeros(2**20), b=np.zeros(2**20))
    assert (tmp_path / "x.npz").stat().st_size < 50_000
    with pytest.raises(io.LimitError, match="expected at most"):
        io.read_npz(tmp_path / "x.npz", max_bytes=12 * 2**20)
    path = tmp_path / "y.npy"
    np.save(path, np.zeros(4))
    path.write_bytes(path.read_bytes().replace(b"(4,), ", b"(9999999999999,), ")[:-12])
    with pytest.raises((io.LimitError, io.FormatError)):
        io.read_npy(path)


def test_other_files_are_refused_by_name(tmp_path):
    (tmp_path / "x.npz").write_bytes(b"nothing at all")
    with pytest.raises(io.FormatError, match="x.npz: expected an npz file"):
        io.read_npz(tmp_path / "x.npz")
    with zipfile.ZipFile(tmp_path / "y.npz", "w") as archive:
        archive.writestr("a.npy", "text")
    with pytest.raises(io.FormatError, match="y.npz"):
        io.read_npz(tmp_path / "y.npz")
    with pytest.raises(FileNotFoundError):
        io.read_npy(tmp_path / "none.npy")


@pytest.mark.parametrize("suffix", ["npy", "npz"])
def test_broken_files_are_arrays_or_refused(tmp_path, suffix):
    path = tmp_path / f"x.{suffix}"
    if suffix == "npy":
        np.save(path, ARRAYS["a"])
        read = io.read_npy
    else:
        np.savez_compressed(path, **ARRAYS)
        read = io.read_npz
    for data in mutants(path.read_bytes()):
        path.write_bytes(data)
        try:
            read(path, max_bytes=10_000)
        except (io.FormatError, io.LimitError):
            continue
