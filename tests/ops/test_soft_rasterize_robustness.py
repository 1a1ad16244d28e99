"""The Soft Rasterizer in all its forms on scenes that break renderers."""

import numpy as np
import pytest

from tests.ops.soft_scenes import (
    SIZE,
    SOFT,
    TABLE,
    each_form,
    forms_and,
    image_of,
    same,
    soup,
    with_slopes,
)
from tfrender.ops.soft_blend import SoftBlend, SoftModes


@each_form
@pytest.mark.parametrize("z", [-2.0, 0.0, 0.5, 11.0])
def test_faces_outside_the_depth_range_are_left_out_or_constant(draw, z):
    faces, colors = soup(11, count=4)
    faces[:, 0, :, 2] = z
    want = with_slopes(draw, faces[:, 1:], colors[:, 1:])
    image, slope, color_slope = with_slopes(draw, faces, colors)
    same([image, slope[:, 1:], color_slope[:, 1:]], want, 1e-12)
    assert not np.any(slope[:, :1]) and not np.any(color_slope[:, :1])
    modes = SoftModes(depth_clip_alpha=False)
    image, slope, _ = with_slopes(draw, faces, colors, modes=modes)
    same([image[..., :3]], [want[0][..., :3]], 1e-12)
    single = draw(faces[:, :1], None, SIZE, blend=SOFT, modes=modes).alpha
    assert np.max(single) > 0.5
    same([1 - image[..., 3]], [(1 - want[0][..., 3]) * (1 - single)], 1e-12)
    assert not np.any(slope[:, :1])


@each_form
def test_an_empty_view_is_the_background_without_gradient(draw):
    faces, colors = soup(12)
    for moved in (faces + [9, 0, 0], faces * [1, 1, -1], faces * 0):
        image, *slope = with_slopes(draw, moved, colors)
        same([image[..., 3]], [np.zeros((1, *SIZE))])
        same([image[..., :3]], [np.broadcast_to(TABLE["background"], (1, *SIZE, 3))])
        assert not any(np.any(s) for s in slope)
    none = image_of(draw, faces[:, :0], colors[:, :0])
    same([none], [image])
    assert image_of(draw, faces[:0], colors[:0]).shape == (0, *SIZE, 4)


@each_form
@pytest.mark.parametrize("gamma", [1e-6, 1e-12])
def test_no_temperature_overflows(draw, gamma):
    faces, colors = soup(14, dtype=np.float32)
    blend = SoftBlend(sigma=1e-7, gamma=gamma)
    image, *slope = with_slopes(draw, faces, colors, blend=blend)
    for value in (image, *slope):
        assert np.isfinite(value).all()
    empty = image[..., 3].numpy() == 0
    assert empty.any()
    np.testing.assert_allclose(
        image.numpy()[empty][:, :3], [TABLE["background"]] * empty.sum(), atol=1e-6
    )


def broken_scenes(count):
    """Random scenes with all that breaks renderers, each scene another mixture."""
    rng = np.random.default_rng(15)
    faces = rng.normal(size=(count, 8, 3, 3)) * [1, 1, 3]
    faces[:, 1, 1] = faces[:, 1, 0]  # two corners in one place
    faces[:, 2] = faces[:, 2, :1]  # three
    faces[:, 3, 2] = faces[:, 3, :2].mean(1)  # on a line, middle
    faces[:, 4] *= 10.0 ** rng.uniform(-12, 18, (count, 1, 1))  # specks and giants
    faces[:, 5, 2, :2] = faces[:, 5, :2, :2].mean(1) + 1e-6 * rng.normal(
        size=(count, 2)
    )
    faces[:, 6, :, 2] = rng.choice([0, -1e-9, 1e-9, 1e-30, 2], (count, 3))
    faces[::2, 7] = np.round(faces[::2, 7])  # corners on one grid, edges on centres
    faces[1::2, 7] = [[-1e14, 0, 2], [1e14, 0, 1e14], [0, 1e-23, 2]]  # needles
    faces[1::4, :7] += [5, 0, 0]  # all outside
    keep = rng.uniform(size=(count, 8, 1, 1)) < 0.6
    return np.where(keep, faces, 0.0).astype(np.float32)


@forms_and(
    "modes",
    [
        SoftModes(),
        SoftModes("barycentric", interpolation_gradient=True),
        SoftModes("barycentric", "hard", "sum", depth_clip_alpha=False),
        SoftModes(depth_clip_alpha=False, skip_degenerate=False),
        SoftModes("hard", alpha="sum", interpolation_gradient=True),
        SoftModes("barycentric", alpha="hard", skip_degenerate=False),
    ],
    every=5,
)
@pytest.mark.parametrize("sigma", [1e-7, 1e-2])
def test_broken_scenes_give_finite_pictures_and_gradients(draw, modes, sigma):
    faces = broken_scenes(100)
    colors = np.random.default_rng(0).uniform(size=faces.shape).astype(np.float32)
    blend = SoftBlend(sigma, 1e-4)
    for value in with_slopes(draw, faces, colors, modes=modes, blend=blend):
        assert np.isfinite(value).all()
    assert np.any(value != 0)


@each_form
@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30])
def test_a_broken_corner_spoils_only_its_own_face(draw, value):
    faces, colors = soup(16)
    want = with_slopes(draw, faces[:, 1:], colors[:, 1:])
    faces[:, 0, 1, 0] = value
    image, slope, color_slope = with_slopes(draw, faces, colors)
    same([image, slope[:, 1:], color_slope[:, 1:]], want, 1e-12)


@each_form
def test_faces_on_a_line_are_skipped_or_painted_as_the_original_does(draw):
    line = np.array([[[[-0.5, -0.5, 2], [0.5, 0.5, 2], [0, 0, 2.0]]]])
    alpha = draw(line, None, SIZE, blend=SOFT).alpha
    assert np.max(alpha) == 0
    modes = SoftModes(skip_degenerate=False)
    alpha = draw(line, None, SIZE, blend=SOFT, modes=modes).alpha[0].numpy()
    assert alpha[3, 8] == alpha[5, 6] == 0.5 and alpha[0, 0] == 0
    aside = line + [0.6, 0, 0]
    assert np.max(draw(aside, None, SIZE, blend=SOFT, modes=modes).alpha) == 0
