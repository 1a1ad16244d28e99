"""The Chamfer distance of the published DRWR and DPC, and its means over views."""

import numpy as np
import pytest

from tests.golden import cases
from tfrender import metrics

SYSTEM = "drwr"
PAIRS = cases.holding(SYSTEM, "pred", "gt", "chamfer_x100")
PROTOCOL = cases.holding(SYSTEM, "proto_pred", "proto_gt", "proto_table")


@pytest.mark.parametrize("path", PAIRS, ids=cases.name_of)
def test_precision_and_coverage(path):
    arrays = cases.load(path)
    got = metrics.precision_coverage(arrays["gt"], arrays["pred"])
    want = arrays["precision"], arrays["coverage"]
    np.testing.assert_allclose(got, want, rtol=1e-9)
    np.testing.assert_allclose(100 * sum(got), arrays["chamfer_x100"], rtol=1e-9)
    means = arrays["d_pred_to_gt"].mean(), arrays["d_gt_to_pred"].mean()
    np.testing.assert_allclose(got, means, rtol=1e-9)


@pytest.mark.parametrize("path", PROTOCOL, ids=cases.name_of)
def test_the_mean_and_the_best_of_the_views(path):
    arrays = cases.load(path)
    pairs = zip(arrays["proto_gt"], arrays["proto_pred"], strict=True)
    table = [
        [metrics.precision_coverage(truth, cloud) for cloud in views]
        for truth, views in pairs
    ]
    np.testing.assert_allclose(table, arrays["proto_table"], rtol=1e-9)
    found = metrics.summarize_views(table)
    for name, key in (
        ("cd_mean_views", "proto_mean_of_views_x100"),
        ("cd_best_view", "proto_best_of_views_x100"),
    ):
        np.testing.assert_allclose(found[name].mean(), arrays[key], rtol=1e-9)
    both = found["precision"] + found["coverage"]
    np.testing.assert_allclose(both, found["cd_mean_views"], rtol=1e-12)
