"""The Soft Rasterizer as a layer."""

import math
import numbers
import warnings
from collections.abc import Mapping

import keras
import tensorflow as tf

from tfrender import cameras, checks
from tfrender.geometry.normals import vertex_normals
from tfrender.layers.lamps import PUBLISHED_LIGHTS
from tfrender.layers.mesh_layer import MeshLayer
from tfrender.ops.interpolate import interpolate
from tfrender.ops.mesh_surface import (
    Appearance,
    shows_front,
    surface_color,
    surface_normals,
)
from tfrender.ops.neural_rasterize import project_faces
from tfrender.ops.rasterize import Fragments, rasterize
from tfrender.ops.rasterize_corners import batched_faces, face_corners
from tfrender.ops.soft_blend import (
    DEFAULT_BLEND,
    DEFAULT_MODES,
    SoftBlend,
    SoftModes,
    check_blend,
    check_depth_range,
    check_modes,
)
from tfrender.ops.soft_rasterize import soft_rasterize
from tfrender.ops.surface_texels import texel_centers, texels_from_atlas

# Pixels around it that an edge must reach for a shape to learn from them.
_NARROWEST = 0.5


@keras.saving.register_keras_serializable("tfrender")
class SoftRasterizer(MeshLayer):
    """Pictures in which edges and the order of depth are soft.

    Liu, Li, Chen and Li, "Soft Rasterizer", ICCV 2019. Every face adds to the pixels
    around it (`ops.soft_rasterize`), so that colour and coverage have a gradient in
    all faces, hidden ones too. "rgb" and "alpha" are soft; the other outputs are those
    of the hard rasteriser and are drawn only if asked for.

    Beside a silhouette, as far as the softness reaches, "rgb" is the colour of the
    face at full strength: rgb * alpha + background * (1 - alpha) has soft edges.

    Example:
        >>> layer = SoftRasterizer((64, 96), {"sigma": 1e-4}, outputs=("rgb", "alpha"))
        >>> camera = cameras.Camera(
        ...     cameras.orbit(20.0, 30.0, 2.732), cameras.perspective(60.0, 1.5)
        ... )
        >>> layer(tf.zeros([1, 4, 3]), np.zeros([2, 3], int), camera)["rgb"].shape
        TensorShape([1, 64, 96, 3])

    Args:
        image_size: see `MeshLayer`.
        blend: `ops.SoftBlend`, or a dict with any of its fields.
        modes: `ops.SoftModes`, or a dict with any of its fields; a `color` of "none"
            is not accepted, as `outputs` decides.
        lights: see `MeshLayer`; the default is the published one. They are computed at
            the corners of faces or, for textures, at texels.
        near: depth in front of which nothing is seen, above 0.
        far: depth beyond which nothing is seen; far - near is the unit of `gamma`.
        texel_resolution: R; textures and texture cubes become R*R texels a face
            (`ops.surface_texels`).
        parity: True repeats what the original does and this layer mends: faces outside
            the depth range and behind the camera (projected through it) count in alpha;
            without `double_sided` the sides shown are those that run clockwise in the
            picture, also where it is not mirrored, and alpha counts both sides; normals
            point outwards for both sides of a face; vertex colours are lit by the
            normals of vertices; textures are read as its OBJ loader does.
        **kwargs: the other settings of `MeshLayer`, of which "mipmap" textures are not
            accepted. `double_sided` is the original's "fill_back"; without it backs
            count neither in colour nor in coverage. `supersampling` 2 is its
            "anti_aliasing".

    Call arguments: see `MeshLayer`, and
        texels: [B, F, R*R, C] or [F, R*R, C], a source of colour like the others.
        sigma: number or scalar tensor in place of that of `blend`, for schedules.
        gamma: the same.

    Output: see `MeshLayer`. Depth is interpolated on the screen as in a perspective
    picture, for the softmax under every camera; faces with a corner behind the camera
    are left out.

    Gradient: in vertices and camera that of `ops.soft_rasterize` for colour and
    coverage, zero where `modes` are hard (which is told by a warning), the exact one
    for depth and normals and for what lights make of normals; exact in colours,
    textures and texels. None in sigma and gamma.
    """

    def __init__(
        self,
        image_size=(256, 256),
        blend=DEFAULT_BLEND,
        modes=DEFAULT_MODES,
        lights=PUBLISHED_LIGHTS,
        near=1.0,
        far=100.0,
        texel_resolution=4,
        parity=False,
        **kwargs,
    ):
        super().__init__(image_size, lights=lights, **kwargs)
        self.blend = SoftBlend(*_record("blend", blend, SoftBlend))
        check_blend(self.blend)
        self.modes = SoftModes(*_record("modes", modes, SoftModes))
        check_modes(self.modes)
        checks.one_of("color", self.modes.color, ("softmax", "hard"))
        check_depth_range((near, far))
        checks.between("texel_resolution", texel_resolution, 1, 1 << 12)
        filterings = ("bilinear", "nearest")
        checks.one_of("texture_filtering", self.texture_filtering, filterings)
        self.near, self.far = float(near), float(far)
        self.texel_resolution = int(texel_resolution)
        self.parity = bool(parity)
        self._told = frozenset()

    def call(
        self,
        vertices,
        faces,
        camera,
        *,
        vertex_colors=None,
        uv=None,
        texture=None,
        texture_cubes=None,
        texels=None,
        normals=None,
        sigma=None,
        gamma=None,
        outputs=None,
    ):
        """See the class."""
        appearance = Appearance(vertex_colors, uv, texture, texture_cubes)
        if texels is not None and any(source is not None for source in appearance):
            raise ValueError("`texels` must be the only source of colour; got another.")
        blend = self.blend._replace(
            sigma=self.blend.sigma if sigma is None else sigma,
            gamma=self.blend.gamma if gamma is None else gamma,
        )
        inputs = (vertices, faces, camera, appearance, normals, outputs)
        return self.draw(*inputs, blend=blend, texels=texels)

    def render(self, scene, wanted, blend=None, texels=None):
        """See `MeshLayer.render`; `blend` None takes the setting."""
        corners = project_faces(scene.camera, scene.vertices, scene.faces)
        shown = None
        if not self.parity:
            shown = self._shown(scene, corners)  # [B, F]
            corners = tf.where(shown[..., tf.newaxis, tf.newaxis], corners, 0.0)
        pictures = {}
        if {"rgb", "alpha"} & set(wanted):
            color = self._colors(scene, texels) if "rgb" in wanted else None
            pictures = self._soft(corners, color, blend or self.blend)
        # The base reads no fragments for colour and coverage.
        fragments = Fragments(*[tf.fill([1, 1, 1], -1)] * 4)
        if set(wanted) - {"rgb", "alpha"}:
            fragments = self._fragments(scene, shown)
        if "normal" in wanted:
            pictures["normal"] = self._normals(scene, fragments)
        return fragments, pictures

    def _soft(self, corners, color, blend):
        """Pictures of projected faces [B, F, 3, 3] at the raster size."""
        self._tell_if_narrow(blend)
        modes = self.modes
        if self.parity:
            modes = modes._replace(depth_clip_alpha=False)
        images = soft_rasterize(
            corners,
            color,
            self.raster_size,
            blend=blend,
            modes=modes,
            depth_range=(self.near, self.far),
            background=self.background,
            double_sided=self.double_sided or not self.parity,
        )
        pictures = {"alpha": images.alpha[..., tf.newaxis]}
        if images.rgb is not None:
            pictures["rgb"] = images.rgb
        for name, mode in (("alpha", modes.alpha), ("rgb", modes.color)):
            if name in pictures and "hard" in (mode, modes.distance):
                pictures[name] = self._without_slope(name, pictures[name], corners)
        return pictures

    def _shown(self, scene, corners):
        """Tells which projected faces are drawn, [B, F] bool."""
        # Corners behind the eye are projected through it: such a face is no triangle.
        shown = tf.reduce_all(corners[..., 2] > 0.0, axis=-1)
        if not self.double_sided:
            shown &= shows_front(scene.camera, scene.corners())
        return shown

    def _fragments(self, scene, shown):
        """What the hard rasteriser sees of the shown faces."""
        clip = cameras.project_to_clip(scene.camera, scene.vertices)
        depth = cameras.view_depth(scene.camera, scene.vertices)
        x, y, _, w = tf.unstack(clip, axis=-1)
        # Grows with depth under every projection, and has its near plane at `near`.
        clip = tf.stack([x, y, depth - self.near - w, w], axis=-1)
        faces = scene.faces
        if shown is not None:
            faces = batched_faces(faces, tf.shape(clip)[0])
            faces = tf.where(shown[..., tf.newaxis], faces, -1)
        clockwise = self.parity and not self.double_sided
        index, barycentric, depth, mask = rasterize(
            clip,
            faces,
            self.raster_size,
            vertex_depth=depth,
            cull="front" if clockwise else "none",
        )
        mask &= depth <= self.far
        barycentric = tf.where(mask[..., tf.newaxis], barycentric, 0.0)
        depth = tf.where(mask, depth, 0.0)
        return Fragments(tf.where(mask, index, -1), barycentric, depth, mask)

    def _colors(self, scene, texels):
        """Lit colours of the corners [B, F, 3, C], or texels [B, F, R*R, C]."""
        surface, resolution = scene.appearance, self.texel_resolution
        if texels is not None:
            texels = _batched("texels", texels, tf.shape(scene.vertices)[0])
            resolution = round((texels.shape[2] or 0) ** 0.5)
            checks.dims("texels", texels, resolution**2, None)
        elif self.parity and surface.texture is not None and surface.uv is not None:
            uv = tf.convert_to_tensor(surface.uv)
            if uv.shape.rank < 4:
                uv = face_corners(uv, scene.faces)
            uv = _batched("uv", uv, tf.shape(scene.vertices)[0])
            texels = texels_from_atlas(surface.texture, uv, resolution)
        textured = surface.texture is not None or surface.texture_cubes is not None
        weights = tf.eye(3)
        if texels is not None or textured:
            weights = tf.cast(texel_centers(resolution), tf.float32)
        points = _points(scene, weights)
        color = texels
        if color is None:
            color = surface_color(
                surface, scene.faces, points, filtering=self.texture_filtering
            )
        if not self.lights:
            return color
        if self.parity and surface.vertex_colors is not None and scene.normals is None:
            normals = vertex_normals(scene.vertices, scene.faces)
            scene = scene._replace(normals=normals)
        normal = self._normals(scene, points, two_sided=not self.parity)
        position = interpolate(scene.vertices, scene.faces, points)
        return self.light(color, normal, scene.camera, position)

    def _normals(self, scene, fragments, two_sided=True):
        """Normals of the side that is seen, or of the outside."""
        front = shows_front(scene.camera, scene.corners())
        if not two_sided:
            front = tf.ones_like(front)
        outward = self.face_normals(scene)
        return surface_normals(outward, front, scene.faces, fragments, scene.normals)

    def _tell_if_narrow(self, blend):
        """Warns once, where the softness is known and does not reach other pixels."""
        if self.modes.distance != "euclidean" or "narrow" in self._told:
            return
        sigma, dist_eps = (_number(v) for v in (blend.sigma, blend.dist_eps))
        if sigma is None or dist_eps is None:
            return
        height = self.raster_size[0]
        radius = math.sqrt(math.log(1.0 / dist_eps - 1.0) * sigma) * height / 2.0
        if radius < _NARROWEST:
            self._told |= {"narrow"}
            warnings.warn(
                f"SoftRasterizer: at sigma {sigma:.3g} and dist_eps {dist_eps:.3g} "
                f"edges reach {radius:.2g} pixels of a picture {height} pixels high, "
                f"less than {_NARROWEST}: shapes get little or no gradient.",
                stacklevel=2,
            )

    def _without_slope(self, name, picture, corners):
        """A picture with a gradient of zero in the corners, which warns when used."""

        @tf.custom_gradient
        def tell(corners):
            def gradient(upstream):
                if name not in self._told:
                    self._told |= {name}
                    mode = self.modes.alpha if name == "alpha" else self.modes.color
                    warnings.warn(
                        f'SoftRasterizer: "{name}" has no gradient in the outline of '
                        f'shapes with distance "{self.modes.distance}" and {name} '
                        f'"{mode}"; a shape will not learn from it.',
                        stacklevel=2,
                    )
                return upstream

            return tf.identity(corners), gradient

        @tf.custom_gradient
        def tie(picture, corners):
            def gradient(upstream):
                return upstream, tf.zeros_like(corners)

            return tf.identity(picture), gradient

        return tie(picture, tell(corners))

    def compute_output_spec(
        self, vertices, faces, camera, *, texels=None, sigma=None, gamma=None, **others
    ):
        """Shapes and types of a symbolic call; see the class."""
        if texels is not None:
            others["texture_cubes"] = texels  # a source with as many channels
        return super().compute_output_spec(vertices, faces, camera, **others)

    def get_config(self):
        """Settings of the layer."""
        return {
            **super().get_config(),
            "blend": dict(self.blend._asdict()),
            "modes": dict(self.modes._asdict()),
            "near": self.near,
            "far": self.far,
            "texel_resolution": self.texel_resolution,
            "parity": self.parity,
        }


def _record(name, value, kind):
    """Fields of a record, from the record or from a dict of some of them."""
    if isinstance(value, Mapping):
        value = {**kind()._asdict(), **value}
        checks.keys(name, value, kind._fields)
        return kind(**value)
    if not isinstance(value, kind):
        raise ValueError(
            f"`{name}` must be a {kind.__name__} or a dict; got {value!r}."
        )
    return value


def _number(value) -> float | None:
    """A setting as a number, or None where only the running graph knows it."""
    if isinstance(value, numbers.Real):
        return float(value)
    value = tf.get_static_value(value)
    return None if value is None else float(value)


def _batched(name, values, batch):
    """[B, F, N, C] of values with or without a batch axis."""
    values = tf.cast(values, tf.float32)
    if values.shape.rank == 3:
        values = values[tf.newaxis]
    checks.rank(name, values, 4)
    shape = tf.concat([[batch], tf.shape(values)[1:]], 0)
    static = [None, *values.shape[1:]]
    return tf.ensure_shape(tf.broadcast_to(values, shape), static)


def _points(scene, weights):
    """The same places on every face, as if each were a row of pixels.

    Args:
        scene: Scene.
        weights: [N, 3] barycentrics.

    Returns:
        Fragments [B, F, N].
    """
    batch, faces = tf.shape(scene.vertices)[0], tf.shape(scene.faces)[-2]
    shape = tf.stack([batch, faces, weights.shape[0]])
    index = tf.broadcast_to(tf.range(faces)[:, tf.newaxis], shape)
    barycentric = tf.broadcast_to(weights, tf.concat([shape, [3]], 0))
    spare = tf.zeros(shape)
    return Fragments(index, barycentric, spare, tf.ones(shape, tf.bool))
