"""The silhouette edge that parts the two pixels of a pair.

On the line through both pixel centres u counts pixels from the centre of the near
pixel (whose face is in front) towards the far one, v is the distance across the line;
both are homogeneous, so that a vertex in clip space becomes (u, v, w) and lies at
u / w, with no division. The faces of the near surface meet the line v = 0 in a chain of
intervals. An edge with ends a (v >= 0) and b (v < 0) meets it at t = N / D with

    N = u_b v_a - u_a v_b,    D = v_a w_b - v_b w_a,

where D / (v_a - v_b) is w there. The chain is followed from the near pixel outwards
until it ends (no neighbour) or turns back (a fold): that edge is the silhouette.
"""

from typing import NamedTuple

import tensorflow as tf

from tfrender.ops.antialias_pairs import (
    Pairs,
    flags_of,
    numbered,
    pixels_of,
    visit,
)

_SLACK = 1e-2  # pixels: rounding of a rasterised edge
_MOST_STEPS = 64  # faces between two pixel centres


class Surface(NamedTuple):
    """What is drawn, as flat tables with one dummy row at the end.

    Attributes:
        index: [B * H * W] int32 visible faces, -1 where empty.
        clip: [B * V + 1, 4] clip coordinates.
        corners: [3 * F + 1] or [3 * B * F + 1] int32 vertex of every corner.
        opposite: of that length, int32 corner across the edge, -1 where none.
        strides: (vertices, corners) from one batch item to the next, int32 scalars.
        image_size: (height, width).
    """

    index: tf.Tensor
    clip: tf.Tensor
    corners: tf.Tensor
    opposite: tf.Tensor
    strides: tuple[tf.Tensor, tf.Tensor]
    image_size: tuple[int, int]


class Edges(NamedTuple):
    """The silhouette edge of each pair of one pass; K pairs.

    Attributes:
        near: [K] int32 flat pixel in front.
        far: [K] int32 flat pixel behind.
        column: [K] column of the near pixel.
        row: [K] row of the near pixel.
        vertical: [K] bool, the far pixel lies above or below.
        toward: [K] +1 if the far pixel lies to the right or below, else -1.
        a: [K] int32 row of `Surface.clip`.
        b: [K] int32 row of `Surface.clip`.
        found: [K] bool, False where there is no such edge.
        joined: [K] bool, True where both pixels show one continuous surface.
    """

    near: tf.Tensor
    far: tf.Tensor
    column: tf.Tensor
    row: tf.Tensor
    vertical: tf.Tensor
    toward: tf.Tensor
    a: tf.Tensor
    b: tf.Tensor
    found: tf.Tensor
    joined: tf.Tensor


def flat_surface(index, clip, faces, opposite) -> Surface:
    """Lays the inputs of `antialias` out as flat tables.

    Args:
        index: [B, H, W] int32 visible faces.
        clip: [B, V, 4] clip coordinates.
        faces: [F, 3] or [B, F, 3] int32.
        opposite: as faces, of `opposite_corners`; or None.

    Returns:
        Surface.
    """
    height, width = index.shape[1], index.shape[2]
    corners = tf.reshape(faces, [-1])
    if opposite is None:
        across = tf.fill(tf.shape(corners), -1)
    else:
        across = tf.reshape(tf.cast(opposite, tf.int32), [-1])
    each = 3 * tf.shape(faces)[1] if faces.shape.rank == 3 else tf.constant(0)
    # Empty tables stay legal: there is always a row to read.
    return Surface(
        tf.reshape(index, [-1]),
        tf.pad(tf.reshape(clip, [-1, 4]), [[0, 1], [0, 0]]),
        tf.pad(tf.maximum(corners, 0), [[0, 1]]),
        tf.pad(across, [[0, 1]]),
        (tf.shape(clip)[1], each),
        (height, width),
    )


def parted_pairs(surface: Surface, pairs: Pairs, capacity) -> Pairs:
    """Drops the pairs whose pixels show one continuous surface.

    Args:
        surface: Surface.
        pairs: Pairs of unlike faces.
        capacity: of `visit`.

    Returns:
        Pairs, which may part at a silhouette edge: usually a small share.
    """

    def drop(pairs, follow):
        def add(word, bit, alive, bits):
            # From either pixel the way to the other is the same: no depth is needed.
            edges = _edges(surface, pairs, word, bit, alive, follow=follow)
            flags = flags_of(bit, alive & ~edges.joined)
            return (tf.tensor_scatter_nd_add(bits, word[:, tf.newaxis], flags),)

        (bits,) = visit(pairs, capacity, add, tf.zeros_like(pairs.bits))
        return numbered(bits)

    # Most pairs lie on two faces that share the edge between them: a cheap test.
    return drop(drop(pairs, follow=False), follow=True)


def visit_edges(surface, pairs, capacity, by_depth, body, *state) -> tuple:
    """Runs `body(edges, *state)` over the silhouette edges of all pairs.

    Args:
        surface: Surface.
        pairs: Pairs of an image as large as the surface's.
        capacity: of `visit`.
        by_depth: False where one pixel of every pair is empty.
        body: called with Edges and the state; returns the new state, a tuple.
        *state: tensors.

    Returns:
        The last state, a tuple.
    """

    def one_pass(word, bit, alive, *state):
        edges = _edges(surface, pairs, word, bit, alive, by_depth=by_depth)
        return body(edges, *state)

    return visit(pairs, capacity, one_pass, *state)


def _edges(surface, pairs, word, bit, alive, *, by_depth=False, follow=True) -> Edges:
    """Finds the silhouette edge between the pixels of each pair of one pass.

    Args:
        surface: Surface.
        pairs: Pairs.
        word: [K] int32, of `visit`; bit, alive alike.
        bit: [K] int32.
        alive: [K] bool.
        by_depth: True to start from the nearer pixel where both show a face.
        follow: False to stop at the first edge.

    Returns:
        Edges.
    """
    height, width = surface.image_size
    dtype = surface.clip.dtype
    one, two, vertical = pixels_of(pairs, word, bit, alive, width)
    face, behind = tf.gather(surface.index, one), tf.gather(surface.index, two)
    item = one // (height * width)
    local = one % (height * width)
    row, column = local // width, local % width
    swap = face < 0
    if by_depth:
        shift = tf.where(vertical, 0, 1), tf.where(vertical, 1, 0)
        ahead = _distance(surface, item, face, column, row)
        after = _distance(surface, item, behind, column + shift[0], row + shift[1])
        swap |= (behind >= 0) & (after < ahead)
    swap = _kept(swap)
    face, behind = tf.where(swap, behind, face), tf.where(swap, face, behind)
    alive &= face >= 0
    edges = Edges(
        tf.where(swap, two, one),
        tf.where(swap, one, two),
        tf.cast(column + tf.cast(swap & ~vertical, tf.int32), dtype),
        tf.cast(row + tf.cast(swap & vertical, tf.int32), dtype),
        vertical,
        tf.cast(tf.where(swap, -1, 1), dtype),
        one,
        two,
        alive,
        alive,
    )
    return _follow(surface, edges, item, face, behind, follow)


def along(surface: Surface, edges: Edges, vertex):
    """Coordinates of vertices on the lines of their pairs.

    Args:
        surface: Surface.
        edges: Edges, of which the pixels are read.
        vertex: [K] int32 row of `surface.clip`.

    Returns:
        u, v, w and the distance z + w from the near plane, each [K].
    """
    height, width = surface.image_size
    x, y, z, w = tf.unstack(tf.gather(surface.clip, vertex), axis=-1)
    right = x * (width / 2) + w * (width / 2 - 0.5 - edges.column)
    down = w * (height / 2 - 0.5 - edges.row) - y * (height / 2)
    u = edges.toward * tf.where(edges.vertical, down, right)
    return u, tf.where(edges.vertical, right, down), w, z + w


def _distance(surface, item, face, column, row):
    """Distance z + w from the near plane of faces [K] at pixels, [K]."""
    height, width = surface.image_size
    dtype = surface.clip.dtype
    column, row = tf.cast(column, dtype), tf.cast(row, dtype)
    first = item * surface.strides[1] + 3 * tf.maximum(face, 0)
    px, py, near = [], [], []
    for i in range(3):
        vertex = tf.gather(surface.corners, first + i) + item * surface.strides[0]
        x, y, z, w = tf.unstack(tf.gather(surface.clip, vertex), axis=-1)
        px.append(x * (width / 2) + w * (width / 2 - 0.5 - column))
        py.append(w * (height / 2 - 0.5 - row) - y * (height / 2))
        near.append(z + w)
    edge = [px[j] * py[k] - px[k] * py[j] for j, k in ((1, 2), (2, 0), (0, 1))]
    total = edge[0] + edge[1] + edge[2]
    share = 1.0 / tf.where(total == 0.0, tf.ones_like(total), total)
    return (edge[0] * near[0] + edge[1] * near[1] + edge[2] * near[2]) * share


def _meeting(a, b):
    """N and D of edges from a to b, each (u, v, w), with v_a >= 0 > v_b."""
    return b[0] * a[1] - a[0] * b[1], a[1] * b[2] - b[1] * a[2]


def _choose(condition, a, b):
    return tuple(tf.where(condition, p, q) for p, q in zip(a, b, strict=True))


def _exit(surface, edges, item, face):
    """The edge by which the line leaves the near pixel's own face.

    Returns:
        corner: [K] int32, the corner of the face that is not on the edge.
        a: (u, v, w, row of the clip table) of its end with v >= 0, each [K].
        b: of the other end.
        found: [K] bool.
    """
    first = item * surface.strides[1] + 3 * tf.maximum(face, 0)
    ends = []
    for i in range(3):
        vertex = tf.gather(surface.corners, first + i) + item * surface.strides[0]
        ends.append((*along(surface, edges, vertex)[:3], vertex, tf.fill([], i)))
    up = [end[1] >= 0.0 for end in ends]
    # The odd corner lies alone on its side of the line.
    lone = [up[0] != up[1], up[1] != up[2], up[2] != up[0]]
    first_odd, second_odd = lone[0] & lone[2], lone[0] & lone[1]
    turned = []
    for i in range(3):
        rest = _choose(second_odd, ends[(i + 1) % 3], ends[(i + 2) % 3])
        turned.append(_choose(first_odd, ends[i], rest))
    odd, one, two = turned
    over = odd[1] >= 0.0
    spots = []
    for end in (one, two):
        n, d = _meeting(_choose(over, odd, end), _choose(over, end, odd))
        ahead = d > 0.0  # else the line meets the edge behind the camera
        spots.append(tf.where(ahead, n / tf.where(ahead, d, 1.0), d.dtype.min))
    later = spots[0] >= spots[1]
    end, other = _choose(later, one, two), _choose(later, two, one)
    place = tf.maximum(spots[0], spots[1])
    found = (lone[0] | lone[1]) & (place >= -_SLACK) & (place <= 1.0 + _SLACK)
    a, b = tf.where(over, odd[3], end[3]), tf.where(over, end[3], odd[3])
    return first + other[4], a, b, found


def _follow(surface, edges, item, face, behind, follow):
    """Follows the surface from the near pixels to its silhouette edges."""
    corner, a, b, found = _exit(surface, edges, item, face)
    base = item * surface.strides[1]
    goal = tf.where(behind < 0, -1, base // 3 + behind)  # face of the far pixel
    offset = item * surface.strides[0]

    def step(count, corner, a, b, walking, found):
        local = tf.gather(surface.opposite, corner)
        ends = walking & (local < 0)
        across = tf.where(local < 0, corner, base + local)
        place = across % 3
        following = across - place + (place + 1) % 3
        previous = across - place + (place + 2) % 3
        vertex = tf.gather(surface.corners, across) + offset
        new = along(surface, edges, vertex)
        side = tf.gather(surface.corners, following) + offset
        side = along(surface, edges, side)[1] >= 0.0
        up = new[1] >= 0.0
        at_a, at_b = along(surface, edges, a), along(surface, edges, b)
        n, d = _meeting(at_a, at_b)
        next_n, next_d = _meeting(_choose(up, new, at_a), _choose(up, at_b, new))
        ends |= walking & ~(next_n * d - n * next_d >= 0.0)  # a fold
        within = (next_d > 0.0) & (next_n <= (1.0 + _SLACK) * next_d)
        moves = walking & ~ends
        within &= across // 3 != goal
        corner = tf.where(moves, tf.where(up == side, following, previous), corner)
        a = tf.where(moves & up, vertex, a)
        b = tf.where(moves & ~up, vertex, b)
        return count + 1, corner, a, b, moves & within, found | ends

    state = (tf.constant(0), corner, a, b, edges.found & found, tf.zeros_like(found))
    if follow:
        state = tf.while_loop(
            lambda count, *rest: (count < _MOST_STEPS) & tf.reduce_any(rest[3]),
            step,
            state,
            parallel_iterations=1,
        )
    _, corner, a, b, walking, found = state
    found |= walking  # more faces than steps: the edge reached so far
    # An edge of both faces parts nothing.
    shared = [tf.zeros_like(found), tf.zeros_like(found)]
    for i in range(3):
        vertex = tf.gather(surface.corners, tf.maximum(3 * goal, 0) + i) + offset
        shared = [shared[0] | (vertex == a), shared[1] | (vertex == b)]
    joined = (goal >= 0) & ((corner // 3 == goal) | (shared[0] & shared[1]))
    return edges._replace(a=a, b=b, found=_kept(found & ~joined), joined=joined)


def _kept(flags):
    """The same flags [K] bool, as a result that XLA holds in memory.

    XLA on CPU repeats a chain of element-wise work in every consumer. It never repeats
    a scatter, and this one costs next to nothing.
    """
    size = tf.size(flags)
    flags = tf.cast(flags, tf.int32)
    return tf.math.unsorted_segment_sum(flags, tf.range(size), size) > 0
