"""Five published differentiable renderers on stock TensorFlow ops."""

from tfrender import cameras, export, geometry, io, layers, losses, metrics, models, ops

__version__ = "0.1.0"

__all__ = [
    "cameras",
    "export",
    "geometry",
    "io",
    "layers",
    "losses",
    "metrics",
    "models",
    "ops",
]
