"""The depth test for faces wholly in front of the camera, as one compiled loop.

Letters: corner k of a face is at pixel (X_k, Y_k), centres on the integers; n_k is its
distance to the near plane (clip z + w) over w, d_k is 1 / w. The screen barycentrics
a_k, and so n = sum a_k n_k and d = sum a_k d_k, are planes over the image; n / d is the
distance to the near plane at a pixel, by which faces are ordered.
"""

import tensorflow as tf

from tfrender.ops import rasterize_windows as windows
from tfrender.ops.rasterize_keys import encode, face_word

_EPS = 2.0**-23  # float32
_SLACK = 0.01  # pixels, rounding of the coordinates of a box
# Farther off screen than this many images, float32 leaves too few digits.
_FARTHEST = 64.0
_OUTSIDE = -1e30


def vertex_table(clip: tf.Tensor, height: int, width: int) -> tf.Tensor:
    """Projects vertices to the screen.

    Args:
        clip: [B, V, 4] float32.
        height: of the image.
        width: of the image.

    Returns:
        [B * V, 4] float32: X, Y, n, d. A vertex that the fast test cannot take (nearer
        than the near plane, far off screen, not finite) has d = -1, and n = -1 where
        it is nearer than the near plane or not finite.
    """
    x, y, z, w = tf.unstack(tf.reshape(clip, [-1, 4]), axis=-1)
    near = z + w
    most = _FARTHEST * w
    plain = (near >= 0.0) & (w > 1e-30) & (near < 1e30)
    plain &= (tf.abs(x) < most) & (tf.abs(y) < most)  # False for NaN
    sized = tf.abs(x) + tf.abs(y) + tf.abs(z) + tf.abs(w) < 3e38
    d = 1.0 / tf.where(plain, w, 1.0)
    column = x * d * (width / 2) + (width / 2 - 0.5)
    row = (height / 2 - 0.5) - y * d * (height / 2)
    spare = tf.where((near >= 0.0) & sized, 0.0, -1.0)
    table = [
        tf.where(plain, column, 0.0),
        tf.where(plain, row, 0.0),
        tf.where(plain, near * d, spare),
        tf.where(plain, d, -1.0),
    ]
    return tf.stack(table, axis=-1)


def corner_table(table: tf.Tensor, faces: tf.Tensor, batch: tf.Tensor):
    """Gathers the corners of faces, sorted by index.

    Faces on the same three vertices, whatever corner they start from and whichever way
    they run, then round alike and tie exactly.

    Args:
        table: [B * V, C] float32.
        faces: [B, F, 3] or [1, F, 3] int32.
        batch: scalar int32, B.

    Returns:
        corners: three [B * F, C].
        parity: [B * F] float32, +1 where sorting turned no face round, else -1.
        real: [B * F] bool, False for padding.
    """
    vertices = tf.shape(table)[0] // tf.maximum(batch, 1)
    i, j, k = (faces[..., axis] for axis in range(3))
    low, high = tf.minimum(i, j), tf.maximum(i, j)
    first, last = tf.minimum(low, k), tf.maximum(high, k)
    middle = tf.maximum(low, tf.minimum(high, k))
    turned = tf.cast(i > j, tf.int32) + tf.cast(j > k, tf.int32)
    turned += tf.cast(i > k, tf.int32)
    parity = tf.where(turned % 2 == 0, 1.0, -1.0)
    real = (first >= 0) & (last < vertices)
    whole = tf.stack([batch, tf.shape(faces)[1]])

    def flat(values):
        return tf.reshape(tf.broadcast_to(values, whole), [-1])

    shift = tf.range(batch)[:, tf.newaxis] * vertices
    corners = [
        tf.gather(table, flat(tf.where(real, index, 0) + shift))
        for index in (first, middle, last)
    ]
    return corners, flat(parity), flat(real)


def cut_faces(corners, real) -> tf.Tensor:
    """Tells which faces are seen in part but not wholly in front, [B * F] bool."""
    n, d = ([corner[:, axis] for corner in corners] for axis in (2, 3))
    return real & (_lowest(d) <= 0.0) & (_highest(n) >= 0.0)


def front_keys(corners, parity, real, shape, cull, below=None):
    """Finds the nearest of the faces that lie wholly in front of the near plane.

    Args:
        corners: three [B * F, 4] of `corner_table`.
        parity: [B * F] float32.
        real: [B * F] bool.
        shape: (B, F, H, W), B and F may be tensors.
        cull: "none", "back" or "front".
        below: None, or [B, H, W] int64 keys of the layer in front: only what lies
            behind them counts.

    Returns:
        keys: [B, H, W] int64 of `rasterize_keys`.
        cut: [B * F] bool, faces that are left to the careful test.
    """
    batch, faces, height, width = shape
    x, y = ([corner[:, axis] for corner in corners] for axis in range(2))
    cut = cut_faces(corners, real)
    front = real & (_lowest([corner[:, 3] for corner in corners]) > 0.0)
    box = _box(x, y, height, width)
    cells = _cells(box)
    keep = front & (box[0] <= box[1]) & (box[2] <= box[3])
    if cull != "none":
        sign = parity if cull == "back" else -parity
        keep &= sign * _area(x, y) <= 0.0  # rows grow downwards
    listed = windows.window_list(tf.where(keep, cells[1], 0.0), box[3] - box[2] + 1.0)

    cells_wide = -(-width // windows.ROW)
    last_row = batch * height * cells_wide - 1
    lane = tf.range(windows.ROW, dtype=tf.float32)[tf.newaxis]
    if below is not None:
        below = _to_rows(below, width)

    def one_pass(pairs, keys):
        face = [tf.gather(corner, pairs.face) for corner in corners]
        plane, most, base, word = _planes(
            face, pairs, listed.height, (faces, height, width, cells_wide)
        )

        def one_row(v, keys):
            level = tf.cast(v, tf.float32)
            # The division keeps XLA from computing these again for every pixel.
            start = [(p[1] * level + p[2]) / most[1] for p in plane]
            start[0] += tf.where(level <= most[0], 0.0, _OUTSIDE)
            at = [
                s[:, tf.newaxis] + p[0][:, tf.newaxis] * lane
                for s, p in zip(start, plane, strict=True)
            ]  # each [SIZE, ROW]
            inside = tf.minimum(tf.minimum(at[0], at[1]), at[2]) >= 0.0
            if width % windows.ROW:
                inside &= lane <= most[2][:, tf.newaxis]
            distance = tf.maximum(at[3] / at[4], 0.0)
            key = encode(distance, word[:, tf.newaxis])
            row = tf.minimum(base + v * cells_wide, last_row)
            if below is not None:
                inside &= key < tf.gather(below, row)
            key = tf.where(inside, key, -1)
            return v + 1, tf.tensor_scatter_nd_max(keys, row[:, tf.newaxis], key)

        return tf.while_loop(
            lambda v, _: v < listed.height, one_row, (tf.constant(0), keys)
        )[1:]

    empty = tf.fill([last_row + 1, windows.ROW], tf.constant(-1, tf.int64))
    (keys,) = windows.each_pass(listed, one_pass, empty)
    keys = tf.reshape(keys, [batch, height, cells_wide * windows.ROW])
    return keys[..., :width], cut


def _planes(corners, pairs, height, sizes):
    """Planes of each pair over its window.

    Args:
        corners: three [SIZE, 4].
        pairs: Pairs.
        height: scalar int32, rows of a window.
        sizes: (F, H, W, cells in a row of the image).

    Returns:
        plane: five of (slope along columns, slope along rows, value at the corner of
            the window): a_0, a_1, a_2 moved out by the rounding error, n, d.
        most: last row of the window inside the box, ones, last column of the image.
        base: [SIZE] int32, row of ROW pixels in which the window starts.
        word: [SIZE] int64 low word of the keys.
    """
    faces, rows, columns, cells_wide = sizes
    x, y, n, d = ([corner[:, axis] for corner in corners] for axis in range(4))
    box = _box(x, y, rows, columns)
    first_cell, across = _cells(box)
    down = tf.floor((pairs.rank + 0.5) / across)
    cell = first_cell + pairs.rank - down * across
    left, top = cell * windows.ROW, box[2] + down * tf.cast(height, tf.float32)
    # Relative to the window: absolute coordinates would cost float32 digits.
    x, y = [v - left for v in x], [v - top for v in y]
    area = _area(x, y)
    reach = sum(tf.abs(v) for v in (*x, *y)) + 4.0 * max(rows, columns)
    edges = tf.abs(x[1] - x[0]) + tf.abs(x[2] - x[0])
    edges += tf.abs(y[1] - y[0]) + tf.abs(y[2] - y[0])
    solid = tf.abs(area) > _EPS * 0.5 * reach * edges
    scale = 1.0 / tf.where(solid, area, 1.0)
    a = [
        ((y[1] - y[2]) * scale, (x[2] - x[1]) * scale),
        ((y[2] - y[0]) * scale, (x[0] - x[2]) * scale),
    ]
    a = [
        (*a[0], (x[1] * y[2] - x[2] * y[1]) * scale),
        (*a[1], (x[2] * y[0] - x[0] * y[2]) * scale),
    ]
    one = (0.0, 0.0, 1.0)
    a.append(tuple(c - p - q for c, p, q in zip(one, *a, strict=True)))
    n, d = (
        tuple(sum(a[i][j] * values[i] for i in range(3)) for j in range(3))
        for values in (n, d)
    )
    # Neighbours compute a shared edge from different corners: without a tolerance of
    # the size of the rounding error a pixel on the edge could belong to neither.
    plane = []
    for slope_x, slope_y, value in a:
        slack = _EPS + 0.25 * _EPS * reach * (tf.abs(slope_x) + tf.abs(slope_y))
        slack = tf.where(solid, tf.minimum(slack, 1e-3), _OUTSIDE)
        plane.append((slope_x, slope_y, value + slack))
    plane += [n, d]
    item = pairs.face // faces
    base = tf.cast(cell, tf.int32) + cells_wide * (tf.cast(top, tf.int32) + rows * item)
    most = (
        tf.where(pairs.alive, box[3] - top, -1.0),
        tf.where(scale == 0.0, 2.0, 1.0),
        box[1] - left,
    )
    return (
        plane,
        most,
        tf.where(pairs.alive, base, pairs.spread),
        face_word(pairs.face - item * faces),
    )


def _box(x, y, height: int, width: int):
    """Pixel box of faces: first and last column, first and last row, [N] each."""
    return (
        tf.maximum(tf.math.ceil(_lowest(x) - _SLACK), 0.0),
        tf.minimum(tf.floor(_highest(x) + _SLACK), width - 1.0),
        tf.maximum(tf.math.ceil(_lowest(y) - _SLACK), 0.0),
        tf.minimum(tf.floor(_highest(y) + _SLACK), height - 1.0),
    )


def _cells(box):
    """First cell of ROW pixels of a box, and number of cells across, [N] each."""
    first = tf.floor(box[0] / windows.ROW)
    return first, tf.floor(box[1] / windows.ROW) - first + 1.0


def _area(x, y):
    """Twice the signed area on screen, [N]."""
    return (x[1] - x[0]) * (y[2] - y[0]) - (x[2] - x[0]) * (y[1] - y[0])


def _lowest(values):
    return tf.minimum(tf.minimum(values[0], values[1]), values[2])


def _highest(values):
    return tf.maximum(tf.maximum(values[0], values[1]), values[2])


def _to_rows(keys, width: int):
    """Cuts [B, H, W] keys into rows of ROW pixels."""
    short = -width % windows.ROW
    padded = tf.pad(keys, [[0, 0], [0, 0], [0, short]], constant_values=-1)
    return tf.reshape(padded, [-1, windows.ROW])
