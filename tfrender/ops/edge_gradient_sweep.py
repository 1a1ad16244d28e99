"""Sweeps along the lines of an image: the inner loops of `edge_gradient`.

Letters are those of `edge_gradient`. The pixels are put in scan order, once for the
sweeps along x and once for those along y, so that a sweep is a stretch of consecutive
positions. The few that can count are packed into windows of 16; a sweep then reads
whole windows, and only the list of (sweep, window) pairs is ragged. No gradient flows
through this module.
"""

from typing import NamedTuple

import tensorflow as tf

from tfrender.ops.ragged_passes import owners, pass_size

WINDOW = 16  # pixels; of 8, 16, 32 and 64 the smallest within 15% of the fastest


class ScanList(NamedTuple):
    """The pixels that a sweep may count, in the order of the sweeps.

    Attributes:
        before: [2 P + 1] int32, entries kept before each scan position.
        windows: [N, K, 16] float32 of K = 2 C + 2 columns: I, G, v, face.
    """

    before: tf.Tensor
    windows: tf.Tensor


def scans(values):
    """Flattens [B, H, W, ...] to the order of the sweeps along x and along y."""
    tail = tf.shape(values)[3:]
    turned = tf.transpose(values, [0, 2, 1, *range(3, values.shape.rank)])
    flat = tf.concat([[-1], tail], axis=0)
    return tf.reshape(values, flat), tf.reshape(turned, flat)


def scan_lists(image, upstream, index, static):
    """Prepares the pixels for the sweeps.

    Args:
        image: [B, H, W, C].
        upstream: [B, H, W, C].
        index: [B, H, W] int32.
        static: whether the lists keep their largest length.

    Returns:
        faces [2 P] int32 in scan order, and the ScanList of the outer and of the inner
        sweeps. P = B H W.
    """
    height, width = tf.shape(index)[1], tf.shape(index)[2]
    covered = index >= 0
    steps = tf.meshgrid(tf.range(height), tf.range(width), indexing="ij")
    flows = tf.reduce_any(upstream != 0.0, axis=-1)
    columns, keeps = [], []
    for axis in (2, 1):
        along = tf.broadcast_to(steps[axis - 1], tf.shape(index))
        column = [image, upstream] + [
            tf.cast(extra, tf.float32)[..., tf.newaxis] for extra in (along, index)
        ]
        columns.append(scans(tf.concat(column, axis=-1))[2 - axis])
        keeps.append(scans(_improvable(image, upstream, covered, axis))[2 - axis])
    columns = tf.concat(columns, axis=0)  # [2 P, 2 C + 2]
    outer = _packed(columns, tf.concat(keeps, axis=0), static)
    inner = _packed(columns, tf.concat(scans(covered & flows), axis=0), static)
    return tf.concat(scans(index), axis=0), outer, inner


def _improvable(image, upstream, covered, axis):
    """Tells which pixels some covered pixel's colour of their line would improve.

    An upper bound of e over the colours that I(inside) can take; rounding keeps the
    order, so that no pixel with e > 0 is lost.

    Args:
        image: [B, H, W, C].
        upstream: [B, H, W, C].
        covered: [B, H, W] bool.
        axis: of the line, 1 or 2.

    Returns:
        [B, H, W] bool.
    """
    inside = covered[..., tf.newaxis]
    low = tf.reduce_min(tf.where(inside, image, image.dtype.max), axis, keepdims=True)
    high = tf.reduce_max(tf.where(inside, image, image.dtype.min), axis, keepdims=True)
    some = tf.reduce_any(inside, axis, keepdims=True)  # [B, 1 or H, 1 or W, 1]
    low, high = tf.where(some, low, 0.0), tf.where(some, high, 0.0)
    best = tf.maximum((image - low) * upstream, (image - high) * upstream)
    return (tf.add_n(tf.unstack(best, axis=-1)) > 0.0) & some[..., 0]


def _packed(columns, keep, static):
    """Packs the kept scan positions into windows.

    Args:
        columns: [2 P, K].
        keep: [2 P] bool.
        static: whether the list keeps its largest length.

    Returns:
        ScanList.
    """
    number = tf.cast(keep, tf.int32)
    upto = tf.cumsum(number)
    if static:
        length = keep.shape[0]
        source = tf.math.unsorted_segment_max(
            tf.range(length), tf.where(keep, upto - 1, -1), length
        )
        source = tf.maximum(source, 0)  # places that nothing was packed into
    else:
        source = tf.cast(tf.where(keep)[:, 0], tf.int32)
        length = tf.size(source)
    spare = WINDOW - length % WINDOW  # makes whole windows, at least one
    packed = tf.pad(tf.gather(columns, source), [[0, spare], [0, 0]])
    windows = tf.reshape(packed, [-1, WINDOW, columns.shape[1]])
    return ScanList(tf.concat([[0], upto], axis=0), tf.transpose(windows, [0, 2, 1]))


def sweep(rows, reference, span, scan, face, eps, limit):
    """Adds e / r of the pixels of one sweep for each row.

    Args:
        rows: record with `crossing` [R] and `reach` [R, 2] of `edge_gradient`.
        reference: [R, C] colour that e compares with.
        span: ([R], [R]) first and last scan position of each row.
        scan: ScanList.
        face: [R] float32 that a pixel must show to count; None counts every pixel.
        eps: of `edge_gradient`.
        limit: (windows in one pass, is that number their static shape).

    Returns:
        [R, 2], for corner a and corner b.
    """
    start = tf.gather(scan.before, span[0])
    stop = tf.gather(scan.before, span[1] + 1)
    first = start // WINDOW
    count = tf.where(stop > start, (stop - 1) // WINDOW - first + 1, 0)
    count = tf.cast(count, tf.int64)
    last = tf.cumsum(count)
    total = last[-1]  # there is a row, or there would be no pass
    places = tf.stack([first, start, stop], axis=1)
    columns = [reference, rows.crossing[:, tf.newaxis], rows.reach]
    if face is not None:
        columns.append(face[:, tf.newaxis])
    columns = tf.concat(columns, axis=1)

    def one_pass(done, slopes):
        number = pass_size(total - done, limit)
        owner, rank = owners(last - count, done, total, number)
        row = tf.maximum(owner, 0)
        place = tf.gather(places, row)[..., tf.newaxis]  # [N, 3, 1]
        window = place[:, 0] + rank[:, tf.newaxis]  # [N, 1]
        entry = window * WINDOW + tf.range(WINDOW)  # [N, 16]
        # Beyond the last item rank is 0, and segment -1 is dropped.
        slope = _lane_slopes(
            tf.gather(columns, row)[..., tf.newaxis],
            tf.gather(scan.windows, window[:, 0]),
            (entry >= place[:, 1]) & (entry < place[:, 2]),
            face is not None,
            eps,
        )
        slope = tf.math.unsorted_segment_sum(slope, owner, tf.shape(slopes)[0])
        return done + tf.cast(number, tf.int64), slopes + slope

    _, slopes = tf.while_loop(
        lambda done, slopes: done < total,
        one_pass,
        (tf.zeros([], tf.int64), tf.zeros_like(rows.reach)),
        parallel_iterations=1,
    )
    return slopes


def _lane_slopes(row, pixel, counts, same_face, eps):
    """Adds e / r over the pixels of each window.

    Args:
        row: [N, C + 3 or C + 4, 1] reference colour, v*, reach of a and b, face.
        pixel: [N, 2 C + 2, 16] I, G, v, face.
        counts: [N, 16] bool, whether the sweep meets the pixel.
        same_face: whether only pixels that show the face of the row count.
        eps: of `edge_gradient`.

    Returns:
        [N, 2].
    """
    channels = (pixel.shape[1] - 2) // 2
    # Differences before products: equal colours must give exactly nothing.
    gain = tf.add_n(
        [(pixel[:, c] - row[:, c]) * pixel[:, channels + c] for c in range(channels)]
    )  # [N, 16]
    counts &= gain > 0.0
    if same_face:
        counts &= pixel[:, -1] == row[:, -1]
    gain = tf.where(counts, gain, 0.0)
    way = pixel[:, -2] - row[:, channels]
    slopes = []
    for corner in (1, 2):
        ramp = way * row[:, channels + corner]
        ramp += tf.where(ramp > 0.0, eps, -eps)
        slopes.append(tf.reduce_sum(gain / ramp, axis=1))
    return tf.stack(slopes, axis=1)
