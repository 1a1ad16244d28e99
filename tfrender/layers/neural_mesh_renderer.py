"""The Neural 3D Mesh Renderer as a layer."""

import keras
import tensorflow as tf

from tfrender import checks
from tfrender.layers.lamps import PUBLISHED_LIGHTS
from tfrender.layers.mesh_layer import MeshLayer
from tfrender.ops.mesh_surface import (
    counterclockwise,
    face_values,
    from_inverse_linear,
    inverse_linear,
    is_orthographic,
    shows_front,
)
from tfrender.ops.neural_rasterize import (
    neural_images,
    neural_rasterize,
    project_faces,
)
from tfrender.ops.rasterize import Fragments
from tfrender.ops.triangle_normals import triangle_normals

# The original's, for colour pictures and for silhouettes and depth on their own.
_EPS_COLOR, _EPS_SHAPE = 1e-3, 1e-4


@keras.saving.register_keras_serializable(package="tfrender")
class NeuralMeshRenderer(MeshLayer):
    """Hard pictures with an approximate gradient in the vertices.

    Kato, Ushiku and Harada, "Neural 3D Mesh Renderer", CVPR 2018. Colour and coverage
    get the published gradient (`ops.neural_images`), depth and lights the exact one;
    the place at which a texture is read is a constant. `cameras.from_neural_renderer`
    makes the camera of the original, which mirrors the picture.

    Example:
        >>> layer = NeuralMeshRenderer(image_size=(64, 96))
        >>> camera = cameras.Camera(
        ...     cameras.orbit(20.0, 30.0, 2.732), cameras.perspective(60.0, 1.5)
        ... )
        >>> layer(tf.zeros([1, 4, 3]), np.zeros([2, 3], int), camera)["rgb"].shape
        TensorShape([1, 64, 96, 3])

    Args:
        image_size: see `MeshLayer`.
        supersampling: see `MeshLayer`; 2 is the "anti-aliasing" of the original.
        lights: see `MeshLayer`; published are ambient light of 0.5 and directional
            light of 0.5 from above. None shows colours as they are.
        near: depth in front of which nothing is seen, above 0.
        far: depth beyond which nothing is seen.
        eps: of `ops.edge_gradient`; None has the published values, 1e-3 where colour is
            asked for and 1e-4 otherwise.
        parity: True repeats what the original does and this layer mends: depth is `far`
            where empty and mixed with it at borders; normals of small faces are too
            short (they are divided by their length and 1e-5); texture cubes are read
            `eps` away from their far border; depth and textures of orthographic
            pictures are interpolated as if they were perspective ones; faces with a
            corner behind the eye are drawn as the triangle of the wrong projections of
            their corners, not left out; without `double_sided` the faces shown
            are those that run counter-clockwise in the picture, also where it is
            mirrored.
        **kwargs: the other settings of `MeshLayer`. `double_sided` is the original's
            "fill_back".

    Call arguments and output: see `MeshLayer`.
    """

    def __init__(
        self,
        image_size=(256, 256),
        supersampling=2,
        lights=PUBLISHED_LIGHTS,
        near=0.1,
        far=100.0,
        eps=None,
        parity=False,
        **kwargs,
    ):
        super().__init__(image_size, supersampling, lights=lights, **kwargs)
        checks.between("near", near, 1e-12, 1e12)
        checks.between("far", far, near, 1e30)
        if eps is not None:
            checks.between("eps", eps, 1e-12, 1e6)
        self.near, self.far, self.eps = near, far, eps
        self.parity = bool(parity)

    def render(self, scene, wanted):
        """See `MeshLayer.render`."""
        colored = "rgb" in wanted
        eps = self.eps or (_EPS_COLOR if colored else _EPS_SHAPE)
        corners, turned = self._sides(scene, self.project(scene))
        if not self.parity:
            corners = self._depths(scene, corners)
        # Coverage alone has no gradient but that of its edges.
        placed = tf.stop_gradient(corners) if set(wanted) == {"alpha"} else corners
        seen = neural_rasterize(placed, self.raster_size, near=self.near, far=self.far)
        fragments = self._fragments(scene, seen, turned)
        color, normal = self.surface(
            scene, fragments, wanted, cube_eps=eps if self.parity else 0.0
        )
        pictures = {"normal": normal}
        if self.parity:
            pictures["depth"] = fragments.depth[..., tf.newaxis]
        if colored or "alpha" in wanted:
            images = neural_images(seen, corners, color, self.background, eps=eps)
            pictures.update(rgb=images.rgb, alpha=images.alpha[..., tf.newaxis])
        return fragments, pictures

    def project(self, scene):
        """Corners of the faces in the picture, [B, F, 3, 3]: x, y and depth."""
        return project_faces(scene.camera, scene.vertices, scene.faces)

    def face_normals(self, scene):
        """See `MeshLayer`."""
        if not self.parity:
            return super().face_normals(scene)
        return triangle_normals(scene.corners(), eps=1e-5, rule="added")

    def _sides(self, scene, corners):
        """Turns or drops faces, as the rasteriser shows counter-clockwise ones alone.

        Args:
            scene: Scene.
            corners: [B, F, 3, 3] of `project_faces`.

        Returns:
            corners: [B, F, 3, 3].
            turned: [B, F] bool, True where the corners are reversed; None for nowhere.
        """
        if self.parity and not self.double_sided:
            return corners, None
        corners, turned = counterclockwise(corners)
        if not self.double_sided:
            front = shows_front(scene.camera, scene.corners())
            corners = tf.where(front[..., tf.newaxis, tf.newaxis], corners, 0.0)
        return corners, turned

    def _depths(self, scene, corners):
        """Mends the depths of the projected faces [B, F, 3, 3]."""
        parallel = is_orthographic(scene.camera)[:, tf.newaxis, tf.newaxis]
        z = corners[..., 2]
        bent = inverse_linear(z, self.near, self.far)
        # Corners behind the eye are projected through it: such a face is no triangle.
        whole = tf.reduce_all(z > 0.0, axis=-1, keepdims=True) | parallel
        z = tf.where(parallel, bent, z)[..., tf.newaxis]
        corners = tf.concat([corners[..., :2], z], axis=-1)
        return tf.where(whole[..., tf.newaxis], corners, 0.0)

    def _fragments(self, scene, seen, turned):
        """Fragments of the caller's faces, with corners in the caller's order."""
        barycentric, depth, empty = seen.barycentric, seen.depth, self.far
        if not self.parity:
            parallel = is_orthographic(scene.camera)[:, tf.newaxis, tf.newaxis]
            straight = from_inverse_linear(depth, self.near, self.far)
            depth, empty = tf.where(parallel, straight, depth), 0.0
            barycentric = tf.where(parallel[..., tf.newaxis], seen.weights, barycentric)
        if turned is not None:
            flags = tf.cast(turned, tf.float32)[..., tf.newaxis]
            turned = face_values(flags, seen.face_index) > 0.5
            barycentric = tf.where(turned, barycentric[..., ::-1], barycentric)
        depth = tf.where(seen.mask, depth, empty)
        return Fragments(seen.face_index, barycentric, depth, seen.mask)

    def get_config(self):
        """Settings of the layer."""
        return {
            **super().get_config(),
            "near": self.near,
            "far": self.far,
            "eps": self.eps,
            "parity": self.parity,
        }
