"""No golden case of the Neural 3D Mesh Renderer is left unused."""

from tests.golden import cases

# What the tests of this folder look for, see there.
USED = (
    "out_grad_faces_*",
    "look_at_full",
    "textures_f16",
    "rgb_ts*",
    "textures_ts*",
    "vt",
)


def test_every_case_is_used_by_a_test():
    system = "neural_mesh_renderer"
    used = {path for name in USED for path in cases.holding(system, name)}
    assert used == cases.everything(system)
