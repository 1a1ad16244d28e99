"""Points to voxels and voxels to silhouettes: the renderer of DPC.

Insafutdinov and Dosovitskiy, "Unsupervised Learning of Shape and Pose with
Differentiable Point Clouds", NeurIPS 2018, section 3.1: points in the camera's
perspective frame are spread over the eight voxels around them, blurred with a Gaussian
that narrows as training goes on, and rays parallel to the depth axis find what they
hit.
"""

import math
from typing import NamedTuple

import tensorflow as tf

from tfrender import checks
from tfrender.ops.floating import as_float

# The release clips occupancies to [1e-5, 1 - 1e-5] before it takes logarithms.
DENSITY_CLIP = 1e-5


def splat_points(
    points: tf.Tensor,
    grid: tuple[int, int, int],
    *,
    weights: tf.Tensor | None = None,
    aligned: bool = True,
) -> tf.Tensor:
    """Spreads points over the eight voxels around each, trilinearly.

    Args:
        points: [B, N, 3] (depth, y, x) in the cube [-0.5, 0.5]^3; points outside of it
            are left out.
        grid: voxels (D, H, W) along depth, y and x, each at least 2.
        weights: [B, N], or None for 1 each.
        aligned: True puts centres of voxels half a voxel from the faces of the cube;
            False is the release, where the first and last centres lie on the faces.

    Returns:
        [B, D, H, W], y counted from the bottom; sums of weights, not clipped.

    Gradient: exact in weights, and in points through the trilinear weights. Memory:
    200 bytes a point and 4 a voxel.

    Raises:
        ValueError: for wrong shapes or ranges.
    """
    points = as_float(points)
    checks.rank("points", points, 3)
    checks.dims("points", points, 3)
    for size in grid:
        checks.between("grid", size, 2, 1024)
    sizes = tf.constant(grid, points.dtype)
    batch, count = tf.shape(points)[0], tf.shape(points)[1]
    inside = tf.reduce_all(tf.abs(points) <= 0.5, axis=-1)
    amount = tf.cast(inside, points.dtype)
    if weights is not None:
        checks.dims("weights", weights, points.shape[1])
        amount *= tf.cast(weights, points.dtype)
    if aligned:
        place = (points + 0.5) * sizes - 0.5
    else:
        place = (points + 0.5) * (sizes - 1.0)
    # A point beyond the outer centres belongs to the outer voxels alone.
    place = tf.clip_by_value(tf.where(inside[..., None], place, 0.0), 0.0, sizes - 1.0)
    first = tf.minimum(tf.floor(tf.stop_gradient(place)), sizes - 2.0)
    share = place - first  # [B, N, 3] in [0, 1]
    first = tf.cast(first, tf.int32)
    base = tf.range(batch)[:, tf.newaxis] * (grid[0] * grid[1] * grid[2])
    indices, values = [], []
    for corner in range(8):
        step = [(corner >> 2) & 1, (corner >> 1) & 1, corner & 1]
        place = [first[..., d] + step[d] for d in range(3)]
        flat = (place[0] * grid[1] + place[1]) * grid[2] + place[2]
        part = amount
        for d in range(3):
            part *= share[..., d] if step[d] else 1.0 - share[..., d]
        indices.append(flat + base)
        values.append(part)
    total = batch * (grid[0] * grid[1] * grid[2])
    flat = tf.math.unsorted_segment_sum(
        tf.reshape(tf.stack(values), [8 * batch * count]),
        tf.reshape(tf.stack(indices), [8 * batch * count]),
        total,
    )
    return tf.reshape(flat, tf.stack([batch, *grid]))


def blur_voxels(voxels: tf.Tensor, sigma, taps: int = 21) -> tf.Tensor:
    """Blurs voxels with a Gaussian, one axis after the other.

    Args:
        voxels: [B, D, H, W].
        sigma: standard deviation, voxels, above 0; a number or a scalar tensor.
        taps: odd length of the kernel; its weights add up to 1, voxels outside are 0.

    Returns:
        [B, D, H, W].

    Gradient: exact in voxels. Memory: 3 times the voxels.

    Raises:
        ValueError: for a wrong shape or an even length.
    """
    voxels = as_float(voxels)
    checks.rank("voxels", voxels, 4)
    checks.between("taps", taps, 1, 4097)
    if taps % 2 == 0:
        raise ValueError(f"`taps` must be odd; got {taps}.")
    for axis, labels in (
        (1, "dk,bkhw->bdhw"),
        (2, "hk,bdkw->bdhw"),
        (3, "wk,bdhk->bdhw"),
    ):
        band = _band(voxels.shape[axis], sigma, taps, voxels.dtype)
        voxels = tf.einsum(labels, band, voxels)
    return voxels


def gaussian_kernel(sigma, taps: int, dtype=tf.float32) -> tf.Tensor:
    """Weights of `blur_voxels`, [taps], sum 1.

    Args:
        sigma: standard deviation, voxels.
        taps: odd length.
        dtype: of the result.
    """
    place = tf.range(-(taps // 2), taps // 2 + 1)
    weight = _bell(tf.cast(place, dtype), sigma)
    return weight / tf.reduce_sum(weight)


def _bell(distance, sigma):
    return tf.exp(-0.5 * (distance / tf.cast(sigma, distance.dtype)) ** 2)


def _band(size, sigma, taps, dtype):
    """The blur along an axis as a matrix [size, size]."""
    place = tf.range(size)
    distance = tf.abs(place[:, tf.newaxis] - place)
    kernel = gaussian_kernel(sigma, taps, dtype)[taps // 2 :]
    padded = tf.concat([kernel, tf.zeros([1], dtype)], axis=0)
    return tf.gather(padded, tf.minimum(distance, taps // 2 + 1))


class RayProduct(NamedTuple):
    """What rays along the depth axis meet.

    Attributes:
        silhouette: [B, H, W] probability of a hit.
        depth: [B, H, W] expected depth, in voxels from the first; background excluded
            (times the probability of a hit).
        background: [B, H, W] probability of no hit.
    """

    silhouette: tf.Tensor
    depth: tf.Tensor
    background: tf.Tensor


def ray_product(
    occupancy: tf.Tensor, *, clip: float = DENSITY_CLIP, as_released: bool = False
) -> RayProduct:
    """First hits of rays through voxels, front to back along the depth axis.

    p_d = v_d prod_{e < d} (1 - v_e), in logarithms: the product's own gradient would be
    wrong behind a voxel that is full.

    Args:
        occupancy: [B, D, H, W] in [0, 1]; clipped to [clip, 1 - clip].
        clip: above 0, below 0.5.
        as_released: True multiplies p_0 and the background by exp(1e-5), the release's
            logarithm of one.

    Returns:
        `RayProduct`.

    Gradient: exact inside the clip. Memory: 16 bytes a voxel.

    Raises:
        ValueError: for a wrong shape or range.
    """
    occupancy = as_float(occupancy)
    checks.rank("occupancy", occupancy, 4)
    checks.between("clip", clip, 1e-7, 0.4)
    occupancy = tf.clip_by_value(occupancy, clip, 1.0 - clip)
    free = tf.math.log1p(-occupancy)
    hit = occupancy * tf.exp(tf.math.cumsum(free, axis=1, exclusive=True))
    extra = math.exp(1e-5) if as_released else 1.0
    if as_released:
        hit = tf.concat([hit[:, :1] * extra, hit[:, 1:]], axis=1)
    steps = tf.range(tf.cast(tf.shape(occupancy)[1], hit.dtype))
    return RayProduct(
        tf.reduce_sum(hit, axis=1),
        tf.reduce_sum(hit * steps[:, tf.newaxis, tf.newaxis], axis=1),
        tf.exp(tf.reduce_sum(free, axis=1)) * extra,
    )
