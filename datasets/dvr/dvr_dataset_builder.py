"""TFDS builder of DVR's data.

builder = datasets.dvr.Builder(data_dir=...)
builder.download_and_prepare(
    download_config=tfds.download.DownloadConfig(manual_dir=FOLDER))
builder.as_dataset(split="train")
"""

import pathlib

import numpy as np
import tensorflow_datasets as tfds

from datasets import records, shards
from datasets.dvr import examples, pipeline


class Builder(tfds.core.GeneratorBasedBuilder):
    """Posed pictures with masks, one example a view.

    Depths are planar, in object units, 0 where there is none or where the data hold
    none at all. Sparse points and encoder inputs stay in the records.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First version."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = """
    `manual_dir` holds the TFRecords of `python -m tools.make_dvr_records`: SPLIT.json
    beside SPLIT-*.tfrecord.
    """

    def _info(self):
        feature = tfds.features
        matrix = feature.Tensor(shape=(4, 4), dtype=np.float32)
        depth = feature.Tensor(shape=(None, None, 1), dtype=np.float32, encoding="zlib")
        return self.dataset_info_from_configs(
            features=feature.FeaturesDict(
                {
                    "image": feature.Image(shape=(None, None, 3)),
                    "mask": feature.Image(shape=(None, None, 1)),
                    "depth": depth,
                    "hull_depth": depth,
                    "world_to_camera": matrix,
                    "projection": matrix,
                    "view": np.int32,
                    "class": feature.Text(),
                    "object": feature.Text(),
                }
            )
        )

    def _split_generators(self, dl_manager):
        root = pathlib.Path(dl_manager.manual_dir)
        found = shards.disjoint_splits(str(root), pipeline.check_disjoint)
        return {split: self._generate_examples(root, split) for split in found}

    def _generate_examples(self, root, split):
        form = pipeline.form_of(str(root), split)
        stream = records.record_stream(
            str(root), split, shuffle=False, cycle=False, schema=examples.SCHEMA
        )
        with records.naming_errors(str(root)):
            for number, record in enumerate(stream):
                fields = examples.decode_arrays(record.numpy(), form)
                for place, view in enumerate(fields["views"]):
                    yield f"{split}{number:08d}_{view:06d}", _view(fields, place)


def _view(fields, place: int) -> dict:
    """Features of a view."""
    mask = fields["masks"][place]
    nothing = np.zeros(mask.shape, np.float32)
    depths = {
        name: fields[name][place] if name in fields else nothing
        for name in ("depth", "hull_depth")
    }
    return {
        "image": fields["images"][place],
        "mask": mask * 255,
        **depths,
        "world_to_camera": fields["world_to_camera"][place],
        "projection": fields["projection"][place],
        "view": int(fields["views"][place]),
        "class": fields["class"],
        "object": fields["name"],
    }
