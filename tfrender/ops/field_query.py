"""An implicit shape asked at flat lists of points, whatever network defines it."""

import tensorflow as tf


class FieldQuery:
    """The interface: points of several items in one list.

    `item` [M] int32 names for each point the item of the batch (its code). Subclasses
    override `logits`; a network that can do better overrides the others too.
    """

    def logits(self, points: tf.Tensor, item: tf.Tensor) -> tf.Tensor:
        """Logits of occupancy and colours.

        Args:
            points: [M, 3].
            item: [M] int32.

        Returns:
            [M, 1 + K].
        """
        raise NotImplementedError

    def occupancy(self, points: tf.Tensor, item: tf.Tensor) -> tf.Tensor:
        """Logit of occupancy [M]; arguments as for `logits`."""
        return self.logits(points, item)[:, 0]

    def occupancy_and_gradient(
        self, points: tf.Tensor, item: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Logit of occupancy [M] and its gradient [M, 3] with respect to the points.

        Gradient: exact for both, to the network; second derivatives of the network
        with respect to the points are what a nested tape gives.
        """
        with tf.GradientTape() as tape:
            tape.watch(points)
            value = self.occupancy(points, item)
        return value, tape.gradient(value, points)


class CallableQuery(FieldQuery):
    """Any Keras model or function field(points [B, N, 3], code) -> [B, N, 1 + K].

    Each point becomes an item of its own with its own copy of the code.
    """

    def __init__(self, field, code=None):
        """Keeps the two; `code` is [B, ...], [1, ...] or None."""
        self._field, self._code = field, code

    def logits(self, points, item):
        """See `FieldQuery`."""
        if self._code is None:
            return self._field(points[tf.newaxis])[0]
        if self._code.shape[0] == 1:  # shared by all items
            item = tf.zeros_like(item)
        return self._field(points[:, tf.newaxis], tf.gather(self._code, item))[:, 0]


def query(field, code=None) -> FieldQuery:
    """Makes a field ready for flat lists of points.

    Args:
        field: a model with a method `query(code)`, as `models.OccupancyField` has it,
            or any callable field(points [B, N, 3]) or field(points, code [B, ...]) ->
            [B, N, 1 + K] logits of occupancy (positive inside) and colours.
        code: [B, ...] or None.

    Returns:
        FieldQuery.
    """
    if hasattr(field, "query"):
        return field.query(code)
    return CallableQuery(field, code)
