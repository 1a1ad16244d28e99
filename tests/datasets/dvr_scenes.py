"""Small scenes of DVR for tests: a ball, drawn by its equation."""

import numpy as np
import tensorflow as tf

from datasets.dvr import camera_files
from tfrender import cameras, io

CENTER, RADIUS = np.array([0.06, -0.04, 0.1]), 0.28
SIZE = (24, 32)
# A world in other units, far from the origin: object space to world.
SCALE = np.diag([40.0, 40.0, 40.0, 1.0])
SCALE[:3, 3] = 7.0, -30.0, 200.0


def ball_cameras(views, size=SIZE):
    """Cameras around the ball at several heights."""
    number = np.arange(views, dtype=np.float32)
    place = cameras.orbit(77.0 * number, -20.0 + 50.0 * number / views, 2.4)
    lens = cameras.perspective(np.full(views, 32.0, np.float32), size[1] / size[0])
    return cameras.Camera(place, lens)


def draw_ball(camera, size=SIZE):
    """Images uint8 [V, H, W, 3] on white, masks bool, planar depths, of a ball."""
    rows, columns = np.mgrid[: size[0], : size[1]] + 0.5
    pixels = np.stack([columns, rows], axis=-1).reshape(1, -1, 2)
    pixels = np.repeat(pixels, len(camera.projection), axis=0)
    rays = cameras.pixel_rays(camera, tf.constant(pixels, tf.float32), size)
    origin, direction = (ray.numpy().astype(np.float64) for ray in rays)
    away = origin - CENTER
    a, b = (direction**2).sum(-1), (direction * away).sum(-1)
    root = b * b - a * ((away**2).sum(-1) - RADIUS**2)
    mask = root > 0
    depth = np.where(mask, (-b - np.sqrt(np.maximum(root, 0.0))) / a, 0.0)
    normal = (away + direction * depth[..., np.newaxis]) / RADIUS
    color = np.where(mask[..., np.newaxis], 0.5 + 0.4 * normal, 1.0)
    images = np.rint(color * 255).astype(np.uint8).reshape(-1, *size, 3)
    return images, mask.reshape(-1, *size), depth.reshape(-1, *size)


def write_ball(
    folder, views=5, size=SIZE, scale=SCALE, depth="exr", sparse=False, inputs=0
):
    """Writes a scene; returns camera, images, masks and depths in object units."""
    camera = ball_cameras(views, size)
    images, masks, depths = draw_ball(camera, size)
    unit = 1.0 if scale is None else scale[0, 0]
    for number in range(views):
        io.write_png(folder / f"image/{number:04d}.png", images[number])
        io.write_png(folder / f"mask/{number:04d}.png", masks[number])
        if depth == "exr":
            path = folder / f"depth/{number:04d}.exr"
            io.write_depth_exr(path, depths[number] * unit)
    for number in range(inputs):
        path = folder / f"img_choy2016/{number:03d}.png"
        io.write_png(path, np.full([9, 9, 3], 20 * number, np.uint8))
    matrices = cameras.to_dvr(camera, size)
    camera_mats, world_mats = (np.asarray(m, np.float64) for m in matrices)
    if scale is not None:
        grow = np.diag([unit, unit, unit, 1.0])
        world_mats = grow @ world_mats @ np.linalg.inv(scale)
    camera_files.write_cameras(
        folder / camera_files.FILE, camera_mats, world_mats, scale
    )
    if sparse:
        write_sparse(folder, views, np.eye(4) if scale is None else scale)
    return camera, images, masks, depths


def surface_points(count, seed=0):
    """Points on the ball, float64 [N, 3]."""
    way = np.random.default_rng(seed).normal(size=[count, 3])
    return CENTER + RADIUS * way / np.linalg.norm(way, axis=-1, keepdims=True)


def write_sparse(folder, views, scale):
    """Points on the ball, of which view k sees k + 2, and one beside the hull."""
    points = surface_points(20)
    points[0] = 0.45
    kept = np.arange(20) > 0
    seen = {f"visibility_{k:04d}": np.arange(k + 3) for k in range(views)}
    world = points @ scale[:3, :3].T + scale[:3, 3]
    np.savez(
        folder / "pcl.npz",
        points=world,
        colors=np.zeros([20, 3], np.uint8),
        is_in_visual_hull=kept,
        **seen,
    )
    return points
