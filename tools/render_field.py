"""Renders a trained field (DVR) from any camera path, at any size.

The SavedModel's own pictures have one size; here its signature `field` is marched along
the rays of other cameras. `tools.render` is the program.
"""

import pathlib
import sys
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from absl import flags

from datasets.dvr import pictures
from tfrender import cameras, io
from tfrender.export import inspect
from tfrender.ops.march_rays import MarchSettings, march_rays
from tfrender.ops.ray_cube import ray_cube
from tools import camera_paths, cli, progress
from tools.field_model import FieldModel

KINDS = ("rgb", "depth", "normal")
BACKGROUNDS = {"white": 1.0, "black": 0.0}
# Flags that a field alone has.
OWN_FLAGS = (
    *("camera_path", "n_views", "first_view", "distance", "fov", "image_size"),
    *("output", "background", "input_picture", "march_samples"),
)
# Of an orbit, in the order of `camera_paths.orbit`.
_ORBIT = {"azimuth": 0.0, "elevation": 30.0, "distance": 2.0, "fov": 45.0}
_ORBIT_VIEWS = 36
_HALF_SIZE = 0.55  # the field is trained a little beyond the object's cube
_CHUNK = 2**14  # points whose colours are computed at once
_FPS = 20.0
_LARGEST_SIDE = 8192

FLAGS = flags.FLAGS


class Frame(NamedTuple):
    """One rendered picture.

    Attributes:
        rgb: float32 [H, W, 3] on the background; None for a field without colours.
        mask: bool [H, W].
        depth: float32 [H, W] planar, object units, 0 where empty.
        normal: float32 [H, W, 3] unit, object space, towards the camera, 0 where empty.
    """

    rgb: np.ndarray | None
    mask: np.ndarray
    depth: np.ndarray
    normal: np.ndarray


def define_flags() -> None:
    """Defines `OWN_FLAGS`; `tools.render` has the others."""
    flags.DEFINE_string(
        "camera_path", camera_paths.ORBIT, "orbit, cameras.npz of DVR, or a .json file."
    )
    flags.DEFINE_integer("n_views", None, "36 on an orbit, or all of a file.", 1)
    flags.DEFINE_integer("first_view", None, "Number of a file's first view; 0.", 0)
    flags.DEFINE_float("distance", None, "Of an orbit from the origin; 2.")
    flags.DEFINE_float(
        "fov", None, "Full vertical field of view of an orbit, degrees; 45."
    )
    flags.DEFINE_list("image_size", ["256"], "HEIGHT,WIDTH or one side in pixels.")
    flags.DEFINE_enum("output", "rgb", [*KINDS, "all"], "What is drawn.")
    flags.DEFINE_enum("background", "white", list(BACKGROUNDS), "Behind the object.")
    flags.DEFINE_string("input_picture", None, "Picture that the code is made of.")
    flags.DEFINE_integer("march_samples", 128, "Samples of a ray.", 2, 2**14)


def is_field(folder: str) -> bool:
    """Whether a SavedModel is a field.

    Args:
        folder: SavedModel folder.

    Returns:
        True where it has the signature `field`.
    """
    return "field" in inspect.signatures(folder)


class FieldRenderer:
    """A field of a SavedModel, ready to be seen from cameras."""

    def __init__(
        self,
        folder: str,
        image_size: tuple[int, int],
        samples: int = 128,
        background: str = "white",
        picture: str | None = None,
    ):
        """Loads the field; a conditional one makes its code of a picture.

        Args:
            folder: SavedModel folder.
            image_size: (height, width).
            samples: of a ray inside the cube.
            background: one of `BACKGROUNDS`.
            picture: PNG or JPEG of the object on white; for conditional fields.

        Raises:
            FormatError, FileNotFoundError: no such model or picture, or a broken one.
            ValueError: a model of another kind, a picture that is missing or for a
                field without a code, or sizes out of range.
        """
        if min(image_size) < 1 or max(image_size) > _LARGEST_SIDE:
            raise ValueError(
                f"--image_size: expected sides in [1, {_LARGEST_SIDE}]; got "
                f"{','.join(map(str, image_size))}."
            )
        if background not in BACKGROUNDS:
            raise ValueError(
                f"--background: expected {' or '.join(BACKGROUNDS)}; got "
                f"{background!r}."
            )
        self.image_size = tuple(image_size)
        self.background = BACKGROUNDS[background]
        self.settings = MarchSettings(samples)
        model = FieldModel(folder)
        self.colors = model.has_colors
        if model.conditional != (picture is not None):
            raise ValueError(
                f"--input_picture: the field in {folder} "
                + (
                    "needs the picture of an object."
                    if model.conditional
                    else "takes no picture."
                )
            )
        code = None
        if picture is not None:
            side = (model.input_size, model.input_size)
            image = pictures.resize(pictures.read_on_white(picture), side)
            code = model.code(image.astype(np.float32) / 255.0)
        self._logits, self._color = model.graph(code), model.color(code)

    def __call__(self, camera: cameras.Camera) -> Frame:
        """Renders one view.

        Args:
            camera: Camera of batch 1, in object space.

        Returns:
            `Frame`.
        """
        height, width = self.image_size
        rays = self._march(*camera)
        depth, hit, origins, directions = (value.numpy() for value in rays)
        index = np.flatnonzero(hit)
        points = origins[index] + depth[index, np.newaxis] * directions[index]
        rgb = np.full((height * width, 3), self.background, np.float32)
        normal = np.zeros((height * width, 3), np.float32)
        for start in range(0, len(index), _CHUNK):
            part = slice(start, start + _CHUNK)
            slope = self._slope(points[part]).numpy()
            length = np.linalg.norm(slope, axis=-1, keepdims=True)
            normal[index[part]] = -slope / np.maximum(length, 1e-12)
            if self.colors:
                rgb[index[part]] = self._color(points[part])
        shape = (height, width)
        return Frame(
            rgb.reshape(*shape, 3) if self.colors else None,
            hit.reshape(shape),
            depth.reshape(shape),
            normal.reshape(*shape, 3),
        )

    @tf.function(input_signature=2 * [tf.TensorSpec([1, 4, 4])])
    def _march(self, world_to_camera, projection):
        """Depth and hit of every ray, [H * W], and the rays."""
        height, width = self.image_size
        x, y = tf.meshgrid(tf.range(width), tf.range(height))
        pixels = tf.reshape(tf.stack([x, y], axis=-1), [1, height * width, 2])
        camera = cameras.Camera(world_to_camera, projection)
        origins, directions = cameras.pixel_rays(
            camera, tf.cast(pixels, tf.float32) + 0.5, self.image_size
        )
        origins, directions = origins[0], directions[0]

        def occupancy(points, ray):
            del ray  # all of one object
            return self._logits(points)

        span = ray_cube(origins, directions, _HALF_SIZE)
        found = march_rays(
            *(occupancy, origins, directions, span.near, span.far, self.settings),
            form="graph",
        )
        return found.depth, found.hit, origins, directions

    @tf.function(input_signature=[tf.TensorSpec([None, 3])])
    def _slope(self, points):
        """Gradient of the occupancy, which grows inwards."""
        with tf.GradientTape() as tape:
            tape.watch(points)
            total = tf.reduce_sum(self._logits(points))
        return tape.gradient(total, points)


def depth_picture(depth: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Grey values of a depth map, as the original draws them.

    Args:
        depth: [H, W].
        mask: bool [H, W].

    Returns:
        uint8 [H, W, 1]: 255 (0.5 + 0.45 (z - min) / (max - min)), nearer is darker;
        255 outside of the mask.
    """
    grey = np.full(depth.shape, 255.0)
    if mask.any():
        low, high = depth[mask].min(), depth[mask].max()
        grey[mask] = 255.0 * (0.5 + 0.45 * (depth[mask] - low) / max(high - low, 1e-9))
    return grey.astype(np.uint8)[..., np.newaxis]


def picture_of(frame: Frame, kind: str, background: float) -> np.ndarray:
    """A frame as a picture.

    Args:
        frame: what was rendered.
        kind: one of `KINDS`.
        background: grey behind the normals, 0 to 1.

    Returns:
        uint8 [H, W, 1 or 3].
    """
    if kind == "depth":
        return depth_picture(frame.depth, frame.mask)
    if kind == "normal":
        mask = frame.mask[..., np.newaxis]
        return io.to_uint8(np.where(mask, 0.5 + 0.5 * frame.normal, background))
    return io.to_uint8(np.clip(frame.rgb, 0.0, 1.0))


def render(
    renderer: FieldRenderer,
    camera: cameras.Camera,
    render_dir: str,
    kinds: Sequence[str] = ("rgb",),
    gif: bool = True,
) -> list[pathlib.Path]:
    """Renders the views of a camera path into a folder.

    Args:
        renderer: see there.
        camera: Camera of batch V.
        render_dir: folder; made where it does not exist.
        kinds: out of `KINDS`.
        gif: of several views, an animated GIF of each kind too, written last.

    Returns:
        The files written: 000_rgb.png, 000_depth.png, ... and rgb.gif.

    Raises:
        ValueError: colours of a field without them; nothing was written.
    """
    if "rgb" in kinds and not renderer.colors:
        raise ValueError(
            "--output: this field has no colours; expected depth or normal, got rgb."
        )
    folder = pathlib.Path(render_dir)
    count = camera.world_to_camera.shape[0]
    films, written, empty = {kind: [] for kind in kinds}, [], True
    for view in progress.bar(range(count), "rendering"):
        frame = renderer(cameras.Camera(*(part[view : view + 1] for part in camera)))
        empty = empty and not frame.mask.any()
        for kind in kinds:
            image = picture_of(frame, kind, renderer.background)
            written.append(folder / f"{view:03d}_{kind}.png")
            io.write_png(written[-1], image)
            films[kind].append(image)
    if gif and count > 1:
        for kind, film in films.items():
            written.append(folder / f"{kind}.gif")
            io.write_gif(written[-1], film, _FPS)
    if empty:
        print(
            "note: no picture shows a surface: the field is empty or full, or the "
            "cameras look past the object or stand inside of it.",
            file=sys.stderr,
        )
    return written


def render_from_flags(folder: str) -> list[pathlib.Path]:
    """Renders as the flags say.

    Args:
        folder: SavedModel folder of a field.

    Returns:
        The files written.

    Raises:
        ValueError, OSError: bad input; no file was written.
    """
    size = _image_size(FLAGS.image_size)
    cli.check_output_folder(FLAGS.render_dir, "--render_dir")
    camera = _camera(size)
    renderer = FieldRenderer(
        *(folder, size, FLAGS.march_samples, FLAGS.background, FLAGS.input_picture)
    )
    kinds = (FLAGS.output,)
    if FLAGS.output == "all":
        kinds = KINDS if renderer.colors else KINDS[1:]
    return render(renderer, camera, FLAGS.render_dir, kinds, FLAGS.gif)


def _camera(size: tuple[int, int]) -> cameras.Camera:
    """Camera of batch V, as the flags say."""
    around = FLAGS.camera_path == camera_paths.ORBIT
    given = {name: getattr(FLAGS, name) for name in (*_ORBIT, "first_view")}
    given = {name: value for name, value in given.items() if value is not None}
    alien = [name for name in given if (name == "first_view") == around]
    if alien:
        raise ValueError(
            f"--{alien[0]}: is for "
            + (
                "cameras of a file; --camera_path names none."
                if around
                else "an orbit; the cameras are those of --camera_path."
            )
        )
    if around:
        place = {**_ORBIT, **given}
        return camera_paths.orbit(
            FLAGS.n_views or _ORBIT_VIEWS, size, *(place[name] for name in _ORBIT)
        )
    camera = camera_paths.read(FLAGS.camera_path, size)
    count, first = camera.world_to_camera.shape[0], FLAGS.first_view or 0
    last = first + (FLAGS.n_views or max(count - first, 1))
    if last > count:
        raise ValueError(
            f"{FLAGS.camera_path}: expected at least {last} views; got {count}."
        )
    return cameras.Camera(*(part[first:last] for part in camera))


def _image_size(texts) -> tuple[int, int]:
    """(height, width) of one or two numbers."""
    numbers = [int(text) for text in texts if text.strip().isdecimal()]
    if len(numbers) != len(texts) or len(numbers) not in (1, 2):
        raise ValueError(
            f"--image_size: expected HEIGHT,WIDTH; got {','.join(texts)!r}."
        )
    return numbers[0], numbers[-1]
