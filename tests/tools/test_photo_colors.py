"""Claims of tools.photo_colors."""

import pathlib

import numpy as np
import pytest

from datasets.mesh_reconstruction import views
from tests.tools.test_shape_views import published_shape
from tfrender.layers.neural_mesh_renderer import NeuralMeshRenderer
from tfrender.models.mesh_reconstructor import sphere_template
from tfrender.ops.forms import default_form
from tools import object_mask, photo_colors
from tools.reconstructor_loading import Shape

CAR = pathlib.Path(__file__).parents[1] / "data/mesh_reconstruction/car_out.obj"
AZIMUTH = 137.0


def body():
    """A mesh alike on both sides, with another front than back."""
    template = sphere_template()
    x, y, z = template.vertices.T
    vertices = np.stack([0.2 * x, 0.13 * y * (1.4 + z), 0.4 * z], axis=-1)
    return Shape(vertices.astype(np.float32), template.faces)


def colors_of(vertices):
    """Smooth colours, alike on both sides."""
    x, y, z = (vertices / np.abs(vertices).max(0)).T
    return np.stack([0.5 + 0.4 * z, 0.5 + 0.4 * y, 0.9 - 0.6 * np.abs(x)], -1)


@pytest.fixture(scope="module", params=["body", "car"])
def painted(request):
    """A shape, its colours, and a photo of it. Most vertices of the car are inside."""
    shape = body() if request.param == "body" else published_shape(CAR)
    colors = colors_of(shape.vertices).astype(np.float32)
    rgb = redrawn(shape, colors, AZIMUTH)
    alpha = redrawn(shape, np.ones_like(colors), AZIMUTH)[..., :1]
    return shape, colors, np.concatenate([rgb, alpha], axis=-1).clip(0, 1)


def redrawn(shape, colors, azimuth):
    layer = NeuralMeshRenderer((photo_colors.PHOTO_SIZE,) * 2, 1, lights=None)
    with default_form("graph"):  # fixtures of a module start before those of a test
        seen = layer(
            shape.vertices[None],
            shape.faces,
            views.camera([azimuth]),
            vertex_colors=colors[None],
        )
    return seen["rgb"][0].numpy()


def small(photo):
    cutout = object_mask.Cutout(photo)
    return object_mask.frame(cutout, 64, object_mask.whole_box(cutout))[..., 3]


def test_the_azimuth_of_a_photo_is_found(painted):
    shape, _, photo = painted
    view = photo_colors.find_view(shape.vertices, shape.faces, small(photo))
    assert view.azimuth_deg == pytest.approx(AZIMUTH, abs=2.0) and view.iou > 0.97
    apart = abs((view.other_deg - AZIMUTH + 180) % 360 - 180)
    assert apart >= 28.0 and view.other_iou < view.iou


def test_colours_come_back_from_the_side_seen_and_for_the_other(painted):
    shape, colors, photo = painted
    found, share = photo_colors.read_colors(shape.vertices, shape.faces, AZIMUTH, photo)
    assert found.min() >= 0.0 and found.max() <= 1.0
    picture = redrawn(shape, found, AZIMUTH)
    covered = photo[..., 3] > 0.99
    assert np.abs(picture - photo[..., :3])[covered].mean() < 0.04
    mirrored = redrawn(shape, found, -AZIMUTH)
    want = redrawn(shape, colors, -AZIMUTH)
    assert np.abs(mirrored - want).sum() < 0.1 * want.sum()
    assert 0.01 < share < 0.55  # of a convex body less than a half is turned here


def test_a_photo_that_lies_elsewhere_is_brought_over_the_mesh(painted):
    shape, _, photo = painted
    moved = np.roll(photo, (9, -14), (0, 1))
    one, _ = photo_colors.read_colors(shape.vertices, shape.faces, AZIMUTH, photo)
    two, _ = photo_colors.read_colors(shape.vertices, shape.faces, AZIMUTH, moved)
    np.testing.assert_allclose(one, two, atol=1e-5)


def test_the_background_does_not_bleed_into_the_edge():
    alpha = np.zeros((32, 32), np.float32)
    alpha[8:24, 8:24] = 1.0
    alpha[7, 8:24] = 0.3
    photo = np.dstack([0.8 * alpha, 0.4 * alpha, 0.0 * alpha, alpha])
    solid = photo_colors._solid_colors(photo)
    np.testing.assert_allclose(solid, np.tile([0.8, 0.4, 0.0], (32, 32, 1)), atol=1e-5)


def test_a_mesh_out_of_sight_is_still_coloured(painted):
    shape, _, photo = painted
    for picture in (photo, np.zeros_like(photo)):
        for vertices in (shape.vertices, shape.vertices + np.float32([0, 9, 0])):
            found, _ = photo_colors.read_colors(vertices, shape.faces, 0.0, picture)
            assert np.isfinite(found).all()
    view = photo_colors.find_view(shape.vertices, shape.faces, np.zeros((64, 64)))
    assert view.iou == 0.0
