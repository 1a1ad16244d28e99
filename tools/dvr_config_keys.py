"""Every key of the original DVR's configuration, and where it goes here.

The defaults are those of its configs/default.yaml.
"""

from collections.abc import Mapping

from tools.config_keys import Key, count, number, path, switch, unused, word

TRAINER = "trainers.dvr"
RECORDS = "tools.make_dvr_records"
MESHES = "tools.generate_meshes"
SCORES = "tools.evaluate_meshes"
PICTURES = "tools.render"


def _weight(default, name, about) -> Key:
    return number(default, TRAINER, f"lambda_{name}", f"Weight of {about}.")


def _steps(default, flag, about) -> Key:
    return count(default, TRAINER, flag, about, low=0)


_ANY = {"low": -(10**9)}  # the original takes all below 1
_DATA = {
    "dataset_name": word(
        "Shapes3D",
        RECORDS,
        "layout",
        "Layout of the folders.",
        {"Shapes3D": "shapenet", "NMR": "nmr", "DTU": "dtu", "images": "images"},
    ),
    "path": path("data/ShapeNet", RECORDS, "input", "Folder of the data."),
    "classes": Key("texts", None, RECORDS, "classes", "Classes, or scans.", True),
    "input_type": word(
        "image",
        TRAINER,
        "encoder",
        "What the code comes from; see model.encoder.",
        {"image": "", "idx": "embedding", None: "none"},
    ),
    "dim": unused("integer", 3, "points have three coordinates", values={3: ""}),
    "n_views": count(0, RECORDS, "views", "Views of an object; 0: all.", **_ANY),
    "n_views_input": count(
        0, RECORDS, "input_views", "Encoder pictures of an object; 0: all.", **_ANY
    ),
    "pointcloud_chamfer_file": unused(
        "path",
        "pointcloud.npz",
        "`tools.evaluate_meshes` finds pointcloud.npz by itself",
    ),
    "depth_folder": path("depth", RECORDS, "depth_folder", "Depth maps."),
    "img_folder": path("image", RECORDS, "img_folder", "Pictures."),
    "visual_hull_depth_folder": path(
        "visual_hull_depth", RECORDS, "hull_depth_folder", "Depth maps of the hull."
    ),
    "mask_folder": path("mask", RECORDS, "mask_folder", "Masks."),
    "img_folder_input": path(
        "img_choy2016", RECORDS, "input_folder", "Encoder pictures."
    ),
    "img_extension": path("png", RECORDS, "img_extension", "Of the pictures."),
    "img_extension_input": path(
        "jpg", RECORDS, "input_extension", "Of the encoder pictures."
    ),
    "depth_extension": path("exr", RECORDS, "depth_extension", "Of depth maps."),
    "mask_extension": path("png", RECORDS, "mask_extension", "Of the masks."),
    "img_size": count(
        None, RECORDS, "image_size", "Shorter side in pixels.", optional=True
    ),
    "img_size_input": count(
        224, RECORDS, "input_size", "Side of the encoder pictures.", low=8
    ),
    "img_with_camera": unused("flag", True, "cameras are always read"),
    "img_with_mask": unused("flag", True, "masks are always read"),
    "train_split": path(
        "train", TRAINER, "train_split", "Split trained on.", optional=True
    ),
    "val_split": path("val", TRAINER, "held_out", "Split evaluated.", optional=True),
    "test_split": path(
        "test", MESHES, "split", "Split that meshes are made of.", optional=True
    ),
    "cache_fields": unused("flag", False, "small data stays in memory by itself"),
    "split_model_for_images": unused(
        "flag", False, "a scene of one object becomes one record a view by itself"
    ),
    "depth_from_visual_hull": switch(
        *(False, TRAINER, "depth_from_visual_hull"),
        "Occupied points lie on the visual hull.",
    ),
    "depth_range": Key(
        *("numbers", [0.0, 2.4], TRAINER, "outside_range"),
        "Depths of the march on rays that miss the cube.",
        low=0.0,
        high=1e6,
        length=2,
    ),
    "ignore_image_idx": Key(
        *("integers", [], RECORDS, "ignore_views", "Views left out."),
        low=0,
        high=10**6,
    ),
}
_DECODER = {
    "hidden_size": count(
        512, TRAINER, "hidden_size", "Width of the field's blocks.", high=65536
    ),
    "n_blocks": count(5, TRAINER, "blocks", "Blocks of the field.", high=1000),
    "leaky": switch(False, TRAINER, "leaky", "The field ends in a leaky ReLU."),
    "out_dim": count(
        *(4, TRAINER, "colors", "The field has colours."),
        values={4: "true", 1: "false"},
    ),
}
_MARCH = {
    "tau": number(
        0.5, TRAINER, "threshold", "Occupancy of the surface.", 1e-4, 1 - 1e-4
    ),
    "n_steps": Key(
        *("integers", [128, 129], TRAINER, "march_samples"),
        "Samples of a ray at the end and in evaluations.",
        low=2,
        high=2**20,
        length=2,
    ),
    "n_secant_steps": _steps(8, "refinement_steps", "Evaluations of the refinement."),
    "method": word(
        "secant",
        TRAINER,
        "refinement",
        "Search for the surface between two samples.",
        {"secant": "secant", "bisection": "bisection"},
    ),
    "check_cube_intersection": switch(
        True, TRAINER, "cube_intersection", "Rays are marched inside the cube."
    ),
    "max_points": count(
        3_700_000, TRAINER, "points_per_chunk", "Points evaluated at once."
    ),
    "schedule_ray_sampling": switch(
        *(True, TRAINER, "march_milestones"),
        "Fewer samples at first; see schedule_milestones.",
    ),
    "schedule_milestones": Key(
        *("integers", [50_000, 100_000, 250_000], TRAINER, "march_milestones"),
        "Steps at which the samples of a ray double.",
        low=1,
        high=10**9,
    ),
    "init_resolution": count(
        16, TRAINER, "march_start", "Samples of a ray at first.", low=2, high=2**20
    ),
}
_MODEL = {
    "decoder": unused("text", "simple", "the only one", values={"simple": ""}),
    "encoder": word(
        "resnet18",
        TRAINER,
        "encoder",
        "What makes the code.",
        {
            **{f"resnet{n}": f"resnet{n}" for n in (18, 34, 50, 101)},
            "simple_conv": "simple_conv",
            "idx": "embedding",
            None: "none",
        },
    ),
    **{f"decoder_kwargs.{name}": key for name, key in _DECODER.items()},
    "encoder_kwargs.normalize": unused(
        "flag", True, "the encoders normalise as published", values={True: ""}
    ),
    "encoder_kwargs.use_linear": unused(
        "flag", True, "the encoders end in a dense layer", values={True: ""}
    ),
    **{f"depth_function_kwargs.{name}": key for name, key in _MARCH.items()},
    "c_dim": count(256, TRAINER, "code_size", "Width of the code.", low=0, high=65536),
    "lambda_occupied": _weight(1.0, "occupied", "what must be occupied"),
    "lambda_freespace": _weight(1.0, "freespace", "what must be free"),
    "lambda_rgb": _weight(1.0, "rgb", "the colours"),
    "lambda_depth": _weight(0.0, "depth", "the depth maps"),
    "lambda_image_gradients": _weight(0.0, "image_gradients", "differences of pixels"),
    "lambda_sparse_depth": _weight(0.0, "sparse_depth", "the points of SfM"),
    "lambda_normal": _weight(0.05, "normal", "smooth normals"),
    "reduction_method": word(
        "sum",
        TRAINER,
        "reduction",
        "Over the rays of a picture.",
        {"sum": "sum", "mean": "mean"},
    ),
    "patch_size": count(1, TRAINER, "patch_size", "Side of patches of rays, pixels."),
}
_TRAINING = {
    "out_dir": path("out/00", TRAINER, "output_dir", "Folder of the run."),
    "batch_size": count(64, TRAINER, "batch_size", "Pictures a step."),
    "batch_size_val": count(
        32, TRAINER, "eval_batch_size", "Pictures evaluated at once."
    ),
    "print_every": count(10, TRAINER, "log_every", "Steps between lines of the log."),
    "checkpoint_every": unused(
        "integer", 200, "saved by time: `--checkpoint_minutes`, 10 by default"
    ),
    "visualize_every": _steps(
        10_000, "log_images_every", "Steps between pictures; 0: at the end."
    ),
    "validate_every": _steps(
        2000, "eval_every", "Steps between evaluations; 0: at the end."
    ),
    "backup_every": unused(
        "integer", 50_000, "the best weights are kept: `--export=best`"
    ),
    "learning_rate": number(1e-4, TRAINER, "learning_rate", "Of Adam."),
    "scheduler_milestones": Key(
        *("numbers", [750, 1000], TRAINER, "lr_milestones"),
        "Epochs after which the rate falls.",
        low=0,
        high=1e9,
    ),
    "scheduler_gamma": number(
        0.5, TRAINER, "lr_gamma", "What the rate is multiplied by there.", 0.0, 1.0
    ),
    "model_selection_metric": word(
        "loss",
        TRAINER,
        "best_metric",
        "What tells the best weights.",
        {
            "loss": "loss",
            "loss_rgb": "rgb",
            "loss_rgb_eval": "rgb_error",
            "loss_image_gradient": "image_gradients",
            "loss_depth": "depth",
            "loss_depth_eval": "depth_error",
            "normal_loss": "normal",
            "normal_loss_eval": "normal",
            "loss_sparse_depth": "sparse_depth",
            "loss_sparse_depth_val": "sparse_depth",
            "loss_freespace": "freespace",
            "loss_occupied": "occupied",
            "mask_intersection": "mask_intersection",
            "mask_iou": "mask_iou",
        },
    ),
    "model_selection_mode": word(
        "minimize",
        TRAINER,
        "best_mode",
        "Whether more of it is better.",
        {"minimize": "min", "maximize": "max"},
    ),
    "n_training_points": count(1024, TRAINER, "rays", "Rays of a picture a step."),
    "n_eval_points": count(4000, TRAINER, "eval_rays", "The same in evaluations."),
    "n_workers": unused("integer", 0, "tf.data chooses"),
    "logfile": unused("path", "train.log", "metrics.jsonl and TensorBoard instead"),
    "sample_continuous": switch(
        False, TRAINER, "sample_continuous", "Rays anywhere in a pixel."
    ),
    "overwrite_visualization": unused("flag", True, "the log keeps all pictures"),
    "occupancy_random_normal": switch(
        *(False, TRAINER, "occupancy_random_normal"),
        "Occupied points gather in the middle of the cube.",
    ),
    "depth_loss_on_world_points": switch(
        *(False, TRAINER, "depth_loss", "Distance along the depth or of the points."),
        values={True: "points", False: "planar"},
    ),
    "use_cube_intersection": switch(
        *(True, TRAINER, "use_cube_intersection"),
        "Random points lie inside the cube.",
    ),
    "always_freespace": switch(
        *(True, TRAINER, "always_freespace"),
        "All rays of the background must be free, or those that hit.",
    ),
    "multi_gpu": switch(
        *(False, TRAINER, "strategy", "Devices that share a batch."),
        values={True: "mirrored", False: "one"},
    ),
}
_TEST = {
    "eval_file_name": path(
        "eval_meshes", SCORES, "eval_file_name", "Beginning of the tables' names."
    ),
    "threshold": number(
        0.5, MESHES, "threshold", "Occupancy of the surface.", 1e-4, 1 - 1e-4
    ),
    "model_file": unused("text", "model_best.pt", "programs take --model"),
}
_GENERATION = {
    "batch_size": unused("integer", 1, "one object at a time, as in the original"),
    "vis_n_outputs": count(30, MESHES, "vis", "Objects of a class drawn.", low=0),
    "generation_dir": path("generation", MESHES, "output_dir", "Folder in the run."),
    "simplify_nfaces": count(
        None, MESHES, "simplify_faces", "Faces left.", optional=True
    ),
    "padding": number(0.0, MESHES, "padding", "Box side above 1."),
    "resolution_0": count(32, MESHES, "resolution", "Cells a side at first."),
    "upsampling_steps": count(3, MESHES, "upsampling_steps", "Doublings.", low=0),
    "refinement_step": count(30, MESHES, "refinement_steps", "Of the mesh.", low=0),
    "refine_max_faces": count(
        10_000, MESHES, "refine_max_faces", "Faces of such a step.", high=2**18
    ),
    "with_colors": switch(True, MESHES, "colors", "Vertices have colours."),
    "mesh_extension": word(
        "ply",
        MESHES,
        "mesh_extension",
        "Form of the files; OFF files become PLY.",
        {"ply": "ply", "obj": "obj", "glb": "glb", "off": "ply"},
    ),
}
_RENDERING = {
    "render_dir": path("rendering", PICTURES, "render_dir", "Folder in the run."),
    "colors": word(
        "rgb", PICTURES, "output", "What is drawn.", {"rgb": "rgb", "depth": "depth"}
    ),
    "resolution": Key(
        *("integers", [256, 256], PICTURES, "image_size", "Height and width."),
        low=1,
        high=16384,
        length=2,
    ),
    "extension": unused("path", "jpg", "always PNG, which loses nothing"),
    "n_views": count(1, PICTURES, "n_views", "Views."),
    "n_start_view": count(0, PICTURES, "first_view", "Number of the first.", low=0),
    "background": word(
        "white",
        PICTURES,
        "background",
        "Which the original ignores.",
        {"white": "white", "black": "black"},
    ),
    "ray_sampling_accuracy": Key(
        *("integers", [1024, 1025], PICTURES, "march_samples", "Samples of a ray."),
        low=2,
        high=2**20,
        length=2,
    ),
}
_TABLES = {
    "data": _DATA,
    "model": _MODEL,
    "training": _TRAINING,
    "test": _TEST,
    "generation": _GENERATION,
    "rendering": _RENDERING,
}
KEYS: Mapping[str, Key] = {
    "method": unused("text", "dvr", "the only one", values={"dvr": ""}),
    **{
        f"{section}.{name}": key
        for section, table in _TABLES.items()
        for name, key in table.items()
    },
}
SECTIONS = frozenset(
    name.rsplit(".", i)[0] for name in KEYS for i in range(1, name.count(".") + 1)
)
