"""The list of (face, window) pairs under the compiled rasterisers.

A window is a row of 4 pixels at a multiple of 4 columns, a few rows high. The box of a
face on screen is cut into windows; how many it takes is the only ragged quantity. The
list is never built: faces without a window are dropped, and a loop expands `SIZE` pairs
at a time, so that memory is constant and every shape static.

Three habits of XLA on CPU shape the code that uses this list. A scatter of rows of 4
costs a fourth of four single ones. A value that is used by many lanes is computed again
for each of them unless it is the result of a division, or enters an inner loop. And a
write that depends on the one just before it waits: neighbours in the list overlap on
screen, so the pairs of a pass are taken in strides.
"""

from typing import NamedTuple

import tensorflow as tf

from tfrender.ops.rasterize_keys import high_word, low_word

ROW = 4  # pixels in a row of a window
SIZE = 1024  # pairs in one pass
_STRIDE = 32
_NEVER = 2**31 - 1
_HEIGHTS = (1, 2, 3, 4, 6, 8, 12, 16)
_PAIR_COST, _ROW_COST = 10.0, 3.1  # nanoseconds, measured


class WindowList(NamedTuple):
    """Faces that own windows, and how many.

    Attributes:
        face: [N + SIZE] int32, face of each slot; slots are faces with a window.
        first: [N + SIZE] int32, number of the first window of each slot.
        total: scalar int32, number of windows.
        height: scalar int32, rows of a window.
    """

    face: tf.Tensor
    first: tf.Tensor
    total: tf.Tensor
    height: tf.Tensor


class Pairs(NamedTuple):
    """One pass of the list.

    Attributes:
        face: [SIZE] int32.
        rank: [SIZE] float32, number of the window within its face.
        alive: [SIZE] bool, False beyond the end of the list.
        spread: [SIZE] int32, a different number for each pair.
        next_slot: scalar int32, slot of the first pair of the next pass.
    """

    face: tf.Tensor
    rank: tf.Tensor
    alive: tf.Tensor
    spread: tf.Tensor
    next_slot: tf.Tensor


def window_list(across, rows, cost=(_PAIR_COST, _ROW_COST)) -> WindowList:
    """Lists the windows of all faces.

    Args:
        across: [N] float32, windows side by side, 0 where a face is left out.
        rows: [N] float32, rows of the box of each face.
        cost: time of a pair and of a row of a window, in any unit.

    Returns:
        WindowList. The height of a window is the one that a sample of the faces
        would find fastest.
    """
    count = tf.shape(across)[0]
    sample = tf.range(1024) * tf.maximum(count // 1024, 1) % tf.maximum(count, 1)
    heights = tf.constant(_HEIGHTS, tf.float32)[:, tf.newaxis]
    padded = tf.pad(tf.stack([across, rows], 1), [[0, 1], [0, 0]])  # also no faces
    width, tall = tf.unstack(tf.gather(padded, sample), axis=1)
    pairs = tf.reduce_sum(width * tf.math.ceil(tall / heights), 1)
    time = pairs * (cost[0] + cost[1] * heights[:, 0])
    height = tf.gather(_HEIGHTS, tf.argmin(time, output_type=tf.int32))

    windows = tf.cast(
        across * tf.math.ceil(rows / tf.cast(height, tf.float32)), tf.int32
    )
    owns = windows > 0
    # One running sum for two: slots in the high word, windows in the low one.
    step = tf.where(owns, tf.cast(windows, tf.int64) + (1 << 32), 0)
    running = tf.cumsum(step)
    last = low_word(running)
    slot = tf.where(owns, high_word(running) - 1, count + SIZE)[:, tf.newaxis]
    face = tf.zeros([count + SIZE], tf.int32)
    first = tf.fill([count + SIZE], _NEVER)
    return WindowList(
        tf.tensor_scatter_nd_update(face, slot, tf.range(count)),
        tf.tensor_scatter_nd_update(first, slot, last - windows),
        tf.reduce_sum(windows),
        height,
    )


def expand(windows: WindowList, start: tf.Tensor, slot: tf.Tensor) -> Pairs:
    """Expands the windows start .. start + SIZE - 1.

    Args:
        windows: WindowList.
        start: scalar int32.
        slot: scalar int32, slot that owns window `start`.

    Returns:
        Pairs.
    """
    first = tf.slice(windows.first, [slot], [SIZE])
    face = tf.slice(windows.face, [slot], [SIZE])
    offset = first - start
    begins = tf.where((offset > 0) & (offset < SIZE), offset, SIZE)[:, tf.newaxis]
    marks = tf.zeros([SIZE], tf.int32)
    marks = tf.tensor_scatter_nd_add(marks, begins, tf.ones([SIZE], tf.int32))
    owner = tf.cumsum(marks)
    strided = tf.reshape(tf.range(SIZE), [_STRIDE, SIZE // _STRIDE])
    strided = tf.reshape(tf.transpose(strided), [-1])
    mine = tf.gather(owner, strided)
    window = strided + start
    after = slot + owner[-1]
    fresh = tf.gather(windows.first, after + 1) == start + SIZE
    return Pairs(
        tf.gather(face, mine),
        tf.cast(window - tf.gather(first, mine), tf.float32),
        window < windows.total,
        strided,
        tf.where(fresh, after + 1, after),
    )


def each_pass(windows: WindowList, body, *state):
    """Runs a body for every pass of the list.

    Args:
        windows: WindowList.
        body: takes Pairs and the state, returns the state as a tuple.
        *state: tensors carried from pass to pass.

    Returns:
        The last state, a tuple.
    """

    def one_pass(start, slot, *state):
        pairs = expand(windows, start, slot)
        return start + SIZE, pairs.next_slot, *body(pairs, *state)

    return tf.while_loop(
        lambda start, *_: start < windows.total,
        one_pass,
        (tf.constant(0), tf.constant(0), *state),
        parallel_iterations=1,
    )[2:]
