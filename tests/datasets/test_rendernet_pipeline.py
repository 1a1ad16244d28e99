"""Batches of RenderNet's trainer."""

import math

import numpy as np
import pytest
import tensorflow as tf

from datasets import records
from datasets.rendernet import pipeline
from datasets.rendernet.pipeline import Phase
from tests.datasets.shapes import noise_example, write_records
from tfrender.io import FormatError
from tfrender.layers import VolumeResampler

COUNT = 5
PHASES = [Phase(4, 6), Phase(8, 12), Phase(16, None)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_records(tmp_path_factory.mktemp("records"), count=COUNT)


def batches(folder, count, phases=PHASES, batch_size=2, channels=3, **settings):
    stream = pipeline.training_batches(
        folder, 8, channels, phases, batch_size, **settings
    )
    return list(stream.take(count).as_numpy_iterator())


def number_of(voxels):
    """The example that a grid belongs to."""
    for number in range(COUNT):
        if (noise_example(number)[1] == voxels[..., 0]).all():
            return number
    raise AssertionError("unknown voxels")


def assert_equal(first, second):
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])


@pytest.fixture(scope="module")
def stream(folder):
    return batches(folder, 10, seed=3)


@pytest.mark.parametrize("start", [2, 6, 10, 18])
def test_a_stream_started_later_is_the_tail(folder, stream, start):
    later = batches(folder, 10 - start // 2, seed=3, start=start)
    for first, second in zip(stream[start // 2 :], later, strict=True):
        assert_equal(first, second)


def test_elements_do_not_depend_on_the_batch(folder, stream):
    single = batches(folder, 12, seed=3, batch_size=1)
    for k, element in enumerate(single):
        for name in element:
            np.testing.assert_array_equal(
                element[name][0], stream[k // 2][name][k % 2], err_msg=f"{name} {k}"
            )


def test_another_seed_gives_other_crops(folder, stream):
    other = batches(folder, 10, seed=4)
    for name in ("pose", "origin"):
        pairs = zip(stream, other, strict=True)
        assert any((a[name] != b[name]).any() for a, b in pairs)


def test_every_epoch_holds_every_example_once(folder):
    found = batches(folder, 2 * COUNT, [Phase(16, None)], batch_size=1)
    seen = [number_of(batch["voxels"][0]) for batch in found]
    assert sorted(seen[:COUNT]) == sorted(seen[COUNT:]) == list(range(COUNT))


def test_training_batches_hold_numbers_alone_and_evaluation_names_the_objects(folder):
    (batch,) = batches(folder, 1)
    assert set(batch) == {"image", "voxels", "pose", "origin"}
    assert all(value.dtype.kind in "uif" for value in batch.values())
    found = pipeline.evaluation_batches(folder, "train", 8, 3, COUNT)
    assert set(next(iter(found))["object"].numpy()) == {b"train0", b"train1"}


def test_crops_grow_at_the_boundaries(stream):
    shapes = [batch["image"].shape[1:3] for batch in stream]
    assert shapes == [(16, 16)] * 3 + [(32, 32)] * 3 + [(64, 64)] * 4


def test_a_crop_is_the_window_of_the_whole_picture(stream):
    for batch in stream:
        for i in range(2):
            whole = noise_example(number_of(batch["voxels"][i]))[0]
            row, col = 4 * batch["origin"][i]
            side = batch["image"].shape[1]
            window = whole[row : row + side, col : col + side] / np.float32(255)
            np.testing.assert_allclose(batch["image"][i], window, atol=1e-6)


def test_voxels_resampled_in_the_window_are_the_window_of_the_grid(stream):
    resampler = VolumeResampler(16)
    batch = stream[3]
    voxels, pose = tf.cast(batch["voxels"], tf.float32), tf.constant(batch["pose"])
    whole = resampler(voxels, pose)
    part = resampler(voxels, pose, tf.constant(batch["origin"]), window=(8, 8))
    assert part.shape == (2, 8, 8, 16, 1)
    for i, (row, col) in enumerate(batch["origin"]):
        expected = whole[i, row : row + 8, col : col + 8]
        np.testing.assert_allclose(part[i], expected, atol=1e-6)


def test_phases_end_at_whole_batches():
    phases = pipeline.curriculum([8, 16, 32], [1.5, 2], examples=5, batch_size=4)
    assert phases == [Phase(8, 8), Phase(16, 20), Phase(32, None)]
    assert pipeline.curriculum([32], [], 5, 4) == [Phase(32, None)]


@pytest.mark.parametrize(
    ("windows", "epochs"),
    [([32, 64], []), ([32], [5]), ([31], []), ([0], []), ([-2], []), ([8, 16], [-1.0])]
    + [([8, 16], [math.nan])],
)
def test_a_curriculum_that_does_not_fit_is_refused(windows, epochs):
    with pytest.raises(ValueError, match="crop sizes?|phase lengths"):
        pipeline.curriculum(windows, epochs, 10, 2)


@pytest.mark.parametrize(("paper", "ink"), [(0, 200), (255, 0)])
def test_focused_crops_show_the_object_on_black_and_on_white(tmp_path, paper, ink):
    image = np.full((64, 64, 3), paper, np.uint8)
    image[40:44, 20:24] = ink  # one camera cell of 16 x 16
    folder = write_records(tmp_path, count=2, image=image)

    def hits(focus):
        found = batches(folder, 24, [Phase(4, None)], focus=focus)
        inside = [(b["image"] != paper / 255).any((1, 2, 3)) for b in found]
        return np.concatenate(inside).mean()

    assert hits(1.0) == 1.0
    assert hits(0.0) < 0.4  # 16 of 169 windows
    assert 0.25 < hits(0.5) < 0.85


def test_uniform_crops_reach_every_window(folder):
    found = batches(folder, 100, [Phase(14, None)], focus=0.0)
    origins = np.concatenate([batch["origin"] for batch in found])
    assert {tuple(o) for o in origins} == {(r, c) for r in range(3) for c in range(3)}


def test_focused_crops_stay_inside_the_picture(folder):
    origins = [batch["origin"] for batch in batches(folder, 40, [Phase(6, None)])]
    assert np.min(origins) >= 0 and np.max(origins) <= 10


def test_grey_batches_are_the_mean_of_the_colours(folder, stream):
    found = batches(folder, 10, channels=1, seed=3)
    for grey, color in zip(found, stream, strict=True):
        assert grey["image"].shape[-1] == 1
        expected = color["image"].mean(-1, keepdims=True)
        np.testing.assert_allclose(grey["image"], expected, atol=1e-6)
        np.testing.assert_array_equal(grey["origin"], color["origin"])


def test_evaluation_reads_every_picture_once_and_whole(folder):
    found = list(pipeline.evaluation_batches(folder, "train", 8, 3, 2))
    assert [len(batch["image"]) for batch in found] == [2, 2, 1]
    numbers = [number_of(v.numpy()) for batch in found for v in batch["voxels"]]
    assert sorted(numbers) == list(range(COUNT))
    whole = noise_example(numbers[4])[0] / np.float32(255)
    np.testing.assert_allclose(found[2]["image"][0], whole, atol=1e-6)
    again = pipeline.evaluation_batches(folder, "train", 8, 3, 3)
    order = [number_of(v.numpy()) for batch in again for v in batch["voxels"]]
    assert order == numbers


def test_data_for_another_grid_are_refused(folder):
    assert pipeline.metadata(folder, "train", 8).records == COUNT
    with pytest.raises(FormatError, match=r"expected 16\^3 .* hold 8\^3"):
        pipeline.metadata(folder, "train", 16)
    with pytest.raises(FileNotFoundError, match="no such split"):
        pipeline.metadata(folder, "test", 8)


def test_a_damaged_shard_is_named(tmp_path):
    folder = write_records(tmp_path, count=2)
    shard = next(tmp_path.glob("*.tfrecord"))
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    with pytest.raises(FormatError, match=shard.name), records.naming_errors(folder):
        batches(folder, 2)
