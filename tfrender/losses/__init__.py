"""Losses, one value per example."""

from tfrender.losses.images import CrossEntropySum, cross_entropy_sum, squared_error

__all__ = ["CrossEntropySum", "cross_entropy_sum", "squared_error"]
