import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage

from tfrender import ops
from tfrender.ops.splat_points import gaussian_kernel

GRID = (4, 5, 7)
RNG = np.random.default_rng(0)
POINTS = RNG.uniform(-0.5, 0.5, (2, 9, 3))
CLIP = 1e-5


def slow(points, grid, weights, aligned):
    """Each point's share in each voxel."""
    found = np.zeros((len(points), *grid))
    for b, n in np.ndindex(points.shape[:2]):
        if np.abs(points[b, n]).max() > 0.5:
            continue
        share = np.ones(grid)
        for axis, size in enumerate(grid):
            scaled = (points[b, n, axis] + 0.5) * (size if aligned else size - 1)
            place = np.clip(scaled - (0.5 if aligned else 0.0), 0, size - 1)
            tent = np.maximum(1.0 - np.abs(np.arange(size) - place), 0.0)
            share *= np.expand_dims(tent, [a for a in range(3) if a != axis])
        found[b] += weights[b, n] * share
    return found


@pytest.mark.parametrize("aligned", [True, False])
def test_points_are_shared_by_the_voxels_around_them(aligned):
    points = POINTS.copy()
    points[0, 0] *= 3.0
    weights = RNG.uniform(size=(2, 9))
    found = ops.splat_points(points, GRID, weights=weights, aligned=aligned)
    np.testing.assert_allclose(found, slow(points, GRID, weights, aligned), atol=1e-12)


@pytest.mark.parametrize("aligned", [True, False])
def test_every_point_inside_counts_one_also_on_the_faces(aligned):
    corners = np.stack(np.meshgrid(*[[-0.5, 0.0, 0.5]] * 3), -1).reshape(1, -1, 3)
    for points in (POINTS, corners, corners.astype(np.float32)):
        found = ops.splat_points(points, GRID, aligned=aligned)
        total = tf.reduce_sum(found, axis=(1, 2, 3))
        np.testing.assert_allclose(total, float(points.shape[1]), rtol=1e-6)
    # The outermost corner belongs to the outermost voxel alone.
    alone = ops.splat_points([[[0.5, 0.5, 0.5]]], GRID, aligned=aligned).numpy()
    assert alone[0, -1, -1, -1] == 1.0 and alone.sum() == 1.0


def test_points_outside_count_nothing_and_stay_finite():
    outside = tf.constant([[[0.51, 0, 0], [0, -0.6, 0], [1e30, 0, 0], [np.nan, 0, 0]]])
    with tf.GradientTape() as tape:
        tape.watch(outside)
        found = ops.splat_points(outside, GRID)
    assert not found.numpy().any()
    assert not tape.gradient(found, outside)[:, :3].numpy().any()
    assert not ops.splat_points(np.zeros((2, 0, 3)), GRID).numpy().any()
    assert ops.splat_points(np.zeros((0, 2, 3)), GRID).shape == (0, *GRID)


@pytest.mark.parametrize("aligned", [True, False])
def test_splats_have_the_gradient_of_finite_differences(aligned):
    probe = RNG.normal(size=GRID)
    exact, numeric = tf.test.compute_gradient(
        lambda points, weights: tf.reduce_sum(
            probe * ops.splat_points(points, GRID, weights=weights, aligned=aligned),
            axis=(1, 2, 3),
        ),
        [0.9 * POINTS[:, :4], RNG.uniform(size=(2, 4))],
        1e-6,
    )
    for a, b in zip(exact, numeric, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-7)


@pytest.mark.parametrize("taps", [1, 5, 21])
def test_the_blur_is_that_of_scipy(taps):
    voxels = RNG.uniform(size=(2, *GRID))
    kernel = gaussian_kernel(1.3, taps, tf.float64).numpy()
    np.testing.assert_allclose(kernel.sum(), 1.0)
    want = voxels
    for axis in (1, 2, 3):
        want = ndimage.convolve1d(want, kernel, axis=axis, mode="constant")
    found = ops.blur_voxels(voxels, 1.3, taps)
    np.testing.assert_allclose(found, want, atol=1e-12)


def test_a_narrow_blur_changes_nothing():
    voxels = RNG.uniform(size=(1, *GRID)).astype(np.float32)
    for sigma in (1e-3, 1e-30):
        np.testing.assert_array_equal(ops.blur_voxels(voxels, sigma, 5), voxels)


def rays(occupancy, clip=CLIP):
    """Hits front to back, [B, D, H, W], and no hit."""
    occupancy = np.clip(occupancy, clip, 1.0 - clip)
    left, hits = np.ones_like(occupancy[:, 0]), []
    for step in range(occupancy.shape[1]):
        hits.append(left * occupancy[:, step])
        left = left * (1.0 - occupancy[:, step])
    return np.stack(hits, 1), left


def test_rays_meet_the_first_full_voxel():
    occupancy = RNG.uniform(size=(2, *GRID))
    occupancy[:, 1, 2] = 1.0
    found = ops.ray_product(occupancy)
    hits, left = rays(occupancy)
    steps = np.arange(GRID[0])[:, np.newaxis, np.newaxis]
    np.testing.assert_allclose(found.silhouette, hits.sum(1), atol=1e-12)
    np.testing.assert_allclose(found.background, left, atol=1e-12)
    np.testing.assert_allclose(found.depth, (hits * steps).sum(1), atol=1e-12)
    np.testing.assert_allclose(found.silhouette + found.background, 1.0, atol=1e-12)
    assert (found.silhouette.numpy()[:, 2] > 1.0 - 2 * CLIP).all()


def test_gradients_behind_a_full_voxel_are_those_of_finite_differences():
    # The product's own gradient, of tf.math.cumprod, is wrong there.
    occupancy = RNG.uniform(0.1, 0.9, (1, 4, 2, 2))
    occupancy[0, 1, 0, 0] = 1.0
    occupancy[0, :2, 1, 1] = 1.0
    probe = RNG.normal(size=(2, 1, 2, 2))

    def value(occupancy):
        found = ops.ray_product(occupancy, clip=1e-4)
        return tf.reduce_sum(probe[0] * found.silhouette + probe[1] * found.depth)

    exact, numeric = tf.test.compute_gradient(value, [occupancy], 1e-6)
    np.testing.assert_allclose(exact[0], numeric[0], rtol=1e-6, atol=1e-8)
    # What is hidden behind a full voxel has the share that the clip leaves.
    behind = exact[0].reshape(4, 2, 2)[2:, 0, 0]
    assert (behind != 0.0).all() and np.abs(behind).max() < 1e-3


def test_extremes_are_finite():
    for value in (0.0, 1.0):
        occupancy = tf.fill([1, 300, 2, 2], value)
        with tf.GradientTape() as tape:
            tape.watch(occupancy)
            found = ops.ray_product(occupancy)
            total = tf.add_n([tf.reduce_sum(part) for part in found])
        assert np.isfinite(total)
        assert np.isfinite(tape.gradient(total, occupancy)).all()
        np.testing.assert_allclose(found.silhouette, value, atol=300 * CLIP)


def test_graphs_of_any_batch_give_the_same():
    spec = tf.TensorSpec([None, None, 3], tf.float64)

    def pictures(points):
        voxels = ops.blur_voxels(ops.splat_points(points, GRID), 0.7, 3)
        return ops.ray_product(tf.clip_by_value(voxels, 0.0, 1.0)).silhouette

    for jit in (False, True):
        graph = tf.function(pictures, input_signature=[spec], jit_compile=jit)
        for points in (POINTS, POINTS[:1, :4]):
            np.testing.assert_allclose(graph(points), pictures(points), atol=1e-12)


VOXELS = np.zeros((1, *GRID))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ops.splat_points(POINTS[0], GRID), "`points` must have 3 axes"),
        (lambda: ops.splat_points(POINTS[..., :2], GRID), "`points` must end in"),
        (lambda: ops.splat_points(POINTS, (4, 1, 4)), "`grid` must lie in"),
        (
            lambda: ops.splat_points(POINTS, GRID, weights=np.ones((2, 8))),
            "`weights` must end in",
        ),
        (lambda: ops.blur_voxels(VOXELS[0], 1.0), "`voxels` must have 4 axes"),
        (lambda: ops.blur_voxels(VOXELS, 1.0, 4), "`taps` must be odd"),
        (lambda: ops.ray_product(VOXELS[0]), "`occupancy` must have 4 axes"),
        (lambda: ops.ray_product(VOXELS, clip=0.5), "`clip` must lie in"),
    ],
)
def test_faults_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
