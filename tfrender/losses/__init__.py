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
from tfrender.losses.point_silhouettes import (
    POINT_LOSS_PRESETS,
    PointLossSettings,
    SilhouetteGrids,
    frame_loss,
    inside_distance,
    pair_loss,
    point_cloud_losses,
    point_silhouette_losses,
    projected_chamfer_loss,
    silhouette_grids,
    spread_loss,
    surface_loss,
    unary_loss,
)
from tfrender.losses.points import ChamferDistance, chamfer_loss
from tfrender.losses.pose_ensemble import (
    aligned_points_loss,
    best_candidates,
    student_loss,
)
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
    "POINT_LOSS_PRESETS",
    "ChamferDistance",
    "CrossEntropySum",
    "Draws",
    "PointLossSettings",
    "SilhouetteGrids",
    "SilhouetteIoU",
    "Views",
    "VolumetricSettings",
    "Weights",
    "aligned_points_loss",
    "best_candidates",
    "chamfer_loss",
    "compare_views",
    "cotangent_laplacian_loss",
    "covered_total_variation",
    "cross_entropy_sum",
    "draw",
    "edge_length_loss",
    "edge_length_variance",
    "flatten_loss",
    "frame_loss",
    "inside_distance",
    "masked_gram",
    "normal_consistency_loss",
    "pair_loss",
    "point_cloud_losses",
    "point_silhouette_losses",
    "projected_chamfer_loss",
    "silhouette_grids",
    "silhouette_iou_loss",
    "spread_loss",
    "squared_error",
    "student_loss",
    "style_loss",
    "surface_loss",
    "two_view_losses",
    "unary_loss",
    "uniform_laplacian_loss",
    "volumetric_losses",
]
