"""Keras models of the systems, with named presets."""

from tfrender.models.dvr import DVR
from tfrender.models.image_encoders import image_encoder
from tfrender.models.mesh_reconstructor import MeshReconstructor
from tfrender.models.occupancy_field import OccupancyField
from tfrender.models.point_cloud_reconstructor import PointCloudReconstructor
from tfrender.models.rendernet import RenderNet, shader_network
from tfrender.models.shape_autoencoder import shape_decoder
from tfrender.models.textured_rendernet import (
    TexturedRenderNet,
    texture_decoder,
    two_headed_network,
)

__all__ = [
    "DVR",
    "MeshReconstructor",
    "OccupancyField",
    "PointCloudReconstructor",
    "RenderNet",
    "TexturedRenderNet",
    "image_encoder",
    "shader_network",
    "shape_decoder",
    "texture_decoder",
    "two_headed_network",
]
