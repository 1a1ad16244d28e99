"""One training example as bytes."""

import numpy as np
import pytest
import tensorflow as tf

from datasets.rendernet import examples
from tests.datasets.shapes import noise_example
from tfrender.io import FormatError


@pytest.fixture(scope="module")
def record():
    return examples.encode_example(*noise_example(3), "chair")


def test_an_example_comes_back_as_it_was(record):
    image, voxels, pose = noise_example(3)
    found = examples.parse_example(record, 8, 3)
    np.testing.assert_array_equal(found["image"], image)
    np.testing.assert_array_equal(found["voxels"][..., 0], voxels)
    np.testing.assert_allclose(found["pose"], pose)
    assert found["object"].numpy() == b"chair"
    assert found["voxels"].dtype == found["image"].dtype == tf.uint8
    arrays = examples.decode_arrays(record)
    np.testing.assert_array_equal(arrays[0], image)
    np.testing.assert_array_equal(arrays[1], voxels)
    assert arrays[3] == "chair"


def test_grey_is_the_mean_of_the_colours(record):
    image = noise_example(3)[0]
    found = examples.parse_example(record, 8, 1)["image"]
    assert found.shape == (64, 64, 1)
    np.testing.assert_allclose(found, image.mean(-1, keepdims=True), rtol=1e-6)


def test_a_grey_picture_reads_as_three_equal_channels():
    image, voxels, pose = noise_example(1)
    record = examples.encode_example(image[..., :1], voxels, pose, "x")
    found = examples.parse_example(record, 8, 3)["image"]
    np.testing.assert_array_equal(found, np.repeat(image[..., :1], 3, -1))
    np.testing.assert_array_equal(examples.decode_arrays(record)[0], image[..., :1])


def test_shapes_are_static_in_a_graph(record):
    stream = tf.data.Dataset.from_tensors(record)
    spec = stream.map(lambda r: examples.parse_example(r, 8, 3)).element_spec
    assert spec["image"].shape == (64, 64, 3)
    assert spec["voxels"].shape == (8, 8, 8, 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": np.zeros((64, 60, 3), np.uint8)}, "a.png: expected .* 64x64"),
        ({"image": np.zeros((32, 32, 3), np.uint8)}, "a.png: .*got 32x32"),
        ({"voxels": np.zeros((8, 8, 4), bool)}, "a.png: expected a cubic grid"),
        ({"pose": (0.0, 181.0, 3.3)}, "a.png: polar"),
        ({"pose": (0.0, 90.0, 0.1)}, "a.png: radius"),
        ({"pose": (float("nan"), 90.0, 3.3)}, "a.png: azimuth"),
    ],
)
def test_what_does_not_belong_together_is_refused(change, message):
    image, voxels, pose = noise_example(0)
    fields = {"image": image, "voxels": voxels, "pose": pose, **change}
    with pytest.raises(FormatError, match=message):
        examples.encode_example(**fields, object_id="x", name="a.png")
