r"""Renders with an exported model: a RenderNet, as its demo did, or a field (DVR).

    python -m tools.render --voxel_path=chair.binvox --azimuth=250 --elevation=60
    python -m tools.render --voxel_path=chair.obj --rotate --render_dir=turntable

A RenderNet draws a voxel model or a mesh: one PNG, or with --rotate 72 of them (azimuth
0, 5 ... 355) and an animated GIF. Names carry pose and light:
000_chair_pose_250.000000_60.000000_3.300000_light_....png. Elevations are polar angles
from straight above: 0 looks down, 90 at the horizon.

    python -m tools.render --model=RUN/saved_model --output=all --image_size=480,640
    python -m tools.render --model=RUN/saved_model --camera_path=scene/cameras.npz

A field is seen from an orbit, from the cameras of a DVR scene or from those of a .json
file (see tools.camera_paths): 000_rgb.png, 000_depth.png, 000_normal.png and so on and
a GIF of each kind. Elevations of an orbit are above the horizon.
"""

import math
import pathlib
import sys
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from absl import flags

from datasets.rendernet.names import MAX_RADIUS, MIN_RADIUS
from tfrender import geometry, io
from tfrender.export import inspect, saved_model
from tools import cli, progress, render_field

DEFAULT_MODEL = "saved_models/rendernet_phong"
DEFAULT_OBJECT = "tfrender/assets/meshes/chair/scopia_silla_teca.obj"
TURNTABLE = tuple(range(0, 360, 5))
LARGEST_BATCH = 8  # a picture of 512 x 512 takes a third of a gigabyte on its way
_USUAL_RADIUS = (2.5, 4.5)
_FPS = 20.0
# Flags that a RenderNet alone has.
_OWN_FLAGS = (
    *("voxel_path", "light_azimuth", "light_elevation", "radius", "rotate"),
    "save_normals",
)

FLAGS = flags.FLAGS


class View(NamedTuple):
    """Where camera and light are; the light in camera space.

    Attributes:
        azimuth: degrees.
        elevation: polar angle from +Y, degrees.
        radius: camera distance.
        light_azimuth: degrees, 270 is behind the camera.
        light_elevation: polar angle from up, degrees.
    """

    azimuth: float = 250.0
    elevation: float = 60.0
    radius: float = 3.3
    light_azimuth: float = 250.0
    light_elevation: float = 60.0


class Frame(NamedTuple):
    """One rendered picture: float32 [H, W, C]; `normal` is None for a grey model."""

    view: View
    picture: np.ndarray
    normal: np.ndarray | None


def define_flags() -> None:
    """Defines the flags; not at import, because names are global to a process."""
    default = View()
    flags.DEFINE_string("voxel_path", DEFAULT_OBJECT, "A .binvox file or a mesh.")
    flags.DEFINE_float(
        "azimuth", None, "Of the camera, degrees; 250. Of a field's first view; 0."
    )
    flags.DEFINE_float(
        "elevation",
        None,
        "Polar angle of the camera from +Y, 0 to 180; 60. Of a field: above the "
        "horizon, -90 to 90; 30.",
    )
    flags.DEFINE_float(
        "light_azimuth", default.light_azimuth, "Degrees; 270 is behind the camera."
    )
    flags.DEFINE_float(
        "light_elevation", default.light_elevation, "Polar angle of the light."
    )
    flags.DEFINE_float("radius", default.radius, "Camera distance, 2.5 to 4.5.")
    flags.DEFINE_string("render_dir", "./render", "Folder of the pictures.")
    flags.DEFINE_boolean("rotate", False, "A full turn of 72 pictures.")
    flags.DEFINE_string(
        "model", DEFAULT_MODEL, "SavedModel folder, or a folder of numbered ones."
    )
    flags.DEFINE_boolean("gif", True, "Of several views: an animated GIF too.")
    flags.DEFINE_boolean("save_normals", False, "Write the normal maps too.")
    render_field.define_flags()


def check_view(view: View) -> None:
    """Checks that a view is finite and in range.

    Args:
        view: where camera and light are.

    Raises:
        ValueError: naming the flag.
    """
    for name, value in view._asdict().items():
        if not math.isfinite(value):
            raise ValueError(f"--{name}: expected a finite number; got {value}.")
    if not 0.0 <= view.elevation <= 180.0:
        raise ValueError(
            "--elevation: expected a polar angle in [0, 180] degrees, 0 straight "
            f"above; got {view.elevation:g}."
        )
    if not MIN_RADIUS <= view.radius <= MAX_RADIUS:
        raise ValueError(
            f"--radius: expected a distance in [{MIN_RADIUS}, {MAX_RADIUS}]; got "
            f"{view.radius:g}."
        )
    low, high = _USUAL_RADIUS
    if not low <= view.radius <= high:
        _note(f"--radius={view.radius:g} lies outside the usual {low} to {high}")


def model_folder(path: str) -> str:
    """The SavedModel that a folder holds: itself, or its highest number.

    Args:
        path: SavedModel folder, or the base folder of a server.

    Returns:
        Folder with saved_model.pb.

    Raises:
        FileNotFoundError: there is none.
    """
    base = pathlib.Path(path)
    if (base / "saved_model.pb").is_file():
        return path
    numbered = [
        int(pb.parent.name)
        for pb in base.glob("*/saved_model.pb")
        if pb.parent.name.isdecimal()
    ]
    if not numbered:
        raise FileNotFoundError(
            f"--model: {path} holds no saved_model.pb; train one with python -m "
            "trainers.rendernet and give its OUTPUT_DIR/saved_model."
        )
    return str(base / str(max(numbered)))


def load_model(folder: str) -> saved_model.Signature:
    """Loads the signature that draws: "shaded", or the default one of a grey model.

    Args:
        folder: SavedModel folder.

    Returns:
        The signature.

    Raises:
        FormatError, FileNotFoundError: no such model, or a broken one.
        ValueError: a model of another kind.
    """
    known = inspect.signatures(folder)
    name = "shaded" if "shaded" in known else "serving_default"
    wire = known.get(name)
    if wire is None or not {"voxels", "pose"} <= set(wire.inputs):
        raise ValueError(f"{folder}: expected a RenderNet, found another model.")
    return saved_model.load_signature(folder, name)


def load_voxels(path: str, side: int) -> np.ndarray:
    """Reads a binvox file, or voxelises a mesh.

    Args:
        path: .binvox file, or a mesh of any known suffix.
        side: voxels a side that the model takes.

    Returns:
        bool [side, side, side].

    Raises:
        FormatError, LimitError, FileNotFoundError: a broken file, or a grid of a side
            that is neither a multiple nor a part of the model's.
    """
    suffix = pathlib.Path(path).suffix.lower()
    if suffix in io.MESH_SUFFIXES:
        return geometry.voxelize_file(path, side)[1].occupancy
    if suffix != ".binvox":
        raise io.FormatError(
            f"{path}: expected .binvox or a mesh ({', '.join(io.MESH_SUFFIXES)})."
        )
    return fit_side(io.read_binvox(path).occupancy, side, path)


def fit_side(occupancy: np.ndarray, side: int, name: str) -> np.ndarray:
    """Brings a grid to the model's side by a whole factor.

    Shrinking, a voxel is full where any of its parts is: the rule by which meshes are
    voxelised, so thin legs survive.

    Args:
        occupancy: bool [m, m, m].
        side: n, voxels a side that the model takes.
        name: path for messages.

    Returns:
        bool [n, n, n].

    Raises:
        FormatError: not cubic, or m is neither a multiple nor a divisor of n.
    """
    shape = occupancy.shape
    have = shape[0]
    if shape != (have,) * 3:
        raise io.FormatError(
            f"{name}: expected a cubic grid; got {'x'.join(map(str, shape))}."
        )
    if have == side:
        return occupancy
    if have % side and side % have:
        raise io.FormatError(
            f"{name}: expected {side} voxels a side; got {have}. Voxelise its mesh "
            f"with python -m tools.voxelize --resolution={side}."
        )
    _note(f"{name}: {have} voxels a side brought to the model's {side}")
    if have > side:
        step = have // side
        return occupancy.reshape(side, step, side, step, side, step).any((1, 3, 5))
    for axis in range(3):
        occupancy = occupancy.repeat(side // have, axis)
    return occupancy


def draw(signature, voxels: np.ndarray, views: Sequence[View]) -> Iterator[Frame]:
    """Draws views, a few at a time.

    Args:
        signature: see `load_model`.
        voxels: bool [n, n, n].
        views: what to draw.

    Yields:
        A `Frame` for each view, in order.
    """
    starts = range(0, len(views), LARGEST_BATCH)
    for start in progress.bar(starts, "rendering"):
        part = views[start : start + LARGEST_BATCH]
        batch = np.broadcast_to(voxels[..., None], (len(part), *voxels.shape, 1))
        inputs = {
            "voxels": batch,
            "pose": [[v.azimuth, v.elevation, v.radius] for v in part],
            "light": [[v.light_azimuth, v.light_elevation] for v in part],
        }
        found = signature(**{name: inputs[name] for name in signature.inputs})
        normals = found.get("normal", [None] * len(part))
        pictures = found["shaded" if "shaded" in found else "image"]
        yield from map(Frame, part, pictures, normals)


def frame_name(number: int, model: str, view: View) -> str:
    """Name of a picture, as the original's demo makes it, without suffix.

    Args:
        number: of the picture, from 0.
        model: name of the object.
        view: where camera and light are.

    Returns:
        The name.
    """
    return (
        f"{number:03d}_{model}_pose_{view.azimuth:f}_{view.elevation:f}_{view.radius:f}"
        f"_light_{view.light_azimuth:f}_{view.light_elevation:f}"
    )


def render(
    voxel_path: str,
    model: str,
    view: View,
    render_dir: str,
    rotate: bool = False,
    gif: bool = True,
    save_normals: bool = False,
) -> list[pathlib.Path]:
    """Renders one view or a full turn into a folder.

    Args:
        voxel_path: .binvox file or mesh.
        model: SavedModel folder, or a folder of numbered ones.
        view: where camera and light are.
        render_dir: folder; made where it does not exist.
        rotate: 72 views around the object; the azimuth of `view` is not used.
        gif: with `rotate`, an animated GIF too, written last.
        save_normals: also NAME_normal.png for every picture.

    Returns:
        The files written, in order.

    Raises:
        ValueError, OSError: bad input; no file was written.
    """
    check_view(view)
    signature = load_model(model_folder(model))
    if "light" not in signature.inputs:
        if save_normals:
            raise ValueError(f"--save_normals: the model in {model} draws no normals.")
        _note(
            f"{model} draws pictures without a light; --light_azimuth and "
            "--light_elevation do not apply"
        )
    voxels = load_voxels(voxel_path, signature.inputs["voxels"].shape[1])
    turn = [view._replace(azimuth=float(a)) for a in TURNTABLE]
    folder, name = pathlib.Path(render_dir), pathlib.Path(voxel_path).stem
    written, film = [], []

    def write(stem, image):
        written.append(folder / f"{stem}.png")
        io.write_png(written[-1], image)

    for i, frame in enumerate(draw(signature, voxels, turn if rotate else [view])):
        stem = frame_name(i, name, frame.view)
        write(stem, frame.picture)
        if save_normals:
            write(f"{stem}_normal", frame.normal)
        if rotate and gif:
            film.append(io.to_uint8(frame.picture))
    if film:
        pose = frame_name(0, name, view).split("_pose_")[1].split("_", 1)[1]
        written.append(folder / f"{name}_turntable_{pose}.gif")
        io.write_gif(written[-1], film, _FPS)
    return written


def _note(text: str) -> None:
    print(f"note: {text}.", file=sys.stderr)


def _refuse(names: Sequence[str], system: str) -> None:
    """Refuses flags of the other system, which would be ignored in silence."""
    for name in names:
        if FLAGS[name].present:
            raise ValueError(
                f"--{name}: is of no use to {system}, which this model is."
            )


def main() -> None:
    """Reads the flags, renders, says what was written."""
    folder = model_folder(FLAGS.model)
    if render_field.is_field(folder):
        _refuse(_OWN_FLAGS, "a field")
        written = render_field.render_from_flags(folder)
    else:
        _refuse(render_field.OWN_FLAGS, "a RenderNet")
        given = {name: FLAGS[name].value for name in View._fields}
        written = render(
            FLAGS.voxel_path,
            folder,
            View(**{name: v for name, v in given.items() if v is not None}),
            FLAGS.render_dir,
            FLAGS.rotate,
            FLAGS.gif,
            FLAGS.save_normals,
        )
    if len(written) == 1:
        print(f"wrote {written[0]}")
    else:
        print(f"wrote {len(written)} files, {written[0].name} to {written[-1].name}")


if __name__ == "__main__":
    define_flags()
    cli.run(main)
