"""Anti-aliasing: odd geometry, batches, exports, bad input."""

import numpy as np
import pytest
import tensorflow as tf

from tests.ops.antialias_scenes import (
    CAMERA,
    QUAD,
    SIZE,
    blended_hull,
    hull,
    pixels_of,
    project,
    solid,
    to_clip,
)
from tfrender import cameras
from tfrender.ops import antialias_edges
from tfrender.ops.antialias import antialias, antialias_silhouette
from tfrender.ops.opposite_corners import opposite_corners
from tfrender.ops.rasterize import Fragments, rasterize


def test_a_face_that_crosses_the_camera_plane_equals_its_part_in_front():
    # The road: its far corners lie ahead, its near ones behind the camera.
    camera = cameras.Camera(tf.eye(4)[tf.newaxis], cameras.perspective(60.0, 37 / 23))
    road = np.array([[-2, -1, 6], [2, -1, 6], [1, -1, -9], [-1, -1, -9]], np.float32)
    faces = np.array([[0, 1, 2], [0, 2, 3]])
    share = np.float32((6 + 0.3) / 15)  # ends 0.3 in front of the camera
    cut = road.copy()
    cut[:2] += share * (road[[3, 2]] - road[:2])
    results = []
    for vertices in (road, cut):
        clip = project(vertices, camera)
        fragments = rasterize(clip, faces, SIZE)
        with tf.GradientTape() as tape:
            tape.watch(clip)
            alpha = antialias_silhouette(
                fragments, clip, faces, opposite=opposite_corners(faces)
            )
            loss = tf.reduce_sum(alpha)
        assert np.isfinite(tape.gradient(loss, clip)).all()
        results.append(alpha.numpy())
    assert ((results[0] > 0) & (results[0] < 1)).sum() > 10
    np.testing.assert_allclose(*results, atol=1e-3)


def test_an_edge_nearer_than_the_near_plane_does_not_blend():
    size = (4, 9)
    points = np.array([(-9, -9), (5.3, -9), (5.3, 9), (-9, 9)])
    clip = to_clip(points, size)
    for cut, blends in ((4.6, False), (5.4, True)):
        # The near plane cuts the surface at this column, the edge stands at 5.3.
        clip[..., 2] = cut - points[:, 0] - clip[..., 3]
        fragments = rasterize(clip, QUAD, size)
        assert fragments.mask.numpy()[..., 4].all()
        alpha = antialias_silhouette(fragments, clip, QUAD)
        np.testing.assert_allclose(alpha[..., 5], 0.3 * blends, atol=1e-5)


def test_too_many_faces_on_the_way_end_at_the_edge_reached(monkeypatch):
    monkeypatch.setattr(antialias_edges, "_MOST_STEPS", 2)
    vertices, faces = solid("ico4")
    clip = project(vertices)
    fragments = rasterize(clip, faces, SIZE)
    alpha = antialias_silhouette(
        fragments, clip, faces, opposite=opposite_corners(faces)
    )
    want = blended_hull(fragments.mask[0].numpy(), hull(pixels_of(clip[0], SIZE)))
    short = want - alpha[0].numpy()
    # Every border is drawn, none beyond its place, some short of it.
    assert short.min() > -2e-4 and 0.05 < short.max() < 0.5


def test_a_part_thinner_than_a_pixel_stays_between_its_colours():
    size = (7, 9)
    points = [(4.45, 3.45), (4.56, 3.46), (4.5, 3.57)]  # holds the centre (4.5, 3.5)
    clip = tf.constant(to_clip(points, size))
    fragments = rasterize(clip, [[0, 1, 2]], size)
    assert fragments.mask.numpy().sum() == 1
    with tf.GradientTape() as tape:
        tape.watch(clip)
        alpha = antialias_silhouette(fragments, clip, [[0, 1, 2]])
    np.testing.assert_allclose(tf.reduce_sum(alpha), 0.0, atol=1e-6)
    np.testing.assert_array_equal(tape.gradient(alpha, clip), 0.0)
    image = tf.random.stateless_uniform([1, *size, 1], [0, 7])
    got = antialias(image, fragments, clip, [[0, 1, 2]])[0, 3, 4, 0]
    around = image[0, 2:5, 3:6, 0]
    assert tf.reduce_min(around) <= got <= tf.reduce_max(around)


def test_batch_items_and_padding_do_not_meet():
    meshes = [solid("box"), solid("ico1"), solid("ico2")]
    vertices = np.zeros((3, 170, 3), np.float32)
    faces = np.full((3, 330, 3), -1, np.int32)
    for b, (v, f) in enumerate(meshes):
        vertices[b, : len(v)], faces[b, : len(f)] = v, f
    clip = cameras.project_to_clip(CAMERA, vertices)
    image = tf.random.stateless_uniform([3, *SIZE, 2], [0, 8])
    for fragments, opposite in (
        (rasterize(clip, faces, SIZE), opposite_corners(faces)),
        (rasterize(clip, faces, SIZE), None),
    ):
        got = antialias(image, fragments, clip, faces, opposite=opposite)
        alpha = antialias_silhouette(fragments, clip, faces, opposite=opposite)
        for b, (v, f) in enumerate(meshes):
            one, each = project(v), None if opposite is None else opposite_corners(f)
            alone = rasterize(one, f, SIZE)
            want = antialias(image[b : b + 1], alone, one, f, opposite=each)
            np.testing.assert_allclose(got[b], want[0], atol=1e-5)
            want = antialias_silhouette(alone, one, f, opposite=each)
            np.testing.assert_allclose(alpha[b], want[0], atol=1e-5)


def test_seams_are_no_borders_once_vertices_are_welded():
    vertices, faces = solid("ico2")
    split = vertices[faces].reshape(-1, 3)  # every face has vertices of its own
    apart = np.arange(len(split)).reshape(-1, 3)
    want, got = [], []
    for v, f, opposite, results in (
        (vertices, faces, opposite_corners(faces), want),
        (split, apart, opposite_corners(apart, vertices=split), got),
    ):
        clip = project(v)
        with tf.GradientTape() as tape:
            tape.watch(clip)
            fragments = rasterize(clip, f, SIZE)
            alpha = antialias_silhouette(fragments, clip, f, opposite=opposite)
        results += [alpha, tf.reduce_sum(tape.gradient(alpha, clip), 1)]
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-3)


LINE, FAN = [[0.0, 0, -3], [1, 0, -3]], [[0.0, 0, -3], [1, 0, -3], [0, 1, -3]]
NASTY = {
    "zero area": LINE + [[0.5, 0.0, -3]],
    "equal vertices": [[0.2, 0.1, -3]] * 3,
    "edge on": [[0, 0, -2], [0, 0, -4], [0, 0.001, -3]],
    "same place, other depth": [[0.3, 0.3, -3], [0.6, 0.6, -6], [1, -1, -3]],
    "vertex at the camera": [[0, 0, 0], [1, 0, -3], [0, 1, -3]],
    "crossing the near plane": [[0, -1, 2], [1, -1, -4], [-1, -1, -4]],
    "behind": [[0, 0, 3], [1, 0, 3], [0, 1, 3]],
    "outside": [[50, 50, -3], [51, 50, -3], [50, 51, -3]],
    "vast": [[-1e6, -1e6, -3], [1e6, -1e6, -3], [0, 1e6, -3]],
    "tiny": [[0, 0, -3], [1e-6, 0, -3], [0, 1e-6, -3]],
    "far away": [[-1e6, -1e6, -1e6], [1e6, -1e6, -1e6], [0, 1e6, -1e6]],
}


@pytest.mark.parametrize("topology", [True, False])
@pytest.mark.parametrize("size", [(1, 1), (5, 8)])
def test_nasty_geometry_stays_finite(topology, size):
    camera = cameras.Camera(tf.eye(4)[tf.newaxis], cameras.perspective(60.0, 1.6))
    # Each nasty face with a duplicate and neighbours, later alone.
    faces = np.array([[0, 1, 2], [0, 1, 2], [2, 1, 3], [-1] * 3, [0, 2, 4]])
    vertices = np.array([v + [[0.1, 0.7, -2], [0, -1, -5]] for v in NASTY.values()])
    clip = cameras.project_to_clip(camera, tf.constant(vertices, tf.float32))
    opposite = opposite_corners(faces) if topology else None

    with tf.GradientTape() as tape:
        tape.watch(clip)
        fragments = rasterize(clip, faces, size)
        alpha = antialias_silhouette(fragments, clip, faces, opposite=opposite)
        image = tf.stack([fragments.depth, alpha], -1)
        out = antialias(image, fragments, clip, faces, opposite=opposite)
        loss = tf.reduce_sum(out**2)
    gradient = tape.gradient(loss, clip)
    assert 0.0 <= tf.reduce_min(alpha) and tf.reduce_max(alpha) <= 1.0
    assert np.isfinite(out).all() and np.isfinite(gradient).all()
    only = faces.copy()
    only[1:] = -1
    fragments = rasterize(clip, only, size)
    alpha = antialias_silhouette(fragments, clip, only).numpy()
    assert np.isfinite(alpha).all()


def test_a_vertex_on_a_pixel_centre_is_no_exception():
    size = (9, 9)
    # A diamond with corners on pixel centres and all edges at 45 degrees through them.
    points = np.array([(4.5, 1.5), (1.5, 4.5), (4.5, 7.5), (7.5, 4.5)])
    areas, slopes = [], []
    for shift in (0.0, 1e-3, -1e-3):
        clip = tf.constant(to_clip(points + shift, size))
        with tf.GradientTape() as tape:
            tape.watch(clip)
            fragments = rasterize(clip, QUAD, size)
            alpha = antialias_silhouette(
                fragments, clip, QUAD, opposite=opposite_corners(QUAD)
            )
        slopes.append(tape.gradient(alpha, clip)[0])
        areas.append(tf.reduce_sum(alpha))
    assert np.isfinite(slopes).all() and np.abs(slopes).max() > 0.0
    # At the corners themselves a pixel may count or not.
    np.testing.assert_allclose(areas, 18.0, atol=1.01)


def test_empty_meshes_and_empty_pictures_change_nothing():
    for faces in (np.zeros([0, 3], np.int32), np.full([2, 3], -1)):
        clip = tf.zeros([2, 0, 4])
        fragments = Fragments(tf.fill([2, 4, 5], -1), None, None, None)
        opposite = opposite_corners(faces)
        assert opposite.shape == faces.shape
        image = tf.random.stateless_uniform([2, 4, 5, 1], [0, 9])
        np.testing.assert_array_equal(antialias(image, fragments, clip, faces), image)
        for form in ("graph", "xla"):
            alpha = antialias_silhouette(fragments, clip, faces, form=form)
            np.testing.assert_array_equal(alpha, 0.0)
    none = Fragments(tf.zeros([0, 4, 5], tf.int32), None, None, None)
    out = antialias(image[:0], none, tf.zeros([0, 3, 4]), faces)
    assert out.shape == (0, 4, 5, 1)


def test_it_is_exported_for_any_batch_size(tmp_path):
    vertices, faces = solid("ico1")
    opposite = opposite_corners(faces)

    class Renderer(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, None, 4])])
        def __call__(self, clip):
            fragments = rasterize(clip, faces, SIZE)
            return antialias_silhouette(fragments, clip, faces, opposite=opposite)

    module = Renderer()
    tf.saved_model.save(module, tmp_path / "model")
    loaded = tf.saved_model.load(tmp_path / "model")
    clip = tf.concat([project(vertices), project(0.7 * vertices)], 0)
    for batch in (1, 2):
        got = loaded(clip[:batch])
        assert got.shape == (batch, *SIZE)
        np.testing.assert_allclose(got, module(clip[:batch]), atol=1e-5)


def test_half_precision_images_keep_their_type():
    vertices, faces = solid("box")
    clip = project(vertices)
    fragments = rasterize(clip, faces, SIZE)
    image = tf.cast(fragments.mask, tf.float16)[..., tf.newaxis]
    with tf.GradientTape() as tape:
        tape.watch([image, clip])
        out = antialias(image, fragments, clip, faces)
    assert out.dtype == tf.float16
    to_image, to_clip = tape.gradient(out, [image, clip])
    assert to_image.dtype == tf.float16 and to_clip.dtype == tf.float32
    alpha = antialias_silhouette(fragments, clip, faces)
    np.testing.assert_allclose(out[..., 0], alpha, atol=2e-3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": tf.zeros([1, 4, 6, 3])}, "`image` must end in"),
        ({"image": tf.zeros([1, 4, 5])}, "`image` must have 4 axes"),
        ({"image": tf.zeros([1, 4, 5, 3], tf.int32)}, "`image` must be floating"),
        ({"clip_vertices": tf.zeros([1, 3, 3])}, "`clip_vertices` must end in"),
        ({"faces": [[0, 1]]}, "`faces` must end in"),
        ({"opposite": tf.zeros([2, 3], tf.int32)}, "`opposite` must end in"),
        ({"opposite": tf.zeros([1, 1, 3], tf.int32)}, "`opposite` must have 2 axes"),
        ({"form": "dynamic"}, "`form` must be one of"),
    ],
)
def test_wrong_arguments_are_named(change, message):
    arguments = {
        "image": tf.zeros([1, 4, 5, 3]),
        "fragments": Fragments(tf.fill([1, 4, 5], -1), None, None, None),
        "clip_vertices": tf.zeros([1, 3, 4]),
        "faces": [[0, 1, 2]],
    }
    with pytest.raises(ValueError, match=message):
        antialias(**(arguments | change))
