"""Claims of tools.render_field and of tools.render with a field."""

import types

import numpy as np
import pytest
from PIL import Image

from datasets.dvr import camera_files
from tests.tools import programs, spheres
from tfrender import cameras, io
from tools import camera_paths, render_field
from tools.render_field import FieldRenderer

SIZE = (17, 23)  # odd, so that a ray runs through the centre


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Folder with balls: coloured, plain, and one of a picture."""
    root = tmp_path_factory.mktemp("fields")
    spheres.write(root / "ball")
    spheres.write(root / "plain", colors=False)
    spheres.write(root / "guessed", conditional=True)
    grey = np.full((9, 9, 3), 0.5, np.float32)
    io.write_png(root / "grey.png", grey)
    return root


def orbit(count=1, **settings):
    return camera_paths.orbit(count, SIZE, **{"elevation_deg": 0.0, **settings})


def renderer(root, name="ball", size=SIZE, **settings):
    return FieldRenderer(str(root / name), size, **settings)


def test_a_ball_is_seen_where_it_is(root):
    frame = renderer(root)(orbit())
    height, width = SIZE
    focal = height / 2 / np.tan(np.radians(22.5))
    seen = np.sin(np.arcsin(spheres.RADIUS / 2)) / np.cos(np.arcsin(spheres.RADIUS / 2))
    np.testing.assert_allclose(frame.mask.sum(), np.pi * (focal * seen) ** 2, rtol=0.1)
    middle = (height // 2, width // 2)
    np.testing.assert_allclose(frame.depth[middle], 2 - spheres.RADIUS, atol=1e-4)
    np.testing.assert_allclose(frame.normal[middle], [0, 0, -1], atol=1e-4)
    length = np.linalg.norm(frame.normal, axis=-1)
    np.testing.assert_allclose(length, frame.mask, atol=1e-5)
    assert not frame.depth[~frame.mask].any()


def test_colours_lie_on_a_background(root):
    for name, value in (("white", 1.0), ("black", 0.0)):
        frame = renderer(root, background=name)(orbit())
        assert (frame.rgb[~frame.mask] == value).all()
        # From the front +X is on the left.
        middle, half = SIZE[0] // 2, SIZE[1] // 2
        np.testing.assert_array_equal(frame.rgb[middle, half - 2], [0, 1, 0])
        np.testing.assert_array_equal(frame.rgb[middle, half + 2], [1, 0, 0])


def test_a_picture_makes_the_code(root):
    picture = str(root / "grey.png")
    frame = renderer(root, "guessed", picture=picture)(orbit())
    radius = 0.5 * np.round(0.5 * 255) / 255
    depth = frame.depth[SIZE[0] // 2, SIZE[1] // 2]
    np.testing.assert_allclose(depth, 2 - radius, atol=1e-4)
    with pytest.raises(ValueError, match="--input_picture: .* needs the picture"):
        renderer(root, "guessed")
    with pytest.raises(ValueError, match="--input_picture: .* takes no picture"):
        renderer(root, picture=picture)


def test_depth_pictures_have_the_published_greys():
    depth = np.array([[0.0, 1.0, 3.0], [2.0, 0.0, 1.5]])
    grey = render_field.depth_picture(depth, depth > 0)
    np.testing.assert_array_equal(grey[..., 0], [[255, 127, 242], [184, 255, 156]])
    empty = render_field.depth_picture(depth, depth > 9)
    assert (empty == 255).all()
    assert (render_field.depth_picture(0 * depth + 2, depth >= 0) == 127).all()


def test_views_become_pictures_and_films(root, tmp_path):
    written = render_field.render(
        renderer(root), orbit(3), str(tmp_path / "out"), ("rgb", "depth", "normal")
    )
    names = [f"{v:03d}_{k}.png" for v in range(3) for k in ("rgb", "depth", "normal")]
    films = ["rgb.gif", "depth.gif", "normal.gif"]
    assert [path.name for path in written] == [*names, *films]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == sorted(
        [*names, *films]
    )
    with Image.open(tmp_path / "out/rgb.gif") as film:
        assert film.n_frames == 3 and film.size == SIZE[::-1]
    normal = io.read_image(tmp_path / "out/000_normal.png")
    np.testing.assert_allclose(normal[8, 11], [128, 128, 0], atol=1)
    assert (normal[0, 0] == 255).all()


def test_a_field_without_colours_has_depth_and_normals(root, tmp_path):
    plain = renderer(root, "plain")
    assert plain(orbit()).rgb is None
    with pytest.raises(ValueError, match="no colours; expected depth or normal"):
        render_field.render(plain, orbit(), str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()
    (path,) = render_field.render(plain, orbit(), str(tmp_path), ("depth",))
    assert io.read_image(path).shape == (*SIZE, 1)


def test_pictures_that_show_nothing_are_told(root, tmp_path, capsys):
    seen = renderer(root)
    render_field.render(seen, orbit(), str(tmp_path))
    assert "note" not in capsys.readouterr().err
    inside = orbit(distance=spheres.RADIUS / 2)
    render_field.render(seen, inside, str(tmp_path))
    assert "no picture shows a surface" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": (0, 3)}, "--image_size: expected sides"),
        ({"background": "grey"}, "--background: expected white or black"),
    ],
)
def test_settings_out_of_range_are_named(root, settings, message):
    with pytest.raises(ValueError, match=message):
        renderer(root, **settings)


def test_the_program_follows_a_camera_file(root, tmp_path):
    camera = camera_paths.orbit(5, (12, 16))
    path = tmp_path / "cameras.npz"
    camera_files.write_cameras(path, *cameras.to_dvr(camera, (12, 16)))
    done = programs.launch(
        "tools.render",
        *(f"--model={root}/ball", f"--camera_path={path}", "--output=all"),
        *("--image_size=12,16", "--first_view=1", "--n_views=2", "--nogif"),
        *(f"--render_dir={tmp_path}/out", "--background=black"),
    )
    assert done.returncode == 0, done.stderr
    assert "wrote 6 files, 000_rgb.png to 001_normal.png" in done.stdout
    frame = renderer(root, size=(12, 16), background="black")(
        cameras.Camera(*(part[1:2] for part in camera))
    )
    shown = io.read_image(tmp_path / "out/000_rgb.png")
    assert np.abs(shown / 255.0 - frame.rgb).max(-1).mean() < 0.02


FLAGS = {
    **{"camera_path": "orbit", "n_views": None, "first_view": None, "distance": None},
    **{"fov": None, "image_size": ["9"], "output": "rgb", "background": "white"},
    **{"input_picture": None, "march_samples": 16, "azimuth": None},
    **{"elevation": None, "gif": True},
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"elevation": 91.0}, "--elevation: expected a value in"),
        ({"image_size": ["12", "x"]}, "--image_size: expected HEIGHT,WIDTH"),
        ({"image_size": ["1"] * 3}, "--image_size: expected HEIGHT,WIDTH"),
        ({"camera_path": "none.json"}, "--camera_path: no such file"),
        ({"camera_path": "none.json", "fov": 40.0}, "--fov: is for an orbit"),
        ({"first_view": 2}, "--first_view: is for cameras of a file"),
        ({"input_picture": "none.png"}, "takes no picture"),
    ],
)
def test_flags_that_do_not_fit_are_named(root, tmp_path, monkeypatch, change, message):
    values = {**FLAGS, "render_dir": str(tmp_path / "out"), **change}
    monkeypatch.setattr(render_field, "FLAGS", types.SimpleNamespace(**values))
    with pytest.raises((ValueError, OSError), match=message):
        render_field.render_from_flags(str(root / "ball"))
    assert not (tmp_path / "out").exists()


def test_a_file_with_too_few_views_is_named(root, tmp_path, monkeypatch):
    path = tmp_path / "cameras.npz"
    camera_files.write_cameras(path, *cameras.to_dvr(orbit(2), SIZE))
    values = {**FLAGS, "render_dir": str(tmp_path), "camera_path": str(path)}
    values |= {"first_view": 2}
    monkeypatch.setattr(render_field, "FLAGS", types.SimpleNamespace(**values))
    with pytest.raises(ValueError, match="expected at least 3 views; got 2"):
        render_field.render_from_flags(str(root / "ball"))


def test_flags_of_the_other_system_are_refused(root, tmp_path):
    done = programs.launch(
        *("tools.render", f"--model={root}/ball", "--rotate"),
        f"--render_dir={tmp_path}/out",
    )
    last = programs.last_error(done)
    assert "--rotate: is of no use to a field, which this model is" in last
    assert not (tmp_path / "out").exists()
