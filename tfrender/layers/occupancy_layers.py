"""Layers that render point clouds through voxels, as DPC does.

Insafutdinov and Dosovitskiy, NeurIPS 2018: `layers.PointProjector`, then these two.
"""

import keras

from tfrender import checks
from tfrender.layers.point_layers import PointLayer
from tfrender.ops.project_occupancy import (
    OccupancySettings,
    occupancy_pictures,
    occupancy_voxels,
)
from tfrender.ops.splat_points import DENSITY_CLIP


@keras.saving.register_keras_serializable(package="tfrender")
class VoxelSplat(PointLayer):
    """Projected points to voxels along the rays, blurred.

    Example:
        >>> seen = tf.constant([[[0.0, 0.0, 2.0]]])
        >>> VoxelSplat(grid=8, taps=3)(seen).shape
        TensorShape([1, 8, 8, 8])

    Args:
        grid: voxels a side along y and x.
        grid_depth: voxels along the depth; 0 is as many.
        sigma: of the blur, voxels.
        taps: odd length of the blur.
        distance: depth of the middle of the voxels, world units.
        aligned: centres of voxels half a voxel from the faces of their cube; False is
            the release, where they lie on the faces.

    Call arguments:
        seen: [V, N, 3] of `PointProjector`.
        scale: [V, 1] factors of the occupancies, or None.
        sigma: a number or a scalar tensor in place of the setting, for a schedule
            (`ops.blur_schedule`).

    Output:
        [V, D, G, G] in [0, 1] along depth, y from the bottom and x.

    Gradient: exact; none where an occupancy is clipped.

    Raises:
        ValueError: for wrong shapes or settings.
    """

    def __init__(
        self,
        grid=64,
        grid_depth=0,
        sigma=1.0,
        taps=21,
        distance=2.0,
        aligned=True,
        **kwargs,
    ):
        checks.between("grid", grid, 2, 1024)
        if grid_depth:
            checks.between("grid_depth", grid_depth, 2, 1024)
        checks.between("sigma", sigma, 1e-6, 1e3)
        if taps < 1 or taps % 2 == 0:
            raise ValueError(f"`taps` must be odd and at least 1; got {taps}.")
        checks.between("distance", distance, 1e-3, 1e6)
        super().__init__(
            kwargs,
            grid=grid,
            grid_depth=grid_depth,
            sigma=sigma,
            taps=taps,
            distance=distance,
            aligned=aligned,
        )

    def call(self, seen, scale=None, sigma=None):
        """See the class."""
        settings = OccupancySettings(
            grid=self.grid,
            grid_depth=self.grid_depth,
            taps=self.taps,
            distance=self.distance,
            as_released=not self.aligned,
        )
        sigma = self.sigma if sigma is None else sigma
        return occupancy_voxels(seen, sigma, settings, scale=scale)


@keras.saving.register_keras_serializable(package="tfrender")
class RayProduct(PointLayer):
    """Silhouettes and depth of voxels, by the first hits of rays.

    Example:
        >>> pictures = RayProduct()(tf.zeros([1, 8, 8, 8]))
        >>> {name: value.shape.as_list() for name, value in pictures.items()}
        {'alpha': [1, 8, 8, 1], 'depth': [1, 8, 8, 1]}

    Args:
        clip: of the occupancies, see `ops.ray_product`.
        distance: depth of the middle of the voxels, world units.
        background_depth: depth where a ray meets nothing, world units.
        as_released: see `ops.OccupancySettings`.

    Call arguments:
        voxels: [V, D, H, W] of `VoxelSplat`.

    Output:
        dict of [V, H, W, 1], row 0 at the top: "alpha" in [0, 1] and "depth", expected,
        in world units.

    Gradient: exact; none where an occupancy is clipped.

    Raises:
        ValueError: for a wrong shape or settings.
    """

    def __init__(
        self,
        clip=DENSITY_CLIP,
        distance=2.0,
        background_depth=10.0,
        as_released=False,
        **kwargs,
    ):
        checks.between("clip", clip, 1e-7, 0.4)
        checks.between("distance", distance, 1e-3, 1e6)
        checks.between("background_depth", background_depth, 0.0, 1e6)
        super().__init__(
            kwargs,
            clip=clip,
            distance=distance,
            background_depth=background_depth,
            as_released=as_released,
        )

    def call(self, voxels):
        """See the class."""
        found = occupancy_pictures(voxels, OccupancySettings(**self.settings))
        return {"alpha": found.alpha, "depth": found.depth}
