"""What all layers that draw meshes share: settings, inputs, lights, outputs."""

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from tfrender import checks
from tfrender.geometry.normals import face_normals
from tfrender.layers.lamps import (
    light_records,
    material_record,
    plain_lights,
    plain_material,
)
from tfrender.layers.mesh_scene import Scene, checked_scene
from tfrender.ops.interpolate import interpolate
from tfrender.ops.mesh_surface import (
    FILTERINGS,
    Appearance,
    eye_position,
    shows_front,
    surface_color,
    surface_normals,
)
from tfrender.ops.rasterize import Fragments
from tfrender.ops.shade import MODELS, shade
from tfrender.ops.supersample import (
    average_covered,
    average_samples,
    nearest_sample,
)
from tfrender.ops.triangle_normals import guarded_unit

# Names of DESIGN, with the channels and type of each; rgb has those of its colours.
OUTPUTS = {
    "rgb": (None, "float32"),
    "alpha": (1, "float32"),
    "depth": (1, "float32"),
    "normal": (3, "float32"),
    "mask": (1, "bool"),
    "face_index": (1, "int32"),
    "barycentric": (3, "float32"),
}


class MeshLayer(keras.layers.Layer):
    """Base of the layers that draw meshes. They differ in `render` alone.

    A layer of this kind has no weights. Geometry is computed in float32 under every
    policy. World, camera, images and names of outputs follow the conventions of the
    library: +Y up, OpenGL camera, row 0 on top, (height, width).

    Args:
        image_size: (height, width) in pixels.
        supersampling: k; pictures are drawn at k times the size, and the k x k samples
            of a pixel averaged: colour and coverage over all, depth and normals over
            the covered ones. face_index and barycentric are those of the nearest
            sample, mask tells whether any is covered.
        background: number, or one for each channel; colour of empty pixels.
        double_sided: True draws both sides of every face; False draws the front alone,
            of which the corners run counter-clockwise seen from outside.
        lights: list of dicts, see `layers.lamps`; None shows colours as they are.
            Normals are turned to the side that the camera sees.
        shading: "lambert", "phong" or "blinn_phong".
        material: dict with any of "diffuse", "specular" and "shininess"; None has the
            defaults of `ops.shade.Material`.
        outputs: names out of `OUTPUTS` that a call returns.
        texture_filtering: "bilinear", "nearest" or "mipmap".

    Call arguments:
        vertices: [B, V, 3] world coordinates; B = 1 serves a batch of cameras.
        faces: [F, 3] or [B, F, 3] integers, counter-clockwise outside, -1 is padding.
        camera: `cameras.Camera` of batch B or 1, or a tuple of its two matrices
            [B, 4, 4] (as the inputs of a functional model are).
        vertex_colors: [B, V, C], [V, C], or [B, F, 3, C] per corner.
        uv: [B, V, 2], [V, 2], or [B, F, 3, 2] per corner; v up. With `texture`.
        texture: [B, h, w, C] or [1, h, w, C]. With `uv`.
        texture_cubes: [B, F, T, T, T, C] or [F, T, T, T, C], see `ops.texture_cubes`.
            At most one source of colour; a mesh without any is white.
        normals: outward normals that are interpolated for lights and for "normal",
            [B, V, 3], or [B, F, 3, 3] per corner; None takes the flat ones of faces.
        outputs: as the setting, for this call; None takes the setting. What is not
            asked for is not computed.

    Output:
        dict of tensors [B, H, W, channels]: "rgb" colour with background, not clamped;
        "alpha" coverage in [0, 1]; "depth" planar depth in front of the camera, world
        units, 0 where empty; "normal" unit, world axes, on the side that is seen, 0
        where empty; "mask" bool; "face_index" int32, -1 where empty; "barycentric" of
        that face, perspective-correct, 0 where empty.

    Gradient: in vertices, camera, colours, uv, textures and normals, as the subclass
    says; none through "mask" and "face_index". Memory: that of the ops, for pictures of
    k times the size.
    """

    def __init__(
        self,
        image_size=(256, 256),
        supersampling=1,
        background=0.0,
        double_sided=True,
        lights=None,
        shading="lambert",
        material=None,
        outputs=("rgb", "alpha", "depth"),
        texture_filtering="bilinear",
        **kwargs,
    ):
        kwargs.setdefault("dtype", "float32")  # geometry, under any mixed policy
        super().__init__(**kwargs)
        self.image_size = checks.image_size(image_size)
        checks.between("supersampling", supersampling, 1, 16)
        checks.one_of("shading", shading, MODELS)
        checks.one_of("texture_filtering", texture_filtering, FILTERINGS)
        self.supersampling = int(supersampling)
        self.background = np.asarray(background, np.float64).tolist()
        if np.ndim(self.background) > 1:
            raise ValueError(
                f"`background` must be a number or one a channel; got {background}."
            )
        self.double_sided = bool(double_sided)
        self.lights = plain_lights(lights)
        self.shading = shading
        self.material = plain_material(material)
        self.outputs = _checked_outputs(outputs)
        self.texture_filtering = texture_filtering
        # With shapes that depend on the data: Keras must not compile it with XLA.
        self.supports_jit = False
        self.built = True  # no weights

    def render(
        self, scene: Scene, wanted: Sequence[str]
    ) -> tuple[Fragments, dict[str, tf.Tensor]]:
        """Draws a scene at `raster_size`; what a subclass must define.

        Args:
            scene: Scene.
            wanted: names of outputs that are asked for.

        Returns:
            fragments: Fragments [B, k H, k W] with the indices of `scene.faces`.
            pictures: "rgb", "alpha" and "normal" as far as wanted, [B, k H, k W, C],
                averaged as they are; "depth" in place of the one of the fragments.
        """
        raise NotImplementedError

    @property
    def raster_size(self) -> tuple[int, int]:
        """(height, width) in samples."""
        return tuple(side * self.supersampling for side in self.image_size)

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
        normals=None,
        outputs=None,
    ):
        """See the class."""
        appearance = Appearance(vertex_colors, uv, texture, texture_cubes)
        return self.draw(vertices, faces, camera, appearance, normals, outputs)

    def draw(self, vertices, faces, camera, appearance, normals, outputs, **settings):
        """Checks the inputs of a call, draws them and averages the samples.

        Args:
            vertices: see the class; faces, camera, normals and outputs alike.
            faces: see the class.
            camera: see the class.
            appearance: Appearance.
            normals: see the class.
            outputs: see the class.
            **settings: what the `render` of a subclass takes beside scene and outputs.

        Returns:
            dict of outputs, see the class.
        """
        wanted = self.outputs if outputs is None else _checked_outputs(outputs)
        scene = checked_scene(vertices, faces, camera, appearance, normals)
        fragments, pictures = self.render(scene, wanted, **settings)
        return self._averaged(fragments, pictures, wanted)

    def silhouettes(self, vertices, faces, camera):
        """Coverage alone, [B, H, W, 1]; no colour is computed."""
        return self(vertices, faces, camera, outputs=("alpha",))["alpha"]

    def depth(self, vertices, faces, camera):
        """Depth alone, [B, H, W, 1]; no colour is computed."""
        return self(vertices, faces, camera, outputs=("depth",))["depth"]

    def face_normals(self, scene: Scene) -> tf.Tensor:
        """Outward normals of the faces, [B, F, 3]."""
        return face_normals(scene.vertices, scene.faces)

    def surface(
        self, scene: Scene, fragments: Fragments, wanted: Sequence[str], **settings
    ) -> tuple[tf.Tensor | None, tf.Tensor | None]:
        """Lit colour and normal at every sample, as far as wanted.

        Args:
            scene: Scene.
            fragments: Fragments.
            wanted: names of outputs.
            **settings: `cube_eps` of `surface_color`.

        Returns:
            color: [B, k H, k W, C], not to be read where empty, or None.
            normal: [B, k H, k W, 3], 0 where empty, or None.
        """
        color, normal, position = None, None, None
        lamps = self.lights or []
        lit = "rgb" in wanted and any(lamp["kind"] != "ambient" for lamp in lamps)
        if lit or "normal" in wanted:
            front = shows_front(scene.camera, scene.corners())
            normal = surface_normals(
                self.face_normals(scene), front, scene.faces, fragments, scene.normals
            )
        if "rgb" in wanted:
            filtering = self.texture_filtering
            color = surface_color(
                scene.appearance,
                scene.faces,
                fragments,
                filtering=filtering,
                **settings,
            )
            glossy = self.shading != "lambert"
            if lit and (glossy or any(lamp["kind"] == "point" for lamp in lamps)):
                position = interpolate(scene.vertices, scene.faces, fragments)
            if lamps:
                spare = tf.zeros_like(fragments.barycentric)
                normal_or_none = spare if normal is None else normal
                color = self.light(color, normal_or_none, scene.camera, position)
        return color, normal if "normal" in wanted else None

    def light(self, color, normal, camera, position=None) -> tf.Tensor:
        """Lights colours of pixels, faces or vertices by the settings.

        Args:
            color: [B, ..., C].
            normal: [B, ..., 3] towards the lit side.
            camera: Camera of batch B or 1.
            position: [B, ..., 3]; needed for point lights and highlights.

        Returns:
            [B, ..., C]; the colour itself without lights.
        """
        if not self.lights:
            return color
        return shade(
            color,
            normal,
            light_records(self.lights),
            position,
            None if position is None else eye_position(camera),
            model=self.shading,
            material=material_record(self.material),
        )

    def on_background(self, color: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """Lays colours [B, H, W, C] over the background where the mask is False."""
        return tf.where(mask[..., tf.newaxis], color, tf.constant(self.background))

    def filter_samples(self, samples: tf.Tensor) -> tf.Tensor:
        """Samples [B, k H, k W, C] of numbers to pixels [B, H, W, C]: their mean."""
        return average_samples(samples, self.supersampling)

    def _averaged(self, fragments, pictures, wanted):
        """Samples to pixels, each output by the rule of the class."""
        k = self.supersampling
        index = fragments.face_index[..., tf.newaxis]
        found = {
            name: self.filter_samples(pictures[name])
            for name in ("rgb", "alpha", "depth")
            if name in wanted and name in pictures
        }
        if "depth" in wanted and "depth" not in found:
            depth = fragments.depth[..., tf.newaxis]
            found["depth"] = average_covered(depth, fragments.mask, k)
        if "normal" in wanted:
            normal = average_covered(pictures["normal"], fragments.mask, k)
            found["normal"] = guarded_unit(normal, eps=1e-12)
        if {"mask", "face_index", "barycentric"} & set(wanted):
            found["face_index"], found["barycentric"] = nearest_sample(
                fragments.depth, fragments.mask, k, index, fragments.barycentric
            )
            found["mask"] = found["face_index"] >= 0
        return {name: found[name] for name in wanted}

    def compute_output_spec(self, vertices, faces, camera, **arguments):
        """Shapes and types of a symbolic call; see the class."""
        asked = arguments.pop("outputs", None)
        wanted = self.outputs if asked is None else _checked_outputs(asked)
        arguments.pop("normals", None)
        colors = Appearance(**arguments).channels
        batch = vertices.shape[0]
        if batch in (None, 1):
            batch = camera[0].shape[0] if batch == 1 else None
        shape = (batch, *self.image_size)
        return {
            name: keras.KerasTensor(
                (*shape, OUTPUTS[name][0] or colors), OUTPUTS[name][1]
            )
            for name in wanted
        }

    def get_config(self):
        """Settings of the layer."""
        return {
            **super().get_config(),
            "image_size": list(self.image_size),
            "supersampling": self.supersampling,
            "background": plain_copy(self.background),
            "double_sided": self.double_sided,
            "lights": plain_copy(self.lights),
            "shading": self.shading,
            "material": plain_copy(self.material),
            "outputs": list(self.outputs),
            "texture_filtering": self.texture_filtering,
        }


def plain_copy(value):
    """Copies nested settings; Keras wraps the lists and dicts that a layer holds."""
    if isinstance(value, dict):
        return {name: plain_copy(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_copy(item) for item in value]
    return value


def _checked_outputs(outputs) -> tuple[str, ...]:
    """Names of outputs as a tuple, or a ValueError."""
    if isinstance(outputs, str) or not outputs:
        raise ValueError(f"`outputs` must be a list of names; got {outputs!r}.")
    for name in outputs:
        checks.one_of("outputs", name, OUTPUTS)
    return tuple(outputs)
