"""The mesh renderers behind one name, set up to compare unlit pictures."""

from tfrender import checks
from tfrender.layers.corner_aligned_renderer import CornerAlignedRenderer
from tfrender.layers.mesh_layer import MeshLayer
from tfrender.layers.mesh_renderer import MeshRenderer
from tfrender.layers.neural_mesh_renderer import NeuralMeshRenderer
from tfrender.layers.soft_rasterizer import SoftRasterizer

RENDERERS = ("neural", "published", "soft", "antialiased")


def training_renderer(
    name: str,
    image_size: int,
    *,
    supersampling: int = 2,
    sigma: float = 1e-4,
) -> MeshLayer:
    """A renderer for silhouettes and colours in a loss.

    Args:
        name: "neural", the approximate gradient of Kato et al. (CVPR 2018), mean over
            the samples; "published", the same with the anti-aliasing of the published
            reconstruction code; "soft", the Soft Rasterizer of Liu et al. (ICCV 2019);
            "antialiased", sharp pictures with exact gradients along the outlines.
        image_size: side of the picture.
        supersampling: samples along the side of a pixel; the soft renderer takes one.
        sigma: of the soft renderer.

    Returns:
        The layer, without lights, on black.

    Raises:
        ValueError: unknown name.
    """
    checks.one_of("renderer", name, RENDERERS)
    size = (image_size, image_size)
    if name == "soft":
        return SoftRasterizer(size, {"sigma": sigma}, lights=None)
    if name == "antialiased":
        return MeshRenderer(size, supersampling)
    kind = NeuralMeshRenderer if name == "neural" else CornerAlignedRenderer
    return kind(size, supersampling, lights=None, eps=1e-3)
