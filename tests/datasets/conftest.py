"""A mesh file for the tests of data sets."""

import pytest

from tests.datasets.shapes import write_hook


@pytest.fixture(scope="module")
def hook(tmp_path_factory):
    """File of a mesh without any symmetry."""
    path = tmp_path_factory.mktemp("mesh") / "hook.obj"
    write_hook(path)
    return str(path)
