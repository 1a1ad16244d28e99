"""Approximate gradient of a hard rasterised image in the corners of its faces.

A hard image is piecewise constant in the vertices. Kato, Ushiku and Harada, "Neural 3D
Mesh Renderer", CVPR 2018, section 3.2, replace the jump that a pixel makes when an edge
sweeps over it by a linear ramp. Which pixels an edge sweeps, which jumps count and the
`eps` below follow the released program, not the paper's text.

Letters used below: I is the image, G the incoming gradient, q a pixel. A directed edge
runs from a to b, c is the third corner. Every edge is swept along x (line = a row) and
along y (line = a column): u is the coordinate that tells the line, v the one along it,
both in pixels with centres on the whole numbers and rows counted upwards. An edge
crosses the line u = d at v*; its inner pixel `inside` is the last one on the face's
side of v*, `outside` the next one in the outward direction. Two sweeps follow:

- outer: every q from `outside` to the border, if `inside` shows this face:
  e = sum over channels of (I(q) - I(inside)) G(q);
- inner: every q from `inside` to the face's other side that shows this face:
  e = sum over channels of (I(q) - I(outside)) G(q).

Where e > 0, that is where the change would lower the loss, corner a receives -e / r and
b likewise, r being how far that corner alone must travel, in NDC, to bring the edge to
q; r is moved away from zero by `eps`.
"""

from typing import NamedTuple

import tensorflow as tf

from tfrender import checks
from tfrender.ops import forms
from tfrender.ops.edge_gradient_sweep import (
    WINDOW,
    scan_lists,
    scans,
    sweep,
)
from tfrender.ops.ragged_passes import owners, pass_size

_XLA_WINDOWS = 8192  # in one pass of the compiled form


class _Rows(NamedTuple):
    """Edges cut by lines: R rows.

    Attributes:
        crossing: [R] v*.
        reach: [R, 2] change of v* with v of corner a and of b, inverted, times 2 / N.
        moves: [R, 2] float32, 0 where a corner does not move the crossing.
        face: [R] float32 face index within its image.
        target: [R, 2] int32, scalar of the points that corner a and b own.
        inside: [R, C] colour of the inner pixel.
        outside: [R, C] colour of the outer pixel.
        outer: ([R], [R]) first and last scan position of the outer sweep; an empty
            sweep ends before it starts.
        inner: the same of the inner sweep.
    """

    crossing: tf.Tensor
    reach: tf.Tensor
    moves: tf.Tensor
    face: tf.Tensor
    target: tf.Tensor
    inside: tf.Tensor
    outside: tf.Tensor
    outer: tuple[tf.Tensor, tf.Tensor]
    inner: tuple[tf.Tensor, tf.Tensor]


def edge_gradient(
    image: tf.Tensor,
    face_index: tf.Tensor,
    face_points: tf.Tensor,
    *,
    eps: float = 1e-4,
    max_lanes: int = 1 << 20,
    form: str | None = None,
) -> tf.Tensor:
    """Gives a hard rasterised image a gradient in the corners of its faces.

    Args:
        image: [B, H, W, C] float32, all channels rendered at raster resolution, row 0
            at the top. Channels count together: see the sign test above.
        face_index: [B, H, W] integers, visible face of each pixel, -1 where empty.
            Faces that no pixel shows receive no gradient, so culled faces may have
            any orientation; visible ones must be counter-clockwise (y up).
        face_points: [B, F, 3, 2] float32 corners in NDC, x right, y up.
        eps: smallest length of a corner's way in NDC, above 0.
        max_lanes: pixels tested in one pass of a sweep (at most 131,072 of them in
            the XLA form); more work is done in several exact passes. Bounds memory.
        form: "xla", "graph" or None for the default of `forms`.

    Returns:
        [B, H, W, C], equal to `image`.

    Gradient: identity in `image`, the published approximation in `face_points`. Colours
    are constants of that approximation. Interior edges of a mesh take part, and equal
    colours on both sides give none. The backward pass costs time in proportion to the
    swept pixels, up to max(H, W) for every line of every visible edge; pixels with no
    incoming gradient, and those that no visible colour of their line can improve, are
    dropped first. Memory of the backward pass: about 56 C + 80 bytes a pixel, 500 bytes
    a face, 12 C + 40 bytes a lane of one pass and 16 C + 150 bytes an edge line of one
    pass (max_lanes / 16 lines).

    Raises:
        ValueError: for wrong shapes or settings out of range.
    """
    checks.rank("image", image, 4)
    checks.rank("face_index", face_index, 3)
    checks.dims("face_points", face_points, None, 3, 2)
    checks.rank("face_points", face_points, 4)
    checks.between("eps", eps, 1e-12, 1e6)
    checks.between("max_lanes", max_lanes, WINDOW, 1 << 28)
    if image.shape[-1] is None:
        raise ValueError(f"`image` must have known channels; got shape {image.shape}.")
    compiled = forms.resolve(form) == "xla"
    most = max_lanes // WINDOW

    @tf.custom_gradient
    def attach(image, points, index):
        def gradient(upstream):
            if not compiled:
                limit = (most, False)
                slope = _points_gradient(image, upstream, index, points, eps, limit)
                return upstream, slope, None
            # Padding faces are not seen, and so not read.
            padded = forms.pad_rows(points, 1, 0.0)
            limit = min(most, _XLA_WINDOWS)
            slope = _compiled_gradient(image, upstream, index, padded, eps, limit)
            return upstream, slope[:, : tf.shape(points)[1]], None

        return tf.identity(image), gradient

    return attach(
        tf.cast(image, tf.float32),
        tf.cast(face_points, tf.float32),
        tf.cast(face_index, tf.int32),
    )


@forms.compiled
def _compiled_gradient(image, upstream, index, points, eps, most):
    """Runs the sweeps in passes of a fixed size."""
    return _points_gradient(image, upstream, index, points, eps, (most, True))


def _points_gradient(image, upstream, index, points, eps, limit):
    """Runs the sweeps.

    Args:
        image: [B, H, W, C] I.
        upstream: [B, H, W, C] G.
        index: [B, H, W] int32.
        points: [B, F, 3, 2].
        eps: of `edge_gradient`.
        limit: (rows and windows in one pass, is that number their static shape).

    Returns:
        [B, F, 3, 2].
    """
    image, upstream, index = (tf.reverse(a, [1]) for a in (image, upstream, index))
    index = tf.where(index < tf.shape(points)[1], index, -1)
    size = tf.shape(index)  # B, H, W
    edges, lines = _edges(points, index)
    faces, outer, inner = scan_lists(image, upstream, index, limit[1])
    colors = tf.concat(scans(image), axis=0)  # [2 P, C]
    last = tf.cumsum(lines)
    total = tf.concat([tf.zeros([1], tf.int64), last], axis=0)[-1]

    def one_pass(start, slopes):
        count = pass_size(total - start, limit)
        owner, rank = owners(last - lines, start, total, count)
        rows = _rows(edges, owner, rank, size, tf.shape(points)[1], faces, colors)
        slope = sweep(rows, rows.inside, rows.outer, outer, None, eps, limit)
        slope += sweep(rows, rows.outside, rows.inner, inner, rows.face, eps, limit)
        slope = tf.math.unsorted_segment_sum(
            tf.reshape(slope * rows.moves, [-1]),
            tf.reshape(rows.target, [-1]),
            tf.size(points),
        )
        return start + tf.cast(count, tf.int64), slopes - slope

    _, slopes = tf.while_loop(
        lambda start, slopes: start < total,
        one_pass,
        (tf.zeros([], tf.int64), tf.reshape(tf.zeros_like(points), [-1])),
        parallel_iterations=1,
    )
    return tf.reshape(slopes, tf.shape(points))


def _edges(points, index):
    """Lists the directed edges, each for both sweeps, and the lines that cut them.

    Args:
        points: [B, F, 3, 2] NDC.
        index: [B, H, W] int32.

    Returns:
        edges: [6 B F, 7] a.u, a.v, b.u, b.v, c.u, c.v and the first line; ordered by
            face, edge, sweep (along x, along y).
        lines: [6 B F] int64, 0 for edges of faces that are not seen.
    """
    batch, count = tf.shape(points)[0], tf.shape(points)[1]
    shift = tf.range(batch)[:, tf.newaxis, tf.newaxis] * count
    flat = tf.reshape(tf.where(index < 0, -1, index + shift), [-1])
    seen = tf.math.unsorted_segment_max(tf.ones_like(flat), flat, batch * count) > 0

    extent = tf.cast(tf.shape(index)[2:0:-1], tf.float32)  # W, H
    pixels = (extent * points + (extent - 1.0)) * 0.5
    pixels = tf.reshape(pixels, [-1, 3, 2])
    corners = tf.stack(
        [tf.gather(pixels, order, axis=1) for order in ([0, 1, 2], [1, 2, 0])]
        + [tf.gather(pixels, [2, 0, 1], axis=1)],
        axis=2,
    )  # [B F, 3 edges, (a, b, c), (x, y)]
    # Sweeping along x the line is a row: u = y, v = x.
    corners = tf.stack([tf.reverse(corners, [-1]), corners], axis=2)
    corners = tf.reshape(corners, [-1, 6])  # [6 B F, 6]
    a, b = corners[:, 0], corners[:, 2]
    limit = tf.tile(extent[::-1] - 1.0, [tf.shape(corners)[0] // 2])
    first = tf.maximum(tf.math.ceil(tf.minimum(a, b)), 0.0)
    # Rounded towards zero: an edge that ends less than a pixel before the first line
    # is extrapolated to it, as in the released program.
    last = _truncated(tf.minimum(tf.maximum(a, b), limit))
    fine = tf.math.is_finite(tf.reduce_sum(tf.abs(corners), axis=1)) & (a != b)
    fine &= tf.repeat(seen, 6) & (last >= first)
    lines = tf.where(fine, last - first + 1.0, 0.0)
    edges = tf.concat([corners, first[:, tf.newaxis]], axis=1)
    # An edge without a line is never read, but a NaN times zero would be seen.
    return tf.where(fine[:, tf.newaxis], edges, 0.0), tf.cast(lines, tf.int64)


def _truncated(value):
    """Rounds towards zero."""
    return tf.sign(value) * tf.math.floor(tf.abs(value))


def _rows(edges, owner, rank, size, face_count, faces, colors):
    """Cuts edges by lines and finds the two sweeps of each.

    Args:
        edges: [6 B F, 7] of `_edges`.
        owner: [R] int32 edge of each row, -1 for none.
        rank: [R] int32 number of the line within its edge.
        size: [3] int32 B, H, W.
        face_count: scalar int32 F.
        faces: [2 P] int32 visible faces in scan order.
        colors: [2 P, C] image in scan order.

    Returns:
        _Rows.
    """
    alive = owner >= 0
    owner = tf.maximum(owner, 0)
    a_u, a_v, b_u, b_v, c_u, c_v, line = tf.unstack(tf.gather(edges, owner), axis=1)
    line += tf.cast(rank, tf.float32)
    upward = owner % 2 == 1  # sweeps along y
    face, corner = owner // 6, owner // 2 % 3
    height, width = size[1], size[2]
    length = tf.where(upward, height, width)
    number = tf.cast(line, tf.int32) + face // face_count * (height + width - length)
    base = number * length + tf.where(upward, tf.reduce_prod(size), 0)  # v = 0
    extent = tf.cast(length, tf.float32)
    outward = tf.where((a_u < b_u) != upward, 1.0, -1.0)

    crossing = _crossing(a_u, a_v, b_u, b_v, line)
    inside = tf.where(outward > 0.0, tf.math.floor(crossing), tf.math.ceil(crossing))
    outside = inside + outward
    border = extent - 1.0
    alive &= (tf.minimum(inside, outside) >= 0.0) & (
        tf.maximum(inside, outside) <= border
    )  # False for NaN too
    inside, outside = (tf.where(alive, v, 0.0) for v in (inside, outside))
    place = base + tf.cast(inside, tf.int32)
    index = face % face_count
    shown = alive & (tf.gather(faces, place) == index)

    third = (line - a_u) * (line - c_u) < 0.0
    limit = tf.where(
        third,
        _crossing(a_u, a_v, c_u, c_v, line),
        _crossing(c_u, c_v, b_u, b_v, line),
    )
    limit = tf.where(outward > 0.0, tf.math.ceil(limit), tf.math.floor(limit))
    away = tf.where(outward > 0.0, 0.0, border)
    limit = tf.where(
        tf.math.is_finite(limit), tf.clip_by_value(limit, 0.0, border), away
    )
    # A step of one corner moves the crossing by that corner's share of the line.
    span = tf.stack([b_u - line, line - a_u], axis=1)
    moves = span != 0.0
    reach = ((b_u - a_u) * 2.0 / extent)[:, tf.newaxis] / tf.where(moves, span, 1.0)
    reach = tf.clip_by_value(reach, -1e30, 1e30)  # of corners astronomically far out
    side = tf.cast(upward, tf.int32)
    target = [(face * 3 + k) * 2 + side for k in (corner, (corner + 1) % 3)]
    far = tf.where(outward > 0.0, border, 0.0)
    return _Rows(
        crossing=tf.where(alive, crossing, 0.0),
        reach=reach,
        moves=tf.cast(moves, tf.float32),
        face=tf.cast(index, tf.float32),
        target=tf.stack(target, axis=1),
        inside=tf.gather(colors, place),
        outside=tf.gather(colors, base + tf.cast(outside, tf.int32)),
        outer=_span(base, outside, far, shown),
        inner=_span(base, inside, limit, alive),
    )


def _crossing(a_u, a_v, b_u, b_v, line):
    """Where the line through a and b meets u = line; not finite where parallel."""
    return a_v + (b_v - a_v) / (b_u - a_u) * (line - a_u)


def _span(base, one, other, alive):
    """Scan positions from v = one to v = other, whichever is less; or an empty span."""
    low = base + tf.cast(tf.minimum(one, other), tf.int32)
    high = base + tf.cast(tf.maximum(one, other), tf.int32)
    return low, tf.where(alive, high, low - 1)
