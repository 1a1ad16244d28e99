"""Renders a field of occupancy and colour (Niemeyer et al., CVPR 2020)."""

import keras
import tensorflow as tf

from tfrender import cameras, checks
from tfrender.ops.field_normals import unit_gradient
from tfrender.ops.field_query import query
from tfrender.ops.forms import FORMS
from tfrender.ops.implicit_surface import (
    SurfaceSettings,
    implicit_surface,
    logit,
    scatter,
)
from tfrender.ops.march_rays import MarchSettings
from tfrender.ops.sample_rays import all_pixels

OUTPUTS = ("rgb", "alpha", "depth", "mask", "points", "normal")


@keras.saving.register_keras_serializable(package="tfrender")
class ImplicitSurfaceRenderer(keras.layers.Layer):
    """Pictures of the surface of a field.

    Computes in float32 under every dtype policy.

    Example:
        >>> field = models.OccupancyField(hidden_size=16)
        >>> renderer = ImplicitSurfaceRenderer(field, image_size=(24, 32))
        >>> view = cameras.orbit(30.0, 20.0, 2.0)
        >>> camera = cameras.Camera(view, cameras.perspective(40.0, 4 / 3))
        >>> renderer(camera)["rgb"].shape
        TensorShape([1, 24, 32, 3])

    Args:
        field: `models.OccupancyField`, or any Keras model field(points [B, N, 3]) or
            field(points, code) -> [B, N, 1 + K] logits of occupancy, positive inside,
            and of K colours.
        image_size: (height, width) of the pictures.
        samples: on each ray.
        threshold: probability of occupancy on the surface.
        padding: of the unit cube that rays are marched in: a side of 1 + padding.
        refinement: see `ops.MarchSettings`.
        refinement_steps: see `ops.MarchSettings`.
        camera_gradients: gradients to the camera too.
        background: grey of pixels that show nothing.
        rays_per_chunk: rays whose surface is evaluated at once; bounds the memory.
        form: see `ops.march_rays`; the XLA form evaluates all rays at once.

    Call arguments:
        camera: Camera of batch B or 1.
        code: [B, C] or [1, C], for a field that takes one.
        pixels: [B, N, 2] (x, y) of `cameras.pixel_rays`; None is every pixel.

    Output:
        dict of [B, H, W, .], or [B, N, .] for given pixels: "rgb" K values on the
        background, "alpha" and "mask" 0 or 1, "depth" planar, 0 where empty, "points"
        on the surface and "normal", of length 1 and outwards, both 0 where empty.

    Gradient: depth, points and colours have the implicit gradient to the field (see
        `ops.implicit_surface`); masks have none.

    Raises:
        ValueError: for settings or shapes out of range.
    """

    def __init__(
        self,
        field,
        image_size=(64, 64),
        samples=128,
        threshold=0.5,
        padding=0.1,
        refinement="secant",
        refinement_steps=8,
        camera_gradients=False,
        background=1.0,
        rays_per_chunk=16384,
        form="graph",
        **kwargs,
    ):
        kwargs.setdefault("dtype", "float32")
        super().__init__(**kwargs)
        self.field = field
        self.image_size = checks.image_size(image_size)
        checks.between("samples", samples, 2, 2**20)
        checks.between("threshold", threshold, 1e-4, 1.0 - 1e-4)
        checks.between("padding", padding, 0.0, 100.0)
        checks.between("background", background, 0.0, 1.0)
        checks.one_of("form", form, FORMS)
        checks.between("rays_per_chunk", rays_per_chunk, 1, 2**24)
        self.settings = {
            "image_size": self.image_size,
            "samples": int(samples),
            "threshold": float(threshold),
            "padding": float(padding),
            "refinement": refinement,
            "refinement_steps": int(refinement_steps),
            "camera_gradients": bool(camera_gradients),
            "background": float(background),
            "rays_per_chunk": int(rays_per_chunk),
            "form": form,
        }
        self.surface_settings = SurfaceSettings(
            MarchSettings(int(samples), refinement, int(refinement_steps)),
            level=logit(threshold),
            half_size=0.5 + padding / 2.0,
            camera_gradients=bool(camera_gradients),
        )
        self.built = True

    def build(self, input_shape=None):
        """Does nothing: the field is built already."""
        self.built = True

    def call(self, camera, code=None, pixels=None):
        """See the class."""
        every = pixels is None
        if every:
            pixels = all_pixels(self.image_size)[tf.newaxis]
        checks.dims("pixels", pixels, None, 2)
        origins, directions = cameras.pixel_rays(camera, pixels, self.image_size)
        if code is not None:  # one camera may see several shapes
            nought = tf.zeros_like(code[:, :1, tf.newaxis], origins.dtype)
            origins, directions = origins + nought, directions + nought
        asked = query(self.field, code)
        found = self._in_chunks(asked, origins, directions)
        if every:
            size = tf.stack([tf.shape(origins)[0], *self.image_size])
            for name, value in found.items():
                found[name] = tf.reshape(
                    value, tf.concat([size, tf.shape(value)[2:]], axis=0)
                )
                found[name] = tf.ensure_shape(
                    found[name], [origins.shape[0], *self.image_size, value.shape[-1]]
                )
        return found

    def _in_chunks(self, asked, origins, directions):
        """Outputs [B, N, .], a part of the N rays at a time."""
        batch, count = origins.shape[0], origins.shape[1]
        limit = self.settings["rays_per_chunk"]
        whole = count is not None and (batch or 1) * count <= limit
        if whole or self.settings["form"] == "xla":
            return self._outputs(asked, origins, directions)
        size = tf.maximum(limit // tf.maximum(tf.shape(origins)[0], 1), 1)
        total = tf.shape(origins)[1]
        chunks = (total + size - 1) // size
        arrays = {
            name: tf.TensorArray(tf.float32, chunks, infer_shape=False)
            for name in OUTPUTS
        }
        widths = {}

        def part(i, arrays):
            rows = slice(None), slice(i * size, (i + 1) * size)
            found = self._outputs(asked, origins[rows], directions[rows])
            widths.update({name: found[name].shape[-1] for name in OUTPUTS})
            # Rays on the first axis: chunks are joined along it.
            moved = {name: tf.transpose(found[name], [1, 0, 2]) for name in OUTPUTS}
            return i + 1, {
                name: array.write(i, moved[name]) for name, array in arrays.items()
            }

        _, arrays = tf.while_loop(lambda i, _: i < chunks, part, (0, arrays))
        joined = {}
        for name, array in arrays.items():
            value = tf.transpose(array.concat(), [1, 0, 2])
            joined[name] = tf.ensure_shape(value, [batch, count, widths[name]])
        return joined

    def _outputs(self, asked, origins, directions):
        """Outputs [B, N, .] of some rays."""
        surface = implicit_surface(
            asked,
            origins,
            directions,
            self.surface_settings,
            form=self.settings["form"],
        )
        shape = tf.unstack(tf.shape(surface.mask))

        def place(values):
            return scatter(surface.ray, surface.valid, values, shape)

        mask = tf.cast(surface.mask, tf.float32)[..., tf.newaxis]
        colors = place(tf.sigmoid(surface.logits))
        return {
            "rgb": colors + (1.0 - mask) * self.settings["background"],
            "alpha": mask,
            "depth": place(surface.depth[:, tf.newaxis]),
            "mask": mask,
            "points": place(surface.points),
            # Occupancy grows inwards.
            "normal": place(-unit_gradient(surface.gradient)),
        }

    def get_config(self):
        """Settings of the layer."""
        field = keras.saving.serialize_keras_object(self.field)
        return {**super().get_config(), **self.settings, "field": field}

    @classmethod
    def from_config(cls, config):
        """Rebuilds layer and field."""
        field = keras.saving.deserialize_keras_object(config.pop("field"))
        return cls(field, **config)
