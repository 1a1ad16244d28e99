"""The published unit tests of the Neural 3D Mesh Renderer, on the ops.

As there, the object is item 2 of a batch of 4 whose other meshes are all zeros.
"""

import pathlib

import numpy as np
import pytest
import tensorflow as tf

from tests.acceptance.published_scenes import (
    BATCH,
    EYE,
    INSIDE,
    ITEM,
    OUTSIDE,
    SLOPES,
    among_zeros,
)
from tfrender import cameras, io
from tfrender.ops.neural_rasterize import (
    neural_images,
    neural_rasterize,
    project_faces,
)

DATA = pathlib.Path(__file__).parents[1] / "data" / "neural_renderer"


def two_sided(faces):
    """Faces and their reversed copies, the original's `fill_back`."""
    return np.concatenate([faces, faces[:, ::-1]])


def teapot():
    """Vertices normalised as the original does, and faces of both sides."""
    mesh = io.load_mesh(DATA / "teapot.obj")
    vertices = mesh.vertices - mesh.vertices.min(0)
    vertices = 2 * vertices / vertices.max()
    vertices -= vertices.max(0) / 2
    assert len(mesh.vertices) == 1292 and len(mesh.faces) == 2464
    return among_zeros(vertices.astype(np.float32)), two_sided(mesh.faces)


@pytest.fixture(scope="module", params=["graph", "xla"])
def teapot_pictures(request):
    """Coverage and depth of the teapot, 256 x 256 without supersampling."""
    vertices, faces = teapot()
    camera = cameras.from_neural_renderer(EYE)
    projected = project_faces(camera, tf.constant(vertices), faces)
    got = neural_rasterize(projected, (256, 256), form=request.param)
    return neural_images(got, projected, eps=1e-4)


def test_the_teapot_covers_the_pixels_that_blender_covers(teapot_pictures):
    reference = io.read_image(DATA / "teapot_blender.png")
    object_of_blender = reference[..., :3].min(-1) != 255
    assert object_of_blender.sum() == 7580
    alpha = teapot_pictures.alpha.numpy()
    np.testing.assert_array_equal(alpha[ITEM], object_of_blender.astype(np.float32))
    assert not alpha[[0, 1, 3]].any()


def test_the_depth_picture_equals_the_published_one(teapot_pictures):
    depth = teapot_pictures.depth.numpy()[ITEM]
    background = np.float32(100.0)
    depth = np.where(depth == background, depth.min(), depth)
    depth = (depth - depth.min()) / (depth.max() - depth.min())
    reference = io.read_image(DATA / "test_depth.png", channels=1)[..., 0] / 255.0
    np.testing.assert_allclose(depth, reference, atol=1e-2)


def one_face(corners, color=False, eps=1e-4, size=(64, 64)):
    """Renders one face with the default camera, no perspective, both sides.

    Returns the vertices [4, 3, 3], the tape that watches them and the pictures.
    """
    vertices = tf.constant(among_zeros(np.float32(corners)))
    camera = cameras.from_neural_renderer(EYE, viewing_scale=1.0)
    with tf.GradientTape() as tape:
        tape.watch(vertices)
        faces = project_faces(camera, vertices, two_sided(np.array([[0, 1, 2]])))
        got = neural_rasterize(faces, size)
        white = tf.ones([BATCH, *size, 3]) if color else None
        images = neural_images(got, faces, white, eps=eps)
    return vertices, tape, images


@pytest.mark.parametrize("picture", ["silhouette", "rgb"])
@pytest.mark.parametrize("case", ["outside", "inside"])
def test_the_backward_pass_gives_the_published_numbers(case, picture):
    corners = OUTSIDE if case == "outside" else INSIDE
    row, column, target = (25, 35, 1.0) if case == "outside" else (40, 50, 0.0)
    color = picture == "rgb"
    vertices, tape, images = one_face(corners, color, 1e-3 if color else 1e-4)
    with tape:
        image = images.rgb if color else images.alpha
        pixel = tf.reduce_mean(image[ITEM, row, column])  # of one channel or three
        loss = tf.abs(pixel - target)
    assert loss == 1.0
    slope = tape.gradient(loss, vertices).numpy()
    np.testing.assert_allclose(
        slope[ITEM], SLOPES[case], rtol=1e-2 if color else 1e-4, atol=1e-5
    )
    assert not slope[[0, 1, 3]].any()


def test_depth_gradient_equals_finite_differences():
    corners = np.float32([[-0.9, -0.9, 2.0], [-0.8, 0.8, 1.0], [0.8, 0.8, 0.5]])

    def depth_loss(corners):
        # No camera: the vertices are in the picture's frame.
        faces = corners[:, tf.newaxis]
        faces = tf.concat([faces, faces[:, :, ::-1]], axis=1)
        got = neural_rasterize(faces, (64, 64))
        assert got.mask[ITEM, 15, 20]
        return (neural_images(got, faces).depth[ITEM, 15, 20] - 1.0) ** 2

    vertices = tf.constant(among_zeros(corners))
    with tf.GradientTape() as tape:
        tape.watch(vertices)
        loss = depth_loss(vertices)
    slope = tape.gradient(loss, vertices).numpy()
    numeric = np.zeros((3, 3))
    for place in np.ndindex(3, 3):
        moved = corners.copy()
        moved[place] += 1e-3
        high = depth_loss(tf.constant(among_zeros(moved)))
        numeric[place] = (high - loss) / 1e-3
    assert np.abs(numeric).max() > 0.1
    np.testing.assert_allclose(slope[ITEM], numeric, atol=1e-3)
    assert not slope[[0, 1, 3]].any()


@pytest.mark.parametrize("eye", ["1 0 1", "0 0 -10", "-1 1 0"])
def test_look_at_gives_the_published_points(eye):
    want = {
        "1 0 1": [-np.sqrt(0.5), 0.0, np.sqrt(0.5)],
        "0 0 -10": [1.0, 0.0, 10.0],
        "-1 1 0": [0.0, np.sqrt(0.5), 1.5 * np.sqrt(2.0)],
    }[eye]
    camera = cameras.from_neural_renderer(np.float32(eye.split()))
    seen = cameras.transform(tf.constant([[[1.0, 0.0, 0.0]]]), camera.world_to_camera)
    np.testing.assert_allclose(seen[0, 0] * [-1.0, 1.0, -1.0], want, atol=1e-5)


def test_perspective_gives_the_published_point():
    camera = cameras.from_neural_renderer([0.0, 0.0, 0.0], direction=[0.0, 0.0, 1.0])
    face = project_faces(camera, tf.constant([[[1.0, 2.0, 10.0]]]), [[0, 0, 0]])
    np.testing.assert_allclose(face[0, 0, 0], [0.173205, 0.346410, 10.0], rtol=1e-5)
