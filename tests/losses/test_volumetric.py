"""Claims of the losses of volumetric rendering, on a ball of one colour."""

import math

import numpy as np
import pytest
import tensorflow as tf

from tfrender import cameras, losses, ops
from tfrender.ops.field_query import CallableQuery
from tfrender.ops.implicit_surface import SurfaceSettings
from tfrender.ops.sample_rays import all_pixels

SIZE = (12, 16)
STEEP = 20.0
SURFACE = SurfaceSettings(ops.MarchSettings(32))
COLOR = (0.2, 0.5, 0.9)


def ball(radius, color=COLOR):
    """A field with its surface on a sphere."""
    logit = np.log(np.divide(color, 1.0 - np.asarray(color)))

    def field(points):
        inside = STEEP * (radius - tf.norm(points, axis=-1, keepdims=True))
        return tf.concat(
            [inside, tf.zeros_like(points) + tf.constant(logit, tf.float32)], -1
        )

    return CallableQuery(field)


def scene(radius=0.3, batch=1):
    """Exact pictures of a ball, gray, with their depth."""
    view = cameras.orbit(np.linspace(0.0, 90.0, batch), 15.0, 2.0)
    lens = cameras.perspective(40.0, SIZE[1] / SIZE[0])
    camera = cameras.Camera(view, tf.repeat(lens, batch, axis=0))
    pixels = tf.repeat(all_pixels(SIZE)[tf.newaxis], batch, axis=0)
    origin, way = (
        a.numpy().astype(float) for a in cameras.pixel_rays(camera, pixels, SIZE)
    )
    a, b = (way**2).sum(-1), (way * origin).sum(-1)
    root = b * b - a * ((origin**2).sum(-1) - radius**2)
    mask = root > 0
    depth = np.where(mask, (-b - np.sqrt(np.maximum(root, 0.0))) / a, 0.0)
    shape = [batch, *SIZE, 1]
    mask, depth = (x.reshape(shape).astype(np.float32) for x in (mask, depth))
    image = np.where(mask > 0, 0.5, 1.0) * np.ones(3, np.float32)
    return losses.Views(camera, tf.constant(image, tf.float32), mask, depth)


def every_pixel(views, offsets=0.0):
    """Draws of all pixels; free points at the eye, occupied ones at the middle."""
    batch = views.image.shape[0]
    pixels = tf.repeat(all_pixels(SIZE)[tf.newaxis], batch, axis=0)
    nought = tf.zeros([*pixels.shape[:2], 3])
    return losses.Draws(pixels, nought + 0.5, nought, nought + offsets)


def settings(**weights):
    """Only the weights that are given."""
    nothing = dict.fromkeys(losses.Weights._fields, 0.0)
    return losses.VolumetricSettings(losses.Weights(**{**nothing, **weights}))


def terms(query, views, chosen, draws=None, surface=SURFACE, form="graph"):
    draws = draws or every_pixel(views)
    found, _ = losses.volumetric_losses(query, views, draws, chosen, surface, form)
    return {name: value.numpy() for name, value in found.items()}


def test_colours_count_where_both_masks_agree():
    views = scene(0.3, batch=2)
    found = terms(ball(0.25), views, settings(rgb=2.0))
    inside = np.count_nonzero(scene(0.25, batch=2).mask, axis=(1, 2, 3))
    each = 2.0 * np.abs(np.array(COLOR) - 0.5).sum()
    np.testing.assert_allclose(found["rgb"], each * inside, rtol=1e-4)
    assert set(found) == {"rgb"}


@pytest.mark.parametrize("kind", ["planar", "points"])
def test_depth_is_compared_where_it_is_known(kind):
    views = scene(0.3)
    known = views.depth.copy()
    known[:, :, : SIZE[1] // 2] = 0.0
    views = views._replace(depth=known)
    chosen = settings(depth=1.0)._replace(depth_loss=kind)
    found = terms(ball(0.25), views, chosen)["depth"]
    smaller = scene(0.25)
    both = (smaller.mask > 0) & (known > 0)
    error = np.where(both, smaller.depth - known, 0.0)[..., 0]
    if kind == "points":
        way = cameras.pixel_rays(views.camera, all_pixels(SIZE)[tf.newaxis], SIZE)[1]
        error *= np.linalg.norm(way, axis=-1).reshape(error.shape)
    np.testing.assert_allclose(found, error.sum(axis=(1, 2)), rtol=1e-3)


@pytest.mark.parametrize("normals", ["central", "analytic"])
def test_normals_of_neighbours_are_compared(normals):
    views = scene(0.3)
    offset = np.array([2e-3, 0.0, 0.0])
    chosen = settings(normal=1.0)._replace(normals=normals)
    draws = every_pixel(views, tf.constant(offset, tf.float32))
    _, surface = losses.volumetric_losses(ball(0.3), views, draws, chosen, SURFACE)
    points = surface.points.numpy().astype(float)
    beside = points + offset
    unit = [p / np.linalg.norm(p, axis=1, keepdims=True) for p in (points, beside)]
    expected = np.linalg.norm(unit[0] - unit[1], axis=1).sum()
    found = terms(ball(0.3), views, chosen, draws)["normal"]
    np.testing.assert_allclose(found, [expected], rtol=0.03)


def test_background_must_be_free_and_the_object_full():
    """A ball too large beside one too small: all entropies are known."""
    views, chosen = scene(0.3), settings(freespace=1.0, occupied=1.0)
    background = np.count_nonzero(views.mask == 0)
    found = terms(ball(0.45), views, chosen)
    larger = np.count_nonzero(scene(0.45).mask)
    ring = larger - np.count_nonzero(views.mask)
    marched = losses.volumetric_losses(
        ball(0.45), views, every_pixel(views), chosen, SURFACE
    )[1].marched.numpy()
    # On the surface the entropy is log 2, far outside it is nearly 0.
    far = np.log1p(np.exp(STEEP * (0.45 - 0.5 * math.sqrt(3.0))))
    others = (
        np.count_nonzero(marched.reshape(-1) & (views.mask.reshape(-1) == 0)) - ring
    )
    assert background >= ring + others
    expected = ring * math.log(2.0) + others * far
    np.testing.assert_allclose(found["freespace"], [expected], rtol=1e-3)
    np.testing.assert_allclose(found["occupied"], [0.0], atol=1e-6)
    found = terms(ball(0.2), views, chosen)
    missed = np.count_nonzero(views.mask) - np.count_nonzero(scene(0.2).mask)
    # Occupied points lie at the origin, at depth 0.2 in the ball.
    each = np.log1p(np.exp(-STEEP * 0.2))
    np.testing.assert_allclose(found["occupied"], [missed * each], rtol=1e-3)
    never = chosen._replace(always_freespace=False)
    np.testing.assert_allclose(terms(ball(0.2), views, never)["freespace"], [0.0])


def test_a_shape_that_reaches_the_border_is_pushed_back():
    views, chosen = scene(0.3), settings(freespace=1.0)
    full = ball(5.0)
    legacy = SURFACE._replace(legacy=True)
    draws = every_pixel(views)
    _, surface = losses.volumetric_losses(full, views, draws, chosen, SURFACE)
    assert not surface.mask.numpy().any()
    started = surface.starts_inside.numpy()
    assert started.any()
    _, surface = losses.volumetric_losses(full, views, draws, chosen, legacy)
    assert surface.mask.numpy()[started].all()
    # Points of the border are a good deal emptier than the middle, but inside.
    assert terms(full, views, chosen)["freespace"][0] > STEEP * 4.0 * started.sum()


def test_neighbours_in_whole_patches_are_compared():
    """On a picture that is a ramp the differences are those of the ramp."""
    views = scene(0.45)
    ramp = np.zeros([1, *SIZE, 3], np.float32)
    ramp += np.arange(SIZE[1])[:, np.newaxis] * 0.03
    ramp += np.arange(SIZE[0])[:, np.newaxis, np.newaxis] * 0.01
    views = views._replace(image=tf.constant(ramp))
    chosen = settings(image_gradients=1.0)._replace(patch_size=2)
    draws = losses.draw(tf.constant([0, 1], tf.int64), views, 400, chosen)
    found = terms(ball(0.45), views, chosen, draws)["image_gradients"]
    inside = tf.gather_nd(
        views.mask[..., 0],
        tf.cast(tf.reverse(draws.pixels, [-1]), tf.int32),
        batch_dims=1,
    ).numpy()
    whole = np.count_nonzero(inside.reshape(-1, 4).all(axis=1))
    assert 0 < whole < 100
    np.testing.assert_allclose(found, [whole * 3 * math.hypot(0.03, 0.01)], rtol=1e-3)


def test_sparse_points_are_marched():
    views = scene(0.3)
    pixels = tf.constant([[[8.0, 6.0], [8.5, 6.5], [8.0, 6.0]]])
    origin, way = cameras.pixel_rays(views.camera, pixels, SIZE)
    depth = tf.constant([[1.6, 1.65, 9.0]])
    start, step = (x.numpy().astype(float)[0, :2] for x in (origin, way))
    a, b = (step**2).sum(-1), (step * start).sum(-1)
    true = (-b - np.sqrt(b * b - a * ((start**2).sum(-1) - 0.3**2))) / a
    expected = np.abs(true - depth.numpy()[0, :2]).sum()
    sparse = {
        "pixels": pixels,
        "points": origin + depth[..., tf.newaxis] * way,
        "depth": depth,
        "mask": tf.constant([[1.0, 1.0, 0.0]]),  # the last is padding
    }
    found = terms(ball(0.3), views._replace(sparse=sparse), settings(sparse_depth=1.0))[
        "sparse_depth"
    ]
    np.testing.assert_allclose(found, [expected], atol=1e-4)


@pytest.mark.parametrize("form", ["graph", "xla"])
@pytest.mark.parametrize("radius", [0.01, 0.3, 0.54, 5.0])
def test_losses_and_gradients_are_finite(radius, form):
    """No ray meets the shape, some do, and all start inside."""
    size = tf.Variable(radius)
    field = ball(size)
    for mask in (0.0, 1.0):
        views = scene(0.3)
        views = views._replace(mask=np.full_like(views.mask, mask))
        chosen = losses.VolumetricSettings(losses.Weights(depth=1.0))
        draws = losses.draw(tf.constant([3, 4], tf.int64), views, 50, chosen)
        with tf.GradientTape() as tape:
            found, _ = losses.volumetric_losses(
                field, views, draws, chosen, SURFACE, form
            )
            total = tf.add_n(list(found.values()))
        gradient = tape.gradient(total, size, unconnected_gradients="zero")
        assert np.isfinite(total.numpy()).all() and np.isfinite(gradient)


def test_both_forms_agree_and_a_mean_is_one_of_all_rays():
    views = scene(0.3, batch=2)
    chosen = losses.VolumetricSettings(losses.Weights(depth=1.0))
    draws = losses.draw(tf.constant([5, 6], tf.int64), views, 60, chosen)
    graph = terms(ball(0.27), views, chosen, draws)
    static = terms(ball(0.27), views, chosen, draws, form="xla")
    for name, value in graph.items():
        np.testing.assert_allclose(static[name], value, rtol=1e-4, atol=1e-5)
    mean = terms(ball(0.27), views, chosen._replace(reduction="mean"), draws)
    _, surface = losses.volumetric_losses(ball(0.27), views, draws, chosen, SURFACE)
    inside = tf.gather_nd(
        views.mask[..., 0],
        tf.cast(tf.reverse(draws.pixels, [-1]), tf.int32),
        batch_dims=1,
    ).numpy()
    both = np.count_nonzero(surface.mask.numpy() & (inside > 0))
    np.testing.assert_allclose(mean["rgb"], graph["rgb"] / both, rtol=1e-4)


def test_draws_depend_on_the_seed_and_stay_in_the_cube():
    views = scene(0.3)
    chosen = losses.VolumetricSettings(object_share=0.5)
    first, same, other = (
        losses.draw(tf.constant([1, n], tf.int64), views, 40, chosen) for n in (1, 1, 2)
    )
    for a, b, c in zip(first, same, other, strict=True):
        np.testing.assert_array_equal(a, b)
        assert np.abs(a - c).max() > 0
    near = first.pixels.numpy()[0, 20:]
    distance = np.hypot(*(near - [8.0, 6.0]).T)
    assert distance.max() < 4.5 * math.sqrt(2.0) + 5.0
    hull = views._replace(hull_depth=views.depth)
    chosen = losses.VolumetricSettings()
    draws = losses.draw(tf.constant([1, 1], tf.int64), hull, 40, chosen)
    away = np.linalg.norm(draws.occupied_points[0], axis=-1)
    inside = tf.gather_nd(
        views.mask[..., 0],
        tf.cast(tf.reverse(draws.pixels, [-1]), tf.int32),
        batch_dims=1,
    ).numpy()[0]
    np.testing.assert_allclose(away[inside > 0], 0.3, atol=1e-4)


def test_views_are_compared():
    views = scene(0.3)
    draws = every_pixel(views)
    chosen = settings(rgb=1.0)
    _, surface = losses.volumetric_losses(
        ball(0.3, (0.5,) * 3), views, draws, chosen, SURFACE
    )
    found = losses.compare_views(views, draws.pixels, surface)
    assert float(found["mask_iou"][0]) == float(found["mask_intersection"][0]) == 1.0
    assert float(found["psnr"][0]) > 60.0
    np.testing.assert_allclose(found["depth_error"], [0.0], atol=1e-5)
    _, surface = losses.volumetric_losses(ball(0.2), views, draws, chosen, SURFACE)
    found = losses.compare_views(views, draws.pixels, surface)
    smaller, larger = (np.count_nonzero(scene(r).mask) for r in (0.2, 0.3))
    np.testing.assert_allclose(found["mask_iou"], [smaller / larger], rtol=1e-5)
    expected = np.abs(np.array(COLOR) - 0.5).mean()
    np.testing.assert_allclose(found["rgb_error"], [expected], rtol=1e-4)
    empty = views._replace(mask=np.zeros_like(views.mask))
    _, surface = losses.volumetric_losses(ball(0.01), empty, draws, chosen, SURFACE)
    found = losses.compare_views(empty, draws.pixels, surface)
    assert float(found["mask_iou"][0]) == 1.0 and float(found["rgb_error"][0]) == 0.0
    # The shape that nobody sees is not the best one.
    _, surface = losses.volumetric_losses(ball(0.01), views, draws, chosen, SURFACE)
    found = losses.compare_views(views, draws.pixels, surface)
    assert float(found["rgb_error"][0]) == 1.0
    np.testing.assert_allclose(found["depth_error"], [math.sqrt(3.0)], rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"reduction": "max"}, "`reduction` must be one of"),
        ({"normals": "none"}, "`normals` must be one of"),
        ({"depth_loss": "ray"}, "`depth_loss` must be one of"),
        ({"object_share": 0.5, "patch_size": 2}, "`object_share` must be 0 with"),
    ],
)
def test_settings_are_checked(change, expected):
    with pytest.raises(ValueError, match=expected):
        losses.draw(
            tf.constant([0, 0], tf.int64),
            scene(),
            16,
            losses.VolumetricSettings(**change),
        )


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ({"depth": 1.0}, "`views.depth` must be given"),
        ({"sparse_depth": 1.0}, "`views.sparse` must be given"),
        ({"image_gradients": 1.0}, "`patch_size` must be 2 or more"),
    ],
)
def test_a_term_needs_its_data(weights, expected):
    views = scene()._replace(depth=None)
    with pytest.raises(ValueError, match=expected):
        terms(ball(0.3), views, settings(**weights))
