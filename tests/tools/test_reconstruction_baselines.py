"""Claims of tools.reconstruction_baselines."""

import numpy as np
import pytest

from tests.tools import reconstruction_records as made
from tools import reconstruction_baselines as baselines


def random_shapes(generator, classes, masks=3):
    """Random bits; rows of one class are alike."""
    means = generator.random([max(classes) + 1, 4096 * 8]) ** 2
    bits = generator.random([len(classes), 4096 * 8]) < means[classes]
    masks = generator.integers(0, 256, [len(classes), masks, 8], np.uint8)
    names = [f"object{i}" for i in range(len(classes))]
    ids = [f"class{i}" for i in range(max(classes) + 1)]
    index = np.array(classes, np.int32)
    return baselines.Shapes(np.packbits(bits, axis=1), masks, index, names, ids)


def iou(first, second):
    """Definition, of packed rows."""
    first, second = np.unpackbits(first), np.unpackbits(second)
    either = (first | second).sum()
    return (first & second).sum() / either if either else 1.0


@pytest.fixture
def generator():
    return np.random.default_rng(0)


@pytest.fixture(params=[1 << 24, 1 << 16], ids=["one block", "many blocks"])
def blocks(request, monkeypatch):
    monkeypatch.setattr(baselines, "_BLOCK_BITS", request.param)


def test_all_pairs_and_single_pairs_follow_the_definition(generator):
    first, second = (generator.integers(0, 256, [n, 5], np.uint8) for n in (4, 3))
    first[0] = second[0] = 0  # both empty
    want = [[iou(a, b) for b in second] for a in first]
    np.testing.assert_allclose(baselines.all_ious(first, second), want, rtol=1e-6)
    found = baselines.paired_ious(first[:, None], second)
    np.testing.assert_allclose(found, want, rtol=1e-12)


@pytest.mark.usefixtures("blocks")
def test_the_best_objects_follow_the_definition(generator):
    shapes = random_shapes(generator, [0, 1, 0, 1, 1, 0, 0])
    pairs = np.array([[iou(a, b) for b in shapes.voxels] for a in shapes.voxels])
    index = shapes.class_index
    means = np.stack([pairs[:, index == c].mean(1) for c in (0, 1)], 1)
    np.testing.assert_allclose(
        baselines.mean_ious(shapes.voxels, shapes), means, rtol=1e-6
    )
    of_class, overall = baselines.best_constants(shapes)
    for c in (0, 1):
        own = np.flatnonzero(index == c)
        assert of_class[c] == own[means[own, c].argmax()]
    assert overall == means.mean(1).argmax()


@pytest.mark.usefixtures("blocks")
def test_no_other_threshold_serves_a_class_better(generator):
    shapes = random_shapes(generator, [0, 0, 1, 0, 0])
    grids, thresholds = baselines.mean_shapes(shapes)
    own = shapes.voxels[shapes.class_index == 0]
    share = np.unpackbits(own, axis=1).mean(0)
    scores = {}
    for threshold in np.arange(0.05, 1, 0.05):
        cut = np.packbits(share >= threshold)
        scores[round(threshold, 2)] = np.mean([iou(cut, row) for row in own])
    best = max(scores.values())
    assert scores[round(thresholds[0], 2)] == pytest.approx(best)
    np.testing.assert_array_equal(grids[0], np.packbits(share >= thresholds[0]))
    # A class of one object is that object.
    np.testing.assert_array_equal(grids[1], shapes.voxels[2])


@pytest.mark.usefixtures("blocks")
def test_the_most_alike_grid_is_found(generator):
    shapes = random_shapes(generator, [0] * 7)
    rows = generator.integers(0, 256, [4, 4096], np.uint8)
    rows[2] = shapes.voxels[6]
    pairs = np.array([[iou(row, grid) for grid in shapes.voxels] for row in rows])
    likeness, index = baselines.nearest_objects(rows, shapes.voxels)
    np.testing.assert_array_equal(index, pairs.argmax(1))
    np.testing.assert_allclose(likeness, pairs.max(1), rtol=1e-12)
    assert index[2] == 6 and likeness[2] == 1.0


@pytest.mark.usefixtures("blocks")
def test_retrieval_finds_the_nearest_view(generator):
    shapes = random_shapes(generator, [0] * 6, masks=4)
    queries = generator.integers(0, 256, [5, 8], np.uint8)
    queries[3] = shapes.masks[4, 2]
    want = [
        np.argmax([max(iou(query, mask) for mask in views) for views in shapes.masks])
        for query in queries
    ]
    found = baselines.retrieve(queries, shapes.masks)
    np.testing.assert_array_equal(found, want)
    assert found[3] == 4


def test_answers_come_from_training_objects_of_the_right_class(generator):
    train = random_shapes(generator, [0, 1, 1, 2, 2, 2])
    test = train._replace(  # other classes, in another order
        voxels=train.voxels[[4, 1]],
        masks=train.masks[[3, 2]],
        class_index=np.array([0, 1]),
        objects=["a", "b"],
        classes=["class2", "class1"],
    )
    ious, chosen = baselines.baseline_ious(test, train, [2, 0])
    assert {values.shape for values in ious.values()} == {(2, 2)}
    nearest = [[iou(test.voxels[i], train.voxels[k])] * 2 for i, k in ((0, 3), (1, 2))]
    np.testing.assert_allclose(ious["nearest silhouette"], nearest)
    best = train.objects.index(chosen["best_objects"]["class2"])
    assert train.class_index[best] == 2
    np.testing.assert_allclose(
        ious["best object of the class"][0], iou(test.voxels[0], train.voxels[best])
    )
    assert chosen["training_objects"] == 6 and len(chosen["mean_shape_thresholds"]) == 3


def test_records_become_bits_and_variants_can_stay_out(tmp_path):
    shapes = [("b~1", "box", 0.2, 1.0, 9), ("a", "box", 0.3, 0.5, 20)]
    shapes += [("b", "box", 0.2, 1.0, 12)]
    folder = made.write_split(tmp_path, "train", shapes)
    read = baselines.read_shapes(folder, "train")
    assert read.objects == ["a", "b", "b~1"] and read.classes == ["box"]
    np.testing.assert_array_equal(
        np.unpackbits(read.voxels[0]).reshape(32, 32, 32), made.grid(0.3, 0.5)
    )
    want = made.disks(12)[..., 3] > 127
    np.testing.assert_array_equal(
        np.unpackbits(read.masks[1], axis=-1).reshape(24, 64, 64), want
    )
    alone = baselines.read_shapes(folder, "train", augmented=False)
    assert alone.objects == ["a", "b"] and len(alone.masks) == len(alone.voxels) == 2
    folder = made.write_split(tmp_path / "other", "train", shapes[:1])
    with pytest.raises(ValueError, match="variants alone"):
        baselines.read_shapes(folder, "train", augmented=False)
