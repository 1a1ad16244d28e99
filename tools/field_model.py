"""An exported occupancy field, ready to be asked at points by its code."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tfrender.export import saved_model


class FieldModel:
    """The signatures `field` and `encode` of a SavedModel.

    Attributes:
        conditional: whether it needs a picture of the object.
        has_colors: whether it knows colours.
        input_size: pixels S a side of its pictures; 0 where it needs none.
    """

    def __init__(self, folder: str):
        """Loads a model.

        Args:
            folder: with saved_model.pb.

        Raises:
            FileNotFoundError, FormatError: no such model, or a broken one.
            ValueError: a model of another kind.
        """
        self._field = saved_model.load_signature(folder, "field")
        self.conditional = "code" in self._field.inputs
        self.has_colors = "color" in self._field.outputs
        if "points" not in self._field.inputs or "occupancy" not in self._field.outputs:
            raise ValueError(
                f"{folder}: expected a signature `field` of `points` with `occupancy`; "
                f"got {sorted(self._field.inputs)}, {sorted(self._field.outputs)}."
            )
        self.input_size = 0
        if self.conditional:
            self._encode = saved_model.load_signature(folder, "encode")
            self.input_size = int(self._encode.inputs["image"].shape[1] or 0)
            if not self.input_size:
                raise ValueError(
                    f"{folder}: `encode` must take images of a fixed size."
                )

    def code(self, image: np.ndarray | None) -> np.ndarray | None:
        """Encodes a picture.

        Args:
            image: [S, S, 3] in [0, 1]; None for a model that needs none.

        Returns:
            [1, C], or None.
        """
        if not self.conditional:
            return None
        return self._encode(image=image[np.newaxis])["code"]

    def occupancy(self, code) -> Callable[[np.ndarray], np.ndarray]:
        """Function of points: [N, 3] -> [N] logits, above 0 inside."""
        return lambda points: self._ask(points, code)["occupancy"][0]

    def color(self, code) -> Callable[[np.ndarray], np.ndarray]:
        """Function of points: [N, 3] -> [N, 3] colours in [0, 1]."""
        return lambda points: self._ask(points, code)["color"][0]

    def graph(self, code) -> Callable[[tf.Tensor], tf.Tensor]:
        """Like `occupancy`, of tensors, for use under a tape."""
        more = {} if code is None else {"code": tf.constant(code)}

        def logits(points):
            found = self._field.graph(points=points[tf.newaxis], **more)
            return found["occupancy"][0]

        return logits

    def _ask(self, points, code):
        more = {} if code is None else {"code": code}
        return self._field(points=points[np.newaxis], **more)
