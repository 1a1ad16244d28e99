r"""Turns a configuration of an original into a flag file.

    python -m tools.import_config --config=config_RenderNet.json --output=mine.cfg
    python -m trainers.rendernet --flagfile=mine.cfg

    python -m tools.import_config --output=angel.cfg \
        --config=configs/multi_view_reconstruction/angel/ours_rgb.yaml
    python -m trainers.dvr --flagfile=angel.cfg

JSON is RenderNet's, YAML is DVR's, with the files that it inherits from. Unknown keys,
keys given twice and values of another type are refused. Keys that the file leaves out
take the values that the original documents. Paths stay as they are: run the trainer
from the folder that they are relative to.
"""

import pathlib

from absl import flags

from tfrender.io import FormatError, write_file
from tools import cli, dvr_config, dvr_flag_file, rendernet_config

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Defines the flags; not at import, because names are global to a process."""
    flags.DEFINE_string("config", None, "JSON or YAML of the original.", required=True)
    flags.DEFINE_string("output", None, "Flag file; without it, standard output.")
    flags.DEFINE_string("preset", "paper", "RenderNet: size of the model.")
    flags.DEFINE_string(
        "records", None, "DVR: folder of the records; data/records/NAME otherwise."
    )
    flags.DEFINE_boolean(
        "legacy", False, "DVR: keep the original's masks, clamps and marches."
    )


def main() -> None:
    """Reads the configuration, writes the flag file."""
    path = pathlib.Path(FLAGS.config)
    suffix = path.suffix.lower()
    if suffix in (".yaml", ".yml"):
        config, given = dvr_config.read_config(FLAGS.config)
        records = FLAGS.records or f"data/records/{path.stem}"
        lines = dvr_flag_file.flag_lines(
            config, given, path.name, records, FLAGS.legacy
        )
    elif suffix == ".json" or not suffix:
        config = rendernet_config.read_config(FLAGS.config)
        lines = rendernet_config.flag_lines(config, path.name, FLAGS.preset)
    else:
        raise FormatError(
            f"--config: expected .json, .yaml or .yml; got {path.name!r}."
        )
    text = "\n".join(lines) + "\n"
    if not FLAGS.output:
        print(text, end="")
        return
    with write_file(FLAGS.output, "w") as file:
        file.write(text)
    print(f"wrote {FLAGS.output}")


if __name__ == "__main__":
    define_flags()
    cli.run(main)
