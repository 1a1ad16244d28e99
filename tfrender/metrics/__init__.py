"""Metrics, one value per example."""

from tfrender.metrics.images import (
    absolute_error,
    foreground,
    normal_angle,
    picture_scores,
    psnr,
    silhouette_iou,
)
from tfrender.metrics.meshes import (
    chamfer_squared,
    chamfer_unsquared,
    f_score,
    hausdorff,
    normal_consistency,
    point_scores,
    voxel_iou,
)
from tfrender.metrics.points import precision_coverage, summarize_views

__all__ = [
    "absolute_error",
    "chamfer_squared",
    "chamfer_unsquared",
    "f_score",
    "foreground",
    "hausdorff",
    "normal_angle",
    "normal_consistency",
    "picture_scores",
    "point_scores",
    "precision_coverage",
    "psnr",
    "silhouette_iou",
    "summarize_views",
    "voxel_iou",
]
