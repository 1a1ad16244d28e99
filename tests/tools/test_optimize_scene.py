"""Claims of tools.optimize_scene."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.layers.mesh_scenes import box
from tests.tools.painted_meshes import short_turntable
from tfrender import cameras, io
from tfrender.geometry import normalize_to_unit_cube
from tfrender.layers.mesh_renderer import MeshRenderer
from tfrender.layers.neural_mesh_renderer import NeuralMeshRenderer
from tfrender.optimizers import SkipZeroAdam
from tools import optimize_scene

RNG = np.random.default_rng(0)
SIZE = 24


def open_box(kept=9):
    """A bent box without some of its faces: its inside is seen."""
    vertices, faces = box()
    material = np.zeros(kept, np.int32)
    return io.Mesh(
        vertices[0].numpy(), faces[:kept], None, material, (io.Material(),), None
    )


def painted(size=3, spread=1.0):
    """A painted box whose colours differ."""
    mesh = optimize_scene.PaintedMesh(open_box(), size, seed=0)
    colors = spread * RNG.normal(size=mesh.textures.shape)
    mesh.textures.assign(colors.astype(np.float32))
    return mesh


def some_views(background=(0.2, 0.5, 0.9)):
    angles = [np.float32(a) for a in ([20.0, 200.0], [30.0, -15.0], [2.6, 2.8])]
    light = np.float32([0.48, 0.6, -0.64])
    return optimize_scene.Views(*angles, light, np.float32(background))


def test_light_and_background_of_a_call_are_those_of_the_layers_settings():
    mesh, views = painted(), some_views()
    studio = optimize_scene.Studio(mesh, SIZE, lit=True)
    lamps = [
        {"kind": "ambient", "color": 0.5},
        {"kind": "directional", "direction": views.light, "color": 0.5},
    ]
    layer = NeuralMeshRenderer(
        (SIZE, SIZE), lights=lamps, background=views.background, outputs=("rgb",)
    )
    weight = tf.constant(RNG.normal(size=(2, SIZE, SIZE, 3)), tf.float32)
    found = []
    for draw in (
        lambda: studio.draw(views)[0],
        lambda: layer(
            mesh.points(), mesh.faces, views.camera(), texture_cubes=mesh.cubes()
        )["rgb"],
    ):
        with tf.GradientTape() as tape:
            picture = draw()
            loss = tf.reduce_sum(picture * weight)
        found.append((picture, *tape.gradient(loss, mesh.variables)))
    (rgb, *slopes), (want_rgb, *want_slopes) = found
    np.testing.assert_allclose(rgb, want_rgb, atol=1e-5)
    # Colours of the neural gradient are lit ones here and there: the same sweeps.
    for got, want in zip(slopes, want_slopes, strict=True):
        got, want = got.numpy(), want.numpy()
        assert np.abs(want).max() > 0.1
        np.testing.assert_allclose(got, want, atol=1e-4 * np.abs(want).max())


def test_random_views_keep_their_ranges_and_the_lamp_its_cone():
    rng = np.random.default_rng(1)
    draw = [
        optimize_scene.random_views(rng, 4, (20, 40), (2.7, 0.1), [0.1, 0.2, 0.3], 30.0)
        for _ in range(200)
    ]
    columns = list(zip(*draw, strict=True))
    azimuth, elevation, distance = (np.stack(a) for a in columns[:3])
    assert azimuth.min() >= 0 and azimuth.max() <= 360 and azimuth.std() > 90
    assert elevation.min() >= 20 and elevation.max() <= 40
    assert abs(distance.mean() - 2.7) < 0.02 and abs(distance.std() - 0.1) < 0.02
    lights = np.stack([views.light for views in draw])
    np.testing.assert_allclose(np.linalg.norm(lights, axis=-1), 1.0, rtol=1e-5)
    np.testing.assert_allclose(lights[:, 1], np.cos(np.radians(30.0)), rtol=1e-5)
    assert np.abs(lights[:, [0, 2]].mean(0)).max() < 0.1
    assert {v.dtype for views in draw for v in views} == {np.dtype("float32")}


def test_no_view_is_inside_the_mesh():
    rng = np.random.default_rng(1)
    views = optimize_scene.random_views(rng, 999, (0, 0), (1.8, 1.0), np.zeros(3))
    assert views.distance.min() >= 1.8  # corners are at most sqrt(3) away
    np.testing.assert_array_equal(views.light, [0.0, 1.0, 0.0])


def test_views_are_orbits_whose_pictures_are_not_mirrored():
    views = some_views()
    camera = views.camera()
    want = cameras.orbit(*views[:3])
    np.testing.assert_allclose(camera.world_to_camera, want)
    assert (camera.projection[:, 0, 0] > 0.0).numpy().all()


def test_a_painted_mesh_starts_as_its_file_with_colours_close_to_the_bias():
    source = open_box()
    mesh = optimize_scene.PaintedMesh(source, 2, seed=3, bias=(0.0, 2.0, -2.0))
    extent = mesh.start.max(0) - mesh.start.min(0)
    assert extent.max() == pytest.approx(2.0)
    np.testing.assert_array_equal(mesh.points()[0], mesh.start)
    color = mesh.cubes().numpy().mean((0, 1, 2, 3))
    np.testing.assert_allclose(color, 1 / (1 + np.exp([0.0, -2.0, 2.0])), atol=0.02)
    assert {v.path for v in mesh.variables} == {"vertices", "textures"}
    same = optimize_scene.PaintedMesh(source, 2, seed=3, bias=(0.0, 2.0, -2.0))
    np.testing.assert_array_equal(same.cubes(), mesh.cubes())


@pytest.mark.parametrize("name", ["mesh.obj", "mesh.glb"])
def test_a_saved_mesh_looks_like_the_painted_one(name, tmp_path):
    mesh, source = painted(spread=2.0), open_box()
    mesh.save(tmp_path / name)
    loaded = io.load_mesh(tmp_path / name)
    low, high = source.vertices.min(0), source.vertices.max(0)
    np.testing.assert_allclose(loaded.vertices.min(0), low, atol=1e-5)
    np.testing.assert_allclose(loaded.vertices.max(0), high, atol=1e-5)
    views = some_views((0.0, 0.0, 0.0))
    rgb, alpha = optimize_scene.Studio(mesh, SIZE, lit=False).draw(views)
    layer = MeshRenderer((SIZE, SIZE), supersampling=2, antialias=False)
    texture = loaded.materials[0].texture[np.newaxis, ..., :3] / np.float32(255)
    vertices = 2.0 * normalize_to_unit_cube(loaded.vertices)[0]
    seen = layer(
        vertices[np.newaxis],
        loaded.faces,
        views.camera(),
        uv=loaded.uv[np.newaxis],
        texture=texture,
    )
    assert np.abs(alpha - seen["alpha"]).mean() < 1e-3
    error = np.abs(rgb - seen["rgb"]).sum() / (3.0 * alpha.numpy().sum())
    assert error < 0.02


def test_a_turntable_has_a_picture_every_four_degrees_on_white():
    mesh = painted()
    assert len(optimize_scene.TURNTABLE_DEG) == 90
    with short_turntable():
        frames = optimize_scene.Studio(mesh, 8, lit=True).turntable(30.0, 2.7)
    assert frames.shape == (3, 8, 8, 3) and frames.dtype == np.uint8
    assert (frames[:, 0, 0] == 255).all() and frames.min() < 200
    assert np.abs(frames[0].astype(int) - frames[1]).max() > 20


def test_descending_stops_at_what_is_not_finite_and_tells_how_far_it_is(capsys):
    variable = keras.Variable(np.float32([3.0]), name="vertices")
    optimizer = optimize_scene.adam(0.1, 0.9, 0.999, (1.0, 1.0))

    def loss(views):
        return tf.reduce_sum(tf.convert_to_tensor(variable) ** 2) * views[0]

    views = iter([np.ones(1, np.float32)] * 5 + [np.float32([np.nan])])
    with pytest.raises(ValueError, match="the loss of step 6 is nan"):
        optimize_scene.descend(loss, [variable], optimizer, lambda: next(views), 9)
    assert "step 5: loss" in capsys.readouterr().out
    ones = np.ones(1, np.float32)
    again = keras.Variable(np.float32([3.0]), name="vertices")
    losses = optimize_scene.descend(
        lambda v: tf.reduce_sum(tf.convert_to_tensor(again) ** 2) * v[0],
        [again],
        optimize_scene.adam(0.1, 0.9, 0.999, (1.0, 1.0)),
        lambda: ones,
        20,
    )
    assert len(losses) == 20 and losses[0] == 9.0 and losses[-1] < 4.0


def test_adam_has_the_published_rates():
    optimizer = optimize_scene.adam(0.05, 0.9, 0.99, (0.01, 1.0))
    assert isinstance(optimizer, SkipZeroAdam)
    assert optimizer.multipliers == {"vertices": 0.01, "textures": 1.0}
    assert optimizer.beta_2 == 0.99


def test_places_that_cannot_be_written_are_found_before_the_work(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.gif").mkdir()
    bad = {
        "a.png": (ValueError, "ends in .gif"),
        "file/a.gif": (NotADirectoryError, "is a file; expected a folder"),
        "folder.gif": (IsADirectoryError, "is a folder"),
        "/proc/nowhere/a.gif": (OSError, "cannot write into /proc"),
    }
    for name, (error, words) in bad.items():
        with pytest.raises(error, match=words):
            optimize_scene.check_output(tmp_path / name, [".gif"])
    before = sorted(tmp_path.rglob("*"))
    optimize_scene.check_output(tmp_path / "new" / "a.GIF", [".gif"])
    assert sorted(tmp_path.rglob("*")) == before
