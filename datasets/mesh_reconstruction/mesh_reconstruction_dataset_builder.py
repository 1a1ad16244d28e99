"""TFDS builder of the data of single-image mesh reconstruction.

builder = datasets.mesh_reconstruction.Builder(data_dir=...)
builder.download_and_prepare(
    download_config=tfds.download.DownloadConfig(manual_dir=FOLDER))
builder.as_dataset(split="train")
"""

import pathlib

import numpy as np
import tensorflow_datasets as tfds

from datasets import records
from datasets.mesh_reconstruction import examples, published, views

SPLITS = ("train", "validation", "test")
_AZIMUTHS = views.azimuths_deg()


class Builder(tfds.core.GeneratorBasedBuilder):
    """24 views and the voxels of each object, split by object.

    Pictures are RGBA in natural colours on black; view k stands at azimuth 15 k
    degrees of an unmirrored camera, see `datasets.mesh_reconstruction.views`.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First version."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = """
    `manual_dir` holds either the TFRecords of `python -m tools.render_dataset
    --system=mesh_reconstruction` (SPLIT.json beside SPLIT-*.tfrecord), or the
    published files: CLASS_SPLIT_images.npz and CLASS_SPLIT_voxels.npz with SPLIT
    train, val or test.
    """

    def _info(self):
        feature = tfds.features
        picture = feature.Image(shape=examples.IMAGES_SHAPE[1:])
        return self.dataset_info_from_configs(
            features=feature.FeaturesDict(
                {
                    "images": feature.Sequence(picture, length=len(_AZIMUTHS)),
                    "azimuth_deg": feature.Tensor(
                        shape=_AZIMUTHS.shape, dtype=np.float32
                    ),
                    "voxels": feature.Tensor(
                        shape=examples.VOXELS_SHAPE, dtype=np.uint8, encoding="zlib"
                    ),
                    "class": feature.Text(),
                    "object": feature.Text(),
                }
            )
        )

    def _split_generators(self, dl_manager):
        root = pathlib.Path(dl_manager.manual_dir)
        found = [split for split in SPLITS if _holds(root, split)]
        if not found:
            raise FileNotFoundError(
                f"{root}: expected SPLIT.json with its TFRecords, or "
                "CLASS_SPLIT_images.npz with its voxels; found neither."
            )
        _check_split_by_object(root, found)
        return {split: self._generate_examples(root, split) for split in found}

    def _generate_examples(self, root, split):
        for number, item in enumerate(_read(root, split)):
            yield (
                f"{split}{number:08d}",
                {
                    "images": item.images,
                    "azimuth_deg": _AZIMUTHS,
                    "voxels": item.voxels.astype(np.uint8),
                    "class": item.class_id,
                    "object": item.object_id,
                },
            )


def _has_records(root: pathlib.Path, split: str) -> bool:
    return (root / f"{split}.json").exists()


def _holds(root: pathlib.Path, split: str) -> bool:
    return _has_records(root, split) or bool(published.classes_in(str(root), split))


def _read(root: pathlib.Path, split: str):
    """Every `examples.Example` of a split."""
    if _has_records(root, split):
        stream = records.record_stream(
            str(root), split, shuffle=False, cycle=False, schema=examples.SCHEMA
        )
        with records.naming_errors(str(root)):
            for record in stream:
                yield examples.decode_arrays(record.numpy())
        return
    for class_id in published.classes_in(str(root), split):
        yield from published.read(str(root), class_id, split)


def _check_split_by_object(root: pathlib.Path, found: list[str]) -> None:
    """Refuses, before any work, broken files and one object in two splits.

    The npz files do not name their objects.
    """
    owner: dict[str, str] = {}
    for split in found:
        if not _has_records(root, split):
            for class_id in published.classes_in(str(root), split):
                published.count_objects(str(root), class_id, split)
            continue
        sidecar = records.read_split(str(root), split, examples.SCHEMA)
        for name in sidecar.metadata.get("objects", ()):
            if owner.setdefault(name, split) != split:
                raise ValueError(
                    f"{root}: object {name} is in {owner[name]} and in {split}; "
                    "splits must be by object."
                )
