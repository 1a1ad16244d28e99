r"""Converts the layout of the original RenderNet to TFRecords, one split at a time.

    python -m tools.convert_legacy --image_path=train.tar --model_path=binvox \
        --output=data/mine --split=train

`trainers.rendernet --image_path=...` calls it, once a split; the records of a tar that
changed later are made again with --overwrite.
"""

import sys

from absl import flags

from datasets.rendernet import legacy
from tools import cli, progress

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Defines the flags; not at import, because names are global to a process."""
    flags.DEFINE_string("image_path", None, "Tar or folder of pictures.", required=True)
    flags.DEFINE_string("model_path", None, "Folder of binvox models.", required=True)
    flags.DEFINE_string("output", None, "Folder of the records.", required=True)
    flags.DEFINE_string("split", None, "train, validation or test.", required=True)
    flags.DEFINE_boolean("overwrite", False, "Replace a split that exists.")


def main() -> None:
    """Reads the flags, converts, says what was written."""
    print(f"converting {FLAGS.image_path}", flush=True)
    total = sum(1 for _ in legacy.pictures(FLAGS.image_path))
    shown = progress.bar(range(total), FLAGS.split, sys.stdout)
    found = legacy.convert_legacy(
        FLAGS.image_path,
        FLAGS.model_path,
        FLAGS.output,
        FLAGS.split,
        overwrite=FLAGS.overwrite,
        report=lambda: next(shown, None),
    )
    next(shown, None)  # the line of the last picture
    count = len(found.metadata["objects"])
    print(f"{FLAGS.split}: {found.records} pictures of {count} objects")


if __name__ == "__main__":
    define_flags()
    cli.run(main)
