"""How a training run stops on a fault that the user can understand."""


class TrainingError(ValueError):
    """A run cannot go on; the message is one line that says why and what to do."""
