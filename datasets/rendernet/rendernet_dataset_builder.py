"""TFDS builder of RenderNet's data.

builder = datasets.rendernet.Builder(data_dir=...)
builder.download_and_prepare(
    download_config=tfds.download.DownloadConfig(manual_dir=FOLDER))
builder.as_dataset(split="train")
"""

import pathlib

import numpy as np
import tensorflow_datasets as tfds

from datasets import records
from datasets.rendernet import examples, legacy

SPLITS = ("train", "validation", "test")


class Builder(tfds.core.GeneratorBasedBuilder):
    """Pictures of voxel models from known poses, split by object."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First version."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = """
    `manual_dir` holds either the TFRecords of `python -m tools.render_dataset`
    (SPLIT.json beside SPLIT-*.tfrecord), or the layout of the original: a tar of
    pictures for each split, `train.tar`, `validation.tar`, `test.tar` (at least
    one), and a folder `binvox` of models.
    """

    def _info(self):
        feature = tfds.features
        return self.dataset_info_from_configs(
            features=feature.FeaturesDict(
                {
                    "image": feature.Image(shape=(None, None, 3)),
                    "voxels": feature.Tensor(
                        shape=(None, None, None, 1), dtype=np.uint8, encoding="zlib"
                    ),
                    "pose": feature.Tensor(shape=(3,), dtype=np.float32),
                    "object": feature.Text(),
                }
            )
        )

    def _split_generators(self, dl_manager):
        root = pathlib.Path(dl_manager.manual_dir)
        found = [split for split in SPLITS if _sidecar_or_tar(root, split)]
        if not found:
            raise FileNotFoundError(
                f"{root}: expected SPLIT.json with its TFRecords, or SPLIT.tar with a "
                f"folder binvox, for a SPLIT of {', '.join(SPLITS)}; found neither."
            )
        _check_split_by_object(root, found)
        owner: dict[str, str] = {}
        return {split: self._generate_examples(root, split, owner) for split in found}

    def _generate_examples(self, root, split, owner):
        for key, image, voxels, pose, object_id in _read(root, split):
            _claim(root, owner, object_id, split)
            yield (
                key,
                {
                    "image": np.broadcast_to(image, (*image.shape[:2], 3)),
                    "voxels": voxels[..., np.newaxis].astype(np.uint8),
                    "pose": np.asarray(pose, np.float32),
                    "object": object_id,
                },
            )


def _sidecar_or_tar(root: pathlib.Path, split: str) -> bool:
    return any((root / f"{split}.{kind}").exists() for kind in ("json", "tar"))


def _read(root: pathlib.Path, split: str):
    """(key, image, voxels, pose, object) of every example of a split."""
    if (root / f"{split}.json").exists():
        stream = records.record_stream(
            str(root), split, shuffle=False, cycle=False, schema=examples.SCHEMA
        )
        with records.naming_errors(str(root)):
            for i, record in enumerate(stream):
                yield f"{split}{i:08d}", *examples.decode_arrays(record.numpy())
        return
    for item in legacy.read_legacy(str(root / f"{split}.tar"), str(root / "binvox")):
        yield item.name, item.image, item.voxels, item.pose, item.object_id


def _check_split_by_object(root: pathlib.Path, found: list[str]) -> None:
    """Refuses, before any work, records in which one object is in two splits."""
    owner: dict[str, str] = {}
    for split in found:
        if not (root / f"{split}.json").exists():
            continue
        sidecar = records.read_split(str(root), split, examples.SCHEMA)
        for name in sidecar.metadata.get("objects", ()):
            _claim(root, owner, name, split)


def _claim(root: pathlib.Path, owner: dict[str, str], name: str, split: str) -> None:
    """Notes the split of an object; refuses a second one."""
    if owner.setdefault(name, split) != split:
        raise ValueError(
            f"{root}: object {name} is in {owner[name]} and in {split}; "
            "splits must be by object."
        )
