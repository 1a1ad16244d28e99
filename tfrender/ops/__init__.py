"""Differentiable primitives: tensors in, tensors out, stock TensorFlow ops only."""

from tfrender.ops.image_shading import render_styles
from tfrender.ops.interpolate import interpolate, interpolate_corners
from tfrender.ops.phong import (
    composite_on_white,
    foreground_mask,
    light_direction,
    phong_shading,
)
from tfrender.ops.rasterize import Fragments, rasterize, rasterize_mesh
from tfrender.ops.resample_volume import resample_volume

__all__ = [
    "Fragments",
    "composite_on_white",
    "foreground_mask",
    "interpolate",
    "interpolate_corners",
    "light_direction",
    "phong_shading",
    "rasterize",
    "rasterize_mesh",
    "render_styles",
    "resample_volume",
]
