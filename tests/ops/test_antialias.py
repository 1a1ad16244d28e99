"""Anti-aliasing: places, colours and gradients along outlines."""

import numpy as np
import pytest
import tensorflow as tf

from tests.ops.antialias_scenes import (
    QUAD,
    SIZE,
    any_batch,
    area,
    blended_hull,
    compiled,
    hull,
    pixels_of,
    project,
    solid,
    soup,
    to_clip,
)
from tfrender.ops.antialias import antialias, antialias_silhouette
from tfrender.ops.opposite_corners import opposite_corners
from tfrender.ops.rasterize import rasterize


@pytest.mark.parametrize("name", ["box", "ico0", "ico2", "ico4"])
def test_a_convex_solid_equals_the_loop_over_the_edges_of_its_hull(name):
    vertices, faces = solid(name)
    clip = project(vertices)
    fragments = rasterize(clip, faces, SIZE)
    got = antialias_silhouette(fragments, clip, faces, opposite=opposite_corners(faces))
    mask = fragments.mask[0].numpy()
    want = blended_hull(mask, hull(pixels_of(clip[0], SIZE)))
    assert 100 < mask.sum() < 600 and (want != mask).sum() > 30
    np.testing.assert_allclose(got[0], want, atol=2e-4)


@pytest.mark.parametrize(
    "what", [pytest.param("image", marks=pytest.mark.slow), "silhouette"]
)
def test_the_forms_agree(what):
    vertices, faces = solid("ico2")
    opposite = opposite_corners(faces)
    clip = tf.concat([project(vertices), project(0.5 * vertices)], 0)
    fragments = rasterize(clip, faces, SIZE)
    image = tf.random.stateless_uniform([2, *SIZE, 3], [0, 1])

    def run(form, wrap):
        settings = {"opposite": opposite, "form": form}

        def blend(clip):
            with tf.GradientTape() as tape:
                tape.watch([image, clip])
                if what == "image":
                    out = antialias(image, fragments, clip, faces, **settings)
                else:
                    out = antialias_silhouette(fragments, clip, faces, **settings)
                loss = tf.reduce_sum(out**2)
            inputs = [image, clip] if what == "image" else [clip]
            return out, *tape.gradient(loss, inputs)

        return wrap(blend)(clip)

    want = run("graph", lambda f: f)
    assert np.abs(want[-1]).max() > 0.0
    for form, wrap in (("graph", any_batch), ("xla", lambda f: f), ("xla", compiled)):
        for a, b in zip(run(form, wrap), want, strict=True):
            np.testing.assert_allclose(a, b, atol=2e-4)


@pytest.mark.parametrize("topology", [True, False])
def test_the_silhouette_equals_the_antialiased_mask(topology):
    clip, faces = soup(0)
    opposite = opposite_corners(faces) if topology else None
    fragments = rasterize(clip, faces, SIZE)
    clip = tf.constant(clip)
    mask = tf.cast(fragments.mask, tf.float32)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(clip)
        alpha = antialias_silhouette(fragments, clip, faces, opposite=opposite)
        image = antialias(
            mask[..., tf.newaxis], fragments, clip, faces, opposite=opposite
        )[..., 0]
        losses = tf.reduce_sum(alpha**2), tf.reduce_sum(image**2)
    assert 0.0 <= tf.reduce_min(alpha) and tf.reduce_max(alpha) <= 1.0
    assert (alpha != mask).numpy().sum() > 50
    np.testing.assert_allclose(alpha, image, atol=1e-6)
    one, two = (tape.gradient(loss, clip) for loss in losses)
    np.testing.assert_allclose(one, two, atol=1e-4)


@pytest.mark.parametrize("vertical", [False, True])
def test_an_edge_that_moves_over_pixels_changes_them_linearly(vertical):
    size = (8, 11)
    opposite = opposite_corners(QUAD)
    lower = 1.5
    for upper in np.arange(4.5, 6.7, 0.2):  # from one pixel centre over two others
        rows = [(lower, -3), (upper, -3), (upper, 20), (lower, 20)]
        rows = [p[::-1] for p in rows] if vertical else rows
        clip = tf.constant(to_clip(rows, size, depth=[1.0, 2.0, 4.0, 3.0]))
        with tf.GradientTape() as tape:
            tape.watch(clip)
            alpha = antialias_silhouette(
                rasterize(clip, QUAD, size), clip, QUAD, opposite=opposite
            )
            covered = tf.reduce_sum(alpha)
        alpha = alpha[0].numpy().T if vertical else alpha[0].numpy()
        lines = size[1] if vertical else size[0]
        want = np.clip(upper - np.arange(len(alpha[0])), 0, 1)
        want -= np.clip(lower - np.arange(len(alpha[0])), 0, 1)
        np.testing.assert_allclose(alpha, np.tile(want, [lines, 1]), atol=1e-4)
        # Both ends of the upper edge move by dx pixels: dx a line.
        moved = tape.gradient(covered, clip)[0].numpy()
        axis, scale = (1, -2 / size[0]) if vertical else (0, 2 / size[1])
        shift = moved[1, axis] * 2.0 * scale + moved[2, axis] * 4.0 * scale
        np.testing.assert_allclose(shift, lines, rtol=1e-4)


def test_colours_blend_by_the_place_of_the_crossing():
    # The edge stands at column 5.3: pixel 4 reaches 0.3 into pixel 5, and so on.
    size = (3, 9)
    image = tf.random.stateless_uniform([1, *size, 2], [0, 2])
    for edge in (5.3, 5.5 + 1e-4, 5.8):
        points = [(-9, -9), (edge, -9), (edge, 9), (-9, 9)]
        clip = to_clip(points, size)
        got = antialias(image, rasterize(clip, QUAD, size), clip, QUAD).numpy()
        near = int(np.ceil(edge - 0.5)) - 1  # last covered column
        s = edge - near - 1.0
        want = image.numpy().copy()
        near_colour, far_colour = image[0, :, near], image[0, :, near + 1]
        if s > 0:
            want[0, :, near + 1] += s * (near_colour - far_colour)
        else:
            want[0, :, near] += -s * (far_colour - near_colour)
        np.testing.assert_allclose(got, want, atol=1e-5)


def test_an_edge_just_behind_a_centre_parts_it_from_the_next_pixel_only():
    # Strips that meet at column 5.0 and 5.502; the last ends just behind centre 5.5.
    size = (3, 9)
    points = [(x, y) for x in (-9, 5.0, 5.502, 5.505) for y in (-9, 9)]
    faces = np.array([[0, 2, 3], [0, 3, 1], [2, 4, 5], [2, 5, 3], [4, 6, 7], [4, 7, 5]])
    opposite = opposite_corners(faces)
    clip = to_clip(points, size)
    image = tf.random.stateless_uniform([1, *size, 2], [0, 10])
    fragments = rasterize(clip, faces, size)
    got = antialias(image, fragments, clip, faces, opposite=opposite)
    want = image.numpy()
    want[:, :, 5] += 0.495 * (want[:, :, 6] - want[:, :, 5])
    np.testing.assert_allclose(got, want, atol=1e-5)


@pytest.mark.parametrize("name", ["box", "ico1", "ico3", "ico5"])
def test_area_and_its_gradient_are_those_of_the_true_outline(name):
    vertices, faces = solid(name)
    opposite = opposite_corners(faces)
    size = (90, 120)

    def placed(change):
        scale, shift = 1.0 + change[0], change[1:] + tf.constant([0.03, 0.02, -0.04])
        return project(vertices * scale + shift)

    def truth(change):
        return area(hull(pixels_of(placed(change)[0], size)))

    change = tf.zeros([4])
    with tf.GradientTape() as tape:
        tape.watch(change)
        clip = placed(change)
        fragments = rasterize(clip, faces, size)
        alpha = antialias_silhouette(fragments, clip, faces, opposite=opposite)
        covered = tf.reduce_sum(alpha)
    gradient = tape.gradient(covered, change).numpy()
    np.testing.assert_allclose(covered, truth(change), rtol=5e-4)
    steps = 1e-2 * np.eye(4, dtype=np.float32)
    slope = np.array([(truth(step) - truth(-step)) / 2e-2 for step in steps])
    np.testing.assert_allclose(gradient, slope, atol=0.03 * np.abs(slope).max())


@pytest.mark.parametrize("topology", [True, False])
def test_gradients_equal_finite_differences_in_float64(topology):
    size = (11, 14)
    clip, faces = soup(1)
    # And parts thinner than a pixel, in front, around pixel centres.
    centres = np.array([(3.5, 2.5), (8.5, 4.5), (10.5, 9.5), (2.5, 7.5)])
    thin = centres[:, np.newaxis] + [(-0.1, -0.2), (0.25, 0.05), (-0.1, 0.3)]
    clip = np.concatenate([clip, to_clip(thin.reshape(-1, 2), size, 0.9)], 1)
    faces = np.concatenate([faces, clip.shape[1] - 1 - np.arange(12).reshape(4, 3)])
    opposite = opposite_corners(faces) if topology else None
    fragments = rasterize(clip, faces, size)
    clip = tf.constant(clip, tf.float64)
    image = tf.random.stateless_uniform([1, *size, 2], [0, 3], dtype=tf.float64)
    factor = tf.random.stateless_normal([1, *size, 2], [0, 4], dtype=tf.float64)

    def loss(image, clip):
        blended = antialias(image, fragments, clip, faces, opposite=opposite)
        return tf.reduce_sum(blended * factor)

    loss = tf.function(loss)
    with tf.GradientTape() as tape:
        tape.watch([image, clip])
        value = loss(image, clip)
    gradients = tape.gradient(value, [image, clip])
    assert np.count_nonzero(gradients[1][..., 0]) > 15
    np.testing.assert_array_equal(gradients[1][..., 2], 0.0)  # z moves nothing
    rng, step = np.random.default_rng(5), 1e-7
    for i, inputs in enumerate((image, clip)):
        for _ in range(12):
            way = rng.normal(size=inputs.shape) * (rng.random(inputs.shape) < 0.2)
            ends = [[image, clip], [image, clip]]
            ends[0][i], ends[1][i] = inputs + step * way, inputs - step * way
            slope = (loss(*ends[0]) - loss(*ends[1])) / (2 * step)
            exact = tf.reduce_sum(gradients[i] * way)
            np.testing.assert_allclose(exact, slope, rtol=1e-5, atol=1e-5)


def test_inner_edges_of_a_surface_blend_nothing():
    rng = np.random.default_rng(0)
    line = np.linspace(-4.0, 40.0, 23)  # some faces smaller than a pixel, some larger
    points = np.stack(np.meshgrid(line, line), -1)
    points += rng.uniform(-0.45, 0.45, points.shape)  # no face turns over
    i = np.arange(23 * 23).reshape(23, 23)
    a, b, c, d = (
        v.reshape(-1) for v in (i[1:, :-1], i[1:, 1:], i[:-1, 1:], i[:-1, :-1])
    )
    faces = np.concatenate([np.stack([a, b, c], -1), np.stack([a, c, d], -1)])
    clip = to_clip(points.reshape(-1, 2), SIZE)
    fragments = rasterize(clip, faces, SIZE)
    assert fragments.mask.numpy().all()
    image = tf.random.stateless_uniform([1, *SIZE, 3], [0, 6])
    opposite = opposite_corners(faces)
    got = antialias(image, fragments, clip, faces, opposite=opposite)
    np.testing.assert_array_equal(got, image)
    # Without topology only pairs with a whole face between them are at a loss.
    got = antialias(image, fragments, clip, faces)
    assert 0.0 < np.mean(np.any(got != image, axis=-1)) < 0.5


@pytest.mark.parametrize("mirrored", [False, True])
def test_the_edge_of_the_nearer_face_counts_whatever_the_order_of_faces(mirrored):
    size = (6, 12)
    front = [(-9, -9), (5.3, -9), (5.3, 9), (-9, 9)]
    back = [(3.2, -9), (30, -9), (30, 9), (3.2, 9)]
    clip = np.concatenate([to_clip(front, size, 2.0), to_clip(back, size, 5.0)], 1)
    clip[..., 0] *= -1 if mirrored else 1
    image = tf.tile(tf.range(12.0)[:, tf.newaxis], [6, 1])[..., tf.newaxis]
    image = tf.reshape(image, [1, 6, 12, 1])
    results = []
    for faces in (np.concatenate([QUAD, QUAD + 4]), np.concatenate([QUAD + 4, QUAD])):
        for opposite in (None, opposite_corners(faces)):
            vertices = tf.constant(clip)
            with tf.GradientTape() as tape:
                tape.watch(vertices)
                fragments = rasterize(vertices, faces, size)
                out = antialias(image, fragments, vertices, faces, opposite=opposite)
            gradient = tape.gradient(out, vertices)[0]
            assert np.abs(gradient[:4]).max() > 0.0
            np.testing.assert_array_equal(gradient[4:], 0.0)  # the hidden edge
            results.append(out)
    want, near, far = image.numpy(), *((7, 6) if mirrored else (4, 5))
    want[:, :, far] += 0.3 * (want[:, :, near] - want[:, :, far])
    for out in results:
        np.testing.assert_allclose(out, want, atol=1e-4)


@pytest.mark.parametrize("topology", [True, False])
def test_mirrored_and_turned_pictures_blend_alike(topology):
    clip, faces = soup(3)
    size = (19, 19)

    def alpha(clip, faces):
        opposite = opposite_corners(faces) if topology else None
        fragments = rasterize(clip, faces, size)
        return antialias_silhouette(fragments, clip, faces, opposite=opposite).numpy()

    want = alpha(clip, faces)
    mirrored = clip * np.array([-1, 1, 1, 1], np.float32)
    np.testing.assert_allclose(
        alpha(mirrored, faces[:, ::-1]), want[:, :, ::-1], atol=1e-4
    )
    turned = clip[..., [1, 0, 2, 3]] * np.array([-1, 1, 1, 1], np.float32)
    np.testing.assert_allclose(
        alpha(turned, faces), np.rot90(want, 1, (1, 2)), atol=1e-4
    )
    for scale in (1e6, 1e-6):
        np.testing.assert_allclose(
            alpha(clip * np.float32(scale), faces), want, atol=1e-4
        )
