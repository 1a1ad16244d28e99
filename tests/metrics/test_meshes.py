import numpy as np
import pytest
import tensorflow as tf

from tfrender.metrics import meshes


def clouds(batch=3, targets=40, count=25):
    rng = np.random.default_rng(0)
    return rng.normal(size=(batch, targets, 3)), rng.normal(size=(batch, count, 3))


def all_pairs(target, prediction):
    pairs = np.linalg.norm(prediction[:, :, None] - target[:, None], axis=-1)
    return pairs.min(2), pairs.min(1)


def test_every_score_equals_its_formula_over_all_pairs():
    target, prediction = clouds()
    forth, back = all_pairs(target, prediction)
    precision, recall = (forth <= 0.6).mean(1), (back <= 0.6).mean(1)
    want = {
        "accuracy": forth.mean(1),
        "completeness": back.mean(1),
        "chamfer_unsquared": forth.mean(1) + back.mean(1),
        "chamfer_squared": (forth**2).mean(1) + (back**2).mean(1),
        "hausdorff": np.maximum(forth.max(1), back.max(1)),
        "precision": precision,
        "recall": recall,
        "f_score": 2 * precision * recall / (precision + recall),
    }
    got = meshes.point_scores(target, prediction, 0.6)
    assert got.keys() == want.keys()
    for name, value in want.items():
        np.testing.assert_allclose(got[name], value, rtol=1e-9, err_msg=name)
    for function in (
        meshes.chamfer_squared,
        meshes.chamfer_unsquared,
        meshes.hausdorff,
    ):
        np.testing.assert_allclose(
            function(target, prediction), want[function.__name__], rtol=1e-9
        )
    np.testing.assert_allclose(
        meshes.f_score(target, prediction, 0.6), want["f_score"], rtol=1e-9
    )


def test_a_shifted_lattice_has_known_scores():
    grid = np.stack(np.meshgrid(*[np.arange(3.0)] * 3), -1).reshape(1, -1, 3)
    got = meshes.point_scores(grid, grid + [0.25, 0, 0], 0.3)
    np.testing.assert_allclose(got["chamfer_unsquared"], 0.5)
    np.testing.assert_allclose(got["chamfer_squared"], 2 * 0.25**2)
    np.testing.assert_allclose(got["hausdorff"], 0.25)
    np.testing.assert_allclose(got["f_score"], 1.0)
    assert meshes.f_score(grid, grid + [0.25, 0, 0], 0.2).numpy() == [0.0]


def test_squares_and_lengths_follow_the_scale():
    target, prediction = clouds()
    for name, power in (("chamfer_squared", 2), ("chamfer_unsquared", 1)):
        one, three = (
            getattr(meshes, name)(k * target, k * prediction) for k in (1.0, 3.0)
        )
        np.testing.assert_allclose(three, 3**power * one, rtol=1e-9)


def test_the_search_tree_and_the_op_agree(monkeypatch):
    target, prediction = clouds()
    normals = [v / np.linalg.norm(v, axis=-1, keepdims=True) for v in clouds()]
    want = meshes.point_scores(target, prediction, 0.5)
    consistency = meshes.normal_consistency(target, normals[0], prediction, normals[1])
    monkeypatch.setattr(meshes, "_TREE_PAIRS", 0)
    monkeypatch.setattr(meshes, "nearest_points", None)  # would fail if it were called
    got = meshes.point_scores(target, prediction, 0.5)
    for name in want:
        np.testing.assert_allclose(got[name], want[name], rtol=1e-9)
    np.testing.assert_allclose(
        meshes.normal_consistency(target, normals[0], prediction, normals[1]),
        consistency,
    )


def test_normals_are_compared_without_their_sign():
    target, prediction = clouds()
    rng = np.random.default_rng(1)
    normals = rng.normal(size=target.shape)
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    flipped = normals * rng.choice([-1, 1], (*target.shape[:2], 1))
    got = meshes.normal_consistency(target, normals, target, flipped)
    np.testing.assert_allclose(got, 1.0)
    other = rng.normal(size=prediction.shape)
    other /= np.linalg.norm(other, axis=-1, keepdims=True)
    pairs = np.linalg.norm(prediction[:, :, None] - target[:, None], axis=-1)
    cosine = np.abs(np.einsum("bnk,bmk->bnm", other, normals))
    forth = np.take_along_axis(cosine, pairs.argmin(2)[..., None], 2)[..., 0]
    back = np.take_along_axis(cosine, pairs.argmin(1)[:, None], 1)[:, 0]
    np.testing.assert_allclose(
        meshes.normal_consistency(target, normals, prediction, other),
        (forth.mean(1) + back.mean(1)) / 2,
    )


def test_voxel_iou_counts_cells():
    first = np.zeros((3, 4, 5, 6))
    first[:2, :2] = 1
    second = np.roll(first, 1, axis=1)
    second[2] = 0
    np.testing.assert_allclose(
        meshes.voxel_iou(first, second), [1 / 3, 1 / 3, 1.0], atol=1e-6
    )
    soft = meshes.voxel_iou(0.3 * first[..., None], second[..., None], threshold=0.2)
    np.testing.assert_allclose(soft, [1 / 3, 1 / 3, 1.0], atol=1e-6)
    np.testing.assert_array_equal(meshes.voxel_iou(first, 0.4 * first), [0, 0, 1])


@pytest.mark.parametrize("jit", [False, True])
def test_graph_forms_equal_eager_for_any_batch(jit):
    spec = [tf.TensorSpec([None, n, 3], tf.float32) for n in (40, 25)]
    graph = tf.function(
        lambda t, p: meshes.point_scores(t, p, 0.5),
        input_signature=spec,
        jit_compile=jit,
    )
    for count in (1, 3):
        inputs = [value[:count].astype(np.float32) for value in clouds()]
        want = meshes.point_scores(*inputs, 0.5)
        for name, value in graph(*inputs).items():
            np.testing.assert_allclose(value, want[name], rtol=1e-5)


def test_faults_are_named():
    target, prediction = clouds()
    for message, call in (
        ("`target` must", lambda: meshes.hausdorff(target[0], prediction)),
        ("`target` must", lambda: meshes.hausdorff(target[:, :0], prediction)),
        ("`threshold` must", lambda: meshes.f_score(target, prediction, 0.0)),
        (
            "`target_normals` must",
            lambda: meshes.normal_consistency(target, prediction, prediction, target),
        ),
        (
            "`target` and `prediction`",
            lambda: meshes.voxel_iou(np.ones((1, 2, 2, 2)), np.ones((1, 2, 2, 3))),
        ),
    ):
        with pytest.raises(ValueError, match=message):
            call()
