"""Barycentrics and depth of the visible faces, and their gradient.

Letters: p_i = (x, y, w) is corner i of a face in clip space, r the ray of a pixel in
the same coordinates. c solves sum_i c_i p_i = r, and b = c / sum(c) are the
perspective-correct barycentrics. Two forms: `dense` works on all pixels and leaves the
gradient to TensorFlow, `compact` on the covered ones only, with the gradient in closed
form.

For the gradient let g_i be the upstream gradient of b_i, and h_i = g_i - sum_k g_k b_k.
Moving p_j by e moves c by -c_j M^-1 e, with M = [p_0 p_1 p_2], hence

    dL / dp_j = -b_j M^-T h,    M^-T h = sum_i h_i (p_i+1 x p_i+2) / det M.

M is the same for all pixels of a face, so only the nine sums of h_i b_j over its pixels
are needed, and every sum is one scatter.
"""

import tensorflow as tf

from tfrender.ops.rasterize_corners import gather_rows

_BLOCK = 16  # pixels, one above the other
_SIZE = 256  # blocks in one pass


def dense(index, corners):
    """Recomputes barycentric coordinates and depth of the visible faces.

    Args:
        index: [B, H, W] int32 visible faces, -1 where empty.
        corners: [B, F, 3, 4] clip x, y, w and depth of the corners of each face.

    Returns:
        barycentric [B, H, W, 3] and depth [B, H, W].

    Gradient: exact in the corners.
    """
    height, width = index.shape[1], index.shape[2]
    batch, count = tf.shape(corners)[0], tf.shape(corners)[1]
    shift = tf.range(batch)[:, tf.newaxis, tf.newaxis] * count
    rows = gather_rows(
        tf.reshape(corners, [-1, 12]), tf.where(index < 0, -1, index + shift)
    )  # [B, H, W, 12]
    x, y, w, depth = (rows[..., i::4] for i in range(4))  # each [B, H, W, 3]
    column = tf.range(width, dtype=tf.float32)[:, tf.newaxis]
    row = tf.range(height, dtype=tf.float32)[:, tf.newaxis, tf.newaxis]
    x, y = _around_pixel(x, y, w, (column, row), (height, width))
    # The barycentrics do not change when a face is scaled, so the scale that keeps
    # products inside float32 is a constant.
    size = tf.reduce_max(tf.maximum(tf.abs(x), tf.abs(y)), -1, keepdims=True)
    scale = tf.stop_gradient(1.0 / tf.where(size > 0.0, size, 1.0))
    edge = tf.stack(_edges(*(tf.unstack(v * scale, axis=-1) for v in (x, y))), axis=-1)
    total = tf.reduce_sum(edge, axis=-1, keepdims=True)
    edge = tf.maximum(edge * tf.stop_gradient(tf.sign(total)), 0.0)
    total = tf.reduce_sum(edge, axis=-1, keepdims=True)
    barycentric = edge / tf.where(total == 0.0, 1.0, total)  # [B, H, W, 3]
    return barycentric, tf.reduce_sum(barycentric * depth, axis=-1)


def compact(index, columns, faces, in_front=False, own_depth=False):
    """Does what `dense` does for the covered pixels only; compiled.

    Args:
        index: [B, H, W] int32 visible faces, -1 where empty.
        columns: [B, V, 4] float32 clip x, y, w and depth of the vertices.
        faces: [B, F, 3] or [1, F, 3] int32.
        in_front: True where every visible corner is known to have w > 0.
        own_depth: with `in_front`, True where depth is known to be w.

    Returns:
        barycentric [B, H, W, 3] and depth [B, H, W].
    """
    batch, (height, width) = tf.shape(index)[0], index.shape[1:]
    pixels = batch * height * width
    read = _corner_reader(_scaled(columns, (height, width)), faces)
    unread = ([2] if in_front else []) + ([4] if own_depth else [])

    def one_pass(pixel, row, column, alive, face, barycentric, depth):
        item = pixel // (height * width)
        x, y, w, scale, z = read(item, tf.maximum(face, 0), unread)
        column, row = tf.cast(column, tf.float32), tf.cast(row, tf.float32)
        if in_front:  # w is 1
            x, y = [v - column for v in x], [v - row for v in y]
        else:
            x = [v - column * u for v, u in zip(x, w, strict=True)]
            y = [v - row * u for v, u in zip(y, w, strict=True)]
        flat = _edges(x, y)
        edge = [e * u for e, u in zip(flat, scale, strict=True)]
        total = edge[0] + edge[1] + edge[2]
        share = tf.where(face < 0, 0.0, 1.0) / tf.where(total == 0.0, 1.0, total)
        # A pixel that lies outside its face by rounding is on the edge.
        edge = [tf.maximum(e * share, 0.0) for e in edge]
        target = tf.where(alive, pixel, pixels)[:, tf.newaxis]
        for i in range(3):
            barycentric = tf.tensor_scatter_nd_update(
                barycentric, target * 3 + i, edge[i]
            )
        if own_depth:  # sum of b_i w_i, with b_i in proportion to edge / w
            value = (flat[0] + flat[1] + flat[2]) * share
        else:
            value = edge[0] * z[0] + edge[1] * z[1] + edge[2] * z[2]
        return barycentric, tf.tensor_scatter_nd_update(depth, target, value)

    barycentric, depth = _each_covered(
        index, one_pass, tf.zeros([pixels * 3]), tf.zeros([pixels])
    )
    shape = [batch, height, width]
    return tf.reshape(barycentric, [*shape, 3]), tf.reshape(depth, shape)


def _scaled(columns, image_size):
    """Homogeneous pixel coordinates that stay inside float32.

    Scaling corner i by s scales c_i by 1 / s, so s is kept and put back later.

    Returns:
        [B, V, 5] float32: column, row and w times s, s, depth; s = 1 / w where w > 0
        and the vertex is not far off screen.
    """
    height, width = image_size
    x, y, w, depth = tf.unstack(columns, axis=-1)
    size = tf.maximum(tf.abs(x), tf.maximum(tf.abs(y), tf.abs(w)))
    plain = (w > 1e-30) & (size < 64.0 * w)
    size = tf.where(plain, w, tf.where((size > 0.0) & (size < 3e38), size, 1.0))
    scale = 1.0 / size
    ratio = tf.where(plain, 1.0, w * scale)
    column = x * scale * (width / 2) + ratio * (width / 2 - 0.5)
    row = ratio * (height / 2 - 0.5) - y * scale * (height / 2)
    return tf.stack([column, row, ratio, scale, depth], axis=-1)


def _corner_reader(columns, faces):
    """Returns a function that reads the columns of the corners of some faces."""
    vertices = tf.shape(columns)[1]
    shared = tf.shape(faces)[0] == 1
    count = tf.where(shared, 0, tf.shape(faces)[1])
    channels = columns.shape[-1]
    columns, faces = tf.reshape(columns, [-1]), tf.reshape(faces, [-1])

    def read(item, face, unread=()):
        first = (face + item * count) * 3
        vertex = [
            (tf.maximum(tf.gather(faces, first + i), 0) + item * vertices) * channels
            for i in range(3)
        ]
        return [
            [] if axis in unread else [tf.gather(columns, v + axis) for v in vertex]
            for axis in range(channels)
        ]

    return read


def compact_gradient(fragments, upstream, columns, faces):
    """Gradient of `compact`.

    Args:
        fragments: index [B, H, W], barycentric [B, H, W, 3] and depth [B, H, W] that
            `compact` took and returned.
        upstream: gradients of the last two.
        columns: [B, V, 4] float32 clip x, y, w and depth of the vertices.
        faces: [B, F, 3] or [1, F, 3] int32.

    Returns:
        [B, V, 4] gradient of the columns.
    """
    index, barycentric, depth = fragments
    batch, (height, width) = tf.shape(index)[0], index.shape[1:]
    count = tf.shape(faces)[1]
    flat = [tf.reshape(v, [-1]) for v in (barycentric, upstream[0])]
    up_depth, depth = tf.reshape(upstream[1], [-1]), tf.reshape(depth, [-1])
    read = _corner_reader(columns, faces)

    def one_pass(pixel, row, column, alive, face, *sums):
        del row, column
        item = pixel // (height * width)
        one = tf.where(count < 0, 2.0, 1.0)
        b, g = ([tf.gather(v, pixel * 3 + i) / one for i in range(3)] for v in flat)
        down = tf.gather(up_depth, pixel) / one
        z = read(item, tf.maximum(face, 0))[3]
        mean = g[0] * b[0] + g[1] * b[1] + g[2] * b[2]
        mean += down * tf.gather(depth, pixel)
        h = [(g[i] + down * z[i] - mean) / one for i in range(3)]
        owner = tf.where(alive & (face >= 0), face + item * count, batch * count)
        terms = [h[i] * b[j] for i in range(3) for j in range(3)]
        terms += [down * b[j] for j in range(3)]
        return tuple(
            tf.tensor_scatter_nd_add(total, owner[:, tf.newaxis], term)
            for total, term in zip(sums, terms, strict=True)
        )

    sums = _each_covered(index, one_pass, *[tf.zeros([batch * count])] * 12)
    return _to_vertices(sums, columns, faces)


def _to_vertices(sums, columns, faces):
    """Turns sums over the pixels of each face into gradients of the vertices."""
    batch, vertices = tf.shape(columns)[0], tf.shape(columns)[1]
    shift = tf.range(batch)[:, tf.newaxis, tf.newaxis] * vertices
    target = tf.reshape(tf.maximum(faces, 0) + shift, [-1, 3])  # [B * F, 3]
    table = tf.reshape(columns, [-1, 4])
    corners = [tf.gather(table, target[:, i]) for i in range(3)]
    total = [tf.zeros([batch * vertices])] * 4
    for i, gradients in enumerate(_to_corners(sums, corners)):
        for axis in range(4):
            total[axis] = tf.tensor_scatter_nd_add(
                total[axis], target[:, i, tf.newaxis], gradients[axis]
            )
    return tf.reshape(tf.stack(total, axis=-1), [batch, vertices, 4])


def _to_corners(sums, corners):
    """Turns the sums of h_i b_j and of the depth into gradients of the corners.

    Returns, for each of the three corners, four [B * F] columns.
    """
    size = tf.reduce_max(tf.abs(tf.concat([c[:, :3] for c in corners], 1)), 1)
    scale = 1.0 / tf.where((size > 0.0) & (size < 3e38), size, 1.0)
    x, y, w = ([corner[:, axis] * scale for corner in corners] for axis in range(3))
    # Moving the origin to corner 0 keeps the digits of small faces.
    firm = tf.abs(w[0]) > 1e-6
    origin = [tf.where(firm, v[0] / tf.where(firm, w[0], 1.0), 0.0) for v in (x, y)]
    x = [a - origin[0] * c for a, c in zip(x, w, strict=True)]
    y = [a - origin[1] * c for a, c in zip(y, w, strict=True)]
    normal = []
    for j, k in ((1, 2), (2, 0), (0, 1)):
        normal.append(
            (
                y[j] * w[k] - y[k] * w[j],
                x[k] * w[j] - x[j] * w[k],
                x[j] * y[k] - x[k] * y[j],
            )
        )
    volume = x[0] * normal[0][0] + y[0] * normal[0][1] + w[0] * normal[0][2]
    inverse = -scale / tf.where(volume == 0.0, 1.0, volume)
    inverse = tf.where(volume == 0.0, 0.0, inverse)
    gradients = []
    for j in range(3):
        moved = [
            sum(sums[3 * i + j] * normal[i][axis] for i in range(3)) * inverse
            for axis in range(3)
        ]
        moved[2] -= origin[0] * moved[0] + origin[1] * moved[1]
        gradients.append([*moved, sums[9 + j]])
    return gradients


def _each_covered(index, body, *state):
    """Runs a body over all covered pixels, a few thousand at a time.

    Args:
        index: [B, H, W] int32, -1 where empty.
        body: takes pixel, row, column, alive, face (each [P]) and the state, returns
            the state as a tuple. Some pixels are empty (face -1) or not alive.
        *state: tensors carried along.

    Returns:
        The last state, a tuple.
    """
    batch, (height, width) = tf.shape(index)[0], index.shape[1:]
    tall = -(-height // _BLOCK)
    short = tall * _BLOCK - height
    padded = tf.pad(index, [[0, 0], [0, short], [0, 0]], constant_values=-1)
    # Blocks stand upright: a maximum over rows is a vector operation.
    seen = tf.reduce_max(tf.reshape(padded, [batch * tall, _BLOCK, width]), 1)
    covered = tf.reshape(seen, [-1]) >= 0
    count = tf.shape(covered)[0]
    slot = tf.cumsum(tf.cast(covered, tf.int32))
    target = tf.where(covered, slot - 1, count + _SIZE)[:, tf.newaxis]
    blocks = tf.zeros([count + _SIZE], tf.int32)
    blocks = tf.tensor_scatter_nd_update(blocks, target, tf.range(count))
    total = tf.reduce_sum(tf.cast(covered, tf.int32))
    flat = tf.reshape(index, [-1])
    lane = tf.range(_SIZE * _BLOCK)

    def one_pass(start, *state):
        block = tf.gather(tf.slice(blocks, [start], [_SIZE]), lane % _SIZE)
        strip = block // width
        item = strip // tall
        row = (strip - item * tall) * _BLOCK + lane // _SIZE
        column = block - strip * width
        alive = (start + lane % _SIZE < total) & (row < height)
        pixel = tf.where(alive, (item * height + row) * width + column, 0)
        face = tf.where(alive, tf.gather(flat, pixel), -1)
        return start + _SIZE, *body(pixel, row, column, alive, face, *state)

    return tf.while_loop(
        lambda start, *_: start < total,
        one_pass,
        (tf.constant(0), *state),
        parallel_iterations=1,
    )[1:]


def _around_pixel(x, y, w, place, image_size):
    """Homogeneous pixel coordinates with the origin in a pixel's own centre.

    Only the constant terms of the edge functions are then left.
    """
    (column, row), (height, width) = place, image_size
    return (
        x * (width / 2) + w * (width / 2 - 0.5 - column),
        w * (height / 2 - 0.5 - row) - y * (height / 2),
    )


def _edges(x, y):
    """Edge functions of a face at the origin, each opposite its corner."""
    pairs = ((1, 2), (2, 0), (0, 1))
    return [x[j] * y[k] - x[k] * y[j] for j, k in pairs]
