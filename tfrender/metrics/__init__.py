"""Metrics, one value per example."""

from tfrender.metrics.images import (
    absolute_error,
    foreground,
    normal_angle,
    picture_scores,
    psnr,
    silhouette_iou,
)

__all__ = [
    "absolute_error",
    "foreground",
    "normal_angle",
    "picture_scores",
    "psnr",
    "silhouette_iou",
]
