"""Learning-rate schedules that Keras does not have."""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="tfrender")
class Warmup(keras.optimizers.schedules.LearningRateSchedule):
    """Another schedule, reached in a straight line over the first steps.

    The first steps of Adam are as long as all others while its estimates are poor; a
    network without normalisation may not come back from them.

    Args:
        schedule: schedule to reach.
        steps: length of the way, at least 0.
    """

    def __init__(self, schedule, steps):
        super().__init__()
        if steps < 0:
            raise ValueError(f"`steps` must be at least 0; got {steps}.")
        self.schedule = schedule
        self.steps = steps

    def __call__(self, step):
        """Learning rate of update number `step`, 0 first."""
        rate = self.schedule(step)
        share = (tf.cast(step, tf.float32) + 1.0) / max(self.steps, 1)
        return rate * tf.minimum(share, 1.0)

    def get_config(self):
        """Settings of the schedule."""
        return {
            "schedule": keras.saving.serialize_keras_object(self.schedule),
            "steps": self.steps,
        }

    @classmethod
    def from_config(cls, config):
        """Builds the schedule from its settings."""
        schedule = keras.saving.deserialize_keras_object(config["schedule"])
        return cls(schedule, config["steps"])
