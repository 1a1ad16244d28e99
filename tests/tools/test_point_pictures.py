"""Claims of the pictures of point clouds."""

import numpy as np
import pytest
import tensorflow as tf

from tests.tools import point_models, programs
from tfrender import cameras, io
from tools import point_pictures as pictures

SIZE = 48


def drawn(points, camera=None, **settings):
    """Which pixels of a picture are not white, and the picture."""
    camera = pictures.orbit_camera(40.0) if camera is None else camera
    image = pictures.draw(np.array(points, float), camera, SIZE, **settings)
    return (image < 0.999).any(-1), image


def test_a_point_is_drawn_where_the_camera_projects_it():
    points = np.random.default_rng(0).uniform(-0.4, 0.4, [12, 3])
    camera = pictures.orbit_camera(70.0, 25.0)
    clip = cameras.project_to_clip(camera, tf.constant(points[np.newaxis], tf.float32))
    pixels = cameras.clip_to_pixel(clip, (SIZE, SIZE))[0].numpy()
    for point, (x, y) in zip(points, pixels, strict=True):
        seen, _ = drawn([point], camera, radius=0.03, supersampling=4)
        rows, columns = np.nonzero(seen)
        assert abs(columns.mean() + 0.5 - x) < 0.5
        assert abs(rows.mean() + 0.5 - y) < 0.5


def test_a_sphere_has_its_size_in_perspective():
    focal, distance, radius = 1.875, 2.0, 0.3
    seen, _ = drawn([[0.0, 0.0, 0.0]], radius=radius, supersampling=1)
    # The cone that touches the sphere.
    want = focal * radius / np.sqrt(distance**2 - radius**2) * SIZE
    assert np.sqrt(seen.sum() / np.pi) == pytest.approx(want, rel=0.02)


def test_many_points_equal_each_drawn_by_itself():
    # A slow picture: the nearest of single ones.
    points = np.random.default_rng(1).uniform(-0.3, 0.3, [20, 3])
    colors = np.random.default_rng(2).uniform(0.1, 0.9, [20, 3])
    camera = pictures.orbit_camera(200.0)
    matrix = camera.world_to_camera[0].numpy()
    lens = camera.projection[0].numpy()
    centres = points @ matrix[:3, :3].T + matrix[:3, 3]
    index, depth = pictures._nearest_spheres(centres, 0.1, lens, SIZE)
    best = np.full(SIZE * SIZE, np.inf)
    owner = np.full(SIZE * SIZE, -1)
    for number, centre in enumerate(centres):
        one, own = pictures._nearest_spheres(centre[np.newaxis], 0.1, lens, SIZE)
        nearer = (one >= 0) & (own < best)
        best[nearer], owner[nearer] = own[nearer], number
    np.testing.assert_array_equal(index, owner)
    np.testing.assert_array_equal(depth[index >= 0], best[owner >= 0])
    image = pictures.draw(points, camera, SIZE, radius=0.1, colors=colors)
    assert len(np.unique(image.reshape(-1, 3), axis=0)) > 100


def test_few_spheres_at_a_time_draw_the_same(monkeypatch):
    points = point_models.ball(50)
    _, want = drawn(points, radius=0.05)
    monkeypatch.setattr(pictures, "_FRAGMENTS", 500)
    np.testing.assert_array_equal(drawn(points, radius=0.05)[1], want)


def test_the_near_point_hides_the_far_one():
    camera = pictures.orbit_camera(0.0, 0.0)  # on -Z
    red_near = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    _, image = drawn([[0, 0, -0.2], [0, 0, 0.2]], camera, radius=0.1, colors=red_near)
    red, green, _ = image[SIZE // 2, SIZE // 2]
    assert red > 2 * green


def test_points_beside_and_behind_the_camera_are_left_out():
    camera = pictures.orbit_camera(0.0, 0.0)
    seen, image = drawn([[0, 0, -2.0], [0, 0, -3.0], [9.0, 0, 0]], camera, radius=0.1)
    assert not seen.any()
    np.testing.assert_array_equal(image, 1.0)


def test_the_upper_side_is_lighter():
    _, image = drawn([[0.0, 0.0, 0.0]], radius=0.3)
    above, below = image[SIZE // 2 - 10, SIZE // 2], image[SIZE // 2 + 10, SIZE // 2]
    assert above.sum() > below.sum() + 0.3


@pytest.mark.parametrize(
    ("points", "colors", "said"),
    [
        (np.zeros([0, 3]), None, "at least one point"),
        (np.full([2, 3], np.nan), None, "`points` must be finite"),
        (np.zeros([2, 3]), np.zeros([3, 3]), "`colors` must be"),
        (np.zeros([2, 3]), np.full([2, 3], 2.0), r"`colors` must lie in \[0, 1\]"),
    ],
)
def test_what_cannot_be_drawn_is_told(points, colors, said):
    with pytest.raises(ValueError, match=said):
        pictures.draw(points, pictures.orbit_camera(), SIZE, colors=colors)


def test_a_camera_or_a_range_that_is_none_is_told():
    point = np.zeros([1, 3])
    with pytest.raises(ValueError, match="`camera` must be finite"):
        pictures.draw(point, pictures.orbit_camera(np.nan), SIZE)
    with pytest.raises(ValueError, match="`radius` must lie in"):
        pictures.draw(point, pictures.orbit_camera(), SIZE, radius=np.nan)


def test_an_orthographic_camera_is_refused():
    flat = cameras.Camera(cameras.orbit(0, 0, 2.0), cameras.orthographic(0.5))
    with pytest.raises(ValueError, match="perspective"):
        pictures.draw(np.zeros([1, 3]), flat, SIZE)


FLAGS = {
    "view": 0,
    "azimuth": 40.0,
    "elevation": 15.0,
    "distance": 2.0,
    "focal_length": 1.875,
    "size": 24,
    "radius": 0.02,
    "supersampling": 1,
}


def test_the_program_draws_every_cloud_of_a_folder(tmp_path):
    source, out = tmp_path / "clouds", tmp_path / "out"
    point_models.write_cloud(source / "chair/a.npz", point_models.ball(30))
    (source / "car").mkdir()
    from tools import point_files

    point_files.write_ply(source / "car/b.ply", point_models.ball(30))
    point_files.write_arrays(source / "c.mat", {"points": np.zeros([2, 5, 3])})
    flags = {"input": str(source), "output_dir": str(out), **FLAGS}
    programs.run_inside(pictures, **flags)
    for name in ("chair/a", "car/b", "c"):
        assert io.read_image(out / f"{name}.png").shape == (24, 24, 3)
    same = [io.read_image(out / f"{name}.png") for name in ("chair/a", "car/b")]
    np.testing.assert_array_equal(*same)
    with pytest.raises(ValueError, match="expected a --view below 2; got 2"):
        programs.run_inside(
            pictures, **{**flags, "input": str(source / "c.mat"), "view": 2}
        )
