"""Views and voxels drawn from meshes."""

import numpy as np
import pytest

from datasets import mesh_pictures
from datasets.mesh_reconstruction import generation, views
from tfrender import io

SETTINGS = generation.ViewSettings(supersample=2)


@pytest.fixture(scope="module")
def drawn(hook):
    return generation.draw_object(hook, "hook", SETTINGS)


def overlaps(images, voxels):
    """IoU of the pictures with the silhouettes of the voxels, every third view."""
    found = []
    for k in range(0, views.VIEWS, 3):
        mask = images[k, ..., 3] > 127
        outline = views.voxel_silhouette(voxels, views.azimuths_deg()[k])
        found.append((mask & outline).sum() / (mask | outline).sum())
    return np.array(found)


def test_silhouettes_of_the_voxels_lie_over_the_pictures(drawn):
    assert drawn.images.shape == (24, 64, 64, 4) and drawn.images.dtype == np.uint8
    assert drawn.voxels.shape == (32, 32, 32) and drawn.voxels.dtype == bool
    assert overlaps(*drawn).min() > 0.78
    assert overlaps(drawn.images[:, :, ::-1], drawn.voxels).mean() < 0.6
    assert overlaps(np.roll(drawn.images, 2, 0), drawn.voxels).mean() < 0.7
    for axis in range(3):
        assert overlaps(drawn.images, np.flip(drawn.voxels, axis)).mean() < 0.72


def test_colours_are_on_black_and_never_brighter_than_alpha(drawn):
    color, alpha = drawn.images[..., :3], drawn.images[..., 3:]
    assert (color <= alpha).all() and not color[alpha[..., 0] == 0].any()
    inside = color[alpha[..., 0] == 255]
    assert inside.min() >= 0.8 * 0.5 * 255 - 1  # light grey in the dark half
    assert 0.8 * 255 + 1 >= inside.max() > inside.min() + 30
    edge = (alpha > 0) & (alpha < 255)
    assert edge.any()


def test_the_longest_side_fills_the_cube(hook):
    mesh = io.load_mesh(hook)
    for fill in (1.0, 0.5):
        corners = generation.place(mesh, fill=fill).corners
        np.testing.assert_allclose(np.abs(corners).max((0, 1))[0], fill / 2, rtol=1e-6)
        low, high = corners.min((0, 1)), corners.max((0, 1))
        np.testing.assert_allclose(low, -high, atol=1e-6)
    stray = mesh._replace(vertices=np.concatenate([mesh.vertices, [[99, 99, 99]]]))
    np.testing.assert_array_equal(generation.place(stray, fill=0.5).corners, corners)


def test_variants_are_stretched_and_a_function_of_seed_name_and_number(hook, drawn):
    scales = [
        generation.variant_transform(name, number, seed)
        for name, number, seed in (("a", 1, 0), ("a", 2, 0), ("b", 1, 0), ("a", 1, 1))
    ]
    for i, scale in enumerate(scales):
        assert ((np.abs(scale) >= 0.75) & (np.abs(scale) <= 1.3)).all()
        assert all((scale != other).any() for other in scales[:i])
    many = np.array([generation.variant_transform("a", k, 0) for k in range(1, 200)])
    assert 0.35 < (many[:, 0] < 0).mean() < 0.65 and (many[:, 1:] > 0).all()
    assert np.abs(many).min() < 0.78 and np.abs(many).max() > 1.27
    assert (generation.variant_transform("a", 0, 0) == 1).all()
    assert generation.variant_name("a", 2) == "a~2"

    variant = generation.draw_object(hook, "hook", SETTINGS, 1)
    again = generation.draw_object(hook, "hook", SETTINGS, 1)
    np.testing.assert_array_equal(variant.images, again.images)
    assert (variant.images != drawn.images).any()
    assert overlaps(*variant).min() > 0.75


def test_a_mirrored_mesh_shows_the_mirrored_pictures(hook):
    mesh = io.load_mesh(hook)
    soup = generation.place(mesh)
    mirrored = generation.place(mesh, (-1.0, 1.0, 1.0))
    alpha = generation.draw_views(soup, 1)[..., 3].astype(int)
    other = generation.draw_views(mirrored, 1)[..., 3].astype(int)
    # View k seen in the mirror is view -k.
    differ = alpha[:, :, ::-1] != other[-np.arange(24)]
    assert differ.mean() < 2e-3
    # Normals still point outwards: away from the corner that the boxes share.
    centre = mirrored.corners.mean(1)
    flat = np.cross(*np.moveaxis(np.diff(mirrored.corners, axis=1), 1, 0))
    before = np.cross(*np.moveaxis(np.diff(soup.corners, axis=1), 1, 0))
    np.testing.assert_allclose(flat * [-1, 1, 1], before, atol=1e-6)
    assert centre.shape == flat.shape


def test_textures_and_materials_give_the_colour():
    vertices = np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]], np.float32)
    faces = np.array([[0, 2, 1], [0, 3, 2]], np.int32)
    uv = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)[faces]
    texture = np.zeros((512, 512, 3), np.uint8)
    texture[:256, :, 0] = texture[256:, :, 1] = 255  # red above, green below
    plain = io.Material("blue", (0.0, 0.0, 1.0))
    printed = io.Material("print", texture=texture)
    mesh = io.Mesh(
        vertices, faces, uv, np.array([0, 0], np.int32), (printed, plain), None
    )
    front = generation.draw_views(generation.place(mesh), 2)[0]
    rows = np.nonzero(front[:, 32, 3])[0]
    top, bottom = front[rows[3], 32], front[rows[-4], 32]
    assert top[0] > 100 and not top[1:3].any()
    assert bottom[1] > 100 and not bottom[[0, 2]].any()
    blue = mesh._replace(face_material=np.array([1, 1], np.int32))
    pixel = generation.draw_views(generation.place(blue), 1)[0, 32, 32]
    assert pixel[2] > 100 and not pixel[:2].any()
    colors = np.tile(np.float32([1, 1, 0]), (4, 1))
    painted = generation.place(blue._replace(vertex_colors=colors))
    pixel = generation.draw_views(painted, 1)[0, 32, 32]
    assert pixel[0] == pixel[1] > 100 and not pixel[2]


def test_many_faces_are_drawn_in_parts_with_the_same_result(hook, monkeypatch, drawn):
    monkeypatch.setattr(generation, "_FACES_A_CALL", 256 * 8)
    parts = generation.draw_object(hook, "hook", SETTINGS)
    # Rounding of the camera moves single samples of an edge.
    assert (parts.images != drawn.images).mean() < 1e-3
    monkeypatch.setattr(mesh_pictures, "_MOST_PAIRS", 0)
    flat = generation.draw_object(hook, "hook", SETTINGS)
    np.testing.assert_array_equal(flat.images, parts.images)  # boxes are all creases


def test_an_object_too_thin_to_be_seen_is_named(tmp_path):
    path = tmp_path / "thread.obj"
    path.write_text("v 0 -1 0\nv 0.0001 1 0\nv 0 1 0.0001\nf 1 2 3\n")
    message = r"thread\.obj: expected an object in each picture; view \d+ of thread~1 "
    with pytest.raises(io.FormatError, match=message):
        generation.draw_object(str(path), "thread", SETTINGS, 1)


def test_a_broken_mesh_is_named(tmp_path):
    (tmp_path / "bad.obj").write_text("v 0 0 0\n")
    (tmp_path / "point.obj").write_text("v 1 1 1\nv 1 1 1\nv 1 1 1\nf 1 2 3\n")
    for name in ("bad.obj", "point.obj"):
        with pytest.raises(io.FormatError, match=name):
            generation.draw_object(str(tmp_path / name), name, SETTINGS)
