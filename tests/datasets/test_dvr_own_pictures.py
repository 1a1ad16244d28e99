"""Claims of datasets.dvr.own_pictures and colmap."""

import numpy as np
import pytest

from datasets.dvr import colmap, layouts, own_pictures, views
from tests.datasets.dvr_scenes import (
    SIZE,
    ball_cameras,
    draw_ball,
    surface_points,
)
from tfrender import cameras, io

VIEWS = 4


def quaternion(rotation):
    """(w, x, y, z) of a rotation: the eigenvector that it leaves, by its largest."""
    r = rotation
    squares = [
        1 + r[0, 0] + r[1, 1] + r[2, 2],
        1 + r[0, 0] - r[1, 1] - r[2, 2],
        1 - r[0, 0] + r[1, 1] - r[2, 2],
        1 - r[0, 0] - r[1, 1] + r[2, 2],
    ]
    best = int(np.argmax(squares))
    skew = [r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1]]
    if best == 0:
        row = [squares[0], *skew]
    else:
        row = [skew[best - 1], *(r[best - 1] + r[:, best - 1])]
        row[best] = squares[best]
    return np.array(row) / (2 * np.sqrt(squares[best]))


def write_photos(folder, names="photo {}.png"):
    """Pictures, masks and a COLMAP model of the ball; returns camera and masks."""
    camera = ball_cameras(VIEWS)
    images, masks, _ = draw_ball(camera)
    k, rotation, translation = (p.numpy() for p in cameras.to_opencv(camera, SIZE))
    points = surface_points(60)
    points[0] = 0.5, 0.5, 0.5  # not on the object
    lines = ["# comment", "", "1 PINHOLE 32 24 {} {} {} {}".format(*lens(k[0]))]
    text, seen = [], [f"0 0 {i}" for i in range(100, 160)]
    for number in range(VIEWS):
        name = names.format(VIEWS - 1 - number)
        io.write_png(folder / "images" / name, images[number])
        io.write_png(folder / "masks" / name, masks[number])
        pose = [*quaternion(rotation[number]), *translation[number]]
        words = " ".join(f"{value:.9f}" for value in pose)
        text.append(f"{number + 1} {words} 1 {name}")
        text.append(" ".join(seen[number:]) if number < 3 else "")
    model = folder / "sparse"
    model.mkdir()
    (model / "cameras.txt").write_text("\n".join(lines))
    (model / "images.txt").write_text("# one\n" + "\n".join(text) + "\n")
    rows = [
        f"{100 + i} {x:.9f} {y:.9f} {z:.9f} 9 8 7 0.5 1 2"
        for i, (x, y, z) in enumerate(points)
    ]
    (model / "points3D.txt").write_text("\n".join(rows))
    return camera, masks, points


def lens(k):
    return k[0, 0], k[1, 1], k[0, 2], k[1, 2]


def posed(folder, mask_folder="masks"):
    return own_pictures.from_colmap(
        str(folder / "images"),
        str(folder / "sparse"),
        str(folder / mask_folder) if mask_folder else None,
    )


def test_a_model_of_colmap_is_read_in_the_order_of_names(tmp_path):
    camera, masks, points = write_photos(tmp_path)
    found = posed(tmp_path)
    assert [p.name for p in found.paths] == [f"photo {i}.png" for i in range(VIEWS)]
    np.testing.assert_array_equal(found.masks, masks[::-1])
    expected = cameras.to_dvr(camera, SIZE)
    np.testing.assert_allclose(found.camera_mats, expected[0][::-1], atol=1e-5)
    np.testing.assert_allclose(found.world_mats, expected[1][::-1], atol=1e-5)
    np.testing.assert_allclose(found.points, points, atol=1e-8)
    assert [len(v) for v in found.visible] == [0, 58, 59, 60]
    np.testing.assert_array_equal(found.in_hull(), np.arange(60) > 0)


def test_a_scene_of_photos_is_read_again(tmp_path):
    camera, masks, points = write_photos(tmp_path)
    scale = np.diag([2.0, 2.0, 2.0, 1.0])
    own_pictures.write_scene(str(tmp_path / "scene"), posed(tmp_path), scale)
    (item,) = layouts.find_objects(tmp_path / "scene")
    found = views.read_object(item, views.Settings(layouts.LAYOUTS["dtu"], scaled=True))
    np.testing.assert_array_equal(found.masks, masks[::-1])
    eye = -np.einsum(
        "bij,bi->bj", found.world_to_camera[:, :3, :3], found.world_to_camera[:, :3, 3]
    )
    np.testing.assert_allclose(np.linalg.norm(eye, axis=-1), 1.2, rtol=1e-5)
    np.testing.assert_allclose(found.sparse[3].points * 2, points[1:], atol=1e-6)


def test_alpha_is_a_mask_and_colmap_names_masks_its_way(tmp_path):
    _, masks, _ = write_photos(tmp_path)
    with pytest.raises(io.FormatError, match="every mask is full; expected --masks"):
        posed(tmp_path, None)
    for number in range(VIEWS):
        path = tmp_path / f"images/photo {number}.png"
        alpha = np.uint8(255) * masks[VIEWS - 1 - number][..., np.newaxis]
        io.write_png(path, np.concatenate([io.read_image(path, 3), alpha], axis=-1))
        mask = tmp_path / f"masks/photo {number}.png"
        mask.rename(f"{mask}.png")
    np.testing.assert_array_equal(posed(tmp_path, None).masks, masks[::-1])
    np.testing.assert_array_equal(posed(tmp_path).masks, masks[::-1])
    (tmp_path / "masks/photo 1.png.png").unlink()
    with pytest.raises(FileNotFoundError, match="photo 1.png: no such mask"):
        posed(tmp_path)
    for number in range(VIEWS):
        path = tmp_path / f"images/photo {number}.png"
        io.write_png(path, io.read_image(path) * np.uint8([1, 1, 1, 0]))
    with pytest.raises(io.FormatError, match="images: every mask is empty"):
        posed(tmp_path, None)


def replace(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_every_lens_without_distortion_is_read(tmp_path):
    path = tmp_path / "cameras.txt"
    for line, expected in (
        ("1 SIMPLE_PINHOLE 30 20 25 15 10", (25, 25, 15, 10)),
        ("1 PINHOLE 30 20 25 26 15 10", (25, 26, 15, 10)),
        ("1 SIMPLE_RADIAL 30 20 25 15 10 0", (25, 25, 15, 10)),
    ):
        path.write_text(line)
        ((size, k),) = colmap._read_cameras(path).values()
        assert size == (20, 30) and lens(k) == expected
    for line, message in (
        ("1 SIMPLE_RADIAL 30 20 25 15 10 0.1", "without distortion; got SIMPLE_RADIAL"),
        ("1 OPENCV 30 20 1 1 1 1 0 0 0 0", "got OPENCV. Undistort"),
        ("1 PINHOLE 30 20 25", "line 1: expected 6 numbers"),
        ("1 PINHOLE 30 20 25 x 15 10", "line 1: expected 6 numbers"),
        ("1 PINHOLE 30 20 -25 25 15 10", "without size or focal"),
    ):
        path.write_text(line)
        with pytest.raises(io.FormatError, match=message):
            colmap._read_cameras(path)


@pytest.mark.parametrize(
    "file, old, new, message",
    [
        ("images.txt", " 1 photo 3.png", " 7 photo 3.png", "line 2: no camera 7"),
        ("images.txt", "1 photo 3.png", "", "line 2: expected id, quaternion"),
        ("images.txt", "0 0 101", "0 0 x", "line 3: expected 180 numbers"),
        ("points3D.txt", "9 8 7 0.5", "9", "line 1: expected 7 numbers"),
        ("cameras.txt", "32 24", "64 24", "expected 64 x 24 pixels, as its camera"),
    ],
)
def test_broken_models_are_refused_by_line(tmp_path, file, old, new, message):
    write_photos(tmp_path)
    if "9 8 7" in old:
        new = "9 8 7"
        text = (tmp_path / "sparse" / file).read_text().splitlines()
        text[0] = "100 1 2 3 9 8"
        (tmp_path / "sparse" / file).write_text("\n".join(text))
    else:
        replace(tmp_path / "sparse" / file, old, new)
    with pytest.raises(io.FormatError, match=message):
        posed(tmp_path)


def test_files_that_miss_are_named(tmp_path):
    write_photos(tmp_path)
    io.write_png(tmp_path / "images/z.png", np.ones([2, 2, 3]))
    assert "1 pictures have no pose" in posed(tmp_path).notes[0]
    (tmp_path / "sparse/points3D.txt").unlink()
    assert len(posed(tmp_path).points) == 0
    (tmp_path / "images/photo 2.png").unlink()
    with pytest.raises(FileNotFoundError, match="photo 2.png: no such picture"):
        posed(tmp_path)
    (tmp_path / "sparse/images.txt").rename(tmp_path / "sparse/images.bin")
    with pytest.raises(io.FormatError, match="model_converter"):
        posed(tmp_path)


def test_poses_of_a_table_stand_on_the_sphere(tmp_path):
    write_photos(tmp_path)
    table = tmp_path / "poses.csv"
    table.write_text(
        "image, azimuth, elevation, distance\n"
        "photo 2.png, 30, 10, 2.5\nphoto 0.png, -90, 0, 2\n"
    )
    arguments = (str(tmp_path / "images"), str(table), str(tmp_path / "masks"), 40.0)
    found = own_pictures.from_poses(*arguments)
    assert [p.name for p in found.paths] == ["photo 2.png", "photo 0.png"]
    eyes = -np.linalg.solve(found.world_mats[:, :3, :3], found.world_mats[:, :3, 3:])
    np.testing.assert_allclose(eyes[1, :, 0], [-2.0, 0.0, 0.0], atol=1e-6)
    # The edge of the field of view is half a pixel beyond the outermost centres.
    top = np.tan(np.radians(20.0)) * (SIZE[0] - 1) / SIZE[0]
    np.testing.assert_allclose(found.camera_mats[:, 1, 1], 1.0 / top, rtol=1e-5)
    table.write_text("azimuth,elevation,distance\n" + "0,0,2\n" * 3)
    with pytest.raises(io.FormatError, match="expected 4 lines.*got 3"):
        own_pictures.from_poses(*arguments)
    for text, message in (
        ("azimuth,distance\n0,1\n", "missing elevation"),
        ("azimuth,elevation,distance\n0,0,x\n", "line 2: expected numbers"),
        ("azimuth,elevation,distance\n0,0,1\n0,nan,1\n", "line 3: expected numbers"),
        ("azimuth,elevation,distance\n0,0,0\n", "line 2: expected a distance above"),
        ("azimuth,elevation,distance\n0,0,1\n", "two views or more; got 1"),
    ):
        table.write_text(text)
        with pytest.raises(io.FormatError, match=message):
            own_pictures.from_poses(*arguments)
