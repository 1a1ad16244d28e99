import numpy as np
import pytest
import tensorflow as tf

from tfrender import cameras
from tfrender.ops import antialias_edges
from tfrender.ops.antialias import antialias, antialias_silhouette
from tfrender.ops.opposite_corners import opposite_corners
from tfrender.ops.rasterize import Fragments, rasterize
from tools.rasterize_scenes import icosphere

SIZE = (23, 37)  # odd, height is not width
CAMERA = cameras.Camera(
    cameras.orbit([30.0], [20.0], [3.0]), cameras.perspective(50.0, 37 / 23)
)


def project(vertices, camera=CAMERA):
    """Clip coordinates [1, V, 4] of world vertices [V, 3]."""
    return cameras.project_to_clip(camera, tf.cast(vertices, tf.float32)[tf.newaxis])


def to_clip(pixels, size, depth=2.0):
    """Clip coordinates [1, V, 4] that appear at (column, row), centres on + 0.5."""
    pixels = np.asarray(pixels, np.float64)
    w = np.broadcast_to(depth, pixels.shape[:1])
    x = (2 * pixels[:, 0] / size[1] - 1) * w
    y = (1 - 2 * pixels[:, 1] / size[0]) * w
    return np.stack([x, y, w - 1.0, w], -1)[np.newaxis].astype(np.float32)


def hull(points):
    """Corners of the convex hull, counter-clockwise for y up."""
    points = points[np.lexsort((points[:, 1], points[:, 0]))]

    def half(points):
        kept = []
        for p in points:
            while len(kept) > 1:
                (ax, ay), (bx, by) = kept[-1] - kept[-2], p - kept[-1]
                if ax * by - ay * bx > 0:
                    break
                kept.pop()
            kept.append(p)
        return kept[:-1]

    return np.array(half(points) + half(points[::-1]))


def area(polygon):
    x, y = polygon.T
    return 0.5 * np.sum(x * np.roll(y, -1) - y * np.roll(x, -1))


def pixels_of(clip, size):
    """Pixel coordinates (column, row upwards) of clip vertices [V, 4], float64."""
    clip = np.asarray(clip, np.float64)
    return np.stack(
        [
            (clip[:, 0] / clip[:, 3] + 1) * size[1] / 2,
            (clip[:, 1] / clip[:, 3] + 1) * size[0] / 2,
        ],
        -1,
    )


def blended_hull(mask, polygon):
    """Slow definition for a convex outline: alpha of [H, W] in a loop over pairs."""
    height, width = mask.shape
    alpha = mask.astype(np.float64)
    weight = np.zeros_like(alpha)
    for row, column, down in np.ndindex(height, width, 2):
        other = (row + down, column + 1 - down)
        if other[0] >= height or other[1] >= width or mask[row, column] == mask[other]:
            continue
        near, far = (row, column), other
        if mask[far]:
            near, far = far, near
        start = np.array([near[1] + 0.5, height - near[0] - 0.5])
        way = np.array([far[1] - near[1], near[0] - far[0]])
        for a, b in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
            edge = b - a
            across = way[0] * edge[1] - way[1] * edge[0]
            if across <= 0:  # the hull is left along the way only by such edges
                continue
            gap = a - start
            t = (gap[0] * edge[1] - gap[1] * edge[0]) / across
            place = (gap[0] * way[1] - gap[1] * way[0]) / across
            steep = abs(edge[0]) < abs(edge[1])
            if 0 <= place <= 1 and 0 <= t <= 1 and steep != bool(down):
                weight[far if t > 0.5 else near] += abs(t - 0.5)
    weight = np.minimum(weight, 1)
    return np.where(mask, alpha - weight, alpha + weight)


def box():
    """A closed box of 8 vertices."""
    corners = [(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1)]
    quads += [(2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    faces = [f for a, b, c, d in quads for f in ((a, b, c), (a, c, d))]
    return 0.5 * np.array(corners, np.float32), np.array(faces, np.int32)


def solid(name):
    if name == "box":
        return box()
    vertices, faces = icosphere(int(name[-1]))
    return 0.8 * vertices, faces


def soup(seed, count=14):
    """Random overlapping triangles, some smaller than a pixel, in clip space."""
    rng = np.random.default_rng(seed)
    centre = rng.uniform([-0.9, -0.9], [0.9, 0.9], (count, 1, 2))
    reach = np.where(np.arange(count) % 3 == 0, 0.06, 0.8)[:, None, None]
    xy = centre + reach * rng.uniform(-1, 1, (count, 3, 2))
    w = rng.uniform(1.0, 3.0, (count, 3, 1))
    clip = np.concatenate([xy * w, w - 0.5, w], -1)
    return clip.reshape(1, -1, 4).astype(np.float32), np.arange(3 * count).reshape(
        -1, 3
    )


def compiled(function):
    return tf.function(function, jit_compile=True)


def any_batch(function):
    return tf.function(function, input_signature=[tf.TensorSpec([None, None, 4])])


@pytest.mark.parametrize("name", ["box", "ico0", "ico2", "ico4"])
def test_a_convex_solid_equals_the_loop_over_the_edges_of_its_hull(name):
    vertices, faces = solid(name)
    clip = project(vertices)
    fragments = rasterize(clip, faces, SIZE)
    got = antialias_silhouette(fragments, clip, faces, opposite=opposite_corners(faces))
    mask = fragments.mask[0].numpy()
    want = blended_hull(mask, hull(pixels_of(clip[0], SIZE)))
    assert 100 < mask.sum() < 600 and (want != mask).sum() > 30
    np.testing.assert_allclose(got[0], want, atol=2e-4)


@pytest.mark.parametrize(
    "what", [pytest.param("image", marks=pytest.mark.slow), "silhouette"]
)
def test_the_forms_agree(what):
    vertices, faces = solid("ico2")
    opposite = opposite_corners(faces)
    clip = tf.concat([project(vertices), project(0.5 * vertices)], 0)
    fragments = rasterize(clip, faces, SIZE)
    image = tf.random.stateless_uniform([2, *SIZE, 3], [0, 1])

    def run(form, wrap):
        settings = {"opposite": opposite, "form": form}

        def blend(clip):
            with tf.GradientTape() as tape:
                tape.watch([image, clip])
                if what == "image":
                    out = antialias(image, fragments, clip, faces, **settings)
                else:
                    out = antialias_silhouette(fragments, clip, faces, **settings)
                loss = tf.reduce_sum(out**2)
            inputs = [image, clip] if what == "image" else [clip]
            return out, *tape.gradient(loss, inputs)

        return wrap(blend)(clip)

    want = run("graph", lambda f: f)
    assert np.abs(want[-1]).max() > 0.0
    for form, wrap in (("graph", any_batch), ("xla", lambda f: f), ("xla", compiled)):
        for a, b in zip(run(form, wrap), want, strict=True):
            np.testing.assert_allclose(a, b, atol=2e-4)


@pytest.mark.parametrize("topology", [True, False])
def test_the_silhouette_equals_the_antialiased_mask(topology):
    clip, faces = soup(0)
    opposite = opposite_corners(faces) if topology else None
    fragments = rasterize(clip, faces, SIZE)
    clip = tf.constant(clip)
    mask = tf.cast(fragments.mask, tf.float32)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(clip)
        alpha = antialias_silhouette(fragments, clip, faces, opposite=opposite)
        image = antialias(
            mask[..., tf.newaxis], fragments, clip, faces, opposite=opposite
        )[..., 0]
        losses = tf.reduce_sum(alpha**2), tf.reduce_sum(image**2)
    assert 0.0 <= tf.reduce_min(alpha) and tf.reduce_max(alpha) <= 1.0
    assert (alpha != mask).numpy().sum() > 50
    np.testing.assert_allclose(alpha, image, atol=1e-6)
    one, two = (tape.gradient(loss, clip) for loss in losses)
    np.testing.assert_allclose(one, two, atol=1e-4)


@pytest.mark.parametrize("vertical", [False, True])
def test_an_edge_that_moves_over_pixels_changes_them_linearly(vertical):
    size = (8, 11)
    opposite = opposite_corners(QUAD)
    lower = 1.5
    for upper in np.arange(4.5, 6.7, 0.2):  # from one pixel centre over two others
        rows = [(lower, -3), (upper, -3), (upper, 20), (lower, 20)]
        rows = [p[::-1] for p in rows] if vertical else rows
        clip = tf.constant(to_clip(rows, size, depth=[1.0, 2.0, 4.0, 3.0]))
        with tf.GradientTape() as tape:
            tape.watch(clip)
            alpha = antialias_silhouette(
                rasterize(clip, QUAD, size), clip, QUAD, opposite=opposite
            )
            covered = tf.reduce_sum(alpha)
        alpha = alpha[0].numpy().T if vertical else alpha[0].numpy()
        lines = size[1] if vertical else size[0]
        want = np.clip(upper - np.arange(len(alpha[0])), 0, 1)
        want -= np.clip(lower - np.arange(len(alpha[0])), 0, 1)
        np.testing.assert_allclose(alpha, np.tile(want, [lines, 1]), atol=1e-4)
        # Both ends of the upper edge move by dx pixels: dx a line.
        moved = tape.gradient(covered, clip)[0].numpy()
        axis, scale = (1, -2 / size[0]) if vertical else (0, 2 / size[1])
        shift = moved[1, axis] * 2.0 * scale + moved[2, axis] * 4.0 * scale
        np.testing.assert_allclose(shift, lines, rtol=1e-4)


QUAD = np.array([[0, 1, 2], [0, 2, 3]])


def test_colours_blend_by_the_place_of_the_crossing():
    # The edge stands at column 5.3: pixel 4 reaches 0.3 into pixel 5, and so on.
    size = (3, 9)
    image = tf.random.stateless_uniform([1, *size, 2], [0, 2])
    for edge in (5.3, 5.5 + 1e-4, 5.8):
        points = [(-9, -9), (edge, -9), (edge, 9), (-9, 9)]
        clip = to_clip(points, size)
        got = antialias(image, rasterize(clip, QUAD, size), clip, QUAD).numpy()
        near = int(np.ceil(edge - 0.5)) - 1  # last covered column
        s = edge - near - 1.0
        want = image.numpy().copy()
        near_colour, far_colour = image[0, :, near], image[0, :, near + 1]
        if s > 0:
            want[0, :, near + 1] += s * (near_colour - far_colour)
        else:
            want[0, :, near] += -s * (far_colour - near_colour)
        np.testing.assert_allclose(got, want, atol=1e-5)


def test_an_edge_just_behind_a_centre_parts_it_from_the_next_pixel_only():
    # Strips that meet at column 5.0 and 5.502; the last ends just behind centre 5.5.
    size = (3, 9)
    points = [(x, y) for x in (-9, 5.0, 5.502, 5.505) for y in (-9, 9)]
    faces = np.array([[0, 2, 3], [0, 3, 1], [2, 4, 5], [2, 5, 3], [4, 6, 7], [4, 7, 5]])
    opposite = opposite_corners(faces)
    clip = to_clip(points, size)
    image = tf.random.stateless_uniform([1, *size, 2], [0, 10])
    fragments = rasterize(clip, faces, size)
    got = antialias(image, fragments, clip, faces, opposite=opposite)
    want = image.numpy()
    want[:, :, 5] += 0.495 * (want[:, :, 6] - want[:, :, 5])
    np.testing.assert_allclose(got, want, atol=1e-5)


@pytest.mark.parametrize("name", ["box", "ico1", "ico3", "ico5"])
def test_area_and_its_gradient_are_those_of_the_true_outline(name):
    vertices, faces = solid(name)
    opposite = opposite_corners(faces)
    size = (90, 120)

    def placed(change):
        scale, shift = 1.0 + change[0], change[1:] + tf.constant([0.03, 0.02, -0.04])
        return project(vertices * scale + shift)

    def truth(change):
        return area(hull(pixels_of(placed(change)[0], size)))

    change = tf.zeros([4])
    with tf.GradientTape() as tape:
        tape.watch(change)
        clip = placed(change)
        fragments = rasterize(clip, faces, size)
        alpha = antialias_silhouette(fragments, clip, faces, opposite=opposite)
        covered = tf.reduce_sum(alpha)
    gradient = tape.gradient(covered, change).numpy()
    np.testing.assert_allclose(covered, truth(change), rtol=5e-4)
    steps = 1e-2 * np.eye(4, dtype=np.float32)
    slope = np.array([(truth(step) - truth(-step)) / 2e-2 for step in steps])
    np.testing.assert_allclose(gradient, slope, atol=0.03 * np.abs(slope).max())


@pytest.mark.parametrize("topology", [True, False])
def test_gradients_equal_finite_differences_in_float64(topology):
    size = (11, 14)
    clip, faces = soup(1)
    # And parts thinner than a pixel, in front, around pixel centres.
    centres = np.array([(3.5, 2.5), (8.5, 4.5), (10.5, 9.5), (2.5, 7.5)])
    thin = centres[:, np.newaxis] + [(-0.1, -0.2), (0.25, 0.05), (-0.1, 0.3)]
    clip = np.concatenate([clip, to_clip(thin.reshape(-1, 2), size, 0.9)], 1)
    faces = np.concatenate([faces, clip.shape[1] - 1 - np.arange(12).reshape(4, 3)])
    opposite = opposite_corners(faces) if topology else None
    fragments = rasterize(clip, faces, size)
    clip = tf.constant(clip, tf.float64)
    image = tf.random.stateless_uniform([1, *size, 2], [0, 3], dtype=tf.float64)
    factor = tf.random.stateless_normal([1, *size, 2], [0, 4], dtype=tf.float64)

    def loss(image, clip):
        blended = antialias(image, fragments, clip, faces, opposite=opposite)
        return tf.reduce_sum(blended * factor)

    loss = tf.function(loss)
    with tf.GradientTape() as tape:
        tape.watch([image, clip])
        value = loss(image, clip)
    gradients = tape.gradient(value, [image, clip])
    assert np.count_nonzero(gradients[1][..., 0]) > 15
    np.testing.assert_array_equal(gradients[1][..., 2], 0.0)  # z moves nothing
    rng, step = np.random.default_rng(5), 1e-7
    for i, inputs in enumerate((image, clip)):
        for _ in range(12):
            way = rng.normal(size=inputs.shape) * (rng.random(inputs.shape) < 0.2)
            ends = [[image, clip], [image, clip]]
            ends[0][i], ends[1][i] = inputs + step * way, inputs - step * way
            slope = (loss(*ends[0]) - loss(*ends[1])) / (2 * step)
            exact = tf.reduce_sum(gradients[i] * way)
            np.testing.assert_allclose(exact, slope, rtol=1e-5, atol=1e-5)


def test_inner_edges_of_a_surface_blend_nothing():
    rng = np.random.default_rng(0)
    line = np.linspace(-4.0, 40.0, 23)  # some faces smaller than a pixel, some larger
    points = np.stack(np.meshgrid(line, line), -1)
    points += rng.uniform(-0.45, 0.45, points.shape)  # no face turns over
    i = np.arange(23 * 23).reshape(23, 23)
    a, b, c, d = (
        v.reshape(-1) for v in (i[1:, :-1], i[1:, 1:], i[:-1, 1:], i[:-1, :-1])
    )
    faces = np.concatenate([np.stack([a, b, c], -1), np.stack([a, c, d], -1)])
    clip = to_clip(points.reshape(-1, 2), SIZE)
    fragments = rasterize(clip, faces, SIZE)
    assert fragments.mask.numpy().all()
    image = tf.random.stateless_uniform([1, *SIZE, 3], [0, 6])
    opposite = opposite_corners(faces)
    got = antialias(image, fragments, clip, faces, opposite=opposite)
    np.testing.assert_array_equal(got, image)
    # Without topology only pairs with a whole face between them are at a loss.
    got = antialias(image, fragments, clip, faces)
    assert 0.0 < np.mean(np.any(got != image, axis=-1)) < 0.5


@pytest.mark.parametrize("mirrored", [False, True])
def test_the_edge_of_the_nearer_face_counts_whatever_the_order_of_faces(mirrored):
    size = (6, 12)
    front = [(-9, -9), (5.3, -9), (5.3, 9), (-9, 9)]
    back = [(3.2, -9), (30, -9), (30, 9), (3.2, 9)]
    clip = np.concatenate([to_clip(front, size, 2.0), to_clip(back, size, 5.0)], 1)
    clip[..., 0] *= -1 if mirrored else 1
    image = tf.tile(tf.range(12.0)[:, tf.newaxis], [6, 1])[..., tf.newaxis]
    image = tf.reshape(image, [1, 6, 12, 1])
    results = []
    for faces in (np.concatenate([QUAD, QUAD + 4]), np.concatenate([QUAD + 4, QUAD])):
        for opposite in (None, opposite_corners(faces)):
            vertices = tf.constant(clip)
            with tf.GradientTape() as tape:
                tape.watch(vertices)
                fragments = rasterize(vertices, faces, size)
                out = antialias(image, fragments, vertices, faces, opposite=opposite)
            gradient = tape.gradient(out, vertices)[0]
            assert np.abs(gradient[:4]).max() > 0.0
            np.testing.assert_array_equal(gradient[4:], 0.0)  # the hidden edge
            results.append(out)
    want, near, far = image.numpy(), *((7, 6) if mirrored else (4, 5))
    want[:, :, far] += 0.3 * (want[:, :, near] - want[:, :, far])
    for out in results:
        np.testing.assert_allclose(out, want, atol=1e-4)


@pytest.mark.parametrize("topology", [True, False])
def test_mirrored_and_turned_pictures_blend_alike(topology):
    clip, faces = soup(3)
    size = (19, 19)

    def alpha(clip, faces):
        opposite = opposite_corners(faces) if topology else None
        fragments = rasterize(clip, faces, size)
        return antialias_silhouette(fragments, clip, faces, opposite=opposite).numpy()

    want = alpha(clip, faces)
    mirrored = clip * np.array([-1, 1, 1, 1], np.float32)
    np.testing.assert_allclose(
        alpha(mirrored, faces[:, ::-1]), want[:, :, ::-1], atol=1e-4
    )
    turned = clip[..., [1, 0, 2, 3]] * np.array([-1, 1, 1, 1], np.float32)
    np.testing.assert_allclose(
        alpha(turned, faces), np.rot90(want, 1, (1, 2)), atol=1e-4
    )
    for scale in (1e6, 1e-6):
        np.testing.assert_allclose(
            alpha(clip * np.float32(scale), faces), want, atol=1e-4
        )


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
