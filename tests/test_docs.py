"""The code on the pages runs, in small, or is quoted from the program."""

import pathlib
import re
import textwrap

import numpy as np
import pytest

from tfrender import io
from tfrender.ops import default_form

ROOT = pathlib.Path(__file__).parents[1]
# Sizes of the pages, and the small ones that a test takes in their place.
SMALL = {
    "mesh_renderers.md": {"SIZE = (240, 320)": "SIZE = (12, 16)"},
    "fit_a_mesh.md": {
        "SIZE, LEVEL, STEPS = 128, 4, 800": "SIZE, LEVEL, STEPS = 16, 1, 8"
    },
    "drwr.md": {"SIZE, STEPS = 64, 300": "SIZE, STEPS = 16, 6"},
    "dvr.md": {},
    "dvr_data.md": {},
    "dvr_meshes.md": {},
    "drwr_data.md": {},
    "drwr_evaluation.md": {},
}


def blocks(page):
    """Python blocks of a page: those to run, and those quoted, as (file, text)."""
    found = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / page).read_text(), re.S)
    run, quoted = [], []
    for block in found:
        first, _, rest = block.partition("\n")
        if first.startswith("# tools/"):
            quoted.append((first[2:], rest.rstrip()))
        else:
            run.append(block)
    return run, quoted


def run(page):
    """Runs the blocks of a page one after the other; returns their names."""
    code = "\n".join(blocks(page)[0])
    for large, small in SMALL[page].items():
        assert code.count(large) == 1
        code = code.replace(large, small)
    names = {}
    with default_form("graph"):
        exec(compile(code, page, "exec"), names)
    return names


@pytest.fixture(autouse=True)
def inside_a_copy(tmp_path, monkeypatch):
    """A folder where the assets are found and nothing of the checkout is written."""
    (tmp_path / "tfrender").symlink_to(ROOT / "tfrender")
    monkeypatch.chdir(tmp_path)


def test_the_page_of_the_renderers_runs():
    names = run("mesh_renderers.md")
    assert names["pictures"]["rgb"].shape == (1, 12, 16, 3)
    assert names["sheet"]["alpha"].shape == (6, 12, 16, 1)
    assert float(names["loss"]) > 0.0


def test_the_guide_fits_a_mesh(tmp_path):
    names = run("fit_a_mesh.md")
    assert names["course"][-1] < names["course"][0]
    assert (tmp_path / "mesh.glb").stat().st_size > 1000


def test_the_page_of_point_clouds_fits_one():
    names = run("drwr.md")
    assert names["mask"].shape == (6, 16, 16, 1)
    assert names["course"][-1] < names["course"][0]


def test_the_page_of_posed_pictures_runs(tmp_path):
    names = run("dvr_data.md")
    assert float(names["depth_scale"][0]) == pytest.approx(2.0)
    eye = names["again"].world_to_camera[0, :3, 3]
    assert np.linalg.norm(eye) == pytest.approx(1.25)
    assert (tmp_path / "cameras.npz").exists()


def test_the_page_of_extracted_meshes_runs(tmp_path):
    surface = run("dvr_meshes.md")["surface"]
    assert not surface.notes
    mesh = io.load_mesh(str(tmp_path / "torus.ply"))
    assert len(mesh.faces) == len(surface.faces) > 1000


def test_the_page_of_silhouettes_and_cameras_runs(tmp_path):
    names = run("drwr_data.md")
    assert names["points"].shape == (5000, 2)
    assert (tmp_path / "camera_0.mat").exists()


def test_the_page_of_scores_runs(tmp_path):
    assert run("drwr_evaluation.md")["scores"]
    assert (tmp_path / "sphere.png").exists()


@pytest.mark.parametrize("page", SMALL)
def test_what_a_page_quotes_stands_in_the_file(page):
    for file, text in blocks(page)[1]:
        lines = (ROOT / file).read_text().splitlines()
        wanted = text.splitlines()
        windows = ("\n".join(lines[i : i + len(wanted)]) for i in range(len(lines)))
        assert any(textwrap.dedent(window) == text for window in windows), text


@pytest.mark.parametrize("page", SMALL)
def test_every_name_of_the_library_that_a_page_mentions_exists(page):
    import tfrender

    text = (ROOT / "docs" / page).read_text()
    pattern = (
        r"\b(?:tr\.)?(cameras|geometry|io|layers|losses|ops)\.(?!(?:md|npz)\b)(\w+)"
    )
    mentioned = set(re.findall(pattern, text))
    assert len(mentioned) > 1
    for room, name in mentioned:
        assert hasattr(getattr(tfrender, room), name), f"{room}.{name}"
