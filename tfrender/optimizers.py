"""The optimizer of the Neural 3D Mesh Renderer's own systems."""

from collections.abc import Mapping

import keras
from keras import ops

from tfrender import checks


@keras.saving.register_keras_serializable(package="tfrender")
class SkipZeroAdam(keras.optimizers.Adam):
    """Adam that leaves elements without a gradient alone, with a rate per variable.

    A vertex that no view of a batch shows has a gradient of exactly 0. Plain Adam would
    go on moving it by its momentum and let its moments fade; here the element and its
    moments stay as they are, as in the published renderer. Bias is corrected by the
    number of steps of all variables, also for elements that were skipped.

    Args:
        learning_rate: number or Keras schedule.
        beta_1: decay of the first moment, in [0, 1).
        beta_2: decay of the second moment, in [0, 1).
        epsilon: added to the root of the second moment.
        multipliers: word -> factor of the learning rate of the variables with that word
            in their path; the first word that fits counts. None is 1 for all.
        **kwargs: see `keras.optimizers.Adam`, without `amsgrad`.

    Raises:
        ValueError: a factor that is negative or not finite.
    """

    def __init__(
        self,
        learning_rate=1e-3,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-8,
        multipliers: Mapping[str, float] | None = None,
        name="skip_zero_adam",
        **kwargs,
    ):
        super().__init__(
            learning_rate=learning_rate,
            beta_1=beta_1,
            beta_2=beta_2,
            epsilon=epsilon,
            name=name,
            **kwargs,
        )
        for word, factor in (multipliers or {}).items():
            checks.between(f"multipliers[{word!r}]", factor, 0.0, 1e6)
        self.multipliers = dict(multipliers or {})
        self._factors: list[float] = []

    def build(self, variables):
        """Makes the moments; notes the factor of each variable."""
        if not self.built:
            self._factors = [self.multiplier(variable.path) for variable in variables]
        super().build(variables)

    def update_step(self, gradient, variable, learning_rate):
        """One update of one variable; called by Keras."""
        index = self._get_variable_index(variable)
        rate = ops.cast(learning_rate, variable.dtype) * self._factors[index]
        gradient = ops.cast(gradient, variable.dtype)
        step = ops.cast(self.iterations + 1, variable.dtype)
        one = ops.cast(1.0, variable.dtype)
        rate *= ops.sqrt(one - ops.power(ops.cast(self.beta_2, variable.dtype), step))
        rate /= one - ops.power(ops.cast(self.beta_1, variable.dtype), step)
        m, v = self._momentums[index], self._velocities[index]
        moved = ops.not_equal(gradient, 0.0)
        new_m = m + (gradient - m) * (1.0 - self.beta_1)
        new_v = v + (ops.square(gradient) - v) * (1.0 - self.beta_2)
        change = rate * new_m / (ops.sqrt(new_v) + self.epsilon)
        self.assign(m, ops.where(moved, new_m, m))
        self.assign(v, ops.where(moved, new_v, v))
        self.assign_sub(variable, ops.where(moved, change, 0.0))

    def multiplier(self, path: str) -> float:
        """Factor of the learning rate of the variable of a path."""
        for word, factor in self.multipliers.items():
            if word in path:
                return factor
        return 1.0

    def get_config(self):
        """Settings of the optimizer."""
        return {**super().get_config(), "multipliers": dict(self.multipliers)}
