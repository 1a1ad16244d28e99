"""Claims of tools.benchmark rasterize."""

import json
import sys

import numpy as np
import pytest
import tensorflow as tf

from tests.tools import programs
from tools import benchmark_rasterize as suite
from tools import rasterize_peers as peers
from tools import rasterize_scenes as scenes
from tools import rasterize_workloads as workloads

SETTINGS = {"threads": 1, "repeats": 3, "quick": True, "peers": False}


@pytest.fixture(scope="module")
def scene():
    vertices, faces = scenes.icosphere(1)
    clip = scenes.project(0.75 * vertices, 2)
    return scenes.Scene(clip, faces, (24, 24))


def options(**given):
    empty = {"scenes": [], "workloads": [], "forms": [], "threads": (1,)}
    rest = {"repeats": 2, "peers": False, "quick": True, "plot": None}
    return suite.Options(**{**empty, **rest, **given})


def figures(milliseconds):
    """Made-up figures: smallest, median and largest are 1, 2 and 4 times that."""
    seconds = milliseconds / 1e3
    return {
        "smallest": seconds,
        "median": 2 * seconds,
        "largest": 4 * seconds,
        "calls": 3,
        "first": 1.5,
        "extra_mib": 0.5,
    }


@pytest.mark.slow
def test_the_quick_program_times_a_scene_and_its_peers(tmp_path):
    done = programs.launch(
        "tools.benchmark",
        "rasterize",
        "--quick",
        "--peers",
        "--threads=1",
        "--repeats=2",
        "--workload=hard",
        "--forms=graph",  # has nothing to compile
        "--scenes=torus2k_b1_256",
        f"--output={tmp_path}/figures.json",
        f"--plot={tmp_path}/plot.png",
    )
    assert done.returncode == 0, done.stderr[-2000:]
    content = json.loads((tmp_path / "figures.json").read_text())
    assert content["suite"] == "rasterize"
    found = content["results"]["torus2k_b1_256, 1 thread"]["hard"]
    assert set(found) == {"graph", "pytorch3d", "deodr hard"}
    ours = found["graph"]
    assert 0.0 < ours["smallest"] <= ours["median"] <= ours["largest"] < 1.0
    assert ours["calls"] == 2 and ours["first"] > ours["largest"]
    # Index, barycentrics and depth are 20 bytes a pixel.
    assert 20 * 256**2 <= ours["extra_mib"] * 2**20 < 400 * 256**2
    assert "| torus2k_b1_256 | hard | graph |" in done.stdout
    for name in ("pytorch3d", "deodr hard"):  # never silently left out
        assert found[name].get("note", "not installed") == "not installed"
        assert f"| torus2k_b1_256 | hard | {name} |" in done.stdout
    drawn = (tmp_path / "plot.png").exists()
    assert drawn or "matplotlib is not installed" in done.stdout


@pytest.mark.parametrize("argument", ["scenes", "workloads", "forms"])
def test_unknown_names_are_refused(argument):
    with pytest.raises(ValueError, match=f"`{argument}` must be one of .*got 'cube'"):
        suite.run(options(**{argument: ["cube"]}))


def test_a_process_that_dies_is_reported_for_every_workload(monkeypatch, capsys):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    found = suite.run(options(scenes=["torus2k_b1_256"], threads=(1, 2)))
    assert list(found) == ["torus2k_b1_256, 1 thread", "torus2k_b1_256, 2 threads"]
    for results in found.values():
        assert len(results) == 2
        for variants in results.values():
            assert variants == {"all": {"note": "failed, status 1"}}
    assert "failed, status 1" in capsys.readouterr().out


def test_variants_run_in_turn_after_warming_up():
    order = []
    variants = {n: lambda n=n: order.append(n) for n in "ab"} | {"c": "no reason"}
    found = workloads.timed(variants, SETTINGS)
    assert order == list("aabb") + list("ab") * 3
    assert found["c"] == {"note": "no reason"}
    assert found["a"]["calls"] == 3


def test_short_calls_are_repeated_unless_quick_and_slow_ones_stop_early(monkeypatch):
    monkeypatch.setattr(workloads, "_SECONDS", 60.0)
    monkeypatch.setattr(workloads, "_MOST_CALLS", 9)
    found = workloads.timed({"a": lambda: None}, {**SETTINGS, "quick": False})
    assert found["a"]["calls"] == 9
    monkeypatch.setattr(workloads, "_PATIENCE", 0.0)
    found = workloads.timed({"a": lambda: None}, {**SETTINGS, "repeats": 7})
    assert found["a"]["calls"] == 1


def test_an_operation_that_fails_is_told_and_the_others_run():
    def broken():
        tf.debugging.assert_equal(1, 2, message="too large")

    found = workloads.timed({"a": broken, "b": lambda: None}, SETTINGS)
    assert found["a"]["note"].startswith("failed: ")
    assert found["b"]["calls"] == 3


def test_extra_memory_counts_results_and_what_was_needed_on_the_way():
    start = tf.constant(1.0)
    mebibyte = 2**20 // 4

    def call():
        wide = tf.fill([40 * mebibyte], start)
        return wide[: 2 * mebibyte]

    extra = workloads.timed({"a": call}, SETTINGS)["a"]["extra_mib"]
    assert 40.0 <= extra <= 2 * 42.0


@pytest.mark.parametrize("name", list(workloads.WORKLOADS))
def test_every_workload_draws_something_finite_and_takes_its_gradient(scene, name):
    work = workloads.WORKLOADS[name]
    values = work.make(scene, "graph")(scene.clip_vertices)
    for value in values:
        assert np.isfinite(value).all() and np.ptp(value) > 0.0
    # Gradients are of the vertices, which every program under test receives.
    is_gradient = values[-1].shape == scene.clip_vertices.shape
    assert is_gradient == ("f+b" in name or "backward" in name)


def test_dense_forms_with_too_many_pairs_are_left_out_with_a_reason(scene):
    large = scene._replace(image_size=(8192, 8192))
    soft, hard = workloads.WORKLOADS["soft 1e-5"], workloads.WORKLOADS["hard"]
    assert "left out: 1.1e+10" in workloads._variant(soft, large, "graph")
    assert callable(workloads._variant(soft, large, "xla"))
    assert callable(workloads._variant(soft, scene, "graph"))
    assert callable(workloads._variant(hard, large, "graph"))


@pytest.mark.parametrize("cull", [False, True])
def test_deodr_draws_the_same_picture(scene, cull):
    pytest.importorskip("deodr")
    depth = np.array(peers.deodr_depth(scene, cull)())
    _, _, ours = workloads.WORKLOADS["hard"].make(scene, "graph")(scene.clip_vertices)
    np.testing.assert_array_equal(np.isfinite(depth), ours.numpy() > 0.0)
    np.testing.assert_allclose(np.where(np.isfinite(depth), depth, 0.0), ours, 1e-4)


def test_deodrs_silhouette_pulls_vertices_like_ours(scene):
    pytest.importorskip("deodr")
    alpha, slopes = peers.deodr_silhouette(scene)()
    work = workloads.WORKLOADS["silhouette, edges, f+b"]
    ours, slope = work.make(scene, "graph")(scene.clip_vertices)
    assert abs(np.sum(alpha) / np.sum(ours) - 1.0) < 0.2  # it blends outwards only
    # One column is 2 / 24 of NDC, and x in clip space is w times that in NDC.
    by_column = slope[..., 0] * scene.clip_vertices[..., 3] / 12.0
    both = np.ravel(slopes, "K").reshape(-1, 2)[:, 0], np.ravel(by_column)
    assert np.corrcoef(*both)[0, 1] > 0.8


def test_silhouette_edges_part_front_from_back_and_close(scene):
    points, _ = peers.screen_points(scene)
    flags = peers._silhouette_edges(points[0] * [1.0, -1.0], scene.faces)
    ends = np.stack([scene.faces, np.roll(scene.faces, -1, axis=1)], axis=-1)[flags]
    assert len(ends) > 6
    assert len(np.unique(np.sort(ends, axis=1), axis=0)) == len(ends)
    starts, stops = np.sort(ends, axis=0).T
    np.testing.assert_array_equal(starts, stops)  # loops, one way around
    # The silhouette of a convex mesh contains its outermost vertices.
    assert set(points[0].argmax(axis=0)) <= set(ends.ravel())


@pytest.mark.parametrize("name", ["deodr", "pytorch3d"])
def test_missing_peers_say_so(scene, name, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "torch", None)
    if name == "deodr":
        assert peers.deodr_depth(scene, False) == "not installed"
        assert peers.deodr_silhouette(scene) == "not installed"
    else:
        assert peers.pytorch3d(scene, None, True, 1) == "not installed"


def test_tables_compare_minima_of_one_thread_and_medians_of_two():
    slow = {**figures(6.0), "median": 18e-3}
    variants = {"xla": slow, "pytorch3d": {"note": "absent"}, "deodr hard": figures(2)}
    results = {"torus2k_b1_256, 1 thread": {"hard": variants}}
    one, two = (suite.table(results, threads).splitlines() for threads in (1, 2))
    row = "| torus2k_b1_256 | hard | xla | 6 | 18 | 24 | {} | 1.5 | 0.5 | 8 |"
    assert "CPU ms" in one[0] and "wall ms" in two[0]
    assert one[2] == row.format(3) and two[2] == row.format("4.5")
    assert one[3].startswith("| torus2k_b1_256 | hard | pytorch3d | absent |")
    assert len({line.count("|") for line in one}) == 1
    assert "| hard / deodr hard | 3 |" in suite.summary(results, 1)
    assert "| hard / deodr hard | 4.5 |" in suite.summary(results, 2)
    assert "PyTorch3D" not in suite.summary(results, 1)


def test_the_gain_of_a_second_thread_is_time_over_time():
    results = {
        "torus2k_b1_256, 1 thread": {"hard": {"xla": figures(6.0)}},
        "torus2k_b1_256, 2 threads": {"hard": {"xla": figures(4.0)}},
    }
    text = suite.gains(results, ["torus2k_b1_256"])
    assert text.splitlines()[-1] == "| hard, xla | 1.5 |"


def test_the_plot_is_a_picture_or_a_reason(tmp_path, monkeypatch):
    results = {
        f"{scene}, 1 thread": {"hard": {"xla": figures(k), "deodr hard": figures(2)}}
        for k, scene in enumerate(("torus2k_b1_256", "ico1k_b8_128"), 1)
    }
    path = tmp_path / "plot.png"
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert "matplotlib is not installed" in suite.plot(str(path), results, 1)
    assert not path.exists()
    monkeypatch.undo()
    pytest.importorskip("matplotlib")
    assert suite.plot(str(path), results, 1) == f"{path} written."
    assert path.read_bytes()[:4] == b"\x89PNG"
