"""TFDS builder of DRWR's data.

builder = datasets.drwr.Builder(data_dir=...)
builder.download_and_prepare(
    download_config=tfds.download.DownloadConfig(manual_dir=FOLDER))
builder.as_dataset(split="train")
"""

import pathlib

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from datasets import records, shards
from datasets.drwr import examples, pipeline


class Builder(tfds.core.GeneratorBasedBuilder):
    """Views of an object with silhouettes, one example a view.

    `distance` is in pixels, to the nearest pixel centre of the other kind, 1000 where a
    mask is empty or full. Depths are planar, 0 where there is none or where the data
    hold none at all. Points on the masks stay in the records.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First version."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = """
    `manual_dir` holds the TFRecords of `python -m tools.make_drwr_records`: SPLIT.json
    beside SPLIT-*.tfrecord.
    """

    def _info(self):
        feature = tfds.features
        matrix = feature.Tensor(shape=(4, 4), dtype=np.float32)
        plane = feature.Tensor(shape=(None, None, 1), dtype=np.float32, encoding="zlib")
        return self.dataset_info_from_configs(
            features=feature.FeaturesDict(
                {
                    "image": feature.Image(shape=(None, None, 3)),
                    "mask": feature.Image(shape=(None, None, 1)),
                    "distance": plane,
                    "depth": plane,
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
                item = examples.decode_arrays(record.numpy(), form)
                for place, view in enumerate(item.numbers):
                    yield f"{split}{number:08d}_{view:06d}", _view(item, place)


def _view(item: examples.ObjectViews, place: int) -> dict:
    """Features of a view."""
    mask = item.masks[place][..., np.newaxis]
    depth = np.zeros(mask.shape, np.float32)
    if item.depth is not None:
        depth = item.depth[place][..., np.newaxis]
    squared = tf.constant(item.squared_distance[place][..., np.newaxis])
    return {
        "image": item.images[place],
        "mask": mask.astype(np.uint8) * 255,
        "distance": examples.pixel_distance(squared).numpy(),
        "depth": depth,
        "world_to_camera": item.world_to_camera[place],
        "projection": item.projection[place],
        "view": item.numbers[place],
        "class": item.class_id,
        "object": item.name,
    }
