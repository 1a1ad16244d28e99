import numpy as np
import pytest
import tensorflow as tf

from tfrender import cameras
from tfrender.ops import image_shading
from tfrender.ops.rasterize import rasterize_mesh

SIZE = (24, 37)
CUBE = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)]) - 0.5
CUBE_FACES = np.array(
    [
        [0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1],
        [2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3],
    ],
    np.int32,
)  # fmt: skip


def orthographic(azimuth, elevation):
    view = cameras.orbit(azimuth, elevation, 3.0)
    return cameras.Camera(view, cameras.orthographic(1.0, 37 / 24))


def perspective(azimuth, elevation):
    view = cameras.orbit(azimuth, elevation, 3.0)
    return cameras.Camera(view, cameras.perspective(35.0, 37 / 24))


def ball(rings=12, sides=16):
    """A closed sphere of radius 0.7 without duplicated vertices."""
    polar = np.pi * np.arange(1, rings) / rings
    turn = 2 * np.pi * np.arange(sides) / sides
    p, t = np.meshgrid(polar, turn, indexing="ij")
    body = np.stack([np.sin(p) * np.cos(t), np.cos(p), -np.sin(p) * np.sin(t)], -1)
    vertices = np.concatenate([body.reshape(-1, 3), [[0, 1, 0], [0, -1, 0]]])
    top = len(vertices) - 2
    faces = []
    for j in range(sides):
        k = (j + 1) % sides
        faces += [[top, j, k], [top + 1, top - sides + k, top - sides + j]]
        for i in range(rings - 2):
            a, b = i * sides + j, i * sides + k
            faces += [[a, a + sides, b + sides], [a, b + sides, b]]
    return 0.7 * vertices[None].astype(np.float32), np.array(faces, np.int32)


def surface_of(vertices, faces, camera, crease_deg=40.0):
    vertices = tf.constant(vertices, tf.float32)
    fragments = rasterize_mesh(vertices, faces, camera, SIZE)
    return image_shading.visible_surface(vertices, faces, camera, fragments, crease_deg)


def test_a_wall_facing_the_camera_is_pure_blue():
    pictures = image_shading.render_styles(
        CUBE[None], CUBE_FACES, orthographic(180.0, 0.0), SIZE, ["normal"]
    )
    image = pictures["normal"][0].numpy()
    np.testing.assert_allclose(image[12, 18], [0.5, 0.5, 1.0], atol=1e-6)
    np.testing.assert_array_equal(image[0, 0], [0, 0, 0])


def test_red_is_right_green_is_up_and_blue_is_toward_the_camera():
    # From front, right and above: three walls, with normals known in closed form.
    camera = orthographic(30.0, 40.0)
    normal = surface_of(CUBE[None], CUBE_FACES, camera).normal[0].numpy()
    seen = normal.reshape(-1, 3)
    seen = seen[seen.any(axis=1)]
    axes = camera.world_to_camera[0, :3, :3].numpy()
    walls = axes @ np.array([[0, 0, -1], [1, 0, 0], [0, 1, 0]]).T
    cosine = seen @ walls
    np.testing.assert_allclose(cosine.max(axis=1), 1.0, atol=1e-5)
    assert set(cosine.argmax(axis=1)) == {0, 1, 2} and (seen[:, 2] > 0).all()
    top = axes @ np.array([0, 1, 0])
    assert top[1] > 0.7  # the roof is green


@pytest.mark.parametrize("camera", [orthographic(70.0, 20.0), perspective(70.0, 20.0)])
def test_smooth_normals_of_a_ball_point_from_its_centre(camera):
    vertices, faces = ball()
    surface = surface_of(vertices, faces, camera)
    centre = camera.world_to_camera[0, :3, 3].numpy()
    outward = surface.position[0].numpy() - centre
    outward /= np.linalg.norm(outward, axis=-1, keepdims=True)
    cosine = np.sum(outward * surface.normal[0].numpy(), -1)
    mask = surface.mask[0].numpy()
    assert mask.sum() > 100 and cosine[mask].min() > np.cos(np.radians(6))


def test_the_winding_of_faces_does_not_matter():
    vertices, faces = ball()
    for camera in (orthographic(10.0, 30.0), perspective(10.0, 30.0)):
        for crease in (None, 40.0):
            want = surface_of(vertices, faces, camera, crease).normal
            got = surface_of(vertices, faces[:, ::-1], camera, crease).normal
            np.testing.assert_allclose(got, want, atol=1e-5)


def test_flat_normals_are_constant_on_each_face():
    vertices, faces = ball(5, 6)
    camera = perspective(10.0, 30.0)
    fragments = rasterize_mesh(vertices, faces, camera, SIZE)
    normal = surface_of(vertices, faces, camera, None).normal.numpy()
    for f in np.unique(fragments.face_index)[1:]:
        assert np.ptp(normal[fragments.face_index == f], axis=0).max() < 1e-5


def test_a_picture_shows_the_same_whether_scene_or_camera_turns():
    turn = cameras.orbit(0.0, 0.0, 0.0)[0, :3, :3].numpy()  # half a turn about Y
    vertices, faces = ball()
    vertices = vertices * np.array([1.0, 0.6, 0.8], np.float32)
    want = image_shading.render_styles(vertices, faces, perspective(20.0, 15.0), SIZE)
    got = image_shading.render_styles(
        vertices @ turn.T, faces, perspective(200.0, 15.0), SIZE
    )
    for style in image_shading.STYLES:
        difference = np.abs(got[style] - want[style])
        assert difference.mean() < 5e-3, style


@pytest.mark.parametrize("supersample", [1, 3])
def test_every_style_has_its_shape_range_and_background(supersample):
    pictures = image_shading.render_styles(
        CUBE[None], CUBE_FACES, perspective(30.0, 30.0), SIZE, supersample=supersample
    )
    assert set(pictures) == set(image_shading.STYLES)
    for style, picture in pictures.items():
        assert picture.shape == (1, *SIZE, 3 if style == "normal" else 1)
        assert picture.dtype == tf.float32
        assert 0.0 <= picture.numpy().min() and picture.numpy().max() <= 1.0
        white = style in ("contour", "toon")
        np.testing.assert_array_equal(picture[0, 0, 0], float(white))
    grey = image_shading.render_styles(
        CUBE[None], CUBE_FACES, perspective(30, 30), SIZE, ["lambert"], background=0.3
    )
    np.testing.assert_allclose(grey["lambert"][0, 0, 0], 0.3)


def test_supersampled_alpha_is_the_covered_share_of_a_pixel():
    # A square from column 18.5 - 6 to 18.5 + 6 and row 12 - 6 to 12 + 6.
    square = np.array([[[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]]]) * 0.5
    alpha = image_shading.render_styles(
        square, [[0, 1, 2], [0, 2, 3]], orthographic(180, 0), SIZE, ["alpha"]
    )["alpha"][0, :, :, 0].numpy()
    np.testing.assert_allclose(
        alpha[12, [11, 12, 13, 23, 24, 25]], [0, 0.5, 1, 1, 0.5, 0]
    )
    np.testing.assert_allclose(alpha[[5, 6, 17, 18], 18], [0, 1, 1, 0])


def test_contours_part_walls_and_background_but_not_flat_walls():
    surface = surface_of(CUBE[None], CUBE_FACES, orthographic(45.0, 0.0))
    line = image_shading.contour_lines(surface, width=1)[0].numpy()
    columns = np.flatnonzero(line[12])
    # Left end, the middle edge between the two walls, right end.
    half = 12 * np.sqrt(0.5)
    np.testing.assert_allclose(columns + 1, [18.5 - half, 18.5, 18.5 + half], atol=1.01)
    assert not line[12, 12:17].any()


def test_a_grazing_floor_draws_no_lines_but_a_step_in_depth_does():
    floor = np.array([[[-9, -0.5, -9], [9, -0.5, -9], [9, -0.5, 9], [-9, -0.5, 9]]])
    faces = [[0, 2, 1], [0, 3, 2]]
    surface = surface_of(floor, faces, perspective(180.0, 2.0))
    line = image_shading.contour_lines(surface, width=1)[0].numpy()
    assert line.any(axis=1).sum() == 1  # the horizon only
    cards = np.array([[[-1, -1, 0], [0, -1, 0], [0, 1, 0], [-1, 1, 0]]]) * 9.0
    cards = np.concatenate([cards, cards * [-1, 1, 1] - [0, 0, 0.5]], 1)
    faces = [[0, 1, 2], [0, 2, 3], [4, 5, 6], [4, 6, 7]]
    surface = surface_of(cards, faces, orthographic(180.0, 0.0))
    line = image_shading.contour_lines(surface, width=1)[0].numpy()
    assert line[:, 17:19].any(axis=1).all() and line.sum() == SIZE[0]


def test_lambert_and_toon_follow_the_cosine():
    angle = np.linspace(0.0, np.pi, 50)
    normal = np.stack([np.sin(angle), 0 * angle, np.cos(angle)], -1)
    normal = tf.constant(normal[None, None], tf.float32)
    light = (0.0, 0.0, 2.0)
    grey = image_shading.lambert(normal, light, 0.2)[0, 0]
    np.testing.assert_allclose(
        grey, 0.2 + 0.8 * np.maximum(np.cos(angle), 0), atol=1e-6
    )
    tone = image_shading.toon(normal, 4, light)[0, 0].numpy()
    assert set(np.unique(tone)) == {0.25, 0.5, 0.75, 1.0}
    assert (np.diff(tone) <= 0).all()


def test_occlusion_darkens_a_corner_and_leaves_a_flat_wall_open():
    wall = np.array([[[-3, -3, 0], [3, -3, 0], [3, 3, 0], [-3, 3, 0]]])
    square = [[0, 1, 2], [0, 2, 3]]
    for camera in (orthographic(180.0, 0.0), perspective(150.0, 20.0)):
        sky = image_shading.ambient_occlusion(surface_of(wall, square, camera))
        np.testing.assert_allclose(sky, 1.0, atol=1e-4)
    # A floor meeting a wall, seen from above: dark along the line where they meet.
    room = np.concatenate([wall, wall[:, :, [0, 2, 1]] - [[[0, 0.5, 0]]]], 1)
    faces = square + [[4, 5, 6], [4, 6, 7]]
    camera = perspective(180.0, 30.0)
    sky = image_shading.ambient_occlusion(surface_of(room, faces, camera))[0].numpy()
    row = int(sky[:, 18].argmin())
    assert sky[row, 18] < 0.75 and sky[0, 18] > 0.95 and sky[23, 18] > 0.95


def test_empty_meshes_give_background_and_finite_gradients():
    vertices = tf.constant(CUBE[None], tf.float32)
    for faces in (np.full((2, 3), -1), np.array([[0, 0, 1], [0, 1, 1]])):
        with tf.GradientTape() as tape:
            tape.watch(vertices)
            pictures = image_shading.render_styles(
                vertices, faces, perspective(0.0, 0.0), SIZE
            )
            loss = tf.add_n([tf.reduce_sum(p) for p in pictures.values()])
        for style, picture in pictures.items():
            assert len(np.unique(picture)) == 1, style
        gradient = tape.gradient(loss, vertices, unconnected_gradients="zero")
        assert np.isfinite(gradient).all()


def test_the_normal_map_has_a_useful_finite_gradient():
    vertices, faces = ball(6, 8)
    vertices = tf.constant(vertices)
    with tf.GradientTape() as tape:
        tape.watch(vertices)
        pictures = image_shading.render_styles(
            vertices, faces, perspective(0.0, 20.0), SIZE, ["normal", "lambert"]
        )
        loss = tf.reduce_sum(pictures["normal"] ** 2) + tf.reduce_sum(
            pictures["lambert"]
        )
    gradient = tape.gradient(loss, vertices).numpy()
    assert np.isfinite(gradient).all() and np.abs(gradient).max() > 0


def test_a_batch_with_one_camera_equals_single_pictures_and_traces():
    vertices, faces = ball(6, 8)
    both = np.concatenate([vertices, vertices * 0.5])
    styles = ("normal", "contour", "toon")

    def draw(v):
        return image_shading.render_styles(
            v, faces, perspective(0.0, 20.0), SIZE, styles
        )

    together = tf.function(draw)(tf.constant(both))
    alone = draw(both[1:])
    for style in styles:
        np.testing.assert_allclose(together[style][1], alone[style][0], atol=1e-3)


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="styles"):
        image_shading.render_styles(
            CUBE[None], CUBE_FACES, perspective(0.0, 0.0), SIZE, ["sepia"]
        )
    with pytest.raises(ValueError, match="supersample"):
        image_shading.render_styles(
            CUBE[None], CUBE_FACES, perspective(0.0, 0.0), SIZE, supersample=0
        )
