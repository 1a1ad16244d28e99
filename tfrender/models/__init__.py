"""Keras models of the systems, with named presets."""

from tfrender.models.mesh_reconstructor import MeshReconstructor
from tfrender.models.rendernet import RenderNet, shader_network
from tfrender.models.shape_autoencoder import shape_decoder
from tfrender.models.textured_rendernet import (
    TexturedRenderNet,
    texture_decoder,
    two_headed_network,
)

__all__ = [
    "MeshReconstructor",
    "RenderNet",
    "TexturedRenderNet",
    "shader_network",
    "shape_decoder",
    "texture_decoder",
    "two_headed_network",
]
