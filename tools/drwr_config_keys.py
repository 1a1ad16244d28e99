"""Every key of the original DRWR's configuration, and where it goes here.

DRWR is a copy of DPC and shares its keys. The defaults are DRWR's; `DPC` holds what the
published runs of DPC use in their place.
"""

from collections.abc import Mapping
from typing import Any

from tools.config_keys import Key, count, number, path, switch, unused

TRAINER = "trainers.drwr"
RECORDS = "tools.make_drwr_records"
PREDICTIONS = "tools.predict_points"
SCORES = "tools.evaluate_points"
PARENT = "config"

_ANY = {"low": -(10**9)}


def _unread(kind, default, why="the original never reads it", **more) -> Key:
    return unused(kind, default, why, **more, read=False)


def _weight(default, name, about) -> Key:
    return number(default, TRAINER, f"lambda_{name}", f"Weight of {about}.")


def _share(default, flag, about, low=1e-6) -> Key:
    return number(default, TRAINER, flag, about, low=low, high=1.0)


_COLORS = "its colours train nothing in the original"
_MEMORY = "TensorFlow takes the memory that it needs"
_PICTURES = "see `tools.predict_points --png`"
_TARGETS = "silhouettes are compared as they are"
_PATHS = {
    "config": path(
        "", TRAINER, "flagfile", "Another file, whose values this one replaces."
    ),
    "test_step": unused("integer", 1, "programs take --model", low=0, high=10**9),
    "inp_dir": path("", TRAINER, "data_dir", "Folder of the records."),
    "synth_set": path("03001627", TRAINER, "classes", "Class, by id or name."),
    "checkpoint_dir": path(".", TRAINER, "output_dir", "Folder of the runs."),
    "save_predictions_dir": path(
        "pred", PREDICTIONS, "output_dir", "Folder in the run."
    ),
    "models_list": unused("path", "", "`predictions.json` lists all objects"),
    "gt_pc_dir": path("", TRAINER, "truth_dir", "Folder of the true points."),
    "eval_split": path("val", TRAINER, "held_out", "Split evaluated."),
}
_RECORDS = {
    "num_views": count(5, RECORDS, "views", "Views of an object.", high=99),
    "num_views_to_use": count(
        *(-1, TRAINER, "views_to_use"), "Views drawn from; 0: all.", low=-1
    ),
    "tfrecords_gzip_compressed": unused("flag", True, "told by the files themselves"),
    "image_size": count(
        128, RECORDS, "image_size", "Side of the pictures.", low=16, high=4096
    ),
    "saved_camera": unused("flag", True, "records always hold cameras"),
    "saved_depth": switch(False, RECORDS, "depth", "Depth maps too."),
    "step_size": count(4, TRAINER, "views_per_step", "Views of an object a step."),
    "batch_size": count(1, TRAINER, "batch_size", "Objects a step."),
    "shuffle_batch": _unread("flag", False),
    "shuffle_dataset": unused("flag", False, "objects always come in random order"),
    "variable_num_views": unused("flag", False, "every object has as many views"),
    "num_dataset_samples": unused(
        "integer", -1, "every object of a split is evaluated", **_ANY
    ),
}
_NETWORKS = {
    "encoder_name": unused("text", "encoder", "the only one", values={"encoder": ""}),
    "decoder_name": unused("text", "decoder", "the only one", values={"decoder": ""}),
    "z_dim": count(1024, TRAINER, "code_size", "Width of the code.", high=65536),
    "f_dim": count(
        16, TRAINER, "filters", "Channels of the first convolution.", high=4096
    ),
    "fc_dim": count(
        1024, TRAINER, "hidden_size", "Width of the dense layers.", high=65536
    ),
    "pc_num_points": count(1024, TRAINER, "points", "Points of a cloud.", high=2**20),
    "pc_decoder_init_stddev": number(
        *(0.025, TRAINER, "decoder_stddev"),
        "Spread of the decoder's first weights.",
    ),
    "pc_unit_cube": switch(
        *(True, TRAINER, "unit_cube"), "Points inside a cube of side 1, not 2."
    ),
    "pc_learn_occupancy_scaling": switch(
        *(True, TRAINER, "learn_scaling"), "The network scales the voxels."
    ),
    "pc_occupancy_scaling_maximum": number(
        1.0, TRAINER, "scaling_maximum", "Largest such factor."
    ),
    "decoder_conv_init_stdev": _unread("number", 0.02),
    "pc_rgb": unused("flag", False, _COLORS),
    "pc_rgb_stop_points_gradient": unused("flag", False, _COLORS),
    "pc_rgb_clip_after_conv": unused("flag", False, _COLORS),
    "pc_rgb_divide_by_occupancies": unused("flag", False, _COLORS),
    "pc_rgb_divide_by_occupancies_epsilon": unused("number", 0.01, _COLORS),
    "pc_rgb_deep_decoder": unused("flag", False, _COLORS),
}
_POSES = {
    "predict_pose": switch(
        *(False, TRAINER, "predict_pose"), "Cameras are predicted, not known."
    ),
    "pose_quaternion": unused(
        "flag", True, "cameras are matrices, made of quaternions where these are stored"
    ),
    "pose_predict_num_candidates": count(
        1, TRAINER, "pose_candidates", "Guesses of a pose.", high=64
    ),
    "pose_candidates_num_layers": _unread("integer", 3, low=1, high=64),
    "pose_predictor_student": switch(
        *(True, TRAINER, "student"), "One more head learns the best guess."
    ),
    "pose_predictor_student_loss_weight": _weight(20.0, "student", "that head"),
    "pose_student_align_loss": switch(
        *(False, TRAINER, "align_student"),
        "It is compared by rotated points, not by the angle.",
    ),
    "predict_translation": unused("flag", False, "poses are rotations"),
    "predict_translation_scaling_factor": _unread("number", 0.15),
    "predict_translation_tanh": _unread("flag", True),
    "predict_translation_init_stddev": _unread("number", 0.05),
    "focal_length": number(
        *(1.875, TRAINER, "focal_length"),
        "Of the cameras, in widths of the picture.",
        low=1e-3,
    ),
    "camera_distance": number(
        *(2.0, TRAINER, "camera_distance"),
        "Of predicted cameras from the object.",
        low=1e-3,
    ),
    "learn_focal_length": unused("flag", False, "the focal length is given"),
    "focal_length_range": unused("number", 1.0, "the focal length is given"),
    "focal_length_mean": unused("number", 2.0, "the focal length is given"),
    "focal_range": _unread("number", 0.7),
}
_VOXELS = {
    "vox_size": count(32, TRAINER, "grid", "Side of the loss grid.", low=2, high=1024),
    "vox_size_z": count(
        *(-1, TRAINER, "grid_depth"), "Its depth; 0: as its side.", low=-1, high=1024
    ),
    "voxel_grid_size": _unread("number", 2.0),
    "pc_relative_sigma": number(
        *(1.0, TRAINER, "sigma_start", "Blur of the voxels at first, in voxels."),
        low=1e-3,
    ),
    "pc_relative_sigma_end": number(
        0.2, TRAINER, "sigma_end", "Blur at the end.", low=1e-3
    ),
    "pc_gauss_kernel_size": count(
        11, TRAINER, "kernel_size", "Voxels that the blur reaches.", high=255
    ),
    "pc_separable_gauss_filter": unused("flag", True, "always three passes: the same"),
    "pc_fast": unused("flag", True, "always the fast voxels"),
    "pc_normalise_gauss": unused("flag", False, "of the slow voxels alone"),
    "pc_normalise_gauss_analytical": unused("flag", True, "of the slow voxels alone"),
    "pc_point_dropout": _share(
        1.0, "keep_start", "Share of the points that make voxels, at first ..."
    ),
    "pc_point_dropout_scheduled": switch(
        *(True, TRAINER, "keep_scheduled"), "... and all in the end ..."
    ),
    "pc_point_dropout_start_step": _share(
        0.0, "keep_from", "... from this part of the training ...", low=0.0
    ),
    "pc_point_dropout_end_step": _share(1.0, "keep_to", "... to this one ..."),
    "pc_point_dropout_exponential_schedule": switch(
        *(False, TRAINER, "keep_exponential"), "... by a constant factor a step."
    ),
    "ptn_max_projection": switch(
        *(False, TRAINER, "max_projection"),
        "Silhouettes are the largest voxel, not the product along a ray.",
    ),
    "max_depth": number(10.0, TRAINER, "max_depth", "Depth of the background."),
    "max_dataset_depth": unused("number", 10.0, "records say the scale of their depth"),
    "drc_logsum": unused("flag", True, "always in logarithms: the same product"),
    "drc_logsum_clip_val": number(
        *(1e-5, TRAINER, "density_clip"),
        "Voxels are kept so far from 0 and 1.",
        low=1e-7,
        high=0.1,
    ),
    "drc_tf_cumulative": unused("flag", True, "always TensorFlow's own sums"),
    "pc_gauss_filter_gt": unused("flag", False, _TARGETS),
    "pc_gauss_filter_gt_rgb": unused("flag", False, _TARGETS),
    "pc_gauss_filter_gt_switch_off": unused("flag", False, _TARGETS),
    "bicubic_gt_downsampling": unused("flag", False, _TARGETS),
}
_LOSSES = {
    "proj_weight": _weight(0.0, "projection", "DPC's silhouettes of voxels"),
    "drc_weight": _unread("number", 0.0),
    "drc_rgb_weight": _unread("number", 0.0),
    "proj_rgb_weight": _unread("number", 0.0),
    "proj_depth_weight": _unread("number", 0.0),
    "coord_weight": _weight(1.0, "unary", "points outside of the silhouette"),
    "potential_weight": _weight(3.0, "pair", "points close to each other"),
    "sum_weight": _weight(0.0, "sum", "the sum of distances, in place of the pairs"),
    "entropy_weight": _weight(0.0, "entropy", "the entropy of distances, likewise"),
    "cd_weight": _weight(0.0, "chamfer", "the Chamfer distance to points of the mask"),
    "gauss_threshold": number(
        *(5.0, TRAINER, "pair_width"),
        "Squared pixels over which pairs repel each other.",
        low=1e-6,
    ),
    "gauss_bias": number(
        *(3.5, TRAINER, "pair_bias"), "Logarithm of their repulsion.", low=-50, high=50
    ),
    "ring_n": count(5, TRAINER, "rings", "Rings of the sampler.", high=64),
    "sample_scale": _share(1.0, "sample_share", "Share of the points in the losses."),
}
_OPTIMIZER = {
    "learning_rate": number(1e-4, TRAINER, "learning_rate", "Of Adam."),
    "learning_rate_step": number(
        *(1.0, TRAINER, "lr_share"),
        "Part of the training after which it is ...",
        high=1.0,
    ),
    "learning_rate_2": number(1e-5, TRAINER, "lr_second", "... this one."),
    "decay": switch(
        *(False, TRAINER, "lr_decay"), "Factor of the rate; see decay_rate."
    ),
    "decay_rate": number(
        0.95, TRAINER, "lr_decay", "Factor of the rate.", low=1e-6, high=1.0
    ),
    "each_steps": count(
        10_000, TRAINER, "lr_decay_steps", "Steps between such factors."
    ),
    "weight_decay": number(
        0.001, TRAINER, "weight_decay", "Weight of the squared kernels."
    ),
    "clip_gradient_norm": _unread("number", 0.0),
    "max_number_of_steps": count(1_000_000, TRAINER, "steps", "Steps."),
    "gpu": unused("integer", 0, "CUDA_VISIBLE_DEVICES chooses", **_ANY),
    "gpu_allow_growth": unused("flag", False, _MEMORY),
    "per_process_gpu_memory_fraction": unused("number", 1.0, _MEMORY),
    "test_model": _unread("integer", 20_000, **_ANY),
    "compute_validation_loss": _unread("flag", True),
    "validation_interval": _unread("integer", 1000, **_ANY),
    "save_intermediate_pcs": _unread("flag", False),
    "save_intermediate_pcs_interval": _unread("integer", 5000, **_ANY),
}
_EVALUATION = {
    "save_predictions": unused(
        "flag", True, "`tools.predict_points` writes them, training does not"
    ),
    "save_as_mat": switch(
        *(True, PREDICTIONS, "format"),
        "Form of the files.",
        values={True: "mat", False: "npz"},
    ),
    "save_point_clouds": _unread("flag", True),
    "save_voxels": unused("flag", False, "clouds are evaluated, not voxels"),
    "save_rotated_points": _unread("flag", False),
    "save_individual_images": unused("flag", False, _PICTURES),
    "save_val_projection": _unread("flag", False),
    "save_val_projection_dir": _unread("path", False),
    "eval_unsupervised_shape": switch(
        *(False, SCORES, "align"),
        "Clouds of predicted poses are rotated onto the truth.",
        values={True: "auto", False: "none"},
    ),
    "pc_eval_chamfer_num_parts": unused(
        "integer", 5, "a k-d tree needs no parts", low=1, high=10**9
    ),
    "align_to_canonical": _unread("flag", False),
    "pose_accuracy_threshold": _unread("number", 30.0),
    "vis_size": count(
        128, PREDICTIONS, "png_size", "Side of a picture.", low=16, high=2048
    ),
    "vis_threshold": unused("number", 0.5, _PICTURES),
    "vox_threshold": _unread("number", 0.5),
    "vis_voxels": unused("flag", False, _PICTURES),
    "vis_depth_projs": unused("flag", False, _PICTURES),
    "vis_all_views": unused("flag", False, _PICTURES),
    "vox_marching_cubes_isosurface": _unread("number", 0.1),
    "vox_marching_cubes_dense": _unread("flag", False),
    "vis_azimuth": unused("number", 140.0, _PICTURES),
    "vis_elevation": unused("number", 15.0, _PICTURES),
    "vis_dist": unused("number", 2.0, _PICTURES),
    "render_image_size": unused("integer", 256, _PICTURES, low=1, high=16384),
    "render_cycles_samples": unused("integer", 500, "no Blender", low=1, high=10**9),
    "render_colored_subsets": unused("flag", False, _PICTURES),
}
KEYS: Mapping[str, Key] = {
    **_PATHS,
    **_RECORDS,
    **_NETWORKS,
    **_POSES,
    **_VOXELS,
    **_LOSSES,
    **_OPTIMIZER,
    **_EVALUATION,
}
# Another spelling -> the key.
SPELLINGS = {"vox_marching_cubes_isosurface_dense": "vox_marching_cubes_dense"}
# What the published runs of DPC use where DRWR has another default.
DPC: Mapping[str, Any] = {
    "vox_size": 64,
    "pc_gauss_kernel_size": 21,
    "pc_relative_sigma": 3.0,
    "pc_num_points": 8000,
    "pc_point_dropout": 0.07,
    "batch_size": 8,
    "max_number_of_steps": 600_000,
    "proj_weight": 1.0,
    "coord_weight": 0.0,
    "potential_weight": 0.0,
    "pose_predictor_student_loss_weight": 1.0,
    "pc_eval_chamfer_num_parts": 10,
}
