"""Claims of the march along rays, on a ball of which every depth is known."""

import numpy as np
import pytest
import tensorflow as tf

from tests.ops.ball_field import Ball, depths, rays, single
from tfrender.ops.march_rays import MarchSettings, march_rays

FORMS = ("graph", "xla")
SETTINGS = MarchSettings(64, refinement_steps=14)


def march(field, origins, directions, near=0.0, far=6.0, settings=SETTINGS, **form):
    """RayHits of rays given as float64, as NumPy arrays."""
    count = len(origins)
    near, far = (np.broadcast_to(end, count) for end in (near, far))
    hits = march_rays(
        lambda points, ray: field.occupancy(points, ray * 0),
        *single(origins, directions, near, far),
        settings,
        **form,
    )
    return [part.numpy() for part in hits]


@pytest.mark.parametrize("form", FORMS)
def test_depths_are_those_of_the_formula(form):
    origins, directions = rays(60, spread=0.35)
    expected = depths(origins, directions)
    depth, hit, inside = march(Ball(), origins, directions, form=form)
    known = np.isfinite(expected)
    assert 10 < known.sum() < 55
    # A ray may pass between two samples through the very rim.
    assert np.count_nonzero(hit != known) <= 1 and not (hit & ~known).any()
    # False position comes from one side, slowly along a grazing ray.
    np.testing.assert_allclose(depth[hit], expected[hit], rtol=1e-4)
    np.testing.assert_array_equal(depth[~hit], 0.0)
    assert not inside.any()


@pytest.mark.parametrize("block", [1, 5, 64, 100])
@pytest.mark.parametrize("rays_per_chunk", [7, 4096])
def test_blocks_and_chunks_change_nothing(block, rays_per_chunk):
    origins, directions = rays(30)
    expected = march(Ball(), origins, directions)
    settings = SETTINGS._replace(block=block, rays_per_chunk=rays_per_chunk)
    found = march(Ball(), origins, directions, settings=settings)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)


def test_one_compiled_program_takes_any_number_of_samples():
    origins, directions = rays(20)
    field = Ball()
    near, far = np.zeros(20), np.full(20, 6.0)
    for jit in (True, False):

        @tf.function(jit_compile=jit)
        def compiled(samples, form="xla" if jit else "graph"):
            settings = SETTINGS._replace(samples=samples)
            return march_rays(
                lambda points, ray: field.occupancy(points, ray * 0),
                *single(origins, directions, near, far),
                settings,
                form,
            )

        for samples in (33, 64):
            settings = SETTINGS._replace(samples=samples)
            expected = march(Ball(), origins, directions, settings=settings)
            for a, b in zip(compiled(tf.constant(samples)), expected, strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-5)
        assert compiled.experimental_get_tracing_count() == 1


@pytest.mark.parametrize("form", FORMS)
def test_rays_that_start_inside_meet_nothing(form):
    origins, directions = rays(10)
    start = depths(origins, directions) + 0.05
    ok = np.isfinite(start)
    field = Ball()
    depth, hit, inside = march(
        field, origins[ok], directions[ok], near=start[ok], form=form
    )
    assert inside.all() and not hit.any() and not depth.any()


def test_only_spans_that_are_not_empty_are_evaluated():
    origins, directions = rays(12)
    far = np.where(np.arange(12) < 4, 6.0, 0.0)
    field = Ball()
    _, hit, _ = march(field, origins, directions, far=far)
    assert not hit[4:].any()
    assert max(field.evaluated) <= 4 * SETTINGS.block
    nothing = Ball()
    march(nothing, origins, directions, far=0.0)
    assert sum(nothing.evaluated) == 0


def test_rays_that_have_met_the_surface_are_left_out():
    origins, directions = rays(20, spread=0.0)
    first = depths(origins, directions)
    field = Ball()
    settings = SETTINGS._replace(refinement_steps=3, block=4)
    march(field, origins, directions, far=3.0 * first, settings=settings)
    # The surface lies a third of the way: sample 21 of 63, in the sixth block.
    blocks, steps = field.evaluated[:-3], field.evaluated[-3:]
    assert blocks == [20 * 4] * 6 and steps == [20] * 3


def test_an_exact_zero_is_on_the_surface():
    """The published test of signs would march on."""
    hits = march_rays(
        lambda points, ray: points[:, 2],
        *single([[0.0, 0.0, -1.0]], [[0.0, 0.0, 1.0]], [0.0], [2.0]),
        MarchSettings(5),
    )
    assert bool(hits.hit[0])
    np.testing.assert_allclose(hits.depth, [1.0], atol=1e-6)


@pytest.mark.parametrize("form", FORMS)
def test_bisection_halves_the_bracket(form):
    origins, directions = rays(20, spread=0.1)
    expected = depths(origins, directions)
    for steps in (0, 6):
        settings = MarchSettings(64, "bisection", steps)
        depth, hit, _ = march(Ball(), origins, directions, settings=settings, form=form)
        error = np.abs(depth - expected)[hit]
        assert hit.all() and error.max() <= 6.0 / 63 / 2 ** (steps + 1) + 1e-5
        assert error.max() > 1e-6


@pytest.mark.parametrize("form", FORMS)
def test_no_rays_are_no_hits(form):
    empty = np.zeros([0, 3])
    for part in march(Ball(), empty, empty, form=form):
        assert part.shape == (0,)


def test_nothing_has_a_gradient():
    origins, directions = single(*rays(10))
    with tf.GradientTape() as tape:
        tape.watch(origins)
        hits = march_rays(
            lambda points, ray: Ball().occupancy(points, ray * 0),
            *(origins, directions, tf.zeros(10), tf.fill([10], 6.0)),
        )
    assert tape.gradient(hits.depth, origins) is None


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (MarchSettings(1), "`samples` must lie in"),
        (MarchSettings(8, "newton"), "`refinement` must be one of"),
        (MarchSettings(8, refinement_steps=-1), "`refinement_steps` must lie in"),
        (MarchSettings(8, block=0), "`block` must lie in"),
        (MarchSettings(8, rays_per_chunk=0), "`rays_per_chunk` must lie in"),
    ],
)
def test_settings_are_checked(settings, expected):
    with pytest.raises(ValueError, match=expected):
        march(Ball(), *rays(3), settings=settings)


def test_shapes_and_form_are_checked():
    origins, directions = rays(3)
    with pytest.raises(ValueError, match="`origins` must have 2 axes"):
        march(Ball(), origins[np.newaxis], directions)
    with pytest.raises(ValueError, match="`form` must be one of"):
        march(Ball(), origins, directions, form="eager")
