"""Expands lists of unequal length a pass at a time: who owns item number i?"""

import tensorflow as tf


def pass_size(remaining, limit):
    """Number of items of the next pass.

    Args:
        remaining: scalar int64, items that are left.
        limit: (most items in a pass, is that number the size of every pass).

    Returns:
        An int in the second case, else a scalar int32.
    """
    most, static = limit
    return most if static else tf.cast(tf.minimum(remaining, most), tf.int32)


def owners(first, start, total, count):
    """Finds the owner of each of the items start .. start + count - 1.

    Args:
        first: [N] int64, number of the first item of each owner, ascending.
        start: scalar int64.
        total: scalar int64, number of items; those beyond have no owner.
        count: number of items in this pass.

    Returns:
        owner: [count] int32, -1 beyond the last item.
        rank: [count] int32, number of the item within its owner.
    """
    behind = tf.clip_by_value(first - start, 0, tf.cast(count, tf.int64))
    behind = tf.cast(behind, tf.int32)
    starts = tf.math.unsorted_segment_sum(
        tf.ones_like(behind), tf.where(behind < count, behind, -1), count
    )
    owner = tf.cumsum(starts) - 1  # of owners with one start the last has the items
    item = tf.range(tf.cast(count, tf.int64)) + start
    rank = tf.cast(item - tf.gather(first, owner), tf.int32)
    alive = item < total
    return tf.where(alive, owner, -1), tf.where(alive, rank, 0)
