"""Claims of tools.shape_views."""

import pathlib

import numpy as np
import pytest

from tfrender import io
from tfrender.models.mesh_reconstructor import sphere_template
from tools import shape_views
from tools.reconstructor_loading import Shape

FIXTURES = pathlib.Path(__file__).parents[1] / "data/mesh_reconstruction"


def published_shape(path):
    """A mesh of the published project in our frame: x negated."""
    mesh = io.load_mesh(path)
    return Shape(mesh.vertices * np.float32([-1.0, 1.0, 1.0]), mesh.faces)


@pytest.mark.parametrize(
    "path", sorted(FIXTURES.glob("*_out.obj")), ids=lambda p: p.stem
)
def test_published_meshes_look_as_published(path):
    want = io.read_image(path.with_suffix(".png"), channels=3).astype(float)
    got = shape_views.published_views(published_shape(path))
    assert got.shape == want.shape
    assert np.abs(got - want).mean() <= 0.15  # of 255; measured 0.04 to 0.09
    mine, theirs = got.max(-1) > 0, want.max(-1) > 0
    assert (mine & theirs).sum() >= 0.998 * (mine | theirs).sum()


def test_a_colour_is_seen_on_its_own_side():
    template = sphere_template()
    right = template.vertices[:, 0] > 0.0
    colors = np.where(right[:, None], [[1.0, 0.0, 0.0]], [[0.0, 0.0, 1.0]])
    shape = Shape(0.4 * template.vertices, template.faces, colors.astype(np.float32))
    sheet = shape_views.published_views(shape, (0.0, 90.0, 270.0))
    assert sheet.shape == (128, 128, 3)
    front, from_right, from_left = sheet[:64, :64], sheet[:64, 64:], sheet[64:, :64]
    # From the front, camera on -Z, the side of +X lies on the left of the picture.
    assert front[32, 20, 0] > 150 and front[32, 20, 2] == 0
    assert front[32, 44, 2] > 150 and front[32, 44, 0] == 0
    assert from_right[32, 32, 0] > 150 and from_left[32, 32, 2] > 150


def test_a_turntable_is_on_white_and_turns(monkeypatch):
    monkeypatch.setattr(shape_views, "TURNTABLE_SIZE", 24)
    monkeypatch.setattr(shape_views, "TURNTABLE_DEG", (0.0, 90.0))
    template = sphere_template()
    flat = template.vertices * np.float32([0.4, 0.4, 0.05])
    frames = shape_views.turntable(Shape(flat, template.faces))
    assert frames.shape == (2, 24, 24, 3) and frames.max() <= 1.0
    np.testing.assert_array_equal(frames[:, 0, 0], 1.0)
    width = (frames.mean(-1) < 0.95).any(1).sum(-1)
    assert width[0] > 2 * width[1]
