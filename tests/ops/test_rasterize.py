import numpy as np
import pytest
import tensorflow as tf

from tfrender import cameras
from tfrender.ops.rasterize import rasterize, rasterize_mesh

SIZE = (23, 37)  # odd, height is not width
IDENTITY = tf.eye(4)[tf.newaxis]
PERSPECTIVE = cameras.Camera(IDENTITY, cameras.perspective(60.0, 37 / 23, 0.5, 20.0))
ORTHOGRAPHIC = cameras.Camera(IDENTITY, cameras.orthographic(1.5, 37 / 23, 0.5, 20.0))


def cast_rays(vertices, faces, camera, size, shift=(0.0, 0.0)):
    """Float64 definition: nearest face hit by the ray of each pixel centre.

    Returns face index, barycentrics, depth of [H, W] pixels, and the gap in depth to
    the next face. Rays start on the near plane, so nearer parts of faces are cut.
    """
    height, width = size
    inverse = np.linalg.inv(np.asarray(camera.projection[0], np.float64))
    column, row = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    x, y = 2 * column / width - 1 + shift[0], 1 - 2 * row / height + shift[1]
    one = np.ones_like(x)
    start = np.stack([x, y, -one, one], -1) @ inverse.T
    end = np.stack([x, y, one, one], -1) @ inverse.T
    start, end = start[..., :3] / start[..., 3:], end[..., :3] / end[..., 3:]
    way = end - start
    corners = np.asarray(vertices, np.float64)[np.maximum(faces, 0)]  # [F, 3, 3]
    index = np.full(size, -1)
    barycentric, depth = np.zeros((*size, 3)), np.zeros(size)
    best, second = np.full(size, 1e9), np.full(size, 1e9)
    for f, (a, b, c) in enumerate(corners):
        if (faces[f] < 0).any():
            continue
        normal = np.cross(b - a, c - a)
        slope = way @ normal
        with np.errstate(all="ignore"):
            t = ((a - start) @ normal) / slope
            hit = start + t[..., None] * way
            area = normal @ normal
            weight = np.stack(
                [
                    np.cross(c - b, hit - b) @ normal,
                    np.cross(a - c, hit - c) @ normal,
                    np.cross(b - a, hit - a) @ normal,
                ],
                -1,
            )
            weight /= area
            inside = (weight >= 0).all(-1) & (t >= 0) & np.isfinite(t)
        t = np.where(inside, t, 1e9)
        nearer = t < best
        second = np.where(nearer, best, np.minimum(second, t))
        best = np.minimum(best, t)
        index[nearer] = f
        barycentric[nearer] = weight[nearer]
        depth[nearer] = -hit[nearer][:, 2]
    return index, barycentric, depth, second - best


def certain(vertices, faces, camera, size):
    """Pixels whose face stays the same 1e-5 NDC around, with no close second."""
    index, _, _, gap = cast_rays(vertices, faces, camera, size)
    sure = (index < 0) | (gap > 1e-5)
    for shift in ((1e-5, 0), (-1e-5, 0), (0, 1e-5), (0, -1e-5)):
        sure &= cast_rays(vertices, faces, camera, size, shift)[0] == index
    return sure


def soup(seed, count=40, low=-6.0, high=-1.0, reach=1.0):
    """Random triangles in camera space."""
    rng = np.random.default_rng(seed)
    centre = rng.uniform([-2, -2, low], [2, 2, high], (count, 1, 3))
    corners = centre + rng.uniform(-reach, reach, (count, 3, 3))
    faces = np.arange(3 * count, dtype=np.int32).reshape(-1, 3)
    return corners.reshape(-1, 3).astype(np.float32), faces


FORMS = {  # how a caller may come by the two forms
    "eager": {"form": "graph"},
    "eager-xla": {"form": "xla"},
    "traced": {"form": "graph"},
    "traced-xla": {"form": "xla"},
    "within-xla": {"form": "xla"},
}

EACH_FORM = [
    pytest.param(form, marks=pytest.mark.slow)
    if form in ("eager-xla", "within-xla")
    else form
    for form in FORMS
]


def run(vertices, faces, camera, size, form="eager", **settings):
    """Rasterises one mesh in one of the forms."""
    settings = {**FORMS[form], **settings}

    def function(v):
        return rasterize_mesh(v, faces, camera, size, **settings)

    if not form.startswith("eager"):
        function = tf.function(function, jit_compile=form == "within-xla")
    vertices = tf.convert_to_tensor(vertices, tf.float32)
    return function(vertices if vertices.shape.rank == 3 else vertices[None])


def check_against_rays(vertices, faces, camera, size, form, share=0.97):
    got = run(vertices, faces, camera, size, form)
    index, barycentric, depth, _ = cast_rays(vertices, faces, camera, size)
    sure = certain(vertices, faces, camera, size)
    assert sure.mean() > share
    np.testing.assert_array_equal(got.face_index[0].numpy()[sure], index[sure])
    np.testing.assert_array_equal(got.mask[0], got.face_index[0] >= 0)
    np.testing.assert_allclose(
        got.barycentric[0].numpy()[sure], barycentric[sure], atol=2e-3
    )
    np.testing.assert_allclose(got.depth[0].numpy()[sure], depth[sure], rtol=1e-4)
    return got


@pytest.mark.parametrize("form", EACH_FORM)
@pytest.mark.parametrize("camera", [PERSPECTIVE, ORTHOGRAPHIC])
def test_every_pixel_equals_ray_casting(form, camera):
    got = check_against_rays(*soup(0), camera, SIZE, form)
    assert 0.25 < got.mask.numpy().mean() < 1.0


@pytest.mark.parametrize("form", ["eager", "traced-xla"])
@pytest.mark.parametrize("camera", [PERSPECTIVE, ORTHOGRAPHIC])
def test_faces_that_cross_the_near_plane_are_cut_there(form, camera):
    vertices, faces = soup(1, 40, low=-3.0, high=2.0, reach=2.5)
    behind = (vertices[faces][..., 2] > -0.5).sum(1)
    assert (behind == 1).any() and (behind == 2).any() and (behind == 3).any()
    got = check_against_rays(vertices, faces, camera, SIZE, form, 0.95)
    assert (got.depth.numpy()[got.mask.numpy()] >= 0.5 - 1e-4).all()


def test_a_vast_ground_plane_reaches_to_the_horizon():
    far = 1e4
    ground = np.array(
        [[-far, -1, far], [far, -1, far], [far, -1, -far], [-far, -1, -far]], np.float32
    )
    got = run(ground, np.array([[0, 1, 2], [0, 2, 3]]), PERSPECTIVE, (24, 38))
    mask = got.mask[0].numpy()
    # Row i looks down by (i + 0.5 - 12) / 12 * tan 30 a unit of depth.
    slope = (np.arange(24) + 0.5 - 12) / 12 * np.tan(np.radians(30))
    assert not mask[:12].any() and mask[12:].all()
    np.testing.assert_allclose(
        got.depth[0, 12:], np.tile(1 / slope[12:, None], [1, 38]), rtol=2e-3
    )


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (5, 3), (33, 64)])
def test_odd_and_tiny_images_equal_ray_casting(size):
    camera = cameras.Camera(IDENTITY, cameras.perspective(70.0, size[1] / size[0]))
    check_against_rays(*soup(2), camera, size, "eager", 0.5)


@pytest.mark.parametrize("side", [8, 9, 64])
def test_edges_through_pixel_centres_leave_no_holes(side):
    # A grid whose edges and diagonals pass exactly through pixel centres.
    line = np.linspace(-1.0, 1.0, 2 * side + 1)[1:-1:2]  # the pixel centres in NDC
    line = np.concatenate([[-1.5], line, [1.5]]).astype(np.float32)
    n = len(line)
    x, y = np.meshgrid(line, line)
    clip = np.stack([x, y, 0 * x, 1 + 0 * x], -1).reshape(1, -1, 4)
    i = np.arange(n * n).reshape(n, n)
    a, b, c, d = (
        v.reshape(-1) for v in (i[1:, 1:], i[1:, :-1], i[:-1, :-1], i[:-1, 1:])
    )
    faces = np.concatenate([np.stack([a, b, c], -1), np.stack([a, c, d], -1)])
    for scale in (1.0, 0.37, 5.1):  # w, so that rounding differs
        got = rasterize(tf.constant(clip * scale, tf.float32), faces, (side, side))
        assert got.mask.numpy().all()


def test_equal_depth_goes_to_the_smaller_face_index():
    vertices = np.array([[-1, -1, -2], [1, -1, -2], [0, 1, -2]], np.float32)
    # Copies that start at another corner or run the other way are ties too.
    faces = np.array([[-1, -1, -1], [2, 0, 1], [0, 1, 2], [2, 1, 0], [0, 1, 2]])
    for form in ("eager", "eager-xla"):
        got = run(vertices, faces, PERSPECTIVE, SIZE, form)
        assert set(np.unique(got.face_index)) == {-1, 1}


def test_a_padded_batch_equals_each_mesh_alone():
    meshes = [soup(3, 9), soup(4, 25), soup(5, 1)]
    vertices = np.zeros((3, 80, 3), np.float32)
    faces = np.full((3, 30, 3), -1, np.int32)
    for b, (v, f) in enumerate(meshes):
        vertices[b, : len(v)] = v
        faces[b, : len(f)] = f
    got = run(vertices, faces, PERSPECTIVE, SIZE, "eager")
    compiled = run(vertices, faces, PERSPECTIVE, SIZE, "traced-xla")
    np.testing.assert_array_equal(compiled.face_index, got.face_index)
    for b, mesh in enumerate(meshes):
        alone = run(*mesh, PERSPECTIVE, SIZE, "eager")
        np.testing.assert_array_equal(got.face_index[b], alone.face_index[0])
        for whole, part in zip(got[1:3], alone[1:3], strict=True):
            np.testing.assert_allclose(whole[b], part[0], atol=1e-6)


def test_the_forms_and_every_chunk_size_agree():
    vertices, faces = soup(6, 30)
    want = run(vertices, faces, PERSPECTIVE, SIZE, "eager")
    for form, settings in (
        ("eager", {"max_lanes": 16}),
        ("traced", {"max_lanes": 100}),
        ("eager-xla", {}),
        ("within-xla", {}),
    ):
        got = run(vertices, faces, PERSPECTIVE, SIZE, form, **settings)
        assert (got.face_index == want.face_index).numpy().mean() > 0.998
        same = (got.face_index == want.face_index).numpy()
        np.testing.assert_allclose(
            got.barycentric.numpy()[same], want.barycentric.numpy()[same], atol=1e-4
        )
    exact = run(vertices, faces, PERSPECTIVE, SIZE, "eager", max_lanes=160)
    np.testing.assert_array_equal(exact.face_index, want.face_index)


def test_culling_keeps_the_side_that_it_says():
    vertices, faces = soup(7)
    both = run(vertices, faces, PERSPECTIVE, SIZE, "eager")
    front = run(vertices, faces, PERSPECTIVE, SIZE, "eager", cull="back")
    back = run(vertices, faces, PERSPECTIVE, SIZE, "eager", cull="front")
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    toward = -np.sum(np.cross(b - a, c - a) * a, -1) > 0  # counter-clockwise seen
    assert toward[np.unique(front.face_index)[1:]].all()
    assert not toward[np.unique(back.face_index)[1:]].any()
    # The nearer of the two sides is what is seen without culling.
    depth = [np.where(f.mask, f.depth, np.inf) for f in (front, back)]
    want = np.where(depth[0] <= depth[1], front.face_index, back.face_index)
    np.testing.assert_array_equal(both.face_index, want)


def test_orthographic_depth_is_the_distance_in_front_of_the_camera():
    vertices = np.array([[-9, -9, -2], [9, -9, -2], [0, 9, -5]], np.float32)
    got = run(vertices, np.array([[0, 1, 2]]), ORTHOGRAPHIC, SIZE)
    y = 1.5 * (1 - 2 * (np.arange(23) + 0.5) / 23)
    np.testing.assert_allclose(got.depth[0, :, 18], 2 + 3 * (y + 9) / 18, rtol=1e-5)
    # Without vertex_depth the depth is clip w.
    clip = cameras.project_to_clip(ORTHOGRAPHIC, tf.constant(vertices[None]))
    np.testing.assert_allclose(
        rasterize(clip, [[0, 1, 2]], SIZE).depth[0, :, 18], 1.0, rtol=1e-6
    )


def test_barycentrics_find_the_same_point_as_the_pixel():
    vertices, faces = soup(8)
    got = run(vertices, faces, PERSPECTIVE, SIZE)
    corners = vertices[faces[got.face_index[0]]]
    point = np.sum(corners * got.barycentric[0].numpy()[..., None], -2)
    clip = cameras.project_to_clip(PERSPECTIVE, tf.constant(point.reshape(1, -1, 3)))
    pixel = cameras.clip_to_pixel(clip, SIZE).numpy().reshape(*SIZE, 2)
    column, row = np.meshgrid(np.arange(37) + 0.5, np.arange(23) + 0.5)
    mask = got.mask[0].numpy()
    np.testing.assert_allclose(
        pixel[mask], np.stack([column, row], -1)[mask], atol=1e-2
    )
    np.testing.assert_allclose(
        -point[mask][:, 2], got.depth[0].numpy()[mask], rtol=1e-5
    )


@pytest.mark.parametrize("camera", [PERSPECTIVE, ORTHOGRAPHIC])
def test_gradient_equals_finite_differences(camera):
    vertices = np.array(
        [[-1.1, -0.9, -2], [1.3, -0.7, -3], [0.2, 1.4, -4], [0.1, 0.2, -1.5]],
        np.float32,
    )
    faces = np.array([[0, 1, 2], [1, 3, 2]])
    rng = np.random.default_rng(9)
    weight_b = rng.normal(size=(*SIZE, 3))
    weight_d = rng.normal(size=SIZE)
    sure = certain(vertices, faces, camera, SIZE)

    v = tf.constant(vertices[None])
    with tf.GradientTape() as tape:
        tape.watch(v)
        got = rasterize_mesh(v, faces, camera, SIZE)
        mask = sure & got.mask[0].numpy()
        loss = tf.reduce_sum(
            tf.cast(weight_b * mask[..., None], "float32") * got.barycentric
        )
        loss += tf.reduce_sum(tf.cast(weight_d * mask, "float32") * got.depth)
    gradient = tape.gradient(loss, v).numpy()[0]

    index = got.face_index[0].numpy()

    def value(vertices):
        """The same sum by ray casting, every pixel held to its face."""
        total = 0.0
        for f in range(2):
            grown = np.asarray(vertices, np.float64)[faces[f]]
            _, b, d, _ = cast_rays(grown, np.array([[0, 1, 2]]), camera, SIZE)
            pixels = (index == f) & mask
            total += (weight_b * b)[pixels].sum() + (weight_d * d)[pixels].sum()
        return total

    # Steps are small enough that no counted pixel leaves its face.
    for i in range(4):
        for axis in range(3):
            step = np.zeros((4, 3))
            step[i, axis] = 1e-6
            slope = (value(vertices + step) - value(vertices - step)) / 2e-6
            np.testing.assert_allclose(gradient[i, axis], slope, rtol=2e-3, atol=2e-2)


def test_gradient_reaches_only_vertices_of_visible_faces():
    near = np.array([[-9, -9, -2], [9, -9, -2], [0, 19, -2]], np.float32)
    vertices = tf.constant(np.concatenate([near, near - [0, 0, 1]])[None], tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(vertices)
        got = rasterize_mesh(vertices, [[0, 1, 2], [3, 4, 5]], PERSPECTIVE, SIZE)
        loss = tf.reduce_sum(got.depth)
    gradient = tape.gradient(loss, vertices).numpy()[0]
    assert np.abs(gradient[:3, 2]).min() > 0
    np.testing.assert_array_equal(gradient[3:], 0.0)


def nasty():
    """Meshes that break renderers: name, vertices in camera space, faces."""
    one = [[0, 1, 2]]
    yield "zero area", [[0, 0, -2], [1, 1, -2], [2, 2, -2]], one
    yield "one point", [[0, 0, -2]] * 3, one
    yield "edge-on", [[0, 0, -2], [0, 0, -3], [0, 0, -4]], one
    yield "plane through the camera", [[0, -1, -2], [0, 1, -2], [0, 0, -5]], one
    yield "two corners on one pixel", [[0, 0, -2], [0, 0, -4], [1, 1, -3]], one
    yield "vertex on a pixel centre", [[0, 0, -2], [1, 0, -2], [0, 1, -2]], one
    yield "vertex at the camera", [[0, 0, 0], [1, -1, -2], [-1, 1, -3]], one
    yield "all corners at the camera", [[0, 0, 0]] * 3, one
    yield "across the near plane", [[0, 1, 1], [1, -1, -2], [-1, -1, -2]], one
    yield "all behind", [[0, 1, 1], [1, -1, 2], [-1, -1, 2]], one
    yield "outside the image", [[90, 0, -2], [91, 0, -2], [90, 1, -2]], one
    yield "only padding", [[0, 0, -2]], [[-1, -1, -1]] * 2
    yield (
        "half padding",
        [[-1, -1, -2], [1, -1, -2], [0, 1, -2]],
        [[0, 1, -1], [0, 1, 2]],
    )
    yield "huge", np.array([[-1, -1, -2], [1, -1, -2], [0, 1, -2]]) * 1e6, one
    yield "tiny", np.array([[-1, -1, -2], [1, -1, -2], [0, 1, -2]]) * 1e-6, one
    yield "astronomic", np.array([[-1, -1, -2], [1, -1, -2], [0, 1, -2]]) * 1e30, one
    yield "speck far away", [[0, 0, -19], [1e-6, 0, -19], [0, 1e-6, -19]], one
    yield "needle", [[-9, 1e-5, -2], [9, 0, -2], [9, 2e-5, -2]], one
    yield "twins", [[-1, -1, -2], [1, -1, -2], [0, 1, -2]], one * 3
    yield "no faces", [[0, 0, -2]], np.zeros([0, 3])


@pytest.mark.parametrize("name, vertices, faces", nasty(), ids=[n[0] for n in nasty()])
@pytest.mark.parametrize("size", [(1, 1), (7, 12)])
def test_nasty_meshes_give_finite_values_and_gradients(name, vertices, faces, size):
    vertices = tf.constant(np.asarray(vertices)[None], tf.float32)
    faces = np.asarray(faces, np.int32).reshape(-1, 3)
    for camera in (PERSPECTIVE, ORTHOGRAPHIC):
        with tf.GradientTape() as tape:
            tape.watch(vertices)
            got = rasterize_mesh(vertices, faces, camera, size)
            loss = tf.reduce_sum(got.depth) + tf.reduce_sum(got.barycentric**2)
        gradient = tape.gradient(loss, vertices)
        for value in (got.barycentric, got.depth, gradient):
            assert np.isfinite(value).all()
        empty = ~got.mask.numpy()
        assert (got.face_index.numpy()[empty] == -1).all()
        assert (got.barycentric.numpy()[empty] == 0).all()
        assert (got.depth.numpy()[empty] == 0).all()


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_a_broken_vertex_spoils_only_its_own_faces(broken):
    vertices, faces = soup(10, 12)
    spoiled = vertices.copy()
    spoiled[0, 0] = broken
    want = run(vertices, np.where(faces == faces[0], -1, faces), PERSPECTIVE, SIZE)
    v = tf.constant(spoiled[None])
    with tf.GradientTape() as tape:
        tape.watch(v)
        got = rasterize_mesh(v, faces, PERSPECTIVE, SIZE)
        loss = tf.reduce_sum(got.depth)
    np.testing.assert_array_equal(got.face_index, want.face_index)
    assert np.isfinite(tape.gradient(loss, v).numpy()[0, 3:]).all()


def test_empty_batches_keep_their_shape():
    got = rasterize(tf.zeros([0, 5, 4]), tf.zeros([2, 3], tf.int32), (4, 6))
    assert got.barycentric.shape == (0, 4, 6, 3)
    got = rasterize(tf.zeros([2, 0, 4]), tf.zeros([0, 3], tf.int32), (4, 6))
    assert got.depth.shape == (2, 4, 6) and not got.mask.numpy().any()


@pytest.mark.parametrize("form", ["graph", "xla"])
def test_one_graph_serves_every_batch_and_mesh_size(form):
    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None, 3]),
            tf.TensorSpec([None, None, 3], tf.int32),
        ]
    )
    def draw(v, f):
        return rasterize_mesh(v, f, PERSPECTIVE, SIZE, form=form)

    for seed, count in ((0, 3), (1, 20)):
        v, f = soup(seed, count)
        want = run(v, f, PERSPECTIVE, SIZE, "eager")
        got = draw(np.stack([v, v]), np.stack([f, f]))
        np.testing.assert_array_equal(got.face_index[1], want.face_index[0])


def test_bad_arguments_are_named():
    clip, faces = tf.zeros([1, 3, 4]), tf.zeros([1, 3], tf.int32)
    with pytest.raises(ValueError, match="clip_vertices"):
        rasterize(tf.zeros([1, 3, 3]), faces, SIZE)
    with pytest.raises(ValueError, match="faces"):
        rasterize(clip, tf.zeros([1, 4], tf.int32), SIZE)
    with pytest.raises(ValueError, match="image_size"):
        rasterize(clip, faces, (0, 4))
    with pytest.raises(ValueError, match="cull"):
        rasterize(clip, faces, SIZE, cull="left")
    with pytest.raises(ValueError, match="form"):
        rasterize(clip, faces, SIZE, form="dynamic")


def rendernet_silhouette(voxels, azimuth_deg, polar_deg, radius):
    """RenderNet's resampling rule as a loop: is any sample of a cell inside a voxel?"""
    n = len(voxels)
    m = 2 * n
    a, e = np.radians(azimuth_deg) - np.pi / 2, np.radians(90.0 - polar_deg)
    ry = [[np.cos(a), 0, -np.sin(a)], [0, 1, 0], [np.sin(a), 0, np.cos(a)]]
    rz = [[np.cos(e), np.sin(e), 0], [-np.sin(e), np.cos(e), 0], [0, 0, 1]]
    back = (np.array(rz) @ np.array(ry)).T * radius / 3.3
    depth = np.arange(0, m, 0.05)  # finer than cells: the grazed corners count too
    image = np.zeros((m, m), bool)
    for row in range(m):
        for column in range(m):
            cells = np.stack(
                [depth, np.full_like(depth, m - 1 - row), np.full_like(depth, column)]
            )
            zyx = np.rint(back @ (cells - m / 2) + n / 2).astype(int)
            known = ((zyx >= 0) & (zyx < n)).all(0)
            z, y, x = zyx[:, known]
            image[row, column] = voxels[x, y, z].any()
    return image


@pytest.mark.parametrize("pose", [(90, 90, 3.3), (33, 60, 3.0), (250, 125, 4.1)])
def test_rendernet_camera_draws_the_silhouette_of_the_resampled_voxels(pose):
    n = 16
    rng = np.random.default_rng(11)
    voxels = np.zeros((n, n, n), bool)
    voxels[3:6, 2:14, 4:9] = True
    voxels[3:13, 2:5, 10:12] = True
    voxels[tuple(rng.integers(0, n, (3, 12)))] = True
    filled = np.argwhere(voxels)
    cube = np.array([[i & 1, i >> 1 & 1, i >> 2 & 1] for i in range(8)])
    quads = [[0, 1, 3, 2], [4, 5, 7, 6], [0, 1, 5, 4], [2, 3, 7, 6], [0, 2, 6, 4]]
    quads = np.array(quads + [[1, 3, 7, 5]])
    triangles = np.concatenate([quads[:, :3], quads[:, [0, 2, 3]]])
    vertices = (filled[:, None] + cube) / n - 0.5
    faces = (8 * np.arange(len(filled))[:, None, None] + triangles).reshape(-1, 3)
    camera = cameras.from_rendernet(*pose, grid=n)
    got = run(vertices.reshape(-1, 3), faces, camera, (2 * n, 2 * n)).mask[0].numpy()
    want = rendernet_silhouette(voxels, *pose)
    assert (got & want).sum() / (got | want).sum() > 0.99
