r"""Makes a mesh from one picture of an object.

    python -m tools.reconstruct -i car.png -oi car_views.png -oo car.obj
    python -m tools.reconstruct --input=photo.jpg --output_obj=car.glb \
        --output_gif=car.gif --background=255,255,255
    python -m tools.reconstruct -d ./data/models -eid multiclass -i in.png -oo out.obj

Kato, Ushiku and Harada, "Neural 3D Mesh Renderer", CVPR 2018. The flags, short ones
too, are those of the published program. The guide is docs/reconstruct.md.
"""

import math
import os
import sys
import time

import numpy as np
import tensorflow as tf
from absl import flags

from tfrender import io
from tools import cli, object_mask, photo_colors, reconstructor_loading, shape_views

FLAGS = flags.FLAGS
COLORS = ("auto", "photo", "model", "none")
CROPS = ("auto", "none", "object")
MESH_SUFFIXES = (".obj", ".glb", ".ply")
MOST_VIEWS = 360
_PUBLISHED_SIZE = 64  # of RGBA pictures that are taken as they are
_PLAIN = 2 / 255  # deviation of colours below which there are none
_GOOD_IOU, _CLOSE_IOU = 0.7, 0.01
# Second names of the flags: the published program's.
_ALIASES = {
    "eid": "experiment_id",
    "d": "model_directory",
    "i": "input",
    "oi": "output_image",
    "oo": "output_obj",
    "s": "seed",
    "g": "gpu",
}


def define_flags() -> None:
    """Defines the flags; not at import, because names are global to a process."""
    f = flags
    f.DEFINE_string("input", None, "Picture, PNG or JPEG.", required=True)
    f.DEFINE_string(
        "output_image", None, "PNG to write: the mesh from 16 sides, or --azimuths."
    )
    f.DEFINE_string("output_obj", None, "Mesh to write, .obj, .glb or .ply.")
    f.DEFINE_string("output_glb", None, "Mesh to write as .glb too.")
    f.DEFINE_string("output_gif", None, "GIF to write: the mesh turning.")
    f.DEFINE_string(
        "model",
        None,
        "SavedModel folder, or OUTPUT_DIR of trainers.mesh_reconstruction; "
        "the shipped saved_models/mesh_reconstruction where neither this nor "
        "--experiment_id is given.",
    )
    f.DEFINE_string("model_directory", "./data/models", "Folder of --experiment_id.")
    f.DEFINE_string("experiment_id", None, "Model: a folder in --model_directory.")
    f.DEFINE_list("azimuths", None, "Of --output_image, degrees; 0 is in front.")
    f.DEFINE_enum(
        "crop",
        "auto",
        CROPS,
        "object: the object is brought to the usual size and place; none: the whole "
        "picture is used; auto: object, but RGBA pictures of 64 x 64 as they are.",
    )
    f.DEFINE_float(
        "object_side",
        64 * object_mask.FRAME_SIDE,
        "Of a cropped picture: pixels of 64 along the longest side of the object, as "
        "in the training data: 40 fits those made with --fill=0.9, as the shipped "
        "model's; 45 those made with --fill=1, and the published ones.",
        object_mask.FEWEST_PIXELS,
        64.0,
    )
    f.DEFINE_string(
        "background", "auto", "auto, alpha, or R,G,B of the background in 0 to 255."
    )
    f.DEFINE_bool("keep_all", False, "Use all objects in the picture.")
    f.DEFINE_enum(
        "colors",
        "auto",
        COLORS,
        "Of the vertices: read from the photo, the model's own, or none; auto: the "
        "model's where it has some, else the photo's.",
    )
    f.DEFINE_integer("seed", 0, "Taken for old commands; nothing here is random.")
    f.DEFINE_integer("gpu", 0, "Number of the GPU where there are some; -1: CPU.", -1)
    for short, name in _ALIASES.items():
        f.DEFINE_alias(short, name)


def parse_background(text: str) -> str | tuple[float, ...]:
    """What --background says: "auto", "alpha" or three numbers."""
    if text in ("auto", "alpha"):
        return text
    try:
        color = tuple(float(word) for word in text.split(","))
    except ValueError:
        color = ()
    if len(color) != 3 or not all(0.0 <= level <= 255.0 for level in color):
        raise ValueError(
            "--background: expected auto, alpha or three numbers R,G,B in 0 to 255; "
            f"got {text!r}."
        )
    return color


def parse_azimuths(texts) -> tuple[float, ...]:
    """Azimuths of --azimuths, the published ones where it is None."""
    if texts is None:
        return shape_views.PUBLISHED_AZIMUTHS_DEG
    try:
        found = tuple(float(text) for text in texts)
    except ValueError:
        found = ()
    wrong = [a for a in found if not math.isfinite(a) or not -360.0 <= a <= 360.0]
    if wrong or not 0 < len(found) <= MOST_VIEWS:
        raise ValueError(
            f"--azimuths: expected 1 to {MOST_VIEWS} numbers of degrees in -360 to "
            f"360 by comma; got {','.join(texts)!r}."
        )
    return found


def check_outputs(outputs: dict[str, tuple[str | None, tuple[str, ...]]]) -> None:
    """Refuses places where nothing can be written, before the work.

    Args:
        outputs: flag -> (path or None, accepted suffixes).

    Raises:
        ValueError: none is given, another suffix, or two flags for one file.
        OSError: a folder that is not there or cannot be written to.
    """
    given = {flag: path for flag, (path, _) in outputs.items() if path}
    if not given:
        names = ", ".join(f"--{flag}" for flag in outputs)
        raise ValueError(f"expected at least one of {names}; got none.")
    if len({os.path.abspath(path) for path in given.values()}) < len(given):
        raise ValueError(f"expected a file for each output; got {given}.")
    for flag, name in given.items():
        cli.check_output_file(name, outputs[flag][1], f"--{flag}")


def choose_device(number: int) -> None:
    """Leaves one GPU visible, or none.

    Args:
        number: of the GPU; -1 for none. A machine without any uses its CPU.

    Raises:
        ValueError: there are GPUs, but none of this number.
    """
    there = tf.config.list_physical_devices("GPU")
    if number >= 0 and there and number >= len(there):
        raise ValueError(
            f"--gpu: expected a number below {len(there)}, or -1; got {number}."
        )
    chosen = there[number : number + 1] if number >= 0 else []
    if there:
        tf.config.set_visible_devices(chosen, "GPU")


def read_object(path: str, background, keep_all: bool, crop: str, side: float):
    """Reads a picture and cuts out its object.

    Args:
        path: PNG or JPEG.
        background: see `object_mask.cut_out`.
        keep_all: see `object_mask.cut_out`.
        crop: one of `CROPS`.
        side: share of the frame along the longest side of a cropped object.

    Returns:
        cutout: `object_mask.Cutout`.
        box: `object_mask.Box` that the network is shown.

    Raises:
        ValueError, OSError: with the path.
    """
    picture = object_mask.upright(io.read_image(path), path)
    # Made for the network, as are those of the published program.
    ready = (
        picture.shape == (_PUBLISHED_SIZE, _PUBLISHED_SIZE, 4)
        and picture[..., 3].min() < 255
        and isinstance(background, str)
        and crop == "auto"
    )
    try:
        cutout = object_mask.cut_out(picture, background, keep_all or ready)
    except ValueError as error:
        raise ValueError(f"{path}: {error}.") from error
    for note in cutout.notes:
        warn(f"{path}: {note}")
    if ready or crop == "none":
        return cutout, object_mask.whole_box(cutout)
    return cutout, object_mask.object_box(cutout, side)


def has_colors(photo: np.ndarray) -> bool:
    """Whether a picture [S, S, 4] shows more than a silhouette in black or white."""
    solid = photo[photo[..., 3] > 0.9][:, :3]
    if not len(solid):
        return False
    grey = np.ptp(solid.mean(0)) <= _PLAIN
    return not grey or bool(solid.std(0).max() > _PLAIN)


def colored(shape, photo: np.ndarray, mask: np.ndarray, source: str):
    """A shape with the colours asked for.

    Args:
        shape: `reconstructor_loading.Shape`.
        photo: float32 [P, P, 4], what the network is shown, larger.
        mask: float32 [S, S], coverage of what it is shown.
        source: one of `COLORS`.

    Returns:
        The shape, and a line that says where its colours are from.

    Raises:
        ValueError: the model's are asked for and it has none.
    """
    if source == "model" and shape.colors is None:
        raise ValueError("--colors=model: expected a model with colours; it has none.")
    if source == "none":
        return shape._replace(colors=None), "no colours"
    if source != "photo" and shape.colors is not None:
        return shape, "the model's colours"
    if source == "auto" and not has_colors(photo):
        return shape, "no colours, as the picture has none"
    view = photo_colors.find_view(shape.vertices, shape.faces, mask)
    if view.iou < _GOOD_IOU:
        warn(
            "the mesh's silhouette fits the picture's with an IoU of "
            f"{view.iou:.2f} at most; its colours may be misplaced"
        )
    elif view.iou - view.other_iou < _CLOSE_IOU:
        warn(
            f"the mesh fits as well from azimuth {view.other_deg:.0f} (IoU "
            f"{view.other_iou:.3f}) as from {view.azimuth_deg:.0f} ({view.iou:.3f}); "
            "its colours may be on the wrong side"
        )
    found, share = photo_colors.read_colors(
        shape.vertices, shape.faces, view.azimuth_deg, photo
    )
    told = (
        f"seen from azimuth {view.azimuth_deg:.0f} (silhouette IoU {view.iou:.3f}; "
        f"next {view.other_deg:.0f}, {view.other_iou:.3f}), {share:.0%} of the "
        "vertices coloured by the picture"
    )
    return shape._replace(colors=found), told


def warn(text: str) -> None:
    """One line on standard error."""
    print(f"warning: {text}.", file=sys.stderr, flush=True)


def write(shape, outputs: dict[str, str | None], azimuths_deg) -> list[str]:
    """Draws and writes what is asked for; nothing is written before all is drawn.

    Args:
        shape: `reconstructor_loading.Shape`.
        outputs: flag -> path or None.
        azimuths_deg: of the sheet.

    Returns:
        The paths written.
    """
    drawn = {}
    if outputs["output_image"]:
        drawn["output_image"] = shape_views.published_views(shape, azimuths_deg)
    if outputs["output_gif"]:
        drawn["output_gif"] = shape_views.turntable(shape)
    given = {flag: path for flag, path in outputs.items() if path}
    for flag, path in given.items():
        if flag == "output_image":
            io.write_png(path, drawn[flag])
        elif flag == "output_gif":
            io.write_gif(path, drawn[flag], shape_views.FPS)
        else:
            io.save_mesh(path, shape.vertices, shape.faces, vertex_colors=shape.colors)
    return list(given.values())


def main():
    """Reads a picture, makes a mesh of it, colours it, writes."""
    clock = time.monotonic()
    wanted = {
        "output_obj": (FLAGS.output_obj, MESH_SUFFIXES),
        "output_glb": (FLAGS.output_glb, (".glb",)),
        "output_image": (FLAGS.output_image, (".png",)),
        "output_gif": (FLAGS.output_gif, (".gif",)),
    }
    check_outputs(wanted)
    azimuths = parse_azimuths(FLAGS.azimuths)
    background = parse_background(FLAGS.background)
    folder = reconstructor_loading.choose_folder(
        FLAGS.model, FLAGS.model_directory, FLAGS.experiment_id
    )
    side = FLAGS.object_side / 64
    cutout, box = read_object(FLAGS.input, background, FLAGS.keep_all, FLAGS.crop, side)
    choose_device(FLAGS.gpu)
    network = reconstructor_loading.load(folder)
    image = object_mask.frame(cutout, network.image_size, box)
    photo = object_mask.frame(cutout, photo_colors.PHOTO_SIZE, box)
    shape, told = colored(network(image), photo, image[..., 3], FLAGS.colors)
    print(
        f"{FLAGS.input}: {len(shape.vertices)} vertices, {len(shape.faces)} faces, "
        f"{told}"
    )
    written = write(shape, {k: path for k, (path, _) in wanted.items()}, azimuths)
    seconds = time.monotonic() - clock
    print(f"wrote {', '.join(written)} in {seconds:.1f} s")


if __name__ == "__main__":
    define_flags()
    cli.run(main)
