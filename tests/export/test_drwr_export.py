"""A served point cloud reconstructor."""

import subprocess
import sys

import numpy as np
import pytest

from tfrender.export import drwr as export_drwr
from tfrender.export import lite, saved_model
from tfrender.models import PointCloudReconstructor
from tools import export_lite, stock_client

SIDE = 16


def trained(**settings):
    """A tiny model whose points differ from picture to picture."""
    model = PointCloudReconstructor.from_preset("tiny", decoder_stddev=0.2, **settings)
    generator = np.random.default_rng(0)
    for variable in model.variables:
        if "bias" in variable.path:
            variable.assign(0.3 * generator.normal(size=variable.shape))
    return model


def exported(tmp_path_factory, **settings):
    """Model, folder and signature."""
    model = trained(**settings)
    folder = tmp_path_factory.mktemp("export") / "model"
    folder = export_drwr.write(str(folder), model)
    return model, folder, saved_model.load_signature(folder)


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    """A model of clouds alone."""
    return exported(tmp_path_factory)


@pytest.fixture(scope="module")
def posed(tmp_path_factory):
    """A model with four guesses of the pose and a student."""
    return exported(tmp_path_factory, pose_candidates=4)


def pictures(batch=2):
    """Random pictures [B, S, S, 3]."""
    values = np.random.default_rng(1).uniform(size=(batch, SIDE, SIDE, 3))
    return values.astype(np.float32)


def test_the_server_answers_as_the_model(cloud, posed):
    for (model, _, serve), names in (
        (cloud, {"points"}),
        (posed, {"points", "pose"}),
    ):
        got, wanted = serve(image=pictures()), model(pictures())
        assert set(got) == set(serve.outputs) == names
        for name in names:
            np.testing.assert_allclose(got[name], wanted[name], atol=1e-5)
        assert np.ptp(got["points"], axis=0).max() > 0.01  # pictures matter
        assert np.abs(got["points"]).max() < 0.5


def test_poses_are_unit_quaternions_also_of_a_network_that_says_nothing(
    posed, tmp_path
):
    pose = posed[2](image=pictures(5))["pose"]
    np.testing.assert_allclose(np.linalg.norm(pose, axis=-1), 1.0, atol=1e-6)
    mute = trained(pose_candidates=1)
    for variable in mute.pose_network.variables:
        variable.assign(0.0 * variable)
    folder = export_drwr.write(str(tmp_path / "model"), mute)
    pose = saved_model.load_signature(folder)(image=pictures())["pose"]
    np.testing.assert_array_equal(pose, [[1, 0, 0, 0]] * 2)


def test_nothing_is_answered_for_nothing(posed):
    got = posed[2](image=pictures(0))
    shapes = {name: value.shape for name, value in got.items()}
    assert shapes == {"points": (0, 64, 3), "pose": (0, 4)}


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.full((1, SIDE, SIDE, 3), 255.0), "`image` must be at most 1.0"),
        (np.full((1, SIDE, SIDE, 3), -0.1), "`image` must be at least 0.0"),
        (np.full((1, SIDE, SIDE, 3), np.nan), "`image` holds NaN"),
        (np.zeros((1, SIDE, SIDE, 4)), "`image` must be"),
        (np.zeros((1, 2 * SIDE, SIDE, 3)), "`image` must be"),
        (np.zeros((SIDE, SIDE, 3)), "`image` must be"),
        (np.zeros((65, SIDE, SIDE, 3)), "more than 64 examples"),
    ],
)
def test_bad_requests_are_named(cloud, image, message):
    with pytest.raises(ValueError, match=message):
        cloud[2](image=image)


def test_weights_that_are_not_finite_are_not_exported(tmp_path):
    model = trained()
    model.variables[0].assign(np.nan * model.variables[0])
    with pytest.raises(ValueError, match="not finite; not exported"):
        export_drwr.write(str(tmp_path / "model"), model)
    assert not list(tmp_path.iterdir())


def test_versions_of_a_server_stand_beside_each_other(tmp_path):
    model = trained()
    for number in (1, 2):
        folder = export_drwr.write(str(tmp_path / "cloud"), model, numbered=True)
        assert folder == str(tmp_path / "cloud" / str(number))


def test_a_process_without_the_package_gives_the_same_numbers(posed, tmp_path):
    model, folder, _ = posed
    np.savez(tmp_path / "request.npz", image=pictures(9))  # more than one batch
    client = tmp_path / "client.py"
    client.write_text(open(stock_client.__file__).read())
    done = subprocess.run(
        [sys.executable, str(client), folder, "request.npz", "answer.npz"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "tfrender imported: False" in done.stdout
    wanted = model(pictures(9))
    with np.load(tmp_path / "answer.npz") as answer:
        for name in ("points", "pose"):
            np.testing.assert_allclose(answer[name], wanted[name], atol=1e-5)


def test_a_lite_file_gives_the_same_cloud_and_pose(posed, tmp_path):
    _, folder, serve = posed
    (row,) = export_lite.convert(folder, "serving_default", ["float32"], str(tmp_path))
    assert row["max error"] < 1e-4
    small = lite.LiteModel(str(tmp_path / row["file"]))
    assert set(small.outputs) == {"points", "pose"}
    got, wanted = small(image=pictures(1)), serve(image=pictures(1))
    for name in wanted:
        np.testing.assert_allclose(got[name], wanted[name], atol=1e-4)
