"""Small data of RenderNet for tests: meshes of boxes, and records of noise."""

import numpy as np

from datasets import records
from datasets.rendernet import examples
from tfrender import io

_CORNERS = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)])
_FACES = np.array(
    [
        *([0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5]),
        *([0, 4, 5], [0, 5, 1], [2, 3, 7], [2, 7, 6]),
        *([0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3]),
    ]
)


def write_hook(path, length=1.0):
    """A mesh without any symmetry: three boxes of different lengths from one corner."""
    sizes = [[2.0 * length, 0.5, 0.6], [0.6, 1.5, 0.4], [0.5, 0.4, 1.0]]
    vertices = np.concatenate([_CORNERS * np.array(size) for size in sizes])
    faces = np.concatenate([_FACES + 8 * k for k in range(len(sizes))])
    path.parent.mkdir(parents=True, exist_ok=True)
    io.save_mesh(path, vertices.astype(np.float32), faces.astype(np.int32))


def noise_example(number, n=8):
    """Picture, voxels and pose of a number; the first pixel tells the number."""
    generator = np.random.default_rng(number)
    image = generator.integers(1, 256, (8 * n, 8 * n, 3), np.uint8)
    image[0, 0] = number, 0, 0
    voxels = generator.random((n, n, n)) > 0.5
    pose = (int(generator.integers(360)), 60.0 + number, 3.3)
    return image, voxels, pose


def write_records(folder, split="train", count=5, n=8, image=None, objects=2):
    """Records of noise, or of one picture; object ids are object0, object1 ..."""
    with records.RecordWriter(
        str(folder), split, 2, examples.SCHEMA, {"resolution": n}
    ) as writer:
        names = set()
        for number in range(count):
            picture, voxels, pose = noise_example(number, n)
            names.add(f"{split}{number % objects}")
            writer.write(
                examples.encode_example(
                    picture if image is None else image,
                    voxels,
                    pose,
                    f"{split}{number % objects}",
                )
            )
        writer.metadata["objects"] = sorted(names)
    return str(folder)
