import numpy as np
import pytest
import tensorflow as tf

from tfrender import cameras
from tfrender.ops.interpolate import interpolate, interpolate_corners
from tfrender.ops.rasterize import rasterize_mesh
from tfrender.ops.rasterize_corners import face_corners, gather_rows

SIZE = (9, 14)
CAMERA = cameras.Camera(tf.eye(4)[tf.newaxis], cameras.perspective(60.0, 14 / 9, 0.1))


def scene():
    rng = np.random.default_rng(0)
    vertices = rng.uniform([-1.5, -1.5, -4], [1.5, 1.5, -1], (2, 12, 3))
    faces = np.array(
        [[[0, 1, 2], [3, 4, 5], [6, 7, 8]], [[9, 10, 11], [0, 5, 7], [-1] * 3]]
    )
    attributes = rng.normal(size=(2, 12, 4))
    return (
        tf.constant(vertices, tf.float32),
        tf.constant(faces, tf.int32),
        tf.constant(attributes, tf.float32),
    )


def test_interpolation_equals_the_weighted_sum_in_a_loop():
    vertices, faces, attributes = scene()
    fragments = rasterize_mesh(vertices, faces, CAMERA, SIZE)
    got = interpolate(attributes, faces, fragments).numpy()
    assert fragments.mask.numpy().any() and not fragments.mask.numpy().all()
    for b, i, j in np.ndindex(2, *SIZE):
        f = int(fragments.face_index[b, i, j])
        want = np.zeros(4)
        if f >= 0:
            corners = attributes.numpy()[b][faces[b, f]]
            want = fragments.barycentric[b, i, j].numpy() @ corners
        np.testing.assert_allclose(got[b, i, j], want, atol=1e-5)


def test_positions_interpolate_to_points_on_the_rays_of_the_pixels():
    vertices, faces, _ = scene()
    fragments = rasterize_mesh(vertices, faces, CAMERA, SIZE)
    point = interpolate(vertices, faces, fragments)
    np.testing.assert_allclose(-point[..., 2], fragments.depth, atol=1e-5)
    clip = cameras.project_to_clip(CAMERA, tf.reshape(point, [2, -1, 3]))
    pixel = tf.reshape(cameras.clip_to_pixel(clip, SIZE), [2, *SIZE, 2]).numpy()
    mask = fragments.mask.numpy()
    column, row = np.meshgrid(np.arange(14) + 0.5, np.arange(9) + 0.5)
    want = np.stack([np.stack([column, row], -1)] * 2)
    np.testing.assert_allclose(pixel[mask], want[mask], atol=1e-3)


def test_shared_attributes_and_faces_equal_their_copies():
    vertices, faces, attributes = scene()
    for shared_faces in (faces[0], faces):
        fragments = rasterize_mesh(vertices, shared_faces, CAMERA, SIZE)
        want = interpolate(tf.stack([attributes[0]] * 2), shared_faces, fragments)
        np.testing.assert_array_equal(
            interpolate(attributes[0], shared_faces, fragments), want
        )


def test_constant_attributes_stay_constant_inside_and_zero_outside():
    vertices, faces, _ = scene()
    fragments = rasterize_mesh(vertices, faces, CAMERA, SIZE)
    got = interpolate(tf.ones([12, 1]), faces, fragments)[..., 0]
    np.testing.assert_allclose(got, tf.cast(fragments.mask, tf.float32), atol=1e-6)


def test_gradients_equal_finite_differences():
    vertices, faces, attributes = scene()
    weight = np.random.default_rng(1).normal(size=(2, *SIZE, 4)).astype(np.float32)
    with tf.GradientTape() as tape:
        tape.watch(attributes)
        fragments = rasterize_mesh(vertices, faces, CAMERA, SIZE)
        loss = tf.reduce_sum(interpolate(attributes, faces, fragments) * weight)
    gradient = tape.gradient(loss, attributes).numpy()
    # Linear in the attributes: the transposed sum, in a loop.
    want = np.zeros_like(gradient)
    for b, i, j in np.ndindex(2, *SIZE):
        f = int(fragments.face_index[b, i, j])
        if f >= 0:
            for corner, share in zip(
                faces[b, f].numpy(), fragments.barycentric[b, i, j].numpy(), strict=True
            ):
                want[b, corner] += share * weight[b, i, j]
    np.testing.assert_allclose(gradient, want, atol=1e-4)


def test_the_gradient_reaches_the_vertices_through_the_barycentrics():
    vertices = tf.constant([[[-3.0, -3, -2], [3, -3, -2], [0, 4, -2]]])
    attributes = tf.constant([[0.0], [1.0], [0.5]])

    def loss(v):
        fragments = rasterize_mesh(v, [[0, 1, 2]], CAMERA, SIZE)
        return tf.reduce_sum(interpolate(attributes, [[0, 1, 2]], fragments) ** 2)

    with tf.GradientTape() as tape:
        tape.watch(vertices)
        value = loss(vertices)
    gradient = tape.gradient(value, vertices).numpy()
    step = np.zeros([1, 3, 3], np.float32)
    step[0, 1, 0] = 0.01  # the triangle fills the image: no pixel changes its face
    slope = (loss(vertices + step) - loss(vertices - step)) / 0.02
    np.testing.assert_allclose(gradient[0, 1, 0], slope, rtol=1e-2)


def test_corner_attributes_may_differ_between_faces_of_one_vertex():
    vertices, faces, _ = scene()
    fragments = rasterize_mesh(vertices, faces, CAMERA, SIZE)
    number = tf.range(3.0)[:, tf.newaxis, tf.newaxis] + tf.zeros([3, 3, 1])
    got = interpolate_corners(number, fragments)[..., 0]
    want = np.where(fragments.mask, fragments.face_index, 0)
    np.testing.assert_allclose(got, want, atol=1e-5)
    batched = interpolate_corners(tf.stack([number, number]), fragments)[..., 0]
    np.testing.assert_array_equal(batched, got)


def test_padding_reads_zero_and_sends_no_gradient():
    rows = tf.constant([[1.0, 2.0], [3.0, 4.0]])
    with tf.GradientTape() as tape:
        tape.watch(rows)
        got = gather_rows(rows, tf.constant([[1, -1], [1, 0]]))
    np.testing.assert_array_equal(got, [[[3, 4], [0, 0]], [[3, 4], [1, 2]]])
    np.testing.assert_array_equal(tape.gradient(got, rows), [[1, 1], [2, 2]])
    assert gather_rows(tf.zeros([0, 2]), tf.constant([-1])).numpy().tolist() == [[0, 0]]
    corners = face_corners(rows, [[0, 1, 0], [0, 1, -1]])
    np.testing.assert_array_equal(corners[1], np.zeros([3, 2]))


def test_it_compiles_with_xla():
    vertices, faces, attributes = scene()
    fragments = rasterize_mesh(vertices, faces, CAMERA, SIZE)
    compiled = tf.function(interpolate, jit_compile=True)
    np.testing.assert_allclose(
        compiled(attributes, faces, fragments),
        interpolate(attributes, faces, fragments),
        atol=1e-5,
    )


def test_bad_shapes_are_named():
    vertices, faces, _ = scene()
    fragments = rasterize_mesh(vertices, faces, CAMERA, SIZE)
    with pytest.raises(ValueError, match="faces"):
        interpolate(tf.ones([12, 1]), faces[..., :2], fragments)
    with pytest.raises(ValueError, match="corners"):
        interpolate_corners(tf.ones([3, 2, 1]), fragments)
