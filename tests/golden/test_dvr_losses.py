"""Losses of the published DVR, with every random draw given."""

import numpy as np
import pytest
import tensorflow as tf

from tests.golden import cases, dvr_fields
from tests.golden.test_dvr_rays import pixels_of
from tfrender import cameras, losses, ops
from tfrender.ops.implicit_surface import SurfaceSettings

SYSTEM = dvr_fields.SYSTEM
# README: settings by the name of a file, the longest that it begins with.
_DTU = {
    "weights": {"normal": 0.1, "image_gradients": 1.0},
    "patch_size": 2,
    "depth_loss": "points",
    "far": 1400.0,
}
SETTINGS = {
    "loss_2d": {"samples": 32},
    "loss_2d_mean_nocube": {
        "samples": 16,
        "reduction": "mean",
        "use_cube": False,
        "always_freespace": False,
        "occupancy_normal": True,
    },
    "loss_2p5d_combined": {"samples": 128, "weights": {"depth": 10.0}},
    "loss_dtu_mvs": {
        **_DTU,
        "samples": 64,
        "weights": {**_DTU["weights"], "depth": 1.0},
    },
    "loss_dtu_sfm": {
        **_DTU,
        "samples": 16,
        "weights": {**_DTU["weights"], "sparse_depth": 1.0},
    },
}
# Names of the original's terms.
TERMS = {
    "rgb": "loss_rgb",
    "image_gradients": "loss_image_gradient",
    "depth": "loss_depth",
    "normal": "normal_loss",
    "freespace": "loss_freespace",
    "occupied": "loss_occupied",
    "sparse_depth": "loss_sparse_depth",
}
STEP = 1e-3  # README: from a point to its neighbour


class Case:
    """A batch of the original with its draws."""

    def __init__(self, path):
        self.arrays = cases.load(path)
        name = max(filter(path.stem.startswith, SETTINGS), key=len)
        settings = dict(SETTINGS[name])
        self.samples, far = settings.pop("samples"), settings.pop("far", 2.4)
        weights = losses.Weights(**settings.pop("weights", {}))
        self.settings = losses.VolumetricSettings(
            weights, normals="central", **settings
        )
        data = self.data
        image = np.transpose(data["img"], (0, 2, 3, 1))
        self.size = image.shape[1:3]
        matrices = (data[f"img.{n}"] for n in ("camera_mat", "world_mat", "scale_mat"))
        camera, scale = cameras.from_dvr(*matrices, self.size)
        self.scale = scale.numpy()
        self.far = far / float(self.scale[0])
        depth = data.get("img.depth")
        if depth is not None:
            depth = np.where(np.isfinite(depth), depth, 0.0)
            depth = depth / self.scale[:, np.newaxis, np.newaxis]
            depth = depth[..., np.newaxis].astype(np.float32)
        self.views = losses.Views(
            camera,
            image,
            data["img.mask"][..., np.newaxis].astype(np.float32),
            depth,
            None,
            self._sparse(),
        )
        self.code = data.get("inputs")
        self.field = dvr_fields.decoder("uncond" if self.code is None else "cond")
        if self.code is not None:
            self.code = tf.constant(self.code)

    @property
    def data(self):
        return {
            name.removeprefix("data."): value
            for name, value in self.arrays.items()
            if name.startswith("data.")
        }

    def _sparse(self):
        data = self.data
        if "sparse_depth.p_img" not in data:
            return None
        depth = data["sparse_depth.d"]
        return {
            "pixels": pixels_of(data["sparse_depth.p_img"], self.size),
            "points": data["sparse_depth.p_world"],
            "depth": depth / self.scale[:, np.newaxis],
            "mask": np.ones_like(depth),
        }

    def draws(self):
        """The original's draws; those of neighbours are listed by hit."""
        given = {
            name.removeprefix("in_train."): value
            for name, value in self.arrays.items()
            if name.startswith("in_train.")
        }
        free = given["p_freespace"]
        pixels = pixels_of(given["pixels"], self.size)
        draws = losses.Draws(pixels, free, given["p_occupancy"], np.zeros_like(free))
        mask = self.losses(draws)[1].mask.numpy()
        listed = STEP * (given["neighbour_rand"] - 0.5)
        assert np.count_nonzero(mask) == len(listed)
        draws.offsets[mask] = listed
        return draws

    def losses(self, draws):
        settings = SurfaceSettings(
            ops.MarchSettings(self.samples),
            outside_range=(0.0, self.far),
            legacy=True,
        )
        query = self.field.query(self.code)
        return losses.volumetric_losses(
            query, self.views, draws, self.settings, settings
        )


@pytest.mark.parametrize(
    "path", cases.holding(SYSTEM, "in_train.pixels"), ids=cases.name_of
)
def test_terms_and_gradients(path):
    case = Case(path)
    draws = case.draws()
    with tf.GradientTape(persistent=True) as tape:
        if case.code is not None:
            tape.watch(case.code)
        terms, _ = case.losses(draws)
        means = {name: tf.reduce_mean(term) for name, term in terms.items()}
        total = tf.add_n(list(means.values()))
    arrays = case.arrays
    np.testing.assert_allclose(total, arrays["train.loss"], rtol=1e-4)
    if np.array_equal(arrays["in_eval.pixels"], arrays["in_train.pixels"]):
        for name, mean in means.items():
            expected = arrays[f"eval.{TERMS[name]}"]
            limit = 2e-2 if name == "normal" else 1e-4
            np.testing.assert_allclose(mean, expected, rtol=limit, atol=1e-6)
    found = dvr_fields.gradients_by_name(case.field, tape, total)
    # README: differences of 1e-3 in float32 leave 2 % of this term to chance.
    noise = dvr_fields.gradients_by_name(case.field, tape, means["normal"])
    stored = {n[5:]: v for n, v in arrays.items() if n.startswith("grad.")}
    if case.code is not None:
        found["inputs"] = tape.gradient(total, case.code).numpy()
        noise["inputs"] = tape.gradient(means["normal"], case.code).numpy()
        stored["inputs"] = arrays["grad_inputs"]
    assert stored and set(stored) <= set(found)
    # Limits for all weights together: chance is not spread evenly.
    limit = 1e-3 * _largest(stored) + 2e-2 * _largest(noise)
    for name, expected in stored.items():
        np.testing.assert_allclose(
            found[name], expected, rtol=0, atol=limit, err_msg=name
        )


def _largest(arrays):
    return max(np.abs(array).max() for array in arrays.values())
