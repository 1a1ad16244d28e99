"""The Soft Rasterizer in all its forms against definitions, limits and differences."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
import trimesh

from tests.ops.soft_scenes import (
    DEPTHS,
    SIZE,
    SOFT,
    TABLE,
    each_form,
    facing,
    forms_and,
    image_of,
    same,
    soup,
    upstream,
    with_slopes,
)
from tfrender.ops.rasterize import rasterize
from tfrender.ops.soft_blend import ALPHAS, COLORS, DISTANCES, SoftBlend, SoftModes
from tfrender.ops.soft_rasterize_dense import soft_rasterize_dense

ALL_MODES = [
    SoftModes(*names) for names in itertools.product(DISTANCES, COLORS[:2], ALPHAS)
]


def segment_distance(p, a, b):
    along = np.dot(p - a, b - a) / np.dot(b - a, b - a)
    return np.linalg.norm(a + np.clip(along, 0, 1) * (b - a) - p)


def pair(p, corners, distance, blend):
    """Definition of D (0 where cut off) and clipped barycentrics of a face at p."""
    points = corners[:, :2]
    w = np.linalg.solve(np.vstack([points.T, np.ones(3)]), [*p, 1])
    reach = np.log(1 / blend.dist_eps - 1) * blend.sigma
    inside = (w > 0).all()
    if distance == "euclidean":
        d = min(segment_distance(p, points[k], points[k - 1]) for k in range(3)) ** 2
        d = d if inside else -d
    elif distance == "barycentric":
        d = w.min() * abs(w.min())
    else:
        d = 0.0 if inside else -np.inf
    low, high = points.min(0) - np.sqrt(reach), points.max(0) + np.sqrt(reach)
    if d <= -reach or (p < low).any() or (p > high).any():
        return 0.0, w
    clipped = np.clip(w, 0, 1)
    d = 1.0 if distance == "hard" else 1 / (1 + np.exp(-d / blend.sigma))
    return d, clipped / clipped.sum()


def definition(faces, colors, modes, blend=SOFT):
    """One picture as a loop over pixels and faces: rgb [H, W, 3], alpha [H, W]."""
    near, far = DEPTHS
    height, width = SIZE
    faces = faces * [width / height, 1, 1]
    rgb, alpha = np.zeros((*SIZE, 3)), np.zeros(SIZE)
    for i, j in np.ndindex(*SIZE):
        p = np.array([2 * j + 1 - width, height - 1 - 2 * i]) / height
        found = []
        for corners, color in zip(faces, colors, strict=True):
            d, w = pair(p, corners, modes.distance, blend)
            if d > 0:
                depth = 1 / np.dot(w, 1 / corners[:, 2])
                found.append((d, depth, w @ color, pair(p, corners, "hard", blend)[0]))
        every = np.array([d for d, *_ in found])
        alpha[i, j] = {
            "prod": 1 - np.prod(1 - every),
            "sum": every.sum() / len(faces),
            "hard": float((every > 0.5).any()),
        }[modes.alpha]
        seen = [one for one in found if near <= one[1] <= far]
        background = np.array(TABLE["background"])
        if modes.color == "hard":
            seen = [one for one in seen if one[3]]
            first = min(seen, key=lambda one: one[1], default=(0, 0, background, 0))
            rgb[i, j] = first[2]
            continue
        share = [
            d * np.exp((far - z) / (far - near) / blend.gamma) for d, z, *_ in seen
        ]
        rest = np.exp(2 * blend.eps / blend.gamma)
        total = sum(s * one[2] for s, one in zip(share, seen, strict=True))
        rgb[i, j] = (total + rest * background) / (sum(share) + rest)
    return rgb, alpha


@forms_and("modes", ALL_MODES, every=7)
def test_every_mode_equals_the_loop(draw, modes):
    faces, colors = soup(0, batch=2)
    image = image_of(draw, faces, colors, modes=modes)
    for b in range(2):
        rgb, alpha = definition(faces[b], colors[b], modes)
        np.testing.assert_allclose(image[b, ..., :3], rgb, atol=1e-9)
        np.testing.assert_allclose(image[b, ..., 3], alpha, atol=1e-9)
    assert np.ptp(image[..., 3]) > 0.3


@forms_and("modes", ALL_MODES, every=10)
def test_every_mode_is_one_graph_for_all_batches_and_settings(draw, modes):
    traces = []
    near = tf.constant(1.0)

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None, 3, 3]),
            tf.TensorSpec([None, None, 3, 3]),
            tf.TensorSpec([]),
            tf.TensorSpec([]),
        ]
    )
    def run(faces, colors, sigma, gamma):
        traces.append(0)
        blend = SoftBlend(sigma, gamma)
        arguments = {"modes": modes, "blend": blend, "depth_range": (near, 10.0)}
        return image_of(draw, faces, colors, **arguments)

    for batch, count, sigma, gamma in ((1, 5, 5e-3, 0.05), (3, 4, 1e-3, 0.1)):
        faces, colors = soup(1, batch, count, np.float32)
        got = run(faces, colors, sigma, gamma)
        blend = SoftBlend(sigma, gamma)
        want = image_of(draw, faces, colors, modes=modes, blend=blend)
        np.testing.assert_allclose(got, want, atol=1e-5)
        assert want.dtype == tf.float32 and want.shape == (batch, *SIZE, 4)
    assert len(traces) == 1


@each_form
def test_compiled_gradients_equal_eager_ones(draw):
    faces, colors = soup(2, batch=3)
    modes = SoftModes(interpolation_gradient=True)

    @tf.function(jit_compile=True)
    def run(faces, colors):
        return with_slopes(draw, faces, colors, modes=modes)

    want = with_slopes(draw, faces, colors, modes=modes)
    same(run(tf.constant(faces), tf.constant(colors)), want, 1e-7)
    alone = with_slopes(draw, faces[1:2], colors[1:2], modes=modes)
    same(alone, [value[1:2] for value in want])


def differences(function, value, step=1e-6):
    """Gradient of a scalar function by central differences."""
    slope = np.zeros_like(value)
    for place in np.ndindex(*value.shape):
        move = np.zeros_like(value)
        move[place] = step
        slope[place] = (function(value + move) - function(value - move)) / (2 * step)
    return slope


@forms_and("scene", ["full texels", "flat", "slanted", "full"], every=4)
@pytest.mark.parametrize("distance", ["euclidean", "barycentric"])
def test_gradients_equal_finite_differences(draw, scene, distance):
    faces, colors = soup(3, count=3)
    if scene == "flat":  # the published gradient is then the whole one
        colors[:] = colors[:, :, :1]
        faces[..., 2] = faces[..., :1, 2]
    elif "texels" in scene:
        colors = np.random.default_rng(0).uniform(size=(1, 3, 4, 3))
    arguments = {
        "blend": SOFT._replace(dist_eps=1e-10),
        "modes": SoftModes(distance, interpolation_gradient="full" in scene),
    }
    _, slope, color_slope = with_slopes(draw, faces, colors, **arguments)
    slope = slope.numpy()
    weights = upstream(tf.float64)

    @tf.function
    def loss(faces, colors):
        return tf.reduce_sum(image_of(draw, faces, colors, **arguments) * weights)

    fixed_faces, fixed_colors = tf.constant(faces), tf.constant(colors)
    want = differences(lambda value: loss(tf.constant(value), fixed_colors), faces)
    if scene == "slanted":  # x and y flow through D alone
        assert np.abs(slope - want)[..., :2].max() > 1e-2
        slope, want = slope[..., 2], want[..., 2]
    scale = np.abs(want).max()
    assert scale > 1e-2
    np.testing.assert_allclose(slope, want, rtol=0, atol=1e-6 * scale)
    want = differences(lambda value: loss(fixed_faces, tf.constant(value)), colors)
    np.testing.assert_allclose(color_slope, want, rtol=0, atol=1e-6)


@each_form
def test_the_full_gradient_draws_the_same_picture(draw):
    faces, colors = soup(4)
    modes = SoftModes(interpolation_gradient=True)
    want = image_of(draw, faces, colors)
    same([image_of(draw, faces, colors, modes=modes)], [want], 1e-12)
    modes = modes._replace(color="hard")
    _, slope, _ = with_slopes(draw, faces, colors, modes=modes)
    _, flat, _ = with_slopes(draw, faces, colors, modes=SoftModes(color="hard"))
    assert np.abs(slope - flat)[..., :2].max() > 1e-2


@each_form
def test_alpha_is_made_of_the_alphas_of_single_faces(draw):
    faces, _ = soup(5, count=4)

    def alpha(faces, kind, count=4):
        modes = SoftModes(alpha=kind)
        return draw(faces, None, SIZE, blend=SOFT, modes=modes).alpha.numpy()

    single = np.stack([alpha(faces[:, f : f + 1], "prod") for f in range(4)])
    same([alpha(faces, "prod")], [1 - np.prod(1 - single, axis=0)], 1e-12)
    same([alpha(faces, "sum")], [single.mean(0)], 1e-12)
    same([alpha(faces, "hard")], [(single > 0.5).any(0)], 1e-12)
    assert draw(faces, None, SIZE).rgb is None
    modes = SoftModes(color="none")
    got = draw(faces, np.zeros((1, 4, 3, 2)), SIZE, blend=SOFT, modes=modes)
    assert got.rgb is None
    same([got.alpha], [alpha(faces, "prod")], 1e-12)


@each_form
def test_the_order_of_faces_does_not_matter(draw):
    faces, colors = soup(6, count=12, dtype=np.float32)
    order = np.random.default_rng(0).permutation(12)
    image, slope, color_slope = with_slopes(draw, faces, colors)
    got = with_slopes(draw, faces[:, order], colors[:, order])
    want = image, slope.numpy()[:, order], color_slope.numpy()[:, order]
    same(got, want, 1e-5)


@forms_and("kind", ALPHAS, every=3)
def test_padding_changes_nothing(draw, kind):
    faces, colors = soup(7, batch=2)
    modes = SoftModes(alpha=kind)
    want = with_slopes(draw, faces, colors, modes=modes)
    padding = np.zeros((2, 3, 3, 3))
    faces = np.concatenate([padding[:, :1], faces, padding[:, 1:]], 1)
    colors = np.concatenate([padding[:, :1], colors, padding[:, 1:]], 1)
    image, *slope = with_slopes(draw, faces, colors, modes=modes)
    same([image, *(s[:, 1:-2] for s in slope)], want, 1e-12)
    for s in slope:
        assert not np.any(s[:, :1]) and not np.any(s[:, -2:])


@each_form
def test_a_wide_picture_is_a_square_one_with_more_at_its_sides(draw):
    faces, colors = soup(8)
    square = draw(faces, colors, (8, 8), blend=SOFT)
    wide = draw(faces * [8 / 14, 1, 1], colors, (8, 14), blend=SOFT)
    high = draw(faces * [1, 0.8, 1], colors, (10, 8), blend=SOFT)
    same([wide.rgb[:, :, 3:-3], wide.alpha[:, :, 3:-3]], square, 1e-12)
    # A higher picture has another unit: sigma is in units of its height.
    blend = SOFT._replace(sigma=SOFT.sigma * 0.8**2)
    assert np.abs(high.alpha[:, 1:-1] - square.alpha).max() > 1e-3
    high = draw(faces * [1, 0.8, 1], colors, (10, 8), blend=blend)
    same([high.rgb[:, 1:-1], high.alpha[:, 1:-1]], square, 1e-12)


@each_form
def test_one_texel_is_one_colour_and_corners_blend(draw):
    faces, colors = soup(9)
    flat = np.repeat(colors[:, :, :1], 3, axis=2)
    want, slope, corner_slope = with_slopes(draw, faces, flat)
    got = with_slopes(draw, faces, colors[:, :, :1])
    summed = tf.reduce_sum(corner_slope, axis=2, keepdims=True)
    same(got, [want, slope, summed], 1e-9)
    # A face of one colour per corner shows the barycentrics themselves.
    faces, colors = np.array([[[[-5, -3, 2], [5, -3, 2], [0, 6, 2.0]]]]), np.eye(3)
    image = image_of(draw, faces, colors[None, None], background=0.0)[0]
    y, x = 1 - (2 * np.arange(9) + 1) / 9, (2 * np.arange(13) + 1) / 13 - 1
    top = np.broadcast_to((y[:, None] + 3) / 9, SIZE)
    np.testing.assert_allclose(image[..., 2], top, atol=1e-6)
    right = np.broadcast_to(x / 10, SIZE) + (1 - top) / 2
    np.testing.assert_allclose(image[..., 1], right, atol=1e-6)


@each_form
def test_one_side_has_no_colour_but_covers(draw):
    faces, colors = soup(10, count=3)
    background = TABLE["background"]
    clockwise = facing(faces)
    for shown, one_sided in ((clockwise, True), (clockwise[:, :, ::-1], False)):
        got = image_of(draw, shown, colors, double_sided=False)
        want = image_of(draw, shown, colors)
        same([got[..., 3]], [want[..., 3]], 1e-12)
        if not one_sided:
            want = np.broadcast_to(background, want[..., :3].shape)
        same([got[..., :3]], [want[..., :3]], 1e-12)


@each_form
def test_backgrounds_are_one_for_all_or_one_for_each_picture(draw):
    faces, colors = soup(13, batch=2)
    each = tf.constant(np.random.default_rng(0).uniform(size=(2, 3)))
    with tf.GradientTape() as tape:
        tape.watch(each)
        got = image_of(draw, faces, colors, background=each)[..., :3]
    for b in range(2):
        want = image_of(draw, faces, colors, background=each[b])[b, ..., :3]
        same([got[b]], [want])
    # The background's share is what is left where all colours are 0.
    share = image_of(draw, faces, colors * 0, background=1.0)[..., 0]
    same([tape.gradient(got, each)[:, 1]], [tf.reduce_sum(share, [1, 2])])


@each_form
def test_the_limit_is_the_hard_renderer(draw):
    sphere = trimesh.creation.icosphere(subdivisions=3)
    corners = np.array(sphere.vertices[sphere.faces], np.float32)  # [1280, 3, 3]
    turn = trimesh.transformations.euler_matrix(0.3, 0.5, 0.7)[:3, :3]
    corners = np.float32(corners @ turn.T * [0.7, 0.7, -1] + [0, 0, 3])[None]
    colors = corners - corners.mean(
        (1, 2), keepdims=True
    )  # alike on both sides of an edge
    size = (64, 64)
    blend = SoftBlend(1e-7, 1e-5)
    got = draw(corners, colors, size, blend=blend, double_sided=True)
    x, y, z = np.moveaxis(corners.reshape(1, -1, 3), -1, 0)
    clip = np.stack([x, y, z / 10, np.ones_like(x)], -1)
    faces = np.arange(3840).reshape(-1, 3)
    hard = rasterize(clip, faces, size)
    mask = hard.mask[0].numpy()
    edge = np.zeros_like(mask)  # within a pixel of the silhouette
    for axis, step in itertools.product((0, 1), (-1, 1)):
        edge |= np.roll(mask, step, axis) != mask
    want = np.sum(
        hard.barycentric[0].numpy()[..., None] * colors[0, hard.face_index[0]], -2
    )
    agree = (np.abs(got.rgb[0] - want) < 1e-2).all(-1)
    agree &= np.abs(got.alpha[0] - mask) < 1e-2
    assert mask.mean() > 0.3
    assert agree[~edge].mean() >= 0.99


@pytest.mark.parametrize("compiled", [False, True])
def test_passes_of_the_dense_form_change_nothing(compiled):
    faces, corners = soup(17, batch=2)
    texels = np.random.default_rng(0).uniform(size=(2, 5, 9, 3))

    def run(faces, colors):
        return with_slopes(soft_rasterize_dense, faces, colors, pixels_per_pass=30)

    if compiled:
        run = tf.function(run, jit_compile=True)
    for colors in (texels,) if compiled else (texels, corners):
        want = with_slopes(soft_rasterize_dense, faces, colors)
        same(run(tf.constant(faces), tf.constant(colors)), want)


@each_form
def test_bad_arguments_are_named(draw):
    faces, colors = tf.zeros([1, 2, 3, 3]), tf.zeros([1, 2, 3, 3])
    cases = [
        ("face_vertices", (faces[0], colors, SIZE), {}),
        ("face_vertices", (faces[..., :2], colors, SIZE), {}),
        ("face_colors", (faces, colors[0], SIZE), {}),
        ("texels", (faces, tf.zeros([1, 2, 5, 3]), SIZE), {}),
        ("image_size", (faces, colors, (0, 4)), {}),
        ("image_size", (faces, colors, (4,)), {}),
        ("distance", (faces, colors, SIZE), {"modes": SoftModes("manhattan")}),
        ("color", (faces, colors, SIZE), {"modes": SoftModes(color="soft")}),
        ("alpha", (faces, colors, SIZE), {"modes": SoftModes(alpha="max")}),
        ("sigma", (faces, colors, SIZE), {"blend": SoftBlend(sigma=0.0)}),
        ("gamma", (faces, colors, SIZE), {"blend": SoftBlend(gamma=-1)}),
        ("dist_eps", (faces, colors, SIZE), {"blend": SoftBlend(dist_eps=0.5)}),
        ("eps", (faces, colors, SIZE), {"blend": SoftBlend(eps=float("nan"))}),
        ("depth_range", (faces, colors, SIZE), {"depth_range": (0.0, 1.0)}),
        ("depth_range", (faces, colors, SIZE), {"depth_range": (2.0, 1.0)}),
        ("background", (faces, colors, SIZE), {"background": np.zeros([1, 2, 3])}),
    ]
    for name, positional, arguments in cases:
        with pytest.raises(ValueError, match=f"`{name}`"):
            draw(*positional, **arguments)
