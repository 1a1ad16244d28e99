"""Rasterise, interpolate, shade, blend: the mesh renderer with exact gradients."""

import keras
import tensorflow as tf

from tfrender import cameras, checks
from tfrender.geometry.normals import vertex_normals
from tfrender.layers.mesh_layer import MeshLayer
from tfrender.ops.antialias import antialias, antialias_silhouette
from tfrender.ops.mesh_surface import shows_front
from tfrender.ops.opposite_corners import opposite_corners
from tfrender.ops.rasterize import rasterize

NORMALS = ("flat", "smooth")


@keras.saving.register_keras_serializable(package="tfrender")
class MeshRenderer(MeshLayer):
    """Anti-aliased pictures with exact gradients inside and at silhouettes.

    Laine et al., "Modular primitives for high-performance differentiable rendering",
    2020. Colours, lights, depth and normals have their exact gradient at every pixel,
    with the visible face a constant; the blend of the pixels along silhouettes gives
    colour and coverage a gradient in the outline (`ops.antialias`).

    Example:
        >>> layer = MeshRenderer(image_size=(64, 96), outputs=("rgb", "normal"))
        >>> camera = cameras.Camera(
        ...     cameras.orbit(20.0, 30.0, 2.5), cameras.perspective(45.0, 1.5)
        ... )
        >>> layer(tf.zeros([1, 4, 3]), np.zeros([2, 3], int), camera)["normal"].shape
        TensorShape([1, 64, 96, 3])

    Args:
        image_size: see `MeshLayer`.
        antialias: True blends the pixels along silhouettes in "rgb" and "alpha"; False
            leaves them hard, without a gradient in the outline.
        normals: "flat", or "smooth" for the area-weighted normals of vertices, where a
            call gives none.
        texture_filtering: see `MeshLayer`.
        **kwargs: the other settings of `MeshLayer`.

    Call arguments and output: see `MeshLayer`. Near plane and projection are those of
    the camera. Vertices that only seams of a texture part should be one vertex, with
    `uv` per corner: the blend takes an edge that no two faces share for an outline.
    """

    def __init__(
        self,
        image_size=(256, 256),
        antialias=True,
        normals="flat",
        texture_filtering="mipmap",
        **kwargs,
    ):
        super().__init__(image_size, texture_filtering=texture_filtering, **kwargs)
        checks.one_of("normals", normals, NORMALS)
        self.antialias = bool(antialias)
        self.normals = normals

    def render(self, scene, wanted):
        """See `MeshLayer.render`."""
        vertices, faces, camera = scene[:3]
        clip = cameras.project_to_clip(camera, vertices)  # [B, V, 4]
        shown = faces
        if not self.double_sided:
            front = shows_front(camera, scene.corners())
            shown = tf.where(front[..., tf.newaxis], faces, -1)
        fragments = rasterize(
            clip,
            shown,
            self.raster_size,
            vertex_depth=cameras.view_depth(camera, vertices),
        )
        if scene.normals is None and self.normals == "smooth":
            scene = scene._replace(normals=vertex_normals(vertices, faces))
        color, normal = self.surface(scene, fragments, wanted)
        pictures = {"normal": normal}
        if color is not None:
            pictures["rgb"] = self.on_background(color, fragments.mask)
        if "alpha" in wanted:
            alpha = tf.cast(fragments.mask, tf.float32)
            pictures["alpha"] = alpha[..., tf.newaxis]
        if self.antialias:
            pictures.update(self._blended(pictures, fragments, clip, faces))
        return fragments, pictures

    def _blended(self, pictures, fragments, clip, faces):
        """Blends "rgb" and "alpha", as far as they are there."""
        names = [name for name in ("rgb", "alpha") if name in pictures]
        if not names:
            return {}
        surface = (fragments, clip, faces)
        settings = {"opposite": opposite_corners(faces)}
        if names == ["alpha"]:
            alpha = antialias_silhouette(*surface, **settings)
            return {"alpha": alpha[..., tf.newaxis]}
        # Both in one pass: the edges are found once.
        image = tf.concat([pictures[name] for name in names], axis=-1)
        image = antialias(image, *surface, **settings)
        channels = pictures["rgb"].shape[-1]
        blended = {"rgb": image[..., :channels], "alpha": image[..., channels:]}
        return {name: blended[name] for name in names}

    def get_config(self):
        """Settings of the layer."""
        return {
            **super().get_config(),
            "antialias": self.antialias,
            "normals": self.normals,
        }
