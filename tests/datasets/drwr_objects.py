"""Small data of DRWR for tests: objects of discs, records, records of the original."""

import numpy as np
import tensorflow as tf

from datasets import records
from datasets.drwr import examples, renders
from tfrender import cameras


def disc_object(number, class_id="chair", views=3, size=16, points=0, depth=False):
    """Views of a disc; colour and radius tell object and view."""
    generator = np.random.default_rng(number)
    row, column = np.mgrid[:size, :size] + 0.5 - size / 2
    radii = 2.0 + number % 3 + np.arange(views)[:, np.newaxis, np.newaxis]
    masks = row**2 + column**2 < radii**2
    images = np.full([views, size, size, 3], 255, np.uint8)
    images[masks] = (number, 7, 9)
    images[:, 0, 0, 0] = np.arange(views)
    place = generator.normal(size=(views, 3))
    place *= 2.0 / np.linalg.norm(place, axis=-1, keepdims=True)
    camera = cameras.from_blender_position(place.astype(np.float32))
    lens = np.repeat(camera.projection.numpy(), views, 0)[:views]
    item = examples.ObjectViews(
        f"{class_id}/{number:02d}",
        class_id,
        images,
        masks,
        np.zeros(masks.shape, np.uint16),
        camera.world_to_camera.numpy(),
        lens,
        list(range(views)),
        np.where(masks, np.float32(1.75), np.float32(0.0)) if depth else None,
    )
    return examples.with_silhouettes(item, points, "lattice", [0, number])


def write_objects(folder, classes, split="train", first=0, **settings):
    """Records of discs: classes maps a class to its number of objects."""
    number, names = first, []
    with records.RecordWriter(str(folder), split, 2, examples.SCHEMA) as writer:
        for class_id, count in classes.items():
            for _ in range(count):
                item = disc_object(number, class_id, **settings)
                writer.write(examples.encode_example(item))
                names.append(item.name)
                number += 1
        writer.metadata.update(examples.form_of(item)._asdict())
        writer.metadata.update({"objects": names, "classes": sorted(classes)})
    return str(folder)


def write_renders(root, classes, **settings):
    """Folders of renders of discs, <root>/<class>/<object>/."""
    number = 0
    for class_id, count in classes.items():
        for _ in range(count):
            item = disc_object(number, class_id, **settings)
            renders.write_object(root / item.name, item)
            number += 1
    return root


def original_features(item, smooth_key="mask_sdf"):
    """Arrays of a record of the original."""
    distance = np.sqrt(item.squared_distance.astype(np.float64))
    smooth = (220.0 - 255.0 / (64.0 * np.sqrt(2.0)) * distance) / 255.0
    return {
        "image": item.images / 255.0,
        "mask": item.masks,
        smooth_key: np.where(item.masks, 1.0, smooth),
        "name": item.name.split("/")[1],
        "extrinsic": renders.camera_extrinsic(item.world_to_camera),
        "cam_pos": renders.camera_position(item.world_to_camera),
        "depth": np.where(item.masks, 1.75, 10.0),
    }


def write_originals(path, rows, compression="GZIP"):
    """A file of the original; rows of `original_features`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path), compression) as writer:
        for row in rows:
            features = {}
            for key, value in row.items():
                if isinstance(value, str):
                    own = tf.train.BytesList(value=[value.encode()])
                    features[key] = tf.train.Feature(bytes_list=own)
                else:
                    own = tf.train.FloatList(value=np.ravel(value).tolist())
                    features[key] = tf.train.Feature(float_list=own)
            features = tf.train.Features(feature=features)
            writer.write(tf.train.Example(features=features).SerializeToString())
    return path
