"""Claims of tools.render."""

import re

import numpy as np
import pytest
from PIL import Image

from tests.datasets.shapes import write_hook
from tests.tools import programs
from tfrender import geometry, io
from tfrender.export import saved_model
from tools import render
from tools.render import View

NAME = "000_hook_pose_250.000000_60.000000_3.300000_light_250.000000_60.000000"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Folder with a model, a grey model, a mesh and its voxels."""
    root = tmp_path_factory.mktemp("render")
    programs.write_model(root / "model")
    programs.write_model(root / "grey", channels=1)
    write_hook(root / "hook.obj")
    mesh = io.load_mesh(root / "hook.obj")
    for side in (4, 8, 12, 16):
        voxels = geometry.voxelize(mesh.vertices, mesh.faces, side)
        io.write_binvox(root / f"grid{side}" / "hook.binvox", *voxels)
    io.write_binvox(root / "flat.binvox", np.ones((8, 8, 4), bool))
    (root / "cut.binvox").write_bytes(b"#binvox 1\ndim 8 8 8\ndata\n\1")
    (root / "bad.obj").write_text("v 0 0 0\n")
    (root / "notes.txt").write_text("no mesh")
    return root


def draw(root, out, view=None, model="model", voxels="grid8/hook.binvox", **settings):
    return render.render(
        str(root / voxels), str(root / model), view or View(), str(out), **settings
    )


def test_the_default_view_is_one_file_of_the_documented_name(root, tmp_path):
    (path,) = draw(root, tmp_path / "out")
    assert path == tmp_path / "out" / f"{NAME}.png"
    picture = io.read_image(path)
    assert picture.shape == (64, 64, 3)
    signature = saved_model.load_signature(str(root / "model"), "shaded")
    voxels = io.read_binvox(root / "grid8/hook.binvox").occupancy
    expected = signature(
        voxels=voxels[None, ..., None], pose=[[250, 60, 3.3]], light=[[250, 60]]
    )
    np.testing.assert_array_equal(picture, io.to_uint8(expected["shaded"][0]))


def test_a_turn_is_72_files_and_a_film(root, tmp_path):
    view = View(1.0, 70.0, 3.0, 10.0, 20.0)
    written = draw(root, tmp_path, view, rotate=True)
    names = [
        f"{k:03d}_hook_pose_{5 * k:f}_70.000000_3.000000_light_10.000000_20.000000.png"
        for k in range(72)
    ]
    film = "hook_turntable_70.000000_3.000000_light_10.000000_20.000000.gif"
    assert [path.name for path in written] == [*names, film]
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([*names, film])
    with Image.open(tmp_path / film) as gif:
        assert gif.n_frames == 72 and gif.size == (64, 64)
    single = draw(root, tmp_path / "one", view._replace(azimuth=100.0))
    np.testing.assert_array_equal(io.read_image(written[20]), io.read_image(single[0]))
    assert (io.read_image(written[20]) != io.read_image(written[2])).any()


def test_light_from_the_front_is_brighter_than_from_behind(root, tmp_path):
    def mean(view):
        return io.read_image(draw(root, tmp_path, view)[0]).mean()

    assert mean(View()) > mean(View(light_azimuth=90.0, light_elevation=90.0)) + 30


def test_a_mesh_is_drawn_as_its_voxels(root, tmp_path):
    (first,) = draw(root, tmp_path / "a", voxels="hook.obj")
    (other,) = draw(root, tmp_path / "b")
    assert first.name == other.name == f"{NAME}.png"
    np.testing.assert_array_equal(io.read_image(first), io.read_image(other))


def test_normal_maps_are_written_on_request(root, tmp_path):
    picture, normal = draw(root, tmp_path, save_normals=True)
    assert normal.name == f"{NAME}_normal.png"
    blue = io.read_image(normal)[..., 2]
    assert blue.mean() > 200 and picture.name == f"{NAME}.png"


def test_a_grey_model_writes_its_picture_and_says_so(root, tmp_path, capsys):
    (path,) = draw(root, tmp_path, model="grey")
    assert path.name == f"{NAME}.png" and io.read_image(path).shape == (64, 64, 1)
    assert (
        "--light_azimuth and --light_elevation do not apply" in capsys.readouterr().err
    )
    with pytest.raises(ValueError, match="--save_normals"):
        draw(root, tmp_path / "none", model="grey", save_normals=True)
    assert not (tmp_path / "none").exists()


def test_the_highest_number_of_a_model_folder_is_taken(root, tmp_path):
    for number in ("2", "10", "old"):
        (tmp_path / "base" / number).mkdir(parents=True)
        (tmp_path / "base" / number / "saved_model.pb").write_bytes(b"")
    (tmp_path / "base" / "11").mkdir()
    assert render.model_folder(str(tmp_path / "base")) == str(tmp_path / "base/10")
    assert render.model_folder(str(root / "model")) == str(root / "model")
    with pytest.raises(FileNotFoundError, match="--model: .*trainers.rendernet"):
        render.model_folder(str(tmp_path / "base" / "11"))


def test_grids_are_fitted_by_whole_factors(root, tmp_path, capsys):
    thin = np.zeros((16, 16, 16), bool)
    thin[5, 7, 11] = True
    small = render.fit_side(thin, 8, "thin")
    assert np.argwhere(small).tolist() == [[2, 3, 5]]
    large = render.fit_side(small, 16, "small")
    assert large.sum() == 8 and large[4:6, 6:8, 10:12].all()
    draw(root, tmp_path, voxels="grid16/hook.binvox")
    assert "16 voxels a side brought to the model's 8" in capsys.readouterr().err
    assert render.fit_side(small, 8, "same") is small


def test_an_unusual_radius_is_drawn_with_a_note(root, tmp_path, capsys):
    draw(root, tmp_path, View(radius=6.0))
    assert "--radius=6 lies outside the usual 2.5 to 4.5" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"view": View(elevation=180.5)}, r"--elevation: .*\[0, 180\]"),
        ({"view": View(elevation=-1.0)}, "--elevation"),
        ({"view": View(radius=0.4)}, "--radius"),
        ({"view": View(radius=101.0)}, "--radius"),
        ({"view": View(azimuth=float("nan"))}, "--azimuth: expected a finite"),
        ({"view": View(light_elevation=float("inf"))}, "--light_elevation"),
        ({"voxels": "grid12/hook.binvox"}, "expected 8 .* got 12.*--resolution=8"),
        ({"voxels": "flat.binvox"}, "flat.binvox: .*cubic"),
        ({"voxels": "cut.binvox"}, "cut.binvox"),
        ({"voxels": "bad.obj"}, "bad.obj"),
        ({"voxels": "notes.txt"}, r"notes.txt: expected \.binvox or a mesh"),
        ({"voxels": "none.binvox"}, "none.binvox"),
        ({"model": "none"}, "--model"),
    ],
)
def test_bad_input_is_named_and_writes_nothing(root, tmp_path, change, message):
    with pytest.raises((ValueError, OSError), match=message) as caught:
        draw(root, tmp_path / "out", rotate=True, **change)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_the_program_takes_every_flag_of_the_original(root, tmp_path):
    done = programs.launch(
        "tools.render",
        f"--voxel_path={root}/grid8/hook.binvox",
        f"--model={root}/model",
        f"--render_dir={tmp_path}/out",
        *("--azimuth=10", "--elevation=80", "--radius=3.5"),
        *("--light_azimuth=200", "--light_elevation=70", "--rotate", "--nogif"),
    )
    assert done.returncode == 0, done.stderr
    names = [path.name for path in (tmp_path / "out").iterdir()]
    pattern = (
        r"\d{3}_hook_pose_\d+\.0{6}_80\.0{6}_3\.50{5}_light_200\.0{6}_70\.0{6}.png"
    )
    assert len(names) == 72 and all(re.fullmatch(pattern, name) for name in names)
    assert "wrote 72 files" in done.stdout


def test_the_program_tells_a_mistake_in_one_line(root, tmp_path):
    done = programs.launch(
        "tools.render",
        f"--voxel_path={root}/hook.obj",
        f"--model={root}/model",
        f"--render_dir={tmp_path}/out",
        "--radius=nan",
    )
    assert "--radius: expected a finite number" in programs.last_error(done)
    assert not (tmp_path / "out").exists()
