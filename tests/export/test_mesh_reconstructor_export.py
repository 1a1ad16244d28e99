"""A served mesh reconstructor."""

import numpy as np
import pytest
import tensorflow as tf

from tfrender.export import lite, mesh_reconstructor, saved_model
from tfrender.models import MeshReconstructor
from tools.export_lite import single_example

SIDE = 32


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A tiny model with colours, and its two signatures as a server has them."""
    model = MeshReconstructor.from_preset("tiny", colors=True)
    folder = tmp_path_factory.mktemp("export") / "model"
    folder = mesh_reconstructor.write(str(folder), model)
    names = ("serving_default", "views")
    return model, *(saved_model.load_signature(folder, name) for name in names)


def pictures(batch=2):
    """Random pictures [B, S, S, 4]."""
    values = np.random.default_rng(0).uniform(size=(batch, SIDE, SIDE, 4))
    return values.astype(np.float32)


def test_the_server_answers_as_the_model(exported):
    model, serve, _ = exported
    got = serve(image=pictures())
    want = model(tf.constant(pictures()))
    assert set(got) == {"vertices", "colors", "faces"}
    for name in ("vertices", "colors"):
        np.testing.assert_allclose(got[name], want[name], atol=1e-6)
    # One copy for each example, as the row format of a server asks for.
    np.testing.assert_array_equal(got["faces"], np.stack([model.faces] * 2))


def test_views_show_the_mesh(exported):
    got = exported[2](image=pictures(1), azimuth_deg=[[0.0, 90.0]])["views"]
    assert got.shape == (1, 2, 64, 64, 4)
    # About a sphere of radius 0.25 at distance 2.732 in a picture 2 * 0.732 wide.
    share = np.pi * (0.25 / 1.464) ** 2
    np.testing.assert_allclose(got[..., 3].mean((2, 3)), share, rtol=0.15)
    assert not got[..., :3][got[..., 3] == 0.0].any()


def test_an_empty_batch_is_answered(exported):
    got = exported[1](image=pictures(0))
    assert {name: value.shape for name, value in got.items()} == {
        "vertices": (0, 642, 3),
        "colors": (0, 642, 3),
        "faces": (0, 1280, 3),
    }


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.full((1, SIDE, SIDE, 4), 2.0), "`image` must be at most 1.0"),
        (np.full((1, SIDE, SIDE, 4), np.nan), "`image` holds NaN"),
        (np.zeros((1, SIDE, SIDE, 3)), "`image` must be"),
        (np.zeros((65, SIDE, SIDE, 4)), "more than 64 examples"),
    ],
)
def test_bad_requests_are_named(exported, image, message):
    with pytest.raises(ValueError, match=message):
        exported[1](image=image)


def test_views_of_other_pictures_are_refused(exported):
    views = exported[2]
    with pytest.raises(ValueError, match="as many examples"):
        views(image=pictures(2), azimuth_deg=[[0.0]])
    with pytest.raises(ValueError, match="more than 192 angles"):
        views(image=pictures(2), azimuth_deg=np.zeros((2, 97)))


def test_a_lite_file_gives_the_same_vertices(exported, tmp_path):
    signature = exported[1]
    path = tmp_path / "model.tflite"
    lite.write_lite(str(path), single_example(signature))
    got = lite.LiteModel(str(path))(image=pictures(1))
    np.testing.assert_allclose(
        got["vertices"], signature(image=pictures(1))["vertices"], atol=1e-5
    )
