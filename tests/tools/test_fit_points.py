"""tools.fit_points: free points, silhouettes, losses."""

import csv

import numpy as np
import pytest
import tensorflow as tf

from tests.tools import programs
from tfrender import cameras
from tools import fit_points, point_fitting

FLAGS = {
    "objects": None,
    "views": 3,
    "image_size": 128,
    "points": 30,
    "steps": 3,
    "views_per_step": 2,
    "learning_rate": 1e-2,
    "grid": 0,
    "truth_points": 200,
    "seed": 0,
}
CUBE = """
v -1 -1 -1
v 1 -1 -1
v 1 1 -1
v -1 1 -1
v -1 -1 1
v 1 -1 1
v 1 1 1
v -1 1 1
f 1 3 2
f 1 4 3
f 5 6 7
f 5 7 8
f 1 2 6
f 1 6 5
f 4 7 3
f 4 8 7
f 1 5 8
f 1 8 4
f 2 3 7
f 2 7 6
"""
SIDE = 32


@pytest.fixture(scope="module")
def ball():
    """Silhouettes of a ball of radius 0.2 from four sides, and samples of them."""
    azimuth = np.arange(4, dtype=np.float32) * 90.0
    view = cameras.orbit(azimuth, np.float32([0, 30, 0, -30]), 2.0)
    camera = cameras.from_quaternion(cameras.to_quaternion(cameras.Camera(view, None)))
    middle = (np.arange(SIDE) + 0.5) / SIDE - 0.5
    radius = 1.875 * 0.2 / np.sqrt(4.0 - 0.04)
    mask = np.hypot(*np.meshgrid(middle, middle)) < radius
    generator = np.random.default_rng(0)
    places = generator.uniform(-radius, radius, (4, 400, 2))
    places = np.stack([p[np.hypot(*p.T) < radius][:200] for p in places])
    masks = np.tile(mask[np.newaxis, ..., np.newaxis], (4, 1, 1, 1))
    return point_fitting.Silhouettes(
        masks.astype(np.float32),
        cameras.Camera(*(tf.constant(m) for m in camera)),
        places.astype(np.float32),
    )


@pytest.mark.parametrize("loss", ["balanced", "surface", "chamfer", "dpc"])
def test_points_find_a_ball(ball, loss):
    grid = 16 if loss == "dpc" else SIDE
    settings = point_fitting.FitSettings(loss, 60, 40, 2, 3e-2, grid, samples=100)
    inside, cover = point_fitting.shares(
        point_fitting.fit_points(ball, settings).points, ball
    )
    assert inside > 0.8 and cover > 0.5  # 0.4 of the points at the start


@pytest.mark.parametrize(
    ("loss", "change", "expected"),
    [
        ("sdf", {}, "`loss` must be one of"),
        ("balanced", {"mask": np.zeros((4, SIDE, SIDE, 1))}, "an outline"),
        ("chamfer", {"samples": None}, "`samples`: the loss 'chamfer' needs"),
    ],
)
def test_what_cannot_be_fitted_is_refused(ball, loss, change, expected):
    settings = point_fitting.FitSettings(loss)
    with pytest.raises(ValueError, match=expected):
        point_fitting.fit_points(ball._replace(**change), settings)


def test_the_program_compares_losses(tmp_path, capsys):
    (tmp_path / "box").mkdir()
    (tmp_path / "box" / "cube.obj").write_text(CUBE)
    out = tmp_path / "out"
    flags = {**FLAGS, "input": str(tmp_path / "box"), "output_dir": str(out)}
    programs.run_inside(fit_points, losses=["balanced", "chamfer"], **flags)
    with (out / "scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["loss"] for row in rows] == ["balanced", "chamfer"]
    for row in rows:
        total = float(row["precision"]) + float(row["coverage"])
        assert float(row["cd"]) == pytest.approx(total)
    assert (out / "table.md").read_text() in capsys.readouterr().out
    assert {"clouds.png", "cube_balanced.ply", "cube_chamfer.ply"} <= {
        path.name for path in out.iterdir()
    }


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ({"losses": ["sdf"]}, "--losses: expected some of balanced, surface"),
        ({"losses": ["dpc"], "objects": ["bus"]}, "--objects: no mesh bus"),
    ],
)
def test_mistakes_are_told_in_one_line(tmp_path, flags, expected):
    (tmp_path / "cube.obj").write_text(CUBE)
    given = {**FLAGS, "input": str(tmp_path), "output_dir": str(tmp_path / "out")}
    with pytest.raises(ValueError, match=expected):
        programs.run_inside(fit_points, **{**given, **flags})
