"""Running averages of the weights, for evaluation and export."""

import contextlib
from collections.abc import Iterator

import keras


def average(optimizer: keras.optimizers.Optimizer, momentum: float) -> None:
    """Makes an optimizer keep a running average of the weights that it trains.

    Args:
        optimizer: not built yet.
        momentum: share of the old average that a step keeps, in (0, 1).
    """
    optimizer.use_ema, optimizer.ema_momentum = True, momentum
    optimizer.ema_overwrite_frequency = None


@contextlib.contextmanager
def averaged(
    model: keras.Model, optimizer: keras.optimizers.Optimizer
) -> Iterator[None]:
    """Gives the model its averaged weights for the time of the `with` block.

    Nothing happens where the optimizer keeps no average, or has made no step. Moving
    statistics of normalisations are averages already and stay.

    Args:
        model: built model.
        optimizer: its optimizer, or one that wraps it.
    """
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    if not inner.use_ema or not inner.built or int(inner.iterations) == 0:
        yield
        return
    means = inner._model_variables_moving_average
    pairs = list(zip(inner._trainable_variables, means, strict=True))
    kept = [variable.numpy() for variable, _ in pairs]
    for variable, mean in pairs:
        variable.assign(mean.numpy())
    try:
        yield
    finally:
        for (variable, _), value in zip(pairs, kept, strict=True):
            variable.assign(value)
