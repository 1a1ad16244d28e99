"""Keras layers, thin over `tfrender.ops`."""

from tfrender.layers.convolution import ChannelPReLU, ConvUnit, ResidualBlock
from tfrender.layers.corner_aligned_renderer import CornerAlignedRenderer
from tfrender.layers.implicit_surface_renderer import ImplicitSurfaceRenderer
from tfrender.layers.mesh_layer import MeshLayer
from tfrender.layers.mesh_renderer import MeshRenderer
from tfrender.layers.neural_mesh_renderer import NeuralMeshRenderer
from tfrender.layers.occupancy_layers import RayProduct, VoxelSplat
from tfrender.layers.phong_shader import PhongShader
from tfrender.layers.point_layers import (
    PairLoss,
    PointProjector,
    PoseEnsemble,
    ProjectedChamfer,
    RingSampler,
    SmoothSilhouette,
    UnaryLoss,
)
from tfrender.layers.projection_unit import ProjectionUnit
from tfrender.layers.soft_rasterizer import SoftRasterizer
from tfrender.layers.training_renderers import training_renderer
from tfrender.layers.volume_resampler import VolumeResampler

__all__ = [
    "ChannelPReLU",
    "ConvUnit",
    "CornerAlignedRenderer",
    "ImplicitSurfaceRenderer",
    "MeshLayer",
    "MeshRenderer",
    "NeuralMeshRenderer",
    "PairLoss",
    "PhongShader",
    "PointProjector",
    "PoseEnsemble",
    "ProjectedChamfer",
    "ProjectionUnit",
    "RayProduct",
    "ResidualBlock",
    "RingSampler",
    "SmoothSilhouette",
    "SoftRasterizer",
    "UnaryLoss",
    "VolumeResampler",
    "VoxelSplat",
    "training_renderer",
]
