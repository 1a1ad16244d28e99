"""Claims of tfrender.io.binvox; rows of the fault table as parameters."""

import logging

import numpy as np
import pytest

from tfrender import io


def header(dim="2 2 2", translate="0 0 0", scale="1"):
    return (
        f"#binvox 1\ndim {dim}\ntranslate {translate}\nscale {scale}\ndata\n".encode()
    )


FULL = bytes([1, 8])
GOOD = header() + FULL


def decode(data, **options):
    return io.decode_binvox(data, "x.binvox", **options)


def slow_encode(grid):
    """The format as a loop: x slowest, then z, then y fastest."""
    runs = []
    for x in range(grid.shape[0]):
        for z in range(grid.shape[2]):
            for y in range(grid.shape[1]):
                value = int(grid[x, y, z])
                if runs and runs[-1][0] == value and runs[-1][1] < 255:
                    runs[-1][1] += 1
                else:
                    runs.append([value, 1])
    return bytes(byte for run in runs for byte in run)


@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 7, 3), (16, 16, 16), (2, 255, 3)])
@pytest.mark.parametrize("density", [0.0, 0.05, 0.5, 1.0])
def test_any_grid_survives_a_round_trip_and_matches_the_loop(shape, density):
    grid = np.random.default_rng(1).random(shape) < density
    data = io.encode_binvox(grid, (0.1, -2.5e-7, 3), 1.25)
    assert data.split(b"data\n", 1)[1] == slow_encode(grid)
    back = decode(data)
    np.testing.assert_array_equal(back.occupancy, grid)
    assert back.occupancy.dtype == bool
    assert back.translate.tolist() == [0.1, -2.5e-7, 3.0] and back.scale == 1.25


def test_y_runs_fastest_in_the_file_and_second_in_memory():
    grid = np.zeros([4, 4, 4], bool)  # an L: three along y, two along z
    grid[1, 0:3, 2] = True
    grid[1, 0, 2:4] = True
    offset = 1 * 16 + 2 * 4
    assert slow_encode(grid)[:4] == bytes([0, offset, 1, 3])
    assert io.encode_binvox(grid).split(b"data\n", 1)[1][:4] == bytes([0, offset, 1, 3])


@pytest.mark.parametrize("kind", [bool, np.uint8, np.int64, np.float32])
def test_the_writer_takes_zeros_and_ones_of_any_type(kind, tmp_path):
    grid = np.eye(3)[..., None].repeat(3, -1).astype(kind)
    io.write_binvox(tmp_path / "a" / "x.binvox", grid)
    back = io.read_binvox(tmp_path / "a" / "x.binvox")
    np.testing.assert_array_equal(back.occupancy, grid.astype(bool))


@pytest.mark.parametrize(
    "data",
    [
        b"#binvox 1\r\ndim 2 2 2\r\ntranslate 0 0 0\r\nscale 1\r\ndata\r\n" + FULL,
        b"#binvox 1\nscale 1\ntranslate 0 0 0\ndim 2 2 2\ndata\n" + FULL,
        b"#binvox 1\n# by hand\n\ndim 2 2 2\ntranslate 0 0 0\nscale 1\ndata\n" + FULL,
        header() + bytes([0, 0, 1, 8, 1, 0]),  # runs of length zero
        header() + bytes([1, 3, 1, 5]),
    ],
    ids=["crlf", "order", "comment", "zero runs", "split run"],
)
def test_harmless_variants_are_accepted(data):
    assert decode(data).occupancy.all()


def test_the_data_line_ends_with_one_newline_byte():
    data = header("1 5 2") + b"\x0a\x05\x00\x05"  # the first run looks like one
    occupancy = decode(data, strict=False).occupancy
    # dim is X Z Y: five slices of z, two of y; the first five voxels are filled.
    assert occupancy.shape == (1, 2, 5)
    np.testing.assert_array_equal(occupancy[0].T.ravel(), [True] * 5 + [False] * 5)


@pytest.mark.parametrize(
    "data, words",
    [
        (b"", "starts with '#binvox'"),
        (b"\x89PNG" + GOOD, "starts with '#binvox'"),
        (header()[:-5] + FULL, "`data` line"),
        (b"#binvox 1\n" + b"#" * 9000, "`data` line"),
        (header(), "8 voxels"),
        (header() + bytes([1, 7]), "8 voxels"),
        (header() + bytes([1, 9]), "got 9"),
        (GOOD + b"\x01", "pairs"),
        (header() + bytes([7, 8]), "got 7"),
        (header("-2 -2 2") + FULL, "at least 1"),
        (header("0 2 2") + FULL, "at least 1"),
        (header("2 2") + FULL, "3 int"),
        (header("2 2 2.5") + FULL, "3 int"),
        (header(scale="0") + FULL, "scale above 0"),
        (header(scale="nan") + FULL, "scale above 0"),
        (header(translate="0 nan 0") + FULL, "finite translate"),
        (header(translate="0 0") + FULL, "3 float"),
        (b"#binvox 1\ndim 2 2 2\nscale 1\ndata\n" + FULL, "`translate`"),
        (b"#binvox 1\nscale 1\ntranslate 0 0 0\ndata\n" + FULL, "`dim`"),
        (GOOD.replace(b"scale", b"scald"), "scald"),
        (GOOD.replace(b"scale", b"dim 2 2 2\nscale"), "one `dim`"),
    ],
)
def test_broken_files_are_refused_with_the_path_and_the_reason(data, words):
    with pytest.raises(io.FormatError) as error:
        decode(data)
    assert str(error.value).startswith("x.binvox: ") and words in str(error.value)
    assert "\n" not in str(error.value)


def test_a_huge_grid_is_refused_from_the_header(tmp_path):
    path = tmp_path / "bomb.binvox"
    path.write_bytes(header("100000 100000 100000") + bytes([1, 255]) * 2**16)
    with pytest.raises(io.LimitError, match="1024"):
        io.read_binvox(path)
    with pytest.raises(io.LimitError, match="16 voxels"):
        decode(header("17 1 1") + bytes([1, 17]), max_side=16)
    assert decode(header("16 1 1") + bytes([1, 16]), max_side=16).occupancy.all()


def test_more_bytes_than_the_grid_can_need_are_not_read(tmp_path):
    path = tmp_path / "long.binvox"
    path.write_bytes(header() + bytes([1, 0]) * 100000)
    with pytest.raises(io.LimitError, match="bytes for 2 x 2 x 2"):
        io.read_binvox(path)


def test_tolerant_reading_warns_once_and_goes_on(caplog):
    data = header().replace(b"translate 0 0 0\n", b"maker me\n") + bytes([7, 8])
    with caplog.at_level(logging.WARNING):
        decoded = decode(data, strict=False)
    assert decoded.occupancy.all() and decoded.translate.tolist() == [0, 0, 0]
    assert [r.getMessage().count("\n") for r in caplog.records] == [0, 0, 0]


def test_a_missing_file_is_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        io.read_binvox(tmp_path / "none.binvox")


@pytest.mark.parametrize(
    "arguments",
    [
        (np.zeros([2, 2]),),
        (np.zeros([0, 2, 2]),),
        (np.full([2, 2, 2], 0.3),),
        (np.full([2, 2, 2], np.nan),),
        (np.zeros([2, 2, 2]), (0, 0), 1),
        (np.zeros([2, 2, 2]), (0, 0, np.inf), 1),
        (np.zeros([2, 2, 2]), (0, 0, 0), -1),
    ],
)
def test_the_writer_refuses_bad_arguments_and_writes_nothing(arguments, tmp_path):
    with pytest.raises(ValueError):
        io.write_binvox(tmp_path / "x.binvox", *arguments)
    assert not list(tmp_path.iterdir())
