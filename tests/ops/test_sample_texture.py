import numpy as np
import pytest
import tensorflow as tf

from tfrender.ops.mipmaps import build_mipmaps, texture_footprint
from tfrender.ops.sample_texture import (
    border_centered_uv,
    sample_texture,
    wrap_to_unit,
)

WRAPS = ("repeat", "clamp", "mirror")
RNG = None  # a generator, fresh for each test
# The letter F: no symmetry hides a flip.
LETTER = np.array([[1, 1, 1], [1, 0, 0], [1, 1, 0], [1, 0, 0], [1, 0, 0]], np.float32)


@pytest.fixture(autouse=True)
def fresh_generator():
    global RNG
    RNG = np.random.default_rng(0)


def scene(height=5, width=7, texture_batch=2, dtype=np.float64, channels=2):
    texture = RNG.uniform(size=(texture_batch, height, width, channels))
    uv = RNG.uniform(-2.3, 2.9, (2, 4, 6, 2))
    return texture.astype(dtype), uv.astype(dtype)


def wrapped(index, size, wrap):
    """Index of a texel by walking, one tile after the other."""
    if wrap == "clamp":
        return min(max(index, 0), size - 1)
    tile, inside = divmod(index, size)
    return size - 1 - inside if wrap == "mirror" and tile % 2 else inside


def read(texture, u, v, wrap, filtering):
    """Float64 definition of one reading of [h, w, C]."""
    height, width = texture.shape[:2]
    if wrap == "clamp":
        u, v = np.clip([u, v], 0, 1)
    x, y = u * width, (1 - v) * height

    def texel(row, column):
        return texture[wrapped(row, height, wrap), wrapped(column, width, wrap)]

    if filtering == "nearest":
        return texel(int(np.floor(y)), int(np.floor(x)))
    x, y = x - 0.5, y - 0.5
    i, j = int(np.floor(y)), int(np.floor(x))
    a, b = y - i, x - j
    return (1 - a) * ((1 - b) * texel(i, j) + b * texel(i, j + 1)) + a * (
        (1 - b) * texel(i + 1, j) + b * texel(i + 1, j + 1)
    )


def read_all(texture, uv, wrap, filtering):
    out = np.zeros((*uv.shape[:3], texture.shape[-1]))
    for b, i, j in np.ndindex(*uv.shape[:3]):
        out[b, i, j] = read(texture[b % len(texture)], *uv[b, i, j], wrap, filtering)
    return out


@pytest.mark.parametrize("filtering", ["bilinear", "nearest"])
@pytest.mark.parametrize("wrap", WRAPS)
@pytest.mark.parametrize("size", [(5, 7), (1, 1), (1, 4), (3, 1), (8, 8)])
def test_every_reading_equals_the_loop(wrap, filtering, size):
    for shared in (1, 2):
        texture, uv = scene(*size, shared)
        got = sample_texture(texture, uv, wrap=wrap, filtering=filtering)
        assert got.dtype == tf.float64
        np.testing.assert_allclose(
            got, read_all(texture, uv, wrap, filtering), atol=1e-12
        )


def test_a_grid_of_texel_centres_gives_the_picture_back_upright():
    height, width = LETTER.shape
    column, row = np.meshgrid((np.arange(3) + 0.5) / 3, (np.arange(5) + 0.5) / 5)
    uv = np.stack([column, 1 - row], -1)[None].astype(np.float32)
    for filtering in ("nearest", "bilinear"):
        got = sample_texture(LETTER[None, ..., None], uv, filtering=filtering)
        np.testing.assert_allclose(got[0, ..., 0], LETTER, atol=1e-6)
    # uv (0, 0) is the foot of the letter, lower left; its arms are at the top.
    for u, v, want in ((0.1, 0.1, 1), (0.9, 0.1, 0), (0.9, 0.95, 1), (0.9, 0.5, 0)):
        got = sample_texture(
            LETTER[None, ..., None], [[[[u, v]]]], filtering="nearest", wrap="clamp"
        )
        assert float(got[0, 0, 0, 0]) == want


@pytest.mark.parametrize("wrap", WRAPS)
def test_whole_periods_change_nothing(wrap):
    texture, uv = scene()
    period = {"repeat": 1, "mirror": 2, "clamp": 0}[wrap]
    want = sample_texture(texture, uv, wrap=wrap)
    moved = sample_texture(texture, uv + [[[[3 * period, -5 * period]]]], wrap=wrap)
    np.testing.assert_allclose(moved, want, atol=1e-12)
    if wrap == "mirror":
        np.testing.assert_allclose(
            sample_texture(texture, -uv, wrap=wrap), want, atol=1e-12
        )


@pytest.mark.parametrize("wrap", WRAPS)
def test_gradients_equal_finite_differences(wrap):
    texture, uv = scene(3, 4, channels=1)
    uv = 0.4 * uv[:, :2, :2]  # [-0.9, 1.2]: inside, and on both sides

    def loss(t, c):
        return tf.reduce_sum(sample_texture(t, c, wrap=wrap) ** 2, axis=-1)

    exact, numeric = tf.test.compute_gradient(loss, [texture, uv], 1e-6)
    for a, b in zip(exact, numeric, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-7)
    assert np.abs(exact[1]).max() > 0.1


def test_nearest_sends_gradient_to_the_texel_that_was_read_only():
    texture, uv = tf.constant(LETTER[None, ..., None]), tf.constant([[[[0.5, 0.3]]]])
    with tf.GradientTape() as tape:
        tape.watch([texture, uv])
        value = sample_texture(texture, uv, filtering="nearest")
    to_texture, to_uv = tape.gradient(value, [texture, uv])
    want = np.zeros((5, 3))
    want[3, 1] = 1
    np.testing.assert_array_equal(to_texture[0, ..., 0], want)
    assert to_uv is None or not np.any(to_uv)


@pytest.mark.parametrize("size", [(1, 1), (6, 4), (5, 7), (9, 1), (13, 6)])
def test_mip_levels_are_area_means_down_to_one_texel(size):
    texture = RNG.uniform(size=(2, *size, 3))
    pyramid = build_mipmaps(texture)
    assert pyramid[-1].shape == (2, 1, 1, 3)
    for level, below in zip(pyramid, pyramid[1:], strict=False):
        want = [max(1, n // 2) for n in level.shape[1:3]]
        assert below.shape[1:3].as_list() == want
        # Area means by refining both to the least common grid.
        fine = np.asarray(level)
        for axis in (1, 2):
            n, m = level.shape[axis], below.shape[axis]
            fine = np.repeat(fine, m, axis)
            shape = list(fine.shape)
            shape[axis : axis + 1] = [m, n]
            fine = fine.reshape(shape).mean(axis + 1)
        np.testing.assert_allclose(below, fine, atol=1e-12)
    assert len(build_mipmaps(texture, 2)) == min(2, len(pyramid))


def test_whole_levels_read_that_level_and_half_levels_their_mean():
    texture, uv = scene(6, 9)
    pyramid = build_mipmaps(texture)
    single = [sample_texture(value, uv, wrap="repeat") for value in pyramid]
    last = len(pyramid) - 1
    for number, want in (
        (0.0, single[0]),
        (1.0, single[1]),
        (0.25, 0.75 * single[0] + 0.25 * single[1]),
        (last - 0.5, 0.5 * (single[-1] + single[-2])),
        (-3.0, single[0]),
        (40.0, single[-1]),
    ):
        level = np.full(uv.shape[:3], number)
        for source in (texture, pyramid):
            got = sample_texture(source, uv, filtering="mipmap", level=level)
            np.testing.assert_allclose(got, want, atol=1e-12)
    by_footprint = sample_texture(
        texture, uv, filtering="mipmap", footprint=np.full(uv.shape[:3], 2.0**0.25)
    )
    np.testing.assert_allclose(
        by_footprint, 0.75 * single[0] + 0.25 * single[1], atol=1e-12
    )


def test_mipmap_gradients_equal_finite_differences():
    texture, uv = scene(3, 5, channels=1)
    uv = uv[:, :1, :2]
    level = RNG.uniform(0.1, 1.9, (2, 1, 2))

    def loss(t, c, k):
        return sample_texture(t, c, filtering="mipmap", level=k)

    exact, numeric = tf.test.compute_gradient(loss, [texture, uv, level], 1e-6)
    for a, b in zip(exact, numeric, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-7)


def test_the_coarsest_level_removes_a_checkerboard():
    texture = np.indices((8, 16)).sum(0)[None, ..., None] % 2.0
    _, uv = scene()
    got = sample_texture(texture, uv, filtering="mipmap", footprint=uv[..., 0] * 0 + 99)
    np.testing.assert_allclose(got, 0.5, atol=1e-12)


def test_the_footprint_of_a_linear_map_is_its_larger_scale():
    column, row = np.meshgrid(np.arange(7.0), np.arange(5.0))
    uv = np.stack([0.02 * column + 0.01 * row, -0.03 * row], -1)[None]
    got = texture_footprint(uv, np.zeros((1, 5, 7), int), (40, 100))
    # d/dcolumn = (2, 0) texels, d/drow = (1, -1.2) texels.
    np.testing.assert_allclose(got, 2.0, atol=1e-12)
    got = texture_footprint(uv, np.zeros((1, 5, 7), int), (100, 100))
    np.testing.assert_allclose(got, np.hypot(1, 3), atol=1e-12)


def test_the_footprint_never_crosses_a_seam_or_the_outline():
    column, row = np.meshgrid(np.arange(8.0), np.arange(4.0))
    uv = np.stack([0.01 * column, 0.01 * row], -1)[None]
    face = np.zeros((1, 4, 8), int)
    face[:, :, 4:] = 1
    uv[:, :, 4:] += 0.5  # the second face lies elsewhere in the atlas
    face[:, 0] = -1
    uv[:, 0] = 77.0
    got = texture_footprint(uv, face, (100, 100)).numpy()
    np.testing.assert_allclose(got[:, 1:], 1.0, atol=1e-9)
    assert not got[:, 0].any()


def test_the_footprint_prefers_the_same_face_to_a_nearer_texel_of_another():
    column, row = np.meshgrid(np.arange(8.0), np.arange(3.0))
    mirrored = np.minimum(column, 7 - column)  # both faces show the same texels
    uv = np.stack([0.02 * mirrored, 0.01 * row], -1)[None]
    face = (column >= 4).astype(int)[None]
    np.testing.assert_allclose(texture_footprint(uv, face, (100, 100)), 2.0, atol=1e-9)


def test_faces_smaller_than_a_pixel_take_the_nearer_covered_neighbour():
    column, row = np.meshgrid(np.arange(6.0), np.arange(3.0))
    uv = np.stack([0.05 * column, 0.02 * row], -1)[None]
    face = np.arange(18).reshape(1, 3, 6)  # every pixel sees another face
    uv[:, :, 3:] += 0.4  # a seam between columns 2 and 3
    got = texture_footprint(uv, face, (100, 100)).numpy()
    np.testing.assert_allclose(got, 5.0, atol=1e-9)
    alone = texture_footprint(uv[:, :1, :1], face[:, :1, :1], (100, 100))
    assert float(alone[0, 0, 0]) == 0.0


def test_legacy_uv_reads_border_texels_at_zero_and_one():
    texture = np.arange(12.0).reshape(1, 3, 4, 1)
    uv = np.array([[[[0, 0], [1, 0], [0, 1], [1, 1], [1 / 3, 0.5]]]])
    got = sample_texture(texture, border_centered_uv(uv, (3, 4)), wrap="clamp")
    np.testing.assert_allclose(got[0, 0, :, 0], [8, 11, 0, 3, 5], atol=1e-12)
    np.testing.assert_allclose(
        wrap_to_unit([-0.25, 0.0, 0.3, 1.0, 1.25, 2.0]),
        [0.75, 0, 0.3, 1, 0.25, 0],
        atol=1e-7,
    )


def test_wild_uv_gives_finite_values_and_gradients():
    texture = tf.constant(LETTER[None, ..., None])
    wild = [0.0, 1.0, -1.0, 1e6, -1e6, 1e-30, -1e-30, 3e38, -3e38]
    uv = tf.constant([[[[a, b] for a in wild] for b in wild]], tf.float32)
    for wrap in WRAPS:
        for settings in (
            {"filtering": "nearest"},
            {"filtering": "bilinear"},
            {"filtering": "mipmap", "level": 0.7 + 0.0 * uv[..., 0]},
        ):
            with tf.GradientTape() as tape:
                tape.watch([texture, uv])
                value = sample_texture(texture, uv, wrap=wrap, **settings)
            assert 0 <= value.numpy().min() and value.numpy().max() <= 1
            for gradient in tape.gradient(value, [texture, uv]):
                assert gradient is None or np.isfinite(gradient).all()
    foot = texture_footprint(uv, tf.zeros(uv.shape[:3], tf.int32), (5, 3))
    finite = sample_texture(texture, uv, filtering="mipmap", footprint=foot)
    assert np.isfinite(finite).all()


@pytest.mark.parametrize("jit", [False, True])
def test_graph_forms_equal_eager_for_any_batch(jit):
    texture, uv = scene(5, 7, 1, np.float32)
    face = RNG.integers(-1, 2, uv.shape[:3])

    def run(c, f):
        foot = texture_footprint(c, f, (5, 7))
        return [
            sample_texture(texture, c),
            sample_texture(texture, c, wrap="mirror", filtering="nearest"),
            sample_texture(texture, c, filtering="mipmap", footprint=foot),
        ]

    specs = [
        tf.TensorSpec([None, *uv.shape[1:]], tf.float32),
        tf.TensorSpec([None, *face.shape[1:]], tf.int64),
    ]
    graph = tf.function(run, input_signature=specs, jit_compile=jit)
    for count in (1, 2):
        wanted = run(uv[:count], face[:count])
        for got, want in zip(graph(uv[:count], face[:count]), wanted, strict=True):
            np.testing.assert_allclose(got, want, atol=1e-4)


def test_faults_are_named():
    texture, uv = scene()
    for message, call in (
        ("`wrap` must", lambda: sample_texture(texture, uv, wrap="tile")),
        ("`filtering` must", lambda: sample_texture(texture, uv, filtering="cubic")),
        ("`level` or `footprint`", lambda: sample_texture(texture, uv, level=uv)),
        (
            "`level` or `footprint`",
            lambda: sample_texture(texture, uv, filtering="mipmap"),
        ),
        ("`texture` must", lambda: sample_texture([texture], uv)),
        ("`texture` must", lambda: sample_texture(texture[0], uv)),
        ("`uv` must", lambda: sample_texture(texture, uv[..., :1])),
        ("`levels` must", lambda: build_mipmaps(texture, 0)),
        ("`face_index` must", lambda: texture_footprint(uv, uv, (2, 2))),
    ):
        with pytest.raises(ValueError, match=message):
            call()
