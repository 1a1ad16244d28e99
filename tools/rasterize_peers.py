"""Other rasterisers on the scenes of `tools.benchmark rasterize`.

Each takes a Scene and returns a function without arguments, or a text that says why
it cannot run. deodr draws in float64 and has no threads; images of a batch are drawn
in turn. PyTorch3D keeps the 50 nearest faces of a pixel for silhouettes.
"""

import math

import numpy as np

MISSING = "not installed"
_FACES_PER_PIXEL = 50  # of a PyTorch3D silhouette
_DIST_EPS = 1e-4  # probability below which a face does not reach a pixel


def screen_points(scene) -> tuple[np.ndarray, np.ndarray]:
    """NDC of the vertices and their depth, float64.

    Args:
        scene: Scene.

    Returns:
        points [B, V, 2], x right, y up, and depth [B, V].
    """
    clip = np.asarray(scene.clip_vertices, np.float64)
    return clip[..., :2] / clip[..., 3:], clip[..., 3]


def deodr_depth(scene, cull: bool):
    """Deodr's depth buffer.

    Args:
        scene: Scene.
        cull: leave out the back faces.

    Returns:
        function that returns [B, H, W] depth, infinite where empty; or a text.
    """
    try:
        from deodr import differentiable_renderer_cython as core
    except ImportError:
        return MISSING
    views = _deodr_views(scene, cull, perspective=True)

    def draw():
        pictures = []
        for view in views:
            image = np.empty((view.height, view.width, 1))
            depth = np.empty((view.height, view.width))
            core.renderSceneCpp(view, 0.0, image, depth, False, None, None)
            pictures.append(depth)
        return pictures

    return draw


def deodr_silhouette(scene):
    """Deodr's edge anti-aliased silhouette and the gradient of sum(alpha^2).

    Back faces are culled, which deodr's own renderer does by default too. The
    silhouette edges of each view are found beforehand, as is the corner table for our
    form; colours are constant, and edges are blended over one pixel.

    Args:
        scene: Scene.

    Returns:
        function that returns alpha [B, H, W] and gradients [B, V, 2] by column and
        row; or a text.
    """
    try:
        from deodr import differentiable_renderer_cython as core
    except ImportError:
        return MISSING
    views = _deodr_views(scene, True, perspective=False)
    for view in views:
        view.edgeflags = _silhouette_edges(view.ij, view.faces.astype(np.int64))

    def draw():
        pictures, slopes = [], []
        for view in views:
            image = np.empty((view.height, view.width, 1))
            depth = np.empty((view.height, view.width))
            core.renderSceneCpp(view, 1.0, image, depth, False, None, None)
            for name in ("ij_b", "uv_b", "shade_b", "colors_b", "texture_b"):
                getattr(view, name).fill(0.0)
            kept = image.copy()  # going back undoes the blending in the image itself
            core.renderSceneBCpp(view, 1.0, image, depth, 2.0 * kept, False)
            pictures.append(kept[..., 0])
            slopes.append(view.ij_b.copy())
        return pictures, slopes

    return draw


def _deodr_views(scene, cull, perspective):
    """One deodr scene for each image of the batch."""
    from deodr.differentiable_renderer import Scene2DBase

    points, depth = screen_points(scene)
    height, width = scene.image_size
    column = (points[..., 0] + 1.0) * (width / 2) - 0.5
    row = (1.0 - points[..., 1]) * (height / 2) - 0.5
    faces = np.asarray(scene.faces, np.uint32)
    count, vertices = len(faces), points.shape[1]
    return [
        Scene2DBase(
            faces=faces,
            faces_uv=faces,
            ij=np.stack([column[i], row[i]], axis=-1),
            depths=depth[i].copy(),
            textured=np.zeros(count, bool),
            uv=np.zeros((vertices, 2)),
            shade=np.zeros(vertices),
            colors=np.ones((vertices, 1)),
            shaded=np.zeros(count, bool),
            edgeflags=np.zeros((count, 3), bool),
            height=height,
            width=width,
            nb_colors=1,
            texture=np.zeros((0, 0)),
            background_color=np.zeros(1),
            uv_b=np.zeros((vertices, 2)),
            ij_b=np.zeros((vertices, 2)),
            shade_b=np.zeros(vertices),
            colors_b=np.zeros((vertices, 1)),
            texture_b=np.zeros((0, 0)),
            clockwise=False,
            backface_culling=cull,
            perspective_correct=perspective,
        )
        for i in range(len(points))
    ]


def _silhouette_edges(points, faces):
    """Which edges part a front from a back face, on the front face; [F, 3] bool.

    Edge k of a face runs from its corner k to the next.
    """
    a, b, c = (points[faces[:, k]] for k in range(3))
    area = (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]
    front = area < 0.0  # rows count downwards
    ends = np.stack([faces, np.roll(faces, -1, axis=1)], axis=-1).reshape(-1, 2)
    ends.sort(axis=1)
    _, edge = np.unique(ends[:, 0] * len(points) + ends[:, 1], return_inverse=True)
    fronts = np.bincount(edge, weights=np.repeat(front, 3))[edge]
    return (fronts == 1.0).reshape(-1, 3) & front[:, np.newaxis]


def pytorch3d(scene, sigma: float | None, backward: bool, threads: int):
    """PyTorch3D's rasteriser on the CPU.

    Args:
        scene: Scene.
        sigma: softness of the silhouette; None for ids, barycentrics and depth.
        backward: the gradient of sum(barycentric_0) + sum(depth), or sum(alpha^2), too.
        threads: threads of PyTorch.

    Returns:
        function without arguments; or a text.
    """
    try:
        import torch
        from pytorch3d.renderer.mesh.rasterize_meshes import rasterize_meshes
        from pytorch3d.structures import Meshes
    except ImportError:
        return MISSING
    torch.set_num_threads(threads)
    points, depth = screen_points(scene)
    points = np.concatenate([points * [-1.0, 1.0], depth[..., np.newaxis]], axis=-1)
    faces = torch.as_tensor(np.asarray(scene.faces, np.int64))
    faces = faces[None].expand(len(points), -1, -1)
    radius = 0.0 if sigma is None else sigma * math.log(1.0 / _DIST_EPS - 1.0)

    def draw():
        vertices = torch.tensor(points, dtype=torch.float32, requires_grad=backward)
        index, depth, barycentric, distance = rasterize_meshes(
            Meshes(vertices, faces),
            image_size=tuple(scene.image_size),
            blur_radius=radius,
            faces_per_pixel=1 if sigma is None else _FACES_PER_PIXEL,
            perspective_correct=True,
        )
        hit = index >= 0
        if sigma is None:
            loss = barycentric[..., 0][hit].sum() + depth[hit].sum()
        else:
            share = torch.sigmoid(-distance / sigma) * hit
            loss = ((1.0 - torch.prod(1.0 - share, dim=-1)) ** 2).sum()
        if backward:
            loss.backward()
        return float(loss)

    return draw
