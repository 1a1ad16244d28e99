r"""Converts the layouts of the originals to TFRecords.

    python -m tools.convert_legacy --image_path=train.tar --model_path=binvox \
        --output=data/mine --split=train
    python -m tools.convert_legacy --npz_dir=mesh_reconstruction --output=data/views

RenderNet's tar and binvox models make one split; `trainers.rendernet --image_path=...`
calls it, once a split; the records of a tar that changed later are made again with
--overwrite. The CLASS_SPLIT_images.npz and CLASS_SPLIT_voxels.npz of mesh
reconstruction make every split that is there, or --split alone.
"""

import sys

from absl import flags

from datasets.mesh_reconstruction import published
from datasets.rendernet import legacy
from tools import cli, progress

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Defines the flags; not at import, because names are global to a process."""
    flags.DEFINE_string("image_path", None, "Tar or folder of pictures ...")
    flags.DEFINE_string("model_path", None, "... with this folder of binvox models.")
    flags.DEFINE_string("npz_dir", None, "Instead: folder of CLASS_SPLIT_*.npz files.")
    flags.DEFINE_list("classes", None, "With --npz_dir: ids or names; all.")
    flags.DEFINE_string("output", None, "Folder of the records.", required=True)
    flags.DEFINE_string("split", None, "train, validation or test.")
    flags.DEFINE_boolean("overwrite", False, "Replace a split that exists.")


def main() -> None:
    """Reads the flags, converts, says what was written."""
    pair = bool(FLAGS.image_path), bool(FLAGS.model_path)
    if pair != (not FLAGS.npz_dir,) * 2:
        raise ValueError(
            "expected --image_path with --model_path and --split, or --npz_dir."
        )
    if FLAGS.npz_dir:
        _convert_npz()
    elif FLAGS.classes:
        raise ValueError("--classes is for --npz_dir; leave it out.")
    elif not FLAGS.split:
        raise ValueError("--split: expected train, validation or test.")
    else:
        _convert_pictures()


def _convert_pictures() -> None:
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


def _convert_npz() -> None:
    print(f"converting {FLAGS.npz_dir}", flush=True)
    splits = [FLAGS.split] if FLAGS.split else None
    plan = published.conversion_plan(FLAGS.npz_dir, FLAGS.classes, splits)
    total = sum(sum(counts.values()) for counts in plan.values())
    shown = progress.bar(range(total), "objects", sys.stdout)
    published.convert(
        FLAGS.npz_dir,
        FLAGS.output,
        FLAGS.classes,
        list(plan),
        overwrite=FLAGS.overwrite,
        report=lambda: next(shown, None),
    )
    next(shown, None)  # the line of the last object
    for split, counts in plan.items():
        print(f"{split}: {sum(counts.values())} objects of {len(counts)} classes")


if __name__ == "__main__":
    define_flags()
    cli.run(main)
