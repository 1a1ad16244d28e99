"""The rotation of a model with unsupervised poses: estimated once, kept in a file."""

import json
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from datasets import records
from datasets.drwr import truth as truths
from tfrender import cameras
from tfrender.geometry import align_points
from tfrender.io import FormatError
from tools import point_files, progress

WIDE_DEG = 15.0  # mean angle of views that do not agree
MOST_OBJECTS = 50
_KEY = "quaternion"


class TruePoses:
    """True poses of predictions: those that they hold, or of the records."""

    def __init__(self, data_dir: str | None, splits: Sequence[str]):
        """Reads nothing yet.

        Args:
            data_dir: folder of records, or None.
            splits: of it.
        """
        self._data_dir, self._splits = data_dir, splits
        self._records: dict[str, dict[int, np.ndarray]] | None = None

    def of(self, name: str, prediction: point_files.Prediction, path) -> np.ndarray:
        """True poses of an object.

        Args:
            name: CLASS/NAME.
            prediction: of it.
            path: its file, for messages.

        Returns:
            float64 [V, 4] (w, x, y, z).

        Raises:
            FormatError: the prediction holds no poses, or nobody knows the true ones.
        """
        if prediction.pose is None:
            raise FormatError(
                f"{path}: expected `pose`, which models with --predict_pose answer; "
                "got none. Leave out --poses and --align=auto."
            )
        true = prediction.true_pose
        if true is None and self._data_dir:
            if self._records is None:
                self._records = read_true_poses(self._data_dir, self._splits)
            known = self._records.get(name, {})
            if all(view in known for view in prediction.views):
                true = np.stack([known[view] for view in prediction.views])
        if true is None:
            where = f"; {self._data_dir} does not hold it" if self._data_dir else ""
            raise FormatError(
                f"{path}: expected `true_pose`, or records that know the cameras of "
                f"{name}, --data_dir{where}."
            )
        if not all(map(align_points.usable_pose, true)):
            raise FormatError(f"{path}: expected `true_pose` finite and not zero.")
        return true


def read_true_poses(
    data_dir: str, splits: Sequence[str]
) -> dict[str, dict[int, np.ndarray]]:
    """Poses of the cameras of records.

    Args:
        data_dir: folder of the records.
        splits: their names; those that are not there are left out, but for all.

    Returns:
        CLASS/NAME -> number of a view -> float64 [4] (w, x, y, z).

    Raises:
        FileNotFoundError, FormatError: no such records, or broken.
    """
    from datasets.drwr import pipeline

    found: dict[str, dict[int, np.ndarray]] = {}
    there = [split for split in splits if split in records.splits(data_dir)]
    for split in there or splits:
        with records.naming_errors(data_dir):
            names = pipeline.objects_of(data_dir, split)
            batches = pipeline.evaluation_batches(data_dir, split, 1, input_size=8)
            for batch in progress.bar(batches, f"cameras of {split}"):
                camera = cameras.Camera(
                    batch["world_to_camera"][0], batch["projection"][0]
                )
                poses = np.float64(cameras.to_quaternion(camera).numpy())
                views = batch["view"][0].numpy().tolist()
                name = names[int(batch["object_index"][0])]
                found[name] = dict(zip(views, poses, strict=True))
    return found


def estimate(
    files: Mapping[str, tuple[pathlib.Path, pathlib.Path]], poses: TruePoses, seed: int
) -> tuple[np.ndarray, dict]:
    """The rotation of predictions onto the truth, on 50 objects of them at most.

    Args:
        files: name -> files of the prediction and of the truth.
        poses: the true ones.
        seed: of the choice of the objects.

    Returns:
        quaternion [4] (w, x, y, z), and what the file says of it.

    Raises:
        FileNotFoundError, FormatError, LimitError: a broken file, or one without poses.
        ValueError: no pose can be aligned.
    """
    names = sorted(files)
    order = np.random.default_rng(seed).permutation(len(names))
    names = [names[i] for i in sorted(order[:MOST_OBJECTS])]
    clouds, own, true, surfaces = [], [], [], []
    for name in progress.bar(names, "reading for the alignment"):
        prediction = point_files.read_prediction(files[name][0])
        true.append(poses.of(name, prediction, files[name][0]))
        clouds.append(prediction.points)
        own.append(prediction.pose)
        surfaces.append(truths.read(files[name][1]))
    found = align_points.pose_alignment(clouds, own, true, surfaces)
    return found.quaternion, {
        _KEY: found.quaternion.tolist(),
        "order": "w, x, y, z; turns predicted points into the frame of the truth",
        "objects": [names[number] for number in found.objects],
        "views": found.views,
        "rmse": found.rmse,
        "spread_deg": found.spread_deg,
        "dropped_views": found.dropped,
        "tried_objects": len(names),
    }


def read(path: str) -> tuple[np.ndarray, dict]:
    """Reads a rotation that was stored.

    Args:
        path: JSON file of `estimate`.

    Returns:
        as `estimate`.

    Raises:
        FileNotFoundError: no such file.
        FormatError: it holds no rotation.
    """
    file = pathlib.Path(path)
    if not file.is_file():
        raise FileNotFoundError(
            f"--align: expected none, auto or a file of --align=auto; got {path!r}."
        )
    try:
        about = json.loads(file.read_text(encoding="utf-8"))
        quaternion = np.array(about[_KEY], np.float64)
    except (ValueError, KeyError, TypeError) as error:
        raise FormatError(
            f"{path}: expected JSON with `{_KEY}`, as --align=auto writes; {error!r}."
        ) from error
    if quaternion.shape != (4,) or not align_points.usable_pose(quaternion):
        raise FormatError(
            f"{path}: expected `{_KEY}` of four numbers; got {about[_KEY]}."
        )
    return quaternion, about
