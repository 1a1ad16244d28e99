"""No golden case is left unused."""

from tests.golden import cases

# What the tests of this folder look for, see there.
USED = (
    *("*cube_mask_pad*", "*_d_*", "*_rgb_upstream", "fd_grad_c", "ps*_d", "cond_all"),
    *("w.fc_p.weight", "in_train.pixels", "features*", "resnet*", "m.*"),
    *("*r*s*_threshold", "logit_at_vertices"),
)
# Its protocol is `tests/acceptance/test_dvr_torus.py`.
EXPERIMENTS = ("world_mat",)


def test_every_case_is_used_by_a_test():
    used = {path for name in USED + EXPERIMENTS for path in cases.holding("dvr", name)}
    assert used == cases.everything("dvr")
