"""Claims of tools.style_transfer."""

import numpy as np
import pytest
import tensorflow as tf

from tests.tools.painted_meshes import (
    FLAGS,
    painted_sphere,
    recorded_losses,
    short_turntable,
)
from tests.tools.programs import last_error, launch, run_inside
from tfrender import io
from tfrender.models.image_features import image_features
from tools import optimize_scene, style_transfer
from tools.rasterize_scenes import icosphere

STYLE = {
    "lambda_style": 1.0,
    "lambda_content": 2e9,
    "lambda_tv": 1e4,
    "elevation_min": 20.0,
    "elevation_max": 40.0,
    "adam_beta2": 0.999,
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A sphere of 80 faces and a striped picture of another size."""
    folder = tmp_path_factory.mktemp("style")
    io.save_mesh(folder / "sphere.obj", *icosphere(1))
    io.write_png(folder / "stripes.png", stripes(40, 30))
    return folder


def stripes(height, width):
    """Red and yellow stripes, float [H, W, 3]."""
    i, j = np.indices((height, width))
    even = ((i + j) // 5 % 2).astype(np.float32)
    return np.stack([0.9 + 0 * even, even, 0.1 + 0 * even], -1).astype(np.float32)


def transfer(size=32):
    """Style transfer of stripes to a sphere."""
    painted = painted_sphere()
    network = image_features("small")
    weights = (1.0, 2e9, 1e4)
    return style_transfer.StyleTransfer(painted, network, stripes(size, size), weights)


def views_of(task, seed=0, batch=2):
    rng = np.random.default_rng(seed)
    return lambda: optimize_scene.random_views(
        rng, batch, (20.0, 40.0), (2.732, 0.1), task.background, 30.0
    )


def test_gradients_are_finite_and_reach_vertices_and_colours():
    task = transfer()
    views = views_of(task)()
    with tf.GradientTape() as tape:
        loss = task.loss(views)
    for slope in tape.gradient(loss, task.mesh.variables):
        assert np.isfinite(slope).all() and np.abs(slope).max() > 0.0


def test_the_parts_of_the_loss_are_the_published_ones():
    task = transfer()
    views = views_of(task)()
    style, content, roughness = task.losses(views)
    assert float(content) == 0.0 and float(style) > 0.0 and float(roughness) > 0.0
    total = task.loss(views)
    np.testing.assert_allclose(total, style + 1e4 * roughness, rtol=1e-5)
    task.mesh.vertices.assign(task.mesh.start + np.float32([0.1, 0.0, 0.0]))
    content = task.losses(views)[1]
    np.testing.assert_allclose(content, 0.01 * len(task.mesh.start), rtol=1e-3)


def test_the_background_is_the_mean_colour_of_the_style():
    task = transfer()
    np.testing.assert_allclose(task.background, stripes(32, 32).mean((0, 1)), rtol=1e-5)
    rgb, alpha = task.studio.draw(views_of(task)())
    empty = alpha[..., 0].numpy() == 0.0
    assert empty.any()
    want = np.broadcast_to(task.background, rgb[empty].shape)
    np.testing.assert_allclose(rgb[empty], want, rtol=1e-5)


def settings(files, **changes):
    """Flags of a short run."""
    paths = {"input_mesh": files / "sphere.obj", "input_style": files / "stripes.png"}
    texts = {name: str(path) for name, path in paths.items()}
    return {**FLAGS, **STYLE, **texts, **changes}


def test_fifty_steps_lower_the_loss_by_a_fifth_and_end_in_files(
    files, tmp_path, capsys
):
    target = tmp_path / "new" / "style.gif"
    mesh = tmp_path / "style.glb"
    flags = settings(files, output=str(target), output_mesh=str(mesh))
    with short_turntable(), recorded_losses() as losses:
        run_inside(style_transfer, **flags)
    assert len(losses) == 50 and np.isfinite(losses).all()
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])
    assert target.read_bytes().startswith(b"GIF8")
    loaded = io.load_mesh(mesh)
    assert loaded.faces.shape == (80, 3)
    red, green, blue = loaded.materials[0].texture[..., :3].mean((0, 1))
    assert blue < 0.9 * min(red, green)  # as in the stripes
    shown = capsys.readouterr().out
    assert "step 50: loss" in shown and f"wrote {target} and {mesh}" in shown


def test_short_names_of_the_original_are_understood(files, tmp_path):
    done = launch(
        "tools.style_transfer",
        *("-im", tmp_path / "no.obj", "-is", files / "stripes.png"),
        *("-o", tmp_path / "a.gif", "-ls", 1, "-lc", "2e9", "-ltv", "1e7"),
        *("-emin", 20, "-emax", 40, "-lrv", ".01", "-lrt", 1, "-cd", 2.732),
        *("-cdn", ".1", "-ts", 4, "-lr", ".05", "-ab1", ".9", "-ab2", ".999"),
        *("-bs", 4, "-ni", 1000),
    )
    assert "no.obj: no such mesh file" in last_error(done)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"input_style": "no.png"}, "no.png"),
        ({"output": "style.png"}, "ends in .gif"),
        ({"output_mesh": "style.ply"}, "ends in .obj or .glb"),
        ({"elevation_min": 50.0}, "--elevation_min: expected at most"),
        ({"layers": ["conv9"]}, "layers of small"),
        ({"network": "vgg16", "weights": "no.h5"}, "no.h5: no such file"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(
    files, changes, words, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((ValueError, OSError), match=words):
        run_inside(style_transfer, **settings(files, **{"output": "a.gif"} | changes))
    assert not list(tmp_path.iterdir())


def test_a_mesh_without_faces_is_refused(files, tmp_path):
    (tmp_path / "points.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\n")
    flags = settings(files, output=str(tmp_path / "a.gif"))
    flags["input_mesh"] = str(tmp_path / "points.obj")
    with pytest.raises(io.FormatError, match="points.obj.*face"):
        run_inside(style_transfer, **flags)
