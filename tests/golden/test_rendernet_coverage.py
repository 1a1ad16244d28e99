"""No golden case is left unused."""

from tests.golden import cases

# What the tests of this folder look for, see there.
USED = (
    "camera",
    "depth_sum",
    "d_voxels",
    "normal_black",
    "*/file_bytes",
    "*/in",
    "w:encoder/e_conv11/*",
    "texture_grid",
    "w:g_conv5_*",
    "names",
    "loss",
    "pose_grid",
)


def test_every_case_is_used_by_a_test():
    used = {path for name in USED for path in cases.holding("rendernet", name)}
    assert used == cases.everything("rendernet")
