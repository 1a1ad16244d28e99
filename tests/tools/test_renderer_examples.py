"""Claims of tools.renderer_examples; the published losses are acceptance tests."""

import numpy as np
import pytest

from tests.layers import mesh_scenes
from tests.tools.painted_meshes import short_turntable
from tests.tools.programs import run_inside
from tfrender import cameras, io
from tfrender.layers.neural_mesh_renderer import NeuralMeshRenderer
from tools import renderer_examples as examples
from tools.rasterize_scenes import icosphere

SIZE = 16


@pytest.fixture(scope="module")
def sphere(tmp_path_factory):
    """A mesh file of 20 faces."""
    path = tmp_path_factory.mktemp("examples") / "sphere.obj"
    io.save_mesh(path, *icosphere(0))
    return path


def run(example, mesh, folder, shown=None, **recipe):
    """Runs the program on a small picture, with other settings in the recipe."""
    settings = {"mesh": str(mesh), "picture": None, "image_size": SIZE, "steps": None}
    settings |= {"frames_every": 10, "seed": 0, "output_dir": str(folder / "films")}
    if shown is not None:
        settings["picture"] = str(folder / "goal.png")
        io.write_png(folder / "goal.png", shown)
    with short_turntable(), pytest.MonkeyPatch.context() as patch:
        if recipe:
            other = examples.RECIPES[example]._replace(**recipe)
            patch.setitem(examples.RECIPES, example, other)
        run_inside(examples, example=str(example), **settings)
    return {path.name: frames(path) for path in (folder / "films").iterdir()}


def frames(path):
    """Pictures of a GIF, [N, H, W, 3] in [0, 1]."""
    from PIL import Image, ImageSequence

    with Image.open(path) as film:
        shots = [np.asarray(f.convert("RGB")) for f in ImageSequence.Iterator(film)]
    return np.stack(shots) / 255.0


def losses_of(shown):
    """First and last loss and the number of steps, as printed."""
    first, last, count = shown.split("loss ")[1].replace(" in ", " -> ").split(" -> ")
    return float(first), float(last), int(count.split()[0])


def test_the_object_is_placed_as_the_original_places_it():
    vertices, faces = examples.load_object(mesh_scenes.TEAPOT)
    want, want_faces = mesh_scenes.teapot()
    np.testing.assert_allclose(vertices, want, atol=1e-6)
    np.testing.assert_array_equal(faces, want_faces)


def test_eyes_are_those_of_the_original():
    got = examples.eye_at([2.0, 3.0], [30.0, -20.0], [90.0, 200.0])
    for k, angles in enumerate([(2.0, 30.0, 90.0), (3.0, -20.0, 200.0)]):
        np.testing.assert_allclose(got[k], mesh_scenes.eye_at(*angles), atol=1e-6)


def test_example_1_turns_the_object(sphere, tmp_path):
    films = run(1, sphere, tmp_path)
    assert set(films) == {"example1.gif"}
    film = films["example1.gif"]
    assert film.shape == (3, SIZE, SIZE, 3)
    assert film[:, 0, 0].max() == 0.0 and film[:, 8, 8].min() > 0.3


@pytest.mark.slow
def test_example_2_moves_vertices_towards_a_silhouette(sphere, tmp_path, capsys):
    goal = np.zeros([SIZE, SIZE, 3], np.float32)
    goal[4:12, 3:14] = 1.0
    films = run(2, sphere, tmp_path, goal, rate=0.02, steps=30)
    assert set(films) == {"example2.gif", "example2_optimization.gif"}
    assert len(films["example2_optimization.gif"]) == 3
    first, last, count = losses_of(capsys.readouterr().out)
    assert last < 0.6 * first and count == 30


@pytest.mark.slow
def test_example_3_paints_what_the_picture_shows(sphere, tmp_path):
    goal = np.full([SIZE, SIZE, 3], [0.6, 0.4, 0.1], np.float32)
    film = run(3, sphere, tmp_path, goal, steps=30)["example3.gif"]
    color = film[:, 6:10, 6:10].mean((0, 1, 2))
    np.testing.assert_allclose(color, [0.6, 0.4, 0.1], atol=0.1)


@pytest.mark.slow
def test_example_4_stops_when_it_has_found_the_camera(sphere, tmp_path, capsys):
    vertices, faces = examples.load_object(sphere)
    there = cameras.from_neural_renderer(examples.eye_at(*examples.TRUE_VIEW))
    goal = NeuralMeshRenderer((SIZE, SIZE))(vertices, faces, there)["rgb"][0]
    films = run(4, sphere, tmp_path, goal.numpy(), rate=0.5, goal=15.0, steps=60)
    assert set(films) == {"example4.gif"}
    shown = capsys.readouterr().out
    first, last, count = losses_of(shown)
    assert last < 15.0 < first and count < 60 and "eye [" in shown


def test_mistakes_are_named_before_the_work(sphere, tmp_path):
    (tmp_path / "films").write_text("")
    with pytest.raises(OSError, match="films is a file; expected a folder"):
        run(1, sphere, tmp_path)
    (tmp_path / "films").unlink()
    with pytest.raises(FileNotFoundError, match="no.obj"):
        run(2, tmp_path / "no.obj", tmp_path)
    with pytest.raises(FileNotFoundError, match="no.png"):
        run(3, sphere, tmp_path, picture="no.png")
    assert not list(tmp_path.iterdir())
