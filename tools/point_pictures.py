r"""Draws point clouds as shaded spheres, PNG; NumPy alone, no Blender.

    python -m tools.point_pictures --input=OUT --output_dir=PICTURES
    python -m tools.point_pictures --input=cloud.ply --output_dir=PICTURES --azimuth=70

--input: a .npz or .mat with `points` ([N, 3], or [V, N, 3] of which --view is drawn), a
point cloud as .ply, or a folder of these. CLASS/NAME.npz becomes CLASS/NAME.png.

Each point is a sphere of --radius in the units of the points. Nearer spheres cover
those behind, spheres that lie deeper than what is around them are darker, as corners
of a room are, and far ones fade a little. The camera looks at the origin; azimuth 0 is
in front of the object, on -Z. (The published Blender program counted from another axis:
its azimuth A is A + 90 here, for objects in the axes of its data.)
"""

import pathlib

import numpy as np
from absl import flags
from scipy import ndimage

from tfrender import cameras, checks, io
from tfrender.metrics.points import check_points
from tfrender.quaternion_cameras import FOCAL_LENGTH
from tools import cli, point_files, progress

FLAGS = flags.FLAGS
SIZE, RADIUS, SUPERSAMPLING = 256, 0.01, 2
AZIMUTH_DEG, ELEVATION_DEG, DISTANCE = 40.0, 15.0, 2.0
COLOR = (0.46, 0.66, 0.93)
# In the camera's frame (right, up, backward): it shines over the left shoulder.
_LIGHT = np.array([-0.45, 0.70, 0.55]) / np.linalg.norm([-0.45, 0.70, 0.55])
_AMBIENT, _SKY, _LAMBERT = 0.50, 0.14, 0.52
_CREVICE, _CREVICE_WIDTH, _CREVICE_DEPTH = 0.5, 0.07, 0.15  # width: of the picture
_FADE = 0.30  # of the farthest point, towards white
_FRAGMENTS = 1 << 20  # at a time
_NOTHING = np.iinfo(np.uint64).max


def define_flags() -> None:
    """Defines the flags; not at import, because names are global to a process."""
    f = flags
    f.DEFINE_string("input", None, "Cloud, or folder of clouds.", required=True)
    f.DEFINE_string("output_dir", None, "Folder for the pictures.", required=True)
    f.DEFINE_integer("view", 0, "Of a file that holds several clouds.", 0)
    f.DEFINE_float("azimuth", AZIMUTH_DEG, "Degrees; 0 is in front.", -1e6, 1e6)
    f.DEFINE_float("elevation", ELEVATION_DEG, "Degrees.", -90.0, 90.0)
    f.DEFINE_float("distance", DISTANCE, "Of the camera to the origin.", 1e-3, 1e6)
    f.DEFINE_float(
        "focal_length",
        FOCAL_LENGTH,
        "In widths of the picture; the default shows a ball of radius 0.5 at 2.",
        1e-3,
        1e3,
    )
    f.DEFINE_integer("size", SIZE, "Pixels of a side.", 8, 4096)
    f.DEFINE_float("radius", RADIUS, "Of a point, in its units.", 1e-6, 1e3)
    f.DEFINE_integer("supersampling", SUPERSAMPLING, "Samples a pixel side.", 1, 8)


def orbit_camera(
    azimuth_deg: float = AZIMUTH_DEG,
    elevation_deg: float = ELEVATION_DEG,
    distance: float = DISTANCE,
    focal_length: float = FOCAL_LENGTH,
) -> cameras.Camera:
    """The camera of a picture of a cloud.

    Args:
        azimuth_deg: degrees; 0 is in front of the object, on -Z.
        elevation_deg: degrees above the horizon.
        distance: from the origin.
        focal_length: in widths of the picture.

    Returns:
        Camera of batch 1.
    """
    fov = 2.0 * np.degrees(np.arctan(0.5 / focal_length))
    return cameras.Camera(
        cameras.orbit(azimuth_deg, elevation_deg, distance), cameras.perspective(fov)
    )


def draw(
    points,
    camera: cameras.Camera,
    size: int = SIZE,
    *,
    radius: float = RADIUS,
    colors=None,
    supersampling: int = SUPERSAMPLING,
) -> np.ndarray:
    """Picture of a cloud of shaded spheres on white.

    The light stands at the camera, over its left shoulder. Spheres are seen in exact
    perspective; those that reach behind the camera are left out.

    Args:
        points: [N, 3] world.
        camera: perspective Camera of batch 1.
        size: pixels a side.
        radius: of a sphere, world units.
        colors: [N, 3] or [3] in [0, 1]; None is one blue.
        supersampling: samples a side of a pixel.

    Returns:
        float32 [size, size, 3] in [0, 1].

    Raises:
        ValueError: no points, NaN, a range that is none, colours that do not fit, or an
            orthographic camera.
    """
    points = check_points("points", points)
    checks.between("size", size, 1, 1 << 14)
    checks.between("radius", radius, 1e-9, 1e9)
    checks.between("supersampling", supersampling, 1, 16)
    colors = np.asarray(COLOR if colors is None else colors, np.float64)
    if colors.shape not in ((3,), points.shape):
        raise ValueError(
            f"`colors` must be [3] or {list(points.shape)}; got {list(colors.shape)}."
        )
    if not (colors.min() >= 0.0 and colors.max() <= 1.0):
        raise ValueError("`colors` must lie in [0, 1].")
    colors = np.broadcast_to(colors, points.shape)
    view, lens = (np.asarray(matrix, np.float64)[0] for matrix in camera)
    if not np.isfinite([view, lens]).all():
        raise ValueError("`camera` must be finite; got NaN or infinity.")
    if abs(lens[3, 2] + 1.0) > 1e-6:
        raise ValueError("`camera` must be a perspective one; got another.")
    centres = points @ view[:3, :3].T + view[:3, 3]
    side = size * supersampling
    index, depth = _nearest_spheres(centres, radius, lens, side)
    seen = np.flatnonzero(index >= 0)
    picture = np.ones([side * side, 3])
    if len(seen):
        surface = _rays(seen % side, seen // side, lens, side) * depth[seen, np.newaxis]
        hit = index[seen]
        normal = (surface - centres[hit]) / radius
        light = _AMBIENT + _SKY * normal[:, 1] + _LAMBERT * (normal @ _LIGHT).clip(0.0)
        light *= 1.0 - _CREVICE * _crevices(index, depth, side)[seen]
        shade = colors[hit] * light[:, np.newaxis]
        far = np.ptp(depth[seen])
        fade = _FADE * (depth[seen] - depth[seen].min()) / max(far, 1.0)
        picture[seen] = shade + (1.0 - shade) * fade[:, np.newaxis]
    picture = picture.clip(0.0, 1.0).reshape(size, supersampling, size, -1, 3)
    return picture.mean((1, 3)).astype(np.float32)


def _rays(columns, rows, lens, side) -> np.ndarray:
    """Directions [K, 3] through samples, of depth 1 in front of the camera."""
    x = (2.0 * columns + 1.0) / side - 1.0
    y = 1.0 - (2.0 * rows + 1.0) / side
    right, up = (x + lens[0, 2]) / lens[0, 0], (y + lens[1, 2]) / lens[1, 1]
    return np.stack([right, up, -np.ones_like(right)], axis=-1)


def _nearest_spheres(centres, radius, lens, side) -> tuple[np.ndarray, np.ndarray]:
    """Index of the sphere that each sample shows, -1 where none, and its depth."""
    # Depth and index in one number, so that the nearest is the smallest: bits of
    # positive floats sort as the floats do.
    buffer = np.full(side * side, _NOTHING, np.uint64)
    number = np.flatnonzero(-centres[:, 2] > 1.01 * radius)
    number = number[np.argsort(-centres[number, 2])]  # of about one size in a chunk
    while len(number):
        reach = _reach(centres[number[0]], radius, lens, side)
        chosen, number = np.split(number, [max(1, _FRAGMENTS // (2 * reach + 1) ** 2)])
        _splat(buffer, chosen, centres[chosen], reach, radius, lens, side)
    index = (buffer & np.uint64(0xFFFFFFFF)).astype(np.uint32).astype(np.int64)
    index[buffer == _NOTHING] = -1
    depth = (buffer >> np.uint64(32)).astype(np.uint32).view(np.float32)
    return index, np.where(index < 0, 0.0, depth).astype(np.float64)


def _reach(centre, radius, lens, side) -> int:
    """Samples from the centre of a sphere to its edge, and one more."""
    depth = -centre[2]
    tilt = np.hypot(1.0, np.hypot(*centre[:2]) / depth)  # spheres look long off axis
    near = np.sqrt(max(depth * depth - radius * radius, 1e-30))
    focal = 0.5 * side * max(lens[0, 0], lens[1, 1])
    return int(min(np.ceil(focal * tilt * tilt * radius / near) + 1, side))


def _splat(buffer, number, centres, reach, radius, lens, side) -> None:
    """Writes spheres into the buffer where they are nearest."""
    depth = -centres[:, 2]
    x = (lens[0, 0] * centres[:, 0] / depth - lens[0, 2] + 1.0) * side / 2.0
    y = (1.0 - lens[1, 1] * centres[:, 1] / depth + lens[1, 2]) * side / 2.0
    step = np.arange(-reach, reach + 1)
    inside = (np.abs(x - side / 2) < side / 2 + reach + 1) & (
        np.abs(y - side / 2) < side / 2 + reach + 1
    )
    number, centres, x, y = (value[inside] for value in (number, centres, x, y))
    columns = np.floor(x).astype(np.int64)[:, np.newaxis] + step  # [K, W]
    rows = np.floor(y).astype(np.int64)[:, np.newaxis] + step
    # A sample's ray meets the sphere where |t ray - centre| = radius.
    across = _rays(columns, np.zeros_like(columns), lens, side)[..., 0]
    upward = _rays(np.zeros_like(rows), rows, lens, side)[..., 1]
    along = (
        (across * centres[:, :1])[:, np.newaxis, :]
        + (upward * centres[:, 1:2])[:, :, np.newaxis]
        - centres[:, 2, np.newaxis, np.newaxis]
    )  # [K, H, W]
    length = 1.0 + across[:, np.newaxis, :] ** 2 + upward[:, :, np.newaxis] ** 2
    beyond = (centres**2).sum(-1) - radius * radius
    root = along * along - length * beyond[:, np.newaxis, np.newaxis]
    on = ((columns >= 0) & (columns < side))[:, np.newaxis, :]
    on = on & ((rows >= 0) & (rows < side))[:, :, np.newaxis] & (root >= 0.0)
    point, row, column = np.nonzero(on)
    t = ((along[on] - np.sqrt(root[on])) / length[on]).astype(np.float32)
    key = t.view(np.uint32).astype(np.uint64) << np.uint64(32)
    key |= number[point].astype(np.uint64)
    place = rows[point, row] * side + columns[point, column]
    np.minimum.at(buffer, place, key)


def _crevices(index, depth, side) -> np.ndarray:
    """How far samples lie behind the mean of what is around them, in [0, 1].

    Luft et al., "Image enhancement by unsharp masking the depth buffer", 2006: it
    darkens what an open sky would light less.
    """
    seen = (index >= 0).reshape(side, side).astype(np.float64)
    width = max(3, round(_CREVICE_WIDTH * side))

    def around(values):  # two boxes are a triangle, at no cost for their width
        for _ in range(2):
            values = ndimage.uniform_filter(values, width, mode="constant")
        return values

    weight = np.maximum(around(seen), 1e-6)
    mean = around(depth.reshape(side, side) * seen) / weight
    behind = depth - mean.reshape(-1)
    return (behind / _CREVICE_DEPTH).clip(0.0, 1.0)


def main():
    """Draws every cloud."""
    cli.check_output_folder(FLAGS.output_dir, "--output_dir")
    camera = orbit_camera(
        FLAGS.azimuth, FLAGS.elevation, FLAGS.distance, FLAGS.focal_length
    )
    files = point_files.find_clouds(FLAGS.input)
    root = pathlib.Path(FLAGS.output_dir)
    for name, path in progress.bar(files.items(), "pictures"):
        cloud = point_files.read_views(path)
        if FLAGS.view >= len(cloud):
            raise ValueError(
                f"{path}: expected a --view below {len(cloud)}; got {FLAGS.view}."
            )
        picture = draw(
            cloud[FLAGS.view],
            camera,
            FLAGS.size,
            radius=FLAGS.radius,
            supersampling=FLAGS.supersampling,
        )
        io.write_png(root / f"{name}.png", picture)
    print(f"drew {len(files)} cloud(s) into {root}")


if __name__ == "__main__":
    define_flags()
    cli.run(main)
