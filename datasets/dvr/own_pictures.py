"""Makes a scene folder of one's own pictures, masks and poses."""

import csv
import math
import pathlib
import shutil
from typing import NamedTuple

import numpy as np

from datasets.dvr import camera_files, colmap, pictures, visual_hull
from datasets.dvr.layouts import Folders
from tfrender import cameras, io
from tfrender.io import FormatError

_COLUMNS = ("azimuth", "elevation", "distance")
_OPAQUE = 128


class PosedPictures(NamedTuple):
    """Pictures with cameras.

    Attributes:
        paths: of the V pictures.
        masks: bool [V, H, W].
        camera_mats: float64 [V, 4, 4].
        world_mats: float64 [V, 4, 4].
        visible: indices into `points` of each view.
        points: float64 [N, 3] world.
        colors: uint8 [N, 3].
        notes: lines for the user.
    """

    paths: list[pathlib.Path]
    masks: np.ndarray
    camera_mats: np.ndarray
    world_mats: np.ndarray
    visible: list[np.ndarray]
    points: np.ndarray
    colors: np.ndarray
    notes: list[str]

    @property
    def projections(self) -> np.ndarray:
        """World to image plane, float64 [V, 4, 4]."""
        return self.camera_mats @ self.world_mats

    def in_hull(self) -> np.ndarray:
        """Which points lie on the mask of every view that shows them, bool [N].

        A pixel of grace: a mask knows the centres of pixels alone.
        """
        height, width = size = self.masks.shape[1:]
        kept = np.ones(len(self.points), bool)
        for projection, narrow in zip(self.projections, self.masks, strict=True):
            mask = visual_hull.grow(narrow, 1)
            *places, depth = camera_files.to_pixels(self.points, projection, size)
            row, column = map(np.rint, places)
            shown = (depth > 0) & (column >= 0) & (column < width)
            shown &= (row >= 0) & (row < height)
            kept[shown] &= mask[row[shown].astype(int), column[shown].astype(int)]
        return kept


def from_colmap(folder: str, model: str, mask_folder: str | None) -> PosedPictures:
    """Pictures posed by COLMAP.

    Args:
        folder: of the pictures.
        model: folder of the model in text form.
        mask_folder: of masks NAME.png or NAME.jpg.png; None takes the alpha channel.

    Returns:
        `PosedPictures`; pictures that COLMAP did not pose are left out with a note.

    Raises:
        FileNotFoundError: a posed picture or a mask that is missing.
        FormatError: see `colmap.read_model`; pictures of different size.
    """
    found = colmap.read_model(model)
    if len(found.pictures) < 2:
        raise FormatError(
            f"{model}: expected two posed pictures or more; got {len(found.pictures)}."
        )
    root = pathlib.Path(folder)
    paths, intrinsics = [], []
    for picture in found.pictures:
        path = root / picture.name
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such picture; {model} poses it.")
        paths.append(path)
        intrinsics.append(picture.intrinsics)
    others = sorted(set(pictures.list_pictures(root)) - set(paths))
    notes = [
        f"{len(others)} pictures have no pose in {model}, {p.name} the first."
        for p in others[:1]
    ]
    masks = _read_masks(paths, mask_folder)
    size = masks.shape[1:]
    for picture in found.pictures:
        if picture.image_size != size:
            height, width = picture.image_size
            raise FormatError(
                f"{root / picture.name}: expected {width} x {height} pixels, as its "
                f"camera has in {model}; got {size[1]} x {size[0]}."
            )
    place = {int(number): i for i, number in enumerate(found.ids)}
    visible = [
        np.array(sorted({place[i] for i in p.points.tolist() if i in place}), np.int64)
        for p in found.pictures
    ]
    return PosedPictures(
        paths,
        masks,
        np.stack([camera_matrix(k, size) for k in intrinsics]),
        np.stack([p.world_to_camera for p in found.pictures]),
        visible,
        found.points,
        found.colors,
        notes,
    )


def camera_matrix(intrinsics: np.ndarray, image_size) -> np.ndarray:
    """DVR's camera_mat of intrinsics in pixels.

    u = 2 (x - 0.5) / (W - 1) - 1 takes the centre of the first pixel, x = 0.5, to -1
    and that of the last to 1; y likewise.

    Args:
        intrinsics: [3, 3] K in pixels, centres at + 0.5.
        image_size: (height, width).

    Returns:
        float64 [4, 4].
    """
    height, width = image_size
    plane = np.eye(3)
    for axis, side in ((0, width), (1, height)):
        plane[axis, axis] = 2.0 / (side - 1)
        plane[axis, 2] = -1.0 / (side - 1) - 1.0
    matrix = np.eye(4)
    matrix[:3, :3] = plane @ intrinsics
    return matrix


def from_poses(
    folder: str, csv_path: str, mask_folder: str | None, fov_deg: float
) -> PosedPictures:
    """Pictures posed by azimuth, elevation and distance.

    Args:
        folder: of the pictures.
        csv_path: CSV with a line of titles: azimuth and elevation in degrees, distance
            from the origin, and image, the name of a file; without the column image the
            lines belong to the pictures in the order of their names.
        mask_folder: see `from_colmap`.
        fov_deg: full vertical field of view, degrees.

    Returns:
        `PosedPictures`, without points.

    Raises:
        FileNotFoundError, FormatError: files that are missing, broken, or do not belong
            together.
    """
    rows = _read_rows(csv_path)
    root = pathlib.Path(folder)
    if not root.is_dir():
        raise FileNotFoundError(f"{root}: no such folder of pictures.")
    if "image" in rows[0]:
        paths = [root / row["image"] for row in rows]
        for path in paths:
            if not path.is_file():
                raise FileNotFoundError(f"{path}: no such picture; {csv_path} has it.")
    else:
        paths = pictures.list_pictures(root)
        if len(paths) != len(rows):
            raise FormatError(
                f"{csv_path}: expected {len(paths)} lines, one for each picture in "
                f"{root}; got {len(rows)}."
            )
    masks = _read_masks(paths, mask_folder)
    height, width = masks.shape[1:]
    azimuth, elevation, distance = (
        np.array([row[name] for row in rows], np.float32) for name in _COLUMNS
    )
    lens = cameras.perspective(np.full(len(rows), fov_deg, np.float32), width / height)
    camera = cameras.Camera(cameras.orbit(azimuth, elevation, distance), lens)
    matrices = cameras.to_dvr(camera, (height, width))
    camera_mats, world_mats = (np.asarray(m, np.float64) for m in matrices)
    nothing = [np.zeros(0, np.int64)] * len(rows)
    points, colors = np.zeros([0, 3]), np.zeros([0, 3], np.uint8)
    return PosedPictures(
        *(paths, masks, camera_mats, world_mats, nothing, points, colors, [])
    )


def _read_rows(path: str) -> list[dict]:
    """Lines of the table, its numbers as such."""
    if not pathlib.Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file of poses.")
    try:
        text = pathlib.Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise FormatError(f"{path}: expected a text of values; {error}.") from error
    reader = csv.DictReader(text.splitlines(), skipinitialspace=True)
    titles = [title.strip() for title in reader.fieldnames or ()]
    missing = [name for name in _COLUMNS if name not in titles]
    if missing:
        raise FormatError(
            f"{path}: expected the titles {', '.join(_COLUMNS)} and maybe image; "
            f"missing {missing[0]}."
        )
    reader.fieldnames, rows = titles, []
    for number, row in enumerate(reader, 2):
        try:
            values = {name: float(row[name]) for name in _COLUMNS}
        except (TypeError, ValueError):
            values = {}
        if not values or not all(map(math.isfinite, values.values())):
            raise FormatError(
                f"{path}: line {number}: expected numbers for {', '.join(_COLUMNS)}."
            )
        if values["distance"] <= 0:
            raise FormatError(f"{path}: line {number}: expected a distance above 0.")
        if "image" in titles:
            values["image"] = (row["image"] or "").strip()
        rows.append(values)
    if len(rows) < 2:
        raise FormatError(f"{path}: expected two views or more; got {len(rows)}.")
    return rows


def _read_masks(paths, mask_folder) -> np.ndarray:
    """Masks of pictures, bool [V, H, W]."""
    masks = []
    for path in paths:
        if mask_folder is None:
            mask = io.read_image(path, 4)[..., 3] >= _OPAQUE
        else:
            own = _mask_of(path, pathlib.Path(mask_folder))
            mask = io.read_image(own)[..., 0] > 0
            size = io.read_image(path).shape[:2]
            if mask.shape != size:
                raise FormatError(
                    f"{own}: expected {size[1]} x {size[0]} pixels, as in {path}; got "
                    f"{mask.shape[1]} x {mask.shape[0]}."
                )
        if masks and mask.shape != masks[0].shape:
            height, width = masks[0].shape
            raise FormatError(
                f"{path}: expected {width} x {height} pixels, as in {paths[0].name}; "
                f"got {mask.shape[1]} x {mask.shape[0]}."
            )
        masks.append(mask)
    masks = np.stack(masks)
    if not masks.any():
        raise FormatError(f"{mask_folder or paths[0].parent}: every mask is empty.")
    if masks.all():
        raise FormatError(
            f"{paths[0].parent}: every mask is full; expected --masks, or pictures "
            "whose alpha is 0 beside the object."
        )
    return masks


def _mask_of(path: pathlib.Path, folder: pathlib.Path) -> pathlib.Path:
    """Mask of a picture: of the same name, or as COLMAP names them."""
    stems = (path.stem, path.name)
    names = [f"{stem}{suffix}" for stem in stems for suffix in pictures.SUFFIXES]
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(f"{folder / names[0]}: no such mask of {path}.")


def write_scene(folder: str, posed: PosedPictures, scale_mat: np.ndarray) -> None:
    """Writes a scene in the layout of DTU, wholly or not at all.

    Args:
        folder: must not exist.
        posed: pictures with cameras; files are copied as they are.
        scale_mat: [4, 4] object space to world.

    Raises:
        FileExistsError: the folder exists.
    """
    with io.build_directory(folder) as temporary:
        root = pathlib.Path(temporary)
        for name in (Folders().image, Folders().mask):
            (root / name).mkdir()
        for number, path in enumerate(posed.paths):
            stem = f"{number:04d}"
            shutil.copyfile(
                path, root / Folders().image / f"{stem}{path.suffix.lower()}"
            )
            mask = root / Folders().mask / f"{stem}.png"
            io.write_png(mask, posed.masks[number])
        camera_files.write_cameras(
            root / camera_files.FILE, posed.camera_mats, posed.world_mats, scale_mat
        )
        if len(posed.points):
            visible = {f"visibility_{i:04d}": v for i, v in enumerate(posed.visible)}
            with io.write_file(root / "pcl.npz") as file:
                np.savez(
                    file,
                    points=posed.points,
                    colors=posed.colors,
                    is_in_visual_hull=posed.in_hull(),
                    **visible,
                )
