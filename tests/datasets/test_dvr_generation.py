"""Claims of datasets.dvr.generation and its TFDS builder."""

import numpy as np
import pytest
import tensorflow_datasets as tfds

from datasets import dvr
from datasets.dvr import examples, generation, layouts, pipeline, views
from tests.tools import dvr_programs
from tfrender import cameras, geometry, io
from tfrender.ops import default_form

SETTINGS = generation.SceneSettings(
    image_size=(12, 16), views=3, supersample=2, points=40, hull_resolution=8
)


@pytest.fixture(scope="module")
def scene(hook):
    with default_form("graph"):
        return generation.draw_scene(hook, "hook", SETTINGS)


def on_surface(points, hook, normalization):
    """Largest distance of points [N, 3] from the corners' box planes of the mesh."""
    mesh = io.load_mesh(hook)
    vertices = normalization.apply(mesh.vertices)
    corners = vertices[mesh.faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    away = np.einsum("nfj,fj->nf", points[:, None] - corners[None, :, 0], normals)
    return np.abs(away).min(-1).max()


def test_depths_and_points_lie_on_the_mesh(scene, hook):
    rows, columns = np.mgrid[:12, :16] + 0.5
    pixels = np.stack([columns, rows], axis=-1).reshape(1, -1, 2).repeat(3, 0)
    rays = cameras.pixel_rays(scene.camera, pixels.astype(np.float32), (12, 16))
    origin, direction = (ray.numpy() for ray in rays)
    points = origin + direction * scene.depth.reshape(3, -1, 1)
    points = points[scene.masks.reshape(3, -1)]
    assert len(points) > 30 and on_surface(points, hook, scene.normalization) < 1e-5
    assert on_surface(scene.points, hook, scene.normalization) < 1e-5
    np.testing.assert_allclose(np.linalg.norm(scene.normals, axis=-1), 1.0, rtol=1e-5)
    assert np.abs(scene.points).max() <= SETTINGS.fill / 2 + 1e-6


def test_pictures_are_white_beside_the_object(scene):
    shown = scene.depth > 0
    np.testing.assert_array_equal(shown, scene.masks)
    assert (scene.images[0, 0, 0] == 255).all()
    assert (scene.images[scene.masks].min(-1) < 255).any()
    before = scene.depth - scene.hull_depth
    assert before[scene.masks].min() > -0.1


def test_cameras_stand_on_a_ring_or_on_a_sphere():
    ring = generation.scene_cameras(generation.SceneSettings(views=24))
    expected = cameras.on_reconstruction_ring(15.0 * np.arange(24, dtype=np.float32))
    np.testing.assert_allclose(ring[0], expected[0], atol=1e-6)
    np.testing.assert_allclose(ring[1][:1], expected[1], atol=1e-6)
    sphere = generation.SceneSettings(
        placement="sphere", views=40, elevation_range=(-90.0, 90.0), distance=2.0
    )
    matrix = generation.scene_cameras(sphere)[0].numpy()
    eyes = -np.einsum("bij,bi->bj", matrix[:, :3, :3], matrix[:, :3, 3])
    np.testing.assert_allclose(np.linalg.norm(eyes, axis=-1), 2.0, rtol=1e-5)
    assert np.linalg.norm(eyes.mean(0)) < 0.1
    gram = eyes @ eyes.T / 4.0 - 2.0 * np.eye(40)
    assert gram.max() < np.cos(np.radians(20.0))


@pytest.mark.parametrize("layout", list(layouts.LAYOUTS))
def test_what_is_written_is_read_by_the_door_of_published_data(scene, tmp_path, layout):
    if layout == "shapenet":
        scene = scene._replace(inputs=np.zeros([2, 9, 9, 3], np.uint8))
    generation.write_scene(str(tmp_path / "a"), scene, layout)
    (item,) = layouts.find_objects(tmp_path / "a")
    assert layouts.detect_layout([item]) == layout
    settings = views.Settings(layouts.LAYOUTS[layout], scaled=layout == "dtu")
    found = views.read_object(item, settings)
    np.testing.assert_array_equal(found.images, scene.images)
    np.testing.assert_array_equal(found.masks, scene.masks)
    np.testing.assert_allclose(found.depth, scene.depth, atol=1e-5)
    np.testing.assert_allclose(found.hull_depth, scene.hull_depth, atol=1e-5)
    np.testing.assert_allclose(found.world_to_camera, scene.camera[0], atol=3e-6)
    np.testing.assert_allclose(found.projection, scene.camera[1], atol=1e-5)
    assert (found.inputs is not None) == (layout == "shapenet")
    cloud = io.read_npz(tmp_path / "a" / "pointcloud.npz")
    np.testing.assert_array_equal(cloud["points"], scene.points)
    with pytest.raises(FileExistsError):
        generation.write_scene(str(tmp_path / "a"), scene, layout)


def test_the_world_of_a_scene_is_the_frame_of_the_file(scene, hook, tmp_path):
    generation.write_scene(str(tmp_path / "a"), scene, "dtu")
    scale = io.read_npz(tmp_path / "a" / "cameras.npz")["scale_mat_0"]
    mesh = io.load_mesh(hook)
    own = scene.normalization.apply(mesh.vertices)
    world = own @ scale[:3, :3].T + scale[:3, 3]
    np.testing.assert_allclose(world, mesh.vertices, atol=1e-5)


def test_encoder_inputs_of_choy_differ_from_object_to_object(hook):
    settings = SETTINGS._replace(
        layout="shapenet", views=2, points=0, hull_resolution=0, supersample=1
    )
    found = [generation.draw_scene(hook, name, settings) for name in ("a", "b", "a")]
    first, other, again = (scene.inputs for scene in found)
    assert first.shape == (24, 137, 137, 3) and found[0].points is None
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_a_flat_point_is_refused_by_name(tmp_path):
    vertices = np.zeros([3, 3], np.float32)
    with pytest.raises(io.FormatError, match="x.obj"):
        io.save_mesh(tmp_path / "x.obj", vertices, np.array([[0, 1, 2]], np.int32))
        generation.draw_scene(str(tmp_path / "x.obj"), "x", SETTINGS)


def test_the_builder_reads_the_records(scene, tmp_path):
    generation.write_scene(str(tmp_path / "a"), scene, "dtu")
    out = dvr_programs.make_records(
        tmp_path / "a", tmp_path / "records", held_out_views=["1-1"]
    )
    builder = dvr.Builder(data_dir=str(tmp_path / "tfds"))
    config = tfds.download.DownloadConfig(manual_dir=str(out))
    builder.download_and_prepare(download_config=config)
    found = {int(e["view"]): e for e in builder.as_dataset(split="train")}
    assert sorted(found) == [0, 2]
    np.testing.assert_array_equal(found[2]["image"], scene.images[2])
    np.testing.assert_array_equal(found[2]["mask"][..., 0] == 255, scene.masks[2])
    np.testing.assert_allclose(found[2]["depth"][..., 0], scene.depth[2], atol=1e-5)
    (held_out,) = builder.as_dataset(split="held_out")
    assert int(held_out["view"]) == 1 and held_out["class"].numpy() == b"a"
    assert pipeline.form_of(str(out), "train") == examples.Form(
        (12, 16), True, True, False, "none"
    )


def test_the_builder_needs_records(tmp_path):
    builder = dvr.Builder(data_dir=str(tmp_path / "tfds"))
    config = tfds.download.DownloadConfig(manual_dir=str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"expected SPLIT.json"):
        builder.download_and_prepare(download_config=config)


def test_normalization_is_that_of_the_library(scene, hook):
    mesh = io.load_mesh(hook)
    _, expected = geometry.normalize_to_unit_cube(mesh.vertices, SETTINGS.fill)
    assert scene.normalization.scale == pytest.approx(expected.scale, rel=1e-6)
