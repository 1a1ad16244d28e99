"""What the programs share that paint and bend one mesh by pictures of it.

Style transfer and DeepDream (Kato et al., CVPR 2018) draw a mesh from random sides,
look at the pictures with a network and descend. Here are the mesh with its variables,
the cameras, the light that changes from step to step, flags, turntables and files.
"""

import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf
from absl import flags

from tfrender import cameras, io
from tfrender.geometry import normalize_to_unit_cube
from tfrender.geometry.normals import face_normals
from tfrender.layers.neural_mesh_renderer import NeuralMeshRenderer
from tfrender.models.image_features import NETWORKS
from tfrender.ops.forms import default_form
from tfrender.ops.mesh_surface import shows_front
from tfrender.ops.rasterize_corners import face_corners
from tfrender.ops.sample_texture import border_centered_uv
from tfrender.ops.shade import AmbientLight, DirectionalLight, shade
from tfrender.ops.texture_cubes import cubes_to_atlas
from tfrender.optimizers import SkipZeroAdam
from tools import cli, progress

FOV_DEG = 60.0  # the published renderer's, which calls it a half angle of 30
LIGHT = 0.5  # published, of the ambient and of the directional lamp
TURNTABLE_DEG = np.arange(0.0, 360.0, 4.0, np.float32)
MESH_SUFFIXES = (".obj", ".glb")
_FRAMES_A_CALL = 6
_FPS = 20.0
_REPORTS = 10  # lines with the loss during a run


def define_flags(distance: float, network: str) -> None:
    """Defines the flags that the programs share, under the published short names.

    Args:
        distance: default of --camera_distance, world units.
        network: default of --network.
    """
    flags.DEFINE_string("output", None, "GIF to write.", short_name="o", required=True)
    flags.DEFINE_string("output_mesh", None, "Mesh to write too, .obj or .glb.")
    flags.DEFINE_enum(
        "network",
        network,
        NETWORKS,
        "Looks at the pictures. vgg16 and inception_v3 need their ImageNet weights; "
        "small has random ones, for tests and for machines without weights.",
    )
    flags.DEFINE_string(
        "weights",
        None,
        "File with the weights of the network: .h5, .weights.h5 or .keras. Without it "
        "those of keras.applications are taken, cached or downloaded.",
    )
    flags.DEFINE_list("layers", None, "Layers of the network, in place of its own.")
    flags.DEFINE_integer("image_size", 224, "Height and width of pictures.", 16, 1024)
    flags.DEFINE_integer("seed", 0, "Decides colours at the start and views.", 0)
    flags.DEFINE_float("camera_distance", distance, "Of the eye.", 1.8, 20.0)
    flags.DEFINE_float("camera_distance_noise", 0.1, "Its deviation.", 0.0, 1.0)
    flags.DEFINE_integer("texture_size", 4, "Texels a side of a colour cube.", 2, 16)
    flags.DEFINE_float("lr_vertices", 0.01, "Multiplies the rate of vertices.", 0.0)
    flags.DEFINE_float("lr_textures", 1.0, "Multiplies the rate of colours.", 0.0)
    flags.DEFINE_float("adam_beta1", 0.9, "Of Adam.", 0.0, 0.999999)
    flags.DEFINE_integer("batch_size", 4, "Views of a step.", 1, 256)
    flags.DEFINE_integer("number_of_iterations", 1000, "Steps.", 1, 10_000_000)
    alias(cd="camera_distance", ab1="adam_beta1", bs="batch_size")
    alias(ni="number_of_iterations")


def alias(**names: str) -> None:
    """Defines second names of flags: short name -> flag."""
    for short, name in names.items():
        flags.DEFINE_alias(short, name)


class Views(NamedTuple):
    """Where cameras and lamps stand in one step.

    Attributes:
        azimuth_deg: [B].
        elevation_deg: [B].
        distance: [B] world units.
        light: [3] or [B, 3] unit direction towards the lamp.
        background: [3] colour of empty pixels in [0, 1].
    """

    azimuth_deg: np.ndarray
    elevation_deg: np.ndarray
    distance: np.ndarray
    light: np.ndarray = np.float32([0.0, 1.0, 0.0])
    background: np.ndarray = np.ones(3, np.float32)

    def camera(self) -> cameras.Camera:
        """The cameras, batch B; their pictures are not mirrored."""
        view = cameras.orbit(self.azimuth_deg, self.elevation_deg, self.distance)
        return cameras.Camera(view, cameras.perspective(FOV_DEG))


def random_views(
    rng: np.random.Generator,
    batch: int,
    elevation_deg: tuple[float, float],
    distance: tuple[float, float],
    background,
    cone_deg: float | None = None,
) -> Views:
    """Draws the views of one step.

    Args:
        rng: generator.
        batch: number of views B.
        elevation_deg: lowest and highest.
        distance: mean and standard deviation, world units. Not nearer than the ball of
            the mesh, whatever the noise.
        background: [3] colour.
        cone_deg: the lamp stands somewhere on a cone this far from straight above, one
            lamp for all views; None leaves it straight above.

    Returns:
        Views of float32 arrays.
    """
    azimuth = rng.uniform(0.0, 360.0, batch)
    elevation = rng.uniform(*elevation_deg, batch)
    away = np.maximum(distance[0] + distance[1] * rng.standard_normal(batch), 1.8)
    angles = [np.float32(value) for value in (azimuth, elevation, away)]
    views = Views(*angles, background=np.float32(background))
    if cone_deg is None:
        return views
    cone, turn = np.radians(cone_deg), rng.uniform(0.0, 2.0 * np.pi)
    side = np.sin(cone) * np.float64([np.sin(turn), 0.0, np.cos(turn)])
    return views._replace(light=np.float32(side + [0.0, np.cos(cone), 0.0]))


class PaintedMesh:
    """A mesh whose vertices and colours are variables.

    Attributes:
        faces: int32 [F, 3].
        start: float32 [V, 3], the longest side of its box spans [-1, 1].
        vertices: variable [V, 3].
        textures: variable [F, T, T, T, 3], the logits of the colour cubes.
        variables: both.
    """

    def __init__(self, mesh: io.Mesh, texture_size: int, seed: int, bias=(0, 0, 0)):
        """Takes the shape of a mesh; its colours are left out.

        Args:
            mesh: `io.Mesh`.
            texture_size: texels a side T of the cube of a face.
            seed: decides the colours at the start, all close to sigmoid(bias).
            bias: [3], added to the logits of red, green and blue.
        """
        halves, self._place = normalize_to_unit_cube(mesh.vertices)
        self.start, self.faces = 2.0 * halves, mesh.faces
        self.bias = np.float32(bias)
        shape = (len(self.faces), *(texture_size,) * 3, 3)
        logits = 0.05 * np.random.default_rng(seed).standard_normal(shape)
        self.vertices = keras.Variable(self.start, name="vertices")
        self.textures = keras.Variable(logits.astype(np.float32), name="textures")
        self.variables = [self.vertices, self.textures]

    def cubes(self) -> tf.Tensor:
        """Colour cubes [F, T, T, T, 3] in (0, 1)."""
        return tf.sigmoid(tf.convert_to_tensor(self.textures) + self.bias)

    def points(self) -> tf.Tensor:
        """Vertices [1, V, 3]."""
        return tf.convert_to_tensor(self.vertices)[tf.newaxis]

    def save(self, path: str | os.PathLike) -> None:
        """Writes the mesh in the units of its file, its cubes as one texture."""
        image, uv = cubes_to_atlas(self.cubes())
        uv = border_centered_uv(uv, image.shape[:2]).numpy()
        material = io.Material("painted", texture=io.to_uint8(image.numpy()))
        where = self._place.inverse(self.points()[0].numpy() / 2.0)
        io.save_mesh(path, where, self.faces, uv=uv, materials=(material,))


class Studio:
    """Draws a painted mesh: renderer, lamps, background.

    Args:
        mesh: PaintedMesh.
        size: height and width of the pictures.
        lit: True lights the faces half by an ambient and half by a directional lamp;
            False shows the colours as they are.
    """

    def __init__(self, mesh: PaintedMesh, size: int, lit: bool):
        self.mesh, self.lit = mesh, lit
        self.layer = NeuralMeshRenderer(
            (size, size), lights=None, outputs=("rgb", "alpha")
        )

    def draw(self, views: Views) -> tuple[tf.Tensor, tf.Tensor]:
        """Pictures of the mesh.

        Lamps and background are settings of the layer; here both change from step to
        step. So the cubes are lit before they are drawn, which is what the published
        renderer does, and the background is laid behind. The gradient of colour and
        coverage of one call is that of pictures with this background.

        Args:
            views: Views of batch B.

        Returns:
            rgb: [B, H, W, 3] in [0, 1].
            alpha: [B, H, W, 1].

        Memory: beside that of the layer, 12 B F T^3 bytes of lit cubes.
        """
        camera, points, cubes = views.camera(), self.mesh.points(), self.mesh.cubes()
        if self.lit:
            cubes *= self.light(points, camera, views.light)
        seen = self.layer(points, self.mesh.faces, camera, texture_cubes=cubes)
        alpha = seen["alpha"]
        return seen["rgb"] + (1.0 - alpha) * views.background, alpha

    def light(self, points, camera, direction) -> tf.Tensor:
        """Light on the seen side of every face, [B, F, 1, 1, 1, 1] in [0, 1]."""
        faces = self.mesh.faces
        front = shows_front(camera, face_corners(points, faces))  # [B, F]
        normal = face_normals(points, faces)  # [1, F, 3]
        normal = tf.where(front[..., tf.newaxis], normal, -normal)
        white = tf.ones_like(normal[..., :1])
        lamps = [AmbientLight(LIGHT), DirectionalLight(direction, LIGHT)]
        light = shade(white, normal, lamps)  # [B, F, 1]
        return light[:, :, tf.newaxis, tf.newaxis, tf.newaxis]

    def turntable(self, elevation_deg: float, distance: float) -> np.ndarray:
        """Pictures all around on white: uint8 [N, H, W, 3]."""

        def draw(azimuth):
            same = np.ones_like(azimuth)
            return self.draw(Views(azimuth, elevation_deg * same, distance * same))[0]

        return turn(draw)


def turn(draw: Callable[[np.ndarray], tf.Tensor]) -> np.ndarray:
    """Draws a turntable, a few pictures at a time.

    Args:
        draw: azimuths [N] in degrees -> pictures [N, H, W, C], clipped to [0, 1].

    Returns:
        uint8, a picture for each of `TURNTABLE_DEG`.
    """
    frames, starts = [], range(0, len(TURNTABLE_DEG), _FRAMES_A_CALL)
    with default_form("graph"):  # no gradient: nothing to gain from compiling it
        for start in progress.bar(starts, "turntable"):
            some = draw(TURNTABLE_DEG[start : start + _FRAMES_A_CALL]).numpy()
            frames += [io.to_uint8(np.clip(frame, 0.0, 1.0)) for frame in some]
    return np.stack(frames)


def descend(
    loss_of: Callable[[Views], tf.Tensor],
    variables: Sequence,
    optimizer: keras.optimizers.Optimizer,
    views_of: Callable[[], Views],
    steps: int,
) -> list[float]:
    """Minimises a loss over random views; tells how far it is.

    Args:
        loss_of: Views -> scalar; traced once.
        variables: of Keras.
        optimizer: an optimizer.
        views_of: draws the views of a step, always of the same shapes.
        steps: how many.

    Returns:
        The loss of every step, before the step.

    Raises:
        ValueError: where the loss is not finite.
    """
    optimizer.build(variables)

    @tf.function
    def step(views):
        with tf.GradientTape() as tape:
            loss = loss_of(views)
        optimizer.apply(tape.gradient(loss, variables), variables)
        return loss

    losses, every = [], -(-steps // _REPORTS)
    start = time.monotonic()

    def go():
        losses.append(float(step(views_of())))
        done = len(losses)
        if not np.isfinite(losses[-1]):
            raise ValueError(
                f"the loss of step {done} is {losses[-1]}; expected a finite number: "
                "try a smaller learning rate."
            )
        if done == 1 or done == steps or done % every == 0:
            print(f" step {done}: loss {losses[-1]:.6g}", flush=True)

    print("compiling the first step ...", file=sys.stderr)
    go()
    compiled = time.monotonic()
    for _ in progress.bar(range(steps - 1), "steps"):
        go()
    if steps > 1:
        each = 1e3 * (time.monotonic() - compiled) / (steps - 1)
        print(f"first step {compiled - start:.0f} s, others {each:.0f} ms each")
    return losses


def adam(rate: float, beta_1: float, beta_2: float, multipliers) -> SkipZeroAdam:
    """The published optimizer, with the rates of vertices and colours.

    Args:
        rate: learning rate.
        beta_1: decay of the first moment.
        beta_2: decay of the second moment.
        multipliers: of the rates of vertices and of textures.
    """
    names = dict(zip(("vertices", "textures"), multipliers, strict=True))
    return SkipZeroAdam(rate, beta_1=beta_1, beta_2=beta_2, multipliers=names)


def check_output(path: str | os.PathLike, suffixes: Sequence[str]) -> None:
    """Checks one of the programs' files, whose folder they make; see `tools.cli`.

    Args:
        path: the file.
        suffixes: accepted ones.

    Raises:
        ValueError, OSError: see `cli.check_output_file`.
    """
    cli.check_output_file(path, suffixes, make_folder=True)


def write_results(mesh: PaintedMesh, frames, output, output_mesh) -> None:
    """Writes the turntable, and the mesh where one is asked for.

    Args:
        mesh: PaintedMesh.
        frames: uint8 [N, H, W, 3].
        output: GIF file.
        output_mesh: .obj or .glb file, or None.
    """
    if output_mesh:
        mesh.save(output_mesh)
    io.write_gif(output, frames, fps=_FPS)
    print("wrote " + " and ".join(str(p) for p in (output, output_mesh) if p))
