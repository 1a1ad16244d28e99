"""Argument checks for the public border: one clear line, before any tensor work.

Checks read static shapes while tracing, so an exported graph holds arithmetic only.
"""

import math

import numpy as np
import tensorflow as tf


def dims(name: str, value, *expected: int | None) -> None:
    """Checks that the last axes of a tensor have the expected sizes.

    Args:
        name: argument name for the message.
        value: tensor or array [..., *expected].
        *expected: size of each trailing axis; None accepts any size.

    Raises:
        ValueError: naming the argument, the expected and the found shape.
    """
    shape = (
        value.shape if hasattr(value, "shape") else tf.convert_to_tensor(value).shape
    )
    shape = tf.TensorShape(shape)
    if shape.rank is None:
        return
    tail = shape.as_list()[shape.rank - len(expected) :] if expected else []
    fits = shape.rank >= len(expected) and all(
        want is None or have is None or want == have
        for want, have in zip(expected, tail, strict=True)
    )
    if not fits:
        raise ValueError(
            f"`{name}` must end in {list(expected)}; got shape {shape.as_list()}."
        )


def rank(name: str, value, expected: int) -> None:
    """Checks the number of axes of a tensor.

    Args:
        name: argument name for the message.
        value: tensor or array of any shape.
        expected: number of axes.

    Raises:
        ValueError: naming the argument, the expected and the found rank.
    """
    shape = tf.TensorShape(value.shape)
    if shape.rank is not None and shape.rank != expected:
        raise ValueError(
            f"`{name}` must have {expected} axes; got shape {shape.as_list()}."
        )


def between(name: str, value: float, low: float, high: float) -> None:
    """Checks that a setting is a finite number in [low, high].

    Args:
        name: argument name for the message.
        value: number.
        low: smallest accepted value.
        high: largest accepted value.

    Raises:
        ValueError: naming the argument, the range and the value found.
    """
    if not (math.isfinite(value) and low <= value <= high):
        raise ValueError(f"`{name}` must lie in [{low}, {high}]; got {value}.")


def image_size(value) -> tuple[int, int]:
    """Checks the size of a picture.

    Args:
        value: (height, width).

    Returns:
        The two as ints.

    Raises:
        ValueError: unless there are two, each at least 1.
    """
    if np.shape(value) != (2,) or min(value) < 1:
        raise ValueError(
            f"`image_size` must be (height, width), each >= 1; got {value}."
        )
    return int(value[0]), int(value[1])


def one_of(name: str, value, choices) -> None:
    """Checks that a setting is one of a few words.

    Args:
        name: argument name for the message.
        value: value found.
        choices: accepted values.

    Raises:
        ValueError: naming the argument, the choices and the value found.
    """
    if value not in choices:
        raise ValueError(f"`{name}` must be one of {list(choices)}; got {value!r}.")


def keys(name: str, value, expected) -> None:
    """Checks that a mapping of settings has exactly the expected keys.

    Args:
        name: argument name for the message.
        value: mapping.
        expected: keys that it must have.

    Raises:
        ValueError: naming the argument, the keys that miss and those not known.
    """
    missing, unknown = set(expected) - set(value), set(value) - set(expected)
    if missing or unknown:
        raise ValueError(
            f"`{name}` must have the keys {sorted(expected)}; missing "
            f"{sorted(missing)}, unknown {sorted(unknown)}."
        )
