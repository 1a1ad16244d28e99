r"""Packs a folder of images into a tar archive, as the RenderNet loaders read it.

    python -m tools.create_tar --images_path=renders --save_path=images.tar \
        --file_format='*.png' --to_compress

Members carry the base names of the files, sorted; the same files give the same bytes.
The readers of this library take plain and compressed archives alike.
"""

import os
import pathlib

from absl import flags

from tfrender import io
from tools import cli

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Defines the flags; not at import, because names are global to a process."""
    flags.DEFINE_string("images_path", None, "Folder of the images.", required=True)
    flags.DEFINE_string("save_path", None, "Archive to write.", required=True)
    flags.DEFINE_string("file_format", "*.png", "Pattern of the names, e.g. '*.jpg'.")
    flags.DEFINE_boolean("to_compress", False, "Compress with gzip.")


def create_tar(
    images_path: str, save_path: str, file_format: str = "*.png", compress: bool = False
) -> int:
    """Packs the matching files of a folder; returns their number.

    Args:
        images_path: the folder; its sub-folders are left out.
        save_path: the archive; replaced where it exists.
        file_format: shell pattern of base names.
        compress: gzip.

    Raises:
        FileNotFoundError: no such folder, or nothing in it matches.
    """
    folder = pathlib.Path(images_path)
    if not folder.is_dir():
        raise FileNotFoundError(
            f"--images_path: expected a folder; got {images_path!r}."
        )
    target = pathlib.Path(save_path)
    files = {
        path.name: path
        for path in folder.iterdir()
        if path.is_file() and path.match(file_format) and not _same(path, target)
    }
    if not files:
        raise FileNotFoundError(f"{images_path}: no file matches {file_format!r}.")
    io.write_tar(target, files, compress)
    return len(files)


def _same(a: pathlib.Path, b: pathlib.Path) -> bool:
    """Whether two paths are one file: the archive may lie in its own folder."""
    return b.exists() and os.path.samefile(a, b)


def main() -> None:
    """Reads the flags, packs, prints the count."""
    count = create_tar(
        FLAGS.images_path, FLAGS.save_path, FLAGS.file_format, FLAGS.to_compress
    )
    print(f"{FLAGS.save_path}: {count} files.")


if __name__ == "__main__":
    define_flags()
    cli.run(main)
