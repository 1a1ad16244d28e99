"""Flags of `trainers.dvr` beside the shared ones."""

import math

from absl import flags as absl_flags

from tfrender.losses import volumetric
from tfrender.models import dvr
from tfrender.ops.march_rays import REFINEMENTS
from trainers import flags

# Names of the original's configuration.
ALIASES = {
    "n_training_points": "rays",
    "n_eval_points": "eval_rays",
    "c_dim": "code_size",
    "tau": "threshold",
    "n_secant_steps": "refinement_steps",
    "scheduler_milestones": "lr_milestones",
    "scheduler_gamma": "lr_gamma",
}
FLAGS = absl_flags.FLAGS


def define() -> None:
    """Defines the flags, with the defaults of a small scene on a CPU."""
    f = absl_flags
    flags.define(learning_rate=1e-3, batch_size=1, steps=10_000, preset="small")
    _define_model(f)
    _define_sampling(f)
    _define_losses(f)
    f.DEFINE_list("lr_milestones", [], "Epochs after which the rate falls.")
    flags.define_finite("lr_gamma", 0.5, "Factor of the rate at a milestone.", 0, 1)
    flags.define_finite("clip_norm", 0.0, "Longest gradient; 0 is any.", 0)
    f.DEFINE_list("classes", None, "Classes to train on; all where not given.")
    f.DEFINE_string("train_split", "train", "Split that is trained on.")
    f.DEFINE_string("held_out", "held_out", "Split that is evaluated.")
    f.DEFINE_string("best_metric", "mask_iou", "What chooses the best weights ...")
    f.DEFINE_enum("best_mode", "max", ["max", "min"], "... by its largest or smallest.")
    for old, new in ALIASES.items():
        f.DEFINE_alias(old, new)


def _define_model(f) -> None:
    f.DEFINE_enum("encoder", None, dvr.ENCODERS, "See models.DVR; None: the preset's.")
    f.DEFINE_integer("code_size", None, "Width of the code; None: the preset's.", 0)
    f.DEFINE_integer("hidden_size", None, "Width of the field; None: the preset's.", 1)
    f.DEFINE_integer("blocks", None, "Blocks of the field; None: the preset's.", 1)
    f.DEFINE_bool("leaky", False, "The field ends in a leaky ReLU.")
    f.DEFINE_integer(
        "frequencies", 0, "Octaves of sines of the coordinates; 0 as published.", 0, 16
    )
    flags.define_finite(
        "initial_radius", 0.0, "Begin as a sphere of this radius; 0: by luck.", 0, 0.5
    )
    f.DEFINE_bool("colors", True, "The field has colours.")
    f.DEFINE_string(
        "pretrained_path", None, "Weights of the encoder: .npz or .weights.h5."
    )


def _define_sampling(f) -> None:
    f.DEFINE_integer("rays", 1024, "Rays a picture and step.", 1)
    f.DEFINE_integer("eval_rays", 4096, "Rays a picture in evaluations; 0 is all.", 0)
    f.DEFINE_integer("patch_size", 1, "Side of the patches that rays come in.", 1)
    flags.define_finite(
        "object_share", 0.0, "Share of the rays drawn on or near the object.", 0, 1
    )
    f.DEFINE_bool("sample_continuous", False, "Rays between the centres of pixels.")
    flags.define_finite("threshold", 0.5, "Occupancy of the surface.", 1e-4, 0.9999)
    f.DEFINE_integer("march_samples", 64, "Samples of a ray in the end.", 2)
    f.DEFINE_integer("march_start", 16, "Samples of a ray at first, doubled ...", 2)
    f.DEFINE_list("march_milestones", [1000, 2500], "... at these steps.")
    f.DEFINE_enum("refinement", "secant", REFINEMENTS, "Between two samples.")
    f.DEFINE_integer("refinement_steps", 8, "Evaluations of the refinement.", 0)
    flags.define_finite("padding", 0.1, "Of the cube that rays are marched in.", 0, 10)
    f.DEFINE_bool("cube_intersection", True, "False marches all of --outside_range.")
    f.DEFINE_list(
        "outside_range", [], "Depths marched on rays that miss the cube; empty: none."
    )
    f.DEFINE_integer("rays_per_chunk", 4096, "Rays marched at once.", 1)
    f.DEFINE_integer(
        "points_per_chunk", None, "In place of it: points evaluated at once.", 1
    )
    flags.define_finite(
        "least_cosine", 0.3, "See ops.implicit_surface; 0 is the exact gradient.", 0, 1
    )
    f.DEFINE_bool("legacy", False, "The original's masks, clamps and pixel look-up.")


def _define_losses(f) -> None:
    weights = volumetric.Weights()
    for name, about in (
        ("rgb", "the colours on rays that meet the shape inside the mask"),
        ("depth", "the depth on the same rays"),
        ("normal", "smooth normals"),
        ("freespace", "background rays, which must be free"),
        ("occupied", "rays of the mask that meet nothing"),
        ("image_gradients", "differences of neighbours in patches"),
        ("sparse_depth", "points of known depth"),
    ):
        flags.define_finite(
            f"lambda_{name}", getattr(weights, name), f"Weight of {about}.", 0
        )
    f.DEFINE_enum("reduction", "sum", volumetric.REDUCTIONS, "Over the rays.")
    f.DEFINE_enum(
        "depth_loss", "planar", volumetric.DEPTH_LOSSES, "Depths or points compared."
    )
    f.DEFINE_enum("normals", "central", volumetric.NORMALS, "How they are computed.")
    f.DEFINE_bool("depth_from_visual_hull", False, "Occupied points lie on the hull.")
    f.DEFINE_bool("occupied_at_depth", False, "Occupied points lie at the depth map.")
    f.DEFINE_bool("use_cube_intersection", True, "Random points lie in the cube.")
    f.DEFINE_bool("always_freespace", True, "All background rays count.")
    f.DEFINE_bool("occupancy_random_normal", False, "Occupied points lie mid-way.")


def numbers(name: str, kind=float) -> list:
    """The values of a list flag.

    Args:
        name: of the flag.
        kind: type of the values.

    Returns:
        list.

    Raises:
        ValueError: naming the flag, for an entry that is no such number.
    """
    try:
        values = [kind(entry) for entry in FLAGS[name].value if str(entry).strip()]
    except ValueError:
        values = [math.nan]
    if not all(math.isfinite(v) and v >= 0 for v in values) or values != sorted(values):
        raise ValueError(
            f"--{name}: expected ascending numbers by comma; got "
            f"{','.join(map(str, FLAGS[name].value))!r}."
        )
    return values


def check(train, held_out) -> None:
    """Compares flags with each other and with the data.

    Args:
        train: metadata of the training split; see `datasets.dvr.pipeline.metadata`.
        held_out: of the evaluated one.

    Raises:
        ValueError: naming the flags, what they need and what was found.
    """
    for name in ("march_milestones", "lr_milestones", "outside_range"):
        numbers(name)
    span = numbers("outside_range")
    if len(span) not in (0, 2) or (not FLAGS.cube_intersection and not span):
        raise ValueError(
            "--outside_range: expected two depths, NEAR,FAR; got "
            f"{','.join(FLAGS.outside_range) or 'none'!r}."
        )
    _check_data(train, held_out)
    _check_patches(train)
    if FLAGS.depth_from_visual_hull and FLAGS.lambda_depth:
        raise ValueError(
            "--depth_from_visual_hull and --lambda_depth: expected one of the two, "
            "because both say where occupied points lie; got both."
        )
    if not FLAGS.colors and (FLAGS.lambda_rgb or FLAGS.lambda_image_gradients):
        raise ValueError(
            "--colors=false: expected --lambda_rgb=0 and --lambda_image_gradients=0."
        )
    known = metrics(held_out)
    if FLAGS.best_metric not in known:
        raise ValueError(
            f"--best_metric: expected one of {known}; got {FLAGS.best_metric!r}."
        )


def metrics(held_out) -> list[str]:
    """Names of what an evaluation measures.

    Args:
        held_out: metadata of the evaluated split.

    Returns:
        list, sorted.
    """
    names = {"loss", "mask_iou", "mask_intersection"}
    names |= {n for n in volumetric.Weights._fields if FLAGS[f"lambda_{n}"].value}
    if FLAGS.lambda_rgb or FLAGS.lambda_image_gradients:
        names |= {"psnr", "rgb_error"}
    if held_out["depth"]:
        names.add("depth_error")
    return sorted(names)


def _check_data(train, held_out) -> None:
    """Both splits must hold what the flags need, in one size."""
    for flag, entry in (
        ("lambda_depth", "depth"),
        ("depth_from_visual_hull", "hull_depth"),
        ("lambda_sparse_depth", "sparse"),
    ):
        if FLAGS[flag].value and not (train[entry] and held_out[entry]):
            raise ValueError(
                f"--{flag}={FLAGS[flag].value:g}: expected records with `{entry}` in "
                "both splits; make them with tools.make_dvr_records."
            )
    for entry in ("image_size", "input_size"):
        if train[entry] != held_out[entry]:
            raise ValueError(
                f"--train_split and --held_out: expected one {entry}; got "
                f"{train[entry]} and {held_out[entry]}."
            )


def _check_patches(train) -> None:
    """Patches must fit into pictures and numbers of rays."""
    side = FLAGS.patch_size
    if FLAGS.lambda_image_gradients and side < 2:
        raise ValueError(
            f"--lambda_image_gradients: expected --patch_size=2 or more; got {side}."
        )
    if side > min(train["image_size"]):
        raise ValueError(
            f"--patch_size: expected at most {min(train['image_size'])}, the shorter "
            f"side of the pictures; got {side}."
        )
    rays = [FLAGS.rays] + [FLAGS.eval_rays] * (FLAGS.eval_rays > 0)
    if side**2 > min(rays):
        raise ValueError(
            f"--patch_size={side}: expected --rays and --eval_rays of at least "
            f"{side**2}; got {min(rays)}."
        )
    if side > 1 and FLAGS.object_share:
        raise ValueError(
            f"--object_share: expected 0 with --patch_size={side}; got "
            f"{FLAGS.object_share:g}."
        )
