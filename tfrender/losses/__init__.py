"""Losses, one value per example."""

from tfrender.losses.images import CrossEntropySum, cross_entropy_sum, squared_error
from tfrender.losses.meshes import (
    cotangent_laplacian_loss,
    edge_length_loss,
    flatten_loss,
    normal_consistency_loss,
    uniform_laplacian_loss,
)
from tfrender.losses.multi_view import two_view_losses
from tfrender.losses.points import ChamferDistance, chamfer_loss
from tfrender.losses.silhouettes import SilhouetteIoU, silhouette_iou_loss
from tfrender.losses.style import (
    covered_total_variation,
    edge_length_variance,
    masked_gram,
    style_loss,
)
from tfrender.losses.view_measures import compare_views
from tfrender.losses.volumetric import (
    Draws,
    Views,
    VolumetricSettings,
    Weights,
    draw,
    volumetric_losses,
)

__all__ = [
    "ChamferDistance",
    "CrossEntropySum",
    "Draws",
    "SilhouetteIoU",
    "Views",
    "VolumetricSettings",
    "Weights",
    "chamfer_loss",
    "compare_views",
    "cotangent_laplacian_loss",
    "covered_total_variation",
    "cross_entropy_sum",
    "draw",
    "edge_length_loss",
    "edge_length_variance",
    "flatten_loss",
    "masked_gram",
    "normal_consistency_loss",
    "silhouette_iou_loss",
    "squared_error",
    "style_loss",
    "two_view_losses",
    "uniform_laplacian_loss",
    "volumetric_losses",
]
