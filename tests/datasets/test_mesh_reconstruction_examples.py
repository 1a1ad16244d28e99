"""One object as bytes."""

import numpy as np
import pytest
import tensorflow as tf

from datasets.mesh_reconstruction import examples
from tests.datasets.objects import noise_object
from tfrender.io import FormatError


@pytest.fixture(scope="module")
def record():
    return examples.encode_example(*noise_object(3), "03001627", "thonet")


def test_an_object_comes_back_as_it_was(record):
    images, voxels = noise_object(3)
    found = examples.decode_arrays(record)
    np.testing.assert_array_equal(found.images, images)
    np.testing.assert_array_equal(found.voxels, voxels)
    assert found.images.dtype == np.uint8 and found.voxels.dtype == bool
    assert (found.class_id, found.object_id) == ("03001627", "thonet")


def test_shapes_are_static_in_a_graph(record):
    stream = tf.data.Dataset.from_tensors(record).map(examples.parse_example)
    assert stream.element_spec["images"].shape == (24, 64, 64, 4)
    assert stream.element_spec["voxels"].shape == (32, 32, 32)
    packed = examples.parse_packed(tf.constant([record, record]))
    assert packed["images"].shape == (2, 24)
    view = examples.decode_view(packed["images"][1, 7])
    np.testing.assert_array_equal(view, noise_object(3)[0][7] / np.float32(255))


def test_pictures_without_an_object_or_not_on_black_are_refused():
    images, _ = noise_object(3)
    examples.check_pictures(images, "x.npz", "object 3")
    empty = images.copy()
    empty[[7, 9], ..., 3] = 0
    message = "x.npz: expected an object in each picture; view 7 of object 3 has an em"
    with pytest.raises(FormatError, match=message):
        examples.check_pictures(empty, "x.npz", "object 3")
    white = images.copy()
    white[5][white[5][..., 3] == 0] = 255, 255, 255, 0
    with pytest.raises(FormatError, match="on black; view 5 of object 3 has 38.. col"):
        examples.check_pictures(white, "x.npz", "object 3")
    # Rounding, a few stray pixels and edges that are not multiplied by alpha pass, as
    # the published example pictures need.
    near = images.copy()
    near[..., :3] = np.maximum(near[..., :3], 8)
    near[:, 40, :20] = 255, 255, 255, 0
    near[:, 8, 8:24] = 200, 200, 200, 4
    examples.check_pictures(near, "x.npz", "object 3")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": np.zeros((23, 64, 64, 4), np.uint8)}, "thonet: .*images uint8"),
        ({"images": np.zeros((24, 64, 64, 3), np.uint8)}, r"got uint8 \[24, 64, 64, 3"),
        ({"images": np.zeros((24, 64, 64, 4), np.float32)}, "got float32"),
        ({"voxels": np.zeros((32, 32, 31), bool)}, "thonet: .*voxels bool"),
        ({"voxels": np.zeros((32, 32, 32), np.uint8)}, "got uint8"),
        ({"class_id": ""}, "expected a class and a name"),
    ],
)
def test_another_shape_or_type_is_refused(change, message):
    images, voxels = noise_object(0)
    fields = {"images": images, "voxels": voxels, "class_id": "x", **change}
    with pytest.raises(FormatError, match=message):
        examples.encode_example(**fields, object_id="thonet")
