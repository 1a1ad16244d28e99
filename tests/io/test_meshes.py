"""Claims of tfrender.io.meshes: OBJ with MTL, and what all formats share."""

import logging
import pathlib

import numpy as np
import pytest

import tfrender
from tfrender import io

ASSETS = pathlib.Path(tfrender.__file__).parent / "assets" / "meshes"
TRIANGLE = "v 0 0 0\nv 1 0 0\nv 0 1 0\n"
SQUARE = "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\n"
GREY = np.full([2, 2, 3], 99, np.uint8)


@pytest.fixture
def load(tmp_path):
    """Writes files (name -> text or bytes) and loads the first as a mesh."""

    def run(text, name="x.obj", strict=True, **others):
        for key, content in {name: text, **others}.items():
            path = tmp_path / key.replace("_mtl", ".mtl").replace("_png", ".png")
            data = content if isinstance(content, bytes) else content.encode("latin-1")
            path.write_bytes(data)
        return io.load_mesh(tmp_path / name, strict=strict)

    return run


def refused(load, text, *words, **options):
    with pytest.raises(io.FormatError) as error:
        load(text, **options)
    message = str(error.value)
    assert "\n" not in message and "x." in message
    for word in words:
        assert word in message


def test_a_triangle_has_all_fields_with_their_types(load):
    mesh = load(TRIANGLE + "f 1 2 3\n")
    assert mesh.vertices.dtype == np.float32 and mesh.faces.dtype == np.int32
    assert mesh.faces.tolist() == [[0, 1, 2]] and mesh.uv is None
    assert mesh.face_material.tolist() == [0] and len(mesh.materials) == 1
    assert mesh.vertex_colors is None


@pytest.mark.parametrize(
    "text",
    [
        TRIANGLE + "f -3 -2 -1",
        (TRIANGLE + "f 1 2 3\n").replace("\n", "\r\n"),
        "# caf\xe9\n" + TRIANGLE + "f 1 2 3 # end",
        "\xef\xbb\xbf" + TRIANGLE + "f 1 2 3",
        "\tv  0 0\t0\nv 1e0 0 0\nv 0 +1.0E+0 0 1.0\nvn 0 0 1\ns off\nf 1//1 2//1 3//1",
        TRIANGLE + "f 1 2 \\\n3\n",
        "f 1 2 3\n" + TRIANGLE,
    ],
    ids=["relative", "crlf", "latin-1", "bom", "tabs", "continuation", "face first"],
)
def test_harmless_variants_give_the_same_triangle(load, text):
    mesh = load(text)
    assert mesh.faces.tolist() == [[0, 1, 2]]
    assert mesh.vertices.tolist() == [[0, 0, 0], [1, 0, 0], [0, 1, 0]]


def test_relative_indices_count_from_the_line_where_they_stand(load):
    mesh = load(TRIANGLE + "f -3 -2 -1\nv 5 5 5\nf -4 -3 -1\n")
    assert mesh.faces.tolist() == [[0, 1, 2], [0, 1, 3]]


def test_polygons_become_fans_and_keep_their_material(load):
    text = SQUARE + "v 0 0 1\nusemtl a\nf 1 2 3 4 5\nusemtl b\nf 1 2 3\nf 1 2 3 4\n"
    mesh = load(text + "usemtl a\nf 1 2 5\n")
    fans = [[0, 1, 2], [0, 2, 3], [0, 3, 4], [0, 1, 2], [0, 1, 2], [0, 2, 3], [0, 1, 4]]
    assert mesh.faces.tolist() == fans
    assert mesh.face_material.tolist() == [0, 0, 0, 1, 1, 1, 0]
    assert [m.name for m in mesh.materials] == ["a", "b"]


def test_corners_keep_their_own_uv_and_mixed_faces_get_zeros(load):
    text = (
        SQUARE + "vt 0.5 2\nvt -1\nvt 0 1 0\nf 1/3 2/1 3/-1\nf 1 3 4\nf 1//1 2/2/1 3\n"
    )
    mesh = load(text)
    assert mesh.uv[0].tolist() == [[0, 1], [0.5, 2], [0, 1]]
    assert mesh.uv[1].tolist() == [[0, 0]] * 3
    assert mesh.uv[2].tolist() == [[0, 0], [-1, 0], [0, 0]]
    assert len(mesh.vertices) == 4  # seams split no vertex


def test_vertex_colours_are_read_and_bytes_are_scaled(load):
    mesh = load("v 0 0 0 1 0 0\nv 1 0 0 0 1 0\nv 0 1 0 0 0 0.5\nf 1 2 3\n")
    assert mesh.vertex_colors.tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 0.5]]
    mesh = load("v 0 0 0 255 0 0\nv 1 0 0 0 51 0\nv 0 1 0 0 0 0\nf 1 2 3\n")
    np.testing.assert_allclose(mesh.vertex_colors[1], [0, 0.2, 0])


def test_degenerate_faces_are_kept(load):
    assert load(TRIANGLE + "f 1 1 2\nf 1 2 3\n").faces.tolist() == [
        [0, 0, 1],
        [0, 1, 2],
    ]


@pytest.mark.parametrize(
    "text, words",
    [
        ("", "no faces"),
        (TRIANGLE, "no faces (3 vertices)"),
        (TRIANGLE + "f 1 2 4\n", "line 4: expected vertex indices 1..3"),
        (TRIANGLE + "f 0 1 2\n", "line 4: expected vertex indices"),
        (TRIANGLE + "f -4 1 2\n", "line 4: expected vertex indices"),
        (TRIANGLE + "f 1 2\n", "line 4: expected a face of at least 3"),
        (TRIANGLE + "f 1 b 3\n", "line 4"),
        (TRIANGLE + "f 1 2.5 3\n", "line 4"),
        (TRIANGLE + "f 1/x 2 3\n", "line 4"),
        ("v nan 0 0\n", "line 1: expected finite"),
        ("v 0 inf 0\n", "line 1: expected finite"),
        ("v 0 1e999 0\n", "line 1: expected finite"),
        ("v a b c\n", "line 1: expected finite"),
        ("v 0 0\n", "line 1"),
        ("v 1e30 0 0\nv 0 0 0\nv 0 1 0\nf 1 2 3\n", "1e+15"),
        (TRIANGLE + "vt 0 0\nf 1/2 2/1 3/1\n", "texture coordinate indices 1..1"),
        (TRIANGLE + "vt 0 0\nf 1/0 2/1 3/1\n", "texture coordinate indices 1..1"),
        (TRIANGLE + "vt 0 0\nf 1/-2 2/1 3/1\n", "texture coordinate indices 1..1"),
        (TRIANGLE + "vt nan 0\nf 1/1 2/1 3/1\n", "line 4"),
        (TRIANGLE + "vt 1e300 0\nf 1/1 2/1 3/1\n", "texture coordinates below"),
        (TRIANGLE + "f 1 2 3\n\0\0", "line 5: expected text; got NUL"),
        (TRIANGLE + "#" * 2**20 + "\nf 1 2 3\n", "line 4: expected lines below 1 MiB"),
    ],
)
def test_broken_obj_is_refused_with_line_and_reason(load, text, words):
    refused(load, text, words)


def test_continued_lines_are_limited_too(load):
    refused(load, TRIANGLE + "f 1 2 3 \\\n" * 200_000, "1 MiB")


def test_wrong_uv_indices_are_dropped_on_request(load, caplog):
    mesh = load(TRIANGLE + "vt 0 0\nf 1/2 2/1 3/1\n", strict=False)
    assert mesh.uv is None and len(caplog.records) == 1


def test_materials_are_read_with_textures(load, tmp_path):
    io.write_png(tmp_path / "a b.png", GREY)
    text = "mtllib x.mtl\n" + TRIANGLE + "usemtl red one\nf 1 2 3\nusemtl t\nf 1 2 3\n"
    mtl = "newmtl red one\nKd 1 0.5 0\nd 0.25\nnewmtl t\nTr 0.5\n"
    mtl += "map_Kd -s 1 1 1 -clamp on a b.png\nnewmtl unused\nmap_Kd none.png\n"
    red, textured = load(text, x_mtl=mtl).materials
    assert red == ("red one", (1.0, 0.5, 0.0), 0.25, None)
    assert textured.opacity == 0.5
    np.testing.assert_array_equal(textured.texture, GREY)


@pytest.mark.parametrize(
    "mtl, words",
    [
        (None, "not found"),
        ("newmtl m\nmap_Kd none.png\n", "material m"),
        ("newmtl m\nmap_Kd ../outside.png\n", "outside"),
        ("newmtl m\nmap_Kd /etc/outside.png\n", "outside"),
        ("newmtl m\nmap_Kd ..\\outside.png\n", "outside"),
        ("newmtl m\nmap_Kd link.png\n", "outside"),
    ],
)
def test_missing_or_outside_textures_give_one_warning(
    load, tmp_path, caplog, mtl, words
):
    folder = tmp_path / "inner"
    folder.mkdir()
    io.write_png(tmp_path / "outside.png", GREY)
    (folder / "link.png").symlink_to(tmp_path / "outside.png")
    if mtl is not None:
        (folder / "x.mtl").write_text(mtl)
    (folder / "x.obj").write_text("mtllib x.mtl\n" + TRIANGLE + "usemtl m\nf 1 2 3\n")
    with caplog.at_level(logging.WARNING):
        mesh = io.load_mesh(folder / "x.obj")
    assert mesh.materials[0].texture is None
    assert len(caplog.records) == 1
    message = caplog.records[0].getMessage()
    assert words in message and "x." in message and "\n" not in message


def test_an_outside_file_is_opened_only_on_request(tmp_path):
    folder = tmp_path / "inner"
    folder.mkdir()
    io.write_png(tmp_path / "outside.png", GREY)
    (tmp_path / "x.mtl").write_text("newmtl m\nmap_Kd outside.png\n")
    text = "mtllib ../x.mtl\n" + TRIANGLE + "usemtl m\nf 1 2 3\n"
    (folder / "x.obj").write_text(text)
    assert io.load_mesh(folder / "x.obj").materials[0].texture is None
    mesh = io.load_mesh(folder / "x.obj", allow_outside=True)
    np.testing.assert_array_equal(mesh.materials[0].texture, GREY)


def test_broken_materials_are_refused_or_dropped(load, caplog):
    text = "mtllib x.mtl\n" + TRIANGLE + "usemtl m\nf 1 2 3\n"
    for line in ("Kd 1 a 0", "Kd 1 1", "Kd nan 0 0", "d x"):
        refused(load, text, "x.mtl, line 2", x_mtl=f"newmtl m\n{line}\n")
    mtl = "newmtl m\nmap_Kd t.png\n"
    with pytest.raises(io.FormatError, match=r"t\.png"):
        load(text, x_mtl=mtl, t_png="junk")
    assert (
        load(text, strict=False, x_mtl=mtl, t_png="junk").materials[0].texture is None
    )
    assert "t.png" in caplog.records[-1].getMessage()


def test_unknown_keywords_give_one_warning(load, caplog):
    load("hello 1\nhello 2\nthere\n" + TRIANGLE + "f 1 2 3\n")
    assert len(caplog.records) == 1 and "3 lines" in caplog.records[0].getMessage()


def test_unknown_suffixes_and_missing_files_are_told(load, tmp_path):
    refused(load, "", ".obj, .off, .ply", name="x.fbx")
    with pytest.raises(FileNotFoundError, match=r"none\.obj"):
        io.load_mesh(tmp_path / "none.obj")


@pytest.mark.parametrize(
    "vertices, faces, words",
    [
        (np.zeros([3, 2]), [[0, 1, 2]], "vertices [N, 3]"),
        (np.zeros([3, 3]), [0, 1, 2], "faces [N, 3]"),
        (np.zeros([3, 3]), np.zeros([0, 3], int), "no faces"),
        (np.zeros([3, 3]), [[0.0, 1.0, 2.0]], "integer faces"),
        (np.zeros([3, 3], complex), [[0, 1, 2]], "real vertices"),
        (np.full([3, 3], np.nan), [[0, 1, 2]], "vertex 0"),
        (np.full([3, 3], np.inf), [[0, 1, 2]], "vertex 0"),
        (np.zeros([3, 3]), [[0, 1, 2], [0, 1, 3]], "face 1 = [0, 1, 3]"),
        (np.zeros([3, 3]), [[0, 1, -1]], "face 0"),
    ],
)
def test_validate_mesh_names_the_first_fault(vertices, faces, words):
    with pytest.raises(io.FormatError) as error:
        io.validate_mesh(vertices, faces, "here")
    assert str(error.value).startswith("here: ") and words in str(error.value)


def test_coincident_faces_are_found_by_place_and_the_first_stays():
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 0], [0, 0, 1.0]])
    faces = np.array([[0, 1, 2], [2, 1, 3], [0, 1, 4], [1, 2, 0], [4, 3, 1]])
    left, kept = io.remove_coincident_faces(vertices, faces)
    assert kept.tolist() == [0, 2] and left.tolist() == faces[[0, 2]].tolist()


PATHS = sorted(ASSETS.glob("*/*.obj"))


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_bundled_meshes_load_and_keep_their_promises(path, caplog):
    mesh = io.load_mesh(path)
    assert not caplog.records
    low, high = mesh.vertices.min(0), mesh.vertices.max(0)
    np.testing.assert_allclose(low + high, 0, atol=2e-4)
    np.testing.assert_allclose(np.linalg.norm(high - low), 1, atol=2e-4)
    text = path.with_suffix(".mtl").read_text()
    textured = [m for m in mesh.materials if m.texture is not None]
    assert len(textured) == text.count("map_Kd") and len(mesh.materials) >= 1
    assert (mesh.uv is not None) == bool(textured)
    _, kept = io.remove_coincident_faces(mesh.vertices, mesh.faces)
    assert len(kept) == len(mesh.faces)


def test_every_bundled_mesh_is_credited_and_in_one_split():
    import json

    split = json.loads((ASSETS / "split.json").read_text())
    names = {f"{path.parent.name}__{path.stem}" for path in PATHS}
    assert sorted(sum(split.values(), [])) == sorted(names)
    assert len({name.split("__")[0] for name in split["test"]}) == len(split["test"])
    credits = (ASSETS.parent / "CREDITS.md").read_text()
    paths = (name.replace("__", "/", 1) for name in names)
    assert all(f"meshes/{path}.obj" in credits for path in paths)
