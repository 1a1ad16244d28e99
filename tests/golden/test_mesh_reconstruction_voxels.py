"""The published voxeliser of mesh reconstruction: the same voxels."""

import pathlib

import numpy as np
import pytest

from tests.golden import cases
from tfrender.io import load_mesh
from tfrender.ops import published_voxels

SYSTEM = "mesh_reconstruction"
MESHES = {
    path.name.removesuffix("_out.obj"): path
    for path in sorted((pathlib.Path(__file__).parents[1] / "data" / SYSTEM).iterdir())
    if path.name.endswith("_out.obj")
}
PACKED = [
    (path, key)
    for path in sorted(cases.everything(SYSTEM))
    for key in cases.load(path)
    if key.removesuffix("_normalize") in MESHES
]
MOST = 3  # voxels that may differ, says the README of the data


def mesh(name):
    loaded = load_mesh(str(MESHES[name]))
    return loaded.vertices.astype(np.float32)[np.newaxis], loaded.faces


def evaluated(voxels):
    """The order of axes that the published test compares in."""
    return voxels.transpose(0, 2, 1, 3)[..., ::-1]


@pytest.mark.parametrize("path", cases.holding(SYSTEM, "voxels_raw"), ids=cases.name_of)
def test_the_decoded_shapes_have_the_published_voxels(path):
    arrays = cases.load(path)
    _, faces = mesh(next(iter(MESHES)))  # the template's, as of every output
    size = arrays["voxels_raw"].shape[-1]
    got = published_voxels(arrays["vertices2"], faces, size).numpy()
    assert (got != arrays["voxels_raw"].astype(bool)).sum() <= MOST
    assert (evaluated(got) != arrays["voxels_eval"].astype(bool)).sum() <= MOST


@pytest.mark.parametrize(("path", "key"), PACKED, ids=lambda value: str(value))
def test_the_published_outputs_have_the_published_voxels(path, key):
    packed = cases.load(path)[key]
    size = round((packed.size * 8) ** (1 / 3))
    want = np.unpackbits(packed, count=size**3).reshape([size] * 3).astype(bool)
    normalize = key.endswith("_normalize")
    got = published_voxels(
        *mesh(key.removesuffix("_normalize")), size, normalize=normalize
    ).numpy()
    got = got if normalize else evaluated(got)
    assert (got[0] != want).sum() <= MOST


@pytest.mark.parametrize(
    ("name", "count"), [("airplane", 644), ("car", 3331), ("chair", 854)]
)
def test_the_published_outputs_fill_the_published_number_of_voxels(name, count):
    assert abs(published_voxels(*mesh(name)).numpy().sum() - count) <= MOST
