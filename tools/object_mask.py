"""Cuts an object out of a picture and frames it like the training data.

Networks that make a mesh of a picture have seen objects of one size, in the middle, on
black. A picture of any size, with an alpha channel or in front of a plain background,
is brought to that here.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from tfrender.io.images import with_channels
from tools import pictures

# Over 24 views of each of the 24 meshes of tfrender/assets, drawn as training data with
# boxes of longest side 0.9: medians of the longest side of the silhouette's bounding
# box (40 of 64 pixels; a tenth are below 30, a tenth above 47) and of its centre, from
# the left and from the top (32 and 33.5 of 64). Boxes of longest side 1: 45, a tenth
# below 34, a tenth above 52, and the same centre.
FRAME_SIDE, FRAME_CENTER = 40 / 64, (32 / 64, 33.5 / 64)
FEWEST_PIXELS = 8  # of the longest side of an object
_LARGEST = 1024  # pixels a side that are worked on
_ORIENTATION = 0x0112  # number of the EXIF tag
# Tag -> steps along rows and columns, after the axes were exchanged where they are.
_FLIPPED = {2: (1, -1), 3: (-1, -1), 4: (-1, 1), 6: (1, -1), 7: (-1, -1), 8: (-1, 1)}
_COVERED = 0.98  # share of the pixels beyond which there is no background
_ODD, _SOFT = 16, 24  # levels of 255 off a background, and from there to full cover
_GLARE = 4  # levels of 255 off the background, of a hole that is none
_EDGE = 2  # pixels along the edge of an object that mix with the background
_BUSY = 0.25  # share of the border that may be odd
_SECOND = 0.02  # size of another object, in parts of the largest


class Cutout(NamedTuple):
    """An object without its background.

    Attributes:
        image: float32 [H, W, 4] in [0, 1], colour times coverage and coverage.
        notes: what the user should know, a sentence each.
        keyed: whether the mask was found by colour, not read from an alpha channel.
    """

    image: np.ndarray
    notes: tuple[str, ...] = ()
    keyed: bool = False


class Box(NamedTuple):
    """A square part of a picture, which may reach beyond it; in pixels."""

    left: float
    top: float
    side: float


def cut_out(picture: np.ndarray, background="auto", keep_all=False) -> Cutout:
    """Separates an object from its background.

    Pictures of more than 1024 pixels a side are shrunk by a whole factor first.

    Args:
        picture: uint8 [H, W, 1, 3 or 4], as `tfrender.io.read_image` reads it.
        background: "alpha": the mask is the alpha channel. Red, green and blue in 0 to
            255: it is what differs from that colour. "auto": the alpha channel where
            the picture has one that is not full everywhere, else what differs from the
            colours along the border.
        keep_all: False keeps the largest object where there are several.

    Returns:
        Cutout.

    Raises:
        ValueError: no object, one of fewer than 8 pixels, nothing but the object, or no
            alpha channel where one is asked for.
    """
    clear = picture.shape[-1] == 4 and picture[..., 3].min() < 255
    if background == "alpha" and picture.shape[-1] != 4:
        raise ValueError("expected an alpha channel; got a picture without one")
    if background == "alpha" or (background == "auto" and clear):
        image = _shrunk(with_channels(picture, 4), _is_straight(picture))
        cutout = Cutout(image)
    else:
        color = _shrunk(with_channels(picture, 3), straight=False)
        cutout = _keyed(color, None if background == "auto" else background)
    inside = cutout.image[..., 3] > 0.5
    try:
        _check_size(inside, cutout.keyed)
    except ValueError as error:  # a background that is not plain may be the reason
        raise ValueError("; ".join([str(error), *cutout.notes])) from error
    cutout = _selected(cutout, keep_all)
    rows, columns = extent(cutout.image[..., 3])
    height, width = inside.shape
    sides = rows[0] == 0, rows[1] == height, columns[0] == 0, columns[1] == width
    if any(sides):
        cutout = _noted(
            cutout, "the object touches the border; what lies beyond it is missing"
        )
    return cutout


def upright(picture: np.ndarray, path: str) -> np.ndarray:
    """Turns a photograph as its camera says in EXIF data; `io.read_image` does not.

    Args:
        picture: [H, W, C] as `tfrender.io.read_image` read it.
        path: its file.

    Returns:
        [H, W, C] or [W, H, C].
    """
    from PIL import Image

    with Image.open(path) as image:
        orientation = image.getexif().get(_ORIENTATION, 1)
    if orientation in (5, 6, 7, 8):  # the camera was held on its side
        picture = picture.swapaxes(0, 1)
    down, right = _FLIPPED.get(orientation, (1, 1))
    return picture[::down, ::right]


def frame(cutout: Cutout, size: int, box: Box) -> np.ndarray:
    """Cuts a square out and resizes it, each pixel the mean of the area it covers.

    Args:
        cutout: Cutout.
        size: pixels S a side of the result.
        box: what it shows; beyond the picture it is empty.

    Returns:
        float32 [S, S, 4].
    """
    image = cutout.image
    rows = _area_weights(image.shape[0], box.top, box.side, size)
    columns = _area_weights(image.shape[1], box.left, box.side, size)
    framed = np.einsum("ih,hwc->iwc", rows, image, optimize=True)
    framed = np.einsum("jw,iwc->ijc", columns, framed, optimize=True)
    return np.clip(framed, 0.0, 1.0).astype(np.float32)


def object_box(cutout: Cutout, frame_side: float = FRAME_SIDE) -> Box:
    """The square in which an object has the usual place and size.

    Args:
        cutout: Cutout.
        frame_side: longest side of the object in parts of the square.

    Returns:
        Box.
    """
    rows, columns = extent(cutout.image[..., 3])
    side = max(rows[1] - rows[0], columns[1] - columns[0]) / frame_side
    x, y = FRAME_CENTER
    return Box(sum(columns) / 2 - x * side, sum(rows) / 2 - y * side, side)


def whole_box(cutout: Cutout) -> Box:
    """The smallest square around the whole picture."""
    height, width = cutout.image.shape[:2]
    side = max(height, width)
    return Box((width - side) / 2, (height - side) / 2, side)


def extent(alpha: np.ndarray) -> tuple[tuple[int, int], tuple[int, int]]:
    """Bounding box of what is covered by more than a half.

    Args:
        alpha: [H, W] with such a pixel.

    Returns:
        First row and the one past the last; the same of the columns.
    """
    inside = alpha > 0.5
    found = [np.nonzero(inside.any(axis))[0] for axis in (1, 0)]
    return tuple((int(line[0]), int(line[-1]) + 1) for line in found)


def _is_straight(picture: np.ndarray) -> bool:
    """Whether colours are yet to be multiplied by alpha: some are above it."""
    return bool((picture[..., :3] > picture[..., 3:]).any())


def _shrunk(picture: np.ndarray, straight: bool) -> np.ndarray:
    """Float32 [H, W, C] in [0, 1], at most 1024 a side, colours times alpha."""
    factor = -(-max(picture.shape[:2]) // _LARGEST)
    # Of a side that is no multiple, less than a factor of pixels is lost; but a side
    # of less than the factor stays.
    pad = [(0, max(0, factor - side)) for side in picture.shape[:2]]
    picture = np.pad(picture, (*pad, (0, 0)), mode="edge")
    height, width = (side // factor for side in picture.shape[:2])
    shrunk = np.empty((height, width, picture.shape[-1]), np.float32)
    for row in range(height):  # a row at a time: a large picture fits as bytes alone
        band = picture[row * factor : (row + 1) * factor, : width * factor]
        band = band.astype(np.float32) / 255.0
        if straight:
            band[..., :3] *= band[..., 3:]
        blocks = band.reshape(factor, width, factor, -1)
        shrunk[row] = blocks.mean((0, 2))
    return shrunk


def _keyed(color: np.ndarray, background: Sequence[float] | None) -> Cutout:
    """Cuts out what differs from a background; None finds it along the border."""
    notes = ()
    if background is None:
        behind, odd = _border_plane(color)
        if odd > _BUSY:
            notes = (
                f"{odd:.0%} of the border differ from a plain background by more than "
                f"{_ODD} levels of 255; the mask may be wrong: give a picture with an "
                "alpha channel, or --background=R,G,B",
            )
    else:
        behind = np.broadcast_to(np.float32(background) / 255.0, color.shape)
    distance = np.abs(color - behind).max(-1) * 255.0
    core = _without_glare(distance > _ODD, distance)
    alpha, own = _edges(core, distance, color)
    # A pixel of a thin part is a mixture of which the background's share is known.
    own = np.where(np.isnan(own), color - (1.0 - alpha) * behind, alpha * own)
    image = np.concatenate([np.clip(own, 0.0, alpha), alpha], axis=-1)
    return Cutout(image.astype(np.float32), notes, keyed=True)


def _edges(core, distance, color) -> tuple[np.ndarray, np.ndarray]:
    """Coverage along the edge of an object, and its colour there.

    Args:
        core: bool [H, W], the object.
        distance: [H, W] levels off the background.
        color: [H, W, 3].

    Returns:
        alpha: [H, W, 1] in [0, 1]. Beside the solid inside, a pixel's share of the way
            from the background to the colour inside.
        own: [H, W, 3] colour of the nearest solid pixel; NaN where there is none near.
    """
    solid = ndimage.binary_erosion(core, iterations=_EDGE, border_value=1)
    alpha = core * np.clip(distance / (_ODD + _SOFT), 0.51, 1.0)  # of thin parts
    if not solid.any():
        return alpha[..., np.newaxis], np.full_like(color, np.nan)
    away, nearest = ndimage.distance_transform_edt(~solid, return_indices=True)
    nearest = tuple(nearest)
    beside = away <= 2 * _EDGE + 1
    inside = np.maximum(distance[nearest], _ODD)
    share = np.clip((distance - _ODD / 4) / (inside - _ODD / 4), 0.0, 1.0)
    alpha = np.where(beside, share, alpha)
    alpha[solid] = 1.0
    return alpha[..., np.newaxis], np.where(
        beside[..., np.newaxis], color[nearest], np.nan
    )


def _border_plane(color: np.ndarray) -> tuple[np.ndarray, float]:
    """Background [H, W, 3] that changes evenly, and the share of the border off it.

    Paper and walls are brighter on one side. A plane is fitted to the border's colours,
    those of an object that reaches the border left out.
    """
    height, width = color.shape[:2]
    ring = np.ones((height, width), bool)
    thick = max(1, min(height, width) // 64)
    ring[thick : height - thick, thick : width - thick] = False
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    place = np.stack([np.ones_like(x), x, y], axis=-1)
    median = pictures.background(color)
    plane = np.zeros((3, 3)) + [median, 0 * median, 0 * median]
    for reach in (3 * _ODD, 2 * _ODD, _ODD, _ODD):  # first wide, for its slope
        error = np.abs(color[ring] - place[ring] @ plane).max(-1) * 255.0
        fit = error <= reach
        if fit.mean() < 0.5:
            break
        plane = np.linalg.lstsq(place[ring][fit], color[ring][fit], rcond=None)[0]
    behind = (place @ plane).astype(np.float32)
    odd = (np.abs(color - behind)[ring].max(-1) * 255.0 > _ODD).mean()
    return behind, float(odd)


def _without_glare(inside: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """Fills holes that are not quite of the background's colour: panes, reflections.

    Args:
        inside: bool [H, W].
        distance: [H, W] levels off the background.

    Returns:
        bool [H, W].
    """
    holes, count = ndimage.label(ndimage.binary_fill_holes(inside) & ~inside)
    if not count:
        return inside
    number = np.arange(1, count + 1)
    outside = ~inside & (holes == 0)
    usual = np.median(distance[outside]) if outside.any() else 0.0
    # A quarter, since the edge of a true hole is smeared, wide in a JPEG.
    nearest = ndimage.labeled_comprehension(
        distance, holes, number, lambda part: np.percentile(part, 25), float, 0.0
    )
    return inside | np.isin(holes, number[nearest > usual + _GLARE])


def _check_size(inside: np.ndarray, keyed: bool) -> None:
    """Refuses masks with nothing in them, or with nothing else."""
    share = inside.mean()
    if not share:
        reason = (
            "no pixel differs enough from the background"
            if keyed
            else "its alpha is at most a half everywhere"
        )
        raise ValueError(f"expected a picture of an object; got none: {reason}")
    if share >= _COVERED:
        raise ValueError(
            f"expected an object in front of a background; got one that covers "
            f"{share:.1%} of the picture"
        )
    height, width = (last - first for first, last in extent(inside))
    if max(height, width) < FEWEST_PIXELS:
        raise ValueError(
            f"expected an object of at least {FEWEST_PIXELS} pixels; got one of "
            f"{width} x {height}"
        )


def _selected(cutout: Cutout, keep_all: bool) -> Cutout:
    """The largest of several objects; what a narrow gap parts belongs together."""
    alpha = cutout.image[..., 3]
    inside = alpha > 0.5
    reach = max(1, round(max(inside.shape) / 100))
    near = ndimage.binary_dilation(inside, iterations=reach)
    parts, count = ndimage.label(near, np.ones((3, 3)))
    size = np.bincount(parts[inside], minlength=count + 1)
    order = np.argsort(-size)
    large = [int(k) for k in order if size[k] >= _SECOND * size.max()]
    dropped = set() if keep_all else set(large[1:])
    if cutout.keyed:  # specks that happen to have another colour
        dropped |= set(range(1, count + 1)) - set(large)
    if len(large) > 1:
        listed = ", ".join(str(size[k]) for k in large[:5])
        told = "all are used" if keep_all else "the largest is used (--keep_all: all)"
        cutout = _noted(cutout, f"{len(large)} objects of {listed} pixels; {told}")
    if not dropped:
        return cutout
    kept = ~np.isin(parts, list(dropped))[..., np.newaxis]
    cutout = cutout._replace(image=cutout.image * kept.astype(np.float32))
    _check_size(kept[..., 0] & inside, cutout.keyed)
    return cutout


def _noted(cutout: Cutout, note: str) -> Cutout:
    return cutout._replace(notes=(*cutout.notes, note))


def _area_weights(count: int, start: float, length: float, size: int) -> np.ndarray:
    """Matrix [size, count] of means over `size` equal parts of a line of pixels."""
    edges = start + np.arange(size + 1) * (length / size)
    pixels = np.arange(count)
    low = np.maximum(edges[:-1, np.newaxis], pixels)
    high = np.minimum(edges[1:, np.newaxis], pixels + 1)
    return np.maximum(high - low, 0.0) * (size / length)
