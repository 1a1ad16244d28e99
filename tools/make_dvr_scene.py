r"""Makes the folders that DVR learns from: of meshes, or of your own pictures.

    python -m tools.make_dvr_scene --mesh=chair.glb --output=scene
    python -m tools.make_dvr_scene --mesh=meshes --layout=nmr --output=data/mine
    python -m tools.make_dvr_scene --images=photos --masks=masks --colmap=sparse \
        --output=scene
    python -m tools.make_dvr_scene --images=photos --masks=masks --poses=poses.csv \
        --fov=40 --output=scene
    python -m tools.make_dvr_scene --rescale=scene

--mesh draws pictures, masks and depths. With --layout=dtu (the default) every mesh is a
multi-view scene, seen from all around; with nmr and shapenet the folder of a mesh is
its class, and lists of splits are written.

--images takes pictures with poses of a COLMAP model in text form, or of a CSV of
azimuth, elevation, distance (world +Y up, azimuth 0 looks at the object's front from
-Z) and --fov. Masks are non-zero on the object; without --masks they are the alpha of
the pictures. Where the object lies in the world comes from --center and --radius, else
from COLMAP's points on the masks, else from the masks alone.

--rescale adds scale matrices to a scene that has none, or makes them anew.

tools.make_dvr_records makes records of all of them.
"""

import pathlib
import sys

import numpy as np
from absl import flags

from datasets.dvr import (
    camera_files,
    generation,
    layouts,
    own_pictures,
    pictures,
    scaling,
)
from tfrender import io
from tools import cli, mesh_folder, mesh_splits, progress

_LIST_NAMES = {"train": "train", "validation": "val", "test": "test"}
# Flags of one way alone, with the flag that chooses it.
_OWN = {
    "mesh": (
        "layout",
        "views",
        "placement",
        "elevation",
        "elevation_range",
        "distance",
    ),
    "images": ("masks", "colmap", "poses"),
}
_FLOATS = ("fov", "radius", "elevation", "distance", "fill")

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Defines the flags; not at import, because names are global to a process."""
    flags.DEFINE_string("output", None, "Folder to make; it must not exist.")
    flags.DEFINE_list("mesh", None, "Mesh files or folders of them, by comma.")
    flags.DEFINE_string("images", None, "Folder of your own pictures.")
    flags.DEFINE_string("rescale", None, "Scene whose scale matrices are made.")
    flags.DEFINE_string("masks", None, "Folder of masks; the alpha of the pictures.")
    flags.DEFINE_string("colmap", None, "COLMAP model in text form.")
    flags.DEFINE_string("poses", None, "CSV of azimuth, elevation, distance, image.")
    flags.DEFINE_float(
        "fov", None, "Full vertical field of view in degrees; 30.", 1, 170
    )
    flags.DEFINE_list("center", None, "Centre of the object in the world: x,y,z.")
    flags.DEFINE_float("radius", None, "Of a ball around the object, world units.", 0)
    flags.DEFINE_enum("layout", None, list(layouts.LAYOUTS), "Of meshes; dtu.")
    flags.DEFINE_list("image_size", ["64", "64"], "Of meshes: height,width.")
    flags.DEFINE_integer(
        "views", None, "Of meshes: pictures of an object, 24.", 2, 4096
    )
    flags.DEFINE_enum(
        "placement",
        None,
        generation.PLACEMENTS,
        "Of meshes; sphere for dtu, else ring.",
    )
    flags.DEFINE_float("elevation", None, "Of the ring in degrees; 30.", -90, 90)
    flags.DEFINE_list("elevation_range", None, "Of the sphere in degrees; -30,75.")
    flags.DEFINE_float("distance", None, "Of the cameras, object units; 2.732.", 0.9)
    flags.DEFINE_float("fill", 0.9, "Longest side of a mesh in the cube.", 0.01, 1)
    flags.DEFINE_integer("supersample", 4, "Samples of a pixel side.", 1, 8)
    flags.DEFINE_integer(
        "points", 100_000, "Of pointcloud.npz, for evaluation; 0 writes none.", 0
    )
    flags.DEFINE_integer(
        "hull_resolution", 0, "Voxels of the visual hull a side; 0: no hull depth.", 0
    )
    flags.DEFINE_list(
        "held_out", ["0.1", "0.1"], "Shares of the meshes for validation and test."
    )
    flags.DEFINE_string("class_file", None, "Lines of mesh, tab, class.")
    flags.DEFINE_integer("seed", 0, "Of points and encoder inputs.", 0)


def _way() -> str:
    """The flag that says what to do: mesh, images or rescale."""
    given = [name for name in ("mesh", "images", "rescale") if getattr(FLAGS, name)]
    if len(given) != 1:
        raise ValueError(
            "expected one of --mesh, --images and --rescale; got "
            f"{', '.join(f'--{name}' for name in given) or 'none'}."
        )
    for way, names in _OWN.items():
        alien = [name for name in names if getattr(FLAGS, name) is not None]
        if way != given[0] and alien:
            raise ValueError(f"--{alien[0]} is for --{way}; leave it out.")
    if given[0] == "mesh" and (FLAGS.center or FLAGS.radius):
        raise ValueError("--center and --radius are for --images and --rescale.")
    if given[0] == "rescale":
        if FLAGS.output:
            raise ValueError("--rescale changes the scene itself; leave out --output.")
    elif not FLAGS.output:
        raise ValueError("--output: expected a folder to make.")
    elif pathlib.Path(FLAGS.output).exists():
        raise FileExistsError(
            f"--output: {FLAGS.output} exists; remove it or choose another."
        )
    return given[0]


def _check_finite() -> None:
    """Refuses nan and inf, which no bound of a flag keeps out."""
    for name in _FLOATS:
        value = getattr(FLAGS, name)
        if value is not None and not np.isfinite(value):
            raise ValueError(f"--{name}: expected a finite number; got {value}.")


def _numbers(name: str, count: int, kind=float) -> list:
    """The numbers of a list flag."""
    texts = getattr(FLAGS, name)
    try:
        found = [kind(text) for text in texts]
    except ValueError:
        found = []
    if len(found) != count or not np.isfinite(found).all():
        raise ValueError(f"--{name}: expected {count} numbers; got {','.join(texts)}.")
    return found


def settings_from_flags() -> generation.SceneSettings:
    """How meshes are drawn.

    Raises:
        ValueError: a flag outside of its range.
    """
    layout = FLAGS.layout or "dtu"
    size = tuple(_numbers("image_size", 2, int))
    if min(size) < 2 or max(size) > 4096:
        raise ValueError(f"--image_size: expected 2 to 4096 pixels; got {size}.")
    given = {
        "placement": FLAGS.placement or ("sphere" if layout == "dtu" else "ring"),
        "views": FLAGS.views,
        "elevation_deg": FLAGS.elevation,
        "distance": FLAGS.distance,
        "fov_deg": FLAGS.fov,
    }
    if FLAGS.elevation_range is not None:
        low, high = _numbers("elevation_range", 2)
        if not -90 <= low <= high <= 90:
            raise ValueError(
                "--elevation_range: expected -90 <= low <= high <= 90; got "
                f"{low:g},{high:g}."
            )
        given["elevation_range"] = low, high
    given = {name: value for name, value in given.items() if value is not None}
    return generation.SceneSettings(
        layout,
        size,
        fill=FLAGS.fill,
        supersample=FLAGS.supersample,
        points=FLAGS.points,
        hull_resolution=FLAGS.hull_resolution,
        seed=FLAGS.seed,
        **given,
    )


def _draw_meshes() -> None:
    """Draws meshes; every object appears whole."""
    settings = settings_from_flags()
    found = mesh_folder.find_meshes(FLAGS.mesh)
    cli.check_output_folder(FLAGS.output, "--output")
    if len(found) == 1 and settings.layout == "dtu":  # the folder is the scene
        ((name, path),) = found.items()
        scene = generation.draw_scene(str(path), name, settings)
        generation.write_scene(FLAGS.output, scene, settings.layout)
    else:
        places = _folders(found, settings.layout)
        with io.build_directory(FLAGS.output) as temporary:
            for name, path in progress.bar(found.items(), "drawing"):
                scene = generation.draw_scene(str(path), name, settings)
                folder = str(pathlib.Path(temporary, places[name]))
                generation.write_scene(folder, scene, settings.layout)
            if settings.layout != "dtu":
                _write_lists(pathlib.Path(temporary), places)
    count = len(found)
    print(
        f"wrote {FLAGS.output}: {count} object{'s' * (count > 1)} of "
        f"{settings.views} views"
    )


def _folders(found, layout: str) -> dict[str, str]:
    """Name of a mesh -> its folder below --output."""
    if layout == "dtu":
        return {name: f"scenes/{name}" for name in found}
    classes = mesh_splits.object_classes(FLAGS.mesh, found, FLAGS.class_file)
    return {
        name: f"{own}/{name.removeprefix(f'{own}__')}" for name, own in classes.items()
    }


def _write_lists(root: pathlib.Path, places: dict[str, str]) -> None:
    """Lists of the objects of each split, beside the objects of each class."""
    classes = {name: place.partition("/")[0] for name, place in places.items()}
    shares = mesh_splits.held_out_shares(FLAGS.held_out)
    splits = mesh_splits.assign_splits(places, None, shares, classes)
    prefix = "softras_" if FLAGS.layout == "nmr" else ""
    for class_id in sorted(set(classes.values())):
        for split, names in splits.items():
            own = [places[n].split("/")[1] for n in names if classes[n] == class_id]
            path = root / class_id / f"{prefix}{_LIST_NAMES[split]}.lst"
            with io.write_file(path, "w") as file:
                file.write("".join(f"{name}\n" for name in own))


def _pose_pictures() -> None:
    """Makes a scene of pictures with poses."""
    if (FLAGS.colmap is None) == (FLAGS.poses is None):
        raise ValueError("--images: expected poses by either --colmap or --poses.")
    cli.check_output_folder(FLAGS.output, "--output")
    if FLAGS.colmap is not None:
        if FLAGS.fov is not None:
            raise ValueError("--fov is for --poses; COLMAP knows its own.")
        posed = own_pictures.from_colmap(FLAGS.images, FLAGS.colmap, FLAGS.masks)
    else:
        posed = own_pictures.from_poses(
            FLAGS.images, FLAGS.poses, FLAGS.masks, FLAGS.fov or 30.0
        )
    points = posed.points[posed.in_hull()]
    scale, source = _scale(posed.projections, posed.masks, points)
    own_pictures.write_scene(FLAGS.output, posed, scale)
    for note in posed.notes:
        print(f"note: {note}", file=sys.stderr)
    _tell_scale(scale, source)
    print(f"wrote {FLAGS.output}: {len(posed.paths)} views")


def _scale(projections, masks, points) -> tuple[np.ndarray, str]:
    """Scale matrix and where it comes from."""
    if (FLAGS.center is None) != (FLAGS.radius is None):
        raise ValueError("--center and --radius belong together; one is missing.")
    if FLAGS.center is not None:
        matrix = scaling.scale_matrix(_numbers("center", 3), FLAGS.radius)
        return matrix, "--center and --radius"
    matrix = scaling.scale_from_points(points)
    if matrix is not None:
        return matrix, f"{len(points)} points on the masks"
    return scaling.scale_from_masks(projections, masks), "the masks"


def _tell_scale(scale: np.ndarray, source: str) -> None:
    center = ", ".join(f"{value:.6g}" for value in scale[:3, 3])
    print(f"unit cube: centre {center}, side {scale[0, 0]:.6g} world units ({source})")


def _rescale() -> None:
    """Writes the camera file of a scene anew, with scale matrices."""
    folder = pathlib.Path(FLAGS.rescale)
    path = folder / camera_files.FILE
    arrays = camera_files.read_matrices(path)
    found = {
        name: value
        for name, value in arrays.items()
        if not name.startswith(("scale_mat_", "scale_mat_inv_"))
    }
    projections = camera_files.check_cameras(found, path).projections
    mask_folder = folder / layouts.Folders().mask
    if not mask_folder.is_dir():
        raise FileNotFoundError(f"{mask_folder}: no such folder of masks.")
    masks = [io.read_image(p)[..., 0] > 0 for p in pictures.list_pictures(mask_folder)]
    if len(masks) != len(projections) or len({m.shape for m in masks}) > 1:
        raise ValueError(
            f"{mask_folder}: expected {len(projections)} masks of one size, one for "
            f"each camera; got {len(masks)} of {len({m.shape for m in masks})} sizes."
        )
    scale, source = _scale(projections, np.stack(masks), np.zeros([0, 3]))
    for number in range(len(projections)):
        found[f"scale_mat_{number}"] = scale
        found[f"scale_mat_inv_{number}"] = np.linalg.inv(scale)
    with io.write_file(path) as file:
        np.savez(file, **found)
    _tell_scale(scale, source)
    print(f"wrote {path}")


def main():
    """Makes the folder and says what was written."""
    _check_finite()
    way = _way()
    {"mesh": _draw_meshes, "images": _pose_pictures, "rescale": _rescale}[way]()


if __name__ == "__main__":
    define_flags()
    cli.run(main)
