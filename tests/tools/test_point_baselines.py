"""tools.point_baselines: answers out of the training data."""

import numpy as np
import pytest

from tests.datasets import drwr_objects
from tests.tools import programs
from tools import point_baselines, point_files

FLAGS = {"truth": None, "train_split": "train", "points": 50, "seed": 0}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Discs of three sizes; the cloud of an object lies at its own place."""
    folder = tmp_path_factory.mktemp("baselines")
    drwr_objects.write_objects(folder, {"chair": 3}, size=32)
    # Objects 6 and 7 have the radii of 0 and 1.
    drwr_objects.write_objects(folder, {"chair": 2}, "test", first=6, size=32)
    for number in range(3):
        path = folder / "truth" / "chair" / f"{number:02d}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, points=np.full([4, 3], 0.1 * number))
    return folder


def answer(data, folder, method):
    programs.run_inside(
        point_baselines,
        data_dir=str(data),
        output_dir=str(folder),
        split="test",
        method=method,
        **FLAGS,
    )
    found = point_files.find_predictions(str(folder))
    assert list(found) == ["chair/06", "chair/07"]
    return [point_files.read_prediction(path).points for path in found.values()]


def test_the_nearest_silhouette_brings_its_object(data, tmp_path):
    first, second = answer(data, tmp_path, "nearest")
    assert first.shape == (3, 50, 3)
    # View 0 of an object is the smallest disc of those; object 0 alone has it.
    np.testing.assert_allclose(first[0], 0.0)
    # Its largest disc is view 2 of object 6, of the radius of view 2 of object 0.
    assert set(np.unique(np.round(second, 3))) <= {0.0, 0.1, 0.2}


def test_the_mean_shape_is_drawn_from_all(data, tmp_path):
    clouds = answer(data, tmp_path, "mean")
    values = np.unique(np.round(np.concatenate(clouds), 3))
    np.testing.assert_allclose(values, [0.0, 0.1, 0.2])


def test_the_medoid_is_in_the_middle(data, tmp_path):
    for cloud in answer(data, tmp_path, "medoid"):
        np.testing.assert_allclose(cloud, 0.1)
