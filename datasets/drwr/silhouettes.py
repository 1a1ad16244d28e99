"""Masks, their distance pictures, and points on them.

Points lie in frame coordinates: the picture is [-0.5, 0.5]^2, x to the right, y up, and
pixel (row i, column j) of H x W has its centre at ((j + 0.5) / W - 0.5,
0.5 - (i + 0.5) / H). The modes of `sample_points` are those of Han et al., "2D
projection matching" (ICCV 2021), whose points lie half a pixel beside the pixels.
"""

import math
import zlib

import numpy as np
from scipy import ndimage

from tfrender import checks
from tfrender.io import FormatError
from tfrender.ops.smooth_silhouette import RAMP_SLOPE, RAMP_START

OPAQUE = 153  # of 255: 0.6, as the original decides
NOTHING = 65535  # squared distance where a mask is empty or full
_LARGEST = NOTHING - 1
MODES = ("lattice", "pixels", "pixels_continuous", "uniform")


def binarize(alpha: np.ndarray) -> np.ndarray:
    """Mask of an alpha channel.

    Args:
        alpha: uint8 [..., H, W].

    Returns:
        bool of the same shape: where alpha is 153 or more.
    """
    return np.asarray(alpha) >= OPAQUE


def seed_of(seed: int, name: str) -> list[int]:
    """Seed of an object, a function of that of the data set and of its name."""
    return [seed, zlib.crc32(name.encode())]


def check_masks(masks: np.ndarray, path: str, name: str) -> list[str]:
    """Refuses an object that no view shows, or of which no view shows an outline.

    Args:
        masks: bool [V, H, W].
        path: of the file or folder that they come from.
        name: of the object.

    Returns:
        Notes on single views that are empty or full.

    Raises:
        FormatError: each of the masks is empty or full.
    """
    empty, full = ~masks.any((1, 2)), masks.all((1, 2))
    if (empty | full).all():
        word = "empty" if empty.all() else "full" if full.all() else "empty or full"
        raise FormatError(
            f"{path}: expected pictures that show {name}; all {len(masks)} masks are "
            f"{word}."
        )
    return [
        f"{name}: view {view} has a mask that is {'empty' if empty[view] else 'full'}."
        for view in np.flatnonzero(empty | full)
    ]


def squared_distance(mask: np.ndarray) -> np.ndarray:
    """Squared distance to the nearest pixel of the other kind, exact.

    Args:
        mask: bool [H, W].

    Returns:
        uint16 [H, W] in square pixels between centres, at least 1; 65535 where there is
        no other kind, and at most 65534 elsewhere (255.99 pixels).
    """
    mask = np.asarray(mask, bool)
    if mask.all() or not mask.any():
        return np.full(mask.shape, NOTHING, np.uint16)
    # Each transform is 0 on the other kind.
    distance = ndimage.distance_transform_edt(mask)
    distance += ndimage.distance_transform_edt(~mask)
    return np.rint(distance**2).clip(1, _LARGEST).astype(np.uint16)


def distance_of_smooth(mask: np.ndarray, smooth: np.ndarray) -> np.ndarray:
    """Squared distance of a smooth silhouette as the original stores it.

    On the background the smooth silhouette is (220 - k d) / 255, which is inverted; on
    the object it is 1, and the distance is that of the mask.

    Args:
        mask: bool [H, W].
        smooth: float [H, W].

    Returns:
        uint16 [H, W] as `squared_distance`.
    """
    mask = np.asarray(mask, bool)
    found = squared_distance(mask)
    if mask.any() and not mask.all():
        pixels = (RAMP_START - np.asarray(smooth, np.float64)) / RAMP_SLOPE
        outside = np.rint(pixels.clip(1.0, 300.0) ** 2).clip(1, _LARGEST)
        found[~mask] = outside[~mask].astype(np.uint16)
    return found


def sample_points(
    mask: np.ndarray, count: int, mode: str = "lattice", seed=0
) -> np.ndarray:
    """Draws points on a mask.

    Args:
        mask: bool [H, W], not empty.
        count: number of points P.
        mode: "lattice", a square lattice as fine as the area asks for, over again where
            it has fewer points; "pixels", all pixels of the mask, then random ones;
            "pixels_continuous", all pixels, then random places between them; "uniform",
            random places. Where a mask has more pixels than P a random part is taken.
        seed: of the draws, an integer or a list of them.

    Returns:
        float32 [P, 2] frame coordinates (x, y).

    Raises:
        ValueError: an empty mask, or a setting out of its range.
    """
    checks.between("count", count, 1, 2**20)
    checks.one_of("mode", mode, MODES)
    mask = np.asarray(mask, bool)
    if not mask.any():
        raise ValueError("`mask` must show something; got an empty one.")
    generator = np.random.default_rng(seed)
    if mode == "lattice":
        found = _lattice(mask, count)
        found = _thinned(found, count, generator)
        found = found[np.arange(count) % len(found)]
    else:
        centres = np.argwhere(mask) + 0.5  # (row, column)
        found = _thinned(centres, 0 if mode == "uniform" else count, generator)
        more = centres[generator.integers(len(centres), size=count - len(found))]
        if mode != "pixels":
            more = more + generator.uniform(-0.5, 0.5, more.shape)
        found = np.concatenate([found, more])
    height, width = mask.shape
    row, column = found.T
    return np.stack([column / width - 0.5, 0.5 - row / height], -1).astype(np.float32)


def _lattice(mask: np.ndarray, count: int) -> np.ndarray:
    """Points (row, column) of a square lattice on the mask, about `count` of them."""
    step = math.sqrt(mask.sum() / count)
    axes = [np.arange(step / 2, side, step) for side in mask.shape]
    rows, columns = np.meshgrid(*axes, indexing="ij")
    inside = mask[rows.astype(int), columns.astype(int)]
    found = np.stack([rows[inside], columns[inside]], -1)
    # A lattice coarser than the mask's parts may miss it altogether.
    return found if len(found) else np.argwhere(mask) + 0.5


def _thinned(points: np.ndarray, count: int, generator) -> np.ndarray:
    """At most `count` of the points, drawn at random, in their order."""
    if len(points) <= count:
        return points
    return points[np.sort(generator.choice(len(points), count, replace=False))]
