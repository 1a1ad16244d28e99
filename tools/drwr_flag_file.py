"""Writes the flag file that a configuration of the original DRWR, or of DPC, becomes.

Most keys become one flag; `_joined` decides those that depend on several keys. The
comments hold the commands for data, predictions and scores.
"""

import pathlib
import shlex
from collections.abc import Mapping
from typing import Any

from tools.config_keys import command_lines, flag_text
from tools.drwr_config_keys import (
    KEYS,
    PREDICTIONS,
    RECORDS,
    SCORES,
    TRAINER,
)

_SPLITS = {"val": "validation"}  # the original's names -> ours
# Decided together, see `_joined`.
_JOINED = (
    *("config", "inp_dir", "checkpoint_dir"),
    *("decay", "decay_rate", "weight_decay"),
)


def flag_lines(
    config: Mapping[str, Any],
    given: frozenset[str],
    source: str,
    records: str,
    modern: bool = False,
    dpc: bool = False,
) -> list[str]:
    """Lines of a flag file, with the commands around the training as comments.

    Args:
        config: see `drwr_config.read_config`.
        given: see `drwr_config.read_config`.
        source: name of the YAML file.
        records: folder of the records to train on.
        modern: only what is given, the rest as tfrender does it; otherwise everything
            as the original does it.
        dpc: the original is DPC.

    Returns:
        lines, a comment above each flag.
    """
    lines = [
        "# python -m trainers.drwr --flagfile=THIS_FILE",
        f"# Made from {source!r} by tools.import_config.",
        "#",
        *_commands(config, records, given),
        *_without_effect(config, given),
        "# Widths of the networks; the flags below say the rest.",
        f"--preset={'dpc' if dpc else 'paper'}",
        "# Records of the first command above.",
        f"--data_dir={records}",
        "# The original's name for this run.",
        f"--output_dir={_run(config)}",
    ]
    if not modern:
        lines += _as_original(dpc)
    for name, key in KEYS.items():
        wanted = name in given or not modern
        if key.program != TRAINER or name in _JOINED or not wanted:
            continue
        text = _text(name, config[name])
        if text:
            note = "" if name in given else " (Default.)"
            lines += [f"# {key.about}{note}", f"--{key.flag}={text}"]
    return lines + _joined(config, given, modern, dpc)


def _as_original(dpc: bool) -> list[str]:
    """Flags of what the original does without a key for it."""
    views = "# The first views of an object, never the others; the network sees view 0."
    if dpc:
        views = "# Views drawn at random; the network sees the first of them."
    return [
        "# The original's losses as they are, its mistakes among them; the page of the",
        "# system, docs/drwr.md, has the better preset.",
        "--loss_preset=release",
        views,
        f"--random_views={str(dpc).lower()}",
        "# The original evaluates as often.",
        "--eval_every=10000",
    ]


def _joined(config, given, modern: bool, dpc: bool) -> list[str]:
    """Flags that several keys decide, or that have no single value."""
    lines = []
    if not modern or "image_size" in given:
        lines += [
            "# Side of the pictures, as in the records.",
            f"--input_size={config['image_size']}",
        ]
    if not modern or given & {"decay", "decay_rate"}:
        factor = config["decay_rate"] if config["decay"] else 1.0
        lines += [
            "# Factor of the learning rate after so many steps; 1: it stays.",
            f"--lr_decay={factor:.12g}",
        ]
    if not modern and not dpc:
        lines += [
            f"# The original computes it ({config['weight_decay']:g}) and does not add "
            "it to the loss.",
            "--weight_decay=0",
        ]
    elif not modern or "weight_decay" in given:
        lines += [
            f"# {KEYS['weight_decay'].about}",
            f"--weight_decay={config['weight_decay']:.12g}",
        ]
    return lines


def _without_effect(config, given) -> list[str]:
    """Comment lines: keys that are given and become no flag."""
    keys = [(name, KEYS[name]) for name in KEYS if name in given]
    rows = [f"#     {name}: {key.about}" for name, key in keys if not key.flag]
    if not rows:
        return []
    return ["# Given, and without effect:", *rows, "#"]


def _run(config) -> str:
    """The original's folder of a run."""
    name = f"dataset-{config['synth_set']}_voxsize-{config['vox_size']}"
    if config["decay"]:
        name += f"_lrdecay-{config['decay_rate']:g}"
    return str(pathlib.PurePath(config["checkpoint_dir"]) / name)


def _lens(config, given) -> list[str]:
    """Flags of known cameras; their distance is in the data, meshes have ours."""
    if "focal_length" not in given:
        return []
    return [f"--focal_length={config['focal_length']:.12g}"]


def _commands(config, records: str, given) -> list[str]:
    """Comment lines: the commands before and after the training."""
    run = pathlib.PurePath(_run(config))
    folder = run / config["save_predictions_dir"]
    split = _SPLITS.get(config["eval_split"], config["eval_split"])
    truth = config["gt_pc_dir"] or f"{records}/truth"
    scores = [f"--predictions={folder}", f"--truth={truth}"]
    commands = [
        (
            "Records of the data, once before the training:",
            RECORDS,
            [
                *(*_source(config), *_arguments(config, RECORDS)),
                *(*_lens(config, given), f"--output={records}"),
            ],
        ),
        (
            "Clouds of the trained model:",
            PREDICTIONS,
            [*_prediction(config, run, records, split, folder), "--png"],
        ),
    ]
    if config["eval_unsupervised_shape"] and config["predict_pose"]:
        scores += ["--align=auto", f"--data_dir={records}", "--poses"]
        if split != "validation":
            aligned = f"{folder}_validation"
            scores.append(f"--align_predictions={aligned}")
            commands.append(
                (
                    "Clouds that tell how the model's frame is turned:",
                    PREDICTIONS,
                    _prediction(config, run, records, "validation", aligned),
                )
            )
    about = "Their scores; tools.densify makes true points of meshes:"
    commands.append((about, SCORES, scores))
    lines = []
    for about, program, arguments in commands:
        words = [f"python -m {program}", *map(shlex.quote, arguments)]
        lines += [f"# {about}", *command_lines(words), "#"]
    return lines


def _prediction(config, run, records: str, split: str, folder) -> list[str]:
    """Flags of the predictions of a split."""
    return [
        *(f"--model={run}/saved_model", f"--data_dir={records}", f"--split={split}"),
        *(f"--classes={config['synth_set']}", f"--output_dir={folder}"),
        *_arguments(config, PREDICTIONS, skip=("output_dir",)),
    ]


def _source(config) -> list[str]:
    """Flags of the record maker: the original's records, or meshes in their place."""
    if config["inp_dir"]:
        found = [f"--input={config['inp_dir']}", f"--classes={config['synth_set']}"]
    else:
        found = ["--input=MESHES", "--points=100000"]
    return found + ["--sample_points=5000"] * (config["cd_weight"] > 0)


def _arguments(config, program: str, skip=()) -> list[str]:
    """Flags of a tool out of the configuration."""
    return [
        f"--{key.flag}={flag_text(config[name], key)}"
        for name, key in KEYS.items()
        if key.program == program and key.flag not in skip
    ]


def _text(name: str, value) -> str:
    """A value as its flag takes it; "" leaves the flag out."""
    if name in ("num_views_to_use", "vox_size_z"):
        return str(max(value, 0))  # the original has -1 for all, and for the same
    if name == "pc_gauss_kernel_size":
        return str(value // 2 * 2 + 1)  # the original reaches as far on both sides
    if name == "eval_split":
        return _SPLITS.get(value, value)
    return flag_text(value, KEYS[name])
