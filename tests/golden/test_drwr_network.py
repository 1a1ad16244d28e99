"""The published network of DRWR and DPC, with its weights."""

import numpy as np
import pytest

from tests.golden import cases
from tfrender.models import PointCloudReconstructor
from tfrender.models.published_points import load_published

PATHS = cases.holding("drwr", "w__encoder__Conv__weights", "out__xyz")


@pytest.mark.parametrize("path", PATHS, ids=cases.name_of)
def test_codes_points_and_scale(path):
    arrays = cases.load(path)
    image = arrays["image"]
    model = PointCloudReconstructor(
        points=arrays["out__xyz"].shape[1],
        input_size=image.shape[1],
        filters=arrays["w__encoder__Conv__weights"].shape[-1],
        hidden_size=arrays["out__z_latent"].shape[1],
        code_size=arrays["out__ids"].shape[1],
    )
    load_published(model, path)
    code = model.encode(image)
    found = {**code, **model.decode(code)}
    for name, key in (
        ("features", "conv_features"),
        ("latent", "z_latent"),
        ("code", "ids"),
        ("points", "xyz"),
        ("scale", "scaling"),
    ):
        np.testing.assert_allclose(
            found[name], arrays[f"out__{key}"], rtol=1e-5, atol=1e-5, err_msg=name
        )
    np.testing.assert_array_equal(model(image)["points"], found["points"])
