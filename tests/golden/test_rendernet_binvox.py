"""Binvox files written by RenderNet's own tool chain: same grids, same bytes."""

import hashlib

import numpy as np
import pytest

from tests.golden import cases
from tfrender import io

CASES = [
    (path, key.removesuffix("/file_bytes"))
    for path in cases.holding("rendernet", "*/file_bytes")
    for key in cases.load(path)
    if key.endswith("/file_bytes")
]


@pytest.fixture(params=CASES, ids=lambda case: f"{case[0].stem}/{case[1]}")
def case(request):
    path, name = request.param
    prefix = f"{name}/"
    arrays = cases.load(path).items()
    return {k.removeprefix(prefix): v for k, v in arrays if k.startswith(prefix)}


def unpack(packed, dims):
    return np.unpackbits(packed, count=int(np.prod(dims))).reshape(dims).astype(bool)


def test_the_decoded_grid_and_its_place_equal_the_original_readers(case):
    decoded = io.decode_binvox(case["file_bytes"].tobytes(), "golden")
    dims = case["dims"]
    expected = unpack(case["dense_xyz_packed"], dims)
    np.testing.assert_array_equal(decoded.occupancy, expected)
    raw = unpack(case["dense_xzy_packed"], dims[[0, 2, 1]])
    np.testing.assert_array_equal(decoded.occupancy.transpose(0, 2, 1), raw)
    assert decoded.occupancy.sum() == case["count"]
    np.testing.assert_array_equal(decoded.translate, case["translate"])
    assert decoded.scale == case["scale"]
    digest = hashlib.sha256(decoded.occupancy.astype(np.uint8).tobytes()).hexdigest()
    assert digest == str(case["sha256"])


def test_the_writer_reproduces_the_bytes(case):
    data = case["file_bytes"].tobytes()
    assert io.encode_binvox(*io.decode_binvox(data, "golden")) == data
