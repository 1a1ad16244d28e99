"""Pairs of unlike neighbour pixels: a compact list that is visited in passes.

A pair is a pixel and its right or lower neighbour. One bit a pair says whether it is
on the list, so that the work per pixel is one comparison; all that follows is per word
of 32 bits, or per pair on the list.
"""

from typing import NamedTuple

import tensorflow as tf

_LANES = 32  # pairs whose bits share one word
_MOST_PAIRS = 1 << 16  # in one pass of the dynamic form


class Pairs(NamedTuple):
    """Which neighbours differ: one bit a pair, first all to the right, then below.

    Attributes:
        bits: [N] int32, flags of 32 pairs each.
        last: [N] int32, number of pairs up to and with this word.
        first: [N] int32, number of pairs before it.
    """

    bits: tf.Tensor
    last: tf.Tensor
    first: tf.Tensor


def unlike_pairs(label) -> Pairs:
    """Marks the pairs whose two pixels bear different labels.

    Args:
        label: [B, H, W] integers or bool.

    Returns:
        Pairs. Their number is `last[-1]`.
    """
    right = label[:, :, 1:] != label[:, :, :-1]
    below = label[:, 1:] != label[:, :-1]
    words = [
        _packed(tf.pad(right, [[0, 0], [0, 0], [0, 1]])),
        _packed(tf.pad(below, [[0, 0], [0, 1], [0, 0]])),
    ]
    return numbered(tf.concat(words, axis=0))


def numbered(bits) -> Pairs:
    """Numbers the pairs of words [N] int32 of 32 flags each."""
    count = _ones(bits)
    last = tf.cumsum(count)
    return Pairs(bits, last, last - count)


def visit(pairs: Pairs, capacity, body, *state) -> tuple:
    """Runs `body(word, bit, alive, *state)` over all pairs, some in each pass.

    Args:
        pairs: Pairs.
        capacity: pairs of one pass; None takes as many as there are, up to a limit.
        body: called with the word and the bit [K] int32 of K pairs, alive [K] bool
            (False beyond the last pair) and the state; returns the new state, a tuple.
        *state: tensors.

    Returns:
        The last state, a tuple.
    """
    count = tf.concat([tf.zeros([1], tf.int32), pairs.last], axis=0)[-1]
    size = tf.minimum(count, _MOST_PAIRS) if capacity is None else capacity

    def one_pass(start, *state):
        return (start + size, *body(*_pair(pairs, start, size), *state))

    _, *state = tf.while_loop(
        lambda start, *_: start < count,
        one_pass,
        (tf.constant(0), *state),
        parallel_iterations=1,
    )
    return tuple(state)


def flags_of(bit, keep):
    """Words [K] int32 with the given bit set where `keep`, else 0."""
    return tf.where(keep, tf.bitwise.left_shift(1, bit), 0)


def pixels_of(pairs: Pairs, word, bit, alive, width: int):
    """Flat pixels of pairs of an image.

    Args:
        pairs: Pairs.
        word: [K] int32.
        bit: [K] int32.
        alive: [K] bool.
        width: of the image.

    Returns:
        one: [K] int32 the left or upper pixel, 0 where not alive.
        two: [K] int32 the other pixel, likewise.
        vertical: [K] bool, the other pixel lies below.
    """
    half = tf.size(pairs.bits) // 2
    vertical = word >= half
    one = (word - tf.where(vertical, half, 0)) * _LANES + bit
    one = tf.where(alive, one, 0)
    return one, tf.where(alive, one + tf.where(vertical, width, 1), 0), vertical


def _packed(flags):
    """Packs flags [B, H, W] bool into [ceil(B * H * W / 32)] int32 words."""
    flags = tf.reshape(tf.cast(flags, tf.int32), [-1])
    flags = tf.pad(flags, [[0, -tf.size(flags) % _LANES]])
    place = tf.constant([1 << i if i < 31 else -(1 << 31) for i in range(_LANES)])
    return tf.reduce_sum(tf.reshape(flags, [-1, _LANES]) * place, axis=-1)


def _ones(bits):
    """Number of set bits of int32 words."""
    return tf.cast(tf.raw_ops.PopulationCount(x=bits), tf.int32)


def _pair(pairs: Pairs, start, size):
    """Finds the pairs number start .. start + size - 1.

    Returns:
        word [size] int32, bit [size] int32 and alive [size] bool, False beyond the
        last pair.
    """
    begin = tf.clip_by_value(pairs.first - start, 0, size)
    # Owner of a pair = number of words that start at or before it, minus one.
    starts = tf.math.unsorted_segment_sum(
        tf.ones_like(begin), tf.where(begin < size, begin, -1), size
    )
    word = tf.cumsum(starts) - 1
    rank = tf.range(size) + start - tf.gather(pairs.first, word)
    left = tf.gather(pairs.bits, word)
    alive = tf.range(size) + start < pairs.last[-1]

    def halve(half, rank, left, bit):
        below = _ones(tf.bitwise.bitwise_and(left, half_mask(half)))
        upper = rank >= below
        rank = tf.where(upper, rank - below, rank)
        left = tf.where(upper, tf.bitwise.right_shift(left, half), left)
        return half // 2, rank, left, tf.where(upper, bit + half, bit)

    def half_mask(half):
        return tf.bitwise.left_shift(1, half) - 1

    *_, bit = tf.while_loop(
        lambda half, *_: half > 0,
        halve,
        (tf.constant(_LANES // 2), rank, left, tf.zeros_like(rank)),
        parallel_iterations=1,
    )
    return word, bit, alive
