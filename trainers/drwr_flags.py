"""Flags of `trainers.drwr` beside the shared ones."""

from absl import flags as absl_flags

from tfrender.losses.point_silhouettes import POINT_LOSS_PRESETS, PointLossSettings
from tfrender.ops.project_occupancy import OccupancySettings
from trainers import flags

# Names of the originals' configuration.
ALIASES = {
    "pc_num_points": "points",
    "f_dim": "filters",
    "fc_dim": "hidden_size",
    "z_dim": "code_size",
    "step_size": "views_per_step",
    "vox_size": "grid",
    "gauss_threshold": "pair_width",
    "gauss_bias": "pair_bias",
    "ring_n": "rings",
    "sample_scale": "sample_share",
    "coord_weight": "lambda_unary",
    "potential_weight": "lambda_pair",
    "cd_weight": "lambda_chamfer",
    "proj_weight": "lambda_projection",
    "gt_pc_dir": "truth_dir",
    "max_number_of_steps": "steps",
}
_TERMS = ("unary", "pair", "sum", "entropy", "frame", "surface", "spread")
_SETTINGS = ("grid", "pair_width", "pair_bias", "rings")
FLAGS = absl_flags.FLAGS


def define() -> None:
    """Defines the flags, with the defaults of a small model on a CPU."""
    flags.define(learning_rate=1e-4, batch_size=8, steps=20_000, preset="small")
    f = absl_flags
    _define_model(f)
    _define_losses(f)
    _define_renderer(f)
    _define_optimizer(f)
    f.DEFINE_integer("views_per_step", 4, "Views of an object a step.", 1)
    f.DEFINE_integer("views_to_use", 0, "Of the first so many views; 0: all.", 0)
    f.DEFINE_bool(
        "random_views", True, "False: always the first views, and the first is seen."
    )
    f.DEFINE_list("classes", None, "Classes to train on; all where not given.")
    f.DEFINE_string("train_split", "train", "Split that is trained on.")
    f.DEFINE_string("held_out", "validation", "Split that is evaluated.")
    f.DEFINE_string(
        "truth_dir", None, "True points; DATA_DIR/truth where there is such a folder."
    )
    f.DEFINE_integer("truth_points", 4096, "True points of an object.", 1)
    f.DEFINE_integer("eval_views", 0, "Views evaluated, the first so many; 0: all.", 0)
    for old, new in ALIASES.items():
        f.DEFINE_alias(old, new)


def _define_model(f) -> None:
    for name, about in (
        ("points", "Points N of a cloud"),
        ("input_size", "Side of the network's picture"),
        ("filters", "Channels of the first convolution"),
        ("hidden_size", "Width of the dense layers"),
        ("code_size", "Width of the code"),
    ):
        f.DEFINE_integer(name, None, f"{about}; None: the preset's.", 1)
    flags.define_finite("decoder_stddev", 0.025, "Of the points' first weights.", 0)
    f.DEFINE_bool("unit_cube", True, "Points in (-0.5, 0.5)^3; else (-1, 1)^3.")
    f.DEFINE_bool("learn_scaling", True, "DPC: the occupancy of a point is learned.")
    flags.define_finite("scaling_maximum", 1.0, "DPC: largest occupancy.", 1e-6)
    f.DEFINE_string(
        "pretrained_path", None, "Checkpoint of an original, or an .npz of its arrays."
    )
    f.DEFINE_bool("predict_pose", False, "Poses are learned, cameras not read.")
    f.DEFINE_integer("pose_candidates", 4, "Guesses of a pose; 1: no ensemble.", 1)
    f.DEFINE_bool("student", True, "A head learns the choice among the candidates.")
    flags.define_finite("lambda_student", 20.0, "Weight of its loss.", 0)
    f.DEFINE_bool("align_student", False, "It is compared by turned points.")
    flags.define_finite("focal_length", 1.875, "Of predicted poses, widths.", 1e-3)
    flags.define_finite("camera_distance", 2.0, "Of predicted poses.", 1e-3)


def _define_losses(f) -> None:
    f.DEFINE_enum(
        "loss_preset", "balanced", list(POINT_LOSS_PRESETS), "Of all not given below."
    )
    for name in _TERMS:
        flags.define_finite(
            f"lambda_{name}", None, f"Weight of {name}; None: the preset's.", 0
        )
    flags.define_finite("lambda_chamfer", 0.0, "Weight of the Chamfer loss in 2D.", 0)
    f.DEFINE_bool("chamfer_squared", False, "Squared, as 2D projection matching.")
    flags.define_finite("lambda_projection", 0.0, "Weight of DPC's loss.", 0)
    f.DEFINE_integer("grid", None, "Pixels and voxels a side; None: the preset's.", 2)
    flags.define_finite("pair_width", None, "Square; None: the preset's.", 1e-6)
    flags.define_finite("pair_bias", None, "None: the preset's.", -50, 50)
    f.DEFINE_integer("rings", None, "None: the preset's.", 1, 64)
    flags.define_finite("sample_share", 1.0, "Share of the points scored.", 1e-6, 1)
    f.DEFINE_integer(
        "sample_points", 1000, "Points of a mask in the Chamfer loss, a step.", 1
    )
    flags.define_finite(
        "surface_from", 0.3, "Share of training before surface and spread act.", 0, 1
    )
    flags.define_finite("surface_full", 0.6, "Share until they act in full.", 0, 1)


def _define_renderer(f) -> None:
    f.DEFINE_integer("grid_depth", 0, "DPC: voxels along the depth; 0: --grid.", 0)
    flags.define_finite("sigma_start", 3.0, "DPC: blur at first, voxels.", 1e-3)
    flags.define_finite("sigma_end", 0.2, "DPC: blur at the end.", 1e-3)
    f.DEFINE_integer("kernel_size", 21, "DPC: taps of the blur, odd.", 1)
    flags.define_finite("keep_start", 0.07, "DPC: share drawn at first.", 1e-6, 1)
    flags.define_finite("keep_from", 0.0, "DPC: share of training until it grows.", 0)
    flags.define_finite("keep_to", 1.0, "DPC: share of training until all are.", 0)
    f.DEFINE_bool("keep_exponential", False, "DPC: not on a straight line.")
    f.DEFINE_bool("keep_scheduled", True, "DPC: False draws --keep_start always.")
    f.DEFINE_bool("max_projection", False, "DPC: the largest occupancy on a ray.")
    flags.define_finite("density_clip", 1e-5, "DPC: of occupancies.", 1e-7, 0.4)
    flags.define_finite("max_depth", 10.0, "DPC: depth of the background.", 0)


def _define_optimizer(f) -> None:
    flags.define_finite("weight_decay", 0.0, "Of half the squared kernels.", 0)
    flags.define_finite("lr_share", 1.0, "Share of steps before --lr_second.", 0, 1)
    flags.define_finite("lr_second", 1e-5, "Learning rate after --lr_share.", 0)
    flags.define_finite("lr_decay", 1.0, "Factor every --lr_decay_steps.", 0, 1)
    f.DEFINE_integer("lr_decay_steps", 10_000, "See --lr_decay.", 1)
    f.DEFINE_enum(
        "schedule", "steps", ["steps", "cosine"], "As above, or a cosine to 0."
    )
    f.DEFINE_integer("warmup_steps", 0, "Updates until the full learning rate.", 0)


def loss_settings() -> PointLossSettings:
    """DRWR's loss: the preset with what is given."""
    preset = POINT_LOSS_PRESETS[FLAGS.loss_preset]
    given = {name: FLAGS[f"lambda_{name}"].value for name in _TERMS}
    given.update({name: FLAGS[name].value for name in _SETTINGS})
    if FLAGS.predict_pose:
        # In a frame that is being learned there is no hull yet.
        for name in ("surface", "spread"):
            if given[name]:
                raise ValueError(
                    f"--lambda_{name}: expected 0 with --predict_pose; got "
                    f"{given[name]:g}."
                )
            given[name] = 0.0
    return preset._replace(**{k: v for k, v in given.items() if v is not None})


def occupancy_settings() -> OccupancySettings:
    """DPC's renderer."""
    if FLAGS.kernel_size % 2 == 0:
        raise ValueError(
            f"--kernel_size: expected an odd size; got {FLAGS.kernel_size}."
        )
    return OccupancySettings(
        grid=loss_settings().grid,
        grid_depth=FLAGS.grid_depth,
        taps=FLAGS.kernel_size,
        distance=FLAGS.camera_distance,
        background_depth=FLAGS.max_depth,
        max_projection=FLAGS.max_projection,
        clip=FLAGS.density_clip,
        as_released=FLAGS.loss_preset == "release",
    )


def model_settings() -> dict:
    """Arguments of `models.PointCloudReconstructor` that differ from the preset."""
    names = ("points", "input_size", "filters", "hidden_size", "code_size")
    given = {name: FLAGS[name].value for name in names}
    return {
        **{name: value for name, value in given.items() if value is not None},
        "decoder_stddev": FLAGS.decoder_stddev,
        "unit_cube": FLAGS.unit_cube,
        "scaling_maximum": FLAGS.scaling_maximum,
        "pose_candidates": FLAGS.pose_candidates if FLAGS.predict_pose else 0,
        "student": FLAGS.student,
    }
