"""No golden case is left unused."""

from tests.golden import cases

# What the tests of this folder look for, see there.
USED = (
    *("cam_quat", "quat_free", "alpha", "pair_rows", "ring_at", "pred2d", "proto_pred"),
    *("pose_student", "out__xyz", "keep_prob_*"),
)


def test_every_case_is_used_by_a_test():
    used = {path for name in USED for path in cases.holding("drwr", name)}
    assert used == cases.everything("drwr")
