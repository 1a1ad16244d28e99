"""Mesh extraction and mesh scores of the published DVR."""

import re

import numpy as np
import pytest
import scipy.spatial
import tensorflow as tf
import trimesh

from tests.golden import cases, dvr_fields
from tfrender import metrics
from tfrender.geometry import extract_surface as surfaces
from tfrender.geometry.contains_points import contains_points
from tfrender.geometry.multiresolution_grid import MultiresolutionGrid
from tfrender.geometry.refine_surface import refine_surface
from tools import mesh_scores

SYSTEM = "dvr"
RUN = re.compile(r"(.*r(\d+)s(\d+)_)threshold")
LEAST_GAIN = 0.2  # of the refinement; this and the tolerances: README of the arrays


def runs():
    """Case, prefix of its arrays, coarse cells and steps: r8s2_dense has 8 and 2."""
    for path in cases.holding(SYSTEM, "*r*s*_threshold", "*r*s*_dense"):
        for match in filter(None, map(RUN.fullmatch, cases.load(path))):
            prefix, resolution, steps = match.groups()
            yield pytest.param(
                *(path, prefix, int(resolution), int(steps)),
                id=f"{path.stem}-{prefix}",
            )


GENERATED = cases.holding(SYSTEM, "vertices", "faces", "logit_at_vertices")
SCORED = cases.holding(SYSTEM, "m.*", "pred_points", "gt_points")


def mesh(vertices, faces):
    return trimesh.Trimesh(vertices, faces, process=False)


def hausdorff(first, second):
    there, back = (
        scipy.spatial.cKDTree(a).query(b)[0].max()
        for a, b in ((first, second), (second, first))
    )
    return max(there, back)


@pytest.mark.parametrize(("path", "prefix", "resolution", "steps"), runs())
def test_the_points_and_the_dense_grid_of_every_round(path, prefix, resolution, steps):
    arrays = cases.load(path)
    dense = arrays[f"{prefix}dense"]
    grid = MultiresolutionGrid(resolution, steps, float(arrays[f"{prefix}threshold"]))
    counts = []
    while len(points := grid.query()):
        expected = arrays[f"{prefix}round{len(counts)}_points"]
        assert set(map(tuple, points.tolist())) == set(map(tuple, expected.tolist()))
        counts.append(len(points))
        # Where a point was asked for, the dense grid holds the field's own value.
        grid.update(dense[tuple(points.T)])
    assert counts == arrays[f"{prefix}counts"].tolist()
    np.testing.assert_allclose(grid.dense(), dense, atol=1e-5)


@pytest.mark.parametrize(("path", "prefix", "resolution", "steps"), runs())
def test_the_mesh_of_a_field(path, prefix, resolution, steps):
    arrays = cases.load(path)
    dense, last = arrays[f"{prefix}dense"], resolution << steps

    def field(points):
        return dense[tuple(np.rint((points.T + 0.5) * last).astype(int))]

    found = surfaces.extract_surface(
        field,
        resolution=resolution,
        upsampling_steps=steps,
        threshold=float(arrays[f"{prefix}threshold"]),
    )
    vertices, faces = arrays[f"{prefix}mc_vertices"], arrays[f"{prefix}mc_faces"]
    assert found.vertices.shape == vertices.shape
    assert found.faces.shape == faces.shape
    assert found.evaluations == arrays[f"{prefix}counts"].sum()
    assert hausdorff(found.vertices, vertices) < 1e-5
    made = mesh(found.vertices, found.faces)
    assert made.is_watertight
    assert made.volume == pytest.approx(float(arrays[f"{prefix}volume"]), rel=1e-4)
    assert made.area == pytest.approx(float(arrays[f"{prefix}area"]), rel=1e-3)


def cells_of(vertices):
    """N of the grid of marching cubes: two coordinates are multiples of 1 / N."""
    for power in range(3, 11):
        units = (vertices + 0.5) * 2**power
        whole = np.abs(units - np.rint(units)) < 1e-3
        if (whole.sum(-1) >= 2).all():
            return 2**power
    raise ValueError("the vertices lie on no grid of 8 to 1024 cells")


def field_of(arrays):
    """The decoder among the cases that the mesh was made of."""
    for path in cases.holding(SYSTEM, "w.fc_p.weight"):
        weights = cases.load(path)
        if "w.fc_c.0.weight" in weights:
            continue
        field = dvr_fields.load_field(weights)
        logits = field(arrays["vertices"][np.newaxis])[0, :, 0]
        if np.allclose(logits, arrays["logit_at_vertices"], atol=1e-3):
            return tf.function(lambda points, field=field: field(points[tf.newaxis])[0])
    pytest.skip("the decoder of this mesh is not among the cases")


@pytest.mark.parametrize("path", GENERATED, ids=cases.name_of)
def test_the_mesh_of_a_decoder_and_its_colours(path):
    arrays = cases.load(path)
    field = field_of(arrays)
    cells = cells_of(arrays["vertices"])
    found = surfaces.extract_surface(
        lambda points: field(points).numpy()[:, 0],
        resolution=cells >> 2,
        upsampling_steps=2,
    )
    assert len(found.vertices) == len(arrays["vertices"])
    assert hausdorff(found.vertices, arrays["vertices"]) < 1e-4
    volume = mesh(found.vertices, found.faces).volume
    assert volume == pytest.approx(float(arrays["volume"]), rel=1e-3)
    colors = surfaces.vertex_colors(
        found.vertices, lambda points: tf.sigmoid(field(points)[:, 1:]).numpy()
    )
    near = scipy.spatial.cKDTree(arrays["vertices"]).query(found.vertices)[1]
    gap = colors.astype(int) - arrays["vertex_colors"][near]
    assert np.abs(gap).max() <= 2


@pytest.mark.parametrize("path", GENERATED, ids=cases.name_of)
def test_refinement_moves_faces_onto_the_surface(path):
    arrays = cases.load(path)
    field = field_of(arrays)
    before, faces = arrays["refine_v0"], arrays["refine_faces"]

    def error(vertices):
        logits = field(vertices[faces].mean(1))[:, 0]
        return float(tf.reduce_mean(tf.abs(tf.sigmoid(logits) - 0.5)))

    assert error(before) == pytest.approx(float(arrays["refine_before"]), rel=1e-3)
    refined = refine_surface(before, faces, lambda points: field(points)[:, 0])
    assert error(refined) <= (1.0 - LEAST_GAIN) * error(before)
    farthest = np.abs(arrays["refine_v1"] - before).max()
    assert np.abs(refined - before).max() < 2.0 * farthest


@pytest.mark.parametrize("path", GENERATED, ids=cases.name_of)
def test_simplification_keeps_the_volume(path):
    arrays = cases.load(path)
    target = int(arrays["simplify_faces"])
    made = surfaces.simplify_surface(arrays["vertices"], arrays["faces"], target)
    assert len(made[1]) == target
    volume = mesh(*made).volume
    assert volume == pytest.approx(float(arrays["simplify_volume"]), rel=1e-2)


@pytest.mark.parametrize("path", SCORED, ids=cases.name_of)
def test_the_scores_of_two_surfaces(path):
    arrays = cases.load(path)
    wanted = {k.removeprefix("m."): v for k, v in arrays.items() if k[:2] == "m."}
    thresholds = sorted({float(k.split("@")[1]) for k in wanted if "@" in k})
    sets = {
        name: mesh_scores.PointSet(arrays[f"{name}_points"], arrays[f"{name}_normals"])
        for name in ("gt", "pred")
    }
    found = mesh_scores.point_measures(sets["gt"], sets["pred"], thresholds)
    assert found.keys() >= wanted.keys()
    for name, value in wanted.items():
        assert found[name] == pytest.approx(float(value), abs=1e-5), name
    # The metrics of the library agree.
    points = [sets[name].points[np.newaxis] for name in ("gt", "pred")]
    for threshold in thresholds:
        scores = metrics.point_scores(*points, threshold)
        f_score = float(wanted[f"F@{threshold:.4f}"])
        assert float(scores["f_score"][0]) == pytest.approx(f_score, abs=1e-5)
    half = float(scores["chamfer_unsquared"][0]) / 2
    assert half == pytest.approx(float(wanted["chamferL1"]), abs=1e-5)
    both = [
        x for name in ("gt", "pred") for x in (sets[name].points, sets[name].normals)
    ]
    normals = metrics.normal_consistency(*(np.float32(x)[None] for x in both))
    assert float(normals[0]) == pytest.approx(float(wanted["normals"]), abs=1e-5)


@pytest.mark.parametrize("path", SCORED, ids=cases.name_of)
def test_the_iou_of_two_volumes(path):
    arrays = cases.load(path)
    inside = {}
    for name in ("gt", "pred"):
        inside[name] = contains_points(
            arrays[f"{name}_vertices"], arrays[f"{name}_faces"], arrays["iou_points"]
        )
        assert (inside[name] != arrays[f"occ_{name}"]).mean() <= 1e-3
    iou = mesh_scores.volume_iou(inside["gt"], inside["pred"])
    assert iou == pytest.approx(float(arrays["iou"]), abs=1e-3)
