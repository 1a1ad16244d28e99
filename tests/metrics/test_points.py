"""Claims of the scores of point clouds."""

import numpy as np
import pytest

from tfrender import metrics


def clouds(targets=61, count=47):
    rng = np.random.default_rng(3)
    return rng.normal(size=(targets, 3)), rng.normal(size=(count, 3))


def brute_force(target, prediction):
    pairs = np.linalg.norm(prediction[:, None] - target[None], axis=-1)
    return pairs.min(1).mean(), pairs.min(0).mean()


def test_the_tree_equals_all_pairs():
    target, prediction = clouds()
    got = metrics.precision_coverage(target, prediction)
    np.testing.assert_allclose(got, brute_force(target, prediction), rtol=1e-9)


def test_float32_clouds_are_scored_in_float64():
    target, prediction = (cloud.astype(np.float32) for cloud in clouds())
    wide = metrics.precision_coverage(target, prediction)
    np.testing.assert_array_equal(
        wide, metrics.precision_coverage(np.float64(target), np.float64(prediction))
    )


def test_exchanging_the_clouds_exchanges_the_scores():
    target, prediction = clouds()
    assert metrics.precision_coverage(target, prediction) == tuple(
        reversed(metrics.precision_coverage(prediction, target))
    )


def test_a_part_of_the_truth_is_precise_and_does_not_cover():
    target, _ = clouds()
    precision, coverage = metrics.precision_coverage(target, target[:5])
    assert precision == 0.0 < coverage
    assert metrics.precision_coverage(target, target) == (0.0, 0.0)


def test_points_that_fell_into_one_take_no_longer():
    # A tree of these alone would take a minute.
    target = np.random.default_rng(0).normal(size=(20_000, 3))
    collapsed = np.full([20_000, 3], 0.5)
    precision, coverage = metrics.precision_coverage(target, collapsed)
    assert precision == pytest.approx(np.linalg.norm(target - 0.5, axis=-1).min())
    assert coverage == pytest.approx(np.linalg.norm(target - 0.5, axis=-1).mean())


@pytest.mark.parametrize("shape", [(0, 3), (4, 2), (2, 4, 3), (3,)])
def test_a_wrong_or_empty_cloud_is_named(shape):
    target, _ = clouds()
    with pytest.raises(ValueError, match=r"`prediction` must be \[N, 3\]"):
        metrics.precision_coverage(target, np.zeros(shape))
    with pytest.raises(ValueError, match=r"`target` must be \[N, 3\]"):
        metrics.precision_coverage(np.zeros(shape), target)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_cloud_that_is_not_finite_is_named(value):
    target, prediction = clouds()
    prediction[3, 1] = value
    with pytest.raises(ValueError, match="`prediction` must be finite"):
        metrics.precision_coverage(target, prediction)


def test_views_are_summarised_by_mean_and_by_the_best():
    scores = np.array([[[0.01, 0.02], [0.03, 0.05]], [[0.04, 0.01], [0.02, 0.02]]])
    got = metrics.summarize_views(scores)
    np.testing.assert_allclose(got["precision"], [2.0, 3.0])
    np.testing.assert_allclose(got["coverage"], [3.5, 1.5])
    np.testing.assert_allclose(got["cd_mean_views"], [5.5, 4.5])
    np.testing.assert_allclose(got["cd_best_view"], [3.0, 4.0])


def test_one_view_is_its_own_best():
    got = metrics.summarize_views(np.full([1, 2], 0.02))
    assert got["cd_mean_views"] == got["cd_best_view"] == pytest.approx(4.0)


@pytest.mark.parametrize("shape", [(2,), (0, 2), (3, 3)])
def test_a_wrong_table_of_views_is_named(shape):
    with pytest.raises(ValueError, match=r"`scores` must be \[..., V, 2\]"):
        metrics.summarize_views(np.zeros(shape))


def test_a_score_that_is_not_finite_is_refused():
    with pytest.raises(ValueError, match="`scores` must be finite"):
        metrics.summarize_views([[0.1, np.nan]])
