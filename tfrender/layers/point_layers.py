"""Layers for point clouds that learn from silhouettes.

Han et al., "DRWR", ICML 2020, scores projected points against silhouettes: project
(`PointProjector`), compare (`UnaryLoss`, `PairLoss`, `ProjectedChamfer`). Insafutdinov
and Dosovitskiy (DPC), NeurIPS 2018, render them (`layers.VoxelSplat`,
`layers.RayProduct`) and learn the camera (`PoseEnsemble`). All of them compute in
float32 under every dtype policy and have no weights.
"""

import keras
import numpy as np
import tensorflow as tf

from tfrender import cameras, checks, losses
from tfrender.losses.point_silhouettes import PointLossSettings
from tfrender.ops.project_points import frame_coordinates, project_points
from tfrender.ops.sample_rings import sample_rings
from tfrender.ops.smooth_silhouette import smooth_silhouette
from tfrender.quaternions import matrix_to_quaternion

ROTATIONS = ("quaternion", "matrix")


class PointLayer(keras.layers.Layer):
    """Settings and no weights; float32 under any mixed policy.

    Args:
        kwargs: of `keras.layers.Layer`.
        **settings: arguments of the subclass, which become attributes.
    """

    def __init__(self, kwargs, **settings):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.settings = settings
        for name, value in settings.items():
            setattr(self, name, value)

    def build(self, *shapes, **named):
        """Nothing to build: the layer has no weights."""
        del shapes, named
        self.built = True

    def get_config(self):
        """Settings of the layer."""
        return {**super().get_config(), **self.settings}


@keras.saving.register_keras_serializable(package="tfrender")
class PointProjector(PointLayer):
    """Points of objects, as cameras that turn around them see them.

    Example:
        >>> projector = PointProjector()
        >>> front = tf.constant([[1.0, 0.0, 0.0, 0.0]])
        >>> projector(tf.zeros([1, 5, 3]), front)[0, 0].numpy()
        array([0., 0., 2.], dtype=float32)

    Args:
        rotation: "quaternion" or "matrix", the form of the rotations.
        focal_length: in widths of the picture.
        distance: from the camera to the origin of the object.

    Call arguments:
        points: [B, N, 3] object coordinates.
        rotation: [B V, 4] quaternions (w, x, y, z) of any length above 0, or [B V, 3,
            3] rotations with the rows forward, up and right; the views of an object one
            after the other.
        translation: [B V, 3] (depth, up, right), added after the rotation, or None.

    Output:
        [B V, N, 3]: X (right) and Y (up) in the frame [-0.5, 0.5]^2, not clipped, and
        the planar depth in world units.

    Gradient: exact in all call arguments.

    Raises:
        ValueError: for wrong shapes or settings; outside a graph also for what is no
            rotation.
    """

    def __init__(
        self, rotation="quaternion", focal_length=1.875, distance=2.0, **kwargs
    ):
        checks.one_of("rotation", rotation, ROTATIONS)
        checks.between("focal_length", focal_length, 1e-3, 1e3)
        checks.between("distance", distance, 1e-3, 1e6)
        super().__init__(
            kwargs, rotation=rotation, focal_length=focal_length, distance=distance
        )

    def call(self, points, rotation, translation=None):
        """See the class."""
        if self.rotation == "matrix":
            checks.rank("rotation", rotation, 3)
            checks.dims("rotation", rotation, 3, 3)
            _check_rotations(rotation)
            rotation = matrix_to_quaternion(rotation)
        checks.rank("rotation", rotation, 2)
        checks.dims("rotation", rotation, 4)
        camera = cameras.from_quaternion(
            rotation,
            translation,
            focal_length=self.focal_length,
            distance=self.distance,
        )
        xy, depth = project_points(points, camera)
        return tf.concat([xy, depth[..., tf.newaxis]], axis=-1)


@keras.saving.register_keras_serializable(package="tfrender")
class SmoothSilhouette(PointLayer):
    """Masks to pictures that are 1 on the object and fall off with the distance to it.

    Example:
        >>> SmoothSilhouette()(tf.ones([1, 4, 6, 1])).shape
        TensorShape([1, 4, 6, 1])

    Call arguments:
        mask: [V, H, W, 1], foreground above 0.5.

    Output:
        [V, H, W, 1], at most 1; see `ops.smooth_silhouette`.

    Gradient: none.

    Raises:
        ValueError: for a wrong shape.
    """

    def __init__(self, **kwargs):
        super().__init__(kwargs)

    def call(self, mask):
        """See the class."""
        return smooth_silhouette(mask)


@keras.saving.register_keras_serializable(package="tfrender")
class RingSampler(PointLayer):
    """Reads silhouettes at projected points, and on rings around them.

    Example:
        >>> sampler = RingSampler(rings=5, grid=32)
        >>> sampler(tf.zeros([2, 7, 2]), tf.ones([2, 64, 64, 1])).shape
        TensorShape([2, 7, 5])

    Args:
        rings: number of rings K; the first is plain bilinear interpolation.
        grid: pixels a side that the silhouettes are brought to; divides their size.
        aligned: see `losses.silhouette_grids` and `ops.frame_coordinates`; False is the
            release.

    Call arguments:
        xy: [V, N, 2] in the frame, X right and Y up.
        images: [V, S, S, 1], row 0 at the top.

    Output:
        [V, N, K].

    Gradient: exact in `xy` inside the frame.

    Raises:
        ValueError: for wrong shapes or settings.
    """

    def __init__(self, rings=1, grid=128, aligned=True, **kwargs):
        _check_grid(grid, rings)
        super().__init__(kwargs, rings=rings, grid=grid, aligned=aligned)

    def call(self, xy, images):
        """See the class."""
        _check_pictures(xy, "images", images, self.grid)
        images = losses.silhouette_grids(
            images, images, grid=self.grid, aligned=self.aligned
        ).smooth
        places = frame_coordinates(xy, self.grid, aligned=self.aligned)
        return sample_rings(images, places, self.rings)


@keras.saving.register_keras_serializable(package="tfrender")
class UnaryLoss(PointLayer):
    """How far projected points are from the silhouette: mean |1 - S(x)|.

    Example:
        >>> smooth = SmoothSilhouette()(tf.ones([2, 64, 64, 1]))
        >>> UnaryLoss(grid=64)(tf.zeros([2, 7, 2]), smooth).numpy()
        array([0., 0.], dtype=float32)

    Args:
        grid: pixels a side that the silhouettes are brought to; divides their size.
        aligned: see `RingSampler`.

    Call arguments:
        xy: [V, N, 2] in the frame, X right and Y up.
        smooth: [V, S, S, 1] of `SmoothSilhouette`.

    Output:
        [V].

    Gradient: exact in `xy` inside the frame.

    Raises:
        ValueError: for wrong shapes or settings.
    """

    def __init__(self, grid=128, aligned=True, **kwargs):
        _check_grid(grid)
        super().__init__(kwargs, grid=grid, aligned=aligned)

    def call(self, xy, smooth):
        """See the class."""
        _check_pictures(xy, "smooth", smooth, self.grid)
        settings = PointLossSettings(
            pair=0.0, frame=0.0, grid=self.grid, aligned=self.aligned
        )
        return _term("unary", xy, smooth, settings)


@keras.saving.register_keras_serializable(package="tfrender")
class PairLoss(PointLayer):
    """Repulsion of the projected points that lie in the silhouette.

    Example:
        >>> PairLoss(grid=64)(tf.zeros([2, 7, 2]), tf.ones([2, 64, 64, 1])).shape
        TensorShape([2])

    Args:
        grid: pixels a side that the silhouettes are brought to; divides their size.
        aligned: see `RingSampler`.
        pair_width: see `losses.PointLossSettings`.
        pair_bias: see there.
        rings: see there.
        constant_weights: see there.

    Call arguments:
        xy: [V, N, 2] in the frame, X right and Y up.
        mask: [V, S, S, 1] in [0, 1].

    Output:
        [V].

    Gradient: exact in `xy` inside the frame, but for what `constant_weights` keeps out.

    Raises:
        ValueError: for wrong shapes or settings.
    """

    def __init__(
        self,
        grid=128,
        aligned=True,
        pair_width=5.0,
        pair_bias=3.5,
        rings=5,
        constant_weights=True,
        **kwargs,
    ):
        _check_grid(grid, rings)
        checks.between("pair_width", pair_width, 1e-6, 1e6)
        checks.between("pair_bias", pair_bias, -50.0, 50.0)
        super().__init__(
            kwargs,
            grid=grid,
            aligned=aligned,
            pair_width=pair_width,
            pair_bias=pair_bias,
            rings=rings,
            constant_weights=constant_weights,
        )

    def call(self, xy, mask):
        """See the class."""
        _check_pictures(xy, "mask", mask, self.grid)
        settings = PointLossSettings(unary=0.0, pair=1.0, frame=0.0, **self.settings)
        return _term("pair", xy, mask, settings)


@keras.saving.register_keras_serializable(package="tfrender")
class ProjectedChamfer(PointLayer):
    """Chamfer distance in the picture, see `losses.projected_chamfer_loss`.

    Example:
        >>> compare = ProjectedChamfer(squared=True)
        >>> compare(tf.zeros([2, 7, 2]), tf.ones([2, 9, 2])).numpy()
        array([4., 4.], dtype=float32)

    Args:
        squared: squares, and the sum of both means.
        max_pairs: pairs compared in one pass; bounds memory.

    Call arguments:
        xy: [V, N, 2] in the frame.
        target: [V, M, 2] points drawn in the silhouettes.

    Output:
        [V].

    Gradient: exact through the winning pairs.

    Raises:
        ValueError: for wrong shapes or settings.
    """

    def __init__(self, squared=False, max_pairs=1 << 20, **kwargs):
        checks.between("max_pairs", max_pairs, 1, 1 << 34)
        super().__init__(kwargs, squared=squared, max_pairs=max_pairs)

    def call(self, xy, target):
        """See the class."""
        for name, value in (("xy", xy), ("target", target)):
            checks.rank(name, value, 3)
            checks.dims(name, value, 2)
        return losses.projected_chamfer_loss(
            target, xy, squared=self.squared, max_pairs=self.max_pairs
        )


@keras.saving.register_keras_serializable(package="tfrender")
class PoseEnsemble(PointLayer):
    """The best of several poses for each view, and what a student learns of it.

    Example:
        >>> errors = tf.constant([[3.0, 1.0]])
        >>> poses = tf.constant([[[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]]])
        >>> PoseEnsemble()(errors, poses, poses[:, 1])["loss"].numpy()
        array([1.], dtype=float32)

    Args:
        student_weight: of the student's loss.
        align: compares by turned points, see `losses.aligned_points_loss`.

    Call arguments:
        errors: [V, K], one a candidate.
        poses: [V, K, 4] quaternions (w, x, y, z) of any length above 0.
        student: [V, 4] of the student, or None.

    Output:
        dict: "loss" [V], the best error with the weighted loss of the student; "best"
        [V], "index" [V] int32 and "pose" [V, 4] of the winner; with a student also
        "student" [V], its loss without weight.

    Gradient: that of the best errors and, in `student`, of its loss; none in the losers
        and in `poses`.

    Raises:
        ValueError: for wrong shapes or settings; outside a graph also for quaternions
            of no length.
    """

    def __init__(self, student_weight=20.0, align=False, **kwargs):
        checks.between("student_weight", student_weight, 0.0, 1e6)
        super().__init__(kwargs, student_weight=student_weight, align=align)

    def call(self, errors, poses, student=None):
        """See the class."""
        checks.rank("errors", errors, 2)
        checks.dims("poses", poses, errors.shape[1], 4)
        _check_length("poses", poses)
        winners = losses.best_candidates(errors, poses)
        found = {"best": winners.error, "index": winners.index, "pose": winners.pose}
        if student is None:
            return {"loss": winners.error, **found}
        checks.dims("student", student, errors.shape[0], 4)
        _check_length("student", student)
        compare = losses.aligned_points_loss if self.align else losses.student_loss
        learned = compare(winners.pose, student)
        loss = winners.error + self.student_weight * learned
        return {"loss": loss, **found, "student": learned}


def _term(name, xy, pictures, settings):
    """One term of DRWR's loss, without weight."""
    grids = losses.silhouette_grids(
        pictures, pictures, grid=settings.grid, aligned=settings.aligned
    )
    return losses.point_silhouette_losses(xy, grids, settings)[name]


def _check_grid(grid, rings=1):
    checks.between("grid", grid, 2, 1 << 16)
    checks.between("rings", rings, 1, 1024)


def _check_pictures(xy, name, pictures, grid):
    """Refuses points and square pictures that do not go together."""
    checks.rank("xy", xy, 3)
    checks.dims("xy", xy, 2)
    checks.rank(name, pictures, 4)
    checks.dims(name, pictures, 1)
    height, width = pictures.shape[1], pictures.shape[2]
    if height is None or height != width or height % grid:
        raise ValueError(
            f"`{name}` must be square, of a size that {grid} divides; got shape "
            f"{list(pictures.shape)}."
        )
    views, count = xy.shape[0], pictures.shape[0]
    if None not in (views, count) and views != count:
        raise ValueError(
            f"`{name}` must have {views} pictures, one a view of `xy`; got {count}."
        )


def _check_rotations(matrix):
    """Refuses matrices that do not rotate, where they can be seen."""
    if not tf.executing_eagerly():
        return
    values = np.asarray(matrix, np.float64)
    with np.errstate(invalid="ignore"):
        product = values @ np.swapaxes(values, -1, -2)
        off = np.abs(product - np.eye(3)).max((-1, -2), initial=0.0)
        wrong = ~((off < 1e-2) & (np.linalg.det(values) > 0.0))
    if wrong.any():
        raise ValueError(
            "`rotation` must hold rotations; got "
            f"{values[wrong][0].round(4).tolist()} at {int(np.flatnonzero(wrong)[0])}."
        )


def _check_length(name, quaternion):
    """Refuses quaternions of no length, where they can be seen."""
    if not tf.executing_eagerly():
        return
    length = np.linalg.norm(np.asarray(quaternion, np.float64), axis=-1)
    wrong = ~(np.isfinite(length) & (length > 1e-12))
    if wrong.any():
        raise ValueError(
            f"`{name}` must be finite and longer than 0; got a quaternion of length "
            f"{length[wrong][0]} at {np.argwhere(wrong)[0].tolist()}."
        )
