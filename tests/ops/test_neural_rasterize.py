import numpy as np
import pytest
import tensorflow as tf

from tfrender import cameras
from tfrender.ops.neural_rasterize import (
    neural_images,
    neural_rasterize,
    project_faces,
)

SIZE = (13, 22)


def screen_weights(face, x, y):
    """Barycentric weights of (x, y) in one face, [..., 3], not clamped."""
    (x0, y0), (x1, y1), (x2, y2) = np.asarray(face, np.float64)[:, :2]
    area = (x1 - x0) * (y2 - y0) - (y1 - y0) * (x2 - x0)
    with np.errstate(all="ignore"):
        w0 = ((x1 - x) * (y2 - y) - (y1 - y) * (x2 - x)) / area
        w1 = ((x2 - x) * (y0 - y) - (y2 - y) * (x0 - x)) / area
    return np.stack([w0, w1, 1 - w0 - w1], -1), area


def loop_form(faces, size, near=0.1, far=100.0):
    """The rules in float64, one face after the other, for faces [F, 3, 3].

    Returns index, weights, depth and whether the pixel is far from any edge or tie.
    """
    height, width = size
    row, column = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    x, y = (2 * column + 1) / width - 1, 1 - (2 * row + 1) / height
    index, depth = np.full(size, -1), np.full(size, float(far))
    weights, sure = np.zeros((*size, 3)), np.ones(size, bool)
    for f, face in enumerate(np.asarray(faces, np.float64)):
        w, area = screen_weights(face, x, y)
        if not area > 0:
            continue
        with np.errstate(all="ignore"):
            zp = 1 / (w / face[:, 2]).sum(-1)
        covered = (w >= 0).all(-1)
        sure &= np.abs(w).min(-1) > 1e-4
        seen = covered & (zp > near) & (zp < far)
        for limit in (near, far):
            sure &= ~covered | (np.abs(zp - limit) > 1e-4 * limit)
        sure &= ~seen | (index < 0) | (np.abs(zp - depth) > 1e-4 * depth)
        wins = seen & (zp < depth)
        index[wins], depth[wins], weights[wins] = f, zp[wins], w[wins]
    return index, weights, depth, sure


def soup(seed, count=25, behind=0.0, reach=0.9):
    """Random faces [F, 3, 3]; a share of the corners has its depth negated."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(-1.0, 1.0, (count, 1, 2))
    points = points + rng.uniform(-reach, reach, (count, 3, 2))
    depth = rng.uniform(0.5, 4.0, (count, 3, 1))
    depth *= np.where(rng.uniform(size=depth.shape) < behind, -1, 1)
    return np.concatenate([points, depth], -1).astype(np.float32)


def run(faces, size=SIZE, form="eager", **settings):
    faces = tf.convert_to_tensor(faces, tf.float32)
    faces = faces[tf.newaxis] if faces.shape.rank == 3 else faces
    if form == "xla":
        settings["form"] = "xla"
    function = tf.function(
        lambda f: neural_rasterize(f, size, **settings), jit_compile=form == "xla"
    )
    return (function.python_function if form == "eager" else function)(faces)


def check_against_loop(faces, got, size, **limits):
    index, weights, depth, sure = loop_form(faces, size, **limits)
    assert sure.mean() > 0.85
    np.testing.assert_array_equal(got.face_index[0].numpy()[sure], index[sure])
    np.testing.assert_array_equal(got.mask[0], got.face_index[0] >= 0)
    np.testing.assert_allclose(got.weights[0].numpy()[sure], weights[sure], atol=1e-3)
    np.testing.assert_allclose(got.depth[0].numpy()[sure], depth[sure], rtol=1e-3)
    return sure


@pytest.mark.parametrize("form", ["eager", "xla"])
def test_every_pixel_equals_the_loop_form(form):
    faces = soup(0)
    got = run(faces, form=form)
    check_against_loop(faces, got, SIZE)
    assert 0.2 < got.mask.numpy().mean() < 1.0


@pytest.mark.parametrize("limits", [{"near": 1.2, "far": 2.4}, {"near": 1.3}])
def test_near_and_far_are_tested_at_the_pixel(limits):
    faces = soup(1)
    got = run(faces, **limits)
    check_against_loop(faces, got, SIZE, **limits)
    depth = got.depth.numpy()[got.mask.numpy()]
    assert depth.min() > limits["near"] and depth.max() < limits.get("far", 100.0)
    assert (got.face_index != run(faces).face_index).numpy().any()
    empty = got.depth.numpy()[~got.mask.numpy()]
    np.testing.assert_array_equal(empty, np.float32(limits.get("far", 100.0)))


def test_corners_behind_the_camera_follow_the_same_formula():
    faces = soup(2, 40, behind=0.3)
    signs = np.sign(faces[..., 2]).sum(-1)
    got = run(faces)
    check_against_loop(faces, got, SIZE)
    assert np.isin(signs[np.unique(got.face_index)[1:]], [1, -1]).any()
    assert not run(soup(2, 40, behind=1.0)).mask.numpy().any()


def test_faces_at_the_limits_exactly_are_not_seen_and_hide_nothing():
    near, far = np.float32(0.3), np.float32(7.0)
    big = np.float32([[-3, -3], [3, -3], [0, 5]])
    faces = np.stack(
        [np.c_[big, np.full(3, z, np.float32)] for z in (far, near, 2.0, near)]
    )
    got = run(faces, near=float(near), far=float(far))
    np.testing.assert_array_equal(got.face_index, np.full((1, *SIZE), 2))


def test_shared_edges_leave_no_holes_and_ties_go_to_the_smaller_index():
    # Corners on pixel centres of an 8 x 8 picture.
    at = np.float32([-7 / 8, 1 / 8, 7 / 8])
    corners = np.float32(
        [[at[0], at[0]], [at[2], at[0]], [at[2], at[2]], [at[0], at[2]]]
    )
    fan = [
        np.float32([corners[k], corners[(k + 1) % 4], [at[1], at[1]]]) for k in range(4)
    ]
    faces = np.stack([np.c_[f, np.full(3, 2.0, np.float32)] for f in fan])
    got = run(faces, (8, 8))
    assert got.mask.numpy().all()
    # Centre (1/8, 1/8) belongs to all four, the diagonal to two.
    assert got.face_index[0, 3, 4] == 0 and got.face_index[0, 7, 0] == 0
    assert got.face_index[0, 0, 0] == 2
    twice = run(np.concatenate([faces, faces]), (8, 8))
    np.testing.assert_array_equal(twice.face_index, got.face_index)


def test_clockwise_and_flat_faces_are_left_out():
    faces = soup(3)
    got = run(faces[:, ::-1])
    back = run(faces)
    seen = [set(np.unique(f.face_index)) - {-1} for f in (got, back)]
    assert seen[0] and seen[1] and not seen[0] & seen[1]
    flat = np.float32([[[-1, -1, 1], [0, 0, 1], [1, 1, 1]], [[0.1, 0.1, 1]] * 3])
    assert not run(flat, (8, 8)).mask.numpy().any()


def test_a_mesh_among_empty_meshes_equals_the_mesh_alone():
    faces = np.zeros((4, 25, 3, 3), np.float32)
    faces[2] = soup(4)
    alone, got = run(faces[2]), run(faces)
    for part, whole in zip(alone, got, strict=True):
        np.testing.assert_array_equal(whole[2], part[0])
        assert np.isfinite(np.asarray(whole, np.float32)).all()
    assert not got.mask.numpy()[[0, 1, 3]].any()


def test_weights_and_barycentrics_find_the_pixel():
    faces = soup(5)
    got = run(faces)
    mask = got.mask[0].numpy()
    corners = faces[got.face_index[0].numpy()[mask]].astype(np.float64)
    weights, barycentric = (v[0].numpy()[mask][..., None] for v in got[1:3])
    row, column = np.nonzero(mask)
    at = np.stack([(2 * column + 1) / SIZE[1] - 1, 1 - (2 * row + 1) / SIZE[0]], -1)
    np.testing.assert_allclose((weights * corners[..., :2]).sum(1), at, atol=1e-4)
    depth = got.depth[0].numpy()[mask]
    # Perspective-correct ones carry the point itself, depth included.
    point = corners * [1, 1, 1]
    point[..., :2] *= point[..., 2:]
    np.testing.assert_allclose(
        (barycentric * point).sum(1), np.c_[at * depth[:, None], depth], atol=5e-4
    )
    assert not got.weights[0].numpy()[~mask].any()
    assert not got.barycentric[0].numpy()[~mask].any()


def test_depth_gradient_equals_finite_differences():
    faces = soup(6, 6)
    index, _, _, sure = loop_form(faces, SIZE)
    weight = np.random.default_rng(6).normal(size=SIZE) * sure * (index >= 0)
    live = tf.constant(faces[None])
    with tf.GradientTape() as tape:
        tape.watch(live)
        got = neural_rasterize(live, SIZE)
        loss = tf.reduce_sum(got.depth * tf.cast(weight, tf.float32))
        loss += tf.reduce_sum(got.weights + got.barycentric)  # constants
    gradient = tape.gradient(loss, live).numpy()[0]
    row, column = np.indices(SIZE)
    x, y = (2 * column + 1) / SIZE[1] - 1, 1 - (2 * row + 1) / SIZE[0]

    def value(f, face):
        with np.errstate(all="ignore"):
            depth = 1 / (screen_weights(face, x, y)[0] / face[:, 2]).sum(-1)
        return (weight * depth)[index == f].sum()

    numeric = np.zeros_like(gradient)
    for f, k, axis in np.ndindex(*faces.shape):
        high, low = faces[f].astype(np.float64), faces[f].astype(np.float64)
        high[k, axis] += 1e-5
        low[k, axis] -= 1e-5
        numeric[f, k, axis] = (value(f, high) - value(f, low)) / 2e-5
    scale = np.abs(numeric).max()
    assert scale > 1
    np.testing.assert_allclose(gradient, numeric, rtol=0, atol=1e-3 * scale)


def test_pictures_show_colour_background_and_coverage():
    faces = np.stack([soup(7), soup(8)])
    got = run(faces)
    color = np.random.default_rng(8).uniform(size=(2, *SIZE, 3)).astype(np.float32)
    mask = got.mask.numpy()
    for background in (0.25, [0.1, 0.2, 0.3], [[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]]):
        images = neural_images(got, faces, color, background)
        shown = np.broadcast_to(
            np.reshape(np.float32(background), (-1, 1, 1, np.shape(background)[-1]))
            if np.ndim(background) == 2
            else np.float32(background),
            color.shape,
        )
        np.testing.assert_array_equal(images.rgb[mask], color[mask])
        np.testing.assert_array_equal(images.rgb[~mask], shown[~mask])
    np.testing.assert_array_equal(images.alpha, mask.astype(np.float32))
    np.testing.assert_array_equal(images.depth, got.depth)
    assert neural_images(got, faces).rgb is None


def gradients(faces, color, weights, **settings):
    """Gradients of weighted sums of rgb, alpha and depth together."""
    faces, color = tf.constant(faces), tf.constant(color)
    with tf.GradientTape() as tape:
        tape.watch([faces, color])
        images = neural_images(neural_rasterize(faces, SIZE), faces, color, **settings)
        loss = sum(
            tf.reduce_sum(image * tf.cast(weight, tf.float32))
            for image, weight in zip(images, weights, strict=True)
        )
    return [g.numpy() for g in tape.gradient(loss, [faces, color])]


def test_pictures_read_alone_have_the_gradient_of_their_own():
    rng = np.random.default_rng(9)
    faces = soup(9)[None]
    color = rng.uniform(size=(1, *SIZE, 3)).astype(np.float32)
    weights = [rng.normal(size=(1, *SIZE, 3)), *rng.normal(size=(2, 1, *SIZE))]
    nothing = [w * 0 for w in weights]
    alone = [
        gradients(faces, color, nothing[:i] + [weights[i]] + nothing[i + 1 :])
        for i in range(3)
    ]
    together = gradients(faces, color, weights)
    # Depth adds; rgb and alpha share the sign test.
    assert not alone[0][0][..., 2].any() and not alone[1][0][..., 2].any()
    np.testing.assert_allclose(
        together[0][..., 2], alone[2][0][..., 2], rtol=1e-5, atol=1e-5
    )
    pair = gradients(faces, color, [*weights[:2], nothing[2]])[0]
    scale = np.abs(pair).max()
    np.testing.assert_allclose(together[0], pair + alone[2][0], atol=1e-5 * scale)
    assert np.abs(alone[0][0] + alone[1][0] - pair).max() > 1e-3 * scale
    # Colour is seen through the mask, exactly.
    mask = run(faces[0]).mask.numpy()[..., None]
    np.testing.assert_allclose(together[1], weights[0] * mask, rtol=1e-5)


def test_projected_faces_carry_the_mirrored_picture_of_the_original():
    camera = cameras.from_neural_renderer([0.0, 0.0, -3.0], viewing_angle_deg=45.0)
    vertices = tf.constant([[[0.5, 0.2, 0.0], [0.0, 0.0, 1.0], [0.3, 0.0, -3.0]]])
    faces = project_faces(camera, vertices, [[0, 1, 1], [0, -1, 1], [0, 1, 2]])
    # The eye stands on -z and sees world +x on the right: mirrored.
    np.testing.assert_allclose(faces[0, 0, 0], [0.5 / 3, 0.2 / 3, 3.0], rtol=1e-6)
    np.testing.assert_allclose(faces[0, 0, 1], [0.0, 0.0, 4.0], atol=1e-7)
    assert not faces[0, 1].numpy().any() and not faces[0, 2, 2].numpy().any()


def nasty():
    """Names and faces [F, 3, 3] that break renderers."""
    face = np.float32([[-0.5, -0.5, 1], [0.5, -0.5, 1], [0.0, 0.5, 1]])
    yield "padding", np.zeros((3, 3, 3))
    yield "one depth zero", face * [[1, 1, 0], [1, 1, 1], [1, 1, 1]]
    yield "depths around zero", face * [[1, 1, -1e-30], [1, 1, 1e-30], [1, 1, 1]]
    yield "tiny depth", face * [1, 1, 1e-38]
    yield "huge depth", face * [1, 1, 1e38]
    yield "huge", face * [1e38, 1e38, 1]
    yield "far out", face * [1e9, 1e9, 1] + [3e8, 0, 0]
    yield "speck", face * [1e-30, 1e-30, 1]
    yield "needle", face * [1, 1e-7, 1]
    yield "needle on a diagonal", np.float32([[-1, -1, 1], [1, 1 - 1e-7, 2], [1, 1, 1]])
    yield "depths of both signs", face * [[1, 1, 1], [1, 1, -1], [1, 1, 1]]
    yield "sum of inverse depths is zero", face * [[1, 1, 1], [1, 1, -2], [1, 1, -2]]
    yield "twins", np.stack([face] * 3)
    yield "not a number", face * [[1, 1, np.nan], [1, 1, 1], [1, np.inf, 1]]


@pytest.mark.parametrize("case", nasty(), ids=lambda case: case[0])
def test_nasty_faces_give_finite_pictures_and_gradients(case):
    faces = tf.constant(np.float32(case[1]).reshape(1, -1, 3, 3))
    with tf.GradientTape() as tape:
        tape.watch(faces)
        got = neural_rasterize(faces, SIZE)
        color = tf.ones([1, *SIZE, 3]) * got.weights
        images = neural_images(got, faces, color, 0.5)
        loss = sum(tf.reduce_sum(image**2) for image in images)
    for value in (*got, *images):
        assert np.isfinite(np.asarray(value, np.float32)).all()
    gradient = tape.gradient(loss, faces).numpy()
    assert np.isfinite(gradient[np.isfinite(case[1]).reshape(gradient.shape)]).all()


def test_meshes_without_faces_and_saved_models_work(tmp_path):
    none = run(np.zeros((2, 0, 3, 3), np.float32))
    assert not none.mask.numpy().any() and none.depth.shape == (2, *SIZE)

    class Renderer(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, None, 3, 3])])
        def render(self, faces):
            got = neural_rasterize(faces, SIZE)
            images = neural_images(got, faces, got.barycentric)
            return {"rgb": images.rgb, "alpha": images.alpha, "depth": images.depth}

    module = Renderer()
    tf.saved_model.save(module, str(tmp_path))
    loaded = tf.saved_model.load(str(tmp_path))
    for batch in (1, 3):
        faces = tf.constant(np.stack([soup(i, 9) for i in range(batch)]))
        want, got = module.render(faces), loaded.render(faces)
        for key in want:
            np.testing.assert_array_equal(got[key], want[key])
        assert want["alpha"].numpy().any()


@pytest.mark.parametrize(
    "change,match",
    [
        ({"face_vertices": np.zeros((1, 3, 3))}, "`face_vertices`"),
        ({"image_size": (0, 4)}, "`image_size`"),
        ({"near": 0.0}, "`near`"),
        ({"near": 2.0, "far": 1.0}, "`far`"),
        ({"form": "dynamic"}, "`form`"),
    ],
)
def test_wrong_arguments_are_named(change, match):
    arguments = {"face_vertices": np.zeros((1, 1, 3, 3)), "image_size": (4, 4)}
    with pytest.raises(ValueError, match=match):
        neural_rasterize(**(arguments | change))
