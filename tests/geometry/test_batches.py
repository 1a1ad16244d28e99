import numpy as np
import pytest
import tensorflow as tf

from tfrender import cameras
from tfrender.geometry.batches import (
    MeshPart,
    join_scene,
    repeat_views,
    stack_meshes,
    unstack_meshes,
)
from tfrender.io import Material, Mesh
from tfrender.ops.interpolate import interpolate_corners
from tfrender.ops.rasterize import rasterize_mesh

SIZE = (17, 26)
CAMERA = cameras.Camera(
    cameras.orbit([25.0], [15.0], [4.0]), cameras.perspective(45.0, 26 / 17)
)


def part(seed, vertices, faces, materials=("one",)):
    """A random mesh with an attribute of each kind."""
    rng = np.random.default_rng(seed)
    return MeshPart(
        rng.uniform(-1, 1, (vertices, 3)).astype(np.float32),
        rng.integers(0, vertices, (faces, 3)),
        {"color": rng.uniform(size=(vertices, 3)).astype(np.float32)},
        {"area": rng.uniform(size=faces).astype(np.float32)},
        {"uv": rng.uniform(size=(faces, 3, 2)).astype(np.float32)},
        rng.integers(0, len(materials), faces),
        materials,
    )


PARTS = [part(0, 9, 12), part(1, 30, 41, ("two", "three")), part(2, 3, 1)]
PARTS[2] = PARTS[2]._replace(faces=np.array([[2, 0, 1]]))


def transform(seed, mirrored=False):
    rng = np.random.default_rng(seed)
    matrix = np.eye(4)
    matrix[:3] = rng.normal(size=(3, 4))
    if (np.linalg.det(matrix[:3, :3]) < 0) != mirrored:
        matrix[0] *= -1
    return matrix.astype(np.float32)


def test_a_padded_mesh_renders_bit_identically_to_the_mesh_alone():
    for pad_to in (None, (50, 77)):
        batch = stack_meshes(PARTS, pad_to=pad_to)
        got = rasterize_mesh(batch.vertices, batch.faces, CAMERA, SIZE)
        for b, item in enumerate(PARTS):
            alone = rasterize_mesh(item.vertices[np.newaxis], item.faces, CAMERA, SIZE)
            assert alone.mask.numpy().any() and not alone.mask.numpy().all()
            for whole, one in zip(got, alone, strict=True):
                np.testing.assert_array_equal(whole[b], one[0])


def test_a_batch_holds_every_mesh_and_nothing_beyond_its_counts():
    batch = stack_meshes(PARTS, pad_to=(40, 50))
    assert batch.vertices.shape == (3, 40, 3) and batch.faces.shape == (3, 50, 3)
    np.testing.assert_array_equal(batch.vertex_count, [9, 30, 3])
    np.testing.assert_array_equal(batch.face_count, [12, 41, 1])
    assert batch.materials == ("one", "two", "three", "one")
    for b, item in enumerate(PARTS):
        v, f = len(item.vertices), len(item.faces)
        np.testing.assert_array_equal(batch.faces[b, f:], -1)
        np.testing.assert_array_equal(batch.vertices[b, v:], 0.0)
        np.testing.assert_array_equal(batch.vertex_attributes["color"][b, v:], 0.0)
        np.testing.assert_array_equal(batch.face_material[b, f:], -1)
        for k in range(f):
            want = item.materials[item.face_material[k]]
            assert batch.materials[batch.face_material[b, k]] == want


def test_unstacking_returns_what_was_stacked():
    for item, back in zip(PARTS, unstack_meshes(stack_meshes(PARTS)), strict=True):
        tf.nest.map_structure(
            np.testing.assert_array_equal, tuple(item[:5]), tuple(back[:5])
        )
        names = [back.materials[m] for m in back.face_material]
        assert names == [item.materials[m] for m in item.face_material]


def test_stacking_works_on_unknown_sizes_and_passes_gradients():
    spec = tf.TensorSpec([None, 3])
    index = tf.TensorSpec([None, 3], tf.int32)

    @tf.function(input_signature=[spec, index, spec, index])
    def run(v0, f0, v1, f1):
        with tf.GradientTape() as tape:
            tape.watch([v0, v1])
            batch = stack_meshes([(v0, f0), (v1, f1)])
            scene = join_scene([(v0, f0), (v1, f1)])
            loss = tf.reduce_sum(batch.vertices**2) + tf.reduce_sum(scene.vertices**2)
        parts = unstack_meshes(batch)
        return (
            batch.faces,
            scene.faces,
            parts[0].vertices,
            tape.gradient(loss, [v0, v1]),
        )

    meshes = [(p.vertices, p.faces.astype(np.int32)) for p in PARTS[:2]]
    faces, joined, vertices, gradients = run(*meshes[0], *meshes[1])
    np.testing.assert_array_equal(faces, stack_meshes(meshes).faces)
    np.testing.assert_array_equal(joined, join_scene(meshes).faces)
    np.testing.assert_array_equal(vertices, meshes[0][0])
    for gradient, (vertices, _) in zip(gradients, meshes, strict=True):
        np.testing.assert_allclose(gradient, 4.0 * vertices, rtol=1e-6)


def test_float64_stays_float64():
    mesh = (PARTS[0].vertices.astype(np.float64), PARTS[0].faces)
    assert stack_meshes([mesh]).vertices.dtype == tf.float64
    scene = join_scene([mesh], [transform(0)])
    assert scene.vertices.dtype == tf.float64


def test_a_scene_has_the_triangles_of_its_objects_in_the_world():
    transforms = [transform(3), None, transform(4)]
    scene = join_scene(PARTS, transforms)
    triangles = scene.vertices.numpy()[scene.faces.numpy()]
    start = 0
    for i, (item, matrix) in enumerate(zip(PARTS, transforms, strict=True)):
        f = slice(start, start + len(item.faces))
        start += len(item.faces)
        matrix = np.eye(4) if matrix is None else matrix
        world = item.vertices @ matrix[:3, :3].T + matrix[:3, 3]
        np.testing.assert_allclose(triangles[f], world[item.faces], atol=1e-5)
        np.testing.assert_array_equal(scene.face_object[f], i)
        own = np.flatnonzero(scene.vertex_object.numpy() == i)
        np.testing.assert_array_equal(own - own[0], np.arange(len(item.vertices)))
        np.testing.assert_array_equal(
            scene.vertex_attributes["color"].numpy()[own],
            item.vertex_attributes["color"],
        )
        for kind, name in (("face_attributes", "area"), ("corner_attributes", "uv")):
            got = getattr(scene, kind)[name][f]
            np.testing.assert_array_equal(got, getattr(item, kind)[name])
        names = [scene.materials[m] for m in scene.face_material[f]]
        assert names == [item.materials[m] for m in item.face_material]
    assert start == len(scene.faces)


def test_padding_faces_stay_padding_in_a_scene():
    padded = stack_meshes(PARTS)
    meshes = [(padded.vertices[b], padded.faces[b]) for b in range(3)]
    scene = join_scene(meshes)
    faces = scene.faces.numpy()
    got = scene.vertices.numpy()[faces[(faces >= 0).all(-1)]]
    plain = join_scene([(p.vertices, p.faces) for p in PARTS])
    np.testing.assert_array_equal(got, plain.vertices.numpy()[plain.faces.numpy()])
    assert (faces == -1).all(-1).sum() == 3 * 41 - 54


def test_a_mirrored_object_stays_counter_clockwise_outside():
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32)
    faces = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])
    uv = np.random.default_rng(0).uniform(size=(4, 3, 2)).astype(np.float32)
    mesh = MeshPart(vertices, faces, corner_attributes={"uv": uv})
    scene = join_scene([mesh, mesh], [transform(7), transform(8, mirrored=True)])
    corners = scene.vertices.numpy()[scene.faces.numpy()]
    for i in range(2):
        own = corners[4 * i : 4 * i + 4]
        assert np.linalg.det(own - own.mean((0, 1))).sum() > 0.0  # volume
    # Each corner keeps its texture coordinate.
    given = {tuple(c): v for c, v in zip(uv.reshape(-1, 2), faces.ravel(), strict=True)}
    for c, v in zip(
        scene.corner_attributes["uv"].numpy().reshape(-1, 2),
        scene.faces.numpy().ravel(),
        strict=True,
    ):
        assert given[tuple(c)] == v % 4


def test_the_gradient_reaches_the_transforms():
    matrix = tf.constant(transform(5))
    with tf.GradientTape() as tape:
        tape.watch(matrix)
        scene = join_scene([PARTS[0], PARTS[2]], [matrix, None])
        loss = tf.reduce_sum(scene.vertices)
    vertices = PARTS[0].vertices
    want = np.zeros([4, 4])
    want[:3, :3], want[:3, 3] = vertices.sum(0), len(vertices)
    np.testing.assert_allclose(tape.gradient(loss, matrix), want, atol=1e-5)


def test_a_scene_shows_what_its_objects_show_nearest_first():
    transforms = [None, transform(11), transform(12)]
    scene = join_scene(PARTS, transforms)
    got = rasterize_mesh(scene.vertices[tf.newaxis], scene.faces, CAMERA, SIZE)
    depth, seen = np.full(SIZE, np.inf), np.full(SIZE, -1)
    for i, pair in enumerate(zip(PARTS, transforms, strict=True)):
        one = join_scene([pair[0]], [pair[1]])
        alone = rasterize_mesh(one.vertices[tf.newaxis], one.faces, CAMERA, SIZE)
        nearer = alone.mask[0].numpy() & (alone.depth[0].numpy() < depth)
        depth[nearer], seen[nearer] = alone.depth[0].numpy()[nearer], i
    index = got.face_index[0].numpy()
    objects = np.where(index < 0, -1, scene.face_object.numpy()[np.maximum(index, 0)])
    assert len(np.unique(seen)) > 2
    np.testing.assert_array_equal(objects, seen)
    # Attributes belong to the face that is seen.
    uv = interpolate_corners(scene.corner_attributes["uv"], got)
    assert uv.shape == (1, *SIZE, 2)


def records():
    """Two records of files: one with texture coordinates, one with colours."""
    red, blue = Material("red", (1.0, 0.0, 0.0)), Material("blue", (0.0, 0.0, 1.0))
    one, two = PARTS[0], PARTS[1]
    faces = [p.faces.astype(np.int32) for p in (one, two)]
    uv, color = one.corner_attributes["uv"], two.vertex_attributes["color"]
    return [
        Mesh(one.vertices, faces[0], uv, np.zeros(12, np.int32), (red,), None),
        Mesh(two.vertices, faces[1], None, two.face_material, (red, blue), color),
    ]


def test_records_of_files_stack_and_join_with_their_materials():
    one, two = records()
    batch, scene = stack_meshes([one, two]), join_scene([one, two])
    assert [m.name for m in scene.materials] == ["red", "red", "blue"]
    assert batch.materials == scene.materials
    np.testing.assert_array_equal(scene.face_material[:12], 0)
    np.testing.assert_array_equal(scene.face_material[12:], 1 + two.face_material)
    np.testing.assert_array_equal(scene.corner_attributes["uv"][:12], one.uv)
    np.testing.assert_array_equal(scene.corner_attributes["uv"][12:], 0.0)
    np.testing.assert_array_equal(scene.vertex_attributes["color"][:9], 1.0)
    np.testing.assert_array_equal(
        batch.vertex_attributes["color"][1], two.vertex_colors
    )
    # Records without texture coordinates or colours have neither.
    plain = stack_meshes([one._replace(uv=None)])
    assert not plain.corner_attributes and not plain.vertex_attributes


def test_every_mesh_meets_every_camera_in_order():
    eyes = cameras.orbit([0.0, 40.0, 200.0], [10.0, 20.0, 30.0], [4.0, 5.0, 3.5])
    several = cameras.Camera(eyes, tf.repeat(cameras.perspective(45.0, 26 / 17), 3, 0))
    batch = stack_meshes(PARTS[:2])
    values = {"vertices": batch.vertices, "rest": (batch.faces, batch.face_count)}
    camera, repeated = repeat_views(several, values)
    got = rasterize_mesh(repeated["vertices"], repeated["rest"][0], camera, SIZE)
    assert got.mask.shape == (6, *SIZE) and repeated["vertices"].shape[1:] == (
        41 - 11,
        3,
    )
    np.testing.assert_array_equal(repeated["rest"][1], [12, 12, 12, 41, 41, 41])
    for n in range(2):
        for m in range(3):
            one = cameras.Camera(*(matrix[m : m + 1] for matrix in several))
            item = PARTS[n]
            alone = rasterize_mesh(item.vertices[np.newaxis], item.faces, one, SIZE)
            assert alone.mask.numpy().any()
            for whole, each in zip(got, alone, strict=True):
                np.testing.assert_array_equal(whole[n * 3 + m], each[0])


def test_views_repeat_for_any_batch_size_and_pass_gradients():
    @tf.function(
        input_signature=[tf.TensorSpec([None, 4, 3]), tf.TensorSpec([None, 4, 4])]
    )
    def run(vertices, view):
        with tf.GradientTape() as tape:
            tape.watch([vertices, view])
            camera, repeated = repeat_views(cameras.Camera(view, view), vertices)
            loss = tf.reduce_sum(repeated) + tf.reduce_sum(camera.world_to_camera)
        assert repeated.shape.as_list() == [None, 4, 3]
        return repeated, *tape.gradient(loss, [vertices, view])

    for n, m in ((1, 1), (2, 3), (3, 1)):
        vertices = tf.random.stateless_normal([n, 4, 3], [0, n])
        repeated, to_vertices, to_view = run(vertices, tf.eye(4, batch_shape=[m]))
        np.testing.assert_array_equal(repeated, np.repeat(vertices, m, axis=0))
        np.testing.assert_array_equal(to_vertices, tf.fill([n, 4, 3], float(m)))
        np.testing.assert_array_equal(to_view, tf.fill([m, 4, 4], float(n)))


@pytest.mark.parametrize("function", [stack_meshes, join_scene])
@pytest.mark.parametrize(
    ("meshes", "message"),
    [
        ([], "`meshes` must hold at least one mesh"),
        ([(PARTS[0].vertices,)], r"`meshes\[0\]` must be"),
        (
            [PARTS[0], (np.zeros([4, 3]), [[0, 1, 2]])],
            r"`meshes\[1\].vertex_attributes`",
        ),
        ([(np.zeros([4, 2]), PARTS[0].faces)], r"`meshes\[0\].vertices` must end"),
        ([(np.zeros([1, 4, 3]), PARTS[0].faces)], r"`meshes\[0\].vertices` must have"),
        ([(PARTS[0].vertices, [[0, 1]])], r"`meshes\[0\].faces` must end"),
        ([PARTS[0]._replace(materials=())], r"`meshes\[0\].materials` must hold"),
        ([PARTS[0]._replace(face_material=[0])], r"`meshes\[0\].face_material` must"),
        (
            [PARTS[0]._replace(face_attributes={"area": [1.0]})],
            r"`meshes\[0\].face_attributes\['area'\]` must begin with \[12\]",
        ),
    ],
)
def test_wrong_meshes_are_named(function, meshes, message):
    with pytest.raises(ValueError, match=message):
        function(meshes)


def test_wrong_sizes_are_named():
    with pytest.raises(ValueError, match="`pad_to` must hold the largest mesh; got 10"):
        stack_meshes(PARTS, pad_to=(10, 99))
    with pytest.raises(ValueError, match="`transforms` must have one entry a mesh, 3"):
        join_scene(PARTS, [None])
    with pytest.raises(ValueError, match="`transforms` must end in"):
        join_scene(PARTS[:1], [np.eye(3)])
    with pytest.raises(ValueError, match="`values` must have one number of items"):
        repeat_views(CAMERA, (tf.zeros([2, 3]), tf.zeros([3, 3])))
    with pytest.raises(ValueError, match="`values` must hold tensors"):
        repeat_views(CAMERA, ())
