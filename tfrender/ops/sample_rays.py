"""Random pixels, and random points on the rays through them.

Niemeyer et al., CVPR 2020, published code. Where that one is off the pixel grid
(patches step by 1 / W of a width of W - 1 steps, and even widths lose their last
column) pixels here are whole ones.
"""

import tensorflow as tf

from tfrender import checks
from tfrender.ops.ray_cube import ray_cube


def sample_pixels(
    seed: tf.Tensor,
    batch: int | tf.Tensor,
    count: int,
    image_size: tuple[int, int],
    *,
    patch_size: int = 1,
    continuous: bool = False,
) -> tf.Tensor:
    """Draws pixels, in square patches.

    Args:
        seed: [2] integers.
        batch: B.
        count: pixels a picture; cut to whole patches. As many as the picture has, or
            more, with patches of one pixel: every pixel once, row by row.
        image_size: (height, width).
        patch_size: side of a patch in pixels.
        continuous: patches begin anywhere, not at pixel centres.

    Returns:
        [B, P * patch_size^2, 2] (x, y) in pixels, whole patches one after the other, x
        the slower index in a patch.

    Gradient: none.

    Raises:
        ValueError: a patch larger than the picture, or no whole patch.
    """
    height, width = checks.image_size(image_size)
    checks.between("patch_size", patch_size, 1, min(height, width))
    checks.between("count", count, patch_size**2, 2**31)
    if patch_size == 1 and not continuous and count >= height * width:
        return tf.repeat(all_pixels(image_size)[tf.newaxis], batch, axis=0)
    patches = count // patch_size**2
    shape = tf.stack([batch, patches])
    corners = []
    for i, size in enumerate((width, height)):
        key = tf.random.experimental.stateless_fold_in(seed, i)
        if continuous:
            corner = tf.random.stateless_uniform(
                shape, key, 0.0, float(size - patch_size + 1)
            )
        else:
            corner = tf.random.stateless_uniform(
                shape, key, 0, size - patch_size + 1, tf.int32
            )
            corner = tf.cast(corner, tf.float32) + 0.5
        corners.append(corner)
    offset = tf.range(patch_size, dtype=tf.float32)
    grid = tf.stack(tf.meshgrid(offset, offset, indexing="ij"), axis=-1)
    pixels = tf.stack(corners, axis=-1)[:, :, tf.newaxis]  # [B, P, 1, 2]
    pixels += tf.reshape(grid, [-1, 2])
    return tf.reshape(pixels, [batch, patches * patch_size**2, 2])


def sample_object_pixels(
    seed: tf.Tensor, mask: tf.Tensor, count: int, margin: int = 0
) -> tf.Tensor:
    """Draws pixels on and around the object of each picture.

    Args:
        seed: [2] integers.
        mask: [B, H, W, 1], above one half on the object.
        count: N, pixels a picture.
        margin: pixels by which the mask is widened on all sides, so that its outline
            is seen from both.

    Returns:
        [B, N, 2] (x, y), centres of pixels; anywhere in a picture without object.

    Gradient: none. Memory: two numbers a pixel of the pictures.
    """
    if margin:
        mask = tf.nn.max_pool2d(mask, 2 * margin + 1, 1, "SAME")
    width = tf.shape(mask)[2]
    inside = tf.cast(tf.reshape(mask, [tf.shape(mask)[0], -1]) > 0.5, tf.int32)
    none = tf.reduce_all(inside == 0, axis=1, keepdims=True)
    before = tf.cumsum(tf.where(none, 1, inside), axis=1)  # [B, H W]
    share = tf.random.stateless_uniform(tf.stack([tf.shape(mask)[0], count]), seed)
    total = tf.cast(before[:, -1:], tf.float32)
    wanted = tf.cast(tf.floor(share * total), tf.int32) + 1
    place = tf.searchsorted(before, tf.minimum(wanted, before[:, -1:]))
    x, y = place % width, place // width
    return tf.cast(tf.stack([x, y], axis=-1), tf.float32) + 0.5


def all_pixels(image_size: tuple[int, int]) -> tf.Tensor:
    """Centres of all pixels, row by row: [H W, 2] (x, y)."""
    height, width = checks.image_size(image_size)
    x, y = tf.meshgrid(
        tf.range(width, dtype=tf.float32), tf.range(height, dtype=tf.float32)
    )
    return tf.reshape(tf.stack([x, y], axis=-1) + 0.5, [-1, 2])


def look_up_pixels(
    images: tf.Tensor, pixels: tf.Tensor, *, legacy: bool = False
) -> tf.Tensor:
    """Values of the pixels that hold points of a picture.

    Args:
        images: [B, H, W, C].
        pixels: [B, N, 2] (x, y) in pixels; beyond the border the nearest pixel.
        legacy: as the published code: the picture's outermost pixel centres at its
            outer borders, so that the last column (row) of an even width (height)
            reads 0.

    Returns:
        [B, N, C].

    Gradient: to the images.
    """
    size = tf.shape(images)[1:3]
    limit = tf.cast(tf.stack([size[1], size[0]]), tf.float32)  # width, height
    if legacy:
        unit = (pixels - 0.5) / (limit - 1.0)  # [0, 1] over the pixel centres
        place = tf.round(unit * limit - 0.5)
    else:
        place = tf.floor(pixels)
    inside = tf.clip_by_value(place, 0.0, limit - 1.0)
    index = tf.cast(tf.reverse(inside, axis=[-1]), tf.int32)
    values = tf.gather_nd(images, index, batch_dims=1)
    if legacy:
        within = tf.reduce_all(place == inside, axis=-1, keepdims=True)
        values = tf.where(within, values, tf.zeros_like(values))
    return values


def sample_on_rays(
    seed: tf.Tensor,
    origins: tf.Tensor,
    directions: tf.Tensor,
    half_size: float = 0.5,
    *,
    outside_far: float = 2.4,
    use_cube: bool = True,
    normal: bool = False,
) -> tf.Tensor:
    """Draws one point on each ray.

    Args:
        seed: [2] integers.
        origins: [B, N, 3].
        directions: [B, N, 3].
        half_size: of the cube that points are drawn in.
        outside_far: points of rays that miss the cube are drawn between depth 0 and
            this one.
        use_cube: False draws all points between 0 and `outside_far`.
        normal: normally distributed around the middle of the span with a deviation of
            an eighth of it, in place of evenly.

    Returns:
        [B, N, 3].

    Gradient: none.
    """
    span = ray_cube(origins, directions, half_size)
    hit = tf.logical_and(span.hit, use_cube)
    near = tf.where(hit, span.near, 0.0)
    far = tf.where(hit, span.far, outside_far)
    if normal:
        share = 0.5 + tf.random.stateless_normal(tf.shape(near), seed) / 8.0
    else:
        share = tf.random.stateless_uniform(tf.shape(near), seed)
    depth = near + (far - near) * share
    return tf.stop_gradient(origins + depth[..., tf.newaxis] * directions)
