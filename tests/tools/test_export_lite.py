"""Claims of tools.export_lite."""

import numpy as np
import pytest

from tests.models.mini import MINI
from tfrender import models
from tfrender.export import lite, rendernet, saved_model
from tools import export_lite


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "mini"
    rendernet.write(str(folder), models.RenderNet(**MINI), shaded=True)
    return folder


def test_files_of_every_kind_draw_the_same_picture(exported, tmp_path):
    rows = export_lite.convert(
        str(exported), "serving_default", lite.KINDS, str(tmp_path)
    )
    assert [row["file"] for row in rows] == [f"mini.{k}.tflite" for k in lite.KINDS]
    assert rows[0]["max error"] < 1e-4
    assert all(row["psnr"] > 40 for row in rows)
    assert rows[1]["bytes"] < rows[0]["bytes"]
    for row in rows:
        assert row["file"] in export_lite.table(rows)


def test_the_shaded_signature_converts_with_its_names(exported, tmp_path):
    export_lite.convert(str(exported), "shaded", ["float32"], str(tmp_path))
    model = lite.LiteModel(str(tmp_path / "mini.float32.tflite"))
    assert set(model.inputs) == {"voxels", "pose", "light"}
    signature = saved_model.load_signature(str(exported), "shaded")
    inputs = export_lite.example_inputs(signature)
    expected = signature(**inputs)
    for name, value in model(**inputs).items():
        np.testing.assert_allclose(value, expected[name], atol=1e-3)


def test_an_unknown_kind_is_named_before_anything_is_written(exported, tmp_path):
    with pytest.raises(ValueError, match="int4"):
        export_lite.convert(str(exported), "serving_default", ["int4"], str(tmp_path))
    assert not list(tmp_path.iterdir())
