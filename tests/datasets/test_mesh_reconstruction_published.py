"""The published npz files, and the two frames."""

import itertools
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from datasets import records
from datasets.mesh_reconstruction import examples, published, views
from tests.datasets.objects import noise_object
from tests.datasets.shapes import write_hook
from tests.golden import cases
from tfrender import cameras, geometry, io
from tfrender.geometry.voxelize import fill_enclosed, mark_surface
from tfrender.io import FormatError
from tfrender.ops.rasterize import rasterize_mesh

SYSTEM = "mesh_reconstruction"
MESHES = pathlib.Path(__file__).parents[1] / "data" / SYSTEM


def write_class(folder, class_id, split, numbers):
    images, voxels = zip(*(noise_object(k) for k in numbers), strict=True)
    published.write(str(folder), class_id, split, images, voxels)


def stored_images(count=2):
    return np.zeros((count, 24, 4, 64, 64), np.uint8)


def stored_voxels(count=2):
    return np.zeros((count, 32, 32, 32), bool)


def test_the_pictures_of_the_mirrored_camera_are_ours_of_the_mirrored_object(tmp_path):
    write_hook(tmp_path / "hook.obj")
    mesh = io.load_mesh(tmp_path / "hook.obj")
    theirs, _ = geometry.normalize_to_unit_cube(mesh.vertices)
    ours = theirs * np.float32([-1.0, 1.0, 1.0])
    numbers = np.array([0, 2, 7, 13])
    azimuth = np.radians(-15.0 * numbers)  # theirs: -15 k
    height, across = np.sin(np.pi / 6), np.cos(np.pi / 6)
    # get_points_from_angles of the original.
    eye = 2.732 * np.stack(
        [across * np.sin(azimuth), np.full(4, height), -across * np.cos(azimuth)], -1
    )
    seen = [
        rasterize_mesh(tf.constant(points)[tf.newaxis], mesh.faces, camera, (64, 64))
        for points, camera in (
            (theirs, cameras.from_neural_renderer(eye, viewing_angle_deg=15.0)),
            (ours, views.camera(views.azimuths_deg()[numbers])),
        )
    ]
    masks = [found.mask.numpy() for found in seen]
    assert (masks[0] != masks[1]).mean() < 1e-3 and masks[0].mean() > 0.02
    both = masks[0] & masks[1]
    depths = [found.depth.numpy()[both] for found in seen]
    assert (np.abs(depths[0] - depths[1]) > 1e-3).mean() < 1e-2
    # Without the mirror, or in the other direction, they are other pictures.
    for points, sign in ((theirs, 1.0), (ours, -1.0)):
        other = rasterize_mesh(
            tf.constant(points)[tf.newaxis],
            mesh.faces,
            views.camera(sign * views.azimuths_deg()[numbers]),
            (64, 64),
        )
        assert (other.mask.numpy() != masks[0]).mean() > 0.02


@pytest.mark.parametrize(
    "path", cases.holding(SYSTEM, "voxels_eval"), ids=cases.name_of
)
def test_stored_voxels_become_those_of_the_mirrored_object(path):
    arrays = cases.load(path)
    faces = io.load_mesh(next(MESHES.glob("*_out.obj"))).faces
    size = arrays["voxels_eval"].shape[-1]
    ours = published.voxels_to_ours(arrays["voxels_eval"].astype(bool))
    for vertices, grid in zip(arrays["vertices2"], ours, strict=True):
        # The original's evaluation shrinks the shape by (S - 1) / S into the grid.
        mirrored = vertices * [-1.0, 1.0, 1.0] * (size - 1) / size
        surface = mark_surface((mirrored + 0.5)[faces] * size, size)
        solid = fill_enclosed(surface)
        overlaps = {}
        for order in itertools.permutations(range(3)):
            for flips in itertools.product((1, -1), repeat=3):
                found = grid.transpose(order)[
                    tuple(slice(None, None, s) for s in flips)
                ]
                overlap = (found & solid).sum() / (found | solid).sum()
                overlaps[order, flips] = overlap
        assert len(overlaps) == 48
        right = overlaps.pop(((0, 1, 2), (1, 1, 1)))
        assert right > 0.95 and max(overlaps.values()) < right - 0.1, overlaps
    np.testing.assert_array_equal(
        published.voxels_from_ours(ours), arrays["voxels_eval"]
    )


def test_the_pictures_and_the_voxels_of_one_object_agree():
    """A shape in the published frame, stored, then read: one object in our views."""
    mesh = io.load_mesh(MESHES / "car_out.obj")
    shear = np.array([[1.0, 0.3, 0.0], [0.0, 1.0, 0.2], [0.5, 0.0, 1.0]])
    theirs = 0.9 * mesh.vertices @ shear + [0.05, 0.02, -0.1]  # no symmetry
    surface = mark_surface((theirs + 0.5)[mesh.faces] * 32, 32)
    solid = fill_enclosed(surface)
    stored = solid.transpose(1, 0, 2)[:, :, ::-1]  # as the original evaluates
    ours = published.voxels_to_ours(stored)
    seen = {}
    for k in (1, 8, 17):
        angle = np.radians(-15.0 * k)
        eye = [
            2.732 * np.cos(np.pi / 6) * np.sin(angle),
            2.732 / 2,
            -2.732 * np.cos(np.pi / 6) * np.cos(angle),
        ]
        camera = cameras.from_neural_renderer(eye, viewing_angle_deg=15.0)
        vertices = tf.constant(theirs, tf.float32)[tf.newaxis]
        fragments = rasterize_mesh(vertices, mesh.faces, camera, (64, 64))
        seen[15.0 * k] = fragments.mask[0].numpy()

    def covered(grid):  # voxels hold the surface, so their silhouette holds its own
        outlines = {a: views.voxel_silhouette(grid, a) for a in seen}
        return min(outlines[a][mask].mean() for a, mask in seen.items())

    assert covered(ours) > 0.99
    for axis in range(3):
        assert covered(np.flip(ours, axis)) < 0.95


def test_files_come_back_as_they_were_and_have_the_published_layout(tmp_path):
    write_class(tmp_path, "03001627", "validation", [4, 5, 6])
    with np.load(tmp_path / "03001627_val_images.npz") as archive:
        (images,) = (archive[name] for name in archive.files)
    assert images.shape == (3, 24, 4, 64, 64) and images.dtype == np.uint8
    np.testing.assert_array_equal(images[1, 7, 2], noise_object(5)[0][7, ..., 2])
    with np.load(tmp_path / "03001627_val_voxels.npz") as archive:
        (voxels,) = (archive[name] for name in archive.files)
    assert voxels.shape == (3, 32, 32, 32) and voxels.dtype == bool
    found = list(published.read(str(tmp_path), "03001627", "validation"))
    for number, item in zip((4, 5, 6), found, strict=True):
        images, voxels = noise_object(number)
        np.testing.assert_array_equal(item.images, images)
        np.testing.assert_array_equal(item.voxels, voxels)
        assert item.class_id == "03001627"
    assert found[2].object_id == "03001627/val/00002"


def test_conversion_writes_every_class_and_split(tmp_path):
    write_class(tmp_path / "in", "03001627", "train", [0, 1])
    write_class(tmp_path / "in", "02691156", "train", [2])
    write_class(tmp_path / "in", "03001627", "test", [3])
    calls = []
    written = published.convert(
        str(tmp_path / "in"), str(tmp_path / "out"), report=lambda: calls.append(1)
    )
    assert [split.records for split in written] == [3, 1] and len(calls) == 4
    train = records.read_split(str(tmp_path / "out"), "train", examples.SCHEMA)
    assert train.metadata["classes"] == ["02691156", "03001627"]
    assert "03001627/train/00001" in train.metadata["objects"]
    chairs = published.conversion_plan(str(tmp_path / "in"), ["chair"], ["train"])
    assert chairs == {"train": {"03001627": 2}}
    with pytest.raises(ValueError, match=r"split test: no class 'airplane'; there are"):
        published.conversion_plan(str(tmp_path / "in"), ["airplane"])
    with pytest.raises(FileNotFoundError, match="no CLASS_val_images.npz"):
        published.conversion_plan(str(tmp_path / "in"), None, ["validation", "test"])
    with pytest.raises(FileNotFoundError, match="SPLIT out of train, val, test"):
        published.conversion_plan(str(tmp_path / "out"))
    with pytest.raises(FileNotFoundError, match="no such folder"):
        published.conversion_plan(str(tmp_path / "none"))


@pytest.mark.parametrize(
    ("images", "voxels", "message"),
    [
        (
            stored_images()[:, :23],
            None,
            r"images.npz: expected uint8 \(N, 24, 4, 64, 64",
        ),
        (stored_images().astype(float), None, "images.npz: .*got float64"),
        (stored_images(0), None, r"images.npz: .*got uint8 \(0, 24"),
        (np.array([{}]), None, "images.npz: .*got pickled Python objects"),
        (None, stored_voxels(3), "voxels.npz: expected 2 grids, .* got 3"),
        (None, stored_voxels().astype(np.uint8), "voxels.npz: expected bool"),
        (None, stored_voxels()[:, 1:], r"voxels.npz: .*got bool \(2, 31, 32, 32"),
        (None, np.bool_(True), r"voxels.npz: .*got bool \(\)"),
    ],
)
def test_other_arrays_are_refused(tmp_path, images, voxels, message):
    arrays = {"images": images, "voxels": voxels}
    arrays["images"] = stored_images() if images is None else images
    arrays["voxels"] = stored_voxels() if voxels is None else voxels
    for word, array in arrays.items():
        np.savez_compressed(tmp_path / f"x_train_{word}.npz", array)
    with pytest.raises(FormatError, match=message) as caught:
        published.convert(str(tmp_path), str(tmp_path / "out"))
    assert "\n" not in str(caught.value) and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        ((slice(None), 0), "view 7 of object 1 has an empty mask"),
        ((slice(30, None), (255, 255, 255, 0)), "view 7 of object 1 has 2177 coloured"),
    ],
)
def test_pictures_that_cannot_be_right_are_refused(tmp_path, pixels, message):
    images, voxels = zip(*(noise_object(k) for k in (4, 5)), strict=True)
    images[1][7, pixels[0]] = pixels[1]
    published.write(str(tmp_path), "x", "train", images, voxels)
    with pytest.raises(FormatError, match=rf"x_train_images\.npz: .*{message}"):
        published.convert(str(tmp_path), str(tmp_path / "out"))
    assert not list((tmp_path / "out").iterdir())


def test_a_split_that_exists_is_told_before_anything_is_written(tmp_path):
    for number, split in enumerate(("train", "test")):
        write_class(tmp_path / "in", "x", split, [number])
    published.convert(str(tmp_path / "in"), str(tmp_path / "out"), splits=["test"])
    with pytest.raises(ValueError, match=r"test\.json: the split exists"):
        published.convert(str(tmp_path / "in"), str(tmp_path / "out"))
    assert records.splits(str(tmp_path / "out")) == ["test"]
    published.convert(str(tmp_path / "in"), str(tmp_path / "out"), overwrite=True)


def test_other_files_are_refused(tmp_path):
    images, voxels = (tmp_path / f"x_train_{word}.npz" for word in ("images", "voxels"))

    def message():
        with pytest.raises((FormatError, FileNotFoundError)) as caught:
            list(published.read(str(tmp_path), "x", "train"))
        return str(caught.value)

    np.savez(images, stored_images(1))
    expected = "expected x_train_voxels.npz beside x_train_images.npz"
    assert message() == f"{voxels}: no such file; {expected}."
    np.savez(voxels, a=stored_voxels(1), b=1)
    assert "expected one array; got 2 (a.npy, b.npy)" in message()
    voxels.write_bytes(b"no archive")
    assert f"{voxels}: expected an npz file" in message()
    np.savez(voxels, stored_voxels(1))
    data = bytearray(images.read_bytes())
    data[len(data) // 2] ^= 1
    images.write_bytes(data)
    assert f"{images}: entry 0 is damaged" in message()
    write_class(tmp_path, "x", "train", [1, 2])
    images.write_bytes(images.read_bytes()[:-40])
    assert f"{images}: expected an npz file" in message()
