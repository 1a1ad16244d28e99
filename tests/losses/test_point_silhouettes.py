import numpy as np
import pytest
import tensorflow as tf

from tfrender import cameras, losses, ops
from tfrender.losses import point_silhouettes

SIDE, GRID = 32, 16
RNG = np.random.default_rng(0)
PRESETS = losses.POINT_LOSS_PRESETS


def discs(side=SIDE, radius=0.25, centers=((0.0, 0.0), (0.1, -0.05))):
    """Masks [V, S, S, 1] of discs in the frame, row 0 at the top."""
    place = (np.arange(side) + 0.5) / side - 0.5
    x, y = np.meshgrid(place, -place)
    found = [np.hypot(x - a, y - b) < radius for a, b in centers]
    return tf.constant(np.stack(found)[..., np.newaxis], tf.float32)


def cast(settings, **values):
    return settings._replace(grid=GRID, **values)


def float64(grids):
    return losses.SilhouetteGrids(*(tf.cast(part, tf.float64) for part in grids))


@pytest.mark.parametrize("aligned", [True, False])
def test_silhouettes_on_a_coarser_grid(aligned):
    mask = discs()
    grids = losses.silhouette_grids(mask, grid=GRID, aligned=aligned)
    smooth = ops.smooth_silhouette(mask).numpy()
    for found, whole in ((grids.mask, mask.numpy()), (grids.smooth, smooth)):
        step = SIDE // GRID
        cells = whole.reshape(2, GRID, step, GRID, step, 1)
        want = cells.mean((2, 4)) if aligned else cells[:, :, 0, :, 0]
        np.testing.assert_allclose(found, want[:, ::-1], atol=1e-6)


@pytest.mark.parametrize("release", [False, True])
def test_gradients_of_unary_and_pair_equal_finite_differences(release):
    settings = cast(PRESETS["release" if release else "balanced"])
    settings = settings._replace(constant_weights=False, pair=0.1)
    grids = float64(
        losses.silhouette_grids(discs(), grid=GRID, aligned=settings.aligned)
    )
    # Inside and outside of the discs and of the frame, off the centres of pixels.
    xy = RNG.uniform(-0.45, 0.45, (2, 6, 2))
    xy[0, 0] = 0.6, -0.2
    exact, numeric = tf.test.compute_gradient(
        lambda xy: losses.point_silhouette_losses(xy, grids, settings)["total"],
        [xy],
        1e-6,
    )
    np.testing.assert_allclose(exact[0], numeric[0], rtol=1e-5, atol=1e-7)
    assert np.abs(exact[0]).max() > 0.1


def test_constant_weights_change_no_value_and_push_no_point_out():
    grids = losses.silhouette_grids(discs(), grid=GRID)
    xy = np.random.default_rng(1).uniform(-0.2, 0.2, (2, 30, 2))
    xy = tf.constant(xy, tf.float32)
    slopes, values = [], []
    for constant in (True, False):
        settings = cast(PRESETS["balanced"], unary=0.0, constant_weights=constant)
        with tf.GradientTape() as tape:
            tape.watch(xy)
            value = losses.point_silhouette_losses(xy, grids, settings)["pair"]
        slopes.append(tape.gradient(value, xy))
        values.append(value)
    np.testing.assert_array_equal(*values)
    # The forces between points add up to nothing where all have the same bias.
    places, ones = RNG.uniform(4.0, 9.0, (1, 8, 2)), np.ones((1, 8))
    places = tf.constant(places)
    with tf.GradientTape() as tape:
        tape.watch(places)
        value = losses.pair_loss(places, ones, ones, 3.0)
    total = tf.reduce_sum(tape.gradient(value, places), axis=1)
    np.testing.assert_allclose(total, 0.0, atol=1e-12)
    assert np.abs(slopes[0] - slopes[1]).max() > 1e-2


def pairs(places, inside):
    """s_i by all pairs."""
    apart = places[:, :, np.newaxis] - places[:, np.newaxis]
    square = (apart**2).sum(-1) / GRID
    return (inside[:, np.newaxis] * square).mean(-1)


def test_sums_by_moments_are_those_of_all_pairs():
    places = RNG.uniform(0.0, GRID - 1.0, (2, 11, 2))
    inside = RNG.uniform(size=(2, 11))
    rows = inside * pairs(places, inside)
    found = point_silhouettes.sum_loss(tf.constant(places), tf.constant(inside), GRID)
    np.testing.assert_allclose(found, -rows.mean(-1), rtol=1e-12)
    rows = np.clip(rows, 1e-5, GRID)
    share = rows / rows.sum(-1, keepdims=True)
    found = point_silhouettes.entropy_loss(
        tf.constant(places), tf.constant(inside), GRID
    )
    np.testing.assert_allclose(found, (share * np.log(share)).sum(-1), rtol=1e-10)


def test_weights_choose_the_terms():
    grids = losses.silhouette_grids(discs(), grid=GRID)
    xy = tf.constant(RNG.uniform(-0.6, 0.6, (2, 9, 2)), tf.float32)
    settings = cast(PRESETS["balanced"], sum=0.5, entropy=0.25)
    found = losses.point_silhouette_losses(xy, grids, settings)
    names = ("unary", "pair", "sum", "entropy", "frame")
    assert set(found) == {"total", *names}
    want = sum(getattr(settings, name) * found[name] for name in names)
    np.testing.assert_allclose(found["total"], want, rtol=1e-6)
    for name in names:
        off = dict.fromkeys(names, 0.0)
        alone = losses.point_silhouette_losses(
            xy, grids, settings._replace(**{**off, name: 2.0})
        )
        assert set(alone) == {"total", name}
        np.testing.assert_allclose(alone["total"], 2.0 * found[name], rtol=1e-6)


def course(preset, steps=300):
    """A cloud in the silhouette, shifted by 0.4, before and after the optimisation."""
    mask = discs(64, 0.2, [(0.0, 0.0)])
    settings = PRESETS[preset]
    settings = settings._replace(grid=min(settings.grid, 64))
    grids = losses.silhouette_grids(mask, grid=settings.grid, aligned=settings.aligned)
    angle, area = np.random.default_rng(1).uniform(0.0, [[6.28], [1.0]], (2, 60))
    radius = 0.19 * area**0.5
    start = np.stack([0.4 + radius * np.cos(angle), radius * np.sin(angle)], -1)
    xy = tf.Variable(start[np.newaxis], dtype=tf.float32)
    speed = tf.Variable(tf.zeros_like(xy))
    scale = tf.Variable(tf.zeros_like(xy))

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            found = losses.point_silhouette_losses(xy, grids, settings)["total"]
        slope = tape.gradient(found, xy)
        speed.assign(0.9 * speed + 0.1 * slope)  # Adam
        scale.assign(0.99 * scale + 0.01 * slope**2)
        xy.assign_sub(3e-3 * speed / (tf.sqrt(scale) + 1e-8))

    for _ in range(steps):
        step()
    inside = np.hypot(*np.moveaxis(xy.numpy()[0], -1, 0)) < 0.2
    return start, xy.numpy()[0], inside


def test_points_come_back_into_the_frame_with_balanced_weights():
    start, _, inside = course("balanced")
    assert (start[:, 0] > 0.5).sum() > 5
    assert inside.mean() >= 0.95


def test_points_outside_of_the_frame_stay_there_with_the_release():
    start, end, _ = course("release", steps=50)
    lost = start[:, 0] > 0.5
    np.testing.assert_array_equal(end[lost, 0], start[lost, 0].astype(np.float32))


def hull(points):
    """Surface term of points [1, N, 3] seen from three sides of a ball's silhouette."""
    side = 64
    eyes = [[0.0, 0.0, -20.0], [20.0, 0.0, 0.0], [0.0, 20.0, 0.0]]
    view = cameras.look_at(eyes)
    lens = tf.repeat(cameras.orthographic(0.5), 3, axis=0)
    mask = discs(side, 0.25, [(0.0, 0.0)] * 3)
    inside = losses.point_silhouettes.inside_distance(
        mask, ops.distance_to_contour(mask)
    )
    xy, _ = ops.project_points(points, cameras.Camera(view, lens))
    return losses.surface_loss(xy[tf.newaxis], inside[tf.newaxis])


def test_the_surface_term_pulls_to_the_hull_and_lets_go_there():
    points = tf.constant([[[0.1, 0.0, 0.02]]])
    with tf.GradientTape() as tape:
        tape.watch(points)
        value = hull(points)
    # The nearest outline is 0.15 away, in every view but the one along x.
    np.testing.assert_allclose(value, 0.15**2, rtol=0.1)
    slope = tape.gradient(value, points)[0, 0].numpy()
    assert slope[0] < -0.2 and np.abs(slope[1:]).max() < 0.5 * abs(slope[0])
    for outside in ([0.3, 0.0, 0.0], [0.2, 0.2, 0.0], [0.0, 0.0, 0.26], [0.7, 0, 0]):
        points = tf.constant([[outside]])
        with tf.GradientTape() as tape:
            tape.watch(points)
            value = hull(points)
        assert value == 0.0 and not tape.gradient(value, points).numpy().any()


def test_the_spread_term_counts_neighbours_and_pushes_them_apart():
    points = tf.constant([[[0.0, 0.0, 0.0], [0.1, 0.0, 0.0], [9.0, 0.0, 0.0]]])
    with tf.GradientTape() as tape:
        tape.watch(points)
        value = losses.spread_loss(points, 0.1)
    np.testing.assert_allclose(value, (3 + 2 * np.exp(-1)) / 3, rtol=1e-6)
    slope = tape.gradient(value, points)[0, :, 0].numpy()
    assert slope[0] > 0.0 > slope[1] and slope[2] == 0.0
    width = 0.8 / np.sqrt(3)
    given = losses.spread_loss(points, width)
    np.testing.assert_allclose(losses.spread_loss(points), given, rtol=1e-6)


def test_the_loss_of_clouds_is_the_mean_over_their_views():
    side, views = 16, 2
    mask = tf.reshape(
        discs(side, 0.3, [(0.05 * i, 0) for i in range(4)]), [2, 2, 16, 16, 1]
    )
    distance = tf.reshape(
        ops.distance_to_contour(tf.reshape(mask, [4, side, side, 1])), mask.shape
    )
    camera = cameras.from_quaternion(RNG.normal(size=(4, 4)))
    points = tf.constant(RNG.uniform(-0.3, 0.3, (2, 7, 3)), tf.float32)
    settings = PRESETS["surface"]._replace(grid=8)
    found = losses.point_cloud_losses(
        points, camera, mask, distance, settings, progress=0.5
    )
    assert set(found) == {"total", "unary", "pair", "frame", "surface", "spread"}
    for i in range(2):
        mine = slice(views * i, views * i + views)
        xy, _ = ops.project_points(
            points[i : i + 1], cameras.Camera(*(part[mine] for part in camera))
        )
        grids = losses.silhouette_grids(mask[i], grid=8)
        terms = losses.point_silhouette_losses(xy, grids, settings)
        for name in ("unary", "pair", "frame"):
            want = tf.reduce_mean(terms[name])
            np.testing.assert_allclose(found[name][i], want, rtol=1e-5, atol=1e-7)
    want = sum(getattr(settings, name) * found[name] for name in ("unary", "pair"))
    want += settings.frame * found["frame"]
    want += 0.5 * (20.0 * found["surface"] + 0.0017 * found["spread"])
    np.testing.assert_allclose(found["total"], want, rtol=1e-5)


@pytest.mark.parametrize("squared", [False, True])
def test_the_chamfer_distance_of_pictures(squared):
    target, xy = RNG.normal(size=(2, 5, 2)), RNG.normal(size=(2, 7, 2))
    apart = np.linalg.norm(target[:, :, np.newaxis] - xy[:, np.newaxis], axis=-1)
    apart = apart ** (2 if squared else 1)
    want = apart.min(1).mean(-1) + apart.min(2).mean(-1)
    found = losses.projected_chamfer_loss(target, xy, squared=squared)
    np.testing.assert_allclose(found, want if squared else 0.5 * want, rtol=1e-9)
    same = tf.constant(xy)
    with tf.GradientTape() as tape:
        tape.watch(same)
        value = losses.projected_chamfer_loss(xy, same, squared=squared)
    np.testing.assert_array_equal(value, 0.0)
    np.testing.assert_array_equal(tape.gradient(value, same), 0.0 * xy)


def test_degenerate_pictures_and_points_stay_finite():
    for value in (0.0, 1.0):
        mask = tf.fill([1, SIDE, SIDE, 1], value)
        for preset, settings in PRESETS.items():
            settings = cast(settings, sum=1.0, entropy=1.0)
            grids = losses.silhouette_grids(mask, grid=GRID, aligned=settings.aligned)
            xy = tf.constant([[[0.1, 0.1]] * 3 + [[1e6, -1e6], [0.5, -0.5]]])
            with tf.GradientTape() as tape:
                tape.watch(xy)
                found = losses.point_silhouette_losses(xy, grids, settings)
            slope = tape.gradient(found["total"], xy)
            assert np.isfinite(slope).all(), preset
            assert all(np.isfinite(term).all() for term in found.values())


def test_a_graph_of_any_size_gives_the_same():
    specs = [
        tf.TensorSpec([None, None, 2]),
        tf.TensorSpec([None, SIDE, SIDE, 1]),
    ]
    settings = cast(PRESETS["balanced"])

    def value(xy, mask):
        grids = losses.silhouette_grids(mask, grid=GRID)
        return losses.point_silhouette_losses(xy, grids, settings)["total"]

    graph = tf.function(value, input_signature=specs)
    for views in (1, 2):
        xy = tf.constant(RNG.uniform(-0.6, 0.6, (views, 4 * views, 2)), tf.float32)
        found = graph(xy, discs()[:views])
        np.testing.assert_allclose(found, value(xy, discs()[:views]), rtol=1e-5)


XY = np.zeros((2, 4, 2), np.float32)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: losses.silhouette_grids(discs(), grid=5), "`mask` must be square, of"),
        (lambda: losses.silhouette_grids(discs()[:, 1:]), "`mask` must be square"),
        (lambda: losses.silhouette_grids(discs()[0]), "`mask` must have 4 axes"),
        (
            lambda: losses.silhouette_grids(discs(), discs(16), grid=GRID),
            "`smooth` must end in",
        ),
        (
            lambda: losses.point_silhouette_losses(
                XY, losses.silhouette_grids(discs(), grid=8), cast(PRESETS["balanced"])
            ),
            "`grids.mask` must end in",
        ),
        (
            lambda: losses.point_silhouette_losses(
                XY[0], losses.silhouette_grids(discs(), grid=GRID)
            ),
            "`xy` must have 3 axes",
        ),
        (lambda: losses.surface_loss(XY, discs()), "`xy` must have 4 axes"),
        (lambda: losses.spread_loss(XY[0]), "`points` must have 3 axes"),
    ],
)
def test_faults_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
