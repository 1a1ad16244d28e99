"""Claims of tfrender.io.images."""

import io as bytes_io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from tfrender import io
from tfrender.io import images


def encode(array, kind="PNG", **options):
    out = bytes_io.BytesIO()
    image = array if isinstance(array, Image.Image) else Image.fromarray(array)
    image.save(out, kind, **options)
    return out.getvalue()


def chunk(name, body):
    length, check = len(body), zlib.crc32(name + body)
    return struct.pack(">I", length) + name + body + struct.pack(">I", check)


def png(width, height, depth, color, rows):
    head = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    body = chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + body + chunk(b"IEND", b"")


RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, [5, 7, 3], np.uint8)
RGBA = RNG.integers(0, 256, [5, 7, 4], np.uint8)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_png_round_trip_is_exact(channels, tmp_path):
    image = RNG.integers(0, 256, [5, 7, channels], np.uint8)
    io.write_png(tmp_path / "x.png", image)
    np.testing.assert_array_equal(io.read_image(tmp_path / "x.png"), image)


def test_channels_are_expanded_and_grey_leaves_alpha_out():
    data = encode(RGBA)
    grey = io.decode_image(data, "x", 1)
    expected = np.rint(RGBA[..., :3].mean(-1, keepdims=True))
    np.testing.assert_allclose(grey, expected, atol=0.51)
    np.testing.assert_array_equal(io.decode_image(data, "x", 3), RGBA[..., :3])
    opaque = io.decode_image(encode(RGB), "x", 4)
    np.testing.assert_array_equal(opaque[..., :3], RGB)
    assert (opaque[..., 3] == 255).all()
    spread = io.decode_image(encode(RGB[..., 0]), "x", 3)
    np.testing.assert_array_equal(spread, RGB[..., :1].repeat(3, -1))


def test_palette_grey_alpha_bits_and_16_bit_are_understood():
    palette = Image.fromarray(RGB).quantize(8)
    expected = np.array(palette.convert("RGBA"))
    np.testing.assert_array_equal(io.decode_image(encode(palette), "x", 4), expected)
    grey_alpha = np.stack([RGB[..., 0], RGB[..., 1]], -1)
    decoded = io.decode_image(encode(grey_alpha), "x")
    np.testing.assert_array_equal(decoded[..., [0, 3]], grey_alpha)
    bits = Image.fromarray(RGB[..., 0] > 127)
    decoded = io.decode_image(encode(bits), "x")
    np.testing.assert_array_equal(decoded[..., 0], (RGB[..., 0] > 127) * 255)
    deep = RNG.integers(0, 65536, [5, 7], np.uint16)
    decoded = io.decode_image(encode(Image.fromarray(deep)), "x")
    np.testing.assert_array_equal(decoded[..., 0], deep >> 8)


def test_jpeg_is_known_by_its_bytes_whatever_its_name(tmp_path):
    smooth = np.tile(np.arange(0, 64, 2, dtype=np.uint8), [32, 1])
    (tmp_path / "x.png").write_bytes(encode(smooth, "JPEG", quality=95))
    assert (
        np.abs(io.read_image(tmp_path / "x.png")[..., 0] - smooth.astype(int)).max() < 6
    )


def test_exif_orientation_is_ignored():
    exif = Image.Exif()
    exif[274] = 6
    data = encode(RGB, "JPEG", exif=exif)
    assert io.decode_image(data, "x").shape == RGB.shape


@pytest.mark.parametrize("width, height", [(60000, 60000), (12000, 12000), (16385, 1)])
def test_a_huge_image_is_refused_from_its_header(width, height):
    rows = bytes(1 + (width + 7) // 8) * min(height, 2)
    data = png(width, height, 1, 0, rows)
    with pytest.raises(io.LimitError, match="x.png"):
        io.decode_image(data, "x.png")
    with pytest.raises(io.LimitError, match="x.png"):
        images.check_header(data, "x.png")


def test_the_pixel_limit_is_an_argument():
    with pytest.raises(io.LimitError, match="34"):
        io.decode_image(encode(RGB), "x.png", max_pixels=34)
    assert io.decode_image(encode(RGB), "x.png", max_pixels=35).shape == RGB.shape


def flip(data, position):
    return data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]


PNG_DATA = encode(RGB)
JPEG_DATA = encode(RNG.integers(0, 256, [64, 64, 3], np.uint8), "JPEG")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"random bytes, no image",
        encode(RGB, "GIF"),
        encode(RGB, "BMP"),
        PNG_DATA[: len(PNG_DATA) // 2],
        PNG_DATA[:-12],
        PNG_DATA[:10],
        flip(PNG_DATA, PNG_DATA.index(b"IDAT") + 12),
        flip(PNG_DATA, len(PNG_DATA) - 18),
        png(0, 5, 8, 0, b""),
        png(4, 4, 8, 0, b"\0\0\0"),
        JPEG_DATA[: len(JPEG_DATA) // 2],
        JPEG_DATA[:20],
        encode(Image.fromarray(RGBA, "CMYK"), "JPEG"),
    ],
    ids="empty random gif bmp half no-end head bad-crc bad-tail zero short jpeg-half "
    "jpeg-head cmyk".split(),
)
def test_broken_and_foreign_images_are_refused_with_the_path(data):
    with pytest.raises(io.FormatError) as error:
        io.decode_image(data, "dir/x.png")
    assert str(error.value).startswith("dir/x.png: ")


def test_only_the_head_of_a_foreign_file_is_read(tmp_path):
    with open(tmp_path / "big.bin", "wb") as file:
        file.truncate(2**40)  # sparse; reading it would end the test machine
    with pytest.raises(io.FormatError):
        io.read_image(tmp_path / "big.bin")
    with pytest.raises(FileNotFoundError):
        io.read_image(tmp_path / "none.png")


def test_floats_are_rounded_and_range_checked(tmp_path):
    ramp = np.linspace(0, 1, 256).reshape(16, 16)
    io.write_png(tmp_path / "x.png", ramp)
    found = io.read_image(tmp_path / "x.png")[..., 0]
    np.testing.assert_array_equal(found.reshape(-1), np.arange(256))
    assert io.to_uint8(np.full([1, 1], 1.0005)).item() == 255
    assert io.to_uint8(np.ones([1, 1], bool)).item() == 255
    bad = [1.1, -0.1, np.nan, np.inf]
    for value in bad:
        with pytest.raises(ValueError, match=r"\[0, 1\]"):
            io.write_png(tmp_path / "y.png", np.full([2, 2, 3], value))
    for shape in [(2,), (2, 2, 2), (2, 2, 5), (0, 2, 3)]:
        with pytest.raises(ValueError, match="shape"):
            io.write_png(tmp_path / "y.png", np.zeros(shape))
    with pytest.raises(ValueError, match="int64"):
        io.write_png(tmp_path / "y.png", np.zeros([2, 2, 3], np.int64))
    assert not (tmp_path / "y.png").exists()


def test_a_gif_loops_and_shows_the_frames(tmp_path):
    column = np.linspace(0, 1, 40)
    ramp = np.broadcast_to(column[None, :, None], [30, 40, 3])
    frames = [np.roll(ramp, 5 * k, axis=1) for k in range(6)]
    io.write_gif(tmp_path / "x.gif", frames, fps=20)
    with Image.open(tmp_path / "x.gif") as film:
        assert film.n_frames == 6 and film.info["loop"] == 0
        assert film.info["duration"] == 50
        for k, frame in enumerate(frames):
            film.seek(k)
            found = np.array(film.convert("RGB")) / 255
            assert np.abs(found - frame).max() < 0.02


def test_a_gif_refuses_nothing_mixed_sizes_and_odd_speeds(tmp_path):
    path, frame = tmp_path / "x.gif", np.zeros([4, 4, 3])
    for frames, fps in [
        ([], 10),
        ([frame, frame[:2]], 10),
        ([frame], 0),
        ([frame], 99),
    ]:
        with pytest.raises(ValueError):
            io.write_gif(path, frames, fps)
    assert not path.exists()
    io.write_gif(path, [np.zeros([4, 4, 4])])  # transparent black lies over white
    with Image.open(path) as film:
        assert (np.array(film.convert("RGB")) == 255).all()


def test_tiles_lie_row_by_row_with_padding():
    pictures = np.stack([np.full([2, 3, 1], k, np.uint8) for k in range(5)])
    sheet = io.tile_images(pictures, columns=3, pad=1, background=1.0)
    assert sheet.shape == (2 * 3 + 1, 3 * 4 + 1, 1) and sheet.dtype == np.uint8
    for k in range(5):
        top, left = 1 + 3 * (k // 3), 1 + 4 * (k % 3)
        assert (sheet[top : top + 2, left : left + 3] == k).all()
    assert (sheet[4:6, 9:12] == 255).all() and (sheet[[0, 3, 6]] == 255).all()
    assert io.tile_images(np.zeros([4, 2, 2, 3]), pad=0).shape == (4, 4, 3)
    for bad in [np.zeros([2, 2, 3]), np.zeros([0, 2, 2, 3])]:
        with pytest.raises(ValueError):
            io.tile_images(bad)
