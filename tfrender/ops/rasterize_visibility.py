"""The careful depth test: every face, however it lies, and no compilation needed.

Used for all faces in the graph form, and in the compiled form for faces that cross the
near plane.

Formulation: the pixel box of every face is cut into 4x4 windows that start at the
box's own corner. The list of (face, window) pairs is the only ragged quantity; all work
per pixel ("lane") is dense [P, 16], and one segment maximum over keys (nearness, then
smaller face index) resolves visibility. No gradient flows through this module.
"""

import tensorflow as tf

from tfrender.ops.ragged_passes import owners, pass_size
from tfrender.ops.rasterize_keys import encode, face_word

_SIDE = 4  # of a window, pixels: best or within 10% for face boxes of 1 to 8 pixels
_EPS = 2.0**-23  # float32
_TINY = 1e-30

# Columns of the face table: three edge planes (dx, dy, constant), the planes of
# numerator and denominator of the depth, box corner, last box offset, windows a row.
_COLUMNS = 20


def careful_keys(corners, real, image_size, *, cull, max_windows, static, below=None):
    """Finds the nearest face at every pixel centre.

    Args:
        corners: [B, F, 3, 4] float32 clip coordinates of the corners.
        real: [B, F] bool, False for padding.
        image_size: (height, width).
        cull: "none", "back" or "front".
        max_windows: windows in one pass.
        static: True for passes of exactly that size, which compile.
        below: None, or [B, H, W] int64 keys of the layer in front: only what lies
            behind them counts.

    Returns:
        [B, H, W] int64 keys of `rasterize_keys`.
    """
    height, width = image_size
    batch, face_count = tf.shape(corners)[0], tf.shape(corners)[1]
    columns = tf.unstack(tf.reshape(corners, [-1, 12]), axis=-1)
    (x, y, z, w), parity = _ordered([columns[i : i + 4] for i in (0, 4, 8)])
    near = [a + b for a, b in zip(z, w, strict=True)]  # >= 0 in front of the plane
    box = _boxes(x, y, w, near, image_size)
    planes, facing = _planes(x, y, w, near, box, image_size)
    facing *= parity
    keep = tf.reshape(real, [-1]) & _accepted(planes, facing, near, box, cull)
    windows, across = _window_counts(box, keep)
    # A rejected face owns no window; zeros keep NaN and infinity out of the table.
    table = tf.stack([*planes, *box[:2], box[2] - box[0], box[3] - box[1], across], 1)
    table = tf.where(keep[:, tf.newaxis], table, 0.0)  # [B * F, 20]

    last = tf.cumsum(windows)
    total = tf.concat([tf.zeros([1], tf.int64), last], 0)[-1]
    first = last - windows
    size = pass_size(total, (max_windows, static))
    pixels = batch * height * width

    if below is not None:
        below = tf.reshape(below, [-1])

    def one_pass(start, keys):
        pixel, key = _lanes(table, first, start, total, size, face_count, image_size)
        if below is not None:
            front = tf.gather(below, tf.maximum(pixel, 0))
            key = tf.where(key < front, key, -1)
        best = tf.math.unsorted_segment_max(
            tf.reshape(key, [-1]), tf.reshape(pixel, [-1]), pixels
        )
        return start + tf.cast(size, tf.int64), tf.maximum(keys, best)

    empty = tf.fill([pixels], tf.constant(-1, tf.int64))
    _, keys = tf.while_loop(
        lambda start, keys: start < total,
        one_pass,
        (tf.zeros([], tf.int64), empty),
        shape_invariants=(tf.TensorShape([]), empty.shape),
        parallel_iterations=1,
    )
    return tf.reshape(keys, [batch, height, width])


def _ordered(corners):
    """Sorts the corners of each face by place.

    Coincident faces, whatever corner they start from and whichever way they run, then
    round alike and tie exactly.

    Args:
        corners: three lists [x, y, z, w] of [N] columns.

    Returns:
        Four lists x, y, z, w of three [N] columns, and the parity of the
        permutation, [N] float32, +1 or -1.
    """
    corners = list(corners)
    parity = tf.ones_like(corners[0][0])
    for i, j in ((0, 1), (1, 2), (0, 1)):
        a, b = corners[i], corners[j]
        swap = (a[1] > b[1]) | ((a[1] == b[1]) & (a[2] > b[2]))
        swap = (a[0] > b[0]) | ((a[0] == b[0]) & swap)
        pairs = list(zip(a, b, strict=True))
        corners[i] = [tf.where(swap, q, p) for p, q in pairs]
        corners[j] = [tf.where(swap, p, q) for p, q in pairs]
        parity = tf.where(swap, -parity, parity)
    return [list(values) for values in zip(*corners, strict=True)], parity


def _boxes(x, y, w, near, image_size):
    """Pixel boxes of the part of each face in front of the near plane.

    Args:
        x: three [N] clip x, one a corner; y, w alike.
        y: as x.
        w: as x.
        near: three [N], z + w.
        image_size: (height, width).

    Returns:
        Four [N] float32 of whole numbers: first column, first row, last column, last
        row, clipped to the image; first > last where a box is empty.
    """
    height, width = image_size
    column = [
        a * (width / 2) + c * (width / 2 - 0.5) for a, c in zip(x, w, strict=True)
    ]
    row = [c * (height / 2 - 0.5) - b * (height / 2) for b, c in zip(y, w, strict=True)]
    spots = []  # (column * w, row * w, w, does the spot count)
    for i in range(3):
        spots.append((column[i], row[i], w[i], near[i] >= 0.0))
    crosses = []
    for i, j in ((0, 1), (1, 2), (2, 0)):
        cross = (near[i] >= 0.0) != (near[j] >= 0.0)
        step = near[i] / tf.where(cross, near[i] - near[j], 1.0)
        spots.append((*(a[i] + step * (a[j] - a[i]) for a in (column, row, w)), cross))
        crosses.append(cross)
    wild = tf.zeros_like(w[0], tf.bool)  # a spot on or behind the camera plane
    for spot in spots:
        wild |= spot[3] & ~(spot[2] > _TINY)
    # Rounding of the pixel coordinates, and of the crossing points of cut faces.
    pad = tf.where(crosses[0] | crosses[1] | crosses[2], 1.0, 0.01)
    lows, highs = [], []
    for axis, size in ((0, width), (1, height)):
        low = tf.fill(tf.shape(w[0]), float(size))
        high = -tf.ones_like(w[0])
        for spot in spots:
            place = spot[axis] / tf.where(spot[2] > _TINY, spot[2], 1.0)
            low = tf.where(spot[3], tf.minimum(low, place), low)
            high = tf.where(spot[3], tf.maximum(high, place), high)
        low = tf.math.ceil(tf.where(wild, 0.0, low) - pad)
        high = tf.math.floor(tf.where(wild, size - 1.0, high) + pad)
        lows.append(tf.clip_by_value(low, 0.0, float(size)))
        highs.append(tf.clip_by_value(high, -1.0, size - 1.0))
    return lows[0], lows[1], highs[0], highs[1]


def _planes(x, y, w, near, box, image_size):
    """Edge functions and depth of each face as planes over its own box.

    Args:
        x: three [N] clip x, one a corner; y, w alike.
        y: as x.
        w: as x.
        near: three [N], z + w.
        box: of `_boxes`.
        image_size: (height, width).

    Returns:
        planes: fifteen [N]: (slope along columns, along rows, value at the box
            corner) of three edge functions, positive inside, then of numerator and
            denominator of z + w at the pixel.
        facing: [N] float32, +1 where the face is counter-clockwise on screen, -1 where
            clockwise, 0 where it is too thin to tell in float32.
    """
    height, width = image_size
    # Relative to the box corner: absolute coordinates would cost float32 digits.
    right, drop = width / 2 - 0.5 - box[0], height / 2 - 0.5 - box[1]
    px = [x[i] * (width / 2) + w[i] * right for i in range(3)]
    py = [w[i] * drop - y[i] * (height / 2) for i in range(3)]
    size = tf.zeros_like(w[0])
    for value in (*px, *py, *w):
        size = tf.maximum(size, tf.abs(value))
    scale = 1.0 / tf.where(size > 0.0, size, 1.0)
    px, py, pw = ([v * scale for v in values] for values in (px, py, w))
    pairs = ((1, 2), (2, 0), (0, 1))
    across = [pw[k] * py[j] - pw[j] * py[k] for j, k in pairs]
    down = [pw[j] * px[k] - pw[k] * px[j] for j, k in pairs]
    corner = [px[j] * py[k] - px[k] * py[j] for j, k in pairs]
    volume = corner[0] * pw[0] + corner[1] * pw[1] + corner[2] * pw[2]
    # First-order rounding error of the volume: slopes times error of coordinates.
    noise = tf.zeros_like(volume)
    for i in range(3):
        noise += tf.abs(across[i]) * (tf.abs(x[i]) + tf.abs(w[i])) * (width / 2)
        noise += tf.abs(down[i]) * (tf.abs(y[i]) + tf.abs(w[i])) * (height / 2)
    solid = tf.abs(volume) > _EPS * scale * noise
    sign = tf.where(solid, tf.sign(volume), 0.0)

    edges, depth = [], [0.0] * 6
    # Neighbours compute a shared edge from different corners: without a tolerance
    # of the size of the rounding error a pixel on the edge could belong to neither.
    slack = _EPS * max(image_size)
    most = (
        1e-3
        * tf.abs(volume)
        / tf.maximum(
            tf.maximum(tf.abs(pw[0]), tf.abs(pw[1])), tf.maximum(tf.abs(pw[2]), _TINY)
        )
    )
    for i in range(3):
        plane = [sign * v[i] for v in (across, down, corner)]
        reach = slack * (tf.abs(across[i]) + tf.abs(down[i]))
        edges += [plane[0], plane[1], plane[2] + tf.minimum(reach, most)]
        for j in range(3):
            depth[j] += plane[j] * near[i]
            depth[j + 3] += plane[j]
    return [*edges, *depth], -sign  # rows grow downwards: the volume changes sign


def _accepted(planes, facing, near, box, cull):
    """Tells which faces can cover a pixel at all, [N] bool."""
    finite = tf.math.is_finite(tf.add_n([tf.abs(p) for p in planes]))
    front = (near[0] >= 0.0) | (near[1] >= 0.0) | (near[2] >= 0.0)
    keep = finite & front & (facing != 0.0) & (box[0] <= box[2]) & (box[1] <= box[3])
    if cull == "back":
        keep &= facing > 0.0
    elif cull == "front":
        keep &= facing < 0.0
    return keep


def _window_counts(box, keep):
    """Number of windows of each face [N] int64, and windows in a row [N] float32."""
    across = tf.math.floor((box[2] - box[0]) / _SIDE) + 1.0
    down = tf.math.floor((box[3] - box[1]) / _SIDE) + 1.0
    return tf.cast(tf.where(keep, across * down, 0.0), tf.int64), across


def _lanes(table, first, start, total, size, face_count, image_size):
    """Tests the pixels of the windows start .. start + size - 1.

    Args:
        table: [N, 20] of `careful_keys`, N = B * F.
        first: [N] int64, number of the first window of each face.
        start: scalar int64.
        total: scalar int64, number of windows.
        size: number of windows P in this pass.
        face_count: faces F of one batch item.
        image_size: (height, width).

    Returns:
        pixel: [P, 16] int32 flat pixel of the batch, -1 outside the box.
        key: [P, 16] int64, larger is nearer, -1 where the face is missed.
    """
    height, width = image_size
    owner, rank = owners(first, start, total, size)  # [P]
    alive = owner >= 0
    owner = tf.maximum(owner, 0)
    column = tf.unstack(tf.gather(table, owner)[..., tf.newaxis], _COLUMNS, axis=1)
    rank = rank[:, tf.newaxis]  # [P, 1]
    in_row = tf.maximum(tf.cast(column[19], tf.int32), 1)
    lane = tf.range(_SIDE * _SIDE)
    u = tf.cast(rank % in_row * _SIDE + lane % _SIDE, tf.float32)  # [P, 16]
    v = tf.cast(rank // in_row * _SIDE + lane // _SIDE, tf.float32)
    boxed = (u <= column[17]) & (v <= column[18]) & alive[:, tf.newaxis]

    edge = [column[i] * u + column[i + 1] * v + column[i + 2] for i in range(0, 15, 3)]
    inside = tf.minimum(tf.minimum(edge[0], edge[1]), edge[2]) >= 0.0
    inside &= edge[4] > 0.0
    distance = edge[3] / tf.where(edge[4] > 0.0, edge[4], 1.0)  # z + w
    inside &= distance >= 0.0  # in front of the near plane
    key = encode(distance, face_word(owner % face_count)[:, tf.newaxis])
    key = tf.where(inside & boxed, key, -1)
    base = (owner // face_count)[:, tf.newaxis] * (height * width)
    offset = tf.cast(column[16] + v, tf.int32) * width + tf.cast(
        column[15] + u, "int32"
    )
    return tf.where(boxed, base + offset, -1), key
