"""Fits a sphere to pictures of an object seen from known cameras.

    python -m tools.fit_mesh --output_dir=fit
    python -m tools.fit_mesh --output_dir=fit --renderer=soft --mesh=chair.obj

A mesh is photographed from 16 sides. From these pictures and their masks alone, shape
and vertex colours are found again; 8 pictures from other sides tell how well. Writes
mesh.obj, mesh.glb, fit.png and scores.json. The guide is docs/fit_a_mesh.md.
"""

import json
import pathlib
import sys
import time
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf
from absl import flags

from tfrender import cameras, io
from tfrender.geometry.edges import edge_topology
from tfrender.geometry.normalize import normalize_to_diagonal
from tfrender.layers.mesh_renderer import MeshRenderer
from tfrender.layers.neural_mesh_renderer import NeuralMeshRenderer
from tfrender.layers.soft_rasterizer import SoftRasterizer
from tfrender.losses.meshes import (
    flatten_loss,
    normal_consistency_loss,
    uniform_laplacian_loss,
)
from tfrender.losses.silhouettes import silhouette_iou_loss
from tfrender.ops.forms import default_form
from tools import cli, progress, rasterize_scenes
from tools.texture_atlas import texture_atlas

FLAGS = flags.FLAGS
ROOT = pathlib.Path(__file__).parents[1]
TRUCK = "tfrender/assets/meshes/car/kenney_vehicle_truck_yellow.obj"
RENDERERS = ("mesh", "soft", "neural")
DISTANCE, FOV_DEG = 2.3, 25.0
LAMPS = (
    {"kind": "ambient", "color": 0.55},
    {"kind": "directional", "direction": (0.3, 0.8, -0.5), "color": 0.5},
)
VIEWS_A_STEP = 4
RATES = (0.01, 0.05)  # of shape and colour at the start
# Weights of the losses beside that of the silhouette, which is 1.
COLOR, LAPLACIAN, CREASES, FOLDS = 1.0, 0.2, 0.1, 1e-4
SIGMAS = (3e-4, 1e-5)  # of the Soft Rasterizer: first and last


def define_flags() -> None:
    """Defines the flags; not at import, because names are global to a process."""
    flags.DEFINE_string("output_dir", None, "Folder for the results.", required=True)
    flags.DEFINE_string("mesh", str(ROOT / TRUCK), "Mesh to photograph, +Y up.")
    flags.DEFINE_enum("renderer", "mesh", RENDERERS, "Layer that gives gradients.")
    flags.DEFINE_integer("steps", 800, "Steps of the optimiser.", 1, 1_000_000)
    flags.DEFINE_integer("image_size", 128, "Height and width of pictures.", 8, 1024)
    flags.DEFINE_integer("level", 4, "Of the sphere: 10 * 4**level + 2 vertices.", 0, 6)
    flags.DEFINE_integer("seed", 0, "Decides which views a step sees.", 0)


class Photographs(NamedTuple):
    """Pictures of one object.

    Attributes:
        camera: Camera of batch N.
        rgb: [N, H, W, 3] in [0, 1], black where empty.
        alpha: [N, H, W, 1] in [0, 1].
    """

    camera: cameras.Camera
    rgb: tf.Tensor
    alpha: tf.Tensor


def ring(count: int, first_deg: float = 0.0) -> cameras.Camera:
    """Cameras all around an object, by turns low and high.

    Args:
        count: number of cameras N.
        first_deg: azimuth of the first.

    Returns:
        Camera of batch N.
    """
    azimuth = first_deg + np.arange(count) * 360.0 / count
    elevation = np.where(np.arange(count) % 2, 45.0, 10.0)
    view = cameras.orbit(azimuth, elevation, DISTANCE)
    return cameras.Camera(view, cameras.perspective(np.full(count, FOV_DEG)))


def photograph(mesh: io.Mesh, camera: cameras.Camera, size: int) -> Photographs:
    """Draws a textured mesh under fixed lights, in place of a photographer.

    Args:
        mesh: `io.Mesh` around the origin, its bounding box of diagonal 1.
        camera: Camera of batch N.
        size: height and width.

    Returns:
        Photographs.
    """
    uv, texture = texture_atlas(mesh)
    layer = MeshRenderer(
        (size, size),
        supersampling=2,
        lights=LAMPS,
        texture_filtering="bilinear",
        outputs=("rgb", "alpha"),
    )
    with default_form("graph"):  # one call: nothing to gain from compiling it
        seen = layer(
            mesh.vertices[None], mesh.faces, camera, uv=uv[None], texture=texture
        )
    return Photographs(camera, tf.minimum(seen["rgb"], 1.0), seen["alpha"])


def icosphere(level: int, radius: float = 0.35) -> tuple[np.ndarray, np.ndarray]:
    """A sphere of almost equal triangles, of any radius.

    Args:
        level: how often.
        radius: of the sphere.

    Returns:
        vertices: float32 [10 * 4^level + 2, 3].
        faces: int32 [20 * 4^level, 3], counter-clockwise outside.
    """
    vertices, faces = rasterize_scenes.icosphere(level)
    return np.float32(radius) * vertices, faces


def renderer(name: str, size: int):
    """The layer that gives the gradients.

    Args:
        name: "mesh", "soft" or "neural".
        size: height and width.

    Returns:
        A layer with "rgb" and "alpha", without lights: colours hold the light.
    """
    settings = {"lights": None, "outputs": ("rgb", "alpha")}
    if name == "soft":
        # A range as narrow as the scene: far - near is the unit of gamma.
        settings |= {"blend": {"gamma": 1e-3}, "near": 1.0, "far": 4.0}
        return SoftRasterizer((size, size), **settings)
    if name == "neural":
        return NeuralMeshRenderer((size, size), supersampling=1, **settings)
    return MeshRenderer((size, size), **settings)


class Fit:
    """A sphere on its way to become an object.

    Args:
        layer: of `renderer`.
        level: of the sphere.
        steps: how many there will be, for the schedules.
    """

    def __init__(self, layer, level: int, steps: int):
        self.layer, self.steps = layer, steps
        self.sphere, self.faces = icosphere(level)
        self.topology = edge_topology(self.faces)
        self.offset = tf.Variable(tf.zeros_like(self.sphere))
        self.tint = tf.Variable(tf.zeros_like(self.sphere))
        self.variables = [self.offset, self.tint]
        self.optimizers = [
            keras.optimizers.Adam(
                keras.optimizers.schedules.CosineDecay(rate, steps, alpha=0.1)
            )
            for rate in RATES
        ]
        for optimizer, variable in zip(self.optimizers, self.variables, strict=True):
            optimizer.build([variable])
        self.softness = np.geomspace(*SIGMAS, steps).astype(np.float32)

    def mesh(self) -> tuple[tf.Tensor, tf.Tensor]:
        """Vertices [1, V, 3] and their colours [1, V, 3] in [0, 1]."""
        return (self.sphere + self.offset)[tf.newaxis], tf.sigmoid(self.tint)[None]

    def loss(self, shots: Photographs, sigma: tf.Tensor) -> tf.Tensor:
        """How far the mesh is from some photographs, and how rough it is.

        Args:
            shots: Photographs.
            sigma: scalar; softness, for the Soft Rasterizer alone.

        Returns:
            Scalar.
        """
        vertices, colors = self.mesh()
        soft = {"sigma": sigma} if isinstance(self.layer, SoftRasterizer) else {}
        seen = self.layer(
            vertices, self.faces, shots.camera, vertex_colors=colors, **soft
        )
        outline = silhouette_iou_loss(shots.alpha, seen["alpha"])  # [B]
        inside = tf.reduce_sum(tf.abs(seen["rgb"] - shots.rgb) * shots.alpha)
        color = inside / (3.0 * tf.reduce_sum(shots.alpha) + 1e-6)
        edges, wings = self.topology.edges, self.topology.wings
        return (
            tf.reduce_mean(outline)
            + COLOR * color
            + LAPLACIAN * uniform_laplacian_loss(vertices, edges)[0]
            + CREASES * normal_consistency_loss(vertices, wings)[0]
            + FOLDS * flatten_loss(vertices, wings)[0]
        )

    @tf.function
    def step(self, shots: Photographs, sigma: tf.Tensor) -> tf.Tensor:
        """One step of the optimiser on some photographs; returns the loss."""
        with tf.GradientTape() as tape:
            loss = self.loss(shots, sigma)
        slopes = tape.gradient(loss, self.variables)
        for optimizer, slope, variable in zip(
            self.optimizers, slopes, self.variables, strict=True
        ):
            optimizer.apply_gradients([(slope, variable)])
        return loss

    def run(self, shots: Photographs, seed: int, watch=None) -> list[float]:
        """Takes all steps, each on four photographs; returns the losses.

        Args:
            shots: Photographs of all views.
            seed: decides which views a step sees.
            watch: called with the number of steps done, eight times.
        """
        rng = np.random.default_rng(seed)
        count, losses = len(shots.rgb), []

        def go(sigma):
            some = rng.choice(count, min(VIEWS_A_STEP, count), replace=False)
            batch = tf.nest.map_structure(lambda x: tf.gather(x, some), shots)
            losses.append(float(self.step(batch, tf.constant(sigma))))
            if watch and len(losses) % -(-self.steps // 8) == 0:
                watch(len(losses))

        print("compiling the first step ...", file=sys.stderr)
        go(self.softness[0])
        for sigma in progress.bar(self.softness[1:], "fit"):
            go(sigma)
        return losses


def draw(fit: Fit, camera: cameras.Camera, size: int, bare=False) -> Photographs:
    """Pictures of the mesh as it is, without soft or blended edges.

    Args:
        fit: Fit.
        camera: Camera of batch N.
        size: height and width.
        bare: True leaves the colours out and lights the surface.

    Returns:
        Photographs.
    """
    vertices, colors = fit.mesh()
    layer = MeshRenderer(
        (size, size),
        antialias=False,
        lights=LAMPS if bare else None,
        outputs=("rgb", "alpha"),
    )
    colors = 0.8 * tf.ones_like(colors) if bare else colors
    with default_form("graph"):
        seen = layer(vertices, fit.faces, camera, vertex_colors=colors)
    return Photographs(camera, seen["rgb"], seen["alpha"])


def judge(got: Photographs, want: Photographs) -> dict[str, float]:
    """Compares pictures of a mesh with photographs.

    Args:
        got: Photographs of N views.
        want: the same views.

    Returns:
        "iou" of the masks, mean over the pictures; "color_error", mean absolute
        difference where both show the object.
    """
    mine, theirs = got.alpha.numpy() > 0.5, want.alpha.numpy() > 0.5
    both, either = mine & theirs, mine | theirs
    iou = both.sum((1, 2, 3)) / np.maximum(either.sum((1, 2, 3)), 1)
    wrong = np.abs(got.rgb - want.rgb)[both[..., 0]]
    error = wrong.mean() if wrong.size else 1.0
    return {"iou": float(iou.mean()), "color_error": float(error)}


def sheet(*rows: Photographs) -> np.ndarray:
    """Pictures on white, a row for each set: float [H, W, 3]."""
    tiles = np.concatenate([row.rgb + 1.0 - row.alpha for row in rows])
    return np.clip(io.tile_images(tiles, columns=len(rows[0].rgb), pad=1), 0.0, 1.0)


def main():
    """Photographs, fits, judges, writes."""
    keras.utils.set_random_seed(FLAGS.seed)
    size, folder = FLAGS.image_size, pathlib.Path(FLAGS.output_dir)
    source = io.load_mesh(FLAGS.mesh)
    vertices, place = normalize_to_diagonal(source.vertices)
    source = source._replace(vertices=vertices)
    folder.mkdir(parents=True, exist_ok=True)
    seen = photograph(source, ring(16), size)
    held_out = photograph(source, ring(8, 11.25), size)
    fit = Fit(renderer(FLAGS.renderer, size), FLAGS.level, FLAGS.steps)
    first = draw(fit, held_out.camera, size)
    course = {0: judge(first, held_out)}

    def watch(step):
        course[step] = judge(draw(fit, held_out.camera, size), held_out)
        print(f" step {step}: held-out IoU {course[step]['iou']:.3f}", flush=True)

    clock = time.monotonic()
    fit.run(seen, FLAGS.seed, watch)
    seconds = time.monotonic() - clock
    last = draw(fit, held_out.camera, size)
    scores = {"start": course[0], "end": judge(last, held_out), "course": course}

    vertices, colors = (value[0].numpy() for value in fit.mesh())
    for name in ("mesh.obj", "mesh.glb"):
        where = place.inverse(vertices)  # in the units of the source
        io.save_mesh(folder / name, where, fit.faces, vertex_colors=colors)
    bare = draw(fit, held_out.camera, size, bare=True)
    io.write_png(folder / "fit.png", sheet(held_out, first, last, bare))
    with io.write_file(folder / "scores.json", "w") as file:
        scores.update(seconds=round(seconds, 1), flags=_settings())
        json.dump(scores, file, indent=1)
    start, end = scores["start"], scores["end"]
    print(
        f"held-out IoU {start['iou']:.3f} -> {end['iou']:.3f}, colour error "
        f"{start['color_error']:.3f} -> {end['color_error']:.3f}, {seconds:.0f} s; "
        f"wrote {folder}"
    )


def _settings() -> dict:
    """The flags that decide the result."""
    names = ("mesh", "renderer", "steps", "image_size", "level", "seed")
    return {name: getattr(FLAGS, name) for name in names}


if __name__ == "__main__":
    define_flags()
    cli.run(main)
