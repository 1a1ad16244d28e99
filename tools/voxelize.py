"""Turns meshes into binvox occupancy grids.

    python -m tools.voxelize --input=chair.obj --output=chair.binvox
    python -m tools.voxelize --input=meshes --output=voxels --resolution=64

A folder is searched with its sub-folders; the output keeps their structure.
"""

import pathlib
import sys

from absl import flags

from tfrender import geometry, io
from tools import cli

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Defines the flags; not at import, because names are global to a process."""
    flags.DEFINE_string("input", None, "Mesh file, or folder of meshes.", required=True)
    flags.DEFINE_string("output", None, "Binvox file, or folder.", required=True)
    flags.DEFINE_integer("resolution", 64, "Voxels a side.", 1, 1024)
    flags.DEFINE_enum(
        "mode", "solid", ["solid", "surface"], "Fill enclosed room, or keep the skin."
    )
    flags.DEFINE_float(
        "fill", 0.9, "Share of the grid that the longest side takes.", 1e-3, 1.0
    )
    flags.DEFINE_boolean("skip_broken", False, "Report broken meshes and go on.")


def convert(source, target, resolution: int = 64, mode: str = "solid", fill=0.9) -> int:
    """Voxelises one mesh file; returns the number of occupied voxels.

    Args:
        source: mesh file of any known suffix.
        target: binvox file; replaced where it exists.
        resolution: voxels a side.
        mode: "solid" or "surface".
        fill: share of the grid that the longest side of the object takes.

    Raises:
        ValueError: naming the file that is broken.
    """
    _, voxels = geometry.voxelize_file(source, resolution, mode, fill)
    io.write_binvox(target, *voxels)
    return int(voxels.occupancy.sum())


def plan(source: pathlib.Path, target: pathlib.Path) -> list[tuple]:
    """Pairs of mesh file and binvox file.

    Args:
        source: a mesh file, or a folder.
        target: a .binvox file or a folder (for one mesh), or a folder.

    Returns:
        [(mesh path, binvox path)], sorted.

    Raises:
        FileNotFoundError: no such input, or a folder without meshes.
        ValueError: two meshes would be written to one file.
    """
    if source.is_file():
        if target.suffix != ".binvox":
            target = target / f"{source.stem}.binvox"
        return [(source, target)]
    if not source.is_dir():
        raise FileNotFoundError(f"--input: no such file or folder: {str(source)!r}.")
    suffixes = io.MESH_SUFFIXES
    found = sorted(p for p in source.rglob("*") if p.suffix.lower() in suffixes)
    if not found:
        raise FileNotFoundError(f"{source}: no file ends in {', '.join(suffixes)}.")
    pairs = {}
    for path in found:
        goal = target / path.relative_to(source).with_suffix(".binvox")
        if goal in pairs:
            raise ValueError(f"{pairs[goal]} and {path} would both become {goal}.")
        pairs[goal] = path
    return [(path, goal) for goal, path in pairs.items()]


def convert_all(pairs, skip_broken: bool = False, **settings) -> tuple[int, int]:
    """Converts pairs of mesh and binvox file, with a line for each.

    Args:
        pairs: see `plan`.
        skip_broken: report a broken mesh on stderr and go on.
        **settings: see `convert`.

    Returns:
        (meshes voxelised, meshes skipped).
    """
    broken = 0
    for number, (source, target) in enumerate(pairs, 1):
        try:
            filled = convert(source, target, **settings)
        except ValueError as error:
            if not skip_broken:
                raise
            broken += 1
            print(f"skipped: {cli.describe(error)}", file=sys.stderr)
            continue
        print(f"[{number}/{len(pairs)}] {target}: {filled} voxels", flush=True)
    return len(pairs) - broken, broken


def main() -> None:
    """Reads the flags, converts every mesh, prints the counts."""
    done, broken = convert_all(
        plan(pathlib.Path(FLAGS.input), pathlib.Path(FLAGS.output)),
        FLAGS.skip_broken,
        resolution=FLAGS.resolution,
        mode=FLAGS.mode,
        fill=FLAGS.fill,
    )
    if not done:
        raise ValueError(f"{FLAGS.input}: every mesh is broken.")
    print(f"{done} meshes voxelised, {broken} skipped.")


if __name__ == "__main__":
    define_flags()
    cli.run(main)
