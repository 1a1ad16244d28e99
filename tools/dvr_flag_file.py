"""Writes the flag file that a configuration of the original DVR becomes.

Most keys become one flag; `_joined` decides those that depend on several keys. The
comments hold the commands for data, meshes and pictures.
"""

import pathlib
import shlex
from collections.abc import Mapping
from typing import Any

from datasets.dvr import layouts
from tools.config_keys import Key, command_lines, flag_text
from tools.dvr_config import encoder
from tools.dvr_config_keys import (
    KEYS,
    MESHES,
    PICTURES,
    RECORDS,
    SCORES,
    TRAINER,
)

_SPLITS = tuple(f"data.{name}_split" for name in ("train", "val", "test"))
# Fields of `layouts.Folders` by the flags of tools.make_dvr_records.
_FOLDERS = {
    "img_folder": "image",
    "mask_folder": "mask",
    "depth_folder": "depth",
    "hull_depth_folder": "hull_depth",
    "input_folder": "inputs",
}
# Bounds of memory, not of results: ours are used unless a file gives them.
_IF_GIVEN = ("model.depth_function_kwargs.max_points",)
# Decided together, see `_joined`.
_JOINED = (
    *("data.input_type", "model.encoder", "model.c_dim", "data.depth_range"),
    *("model.depth_function_kwargs.schedule_ray_sampling",),
    *("model.depth_function_kwargs.schedule_milestones",),
)


def flag_lines(
    config: Mapping[str, Any],
    given: frozenset[str],
    source: str,
    records: str,
    legacy: bool = False,
) -> list[str]:
    """Lines of a flag file, with the commands around the training as comments.

    Args:
        config: see `read_config`.
        given: see `read_config`.
        source: name of the YAML file.
        records: folder of the records to train on.
        legacy: keep the original's own masks, clamps and marches outside of the cube.

    Returns:
        lines, a comment above each flag.
    """
    lines = [
        "# python -m trainers.dvr --flagfile=THIS_FILE",
        f"# Made from {source!r} by tools.import_config.",
        "#",
        *_commands(config, given, records),
        "# Width of the networks; the flags below say the rest.",
        "--preset=paper",
        "# Made by the first command above.",
        f"--data_dir={records}",
        "# The original trains until it is stopped. This is about where its rate has",
        "# fallen for the last time; give your own.",
        f"--steps={_steps(config)}",
        "# Weights of the best evaluation.",
        "--export=best",
    ]
    for name, key in KEYS.items():
        if key.program != TRAINER or name in _JOINED:
            continue
        if name in _IF_GIVEN and name not in given:
            continue
        note = "" if name in given else " (Default.)"
        text = _text(config[name], key)
        if name in _SPLITS:
            text = _split(config, name)
            if config[name] is None:
                note = " (No list of objects: those trained on.)"
        lines += [f"# {key.about}{note}", f"--{key.flag}={text}"]
    return lines + _joined(config, legacy)


def _joined(config, legacy: bool) -> list[str]:
    """Flags that several keys decide."""
    kind = encoder(config, legacy)
    march = "model.depth_function_kwargs."
    doubling = config[f"{march}schedule_ray_sampling"]
    milestones = config[f"{march}schedule_milestones"] if doubling else []
    low, high = config["data.depth_range"]
    lines = [
        "# Of data.input_type and model.encoder."
        + (" The original builds it for resnet101." if legacy else ""),
        f"--encoder={kind}",
        "# Width of the code; 0 without one.",
        f"--code_size={config['model.c_dim']}",
        "# Steps at which the samples of a ray double.",
        f"--march_milestones={','.join(map(str, milestones))}",
        "# Occupied points lie at the depth maps where these are used.",
        f"--occupied_at_depth={str(config['model.lambda_depth'] > 0).lower()}",
        "# Normals of central differences.",
        "--normals=central",
        "# The gradient of the depth as it is, at grazing rays too.",
        "--least_cosine=0",
        "# The original's masks and clamps, its mistakes among them.",
        f"--legacy={str(legacy).lower()}",
    ]
    if not config[f"{march}check_cube_intersection"]:
        return [
            *lines,
            "# Depths of the march of every ray, in units of the object.",
            f"--outside_range={low:g},{high:g}",
        ]
    if not legacy:
        return [
            *lines,
            "# Rays that miss the cube are not marched; the original marches them over",
            f"# depths of {low:g} to {high:g} and can meet ghosts there (--legacy).",
            "--outside_range=",
        ]
    if config["data.dataset_name"] == "DTU":
        return [
            *lines,
            f"# {low:g} to {high:g} are units of the scene. Divide them by the scale",
            "# in scale_mat to march rays that miss the cube.",
            "--outside_range=",
        ]
    return [
        *lines,
        f"# {KEYS['data.depth_range'].about}",
        f"--outside_range={low:g},{high:g}",
    ]


def _steps(config) -> int:
    """Where the learning rate has fallen for the last time, in steps."""
    # An epoch sees every object (or view) once; so many there are in the data.
    views = config["data.n_views"]
    scene = config["data.split_model_for_images"] and views > 0
    in_epoch = views if scene else 30_000
    epochs = max(config["training.scheduler_milestones"], default=1000)
    return max(1, round(epochs * in_epoch / config["training.batch_size"]))


def _split(config, name: str) -> str:
    """Our name of a split; lists have others. Without a list all is one split."""
    if config[name] is None:
        return "train"
    return layouts.SPLITS.get(_layout(config), {}).get(config[name], config[name])


def _layout(config) -> str:
    return KEYS["data.dataset_name"].values[config["data.dataset_name"]]


def _commands(config, given, records: str) -> list[str]:
    """Comment lines: the commands before and after the training."""
    run = pathlib.PurePath(config["training.out_dir"])
    model = f"{run}/saved_model"
    meshes = run / config["generation.generation_dir"]
    pictures = config["data.dataset_name"] == "images"
    skip = {"output_dir", "split"}
    if config["test.threshold"] == config["model.depth_function_kwargs.tau"]:
        skip.add("threshold")  # the model has it
    given_meshes = _arguments(config, MESHES, skip)
    scans = config["data.classes"] or []
    if config["data.dataset_name"] == "DTU" and len(scans) == 1:
        scene = f"{config['data.path']}/{scans[0]}/{scans[0]}/cameras.npz"
        given_meshes.append(f"--world_scale={scene}")
    if pictures:
        given_meshes.append(f"--input_dir={config['data.path']}")
    elif config["model.c_dim"] > 0:
        split = _split(config, "data.test_split")
        given_meshes += [f"--data_dir={records}", f"--split={split}"]
    commands = {
        RECORDS: None if pictures else _record_arguments(config, given, records),
        MESHES: [f"--model={model}", f"--output_dir={meshes}", *given_meshes],
        SCORES: [
            *(f"--meshes={meshes}/meshes", f"--truth={config['data.path']}"),
            *_arguments(config, SCORES),
        ],
        PICTURES: [
            *(f"--model={model}", "--camera_path=CAMERAS.npz"),
            f"--render_dir={run / config['rendering.render_dir']}",
            *_arguments(config, PICTURES, skip=("render_dir",)),
        ],
    }
    about = {
        RECORDS: "Records of the data, once before the training:",
        MESHES: "Meshes of the trained model:",
        SCORES: "Their scores, where true points exist:",
        PICTURES: "Pictures at the cameras of a scene or an object:",
    }
    lines = []
    for program, arguments in commands.items():
        if arguments is None:
            continue
        words = [f"python -m {program}", *map(shlex.quote, arguments)]
        lines += [f"# {about[program]}", *command_lines(words), "#"]
    return lines


def _record_arguments(config, given, records: str) -> list[str]:
    """Flags of the record maker: what differs from the layout's own."""
    folders = layouts.LAYOUTS[_layout(config)]
    sees = encoder(config) not in ("none", "embedding")
    skip = set()
    for name, key in KEYS.items():
        if key.program != RECORDS:
            continue
        value, field = config[name], _FOLDERS.get(key.flag)
        same = field is not None and value == getattr(folders, field)
        unseen = key.flag.startswith("input_") and not sees
        everything = key.kind == "integer" and (value or 0) < 1
        own = key.flag.endswith(("extension", "_size")) and name not in given
        if same or unseen or everything or own:
            skip.add(key.flag)
    arguments = [*_arguments(config, RECORDS, skip), f"--output={records}"]
    lists = [config[name] for name in _SPLITS if config[name] is not None]
    if lists:
        arguments.append(f"--split={','.join(dict.fromkeys(lists))}")
    return arguments


def _arguments(config, program: str, skip=()) -> list[str]:
    """Flags of a tool out of the configuration."""
    found = []
    for name, key in KEYS.items():
        if key.program != program or key.flag in skip:
            continue
        text = _text(config[name], key)
        if text:
            found.append(f"--{key.flag}={text}")
    return found


def _text(value, key: Key) -> str:
    """A value as its flag takes it."""
    if key.flag == "march_samples":  # a range of one number: [n, n + 1)
        return str(value[0])
    return flag_text(value, key)
