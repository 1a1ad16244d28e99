"""No golden case is left unused."""

from tests.golden import cases

# What the tests of this folder look for, see there.
USED = ("bias", "grads", "airplane")


def test_every_case_is_used_by_a_test():
    used = {
        path for name in USED for path in cases.holding("mesh_reconstruction", name)
    }
    assert used == cases.everything("mesh_reconstruction")
