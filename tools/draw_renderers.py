"""Draws the pictures of docs/mesh_renderers.md.

    python -m tools.draw_renderers --output_dir=docs

renderers.png: bundled meshes through the three mesh renderers. gradients.png: what each
of them says about a shift of the object, pixel by pixel, and where it pulls vertices.
"""

import pathlib

import numpy as np
import tensorflow as tf
from absl import flags

from tfrender import cameras, io
from tfrender.layers.mesh_renderer import MeshRenderer
from tfrender.layers.neural_mesh_renderer import NeuralMeshRenderer
from tfrender.layers.soft_rasterizer import SoftRasterizer
from tfrender.losses.silhouettes import silhouette_iou_loss
from tfrender.ops.forms import default_form
from tools import cli, fit_mesh
from tools.texture_atlas import texture_atlas

FLAGS = flags.FLAGS
ROOT = pathlib.Path(__file__).parents[1]
MESHES = ROOT / "tfrender" / "assets" / "meshes"
GALLERY = {
    "airplane/bscc0_cartoon_biplane.obj": 35.0,
    "car/kenney_vehicle_truck_yellow.obj": 40.0,
    "chair/scopia_chair3.obj": 30.0,
    "sofa/scopia_rattan_sofa.obj": 25.0,
}
CHAIR = "chair/scopia_children_chair.obj"
TRUCK = "car/kenney_vehicle_truck_yellow.obj"
ELEVATION_DEG = 22.0
LABEL = 20  # height of a line of text, pixels
# What gradients.png compares: title -> layer, settings.
SOFT = {"near": 0.1, "lights": None}
CONTESTANTS = {
    "MeshRenderer": (MeshRenderer, {}),
    "NeuralMeshRenderer": (NeuralMeshRenderer, {"supersampling": 1, "lights": None}),
    "Soft, sigma 1e-4": (SoftRasterizer, {"blend": {"sigma": 1e-4}, **SOFT}),
    "Soft, sigma 1e-3": (SoftRasterizer, {"blend": {"sigma": 1e-3}, **SOFT}),
}


def define_flags() -> None:
    """Defines the flags; not at import, because names are global to a process."""
    flags.DEFINE_string("output_dir", "docs", "Folder for the pictures.")
    flags.DEFINE_integer("side", 184, "Height and width of one picture.", 16, 1024)
    flags.DEFINE_integer("map_side", 48, "Side of the maps of derivatives.", 4, 256)


def view(azimuth_deg: float, distance: float = 2.3) -> cameras.Camera:
    """The camera of the gallery, batch 1."""
    return cameras.Camera(
        cameras.orbit(azimuth_deg, ELEVATION_DEG, distance), cameras.perspective(25.0)
    )


def gallery_rows(side: int) -> dict[str, tuple]:
    """Rows of the gallery: title -> (layer, name of the picture)."""
    size = (side, side)
    plain = {"texture_filtering": "bilinear", "background": 1.0}
    color = {"outputs": ("rgb", "alpha"), "near": 0.1, **plain}
    lit = {"lights": fit_mesh.LAMPS, **plain}
    extra = ("rgb", "depth", "normal")
    ours = MeshRenderer(size, supersampling=2, outputs=extra, **lit)
    return {
        "MeshRenderer": (ours, "rgb"),
        "NeuralMeshRenderer": (NeuralMeshRenderer(size, **color), "rgb"),
        "Soft, sigma 1e-5": (SoftRasterizer(size, supersampling=2, **color), "rgb"),
        "Soft, sigma 1e-3": (SoftRasterizer(size, {"sigma": 1e-3}, **color), "rgb"),
        '"normal"': (ours, "normal"),
        '"depth"': (ours, "depth"),
    }


def gallery(side: int) -> np.ndarray:
    """Meshes in columns, renderers and outputs in rows.

    Args:
        side: of one picture, pixels.

    Returns:
        uint8 [H, W, 3].
    """
    rows = {title: [] for title in gallery_rows(side)}
    for name, azimuth in GALLERY.items():
        mesh = io.load_mesh(MESHES / name)
        uv, texture = texture_atlas(mesh)
        drawn = {}
        for title, (layer, output) in gallery_rows(side).items():
            key = type(layer).__name__ + title * (output == "rgb")
            if output != "rgb":
                key = "MeshRendererMeshRenderer"
            if key not in drawn:
                # Compiling pays where faces are many and soft, for one picture too.
                soft = isinstance(layer, SoftRasterizer)
                with default_form("xla" if soft else "graph"):
                    drawn[key] = layer(
                        mesh.vertices[np.newaxis],
                        mesh.faces,
                        view(azimuth),
                        uv=uv[np.newaxis],
                        texture=texture,
                    )
            rows[title].append(as_colors(drawn[key], output))
    return np.concatenate(
        [
            titled(np.concatenate(pictures, axis=1), title)
            for title, pictures in rows.items()
        ]
    )


def as_colors(pictures: dict, name: str) -> np.ndarray:
    """One output as a picture on white.

    Args:
        pictures: outputs of a layer, batch 1.
        name: "rgb", "normal" or "depth".

    Returns:
        uint8 [H, W, 3].
    """
    value = pictures[name][0].numpy()
    if name == "normal":
        value = np.where((value != 0.0).any(-1, keepdims=True), (value + 1) / 2, 1.0)
    elif name == "depth":
        seen = value > 0.0
        low, high = value[seen].min(), value[seen].max()
        value = np.where(seen, 0.75 * (value - low) / (high - low), 1.0).repeat(3, -1)
    elif "alpha" in pictures:  # of the Soft Rasterizer: full colour beside the outline
        alpha = pictures["alpha"][0].numpy()
        value = np.where(alpha < 1.0, value * alpha + 1.0 - alpha, value)
    return io.to_uint8(np.clip(value, 0.0, 1.0))


def slope_map(layer, vertices, faces, camera, wish: float = 1.0) -> np.ndarray:
    """Derivative of every pixel of alpha by a shift of the object to the right.

    Every pixel is asked on its own, in a batch that holds the scene once for each pixel
    of a row.

    Args:
        layer: a mesh layer.
        vertices: [1, V, 3].
        faces: [F, 3].
        camera: Camera of batch 1, looking along -Z of the world's axes or not.
        wish: incoming gradient. Renderers with an exact gradient answer with the same
            slope for 1 and -1; the Neural Mesh Renderer knows only changes that would
            lower the loss.

    Returns:
        [H, W] change of coverage for each pixel of shift at the distance of the origin.
    """
    height, width = layer.image_size
    right = camera.world_to_camera[0, 0, :3]
    focal = camera.projection[0, 0, 0] * width / 2.0
    pixel = right * -camera.world_to_camera[0, 2, 3] / focal  # world units a pixel

    @tf.function
    def row(number):
        shift = tf.zeros([width, 1, 1])
        with tf.GradientTape() as tape:
            tape.watch(shift)
            alpha = layer(vertices + shift * pixel, faces, camera, outputs=("alpha",))
            asked = tf.linalg.diag_part(alpha["alpha"][:, number, :, 0])
            total = wish * tf.reduce_sum(asked)
        return wish * tape.gradient(total, shift)[:, 0, 0]

    return np.stack([row(tf.constant(i)).numpy() for i in range(height)])


def true_slopes(vertices, faces, camera, side: int, step: float = 0.25) -> np.ndarray:
    """What `slope_map` should be: finite differences of the exact coverage.

    Args:
        vertices: [1, V, 3].
        faces: [F, 3].
        camera: Camera of batch 1.
        side: of the map, pixels.
        step: half of the shift between both pictures, pixels.

    Returns:
        [side, side].
    """
    layer = MeshRenderer(
        (side, side), supersampling=16, antialias=False, outputs=("alpha",)
    )
    right = camera.world_to_camera[0, 0, :3]
    focal = camera.projection[0, 0, 0] * side / 2.0
    pixel = right * -camera.world_to_camera[0, 2, 3] / focal
    left_and_right = [
        layer(vertices + sign * step * pixel, faces, camera)["alpha"][0, ..., 0]
        for sign in (-1.0, 1.0)
    ]
    return ((left_and_right[1] - left_and_right[0]) / (2.0 * step)).numpy()


def slope_tiles(side: int, map_side: int) -> dict[str, np.ndarray]:
    """First row of gradients.png: title -> uint8 [side, side, 3]."""
    mesh = io.load_mesh(MESHES / CHAIR)
    scene = mesh.vertices[np.newaxis], mesh.faces, view(30.0)
    tiles = {"finite differences": true_slopes(*scene, map_side)}
    for title, (kind, settings) in CONTESTANTS.items():
        layer = kind((map_side, map_side), **settings)
        if kind is NeuralMeshRenderer:
            # Gradient descent lowers the loss: it wants less of what has a slope.
            tiles["Neural, more wanted"] = slope_map(layer, *scene, wish=-1.0)
            tiles["Neural, less wanted"] = slope_map(layer, *scene)
        else:
            tiles[title] = slope_map(layer, *scene)
    return {title: enlarged(diverging(m), side) for title, m in tiles.items()}


def pull_tiles(side: int) -> dict[str, np.ndarray]:
    """Second row: where a sphere's vertices are pulled by a silhouette.

    Args:
        side: of a picture, pixels.

    Returns:
        title -> uint8 [side, side, 3].
    """
    mesh, camera, size = io.load_mesh(MESHES / TRUCK), view(70.0), 96
    target = fit_mesh.photograph(mesh, camera, size)
    sphere, faces = fit_mesh.icosphere(2, radius=0.3)
    vertices = tf.constant(sphere[np.newaxis])
    rows, columns = pixels_of(vertices, camera, side)
    behind = enlarged(io.to_uint8(0.6 + 0.4 * (1.0 - target.alpha[0])), side)
    plain = MeshRenderer((side, side), lights=fit_mesh.LAMPS, outputs=("rgb", "alpha"))
    ball = {k: v[0].numpy() for k, v in plain(vertices, faces, camera).items()}
    photo = fit_mesh.photograph(mesh, camera, side)
    shown = np.where(photo.alpha[0] > 0.5, photo.rgb[0], 1.0)
    both = shown * (1.0 - 0.45 * ball["alpha"]) + 0.45 * ball["rgb"] * ball["alpha"]
    tiles = {"sphere, wanted shape": io.to_uint8(np.clip(both, 0.0, 1.0))}
    for title, (kind, settings) in CONTESTANTS.items():
        layer = kind((size, size), **settings)
        with tf.GradientTape() as tape:
            tape.watch(vertices)
            alpha = layer(vertices, faces, camera, outputs=("alpha",))["alpha"]
            loss = silhouette_iou_loss(target.alpha, alpha)
        slope = tape.gradient(loss, vertices)
        ends = pixels_of(vertices - 1e-3 * slope / tf.norm(slope), camera, side)
        way = np.stack([ends[0] - rows, ends[1] - columns], axis=-1)
        tiles[title] = with_arrows(behind, rows, columns, way)
    return tiles


def pixels_of(vertices, camera, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns [V] at which vertices [1, V, 3] appear."""
    clip = cameras.project_to_clip(camera, vertices)[0].numpy().astype(np.float64)
    ndc = clip[:, :2] / clip[:, 3:]
    return (1.0 - ndc[:, 1]) * side / 2.0, (1.0 + ndc[:, 0]) * side / 2.0


def with_arrows(picture, rows, columns, way, longest: float = 26.0) -> np.ndarray:
    """Draws an arrow at every vertex; the longest ones have one length.

    Args:
        picture: uint8 [H, W, 3].
        rows: [V] pixels.
        columns: [V] pixels.
        way: [V, 2] direction (row, column), any scale.
        longest: pixels of an arrow at the 95th percentile of those that are not zero.

    Returns:
        uint8 [H, W, 3].
    """
    from PIL import Image, ImageDraw

    length = np.linalg.norm(way, axis=-1)
    moved = length > 1e-3 * length.max()
    way = way * longest / np.percentile(length[moved], 95)
    length = np.linalg.norm(way, axis=-1)
    way *= np.minimum(1.0, longest / np.maximum(length, 1e-9))[:, np.newaxis]
    scale = 3  # drawn larger, because Pillow does not smooth its lines
    height, width = picture.shape[:2]
    image = Image.fromarray(picture).resize((scale * width, scale * height))
    draw = ImageDraw.Draw(image)
    for row, column, (down, across), real in zip(
        rows, columns, way, moved, strict=True
    ):
        start = np.array([column, row]) * scale
        color = (200, 30, 30) if real else (150, 150, 150)
        draw.ellipse([*(start - 2.5), *(start + 2.5)], fill=color)
        step = np.array([across, down]) * scale
        if not real or np.hypot(*step) < 4.0:
            continue
        end, unit = start + step, step / np.hypot(*step)
        side = np.array([-unit[1], unit[0]])
        draw.line([*start, *end], fill=color, width=4)
        tip = [end + 6 * unit, end - 6 * unit + 6 * side, end - 6 * unit - 6 * side]
        draw.polygon([tuple(corner) for corner in tip], fill=color)
    return np.asarray(image.resize((width, height), Image.Resampling.LANCZOS))


def diverging(values: np.ndarray, limit: float = 1.0) -> np.ndarray:
    """Red where positive, blue where negative, white at zero.

    Args:
        values: [H, W].
        limit: value of full colour.

    Returns:
        uint8 [H, W, 3].
    """
    share = np.clip(values / limit, -1.0, 1.0)[..., np.newaxis]
    red, blue = np.array([0.75, 0.05, 0.1]), np.array([0.1, 0.2, 0.7])
    end = np.where(share > 0.0, red, blue)
    return io.to_uint8(1.0 + np.abs(share) * (end - 1.0))


def enlarged(picture: np.ndarray, side: int) -> np.ndarray:
    """A picture [H, W, 1 or 3] with visible pixels, uint8 [side, side, 3]."""
    from PIL import Image

    picture = np.broadcast_to(picture, (*picture.shape[:2], 3))
    image = Image.fromarray(np.ascontiguousarray(picture))
    return np.asarray(image.resize((side, side), Image.Resampling.NEAREST))


def titled(picture: np.ndarray, title: str) -> np.ndarray:
    """A picture [H, W, 3] below a line of text."""
    from PIL import Image, ImageDraw, ImageFont

    line = Image.new("RGB", (picture.shape[1], LABEL), "white")
    font = ImageFont.load_default(size=13)
    ImageDraw.Draw(line).text((4, 3), title, fill=(0, 70, 160), font=font)
    return np.concatenate([np.asarray(line), picture])


def in_rows(*rows: dict[str, np.ndarray]) -> np.ndarray:
    """Titled pictures of one size in rows."""
    width = max(len(row) for row in rows)
    lines = []
    for row in rows:
        tiles = [titled(picture, title) for title, picture in row.items()]
        tiles += [np.full_like(tiles[0], 255)] * (width - len(tiles))
        lines.append(io.tile_images(tiles, columns=width, pad=2))
    return np.concatenate(lines)


def main():
    """Draws both pictures."""
    folder = pathlib.Path(FLAGS.output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    rows = slope_tiles(FLAGS.side, FLAGS.map_side), pull_tiles(FLAGS.side)
    io.write_png(folder / "gradients.png", in_rows(*rows))
    io.write_png(folder / "renderers.png", gallery(FLAGS.side))
    print(f"wrote {folder}/renderers.png, {folder}/gradients.png")


if __name__ == "__main__":
    define_flags()
    cli.run(main)
