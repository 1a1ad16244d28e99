"""Cameras, cube, pixels, decoder and march of the published DVR."""

import math
import re

import numpy as np
import pytest
import tensorflow as tf

from tests.golden import cases, dvr_fields
from tfrender import cameras, ops
from tfrender.ops import sample_rays
from tfrender.ops.implicit_surface import SurfaceSettings, implicit_surface

SYSTEM = dvr_fields.SYSTEM
SIZE = (37, 53)  # any picture will do: the original's pixels are in [-1, 1]
FAR = 2.4  # README: rays that miss the cube are marched as far, in units of an object
RAYS = 2 / 600  # README: share of the rays whose mask may differ
FORMS = ("graph", pytest.param("xla", marks=pytest.mark.slow))


def prefixes(system_files, suffix):
    """(case, prefix) of every group of arrays that ends in the suffix."""
    return [
        pytest.param(path, name.removesuffix(suffix), id=f"{path.stem}-{name}")
        for path in system_files
        for name in cases.load(path)
        if name.endswith(suffix)
    ]


CAMERAS = prefixes(cases.holding(SYSTEM, "*cube_mask_pad*"), "_image_points_to_world")
DEPTHS = prefixes(cases.holding(SYSTEM, "*_ray0", "*_d_*"), "_ray0")
BACKWARD = cases.holding(SYSTEM, "*_rgb_upstream", "*_grad.*")


@pytest.mark.parametrize(("path", "prefix"), CAMERAS)
def test_cameras_and_rays(path, prefix):
    arrays = cases.load(path)
    given = {
        name.removeprefix(f"{prefix}_"): value
        for name, value in arrays.items()
        if name.startswith(f"{prefix}_")
    }
    camera, scale = cameras.from_dvr(
        given["camera_mat"], given["world_mat"], given["scale_mat"], SIZE
    )
    scale = np.asarray(scale)[:, np.newaxis, np.newaxis]
    pixels = pixels_of(arrays["pixels"], SIZE)
    origins, directions = cameras.pixel_rays(camera, pixels, SIZE)
    # README: 1e-5, and 1e-4 for cameras with a scale.
    limit = 1e-5 if np.allclose(scale, 1.0) else 1e-4
    np.testing.assert_allclose(origins, given["origin_to_world"], atol=limit)
    there = origins + directions / scale
    np.testing.assert_allclose(there, given["image_points_to_world"], atol=limit)
    depth = given["depth"][..., np.newaxis] / scale
    points = origins + directions * depth
    np.testing.assert_allclose(points, given["transform_to_world"], atol=limit)
    back = np.asarray(cameras.view_depth(camera, points)) * scale[..., 0]
    np.testing.assert_allclose(back, given["depth"], rtol=1e-5, atol=limit)
    for name in (name for name in given if name.startswith("cube_mask_pad")):
        pad = name.removeprefix("cube_mask_pad")
        span = ops.ray_cube(origins, directions / scale, 0.5 + float(pad) / 2)
        mask = given[name]
        np.testing.assert_array_equal(span.hit, mask)
        both = np.stack([span.near, span.far], axis=-1)[mask]
        expected = given[f"cube_ray_pad{pad}"][mask]
        np.testing.assert_allclose(both, expected, rtol=limit, atol=limit)


def pixels_of(places, size):
    """Pixels (x, y) of places in [-1, 1]^2 between the outermost pixel centres."""
    last = np.array([size[1] - 1, size[0] - 1], np.float32)
    return ((places + 1.0) / 2.0 * last + 0.5).astype(np.float32)


@pytest.mark.parametrize("path", cases.holding(SYSTEM, "sample_img"), ids=cases.name_of)
def test_pixels_are_looked_up_as_published(path):
    arrays = cases.load(path)
    for image, places, values in (
        ("sample_img", "sample_grid_pixels", "sample_grid_values"),
        ("sample_img", "sample_rand_pixels", "sample_rand_values"),
    ):
        picture = np.transpose(arrays[image], (0, 2, 3, 1))
        pixels = pixels_of(arrays[places], picture.shape[1:3])
        found = sample_rays.look_up_pixels(picture, pixels, legacy=True)
        np.testing.assert_array_equal(found, arrays[values])


@pytest.mark.parametrize("path", cases.holding(SYSTEM, "cond_all"), ids=cases.name_of)
def test_decoder(path):
    arrays = cases.load(path)
    for name, conditional in (("cond", True), ("uncond", False), ("tube", False)):
        field = dvr_fields.decoder(name)
        found = np.asarray(field(arrays["p"], arrays["c"] if conditional else None))
        np.testing.assert_allclose(found, arrays[f"{name}_all"], rtol=1e-5, atol=1e-5)
    cond = dvr_fields.decoder("cond")
    found = cond(arrays["p"], arrays["c"])
    np.testing.assert_allclose(found[..., 0], arrays["cond_occ"], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(
        found[..., 1:], arrays["cond_rgb_logits"], rtol=1e-5, atol=1e-5
    )


class Marched:
    """One group of arrays of depths, ready to be marched again."""

    def __init__(self, path, prefix):
        arrays = cases.load(path)
        self.arrays = {
            name.removeprefix(f"{prefix}_"): value
            for name, value in arrays.items()
            if name.startswith(f"{prefix}_")
        }
        self.field = dvr_fields.decoder(prefix)
        self.code = self.arrays.get("c")
        scale = float(np.cbrt(np.linalg.det(self.arrays["scale_mat"][0, :3, :3])))
        self.far = FAR * scale

    def surface(self, samples, form="graph", **changes):
        march = ops.MarchSettings(
            samples,
            changes.pop("refinement", "secant"),
            changes.pop("refinement_steps", 8),
        )
        settings = SurfaceSettings(
            march, outside_range=(0.0, self.far), legacy=True, **changes
        )
        code = None if self.code is None else tf.constant(self.code)
        return implicit_surface(
            self.field.query(code),
            self.arrays["ray0"],
            self.arrays["raydir"],
            settings,
            form=form,
        )


def dense(surface, values):
    """Values at the rays that meet the surface, and infinity."""
    found = np.full(surface.mask.shape, np.inf, np.float32).reshape(-1)
    ray = np.asarray(surface.ray)[np.asarray(surface.valid)]
    found[ray] = np.asarray(values)[np.asarray(surface.valid)]
    return found.reshape(surface.mask.shape)


def assert_depths(found, expected, limit):
    """Equal depths, but for a few rays that graze the surface."""
    hit = np.isfinite(expected)
    differing = np.count_nonzero(np.isfinite(found) != hit)
    assert differing <= math.ceil(RAYS * hit.size)
    both = hit & np.isfinite(found)
    assert both.any()
    np.testing.assert_allclose(found[both], expected[both], rtol=0, atol=limit)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("path", "prefix"), DEPTHS)
def test_march(path, prefix, form):
    case = Marched(path, prefix)
    for name in case.arrays:
        plain = re.fullmatch(r"d_(\d+)", name)
        if not plain:
            continue
        samples = plain.group(1)
        surface = case.surface(int(samples), form)
        depth = np.where(surface.mask, dense(surface, surface.depth), np.inf)
        assert_depths(depth, case.arrays[name], 2e-5)
        both = np.asarray(surface.mask) & case.arrays[f"mask_{samples}"]
        started = case.arrays[f"mask0_{samples}"]
        differing = np.count_nonzero(np.asarray(surface.starts_inside) != started)
        assert differing <= math.ceil(RAYS * started.size)
        colors = np.stack(
            [dense(surface, tf.sigmoid(surface.logits)[:, i]) for i in range(3)], -1
        )
        expected = case.arrays[f"rgb_{samples}"]
        np.testing.assert_allclose(colors[both], expected[both], rtol=0, atol=1e-4)


@pytest.mark.parametrize(("path", "prefix"), DEPTHS)
def test_other_ways_to_march(path, prefix):
    case = Marched(path, prefix)
    for name, expected in case.arrays.items():
        way = re.fullmatch(r"d_(bisect|nocube|tau)([\d.]*)_(\d+)", name)
        if not way:
            continue
        kind, value, samples = way.groups()
        changes = {
            "bisect": lambda v: {"refinement": "bisection", "refinement_steps": int(v)},
            "nocube": lambda v: {"use_cube": False},
            "tau": lambda v: {"level": math.log(float(v) / (1 - float(v)))},
        }[kind](value)
        surface = case.surface(int(samples), **changes)
        depth = dense(surface, surface.depth)
        assert_depths(depth, expected, 1e-5 if kind == "bisect" else 2e-5)


@pytest.mark.parametrize("path", BACKWARD, ids=cases.name_of)
def test_gradients_of_depth_and_colours(path):
    arrays = cases.load(path)
    marched = {param.values[1]: param.values[0] for param in DEPTHS}
    names = sorted({name.split("_")[0] for name in arrays if "_grad." in name})
    for prefix, kind in ((name, kind) for name in names for kind in ("", "rgb")):
        case = Marched(marched[prefix], prefix)
        case.code = None if case.code is None else tf.constant(case.code)
        with tf.GradientTape(persistent=True) as tape:
            if case.code is not None:
                tape.watch(case.code)
            surface = case.surface(64)  # README
            upstream = arrays[f"{prefix}_{kind}{'_' if kind else ''}upstream"]
            flat = tf.reshape(upstream, [-1, *upstream.shape[2:]])
            values = tf.sigmoid(surface.logits) if kind else surface.depth
            loss = tf.reduce_sum(tf.gather(flat, surface.ray) * values)
        expected = float(arrays[f"{prefix}_{kind}{'_' if kind else ''}loss"])
        np.testing.assert_allclose(loss, expected, rtol=1e-4)
        found = dvr_fields.gradients_by_name(case.field, tape, loss)
        if case.code is not None:
            found["c"] = tape.gradient(loss, case.code).numpy()
        stored = {
            name.removeprefix(f"{prefix}_{kind}grad")[1:]: value
            for name, value in arrays.items()
            if name.startswith(f"{prefix}_{kind}grad")
        }
        assert set(stored) <= set(found) and stored
        for name, value in stored.items():
            limit = 1e-4 * np.abs(value).max()
            np.testing.assert_allclose(
                found[name], value, rtol=0, atol=limit, err_msg=name
            )


@pytest.mark.parametrize("path", cases.holding(SYSTEM, "fd_grad_c"), ids=cases.name_of)
def test_finite_differences_of_the_depth(path):
    """The original's gradient, ours and differences in float64 are one."""
    arrays = cases.load(path)
    for backward in BACKWARD:
        stored = cases.load(backward)
        marched = {param.values[1]: param.values[0] for param in DEPTHS}
        case = Marched(marched["cond"], "cond")
        case.code = tf.constant(case.code)
        with tf.GradientTape() as tape:
            tape.watch(case.code)
            surface = case.surface(64)
            flat = tf.reshape(stored["cond_upstream"], [-1])
            loss = tf.reduce_sum(tf.gather(flat, surface.ray) * surface.depth)
        found = tape.gradient(loss, case.code).numpy()
        limit = 1e-4 * np.abs(arrays["fd_grad_c"]).max()
        np.testing.assert_allclose(found, arrays["fd_grad_c"], rtol=0, atol=limit)
        depth = np.where(surface.mask, dense(surface, surface.depth), np.inf)
        both = arrays["mask_f64"] & np.isfinite(depth)
        np.testing.assert_allclose(
            depth[both], arrays["depth_f64"][both], rtol=0, atol=2e-5
        )


@pytest.mark.parametrize("path", cases.holding(SYSTEM, "ps*_d"), ids=cases.name_of)
def test_patches_are_like_the_published_ones(path):
    """As many points, as far apart; ours lie on whole pixels."""
    size = (33, 41)  # README
    for name, places in cases.load(path).items():
        match = re.fullmatch(r"ps(\d+)_([cd])", name)
        side, continuous = int(match.group(1)), match.group(2) == "c"
        batch, count = places.shape[:2]
        ours = sample_rays.sample_pixels(
            tf.constant([1, 2], tf.int64),
            batch,
            count,
            size,
            patch_size=side,
            continuous=continuous,
        ).numpy()
        assert ours.shape == places.shape
        theirs = pixels_of(places, size)
        for pixels, step in ((ours, 1.0), (theirs, (size[1] - 1) / size[1])):
            assert pixels.min() >= -1e-4
            assert (pixels <= np.array([size[1], size[0]]) + 1e-4).all()
            if side > 1:
                patch = pixels.reshape(batch, -1, side, side, 2)
                wide = patch[:, :, 1:, :, 0] - patch[:, :, :-1, :, 0]
                np.testing.assert_allclose(wide, step, atol=1e-4)
        if not continuous:
            np.testing.assert_array_equal(ours % 1.0, 0.5)
