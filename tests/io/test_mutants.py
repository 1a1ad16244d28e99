"""Every reader meets broken copies of a good file: a valid object or a clear refusal.

The changes are those of a bad disk and a bad hand: cuts, flipped bits, blanked
blocks, doubled tails, digits that grew.
"""

import re
import resource
import subprocess
import sys
import time

import numpy as np
import pytest

from tests.io.test_images import JPEG_DATA, PNG_DATA
from tests.io.test_mesh_formats import BINARY, GLTF, OFF, ply, stl
from tfrender import io

SECONDS = 5.0


def mutants(data, count=125):
    """Yields about `count` broken copies, the same ones every time."""
    rng = np.random.default_rng(len(data))
    for sixteenth in range(16):
        yield data[: len(data) * sixteenth // 16]
    for position in rng.integers(0, len(data), count - 28):
        bit = int(rng.integers(8))
        yield (
            data[:position] + bytes([data[position] ^ 1 << bit]) + data[position + 1 :]
        )
    for start in rng.integers(0, max(len(data) - 16, 1), 4):
        yield data[:start] + b"\0" * 16 + data[start + 16 :]
    for length in rng.integers(1, len(data), 4):
        yield data + data[-length:]
    numbers = [m.span() for m in re.finditer(rb"\d+", data)]
    for pick in rng.integers(0, max(len(numbers), 1), 4 if numbers else 0):
        a, b = numbers[pick]
        yield data[:a] + b"9" * (b - a) + data[b:]


def samples(tmp_path):
    """Name -> bytes of one small good file for each reader."""
    grid = np.random.default_rng(0).random([6, 5, 4]) < 0.5
    files = {"a.txt": b"one" * 99, "b/c.bin": bytes(300)}
    io.write_tar(tmp_path / "x.tar", files)
    io.write_tar(tmp_path / "y.tar", files, compress=True)
    obj = b"v 0 0 0\nv 1 0 0\nv 0 1 0 \nvt 0 0.5\nusemtl a\nf 1/1 2/1 -1/1\nf 1 2 3\n"
    return {
        "x.binvox": io.encode_binvox(grid, (1, 2, 3), 4.5),
        "x.tar": (tmp_path / "x.tar").read_bytes(),
        "y.tar": (tmp_path / "y.tar").read_bytes(),
        "x.png": PNG_DATA,
        "x.jpg": JPEG_DATA,
        "x.obj": obj,
        "x.ply": BINARY,
        "y.ply": ply(),
        "x.glb": glb_with_texture(tmp_path),
        "x.gltf": GLTF,
        "x.stl": stl(2, 2),
        "x.off": OFF,
    }


def glb_with_texture(tmp_path):
    texture = np.full([4, 4, 3], 9, np.uint8)
    uv = np.zeros([1, 3, 2])
    materials = (io.Material("m", texture=texture),)
    io.save_mesh(tmp_path / "t.glb", np.eye(3), [[0, 1, 2]], uv, None, materials)
    return (tmp_path / "t.glb").read_bytes()


def read(path):
    """Reads any file and checks what came out."""
    suffix = path.suffix
    if suffix == ".binvox":
        found = io.read_binvox(path)
        assert found.occupancy.dtype == bool and found.occupancy.ndim == 3
        assert np.isfinite([*found.translate, found.scale]).all()
    elif suffix == ".tar":
        assert all(isinstance(data, bytes) for _, data in io.iter_tar(path))
    elif suffix in (".png", ".jpg"):
        found = io.read_image(path)
        assert found.dtype == np.uint8 and found.shape[-1] in (1, 3, 4)
    else:
        mesh = io.load_mesh(path)
        io.validate_mesh(mesh.vertices, mesh.faces)
        assert mesh.uv is None or np.isfinite(mesh.uv).all()
        assert 0 <= mesh.face_material.min() <= mesh.face_material.max()
        assert mesh.face_material.max() < len(mesh.materials)


NAMES = [
    *("x.binvox", "x.tar", "y.tar", "x.png", "x.jpg", "x.obj"),
    *("x.ply", "y.ply", "x.glb", "x.gltf", "x.stl", "x.off"),
]


def torture(folder, name):
    """Reads all mutants of one sample; returns how many were accepted."""
    accepted = 0
    for number, data in enumerate(mutants(samples(folder)[name])):
        path = folder / f"{number}{name}"
        path.write_bytes(data)
        start = time.monotonic()
        try:
            read(path)
            accepted += 1
        except (io.FormatError, io.LimitError) as error:
            message = str(error)
            assert path.name in message or "t.png" in message, message
            assert "\n" not in message
        assert time.monotonic() - start < SECONDS, f"mutant {number} of {name}"
    return accepted


@pytest.mark.parametrize("name", NAMES)
def test_mutants_are_read_or_refused(name, tmp_path):
    read_good = tmp_path / name
    read_good.write_bytes(samples(tmp_path)[name])
    read(read_good)
    torture(tmp_path, name)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_no_mutant_needs_much_memory(tmp_path):
    """The same in a process whose address space may grow by 1 GiB only."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.io.test_mutants", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr[-2000:]


def main(folder):
    """Limits the memory, then reads all mutants."""
    import pathlib

    import PIL.JpegImagePlugin
    import PIL.PngImagePlugin
    import trimesh

    assert trimesh and PIL.JpegImagePlugin and PIL.PngImagePlugin
    with open("/proc/self/statm") as file:
        now = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + 2**30, now + 2**30))
    for name in NAMES:
        torture(pathlib.Path(folder), name)


if __name__ == "__main__":
    main(sys.argv[1])
