"""The Soft Rasterizer over the pixels that faces reach, as compiled loops.

The rules for a pair of face and pixel are those of `soft_pairs`; here is only the
bookkeeping: which pairs there are (`rasterize_windows`), what they add up to in every
pixel, and the gradient, for which the pairs are met again, so that nothing is kept
between the two directions but pictures. A lane is one pixel of the window of every pair
of a pass: tensors [1, SIZE]. Pictures are flat: [P], P = B * H * W.
"""

from typing import NamedTuple

import tensorflow as tf

from tfrender.ops import rasterize_windows as windows
from tfrender.ops.rasterize_keys import encode, face_word
from tfrender.ops.soft_blend import SoftBlend, SoftModes
from tfrender.ops.soft_pairs import Corners, coverage_logit, face_columns, soft_pairs
from tfrender.ops.surface_texels import texel_index

_COST = (40.0, 30.0)  # nanoseconds of a pair and of a row of its window, measured
_SLACK = 0.01  # pixels, rounding of the box


class Drawing(NamedTuple):
    """What is drawn, and how.

    Attributes:
        rows: [N, 9] x, y, z of the corners of each face, N = B * F.
        colors: [N, 3, C] of corners, [N, R*R, C] texels, or None.
        sizes: (B, F, H, W); B and F are tensors.
        blend: SoftBlend of tensors.
        modes: SoftModes.
        depth_range: (near, far), tensors.
        double_sided: bool.
        listed: WindowList.
        radius: pixels by which a face reaches beyond its box.
    """

    rows: tf.Tensor
    colors: tf.Tensor | None
    sizes: tuple
    blend: SoftBlend
    modes: SoftModes
    depth_range: tuple
    double_sided: bool
    listed: windows.WindowList
    radius: tf.Tensor


class Pictures(NamedTuple):
    """What the loops add up to, [P] each or None.

    Attributes:
        alpha: what the coverage adds up to: sum of -log(1 - D), sum of D, or any.
        first: depth that softmax shares are measured from.
        share: sum of the shares of the faces.
        colors: list of C sums of share times colour.
        keys: int64 keys of the nearest face, for hard colours.
    """

    alpha: tf.Tensor
    first: tf.Tensor | None = None
    share: tf.Tensor | None = None
    colors: list | None = None
    keys: tf.Tensor | None = None


def drawing(
    face_vertices, colors, image_size, numbers, modes, double_sided, counts=None
):
    """Lists the windows of all faces.

    Args:
        face_vertices: [B, F, 3, 3].
        colors: None, or [B, F, K, C].
        image_size: (height, width).
        numbers: [6] sigma, gamma, eps, dist_eps, near, far.
        modes: SoftModes.
        double_sided: bool.
        counts: None, or [B * F] bool, False for faces to leave out.

    Returns:
        Drawing.
    """
    height, width = image_size
    batch, faces = tf.shape(face_vertices)[0], tf.shape(face_vertices)[1]
    rows = tf.reshape(face_vertices, [-1, 9])
    blend = SoftBlend(*tf.unstack(numbers[:4]))
    reach = tf.math.log(1.0 / blend.dist_eps - 1.0) * blend.sigma
    radius = tf.sqrt(tf.maximum(reach, 0.0)) * (height / 2) + _SLACK
    radius = tf.cast(radius, tf.float32)
    box = _box(rows, radius, image_size)
    sane = tf.reduce_all(tf.abs(rows) < 1e15, axis=-1)
    sane &= tf.reduce_any(rows != 0.0, axis=-1)
    keep = sane & (box[0] <= box[1]) & (box[2] <= box[3])
    if counts is not None:
        keep &= counts
    across = tf.where(keep, _across(box), 0.0)
    if colors is not None:
        colors = tf.reshape(colors, [-1, colors.shape[2], colors.shape[3]])
    return Drawing(
        rows,
        colors,
        (batch, faces, height, width),
        blend,
        modes,
        (numbers[4], numbers[5]),
        double_sided,
        windows.window_list(across, box[3] - box[2] + 1.0, _COST),
        radius,
    )


def add_up(what: Drawing) -> Pictures:
    """Adds up all pairs: alpha, and what colours need.

    Args:
        what: Drawing.

    Returns:
        Pictures.
    """
    dtype, pixels = what.rows.dtype, _pixels(what)
    soft = what.colors is not None and what.modes.color == "softmax"
    hard = what.colors is not None and what.modes.color == "hard"
    near, far = what.depth_range
    behind = far - 2.0 * what.blend.eps * (far - near)
    state = [tf.zeros([pixels], dtype)]
    if soft:
        state.append(tf.fill([pixels], behind))
    if hard:
        state.append(tf.fill([pixels], tf.constant(-1, tf.int64)))

    def one_lane(lane, alpha, *rest):
        alpha = _add_alpha(alpha, lane, what.modes)
        if soft:
            depth = tf.where(lane.seen, lane.pairs.depth, behind)
            rest = [tf.tensor_scatter_nd_min(rest[0], lane.pixel, depth[0])]
        if hard:
            seen = lane.seen & lane.pairs.inside
            depth = tf.cast(tf.maximum(lane.pairs.depth, 0.0), tf.float32)
            key = tf.where(seen, encode(depth, face_word(lane.face)), -1)
            rest = [tf.tensor_scatter_nd_max(rest[0], lane.pixel, key[0])]
        return alpha, *rest

    alpha, *rest = _each_lane(what, one_lane, *state)
    if hard:
        return Pictures(alpha, keys=rest[0])
    if not soft:
        return Pictures(alpha)
    channels = what.colors.shape[2]
    (first,) = rest

    def one_share(lane, share, *sums):
        part = _share(lane, tf.gather(first, lane.pixel[:, 0]), what)
        colors = _lane_colors(lane, lane.colors, what)
        share = tf.tensor_scatter_nd_add(share, lane.pixel, part[0])
        return share, *(
            tf.tensor_scatter_nd_add(total, lane.pixel, (part * color)[0])
            for total, color in zip(sums, colors, strict=True)
        )

    zeros = [tf.zeros([pixels], dtype)] * (channels + 1)
    share, *sums = _each_lane(what, one_share, *zeros)
    return Pictures(alpha, first, share, sums)


def add_gradients(what: Drawing, up_alpha, up_share, up_colors, first):
    """Gradients of a sum over pairs, in the corners and colours of the faces.

    The sum is that of -up_alpha log(1 - D) (or up_alpha D), and of the shares s_j times
    up_share + sum_c up_colors c_j: what a pixel's upstream gradient makes of them.

    Args:
        what: Drawing.
        up_alpha: [P], or None.
        up_share: [P], or None.
        up_colors: list of C [P].
        first: [P], of Pictures.

    Returns:
        [N, 9] gradient of the rows, and that of the colours in their shape, or None.
    """
    dtype, count = what.rows.dtype, tf.shape(what.rows)[0]
    colored = up_share is not None
    texels = colored and what.colors.shape[1] != 3
    channels = what.colors.shape[2] if colored else 0
    held = [tf.zeros([count, 9], dtype)]
    if colored:
        held += [tf.zeros([tf.size(what.colors) // channels], dtype)] * channels

    def one_pass(pairs, total, *color_totals):
        place, rows, corner_colors = _open(what, pairs)
        with tf.GradientTape() as tape:
            tape.watch(rows)
            corners = _corners(rows, what)
        live = [*corners.x, *corners.y, *corners.inverse_z, corners.det]
        flat = [] if texels or not colored else corner_colors
        zeros = [tf.zeros_like(v) for v in (*live, *flat)]

        def one_lane(number, *state):
            sums, texel_sums = state[: len(zeros)], state[len(zeros) :]
            with tf.GradientTape() as inner:
                inner.watch([*live, *flat])
                lane = _meet(what, pairs, place, _with(corners, live), number, flat)
                pixel = lane.pixel[:, 0]
                value = 0.0
                if up_alpha is not None:
                    value += _alpha_part(lane, what.modes) * tf.gather(up_alpha, pixel)
                if colored:
                    share = _share(lane, tf.gather(first, pixel), what)
                    worth = tf.gather(up_share, pixel)
                    colors = _lane_colors(lane, flat, what)
                    for up, color in zip(up_colors, colors, strict=True):
                        worth += tf.gather(up, pixel) * color
                    value += share * worth
                value = tf.reduce_sum(value)
            slopes = inner.gradient(value, [*live, *flat], unconnected_gradients="zero")
            if texels:
                texel_sums = [
                    tf.tensor_scatter_nd_add(
                        s,
                        _texels(lane, what)[0][:, tf.newaxis],
                        (share * tf.gather(up, pixel))[0],
                    )
                    for s, up in zip(texel_sums, up_colors, strict=True)
                ]
            sums = [s + slope for s, slope in zip(sums, slopes, strict=True)]
            return *sums, *texel_sums

        state = turns(what, one_lane, *zeros, *(color_totals if texels else ()))
        slopes = tape.gradient(live, rows, state[: len(live)], "zero")
        face = tf.where(pairs.alive, pairs.face, count)[:, tf.newaxis]
        total = tf.tensor_scatter_nd_add(total, face, slopes)
        if texels:
            color_totals = state[len(zeros) :]
        elif colored:
            parts = state[len(live) :]
            color_totals = [
                _add_corners(t, face * 3, parts[c::channels])
                for c, t in enumerate(color_totals)
            ]
        return total, *color_totals

    total, *colors = windows.each_pass(what.listed, one_pass, *held)
    if not colored:
        return total, None
    return total, tf.reshape(tf.stack(colors, axis=-1), tf.shape(what.colors))


class _Lane(NamedTuple):
    """One pixel of every pair of a pass, [1, SIZE] each but `pixel` [SIZE, 1]."""

    pairs: NamedTuple
    pixel: tf.Tensor
    face: tf.Tensor  # within its batch item
    owner: tf.Tensor  # of all N
    seen: tf.Tensor  # has a colour
    counts: tf.Tensor  # counts in alpha
    logit: tf.Tensor  # of D in alpha
    colors: list


def _each_lane(what, body, *state):
    """Runs a body for every lane of every pass."""

    def one_pass(pairs, *state):
        place, rows, colors = _open(what, pairs)
        corners = _corners(rows, what)

        def one_lane(number, *state):
            return body(_meet(what, pairs, place, corners, number, colors), *state)

        return turns(what, one_lane, *state)

    return windows.each_pass(what.listed, one_pass, *state)


def turns(what: Drawing, body, *state):
    """Runs a body for each pixel of a window.

    Args:
        what: Drawing.
        body: takes the number of the pixel and the state, returns the state.
        *state: tensors carried along.

    Returns:
        The last state, a tuple.
    """
    count = what.listed.height * windows.ROW
    return tf.while_loop(
        lambda number, *_: number < count,
        lambda number, *state: (number + 1, *body(number, *state)),
        (tf.constant(0), *state),
    )[1:]


class Place(NamedTuple):
    """Where the windows of a pass lie, [SIZE] each.

    Attributes:
        left: first column of the window.
        top: first row of the window.
        last_column: of the face's box.
        last_row: of the face's box.
        item: int32, batch item of the face.
        face: int32, index of the face within its item.
    """

    left: tf.Tensor
    top: tf.Tensor
    last_column: tf.Tensor
    last_row: tf.Tensor
    item: tf.Tensor
    face: tf.Tensor


def place_of(what: Drawing, pairs: windows.Pairs, rows: tf.Tensor) -> Place:
    """Finds the windows of a pass.

    Args:
        what: Drawing.
        pairs: Pairs.
        rows: [SIZE, 9] of the faces of the pairs.

    Returns:
        Place.
    """
    _, faces, height, width = what.sizes
    box = _box(rows, what.radius, (height, width))
    across = _across(box)
    down = tf.floor((pairs.rank + 0.5) / across)
    left = box[0] + (pairs.rank - down * across) * windows.ROW
    top = box[2] + down * tf.cast(what.listed.height, tf.float32)
    item = pairs.face // faces
    return Place(left, top, box[1], box[3], item, pairs.face - item * faces)


def lane_place(what: Drawing, pairs: windows.Pairs, place: Place, number: tf.Tensor):
    """Finds one pixel of every window of a pass.

    Args:
        what: Drawing.
        pairs: Pairs.
        place: Place.
        number: scalar int32, number of the pixel within its window.

    Returns:
        live: [SIZE] bool, the pixel lies in the box of the face.
        offset: its column and row from the corner of the window, scalars of the type
            of the rows.
        pixel: [SIZE] int32, number of the pixel, of some pixel where not live.
    """
    batch, _, height, width = what.sizes
    u, v = number % windows.ROW, number // windows.ROW
    column = place.left + tf.cast(u, tf.float32)
    row = place.top + tf.cast(v, tf.float32)
    live = pairs.alive & (column <= place.last_column) & (row <= place.last_row)
    pixel = (place.item * height + tf.cast(row, tf.int32)) * width
    pixel += tf.cast(column, tf.int32)
    # A lane without a pixel adds nothing to some pixel: cheaper than to leave it out.
    pixel = tf.where(pairs.alive, pixel, pairs.spread)
    pixel = tf.clip_by_value(pixel, 0, batch * height * width - 1)
    dtype = what.rows.dtype
    return live, (tf.cast(u, dtype), tf.cast(v, dtype)), pixel


def _open(what, pairs):
    """Reads the faces of a pass: Place, rows [SIZE, 9], colours of the corners."""
    rows = tf.gather(what.rows, pairs.face)
    colors = []
    if what.colors is not None and what.colors.shape[1] == 3:
        read = tf.gather(what.colors, pairs.face)  # [SIZE, 3, C]
        channels = what.colors.shape[2]
        colors = [read[:, k, c][tf.newaxis] for k in range(3) for c in range(channels)]
    return place_of(what, pairs, rows), rows, colors


def _corners(rows, what):
    """Corners [1, SIZE] of faces [SIZE, 9]."""
    aspect = what.sizes[3] / what.sizes[2]
    return face_columns(tf.reshape(rows, [-1, 3, 3]), aspect, what.modes)


def _with(corners, live):
    """The same corners with the live columns given."""
    x, y, z = (tuple(live[i : i + 3]) for i in (0, 3, 6))
    rest = (live[9], corners.shrink, corners.usable, corners.front)
    return Corners(x, y, z, *rest)


def _meet(what, pairs, place, corners, number, colors):
    """Meets every face of a pass with pixel `number` of its window."""
    _, _, height, width = what.sizes
    live, offset, pixel = lane_place(what, pairs, place, number)
    column, row = (
        tf.cast(start, what.rows.dtype) + step
        for start, step in zip((place.left, place.top), offset, strict=True)
    )
    x = (2.0 * column + 1.0 - width) / height
    y = (height - 1.0 - 2.0 * row) / height
    met = soft_pairs(
        corners._replace(usable=corners.usable & live[tf.newaxis]),
        (x[tf.newaxis], y[tf.newaxis]),
        blend=what.blend,
        modes=what.modes,
        depth_range=what.depth_range,
    )
    counts, logit = coverage_logit(met, what.modes)
    seen = met.in_range if what.double_sided else met.in_range & corners.front
    pixel = pixel[:, tf.newaxis]
    return _Lane(met, pixel, place.face, pairs.face, seen, counts, logit, colors)


def _alpha_part(lane, modes):
    """What a lane adds to the coverage."""
    if modes.alpha == "prod":
        return tf.where(lane.counts, tf.math.softplus(lane.logit), 0.0)
    return tf.where(lane.counts, tf.sigmoid(lane.logit), 0.0)


def _add_alpha(alpha, lane, modes):
    if modes.alpha == "hard":
        hit = tf.cast(lane.counts & (lane.logit > 0.0), alpha.dtype)
        return tf.tensor_scatter_nd_max(alpha, lane.pixel, hit[0])
    return tf.tensor_scatter_nd_add(alpha, lane.pixel, _alpha_part(lane, modes)[0])


def _share(lane, first, what):
    """Softmax share s_j = D exp((first - z_j) / unit), [1, SIZE]."""
    near, far = what.depth_range
    depth = tf.where(lane.seen, lane.pairs.depth, first)
    # `first` is the least depth, but another loop may have rounded it differently.
    log_share = tf.minimum(first - depth, 0.0) / ((far - near) * what.blend.gamma)
    log_share += tf.math.log_sigmoid(lane.pairs.logit)
    return tf.where(lane.seen, tf.exp(log_share), 0.0)


def _lane_colors(lane, corner_colors, what):
    """Colour of each face at its pixel, a list of C [1, SIZE]."""
    channels = what.colors.shape[2]
    if what.colors.shape[1] == 3:
        return [
            sum(
                lane.pairs.weights[k] * corner_colors[k * channels + c]
                for k in (0, 1, 2)
            )
            for c in range(channels)
        ]
    table = tf.reshape(what.colors, [-1, channels])
    return [tf.gather(table[:, c], _texels(lane, what)) for c in range(channels)]


def _texels(lane, what):
    """Number of the texel of each face at its pixel, [1, SIZE]."""
    count = what.colors.shape[1]
    weights = tf.stack(lane.pairs.weights, axis=-1)
    return lane.owner[tf.newaxis] * count + texel_index(weights, round(count**0.5))


def _add_corners(total, first, parts):
    """Adds the gradients of three corners of every pair to a colour channel."""
    for k, part in enumerate(parts):
        total = tf.tensor_scatter_nd_add(total, first + k, part[0])
    return total


def _box(rows, radius, image_size):
    """Pixel box of faces, grown by the radius: columns and rows, first and last."""
    height, width = image_size
    rows = tf.cast(rows, tf.float32)
    x = [(rows[:, i] + 1.0) * (width / 2) - 0.5 for i in (0, 3, 6)]
    y = [(1.0 - rows[:, i]) * (height / 2) - 0.5 for i in (1, 4, 7)]
    low = [tf.minimum(tf.minimum(v[0], v[1]), v[2]) - radius for v in (x, y)]
    high = [tf.maximum(tf.maximum(v[0], v[1]), v[2]) + radius for v in (x, y)]
    return (
        tf.maximum(tf.math.ceil(low[0]), 0.0),
        tf.minimum(tf.floor(high[0]), width - 1.0),
        tf.maximum(tf.math.ceil(low[1]), 0.0),
        tf.minimum(tf.floor(high[1]), height - 1.0),
    )


def _across(box):
    """Windows side by side."""
    return tf.floor((box[1] - box[0]) / windows.ROW) + 1.0


def _pixels(what):
    batch, _, height, width = what.sizes
    return batch * height * width
