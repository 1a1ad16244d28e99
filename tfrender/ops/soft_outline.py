"""Soft silhouettes by the distance from the outline, as compiled loops.

The common case of `soft_windows`, faster: Euclidean distance, alpha as a product, and
no face that straddles an end of the depth range, so that depth need not be known.
Letters, in pixels from the corner of a window: edge k of a face runs from corner a_k
along d_k; the point of it nearest to pixel p is a_k + t_k d_k, t_k in [0, 1], and
e_k = p - a_k - t_k d_k. The least e^2 decides. q = +-e^2 / sigma is the logit of D, +
inside, and alpha is 1 - exp(-sum of softplus(q)).

For the gradient: moving both ends of the nearest edge by f moves e by -f, so that of
-2 e dL/d(e^2) corner k gets the part 1 - t and corner k + 1 the part t.
"""

import tensorflow as tf

from tfrender.ops import rasterize_windows as windows
from tfrender.ops.soft_windows import Drawing, Place, lane_place, place_of, turns

_SMALLEST_DET = 1e-10  # as in `soft_pairs`


def within(rows: tf.Tensor, depth_range) -> tuple[tf.Tensor, tf.Tensor]:
    """Tells which faces lie within a range of depths, wholly or in part.

    Args:
        rows: [N, 9] x, y, z of the corners.
        depth_range: (near, far), above 0.

    Returns:
        wholly: [N] bool.   partly: [N] bool, some points do and some do not.
    """
    near, far = depth_range
    z = [rows[:, i] for i in (2, 5, 8)]
    low = tf.minimum(tf.minimum(z[0], z[1]), z[2])
    high = tf.maximum(tf.maximum(z[0], z[1]), z[2])
    wholly = (low >= near) & (high <= far)
    # Depth between corners of both signs passes through infinity, not through zero.
    outside = (low > far) | (high <= 0.0) | ((low > 0.0) & (high < near))
    return wholly, ~wholly & ~outside


def has_area(rows: tf.Tensor) -> tf.Tensor:
    """Tells which faces have an area on screen, [N] bool.

    Args:
        rows: [N, 9] x, y, z of the corners.

    Returns:
        [N] bool.
    """
    x, y = ([rows[:, i + axis] for i in (0, 3, 6)] for axis in (0, 1))
    det = (x[1] - x[0]) * (y[2] - y[0]) - (x[2] - x[0]) * (y[1] - y[0])
    return tf.abs(det) >= _SMALLEST_DET


def add_up(what: Drawing) -> tf.Tensor:
    """Sum of softplus(q) of every pixel.

    Args:
        what: Drawing of the faces that count.

    Returns:
        [P].
    """

    def one_pass(pairs, total):
        place, edges = _open(what, pairs)

        def one_lane(number, total):
            live, at, pixel = lane_place(what, pairs, place, number)
            q, _ = _nearest(what, edges, at)
            part = tf.where(live & (q > -_reach(what)), tf.math.softplus(q), 0.0)
            return (tf.tensor_scatter_nd_add(total, pixel[:, tf.newaxis], part),)

        return turns(what, one_lane, total)

    batch, _, height, width = what.sizes
    total = tf.zeros([batch * height * width], what.rows.dtype)
    return windows.each_pass(what.listed, one_pass, total)[0]


def add_gradients(what: Drawing, upstream: tf.Tensor) -> tf.Tensor:
    """Gradient of a weighted sum of softplus(q).

    Args:
        what: Drawing of the faces that count.
        upstream: [P], weight of each pixel.

    Returns:
        [N, 9] gradient of the rows; none in the depths.
    """
    _, _, height, width = what.sizes
    count, dtype = tf.shape(what.rows)[0], what.rows.dtype
    sigma = _sigma(what)

    def one_pass(pairs, *totals):
        place, edges = _open(what, pairs)

        def one_lane(number, *sums):
            live, at, pixel = lane_place(what, pairs, place, number)
            q, nearest = _nearest(what, edges, at)

            def pull(*sums):
                # What enters a loop is computed once, not once for each of six sums.
                t, ex, ey = _foot(edges, nearest, at)
                slope = tf.gather(upstream, pixel) * tf.sigmoid(q) * (-2.0 / sigma)
                slope = tf.where(q < 0.0, -slope, slope)
                slope = tf.where(live & (q > -_reach(what)), slope, 0.0)
                fx, fy = slope * ex, slope * ey

                def share(*sums):
                    moved = []
                    for k in range(3):
                        part = tf.where(nearest == k, 1.0 - t, tf.zeros_like(t))
                        part = tf.where(nearest == (k - 1) % 3, t, part)
                        moved += [
                            sums[2 * k] + part * fx,
                            sums[2 * k + 1] + part * fy,
                        ]
                    return moved

                return _once(what, share, *sums)

            return _once(what, pull, *sums)

        zeros = [tf.zeros([windows.SIZE], dtype)] * 6
        sums = turns(what, one_lane, *zeros)
        face = tf.where(pairs.alive, pairs.face, count)[:, tf.newaxis]
        return tuple(
            tf.tensor_scatter_nd_add(total, face, part)
            for total, part in zip(totals, sums, strict=True)
        )

    sums = windows.each_pass(what.listed, one_pass, *[tf.zeros([count], dtype)] * 6)
    columns = []
    for k in range(3):
        columns += [sums[2 * k] * (width / 2), sums[2 * k + 1] * (-height / 2)]
        columns.append(tf.zeros_like(sums[0]))
    return tf.stack(columns, axis=-1)


def _once(what, body, *state):
    """Runs a body behind a loop of one turn: what enters it is held in memory."""
    turn = tf.minimum(what.listed.height, 1)
    return tf.while_loop(
        lambda number, *_: number < turn,
        lambda number, *state: (number + 1, *body(*state)),
        (tf.constant(0), *state),
    )[1:]


def _sigma(what):
    """Sigma in squared pixels."""
    return what.blend.sigma * (what.sizes[2] / 2) ** 2


def _reach(what):
    """Largest -q at which a face still counts."""
    return tf.math.log(1.0 / what.blend.dist_eps - 1.0)


def _open(what, pairs) -> tuple[Place, tuple]:
    """Windows and edges of the faces of a pass."""
    _, _, height, width = what.sizes
    dtype = what.rows.dtype
    rows = tf.gather(what.rows, pairs.face)
    place = place_of(what, pairs, rows)
    left, top = tf.cast(place.left, dtype), tf.cast(place.top, dtype)
    x = [(rows[:, i] + 1.0) * (width / 2) - 0.5 - left for i in (0, 3, 6)]
    y = [(1.0 - rows[:, i]) * (height / 2) - 0.5 - top for i in (1, 4, 7)]
    run = [x[(k + 1) % 3] - x[k] for k in range(3)]
    fall = [y[(k + 1) % 3] - y[k] for k in range(3)]
    square = [a * a + b * b for a, b in zip(run, fall, strict=True)]
    inverse = [tf.where(s > 0.0, 1.0 / s, 0.0) for s in square]
    turn = tf.sign(run[0] * fall[1] - run[1] * fall[0])
    return place, (x, y, run, fall, inverse, turn)


def _nearest(what, edges, at):
    """Logit q and number of the nearest edge, [SIZE] each."""
    x, y, run, fall, inverse, turn = edges
    squares, sides = [], []
    for k in range(3):
        along, across = at[0] - x[k], at[1] - y[k]
        t = (along * run[k] + across * fall[k]) * inverse[k]
        t = tf.clip_by_value(t, 0.0, 1.0)
        ex, ey = along - t * run[k], across - t * fall[k]
        squares.append(ex * ex + ey * ey)
        sides.append((run[k] * across - fall[k] * along) * turn)
    least = tf.minimum(squares[0], squares[1])
    number = tf.where(squares[1] < squares[0], 1, 0)
    number = tf.where(squares[2] < least, 2, number)
    least = tf.minimum(least, squares[2]) / _sigma(what)
    inside = tf.minimum(tf.minimum(sides[0], sides[1]), sides[2]) > 0.0
    return tf.where(inside, least, -least), number


def _foot(edges, nearest, at):
    """Parameter t and both parts of e of the nearest edge."""
    x, y, run, fall, inverse = (
        tf.where(nearest == 0, v[0], tf.where(nearest == 1, v[1], v[2]))
        for v in edges[:5]
    )
    along, across = at[0] - x, at[1] - y
    t = tf.clip_by_value((along * run + across * fall) * inverse, 0.0, 1.0)
    return t, along - t * run, across - t * fall
