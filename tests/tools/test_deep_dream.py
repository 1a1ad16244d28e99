"""Claims of tools.deep_dream."""

import numpy as np
import pytest
import tensorflow as tf

from tests.tools.painted_meshes import (
    FLAGS,
    painted_sphere,
    recorded_losses,
    short_turntable,
)
from tests.tools.programs import launch, run_inside
from tfrender import io
from tfrender.losses.style import edge_length_variance
from tfrender.models.image_features import NETWORKS, image_features
from tools import deep_dream, optimize_scene
from tools.rasterize_scenes import icosphere


def dream(size, weight=1e-4):
    """A dream of the small network on a sphere of 80 faces."""
    network = image_features("small", NETWORKS["small"].dream)
    return deep_dream.DeepDream(painted_sphere(), network, size, weight)


def views_of(seed=0):
    rng = np.random.default_rng(seed)
    return lambda: optimize_scene.random_views(
        rng, 2, deep_dream.ELEVATION_DEG, (2.5, 0.1), np.full(3, 0.5)
    )


def test_gradients_are_finite_and_reach_vertices_and_colours():
    task = dream(32)
    with tf.GradientTape() as tape:
        loss = task.loss(views_of()())
    for slope in tape.gradient(loss, task.mesh.variables):
        assert np.isfinite(slope).all() and np.abs(slope).max() > 0.0


def test_the_loss_weighs_uneven_edges_by_the_number_of_faces():
    views = views_of()()
    plain, weighed = dream(16, 0.0), dream(16, 0.5)
    uneven = edge_length_variance(plain.mesh.points(), plain.mesh.faces)[0]
    assert float(uneven) > 0.0
    difference = weighed.loss(views) - plain.loss(views)
    np.testing.assert_allclose(difference, 0.5 * 80 * uneven, rtol=0.05)
    np.testing.assert_allclose(plain.loss(views), -plain.excitement(views))


def test_colours_are_not_lit():
    task = dream(16)
    rgb, alpha = task.studio.draw(views_of()())
    inside = rgb[alpha[..., 0] == 1.0].numpy()
    assert inside.min() > 0.4 and inside.max() < 0.6  # sigmoid of about 0


def settings(folder, **changes):
    """Flags of a short run."""
    dreams = {"input": str(folder / "sphere.obj"), "output_dir": str(folder / "d")}
    dreams |= {"output": "a.gif", "init_bias": "(0,0.5,0.5)", "lambda_length": 1e-4}
    return {**FLAGS, **dreams, **changes}


def test_fifty_steps_excite_the_network_by_a_fifth_and_end_in_files(tmp_path, capsys):
    io.save_mesh(tmp_path / "sphere.obj", *icosphere(1))
    with short_turntable(), recorded_losses() as losses:
        run_inside(deep_dream, **settings(tmp_path, output_mesh="a.obj"))
    assert len(losses) == 50 and np.isfinite(losses).all()
    # The grey behind the mesh changes from step to step, and the loss with it.
    assert np.mean(losses[-15:]) < 1.2 * np.mean(losses[:15]) < 0.0
    assert (tmp_path / "d" / "a.gif").read_bytes().startswith(b"GIF8")
    assert io.load_mesh(tmp_path / "d" / "a.obj").faces.shape == (80, 3)
    assert "step 50: loss" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["(0,0.5,0.5)", "0, 0.5, 0.5", "[0, .5, .5]"])
def test_a_bias_is_three_numbers(text):
    assert deep_dream.parse_bias(text) == (0.0, 0.5, 0.5)


@pytest.mark.parametrize("text", ["", "1", "(1, 2)", "a,b,c", "(1,2,", "(1,2,1e999)"])
def test_another_bias_is_named(text):
    with pytest.raises(ValueError, match="--init_bias: expected three numbers"):
        deep_dream.parse_bias(text)


def test_mistakes_are_named_before_anything_is_written(tmp_path):
    io.save_mesh(tmp_path / "sphere.obj", *icosphere(1))
    (tmp_path / "file").write_text("")
    for changes, words in (
        ({"output_dir": str(tmp_path / "file")}, "expected a folder"),
        ({"init_bias": "red"}, "--init_bias"),
        ({"weights": "some.h5"}, "whose weights are fixed"),
    ):
        with pytest.raises((ValueError, OSError), match=words):
            run_inside(deep_dream, **settings(tmp_path, **changes))
    assert not (tmp_path / "d").exists()


@pytest.mark.slow
def test_short_names_are_understood_and_no_steps_refused(tmp_path):
    done = launch(
        "tools.deep_dream",
        *("-i", tmp_path / "no.obj", "-o", "a.gif", "-d", tmp_path / "d"),
        *("-al", ".01", "-ab1", ".9", "-bs", 4, "-cd", 2.5, "-ib", "(0,0,0)"),
        *("-ni", 0),
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "flag --number_of_iterations=0" in done.stderr
    assert not list(tmp_path.iterdir())
