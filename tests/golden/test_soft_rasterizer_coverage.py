"""No golden case of the Soft Rasterizer is left unused."""

from tests.golden import cases

# What the tests of this folder and the fitting experiment look for, see there.
USED = (
    "grad_face_vertices",
    "P",
    "atlas_image",
    "light_params",
    "heldout_images",
)


def test_every_case_is_used_by_a_test():
    used = {path for name in USED for path in cases.holding("soft_rasterizer", name)}
    assert used == cases.everything("soft_rasterizer")
