r"""Turns a configuration of an original into a flag file.

    python -m tools.import_config --config=config_RenderNet.json --output=mine.cfg
    python -m trainers.rendernet --flagfile=mine.cfg

    python -m tools.import_config --output=angel.cfg \
        --config=configs/multi_view_reconstruction/angel/ours_rgb.yaml
    python -m trainers.dvr --flagfile=angel.cfg

    python -m tools.import_config --config=config.yaml --set=synth_set=02691156 \
        --output=airplane.cfg
    python -m trainers.drwr --flagfile=airplane.cfg

JSON is RenderNet's. YAML is DVR's, in sections, or DRWR's, in flat keys, with the files
that it inherits from; --set=NAME=VALUE replaces a value. Unknown keys, keys given
twice and values of another type are refused. Keys that the file leaves out take the
values that the original documents. Paths stay as they are: run the trainer from the
folder that they are relative to.
"""

import pathlib
import sys

from absl import flags

from tfrender.io import FormatError, write_file
from tools import (
    cli,
    drwr_config,
    drwr_config_keys,
    drwr_flag_file,
    dvr_config,
    dvr_config_keys,
    dvr_flag_file,
    rendernet_config,
    yaml_config,
)

FLAGS = flags.FLAGS
SYSTEMS = ("auto", "dvr", "drwr", "dpc")


def define_flags() -> None:
    """Defines the flags; not at import, because names are global to a process."""
    flags.DEFINE_string("config", None, "JSON or YAML of the original.", required=True)
    flags.DEFINE_string("output", None, "Flag file; without it, standard output.")
    flags.DEFINE_enum(
        "system", "auto", SYSTEMS, "Whose YAML it is; dpc: flat keys, DPC's values."
    )
    flags.DEFINE_multi_string("set", [], "YAML: NAME=VALUE in place of the file's.")
    flags.DEFINE_string("preset", "paper", "RenderNet: size of the model.")
    flags.DEFINE_string(
        "records", None, "YAML: folder of the records; data/records/NAME otherwise."
    )
    flags.DEFINE_boolean(
        "legacy", False, "DVR: keep the original's masks, clamps and marches."
    )
    flags.DEFINE_boolean(
        "modern", False, "DRWR: only what the file gives, the rest as tfrender does it."
    )


def main() -> None:
    """Reads the configuration, writes the flag file."""
    path = pathlib.Path(FLAGS.config)
    suffix = path.suffix.lower()
    if suffix in (".yaml", ".yml"):
        lines = _from_yaml(path)
    elif (suffix == ".json" or not suffix) and FLAGS.system == "auto":
        if FLAGS.set:
            raise FormatError("--set: expected a YAML configuration beside it.")
        config = rendernet_config.read_config(FLAGS.config)
        lines = rendernet_config.flag_lines(config, path.name, FLAGS.preset)
    else:
        expected = ".json, .yaml or .yml" if FLAGS.system == "auto" else ".yaml or .yml"
        raise FormatError(f"--config: expected {expected}; got {path.name!r}.")
    text = "\n".join(lines) + "\n"
    if not FLAGS.output:
        print(text, end="")
        return
    with write_file(FLAGS.output, "w") as file:
        file.write(text)
    print(f"wrote {FLAGS.output}")


def _from_yaml(path: pathlib.Path) -> list[str]:
    """Lines of the flag file of a YAML configuration."""
    system = FLAGS.system if FLAGS.system != "auto" else _system(FLAGS.config)
    records = FLAGS.records or f"data/records/{path.stem}"
    for name, of in (("modern", ("drwr", "dpc")), ("legacy", ("dvr",))):
        if getattr(FLAGS, name) and system not in of:
            raise FormatError(f"--{name}: not for a configuration of {system}.")
    if system == "dvr":
        config, given = dvr_config.read_config(FLAGS.config, FLAGS.set)
        return dvr_flag_file.flag_lines(config, given, path.name, records, FLAGS.legacy)
    dpc = system == "dpc"
    config, given = drwr_config.read_config(FLAGS.config, FLAGS.set, dpc)
    for note in drwr_config.notes(config, given):
        print(f"note: {note}", file=sys.stderr)
    return drwr_flag_file.flag_lines(
        config, given, path.name, records, FLAGS.modern, dpc
    )


def _system(path: str) -> str:
    """Whose configuration a YAML file is, by the keys on top of it."""
    content = yaml_config.top(path)
    known = dvr_config_keys.SECTIONS | {yaml_config.PARENT, "method"}
    if known & set(content) or any(isinstance(v, dict) for v in content.values()):
        return "dvr"
    if set(content) & (set(drwr_config_keys.KEYS) | set(drwr_config_keys.SPELLINGS)):
        return "drwr"
    names = ", ".join(repr(name[:40]) for name in list(content)[:3]) or "no keys"
    raise FormatError(
        f"{path}: expected sections such as 'model' (DVR) or flat keys such as "
        f"'pc_num_points' (DRWR); got {names}. --system says which it is."
    )


if __name__ == "__main__":
    define_flags()
    cli.run(main)
