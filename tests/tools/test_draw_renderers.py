"""Claims of tools.draw_renderers."""

import numpy as np
import pytest
import tensorflow as tf

from tfrender import cameras
from tfrender.layers import MeshRenderer, NeuralMeshRenderer, SoftRasterizer
from tfrender.ops import default_form
from tools import draw_renderers

SIDE = 12
CAMERA = cameras.Camera(
    cameras.look_at([0.0, 0.0, 3.0]),
    cameras.perspective(2 * np.degrees(np.arctan(1 / 3))),
)


def square(low=-0.46, high=0.54):
    """A square in the plane of the origin, pixels 3.24 to 9.24 of 12."""
    corners = [[low, low, 0], [high, low, 0], [high, high, 0], [low, high, 0]]
    return tf.constant([corners], tf.float32), np.int32([[0, 1, 2], [0, 2, 3]])


def by_columns(slopes):
    """Sums over the rows, at the left and the right edge of the square."""
    columns = slopes.sum(0)
    return columns[:6].sum(), columns[6:].sum()


@pytest.mark.parametrize(
    "kind, settings, lowest, highest",
    [
        (MeshRenderer, {}, 5.99, 6.01),
        # Its blur is wide and not quite even.
        (SoftRasterizer, {"blend": {"sigma": 1e-2}, "lights": None}, 4.0, 8.0),
    ],
)
def test_slopes_of_a_square_lie_on_its_upright_edges(kind, settings, lowest, highest):
    vertices, faces = square()
    with default_form("graph"):
        layer = kind((SIDE, SIDE), **settings)
        slopes = draw_renderers.slope_map(layer, vertices, faces, CAMERA)
        other = draw_renderers.slope_map(layer, vertices, faces, CAMERA, wish=-1.0)
    np.testing.assert_allclose(slopes, other, atol=1e-5)
    # What the object covers on the right it uncovers on the left, six pixels high.
    left, right = by_columns(slopes)
    assert lowest < right < highest and lowest < -left < highest


def test_finite_differences_find_the_same_slopes():
    with default_form("graph"):
        left, right = by_columns(draw_renderers.true_slopes(*square(), CAMERA, SIDE))
    assert left == pytest.approx(-6.0, rel=0.1)
    assert right == pytest.approx(6.0, rel=0.1)


def test_the_neural_mesh_renderer_answers_by_what_is_wanted():
    vertices, faces = square()
    with default_form("graph"):
        layer = NeuralMeshRenderer((SIDE, SIDE), supersampling=1, lights=None)
        more, less = (
            draw_renderers.slope_map(layer, vertices, faces, CAMERA, wish)
            for wish in (-1.0, 1.0)
        )
    # More is wanted of empty pixels, less of covered ones.
    assert np.abs(more[:, :3]).max() > 0.1 and np.abs(less[:, :3]).max() == 0.0
    assert np.abs(less[4:8, 4:8]).max() > 0.1


def test_vertices_appear_where_they_are_drawn():
    vertices, _ = square()
    rows, columns = draw_renderers.pixels_of(vertices, CAMERA, SIDE)
    np.testing.assert_allclose(columns, [3.24, 9.24, 9.24, 3.24], atol=1e-4)
    np.testing.assert_allclose(rows, [8.76, 8.76, 2.76, 2.76], atol=1e-4)


def test_arrows_point_along_their_way():
    blank = np.full([40, 40, 3], 255, np.uint8)
    way = np.array([[0.0, 2.0], [0.0, 0.0]])
    drawn = draw_renderers.with_arrows(
        blank, np.array([20.0, 5.0]), np.array([10.0, 5.0]), way, longest=20.0
    )
    red = drawn[..., 0].astype(int) - drawn[..., 1] > 60
    assert red[18:23, 8:32].sum() == red.sum() > 30
    assert red[20, 11:29].all()


def test_colours_tell_the_sign():
    drawn = draw_renderers.diverging(np.array([[-2.0, 0.0, 1.0]]))[0].astype(int)
    assert drawn[0, 2] > drawn[0, 0] and drawn[2, 0] > drawn[2, 2]
    np.testing.assert_array_equal(drawn[1], 255)
