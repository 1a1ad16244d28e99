"""MATLAB files: what is written comes back, and what is broken is named."""

import numpy as np
import pytest
import scipy.io

from tfrender import io


@pytest.fixture
def path(tmp_path):
    return tmp_path / "camera.mat"


def test_arrays_come_back_as_they_were(path):
    arrays = {"pos": np.array([1.5, -2, 3]), "extrinsic": np.arange(16.0).reshape(4, 4)}
    arrays["count"] = np.arange(6, dtype=np.int32).reshape(2, 3)
    io.write_mat(path, arrays)
    assert [p.name for p in path.parent.iterdir()] == ["camera.mat"]
    assert io.read_mat(path, "pos").shape == (1, 3)  # MATLAB's
    np.testing.assert_array_equal(io.read_mat(path, "pos", (3,)), arrays["pos"])
    for name in ("extrinsic", "count"):
        found = io.read_mat(path, name, arrays[name].shape)
        np.testing.assert_array_equal(found, arrays[name])
        assert found.dtype == arrays[name].dtype
    io.write_mat(path, {"x": np.float32(2.0)})
    assert io.read_mat(path, "x", ()) == 2.0 and io.read_mat(path, "x", (1,)) == [2.0]


@pytest.mark.parametrize("stored", [(3, 1), (1, 3), (3,)])
def test_axes_of_one_that_matlab_adds_are_taken_away(path, stored):
    io.write_mat(path, {"pos": np.arange(3.0).reshape(stored)})
    np.testing.assert_array_equal(io.read_mat(path, "pos", (3,)), [0, 1, 2])
    np.testing.assert_array_equal(io.read_mat(path, "pos", (None, 3)), [[0, 1, 2]])
    with pytest.raises(io.FormatError, match=r"camera\.mat: .*'pos' of shape \[4\]"):
        io.read_mat(path, "pos", (4,))


def test_version_4_is_read(path):
    scipy.io.savemat(path, {"points": np.ones([2, 3])}, format="4")
    assert io.read_mat(path, "points", (None, 3)).shape == (2, 3)


def test_what_is_not_there_is_told_with_what_is(path):
    io.write_mat(path, {"b": np.ones(2), "a": np.ones(2)})
    with pytest.raises(io.FormatError, match="the array 'pos'; found a, b"):
        io.read_mat(path, "pos")
    with pytest.raises(FileNotFoundError):
        io.read_mat(path.with_name("none.mat"), "pos")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (np.array([1.0, np.nan, np.inf]), "2 of 3 are NaN or infinite"),
        ("text", "expected real numbers in 'x'; got MATLAB's char"),
        (np.array([1j]), "expected real numbers"),
        (np.array([{"a": 1}], object), "expected real numbers"),
    ],
)
def test_what_is_no_finite_number_is_refused(path, value, words):
    scipy.io.savemat(path, {"x": value})
    with pytest.raises(io.FormatError, match=rf"camera\.mat: .*{words}"):
        io.read_mat(path, "x")


def test_every_truncation_and_junk_is_refused_in_one_line(path):
    io.write_mat(path, {"x": np.random.default_rng(0).random((20, 3))})
    whole = path.read_bytes()
    cuts = [whole[: len(whole) * k // 16] for k in range(16)]
    for data in (*cuts, b"junk" * 100, b"\x00" * 600, bytes(range(256)) * 3):
        path.write_bytes(data)
        with pytest.raises(io.FormatError, match=r"camera\.mat: ") as error:
            io.read_mat(path, "x")
        assert "\n" not in str(error.value)


def test_a_flipped_bit_gives_an_error_or_an_array(path):
    io.write_mat(path, {"x": np.arange(60.0).reshape(20, 3)})
    whole = path.read_bytes()
    for place in range(0, len(whole), 7):
        path.write_bytes(
            whole[:place] + bytes([whole[place] ^ 16]) + whole[place + 1 :]
        )
        try:
            assert np.isfinite(io.read_mat(path, "x")).all()
        except (io.FormatError, io.LimitError):
            pass


@pytest.mark.parametrize("place", [0, 512])
def test_version_7_3_is_told_how_to_save(path, place):
    path.write_bytes(b" " * place + b"\x89HDF\r\n\x1a\n" + b" " * 100)
    with pytest.raises(io.FormatError, match=r"version 7.3 \(HDF5\). Save it with -v7"):
        io.read_mat(path, "x")


def test_sizes_are_limited_before_anything_is_unpacked(path):
    io.write_mat(path, {"x": np.zeros([1000, 100])})
    assert path.stat().st_size < 4000
    with pytest.raises(io.LimitError, match="expected at most 5000 bytes in 'x'"):
        io.read_mat(path, "x", max_bytes=5000)
    with pytest.raises(io.LimitError, match="expected at most 10 bytes; got"):
        io.read_mat(path, "x", max_bytes=10)


def test_bad_arrays_are_not_written(path):
    for arrays in ({"2a": np.ones(2)}, {"a": "text"}, {"a b": np.ones(1)}):
        with pytest.raises(ValueError, match="`arrays`: expected"):
            io.write_mat(path, arrays)
    assert not path.exists()
