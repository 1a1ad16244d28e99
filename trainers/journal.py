"""The record of a run: TensorBoard, metrics.jsonl, and pictures to look at."""

import contextlib
import json
import os
import pathlib
from collections.abc import Mapping

import numpy as np
import tensorflow as tf
from tensorboard.plugins.mesh import summary_v2 as mesh_summary

from tfrender.io import save_mesh, write_file
from trainers.checkpoints import write_text
from trainers.errors import disk_full

EXAMPLES = 4  # rows of a picture
_GAP = 2  # pixels between pictures
_WHITE = 255


class Journal:
    """Writes OUTPUT_DIR/log (TensorBoard), metrics.jsonl, images/ and meshes/.

    What the disk refuses is left out and told once: training is worth more.
    """

    def __init__(self, output_dir: pathlib.Path, step: int, active: bool = True):
        """Opens the files; lines after `step` (of a killed run) are dropped.

        Args:
            output_dir: folder of the run.
            step: steps done when this process starts.
            active: False writes nothing (processes other than the chief).
        """
        self._active = active
        if not active:
            return
        self._folder, self._warned = output_dir, False
        self._lines = output_dir / "metrics.jsonl"
        self._images = output_dir / "images"
        self._board = tf.summary.create_file_writer(str(output_dir / "log"))
        kept = [line for line in _read(self._lines) if line["step"] <= step]
        write_text(self._lines, "".join(json.dumps(line) + "\n" for line in kept))

    def scalars(self, step: int, group: str, values: dict[str, float]) -> None:
        """Writes numbers of one group ("train", "test", "speed")."""
        if not self._active:
            return
        with self._forgiving(), self._board.as_default(step=step):
            for name, value in values.items():
                tf.summary.scalar(f"{group}/{name}", value)
        with self._forgiving():
            line = json.dumps({"step": step, "group": group, **values})
            _append(self._lines, f"{line}\n".encode())

    def pictures(self, step: int, images: dict[str, np.ndarray]) -> None:
        """Writes pictures to TensorBoard and, side by side, to images/step-*.png.

        Args:
            step: steps done.
            images: name -> [N, H, W, C] in [0, 1], C 1 or 3, columns in this order.
        """
        if not self._active or not images:
            return
        images = {name: _bytes(name, array) for name, array in images.items()}
        png = tf.io.encode_png(_sheet(list(images.values()))).numpy()
        with self._forgiving():
            with self._board.as_default(step=step):
                for name, array in images.items():
                    tf.summary.image(name, array, max_outputs=EXAMPLES)
            self._board.flush()
        path = self._images / f"step-{step:08d}.png"
        with self._forgiving(), write_file(path) as file:
            file.write(png)

    def meshes(self, step: int, meshes: Mapping[str, tuple]) -> None:
        """Writes meshes to TensorBoard and to meshes/NAME-step-*.ply.

        Args:
            step: steps done.
            meshes: name -> (vertices float32 [V, 3], faces int32 [F, 3], colours uint8
                [V, 3]); empty ones are left out.
        """
        if not self._active:
            return
        for name, (vertices, faces, colors) in meshes.items():
            if not len(faces):
                continue
            parts = {"vertices": vertices, "faces": faces, "colors": colors}
            batch = {key: np.asarray(part)[np.newaxis] for key, part in parts.items()}
            with self._forgiving(), self._board.as_default(step=step):
                mesh_summary.mesh(name, **batch)
            path = self._folder / "meshes" / f"{name}-step-{step:08d}.ply"
            with self._forgiving():
                path.parent.mkdir(exist_ok=True)
                save_mesh(path, vertices, faces, vertex_colors=colors)

    def close(self) -> None:
        """Flushes and closes TensorBoard's file."""
        if self._active:
            with self._forgiving():
                self._board.close()

    @contextlib.contextmanager
    def _forgiving(self):
        try:
            yield
        except (OSError, tf.errors.OpError) as error:
            if not self._warned:
                reason = "the disk is full" if disk_full(error) else "it is refused"
                first = (str(error).splitlines() or [""])[0][:120]
                print(
                    f"{self._folder}: the log cannot be written, {reason} ({first}); "
                    "training goes on",
                    flush=True,
                )
            self._warned = True


def _append(path: pathlib.Path, line: bytes) -> None:
    """Adds a whole line or nothing, so that a full disk cuts none in two."""
    size = path.stat().st_size if path.exists() else 0
    try:
        with open(path, "ab") as file:
            file.write(line)
    except OSError:
        with contextlib.suppress(OSError):
            os.truncate(path, size)
        raise


def _read(path: pathlib.Path) -> list[dict]:
    """Lines of a metrics file; a line that a kill cut short is left out."""
    lines = []
    for text in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if isinstance(line, dict) and isinstance(line.get("step"), int):
            lines.append(line)
    return lines


def _bytes(name: str, array) -> np.ndarray:
    """[N, H, W, 1 or 3] in [0, 1] -> uint8 [n, H, W, 3] of the first few."""
    array = np.asarray(array, np.float32)[:EXAMPLES]
    if array.ndim != 4 or array.shape[-1] not in (1, 3):
        raise ValueError(
            f"image `{name}` must be [N, H, W, 1 or 3]; got {list(array.shape)}."
        )
    array = np.nan_to_num(np.clip(array, 0.0, 1.0))
    array = np.round(array * 255.0).astype(np.uint8)
    return np.repeat(array, 3, axis=-1) if array.shape[-1] == 1 else array


def _sheet(columns: list[np.ndarray]) -> np.ndarray:
    """One row an example, one column a picture: uint8 [H', W', 3]."""
    height = max(column.shape[1] for column in columns)
    rows = []
    for i in range(min(column.shape[0] for column in columns)):
        cells = [
            np.pad(
                column[i],
                ((0, height - column.shape[1] + _GAP), (0, _GAP), (0, 0)),
                constant_values=_WHITE,
            )
            for column in columns
        ]
        rows.append(np.concatenate(cells, axis=1))
    return np.concatenate(rows, axis=0)
