r"""Makes true point clouds of meshes: what predictions are scored against.

    python -m tools.densify --input=meshes --output=TRUTH --voxel_size=0.01
    python -m tools.densify --input=chair.obj --output=TRUTH --format=mat

--input: a mesh, or a folder CLASS/NAME.obj (.ply, .glb ...), as for
tools.make_drwr_records, whose names of objects these are. Writes TRUTH/CLASS/NAME.npz
(`points` float32 [M, 3]) or NAME.mat (float64, as the published program reads).

100,000 points are drawn evenly by area, and --voxel_size=0.01 puts the mean of the
points of each cell of that size in their place, as the published figures were made.
The published program halves the longest edge 100,000 times instead and keeps all
vertices. Ours are left out: there are many where a mesh is detailed, whatever its area,
and the scores would count these parts more.

The box of an object is centred and its diagonal scaled to 1, as tools.make_drwr_records
does by default; vertices that no face uses have no say. --normalize=none takes the
coordinates of the file.
"""

import pathlib
import sys
import zlib

import numpy as np
import trimesh
from absl import flags

from tfrender import checks, geometry, io
from tfrender.io import FormatError
from tools import cli, point_files, progress

FLAGS = flags.FLAGS
POINTS = 100_000
FORMATS = ("npz", "mat")
NORMALIZATIONS = ("diagonal", "none")
_MOST_CELLS = 1 << 20  # along an axis


def define_flags() -> None:
    """Defines the flags; not at import, because names are global to a process."""
    f = flags
    f.DEFINE_string("input", None, "Mesh, or folder of meshes.", required=True)
    f.DEFINE_string("output", None, "Folder for the clouds.", required=True)
    f.DEFINE_integer("points", POINTS, "Points on a mesh.", 1, 10_000_000)
    f.DEFINE_float(
        "voxel_size", 0.0, "Side of the cells of the mean; 0 keeps all.", 0.0, 1e6
    )
    f.DEFINE_enum("normalize", "diagonal", NORMALIZATIONS, "See above.")
    f.DEFINE_enum("format", "npz", FORMATS, "Kind of file.")
    f.DEFINE_integer("seed", 0, "Of the points.", 0, 2**31 - 1)
    f.DEFINE_bool("skip_broken", False, "Go on after a mesh that is broken.")


def surface_points(
    path, count: int = POINTS, seed: int = 0, normalize: str = "diagonal"
) -> np.ndarray:
    """Points drawn evenly over the area of a mesh.

    Args:
        path: mesh file.
        count: number of points N, at least 1.
        seed: of the draw.
        normalize: "diagonal" centres the bounding box of the faces and scales its
            diagonal to 1; "none" does neither.

    Returns:
        float64 [N, 3].

    Raises:
        FileNotFoundError, FormatError, LimitError: no such mesh, a broken one, or one
            without area.
        ValueError: a count or a normalisation that is none.
    """
    checks.between("count", count, 1, 1 << 30)
    checks.one_of("normalize", normalize, NORMALIZATIONS)
    mesh = io.load_mesh(str(path), strict=False)
    corners = mesh.vertices[mesh.faces].reshape(-1, 3).astype(np.float64)
    try:
        if normalize == "diagonal":
            _, place = geometry.normalize_to_diagonal(corners)
            corners = (corners - place.centre) / place.scale
    except ValueError as error:
        raise FormatError(f"{path}: {error}") from error
    faces = np.arange(len(corners)).reshape(-1, 3)
    soup = trimesh.Trimesh(corners, faces, process=False, validate=False)
    if not soup.area_faces.sum() > 0.0:
        raise FormatError(f"{path}: expected a surface; its faces have no area.")
    points, _ = trimesh.sample.sample_surface(soup, count, seed=seed)
    return np.asarray(points, np.float64)


def downsample(points, voxel_size: float) -> np.ndarray:
    """One point for each cell of a grid: the mean of the points in it.

    Args:
        points: [N, 3], N at least 1.
        voxel_size: side of a cell, above 0; the grid begins at the smallest
            coordinates.

    Returns:
        float64 [M, 3], sorted by cell.

    Raises:
        ValueError: no points, NaN, or a grid of more than a million cells along an
            axis.
    """
    points = np.asarray(points, np.float64)
    if points.ndim != 2 or points.shape[-1] != 3 or not len(points):
        raise ValueError(f"`points` must be [N, 3]; got {list(points.shape)}.")
    if not np.isfinite(points).all():
        raise ValueError("`points` must be finite; got NaN or infinity.")
    checks.between("voxel_size", voxel_size, 1e-30, 1e30)
    cells = (points - points.min(0)) / voxel_size
    if cells.max() >= _MOST_CELLS:
        raise ValueError(
            f"`voxel_size` must leave at most {_MOST_CELLS} cells along an axis; got "
            f"{voxel_size} for an extent of {np.ptp(points, axis=0).max():g}."
        )
    i, j, k = np.floor(cells).astype(np.int64).T
    key = (i << 40) | (j << 20) | k
    _, cell, counts = np.unique(key, return_inverse=True, return_counts=True)
    sums = [np.bincount(cell, axis, len(counts)) for axis in points.T]
    return np.stack(sums, axis=-1) / counts[:, np.newaxis]


def find_objects(path: str) -> dict[str, pathlib.Path]:
    """Meshes and the names of their objects.

    Args:
        path: mesh, or folder.

    Returns:
        CLASS/NAME -> file, sorted; the name of a mesh in a folder of its own is joined
        by two underscores, as in tools.make_drwr_records: chair/a/model.obj is
        chair/a__model. NAME alone where there is no folder.

    Raises:
        FileNotFoundError: no such mesh or folder, or no mesh in it.
        ValueError: two meshes of one name.
    """
    root = pathlib.Path(path)
    if not root.exists():
        raise FileNotFoundError(f"{path}: no such mesh or folder.")
    if root.is_file():
        return {root.stem: root}
    found: dict[str, pathlib.Path] = {}
    for file in sorted(root.rglob("*")):
        if file.suffix.lower() not in io.MESH_SUFFIXES or not file.is_file():
            continue
        folder, *rest = file.relative_to(root).with_suffix("").parts
        name = "/".join([folder, "__".join(rest)]) if rest else folder
        if name in found:
            raise ValueError(f"{found[name]} and {file} are both called {name}.")
        found[name] = file
    if not found:
        raise FileNotFoundError(
            f"{path}: no mesh; expected {', '.join(io.MESH_SUFFIXES)}."
        )
    return dict(sorted(found.items()))


def main():
    """Samples and writes every object."""
    cli.check_output_folder(FLAGS.output, "--output")
    objects = find_objects(FLAGS.input)
    root, counts, broken = pathlib.Path(FLAGS.output), [], []
    for name, path in progress.bar(objects.items(), "clouds"):
        # The seed of an object does not depend on what else is in the folder.
        seed = (FLAGS.seed + zlib.crc32(name.encode())) % 2**32
        try:
            points = surface_points(path, FLAGS.points, seed, FLAGS.normalize)
            if FLAGS.voxel_size:
                points = downsample(points, FLAGS.voxel_size)
        except ValueError as error:
            if not FLAGS.skip_broken:
                raise
            broken.append(name)
            print(f"left out: {cli.describe(error)}", file=sys.stderr, flush=True)
            continue
        kind = np.float64 if FLAGS.format == "mat" else np.float32
        file = root / f"{name}.{FLAGS.format}"
        point_files.write_arrays(file, {"points": points.astype(kind)})
        counts.append(len(points))
    if not counts:
        raise ValueError(f"{FLAGS.input}: all {len(broken)} meshes are broken.")
    middle = int(np.median(counts))
    print(
        f"{len(counts)} cloud(s) of {min(counts)} to {max(counts)} points (median "
        f"{middle}) in {root}; {len(broken)} broken mesh(es) left out"
    )


if __name__ == "__main__":
    define_flags()
    cli.run(main)
