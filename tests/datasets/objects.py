"""Small data of mesh reconstruction for tests: records of noise."""

import numpy as np

from datasets import records
from datasets.mesh_reconstruction import examples, views


def noise_object(number):
    """Pictures and voxels of a number; the first pixel tells number and view."""
    generator = np.random.default_rng(number)
    images = np.zeros(examples.IMAGES_SHAPE, np.uint8)
    images[:, 8:24, 8:24] = generator.integers(0, 256, (views.VIEWS, 16, 16, 4))
    images[:, 0, 0, 0] = number
    images[:, 0, 0, 1] = np.arange(views.VIEWS)
    voxels = generator.random(examples.VOXELS_SHAPE) > 0.5
    return images, voxels


def write_objects(folder, classes, split="train", shard_records=2, first=0):
    """Records of noise: classes maps a class to its number of objects."""
    with records.RecordWriter(
        str(folder), split, shard_records, examples.SCHEMA
    ) as writer:
        number, names = first, []
        for class_id, count in classes.items():
            for _ in range(count):
                names.append(f"{class_id}__{number:02d}")
                record = examples.encode_example(
                    *noise_object(number), class_id, names[-1]
                )
                writer.write(record)
                number += 1
        writer.metadata["objects"] = names
        writer.metadata["classes"] = sorted(classes)
    return str(folder)
