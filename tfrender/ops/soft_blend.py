"""Settings of the Soft Rasterizer: how soft, and which of the published variants.

Liu, Li, Chen and Li, "Soft Rasterizer", ICCV 2019. Every form of the op shares them.
"""

import numbers
from typing import NamedTuple

import tensorflow as tf

from tfrender import checks

DISTANCES = ("euclidean", "barycentric", "hard")
COLORS = ("softmax", "hard", "none")
ALPHAS = ("prod", "sum", "hard")


class SoftBlend(NamedTuple):
    """How soft the picture is: numbers, or scalar tensors for schedules.

    Attributes:
        sigma: softness of edges, in squared NDC units of the image height.
        gamma: temperature of the softmax over depth.
        eps: the background is as bright as a face at depth far - 2 eps (far - near).
            The paper has one eps there, the released program two.
        dist_eps: probability below which a face does not reach a pixel, in (0, 0.5).
            Faces reach sqrt(sigma log(1 / dist_eps - 1)) beyond their edges.
    """

    sigma: float | tf.Tensor = 1e-5
    gamma: float | tf.Tensor = 1e-4
    eps: float | tf.Tensor = 1e-3
    dist_eps: float | tf.Tensor = 1e-4


class SoftModes(NamedTuple):
    """Which variant of the renderer.

    Attributes:
        distance: of a pixel from a face, "euclidean", "barycentric" (square of the
            smallest barycentric) or "hard" (inside or not).
        color: "softmax" over depth, "hard" (nearest face) or "none".
        alpha: "prod" (1 - product of 1 - D), "sum" (mean over all faces) or "hard"
            (is any D above 0.5).
        depth_clip_alpha: faces outside the depth range, those behind the camera among
            them, do not count in alpha. False is the original: they count there, as
            constants.
        interpolation_gradient: colours and depth feel how the point on the face moves
            with the corners: the full gradient. False is the original's, which holds
            the clipped barycentrics constant.
        skip_degenerate: faces with |det| < 1e-10, det twice the signed area on screen,
            are left out. False is the original, which measures their distance from the
            image centre instead of the pixel, so that those whose line passes there are
            painted over their bounding boxes. (Where corners coincide, and the original
            divides by zero, the picture is finite but not the original's.)
    """

    distance: str = "euclidean"
    color: str = "softmax"
    alpha: str = "prod"
    depth_clip_alpha: bool = True
    interpolation_gradient: bool = False
    skip_degenerate: bool = True


DEFAULT_BLEND = SoftBlend()
DEFAULT_MODES = SoftModes()


def check_blend(blend: SoftBlend) -> None:
    """Checks the settings that are numbers; tensors are taken as they are.

    Args:
        blend: SoftBlend.

    Raises:
        ValueError: for a number out of range.
    """
    ranges = SoftBlend((1e-12, 1e6), (1e-12, 1e6), (0.0, 0.5), (1e-30, 0.499))
    for name, value, (low, high) in zip(blend._fields, blend, ranges, strict=True):
        if isinstance(value, numbers.Real):
            checks.between(name, value, low, high)


def check_modes(modes: SoftModes) -> None:
    """Checks the names of the variants.

    Args:
        modes: SoftModes.

    Raises:
        ValueError: for an unknown name.
    """
    checks.one_of("distance", modes.distance, DISTANCES)
    checks.one_of("color", modes.color, COLORS)
    checks.one_of("alpha", modes.alpha, ALPHAS)


def check_depth_range(depth_range) -> None:
    """Checks (near, far) where they are numbers.

    Args:
        depth_range: two numbers or scalar tensors.

    Raises:
        ValueError: unless 0 < near < far.
    """
    near, far = depth_range
    if isinstance(near, numbers.Real) and isinstance(far, numbers.Real):
        if not 1e-10 <= near < far <= 1e10:
            raise ValueError(
                "`depth_range` must be (near, far) with 1e-10 <= near < far <= 1e10; "
                f"got {tuple(depth_range)}."
            )


def scalar(value, dtype: tf.DType) -> tf.Tensor:
    """Makes a setting a constant of the computation.

    Args:
        value: number, or scalar tensor of any floating type.
        dtype: type wanted.

    Returns:
        [] of that type. Numbers do not pass through float32 on the way.

    Gradient: none.
    """
    if isinstance(value, numbers.Real):
        return tf.constant(value, dtype)
    return tf.stop_gradient(tf.cast(value, dtype))
