"""Export: SavedModels with guards, LiteRT files, TF Serving files, model cards."""

from tfrender.export import card, inspect, lite, rendernet, saved_model, serving

__all__ = ["card", "inspect", "lite", "rendernet", "saved_model", "serving"]
