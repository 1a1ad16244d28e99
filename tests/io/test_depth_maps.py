"""Claims of tfrender.io.depth_maps."""

import struct
import zlib

import numpy as np
import pytest

from tests.io.test_mutants import mutants
from tfrender import io

DEPTH = np.random.default_rng(0).uniform(0.5, 9.0, [5, 7]).astype(np.float32)
DEPTH[0, :3] = 0.0


def write_exr(path, channels, header=None):
    openexr = pytest.importorskip("OpenEXR")
    with openexr.File(header or {}, channels) as file:
        file.write(str(path))
    return path


def write_png16(path, values, bits=16, kind=0):
    """A grey PNG by hand; Pillow is not asked how it writes 16 bits."""

    def chunk(name, data):
        body = name + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    height, width = values.shape
    head = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
    typed = values.astype(">u2" if bits == 16 else np.uint8)
    rows = b"".join(b"\0" + row.tobytes() for row in typed)
    chunks = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunks + chunk(b"IEND", b""))
    return path


def test_what_is_written_is_read_and_missing_is_inf_in_the_file(tmp_path):
    path = tmp_path / "a.exr"
    io.write_depth_exr(path, DEPTH[..., np.newaxis])
    np.testing.assert_array_equal(io.read_depth(path), DEPTH)
    openexr = pytest.importorskip("OpenEXR")
    with openexr.File(str(path), separate_channels=True) as file:
        stored = file.channels()["R"].pixels
    np.testing.assert_array_equal(np.isinf(stored), DEPTH == 0.0)
    assert [p.name for p in tmp_path.iterdir()] == ["a.exr"]


@pytest.mark.parametrize("depth", [DEPTH[0], -DEPTH, DEPTH * np.nan])
def test_no_file_is_left_of_what_is_no_depth(tmp_path, depth):
    with pytest.raises(ValueError, match="`depth` must be"):
        io.write_depth_exr(tmp_path / "a.exr", depth)
    assert not list(tmp_path.iterdir())


def test_the_first_channel_of_a_color_file_counts(tmp_path):
    color = np.stack([DEPTH, DEPTH + 1, DEPTH + 2], axis=-1)
    path = write_exr(tmp_path / "a.exr", {"RGB": color})
    np.testing.assert_array_equal(io.read_depth(path), DEPTH)


def test_half_floats_and_other_names_are_read(tmp_path):
    half = DEPTH.astype(np.float16)
    path = write_exr(tmp_path / "a.exr", {"Z": half, "A": half * 0 + 1})
    np.testing.assert_array_equal(io.read_depth(path), half.astype(np.float32))


def test_a_part_of_the_picture_is_put_in_its_place(tmp_path):
    window = (np.array([0, 0], np.int32), np.array([9, 7], np.int32))
    data = (np.array([2, 1], np.int32), np.array([8, 5], np.int32))
    header = {"displayWindow": window, "dataWindow": data}
    depth = io.read_depth(write_exr(tmp_path / "a.exr", {"Z": DEPTH}, header))
    assert depth.shape == (8, 10)
    np.testing.assert_array_equal(depth[1:6, 2:9], DEPTH)
    assert depth.sum() == pytest.approx(DEPTH.sum())


@pytest.mark.parametrize("kind", [np.float64, np.float32, np.int32, np.uint16])
def test_npy_of_any_number_is_read_with_its_scale(tmp_path, kind):
    values = np.rint(DEPTH * 10).astype(kind)
    np.save(tmp_path / "a.npy", values[..., np.newaxis])
    depth = io.read_depth(tmp_path / "a.npy", scale=0.1)
    np.testing.assert_allclose(depth, values * 0.1, rtol=1e-6)
    assert depth.dtype == np.float32


def test_png_has_16_bits(tmp_path):
    values = np.rint(DEPTH * 1000).astype(np.uint16)
    depth = io.read_depth(write_png16(tmp_path / "a.png", values), scale=0.001)
    np.testing.assert_allclose(depth, values * 0.001, rtol=1e-6)


@pytest.mark.parametrize(
    "value, message",
    [(np.nan, "got nan at"), (-1.0, "got -1.0 at"), (-np.inf, "got -inf at")],
)
@pytest.mark.parametrize("suffix", ["exr", "npy"])
def test_what_is_no_depth_is_refused_with_its_place(tmp_path, suffix, value, message):
    path, depth = tmp_path / f"a.{suffix}", DEPTH.copy()
    depth[3, 2] = value
    if suffix == "exr":
        write_exr(path, {"R": depth})
    else:
        np.save(path, depth)
    with pytest.raises(io.FormatError, match=message) as error:
        io.read_depth(path)
    assert str(path) in str(error.value) and "(3, 2)" in str(error.value)


def test_inf_is_missing_and_so_is_what_is_too_large():
    found = io.clean_depth(np.array([np.inf, 0.0, 2.0, 1e300]), "x")
    np.testing.assert_array_equal(found, np.float32([0.0, 0.0, 2.0, 0.0]))


def test_wrong_files_are_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros([2, 3, 3]))
    np.save(tmp_path / "b.npy", np.array([["a"]]))
    (tmp_path / "c.exr").write_bytes(b"nothing")
    (tmp_path / "d.png").write_bytes(b"nothing")
    (tmp_path / "e.tif").write_bytes(b"nothing")
    write_png16(tmp_path / "f.png", DEPTH, bits=8)
    write_exr(tmp_path / "g.exr", {"Z": np.ones([2, 2], np.uint32)})
    for name, message in (
        ("a.npy", r"expected numbers \[H, W\]; got float64 \[2, 3, 3\]"),
        ("b.npy", r"expected numbers \[H, W\]"),
        ("c.exr", "expected OpenEXR"),
        ("d.png", "expected a PNG"),
        ("e.tif", "ends in .exr, .npy, .png"),
        ("f.png", "expected 16-bit grey; got 8 bits"),
        ("g.exr", "expected float"),
    ):
        with pytest.raises(io.FormatError, match=message):
            io.read_depth(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        io.read_depth(tmp_path / "none.exr")


@pytest.mark.parametrize("suffix", ["exr", "npy", "png"])
def test_size_is_checked_before_anything_is_decoded(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    if suffix == "exr":
        write_exr(path, {"R": DEPTH})
    elif suffix == "npy":
        np.save(path, DEPTH)
    else:
        write_png16(path, DEPTH)
    with pytest.raises(io.LimitError, match="expected at most"):
        io.read_depth(path, max_pixels=10)


@pytest.mark.parametrize("suffix", ["exr", "npy", "png"])
def test_broken_files_are_depths_or_refused(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    if suffix == "exr":
        io.write_depth_exr(path, DEPTH)
    elif suffix == "npy":
        np.save(path, DEPTH)
    else:
        write_png16(path, DEPTH)
    for data in mutants(path.read_bytes(), 90):
        path.write_bytes(data)
        try:
            depth = io.read_depth(path, max_pixels=10_000)
        except (io.FormatError, io.LimitError):
            continue
        assert depth.ndim == 2 and np.isfinite(depth).all() and (depth >= 0).all()
