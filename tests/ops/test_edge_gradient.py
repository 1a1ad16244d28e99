import numpy as np
import pytest
import tensorflow as tf

from tfrender.ops.edge_gradient import edge_gradient
from tfrender.ops.neural_rasterize import neural_rasterize

SIZE = (11, 17)  # odd, height is not width


def sweep_pixels(p, a, b, c, axis, size):
    """Lines of one edge as the reference page defines them.

    Yields (line, crossing, inner pixel, outer pixel, outward, limit of the inner
    sweep); axis 0 moves corners in y, axis 1 in x.
    """
    u, v = p[:, axis], p[:, 1 - axis]
    rows = size[::-1] if axis == 0 else size
    last_line, border = rows[0] - 1, rows[1] - 1
    outward = 1 if (u[a] < u[b]) == (axis == 1) else -1
    low, high = min(u[a], u[b]), max(u[a], u[b])
    for d in range(max(int(np.ceil(low)), 0), int(np.trunc(min(high, last_line))) + 1):
        if u[a] == u[b]:
            continue
        crossing = v[a] + (v[b] - v[a]) / (u[b] - u[a]) * (d - u[a])
        inside = int(np.floor(crossing) if outward > 0 else np.ceil(crossing))
        if not (0 <= inside <= border and 0 <= inside + outward <= border):
            continue
        one, two = (a, c) if (d - u[a]) * (d - u[c]) < 0 else (c, b)
        with np.errstate(all="ignore"):
            limit = v[one] + (v[two] - v[one]) / (u[two] - u[one]) * (d - u[one])
        if np.isfinite(limit):
            limit = int(np.ceil(limit) if outward > 0 else np.floor(limit))
            limit = min(max(limit, 0), border)
        else:
            limit = 0 if outward > 0 else border
        yield d, crossing, inside, inside + outward, outward, limit


def loop_form(image, index, points, upstream, eps):
    """The definition, in float64: [B, F, 3, 2] for arrays as `edge_gradient` has."""
    image, upstream = (np.asarray(a, np.float64)[:, ::-1] for a in (image, upstream))
    index = np.asarray(index)[:, ::-1]  # row 0 below
    batch, height, width = index.shape
    extent = np.array([width, height])
    pixels = (extent * np.asarray(points, np.float64) + extent - 1) / 2
    slope = np.zeros(pixels.shape)

    def at(array, b, axis, line, v):
        return array[b, v, line] if axis == 0 else array[b, line, v]

    for b, f, k, axis in np.ndindex(batch, pixels.shape[1], 3, 2):
        corners = (k, (k + 1) % 3, (k + 2) % 3)
        p, n = pixels[b, f], (height, width)[axis]
        for d, crossing, inside, outside, way, limit in sweep_pixels(
            p, *corners, axis, (height, width)
        ):
            jumps = []  # (pixel, e)
            if at(index, b, axis, d, inside) == f:
                border = n - 1 if way > 0 else 0
                for q in range(min(outside, border), max(outside, border) + 1):
                    jumps.append((q, inside))
            for q in range(min(inside, limit), max(inside, limit) + 1):
                if at(index, b, axis, d, q) == f:
                    jumps.append((q, outside))
            for q, other in jumps:
                change = at(image, b, axis, d, q) - at(image, b, axis, d, other)
                e = change @ at(upstream, b, axis, d, q)
                if e <= 0:
                    continue
                u = p[:, axis]
                for mover, still in (corners[:2], corners[1::-1]):
                    if u[still] != d:
                        r = (u[still] - u[mover]) / (u[still] - d)
                        r *= (q - crossing) * 2 / n
                        r += eps if r > 0 else -eps
                        slope[b, f, mover, 1 - axis] -= e / r
    return slope


def scene(seed, batch=1, count=6, channels=2, size=SIZE, reach=0.9):
    """Random faces, what they show, a picture and an incoming gradient."""
    rng = np.random.default_rng(seed)
    centre = rng.uniform(-0.9, 0.9, (batch, count, 1, 2))
    points = centre + rng.uniform(-reach, reach, (batch, count, 3, 2))
    depth = rng.uniform(1, 3, (batch, count, 3, 1))
    vertices = np.concatenate([points, depth], -1).astype(np.float32)
    index = neural_rasterize(vertices, size).face_index
    image = rng.uniform(size=(batch, *size, channels)).astype(np.float32)
    upstream = rng.normal(size=(batch, *size, channels)).astype(np.float32)
    return image, index, vertices[..., :2], upstream


def slopes(image, index, points, upstream, form="eager", **settings):
    """Gradient in the points, in one of the forms."""

    def run(image, index, points, upstream):
        with tf.GradientTape() as tape:
            tape.watch(points)
            shown = edge_gradient(image, index, points, **settings)
        return tape.gradient(shown, points, upstream)

    arrays = [tf.convert_to_tensor(a) for a in (image, index, points, upstream)]
    if form == "unknown shapes":
        specs = [
            tf.TensorSpec([None] * (a.shape.rank - 1) + [a.shape[-1]], a.dtype)
            for a in arrays
        ]
        specs[1] = tf.TensorSpec([None, None, None], arrays[1].dtype)
        specs[2] = tf.TensorSpec([None, None, 3, 2])
        run = tf.function(run, input_signature=specs)
    elif form == "xla":
        settings["form"] = form
        run = tf.function(run, jit_compile=True)
    elif form != "eager":
        run = tf.function(run)
    return run(*arrays).numpy()


def close(got, want, share=1e-4):
    np.testing.assert_allclose(got, want, rtol=0, atol=share * np.abs(want).max())


@pytest.mark.parametrize("batch,channels,size", [(1, 1, (9, 9)), (3, 4, SIZE)])
def test_gradient_equals_the_loop_form(batch, channels, size):
    for seed in (0, 1):
        data = scene(seed, batch, channels=channels, size=size)
        want = loop_form(*data, 1e-3)
        assert (np.abs(want) > 1e-3).mean() > 0.3
        close(slopes(*data, eps=1e-3), want)


@pytest.mark.parametrize("form", ["unknown shapes", "xla"])
def test_the_forms_agree(form):
    data = scene(2, 3)
    settings = {"max_lanes": 600} if form == "xla" else {}
    close(slopes(*data, form, **settings), slopes(*data), 2e-4)


@pytest.mark.parametrize("settings", [("eager", 16), ("xla", 80)])
def test_small_passes_lose_nothing(settings):
    form, lanes = settings
    data = scene(3, 1, 3)
    close(slopes(*data, form, max_lanes=lanes), slopes(*data), 1e-4)


def test_forward_is_the_image_and_its_gradient_the_identity():
    image, index, points, upstream = scene(4)
    image = tf.constant(image)
    with tf.GradientTape() as tape:
        tape.watch(image)
        shown = edge_gradient(image, index, points)
    np.testing.assert_array_equal(shown, image)
    np.testing.assert_array_equal(tape.gradient(shown, image, upstream), upstream)


def test_mirrored_and_turned_pictures_have_mirrored_and_turned_gradients():
    image, index, points, upstream = scene(5)
    want = slopes(image, index, points, upstream)
    order = [1, 0, 2]  # a mirrored face must run the other way
    mirrored = points[:, :, order] * np.float32([-1, 1])
    got = slopes(image[:, :, ::-1], index[:, :, ::-1], mirrored, upstream[:, :, ::-1])
    close(got[:, :, order] * [-1, 1], want)
    flipped = points[:, :, order] * np.float32([1, -1])
    got = slopes(image[:, ::-1], index[:, ::-1], flipped, upstream[:, ::-1])
    close(got[:, :, order] * [1, -1], want)
    # A quarter turn counter-clockwise: (x, y) -> (-y, x).
    turned = points[..., ::-1] * np.float32([-1, 1])
    got = slopes(*(np.rot90(a, 1, (1, 2)) for a in (image, index)), turned,
                 np.rot90(upstream, 1, (1, 2)))  # fmt: skip
    close(got[..., ::-1] * [1, -1], want)


def test_each_item_of_a_batch_is_on_its_own():
    data = scene(6, 3)
    got = slopes(*data)
    for b in range(3):
        close(got[b : b + 1], slopes(*(a[b : b + 1] for a in data)), 1e-6)


def one_triangle(upstream_at, value, size=(16, 24), moved=(0.0, 0.0)):
    """Coverage of one counter-clockwise face with the gradient at one pixel."""
    points = np.float32([[[[-0.4, -0.5], [0.5, -0.3], [0.1, 0.6]]]]) + np.float32(moved)
    depth = np.ones((1, 1, 3, 1), np.float32)
    index = neural_rasterize(np.concatenate([points, depth], -1), size).face_index
    image = tf.cast(index >= 0, tf.float32)[..., tf.newaxis]
    upstream = np.zeros(image.shape, np.float32)
    upstream[(0, *upstream_at, 0)] = value
    return image, index, points, upstream


def test_an_empty_pixel_draws_the_edge_and_a_covered_one_pushes_it_away():
    # Row 8 of 16 is just below the middle; column 20 of 24 lies right of the face.
    data = one_triangle((8, 20), -1.0)
    assert data[1][0, 8, 20] == -1
    step = -slopes(*data)[0, 0]  # a step of descent
    assert step[1, 0] > 0 and step[2, 0] > 0 and step[0, 0] == 0
    assert slopes(*one_triangle((8, 20), 1.0)).any() == 0
    data = one_triangle((8, 12), 1.0)
    assert data[1][0, 8, 12] == 0
    step = -slopes(*data)[0, 0]
    # Both edges of the row flee from the pixel: the right one to the left.
    assert step[1, 0] < 0 and step[0, 0] > 0
    assert slopes(*one_triangle((8, 12), -1.0)).any() == 0


def test_the_ramp_is_one_over_the_way_of_the_corner():
    # Edge x = 0 of a face that covers the left half, gradient right of it.
    points = np.float32([[[[0.0, -3.0], [0.0, 3.0], [-3.0, 0.0]]]])
    index = np.full((1, 8, 8), -1, np.int32)
    index[:, :, :4] = 0
    image = (index >= 0).astype(np.float32)[..., None]
    for column in (4, 6):
        upstream = np.zeros_like(image)
        upstream[0, 3, column, 0] = -2.0
        got = slopes(image, index, points, upstream, eps=1e-9)[0, 0]
        # Centre at x = (2 j + 1) / 8 - 1 and y = 1/8; the edge reaches from -3 to 3.
        x, y = (2 * column + 1) / 8 - 1, 1 / 8
        np.testing.assert_allclose(got[0, 0], -2 / (x * 6 / (3 - y)), rtol=1e-5)
        np.testing.assert_allclose(got[1, 0], -2 / (x * 6 / (3 + y)), rtol=1e-5)
        np.testing.assert_array_equal(got[2], 0)


def test_an_edge_that_ends_just_before_the_first_line_still_meets_it():
    # Height 8: y = -1.1 is 0.9 of a pixel below the centres of the lowest row.
    points = np.float32([[[[-0.5, -1.1], [-0.1, -3.0], [0.6, -3.0]]]])
    index = np.full((1, 8, 8), -1, np.int32)
    index[0, 7, 1:6] = 0  # as if seen
    image = np.zeros((1, 8, 8, 1), np.float32)
    image[0, 7, 1:6] = 1.0
    want = loop_form(image, index, points, -np.ones_like(image), 1e-3)
    assert np.abs(want).max() > 0
    close(slopes(image, index, points, -np.ones_like(image), eps=1e-3), want)
    # From one pixel on there is no line, nor at the upper border.
    for shift, flip in (((0.0, -0.03), 1), ((0.0, 0.0), -1)):
        moved = (points + np.float32(shift)) * np.float32([1, flip])
        shown = index[:, ::flip]
        got = slopes(image[:, ::flip], shown, moved, -np.ones_like(image), eps=1e-3)
        assert not got[..., 0].any()


def test_nothing_comes_of_equal_colours_no_gradient_or_faces_not_seen():
    image, index, points, upstream = scene(8, 2)
    assert not slopes(np.full_like(image, 0.7), index, points, upstream).any()
    assert not slopes(image, index, points, np.zeros_like(upstream)).any()
    assert not slopes(image, np.full_like(index, -1), points, upstream).any()
    got = slopes(image, index, points, upstream)
    for b in range(2):
        hidden = np.setdiff1d(np.arange(points.shape[1]), np.unique(index[b]))
        assert not got[b, hidden].any()
    # Indices beyond the last face are as empty pixels.
    wild = np.where(index == 0, 999, index)
    assert np.isfinite(slopes(image, wild, points, upstream)).all()


def test_channels_add_before_the_sign_is_taken():
    image, index, points, upstream = scene(9)
    both = slopes(image, index, points, upstream)
    apart = sum(
        slopes(image[..., c : c + 1], index, points, upstream[..., c : c + 1])
        for c in range(2)
    )
    assert np.abs(both - apart).max() > 1e-2 * np.abs(both).max()
    # A channel without gradient takes no part.
    silent = upstream * np.float32([1, 0])
    alone = slopes(image[..., :1], index, points, upstream[..., :1])
    close(slopes(image, index, points, silent), alone, 1e-6)


def test_nasty_faces_give_finite_gradients():
    rng = np.random.default_rng(10)
    image = rng.uniform(size=(1, *SIZE, 2)).astype(np.float32)
    upstream = rng.normal(size=image.shape).astype(np.float32)
    spots = np.float32([-1.0, 0.0, 1 / 17, 3e38, -3e38, 1e30, -1e30, 1e-30, 1e9])
    points = rng.choice(spots, (1, 300, 3, 2))
    index = rng.integers(-1, 300, (1, *SIZE))  # as if all were seen somewhere
    assert np.isfinite(slopes(image, index, points, upstream)).all()
    compiled = slopes(image, index, points, upstream, "xla")
    assert np.isfinite(compiled).all()
    points[0, ::7, 1, 0] = np.nan
    points[0, 3::7, 1, 1] = np.inf
    assert np.isfinite(slopes(image, index, points, upstream)).all()


def test_meshes_without_faces_and_tiny_pictures_work():
    none = np.zeros((2, 0, 3, 2), np.float32)
    index = np.full((2, 4, 3), -1)
    picture = np.ones((2, 4, 3, 1), np.float32)
    assert slopes(picture, index, none, picture).shape == (2, 0, 3, 2)
    data = scene(11, 1, 2, size=(1, 1))
    close(slopes(*data), np.zeros((1, 2, 3, 2)), 0)
    data = scene(12, 1, 3, size=(1, 9))
    close(slopes(*data, eps=1e-3), loop_form(*data, 1e-3))


@pytest.mark.parametrize(
    "change,match",
    [
        ({"image": np.zeros((4, 4, 1))}, "`image`"),
        ({"face_index": np.zeros((4, 4), np.int32)}, "`face_index`"),
        ({"face_points": np.zeros((1, 3, 3))}, "`face_points`"),
        ({"eps": 0.0}, "`eps`"),
        ({"max_lanes": 3}, "`max_lanes`"),
        ({"form": "dynamic"}, "`form`"),
    ],
)
def test_wrong_arguments_are_named(change, match):
    arguments = {
        "image": np.zeros((1, 4, 4, 1)),
        "face_index": np.zeros((1, 4, 4), np.int32),
        "face_points": np.zeros((1, 1, 3, 2)),
    } | change
    with pytest.raises(ValueError, match=match):
        edge_gradient(**arguments)
