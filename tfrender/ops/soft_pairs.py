"""What one face of the Soft Rasterizer does to one pixel.

Liu, Li, Chen and Li, "Soft Rasterizer", ICCV 2019, with the released program's rules.
Letters used below: p is the pixel's centre and p_k corner k of a face, both in NDC
units of the image height (x right, y up), z_k the depth of the corner; det is twice
the signed area, E_k the edge function opposite to corner k, w_k = E_k / det the
barycentrics on the screen; edge k runs from corner k to k + 1, and the point of its
line nearest to p is t_k p_k + (1 - t_k) p_{k+1}; tau_k are the barycentrics of the
nearest point of the face's outline and d2 the squared distance from there; the face
covers the pixel with probability D = 1 / (1 + exp(-logit)), logit = +-d2 / sigma,
which is cut off below -L, L = log(1 / dist_eps - 1); wc_k are the w_k clipped to
[0, 1] and normalised again.

All functions work on any shapes that broadcast: corners [.., 1, F] against pixels
[.., P, 1] give pairs [.., P, F]. The rule for gradients is to decide everything on
constants first and to compute live values on the pairs that count only, so that no
infinity from a pair that does not count can meet a gradient of zero.
"""

from typing import NamedTuple

import tensorflow as tf

from tfrender.ops.soft_blend import SoftBlend, SoftModes, scalar

_SMALLEST_DET = 1e-10  # the original's
_SMALLEST_SUM = 1e-5  # of clipped barycentrics, the original's
_LARGEST = 1e15  # coordinates, so that products of two stay inside float32
_SMALLEST_DEPTH = 1e-12
_CERTAIN = 1e4  # logit of the hard distance: D is 1 in every precision


class Corners(NamedTuple):
    """Corners of faces, ready to meet pixels.

    Attributes:
        x: three [.., 1, F], live, in NDC units of the image height.
        y: three [.., 1, F], live.
        inverse_z: three [.., 1, F], live.
        det: [.., 1, F], live, held away from 0; below 0 where the face is clockwise.
        shrink: [.., 1, F] constant, det before over det after it was held away.
        usable: [.., 1, F] bool, the face can be drawn.
        front: [.., 1, F] bool, the face is clockwise on screen.
    """

    x: tuple
    y: tuple
    inverse_z: tuple
    det: tf.Tensor
    shrink: tf.Tensor
    usable: tf.Tensor
    front: tf.Tensor


class Pairs(NamedTuple):
    """What every face does to every pixel, [.., P, F] each.

    Attributes:
        covers: bool, the face reaches the pixel.
        in_range: bool, so it does, and its depth there lies within the depth range.
        inside: bool, the pixel's centre lies in the face or on its outline.
        logit: live, D = sigmoid(logit); 0 where not `covers`.
        weights: three, wc_k; constants unless the modes say so; 0 where not `covers`.
        depth: live, depth of the face at wc_k; 1 where not `in_range`.
    """

    covers: tf.Tensor
    in_range: tf.Tensor
    inside: tf.Tensor
    logit: tf.Tensor
    weights: tuple
    depth: tf.Tensor


def pixel_centers(image_size: tuple[int, int], dtype: tf.DType) -> tf.Tensor:
    """Centres of the pixels, row by row from the top.

    Args:
        image_size: (height, width).
        dtype: type wanted.

    Returns:
        [H*W, 2] x and y in NDC units of the image height, y up.
    """
    height, width = image_size
    x = (2.0 * tf.range(width, dtype=dtype) + 1.0 - width) / height
    y = (height - 1.0 - 2.0 * tf.range(height, dtype=dtype)) / height
    x, y = tf.meshgrid(x, y)
    return tf.reshape(tf.stack([x, y], axis=-1), [-1, 2])


def face_columns(face_vertices: tf.Tensor, aspect: float, modes: SoftModes) -> Corners:
    """Prepares faces to meet pixels.

    Args:
        face_vertices: [.., F, 3, 3] x and y in NDC, depth.
        aspect: width over height of the image.
        modes: SoftModes.

    Returns:
        Corners [.., 1, F]. Not usable are faces with a NaN, an infinity or a
        coordinate beyond 1e15, and faces without area where `skip_degenerate` says so.

    Gradient: exact, none to faces that are not usable.
    """
    sane = tf.reduce_all(tf.abs(face_vertices) < _LARGEST, axis=[-2, -1])
    face_vertices = tf.where(sane[..., tf.newaxis, tf.newaxis], face_vertices, 0.0)
    columns = face_vertices[..., tf.newaxis, :, :, :]  # [.., 1, F, 3, 3]
    x = tuple(tf.unstack(columns[..., 0] * aspect, axis=-1))
    y = tuple(tf.unstack(columns[..., 1], axis=-1))
    z = columns[..., 2]
    visible = tf.abs(z) > _SMALLEST_DEPTH
    # A corner in the plane of the camera is infinitely near: out of range.
    inverse_z = 1.0 / tf.where(visible, z, -_SMALLEST_DEPTH)
    det = (x[1] - x[0]) * (y[2] - y[0]) - (x[2] - x[0]) * (y[1] - y[0])
    smallest = tf.constant(_SMALLEST_DET, det.dtype)
    thin = tf.abs(det) < smallest
    usable = sane[..., tf.newaxis, :]
    if modes.skip_degenerate:
        usable &= ~thin
    held = tf.where(thin, tf.where(det > 0.0, smallest, -smallest), det)
    return Corners(
        x=x,
        y=y,
        inverse_z=tuple(tf.unstack(inverse_z, axis=-1)),
        det=held,
        shrink=tf.stop_gradient(det / held),
        usable=usable,
        front=det < 0.0,
    )


def soft_pairs(
    corners: Corners,
    pixels: tuple[tf.Tensor, tf.Tensor],
    *,
    blend: SoftBlend,
    modes: SoftModes,
    depth_range,
) -> Pairs:
    """Meets faces and pixels.

    Args:
        corners: of `face_columns`, [.., 1, F].
        pixels: x and y [.., P, 1] of `pixel_centers`.
        blend: SoftBlend.
        modes: SoftModes.
        depth_range: (near, far).

    Returns:
        Pairs [.., P, F].

    Gradient: that of the original's kernels (see `soft_rasterize_dense`).
    """
    dtype = corners.det.dtype
    sigma, dist_eps = scalar(blend.sigma, dtype), scalar(blend.dist_eps, dtype)
    reach = tf.maximum(tf.math.log(1.0 / dist_eps - 1.0) * sigma, 0.0)  # squared
    fixed = _constant(corners)
    weights = _barycentrics(fixed, pixels)
    near_box = _in_box(fixed, pixels, tf.sqrt(reach)) & corners.usable
    if modes.distance == "euclidean":
        covers, logit = _euclidean(corners, pixels, weights, near_box, reach)
    elif modes.distance == "barycentric":
        covers, logit = _barycentric(corners, pixels, weights, near_box, reach)
    else:
        covers = near_box & _every(weights, lambda w: (w >= 0.0) & (w <= 1.0))
        logit = tf.where(covers, tf.cast(_CERTAIN, dtype) * sigma, 0.0)
    if modes.interpolation_gradient:
        weights = _barycentrics(corners, pixels, covers)
    clipped = _clipped(weights, covers)
    in_range, depth = _depth(corners.inverse_z, clipped, covers, depth_range)
    inside = _every(weights, lambda w: (w >= 0.0) & (w <= 1.0)) & covers
    return Pairs(covers, in_range, inside, logit / sigma, clipped, depth)


def coverage_logit(pairs: Pairs, modes: SoftModes) -> tuple[tf.Tensor, tf.Tensor]:
    """Which pairs count in alpha, and with which logit.

    Args:
        pairs: Pairs [.., P, F].
        modes: SoftModes.

    Returns:
        counts: [.., P, F] bool.   logit: [.., P, F], 0 where it does not count.
    """
    if modes.depth_clip_alpha:
        return pairs.in_range, tf.where(pairs.in_range, pairs.logit, 0.0)
    constant = tf.stop_gradient(pairs.logit)
    return pairs.covers, tf.where(pairs.in_range, pairs.logit, constant)


def _constant(corners):
    return Corners(*(tf.nest.map_structure(tf.stop_gradient, list(corners))))


def _every(values, test):
    first, second, third = (test(value) for value in values)
    return first & second & third


def _relative(corners, pixels, shrink=False):
    """Corners as the pixel sees them: three x and three y, [.., P, F]."""
    x, y = pixels
    if shrink:
        x, y = x * corners.shrink, y * corners.shrink
    return [value - x for value in corners.x], [value - y for value in corners.y]


def _barycentrics(corners, pixels, covers=None):
    """Three w_k; where `covers` is given they are 0 elsewhere."""
    x, y = _relative(corners, pixels)
    edges = [
        x[(k + 1) % 3] * y[(k + 2) % 3] - x[(k + 2) % 3] * y[(k + 1) % 3]
        for k in range(3)
    ]
    if covers is not None:
        edges = [tf.where(covers, edge, 0.0) for edge in edges]
    return [edge / corners.det for edge in edges]


def _in_box(corners, pixels, reach):
    """Is the pixel in the face's bounding box, grown by `reach`?"""
    found = True
    for corner, pixel in ((corners.x, pixels[0]), (corners.y, pixels[1])):
        low = tf.minimum(tf.minimum(corner[0], corner[1]), corner[2]) - reach
        high = tf.maximum(tf.maximum(corner[0], corner[1]), corner[2]) + reach
        found = (pixel >= low) & (pixel <= high) & found
    return found


def _barycentric(corners, pixels, weights, near_box, reach):
    """Covers and logit * sigma of the barycentric distance m |m|, m = min w_k."""
    least = tf.minimum(tf.minimum(weights[0], weights[1]), weights[2])
    covers = near_box & (least * tf.abs(least) > -reach)
    live = _barycentrics(corners, pixels, covers)
    least = tf.minimum(tf.minimum(live[0], live[1]), live[2])
    return covers, least * tf.abs(least)


def _euclidean(corners, pixels, weights, near_box, reach):
    """Covers and logit * sigma of the distance from the outline, +-d2."""
    inside = _every(weights, lambda w: (w > 0.0) & (w < 1.0))
    tau = _nearest_on_outline(_constant(corners), pixels, weights, inside)
    x, y = _relative(corners, pixels, shrink=True)
    away_x = sum(part * value for part, value in zip(tau, x, strict=True))
    away_y = sum(part * value for part, value in zip(tau, y, strict=True))
    square = tf.stop_gradient(away_x**2 + away_y**2)
    covers = near_box & (inside | (square < reach))
    away_x, away_y = tf.where(covers, away_x, 0.0), tf.where(covers, away_y, 0.0)
    square = away_x**2 + away_y**2
    return covers, tf.where(inside, square, -square)


def _nearest_on_outline(corners, pixels, weights, inside):
    """Three tau_k of the outline's point nearest to the pixel, by the original's rules.

    Inside, the nearest of the three lines wins. Outside, the signs of w_k choose an
    edge: they say beyond which edge or corner the pixel lies, and beyond a corner with
    an obtuse angle either of its edges may be nearer.
    """
    x, y = _relative(corners, pixels, shrink=True)
    feet, squares, obtuse = [], [], []
    for k in range(3):
        after, before = (k + 1) % 3, (k + 2) % 3
        edge_x = corners.x[k] - corners.x[after]
        edge_y = corners.y[k] - corners.y[after]
        length = edge_x**2 + edge_y**2
        dot = -(x[after] * edge_x + y[after] * edge_y)
        foot = dot / tf.where(length > 0.0, length, 1.0)
        feet.append(foot)
        away_x = foot * x[k] + (1.0 - foot) * x[after]
        away_y = foot * y[k] + (1.0 - foot) * y[after]
        squares.append(away_x**2 + away_y**2)
        back_x = corners.x[before] - corners.x[k]
        back_y = corners.y[before] - corners.y[k]
        obtuse.append(back_x * edge_x + back_y * edge_y > 0.0)
    beyond = [w <= 0.0 for w in weights]
    # Beyond corner k: edge k, or the one that ends there. Beyond an edge: that one.
    corner = [
        tf.where(obtuse[k] & (feet[k - 1] > 0.0), (k - 1) % 3, k) for k in (0, 1, 2)
    ]
    outer = tf.where(beyond[0], 1, tf.where(beyond[1], 2, 0))
    outer = tf.where(beyond[0] & beyond[1], corner[2], outer)
    outer = tf.where(beyond[2] & beyond[0], corner[1], outer)
    outer = tf.where(beyond[1] & beyond[2], corner[0], outer)
    inner = tf.where(squares[1] < squares[0], 1, 0)
    least = tf.minimum(squares[0], squares[1])
    inner = tf.where(squares[2] < least, 2, inner)
    chosen = tf.where(inside, inner, outer)
    foot = tf.where(chosen == 0, feet[0], tf.where(chosen == 1, feet[1], feet[2]))
    foot = tf.where(inside, foot, tf.clip_by_value(foot, 0.0, 1.0))
    nought = tf.zeros_like(foot)
    return [
        tf.where(chosen == k, foot, tf.where(chosen == (k - 1) % 3, 1.0 - foot, nought))
        for k in range(3)
    ]


def _clipped(weights, covers):
    """wc_k, 0 where the face does not reach the pixel."""
    weights = [tf.where(covers, w, 0.0) for w in weights]
    weights = [tf.clip_by_value(w, 0.0, 1.0) for w in weights]
    total = tf.maximum(weights[0] + weights[1] + weights[2], _SMALLEST_SUM)
    return tuple(w / total for w in weights)


def _depth(inverse_z, weights, covers, depth_range):
    """In range, and 1 / sum wc_k / z_k, which is 1 elsewhere."""
    inverse = sum(w * other for w, other in zip(weights, inverse_z, strict=True))
    near, far = (scalar(limit, inverse.dtype) for limit in depth_range)
    fixed = tf.stop_gradient(inverse)
    depth = 1.0 / tf.where(fixed > 1e-30, fixed, 1e-30)
    in_range = covers & (depth >= near) & (depth <= far)
    return in_range, 1.0 / tf.where(in_range, inverse, 1.0)
