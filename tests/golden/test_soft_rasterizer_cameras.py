"""Cameras of Soft Rasterizer against arrays of the original."""

import numpy as np
import pytest
import tensorflow as tf

from tests.golden import cases
from tfrender import cameras

FILES = cases.holding("soft_rasterizer", "look_at", "perspective_*", "P")
each_case = pytest.mark.parametrize("path", FILES, ids=cases.name_of)
# Their camera space is mirrored and looks along +z.
THEIRS = np.float32([-1.0, 1.0, -1.0])
CLOSE = {"atol": 1e-5, "rtol": 1e-5}


def camera_of(data, **arguments):
    return cameras.from_neural_renderer(data["eye"], up=data["up"], **arguments)


def projected(camera, vertices):
    """x and y in NDC and depth, as the rasteriser takes them."""
    clip = cameras.project_to_clip(camera, vertices)
    depth = cameras.view_depth(camera, vertices)[..., tf.newaxis]
    return tf.concat([clip[..., :2] / clip[..., 3:], depth], axis=-1).numpy()


@each_case
def test_look_at_and_look_equal_the_original(path):
    data = cases.load(path)
    for name, arguments in (
        ("look_at", {"at": data["at"]}),
        ("look", {"direction": data["direction"]}),
    ):
        view = camera_of(data, **arguments).world_to_camera
        got = THEIRS * cameras.transform(data["vertices"], view)
        np.testing.assert_allclose(got, data[name], **CLOSE)


@each_case
def test_perspective_and_orthogonal_equal_the_original(path):
    data = cases.load(path)
    for name, want in data.items():
        kind, _, value = name.partition("_")
        if kind not in ("perspective", "orthogonal"):
            continue
        key = "viewing_angle_deg" if kind == "perspective" else "viewing_scale"
        camera = camera_of(data, at=data["at"], **{key: float(value)})
        np.testing.assert_allclose(projected(camera, data["vertices"]), want, **CLOSE)


@each_case
def test_projection_matrices_and_lens_distortion_equal_the_original(path):
    data = cases.load(path)
    name = next(key for key in data if key.startswith("projection_orig"))
    size = int(name.removeprefix("projection_orig"))
    camera = cameras.from_projection_matrix(data["P"], (size, size))
    got = projected(camera, data["vertices"])
    # Their depth is not in world units where the third row of P is not of length 1,
    # and they add 1e-5 to it before they divide.
    length = np.linalg.norm(data["P"][:, np.newaxis, 2, :3], axis=-1, keepdims=True)
    depth = got[..., 2:] * length
    pixel = (got[..., :2] + 1) * size / 2 * depth / (depth + 1e-5)
    pixel = cameras.distort_points(tf.constant(pixel), data["dist_coeffs"])
    got = np.concatenate([2 * pixel / size - 1, depth], axis=-1)
    # Polynomials of degree 7 in pixels: a rounding counts seven times.
    np.testing.assert_allclose(got, data[name], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(got[..., 2], data[name][..., 2], **CLOSE)


@each_case
def test_orbit_stands_where_points_from_angles_are(path):
    data = cases.load(path)
    distance, elevation, azimuth = data["angles_dist_elev_azim_deg"].T
    view = cameras.orbit(azimuth, elevation, distance)
    eye = -np.einsum("bji,bj->bi", view[:, :3, :3], view[:, :3, 3])
    np.testing.assert_allclose(eye, data["points_from_angles"], **CLOSE)
