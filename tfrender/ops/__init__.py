"""Differentiable primitives: tensors in, tensors out, stock TensorFlow ops only."""

from tfrender.ops.antialias import antialias, antialias_silhouette
from tfrender.ops.edge_gradient import edge_gradient
from tfrender.ops.field_query import FieldQuery
from tfrender.ops.forms import default_form
from tfrender.ops.gaussian_sums import gaussian_sums
from tfrender.ops.image_shading import render_styles
from tfrender.ops.implicit_depth import implicit_depth
from tfrender.ops.interpolate import interpolate, interpolate_corners
from tfrender.ops.march_rays import MarchSettings, RayHits, march_rays
from tfrender.ops.mipmaps import build_mipmaps, texture_footprint
from tfrender.ops.nearest_points import Nearest, nearest_points
from tfrender.ops.neural_rasterize import (
    NeuralFragments,
    NeuralImages,
    neural_images,
    neural_rasterize,
    project_faces,
)
from tfrender.ops.opposite_corners import opposite_corners
from tfrender.ops.phong import (
    composite_on_white,
    foreground_mask,
    light_direction,
    phong_shading,
)
from tfrender.ops.point_schedules import blur_schedule, keep_schedule, keep_weights
from tfrender.ops.project_occupancy import (
    OccupancyPictures,
    OccupancySettings,
    occupancy_pictures,
    occupancy_voxels,
    project_occupancy,
)
from tfrender.ops.project_points import frame_coordinates, project_points
from tfrender.ops.rasterize import (
    Fragments,
    rasterize,
    rasterize_layers,
    rasterize_mesh,
)
from tfrender.ops.ray_cube import CubeSpan, ray_cube
from tfrender.ops.resample_volume import resample_volume
from tfrender.ops.sample_rings import sample_rings
from tfrender.ops.sample_texture import (
    border_centered_uv,
    sample_texture,
    wrap_to_unit,
)
from tfrender.ops.shade import (
    AmbientLight,
    DirectionalLight,
    Material,
    PointLight,
    SphericalHarmonicLight,
    shade,
)
from tfrender.ops.smooth_silhouette import (
    distance_to_contour,
    signed_distance,
    smooth_silhouette,
)
from tfrender.ops.soft_blend import SoftBlend, SoftModes
from tfrender.ops.soft_rasterize import soft_rasterize
from tfrender.ops.soft_rasterize_dense import SoftImages, soft_rasterize_dense
from tfrender.ops.spherical_harmonics import (
    diffuse_coefficients,
    spherical_harmonic_basis,
    spherical_harmonic_light,
)
from tfrender.ops.splat_points import RayProduct, blur_voxels, ray_product, splat_points
from tfrender.ops.surface_texels import (
    sample_texels,
    texel_centers,
    texel_index,
    texels_from_atlas,
)
from tfrender.ops.texture_cubes import (
    cubes_from_uv,
    cubes_from_vertex_colors,
    cubes_to_atlas,
    sample_texture_cubes,
)
from tfrender.ops.triangle_normals import (
    guarded_unit,
    triangle_cross,
    triangle_normals,
)
from tfrender.ops.voxelize_triangles import published_voxels, voxelize_triangles

__all__ = [
    "AmbientLight",
    "CubeSpan",
    "DirectionalLight",
    "FieldQuery",
    "Fragments",
    "MarchSettings",
    "Material",
    "Nearest",
    "NeuralFragments",
    "NeuralImages",
    "OccupancyPictures",
    "OccupancySettings",
    "PointLight",
    "RayHits",
    "RayProduct",
    "SoftBlend",
    "SoftImages",
    "SoftModes",
    "SphericalHarmonicLight",
    "antialias",
    "antialias_silhouette",
    "blur_schedule",
    "blur_voxels",
    "border_centered_uv",
    "build_mipmaps",
    "composite_on_white",
    "cubes_from_uv",
    "cubes_from_vertex_colors",
    "cubes_to_atlas",
    "default_form",
    "diffuse_coefficients",
    "distance_to_contour",
    "edge_gradient",
    "foreground_mask",
    "frame_coordinates",
    "gaussian_sums",
    "guarded_unit",
    "implicit_depth",
    "interpolate",
    "interpolate_corners",
    "keep_schedule",
    "keep_weights",
    "light_direction",
    "march_rays",
    "nearest_points",
    "neural_images",
    "neural_rasterize",
    "occupancy_pictures",
    "occupancy_voxels",
    "opposite_corners",
    "phong_shading",
    "project_faces",
    "project_occupancy",
    "project_points",
    "published_voxels",
    "rasterize",
    "rasterize_layers",
    "rasterize_mesh",
    "ray_cube",
    "ray_product",
    "render_styles",
    "resample_volume",
    "sample_rings",
    "sample_texels",
    "sample_texture",
    "sample_texture_cubes",
    "shade",
    "signed_distance",
    "smooth_silhouette",
    "soft_rasterize",
    "soft_rasterize_dense",
    "spherical_harmonic_basis",
    "spherical_harmonic_light",
    "splat_points",
    "texel_centers",
    "texel_index",
    "texels_from_atlas",
    "texture_footprint",
    "triangle_cross",
    "triangle_normals",
    "voxelize_triangles",
    "wrap_to_unit",
]
